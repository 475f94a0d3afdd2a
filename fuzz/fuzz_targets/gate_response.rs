//! The head gate on what upstreams send: no panic, and one verdict however the stream is cut.
#![no_main]

use ensage_gateway::gate::{Asked, Inspector, Limits, Violation};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits { head_bytes_max: 512, head_lines_max: 8, target_bytes_max: 64 };

/// Feeds the answer to one request in pieces of one length.
fn verdict(mut rest: &[u8], asked: Asked, piece: usize) -> (Option<Violation>, u64) {
    let mut inspector = Inspector::responses(LIMITS);
    inspector.expect(asked);
    while !rest.is_empty() && inspector.violation().is_none() {
        let seen = inspector.feed(&rest[..piece.min(rest.len())]);
        rest = &rest[seen.shown..];
    }
    (inspector.violation(), inspector.heads())
}

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (asked, piece, stream) = input;
    let asked = match asked % 4 {
        0 => Asked::Other,
        1 => Asked::Head,
        2 => Asked::Connect,
        _ => Asked::Upgrade,
    };
    assert_eq!(verdict(stream, asked, usize::MAX), verdict(stream, asked, usize::from(piece).max(1)));
});
