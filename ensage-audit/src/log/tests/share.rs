//! What calls have in common: once in each segment, and in full for every reader.

use proptest::prelude::*;

use super::*;
use crate::fragment::{Fragment, PolicyFacts, ProcessFacts, SessionFacts};
use crate::record::Call;
use crate::verify::{Kind, verify};

pub(super) fn session(agent: &str) -> Fragment {
    SessionFacts { agent, enclave: "e", ..SessionFacts::default() }.fragment()
}

pub(super) fn process(script: &str) -> Fragment {
    ProcessFacts { pid: 7, script: Some(script), ..ProcessFacts::default() }.fragment()
}

pub(super) fn policy(generation: u64) -> Fragment {
    PolicyFacts { generation, sha256: Some("00ff") }.fragment()
}

pub(super) fn call<'a>(
    session: Option<&'a Fragment>,
    process: Option<&'a Fragment>,
    policy: Option<&'a Fragment>,
) -> Draft<'a> {
    Draft::call(&Call { session, process, policy, kind: "http", ..Call::new(uuid::Uuid::now_v7(), "low") })
}

/// What a reader shows of a call's shared members.
pub(super) fn shown(record: &Value) -> [Option<String>; 3] {
    ["session", "process", "policy"].map(|name| record.get(name).map(Value::to_string))
}

pub(super) fn given(texts: [Option<&Fragment>; 3]) -> [Option<String>; 3] {
    texts.map(|text| text.map(|text| serde_json::from_str::<Value>(text.as_str()).unwrap().to_string()))
}

/// The bytes of all segments.
fn stored(rig: &Rig) -> String {
    let read = |name: &String| std::fs::read(rig.dir().join("segments").join(name)).unwrap();
    rig.segments().iter().map(|name| String::from_utf8_lossy(&read(name)).into_owned()).collect()
}

fn intact(rig: &Rig) {
    let report = verify(&rig.dir(), None).unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
}

#[test]
fn what_calls_have_in_common_stands_once_in_a_segment_and_is_read_in_full() {
    let rig = Rig::new();
    let log = rig.open();
    let (s, p, q) = (session("claude"), process("/a.js"), policy(1));
    // Another connection of the same process has the same words elsewhere in memory.
    let twin = process("/a.js");
    let all = [Some(&s), Some(&p), Some(&q)];
    for texts in [all, all, [None, Some(&twin), None], [Some(&s), None, Some(&q)], [None; 3], all] {
        let seq = log.append(&call(texts[0], texts[1], texts[2])).unwrap();
        log.written(seq).unwrap();
        let records = rig.records();
        assert_eq!(shown(records.last().unwrap()), given(texts));
        assert_chained(&records);
    }
    let bytes = stored(&rig);
    for text in [&s, &p, &q] {
        assert_eq!(bytes.matches(text.as_str()).count(), 1, "{bytes}");
    }
    assert!(bytes.contains(r#""severity":"low","session":1,"process":1,"policy":1,"type""#), "{bytes}");
    drop(log);
    intact(&rig);
}

#[test]
fn every_segment_has_its_own_words() {
    let rig = Rig::new();
    let (s, p) = (session("claude"), process("/a.js"));
    {
        let log = rig.open_with(Options { segment_bytes: 2500, ..Options::default() });
        for _ in 0..40 {
            log.append(&call(Some(&s), Some(&p), None)).unwrap();
        }
    }
    // A restart, and a segment that closes by its age.
    let log = rig.open_with(Options { segment_age: Duration::ZERO, ..Options::default() });
    let before = rig.segments().len();
    log.append(&call(Some(&s), Some(&p), None)).unwrap();
    wait_for("next segment", || rig.segments().len() == before + 1);
    log.append(&call(Some(&s), Some(&p), None)).unwrap();
    wait_for("next segment", || rig.segments().len() == before + 2);
    drop(log);
    let records = rig.records();
    assert_eq!(records.len(), 42);
    for record in &records {
        assert_eq!(shown(record), given([Some(&s), Some(&p), None]), "{record}");
    }
    assert!(before > 4, "{before}");
    intact(&rig);
    // Each can be read without the ones before it.
    for name in rig.segments() {
        std::fs::remove_file(rig.dir().join("segments").join(&name)).unwrap();
        for record in rig.records() {
            assert_eq!(shown(&record), given([Some(&s), Some(&p), None]), "without {name}: {record}");
        }
    }
}

#[test]
fn a_reader_takes_along_what_was_defined_before() {
    let rig = Rig::new();
    let log = rig.open();
    let s = session("claude");
    let write = || log.written(log.append(&call(Some(&s), None, None)).unwrap()).unwrap();
    write();
    let mut reader = Records::open(&rig.dir()).unwrap();
    let read = |reader: &mut Records| match reader.next().unwrap() {
        Some(Found::Record(record)) => shown(&serde_json::from_str(record.line).unwrap()),
        other => panic!("{other:?}"),
    };
    read(&mut reader);
    let mut fork = reader.fork().unwrap();
    write();
    for reader in [&mut reader, &mut fork] {
        assert_eq!(read(reader), given([Some(&s), None, None]));
    }
}

#[test]
fn readers_beside_the_writer_and_of_a_copy_see_all_in_full() {
    let rig = Rig::new();
    let log = rig.open_with(Options { segment_bytes: 8000, ..Options::default() });
    let processes: Vec<Fragment> = (0..7).map(|n| process(&format!("/{n}.js"))).collect();
    let s = session("claude");
    let texts = |n: usize| [Some(&s), Some(&processes[n % 7]), None];
    let read = |reader: &mut Records, from: usize| {
        let mut n = from;
        while let Some(found) = reader.next().unwrap() {
            let Found::Record(record) = found else { panic!("{found:?} behind {n}") };
            let record = serde_json::from_str(record.line).unwrap();
            assert_eq!(shown(&record), given(texts(n)), "{record}");
            n += 1;
        }
        n
    };
    let copy = rig.temp.path().join("copy");
    std::fs::create_dir_all(copy.join("segments")).unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for n in 0..2000 {
                let [s, p, _] = texts(n);
                log.written(log.append(&call(s, p, None)).unwrap()).unwrap();
            }
        });
        let mut reader = Records::open(&rig.dir()).unwrap();
        let mut seen = 0;
        while !writer.is_finished() {
            seen = read(&mut reader, seen);
            assert!(read(&mut reader.fork().unwrap(), seen) >= seen);
        }
        assert_eq!(read(&mut reader, seen), 2000);
    });
    for name in rig.segments() {
        std::fs::copy(rig.dir().join("segments").join(&name), copy.join("segments").join(&name)).unwrap();
    }
    assert_eq!(read(&mut Records::open(&copy).unwrap(), 0), 2000);
}

#[test]
fn a_damaged_definition_takes_its_words_and_nothing_else() {
    let rig = Rig::new();
    let log = rig.open();
    let (s, p) = (session("claude"), process("/a.js"));
    for _ in 0..2 {
        log.append(&call(Some(&s), None, None)).unwrap();
        log.append(&call(None, Some(&p), None)).unwrap();
    }
    drop(log);
    let path = rig.dir().join("segments").join(&rig.segments()[0]);
    let whole = std::fs::read(&path).unwrap();
    let at = whole.windows(s.bytes().len()).position(|w| w == s.bytes()).unwrap();
    let first = whole.windows(7).position(|w| w == b"{\"v\":1,").unwrap();
    let mut bytes = whole.clone();
    bytes[first] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let mut reader = Records::open(&rig.dir()).unwrap();
    let mut seen = Vec::new();
    while let Some(found) = reader.next().unwrap() {
        if let Found::Record(record) = found {
            let record: Value = serde_json::from_str(record.line).unwrap();
            seen.push((record["seq"].as_u64().unwrap(), shown(&record)));
        }
    }
    let bare = given([None; 3]);
    let with = given([None, Some(&p), None]);
    assert_eq!(seen, [(2, with.clone()), (3, bare), (4, with)]);
    // Every byte of the words, and of what names them, is seen by `verify`, in the record that has it.
    let name = whole.windows(12).position(|w| w == b"\"session\":1,").unwrap();
    for (record, bytes) in [(1, at..at + s.bytes().len()), (3, name..name + 12)] {
        for at in bytes {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            std::fs::write(&path, &bytes).unwrap();
            let problem = verify(&rig.dir(), None).unwrap().problems.first().map(|p| (p.kind, p.record));
            assert_eq!(problem, Some((Kind::Edited, Some(record))), "byte {at}");
        }
    }
}

#[test]
fn damage_to_one_definition_takes_no_other_away_where_many_have_come_and_gone() {
    let rig = Rig::new();
    // Each is read twice at once, and once more when others have come; there are more than can be named at a time.
    let texts: Vec<Fragment> = (0..700).map(|n| process(&format!("/{n}/{}", "x".repeat(990)))).collect();
    let log = rig.open();
    let mut given_texts = Vec::new();
    for at in 0..texts.len() {
        for text in [Some(&texts[at]), Some(&texts[at]), at.checked_sub(100).map(|before| &texts[before])] {
            log.append(&call(None, text, None)).unwrap();
            given_texts.push(text);
        }
    }
    drop(log);
    assert_eq!(rig.segments().len(), 1);
    let path = rig.dir().join("segments").join(&rig.segments()[0]);
    let whole = std::fs::read(&path).unwrap();
    let full: usize = texts.iter().map(|t| String::from_utf8_lossy(&whole).matches(t.as_str()).count()).sum();
    assert!(full > texts.len(), "no text was forgotten: {full}");
    let first = whole.windows(7).position(|w| w == b"{\"v\":1,").unwrap();
    let mut bytes = whole.clone();
    bytes[first] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let mut reader = Records::open(&rig.dir()).unwrap();
    let mut seen = 0;
    while let Some(found) = reader.next().unwrap() {
        let Found::Record(record) = found else { continue };
        seen += 1;
        let record: Value = serde_json::from_str(record.line).unwrap();
        let text = given_texts[record["seq"].as_u64().unwrap() as usize - 1];
        let of_damaged = text.is_some_and(|text| *text == texts[0]);
        if !of_damaged || shown(&record)[1].is_some() {
            assert_eq!(shown(&record), given([None, text, None]), "{record}");
        }
    }
    assert_eq!(seen, given_texts.len() - 1);
}

#[test]
fn secrets_are_taken_out_of_shared_words_whenever_they_are_written() {
    let rig = Rig::new();
    let p = process("/tmp/hunter2-sekret.js");
    let hide = |text: &mut [u8]| {
        for at in 0..text.len() {
            if text[at..].starts_with(b"hunter2") {
                text[at..at + 7].fill(b'*');
            }
        }
    };
    for _ in 0..2 {
        let log = rig.open();
        for _ in 0..2 {
            log.append_redacted(call(None, Some(&p), None), hide).unwrap();
            log.append_redacted(call(None, Some(&p), None), hide).unwrap();
            log.shared.front().roll();
        }
    }
    assert_eq!((rig.records().len(), rig.segments().len()), (8, 5));
    for record in rig.records() {
        assert_eq!(record["process"]["script"], "/tmp/*******-sekret.js");
    }
    let bytes = stored(&rig);
    assert!(!bytes.contains("hunter2"));
    // Each segment has the words once; what names them was asked for by the words as they were given.
    assert_eq!((bytes.matches("*******-sekret").count(), bytes.matches(r#""process":{"#).count()), (4, 4));
    // It became known after the words were written: the next segment hides it.
    let log = rig.open();
    log.append(&call(None, Some(&p), None)).unwrap();
    log.shared.front().roll();
    let seq = log.append_redacted(call(None, Some(&p), None), hide).unwrap();
    log.written(seq).unwrap();
    let records = rig.records();
    let scripts = [8, 9].map(|at: usize| records[at]["process"]["script"].as_str().unwrap().to_owned());
    assert_eq!(scripts, ["/tmp/hunter2-sekret.js", "/tmp/*******-sekret.js"]);
}

#[test]
fn a_segment_that_cannot_be_closed_is_closed_later_and_nothing_is_lost() {
    type Change = fn(&Path, &Faults);
    let table: [(&str, Change, Change); 3] = [
        (
            "no room for the next one",
            |_, faults| faults.room.store(0, Ordering::SeqCst),
            |_, faults| faults.room.store(u64::MAX, Ordering::SeqCst),
        ),
        (
            "it cannot be synced",
            |_, faults| faults.bad_syncs.store(u64::MAX, Ordering::SeqCst),
            |_, faults| faults.bad_syncs.store(0, Ordering::SeqCst),
        ),
        (
            "what is in the place of the next one cannot be set aside, not even by root",
            |segments, _| {
                for name in ["00000000000000000002.seg", "00000000000000000002.torn"] {
                    std::fs::create_dir(segments.join(name)).unwrap();
                    std::fs::write(segments.join(name).join("x"), "x").unwrap();
                }
            },
            |segments, _| std::fs::remove_dir_all(segments.join("00000000000000000002.torn")).unwrap(),
        ),
    ];
    for (what, hinder, mend) in table {
        let rig = Rig::new();
        let log = rig.open();
        let s = session("claude");
        let first = log.append(&call(Some(&s), None, None)).unwrap();
        log.written(first).unwrap();
        let (segments, faults) = (rig.dir().join("segments"), faults(&log));
        hinder(&segments, &faults);
        log.shared.front().roll();
        let second = log.append(&call(Some(&s), None, None)).unwrap();
        assert!(log.written(second).is_err() && !log.writable(), "{what}");
        mend(&segments, &faults);
        wait_for("recovery", || log.writable());
        drop(log);
        let records = rig.records();
        assert_eq!(texts(&records), ["call:", "call:", "gap:write_failed"], "{what}");
        for record in &records[..2] {
            assert_eq!(shown(record), given([Some(&s), None, None]), "{what}");
        }
        assert_eq!(rig.segments().len(), 2, "{what}");
        intact(&rig);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_calls_in_any_segments_are_read_as_they_were_given(
        calls in proptest::collection::vec((0..4_usize, 0..6_usize, 0..3_usize, any::<bool>()), 1..60),
        segment_bytes in 300..6000_u64,
    ) {
        let rig = Rig::new();
        let sessions = [session("a"), session("b"), session("c")];
        let processes: Vec<Fragment> = (0..5).map(|n: usize| process(&"x".repeat(n * 70))).collect();
        let policies = [policy(1), policy(2)];
        let log = rig.open_with(Options { segment_bytes, ..Options::default() });
        let texts = |&(s, p, q, _): &(usize, usize, usize, bool)| [sessions.get(s), processes.get(p), policies.get(q)];
        for given in &calls {
            let [s, p, q] = texts(given);
            let seq = log.append(&call(s, p, q)).unwrap();
            if given.3 {
                log.written(seq).unwrap();
            }
        }
        drop(log);
        let records = rig.records();
        assert_chained(&records);
        let seen: Vec<_> = records.iter().map(shown).collect();
        let want: Vec<_> = calls.iter().map(|call| given(texts(call))).collect();
        prop_assert_eq!(seen, want);
        intact(&rig);
    }
}
