//! Requests whose body waits for the upstream's word.

use std::time::Duration;

use http::Request;
use tokio::time::{Instant, sleep};

use super::link::{open, send};
use super::{Fed, fed, local, settle, whole};
use crate::h1::SendError;

const HEAD: &str = "POST / HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

fn asking(body: Fed) -> Request<Fed> {
    Request::post("/").header("expect", "100-continue").body(body).unwrap()
}

#[test]
fn a_body_waits_for_the_word_that_was_asked_for() {
    local(async {
        let (wire, link) = open();
        let answer = send(&link, asking(whole("abc")));
        sleep(Duration::from_millis(900)).await;
        assert_eq!(wire.heard(), HEAD);
        // Another word is not the one.
        wire.says("HTTP/1.1 103 Early Hints\r\n\r\n");
        settle().await;
        assert_eq!(wire.heard(), "");
        wire.says("HTTP/1.1 100 Continue\r\n\r\n");
        settle().await;
        assert_eq!(wire.heard(), "abc");
        wire.says(OK);
        assert_eq!(answer.await.unwrap().unwrap().status(), 200);
        assert!(link.is_idle());
    });
}

#[test]
fn a_body_waits_no_longer_than_a_second_and_only_where_it_was_asked() {
    local(async {
        for (request, least) in [
            (asking(whole("abc")), Duration::from_secs(1)),
            (Request::post("/").body(whole("abc")).unwrap(), Duration::ZERO),
            (Request::post("/").header("expect", "other").body(whole("abc")).unwrap(), Duration::ZERO),
        ] {
            let (wire, link) = open();
            let (begun, answer) = (Instant::now(), send(&link, request));
            while !wire.heard().ends_with("abc") {
                sleep(Duration::from_millis(1)).await;
                assert!(begun.elapsed() < Duration::from_secs(2), "{}", wire.heard());
            }
            let waited = begun.elapsed();
            assert!(waited >= least && waited < least + Duration::from_millis(20), "{waited:?}");
            wire.says(OK);
            assert_eq!(answer.await.unwrap().unwrap().status(), 200);
        }
        // Nothing is waited for where there is no body.
        let (wire, link) = open();
        let answer = send(&link, Request::get("/").header("expect", "100-continue").body(whole("")).unwrap());
        settle().await;
        wire.says(OK);
        assert_eq!(answer.await.unwrap().unwrap().status(), 200);
        assert!(link.is_idle());
    });
}

#[test]
fn a_body_that_is_answered_before_its_word_is_never_sent() {
    local(async {
        let (wire, link) = open();
        let (feeder, body) = fed(Some(3));
        let answer = send(&link, asking(body));
        settle().await;
        wire.says("HTTP/1.1 417 No\r\ncontent-length: 0\r\n\r\n");
        assert_eq!(answer.await.unwrap().unwrap().status(), 417);
        assert!(feeder.is_dropped(), "nobody reads the body any more");
        sleep(Duration::from_secs(2)).await;
        assert_eq!(wire.heard(), HEAD);
        // Its end is missing, so nothing can follow it.
        assert!(link.is_out() && !link.is_idle());
    });
}

#[test]
fn an_upstream_that_leaves_before_its_word_is_told() {
    local(async {
        let (wire, link) = open();
        let answer = send(&link, asking(whole("abc")));
        settle().await;
        wire.ends();
        assert!(matches!(answer.await.unwrap(), Err(SendError::Closed)));
    });
}
