//! Streams that end before their time, by whoever's hand.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::{Arc, mpsc};

use ::h2::Reason;
use ensage_tests::h2::{self, H2Origin, good, send, whole};
use ensage_tests::{DEADLINE, until};
use http::{Request, Response};

use super::super::lab::{KEYED, Keyed, lab, rig};
use super::post;

/// RFC 9113 section 8.7: what was not looked at is sent once more, its body with it.
#[test]
fn a_request_that_upstream_has_not_looked_at_is_sent_again() {
    let rig = rig();
    let (seen, sees) = mpsc::channel();
    let origin = H2Origin::start(rig.ca.leaf(&["api.test"]), move |request, mut respond, number| {
        let seen = seen.clone();
        async move {
            let first = seen.send(number).is_ok() && request.uri().path() == "/again" && refuse_once();
            if first {
                respond.send_reset(Reason::REFUSED_STREAM);
                return;
            }
            let asked = whole(request).await.unwrap();
            send(respond, good(format!("{} {}", asked.line, asked.text()))).await;
        }
    });
    let lab = Keyed::start(rig, &lab(KEYED).resolve("*.test:443", origin.address()));
    let client = lab.rig.h2(&lab.gateway, "api.test:443");
    let answer = client.get("https://api.test/again").unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "GET https://api.test/again "));
    assert_eq!(sees.try_iter().count(), 2);
    let calls = lab.rig.calls();
    assert_eq!(calls.len(), 1, "{calls:#?}");
    assert_eq!((&calls[0]["decision"], &calls[0]["outcome"]), (&"allow".into(), &"complete".into()));
}

/// True the first time on this thread.
pub(super) fn refuse_once() -> bool {
    thread_local!(static REFUSED: Cell<bool> = const { Cell::new(false) });
    REFUSED.with(|refused| !refused.replace(true))
}

/// A client that takes its request back takes it back upstream, and its other streams live on.
#[test]
fn a_request_that_is_taken_back_is_taken_back_upstream() {
    let rig = rig();
    let (begun, begins) = mpsc::channel();
    let (reset, resets) = mpsc::channel();
    let origin = H2Origin::start(rig.ca.leaf(&["other.test"]), move |request, mut respond, _| {
        let (begun, reset) = (begun.clone(), reset.clone());
        async move {
            if request.uri().path() == "/slow" {
                begun.send(()).unwrap();
                let why = poll_fn(|cx| respond.poll_reset(cx)).await;
                reset.send(why.unwrap()).unwrap();
            } else {
                send(respond, good("good")).await;
            }
        }
    });
    let lab = Keyed::start(rig, &lab(KEYED).resolve("*.test:443", origin.address()));
    let client = lab.rig.h2(&lab.gateway, "other.test:443");
    client.run(async {
        let mut sender = client.sender().ready().await.unwrap();
        let slow = Request::get("https://other.test/slow").body(()).unwrap();
        let (answer, mut stream) = sender.send_request(slow, true).unwrap();
        // The connection goes on in between.
        h2::ask(client.sender(), Request::get("https://other.test/a").body(Vec::new()).unwrap()).await.unwrap();
        begins.recv_timeout(DEADLINE).unwrap();
        stream.send_reset(Reason::CANCEL);
        drop(answer);
        let after = h2::ask(client.sender(), Request::get("https://other.test/b").body(Vec::new()).unwrap());
        assert_eq!(after.await.unwrap().text(), "good");
    });
    assert_eq!(resets.recv_timeout(DEADLINE).unwrap(), Reason::CANCEL);
    let gone = until("the record", || lab.rig.calls().into_iter().find(|c| c["outcome"] == "client_gone"));
    assert_eq!(gone["url"]["path"], "/slow");
    assert_eq!(lab.rig.calls().len(), 3);
}

#[test]
fn an_answer_that_breaks_off_is_reset_and_no_other() {
    let rig = rig();
    let breaks = Arc::new(tokio::sync::Notify::new());
    let told = breaks.clone();
    let origin = H2Origin::start(rig.ca.leaf(&["other.test"]), move |request, mut respond, _| {
        let told = told.clone();
        async move {
            if request.uri().path() == "/broken" {
                let mut stream = respond.send_response(Response::new(()), false).unwrap();
                h2::send_all(&mut stream, b"begun", false).await;
                told.notified().await;
                stream.send_reset(Reason::INTERNAL_ERROR);
            } else {
                send(respond, good("good")).await;
            }
        }
    });
    let lab = Keyed::start(rig, &lab(KEYED).resolve("*.test:443", origin.address()));
    let client = lab.rig.h2(&lab.gateway, "other.test:443");
    let broken = client.run(async {
        let mut sender = client.sender().ready().await.unwrap();
        let request = Request::get("https://other.test/broken").body(()).unwrap();
        let mut answer = sender.send_request(request, true).unwrap().0.await.unwrap();
        assert_eq!(poll_fn(|cx| answer.body_mut().poll_data(cx)).await.unwrap().unwrap(), "begun");
        breaks.notify_one();
        poll_fn(|cx| answer.body_mut().poll_data(cx)).await.unwrap().expect_err("an end")
    });
    assert!(broken.is_reset() && broken.is_remote(), "{broken:?}");
    assert_eq!(client.get("https://other.test/a").unwrap().text(), "good");
    let calls = lab.rig.calls();
    assert_eq!(calls.iter().map(|c| &c["outcome"]).collect::<Vec<_>>(), ["upstream_failed", "complete"]);
}

/// The answer is read although the upstream reads no more, and the client gets it in mid-upload.
#[test]
fn an_early_answer_reaches_its_client() {
    let rig = rig();
    let origin = H2Origin::start(rig.ca.leaf(&["other.test"]), |_request, respond, _| async move {
        send(respond, ensage_tests::h2::Message { status: 413, ..good("too much") }).await;
    });
    let lab = Keyed::start(rig, &lab(KEYED).resolve("*.test:443", origin.address()));
    let client = lab.rig.h2(&lab.gateway, "other.test:443");
    let answer = client.run(async {
        let mut sender = client.sender().ready().await.unwrap();
        let request = Request::post("https://other.test/up").body(()).unwrap();
        let (answer, mut stream) = sender.send_request(request, false).unwrap();
        stream.send_data(bytes::Bytes::from_static(b"the beginning"), false).unwrap();
        h2::answer(answer.await.unwrap()).await.unwrap()
    });
    assert_eq!((answer.status, answer.text().as_str()), (413, "too much"));
    assert_eq!(client.get("https://other.test/b").unwrap().status, 413);
}

/// A reload cuts the streams that it forbids, and lets the others of their connection live.
#[test]
fn a_reload_cuts_the_streams_that_it_forbids_and_no_other() {
    let rig = rig();
    let origin = H2Origin::start(rig.ca.leaf(&["other.test"]), |_request, mut respond, _| async move {
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        h2::send_all(&mut stream, b"begun", false).await;
        let _ = poll_fn(|cx| stream.poll_reset(cx)).await;
    });
    let entries = |paths: &str| {
        lab(&format!("[[enclave.lab.http]]\nhost = \"other.test\"\npaths = [{paths}]\n"))
            .resolve("*.test:443", origin.address())
    };
    rig.configure(&entries("\"/a\", \"/b\""));
    let gateway = rig.start();
    let client = rig.h2(&gateway, "other.test:443");
    client.run(async {
        let open = async |path: &str| {
            let mut sender = client.sender().ready().await.unwrap();
            let request = Request::get(format!("https://other.test{path}")).body(()).unwrap();
            let mut answer = sender.send_request(request, true).unwrap().0.await.unwrap();
            let data = poll_fn(|cx| answer.body_mut().poll_data(cx)).await.unwrap().unwrap();
            assert_eq!(data, "begun");
            answer
        };
        let (mut a, mut b) = (open("/a").await, open("/b").await);
        rig.configure(&entries("\"/b\""));
        gateway.hang_up();
        let cut = poll_fn(|cx| a.body_mut().poll_data(cx)).await.unwrap().expect_err("an end");
        assert!(cut.is_reset(), "{cut:?}");
        let request = Request::get("https://other.test/a").body(Vec::new()).unwrap();
        let refused = h2::ask(client.sender(), request).await.unwrap();
        assert_eq!((refused.status, &refused.json()["reason"]), (403, &"path_not_allowed".into()));
        let waits = poll_fn(|cx| std::task::Poll::Ready(b.body_mut().poll_data(cx).is_pending())).await;
        assert!(waits, "the stream that is still allowed was cut");
    });
    let calls = rig.calls();
    let revoked: Vec<_> = calls.iter().filter(|c| c["outcome"] == "revoked").collect();
    assert_eq!(revoked.len(), 1, "{calls:#?}");
    assert_eq!(revoked[0]["url"]["path"], "/a");
}

/// A placeholder in a passing body or behind it resets upstream before its end (row F2).
#[test]
fn f2_a_placeholder_in_a_body_or_its_trailers_goes_nowhere() {
    let rig = rig();
    let (broke, breaks) = mpsc::channel();
    let origin = H2Origin::start(rig.ca.leaf(&["api.test", "other.test"]), move |request, respond, _| {
        let broke = broke.clone();
        async move {
            match whole(request).await {
                Ok(_) => send(respond, good("whole")).await,
                Err(error) => broke.send(error.to_string()).unwrap(),
            }
        }
    });
    let lab = Keyed::start(rig, &lab(KEYED).resolve("*.test:443", origin.address()));
    let client = lab.rig.h2(&lab.gateway, "other.test:443");
    let answer = client.ask(post("https://other.test/body", format!("a {} b", lab.placeholder).as_bytes())).unwrap();
    assert_eq!((answer.status, &answer.json()["reason"]), (403, &"placeholder_wrong_host".into()));
    breaks.recv_timeout(DEADLINE).unwrap();
    let answer = client.run(async {
        let mut sender = client.sender().ready().await.unwrap();
        let (answer, mut stream) =
            sender.send_request(Request::post("https://other.test/t").body(()).unwrap(), false).unwrap();
        h2::send_all(&mut stream, b"innocent", false).await;
        let mut trailers = http::HeaderMap::new();
        trailers.insert("x-note", lab.placeholder.parse().unwrap());
        stream.send_trailers(trailers).unwrap();
        h2::answer(answer.await.unwrap()).await.unwrap()
    });
    assert_eq!(answer.status, 403);
    breaks.recv_timeout(DEADLINE).unwrap();
    assert_eq!(client.ask(post("https://other.test/twin", b"innocent")).unwrap().text(), "whole");
    let denied: Vec<_> = lab.rig.calls().into_iter().filter(|c| c["decision"] == "deny").collect();
    assert!(denied.iter().all(|c| c["reason"] == "placeholder_wrong_host"), "{denied:#?}");
    assert_eq!(denied.len(), 2);
}

/// Nothing of a stream outlives its client.
#[test]
fn a_client_that_leaves_takes_all_its_streams_along() {
    let rig = rig();
    let (reset, resets) = mpsc::channel();
    let origin = H2Origin::start(rig.ca.leaf(&["other.test"]), move |_request, mut respond, _| {
        let reset = reset.clone();
        async move {
            let why = poll_fn(|cx| respond.poll_reset(cx)).await;
            reset.send(why.is_ok()).unwrap();
        }
    });
    let lab = Keyed::start(rig, &lab(KEYED).resolve("*.test:443", origin.address()));
    let client = lab.rig.h2(&lab.gateway, "other.test:443");
    let asked = Rc::new(Cell::new(0));
    client.run(async {
        let mut answers = Vec::new();
        for n in 0..5 {
            let mut sender = client.sender().ready().await.unwrap();
            let request = Request::get(format!("https://other.test/{n}")).body(()).unwrap();
            answers.push(sender.send_request(request, true).unwrap().0);
            asked.set(asked.get() + 1);
        }
        // Until the gateway has them all upstream.
        while origin.connections() == 0 {
            tokio::task::yield_now().await;
        }
        std::mem::forget(answers);
    });
    drop(client);
    let _ = origin.connections();
    until("the records", || {
        let calls = lab.rig.calls();
        let gone = calls.iter().filter(|c| c["outcome"] == "client_gone").count();
        (gone > 0 && gone == calls.len()).then_some(())
    });
    resets.recv_timeout(DEADLINE).unwrap();
}
