//! Tests of frames: the same in any pieces, and out again as they went in.

mod passage;
mod rules;
mod scrubbing;

use proptest::prelude::*;

use super::*;

/// A frame to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Frame {
    header: Header,
    payload: Vec<u8>,
}

impl Frame {
    fn new(fin: bool, opcode: Opcode, payload: impl AsRef<[u8]>) -> Self {
        let payload = payload.as_ref().to_vec();
        Self { header: Header::unmasked(fin, opcode, payload.len() as u64), payload }
    }

    fn masked(mut self, key: [u8; 4]) -> Self {
        self.header.mask = Some(key);
        self
    }

    fn write(&self, out: &mut Vec<u8>) {
        self.header.write(out);
        let mut payload = self.payload.clone();
        if let Some(key) = self.header.mask {
            mask(&mut payload, key, 0);
        }
        out.extend(payload);
    }
}

fn bytes(frames: &[Frame]) -> Vec<u8> {
    let mut out = Vec::new();
    frames.iter().for_each(|frame| frame.write(&mut out));
    out
}

/// Takes whole frames apart.
fn frames(mut bytes: &[u8]) -> Vec<Frame> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let (header, taken) = Header::parse(bytes).unwrap();
        let (payload, rest) = bytes[taken..].split_at(usize::try_from(header.length).unwrap());
        let mut payload = payload.to_vec();
        if let Some(key) = header.mask {
            mask(&mut payload, key, 0);
        }
        all.push(Frame { header, payload });
        bytes = rest;
    }
    all
}

/// Cuts bytes into pieces of these lengths, repeated.
fn pieces<'a>(bytes: &'a [u8], lengths: &[usize]) -> Vec<&'a [u8]> {
    let (mut rest, mut all) = (bytes, Vec::new());
    for length in lengths.iter().cycle() {
        if rest.is_empty() {
            return all;
        }
        let (piece, later) = rest.split_at(rest.len().min(*length));
        all.push(piece);
        rest = later;
    }
    all
}

fn lengths() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(1..40_usize, 1..8)
}

/// Messages in fragments with control frames between them, as a side without extensions may send them.
fn talk() -> impl Strategy<Value = Vec<Frame>> {
    let word =
        prop_oneof![Just("hello "), Just("sk-real-"), Just("0123456789"), Just("sk-"), Just("sk-real-0123456789")];
    let payload = proptest::collection::vec(word, 0..12).prop_map(|words| words.concat());
    let control = prop_oneof![Just(Opcode::Ping), Just(Opcode::Pong)];
    let control = proptest::collection::vec((control, "[a-z]{0,9}"), 0..2);
    let fragment = (payload, control);
    let message = (any::<bool>(), proptest::collection::vec(fragment, 1..5));
    proptest::collection::vec(message, 0..5).prop_map(|messages| {
        let mut all = Vec::new();
        for (binary, fragments) in messages {
            let last = fragments.len() - 1;
            let mut opcode = if binary { Opcode::Binary } else { Opcode::Text };
            for (at, (payload, control)) in fragments.into_iter().enumerate() {
                all.push(Frame::new(at == last, opcode, payload));
                all.extend(control.into_iter().map(|(opcode, payload)| Frame::new(true, opcode, payload)));
                opcode = Opcode::Continuation;
            }
        }
        all
    })
}

proptest! {
    #[test]
    fn a_header_is_read_as_it_was_written(
        fin: bool, rsv in 0..8_u8, nibble in 0..16_u8, key in proptest::option::of(any::<[u8; 4]>()),
        length in prop_oneof![0..200_u64, 65_500..65_600_u64, any::<u64>()], more: [u8; 3],
    ) {
        let (opcode, _) = Header::parse(&[nibble, 0]).unwrap();
        let header = Header { fin, rsv, opcode: opcode.opcode, mask: key, length };
        let mut out = Vec::new();
        header.write(&mut out);
        prop_assert_eq!(out.len(), header.size());
        for short in 0..out.len() {
            prop_assert_eq!(Header::parse(&out[..short]), None);
        }
        let size = out.len();
        out.extend(more);
        prop_assert_eq!(Header::parse(&out), Some((header, size)));
    }

    #[test]
    fn a_mask_is_the_same_in_any_pieces(text in ".{0,80}", key: [u8; 4], at in 0..9_u64, lengths in lengths()) {
        let mut whole = text.clone().into_bytes();
        mask(&mut whole, key, at);
        let (mut parts, mut so_far) = (Vec::new(), at);
        for piece in pieces(text.as_bytes(), &lengths) {
            let mut piece = piece.to_vec();
            mask(&mut piece, key, so_far);
            so_far += piece.len() as u64;
            parts.extend(piece);
        }
        prop_assert_eq!(&parts, &whole);
        for (place, (byte, clear)) in whole.iter().zip(text.bytes()).enumerate() {
            prop_assert_eq!(*byte, clear ^ key[(place + usize::try_from(at).unwrap()) % 4]);
        }
    }
}
