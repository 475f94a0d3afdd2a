//! Requests whose body is under way while they are answered, and clients that leave.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Response, request::Parts};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::Instant;

use super::{Failed, Feeder, Wire, fed, local, settle, whole};
use crate::h1::Presence;
use crate::h1::body::Broken;
use crate::h1::serve::{Served, serve};
use crate::h1::{Driven, Incoming};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const CLOSING: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";

type Task = JoinHandle<Option<Box<Served<Wire>>>>;

/// Answers every request at once and reads nothing of it.
fn deaf() -> (Wire, Task, Rc<Cell<u32>>) {
    let (wire, shown) = (Wire::new(), Rc::new(Cell::new(0)));
    let seen = shown.clone();
    let service = async move |_: &mut Parts, _: Incoming| {
        seen.set(seen.get() + 1);
        Ok::<_, Failed>(Response::new(whole("ok")))
    };
    let task = spawn_local(serve(wire.clone(), || Presence::Unknown, service));
    (wire, task, shown)
}

/// The request's body as its answer.
struct Echo(Incoming);

impl Body for Echo {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

impl Driven for Echo {
    fn poll_drive(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

fn echo() -> (Wire, Task) {
    let wire = Wire::new();
    let service = async |_: &mut Parts, body: Incoming| Ok::<_, Failed>(Response::new(Echo(body)));
    let task = spawn_local(serve(wire.clone(), || Presence::Unknown, service));
    (wire, task)
}

#[test]
fn a_client_is_told_to_go_on_once_and_when_its_body_is_wanted() {
    local(async {
        let wire = Wire::new();
        let (feeder, mut wanted) = fed(None);
        let service = async move |_: &mut Parts, mut body: Incoming| {
            wanted.frame().await;
            let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
            let rest = body.collect().await.unwrap().to_bytes();
            Ok::<_, Failed>(Response::new(whole([first, rest].concat())))
        };
        let task = spawn_local(serve(wire.clone(), || Presence::Unknown, service));
        for _ in 0..2 {
            wire.says("POST / HTTP/1.1\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n");
            settle().await;
            assert_eq!(wire.heard(), "", "nobody asks for it yet");
            feeder.data("go");
            settle().await;
            assert_eq!(wire.heard(), CONTINUE);
            for half in ["ab", "cd"] {
                assert_eq!(wire.heard(), "");
                wire.says(half);
                settle().await;
            }
            assert_eq!(wire.heard(), "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabcd");
        }
        assert!(!task.is_finished());
    });
}

#[test]
fn a_client_that_was_not_told_to_go_on_is_not_served_again() {
    for sent in ["", "abcd", "abcdGET / HTTP/1.1\r\n\r\n"] {
        local(async move {
            let (wire, task, shown) = deaf();
            wire.says(format!("POST / HTTP/1.1\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n{sent}"));
            settle().await;
            assert_eq!((wire.heard().as_str(), shown.get()), (CLOSING, 1));
            wire.ends();
            settle().await;
            assert!(task.is_finished());
        });
    }
}

#[test]
fn nobody_is_told_to_go_on_behind_the_head_of_an_answer() {
    local(async {
        let (wire, task) = echo();
        wire.says("POST / HTTP/1.1\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n");
        settle().await;
        wire.says("ok");
        settle().await;
        assert_eq!((wire.heard().as_str(), task.is_finished()), (CLOSING, true));
    });
}

#[test]
fn an_answer_may_read_its_request_while_it_is_written() {
    for (fields, framing) in
        [("content-length: 8", "content-length: 8"), ("transfer-encoding: chunked", "transfer-encoding: chunked")]
    {
        local(async move {
            let (wire, task) = echo();
            let chunked = framing.starts_with('t');
            let piece = |text: &str| if chunked { format!("4\r\n{text}\r\n") } else { text.to_owned() };
            let last = if chunked { "0\r\nx: y\r\n\r\n" } else { "" };
            for _ in 0..2 {
                wire.says(format!("POST / HTTP/1.1\r\n{fields}\r\n\r\n"));
                settle().await;
                assert_eq!(wire.heard(), format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n"));
                for text in ["abcd", "efgh"] {
                    wire.says(piece(text));
                    settle().await;
                    assert_eq!(wire.heard(), piece(text), "what comes goes back at once");
                }
                wire.says(last);
                settle().await;
                assert_eq!(wire.heard(), last);
            }
            assert!(!task.is_finished());
        });
    }
}

#[test]
fn what_is_echoed_passes_a_narrow_stream_whole() {
    local(async {
        let (wire, _task) = echo();
        wire.set(|state| (state.takes, state.writes_stall) = (700, true));
        let data = "0123456789".repeat(30_000);
        wire.says(format!("POST / HTTP/1.1\r\ncontent-length: {}\r\n\r\n{data}", data.len()));
        for _ in 0..50 {
            settle().await;
        }
        assert!(wire.heard() == format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{data}", data.len()));
    });
}

#[test]
fn an_echo_of_a_broken_request_is_never_completed() {
    local(async {
        let (wire, task) = echo();
        wire.says("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n");
        settle().await;
        wire.ends();
        settle().await;
        assert_eq!(wire.heard(), "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n");
        assert!(task.is_finished());
    });
}

#[test]
fn the_rest_of_an_answered_request_is_read_and_the_next_is_served() {
    let chunks = format!("{}0\r\nx: y\r\n\r\n", "5\r\nabcde\r\n".repeat(20_000));
    for (fields, content) in [
        ("content-length: 200000", "POST / HTTP/1.1\r\n\r\n_".repeat(10_000)),
        ("content-length: 1048576", "z".repeat(1024 * 1024)),
        ("transfer-encoding: chunked", chunks),
    ] {
        local(async move {
            let (wire, task, shown) = deaf();
            wire.says(format!("POST / HTTP/1.1\r\n{fields}\r\n\r\n"));
            settle().await;
            assert_eq!(wire.heard(), OK, "the answer does not wait for the rest");
            wire.says(content);
            wire.says("GET / HTTP/1.1\r\n\r\n");
            settle().await;
            assert_eq!((wire.heard().as_str(), shown.get(), task.is_finished()), (OK, 2, false), "{fields}");
        });
    }
}

#[test]
fn not_more_than_so_many_bytes_and_so_long_are_read_of_an_answered_request() {
    local(async {
        let (wire, task, shown) = deaf();
        let length = 1024 * 1024 + 1;
        wire.says(format!("POST / HTTP/1.1\r\ncontent-length: {length}\r\n\r\n{}", "z".repeat(length)));
        wire.says("GET / HTTP/1.1\r\n\r\n");
        settle().await;
        assert_eq!((wire.heard().as_str(), shown.get(), task.is_finished()), (OK, 1, true));

        let (wire, task, _) = deaf();
        let begun = Instant::now();
        wire.says("POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\nabc");
        assert!(task.await.unwrap().is_some());
        assert_eq!((wire.heard().as_str(), begun.elapsed().as_secs()), (OK, 2));
    });
}

#[test]
fn the_rest_is_read_too_where_the_connection_ends() {
    for head in ["POST / HTTP/1.1\r\nconnection: close\r\n", "POST / HTTP/1.0\r\n"] {
        local(async move {
            let (wire, task, shown) = deaf();
            wire.says(format!("{head}content-length: 200000\r\n\r\n"));
            settle().await;
            let answer = wire.heard();
            assert!(answer.contains("connection: close\r\n") && answer.ends_with("\r\n\r\nok"), "{answer:?}");
            wire.says("z".repeat(200_000));
            settle().await;
            assert!(wire.is_read() && task.is_finished(), "a close with bytes unread is a reset to the client");
            assert_eq!(shown.get(), 1);
        });
    }
}

#[test]
fn a_request_that_ends_early_is_broken_to_its_reader() {
    for content in ["content-length: 3\r\n\r\nab", "transfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n"] {
        local(async move {
            let (wire, read) = (Wire::new(), Rc::new(Cell::new(None)));
            let seen = read.clone();
            let service = async move |_: &mut Parts, body: Incoming| {
                seen.set(Some(body.collect().await.err()));
                Ok::<_, Failed>(Response::builder().status(400).body(whole("")).unwrap())
            };
            let task = spawn_local(serve(wire.clone(), || Presence::Unknown, service));
            wire.says(format!("POST / HTTP/1.1\r\n{content}"));
            wire.ends();
            settle().await;
            assert_eq!(read.get(), Some(Some(Broken)), "{content:?}");
            assert!(wire.heard().starts_with("HTTP/1.1 400 ") && task.is_finished());
        });
    }
}

/// Serves with a service that never answers. The feeder tells whether it was dropped.
fn never(reads: bool) -> (Wire, Task, Feeder) {
    let wire = Wire::new();
    let (feeder, held) = fed(None);
    let held = RefCell::new(Some(held));
    let service = async move |_: &mut Parts, body: Incoming| {
        let _held = held.take();
        if reads {
            body.collect().await.unwrap();
        }
        pending::<Result<Response<super::Fed>, Failed>>().await
    };
    let task = spawn_local(serve(wire.clone(), || Presence::Unknown, service));
    (wire, task, feeder)
}

#[test]
fn a_client_that_leaves_stops_the_service() {
    let head = "POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n";
    for (request, rest) in [("GET / HTTP/1.1\r\n\r\n", ""), (head, "ab")] {
        for fault in [false, true] {
            local(async move {
                let (wire, task, service) = never(true);
                wire.says(request);
                settle().await;
                wire.says(rest);
                settle().await;
                assert!(!service.is_dropped());
                if fault {
                    wire.breaks()
                } else {
                    wire.ends()
                }
                settle().await;
                assert!(service.is_dropped() && task.is_finished(), "{request:?}");
                assert_eq!(wire.heard(), "");
            });
        }
    }
}

#[test]
fn a_client_that_says_more_has_not_left() {
    local(async {
        let (wire, task, service) = never(true);
        wire.says("GET / HTTP/1.1\r\n\r\n");
        settle().await;
        wire.says("GET / HTTP/1.1\r\n\r\n");
        settle().await;
        assert!(!service.is_dropped() && !task.is_finished());

        // Nor has one of whose request not all is read.
        let (wire, task, service) = never(false);
        wire.says("POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\na");
        settle().await;
        wire.says("b");
        wire.ends();
        settle().await;
        assert!(!service.is_dropped() && !task.is_finished());
    });
}

#[test]
fn a_client_that_leaves_stops_the_answer() {
    local(async {
        let wire = Wire::new();
        let (feeder, body) = fed(None);
        let body = RefCell::new(Some(body));
        let service =
            async move |_: &mut Parts, _: Incoming| Ok::<_, Failed>(Response::new(body.borrow_mut().take().unwrap()));
        let task = spawn_local(serve(wire.clone(), || Presence::Unknown, service));
        wire.says("GET / HTTP/1.1\r\n\r\n");
        feeder.data("one");
        settle().await;
        assert!(wire.heard().ends_with("3\r\none\r\n") && !feeder.is_dropped());
        wire.ends();
        settle().await;
        assert!(feeder.is_dropped() && task.is_finished());
        assert_eq!(wire.heard(), "");
    });
}

/// An answer with work left behind it.
struct Working {
    body: super::Fed,
    work: super::Fed,
    done: Rc<Cell<u32>>,
}

impl Body for Working {
    type Data = Bytes;
    type Error = Failed;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failed>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Driven for Working {
    fn poll_drive(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(frame) = std::task::ready!(Pin::new(&mut self.work).poll_frame(cx)) {
            drop(frame);
            self.done.set(self.done.get() + 1);
        }
        Poll::Ready(())
    }
}

#[test]
fn work_that_an_answer_leaves_is_done_before_the_next_request() {
    local(async {
        let (wire, shown) = (Wire::new(), Rc::new(Cell::new(0)));
        let (feeder, work) = fed(None);
        let (work, seen, done) = (RefCell::new(Some(work)), shown.clone(), Rc::new(Cell::new(0)));
        let counts = done.clone();
        let service = async move |_: &mut Parts, _: Incoming| {
            seen.set(seen.get() + 1);
            let work = work.take().unwrap_or_else(|| fed(None).1);
            Ok::<_, Failed>(Response::new(Working { body: whole("ok"), work, done: counts.clone() }))
        };
        let _task = spawn_local(serve(wire.clone(), || Presence::Unknown, service));
        wire.set(|state| state.room = 0);
        wire.says("GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n");
        settle().await;
        feeder.data("a part");
        settle().await;
        assert_eq!((wire.heard().as_str(), done.get()), ("", 1), "the work goes on while the answer can't go out");
        wire.set(|state| state.room = usize::MAX);
        settle().await;
        assert_eq!((wire.heard().as_str(), shown.get()), (OK, 1), "the answer is out, its work is not done");
        drop(feeder);
        settle().await;
        assert_eq!((wire.heard().as_str(), shown.get()), (OK, 2));
    });
}
