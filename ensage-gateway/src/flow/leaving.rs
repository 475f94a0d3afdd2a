//! What a gateway that drains does: it ends what was asked, begins nothing, and lets go of its clients.

use std::rc::Rc;

use ensage_policy::Reason;
use http::{HeaderValue, Response, StatusCode, Version, header};

use super::identify::{Client, Conn};
use super::reply::Stop;
use crate::worker::Worker;

/// An answer under way, from its request's head to its last byte in the kernel: a gateway that drains waits for it.
pub(crate) struct Busy(Rc<Worker>);

impl Busy {
    /// On a connection of this worker.
    pub(crate) fn new(worker: &Rc<Worker>) -> Self {
        worker.tally().answers_begin();
        Self(worker.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.tally().answers_end();
    }
}

/// A gateway that drains begins nothing.
pub(super) fn still_served(conn: &Conn) -> Result<(), Stop> {
    if conn.shared.is_draining() {
        return Err(Stop::refused(Reason::Draining, "the gateway is shutting down; ask again in a moment"));
    }
    Ok(())
}

impl Conn {
    /// Whether it is one more than its session may have: it is there to be told that.
    fn is_over(&self) -> bool {
        matches!(&self.client, Client::Member(member) if member.is_over)
    }

    /// Returns once the first answer on it is the last one.
    pub(super) async fn leaves(&self) {
        if !self.is_over() {
            self.shared.left().await;
        }
    }
}

/// While it drains, each answer is the last one of its connection, and says so. HTTP/2 has a frame for that.
pub(super) fn last_of<B>(conn: &Conn, version: Version, mut answer: Response<B>) -> Response<B> {
    let says = version != Version::HTTP_2 && answer.status() != StatusCode::SWITCHING_PROTOCOLS;
    if says && (conn.shared.is_draining() || conn.is_over()) {
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}
