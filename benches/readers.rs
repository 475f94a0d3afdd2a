//! Readers of JSON side by side: how much faster than `serde_json` reading into `IgnoredAny` each is, in the same run.
//!
//! `cargo bench -p ensage-benches --bench readers`; a word after `--` picks the rows that contain it.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark that cannot run stops")]

use std::fmt::Write as _;
use std::hint::black_box;

use ensage_benches::compare;
use ensage_mcp::json::{Known, Limits, Object, ScanLimits, Scanner, Want, parse};
use ensage_mcp::mcp::{BodyReader, Field, Head};
use serde::de::IgnoredAny;

/// A reader, and what it does with the bytes.
type Reader = (&'static str, fn(&[u8]));

/// What arguments are of, and as many bytes of it.
type Content = (&'static str, fn(usize) -> String);

const READERS: [Reader; 8] = [
    ("scanner: MCP's members, strict", scan),
    ("scanner: nothing asked, strict", scan_nothing),
    ("mcp::BodyReader, with SHA-256 of the arguments", message),
    ("json::parse, a tree", tree),
    ("serde_json, Value", serde_value),
    ("simd-json, tape (and the copy it needs)", simd_json_tape),
    ("sonic-rs, IgnoredAny", sonic_ignored),
    ("rmcp, ClientJsonRpcMessage", rmcp_message),
];

fn main() {
    let wanted = std::env::args().skip(1).find(|word| !word.starts_with("--")).unwrap_or_default();
    println!("| body | reader | serde_json IgnoredAny, GB/s | reader, GB/s | times as fast |\n|---|---|---|---|---|");
    let contents: [Content; 6] = [
        ("text", text),
        ("source code", code),
        ("French", french),
        ("dense objects", dense),
        ("whole numbers", integers),
        ("indented objects", indented),
    ];
    for (content, make) in contents {
        for (size, name) in [(1 << 10, "1 KiB"), (64 << 10, "64 KiB"), (1 << 20, "1 MiB"), (16 << 20, "16 MiB")] {
            let body = call(&make(size));
            for (reader, read) in READERS {
                let row = format!("| {content}, {name} | {reader} |");
                if !row.contains(&wanted) {
                    continue;
                }
                let o = compare(|| ignored(&body), || read(black_box(&body)));
                let [yardstick, piece] = [o.yardstick_ns, o.piece_ns].map(|ns| body.len() as f64 / ns);
                println!("{row} {yardstick:.2} | {piece:.2} | {:.2} |", 1.0 / o.ratio);
            }
        }
    }
}

fn ignored(bytes: &[u8]) {
    black_box(serde_json::from_slice::<IgnoredAny>(black_box(bytes)).unwrap());
}

static NOTHING: Want = Want::NOTHING;
static ROOT: Want = Want::object(0, &MESSAGE);
static MESSAGE: Object = Object::new(&[
    Known::new("jsonrpc", Want::value(1)),
    Known::new("id", Want::value(2)),
    Known::new("method", Want::value(3)),
    Known::new("params", Want::object(4, &PARAMS)),
]);
static PARAMS: Object = Object::new(&[
    Known::new("name", Want::value(5)),
    Known::new("_meta", Want::object(6, &META)),
    Known::new("arguments", Want::span(7)),
]);
static META: Object = Object::new(&[Known::unread("progressToken")]);

fn scan(bytes: &[u8]) {
    scan_for(&ROOT, bytes);
}

fn scan_nothing(bytes: &[u8]) {
    scan_for(&NOTHING, bytes);
}

fn scan_for(want: &'static Want, bytes: &[u8]) {
    let mut scanner = Scanner::new(want, ScanLimits::default());
    scanner
        .feed(bytes, |found| {
            black_box(&found);
        })
        .unwrap();
    scanner.finish(|_| {}).unwrap();
}

fn message(bytes: &[u8]) {
    let head = Head { protocol_version: Field::One("2025-06-18"), ..Head::default() };
    let mut reader = BodyReader::new(64 << 20);
    reader.feed(bytes);
    // Many more members than a message may have are read to the end all the same.
    let _ = black_box(reader.finish(&head));
}

fn tree(bytes: &[u8]) {
    black_box(parse(bytes, &Limits::default().with_members(usize::MAX)).unwrap());
}

fn serde_value(bytes: &[u8]) {
    black_box(serde_json::from_slice::<serde_json::Value>(bytes).unwrap());
}

fn simd_json_tape(bytes: &[u8]) {
    let mut copy = bytes.to_vec();
    black_box(simd_json::to_tape(&mut copy).unwrap());
}

fn sonic_ignored(bytes: &[u8]) {
    black_box(sonic_rs::from_slice::<IgnoredAny>(bytes).unwrap());
}

fn rmcp_message(bytes: &[u8]) {
    black_box(serde_json::from_slice::<rmcp::model::ClientJsonRpcMessage>(bytes).unwrap());
}

/// A `tools/call` with these arguments.
fn call(arguments: &str) -> Vec<u8> {
    let before =
        r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"echo","_meta":{"progressToken":7},"#;
    format!(r#"{before}"arguments":{{"path":"src/main.rs","value":{arguments}}}}}}}"#).into_bytes()
}

fn quoted(part: &str, size: usize) -> String {
    serde_json::to_string(&part.repeat(size / part.len())).unwrap()
}

fn text(size: usize) -> String {
    quoted("The quick brown fox jumps over the lazy dog, and nobody minds.\n", size)
}

fn code(size: usize) -> String {
    quoted(include_str!("lib.rs").get(..512).unwrap(), size)
}

fn french(size: usize) -> String {
    quoted("Où est l'été, déjà passé à côté de la forêt ?\n", size)
}

fn dense(size: usize) -> String {
    let mut all = String::from("[");
    let mut n = 0_u64;
    while all.len() < size {
        n += 1;
        let r = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let (id, whole, part, name) = (n, r >> 50, r >> 20 & 0xFF, r >> 40 & 0xFFF);
        let _ = write!(all, r#"{{"id":{id},"x":{whole}.{part},"name":"u{name}","ok":{},"#, r & 1 == 0);
        let _ = write!(all, r#""tags":[{},{}],"pos":{{"a":-{},"b":null}}}},"#, r & 7, r >> 3 & 63, r >> 8 & 0x3FF);
    }
    all.pop();
    all + "]"
}

fn integers(size: usize) -> String {
    let mut all = String::from("[");
    let mut n = 1_u64;
    while all.len() < size {
        n = n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let _ = write!(all, "{},", n >> (40 + (n >> 61) * 2));
    }
    all.pop();
    all + "]"
}

fn indented(size: usize) -> String {
    let value: serde_json::Value = serde_json::from_str(&dense(size / 2)).unwrap();
    serde_json::to_string_pretty(&value).unwrap()
}
