//! The client's side: what goes out for what comes in, and when the connection ends.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH};
use http::{HeaderMap, Method, Response, StatusCode, request::Parts};
use http_body_util::BodyExt;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, spawn_local};

use super::{Failed, Fed, Wire, fed, local, settle, whole};
use crate::h1::Incoming;
use crate::h1::Presence;
use crate::h1::serve::{Served, serve};

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

/// Serves a wire; the targets of the requests that were shown are kept.
fn start(answer: impl Fn(&Parts, Bytes) -> Result<Response<Fed>, Failed> + 'static) -> Started {
    let wire = Wire::new();
    let shown: Rc<RefCell<Vec<String>>> = Rc::default();
    let seen = shown.clone();
    let service = async move |head: &mut Parts, body: Incoming| {
        seen.borrow_mut().push(head.uri.to_string());
        let body = body.collect().await.map_err(|_| Failed)?.to_bytes();
        answer(head, body)
    };
    let task = spawn_local(serve(wire.clone(), || Presence::Unknown, service));
    Started { wire, shown, task }
}

struct Started {
    wire: Wire,
    shown: Rc<RefCell<Vec<String>>>,
    task: JoinHandle<Option<Box<Served<Wire>>>>,
}

impl Started {
    async fn ask(&self, bytes: impl AsRef<[u8]>) -> String {
        self.wire.says(bytes);
        settle().await;
        self.wire.heard()
    }

    fn is_over(&self) -> bool {
        self.task.is_finished()
    }

    async fn over(self) -> (Bytes, bool) {
        assert!(self.is_over(), "it still serves");
        let served = self.task.await.unwrap().unwrap();
        (served.read, served.unread)
    }
}

#[test]
fn one_request_after_the_other_gets_its_answer() {
    local(async {
        let started = start(|head, body| {
            let mut answer = format!("{} {} ", head.method, head.uri).into_bytes();
            answer.extend_from_slice(&body);
            Ok(Response::new(whole(answer)))
        });
        for (request, answer) in [
            ("GET /a HTTP/1.1\r\nhost: a\r\n\r\n", "GET /a "),
            ("POST /b HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc", "POST /b abc"),
            (
                "\r\nPUT /c HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2\r\nxy\r\n1\r\nz\r\n0\r\na: b\r\n\r\n",
                "PUT /c xyz",
            ),
            ("GET /d HTTP/1.1\r\nhost: a\r\n\r\n", "GET /d "),
        ] {
            let expected = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{answer}", answer.len());
            assert_eq!(started.ask(request).await, expected);
            assert!(!started.is_over());
        }
        started.wire.ends();
        settle().await;
        assert_eq!(started.over().await, (Bytes::new(), false));
    });
}

#[test]
fn a_request_is_not_shown_before_the_one_before_it_is_answered() {
    local(async {
        let (feeder, body) = fed(None);
        let body = RefCell::new(Some(body));
        let started = start(move |_, _| Ok(Response::new(body.take().unwrap_or_else(|| whole("two")))));
        let head = started.ask("GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\nGET /3 HTTP/1.1\r\n\r\n").await;
        assert_eq!(head, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "a head goes out without its body");
        feeder.data("one");
        settle().await;
        assert_eq!(started.wire.heard(), "3\r\none\r\n", "so does what there is of a body");
        assert_eq!(*started.shown.borrow(), ["/1"]);
        drop(feeder);
        settle().await;
        let two = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\ntwo";
        assert_eq!(started.wire.heard(), format!("0\r\n\r\n{two}{two}"));
        assert_eq!(*started.shown.borrow(), ["/1", "/2", "/3"]);
        assert!(!started.is_over());
    });
}

#[test]
fn what_follows_an_answer_is_told_in_it() {
    let (plain, closing) = ("HTTP/1.1 200 OK\r\n", "connection: close\r\n");
    for (request, length, answer, over) in [
        ("GET / HTTP/1.1\r\n\r\n", Some(2), format!("{plain}content-length: 2\r\n\r\nok"), false),
        (
            "GET / HTTP/1.1\r\n\r\n",
            None,
            format!("{plain}transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
            false,
        ),
        (
            "GET / HTTP/1.1\r\nconnection: x, close\r\n\r\n",
            Some(2),
            format!("{plain}content-length: 2\r\n{closing}\r\nok"),
            true,
        ),
        (
            "GET / HTTP/1.1\r\nconnection: close\r\n\r\n",
            None,
            format!("{plain}transfer-encoding: chunked\r\n{closing}\r\n2\r\nok\r\n0\r\n\r\n"),
            true,
        ),
        ("GET / HTTP/1.0\r\n\r\n", Some(2), format!("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n{closing}\r\nok"), true),
        (
            "GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n",
            Some(2),
            "HTTP/1.0 200 OK\r\ncontent-length: 2\r\nconnection: keep-alive\r\n\r\nok".into(),
            false,
        ),
        ("GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n", None, format!("HTTP/1.0 200 OK\r\n{closing}\r\nok"), true),
    ] {
        local(async move {
            let started = start(move |_, _| {
                let (feeder, body) = fed(length);
                feeder.data("ok");
                Ok(Response::new(body))
            });
            assert_eq!(started.ask(request).await, answer, "{request:?}");
            assert_eq!(started.is_over(), over, "{request:?}");
            let more = started.ask(GET).await;
            assert_eq!((more.is_empty(), started.shown.borrow().len()), (over, if over { 1 } else { 2 }));
        });
    }
}

#[test]
fn an_answer_may_close() {
    local(async {
        let started = start(|_, _| Ok(Response::builder().header(CONNECTION, "Close").body(whole("x")).unwrap()));
        let answer = started.ask([GET, GET].concat()).await;
        assert_eq!(answer, "HTTP/1.1 200 OK\r\nconnection: Close\r\ncontent-length: 1\r\n\r\nx");
        assert_eq!(started.shown.borrow().len(), 1);
        assert_eq!(started.over().await, (Bytes::from_static(GET.as_bytes()), false));
    });
}

#[test]
fn an_answer_without_content_has_none_whatever_its_body() {
    for (method, status) in [
        (Method::HEAD, StatusCode::OK),
        (Method::HEAD, StatusCode::NOT_FOUND),
        (Method::GET, StatusCode::NO_CONTENT),
        (Method::POST, StatusCode::NOT_MODIFIED),
    ] {
        local(async move {
            let started = start(move |_, _| {
                let answer = Response::builder().status(status).header(CONTENT_LENGTH, 7);
                Ok(answer.body(whole("nothing")).unwrap())
            });
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 7\r\n\r\n");
            assert_eq!(started.ask(format!("{method} / HTTP/1.1\r\n\r\n")).await, answer, "{method}");
            assert_eq!(started.ask(format!("{method} / HTTP/1.1\r\n\r\n")).await, answer, "{method} again");
        });
    }
}

#[test]
fn behind_a_granted_connect_there_is_no_http() {
    local(async {
        let started = start(|_, _| Ok(Response::new(whole("not told"))));
        let answer = started.ask("CONNECT a:443 HTTP/1.1\r\nhost: a\r\n\r\n\x16\x03\x01GET / HTTP/1.1\r\n\r\n").await;
        assert_eq!(answer, "HTTP/1.1 200 OK\r\n\r\n");
        assert_eq!(*started.shown.borrow(), ["a:443"]);
        assert_eq!(started.over().await, (Bytes::from_static(b"\x16\x03\x01GET / HTTP/1.1\r\n\r\n"), false));
    });
}

#[test]
fn behind_a_refused_connect_there_is() {
    local(async {
        let started = start(|_, _| Ok(Response::builder().status(502).body(whole("no")).unwrap()));
        let refusal = "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 2\r\n\r\nno";
        let answers = started.ask(format!("CONNECT a:443 HTTP/1.1\r\n\r\n{GET}")).await;
        assert_eq!(answers, refusal.repeat(2));
    });
}

#[test]
fn a_head_that_cannot_be_read_ends_it_unanswered() {
    for bad in ["GET /\r\n\r\n", "GET / HTTP/1.2\r\n\r\n", "GET / HTTP/1.1\r\nx\r\n\r\n", "\x16\x03\x01\r\n\r\n"] {
        local(async move {
            let started = start(|_, _| Ok(Response::new(whole(""))));
            let answers = started.ask(format!("{GET}{bad}{GET}")).await;
            assert_eq!(answers, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", "{bad:?}");
            assert_eq!(started.over().await, (Bytes::from_static(GET.as_bytes()), true), "{bad:?}");
        });
    }
}

#[test]
fn a_stream_that_ends_within_a_head_is_not_unread() {
    for fault in [false, true] {
        local(async move {
            let started = start(|_, _| Ok(Response::new(whole(""))));
            started.wire.says("GET / HTTP/1.1\r\nhost");
            if fault {
                started.wire.breaks()
            } else {
                started.wire.ends()
            }
            settle().await;
            assert_eq!((started.wire.heard().as_str(), started.shown.borrow().len()), ("", 0));
            assert!(!started.over().await.1);
        });
    }
}

#[test]
fn a_service_that_fails_says_nothing() {
    local(async {
        let started = start(|_, _| Err(Failed));
        assert_eq!(started.ask([GET, GET].concat()).await, "");
        assert_eq!(started.shown.borrow().len(), 1);
        assert_eq!(started.over().await, (Bytes::from_static(GET.as_bytes()), false));
    });
}

#[test]
fn an_answer_that_fails_is_never_completed() {
    let head = "HTTP/1.1 200 OK\r\n";
    for (length, parts, fails, written) in [
        (None, vec!["one", "two"], true, format!("{head}transfer-encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n")),
        (Some(9), vec!["one", "two"], true, format!("{head}content-length: 9\r\n\r\nonetwo")),
        (Some(9), vec!["one", "two"], false, format!("{head}content-length: 9\r\n\r\nonetwo")),
        (Some(4), vec!["one", "two"], false, format!("{head}content-length: 4\r\n\r\none")),
        (Some(0), vec!["one"], false, format!("{head}content-length: 0\r\n\r\n")),
    ] {
        local(async move {
            let (feeder, body) = fed(length);
            let body = RefCell::new(Some(body));
            let started = start(move |_, _| Ok(Response::new(body.take().unwrap())));
            let mut got = started.ask([GET, GET].concat()).await;
            for part in parts {
                feeder.data(part);
                settle().await;
            }
            if fails {
                feeder.fails();
            }
            drop(feeder);
            settle().await;
            got += &started.wire.heard();
            assert_eq!(got, written);
            assert_eq!(started.shown.borrow().len(), 1);
            assert!(started.is_over());
        });
    }
}

#[test]
fn answers_come_out_to_the_byte_whatever_the_stream_takes() {
    let large = "z".repeat(50_000);
    let mut trailers = HeaderMap::new();
    trailers.insert("x", "y".parse().unwrap());
    let expected = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\nc350\r\n{large}\r\n1\r\nc\r\n0\r\nx: y\r\n\r\n"
    );
    for (takes, vectored, holds) in [(1, true, false), (3, false, false), (4096, true, false), (7, true, true)] {
        let (large, expected, trailers) = (large.clone(), expected.clone(), trailers.clone());
        local(async move {
            let started = start(move |_, _| {
                let (feeder, body) = fed(None);
                for part in ["ab", &large, "c"] {
                    feeder.data(part);
                }
                feeder.trailers(trailers.clone());
                Ok(Response::new(body))
            });
            started.wire.set(|state| (state.takes, state.vectored, state.holds) = (takes, vectored, holds));
            assert!(started.ask([GET, GET].concat()).await == expected.repeat(2), "{takes}");
        });
    }
}

#[test]
fn a_stream_that_takes_nothing_for_a_while_loses_nothing() {
    for holds in [false, true] {
        local(async move {
            let started = start(|head, _| Ok(Response::new(whole(head.uri.path()))));
            started.wire.set(|state| (state.holds, state.room) = (holds, 0));
            assert_eq!(started.ask("GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n").await, "");
            assert_eq!(*started.shown.borrow(), ["/1"], "the next one waits for the answer");
            started.wire.set(|state| state.room = 10);
            settle().await;
            assert_eq!(started.wire.heard(), "HTTP/1.1 2");
            started.wire.set(|state| state.room = usize::MAX);
            settle().await;
            let head = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n";
            assert_eq!(started.wire.heard(), format!("{}/1{head}/2", &head[10..]));
        });
    }
}

#[test]
fn a_client_that_cannot_be_written_to_is_not_served() {
    local(async {
        let started = start(|_, _| Ok(Response::new(whole("x"))));
        started.wire.set(|state| state.deaf = true);
        assert_eq!(started.ask([GET, GET].concat()).await, "");
        assert_eq!((started.shown.borrow().len(), started.is_over()), (1, true));
    });
}

#[test]
fn a_service_takes_its_time() {
    local(async {
        let go = Rc::new(Notify::new());
        let rings = go.clone();
        let wire = Wire::new();
        let service = async move |_: &mut Parts, _: Incoming| {
            rings.notified().await;
            Ok::<_, Failed>(Response::new(whole("late")))
        };
        let task = spawn_local(serve(wire.clone(), || Presence::Unknown, service));
        wire.says([GET, "GET /par"].concat());
        settle().await;
        assert!(wire.heard().is_empty() && !task.is_finished());
        go.notify_one();
        settle().await;
        assert_eq!(wire.heard(), "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate");
        wire.says("t HTTP/1.1\r\n\r\n");
        go.notify_one();
        settle().await;
        assert_eq!(wire.heard(), "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate");
    });
}

#[test]
fn a_body_that_somebody_keeps_ends_its_connection() {
    local(async {
        let (wire, kept) = (Wire::new(), Rc::new(RefCell::new(Vec::new())));
        let keeps = kept.clone();
        let service = async move |_: &mut Parts, body: Incoming| {
            keeps.borrow_mut().push(body);
            Ok::<_, Failed>(Response::new(whole("ok")))
        };
        let task = spawn_local(serve(wire.clone(), || Presence::Unknown, service));
        wire.says(format!("POST / HTTP/1.1\r\ncontent-length: 4\r\n\r\nabcd{GET}"));
        assert!(task.await.unwrap().is_none(), "nobody else gets the stream");
        assert_eq!(wire.heard(), "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        let body = kept.borrow_mut().pop().unwrap();
        assert_eq!(body.collect().await.unwrap().to_bytes(), "abcd");
    });
}
