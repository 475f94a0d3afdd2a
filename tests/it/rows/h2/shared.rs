//! Clients of HTTP/1.1 whose upstream speaks HTTP/2.

use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use ensage_tests::Origin;
use ensage_tests::h2::{H2Origin, good, whole};
use http::{HeaderMap, HeaderValue};
use rustls::server::Acceptor;

use super::super::lab::{KEYED, Keyed, lab, rig};
use super::echo;

#[test]
fn the_clients_of_a_session_share_its_connection_and_its_secret_goes_out_there() {
    let (origin, lab) = echo();
    let mut clients: Vec<_> = (0..3).map(|_| lab.rig.tunnel(&lab.gateway, "api.test:443")).collect();
    for round in 0..4 {
        for (n, client) in clients.iter_mut().enumerate() {
            let fields = format!("authorization: Bearer {}\r\nKeep-Alive: 5\r\nX-Kept: yes", lab.placeholder);
            client.send(format!("GET /{n}/{round} HTTP/1.1\r\nHost: api.test\r\n{fields}\r\n\r\n").as_bytes());
        }
        for (n, client) in clients.iter_mut().enumerate() {
            let answer = client.answer();
            assert_eq!((answer.status, answer.text()), (200, format!("GET https://api.test/{n}/{round}")));
        }
    }
    assert_eq!(origin.connections(), 1);
    for asked in origin.asked() {
        assert_eq!(asked.field("authorization"), Some(&*format!("Bearer {}", lab.secret)), "{asked:?}");
        assert_eq!((asked.field("x-kept"), asked.field("keep-alive"), asked.field("host")), (Some("yes"), None, None));
    }
    let calls = lab.rig.calls();
    assert_eq!(calls.len(), 12);
    for call in &calls {
        assert_eq!((&call["decision"], &call["outcome"]), (&"allow".into(), &"complete".into()), "{call}");
        assert_eq!(call["network"]["protocol"]["version"], "1.1");
        assert_eq!(call["credential"]["action"], "substituted");
    }
    lab.assert_sealed();
}

#[test]
fn bodies_and_trailers_keep_their_framing_on_either_leg() {
    let rig = rig();
    let origin = H2Origin::answering(rig.ca.leaf(&["other.test"]), |asked| {
        let mut answer = good(format!("{} {:?}", asked.text(), asked.field("content-length")));
        if asked.line.ends_with("/told") {
            answer.fields.insert("content-length", HeaderValue::from(answer.body.len()));
        } else {
            let mut trailers = HeaderMap::new();
            trailers.insert("x-sum", HeaderValue::from_static("abc"));
            trailers.insert("set-cookie", HeaderValue::from_static("a=b"));
            answer.trailers = Some(trailers);
        }
        answer
    });
    let lab = Keyed::start(rig, &lab(KEYED).resolve("*.test:443", origin.address()));
    let mut raw = lab.rig.tunnel(&lab.gateway, "other.test:443");
    raw.send(b"PUT /told HTTP/1.1\r\nHost: other.test\r\ncontent-length: 5\r\n\r\nhello");
    let answer = raw.answer();
    assert_eq!((answer.text().as_str(), answer.field("content-length")), ("hello Some(\"5\")", Some("15")));
    assert_eq!(answer.field("transfer-encoding"), None);
    raw.send(b"HEAD /told HTTP/1.1\r\nHost: other.test\r\n\r\n");
    let answer = raw.try_answer("HEAD").unwrap().unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, ""));
    // The connection is still in step.
    raw.send(b"GET /told HTTP/1.1\r\nHost: other.test\r\n\r\n");
    assert_eq!(raw.answer().text(), " None");
    raw.send(b"PUT /untold HTTP/1.1\r\nHost: other.test\r\ncontent-length: 2\r\nConnection: close\r\n\r\nab");
    let answer = String::from_utf8(raw.rest()).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("transfer-encoding: chunked") && !head.contains("content-length"), "{head}");
    assert!(body.contains("ab Some(\"2\")\r\n0\r\nx-sum: abc\r\n\r\n"), "{body}");
}

/// Takes connections, tells what protocols each client offers, and closes them.
fn offers() -> (SocketAddr, Receiver<Vec<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, (told, offered)) = (listener.local_addr().unwrap(), channel());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut acceptor = Acceptor::default();
            let hello = loop {
                acceptor.read_tls(&mut Read::by_ref(&mut stream)).unwrap();
                if let Some(accepted) = acceptor.accept().unwrap() {
                    break accepted;
                }
            };
            let protocols = hello.client_hello().alpn().map(|all| all.map(<[u8]>::to_vec).collect());
            told.send(protocols.unwrap_or_default()).unwrap();
        }
    });
    (address, offered)
}

#[test]
fn what_suits_no_shared_connection_is_not_offered_one() {
    let (address, offered) = offers();
    let entry = KEYED.replace("host = \"other.test\"", "host = \"other.test\"\nwebsocket = true");
    let lab = Keyed::start(rig(), &lab(&entry).resolve("*.test:443", address));
    let key = "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
    let (both, one): (&[&[u8]], &[&[u8]]) = (&[b"h2", b"http/1.1"], &[b"http/1.1"]);
    for (request, expected) in [
        ("GET /short HTTP/1.1\r\nHost: other.test\r\n\r\n".to_owned(), both),
        ("PUT /bound HTTP/1.1\r\nHost: other.test\r\ncontent-length: 65536\r\n\r\n".to_owned(), both),
        ("PUT /long HTTP/1.1\r\nHost: other.test\r\ncontent-length: 65537\r\n\r\n".to_owned(), one),
        ("PUT /untold HTTP/1.1\r\nHost: other.test\r\ntransfer-encoding: chunked\r\n\r\n".to_owned(), one),
        (format!("GET /ws HTTP/1.1\r\nHost: other.test\r\n{key}\r\n"), one),
    ] {
        let mut raw = lab.rig.tunnel(&lab.gateway, "other.test:443");
        raw.send(request.as_bytes());
        assert_eq!(offered.recv().unwrap(), expected, "{request}");
        let answer = raw.answer();
        assert_eq!((answer.status, answer.told()), (502, Some("upstream_tls")), "{request}");
    }
}

#[test]
fn a_request_that_upstream_has_not_looked_at_is_sent_again_and_one_that_breaks_off_is_not() {
    let rig = rig();
    let origin = H2Origin::start(rig.ca.leaf(&["other.test"]), move |request, mut respond, connection| async move {
        let Ok(asked) = whole(request).await else { return };
        let refused = asked.line.ends_with("/again") && connection == 0 && super::ends::refuse_once();
        match (refused, asked.line.ends_with("/broken")) {
            (true, _) => respond.send_reset(h2::Reason::REFUSED_STREAM),
            (_, true) => respond.send_reset(h2::Reason::INTERNAL_ERROR),
            _ => ensage_tests::h2::send(respond, good(asked.body)).await,
        }
    });
    let lab = Keyed::start(rig, &lab(KEYED).resolve("*.test:443", origin.address()));
    let put = |path: &str| format!("PUT {path} HTTP/1.1\r\nHost: other.test\r\ncontent-length: 5\r\n\r\nhello");
    let answer = lab.ask("other.test:443", "GET /again HTTP/1.1\r\nHost: other.test\r\n\r\n");
    assert_eq!((answer.status, answer.text().as_str()), (200, ""));
    let answer = lab.ask("other.test:443", &put("/broken"));
    assert_eq!((answer.status, answer.told()), (502, Some("upstream_closed")));
    assert_eq!(lab.rig.calls().len(), 2);
}

/// The head of a short answer waits for its body, but not for ever.
#[test]
fn a_short_answer_that_comes_late_does_not_hold_its_head_back() {
    let rig = rig();
    let (seen, told) = channel::<()>();
    let told = std::sync::Mutex::new(told);
    let origin = Origin::start(Some(rig.ca.leaf(&["other.test"])), move |link| {
        link.request()?;
        link.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")?;
        // The body comes once the client has the head.
        let _ = told.lock().unwrap().recv();
        link.write(b"hello")
    });
    let lab = Keyed::start(rig, &lab(KEYED).resolve("*.test:443", origin.address()));
    let mut raw = lab.rig.tunnel(&lab.gateway, "other.test:443");
    raw.send(b"GET /late HTTP/1.1\r\nHost: other.test\r\n\r\n");
    let head = raw.answer_head().unwrap().unwrap();
    seen.send(()).unwrap();
    assert_eq!(raw.body(head).unwrap().text(), "hello");
}
