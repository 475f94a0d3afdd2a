//! What the gate makes of a stream is the same in whatever pieces it comes, and by whatever buffers it is read.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::Semaphore;

use super::*;
use crate::gate::Limits;
use crate::timer::tests::paused;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&[length[1], length[2], length[3], kind, flags][..], &stream.to_be_bytes(), payload].concat()
}

/// GET https://a.test/ and a path.
fn head(path: &str) -> Vec<u8> {
    let length = u8::try_from(path.len()).unwrap();
    [&b"\x82\x87\x01\x06a.test\x04"[..], &[length], path.as_bytes()].concat()
}

/// A peer that sends these pieces, and then no more.
struct Pieces(VecDeque<Vec<u8>>);

impl Pieces {
    fn new(bytes: &[u8], size: usize) -> Self {
        Self(bytes.chunks(size).map(<[u8]>::to_vec).collect())
    }
}

impl AsyncRead for Pieces {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Some(piece) = self.0.front_mut() else { return Poll::Pending };
        let some = piece.len().min(buf.remaining());
        buf.put_slice(&piece[..some]);
        piece.drain(..some);
        if piece.is_empty() {
            self.0.pop_front();
        }
        Poll::Ready(Ok(()))
    }
}

fn room(permits: usize) -> Room {
    Room { budget: Arc::new(Semaphore::new(permits)), unit: 1024 }
}

#[derive(Debug, Default, PartialEq)]
struct Seen {
    shown: Vec<u8>,
    /// Stream, line, fault, whether a body follows.
    heads: Vec<(u32, String, Option<&'static str>, bool)>,
    broken: Option<Reason>,
}

/// Reads all that comes in buffers of this size; heads are taken as soon as they are shown.
fn seen(bytes: &[u8], piece: usize, buffer: usize) -> Seen {
    let (mut gate, watch) = Gate::new(Pieces::new(bytes, piece), Limits::default(), None, room(1 << 20));
    let mut seen = Seen::default();
    let mut cx = Context::from_waker(Waker::noop());
    let mut quiet = 0;
    while quiet < 2 {
        let mut room = vec![0; buffer];
        let mut buf = ReadBuf::new(&mut room);
        let read = Pin::new(&mut gate).poll_read(&mut cx, &mut buf);
        if read.is_ready() {
            assert!(!buf.filled().is_empty());
            quiet = 0;
        } else {
            assert!(buf.filled().is_empty());
            quiet += 1;
        }
        seen.shown.extend_from_slice(buf.filled());
        for come in watch.rest() {
            quiet = 0;
            let line =
                format!("{} {}", come.read.head.method, String::from_utf8_lossy(&come.read.path.unwrap_or_default()));
            seen.heads.push((come.stream, line, come.read.fault.map(|fault| fault.detail), come.body.is_some()));
        }
        seen.broken = seen.broken.or(watch.broken());
    }
    seen
}

/// For each way in which `bytes` may come.
fn always(bytes: &[u8], check: impl Fn(&Seen)) {
    let whole = seen(bytes, usize::MAX, 1 << 16);
    check(&whole);
    for piece in [1, 2, 3, 5, 8, 9, 10, 11, 12, 13, 31, 100, 1000, usize::MAX] {
        for buffer in [1, 2, 7, 24, 63, 64, 65, 200, 5000, 1 << 16] {
            assert_eq!(seen(bytes, piece, buffer), whole, "pieces of {piece}, buffers of {buffer}");
        }
    }
}

fn stub(stream: u32, ends: bool) -> Vec<u8> {
    frame(1, if ends { 5 } else { 4 }, stream, &[0x82, 0x87, 0x84])
}

#[test]
fn everything_but_heads_passes_as_it_is() {
    let data: Vec<u8> = (0..3000_u32).map(|n| n as u8).collect();
    let padded = [&[4][..], &data, &[0; 4]].concat();
    let others = [
        frame(4, 0, 0, &[0, 3, 0, 0, 0, 9]),
        frame(8, 0, 0, &[0, 0, 0, 9]),
        frame(6, 0, 0, &[7; 8]),
        frame(0x77, 0xff, 0x55, b"unknown"),
        frame(0, 0, 3, &[]),
    ];
    let block = head("/two");
    let (some, rest) = block.split_at(5);
    let sent = [
        PREFACE.to_vec(),
        others[0].clone(),
        frame(1, 0x5, 1, &head("/one")),
        others[1].clone(),
        frame(1, 0x28, 3, &[&[2, 0, 0, 0, 0, 9][..], some, &[0; 2]].concat()),
        frame(9, 0, 3, &[]),
        frame(9, 0x4, 3, rest),
        others[2].clone(),
        frame(0, 0, 3, &data),
        others[3].clone(),
        frame(0, 0x8, 3, &padded),
        others[4].clone(),
        frame(1, 0x5, 3, b"\x00\x03x-a\x011"),
        frame(1, 0x5, 5, &head("/three")),
        others[2].clone(),
    ];
    let shown = [
        PREFACE.to_vec(),
        others[0].clone(),
        stub(1, true),
        others[1].clone(),
        stub(3, false),
        others[2].clone(),
        frame(0, 0, 3, &data),
        others[3].clone(),
        frame(0, 0x8, 3, &padded),
        others[4].clone(),
        frame(0, 0x1, 3, &[]),
        stub(5, true),
        others[2].clone(),
    ];
    always(&sent.concat(), |seen| {
        assert_eq!(seen.shown, shown.concat());
        let heads: Vec<_> = seen.heads.iter().map(|head| (head.0, head.1.as_str(), head.2, head.3)).collect();
        let expected = [(1, "GET /one", None, false), (3, "GET /two", None, true), (5, "GET /three", None, false)];
        assert_eq!(heads, expected);
        assert_eq!(seen.broken, None);
    });
}

/// Blocks that are shorter than what is shown for them.
#[test]
fn a_short_block_makes_room_for_its_place() {
    let sent: Vec<u8> = (0..40).flat_map(|n| frame(1, 0x5, 2 * n + 1, &[0x82, 0x84][..n as usize % 3])).collect();
    let shown: Vec<u8> = (0..40).flat_map(|n| stub(2 * n + 1, true)).collect();
    always(&[PREFACE, &sent].concat(), |seen| {
        assert_eq!(seen.shown, [PREFACE, &shown].concat());
        assert_eq!(seen.heads.len(), 40);
        assert!(seen.heads.iter().all(|head| head.2.is_some()));
    });
}

#[test]
fn what_ends_a_connection_ends_what_is_shown() {
    let ping = frame(6, 0, 0, &[0; 8]);
    for (what, frames, error) in [
        (
            "a block that cannot be read",
            frame(1, 0x5, 1, &[&head("/x")[..], &[0x80]].concat()),
            Reason::COMPRESSION_ERROR,
        ),
        ("a ping within a head", [frame(1, 0x1, 1, &head("/x")), ping.clone()].concat(), Reason::PROTOCOL_ERROR),
        ("too much padding", frame(1, 0xd, 1, &[&[99][..], &head("/x")].concat()), Reason::PROTOCOL_ERROR),
        (
            "endless frames",
            [frame(1, 0x1, 1, &head("/x")), frame(9, 0, 1, &[]).repeat(20)].concat(),
            Reason::ENHANCE_YOUR_CALM,
        ),
        (
            "a block that is too long",
            [frame(1, 0x1, 1, &head("/x")), frame(9, 0, 1, &[0; 60_000]).repeat(3)].concat(),
            Reason::ENHANCE_YOUR_CALM,
        ),
    ] {
        let sent = [PREFACE, &frame(1, 0x5, 0x7, &head("/good")).repeat(0), &frames, &ping].concat();
        always(&sent, |seen| {
            assert_eq!((seen.shown.as_slice(), seen.broken), (PREFACE, Some(error)), "{what}");
            assert_eq!((seen.heads.len(), seen.heads[0].0), (1, 1), "{what}");
            assert!(seen.heads[0].2.is_some(), "{what}");
        });
    }
}

/// A frame that is longer than any may be is the protocol's to refuse.
#[test]
fn what_the_protocol_refuses_passes() {
    let mut long = frame(1, 0x5, 1, &head("/x"));
    long[0] = 1;
    let sent = [PREFACE, &long, b"whatever"].concat();
    always(&sent, |seen| assert_eq!((&seen.shown, seen.heads.len()), (&sent, 0)));
    let alone = [PREFACE, &frame(9, 0x4, 1, &head("/x"))].concat();
    always(&alone, |seen| assert_eq!((&seen.shown, seen.heads.len()), (&alone, 0)));
}

/// A gate over what a client sends, and the bodies that it has begun.
struct Sent {
    gate: Gate<Pieces>,
    watch: Watch,
    bodies: Vec<Uploading>,
    shown: usize,
}

impl Sent {
    fn new(frames: &[Vec<u8>], room: Room) -> Self {
        let sent = [PREFACE, &frames.concat()].concat();
        let (gate, watch) = Gate::new(Pieces::new(&sent, usize::MAX), Limits::default(), None, room);
        Self { gate, watch, bodies: Vec::new(), shown: 0 }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut room = [0; 1000];
        let mut buf = ReadBuf::new(&mut room);
        let polled = Pin::new(&mut self.gate).poll_read(cx, &mut buf);
        self.shown += buf.filled().len();
        let heads = self.watch.rest();
        if !heads.is_empty() {
            cx.waker().wake_by_ref();
        }
        self.bodies.extend(heads.into_iter().filter_map(|come| come.body));
        polled.map(Result::unwrap)
    }

    async fn until(&mut self, shown: usize) {
        while self.shown < shown {
            poll_fn(|cx| self.poll(cx)).await;
        }
    }
}

/// Content waits for room; after a while the body of which most is held gives it.
#[test]
fn content_waits_for_room() {
    paused().block_on(async {
        let piece = frame(0, 0, 1, &[0; 40_000]);
        let room = room(64);
        let budget = room.budget.clone();
        let mut sent = Sent::new(&[frame(1, 0x4, 1, &head("/x")), piece.repeat(4)], room);
        let begun = tokio::time::Instant::now();
        // 64 KiB besides, and 64 that the budget has: three pieces of 40 000 bytes.
        let three = PREFACE.len() + 12 + 3 * piece.len();
        sent.until(three).await;
        assert_eq!((begun.elapsed().as_millis(), sent.bodies[0].refusal()), (0, None));
        assert_eq!(budget.available_permits(), 0);
        sent.until(three + piece.len()).await;
        assert_eq!(begun.elapsed().as_secs(), 1);
        assert!(sent.bodies[0].refusal().is_some());
        sent.bodies.clear();
        assert_eq!(budget.available_permits(), 64);
    });
}

/// What waits for a body that nobody reads any more passes, and is not counted.
#[test]
fn who_is_gone_holds_nothing() {
    paused().block_on(async {
        let piece = frame(0, 0, 1, &[0; 40_000]);
        let next = frame(0, 0, 3, &[0; 30_000]);
        let heads = [1, 3].map(|stream| frame(1, 0x4, stream, &head("/x")));
        let frames = [heads[0].clone(), piece.repeat(4), heads[1].clone(), next.repeat(2)];
        let room = room(64);
        let budget = room.budget.clone();
        let mut sent = Sent::new(&frames, room);
        sent.until(PREFACE.len() + 12 + 3 * piece.len()).await;
        let waits = poll_fn(|cx| Poll::Ready(sent.poll(cx).is_pending())).await;
        assert!(waits && budget.available_permits() == 0);
        sent.bodies.clear();
        let begun = tokio::time::Instant::now();
        sent.until(PREFACE.len() + 24 + 4 * piece.len() + 2 * next.len()).await;
        assert_eq!(begun.elapsed().as_millis(), 0);
        // As much as every connection has.
        assert_eq!((budget.available_permits(), sent.bodies.len()), (64, 1));
    });
}
