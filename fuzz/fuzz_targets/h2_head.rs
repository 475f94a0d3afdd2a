//! Blocks of HTTP/2: what our gate accepts is what the `h2` crate reads of the same bytes, value by value, and line by
//! line a head that the strict gate of HTTP/1 lets through; and it is the same in whatever pieces it comes.
#![no_main]

use ensage_gateway::gate::Limits;
use ensage_gateway::heads::{in_our_form, lines, ours, passes, same, stream, theirs};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits { head_bytes_max: 512, head_lines_max: 8, target_bytes_max: 64 };
/// Framing that HTTP/2 has in its frames takes a line more in HTTP/1, and so does the host.
const ROOMY: Limits = Limits { head_bytes_max: 2048, head_lines_max: 16, target_bytes_max: 64 };

fuzz_target!(|input: &[u8]| {
    let Some((&first, rest)) = input.split_first() else { return };
    let (ends, most) = (first & 1 == 0, usize::from(first >> 1) + 1);
    // Blocks, each behind its length.
    let (mut blocks, mut rest) = (Vec::new(), rest);
    while let Some((&length, behind)) = rest.split_first().filter(|_| blocks.len() < 32) {
        let (block, behind) = behind.split_at(behind.len().min(usize::from(length)));
        blocks.push(block);
        rest = behind;
    }
    let stream = stream(&blocks, ends);
    let read = ours(&stream, LIMITS, most);
    let whole = ours(&stream, LIMITS, 1 << 16);
    assert_eq!(read.len(), whole.len());
    for ((a, one), (b, other)) in read.iter().zip(&whole) {
        assert_eq!((a, one.is_some()), (b, other.is_some()));
        assert!(one.as_ref().zip(other.as_ref()).is_none_or(|(one, other)| same(one, other)));
    }
    let crates = theirs(&blocks, ends, LIMITS);
    for (id, head) in read {
        let their = crates.iter().find(|(theirs, _)| *theirs == id).map(|(_, head)| head.clone());
        let Some(head) = head else {
            if their.is_none() && crates.iter().all(|(theirs, _)| *theirs < id) {
                // It may be that its connection has ended.
                return;
            }
            continue;
        };
        let their = their.and_then(in_our_form).unwrap_or_else(|| panic!("only we accept {head:?}"));
        assert!(same(&head, &their), "{head:?}\n{their:?}");
        let lines = lines(&head, ends);
        assert!(passes(&lines, ROOMY), "{}", String::from_utf8_lossy(&lines));
    }
});
