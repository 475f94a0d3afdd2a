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

/// A piece that was looked at.
pub(super) struct Checked<'p> {
    /// What may be read of it.
    pub(super) bytes: &'p [u8],
    /// The most of it that is text by itself, from the index `text_from` on.
    pub(super) text: &'p str,
    pub(super) text_from: usize,
    /// What comes behind `bytes`.
    pub(super) bad: Option<JsonError>,
}

impl Pending {
    pub(super) const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Looks at the next piece, which begins at `offset`.
    ///
    /// The first byte of a bad sequence may be read too: outside of a string it is a trouble of its own, there and only
    /// there, whether or not the piece ends with it.
    pub(super) fn check<'p>(&mut self, piece: &'p [u8], offset: u64) -> Checked<'p> {
        let mut skipped = 0;
        while self.length > 0 {
            let all = Checked { bytes: piece, text: "", text_from: 0, bad: None };
            let Some(byte) = piece.get(skipped) else { return all };
            if let Some(place) = self.bytes.get_mut(self.length) {
                *place = *byte;
            }
            let so_far = self.bytes.get(..=self.length).unwrap_or_default();
            match std::str::from_utf8(so_far).map_err(|bad| bad.error_len()) {
                Ok(_) => self.length = 0,
                Err(None) => self.length += 1,
                Err(Some(_)) => {
                    return Checked { bytes: &[], bad: Some(JsonError::Utf8 { offset: self.start }), ..all };
                }
            }
            skipped += 1;
        }
        let rest = piece.get(skipped..).unwrap_or_default();
        // A character is often cut at the end: in front of it the fast way sees that all is well.
        let (whole, cut) = rest.split_at(rest.len() - cut_off(rest));
        let (text, bad) = match (simdutf8::basic::from_utf8(whole), std::str::from_utf8(cut)) {
            (Ok(text), Ok(_)) => (text, None),
            (Ok(text), Err(bad)) => (text, Some((text.len(), bad))),
            (Err(_), _) => ("", std::str::from_utf8(rest).err().map(|bad| (0, bad))),
        };
        let mut checked = Checked { bytes: piece, text, text_from: skipped, bad: None };
        let Some((before, bad)) = bad else { return checked };
        let at = skipped + before + bad.valid_up_to();
        let start = offset.saturating_add(wide(at));
        if bad.error_len().is_some() {
            checked.bytes = piece.get(..=at).unwrap_or_default();
            checked.bad = Some(JsonError::Utf8 { offset: start });
            return checked;
        }
        for (place, byte) in self.bytes.iter_mut().zip(piece.get(at..).unwrap_or_default()) {
            *place = *byte;
        }
        (self.length, self.start) = (piece.len() - at, start);
        checked
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
