//! What reading costs in memory, counted by the allocator: how often it is asked, and how much is held at most.
#![allow(clippy::unwrap_used)]

use allocation_counter::{AllocationInfo, measure};
use ensage_mcp::json::{Known, Object, ScanLimits, Scanner, Want, What};
use ensage_mcp::mcp::{BodyReader, Field, Head};

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
    Known::new("arguments", Want::bytes(7)),
]);
static META: Object = Object::new(&[Known::unread("progressToken")]);

/// A `tools/call` of about that length: short members, unknown names, one long text with escapes.
fn call(length: usize) -> Vec<u8> {
    let mut text = String::from(
        r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"echo","_meta":{"progressToken":7,"x/y":1},"#,
    );
    text.push_str(r#""arguments":{"path":"src/main.rs","lines":[1,80,-2.5e3,true,null],"text":""#);
    while text.len() < length - 5 {
        text.push_str(r"some text, é, and a line of it\n");
    }
    text.push_str("\"}}}");
    text.into_bytes()
}

fn scan(bytes: &[u8], chunk: usize) -> (u64, AllocationInfo) {
    let mut told = 0;
    let info = measure(|| {
        let mut scanner = Scanner::new(&ROOT, ScanLimits::default());
        for chunk in bytes.chunks(chunk) {
            scanner.feed(chunk, |found| told += u64::from(!matches!(found.what, What::Bytes(_)))).unwrap();
        }
        scanner.finish(|_| {}).unwrap();
    });
    (told, info)
}

#[test]
fn a_scan_of_a_call_allocates_nothing() {
    for length in [1 << 10, 16 << 10, 16 << 20] {
        let (told, info) = scan(&call(length), usize::MAX);
        assert_eq!((told, info.count_total), (12, 0), "{length}");
    }
}

#[test]
fn a_scan_holds_little_whatever_the_length_and_the_chunks() {
    let hostile = [
        // Cut in names and texts that are told, at every length they may have.
        format!(r#"{{"{}":1,"method":"{}"}}"#, "n".repeat(2048), "\\u0061".repeat(341)),
        format!(r#"{{"method":"{}"}}"#, "a".repeat(1 << 20)),
        format!(r#"{{"id":{}}}"#, "1".repeat(300)),
        format!("{{{}}}", (0..128).map(|n| format!("\"name {n}\":0")).collect::<Vec<_>>().join(",")),
        format!("{}{}", "[".repeat(64), "]".repeat(64)),
    ];
    let long = call(1 << 20);
    for body in hostile.iter().map(String::as_bytes).chain([&*long]) {
        for chunk in [1, 7, 100, 4096] {
            let (_, info) = scan(body, chunk);
            let held = info.bytes_max + size_of::<Scanner>() as u64;
            assert!(held <= 16 << 10, "{held} bytes by {chunk}");
        }
    }
}

#[test]
fn a_message_allocates_what_it_names() {
    let head = Head { protocol_version: Field::One("2025-06-18"), ..Head::default() };
    for length in [1 << 10, 1 << 20] {
        let body = call(length);
        let info = measure(|| {
            let mut reader = BodyReader::new(4 << 20);
            reader.feed(&body);
            reader.finish(&head).unwrap();
        });
        // The id, the name of the tool, the digest.
        assert!(info.count_total <= 3, "{}", info.count_total);
        assert!(info.bytes_max <= 128, "{}", info.bytes_max);
    }
}
