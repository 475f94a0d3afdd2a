//! The cases of llhttp (Node's parser): what it refuses in its strict mode we refuse.

use std::path::{Path, PathBuf};

use super::*;

/// Where the cases are; `None` where the folder is absent, which CI does not accept.
fn folder() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/http1");
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(std::env::var("CI").is_err(), "the test data of llhttp is missing: {}", folder.display());
    eprintln!("skipped: no test data of llhttp");
    None
}

struct Case {
    name: String,
    input: Vec<u8>,
    refused: bool,
    head: bool,
}

/// The strict cases of one file. A case is a heading, a comment with `meta`, the input and the expected events.
fn cases(file: &Path, kind: &str) -> Vec<Case> {
    let text = std::fs::read_to_string(file).unwrap();
    let stem = file.file_stem().unwrap().to_str().unwrap().to_owned();
    let (mut found, mut heading, mut meta) = (Vec::new(), String::new(), None::<serde_json::Value>);
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.starts_with('#') {
            heading = line.trim_start_matches('#').trim().to_owned();
        } else if let Some(json) = line.strip_prefix("<!-- meta=") {
            meta = Some(serde_json::from_str(json.trim_end_matches("-->").trim()).unwrap());
        } else if line.starts_with("```http") {
            let input = block(&mut lines);
            while lines.next().is_some_and(|l| !l.starts_with("```log")) {}
            let log = block(&mut lines);
            let Some(meta) = meta.take() else { continue };
            if meta["type"] == kind {
                // llhttp pauses where a protocol changes, and a paused reader goes on.
                let refused = log.lines().any(|l| l.contains("error code=") && !l.contains("Pause on"));
                let name = format!("{kind} {stem}: {heading}");
                found.push(Case { name, input: unescape(&input), refused, head: meta["skipBody"] == true });
            }
        }
    }
    found
}

fn block<'a>(lines: &mut impl Iterator<Item = &'a str>) -> String {
    lines.take_while(|l| !l.starts_with("```")).fold(String::new(), |all, line| all + line + "\n")
}

/// The order of replacements is that of llhttp's `test/md-test.ts`.
fn unescape(input: &str) -> Vec<u8> {
    let text = input.strip_suffix('\n').unwrap_or(input).replace("\\\n", "").replace('\n', "\r\n");
    let text = text.replace("\\r", "\r").replace("\\n", "\n").replace("\\t", "\t").replace("\\f", "\x0c");
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let radix = if tail.first() == Some(&b'x') { 16 } else { 8 };
        let digits = &tail[usize::from(radix == 16).min(tail.len())..];
        let len =
            digits.iter().take(if radix == 16 { 2 } else { 3 }).take_while(|b| char::from(**b).is_digit(radix)).count();
        if byte == b'\\' && len > 0 {
            let code = u32::from_str_radix(std::str::from_utf8(&digits[..len]).unwrap(), radix).unwrap();
            bytes.push(u8::try_from(code).unwrap());
            rest = &digits[len..];
        } else {
            bytes.push(byte);
            rest = tail;
        }
    }
    bytes
}

/// Cases that llhttp accepts and the gate refuses: the gate's word, and where the rule stands.
const STRICTER: &[(&str, &str, &str)] = &[
    (
        "request connection: CRLF between requests, implicit `keep-alive`",
        "empty lines before a request",
        "RFC 9112 2.2",
    ),
    ("request method: CONNECT with body", "a CONNECT request with content", "RFC 9110 9.3.6"),
    ("request method: SOURCE request with ICE", VERSION, "RFC 9112 2.3"),
    ("request method: OPTIONS request with RTSP", VERSION, "RFC 9112 2.3"),
    ("request method: ANNOUNCE request with RTSP", VERSION, "RFC 9112 2.3"),
    ("request method: PRI request HTTP2", "a byte that may not stand in a method", "RFC 9113 3.4"),
    ("request pausing: on_chunk_extension_name", EXTENSION, "RFC 9112 7.1.1, threat B3"),
    ("request pausing: on_chunk_extension_value", EXTENSION, "RFC 9112 7.1.1, threat B3"),
    ("request sample: No HTTP version", "a byte that may not stand in a request target", "RFC 9112 3"),
    ("request transfer-encoding: Chunk extensions", EXTENSION, "RFC 9112 7.1.1, threat B3"),
    ("request transfer-encoding: Chunk extensions quoting", EXTENSION, "RFC 9112 7.1.1, threat B3"),
    ("request transfer-encoding: POST with `chunked` as last transfer-encoding", FRAGMENT, "RFC 9112 3.2"),
    (
        "request transfer-encoding: POST with `chunked` as last transfer-encoding (multiple headers)",
        FRAGMENT,
        "RFC 9112 3.2",
    ),
    ("request uri: Quotes in URI", "a byte that may not stand in a request target", "RFC 3986 3.4"),
    ("request uri: Fragment in URI", FRAGMENT, "RFC 9112 3.2"),
    ("response connection: HTTP 101 response with Upgrade and Content-Length header", CONTENT, "RFC 9110 8.6"),
    ("response connection: HTTP 101 response with Upgrade and Transfer-Encoding header", CONTENT, "RFC 9112 6.1"),
    ("response connection: HTTP 304 with Content-Length", VERSION, "RFC 9112 2.2: only before requests"),
    ("response connection: HTTP 100 first, then 400", VERSION, "RFC 9112 2.2: only before requests"),
    ("response pipelining: Should parse multiple events", VERSION, "RFC 9112 2.2: only before requests"),
    ("response sample: RTSP response", VERSION, "RFC 9112 2.3"),
    ("response sample: ICE response", VERSION, "RFC 9112 2.3"),
    ("response sample: HTTP version 0.9", VERSION, "RFC 9112 2.3"),
    ("response sample: Response starting with CRLF", VERSION, "RFC 9112 2.2: only before requests"),
    ("response transfer-encoding: `chunked` before other transfer-encoding", CODING, "RFC 9112 6.1"),
    (
        "response transfer-encoding: multiple transfer-encoding where chunked is not the last one",
        "more than one transfer-encoding field",
        "RFC 9112 6.1",
    ),
    (
        "response transfer-encoding: `chunkedchunked` transfer-encoding does not enable chunked enconding",
        CODING,
        "RFC 9112 6.1",
    ),
    ("response pausing: on_chunk_extension_name", EXTENSION, "RFC 9112 7.1.1, threat B3"),
    ("response pausing: on_chunk_extension_value", EXTENSION, "RFC 9112 7.1.1, threat B3"),
    ("response transfer-encoding: Chunk extensions", EXTENSION, "RFC 9112 7.1.1, threat B3"),
    ("response transfer-encoding: Chunk extensions quoting", EXTENSION, "RFC 9112 7.1.1, threat B3"),
];

const CODING: &str = "transfer-encoding is not chunked alone";
const CONTENT: &str = "content announced by a status that has none";
const EXTENSION: &str = "a chunk extension";
const FRAGMENT: &str = "a fragment in the request target";
const VERSION: &str = "neither HTTP/1.1 nor HTTP/1.0";

/// Cases that llhttp refuses and the gate shows, and why.
const WIDER: &[(&str, &str)] = &[
    (
        "request invalid: HTTP protocol and ANNOUNCE method",
        "any token is a method (RFC 9110 9.1); the policy judges it",
    ),
    ("request invalid: Invalid method", "any token is a method (RFC 9110 9.1); the policy judges it"),
];

fn compare(side: &str, verdict: impl Fn(&Case) -> Option<Violation>) {
    let Some(folder) = folder() else { return };
    let mut files: Vec<_> = std::fs::read_dir(folder.join(side)).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    let cases: Vec<_> = files.iter().flat_map(|file| cases(file, side)).collect();
    assert!(cases.len() > 50, "{} cases of {side}", cases.len());
    let mut wrong = Vec::new();
    let listed = STRICTER.iter().map(|(name, ..)| *name).chain(WIDER.iter().map(|(name, _)| *name));
    let mut unused: Vec<&str> = listed.filter(|name| name.starts_with(side)).collect();
    for case in &cases {
        let detail = verdict(case).map(|v| v.detail);
        let stricter = STRICTER.iter().find(|(name, ..)| *name == case.name).map(|(_, detail, _)| *detail);
        let wider = WIDER.iter().any(|(name, _)| *name == case.name);
        let expected = match (case.refused, detail) {
            (true, found) => found.is_some() != wider,
            (false, found) => found == stricter,
        };
        let listed = stricter.is_some() || wider;
        unused.retain(|name| !listed || *name != case.name);
        if !expected {
            wrong.push(format!("{}: refused by llhttp: {}, by the gate: {detail:?}", case.name, case.refused));
        }
    }
    assert!(unused.is_empty(), "listed, but there is no such case: {unused:?}");
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// Most cases have no Host, which would hide what they are about.
fn with_host(input: &[u8]) -> Vec<u8> {
    let text: String = input.iter().map(|&b| char::from(b)).collect();
    let text = if text.to_lowercase().contains("\nhost:") {
        text
    } else {
        text.replace(" HTTP/1.1\r\n", " HTTP/1.1\r\nHost: a\r\n")
    };
    text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect()
}

#[test]
fn b1_requests_that_llhttp_refuses_are_refused() {
    compare("request", |case| {
        let mut inspector = Inspector::requests(Limits::default());
        let input = with_host(&case.input);
        let seen = inspector.feed(&input);
        if seen.stop == Some(Stop::Held) {
            inspector.open();
            inspector.feed(&input[seen.shown..]);
        }
        inspector.violation()
    });
}

#[test]
fn b1_responses_that_llhttp_refuses_are_refused() {
    compare("response", |case| {
        let asked = if case.head { Asked::Head } else { Asked::Other };
        responses(&case.input, Limits::default(), &[asked], &[usize::MAX]).violation
    });
}
