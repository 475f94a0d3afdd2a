//! WebSocket frames: what goes on is the same however the stream is cut, what is shown is what a plain second reader finds
//! in it, and what is scrubbed stands in frames by the rules and without the secret.
#![no_main]

use std::sync::{Arc, LazyLock};

use ensage_creds::{Patterns, Secret};
use ensage_gateway::ws::{Broken, HELD_BYTES_MAX, Header, Opcode, Passage, Rules, Scrubbing, Shown, Stop, mask};
use libfuzzer_sys::fuzz_target;

const SECRET: &[u8] = b"secretly";
/// Has no first byte in common with the secret, so that none of its own can stand before it.
const PLACEHOLDER: &str = "P";

static PATTERNS: LazyLock<Arc<Patterns>> =
    LazyLock::new(|| Patterns::new(&[(&Secret::from_stdin(SECRET.to_vec()).expect("a secret"), PLACEHOLDER)]));

/// What came of a stream: what went on, what was shown of messages and of control frames, and what broke it.
#[derive(Debug, Default, PartialEq)]
struct Came {
    out: Vec<u8>,
    data: Vec<u8>,
    control: Vec<u8>,
    broken: Option<Broken>,
}

fn passed(mut passage: Passage, stream: &[u8], piece: usize) -> Came {
    let (mut held, mut came) = (Vec::new(), Came::default());
    for some in stream.chunks(piece) {
        held.extend_from_slice(some);
        let free = passage.read(&held, |what, part| {
            match what {
                Shown::Data => came.data.extend_from_slice(part),
                Shown::Control => came.control.extend_from_slice(part),
            }
            Ok::<_, ()>(())
        });
        match free {
            Ok(free) => came.out.extend(held.drain(..free)),
            Err(Stop::Broken(broken)) => {
                came.broken = Some(broken);
                break;
            }
            Err(Stop::Refused(())) => unreachable!("nothing is refused"),
        }
        if held.len() >= HELD_BYTES_MAX {
            came.out.extend(held.drain(..passage.let_go()));
        }
    }
    came
}

fn scrubbed(stream: &[u8], piece: usize) -> (Vec<u8>, Option<Broken>) {
    let mut scrubbing = Scrubbing::new(PATTERNS.clone());
    let (mut held, mut out) = (Vec::new(), Vec::new());
    for some in stream.chunks(piece) {
        held.extend_from_slice(some);
        let mut made = Vec::new();
        match scrubbing.read(&held, held.len() >= HELD_BYTES_MAX, &mut made) {
            Ok(passed) => {
                out.extend_from_slice(&held[..passed.as_it_came]);
                out.extend(made);
                held.drain(..passed.taken);
            }
            Err(broken) => return (out, Some(broken)),
        }
    }
    (out, None)
}

/// The whole frames at the start of a stream.
fn frames(mut stream: &[u8]) -> Vec<(Header, Vec<u8>)> {
    let mut all = Vec::new();
    while let Some((header, size)) = Header::parse(stream) {
        let Ok(length) = usize::try_from(header.length) else { break };
        let Some(payload) = size.checked_add(length).and_then(|end| stream.get(size..end)) else { break };
        let mut clear = payload.to_vec();
        if let Some(key) = header.mask {
            mask(&mut clear, key, 0);
        }
        stream = &stream[size + length..];
        all.push((header, clear));
    }
    all
}

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, stream) = input;
    let piece = usize::from(piece).max(1);
    let whole = usize::MAX;

    // Lenient: nothing is refused, and what is held is at most the last frame.
    let came = passed(Passage::holding(Rules::Lenient), stream, whole);
    assert_eq!(passed(Passage::holding(Rules::Lenient), stream, piece), came);
    assert!(stream.starts_with(&came.out) && came.broken.is_none());
    let of = |control: bool| {
        let some = frames(&came.out).into_iter().filter(|(header, _)| header.opcode.is_control() == control);
        some.flat_map(|(_, payload)| payload).collect::<Vec<u8>>()
    };
    if came.out.len() < HELD_BYTES_MAX {
        assert!(came.data.starts_with(&of(false)) && came.control.starts_with(&of(true)));
    }
    let open = passed(Passage::open(), stream, piece);
    assert!(stream.starts_with(&open.out) && open.out.len() >= came.out.len() && open.data.is_empty());

    // By the rules: cut in any way it breaks at the same rule, and what went before it is the start of the stream.
    for rules in [Rules::Client, Rules::Server] {
        let (one, other) =
            (passed(Passage::holding(rules), stream, whole), passed(Passage::holding(rules), stream, piece));
        assert_eq!(one.broken, other.broken);
        assert!(stream.starts_with(&other.out));
        if one.broken.is_none() {
            assert_eq!(one, other);
        }
    }

    // Scrubbed: frames by the rules, and no secret in a message.
    let (one, broken) = scrubbed(stream, whole);
    let (other, cut_broken) = scrubbed(stream, piece);
    assert_eq!(broken, cut_broken);
    if broken.is_some() {
        return;
    }
    if stream.len() < HELD_BYTES_MAX {
        assert_eq!(one, other);
    }
    let again = passed(Passage::holding(Rules::Server), &one, whole);
    assert_eq!((again.broken, again.out.len()), (None, one.len()), "{one:x?}");
    let mut message = Vec::new();
    for (header, payload) in frames(&one) {
        if header.opcode.is_control() {
            continue;
        }
        if header.opcode != Opcode::Continuation {
            message.clear();
        }
        message.extend(payload);
        assert!(!message.windows(SECRET.len()).any(|some| some == SECRET), "{message:x?}");
    }
});
