//! `-v`, `-q`, `ENSAGE_LOG` and `ENSAGE_LOG_FORMAT`, and what stderr then has.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use super::home::{Daemon, Done, Home, Site, done, until};

/// What the daemon says on stderr while one call is let through and one refused.
fn said(words: &[&str], variables: &[(&str, &str)]) -> (Home, String) {
    let site = Site::new();
    let home = Home::with(&site.policy());
    let daemon = home.gateway_in(words, variables);
    let script = format!("curl -s http://{0}/a; curl -s -X POST http://{0}/b", site.at);
    assert_eq!(done(&mut home.run(&[], &script)).code, Some(0));
    daemon.signal(Signal::TERM);
    let end: Done = daemon.end();
    assert_eq!(end.code, Some(0), "{end:?}");
    (home, end.err)
}

/// Strictly: one object, exactly the members of interface section 6, each of its type.
fn strict(line: &str) -> Value {
    let event: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    let members: Vec<&str> = event.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["fields", "level", "message", "spans", "target", "time"], "{line}");
    let time = event["time"].as_str().unwrap();
    assert!(time.len() == 27 && time.ends_with('Z') && time.as_bytes()[19] == b'.', "{line}");
    assert!(["TRACE", "DEBUG", "INFO", "WARN", "ERROR"].contains(&event["level"].as_str().unwrap()), "{line}");
    let flat = |fields: &Value| {
        for (name, value) in fields.as_object().unwrap() {
            assert!(!(value.is_null() || value.is_object() || value.is_array() || value == ""), "{name} in {line}");
        }
    };
    flat(&event["fields"]);
    for span in event["spans"].as_array().unwrap() {
        assert!(span["name"].is_string() && span.as_object().unwrap().len() == 2, "{line}");
        flat(&span["fields"]);
    }
    event
}

#[test]
fn by_default_nothing_is_said() {
    for words in [&[][..], &["-q"]] {
        let (_home, said) = said(words, &[]);
        assert_eq!(said, "", "{words:?}");
    }
}

#[test]
fn json_has_an_event_for_each_call_session_and_start() {
    let (home, said) = said(&["-v"], &[("ENSAGE_LOG_FORMAT", "json")]);
    let events: Vec<Value> = said.lines().map(strict).collect();
    let of = |target: &str| events.iter().filter(|e| e["target"] == target).collect::<Vec<_>>();
    let calls = of("ensage::call");
    assert_eq!(calls.len(), 2, "{said}");
    for (event, call) in calls.iter().zip(home.calls()) {
        for (field, at) in [
            ("decision.id", "/id"),
            ("decision", "/decision"),
            ("reason", "/reason"),
            ("rule", "/rule"),
            ("server.address", "/server/address"),
            ("server.port", "/server/port"),
            ("url.path", "/url/path"),
        ] {
            assert_eq!(event["fields"].get(field), call.pointer(at), "{field} of {event}");
        }
        let [connection, exchange] = event["spans"].as_array().unwrap().as_slice() else { panic!("{event}") };
        assert_eq!((&connection["name"], &exchange["name"]), (&"connection".into(), &"exchange".into()));
        for (span, field, at) in [
            (connection, "id", "/connection"),
            (connection, "session", "/session/id"),
            (connection, "enclave", "/session/enclave"),
            (connection, "agent", "/session/agent"),
            (exchange, "id", "/exchange"),
            (exchange, "method", "/http/request/method"),
            (exchange, "host", "/server/address"),
        ] {
            assert_eq!(span["fields"].get(field), call.pointer(at), "{field} of {event}");
        }
    }
    let became: Vec<&str> = of("ensage::session").iter().map(|e| e["fields"]["event"].as_str().unwrap()).collect();
    assert_eq!(became, ["opened", "ended"], "{said}");
    let gateway: Vec<&str> = of("ensage::gateway").iter().map(|e| e["message"].as_str().unwrap()).collect();
    let all = ["the gateway listens", "the gateway has started", "the gateway drains", "the gateway has stopped"];
    assert_eq!(gateway, all, "{said}");
}

/// Asks so often for what is refused, on one connection, and waits for every answer; each costs the log 3 KB.
fn refused(daemon: &Daemon, times: usize) {
    let mut stream = TcpStream::connect(daemon.at).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut answers = BufReader::new(stream.try_clone().unwrap());
    let ask = format!("GET http://no.test/{} HTTP/1.1\r\nHost: no.test\r\n\r\n", "p".repeat(1000));
    for _ in 0..times {
        stream.write_all(ask.as_bytes()).unwrap();
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(answers.read_line(&mut head).unwrap() > 0, "{head:?}");
        }
        assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
        let length = head.split("content-length: ").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
        answers.read_exact(&mut vec![0; length]).unwrap();
    }
}

/// A pipe that is full and that nobody reads: no call waits for it, and what is lost is told when it is read again.
#[test]
fn h11_a_log_that_nobody_reads_holds_nothing_up() {
    let home = Home::with(&Site::new().policy());
    let mut daemon = home.gateway_in(&["-vv"], &[("ENSAGE_LOG_FORMAT", "json")]);
    // Twice what the pipe and the queue can hold.
    refused(&daemon, 2000);
    let said = BufReader::new(daemon.child.stderr.take().unwrap());
    let (mut decided, mut lost) = (0, 0);
    for line in said.lines() {
        let event = strict(&line.unwrap());
        decided += u64::from(event["message"] == "a call was decided");
        if event["message"] == "lines of this log were lost, since nobody read it" {
            assert_eq!((&event["level"], &event["target"]), (&"WARN".into(), &"ensage::gateway".into()));
            lost += event["fields"]["lines"].as_u64().unwrap();
            break;
        }
    }
    assert!(decided < 2000 && decided + lost >= 2000, "{decided} and {lost}");
    assert_eq!(home.calls().len(), 2000, "the audit log has all of them");
}

/// What is in the queue at the end comes out, as long as somebody reads it.
#[test]
fn nothing_of_the_log_is_lost_at_the_end() {
    let home = Home::with(&Site::new().policy());
    let mut daemon = home.gateway_in(&["-vv"], &[("ENSAGE_LOG_FORMAT", "json")]);
    refused(&daemon, 200);
    daemon.signal(Signal::TERM);
    // All that is left of it is who ends it and who writes the log.
    let tasks = format!("/proc/{}/task", daemon.child.id());
    until("it has stopped", || (std::fs::read_dir(&tasks).unwrap().count() <= 2).then_some(()));
    let said = BufReader::new(daemon.child.stderr.take().unwrap());
    let told: Vec<String> = said.lines().map(|l| strict(&l.unwrap())["message"].as_str().unwrap().to_owned()).collect();
    assert_eq!(told.iter().filter(|told| *told == "a call was decided").count(), 200);
    assert_eq!(told.last().unwrap(), "the gateway has stopped");
    assert_eq!(daemon.child.wait().unwrap().code(), Some(0));
}

/// The gateway that `run` starts says as much as `run` was told to, and into its own file.
#[test]
fn run_hands_its_verbosity_to_the_gateway_that_it_starts() {
    for (words, level) in [(&[][..], None), (&["-v"], Some(" INFO ")), (&["-vv"], Some("DEBUG "))] {
        let site = Site::new();
        let home = Home::with(&site.policy());
        let run = done(&mut home.run(words, &format!("curl -s http://{}/a", site.at)));
        assert_eq!(run.code, Some(0), "{run:?}");
        let said = std::fs::read_to_string(home.path("state/gateway.log")).unwrap();
        match level {
            None => assert_eq!(said, ""),
            Some(level) => assert!(said.lines().any(|l| l.contains(level) && l.contains("ensage::call")), "{said}"),
        }
        assert!(!run.err.contains("ensage::"), "{run:?}");
    }
}

#[test]
fn text_is_one_line_for_each_event_and_has_no_colour_in_a_pipe() {
    let (_home, said) = said(&[], &[("ENSAGE_LOG", "ensage::call=info")]);
    let lines: Vec<&str> = said.lines().collect();
    let [allowed, refused] = lines.as_slice() else { panic!("{said}") };
    assert!(allowed.contains(" INFO connection{") && allowed.contains("decision=allow"), "{allowed}");
    assert!(refused.contains("reason=method_not_allowed") && refused.contains("url.path=/b"), "{refused}");
    assert!(!said.contains('\x1b'), "{said}");
}

#[test]
fn a_refused_reload_is_an_error_of_the_log() {
    let home = Home::with(&Site::new().policy());
    let daemon = home.gateway_in(&[], &[("ENSAGE_LOG_FORMAT", "json")]);
    std::fs::write(home.config(), "nonsense = 1\n").unwrap();
    assert_eq!(done(home.bare(&["reload", "--state"]).arg(home.state())).code, Some(1));
    daemon.signal(Signal::TERM);
    let end = daemon.end();
    let events: Vec<Value> = end.err.lines().map(strict).collect();
    let [event] = events.as_slice() else { panic!("{}", end.err) };
    assert_eq!((&event["level"], &event["target"]), (&"ERROR".into(), &"ensage::gateway".into()));
    assert!(event["fields"]["error"].as_str().unwrap().contains(":1:1: error: "), "{event}");
}

#[test]
fn a_variable_that_means_nothing_is_usage_everywhere() {
    let home = Home::with(&Site::new().policy());
    for (name, value, help) in [
        ("ENSAGE_LOG", "wran", "TARGET=LEVEL"),
        ("ENSAGE_LOG", "ensage=loud", "TARGET=LEVEL"),
        ("ENSAGE_LOG_FORMAT", "yaml", "`text` or `json`"),
    ] {
        for (words, code) in [(&["version"][..], 2), (&["gateway"], 2), (&["run", "--advisory", "--", "true"], 125)] {
            let text = done(home.ensage(words).env(name, value));
            assert_eq!((text.code, text.out.as_str()), (Some(code), ""), "{words:?}: {text:?}");
            assert!(text.err.starts_with(&format!("ensage: error: {name}: ")), "{text:?}");
            assert!(text.err.contains(help), "{text:?}");
            let json = done(home.ensage(&["--json"]).args(words).env(name, value)).json();
            assert_eq!(json["error"], "usage", "{json}");
        }
        assert!(!home.state().join("admin.sock").exists());
    }
    for (name, value) in [("ENSAGE_LOG", ""), ("ENSAGE_LOG", "off"), ("ENSAGE_LOG_FORMAT", "text")] {
        assert_eq!(done(home.ensage(&["version"]).env(name, value)).code, Some(0), "{name}={value}");
    }
}
