//! Where in its frames one direction stands, and whether they are as they must be.

use super::frame::{CONTROL_BYTES_MAX, Header, Opcode};

/// How frames are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    /// Those of a client without extensions, by RFC 6455.
    Client,
    /// Those of a server without extensions, by RFC 6455.
    Server,
    /// Where frames begin and end, and nothing else: extensions may have changed the rest.
    Lenient,
}

/// A rule of RFC 6455 was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Broken(pub &'static str);

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// More bytes are needed; none was taken.
    More,
    /// A frame begins; so many bytes are its header. Without payload it ends there.
    Head(Header, usize),
    /// So many bytes of its payload, from this one on.
    Payload(Header, usize, u64),
}

/// Reads along with one direction.
#[derive(Clone, Debug)]
pub struct Reader {
    rules: Rules,
    /// The frame, and how much of its payload has come.
    frame: Option<(Header, u64)>,
    /// A message has begun that has not ended.
    message: bool,
    closed: bool,
}

impl Reader {
    /// At the first frame.
    pub const fn new(rules: Rules) -> Self {
        Self { rules, frame: None, message: false, closed: false }
    }

    /// True where a frame may begin.
    pub const fn is_between(&self) -> bool {
        self.frame.is_none()
    }

    /// True once a close frame has come whole.
    pub const fn has_closed(&self) -> bool {
        self.closed && self.frame.is_none()
    }

    /// Reads on in the bytes that follow all that were taken.
    pub(super) fn step(&mut self, bytes: &[u8]) -> Result<Step, Broken> {
        if let Some((header, at)) = self.frame {
            if bytes.is_empty() {
                return Ok(Step::More);
            }
            let left = usize::try_from(header.length.saturating_sub(at)).unwrap_or(usize::MAX);
            let taken = left.min(bytes.len());
            let next = at.saturating_add(taken as u64);
            self.frame = (next < header.length).then_some((header, next));
            return Ok(Step::Payload(header, taken, at));
        }
        let Some((header, taken)) = Header::parse(bytes) else { return Ok(Step::More) };
        if self.rules != Rules::Lenient {
            self.check(&header, taken)?;
        }
        if !header.opcode.is_control() {
            self.message = !header.fin;
        }
        self.closed |= header.opcode == Opcode::Close;
        self.frame = (header.length > 0).then_some((header, 0));
        Ok(Step::Head(header, taken))
    }

    /// RFC 6455 sections 5.1, 5.2, 5.4 and 5.5.
    fn check(&self, header: &Header, spelled: usize) -> Result<(), Broken> {
        let rule = match header.opcode {
            _ if header.rsv != 0 => "a reserved bit without an extension",
            Opcode::Reserved(_) => "a reserved opcode",
            _ if self.rules == Rules::Client && header.mask.is_none() => "a frame of a client that is not masked",
            _ if self.rules == Rules::Server && header.mask.is_some() => "a frame of a server that is masked",
            _ if spelled != header.size() => "a length that is spelled longer than it need be",
            _ if i64::try_from(header.length).is_err() => "a length of more than 63 bits",
            opcode if opcode.is_control() => match (header.fin, header.length) {
                (false, _) => "a control frame in fragments",
                (true, length) if length > CONTROL_BYTES_MAX as u64 => "a control frame that is too long",
                (true, 1) if opcode == Opcode::Close => "half a status in a close frame",
                (true, _) => return Ok(()),
            },
            _ if self.closed => "a message behind a close frame",
            Opcode::Continuation if !self.message => "a continuation of nothing",
            Opcode::Text | Opcode::Binary if self.message => "a message within a message",
            _ => return Ok(()),
        };
        Err(Broken(rule))
    }
}
