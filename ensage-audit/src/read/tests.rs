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

/// What a reader shows of these lines, each given without `{"v":1,`.
fn shown(lines: &[&str]) -> Vec<String> {
    let mut defined = Defined::default();
    let mut text = String::new();
    let mut full = |line: &&str| in_full(&format!("{{\"v\":1,{line}"), &[0; 32], &mut defined, &mut text).to_owned();
    lines.iter().map(|line| full(line).split_once(r#""severity":"low""#).unwrap().1.to_owned()).collect()
}

#[test]
fn only_a_call_names_others_and_only_by_the_members_that_it_begins_with() {
    let start = |seq: u64, kind: &str, rest: &str| {
        format!(r#""seq":{seq},"time":"T","kind":"{kind}","id":"i","severity":"low"{rest}}}"#)
    };
    let table = [
        (1, "call", r#","session":{"id":"s"},"process":{"pid":7},"type":"http""#, None),
        (
            2,
            "call",
            r#","session":1,"process":1,"type":"http""#,
            Some(r#","session":{"id":"s"},"process":{"pid":7},"type":"http""#),
        ),
        // A number of another kind, elsewhere, or deeper is a number.
        (3, "end", r#","session":1,"process":1"#, None),
        (4, "admin", r#","policy":1"#, None),
        (5, "call", r#","type":"http","session":1,"mcp":{"process":1}"#, None),
        (6, "call", r#","process":1,"type":"http""#, Some(r#","process":{"pid":7},"type":"http""#)),
        // The other member of that record, one that has none, itself, one that comes later.
        (7, "call", r#","policy":1,"type":"http""#, Some(r#","type":"http""#)),
        (8, "call", r#","session":2,"type":"http""#, Some(r#","type":"http""#)),
        (9, "call", r#","session":9,"process":99999999999,"type":"http""#, Some(r#","type":"http""#)),
        // What nobody has written stays as it is.
        (10, "call", r#","session":-1,"type":"http""#, None),
        (11, "call", r#","session":1.5,"type":"http""#, None),
        (12, "call", r#","session":99999999999999999999,"type":"http""#, None),
        (13, "call", r#","session":"1","process":1"#, None),
        (14, "call", r#","session":[1],"process":1"#, None),
        (15, "call", r#","session":{"a":"#, None),
        (16, "call", r#","session":"#, None),
        (17, "call", r#","process":1,"session":1"#, Some(r#","process":{"pid":7},"session":1"#)),
        // One that others are like, with what it names itself; others that are, one of them an exchange of its own.
        (
            18,
            "call",
            r#","like":18,"exchange":"e","process":1,"type":"mcp""#,
            Some(r#","exchange":"e","process":{"pid":7},"type":"mcp""#),
        ),
        (19, "call", r#","like":18"#, Some(r#","process":{"pid":7},"type":"mcp""#)),
        (20, "call", r#","like":18,"exchange":"f""#, Some(r#","exchange":"f","process":{"pid":7},"type":"mcp""#)),
        (21, "call", r#","like":18,"type":"tail""#, Some(r#","process":{"pid":7},"type":"mcp""#)),
        // Nobody is like it, or it is no record of a call.
        (22, "call", r#","like":17"#, Some("")),
        (23, "call", r#","like":1"#, Some("")),
        (24, "end", r#","like":18"#, None),
        (25, "call", r#","like":"18","type":"http""#, None),
        (26, "call", r#","exchange":-1,"type":"http""#, None),
    ];
    let lines: Vec<String> = table.iter().map(|(seq, kind, rest, _)| start(*seq, kind, rest)).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    for ((_, _, rest, want), seen) in table.iter().zip(shown(&lines)) {
        assert_eq!(seen, format!("{}}}", want.unwrap_or(rest)), "{rest}");
    }
}

proptest! {
    #[test]
    fn no_line_makes_it_panic(rest in r#"(,"(like|exchange|session|process|policy)":([0-9]{1,3}|\{\}|\{"a":[0-9]\}|[\[{"]|-1)){0,5}.{0,20}"#) {
        let (mut defined, mut text) = (Defined::default(), String::new());
        for seq in 0..3 {
            let line = format!(r#"{{"v":1,"seq":{seq},"time":"T","kind":"call","id":"i","severity":"low"{rest}"#);
            let full = in_full(&line, &[0; 32], &mut defined, &mut text);
            let start = full.starts_with("{\"v\":1,\"seq\":");
            prop_assert!(start, "{}", full);
        }
    }

    #[test]
    fn no_bytes_make_it_panic_or_run_for_ever(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let _ = scan(Cursor::new(bytes)).unwrap();
    }
}
