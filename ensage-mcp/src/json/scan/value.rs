//! Where values and names begin and end: what of them is told.

use super::pass::{Leaf, Pass, State};
use super::text::{Last, Role};
use super::{Scanner, names::Likeness};
use crate::json::want::{Tells, Twins, head};
use crate::json::{Found, JsonError, Kind, Known, Object, Want, What};

impl<F: FnMut(Found<'_>)> Pass<'_, F> {
    /// A value of no parts begins at `at`.
    pub(super) fn begin_scalar(&mut self, kind: Kind) {
        if self.is_skipping() {
            return;
        }
        let want = self.wanted();
        self.begin_leaf(want);
        if matches!(want.tells, Tells::Span | Tells::Bytes) {
            self.tell_begin(want, kind);
        }
    }

    /// A string that is a value begins at `at`.
    pub(super) fn begin_text(&mut self) -> Result<(), JsonError> {
        self.begin_scalar(Kind::Text);
        let told = !self.is_skipping() && self.scanner.leaf.want.tells == Tells::Value;
        let here = self.here();
        self.scanner.text.begin(here, if told { Role::ToldValue } else { Role::Value });
        self.scanner.state = State::Text;
        self.at += 1;
        self.text()
    }

    /// A container begins at `at`.
    pub(super) fn open(&mut self, byte: u8) -> Result<(), JsonError> {
        if self.scanner.depth >= self.scanner.limits.depth {
            return Err(JsonError::Depth { offset: self.here() });
        }
        let is_object = byte == b'{';
        if !self.is_skipping() {
            let want = self.wanted();
            let (object, each) = if is_object { (want.object, None) } else { (None, want.each) };
            if want.tells != Tells::Bytes && (object.is_some() || each.is_some()) {
                let names_from = self.scanner.names.len();
                let next = each.unwrap_or(&Want::NOTHING);
                let start = self.here();
                // One by one: what is written in small parts should not be read in one large one soon after.
                if let Some(frame) = self.scanner.frames.add() {
                    frame.want = want;
                    frame.object = object;
                    frame.next = next;
                    frame.start = start;
                    frame.seen = 0;
                    frame.names_from = names_from;
                    frame.twin_told = false;
                }
            } else {
                self.begin_leaf(want);
            }
            if want.tells != Tells::Nothing {
                self.tell_begin(want, if is_object { Kind::Object } else { Kind::Array });
            }
        }
        self.scanner.depth += 1;
        self.scanner.kinds = self.scanner.kinds << 1 | u64::from(is_object);
        self.scanner.state = if is_object { State::NameOrEnd } else { State::ValueOrEnd };
        self.at += 1;
        Ok(())
    }

    /// The innermost container should end at `at`.
    pub(super) fn close(&mut self, byte: u8) -> Result<(), JsonError> {
        if byte != if self.in_object() { b'}' } else { b']' } {
            return Err(self.unexpected());
        }
        self.at += 1;
        self.scanner.depth -= 1;
        self.scanner.kinds >>= 1;
        self.closed();
        Ok(())
    }

    /// A container has ended before `at`.
    pub(super) fn closed(&mut self) {
        let end = self.end();
        let Scanner { depth, frames, names, .. } = &mut *self.scanner;
        if frames.len() > *depth {
            if let Some(frame) = frames.top() {
                let (want, start) = (frame.want, frame.start);
                names.leave(frame.names_from);
                frames.leave();
                if want.tells != Tells::Nothing {
                    (self.found)(Found { tag: want.tag, span: start..end, what: What::End });
                }
            }
            self.value_is_over();
        } else if self.is_skipping() {
            self.scanner.state = State::Comma;
        } else {
            self.leaf_ends();
        }
    }

    /// A value of no parts has ended before `at`; this is what it is.
    pub(super) fn value_ends(&mut self, what: Option<What<'_>>) {
        if self.is_skipping() {
            self.scanner.state = State::Comma;
            return;
        }
        let Leaf { want, start, .. } = self.scanner.leaf;
        let span = start..self.end();
        match (want.tells, what) {
            (Tells::Value, Some(what)) => (self.found)(Found { tag: want.tag, span, what }),
            (Tells::Value | Tells::Nothing, _) => {}
            (Tells::Span | Tells::Bytes, _) => return self.leaf_ends(),
        }
        self.value_is_over();
    }

    /// As [`Pass::value_ends`], for a string that is told, of which this piece has the last part.
    pub(super) fn told_text_ends(&mut self, last: Last<'_>) {
        let Leaf { want, start, .. } = self.scanner.leaf;
        let span = start..self.end();
        let what = match self.scanner.text.end(last, self.scanner.limits.text) {
            Some(ended) => What::Text { text: ended.text, raw: ended.raw },
            None => What::LongText,
        };
        (self.found)(Found { tag: want.tag, span, what });
        self.value_is_over();
    }

    /// As [`Pass::value_ends`], for a number.
    pub(super) fn number_ends(&mut self, last: &[u8]) -> Result<(), JsonError> {
        let skipping = self.is_skipping();
        let end = self.end();
        let text = self.scanner.number.end(last)?;
        let Leaf { want, start, .. } = self.scanner.leaf;
        if !skipping && want.tells == Tells::Value {
            (self.found)(Found { tag: want.tag, span: start..end, what: What::Number(text) });
        }
        self.value_ends(None);
        Ok(())
    }

    /// A name in an object that is interpreted has ended before `at`, of which this piece has the last part.
    pub(super) fn name_ends(&mut self, last: Last<'_>) -> Result<(), JsonError> {
        let end = self.end();
        let Scanner { text, frames, names, limits, .. } = &mut *self.scanner;
        let start = text.start;
        let Some(frame) = frames.top() else { return Ok(()) };
        let Some(object) = frame.object else { return Ok(()) };
        let Some(name) = text.end(last, limits.text) else { return Err(JsonError::Length { offset: start }) };
        let name = name.text;
        let likeness = if let Some((index, member)) = known(object, name.as_bytes()) {
            frame.next = &member.want;
            let bit = 1 << index;
            let before = frame.seen;
            frame.seen |= bit;
            if before & bit == 0 { Likeness::None } else { Likeness::Equal }
        } else {
            frame.next = object.others.unwrap_or(&Want::NOTHING);
            if names.len() >= limits.names {
                return Err(JsonError::Members { offset: start });
            }
            if imitates(object, name) { Likeness::Folded } else { names.add(frame.names_from, name) }
        };
        let twin = match likeness {
            Likeness::None => None,
            Likeness::Folded => Some(JsonError::Twin { offset: start }),
            Likeness::Equal => Some(JsonError::Duplicate { offset: start }),
        };
        if let Some(twin) = twin {
            if object.twins == Twins::Refused {
                return Err(twin);
            }
            if !std::mem::replace(&mut frame.twin_told, true) {
                (self.found)(Found { tag: frame.want.tag, span: start..end, what: What::Twin(twin) });
            }
        }
        if let Some(others) = object.others
            && std::ptr::eq(others, frame.next)
        {
            (self.found)(Found { tag: others.tag, span: start..end, what: What::Name(name) });
        }
        Ok(())
    }

    /// Tells the bytes before the index `to` of a value whose bytes are asked for.
    pub(super) fn tell_bytes(&mut self, to: usize) {
        let Leaf { want, told_to: Some(from), .. } = self.scanner.leaf else { return };
        let bytes = self.bytes.get(from..to).unwrap_or_default();
        if !bytes.is_empty() {
            let span = self.scanner.offset + super::wide(from)..self.scanner.offset + super::wide(to);
            (self.found)(Found { tag: want.tag, span, what: What::Bytes(bytes) });
        }
        self.scanner.leaf.told_to = Some(to);
    }

    fn wanted(&mut self) -> &'static Want {
        match self.scanner.frames.top() {
            Some(frame) => frame.next,
            None => self.scanner.root,
        }
    }

    fn begin_leaf(&mut self, want: &'static Want) {
        let told_to = (want.tells == Tells::Bytes).then_some(self.at);
        self.scanner.leaf = Leaf { want, start: self.here(), told_to };
    }

    fn tell_begin(&mut self, want: &'static Want, kind: Kind) {
        let here = self.here();
        (self.found)(Found { tag: want.tag, span: here..here + 1, what: What::Begin(kind) });
    }

    /// The leaf ends before `at`, which was told to begin if anything of it is told.
    fn leaf_ends(&mut self) {
        self.tell_bytes(self.at);
        let Leaf { want, start, .. } = self.scanner.leaf;
        self.scanner.leaf.told_to = None;
        let span = start..self.end();
        if want.tells != Tells::Nothing {
            (self.found)(Found { tag: want.tag, span, what: What::End });
        }
        self.value_is_over();
    }

    /// A value that is not inside a skipped one is over.
    #[inline]
    fn value_is_over(&mut self) {
        if self.scanner.depth == 0 {
            self.scanner.state = State::Done;
        } else if self.bytes.get(self.at) == Some(&b',') {
            self.at += 1;
            self.scanner.state = if self.in_object() { State::Name } else { State::Value };
        } else {
            self.scanner.state = State::Comma;
        }
    }
}

/// The member of exactly that name.
#[inline]
pub(super) fn known(object: &'static Object, name: &[u8]) -> Option<(usize, &'static Known)> {
    let head = head(name);
    object.members.iter().enumerate().find(|(_, member)| {
        member.head == head && member.name.len() == name.len() && (name.len() <= 8 || member.name.as_bytes() == name)
    })
}

/// True if the name differs only in case from one that the object knows.
fn imitates(object: &Object, name: &str) -> bool {
    let folded = if name.is_ascii() { name.into() } else { crate::json::twin::fold(name) };
    // The names that are known are ASCII: folded, they are in lower case.
    object.members.iter().any(|member| member.name.eq_ignore_ascii_case(&folded))
}
