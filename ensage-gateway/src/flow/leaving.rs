//! What a gateway that drains does: it ends what was asked, begins nothing, and lets go of its clients.

use std::rc::Rc;

use ensage_policy::Reason;
use http::{HeaderValue, Response, StatusCode, header};

use super::identify::Conn;
use super::reply::Stop;
use crate::worker::Worker;

/// An answer under way, from its request's head to its last byte in the kernel: a gateway that drains waits for it.
pub(crate) struct Busy(Rc<Worker>);

impl Busy {
    /// On a connection of this worker.
    pub(crate) fn new(conn: &Conn) -> Self {
        conn.worker.tally().answers_begin();
        Self(conn.worker.clone())
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

/// While it drains, each answer is the last one of its connection, and says so.
pub(super) fn last_of<B>(conn: &Conn, mut answer: Response<B>) -> Response<B> {
    if conn.shared.is_draining() && answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}
