//! The head gate on what clients send: no panic, and one verdict however the stream is cut.
#![no_main]

use ensage_gateway::gate::{Inspector, Limits, Stop, Violation};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits { head_bytes_max: 512, head_lines_max: 8, target_bytes_max: 64 };

/// Feeds the stream in pieces of one length; every CONNECT and upgrade is refused.
fn verdict(mut rest: &[u8], piece: usize) -> (Option<Violation>, u64) {
    let mut inspector = Inspector::requests(LIMITS);
    while !rest.is_empty() && inspector.violation().is_none() {
        let seen = inspector.feed(&rest[..piece.min(rest.len())]);
        rest = &rest[seen.shown..];
        if seen.stop == Some(Stop::Held) {
            inspector.resume();
        }
    }
    (inspector.violation(), inspector.heads())
}

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, stream) = input;
    assert_eq!(verdict(stream, usize::MAX), verdict(stream, usize::from(piece).max(1)));
    // Of what is shown hyper's parser refuses nothing.
    let mut whole = Inspector::requests(LIMITS);
    let seen = whole.feed(stream);
    if let Some(head) = stream.get(..seen.shown).filter(|_| whole.heads() <= 1) {
        let mut fields = [httparse::EMPTY_HEADER; 16];
        let parsed = httparse::Request::new(&mut fields).parse(head);
        assert!(parsed.is_ok(), "{parsed:?}");
        assert_eq!(parsed.is_ok_and(|p| p.is_complete()), whole.heads() == 1);
    }
});
