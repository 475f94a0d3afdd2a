//! Heads of HTTP/2: what is accepted is, line by line, a head that the strict gate of HTTP/1 lets through.
#![no_main]

use ensage_gateway::gate::Limits;
use ensage_gateway::heads::{accepted, head, passes};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits { head_bytes_max: 512, head_lines_max: 8, target_bytes_max: 64 };
/// Framing that HTTP/2 has in its frames takes a line more in HTTP/1, and so does the host.
const ROOMY: Limits = Limits { head_bytes_max: 2048, head_lines_max: 16, target_bytes_max: 64 };

fuzz_target!(|input: (bool, &[u8])| {
    let (ends, text) = input;
    if let Some(lines) = head(text).and_then(|parts| accepted(parts, &LIMITS, ends)) {
        assert!(passes(&lines, ROOMY), "{}", String::from_utf8_lossy(&lines));
    }
});
