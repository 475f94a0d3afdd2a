//! The way over an event that is too long to be held.

/// Looks for the blank line that ends an event.
#[derive(Debug)]
pub(super) struct Skip {
    /// Nothing of the present line was seen.
    line_start: bool,
    /// The byte before was a CR that ended a line.
    after_cr: bool,
}

pub(super) enum Skipped {
    Starved,
    Ended,
}

impl Skip {
    /// In an event of which `held` was read.
    pub(super) fn after(held: &[u8]) -> Self {
        Self { line_start: matches!(held.last(), None | Some(b'\r' | b'\n')), after_cr: false }
    }

    /// Takes bytes off the front up to the end of the event. The LF of a last CR LF may stay: it is an empty
    /// event.
    pub(super) fn take(&mut self, input: &mut &[u8]) -> Skipped {
        while let Some((&byte, rest)) = input.split_first() {
            *input = rest;
            match byte {
                b'\n' if self.after_cr => self.after_cr = false,
                b'\r' | b'\n' if self.line_start => return Skipped::Ended,
                b'\r' | b'\n' => (self.line_start, self.after_cr) = (true, byte == b'\r'),
                _ => (self.line_start, self.after_cr) = (false, false),
            }
        }
        Skipped::Starved
    }
}
