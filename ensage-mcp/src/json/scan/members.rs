//! The usual members of an interpreted object, in one go: known names, short strings, small whole numbers, no white space.
//!
//! Like the fast way it goes over nothing that the plain machine would not, and leaves the rest to it.

use super::pass::{Pass, State};
use super::value::known;
use super::{fast, wide};
use crate::json::want::Tells;
use crate::json::{Found, What};

/// Longer strings and numbers are the plain machine's.
const SHORT_MAX: usize = 16;

impl<'p, F: FnMut(Found<'_>)> Pass<'p, F> {
    /// At the opening quote of a name in an object that is interpreted; false if nothing was read.
    pub(super) fn members(&mut self) -> bool {
        let begin = self.at;
        while let Some(more) = self.member() {
            if !more {
                break;
            }
        }
        self.at > begin
    }

    /// One member; says whether the next one's name begins behind it. `None` for a member that is still in front.
    #[inline]
    fn member(&mut self) -> Option<bool> {
        let (bytes, begin) = (self.bytes, self.at);
        let name_end = self.short(begin + 1)?;
        if bytes.get(name_end + 1) != Some(&b':') || self.scanner.limits.text < SHORT_MAX {
            return None;
        }
        let scanner = &mut *self.scanner;
        let frame = scanner.frames.top()?;
        let (index, member) = known(frame.object?, bytes.get(begin + 1..name_end)?)?;
        let bit = 1 << index;
        if frame.seen & bit != 0 {
            return None;
        }
        scanner.members_left = scanner.members_left.checked_sub(1)?;
        frame.seen |= bit;
        frame.next = &member.want;
        let from = name_end + 2;
        (self.at, scanner.state) = (from, State::Value);

        // From here on the name is read, and the plain machine goes on with the value.
        let want = &member.want;
        if !matches!(want.tells, Tells::Value | Tells::Nothing) {
            return Some(false);
        }
        let (what, end) = match bytes.get(from) {
            Some(b'"') => {
                let Some(end) = self.short(from + 1) else { return Some(false) };
                let Some(text) = self.known_text(from + 1, end) else { return Some(false) };
                (What::Text { text, raw: text }, end + 1)
            }
            Some(b'1'..=b'9') => {
                let rest = bytes.get(from..).unwrap_or_default();
                let length = rest.iter().take(SHORT_MAX).take_while(|byte| byte.is_ascii_digit()).count();
                let Some(text) = self.known_text(from, from + length) else { return Some(false) };
                if !matches!(rest.get(length), Some(b',' | b'}')) {
                    return Some(false);
                }
                (What::Number(text), from + length)
            }
            _ => return Some(false),
        };
        if want.tells == Tells::Value {
            let span = self.scanner.offset + wide(from)..self.scanner.offset + wide(end);
            (self.found)(Found { tag: want.tag, span, what });
        }
        if bytes.get(end) == Some(&b',') && bytes.get(end + 1) == Some(&b'"') {
            (self.at, self.scanner.state) = (end + 1, State::Name);
            return Some(true);
        }
        (self.at, self.scanner.state) = (end, State::Comma);
        Some(false)
    }

    /// Where the string ends that has its first byte there, if it is short and plain.
    #[inline]
    fn short(&self, from: usize) -> Option<usize> {
        let end = fast::short_run(self.bytes, from).ok()?;
        (self.bytes.get(end) == Some(&b'"')).then_some(end)
    }

    /// These bytes as text, where that is known without another look.
    #[inline]
    pub(super) fn known_text(&self, from: usize, to: usize) -> Option<&'p str> {
        let text = self.text;
        text.get(from.checked_sub(self.text_from)?..to.checked_sub(self.text_from)?)
    }
}
