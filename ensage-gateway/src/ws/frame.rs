//! The head of one frame, and the masking of what follows it (RFC 6455 sections 5.2 and 5.3).

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// Goes on with a message.
    Continuation,
    /// Begins a message of text.
    Text,
    /// Begins a message of bytes.
    Binary,
    /// The last frame of its side.
    Close,
    /// Asks for a pong.
    Ping,
    /// Answers a ping.
    Pong,
    /// Has no meaning.
    Reserved(u8),
}

impl Opcode {
    const fn of(nibble: u8) -> Self {
        match nibble {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            other => Self::Reserved(other),
        }
    }

    const fn nibble(self) -> u8 {
        match self {
            Self::Continuation => 0,
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
            Self::Reserved(other) => other & 15,
        }
    }

    /// Control frames stand between the frames of a message, and are no part of it.
    pub const fn is_control(self) -> bool {
        self.nibble() & 8 != 0
    }
}

/// Everything of a frame but its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The last frame of its message.
    pub fin: bool,
    /// The three reserved bits; extensions give them a meaning.
    pub rsv: u8,
    /// What it is.
    pub opcode: Opcode,
    /// The key of its payload, if that is masked.
    pub mask: Option<[u8; 4]>,
    /// Bytes of the payload.
    pub length: u64,
}

/// Most payload of a control frame.
pub(super) const CONTROL_BYTES_MAX: usize = 125;

impl Header {
    /// An unmasked frame.
    pub const fn unmasked(fin: bool, opcode: Opcode, length: u64) -> Self {
        Self { fin, rsv: 0, opcode, mask: None, length }
    }

    /// Reads a header and says how long it is; `None` if not all of it is there.
    pub fn parse(bytes: &[u8]) -> Option<(Self, usize)> {
        let (&[first, second], rest) = bytes.split_first_chunk()?;
        let (length, rest) = match second & 0x7f {
            126 => rest.split_first_chunk().map(|(length, rest)| (u64::from(u16::from_be_bytes(*length)), rest))?,
            127 => rest.split_first_chunk().map(|(length, rest)| (u64::from_be_bytes(*length), rest))?,
            length => (u64::from(length), rest),
        };
        let (mask, rest) = match second & 0x80 {
            0 => (None, rest),
            _ => rest.split_first_chunk().map(|(mask, rest)| (Some(*mask), rest))?,
        };
        let header = Self { fin: first & 0x80 != 0, rsv: first >> 4 & 7, opcode: Opcode::of(first & 15), mask, length };
        Some((header, bytes.len().saturating_sub(rest.len())))
    }

    /// How many bytes it takes, its length spelled as short as can be.
    pub const fn size(&self) -> usize {
        let length = match self.length {
            0..=125 => 2,
            126..=0xffff => 4,
            _ => 10,
        };
        if self.mask.is_some() { length + 4 } else { length }
    }

    /// Writes it.
    pub fn write(&self, out: &mut Vec<u8>) {
        let fin = if self.fin { 0x80 } else { 0 };
        let masked = if self.mask.is_some() { 0x80 } else { 0 };
        out.push(fin | (self.rsv & 7) << 4 | self.opcode.nibble());
        match (u8::try_from(self.length), u16::try_from(self.length)) {
            (Ok(length @ 0..=125), _) => out.push(masked | length),
            (_, Ok(length)) => {
                out.push(masked | 126);
                out.extend_from_slice(&length.to_be_bytes());
            }
            (_, Err(_)) => {
                out.push(masked | 127);
                out.extend_from_slice(&self.length.to_be_bytes());
            }
        }
        out.extend_from_slice(self.mask.as_ref().map_or(&[], |mask| mask.as_slice()));
    }
}

/// Masks, or unmasks, a part of a payload that begins at the byte `at` of it.
pub fn mask(bytes: &mut [u8], key: [u8; 4], at: u64) {
    let mut turned = key;
    turned.rotate_left(usize::try_from(at % 4).unwrap_or(0));
    let wide = u64::from_ne_bytes({
        let [a, b, c, d] = turned;
        [a, b, c, d, a, b, c, d]
    });
    let (words, rest) = bytes.as_chunks_mut();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(turned.iter().cycle()) {
        *byte ^= key;
    }
}

/// Writes a close frame with this status and reason, which is cut where a frame has no more room.
pub fn close(out: &mut Vec<u8>, key: Option<[u8; 4]>, status: u16, reason: &str) {
    let mut payload = status.to_be_bytes().to_vec();
    payload.extend_from_slice(reason.as_bytes());
    cut(Opcode::Close, &mut payload);
    Header { mask: key, ..Header::unmasked(true, Opcode::Close, payload.len() as u64) }.write(out);
    if let Some(key) = key {
        mask(&mut payload, key, 0);
    }
    out.extend_from_slice(&payload);
}

/// Makes a payload fit into a control frame; the reason of a close frame stays UTF-8.
pub(super) fn cut(opcode: Opcode, payload: &mut Vec<u8>) {
    let continues = |byte: Option<&u8>| byte.is_some_and(|byte| byte & 0xc0 == 0x80);
    if payload.len() > CONTROL_BYTES_MAX {
        let mut end = CONTROL_BYTES_MAX;
        while opcode == Opcode::Close && end > 2 && continues(payload.get(end)) {
            end -= 1;
        }
        payload.truncate(end);
    }
}
