//! What may become a WebSocket, and what answer makes one.

use ensage_tests::ok;

use super::super::lab::{KEYED, has, reason, reasons};
use super::*;

#[test]
fn a_websocket_passes_where_its_entry_says_so() {
    for (host, lines) in [("other.test", String::new()), ("api.test", "x-api-key: PH\r\n".to_owned())] {
        let sea = Sea::new(echo);
        let lines = lines.replace("PH", &sea.lab.placeholder);
        let mut raw = sea.open(host, &lines);
        raw.send(&masked(TEXT, "hello"));
        assert_eq!(text(&mut raw), "hello");
        let running = ensage_tests::until("the call", || sea.lab.rig.calls().pop());
        assert_eq!((&running["type"], &running["open"]), (&"websocket".into(), &true.into()), "{running}");
        raw.send(&masked(PING, "p"));
        let pong = raw.frame().unwrap().unwrap();
        assert_eq!((pong.first, pong.text()), (PONG, "p".to_owned()));
        close(&mut raw);
        let got = sea.origin.text();
        assert!(got.starts_with("GET /ws?x=1 HTTP/1.1\r\n"), "{got}");
        assert_eq!(got.contains(&sea.lab.secret), host == "api.test", "{got}");
        assert!(!got.contains(&sea.lab.placeholder), "{got}");
        assert!(got.contains("connection: Upgrade\r\n") && !got.contains("keep-alive"), "{got}");
        let record = sea.record();
        assert_eq!(
            (&record["type"], &record["decision"], &record["outcome"]),
            (&"websocket".into(), &"allow".into(), &"complete".into()),
            "{record}"
        );
        assert_eq!(record["http"]["response"]["status_code"], 101);
        let (up, down) = (6 + 5 + 6 + 1 + 6 + 5, 2 + 5 + 2 + 1 + 2 + 5);
        assert_eq!((&record["bytes"]["up"], &record["bytes"]["down"]), (&up.into(), &down.into()), "{record}");
        sea.lab.assert_sealed();
    }
}

#[test]
fn a_websocket_passes_without_tls_too() {
    let rig = rig();
    let origin = Origin::start(None, echo);
    let entry = "[[enclave.lab.http]]\nhost = \"plain.test:80\"\nscheme = \"http\"\nwebsocket = true\n";
    let config = lab(&format!("{entry}{ENTRIES}")).resolve("plain.test:80", origin.address());
    let sea = Sea { lab: Keyed::start(rig, &config), origin };
    let gateway = sea.lab.gateway.address();
    let asked = upgrade("plain.test", "");
    let mut tunnel = Raw::open(gateway);
    assert_eq!(tunnel.connect("plain.test:80", "").status, 200);
    for (mut raw, asked) in
        [(tunnel, asked.clone()), (Raw::open(gateway), asked.replacen(" /ws", " http://plain.test/ws", 1))]
    {
        raw.send(&[asked.as_bytes(), &masked(TEXT, "early")].concat());
        assert_eq!(raw.answer_head().unwrap().unwrap().status, 101);
        assert_eq!(text(&mut raw), "early");
        close(&mut raw);
    }
    let calls = ensage_tests::until("both ends", || {
        let calls = sea.lab.rig.calls();
        calls.iter().all(|call| call.get("open").is_none()).then_some(calls)
    });
    assert_eq!(calls.len(), 2);
    assert!(calls.iter().all(|call| call["outcome"] == "complete" && call["url"]["scheme"] == "http"), "{calls:#?}");
}

#[test]
fn b5_no_websocket_without_an_entry_that_says_so() {
    let sea = Sea::new(echo);
    let answer = sea.ask("shut.test", "").answer();
    assert_eq!((answer.status, answer.told()), (403, Some("websocket_not_allowed")), "{}", answer.head);
    assert!(answer.text().contains("websocket = true"), "{}", answer.text());
    let record = sea.record();
    assert_eq!((&record["type"], &record["rule"]), (&"websocket".into(), &"enclave.lab.http[2]".into()), "{record}");
    assert_eq!(sea.origin.connections(), 0);
}

/// An agent that finds no WebSocket there falls back to POST.
#[test]
fn b5_no_websocket_to_a_model() {
    let entry = "[enclave.lab.llm.a]\napi = \"anthropic\"\nhost = \"llm.test\"\nmodels = [\"*\"]\n";
    let sea = Sea::with(lab(&format!("{ENTRIES}{entry}")), echo);
    let mut raw = sea.lab.rig.tunnel(&sea.lab.gateway, "llm.test:443");
    raw.send(upgrade("llm.test", "").replacen("/ws?x=1", "/v1/messages", 1).as_bytes());
    let answer = raw.answer();
    assert_eq!((answer.status, answer.told()), (426, Some("websocket_not_allowed")), "{}", answer.head);
    assert_eq!(answer.json()["error"]["ensage"]["reason"], "websocket_not_allowed");
    assert_eq!(reason(&sea.record()), "websocket_not_allowed");
    assert_eq!(sea.origin.connections(), 0);
}

/// A rule that opens WebSockets of a host opens none where an entry governs it: nobody would judge the calls inside.
#[test]
fn b5_no_websocket_where_an_entry_governs_whatever_else_opens_the_host() {
    let governed = "[enclave.lab.llm.a]\napi = \"anthropic\"\nhost = \"other.test\"\nmodels = [\"*\"]\n\
                    [enclave.lab.mcp.desk]\nurl = \"https://other.test/mcp\"\ntools = [\"*\"]\n";
    let sea = Sea::with(lab(&format!("{ENTRIES}{governed}")), echo);
    let ask = |path: &str| {
        let mut raw = sea.lab.rig.tunnel(&sea.lab.gateway, "other.test:443");
        raw.send(upgrade("other.test", "").replacen("/ws?x=1", path, 1).as_bytes());
        raw
    };
    let paths = [
        (426, "/v1/messages"),
        (426, "/v1/messages?beta=true"),
        (426, "/v1/models"),
        (426, "/v1//Messages/"),
        (403, "/mcp"),
        (403, "/mcp/"),
        (403, "/mcp?x"),
        (403, "/MCP;a"),
    ];
    for (status, path) in paths {
        let answer = ask(path).answer();
        assert_eq!((answer.status, answer.told()), (status, Some("websocket_not_allowed")), "{path}: {}", answer.head);
        let record = sea.lab.rig.calls().pop().unwrap();
        assert_eq!(
            (reason(&record).as_str(), &record["decision"]),
            ("websocket_not_allowed", &"deny".into()),
            "{path}"
        );
    }
    assert_eq!(sea.origin.connections(), 0);
    let mut raw = ask("/ws");
    assert_eq!(raw.answer_head().unwrap().unwrap().status, 101);
    raw.send(&masked(TEXT, "seen"));
    assert_eq!(text(&mut raw), "seen");
    close(&mut raw);
}

#[test]
fn observe_lets_a_websocket_pass_and_puts_no_secret_into_it() {
    let config = lab(&format!("{KEYED}inject = true\n")).gateway("mode = \"observe\"");
    let sea = Sea::with(config, echo);
    let mut raw = sea.open("api.test", "");
    raw.send(&masked(TEXT, "seen"));
    assert_eq!(text(&mut raw), "seen");
    close(&mut raw);
    let record = sea.record();
    assert_eq!(
        (&record["decision"], &record["would"], &record["reason"], &record["outcome"]),
        (&"allow".into(), &"deny".into(), &"websocket_not_allowed".into(), &"complete".into()),
        "{record}"
    );
    assert!(!has(sea.origin.text().as_bytes(), sea.lab.secret.as_bytes()));
}

#[test]
fn b7_what_is_no_handshake_goes_nowhere() {
    let sea = Sea::new(echo);
    let good = upgrade("other.test", "");
    let mut asked = Vec::new();
    for (from, to, status) in [
        ("Upgrade: websocket", "Upgrade: h2c", 403),
        ("Upgrade: websocket", "Upgrade: websocket, h2c", 403),
        ("Upgrade: websocket", "Upgrade: websocket\r\nUpgrade: websocket", 403),
        ("GET ", "POST ", 400),
        ("keep-alive, Upgrade", "keep-alive", 400),
        ("-Version: 13", "-Version: 8", 400),
        ("-Version: 13", "-Version: 13\r\nSec-WebSocket-Version: 13", 400),
        (KEY, "dG9vIHNob3J0", 400),
        ("Sec-WebSocket-Key", "X-Key", 400),
        ("Connection", "Content-Length: 3\r\nConnection", 400),
        ("Connection", "Transfer-Encoding: chunked\r\nConnection", 400),
    ] {
        let head = good.replacen(from, to, 1);
        assert_ne!(head, good, "{from}");
        let mut raw = sea.lab.rig.tunnel(&sea.lab.gateway, "other.test:443");
        raw.send(head.as_bytes());
        let answer = raw.answer();
        let reason = if status == 403 { "websocket_not_allowed" } else { "malformed_request" };
        assert_eq!((answer.status, answer.told()), (status, Some(reason)), "{head}");
        asked.push(reason);
    }
    assert_eq!(reasons(&sea.lab.rig), asked);
    assert_eq!(sea.origin.connections(), 0);
}

#[test]
fn b6_a_101_that_is_not_the_answer_to_this_key_makes_no_websocket() {
    let bad = [
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n",
        "Upgrade: websocket\r\nConnection: Upgrade\r\n",
        "Upgrade: h2c\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: OK\r\n",
        "Upgrade: websocket\r\nSec-WebSocket-Accept: OK\r\n",
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: OK\r\nSec-WebSocket-Accept: OK\r\n",
        // An extension that was never offered, or was struck.
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: OK\r\nSec-WebSocket-Extensions: x\r\n",
    ];
    for fields in bad {
        let fields = fields.replace("OK", ACCEPT);
        let told = if fields.contains("Extensions") { "response_refused" } else { "upstream_protocol" };
        for host in ["other.test", "api.test"] {
            let (head, early) = (format!("HTTP/1.1 101 Switching Protocols\r\n{fields}\r\n"), plain(TEXT, "early"));
            let sea = Sea::new(move |link| {
                link.request()?;
                link.write(&[head.as_bytes(), &early].concat())?;
                while !link.some()?.is_empty() {}
                Ok(())
            });
            let offer = if host == "api.test" { "Sec-WebSocket-Extensions: x\r\n" } else { "" };
            let mut raw = sea.lab.rig.tunnel(&sea.lab.gateway, &format!("{host}:443"));
            raw.send(&[upgrade(host, offer).as_bytes(), &masked(TEXT, "unsaid")].concat());
            let answer = raw.answer();
            assert_eq!((answer.status, answer.told()), (502, Some(told)), "{fields}");
            assert!(!has(&raw.rest(), b"early"));
            let record = &sea.lab.rig.calls()[0];
            assert_eq!((reason(record).as_str(), &record["outcome"]), (told, &"upstream_failed".into()), "{record}");
            assert_eq!(sea.origin.text().matches("\r\n\r\n").count(), 1);
            assert!(sea.origin.text().ends_with("\r\n\r\n"), "frames went up: {}", sea.origin.text());
        }
    }
}

#[test]
fn an_upstream_that_refuses_answers_like_any_other() {
    let sea = Sea::new(|link| {
        while let Some(request) = link.request()? {
            match request.line().contains("/ws") {
                true => link.write(b"HTTP/1.1 401 No\r\ncontent-type: text/plain\r\ncontent-length: 4\r\n\r\nnope")?,
                false => link.write(&ok("next"))?,
            }
        }
        Ok(())
    });
    for host in ["other.test", "api.test"] {
        let mut raw = sea.lab.rig.tunnel(&sea.lab.gateway, &format!("{host}:443"));
        // What is behind it is a request again, judged like any (B4).
        let next = format!("GET /next HTTP/1.1\r\nHost: {host}\r\n\r\n");
        raw.send(format!("{}{next}", upgrade(host, "")).as_bytes());
        let answer = raw.answer();
        assert_eq!((answer.status, answer.text().as_str()), (401, "nope"), "{}", answer.head);
        assert_eq!(raw.answer().text(), "next");
    }
    assert_eq!(sea.origin.connections(), 2, "the connection is kept");
    let calls = sea.lab.rig.calls();
    assert_eq!(calls.len(), 4);
    let first = &calls[0];
    assert_eq!((&first["type"], &first["outcome"]), (&"websocket".into(), &"complete".into()), "{first}");
    assert_eq!((&first["http"]["response"]["status_code"], &calls[1]["type"]), (&401.into(), &"http".into()));
}

#[test]
fn b4_nothing_that_comes_too_early_is_lost_or_goes_too_early() {
    for host in ["other.test", "api.test"] {
        let sea = Sea::new(|link| {
            let request = link.request()?.unwrap();
            assert!(request.field("upgrade").is_some());
            let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: upgrade\r\n";
            let head = format!("{head}Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n");
            link.write(&[head.as_bytes(), &plain(TEXT, "first "), &plain(TEXT, "words")[..4]].concat())?;
            link.write(&plain(TEXT, "words")[4..])?;
            while let Some(frame) = link.frame()? {
                link.write(&plain(frame.first, &frame.payload))?;
                if frame.first == CLOSE {
                    break;
                }
            }
            Ok(())
        });
        let mut raw = sea.lab.rig.tunnel(&sea.lab.gateway, &format!("{host}:443"));
        let early = [masked(TEXT, "too"), masked(TEXT, "early")].concat();
        raw.send(&[upgrade(host, "").as_bytes(), &early[..13]].concat());
        raw.send(&early[13..]);
        assert_eq!(raw.answer_head().unwrap().unwrap().status, 101);
        for said in ["first ", "words", "too", "early"] {
            assert_eq!(text(&mut raw), said);
        }
        close(&mut raw);
        assert_eq!(sea.record()["outcome"], "complete");
    }
}

#[test]
fn an_extension_is_offered_only_where_nobody_reads_the_frames() {
    const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
    let sea = Sea::new(|link| {
        let request = link.upgrade("")?;
        let offered = request.field("sec-websocket-extensions").unwrap_or("none").to_owned();
        link.write(&plain(TEXT, offered))?;
        link.write(&plain(CLOSE, ""))
    });
    let mut raw = sea.open("api.test", OFFER);
    assert_eq!(text(&mut raw), "none");
    let mut raw = sea.open("other.test", OFFER);
    assert_eq!(text(&mut raw), "permessage-deflate; client_max_window_bits");
    // Agreed on, it makes frames that are none of ours to read.
    let sea = Sea::new(|link| {
        link.upgrade("Sec-WebSocket-Extensions: permessage-deflate\r\n")?;
        while let Some(frame) = link.frame()? {
            link.write(&plain(frame.first, &frame.payload))?;
        }
        Ok(())
    });
    let mut raw = sea.open("other.test", OFFER);
    for first in [0xc1, 0xf3] {
        raw.send(&masked(first, "packed"));
        let frame = raw.frame().unwrap().unwrap();
        assert_eq!((frame.first, frame.text()), (first, "packed".to_owned()));
    }
    close(&mut raw);
}
