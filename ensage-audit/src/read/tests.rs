use std::io::Cursor;

use proptest::prelude::*;

use super::*;
use crate::draft::Draft;
use crate::event::AdminEvent;
use crate::frame::FRAME_BYTES;
use crate::log::{Log, Options};

fn note(text: &str) -> Draft<'static> {
    Draft::admin("info", &AdminEvent { event: "note", target: Some(text), ..AdminEvent::default() })
}

fn drain(records: &mut Records) -> usize {
    let mut count = 0;
    while records.next().unwrap().is_some() {
        count += 1;
    }
    count
}

#[test]
fn no_log_has_no_records() {
    let temp = tempfile::tempdir().unwrap();
    assert_eq!(drain(&mut Records::open(&temp.path().join("audit")).unwrap()), 0);
}

#[test]
fn a_reader_at_the_end_finds_what_comes_later_also_in_new_segments() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("audit");
    let log = Log::open(&dir, Options { segment_bytes: 2000, ..Options::default() }, &[7; 32]).unwrap();
    let mut records = Records::open(&dir).unwrap();
    let mut written = 0;
    for batch in [1, 3, 0, 40, 2] {
        for _ in 0..batch {
            written = log.append(&note("x")).unwrap();
        }
        log.written(written).unwrap();
        assert_eq!(drain(&mut records), batch);
    }
    assert_eq!(drain(&mut Records::open(&dir).unwrap()) as u64, written);
    let mut fork = records.fork().unwrap();
    log.written(log.append(&note("y")).unwrap()).unwrap();
    assert_eq!((drain(&mut records), drain(&mut fork)), (1, 1));
}

#[test]
fn old_segments_are_not_opened() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("audit");
    for _ in 0..3 {
        Log::open(&dir, Options::default(), &[7; 32]).unwrap().append(&note("x")).unwrap();
    }
    let now = SystemTime::now();
    let count = |since| drain(&mut Records::since(&dir, Some(since)).unwrap());
    assert_eq!(count(now - Duration::from_secs(60)), 3);
    assert_eq!(count(now + CLOCK_SLACK * 2), 1, "the newest segment may still hold such records");
}

#[test]
fn damage_is_told_and_read_past() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("audit");
    let log = Log::open(&dir, Options::default(), &[7; 32]).unwrap();
    for _ in 0..3 {
        log.append(&note("x")).unwrap();
    }
    drop(log);
    let path = dir.join("segments/00000000000000000001.seg");
    let whole = std::fs::read(&path).unwrap();
    // The length, the start of the payload, its line feed.
    let second = {
        let mut reader = SegmentReader::new(Cursor::new(&whole));
        let At::Frame(frame) = reader.at(HEADER_BYTES).unwrap() else { panic!() };
        usize::try_from(frame.end).unwrap()
    };
    for at in [second, second + 1, second + 2, second + FRAME_BYTES, second - 1] {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x40;
        std::fs::write(&path, &bytes).unwrap();
        let mut records = Records::open(&dir).unwrap();
        let mut found = (0, 0);
        while let Some(next) = records.next().unwrap() {
            match next {
                Found::Record(_) => found.0 += 1,
                Found::Damage { .. } => found.1 += 1,
            }
        }
        assert_eq!(found, (2, 1), "byte {at}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_or_run_for_ever(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let _ = scan(Cursor::new(bytes)).unwrap();
    }
}
