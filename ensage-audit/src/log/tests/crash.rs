//! Kills, torn tails, real limits of the system: parts of it run in child processes of the test program.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

use super::share::{call, given, process, session, shown};
use super::*;

const ROLE: &str = "ENSAGE_AUDIT_TEST_ROLE";
const DIR: &str = "ENSAGE_AUDIT_TEST_DIR";

/// Starts this test program again, to run `role` of [`child`] alone.
fn start(role: &str, dir: &Path, shell: &str) -> Child {
    let program = std::env::current_exe().unwrap();
    Command::new("sh")
        .args(["-c", &format!("{shell} exec \"$@\""), "sh"])
        .arg(program)
        .args(["--exact", "log::tests::crash::child", "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Not a test of its own: what the other tests run in a process that may die.
#[test]
fn child() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let dir = PathBuf::from(std::env::var_os(DIR).unwrap());
    let say = |text: &str| {
        let mut out = io::stdout();
        writeln!(out, "\nsaid {text}").unwrap();
        out.flush().unwrap();
    };
    let segment_bytes = if role == "call_for_ever" { 3000 } else { Options::default().segment_bytes };
    let log = Log::open(&dir, Options { segment_bytes, ..Options::default() }, &KEY).unwrap();
    match role.as_str() {
        "write_for_ever" => {
            for i in 1.. {
                let seq = log.append(&note(&i.to_string())).unwrap();
                log.written(seq).unwrap();
                say(&i.to_string());
            }
        }
        "call_for_ever" => {
            let (s, p) = (session("claude"), process("/a.js"));
            for i in 1.. {
                let seq = log.append(&call(Some(&s), Some(&p), None)).unwrap();
                log.written(seq).unwrap();
                say(&i.to_string());
            }
        }
        "meet_a_limit" => {
            let limit = |bytes| {
                let resource = rustix::process::Resource::Fsize;
                let maximum = rustix::process::getrlimit(resource).maximum;
                rustix::process::setrlimit(resource, rustix::process::Rlimit { current: bytes, maximum }).unwrap();
            };
            limit(Some(3000));
            let mut acknowledged = 0;
            while let Ok(seq) = log.append(&note("x")) {
                if log.written(seq).is_err() {
                    break;
                }
                acknowledged = seq;
            }
            assert!(!log.writable());
            say(&format!("{acknowledged} of {}", records(&dir).len()));
            limit(None);
            wait_for("recovery", || log.writable());
            say(&log.status().queued.to_string());
        }
        other => panic!("no role {other}"),
    }
}

fn next_saying(lines: &mut impl Iterator<Item = io::Result<String>>) -> Option<String> {
    lines.find_map(|line| line.ok()?.strip_prefix("said ").map(str::to_owned))
}

#[test]
fn what_was_written_outlives_kill_9() {
    let rig = Rig::new();
    let mut child = start("write_for_ever", &rig.dir(), "");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut last = 0;
    while last < 50 {
        last = next_saying(&mut lines).unwrap().parse().unwrap();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    while let Some(said) = next_saying(&mut lines) {
        last = said.parse().unwrap();
    }
    let records = rig.records();
    assert!(records.len() >= last, "{} of {last}", records.len());
    assert_chained(&records);
    assert_eq!(records[last - 1]["target"], last.to_string());
    // The lock died with the process.
    assert_eq!(rig.open().append(&note("again")).unwrap(), records.len() as u64 + 1);
}

#[test]
fn calls_outlive_kill_9_in_full_and_the_next_segment_names_nothing_of_the_last() {
    let rig = Rig::new();
    let mut last = 0;
    for _ in 0..2 {
        let mut child = start("call_for_ever", &rig.dir(), "");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let before = last;
        while last < before + 50 {
            last = before + next_saying(&mut lines).unwrap().parse::<usize>().unwrap();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        while let Some(said) = next_saying(&mut lines) {
            last = before + said.parse::<usize>().unwrap();
        }
        let records = rig.records();
        assert!(records.len() >= last && rig.segments().len() > 3, "{} of {last}", records.len());
        assert_chained(&records);
        last = records.len();
    }
    let want = given([Some(&session("claude")), Some(&process("/a.js")), None]);
    for record in rig.records() {
        assert_eq!(shown(&record), want, "{record}");
    }
}

#[test]
fn h15_a_limit_of_the_system_stops_the_log_until_it_is_lifted() {
    let rig = Rig::new();
    let mut child = start("meet_a_limit", &rig.dir(), "trap '' XFSZ;");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let said = next_saying(&mut lines).unwrap();
    let (acknowledged, readable) = said.split_once(" of ").unwrap();
    assert!(acknowledged.parse::<u64>().unwrap() > 3);
    assert_eq!(acknowledged, readable, "a part of a record was left in the file");
    assert_eq!(next_saying(&mut lines).unwrap(), "0");
    assert!(child.wait().unwrap().success());
    let records = rig.records();
    assert_chained(&records);
    assert_eq!(texts(&records).last().unwrap(), "gap:write_failed");
}

/// Closes a log of three notes and returns its only segment.
fn three(rig: &Rig) -> PathBuf {
    let log = rig.open();
    for text in ["a", "b", "c"] {
        log.append(&note(text)).unwrap();
    }
    drop(log);
    rig.dir().join("segments").join(&rig.segments()[0])
}

#[test]
fn a_torn_tail_is_cut_kept_aside_and_told() {
    for (what, tear) in [
        ("half a frame", Vec::from(b"\x90\0\0\0half")),
        ("zeros", vec![0; 5000]),
        ("an impossible length", vec![0xff; 100]),
        ("one byte", vec![1]),
        ("a frame whose hash is wrong", [&b"\x20\0\0\0"[..], &[0; 32], &[b'x'; 32]].concat()),
    ] {
        let rig = Rig::new();
        let path = three(&rig);
        let mut bytes = std::fs::read(&path).unwrap();
        let whole = bytes.len();
        bytes.extend_from_slice(&tear);
        std::fs::write(&path, &bytes).unwrap();
        let log = rig.open();
        assert_eq!(log.append(&note("d")).unwrap(), 5, "{what}");
        drop(log);
        let records = rig.records();
        assert_chained(&records);
        assert_eq!(texts(&records), ["a", "b", "c", "gap:torn_tail", "d"], "{what}");
        assert_eq!(records[3]["bytes"], tear.len(), "{what}");
        assert_eq!(std::fs::metadata(&path).unwrap().len(), whole as u64);
        assert_eq!(std::fs::read(path.with_extension("torn")).unwrap(), tear, "{what}");
    }
}

#[test]
fn h15_a_changed_record_is_no_torn_tail() {
    for at in [60, 120, 300] {
        let rig = Rig::new();
        let path = three(&rig);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[at] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        drop(rig.open());
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "evidence was destroyed, byte {at}");
        assert_eq!(rig.open().append(&note("d")).unwrap(), 4);
    }
}

#[test]
fn h15_records_that_a_signed_head_knew_are_missed_at_the_start() {
    let rig = Rig::new();
    let path = three(&rig);
    let file = File::options().write(true).open(&path).unwrap();
    file.set_len(crate::frame::HEADER_BYTES).unwrap();
    drop(rig.open());
    assert_eq!(texts(&rig.records()), ["gap:truncated"]);
}
