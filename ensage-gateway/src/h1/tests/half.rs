//! Clients that say no more, and listen or not.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use http::{Response, request::Parts};
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep};

use super::{Failed, Wire, fed, local, settle, whole};
use crate::h1::Incoming;
use crate::h1::Presence;
use crate::h1::serve::serve;

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

#[test]
fn a_client_that_says_no_more_and_listens_gets_its_answer() {
    local(async {
        let wire = Wire::new();
        let service = async |_: &mut Parts, _: Incoming| {
            sleep(Duration::from_secs(30)).await;
            Ok::<_, Failed>(Response::new(whole("ok")))
        };
        let task = spawn_local(serve(wire.clone(), || Presence::Here, service));
        wire.says(GET);
        wire.ends();
        sleep(Duration::from_secs(31)).await;
        assert_eq!(wire.heard(), "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        // It will ask nothing more.
        assert!(task.await.unwrap().is_some());
    });
}

#[test]
fn a_client_that_leaves_later_is_missed_soon() {
    local(async {
        for streams in [false, true] {
            let (wire, left) = (Wire::new(), Rc::new(Cell::new(Presence::Here)));
            let (feeder, body) = fed(None);
            let body = Cell::new(Some(body));
            let service = async move |_: &mut Parts, _: Incoming| {
                if !streams {
                    std::future::pending::<()>().await;
                }
                Ok::<_, Failed>(Response::new(body.take().unwrap()))
            };
            let seen = left.clone();
            let task = spawn_local(serve(wire.clone(), move || seen.get(), service));
            wire.says(GET);
            wire.ends();
            sleep(Duration::from_secs(20)).await;
            assert!(!task.is_finished(), "{streams}");
            feeder.data("x");
            settle().await;
            assert_eq!(wire.heard().ends_with("\r\n\r\n1\r\nx\r\n"), streams);
            left.set(Presence::Gone);
            let begun = Instant::now();
            task.await.unwrap();
            assert!(begun.elapsed() <= Duration::from_secs(1), "{streams}: {:?}", begun.elapsed());
        }
    });
}

#[test]
fn a_client_that_is_just_leaving_is_missed_at_once() {
    local(async {
        let (wire, looks) = (Wire::new(), Rc::new(Cell::new(0)));
        let service = async |_: &mut Parts, _: Incoming| {
            std::future::pending::<()>().await;
            Ok::<_, Failed>(Response::new(whole("")))
        };
        let seen = looks.clone();
        let presence = move || if seen.replace(seen.get() + 1) > 0 { Presence::Gone } else { Presence::Here };
        let task = spawn_local(serve(wire.clone(), presence, service));
        wire.says(GET);
        settle().await;
        assert_eq!(looks.get(), 0, "nobody is looked for who has not ended");
        wire.ends();
        let begun = Instant::now();
        task.await.unwrap();
        assert!(begun.elapsed() < Duration::from_millis(20), "{:?}", begun.elapsed());
    });
}

#[test]
fn a_client_whose_body_nobody_reads_is_missed_too() {
    local(async {
        for answers in [false, true] {
            let (wire, left) = (Wire::new(), Rc::new(Cell::new(Presence::Here)));
            let (feeder, body) = fed(None);
            let (body, kept) = (Cell::new(Some(body)), Rc::new(Cell::new(None)));
            let keep = kept.clone();
            let service = async move |_: &mut Parts, unread: Incoming| {
                keep.set(Some(unread));
                if !answers {
                    std::future::pending::<()>().await;
                }
                Ok::<_, Failed>(Response::new(body.take().unwrap()))
            };
            let seen = left.clone();
            let task = spawn_local(serve(wire.clone(), move || seen.get(), service));
            wire.says("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc");
            feeder.data("x");
            sleep(Duration::from_secs(20)).await;
            assert!(!task.is_finished(), "{answers}");
            assert_eq!(wire.heard().ends_with("1\r\nx\r\n"), answers);
            // It may be anywhere, and goes on.
            left.set(Presence::Unknown);
            sleep(Duration::from_secs(20)).await;
            assert!(!task.is_finished(), "{answers}");
            left.set(Presence::Gone);
            let begun = Instant::now();
            let done = async {
                while !task.is_finished() {
                    sleep(Duration::from_millis(1)).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(5), done).await.unwrap();
            assert!(begun.elapsed() <= Duration::from_secs(2), "{answers}: {:?}", begun.elapsed());
            kept.take();
        }
    });
}
