//! Blocks that cannot be read or do not end, and requests that come in floods: each request is one record, and no more.

use ensage_tests::wire::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PADDED, PING, RST_STREAM, block, frame, head,
};
use ensage_tests::{Origin, ok};
use serde_json::Value;

use super::super::lab::{KEYED, Keyed, lab, reasons, rig};
use super::heads::{ENHANCE_YOUR_CALM, PROTOCOL_ERROR, deny, good, instead};
use super::{echo_h1, wire};

const COMPRESSION_ERROR: u32 = 9;
const REFUSED_STREAM: u32 = 7;

/// A block that cannot be read ends the connection (RFC 9113 section 4.3); its head was a request.
#[test]
fn h10_a_block_that_cannot_be_read_is_one_record() {
    let (origin, lab) = echo_h1();
    let known = block(&good());
    let bomb = {
        let mut out = vec![0x40, 1, b'a', 0x7f, 0x81, 0x1e];
        out.extend([b'x'; 4000]);
        out.extend(vec![0xbe; 12_000]);
        out
    };
    let rows: [(&str, &[u8], u32, &str); 10] = [
        ("an index of nothing", &[0xbe], COMPRESSION_ERROR, "malformed_request"),
        ("the index 0", &[0x80], COMPRESSION_ERROR, "malformed_request"),
        ("a number without end", &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], COMPRESSION_ERROR, "malformed_request"),
        ("a string that is longer than its block", &[0x00, 0x05, b'a'], COMPRESSION_ERROR, "malformed_request"),
        ("padding of Huffman that is no ones", &[0x00, 0x01, b'a', 0x81, 0x18], COMPRESSION_ERROR, "malformed_request"),
        ("padding of a whole byte", &[0x00, 0x01, b'a', 0x82, 0x1f, 0xff], COMPRESSION_ERROR, "malformed_request"),
        ("the end itself", &[0x00, 0x01, b'a', 0x84, 0xff, 0xff, 0xff, 0xff], COMPRESSION_ERROR, "malformed_request"),
        ("a size behind a line", &[0x20], COMPRESSION_ERROR, "malformed_request"),
        ("half a line", &[0x00], COMPRESSION_ERROR, "malformed_request"),
        ("a line named again and again", &bomb, ENHANCE_YOUR_CALM, "header_too_large"),
    ];
    for (n, (what, tail, error, reason)) in rows.iter().enumerate() {
        let mut wire = wire(&lab);
        wire.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &[&known, *tail].concat()));
        assert_eq!(wire.end(), Some(*error), "{what}");
        let refused = deny(&lab);
        assert_eq!(refused.len(), n + 1, "{what}");
        let call = refused.last().unwrap();
        assert_eq!((&call["reason"], &call["url"]["path"]), (&Value::from(*reason), &Value::from("/a")), "{what}");
    }
    let mut large = wire(&lab);
    // More than was agreed on (RFC 7541 section 6.3).
    large.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &[&[0x3f, 0xe2, 0x1f][..], &known].concat()));
    assert_eq!(large.end(), Some(COMPRESSION_ERROR));
    let mut fits = wire(&lab);
    fits.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &[&[0x20, 0x3f, 0xe1, 0x1f][..], &known].concat()));
    assert_eq!(fits.answer(1).text(), "GET /a HTTP/1.1");
    assert_eq!((deny(&lab).len(), origin.requests()), (rows.len() + 1, 1));
}

/// The frames of a head come one behind the other, not too many of them, and in time.
#[test]
fn h10_a_head_that_does_not_end_is_one_record() {
    let (origin, lab) = echo_h1();
    let known = block(&good());
    let (some, rest) = known.split_at(known.len() - 4);
    let mut endless = wire(&lab);
    endless.send(&frame(HEADERS, END_STREAM, 1, &known));
    // The sixteenth is one too many; nothing is left unread behind it, which would take the last word along.
    endless.send(&frame(CONTINUATION, 0, 1, &[]).repeat(16));
    assert_eq!(endless.end(), Some(ENHANCE_YOUR_CALM));
    let between: [(&str, Vec<u8>); 5] = [
        ("a ping", frame(PING, 0, 0, &[0; 8])),
        ("content", frame(DATA, 0, 1, b"x")),
        ("a reset", frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])),
        ("the head of another stream", frame(HEADERS, END_HEADERS | END_STREAM, 3, &known)),
        ("the rest of another stream", frame(CONTINUATION, END_HEADERS, 3, rest)),
    ];
    for (what, frames) in &between {
        let mut wire = wire(&lab);
        wire.send(&[frame(HEADERS, END_STREAM, 1, some), frames.clone()].concat());
        assert_eq!(wire.end(), Some(PROTOCOL_ERROR), "{what}");
    }
    let mut padded = wire(&lab);
    let long = [&[200][..], &known].concat();
    padded.send(&frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, &long));
    assert_eq!(padded.end(), Some(PROTOCOL_ERROR));
    let refused = deny(&lab);
    assert_eq!(refused.len(), 7, "{refused:#?}");
    assert_eq!(refused[0]["reason"], "header_too_large");
    assert!(refused[1..].iter().all(|call| call["reason"] == "malformed_request"), "{refused:#?}");
    // As much of each as is known: the path stands last, and did not come whole.
    assert!(refused[1..6].iter().all(|call| call["http"]["request"]["method"] == "GET"), "{refused:#?}");
    assert_eq!(origin.connections(), 0);
}

#[test]
fn h8_a_head_that_is_not_ended_in_time_is_recorded() {
    let rig = rig();
    let config = lab(KEYED).body("[limits]\nhead_timeout = \"1s\"\n");
    let lab = Keyed::start(rig, &config);
    let known = block(&good());
    for whole in [true, false] {
        let mut wire = wire(&lab);
        let head = frame(HEADERS, END_STREAM, 1, &known);
        wire.send(if whole { &head } else { &head[..head.len() - 4] });
        assert_eq!(wire.end(), Some(ENHANCE_YOUR_CALM));
    }
    assert_eq!(reasons(&lab.rig), ["client_timeout"; 2]);
    assert_eq!(deny(&lab)[0]["url"]["path"], "/a");
}

/// One too many is refused and recorded; it is neither lost nor told twice.
#[test]
fn a_request_too_many_is_one_record() {
    let rig = rig();
    let origin = Origin::answering(Some(rig.ca.leaf(&["other.test"])), |asked| ok(asked.line()));
    let config = lab(KEYED).resolve("*.test:443", origin.address()).body("[limits]\nstreams = 2\n");
    let lab = Keyed::start(rig, &config);
    let mut wire = wire(&lab);
    let open = |stream: u32| frame(HEADERS, END_HEADERS, stream, &block(&head("POST", "other.test", "/open")));
    wire.send(&[open(1), open(3), open(5), open(7)].concat());
    for stream in [5, 7] {
        assert_eq!(wire.answer(stream).reset, Some(REFUSED_STREAM));
    }
    wire.settle();
    assert_eq!(reasons(&lab.rig), ["overloaded"; 2]);
    assert_eq!(deny(&lab)[0]["url"]["path"], "/open");
    assert!(!wire.so_far(1).ended);
    wire.send(&frame(DATA, END_STREAM, 1, b"x"));
    assert_eq!(wire.answer(1).text(), "POST /open HTTP/1.1");
    assert_eq!(reasons(&lab.rig).len(), 2);
}

/// A flood of resets makes no more records than it has requests.
#[test]
fn h10_rapid_resets_make_no_flood_of_records() {
    // More than the buffers between the two can hold.
    const MOST: u32 = 200_000;
    let (_origin, lab) = echo_h1();
    let mut wire = wire(&lab);
    let bad = block(&instead(":path", "/a#b"));
    let mut sent = 0_usize;
    for n in 0..MOST {
        let stream = 2 * n + 1;
        let both = [
            frame(HEADERS, END_HEADERS | END_STREAM, stream, &bad),
            frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()),
        ]
        .concat();
        if wire.raw().try_send(&both).is_err() {
            break;
        }
        sent += 1;
    }
    // The last word may be lost with what nobody has read.
    wire.end();
    assert!(sent < MOST as usize && deny(&lab).len() <= sent + 1, "{sent} sent");
}
