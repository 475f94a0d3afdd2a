//! A15: what may run inside a CONNECT.

use ensage_tests::{Origin, Raw};

use super::lab::{KEYED, Keyed, lab, reason, reasons, rig};

#[test]
fn a15_what_is_neither_tls_nor_http_goes_nowhere() {
    let rig = rig();
    let origin = Origin::good(rig.ca.leaf(&["ok.test"]));
    let gateway =
        rig.start_with(&lab("[[enclave.lab.http]]\nhost = \"ok.test\"\n").resolve("ok.test:443", origin.address()));
    // An SSH banner, an SSLv2 ClientHello, a TLS alert, a PROXY header of version 2, the preface of HTTP/2.
    let firsts: [&[u8]; 5] = [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10\x00\x00\x2f",
        b"\x15\x03\x01\x00\x02\x02\x28",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ];
    for first in firsts {
        let mut raw = Raw::open(gateway.address());
        assert_eq!(raw.connect("ok.test:443", "").status, 200);
        raw.send(first);
        let told = String::from_utf8_lossy(&raw.rest()).into_owned();
        assert!(!told.contains("200 OK"), "{told}");
        let record = rig.calls().pop().unwrap();
        assert_eq!(record["decision"], "deny", "{first:?}");
        let expected = if first.starts_with(b"PRI") { "malformed_request" } else { "protocol_not_allowed" };
        assert_eq!(reason(&record), expected, "{first:?}");
        assert_eq!(record["server"]["address"], "ok.test");
    }
    assert_eq!(reasons(&rig).len(), firsts.len());
    assert_eq!(origin.connections(), 0);
}

#[test]
fn a15_twin_tls_in_packets_of_one_byte_is_tls() {
    let rig = rig();
    let origin = Origin::good(rig.ca.leaf(&["ok.test"]));
    let gateway =
        rig.start_with(&lab("[[enclave.lab.http]]\nhost = \"ok.test\"\n").resolve("ok.test:443", origin.address()));
    let mut raw = Raw::open(gateway.address()).in_pieces(1);
    assert_eq!(raw.connect("ok.test:443", "").status, 200);
    let mut raw = raw.tls(&rig.trust(), "ok.test").unwrap();
    raw.send(b"GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n");
    assert_eq!(raw.answer().text(), "good");
    assert_eq!(origin.text(), "GET / HTTP/1.1\r\nhost: ok.test\r\n\r\n");
    assert_eq!(reasons(&rig), [""; 0]);
}

#[test]
fn a15_http_in_a_connect_never_gets_a_credential() {
    let rig = rig();
    let origin = Origin::answering(None, |_| ensage_tests::ok("good"));
    let config = lab(&format!("{KEYED}\n[[enclave.lab.http]]\nhost = \"plain.test:80\"\nscheme = \"http\"\n"))
        .resolve("*.test:80", origin.address())
        .resolve("*.test:443", origin.address());
    let lab = Keyed::start(rig, &config);
    let http = |target: &str, request: &str| {
        let mut raw = Raw::open(lab.gateway.address());
        assert_eq!(raw.connect(target, "").status, 200);
        raw.send(request.as_bytes());
        raw.answer()
    };
    let bearer = format!("Authorization: Bearer {}\r\n", lab.placeholder);
    let answer = http("api.test:443", &format!("GET / HTTP/1.1\r\nHost: api.test:443\r\n{bearer}\r\n"));
    assert_ne!(answer.status, 200, "{}", answer.text());
    let answer = http("plain.test:80", &format!("GET / HTTP/1.1\r\nHost: plain.test\r\n{bearer}\r\n"));
    assert_eq!((answer.status, answer.told()), (403, Some("placeholder_wrong_host")));
    assert_eq!(origin.connections(), 0);
    assert_eq!(reasons(&lab.rig), ["protocol_not_allowed", "placeholder_wrong_host"]);

    let answer = http("plain.test:80", "GET / HTTP/1.1\r\nHost: plain.test\r\n\r\n");
    assert_eq!(answer.text(), "good");
    assert_eq!(origin.text(), "GET / HTTP/1.1\r\nhost: plain.test\r\n\r\n");
}
