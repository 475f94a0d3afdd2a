//! What is told inside of a CONNECT, since agents wait for ever on one that is refused (contract section 4).

use std::process::Stdio;

use ensage_tests::{Origin, Raw, spawn, until};

use super::lab::{ask, lab, reason, rig};

const OK: &str = "[[enclave.lab.http]]\nhost = \"ok.test\"\n";

#[test]
fn a_tier_that_is_too_low_is_told_inside() {
    let rig = rig();
    let origin = Origin::good(rig.ca.leaf(&["ok.test"]));
    let entries = format!("require = \"contained\"\n{OK}");
    let gateway = rig.start_with(&lab(&entries).resolve("*.test:443", origin.address()));
    let answer = ask(&rig, &gateway, "ok.test:443", b"GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n");
    assert_eq!((answer.status, answer.told()), (403, Some("tier_too_low")));
    let record = rig.refused();
    assert_eq!((reason(&record).as_str(), &record["type"]), ("tier_too_low", &"http".into()));
    // What does not exist is hidden from it all the same.
    let hidden = Raw::open(gateway.address()).connect("no.test:443", "");
    assert_eq!((hidden.status, hidden.told()), (502, Some("name_unknown")));
    assert_eq!(origin.connections(), 0);
}

#[test]
fn that_a_session_is_over_is_told_inside() {
    let rig = rig();
    let origin = Origin::good(rig.ca.leaf(&["ok.test"]));
    let gateway = rig.start_with(&lab(OK).resolve("*.test:443", origin.address()));
    let (here, go, told) = (rig.path("here"), rig.path("go"), rig.path("told"));
    let script = format!(
        "echo $ENSAGE_SESSION > {here}; while [ ! -e {go} ]; do sleep 0.05; done; \
         curl -s -o {body} -w '%{{http_connect}} %{{http_code}}' https://ok.test/ > {told}.part; mv {told}.part {told}; \
         curl -s -o {body}.h1 --http1.1 https://ok.test/; curl -s https://no.test/; :",
        here = here.display(),
        go = go.display(),
        told = told.display(),
        body = rig.path("body").display(),
    );
    let words = ["run", "--advisory", "--enclave", "lab", "--", "sh", "-c", &script];
    let mut run = spawn(rig.ensage(&words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())).unwrap();
    let id = until("the session is open", || std::fs::read_to_string(&here).ok().filter(|id| id.ends_with('\n')));
    let _ = rig.good(&["sessions", "end", id.trim()]);
    std::fs::write(&go, "").unwrap();
    let codes = until("curl is answered", || std::fs::read_to_string(&told).ok());
    assert_eq!(codes, "200 403");
    let _ = run.wait().unwrap();
    for body in ["body", "body.h1"] {
        let body = std::fs::read_to_string(rig.path(body)).unwrap();
        assert!(body.contains("\"reason\":\"session_ended\""), "{body}");
    }
    let refused: Vec<_> = rig.calls().iter().map(|call| (reason(call), call["type"].clone())).collect();
    let expected = [("session_ended", "http"), ("session_ended", "http"), ("host_not_allowed", "connect")];
    assert_eq!(refused, expected.map(|(why, kind)| (why.to_owned(), kind.into())));
    assert_eq!(origin.connections(), 0);
    drop(gateway);
}
