//! The format of a segment: a header, then frames of length, chain hash and payload.
//!
//! ```text
//! header   8  magic "ENSAGSEG"
//!          4  version (3), little-endian
//!          8  seq of the first record, little-endian
//!         32  chain hash of the record before it (zeros before the first of all)
//! frame    4  length of the payload, little-endian
//!         32  chain hash of the record before
//!         32  chain hash = SHA-256(chain hash of the record before ‖ payload)
//!          n  payload: one JSON object on one line, with its line feed
//! ```
//!
//! A payload lacks `prev`, which its frame has. In a call, behind `severity`, stand
//!
//! - `like`: the `seq` of a call in the same segment that has all that follows `exchange` in the very same words; then
//!   nothing follows it here. Its own `seq` where later ones may be like it.
//! - `exchange`: in full, or 1 where it is the call's id but for the last bit;
//! - those of `session`, `process` and `policy` that it has, each in full, or as the `seq` of a call in the same segment
//!   that has the same one in full.
//!
//! What calls name are the last 256 KiB of such texts, as readers get them; a longer one always stands in full. Readers
//! get records without all this: see [`Lead`].

use std::io::{self, Read, Seek, SeekFrom};

use sha2::{Digest, Sha256};

/// A chain hash.
pub(crate) type Hash = [u8; 32];

/// What stands before the first record of all.
pub(crate) const GENESIS: Hash = [0; 32];
pub(crate) const MAGIC: [u8; 8] = *b"ENSAGSEG";
pub(crate) const VERSION: u32 = 3;
pub(crate) const HEADER_BYTES: u64 = 52;
pub(crate) const FRAME_BYTES: usize = 68;
/// Longest payload. A record with every text and list at its bound stays below.
pub(crate) const RECORD_BYTES_MAX: usize = 1 << 20;
/// How every payload begins; finds the next frame behind damage.
pub(crate) const PAYLOAD_START: &[u8] = b"{\"v\":1,\"seq\":";
/// What is read at once.
const CHUNK_BYTES: usize = 128 * 1024;

/// The chain hash of `payload` behind `prev`.
pub(crate) fn chain(prev: &Hash, payload: &[u8]) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update(prev);
    hasher.update(payload);
    hasher.finalize().into()
}

/// Writes what stands before a payload.
pub(crate) fn write_head(head: &mut [u8; FRAME_BYTES], payload_bytes: usize, prev: &Hash, hash: &Hash) {
    let (length, hashes) = head.split_at_mut(FRAME_BYTES - 2 * hash.len());
    length.copy_from_slice(&u32::try_from(payload_bytes).unwrap_or(u32::MAX).to_le_bytes());
    let (before, own) = hashes.split_at_mut(prev.len());
    before.copy_from_slice(prev);
    own.copy_from_slice(hash);
}

/// What stands before a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) payload_bytes: usize,
    /// Chain hash of the record before, as the frame has it.
    pub(crate) prev: Hash,
    pub(crate) hash: Hash,
}

impl Head {
    pub(crate) fn of(head: &[u8; FRAME_BYTES]) -> Option<Self> {
        let (length, rest) = head.split_first_chunk::<4>()?;
        let (prev, rest) = rest.split_first_chunk()?;
        let (hash, _) = rest.split_first_chunk()?;
        Some(Self { payload_bytes: usize::try_from(u32::from_le_bytes(*length)).ok()?, prev: *prev, hash: *hash })
    }
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut out = Vec::with_capacity(bytes.len() * 2);
    push_hex(&mut out, bytes);
    String::from_utf8(out).unwrap_or_default()
}

/// Appends lower-case hex.
pub(crate) fn push_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
    out.extend(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
}

/// Reads lower-case hex of exactly `N` bytes.
pub(crate) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |b: &u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    if text.len() != N * 2 {
        return None;
    }
    let mut out = [0; N];
    for (pair, byte) in text.as_bytes().chunks_exact(2).zip(&mut out) {
        let [high, low] = pair else { return None };
        *byte = digit(high)? << 4 | digit(low)?;
    }
    Some(out)
}

/// The head of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) first_seq: u64,
    pub(crate) prev: Hash,
}

/// Why a header can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderFault {
    Short,
    Magic,
    Version(u32),
}

impl Header {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(52);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.first_seq.to_le_bytes());
        out.extend_from_slice(&self.prev);
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, HeaderFault> {
        let (magic, rest) = bytes.split_first_chunk::<8>().ok_or(HeaderFault::Short)?;
        let (version, rest) = rest.split_first_chunk().ok_or(HeaderFault::Short)?;
        let (first_seq, rest) = rest.split_first_chunk().ok_or(HeaderFault::Short)?;
        let (prev, _) = rest.split_first_chunk().ok_or(HeaderFault::Short)?;
        let version = u32::from_le_bytes(*version);
        if *magic != MAGIC {
            return Err(HeaderFault::Magic);
        }
        if version != VERSION {
            return Err(HeaderFault::Version(version));
        }
        Ok(Self { first_seq: u64::from_le_bytes(*first_seq), prev: *prev })
    }
}

/// Where a frame of a segment lies. `end` is where the next one begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) offset: u64,
    pub(crate) head: Head,
    pub(crate) end: u64,
}

/// What lies at an offset of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    /// A frame that fits.
    Frame(Frame),
    /// The end of the file, exactly.
    End,
    /// The file ends within the frame.
    Short,
    /// A length that no frame has.
    Broken,
}

/// Reads frames at any offset of a segment through one buffer that grows to the longest record at most.
#[derive(Debug)]
pub(crate) struct SegmentReader<R> {
    source: R,
    /// Offset of the buffer's first byte.
    start: u64,
    buffer: Vec<u8>,
}

impl<R: Read + Seek> SegmentReader<R> {
    pub(crate) fn new(source: R) -> Self {
        Self { source, start: 0, buffer: Vec::new() }
    }

    pub(crate) fn header(&mut self) -> io::Result<Result<Header, HeaderFault>> {
        let bytes = self.bytes(0, usize::try_from(HEADER_BYTES).unwrap_or(usize::MAX))?;
        Ok(Header::decode(bytes))
    }

    /// The version of a segment that this program can't read. Its header is believed: the frames of two versions may
    /// look the same, and a segment that can't be read is never taken for an intact one.
    pub(crate) fn other_version(&mut self) -> io::Result<Option<u32>> {
        Ok(match self.header()? {
            Err(HeaderFault::Version(version)) => Some(version),
            Ok(_) | Err(HeaderFault::Magic | HeaderFault::Short) => None,
        })
    }

    /// What lies at `offset`.
    pub(crate) fn at(&mut self, offset: u64) -> io::Result<At> {
        let head = self.bytes(offset, FRAME_BYTES)?;
        let Some((length, _)) = head.split_first_chunk::<4>() else {
            return Ok(if head.is_empty() { At::End } else { At::Short });
        };
        let payload_bytes = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        if payload_bytes <= PAYLOAD_START.len() || payload_bytes > RECORD_BYTES_MAX {
            return Ok(At::Broken);
        }
        let Some(head) = head.first_chunk().and_then(Head::of) else { return Ok(At::Short) };
        let end = offset.saturating_add((FRAME_BYTES + payload_bytes) as u64);
        let frame = Frame { offset, head, end };
        let whole = self.bytes(offset, FRAME_BYTES + payload_bytes)?.len() == FRAME_BYTES + payload_bytes;
        Ok(if whole { At::Frame(frame) } else { At::Short })
    }

    /// The payload of a frame that [`Self::at`] found.
    pub(crate) fn payload(&mut self, frame: &Frame) -> io::Result<&[u8]> {
        let offset = frame.offset.saturating_add(FRAME_BYTES as u64);
        self.bytes(offset, frame.head.payload_bytes)
    }

    /// The payload again, if it is still in the buffer: for callers that have just read it.
    pub(crate) fn buffered(&self, frame: &Frame) -> Option<&[u8]> {
        let from = usize::try_from(frame.offset.checked_sub(self.start)?).ok()? + FRAME_BYTES;
        self.buffer.get(from..from + frame.head.payload_bytes)
    }

    /// The first frame behind `offset` that is intact by itself: where reading goes on behind damage.
    ///
    /// Cost: one pass over what lies between, and a hash for each thing that looks like a record.
    pub(crate) fn resync(&mut self, offset: u64) -> io::Result<Option<(Frame, Place)>> {
        let mut from = offset.saturating_add(1);
        loop {
            let window = self.bytes(from, CHUNK_BYTES)?;
            let found = window.windows(PAYLOAD_START.len()).position(|w| w == PAYLOAD_START);
            let window_bytes = window.len();
            let Some(found) = found else {
                if window_bytes < CHUNK_BYTES {
                    return Ok(None);
                }
                from = from.saturating_add((window_bytes - PAYLOAD_START.len()) as u64);
                continue;
            };
            let payload = from.saturating_add(found as u64);
            if let Some(start) = payload.checked_sub(FRAME_BYTES as u64)
                && start > offset
                && let At::Frame(frame) = self.at(start)?
                && let Some(place) = self.own_place(&frame)?
            {
                return Ok(Some((frame, place)));
            }
            from = payload.saturating_add(1);
        }
    }

    /// Where a frame says that it belongs, if its hash agrees with that.
    pub(crate) fn own_place(&mut self, frame: &Frame) -> io::Result<Option<Place>> {
        let payload = self.payload(frame)?;
        Ok(Place::of(payload).filter(|_| chain(&frame.head.prev, payload) == frame.head.hash))
    }

    /// True if everything behind the frame head at `offset` is one intact record: then its length was changed.
    pub(crate) fn rest_is_record(&mut self, offset: u64) -> io::Result<bool> {
        let rest = self.bytes(offset, FRAME_BYTES + RECORD_BYTES_MAX + 1)?;
        let Some((head, payload)) = rest.split_first_chunk::<FRAME_BYTES>() else { return Ok(false) };
        Ok(Place::of(payload).is_some() && Head::of(head).is_some_and(|head| chain(&head.prev, payload) == head.hash))
    }

    /// Up to `want` bytes from `offset`; fewer only at the end of the file.
    fn bytes(&mut self, offset: u64, want: usize) -> io::Result<&[u8]> {
        let held = |reader: &Self| {
            let from = offset.checked_sub(reader.start).and_then(|n| usize::try_from(n).ok())?;
            (from + want <= reader.buffer.len()).then_some(from)
        };
        let from = match held(self) {
            Some(from) => from,
            None => {
                self.load(offset, want.max(CHUNK_BYTES))?;
                0
            }
        };
        let end = (from + want).min(self.buffer.len());
        Ok(self.buffer.get(from..end).unwrap_or_default())
    }

    fn load(&mut self, offset: u64, want: usize) -> io::Result<()> {
        self.buffer.clear();
        self.start = offset;
        self.source.seek(SeekFrom::Start(offset))?;
        let want = u64::try_from(want).unwrap_or(u64::MAX);
        self.source.by_ref().take(want).read_to_end(&mut self.buffer)?;
        Ok(())
    }
}

/// What a payload says about its own place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) seq: u64,
    pub(crate) time: String,
}

impl Place {
    pub(crate) fn of(payload: &[u8]) -> Option<Self> {
        #[derive(serde::Deserialize)]
        struct Stored<'a> {
            v: u64,
            seq: u64,
            time: &'a str,
        }
        let line = payload.strip_suffix(b"\n")?;
        let stored: Stored<'_> = serde_json::from_slice(line).ok()?;
        if stored.v != 1 {
            return None;
        }
        Some(Self { seq: stored.seq, time: stored.time.to_owned() })
    }
}

/// How a stored line begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lead<'a> {
    pub(crate) seq: u64,
    pub(crate) kind: &'a str,
    pub(crate) id: &'a str,
    /// Up to and with its id.
    pub(crate) text: &'a str,
    /// `,"severity":"…"`
    pub(crate) severity: &'a str,
    /// What follows, from the comma on.
    pub(crate) rest: &'a str,
}

impl<'a> Lead<'a> {
    /// Takes apart what the log's front has put together; `None` for anything else.
    pub(crate) fn of(line: &'a str) -> Option<Self> {
        let rest = line.strip_prefix(std::str::from_utf8(PAYLOAD_START).ok()?)?;
        let (seq, rest) = rest.split_once(",\"time\":\"")?;
        let (_, rest) = rest.split_once("\",\"kind\":\"")?;
        let (kind, rest) = rest.split_once("\",\"id\":\"")?;
        let (id, rest) = rest.split_once('"')?;
        let text = line.get(..line.len() - rest.len())?;
        let (_, after) = rest.strip_prefix(",\"severity\":\"")?.split_once('"')?;
        let severity = rest.get(..rest.len() - after.len())?;
        Some(Self { seq: seq.parse().ok()?, kind, id, text, severity, rest: after })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn headers() {
        let header = Header { first_seq: 7, prev: [3; 32] };
        let bytes = header.encode();
        assert_eq!(bytes.len() as u64, HEADER_BYTES);
        assert_eq!(Header::decode(&bytes), Ok(header));
        assert_eq!(Header::decode(&bytes[..51]), Err(HeaderFault::Short));
        let mut other = bytes.clone();
        other[0] ^= 1;
        assert_eq!(Header::decode(&other), Err(HeaderFault::Magic));
        let mut newer = bytes;
        newer[8] = 4;
        assert_eq!(Header::decode(&newer), Err(HeaderFault::Version(4)));
    }

    #[test]
    fn hex_reads_back_and_is_strict() {
        assert_eq!(unhex::<3>(&hex(&[0, 0xab, 0xff])), Some([0, 0xab, 0xff]));
        for bad in ["00ABff", "00abf", "00abfff0", "00abf ", ""] {
            assert_eq!(unhex::<3>(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), offset in 0u64..500) {
            let mut reader = SegmentReader::new(Cursor::new(&bytes));
            let _ = reader.header().unwrap();
            if let At::Frame(frame) = reader.at(offset).unwrap() {
                prop_assert!(frame.end as usize <= bytes.len());
            }
            let _ = reader.resync(offset).unwrap();
        }
    }
}
