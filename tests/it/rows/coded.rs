//! Coded bodies (contract section 4): read in the clear where they are governed, untouched elsewhere.

use std::io::Write;

use ensage_tests::h2::{H2Origin, good};
use ensage_tests::{Answer, Gateway, Origin, Rig};
use http::Request;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::lab::{KEYED, Keyed, has, lab, reason, reasons, rig};

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    out.write_all(data).unwrap();
    out.finish().unwrap()
}

fn zstd(data: &[u8]) -> Vec<u8> {
    compress_to_vec(data, CompressionLevel::Fastest)
}

const ENTRIES: &str = r#"
[enclave.lab.mcp.desk]
url = "https://desk.test/mcp"
tools = ["ok"]

[enclave.lab.llm.anthropic]
api = "anthropic"
host = "desk.test"
models = ["good"]
"#;

fn desk(more: &str) -> (Rig, Origin, Gateway) {
    let rig = rig();
    let origin = Origin::answering(Some(rig.ca.leaf(&["desk.test"])), |_| {
        let body = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#;
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
        format!("{head}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
    });
    let config = lab(ENTRIES).resolve("desk.test:443", origin.address()).body(more);
    let gateway = rig.start_with(&config);
    (rig, origin, gateway)
}

fn post(rig: &Rig, gateway: &Gateway, path: &str, coding: &str, body: &[u8]) -> Answer {
    let mut raw = rig.tunnel(gateway, "desk.test:443");
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: desk.test\r\nContent-Type: application/json\r\nMCP-Protocol-Version: 2025-11-25\r\n\
         Content-Encoding: {coding}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    raw.send(&[head.as_bytes(), body].concat());
    raw.answer()
}

const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"ok"}}"#;
const EVIL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"evil"}}"#;

/// What upstream gets is what was judged: the message in the clear, with its length, and no coding.
#[test]
fn b11_a_coded_message_is_judged_and_sent_on_in_the_clear() {
    let (rig, origin, gateway) = desk("");
    for (coding, coded) in [("gzip", gzip(CALL.as_bytes())), ("zstd", zstd(CALL.as_bytes()))] {
        assert_eq!(post(&rig, &gateway, "/mcp", coding, &coded).status, 200, "{coding}");
    }
    let inference = br#"{"model":"good","max_tokens":1,"messages":[]}"#;
    assert_eq!(post(&rig, &gateway, "/v1/messages", "zstd", &zstd(inference)).status, 200);
    let got = origin.text();
    assert_eq!(got.matches(CALL).count(), 2, "{got}");
    assert_eq!(got.matches(&format!("content-length: {}\r\n", CALL.len())).count(), 2, "{got}");
    assert!(!got.contains("content-encoding"), "{got}");
    let evil = post(&rig, &gateway, "/mcp", "gzip", &gzip(EVIL.as_bytes()));
    assert_eq!((evil.status, &evil.json()["error"]["code"]), (200, &(-32602).into()));
    assert_eq!(origin.requests(), 3);
    let calls = rig.calls();
    assert_eq!(calls[0]["gen_ai"]["tool"]["name"], "ok");
    assert_eq!(reason(&calls[3]), "tool_not_allowed");
}

#[test]
fn b11_what_is_a_bomb_or_no_coding_at_all_is_refused() {
    let (rig, origin, gateway) = desk("[limits]\ndecoded = \"1MiB\"\n");
    let long = format!("{}{CALL}", " ".repeat(2 << 20));
    let dense: String = (0..150_000_u32).map(|n| format!("{:08x}", n.wrapping_mul(2_654_435_761))).collect();
    for (path, coding, body, status, why) in [
        ("/mcp", "gzip", gzip(long.as_bytes()), 413, "body_too_large"),
        ("/mcp", "zstd", zstd(long.as_bytes()), 413, "body_too_large"),
        ("/mcp", "gzip", gzip(dense.as_bytes()), 413, "body_too_large"),
        ("/mcp", "gzip", CALL.as_bytes().to_vec(), 400, "malformed_request"),
        ("/mcp", "zstd", gzip(CALL.as_bytes()), 400, "malformed_request"),
        ("/mcp", "deflate", CALL.as_bytes().to_vec(), 415, "encoding_refused"),
        ("/mcp", "gzip, gzip", CALL.as_bytes().to_vec(), 415, "encoding_refused"),
        ("/v1/messages", "gzip", gzip(long.as_bytes()), 400, "body_too_large"),
        ("/v1/messages", "deflate", CALL.as_bytes().to_vec(), 400, "encoding_refused"),
    ] {
        let answer = post(&rig, &gateway, path, coding, &body);
        assert_eq!((answer.status, answer.told()), (status, Some(why)), "{path} {coding}");
        assert_eq!(reason(&rig.calls().pop().unwrap()), why, "{path} {coding}");
    }
    assert_eq!(origin.connections(), 0);
}

/// A placeholder that is packed up is found: in a host that a credential binds the body passes in the clear.
#[test]
fn f2_f3_a_placeholder_in_a_coded_body_goes_nowhere() {
    let rig = rig();
    let origin = H2Origin::answering(rig.ca.leaf(&["api.test", "other.test"]), |asked| {
        good(format!("{:?} {}", asked.field("content-encoding"), asked.text().trim_matches('\u{fffd}')))
    });
    let lab = Keyed::start(rig, &lab(KEYED).resolve("*.test:443", origin.address()));
    let client = lab.rig.h2(&lab.gateway, "api.test:443");
    let post = |host: &str, coding: &str, body: Vec<u8>| {
        let request = Request::post(format!("https://{host}/")).header("content-encoding", coding);
        request.header("content-length", body.len()).body(body).unwrap()
    };
    let innocent: String = (0..20_000_u32).map(|n| format!("text {n} ")).collect();
    let answer = client.ask(post("api.test", "gzip", gzip(innocent.as_bytes()))).unwrap();
    assert!(answer.text() == format!("None {innocent}"), "{} bytes", answer.body.len());
    assert_eq!(origin.asked()[0].field("content-length"), None);
    let carrying = format!("{innocent}{}", lab.placeholder);
    for (coding, body) in [("gzip", gzip(carrying.as_bytes())), ("zstd", zstd(carrying.as_bytes()))] {
        let answer = client.ask(post("api.test", coding, body)).unwrap();
        assert_eq!((answer.status, &answer.json()["reason"]), (403, &"placeholder_wrong_slot".into()), "{coding}");
    }
    let answer = client.ask(post("api.test", "gzip", b"no gzip".to_vec())).unwrap();
    assert_eq!((answer.status, &answer.json()["reason"]), (400, &"malformed_request".into()));
    assert_eq!(reasons(&lab.rig), ["placeholder_wrong_slot", "placeholder_wrong_slot", "malformed_request"]);
    assert!(origin.asked().iter().all(|m| !has(&m.body, lab.placeholder.as_bytes())));
    lab.assert_sealed();
}

/// Where nothing is governed a body is as it is, both ways.
#[test]
fn what_is_not_governed_stays_coded() {
    let rig = rig();
    let origin = Origin::answering(Some(rig.ca.leaf(&["other.test"])), |request| {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-encoding: br\r\ncontent-length: {}\r\n\r\n", request.body.len());
        [head.as_bytes(), &request.body].concat()
    });
    let lab = Keyed::start(rig, &lab(KEYED).resolve("*.test:443", origin.address()));
    let packed = gzip(b"as it is");
    let mut raw = lab.rig.tunnel(&lab.gateway, "other.test:443");
    let head = format!(
        "POST / HTTP/1.1\r\nHost: other.test\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        packed.len()
    );
    raw.send(&[head.as_bytes(), &packed].concat());
    let answer = raw.answer();
    assert_eq!((answer.status, answer.field("content-encoding")), (200, Some("br")));
    assert_eq!(answer.body, packed);
    assert!(origin.text().contains("content-encoding: gzip\r\n"));
}
