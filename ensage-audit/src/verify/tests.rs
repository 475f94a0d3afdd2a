use std::fs;
use std::path::PathBuf;

use super::*;
use crate::draft::Draft;
use crate::event::AdminEvent;
use crate::frame::{At, FRAME_BYTES, Frame, HEADER_BYTES, Hash, SegmentReader, chain, write_head};
use crate::head::{Head, Signer};
use crate::log::{Log, Options};

const KEY: [u8; 32] = [7; 32];

/// A closed log of three segments with four records each, and a head for each end.
struct Rig {
    temp: tempfile::TempDir,
}

impl Rig {
    fn new() -> Self {
        let rig = Self { temp: tempfile::tempdir().unwrap() };
        for _ in 0..3 {
            let log = rig.open(Options::default());
            for text in ["a", "b", "c", "d"] {
                log.append(&note(text)).unwrap();
            }
        }
        rig
    }

    fn open(&self, options: Options) -> Log {
        Log::open(&self.dir(), options, &KEY).unwrap()
    }

    fn dir(&self) -> PathBuf {
        self.temp.path().join("audit")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    fn segment(&self, first: u64) -> PathBuf {
        self.file(&format!("segments/{first:020}.seg"))
    }

    fn verify(&self) -> Report {
        verify(&self.dir(), None).unwrap()
    }

    /// Kinds and records of the problems.
    fn problems(&self) -> Vec<(Kind, Option<u64>)> {
        self.verify().problems.iter().map(|p| (p.kind, p.record)).collect()
    }

    /// Changes a file.
    fn change(&self, path: &PathBuf, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = fs::read(path).unwrap();
        change(&mut bytes);
        fs::write(path, bytes).unwrap();
    }
}

fn note(text: &str) -> Draft<'static> {
    Draft::admin("info", &AdminEvent { event: "note", target: Some(text), ..AdminEvent::default() })
}

fn frames(bytes: &[u8]) -> Vec<Frame> {
    let mut reader = SegmentReader::new(io::Cursor::new(bytes));
    let (mut frames, mut offset) = (Vec::new(), HEADER_BYTES);
    while let At::Frame(frame) = reader.at(offset).unwrap() {
        offset = frame.end;
        frames.push(frame);
    }
    frames
}

fn span(frame: &Frame) -> std::ops::Range<usize> {
    frame.offset as usize..frame.end as usize
}

#[test]
fn an_untouched_log_is_intact() {
    let rig = Rig::new();
    let report = rig.verify();
    assert!(report.ok, "{report:?}");
    assert_eq!((report.records, report.segments, report.first_seq), (12, 3, 1));
    let head = report.head.unwrap();
    assert_eq!((head.seq, head.hash.len(), head.time.len()), (12, 64, 27));
    let json = serde_json::to_value(rig.verify()).unwrap();
    assert_eq!(json["problems"], serde_json::json!([]));
}

#[test]
fn a_log_that_is_not_there_or_holds_nothing_is_intact() {
    let temp = tempfile::tempdir().unwrap();
    assert!(verify(&temp.path().join("audit"), None).unwrap().ok);
    let rig = Rig { temp };
    drop(rig.open(Options::default()));
    let report = rig.verify();
    assert!(report.ok && report.head.is_none() && report.first_seq == 1, "{report:?}");
}

/// Walks over segments in memory, with one head that signs the last record.
fn walk(segments: &[(String, Vec<u8>)], head: &Head) -> Report {
    let mut report = Report::default();
    let mut anchors = Anchors::default();
    anchors.add(head, "heads");
    let mut walk = Walk::new(&mut report, anchors, None);
    for (i, (name, bytes)) in segments.iter().enumerate() {
        let place = if i + 1 == segments.len() { walk::Place::Last } else { walk::Place::Closed };
        walk.segment(name, io::Cursor::new(bytes), place, Writer::Gone).unwrap();
    }
    walk.finish();
    report
}

#[test]
fn h15_no_byte_of_a_segment_may_change() {
    let rig = Rig::new();
    let newest = rig.verify().head.unwrap();
    let head = Head { seq: newest.seq, hash: crate::frame::unhex(&newest.hash).unwrap(), time: newest.time };
    let firsts = [1u64, 5, 9];
    let name = |first: u64| rig.segment(first).file_name().unwrap().to_str().unwrap().to_owned();
    let mut segments: Vec<_> =
        firsts.iter().map(|first| (name(*first), fs::read(rig.segment(*first)).unwrap())).collect();
    assert_eq!(walk(&segments, &head).problems, []);
    for (index, first) in firsts.into_iter().enumerate() {
        let frames = frames(&segments[index].1);
        for at in 0..segments[index].1.len() {
            for bit in [0x01, 0x80] {
                segments[index].1[at] ^= bit;
                let problems = walk(&segments, &head).problems;
                segments[index].1[at] ^= bit;
                // The first problem is about the record that holds the byte, or the first one for the header.
                let held_by = frames.iter().position(|f| span(f).contains(&at)).unwrap_or(0) as u64;
                let problem = problems.first().unwrap_or_else(|| panic!("byte {at} of {first} is not missed"));
                assert_eq!(problem.record, Some(first + held_by), "byte {at} of {first}: {problems:?}");
                assert_eq!(problem.segment.as_ref(), Some(&segments[index].0), "byte {at} of {first}: {problems:?}");
                assert_eq!(problem.kind, Kind::Edited, "byte {at} of {first}: {problems:?}");
            }
        }
    }
}

#[test]
fn h15_what_is_taken_out_moved_or_cut_is_named() {
    type Change = fn(&Rig);
    type Want = &'static [(Kind, Option<u64>)];
    let table: [(&str, Change, Want); 13] = [
        ("a record is taken out", |r| cut(r, 5, 1, 2), &[(Kind::Missing, Some(6))]),
        ("two are taken out", |r| cut(r, 5, 1, 3), &[(Kind::Missing, Some(6))]),
        ("the first of a segment", |r| cut(r, 5, 0, 1), &[(Kind::Missing, Some(5))]),
        ("the last of a closed segment", |r| cut(r, 5, 3, 4), &[(Kind::Missing, Some(8))]),
        ("the last of all", |r| cut(r, 9, 3, 4), &[(Kind::Truncated, Some(12))]),
        ("all of the last segment", |r| cut(r, 9, 0, 4), &[(Kind::Truncated, Some(9))]),
        ("two are swapped", |r| swap(r, 5, 1, 2), &[(Kind::Reordered, Some(6))]),
        ("a segment is gone", |r| fs::remove_file(r.segment(5)).unwrap(), &[(Kind::Missing, Some(5))]),
        ("the first segment is gone", |r| fs::remove_file(r.segment(1)).unwrap(), &[(Kind::Missing, Some(1))]),
        ("the last segment is gone", |r| fs::remove_file(r.segment(9)).unwrap(), &[(Kind::Truncated, Some(9))]),
        ("all segments are gone", |r| fs::remove_dir_all(r.file("segments")).unwrap(), &[(Kind::Truncated, Some(1))]),
        ("the heads are gone", |r| fs::remove_file(r.file("heads")).unwrap(), &[(Kind::Missing, None)]),
        ("half of the last record", |r| halve(r, 9), &[(Kind::Truncated, Some(12))]),
    ];
    for (what, change, want) in table {
        let rig = Rig::new();
        change(&rig);
        assert_eq!(rig.problems(), want, "{what}: {:?}", rig.verify());
    }
}

/// Takes out the records `from..to` of a segment.
fn cut(rig: &Rig, first: u64, from: usize, to: usize) {
    rig.change(&rig.segment(first), |bytes| {
        let frames = frames(bytes);
        bytes.drain(span(&frames[from]).start..span(&frames[to - 1]).end);
    });
}

fn swap(rig: &Rig, first: u64, a: usize, b: usize) {
    rig.change(&rig.segment(first), |bytes| {
        let frames = frames(bytes);
        let mut moved = bytes[..span(&frames[a]).start].to_vec();
        moved.extend_from_slice(&bytes[span(&frames[b])]);
        moved.extend_from_slice(&bytes[span(&frames[a])]);
        moved.extend_from_slice(&bytes[span(&frames[b]).end..]);
        *bytes = moved;
    });
}

fn halve(rig: &Rig, first: u64) {
    rig.change(&rig.segment(first), |bytes| bytes.truncate(bytes.len() - 20));
}

#[test]
fn h15_a_copied_record_and_swapped_segments_are_reordered() {
    let rig = Rig::new();
    rig.change(&rig.segment(5), |bytes| {
        let frames = frames(bytes);
        let copy = bytes[span(&frames[1])].to_vec();
        let at = span(&frames[2]).end;
        bytes.splice(at..at, copy);
    });
    assert_eq!(rig.problems(), [(Kind::Reordered, Some(6))]);

    let rig = Rig::new();
    let (a, b) = (fs::read(rig.segment(1)).unwrap(), fs::read(rig.segment(5)).unwrap());
    fs::write(rig.segment(1), b).unwrap();
    fs::write(rig.segment(5), a).unwrap();
    let kinds: Vec<Kind> = rig.problems().iter().map(|p| p.0).collect();
    assert!(kinds.contains(&Kind::Reordered) && !kinds.contains(&Kind::Missing), "{:?}", rig.problems());
}

/// Computes the chain of a segment anew from one record on, as somebody without the key could.
fn forge(bytes: &mut Vec<u8>, from: usize, change: impl Fn(String) -> String) -> Hash {
    let all = frames(bytes);
    let mut out = bytes[..span(&all[from]).start].to_vec();
    let mut prev = all[from - 1].head.hash;
    for (i, frame) in all.iter().enumerate().skip(from) {
        let text = std::str::from_utf8(&bytes[span(frame)][FRAME_BYTES..]).unwrap().to_owned();
        let text = if i == from { change(text) } else { text };
        let hash = chain(&prev, text.as_bytes());
        let mut head = [0; FRAME_BYTES];
        write_head(&mut head, text.len(), &prev, &hash);
        prev = hash;
        out.extend_from_slice(&head);
        out.extend_from_slice(text.as_bytes());
    }
    *bytes = out;
    prev
}

/// What a forger would have to know; nobody asks here.
fn keep(_: Hash) {}

#[test]
fn h15_a_chain_that_was_computed_anew_contradicts_the_heads() {
    let lie = |text: String| text.replace("\"target\":\"c\"", "\"target\":\"z\"");
    let rig = Rig::new();
    rig.change(&rig.segment(9), |bytes| keep(forge(bytes, 2, lie)));
    assert_eq!(rig.problems(), [(Kind::Edited, Some(12))]);
    // In the middle the next segment contradicts it too.
    let rig = Rig::new();
    rig.change(&rig.segment(5), |bytes| keep(forge(bytes, 2, lie)));
    assert_eq!(rig.problems()[0], (Kind::Edited, Some(8)));
    // One record with a right hash, but not the ones behind it.
    let rig = Rig::new();
    rig.change(&rig.segment(5), |bytes| {
        let mut all = bytes.clone();
        forge(&mut all, 1, |text| text.replace("\"target\":\"b\"", "\"target\":\"z\""));
        let second = span(&frames(bytes)[1]);
        bytes[second.clone()].copy_from_slice(&all[second]);
    });
    assert_eq!(rig.problems()[0], (Kind::Edited, Some(6)));
    // A number that is not the next one, in a chain that is right otherwise.
    let rig = Rig::new();
    rig.change(&rig.segment(9), |bytes| keep(forge(bytes, 2, |text| text.replace("\"seq\":11", "\"seq\":99"))));
    assert!(rig.problems().contains(&(Kind::Edited, Some(11))), "{:?}", rig.problems());
}

#[test]
fn h15_a_head_kept_elsewhere_shows_what_somebody_with_the_key_did() {
    let rig = Rig::new();
    let copy = rig.temp.path().join("heads-of-monday");
    fs::copy(rig.file("heads"), &copy).unwrap();
    let check = |rig: &Rig| {
        let report = verify(&rig.dir(), Some(&copy)).unwrap();
        report.problems.iter().map(|p| (p.kind, p.record)).collect::<Vec<_>>()
    };
    assert_eq!(check(&rig), []);
    // A whole new log with the same key, shorter or longer.
    let other = Rig { temp: tempfile::tempdir().unwrap() };
    drop(other.open(Options::default()));
    assert!(other.verify().ok);
    assert_eq!(check(&other), [(Kind::Truncated, Some(1))]);
    let other = Rig::new();
    other.open(Options::default()).append(&note("more")).unwrap();
    assert!(other.verify().ok);
    assert_eq!(check(&other), [(Kind::Edited, Some(4))]);
    // And one with another key.
    let other = Rig { temp: tempfile::tempdir().unwrap() };
    drop(Log::open(&other.dir(), Options::default(), &[8; 32]).unwrap());
    assert!(check(&other).iter().all(|p| p.0 == Kind::BadSignature) && !check(&other).is_empty());
    assert!(verify(&rig.dir(), Some(&rig.temp.path().join("nothing"))).is_err());
}

#[test]
fn h15_heads_start_and_key_may_not_change() {
    let rig = Rig::new();
    drop(rig.open(Options { retain: Some(std::time::Duration::ZERO), ..Options::default() }));
    drop(rig.open(Options::default()).append(&note("x")));
    assert!(rig.verify().ok, "{:?}", rig.verify());
    assert_eq!(rig.verify().first_seq, 13);
    rig.change(&rig.file("heads"), |bytes| {
        let text = String::from_utf8(bytes.clone()).unwrap();
        *bytes = text.split_inclusive('\n').next_back().unwrap().as_bytes().to_vec();
    });
    for name in ["heads", "start", "key.pub"] {
        let path = rig.file(name);
        let whole = fs::read(&path).unwrap();
        // Every byte of a line is the matter of `head`; here it is that each file is looked at, and its last byte.
        for at in (0..whole.len()).step_by(13).chain([whole.len() - 1]) {
            if name != "heads" && whole[at] == b'\n' {
                continue;
            }
            rig.change(&path, |bytes| bytes[at] ^= 1);
            let kinds: Vec<Kind> = rig.verify().problems.iter().map(|p| p.kind).collect();
            let named = kinds.contains(&Kind::BadSignature) || (at + 1 == whole.len() && kinds == [Kind::Torn]);
            assert!(named, "{name} byte {at}: {kinds:?}");
            fs::write(&path, &whole).unwrap();
        }
    }
}

#[test]
fn a_retained_log_is_intact_and_says_where_it_starts() {
    let rig = Rig::new();
    drop(rig.open(Options { retain: Some(std::time::Duration::ZERO), ..Options::default() }));
    let report = rig.verify();
    assert!(report.ok && report.first_seq == 13 && report.segments == 1, "{report:?}");
    // Segments of another log do not fit before that start.
    let other = Rig::new();
    for first in [5, 9] {
        fs::copy(other.segment(first), rig.segment(first)).unwrap();
    }
    assert!(!rig.verify().ok);
}

#[test]
fn a_crash_between_the_signed_start_and_the_removal_is_no_problem() {
    let rig = Rig::new();
    let kept: Vec<(PathBuf, Vec<u8>)> =
        [5, 9].iter().map(|first| (rig.segment(*first), fs::read(rig.segment(*first)).unwrap())).collect();
    drop(rig.open(Options { retain: Some(std::time::Duration::ZERO), ..Options::default() }));
    for (path, bytes) in kept {
        fs::write(path, bytes).unwrap();
    }
    let report = rig.verify();
    assert!(report.ok && report.first_seq == 5, "{report:?}");
}

#[test]
fn an_unfinished_write_is_torn_unless_the_log_is_live() {
    let rig = Rig::new();
    rig.change(&rig.segment(9), |bytes| bytes.extend_from_slice(b"\x90\0\0\0half"));
    assert_eq!(rig.problems(), [(Kind::Torn, Some(13))]);
    let _lock = Folder::at(&rig.dir()).lock().unwrap();
    assert!(rig.verify().ok);
}

#[test]
fn a_live_log_is_intact_at_any_time() {
    let temp = tempfile::tempdir().unwrap();
    let rig = Rig { temp };
    let log = rig.open(Options { segment_bytes: 4000, ..Options::default() });
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for _ in 0..3000 {
                log.written(log.append(&note("x")).unwrap()).unwrap();
            }
        });
        while !writer.is_finished() {
            let report = rig.verify();
            assert!(report.ok, "{:?}", report.problems);
        }
    });
    assert_eq!(rig.verify().records, 3000);
}

#[test]
fn a_copy_is_verified_like_the_log() {
    let rig = Rig::new();
    let copy = Rig { temp: tempfile::tempdir().unwrap() };
    fs::create_dir_all(copy.file("segments")).unwrap();
    for first in [1, 5, 9] {
        fs::copy(rig.segment(first), copy.segment(first)).unwrap();
    }
    for name in ["heads", "key.pub"] {
        fs::copy(rig.file(name), copy.file(name)).unwrap();
    }
    assert!(copy.verify().ok);
    assert_eq!(copy.verify(), rig.verify());
}

#[test]
fn a_new_key_signs_on_and_old_heads_stay_good() {
    let rig = Rig::new();
    Log::open(&rig.dir(), Options::default(), &[8; 32]).unwrap().append(&note("x")).unwrap();
    assert!(rig.verify().ok, "{:?}", rig.verify());
    let keys = fs::read_to_string(rig.file("key.pub")).unwrap();
    assert_eq!(keys, Signer::new(&KEY).public_line() + &Signer::new(&[8; 32]).public_line());
}
