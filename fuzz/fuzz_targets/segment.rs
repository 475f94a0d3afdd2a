//! Any bytes as a segment of the audit log: reading never panics, ends, and stays in bounded memory.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (records, damages) = ensage_audit::read::scan(Cursor::new(data)).expect("memory can be read");
    // Each takes at least a frame's head and the start of a payload, or lies before one that does.
    assert!(records + damages <= 2 * (data.len() as u64 / 81) + 1);
});
