//! Tests of the gate: what both directions share.

mod differential;
mod llhttp;
mod requests;
mod responses;
mod split;
mod stream;

use super::{Asked, Inspector, Kind, Limits, Stop, Violation};

/// Small enough to be reached by a table row.
pub(super) const SMALL: Limits = Limits { head_bytes_max: 200, head_lines_max: 4, target_bytes_max: 40 };

/// What an inspector made of a whole stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) violation: Option<Violation>,
    pub(super) heads: u64,
    /// The stream rests between two messages.
    pub(super) idle: bool,
}

/// Feeds `input` in pieces of the given lengths (repeated); every held request is refused.
pub(super) fn requests(input: &[u8], limits: Limits, pieces: &[usize]) -> Outcome {
    drive(Inspector::requests(limits), input, &[], pieces).0
}

/// Feeds `input` in pieces; `asked` is what each answer is for, the last one repeated.
pub(super) fn responses(input: &[u8], limits: Limits, asked: &[Asked], pieces: &[usize]) -> Outcome {
    drive(Inspector::responses(limits), input, asked, pieces).0
}

/// The outcome, and how many bytes were shown.
pub(super) fn drive(
    mut inspector: Inspector,
    input: &[u8],
    asked: &[Asked],
    pieces: &[usize],
) -> (Outcome, usize, Inspector) {
    let mut shown = 0;
    let mut pieces = pieces.iter().copied().cycle();
    let mut rest = input;
    let mut answers = 0_u64;
    while !rest.is_empty() && inspector.violation().is_none() {
        if !asked.is_empty() && inspector.heads() == answers && inspector.is_idle() {
            inspector.expect(asked[usize::try_from(answers).unwrap().min(asked.len() - 1)]);
            answers += 1;
        }
        let piece = pieces.next().unwrap().clamp(1, rest.len());
        let before = inspector.clone();
        let mut seen = inspector.feed(&rest[..piece]);
        if !asked.is_empty() && inspector.heads() == answers && seen.shown > 0 && seen.stop.is_some() {
            // One piece held the end of an answer and the beginning of the next, which is asked for only now.
            inspector = before;
            seen = inspector.feed(&rest[..seen.shown]);
            (shown, rest) = (shown + seen.shown, &rest[seen.shown..]);
            continue;
        }
        assert!(seen.shown <= piece);
        assert_eq!(seen.stop.is_none(), seen.shown == piece, "{seen:?}");
        shown += seen.shown;
        rest = &rest[seen.shown..];
        if seen.stop == Some(Stop::Held) {
            inspector.resume();
        }
    }
    let outcome = Outcome { violation: inspector.violation(), heads: inspector.heads(), idle: inspector.is_idle() };
    (outcome, shown, inspector)
}

/// Every piece length that a table row is fed with.
pub(super) const PIECES: &[&[usize]] = &[&[usize::MAX], &[1], &[2], &[7], &[3, 1, 11]];

/// Asserts the kind and the place of the fault, or that there is none, for all piece lengths.
pub(super) fn assert_verdict(input: &str, got: impl Fn(&[usize]) -> Outcome, expected: Option<(Kind, &str)>) {
    for pieces in PIECES {
        let outcome = got(pieces);
        let seen = outcome.violation.map(|v| (v.kind, v.detail));
        assert_eq!(seen, expected, "{input:?} in pieces of {pieces:?}: {outcome:?}");
        if let Some(v) = outcome.violation {
            assert!(v.offset <= input.len() as u64, "{input:?}: {v:?}");
        }
    }
}
