//! Frames as they lie in a buffer (RFC 9113 sections 4.1 and 6).

/// Of a frame (section 4.1).
pub(super) const HEAD_BYTES: usize = 9;
pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const CONTINUATION: u8 = 9;
pub(super) const END_STREAM: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;
pub(super) const PADDED: u8 = 0x8;
pub(super) const PRIORITY: u8 = 0x20;
/// `:method GET`, `:scheme https`, `:path /`, by the static table.
const STUB: [u8; 3] = [0x82, 0x87, 0x84];

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Bytes behind it.
    pub(super) length: usize,
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

impl Head {
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let &[a, b, c, kind, flags, s, t, u, v] = bytes.first_chunk::<HEAD_BYTES>()?;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        Some(Self { length, kind, flags, stream: u32::from_be_bytes([s & 0x7f, t, u, v]) })
    }

    pub(super) const fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// A frame in the place of a block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stub {
    bytes: [u8; HEAD_BYTES + STUB.len()],
    length: usize,
}

impl Stub {
    fn new(kind: u8, flags: u8, stream: u32, payload: &[u8; STUB.len()], length: u8) -> Self {
        let [s, t, u, v] = stream.to_be_bytes();
        let [a, b, c] = *payload;
        let bytes = [0, 0, length, kind, flags, s, t, u, v, a, b, c];
        Self { bytes, length: HEAD_BYTES + usize::from(length) }
    }

    /// A request for `/`.
    pub(super) fn request(stream: u32, ends: bool) -> Self {
        let flags = if ends { END_HEADERS | END_STREAM } else { END_HEADERS };
        Self::new(HEADERS, flags, stream, &STUB, 3)
    }

    /// The end of a body.
    pub(super) fn end(stream: u32) -> Self {
        Self::new(DATA, END_STREAM, stream, &[0; 3], 0)
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// The part of a block that a frame has; `None` where its padding is longer than that.
pub(super) fn fragment(head: Head, payload: &[u8]) -> Option<&[u8]> {
    if head.kind == CONTINUATION {
        return Some(payload);
    }
    let (padding, payload) = match head.has(PADDED) {
        true => payload.split_first().map(|(padding, rest)| (usize::from(*padding), rest))?,
        false => (0, payload),
    };
    // What a stream hangs on is nothing to us (RFC 9113 section 5.3.2).
    let payload = payload.get(if head.has(PRIORITY) { 5 } else { 0 }..)?;
    payload.get(..payload.len().checked_sub(padding)?)
}

/// Moves `n` bytes to an earlier place.
pub(super) fn shift(bytes: &mut [u8], from: usize, to: usize, n: usize) {
    if from != to
        && let Some(room) = bytes.get_mut(to..from.saturating_add(n))
        && from.saturating_sub(to).saturating_add(n) <= room.len()
    {
        room.copy_within(from.saturating_sub(to).., 0);
    }
}

/// Puts a frame in front of what was read; false where there is no room for it.
pub(super) fn put(bytes: &mut [u8], shown: &mut usize, read: usize, stub: &Stub) -> bool {
    let stub = stub.as_slice();
    let end = shown.saturating_add(stub.len());
    let Some(room) = bytes.get_mut(*shown..end).filter(|_| end <= read) else { return false };
    room.copy_from_slice(stub);
    *shown = end;
    true
}
