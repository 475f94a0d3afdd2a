//! HPACK (RFC 7541), the reading side: blocks of bytes to field lines, as they were sent.

mod huffman;
mod table;

#[cfg(test)]
mod tests;

use std::ops::ControlFlow;

use bytes::Bytes;

use super::lines::{Line, Name};
use table::Table;

/// What ends the connection: the two sides can not know any more what the other's table holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Error {
    /// The block is not coded by the rules.
    Coding,
    /// Whoever takes its lines has had enough.
    Enough,
}

/// What a connection's blocks are read by.
#[derive(Debug)]
pub(super) struct Decoder {
    table: Table,
    /// Of the string that is read.
    room: Vec<u8>,
}

/// A string that is longer leaves no room behind.
const ROOM_BYTES: usize = 1024;

impl Decoder {
    /// For a peer that was told no other size of the table than the one it begins with (RFC 9113 section 6.5.2).
    pub(super) fn new() -> Self {
        Self { table: Table::default(), room: Vec::new() }
    }

    /// Reads one whole block. `take` gets each line, in order, with the bytes of its name and value.
    ///
    /// # Errors
    /// [`Error`]; nothing more can be read then.
    pub(super) fn read(
        &mut self,
        block: &[u8],
        mut take: impl FnMut(Line, usize) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let mut rest = Rest(block);
        let mut begun = false;
        while let Some(&first) = rest.0.first() {
            let (line, bytes) = match first {
                0x80.. => {
                    let index = rest.number(7)?;
                    let entry = self.table.entry(index).ok_or(Error::Coding)?;
                    (entry.line.clone(), entry.bytes)
                }
                // A new size of the table, in front of all lines (section 4.2).
                0x20..0x40 => {
                    let size = rest.number(5)?;
                    if begun || !self.table.resize(size) {
                        return Err(Error::Coding);
                    }
                    continue;
                }
                0x40..0x80 => {
                    let (name, line, bytes) = self.literal(&mut rest, 6)?;
                    self.table.insert(name, line.clone(), bytes);
                    (line, bytes)
                }
                0x00..0x20 => {
                    let (_, mut line, bytes) = self.literal(&mut rest, 4)?;
                    if first >= 0x10 {
                        // Whoever sends it on must not index it either (section 6.2.3).
                        line.never_index();
                    }
                    (line, bytes)
                }
            };
            begun = true;
            if take(line, bytes).is_break() {
                return Err(Error::Enough);
            }
        }
        self.room.shrink_to(ROOM_BYTES);
        Ok(())
    }

    fn literal(&mut self, rest: &mut Rest<'_>, prefix: u32) -> Result<(Name, Line, usize), Error> {
        let (name, named) = match rest.number(prefix)? {
            0 => {
                let name = rest.string(&mut self.room)?;
                (Name::of(name), name.len())
            }
            index => {
                let entry = self.table.entry(index).ok_or(Error::Coding)?;
                (entry.name.clone(), entry.named)
            }
        };
        let value = rest.string(&mut self.room)?;
        let bytes = named.saturating_add(value.len());
        let line = Line::of(&name, Bytes::copy_from_slice(value));
        Ok((name, line, bytes))
    }
}

/// What is left of a block.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn byte(&mut self) -> Result<u8, Error> {
        let (&first, rest) = self.0.split_first().ok_or(Error::Coding)?;
        self.0 = rest;
        Ok(first)
    }

    /// An integer whose first byte has it in its lower `prefix` bits (section 5.1). No index and no length needs more
    /// than four bytes besides.
    fn number(&mut self, prefix: u32) -> Result<usize, Error> {
        let most = (1_usize << prefix) - 1;
        let mut number = usize::from(self.byte()?) & most;
        if number < most {
            return Ok(number);
        }
        for shift in [0, 7, 14, 21] {
            let byte = self.byte()?;
            number = number.saturating_add((usize::from(byte) & 0x7f) << shift);
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Error::Coding)
    }

    /// A string, plain or coded (section 5.2); coded, it is in `room` then.
    fn string<'r>(&mut self, room: &'r mut Vec<u8>) -> Result<&'r [u8], Error>
    where
        'a: 'r,
    {
        let coded = self.0.first().is_some_and(|first| *first >= 0x80);
        let length = self.number(7)?;
        let (string, rest) = self.0.split_at_checked(length).ok_or(Error::Coding)?;
        self.0 = rest;
        if !coded {
            return Ok(string);
        }
        room.clear();
        huffman::decode(string, room).ok_or(Error::Coding)?;
        Ok(room)
    }
}
