//! Messages out of bytes, however these are cut.

use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

use http::Method;
use proptest::prelude::*;

use super::{Wire, local};
use crate::h1::chunk::Chunk;
use crate::h1::head;
use crate::h1::line::{Content, Line};

/// A request, as it was put together or as it came out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Message {
    target: String,
    data: Vec<u8>,
    trailers: Vec<(String, String)>,
    broken: bool,
}

/// The bytes of a request, how many of them are its head, and what it says.
struct Sample {
    bytes: Vec<u8>,
    head: usize,
    message: Message,
}

fn sample(target: &str, fields: &str, content: &[u8], data: &[u8], trailers: &[(&str, &str)]) -> Sample {
    let mut bytes = format!("POST {target} HTTP/1.1\r\nhost: a\r\n{fields}\r\n").into_bytes();
    let head = bytes.len();
    bytes.extend_from_slice(content);
    let trailers = trailers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    Sample { bytes, head, message: Message { target: target.into(), data: data.into(), trailers, broken: false } }
}

fn samples() -> Vec<Sample> {
    let chunked = "transfer-encoding: chunked\r\n";
    let lines = b"a\r\n\r\nb\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n";
    let in_chunks = b"3\r\nabc\r\n0A\r\n0123\r\n6789\r\n1\r\nx\r\n0\r\nx-one: two\r\nx-one: three\r\ny:\r\n\r\n";
    let trailers = [("x-one", "two"), ("x-one", "three"), ("y", "")];
    vec![
        sample("/none", "", b"", b"", &[]),
        sample("/length", &format!("content-length: {}\r\n", lines.len()), lines, lines, &[]),
        sample("/zero", "content-length: 0\r\n", b"", b"", &[]),
        sample("/chunks", chunked, in_chunks, b"abc0123\r\n6789x", &trailers),
        sample("/no-chunk", chunked, b"0\r\n\r\n", b"", &[]),
        sample("/trailers-only", chunked, b"000\r\nx: y\r\n\r\n", b"", &[("x", "y")]),
        sample("/one", "content-length: 1\r\n", b"\n", b"\n", &[]),
    ]
}

async fn next(line: &mut Line<Wire>) -> Option<Message> {
    let bytes = poll_fn(|cx| line.poll_head(cx)).await.ok()??;
    let head = head::request(&bytes).unwrap();
    line.content = head.content;
    let mut message = Message { target: head.parts.uri.to_string(), ..Message::default() };
    body(line, &mut message).await;
    Some(message)
}

async fn body(line: &mut Line<Wire>, message: &mut Message) {
    while let Some(frame) = poll_fn(|cx| line.poll_content(cx)).await {
        let Ok(frame) = frame else {
            message.broken = true;
            return;
        };
        assert!(message.trailers.is_empty(), "a frame behind the trailers");
        match frame.into_data() {
            Ok(data) => {
                assert!(!data.is_empty());
                message.data.extend_from_slice(&data);
            }
            Err(frame) => {
                let fields = frame.into_trailers().unwrap();
                let text = |value: &http::HeaderValue| value.to_str().unwrap().to_owned();
                message.trailers.extend(fields.iter().map(|(name, value)| (name.to_string(), text(value))));
            }
        }
    }
    assert_eq!(line.content, Content::Done);
}

async fn messages(wire: Wire) -> Vec<Message> {
    let mut line = Line::new(wire);
    let mut all = Vec::new();
    while let Some(message) = next(&mut line).await {
        let broken = message.broken;
        all.push(message);
        if broken {
            break;
        }
    }
    all
}

fn joined(samples: &[Sample]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.bytes.iter().copied()).collect()
}

fn assert_same(samples: &[Sample], pieces: &[usize]) {
    let expected: Vec<_> = samples.iter().map(|sample| sample.message.clone()).collect();
    local(async {
        let wire = Wire::saying(&joined(samples), pieces);
        wire.ends();
        assert_eq!(messages(wire).await, expected, "in pieces of {pieces:?}");
    });
}

#[test]
fn one_cut_anywhere_changes_nothing() {
    let samples = samples();
    for first in 0..joined(&samples).len() {
        assert_same(&samples, &[first.max(1), usize::MAX]);
    }
    for every in 1..40 {
        assert_same(&samples, &[every]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn many_cuts_change_nothing(pieces in proptest::collection::vec(1..60_usize, 1..12)) {
        assert_same(&samples(), &pieces);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn large_content_comes_through_whole(
        sizes in proptest::collection::vec(1..150_000_usize, 1..8),
        pieces in proptest::collection::vec(1000..70_000_usize, 1..6),
    ) {
        let data: Vec<u8> = (0..sizes.iter().sum::<usize>()).map(|n| (n % 251) as u8).collect();
        let mut chunks = Vec::new();
        let mut rest = data.as_slice();
        for size in &sizes {
            let (chunk, later) = rest.split_at(*size);
            chunks.extend_from_slice(format!("{size:X}\r\n").as_bytes());
            chunks.extend_from_slice(chunk);
            chunks.extend_from_slice(b"\r\n");
            rest = later;
        }
        chunks.extend_from_slice(b"0\r\n\r\n");
        let length = format!("content-length: {}\r\n", data.len());
        let samples = [
            sample("/length", &length, &data, &data, &[]),
            sample("/chunks", "transfer-encoding: chunked\r\n", &chunks, &data, &[]),
            sample("/last", "", b"", b"", &[]),
        ];
        assert_same(&samples, &pieces);
    }
}

#[test]
fn a_stream_that_ends_early_never_makes_a_whole_message() {
    let samples = samples();
    let bytes = joined(&samples);
    for end in 0..=bytes.len() {
        let (mut before, mut whole, mut cut) = (0, Vec::new(), None);
        for sample in &samples {
            if before + sample.bytes.len() <= end {
                whole.push(sample.message.clone());
            } else if before + sample.head <= end {
                cut = Some(sample.message.target.clone());
            }
            before += sample.bytes.len();
        }
        for fault in [false, true] {
            local(async {
                let wire = Wire::saying(&bytes[..end], &[usize::MAX]);
                if fault {
                    wire.breaks()
                } else {
                    wire.ends()
                }
                let mut got = messages(wire).await;
                if let Some(target) = &cut {
                    let last = got.pop().unwrap();
                    assert_eq!((&last.target, last.broken), (target, true), "cut at {end}");
                }
                assert_eq!(got, whole, "cut at {end}");
            });
        }
    }
}

#[test]
fn content_without_an_end_of_its_own_ends_with_the_stream_but_not_with_a_fault() {
    for (fault, pieces) in [(false, 1), (true, 1), (false, 9999), (true, 9999)] {
        local(async move {
            let data = vec![b'z'; 70_001];
            let mut bytes = b"HTTP/1.0 200 OK\r\n\r\n".to_vec();
            bytes.extend_from_slice(&data);
            let wire = Wire::saying(&bytes, &[pieces * 7]);
            if fault {
                wire.breaks()
            } else {
                wire.ends()
            }
            let mut line = Line::new(wire);
            let bytes = poll_fn(|cx| line.poll_head(cx)).await.unwrap().unwrap();
            line.content = head::response(&bytes, &Method::GET).unwrap().content;
            let mut message = Message::default();
            body(&mut line, &mut message).await;
            assert_eq!((message.data == data, message.broken), (true, fault));
        });
    }
}

#[test]
fn empty_lines_before_a_head_are_nobodys() {
    for pieces in 1..6 {
        local(async move {
            let wire = Wire::saying(b"\r\nGET /a HTTP/1.1\r\nx: \r\n\r\n\r\n\r\nGET /b HTTP/1.1\r\n\r\n\r", &[pieces]);
            wire.ends();
            let targets: Vec<_> = messages(wire).await.into_iter().map(|message| message.target).collect();
            assert_eq!(targets, ["/a", "/b"], "in pieces of {pieces}");
        });
    }
}

#[test]
fn a_chunk_without_a_size_is_broken() {
    for bad in ["\r\n", "x\r\n", "-1\r\n", "11112222333344445\r\n", "\n", "0\r\nx\r\n\r\n", "0\r\n: y\r\n\r\n"] {
        local(async move {
            let wire = Wire::saying(format!("{bad}1\r\nx\r\n0\r\n\r\n").as_bytes(), &[usize::MAX]);
            let mut line = Line::new(wire);
            line.content = Content::Chunked(Chunk::Size);
            let mut message = Message::default();
            body(&mut line, &mut message).await;
            assert!(message.broken && message.data.is_empty(), "{bad:?}: {message:?}");
        });
    }
}

#[test]
fn between_messages_the_end_is_seen_and_what_comes_is_kept() {
    let cx = &mut Context::from_waker(Waker::noop());
    let wire = Wire::new();
    let mut line = Line::new(wire.clone());
    assert!(line.poll_end(cx).is_pending() && !line.has_read() && !line.has_ended());
    wire.says("GET /a HTTP/1.1\r\n\r\nleft");
    assert!(line.poll_end(cx).is_pending() && line.has_read());
    wire.says("not read: something lies there");
    assert!(line.poll_end(cx).is_pending() && !wire.is_read());
    assert!(matches!(line.poll_head(cx), Poll::Ready(Ok(Some(head))) if head == "GET /a HTTP/1.1\r\n\r\n"));
    assert_eq!(line.into_parts().1, "left");

    for fault in [false, true] {
        let wire = Wire::new();
        if fault {
            wire.breaks()
        } else {
            wire.ends()
        }
        let mut line = Line::new(wire);
        assert!(line.poll_end(cx).is_ready() && line.has_ended() && !line.has_read());
        assert!(matches!(line.poll_head(cx), Poll::Ready(Ok(None))));
    }
}
