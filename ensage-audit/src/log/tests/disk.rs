//! Full and broken disks.

use super::*;

/// Fails the next write after `room` more bytes.
fn fill(log: &Log, room: u64) -> Arc<Faults> {
    let faults = faults(log);
    faults.room.store(room, Ordering::SeqCst);
    faults
}

#[test]
fn h15_a_full_disk_stops_every_call_and_nothing_acknowledged_is_lost() {
    let rig = Rig::new();
    let log = rig.open();
    let acknowledged = log.append(&note("kept")).unwrap();
    log.written(acknowledged).unwrap();

    // Room for one frame and a part of the next.
    let faults = fill(&log, 400);
    let lost = {
        // One write for both: the log's own thread may not write the first alone.
        let _writer = log.shared.back();
        log.append(&note("first")).unwrap();
        log.append(&note("second")).unwrap()
    };
    assert!(matches!(log.written(lost), Err(AuditError::Unwritable(_))));
    assert!(!log.writable());
    assert!(matches!(log.append(&note("refused")), Err(AuditError::Unwritable(_))));
    assert!(matches!(log.durable(lost), Err(AuditError::Unwritable(_))));
    log.written(acknowledged).unwrap();
    assert_eq!(log.status().queued, 2);
    // What readers see meanwhile has no torn frame.
    assert_eq!(texts(&rig.records()), ["kept"]);

    faults.room.store(u64::MAX, Ordering::SeqCst);
    let room = Instant::now();
    wait_for("recovery", || log.writable());
    assert!(room.elapsed() < Duration::from_secs(5));
    let seq = log.append(&note("after")).unwrap();
    log.written(seq).unwrap();
    let records = rig.records();
    assert_chained(&records);
    assert_eq!(texts(&records), ["kept", "first", "second", "gap:write_failed", "after"]);
    assert!(records[3]["since"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn h15_one_outage_is_one_gap() {
    let rig = Rig::new();
    let log = rig.open();
    let faults = fill(&log, 0);
    let seq = log.append(&note("a")).unwrap();
    log.written(seq).unwrap_err();
    let begin = Instant::now();
    wait_for("two more attempts", || begin.elapsed() > Duration::from_millis(2300));
    assert!(!log.writable());
    faults.room.store(u64::MAX, Ordering::SeqCst);
    wait_for("recovery", || log.writable());
    assert_eq!(texts(&rig.records()), ["a", "gap:write_failed"]);
}

#[test]
fn h15_no_room_for_a_new_segment_stops_the_log_too() {
    let rig = Rig::new();
    let log = rig.open_with(Options { segment_bytes: 500, ..Options::default() });
    let seq = log.append(&note("a")).unwrap();
    log.written(seq).unwrap();
    let faults = fill(&log, 10);
    let seq = log.append(&note("b")).unwrap();
    log.written(seq).unwrap_err();
    faults.room.store(u64::MAX, Ordering::SeqCst);
    wait_for("recovery", || log.written(seq).is_ok());
    let seq = log.append(&note("c")).unwrap();
    log.written(seq).unwrap();
    let records = rig.records();
    assert_chained(&records);
    assert_eq!(texts(&records), ["a", "b", "gap:write_failed", "c"]);
}

#[test]
fn a_failed_sync_is_not_forgotten_by_the_next_one() {
    let rig = Rig::new();
    let log = rig.open_with(Options { sync: true, ..Options::default() });
    let seq = log.append(&note("a")).unwrap();
    log.written(seq).unwrap();
    let faults = faults(&log);
    faults.bad_syncs.store(2, Ordering::SeqCst);
    let seq = log.append(&note("b")).unwrap();
    assert!(matches!(log.written(seq), Err(AuditError::Unwritable(_))));
    // The kernel reports a lost write once only: the record is written again before it counts as on disk.
    assert_eq!(log.status().durable_seq, 1);
    assert!(!log.writable());
    wait_for("recovery", || log.written(seq).is_ok());
    assert_eq!(faults.bad_syncs.load(Ordering::SeqCst), 0);
    wait_for("the gap on disk", || log.status().durable_seq == 3);
    assert_eq!(texts(&rig.records()), ["a", "b", "gap:write_failed"]);
}

#[test]
fn with_sync_written_means_on_disk() {
    let rig = Rig::new();
    let log = rig.open_with(Options { sync: true, ..Options::default() });
    let seq = log.append(&note("a")).unwrap();
    log.written(seq).unwrap();
    assert_eq!(log.status().durable_seq, seq);
}

#[test]
fn what_is_pending_is_bounded_by_writing_through() {
    let rig = Rig::new();
    let log = rig.open();
    let text = "x".repeat(1000);
    for _ in 0..3000 {
        log.append(&note(&text)).unwrap();
        let pending = log.status().queued * 1000;
        assert!(pending < (PENDING_BYTES_MAX + 4000) as u64, "{pending}");
    }
}
