//! What is written, and how bodies are framed in it.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;

use super::{Wire, local};
use crate::h1::out::{Framing, Out, Unframed, tell_length};

fn data(length: usize) -> Vec<u8> {
    (0..length).map(|n| b'a' + (n % 23) as u8).collect()
}

fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for (name, value) in lines {
        fields.append(*name, value.parse().unwrap());
    }
    fields
}

/// Writes a head and pieces of a body as the sides do.
async fn write(wire: &Wire, pieces: &[usize], trailers: Option<HeaderMap>, mut framing: Framing) {
    let mut out = Out::default();
    out.buffer().extend_from_slice(b"head\r\n");
    let trailers = trailers.map(Frame::trailers);
    let mut frames = pieces.iter().map(|n| Frame::data(Bytes::from(data(*n)))).chain(trailers).peekable();
    let mut ended = false;
    while !ended {
        while out.has_room() && !ended {
            match frames.next() {
                Some(frame) => out.push(frame, &mut framing).unwrap(),
                None => {
                    out.end(framing).unwrap();
                    ended = true;
                }
            }
        }
        poll_fn(|cx| out.poll_flush(Pin::new(&mut wire.clone()), cx)).await.unwrap();
        assert!(out.is_empty() && out.has_room());
    }
}

fn expected(pieces: &[usize], trailers: &str, framing: Framing) -> String {
    let mut all = String::from("head\r\n");
    for piece in pieces.iter().filter(|n| **n > 0) {
        let text = String::from_utf8(data(*piece)).unwrap();
        all += &match framing {
            Framing::Chunked => format!("{piece:x}\r\n{text}\r\n"),
            Framing::None | Framing::Length(_) | Framing::UntilClose => text,
        };
    }
    if framing == Framing::Chunked {
        all += &format!("0\r\n{trailers}\r\n");
    }
    all
}

#[test]
fn whatever_a_stream_takes_at_once_comes_out_to_the_byte() {
    let large: &[usize] = &[16 * 1024, 16 * 1024 + 1, 0, 1, 100_000, 20_000, 3];
    let small: &[usize] = &[1, 15, 16, 17, 255, 256, 4096, 1, 1];
    for pieces in [large, small, &[], &[0], &[16_385], &[16_384; 9], &[40_000; 3]] {
        let length = pieces.iter().sum::<usize>() as u64;
        for framing in [Framing::Length(length), Framing::Chunked, Framing::UntilClose] {
            for takes in [1, 2, 7, 1000, 16_386, usize::MAX] {
                for (vectored, stalls, holds) in [(true, true, false), (false, true, false), (true, false, true)] {
                    // Byte by byte is slow with much to write.
                    if takes < 7 && length > 100_000 {
                        continue;
                    }
                    local(async {
                        let wire = Wire::new();
                        wire.set(|state| {
                            (state.takes, state.vectored, state.writes_stall) = (takes, vectored, stalls);
                            state.holds = holds;
                        });
                        write(&wire, pieces, None, framing).await;
                        assert!(wire.heard() == expected(pieces, "", framing), "{pieces:?} {framing:?} by {takes}");
                    });
                }
            }
        }
    }
}

#[test]
fn trailers_go_out_behind_chunks_only() {
    let lines = [("x-one", "two"), ("x-one", "three"), ("y", "")];
    for (pieces, framing, trailers) in [
        (vec![3, 20_000], Framing::Chunked, "x-one: two\r\nx-one: three\r\ny: \r\n"),
        (vec![], Framing::Chunked, "x-one: two\r\nx-one: three\r\ny: \r\n"),
        (vec![3], Framing::Length(3), ""),
        (vec![3], Framing::UntilClose, ""),
    ] {
        local(async move {
            let wire = Wire::new();
            write(&wire, &pieces, Some(fields(&lines)), framing).await;
            assert_eq!(wire.heard(), expected(&pieces, trailers, framing));
        });
    }
}

#[test]
fn a_body_of_another_length_than_told_is_refused() {
    let push = |framing: &mut Framing, length| Out::default().push(Frame::data(Bytes::from(data(length))), framing);
    for (mut framing, length, after) in [
        (Framing::None, 1, Err(Unframed)),
        (Framing::None, 0, Ok(Framing::None)),
        (Framing::Length(3), 4, Err(Unframed)),
        (Framing::Length(3), 20_000, Err(Unframed)),
        (Framing::Length(3), 3, Ok(Framing::Length(0))),
        (Framing::Length(0), 1, Err(Unframed)),
        (Framing::Chunked, 20_000, Ok(Framing::Chunked)),
        (Framing::UntilClose, 20_000, Ok(Framing::UntilClose)),
    ] {
        let told = framing;
        assert_eq!(push(&mut framing, length).map(|()| framing), after, "{length} bytes into {told:?}");
    }
    for (framing, ends) in [
        (Framing::Length(1), Err(Unframed)),
        (Framing::Length(u64::MAX), Err(Unframed)),
        (Framing::Length(0), Ok(())),
        (Framing::None, Ok(())),
        (Framing::UntilClose, Ok(())),
        (Framing::Chunked, Ok(())),
    ] {
        assert_eq!(Out::default().end(framing), ends, "{framing:?}");
    }
}

#[test]
fn nothing_of_a_body_follows_its_trailers() {
    let mut out = Out::default();
    let mut framing = Framing::Chunked;
    out.push(Frame::trailers(fields(&[("x", "y")])), &mut framing).unwrap();
    let written = out.buffer().clone();
    out.push(Frame::trailers(fields(&[("x", "z")])), &mut framing).unwrap();
    assert_eq!(out.push(Frame::data(Bytes::from_static(b"more")), &mut framing), Err(Unframed));
    out.end(framing).unwrap();
    assert_eq!((out.buffer().as_slice(), written.as_slice()), (&b"0\r\nx: y\r\n\r\n"[..], &b"0\r\nx: y\r\n\r\n"[..]));
}

#[test]
fn a_head_tells_how_its_body_is_framed() {
    let typed = ("content-type", "x");
    let (length, chunks) = ("content-length", ("transfer-encoding", "chunked"));
    for (before, exact, takes_chunks, framing, after) in [
        (vec![typed], Some(5), true, Framing::Length(5), vec![typed, (length, "5")]),
        (vec![typed], Some(0), true, Framing::None, vec![typed, (length, "0")]),
        (vec![(length, "5")], Some(5), false, Framing::Length(5), vec![(length, "5")]),
        (vec![(length, "6")], Some(5), false, Framing::Length(5), vec![(length, "5")]),
        (vec![(length, "6"), (length, "7")], Some(5), true, Framing::Length(5), vec![(length, "5")]),
        (vec![(length, "x")], Some(5), true, Framing::Length(5), vec![(length, "5")]),
        (vec![(length, "6"), typed], None, true, Framing::Chunked, vec![typed, chunks]),
        (vec![chunks], None, true, Framing::Chunked, vec![chunks]),
        (vec![("transfer-encoding", "gzip")], None, true, Framing::Chunked, vec![chunks]),
        (vec![(length, "6"), typed], None, false, Framing::UntilClose, vec![typed]),
    ] {
        let mut told = fields(&before);
        assert_eq!(Framing::told(&mut told, exact, takes_chunks), framing, "{before:?}");
        assert_eq!(told, fields(&after), "{before:?}");
    }
    let mut told = fields(&[(length, "007")]);
    tell_length(&mut told, 7);
    assert_eq!(told, fields(&[(length, "007")]), "what is right already stays");
}

#[test]
fn a_reader_that_never_catches_up_costs_no_memory() {
    let cx = &mut Context::from_waker(Waker::noop());
    let wire = Wire::new();
    let (mut out, mut framing, mut pushed) = (Out::default(), Framing::UntilClose, 0);
    wire.set(|state| state.room = 0);
    for _ in 0..2000 {
        while out.has_room() {
            out.push(Frame::data(Bytes::from(vec![b'z'; 16 * 1024])), &mut framing).unwrap();
            pushed += 16 * 1024;
        }
        wire.set(|state| state.room = 9000);
        assert!(out.poll_flush(Pin::new(&mut wire.clone()), cx).is_pending());
        assert!(out.buffer().capacity() <= 256 * 1024, "{} bytes", out.buffer().capacity());
    }
    wire.set(|state| state.room = usize::MAX);
    assert!(out.poll_flush(Pin::new(&mut wire.clone()), cx).is_ready());
    assert_eq!(wire.heard().len(), pushed);
}

#[test]
fn a_stream_that_takes_nothing_or_fails_is_an_error() {
    let cx = &mut Context::from_waker(Waker::noop());
    let mut out = Out::default();
    out.buffer().extend_from_slice(b"head");
    let wire = Wire::new();
    wire.set(|state| state.takes = 0);
    wire.set(|state| state.holds = true);
    assert!(matches!(out.poll_flush(Pin::new(&mut wire.clone()), cx), Poll::Ready(Err(_))));
    wire.set(|state| state.deaf = true);
    assert!(matches!(out.poll_flush(Pin::new(&mut wire.clone()), cx), Poll::Ready(Err(_))));
}
