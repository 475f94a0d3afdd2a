//! The upstream's side: a request out, its answer in.

use std::rc::Rc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::task::{JoinHandle, spawn_local};

use super::{Failed, Fed, Wire, fed, local, settle, whole};
use crate::h1::body::Broken;
use crate::h1::{Incoming, Link, SendError};

type Answer = Result<Response<Incoming>, SendError<Failed>>;

pub(super) fn open() -> (Wire, Rc<Link<Wire, Fed>>) {
    let wire = Wire::new();
    (wire.clone(), Rc::new(Link::new(wire)))
}

pub(super) fn send(link: &Rc<Link<Wire, Fed>>, request: Request<Fed>) -> JoinHandle<Answer> {
    link.ask(request);
    let link = link.clone();
    spawn_local(async move { link.answer().await })
}

pub(super) fn post(body: Fed) -> Request<Fed> {
    Request::post("/up?x").header("host", "a").body(body).unwrap()
}

pub(super) fn get() -> Request<Fed> {
    Request::get("/").header("host", "a").body(whole("")).unwrap()
}

/// What a body comes to.
async fn read(answer: Response<Incoming>) -> Result<Bytes, Broken> {
    answer.into_body().collect().await.map(|body| body.to_bytes())
}

#[test]
fn requests_go_out_and_their_answers_come_in() {
    local(async {
        let (wire, link) = open();
        let mut trailers = HeaderMap::new();
        trailers.insert("x", "y".parse().unwrap());
        let (feeder, chunks) = fed(None);
        feeder.data("abc");
        feeder.trailers(trailers.clone());
        for (request, written, said, status, data) in [
            (get(), "GET / HTTP/1.1\r\nhost: a\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", 200, "ok"),
            (
                post(whole("abc")),
                "POST /up?x HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc",
                "HTTP/1.1 404 No\r\ntransfer-encoding: chunked\r\n\r\n2\r\nno\r\n0\r\nx: y\r\n\r\n",
                404,
                "no",
            ),
            (
                post(chunks),
                "POST /up?x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx: y\r\n\r\n",
                "HTTP/1.1 204 \r\n\r\n",
                204,
                "",
            ),
            (
                Request::head("/").body(whole("")).unwrap(),
                "HEAD / HTTP/1.1\r\n\r\n",
                "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
                200,
                "",
            ),
            (
                Request::post("http://a/x").header("content-length", 0).body(whole("")).unwrap(),
                "POST /x HTTP/1.1\r\ncontent-length: 0\r\n\r\n",
                "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
                200,
                "",
            ),
            (
                get(),
                "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
                "HTTP/1.0 200 OK\r\n\r\nall until the end",
                200,
                "all until the end",
            ),
        ] {
            let answer = send(&link, request);
            settle().await;
            assert_eq!(wire.heard(), written);
            assert!(!answer.is_finished());
            for piece in said.as_bytes().chunks(3) {
                wire.says(piece);
                settle().await;
            }
            let answer = answer.await.unwrap().unwrap();
            assert_eq!(answer.status().as_u16(), status);
            if said.starts_with("HTTP/1.0") {
                wire.ends();
            } else {
                let ended = answer.body().is_end_stream();
                assert_eq!(ended, data.is_empty(), "{said:?}");
            }
            let body = answer.into_body().collect().await.unwrap();
            assert_eq!(body.trailers(), said.contains("x: y").then_some(&trailers));
            assert_eq!(body.to_bytes(), data);
        }
    });
}

#[test]
fn interim_answers_are_nobodys() {
    local(async {
        let (wire, link) = open();
        let answer = send(&link, post(whole("x")));
        wire.says("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n");
        settle().await;
        assert!(!answer.is_finished());
        wire.says("HTTP/1.1 199 \r\n\r\nHTTP/1.1 201 Created\r\ncontent-length: 1\r\n\r\nx");
        let answer = answer.await.unwrap().unwrap();
        assert_eq!((answer.status().as_u16(), answer.headers().contains_key("link")), (201, false));
        assert_eq!(read(answer).await.unwrap(), "x");
        assert!(link.is_idle());
    });
}

#[test]
fn a_large_request_passes_a_narrow_stream_whole() {
    let data = "0123456789".repeat(12_345);
    for length in [Some(data.len() as u64), None] {
        for (takes, vectored, holds) in [(777, true, false), (9999, false, false), (usize::MAX, true, true)] {
            let data = data.clone();
            local(async move {
                let (wire, link) = open();
                wire.set(|state| (state.takes, state.vectored, state.holds) = (takes, vectored, holds));
                wire.set(|state| (state.writes_stall, state.room) = (true, 100));
                let (feeder, body) = fed(length);
                for piece in [&data[..10], &data[10..20_000], &data[20_000..]] {
                    feeder.data(piece);
                }
                drop(feeder);
                let answer = send(&link, post(body));
                settle().await;
                let mut written = wire.heard();
                assert_eq!(written.len(), 100);
                wire.set(|state| state.room = usize::MAX);
                for _ in 0..10 {
                    settle().await;
                }
                written += &wire.heard();
                let (_, content) = written.split_once("\r\n\r\n").unwrap();
                let expected = match length {
                    Some(_) => data.clone(),
                    None => [&data[..10], &data[10..20_000], &data[20_000..]]
                        .iter()
                        .map(|piece| format!("{:x}\r\n{piece}\r\n", piece.len()))
                        .chain(["0\r\n\r\n".to_owned()])
                        .collect(),
                };
                assert!(content == expected, "{length:?} {takes} {holds}: {} bytes", content.len());
                wire.says("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
                assert!(answer.await.unwrap().is_ok() && link.is_idle());
            });
        }
    }
}

#[test]
fn the_end_of_a_request_leaves_a_stream_that_holds_it_back() {
    for length in [10, 100_000] {
        local(async move {
            let (wire, link) = open();
            wire.set(|state| (state.holds, state.room) = (true, 50));
            let answer = send(&link, post(whole("z".repeat(length))));
            settle().await;
            assert_eq!(wire.heard().len(), 50);
            for room in [5, usize::MAX] {
                wire.set(|state| state.room = room);
                settle().await;
            }
            let (written, head) = (wire.heard(), "POST /up?x HTTP/1.1\r\nhost: a\r\ncontent-length: \r\n\r\n");
            assert_eq!(written.len() + 50, head.len() + length.to_string().len() + length, "nobody sends the rest");
            wire.says("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
            assert!(answer.await.unwrap().is_ok() && link.is_idle());
        });
    }
}

#[test]
fn an_answer_may_come_while_its_request_goes_out() {
    local(async {
        let (wire, link) = open();
        let (feeder, body) = fed(None);
        let answer = send(&link, post(body));
        feeder.data("one");
        wire.says("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab");
        let mut answer = answer.await.unwrap().unwrap().into_body();
        assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap(), "ab");
        wire.heard();
        feeder.data("two");
        let reading = spawn_local(async move { answer.collect().await.map(|body| body.to_bytes()) });
        settle().await;
        assert_eq!(wire.heard(), "3\r\ntwo\r\n", "the request goes on as its answer is read");
        wire.says("cd");
        assert_eq!(reading.await.unwrap().unwrap(), "cd");
        feeder.data("three");
        let rest = spawn_local({
            let link = link.clone();
            async move { std::future::poll_fn(|cx| link.poll_rest(cx)).await }
        });
        settle().await;
        assert_eq!(wire.heard(), "5\r\nthree\r\n");
        assert!(!rest.is_finished() && !link.is_idle());
        drop(feeder);
        rest.await.unwrap();
        assert_eq!((wire.heard().as_str(), link.is_idle()), ("0\r\n\r\n", true));
    });
}

#[test]
fn an_upstream_that_reads_no_more_is_still_heard() {
    local(async {
        let (wire, link) = open();
        let (feeder, body) = fed(None);
        let answer = send(&link, post(body));
        settle().await;
        wire.set(|state| state.deaf = true);
        feeder.data("lost");
        settle().await;
        wire.says("HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno");
        let answer = answer.await.unwrap().unwrap();
        assert_eq!(answer.status().as_u16(), 413);
        assert_eq!(read(answer).await.unwrap(), "no");
        std::future::poll_fn(|cx| link.poll_rest(cx)).await;
        assert!(!link.is_idle() && !link.is_usable());
    });
}

#[test]
fn a_request_that_fails_has_no_answer() {
    local(async {
        let (wire, link) = open();
        let (feeder, body) = fed(None);
        feeder.data("abc");
        let answer = send(&link, post(body));
        settle().await;
        wire.says("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        feeder.fails();
        assert!(matches!(answer.await.unwrap(), Err(SendError::Body(Failed))));
        assert!(wire.heard().ends_with("3\r\nabc\r\n"), "what was begun is not completed");
        assert!(!link.is_idle());
    });
}

#[test]
fn the_answer_to_a_request_that_fails_later_is_never_whole() {
    for framing in ["content-length: 4", "transfer-encoding: chunked", "x: y"] {
        local(async move {
            let (wire, link) = open();
            let (feeder, body) = fed(Some(10));
            let answer = send(&link, post(body));
            let part = if framing.starts_with('t') { "4\r\nab" } else { "ab" };
            wire.says(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n{part}"));
            let mut answer = answer.await.unwrap().unwrap().into_body();
            assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap(), "ab");
            feeder.data("abc");
            feeder.fails();
            wire.says(if framing.starts_with('t') { "cd\r\n0\r\n\r\n" } else { "cd" });
            wire.ends();
            assert_eq!(answer.frame().await.unwrap().unwrap_err(), Broken, "{framing}");
            assert!(!link.is_idle());
        });
    }
}

#[test]
fn a_body_knows_how_much_of_it_is_left() {
    for (fields, chunked) in [("content-length: 4", false), ("transfer-encoding: chunked", true)] {
        local(async move {
            let (wire, link) = open();
            let answer = send(&link, get());
            wire.says(format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n"));
            let mut body = answer.await.unwrap().unwrap().into_body();
            for left in [4, 2] {
                assert!(!body.is_end_stream());
                assert_eq!(body.size_hint().exact(), (!chunked).then_some(left));
                wire.says(if chunked { "2\r\nab\r\n" } else { "ab" });
                assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "ab");
            }
            if chunked {
                assert!(!body.is_end_stream(), "more may come");
                wire.says("0\r\n\r\n");
                assert!(body.frame().await.is_none());
            }
            assert!(body.is_end_stream() && link.is_idle());
            assert_eq!(body.size_hint().exact(), Some(0));
        });
    }
}

#[test]
fn an_answer_that_breaks_off_is_never_whole() {
    for (said, fault) in [
        ("content-length: 4\r\n\r\nabc", false),
        ("transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n", false),
        ("transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx: y\r\n", false),
        ("\r\nabc", true),
    ] {
        local(async move {
            let (wire, link) = open();
            let answer = send(&link, get());
            wire.says(format!("HTTP/1.1 200 OK\r\n{said}"));
            if fault {
                wire.breaks()
            } else {
                wire.ends()
            }
            assert_eq!(read(answer.await.unwrap().unwrap()).await.unwrap_err(), Broken, "{said:?}");
            assert!(!link.is_idle());
        });
    }
}

#[test]
fn what_is_no_answer_is_an_error() {
    for (said, expected) in [
        ("", "Closed"),
        ("HTTP/1.1 200 OK\r\n", "Closed"),
        ("HTTP/1.1 100 Continue\r\n\r\n", "Closed"),
        ("SSH-2.0-x\r\n\r\n", "Head"),
        ("HTTP/1.1 200 OK\r\nx\r\n\r\n", "Head"),
        ("HTTP/2.0 200 OK\r\n\r\n", "Head"),
    ] {
        for fault in [false, true] {
            local(async move {
                let (wire, link) = open();
                let answer = send(&link, get());
                wire.says(said);
                if fault {
                    wire.breaks()
                } else {
                    wire.ends()
                }
                let error = answer.await.unwrap().map(|answer| answer.status()).unwrap_err();
                assert_eq!(format!("{error:?}"), expected, "{said:?}");
            });
        }
    }
}
