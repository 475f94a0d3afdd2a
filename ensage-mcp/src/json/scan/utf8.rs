//! UTF-8 over the borders of pieces.

use super::wide;
use crate::json::JsonError;

/// The beginning of a character whose end is in the next piece.
#[derive(Debug, Default)]
pub(super) struct Pending {
    bytes: [u8; 4],
    /// `length < 4`
    length: usize,
    /// Where it begins.
    start: u64,
}

impl Pending {
    /// Looks at the next piece, which begins at `offset`: how much of it may be read, and what comes behind that.
    ///
    /// The first byte of a bad sequence may be read too: outside of a string it is a trouble of its own, there and only
    /// there, whether or not the piece ends with it.
    pub(super) fn check(&mut self, piece: &[u8], offset: u64) -> (usize, Option<JsonError>) {
        let mut skipped = 0;
        while self.length > 0 {
            let Some(byte) = piece.get(skipped) else { return (skipped, None) };
            if let Some(place) = self.bytes.get_mut(self.length) {
                *place = *byte;
            }
            let so_far = self.bytes.get(..=self.length).unwrap_or_default();
            match std::str::from_utf8(so_far).map_err(|bad| bad.error_len()) {
                Ok(_) => self.length = 0,
                Err(None) => self.length += 1,
                Err(Some(_)) => return (0, Some(JsonError::Utf8 { offset: self.start })),
            }
            skipped += 1;
        }
        let rest = piece.get(skipped..).unwrap_or_default();
        // A character is often cut at the end: in front of it the fast way sees that all is well.
        let (whole, cut) = rest.split_at(rest.len() - cut_off(rest));
        let (bad, before) = match (simdutf8::basic::from_utf8(whole), std::str::from_utf8(cut)) {
            (Ok(_), Ok(_)) => return (piece.len(), None),
            (Ok(_), Err(bad)) => (bad, whole.len()),
            (Err(_), _) => match std::str::from_utf8(rest) {
                Ok(_) => return (piece.len(), None),
                Err(bad) => (bad, 0),
            },
        };
        let at = skipped + before + bad.valid_up_to();
        let start = offset.saturating_add(wide(at));
        if bad.error_len().is_some() {
            return (at + 1, Some(JsonError::Utf8 { offset: start }));
        }
        for (place, byte) in self.bytes.iter_mut().zip(piece.get(at..).unwrap_or_default()) {
            *place = *byte;
        }
        (self.length, self.start) = (piece.len() - at, start);
        (piece.len(), None)
    }
}

/// How many bytes at the end belong to a character that more bytes of may come: at most 3.
fn cut_off(bytes: &[u8]) -> usize {
    let last = bytes.iter().rev().take(3).position(|byte| *byte >= 0xC0).map_or(0, |from_end| from_end + 1);
    match bytes.last() {
        Some(0x80..) => last,
        _ => 0,
    }
}
