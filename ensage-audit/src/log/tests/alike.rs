//! Calls of a connection that repeats itself: told once, and read in full.

use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::fragment::{Fragment, ProcessFacts, SessionFacts};
use crate::record::Call;
use crate::verify::verify;

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn session(agent: &str) -> Fragment {
    SessionFacts { agent, ..SessionFacts::default() }.fragment()
}

fn process(script: &str) -> Fragment {
    ProcessFacts { pid: 7, script: Some(script), ..ProcessFacts::default() }.fragment()
}

/// A call as it is given and as it must be read, without what the log adds.
struct Given<'a> {
    call: u128,
    exchange: Option<u128>,
    connection: u128,
    session: Option<&'a Fragment>,
    process: Option<&'a Fragment>,
    path: &'a str,
}

impl<'a> Given<'a> {
    fn draft(&self) -> Draft<'a> {
        let &Given { call, exchange, connection, session, process, path } = self;
        Draft::call(&Call {
            exchange: exchange.map(id),
            connection: Some(id(connection)),
            session,
            process,
            kind: "http",
            path: Some(path),
            decision: "allow",
            ..Call::new(id(call), "info")
        })
    }

    fn shown(&self) -> Value {
        let text = |fragment: Option<&Fragment>| fragment.map(|f| serde_json::from_str::<Value>(f.as_str()).unwrap());
        let mut shown = json!({
            "id": id(self.call).to_string(), "connection": id(self.connection).to_string(), "type": "http", "url": {"path": self.path},
            "decision": "allow", "severity": "info",
        });
        for (name, value) in [("session", text(self.session)), ("process", text(self.process))] {
            if let Some(value) = value {
                shown[name] = value;
            }
        }
        if let Some(exchange) = self.exchange {
            shown["exchange"] = json!(id(exchange).to_string());
        }
        shown
    }
}

fn read(rig: &Rig) -> Vec<Value> {
    let mut records = rig.records();
    assert_chained(&records);
    for record in &mut records {
        let members = record.as_object_mut().unwrap();
        for added in ["v", "seq", "time", "kind", "prev"] {
            members.remove(added).unwrap_or_else(|| panic!("no {added}: {members:?}"));
        }
    }
    records
}

fn stored(rig: &Rig) -> Vec<String> {
    let read = |name: &String| std::fs::read(rig.dir().join("segments").join(name)).unwrap();
    let lines = |bytes: Vec<u8>| {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        text.split("{\"v\":1,").skip(1).map(|l| l.lines().next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    rig.segments().iter().flat_map(|name| lines(read(name))).collect()
}

#[test]
fn a_call_that_repeats_itself_is_told_once_and_named_after_that() {
    let rig = Rig::new();
    let log = rig.open();
    let (s, p) = (session("claude"), process("/a.js"));
    let all = |call, path| {
        let (session, process) = (Some(&s), Some(&p));
        Given { call, exchange: Some(call ^ 1), connection: 9, session, process, path }
    };
    let calls = [
        all(10, "/a"),
        all(12, "/a"),
        all(14, "/a"),
        // Of another length, so it has a place of its own.
        all(16, "/other"),
        all(18, "/a"),
        // Of the same length: it takes the place.
        all(20, "/b"),
        all(22, "/a"),
        all(24, "/a"),
        // An exchange of its own, none, and another process.
        Given { exchange: Some(77), ..all(26, "/a") },
        Given { exchange: None, ..all(28, "/a") },
        Given { process: None, ..all(30, "/a") },
    ];
    for call in &calls {
        log.append(&call.draft()).unwrap();
    }
    drop(log);
    assert_eq!(read(&rig), calls.iter().map(Given::shown).collect::<Vec<_>>());
    let like: Vec<_> = stored(&rig).iter().map(|l| member(l, "\"like\":")).collect();
    let told = [None, Some(2), Some(2), None, Some(2), None, None, Some(8), Some(8), Some(8), None];
    assert_eq!(like, told);
    let exchange: Vec<_> = stored(&rig).iter().map(|l| member(l, "\"exchange\":")).collect();
    assert_eq!((exchange[0], exchange[8], exchange[9]), (Some(1), None, None), "{exchange:?}");
    assert!(stored(&rig)[2].ends_with("\"exchange\":1}"), "{}", stored(&rig)[2]);
    let report = verify(&rig.dir(), None).unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
}

/// The number that a member is.
fn member(line: &str, name: &str) -> Option<u64> {
    line.split_once(name)?.1.split([',', '}']).next()?.parse().ok()
}

#[test]
fn damage_to_the_call_that_others_name_takes_only_so_many_with_it() {
    let rig = Rig::new();
    let log = rig.open();
    let s = session("claude");
    let all = |call| Given { call, exchange: None, connection: 9, session: Some(&s), process: None, path: "/a" };
    for call in 0..140 {
        log.append(&all(call).draft()).unwrap();
    }
    drop(log);
    let told: Vec<_> = stored(&rig).iter().map(|l| member(l, "\"like\":")).collect();
    assert_eq!(
        (told[0], told[1], told[65], told[66], told[67], told[132]),
        (None, Some(2), Some(2), Some(67), Some(67), Some(132))
    );
    let path = rig.dir().join("segments").join(&rig.segments()[0]);
    let mut bytes = std::fs::read(&path).unwrap();
    let second = bytes.windows(7).enumerate().filter(|(_, w)| *w == b"{\"v\":1,").nth(1).unwrap().0;
    bytes[second] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let mut reader = Records::open(&rig.dir()).unwrap();
    let (mut records, mut damages) = (0, 0);
    while let Some(found) = reader.next().unwrap() {
        let Found::Record(record) = found else {
            damages += 1;
            continue;
        };
        records += 1;
        let record: Value = serde_json::from_str(record.line).unwrap();
        let lost = (3..67).contains(&record["seq"].as_u64().unwrap());
        assert_eq!(record.get("connection").is_none(), lost, "{record}");
        assert!(record["id"].is_string() && record["severity"].is_string(), "{record}");
    }
    assert_eq!((records, damages), (139, 1));
}

#[test]
fn a_reader_takes_along_what_a_call_is_like() {
    let rig = Rig::new();
    let log = rig.open();
    let s = session("claude");
    let all = |call| Given { call, exchange: None, connection: 9, session: Some(&s), process: None, path: "/a" };
    let write = |call| log.written(log.append(&all(call).draft()).unwrap()).unwrap();
    (0..2).for_each(write);
    let mut reader = Records::open(&rig.dir()).unwrap();
    while reader.next().unwrap().is_some() {}
    let mut fork = reader.fork().unwrap();
    write(2);
    for reader in [&mut reader, &mut fork] {
        let Some(Found::Record(record)) = reader.next().unwrap() else { panic!() };
        let record: Value = serde_json::from_str(record.line).unwrap();
        assert_eq!((&record["session"]["agent"], &record["url"]["path"]), (&json!("claude"), &json!("/a")));
    }
}

#[test]
fn a_secret_that_becomes_known_is_taken_out_of_the_calls_that_follow() {
    let rig = Rig::new();
    let log = rig.open();
    let all = |call| Given { call, exchange: None, connection: 9, session: None, process: None, path: "/hunter2" };
    let hide = |text: &mut [u8]| {
        for at in 0..text.len() {
            if text[at..].starts_with(b"hunter2") {
                text[at..at + 7].fill(b'*');
            }
        }
    };
    for call in 0..3 {
        log.append(&all(call).draft()).unwrap();
    }
    for call in 3..6 {
        log.append_redacted(all(call).draft(), hide).unwrap();
    }
    drop(log);
    let paths: Vec<_> = rig.records().iter().map(|r| r["url"]["path"].as_str().unwrap().to_owned()).collect();
    assert_eq!(paths[..3], ["/hunter2"; 3]);
    assert_eq!(paths[3..], ["/*******"; 3]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_calls_over_any_segments_are_read_as_they_were_given(
        calls in proptest::collection::vec((0..3_usize, 0..4_usize, 0..3_u128, 0..4_usize, 0..3_u128), 1..250),
        segment_bytes in 400..9000_u64,
        long in 1..3000_usize,
    ) {
        let rig = Rig::new();
        let sessions = [session("a"), session("b")];
        // Two of them are more than all that can be named.
        let processes: Vec<_> = [5, 150_000, 150_001].iter().map(|n| process(&"x".repeat(*n))).collect();
        let processes: Vec<_> = processes.iter().chain(&[process("y")]).cloned().collect();
        let long = format!("/{}", "é\"".repeat(long));
        let paths = ["/a", "/b", "/abc", long.as_str()];
        let log = rig.open_with(Options { segment_bytes, ..Options::default() });
        let given: Vec<_> = calls.iter().enumerate().map(|(n, &(session, process, connection, path, exchange))| {
            let call = 1000 + n as u128;
            Given {
                call,
                exchange: [None, Some(call ^ 1), Some(5)][exchange as usize],
                connection,
                session: sessions.get(session),
                process: processes.get(process),
                path: if n % 3 == 0 { paths[path] } else { "/a" },
            }
        }).collect();
        for call in &given {
            log.append(&call.draft()).unwrap();
        }
        drop(log);
        let mut want: Vec<_> = given.iter().map(Given::shown).collect();
        let mut seen = read(&rig);
        // Texts are cut at their bounds; that is tested where they are written.
        for record in want.iter_mut().chain(&mut seen) {
            for at in ["/url/path", "/process/script"] {
                if let Some(Value::String(text)) = record.pointer_mut(at) {
                    *text = text.chars().take(300).collect();
                }
            }
        }
        prop_assert_eq!(seen, want);
        prop_assert!(verify(&rig.dir(), None).unwrap().problems.is_empty());
    }
}
