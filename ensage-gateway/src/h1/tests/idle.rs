//! When a connection to an upstream may be used again, and one of a client is watched again.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use http::Response;
use http::request::Parts;
use http_body_util::BodyExt;
use tokio::task::{JoinHandle, spawn_local};

use super::link::{get, open, post, send};
use super::{Failed, Fed, Wire, fed, local, settle, whole};
use crate::h1::{Incoming, Link, Presence, serve};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[test]
fn a_connection_is_used_again_where_its_answer_was_whole_and_nobody_closes() {
    for (said, again) in [
        (OK, true),
        ("HTTP/1.1 204 No Content\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx: y\r\n\r\n", true),
        ("HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok", true),
        ("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", false),
        ("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok", false),
        ("HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n", false),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n", false),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok\r\n", false),
    ] {
        local(async move {
            let (wire, link) = open();
            assert!(link.is_idle() && link.is_usable(), "a new one is");
            let answer = send(&link, get());
            settle().await;
            wire.says(said);
            answer.await.unwrap().unwrap().into_body().collect().await.unwrap();
            assert_eq!((link.is_idle(), link.is_usable()), (again, again), "{said:?}");
        });
    }
}

#[test]
fn an_answer_until_the_end_leaves_nothing() {
    local(async {
        let (wire, link) = open();
        let answer = send(&link, get());
        wire.says("HTTP/1.1 200 OK\r\n\r\nall");
        wire.ends();
        assert_eq!(answer.await.unwrap().unwrap().into_body().collect().await.unwrap().to_bytes(), "all");
        assert!(!link.is_idle() && !link.is_usable());
    });
}

#[test]
fn a_request_under_way_keeps_its_connection() {
    local(async {
        let (wire, link) = open();
        link.ask(get());
        assert!(!link.is_idle(), "asked, not sent");
        {
            let link = link.clone();
            let waits = async { tokio::time::timeout(std::time::Duration::from_secs(1), link.answer()).await.is_err() };
            assert!(waits.await);
        }
        assert!(!link.is_idle() && !link.is_usable(), "given up: its answer may still come");
        wire.says("HTTP/1.1 100 Continue\r\n\r\n");
        let answer = tokio::task::spawn_local({
            let link = link.clone();
            async move { link.answer().await }
        });
        settle().await;
        assert!(!link.is_idle(), "an interim answer ends nothing");
        wire.says("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n");
        let mut body = answer.await.unwrap().unwrap().into_body();
        assert!(!link.is_idle() && !link.is_usable(), "nothing of the body is read");
        wire.says("ab");
        body.frame().await.unwrap().unwrap();
        assert!(!link.is_idle() && !link.is_usable(), "half of it is");
        drop(body);
        wire.says("cd");
        assert!(!link.is_idle() && !link.is_usable(), "nobody reads the rest");
    });
}

#[test]
fn a_request_that_is_not_out_keeps_its_connection() {
    for holds in [false, true] {
        local(async move {
            let (wire, link) = open();
            wire.set(|state| (state.room, state.holds) = (60, holds));
            let (feeder, body) = fed(Some(100));
            feeder.data("z".repeat(100));
            drop(feeder);
            let answer = send(&link, post(body));
            settle().await;
            wire.says(OK);
            answer.await.unwrap().unwrap().into_body().collect().await.unwrap();
            assert_eq!(wire.heard().len(), 60);
            assert!(!link.is_idle() && !link.is_usable(), "its end was not sent");
            let rest = tokio::task::spawn_local({
                let link = link.clone();
                async move { std::future::poll_fn(|cx| link.poll_rest(cx)).await }
            });
            settle().await;
            assert!(!rest.is_finished());
            wire.set(|state| state.room = usize::MAX);
            rest.await.unwrap();
            assert!(wire.heard().ends_with("zzz") && link.is_idle() && link.is_usable());
        });
    }
}

#[test]
fn a_request_that_fails_behind_its_answer_ends_its_connection() {
    local(async {
        let (wire, link) = open();
        let (feeder, body) = fed(None);
        let answer = send(&link, post(body));
        feeder.data("abc");
        wire.says(OK);
        answer.await.unwrap().unwrap().into_body().collect().await.unwrap();
        assert!(!link.is_idle());
        feeder.fails();
        std::future::poll_fn(|cx| link.poll_rest(cx)).await;
        assert!(wire.heard().ends_with("3\r\nabc\r\n"), "it is not completed");
        assert!(!link.is_idle() && !link.is_usable(), "the upstream waits for the rest of it");
    });
}

#[test]
fn an_upstream_that_leaves_or_speaks_unasked_is_seen_when_it_is_looked_for() {
    for what in ["ends", "breaks", "says", "nothing"] {
        local(async move {
            let (wire, link) = open();
            let answer = send(&link, get());
            wire.says(OK);
            answer.await.unwrap().unwrap().into_body().collect().await.unwrap();
            match what {
                "ends" => wire.ends(),
                "breaks" => wire.breaks(),
                "says" => wire.says("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nbad"),
                _ => {}
            }
            let quiet = what == "nothing";
            assert!(link.is_idle(), "{what}: it was not looked at");
            assert_eq!((link.is_usable(), link.is_usable(), link.is_idle()), (quiet, quiet, quiet), "{what}");
            if quiet {
                let answer = send(&link, get());
                settle().await;
                wire.says("HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n");
                assert_eq!(answer.await.unwrap().unwrap().status(), 201, "a look takes no wake from the next answer");
            }
        });
    }
}

#[test]
fn an_answer_outlives_its_link() {
    local(async {
        let (wire, link) = open();
        let answer = send(&link, get());
        wire.says("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no");
        let body = answer.await.unwrap().unwrap().into_body();
        drop(link);
        wire.says("k");
        assert_eq!(body.collect().await.unwrap().to_bytes(), "ok");
    });
}

#[test]
fn a_client_that_leaves_during_its_second_request_is_seen_too() {
    local(async {
        let wire = Wire::new();
        let (feeder, held) = fed(None);
        let held = RefCell::new(Some(held));
        // It waits for something in the first one too, so that the client was watched before.
        let service = async move |head: &mut Parts, _: Incoming| {
            if head.uri.path() == "/second" {
                let _held = held.take();
                std::future::pending::<()>().await;
            }
            tokio::task::yield_now().await;
            Ok::<_, Failed>(Response::new(whole("one")))
        };
        let task = spawn_local(serve(wire.clone(), || Presence::Unknown, service));
        wire.says("GET /first HTTP/1.1\r\n\r\n");
        settle().await;
        assert!(wire.heard().ends_with("one"));
        wire.says("GET /second HTTP/1.1\r\n\r\n");
        settle().await;
        assert!(!feeder.is_dropped());
        wire.ends();
        settle().await;
        assert!(feeder.is_dropped() && task.is_finished());
    });
}

/// Arms a connection and asks over it, in one task; between the two something happens.
fn armed(link: &Rc<Link<Wire, Fed>>, between: impl FnOnce() + 'static) -> JoinHandle<bool> {
    let link = link.clone();
    spawn_local(async move {
        assert!(poll_fn(|cx| Poll::Ready(link.arm(cx))).await);
        between();
        link.ask(get());
        link.answer().await.is_ok()
    })
}

#[test]
fn an_armed_connection_hears_what_comes() {
    local(async {
        let (wire, link) = open();
        let asked = armed(&link, || {});
        settle().await;
        assert!(!asked.is_finished() && wire.heard().starts_with("GET / "));
        wire.says(OK);
        settle().await;
        assert!(asked.await.unwrap());

        // Also what came before it was asked.
        let (wire, link) = open();
        let ends = wire.clone();
        let asked = armed(&link, move || ends.ends());
        settle().await;
        assert!(!asked.await.unwrap());
        drop(wire);
    });
}

#[test]
fn a_task_that_another_has_armed_a_connection_for_looks_itself() {
    local(async {
        let (wire, link) = open();
        assert!(poll_fn(|cx| Poll::Ready(link.arm(cx))).await);
        wire.says(OK);
        let answer = send(&link, get());
        settle().await;
        assert!(answer.is_finished());
    });
}
