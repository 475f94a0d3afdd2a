use serde_json::Value;

use super::*;
use crate::draft::Draft;
use crate::event::{AgentEvent, GatewayEvent};
use crate::fragment::{Fragment, SessionFacts};
use crate::log::{Log, Options};
use crate::record::{Call, End, GenAi};

/// A log in a folder of its own; `call` and `end` write as the gateway does.
struct Rig {
    temp: tempfile::TempDir,
    log: Log,
    session: Fragment,
    session_id: Uuid,
}

impl Rig {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let log = Log::open(&temp.path().join("audit"), Options::default(), &[7; 32]).unwrap();
        let session_id = Uuid::now_v7();
        let session = SessionFacts { id: session_id, enclave: "chip-a", agent: "claude-code", ..Default::default() };
        Self { temp, log, session: session.fragment(), session_id }
    }

    fn dir(&self) -> std::path::PathBuf {
        self.temp.path().join("audit")
    }

    fn append(&self, draft: &Draft<'_>) {
        self.log.written(self.log.append(draft).unwrap()).unwrap();
    }

    /// A call of a tool, not over yet.
    fn call(&self, tool: &str) -> Uuid {
        let id = Uuid::now_v7();
        let gen_ai = GenAi { tool: Some(tool), ..GenAi::default() };
        let base = Call { kind: "mcp", gen_ai, decision: "allow", ..Call::new(id, "info") };
        self.append(&Draft::call(&Call { session: Some(&self.session), ..base }));
        id
    }

    /// A refusal without a session, over at once.
    fn refusal(&self, reason: &str) -> Uuid {
        let id = Uuid::now_v7();
        let end = End { outcome: "refused", ..End::default() };
        let base = Call { kind: "http", decision: "deny", reason: Some(reason), ..Call::new(id, "medium") };
        self.append(&Draft::call(&Call { end: Some(&end), ..base }));
        id
    }

    fn end(&self, id: Uuid) {
        let end = End { status: Some(200), outcome: "complete", ..End::default() };
        self.append(&Draft::end(id, "info", &end));
    }

    fn started(&self) {
        self.append(&Draft::gateway("info", &GatewayEvent { event: "started", ..GatewayEvent::default() }));
    }

    fn run(&self, query: &Query<'_>) -> Vec<String> {
        let mut lines = Vec::new();
        let outcome = run(&self.dir(), query, &mut |line| {
            lines.push(line.to_owned());
            Ok(())
        });
        assert_eq!(outcome.unwrap(), Outcome { lines: lines.len() as u64, damaged: 0 });
        lines.iter().map(|line| brief(line)).collect()
    }
}

/// What a line is about: `tool|reason|event` and how it stands.
fn brief(line: &str) -> String {
    let v: Value = serde_json::from_str(line).unwrap();
    let what = [&v["gen_ai"]["tool"]["name"], &v["reason"], &v["event"], &v["kind"]];
    let what = what.iter().find_map(|v| v.as_str()).unwrap();
    let state = if v["open"] == true { "open" } else { v["outcome"].as_str().unwrap_or("-") };
    format!("{what} {state}")
}

#[test]
fn ends_are_merged_in_the_order_of_the_calls() {
    let rig = Rig::new();
    let (a, b) = (rig.call("a"), rig.call("b"));
    rig.end(b);
    rig.refusal("host_not_allowed");
    rig.call("c");
    rig.end(a);
    assert_eq!(rig.run(&Query::default()), ["a complete", "b complete", "host_not_allowed refused", "c open"]);
    let raw = rig.run(&Query { form: Form::Raw, ..Query::default() });
    assert_eq!(raw, ["a -", "b -", "end complete", "host_not_allowed refused", "c -", "end complete"]);
}

#[test]
fn a_call_whose_gateway_died_is_over() {
    let rig = Rig::new();
    rig.call("lost");
    rig.started();
    rig.call("runs");
    assert_eq!(rig.run(&Query::default()), ["lost gateway_stopped", "started -", "runs open"]);
}

#[test]
fn filters() {
    let rig = Rig::new();
    let id = rig.call("get_issue");
    rig.end(id);
    rig.refusal("path_not_allowed");
    let would = Uuid::now_v7();
    let base = Call { kind: "http", decision: "allow", would: Some("deny"), ..Call::new(would, "medium") };
    rig.append(&Draft::call(&Call { reason: Some("host_not_allowed"), ..base }));
    rig.append(&Draft::agent("low", &AgentEvent { event: "rogue", agent: "aider", ..AgentEvent::default() }));
    let session = rig.session_id.to_string();
    let get = |tool: &str| tool.starts_with("get_");
    let none = |_: &str| false;
    let now = SystemTime::now();
    let q = Query::default();
    for (what, query, want) in [
        ("agent", Query { agent: Some("claude-code"), ..q }, vec!["get_issue complete"]),
        ("agent of an event", Query { agent: Some("aider"), ..q }, vec!["rogue -"]),
        ("enclave", Query { enclave: Some("chip-a"), ..q }, vec!["get_issue complete"]),
        ("session", Query { session: Some(&session), ..q }, vec!["get_issue complete"]),
        ("part of a session", Query { session: Some(&session[..8]), ..q }, vec![]),
        ("tool", Query { tool: Some(&get), ..q }, vec!["get_issue complete"]),
        ("other tool", Query { tool: Some(&none), ..q }, vec![]),
        ("allow", Query { decision: Some(Decision::Allow), ..q }, vec!["get_issue complete", "host_not_allowed open"]),
        (
            "deny finds would-deny",
            Query { decision: Some(Decision::Deny), ..q },
            vec!["path_not_allowed refused", "host_not_allowed open"],
        ),
        ("all of it", Query { agent: Some("claude-code"), decision: Some(Decision::Deny), ..q }, vec![]),
        ("limit", Query { limit: Some(2), ..q }, vec!["host_not_allowed open", "rogue -"]),
        ("limit of what matches", Query { limit: Some(1), enclave: Some("chip-a"), ..q }, vec!["get_issue complete"]),
        ("no lines", Query { limit: Some(0), ..q }, vec![]),
        ("until", Query { until: Some(now - Duration::from_secs(3600)), ..q }, vec![]),
        ("since", Query { since: Some(now + Duration::from_secs(3600)), ..q }, vec![]),
        (
            "raw ends follow their calls",
            Query { tool: Some(&get), form: Form::Raw, ..q },
            vec!["get_issue -", "end complete"],
        ),
    ] {
        assert_eq!(rig.run(&query), want, "{what}");
    }
}

#[test]
fn until_still_finds_the_close() {
    let rig = Rig::new();
    let id = rig.call("a");
    let until = SystemTime::now() + Duration::from_micros(1);
    while Stamp::now() <= Stamp::of(until) {}
    rig.call("later");
    rig.end(id);
    assert_eq!(rig.run(&Query { until: Some(until), ..Query::default() }), ["a complete"]);
    assert_eq!(rig.run(&Query { since: Some(until), ..Query::default() }), ["later open"]);
}

#[test]
fn a_full_window_looks_ahead() {
    let rig = Rig::new();
    let first = rig.call("first");
    rig.call("never");
    for i in 0..40 {
        let id = rig.call(&i.to_string());
        rig.end(id);
    }
    rig.end(first);
    let mut lines = Vec::new();
    let mut follow = Follow::start(&rig.dir(), Query::default()).unwrap();
    follow.window.shrink(2000);
    let mut take = |line: &str| {
        lines.push(brief(line));
        Ok(())
    };
    follow.advance(&mut take).unwrap();
    assert_eq!(lines.len(), 42);
    assert_eq!(lines[..3], ["first complete", "never open", "0 complete"]);
}

#[test]
fn a_follower_shows_calls_as_they_run_and_as_they_end() {
    let rig = Rig::new();
    for tool in ["old", "new"] {
        let id = rig.call(tool);
        rig.end(id);
    }
    let mut follow = Follow::start(&rig.dir(), Query { limit: Some(1), ..Query::default() }).unwrap();
    let mut next = || {
        let mut lines = Vec::new();
        let mut take = |line: &str| {
            lines.push(brief(line));
            Ok(())
        };
        follow.poll(&mut take).unwrap();
        lines
    };
    assert_eq!(next(), ["new complete"]);
    assert_eq!(next(), [""; 0]);
    let long = rig.call("long");
    let short = rig.call("short");
    rig.end(short);
    assert_eq!(next(), ["long open", "short complete"]);
    rig.end(long);
    rig.refusal("rate_limited");
    assert_eq!(next(), ["long complete", "rate_limited refused"]);
}

#[test]
fn one_record_is_found_by_its_id() {
    let rig = Rig::new();
    let (a, b) = (rig.call("a"), rig.call("b"));
    rig.end(a);
    let brief = |id| find(&rig.dir(), id).unwrap().map(|line| brief(&line));
    assert_eq!(brief(a).unwrap(), "a complete");
    assert_eq!(brief(b).unwrap(), "b open");
    assert_eq!(brief(Uuid::now_v7()), None);
    let denied = rig.refusal("path_not_allowed");
    assert_eq!(find(&rig.dir(), denied).unwrap().map(|l| l.contains(&denied.to_string())), Some(true));
}

#[test]
fn a_session_is_summed_up() {
    let rig = Rig::new();
    rig.call("a");
    rig.refusal("not of this session");
    for reason in ["path_not_allowed", "path_not_allowed", "tool_not_allowed"] {
        let base = Call { decision: "deny", reason: Some(reason), ..Call::new(Uuid::now_v7(), "medium") };
        rig.append(&Draft::call(&Call { session: Some(&rig.session), ..base }));
    }
    let base = Call { decision: "allow", would: Some("deny"), ..Call::new(Uuid::now_v7(), "medium") };
    rig.append(&Draft::call(&Call { session: Some(&rig.session), reason: Some("host_not_allowed"), ..base }));
    let base = Call { kind: "connect", decision: "allow", ..Call::new(Uuid::now_v7(), "low") };
    rig.append(&Draft::call(&Call { session: Some(&rig.session), ..base }));
    let reasons = BTreeMap::from([("path_not_allowed".to_owned(), 2), ("tool_not_allowed".to_owned(), 1)]);
    let want = Summary { allowed: 3, denied: 3, would_deny: 1, certificate_refusals: 1, reasons };
    assert_eq!(summary(&rig.dir(), rig.session_id).unwrap(), want);
}

#[test]
fn a_printer_that_stops_ends_the_query() {
    let rig = Rig::new();
    rig.refusal("a");
    let broken = run(&rig.dir(), &Query::default(), &mut |_| Err(io::ErrorKind::BrokenPipe.into()));
    assert!(matches!(broken, Err(QueryError::Print(_))));
}
