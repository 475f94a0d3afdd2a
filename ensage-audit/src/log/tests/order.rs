//! Numbers, restarts, segments, retention, threads.

use super::*;
use crate::frame::{At, HEADER_BYTES, chain};
use crate::head::{Keys, Purpose};

#[test]
fn numbers_go_on_over_restarts_and_each_start_has_its_segment() {
    let rig = Rig::new();
    for run in 0..3u64 {
        let log = rig.open();
        assert_eq!(log.append(&note("a")).unwrap(), run * 2 + 1);
        log.append(&note("b")).unwrap();
    }
    let records = rig.records();
    assert_eq!(records.len(), 6);
    assert_chained(&records);
    assert_eq!(rig.segments().len(), 3);
    assert_eq!(records[0]["prev"].as_str().unwrap(), "0".repeat(64));
}

#[test]
fn prev_is_the_chain_hash_of_the_record_before() {
    let rig = Rig::new();
    let log = rig.open();
    log.append(&note("a")).unwrap();
    let seq = log.append(&note("b")).unwrap();
    log.written(seq).unwrap();
    let mut reader =
        crate::frame::SegmentReader::new(File::open(rig.dir().join("segments").join(&rig.segments()[0])).unwrap());
    let At::Frame(first) = reader.at(HEADER_BYTES).unwrap() else { panic!() };
    assert_eq!(chain(&[0; 32], reader.payload(&first).unwrap()), first.head.hash);
    assert_eq!(rig.records()[1]["prev"], hex(&first.head.hash));
    assert_eq!(log.status().seq, 2);
}

#[test]
fn an_empty_restart_leaves_no_empty_segments() {
    let rig = Rig::new();
    for _ in 0..3 {
        drop(rig.open());
    }
    assert_eq!(rig.segments(), ["00000000000000000001.seg"]);
    let log = rig.open();
    assert_eq!(log.append(&note("a")).unwrap(), 1);
}

#[test]
fn a_second_opener_is_told_so() {
    let rig = Rig::new();
    let first = rig.open();
    assert!(matches!(Log::open(&rig.dir(), Options::default(), &KEY), Err(AuditError::AlreadyOpen { .. })));
    drop(first);
    rig.open();
}

#[test]
fn files_are_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let rig = Rig::new();
    let log = rig.open();
    log.append(&note("a")).unwrap();
    for file in ["heads", "key.pub", "lock", "segments/00000000000000000001.seg"] {
        let mode = std::fs::metadata(rig.dir().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

#[test]
fn what_nobody_waits_for_is_written_too() {
    let rig = Rig::new();
    let log = rig.open();
    // Also out of the long sleep of an idle log.
    wait_for("sleep", || log.shared.parked.load(Ordering::Acquire));
    log.append(&note("a")).unwrap();
    wait_for("record", || !rig.records().is_empty());
    assert_eq!(log.status().queued, 0);
}

#[test]
fn heads_are_signed_while_the_log_is_written_and_are_never_ahead_of_the_disk() {
    let rig = Rig::new();
    let log = rig.open();
    let seq = log.append(&note("a")).unwrap();
    let keys = Keys::read(&std::fs::read_to_string(rig.dir().join("key.pub")).unwrap());
    let newest = || {
        let heads = std::fs::read_to_string(rig.dir().join("heads")).unwrap();
        keys.check(Purpose::Head, heads.lines().last().unwrap()).unwrap()
    };
    assert_eq!(newest().seq, 0);
    wait_for("head", || newest().seq == seq);
    let status = log.status();
    assert_eq!((status.durable_seq, status.head), (1, hex(&newest().hash)));
}

#[test]
fn segments_close_by_size_and_the_longest_record_gets_its_own() {
    let rig = Rig::new();
    let log = rig.open_with(Options { segment_bytes: 1000, ..Options::default() });
    for _ in 0..10 {
        log.append(&note("x")).unwrap();
    }
    let big = "y".repeat(1024);
    log.append(&note(&big)).unwrap();
    let seq = log.append(&note("z")).unwrap();
    log.written(seq).unwrap();
    let records = rig.records();
    assert_chained(&records);
    assert_eq!(records.len(), 12);
    let sizes: Vec<u64> = rig
        .segments()
        .iter()
        .map(|name| std::fs::metadata(rig.dir().join("segments").join(name)).unwrap().len())
        .collect();
    assert!(sizes.len() > 5, "{sizes:?}");
    assert_eq!(sizes.iter().filter(|size| **size > 1000).count(), 1, "{sizes:?}");
}

#[test]
fn segments_close_by_age() {
    let rig = Rig::new();
    let log = rig.open_with(Options { segment_age: Duration::ZERO, ..Options::default() });
    log.append(&note("a")).unwrap();
    wait_for("second segment", || rig.segments().len() == 2);
    let seq = log.append(&note("b")).unwrap();
    log.written(seq).unwrap();
    assert_chained(&rig.records());
}

#[test]
fn old_segments_go_at_start_and_numbers_go_on() {
    let rig = Rig::new();
    for _ in 0..3 {
        rig.open().append(&note("old")).unwrap();
    }
    let log = rig.open_with(Options { retain: Some(Duration::ZERO), ..Options::default() });
    assert_eq!(rig.segments(), ["00000000000000000004.seg"]);
    drop(log);
    // Nothing but the signed start is left to tell where the chain goes on.
    let log = rig.open();
    assert_eq!(log.append(&note("new")).unwrap(), 4);
    let keep = rig.open_after(log, Options { retain: Some(Duration::from_secs(3600)), ..Options::default() });
    assert_eq!(rig.segments().len(), 2);
    drop(keep);
}

impl Rig {
    fn open_after(&self, log: Log, options: Options) -> Log {
        drop(log);
        self.open_with(options)
    }
}

#[test]
fn eight_threads_leave_no_gap() {
    let rig = Rig::new();
    let log = rig.open_with(Options { segment_bytes: 20_000, ..Options::default() });
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut last = 0;
                for i in 0..200 {
                    let seq = log.append(&note("x")).unwrap();
                    assert!(seq > last);
                    last = seq;
                    if i % 7 == 0 {
                        log.written(seq).unwrap();
                    }
                    if i % 50 == 0 {
                        log.durable(seq).unwrap();
                        assert!(log.status().durable_seq >= seq);
                    }
                }
                log.written(last).unwrap();
            });
        }
    });
    let records = rig.records();
    assert_eq!(records.len(), 1600);
    assert_chained(&records);
}

#[test]
fn the_file_of_heads_stays_small() {
    let rig = Rig::new();
    let log = rig.open();
    drop(log);
    let path = rig.dir().join("heads");
    let line = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, line.repeat((1 << 20) / line.len() + 1)).unwrap();
    let log = rig.open();
    assert!(std::fs::metadata(&path).unwrap().len() < 300_000);
    drop(log);
}
