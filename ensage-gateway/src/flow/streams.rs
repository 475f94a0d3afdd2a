//! Requests of HTTP/2 inside a tunnel: each stream is an exchange of its own.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::{Rc, Weak};

use ensage_policy::Reason;
use http::Response;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;

use super::body::{Cut, Reply};
use super::connection::Link;
use super::identify::{Client, Conn, Via};
use super::leaving::Busy;
use super::reply::Stop;
use super::tunnel::unread;
use super::unseen::Use;
use super::wait::unless;
use crate::gate::Watch;
use crate::gateway::Shared;
use crate::h1::DRAIN_WAIT;
use crate::h2::{self, Asked, Bounds, Done, End};

/// Serves requests until either side is done, and says whether the client has sent anything. `None` where it was cut.
pub(super) async fn streams<IO>(link: &Link<'_>, via: Via, io: IO) -> Option<Use>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let bounds = Bounds {
        streams: u32::try_from(link.shared.policy().limits.streams).unwrap_or(u32::MAX),
        head: link.worker.gate_limits(),
        waits: link.worker.gate_waits(),
    };
    let running = Running::default();
    // No gate has read them: what streams tell theirs is for nobody.
    let gate = Watch::detached();
    // A connection too many is there for the request that is refused, and for no other.
    let (is_over, told) = (matches!(link.client, Client::Member(member) if member.is_over), Notify::new());
    let start = |asked: Asked| {
        let conn = link.conn(via.clone(), gate.clone());
        running.add(&conn);
        told.notify_one();
        stream(conn, asked)
    };
    // The end of an answer may wait in the connection: a gateway that drains waits for that, where one was under way.
    let last = Cell::new(None);
    let leaving = async {
        tokio::select! {
            () = link.shared.left() => {}
            () = told.notified(), if is_over => {}
        }
        if link.shared.is_draining() {
            last.set(Some(Busy::new(link.worker)));
        }
    };
    let rests = async {
        link.shared.left().await;
        if running.is_idle() {
            tokio::time::sleep(DRAIN_WAIT).await;
            last.take();
        }
        std::future::pending().await
    };
    let end = async {
        tokio::select! {
            () = running.reviewed(link) => {}
            () = rests => {}
        }
    };
    let served = unless(end, h2::serve(io, &bounds, leaving, start)).await;
    drop(last);
    match served? {
        End::Unopened => return Some(Use::Nothing),
        End::Over => {}
        End::Violated => {
            let conn = link.conn(via.clone(), Watch::detached());
            let head = http::Request::new(()).into_parts().0;
            let _ = unread(&conn, &head, Stop::refused(Reason::MalformedRequest, "it breaks a rule of HTTP/2"));
        }
    }
    Some(Use::Something)
}

/// One request and its answer; a revocation cuts it.
async fn stream(conn: Rc<Conn>, asked: Asked) -> Done {
    let Asked { mut head, body, fault, mut answering } = asked;
    let method = head.method.clone();
    let answered = async {
        let answer = {
            let work = async {
                match fault {
                    None => super::exchange(&conn, &mut head, body).await,
                    Some(fault) => {
                        let stop = Stop::refused(fault.kind.reason(), fault.detail);
                        let version = head.version;
                        let busy = Busy::new(&conn.worker);
                        unread(&conn, &head, stop)
                            .map(|a: Response<_>| a.map(|body| Reply::new(body, &conn, version, busy)))
                    }
                }
            };
            answering.unless_taken_back(pin!(work)).await
        };
        match answer {
            Some(Ok(answer)) => answering.send(answer, &method).await,
            Some(Err(Cut::Client)) | None => Done::TakenBack,
            Some(Err(_)) => Done::Cut,
        }
    };
    // What is dropped then is reset, and so never complete.
    conn.watchman.unless_cut_off(pin!(answered)).await.unwrap_or(Done::Cut)
}

/// The exchanges that may be under way on a connection.
#[derive(Default)]
struct Running(RefCell<Vec<Weak<Conn>>>);

impl Running {
    fn add(&self, conn: &Rc<Conn>) {
        let mut all = self.0.borrow_mut();
        if all.len() == all.capacity() {
            all.retain(|conn| conn.strong_count() > 0);
        }
        all.push(Rc::downgrade(conn));
    }

    fn is_idle(&self) -> bool {
        self.0.borrow().iter().all(|conn| conn.strong_count() == 0)
    }

    /// Holds all of them against each change of the policy, and never returns.
    async fn reviewed(&self, link: &Link<'_>) {
        if let Client::Member(member) = link.client {
            let mut changes = member.session.changes();
            while changes.changed().await.is_ok() {
                self.review(link.shared);
            }
        }
        std::future::pending::<()>().await;
    }

    fn review(&self, shared: &Shared) {
        for conn in self.0.borrow().iter().filter_map(Weak::upgrade) {
            conn.watchman.review(shared);
        }
    }
}
