//! Server-sent events: no panic, no byte lost or made, the same events in any chunks, other data is read back.
#![no_main]

use ensage_mcp::sse::{Decoder, Event, Limits, Part};
use libfuzzer_sys::fuzz_target;

// The first byte says how long the chunks are.
fuzz_target!(|data: &[u8]| {
    let Some((&size, stream)) = data.split_first() else { return };
    let whole = decode(stream, stream.len().max(1));
    let cut = decode(stream, usize::from(size).max(1));
    assert_eq!(whole, cut);
    assert!(stream.starts_with(&whole.iter().flat_map(|event| event.0.clone()).collect::<Vec<_>>()));
});

type Seen = (Vec<u8>, String, Option<Vec<u8>>, Option<String>, Option<u64>);

fn decode(stream: &[u8], size: usize) -> Vec<Seen> {
    let mut decoder = Decoder::new(Limits::new(1 << 20));
    let mut all: Vec<Seen> = Vec::new();
    for chunk in stream.chunks(size) {
        let each = |event: Event<'_>| match event.part {
            Part::Tail => all.last_mut().expect("a tail has something before it").0.extend_from_slice(event.raw),
            Part::Whole => {
                check_written(&event, all.is_empty());
                all.push((
                    event.raw.to_vec(),
                    String::from_utf8_lossy(event.name).into_owned(),
                    event.data.map(<[u8]>::to_vec),
                    event.id.map(|id| id.to_string()),
                    event.retry,
                ));
            }
        };
        decoder.feed(chunk, each).expect("shorter than the limit");
    }
    all
}

/// What is written of an event is the same event, and with other data it has that data.
fn check_written(event: &Event<'_>, first: bool) {
    let check = |write: &dyn Fn(&mut Vec<u8>), expected: Option<&[u8]>| {
        // Anywhere but at the start of a stream a byte order mark is no mark.
        let mut out = if first { Vec::new() } else { b":\n".to_vec() };
        write(&mut out);
        let mut seen = Vec::new();
        let mut decoder = Decoder::new(Limits::new(2 << 20));
        decoder.feed(&out, |event| seen.extend(event.data.map(<[u8]>::to_vec))).expect("shorter than the limit");
        assert_eq!(seen, expected.into_iter().collect::<Vec<_>>());
        assert!(decoder.unterminated().is_empty());
    };
    check(&|out| event.write(out), event.data);
    if event.data.is_some() {
        check(&|out| event.write_with_data(b"{\n}", out), Some(b"{\n}"));
    }
}
