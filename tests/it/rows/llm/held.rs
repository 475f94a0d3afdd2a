//! What is held of answers to be read is bounded, for one and for all of them together.

use ensage_tests::{Raw, until};
use serde_json::Value;

use super::super::lab::reason;
use super::{Desk, post};

const LIMITS: &str = "[limits]\nbody_hold = \"64KiB\"\nheld_total = \"96KiB\"\n";

/// A stream of one event: half of it comes, or all of it.
fn desk() -> Desk {
    Desk::with(LIMITS, |request| {
        let long = |kib: usize| format!("data: {{\"type\":\"glow\",\"x\":\"{}", "y".repeat(kib * 1024));
        let (event, end) = match request.line().split(['?', ' ']).nth(2).unwrap() {
            "half" => (long(50), ""),
            "whole" => (format!("{}\"}}\n\n", long(50)), "0\r\n\r\n"),
            _ => (format!("{}\"}}\n\n", long(65)), "0\r\n\r\n"),
        };
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        format!("{head}{:x}\r\n{event}\r\n{end}", event.len()).into_bytes()
    })
}

fn ask(desk: &Desk, which: &str) -> Raw {
    let body = r#"{"model":"good","messages":[],"stream":true}"#;
    desk.open("claude.test", &post("claude.test", &format!("/v1/messages?{which}"), "", body))
}

fn held(desk: &Desk) -> u64 {
    let status: Value = serde_json::from_str(&desk.rig.good(&["status", "--json"])).unwrap();
    status["held_bytes"].as_u64().unwrap()
}

fn assert_refused(desk: &Desk, raw: &mut Raw) {
    assert_eq!(raw.answer_head().unwrap().unwrap().status, 200);
    let got = String::from_utf8(raw.rest()).unwrap();
    assert!(got.contains("response_refused") && !got.contains("yyy"), "{got}");
    let record = until("its end", || Some(desk.last()).filter(|record| record["outcome"] == "refused"));
    assert_eq!(reason(&record), "response_refused", "{record}");
}

#[test]
fn an_event_longer_than_body_hold_does_not_pass() {
    let desk = desk();
    assert_refused(&desk, &mut ask(&desk, "long"));
    assert!(ask(&desk, "whole").answer().text().ends_with("yyy\"}\n\n"));
}

#[test]
fn all_that_is_held_of_answers_is_bounded() {
    let desk = desk();
    let first = ask(&desk, "half");
    until("half an event is held", || (held(&desk) >= 50 * 1024).then_some(()));
    assert_refused(&desk, &mut ask(&desk, "half"));
    drop(first);
    until("nothing is held", || (held(&desk) == 0).then_some(()));
    assert!(ask(&desk, "whole").answer().text().ends_with("yyy\"}\n\n"));
    until("nothing is held again", || (held(&desk) == 0).then_some(()));
}
