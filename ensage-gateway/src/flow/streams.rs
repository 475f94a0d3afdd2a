//! Requests of HTTP/2 inside a tunnel: each stream is an exchange of its own.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use ensage_policy::Reason;
use http::Response;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;

use super::body::{Cut, Reply, ReplyBody};
use super::connection::Link;
use super::exchange::Exchange;
use super::hold::HOLD_UNIT;
use super::identify::{Client, Conn, Via};
use super::leaving::Busy;
use super::reply::{self, Stop};
use super::tunnel::unread;
use super::unseen::Use;
use super::wait::unless;
use crate::gate::Watch;
use crate::gateway::Shared;
use crate::h1::DRAIN_WAIT;
use crate::h2::{self, Asked, Bounds, Done, End, Lost, Read, Room};

/// Serves requests until either side is done, and says whether the client has sent anything. `None` where it was cut.
pub(super) async fn streams<IO>(link: &Link<'_>, via: Via, io: IO) -> Option<Use>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let bounds = Bounds {
        streams: u32::try_from(link.shared.policy().limits.streams).unwrap_or(u32::MAX),
        head: link.worker.gate_limits(),
        waits: link.worker.gate_waits(),
        room: Room { budget: link.shared.held.clone(), unit: HOLD_UNIT },
    };
    let running = Running::default();
    // No gate has read them: what streams tell theirs is for nobody.
    let gate = Watch::detached();
    // A connection too many is there for the request that is refused, and for no other.
    let (is_over, told) = (matches!(link.client, Client::Member(member) if member.is_over), Notify::new());
    let start = |mut asked: Asked| {
        let conn = link.stream(via.clone(), gate.clone(), asked.sign.take());
        running.add(&conn);
        told.notify_one();
        stream(conn, asked)
    };
    let lost = |read: Read, why: Lost| {
        let conn = link.conn(via.clone(), gate.clone());
        let _ = unserved(&conn, &read, unanswered(&read, why));
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
    let served = unless(end, h2::serve(io, &bounds, leaving, start, lost)).await;
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

/// What the record of a request says that gets no answer.
fn unanswered(read: &Read, why: Lost) -> Stop {
    match (why, read.fault) {
        (Lost::TooMany, _) => {
            Stop::refused(Reason::Overloaded, "this connection has too many requests under way; end some")
        }
        (Lost::Broken | Lost::Violated, Some(fault)) => Stop::refused(fault.kind.reason(), fault.detail),
        (Lost::Broken | Lost::Violated, None) => Stop::refused(Reason::MalformedRequest, "it breaks a rule of HTTP/2"),
    }
}

/// Refuses and records what no exchange can be made of, with as much of its head as could be read.
fn unserved(conn: &Rc<Conn>, read: &Read, stop: Stop) -> Result<Response<ReplyBody>, Cut> {
    let mut x = Exchange::begin(conn, &read.head);
    x.facts.method = read.method.clone();
    x.facts.path = read.path.as_deref().map(shown);
    if let Client::Member(member) = &conn.client {
        x.member(member);
    }
    reply::refuse(x, stop, &read.head)
}

/// Of a path that is no path; records have less.
const PATH_BYTES_MAX: usize = 4096;

/// What a record says of a path that may be none.
fn shown(path: &[u8]) -> Arc<str> {
    let path = path.split(|byte| matches!(byte, b'?' | b'#')).next().unwrap_or_default();
    let text = String::from_utf8_lossy(path.get(..PATH_BYTES_MAX).unwrap_or(path));
    ensage_creds::mask_text(&text).into()
}

/// One request and its answer; a revocation cuts it.
async fn stream(conn: Rc<Conn>, asked: Asked) -> Done {
    let Asked { mut read, body, mut answering, .. } = asked;
    let method = read.head.method.clone();
    let answered = async {
        let answer = {
            let work = async {
                match read.fault {
                    None => super::exchange(&conn, &mut read.head, body).await,
                    Some(fault) => {
                        let stop = Stop::refused(fault.kind.reason(), fault.detail);
                        let (version, busy) = (read.head.version, Busy::new(&conn.worker));
                        unserved(&conn, &read, stop)
                            .map(|answer| answer.map(|body| Reply::new(body, &conn, version, busy)))
                    }
                }
            };
            answering.unless_taken_back(pin!(work)).await
        };
        match answer {
            // A refusal of the body is told; an answer that is under way then breaks off.
            Some(Ok(answer)) if conn.refusal().is_some() => answering.send(answer, &method).await,
            Some(Ok(answer)) => conn.unless_refused(pin!(answering.send(answer, &method))).await.unwrap_or(Done::Cut),
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
