//! However a stream is cut, four bytes of a secret are never shown, and what is no secret comes out as it went in.
#![no_main]

use ensage_creds::{Scrubber, Secret};
use libfuzzer_sys::fuzz_target;

/// No four bytes of it occur in what is shown instead, or twice in itself.
const SECRET: &[u8] = b"abcdabceabcf";
const SHOWN: &str = "<>";

fuzz_target!(|data: &[u8]| {
    let Some((&size, noise)) = data.split_first() else { return };
    let Ok(secret) = Secret::from_stdin(SECRET.to_vec()) else { return };

    // The input's own bytes with a secret for each `S`.
    let mut stream = Vec::new();
    let mut expected = Vec::new();
    for &byte in noise {
        match byte {
            b'S' => {
                stream.extend_from_slice(SECRET);
                expected.extend_from_slice(SHOWN.as_bytes());
            }
            b'a'..=b'f' | b'<' | b'>' => {}
            other => {
                stream.push(other);
                expected.push(other);
            }
        }
    }

    let mut scrubber = Scrubber::new(&[(&secret, SHOWN)]);
    let mut out = Vec::new();
    for chunk in stream.chunks(usize::from(size) + 1) {
        if scrubber.clean(chunk) {
            out.extend_from_slice(chunk);
        } else {
            scrubber.feed(chunk, &mut out);
        }
    }
    scrubber.finish(&mut out);

    assert!(!out.windows(4).any(|shown| SECRET.windows(4).any(|part| part == shown)), "a part of the secret is shown");
    // Up to three first bytes may have gone out before the rest was replaced.
    out.retain(|byte| !(b'a'..=b'f').contains(byte));
    assert_eq!(out, expected);
});
