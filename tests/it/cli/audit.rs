//! `audit` and `audit verify`.

use serde_json::{Value, json};

use super::asking::has;
use super::home::{Home, Site, done, until};

/// Two sessions of two agents: allowed, refused, allowed.
fn acted() -> (Site, Home) {
    let site = Site::new();
    let home = Home::with(&site.policy());
    done(
        &mut home.run(&[], &format!("curl -s http://{0}/first?secret=1; curl -s -X DELETE http://{0}/second", site.at)),
    );
    let url = format!("http://{}/third", site.at);
    home.done(&["run", "--advisory", "--enclave", "lab", "--", "curl", "-s", &url]);
    (site, home)
}

fn paths(records: &[Value]) -> Vec<&str> {
    records.iter().filter_map(|r| r["url"]["path"].as_str()).collect()
}

#[test]
fn calls_are_told_oldest_first_with_all_their_fields() {
    let (site, home) = acted();
    let calls = home.calls();
    assert_eq!(paths(&calls), ["/first", "/second", "/third"], "the path, never the query");
    for call in &calls {
        has(
            call,
            "",
            &[
                "/v",
                "/seq",
                "/time",
                "/id",
                "/prev",
                "/severity",
                "/exchange",
                "/connection",
                "/session/id",
                "/session/enclave",
                "/session/agent",
                "/session/mode",
                "/session/tier",
                "/session/attribution",
                "/process/pid",
                "/process/start_time",
                "/process/executable/path",
                "/process/owner",
                "/type",
                "/server/address",
                "/server/port",
                "/http/request/method",
                "/http/response/status_code",
                "/url/scheme",
                "/url/path",
                "/decision",
                "/rule",
                "/policy/generation",
                "/policy/sha256",
                "/bytes/up",
                "/bytes/down",
                "/duration_ms",
                "/outcome",
                "/network/protocol/version",
            ],
        );
        assert_eq!((&call["v"], &call["type"]), (&1.into(), &"http".into()));
        assert!(call["process"]["executable"]["path"].as_str().unwrap().ends_with("/curl"), "{call}");
        assert_eq!(call["server"]["port"], site.at.port());
        assert_eq!(call.get("open"), None, "{call}");
    }
    let [first, second, third] = calls.as_slice() else { panic!("{calls:?}") };
    assert_eq!((&first["decision"], &first["session"]["agent"]), (&"allow".into(), &"sh".into()));
    assert_eq!((&first["outcome"], &first["bytes"]["down"]), (&"complete".into(), &5.into()));
    assert_eq!(first["network"]["peer"]["address"], "127.0.0.1");
    assert_eq!((&second["decision"], &second["reason"]), (&"deny".into(), &"method_not_allowed".into()));
    assert_eq!((&second["outcome"], &second["http"]["response"]["status_code"]), (&"refused".into(), &403.into()));
    assert_eq!(second["rule"], "enclave.lab.http[0].methods", "the list that lacks the entry");
    assert_eq!(second["network"]["peer"].get("address"), None, "nothing was dialled");
    assert_eq!(third["session"]["agent"], "curl");
    assert!(!home.done(&["audit", "--raw"]).out.contains("secret"));
}

#[test]
fn what_is_asked_for_is_told() {
    let (_site, home) = acted();
    let session = home.calls()[0]["session"]["id"].as_str().unwrap().to_owned();
    let asked = |words: &[&str]| {
        let records = home.records(words);
        records.iter().filter_map(|r| r["url"]["path"].as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    assert_eq!(asked(&["--agent", "curl"]), ["/third"]);
    assert_eq!(asked(&["--agent", "nobody"]), [""; 0]);
    assert_eq!(asked(&["--session", &session]), ["/first", "/second"]);
    assert_eq!(asked(&["--enclave", "lab"]).len(), 3);
    assert_eq!(asked(&["--enclave", "other"]).len(), 0);
    assert_eq!(asked(&["--decision", "deny"]), ["/second"]);
    assert_eq!(asked(&["--decision", "allow"]), ["/first", "/third"]);
    assert_eq!(asked(&["--tool", "*"]).len(), 0);
    assert_eq!(asked(&["--since", "1h"]).len(), 3);
    assert_eq!(asked(&["--since", "2999-01-01T00:00:00Z"]).len(), 0);
    assert_eq!(asked(&["--until", "2001-01-01T00:00:00Z"]).len(), 0);
    assert_eq!(asked(&["--decision", "allow", "--limit", "1"]), ["/third"], "the newest");
}

#[test]
fn csv_has_its_columns() {
    let (_site, home) = acted();
    let csv = home.done(&["audit", "--csv"]);
    assert_eq!(csv.code, Some(0));
    let lines: Vec<&str> = csv.out.lines().collect();
    assert_eq!(
        lines[0],
        "time,session,enclave,agent,pid,type,server,method,target,tool,model,decision,reason,rule,status,bytes_up,bytes_down,id"
    );
    assert_eq!(lines.len(), 4);
    let cells: Vec<&str> = lines[2].split(',').collect();
    assert_eq!((cells[2], cells[3], cells[7], cells[8]), ("lab", "sh", "DELETE", "/second"));
    assert_eq!((cells[11], cells[12], cells[14]), ("deny", "method_not_allowed", "403"));
    // The end of the second session is newer than any call, and no row.
    for n in 0..=4 {
        let limited = home.done(&["audit", "--csv", "--limit", &n.to_string()]).out;
        let newest = [&lines[..1], &lines[lines.len() - n.min(3)..]].concat();
        assert_eq!(limited.lines().collect::<Vec<_>>(), newest, "--limit {n}");
    }
}

#[test]
fn text_tells_the_port_and_how_it_ended() {
    let site = Site::new();
    let home = Home::with(&site.policy());
    let script = format!(
        "curl -s http://{0}/whole; curl -sN http://{0}/slow | head -c 5; \
         curl -s -X DELETE http://{0}/refused; curl -s http://other.test/hidden",
        site.at
    );
    assert_eq!(done(&mut home.run(&[], &script)).code, Some(0));
    let text = home.done(&["audit"]).out;
    let line = |n: usize| text.lines().filter(|l| l.contains(" GET ") || l.contains(" DELETE ")).nth(n).unwrap();
    let calls = home.calls();
    // Between who and the id, which `explain` takes.
    let told = |n: usize| {
        let words = line(n).strip_suffix(calls[n]["id"].as_str().unwrap()).unwrap_or_else(|| panic!("{text}"));
        words.split_whitespace().skip(3).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(told(0), format!("allow GET {}/whole 200", site.at));
    assert_eq!(told(1), format!("allow GET {}/slow 200 client_gone", site.at));
    assert_eq!(told(2), format!("DENY DELETE {}/refused method_not_allowed", site.at));
    assert_eq!(told(3), "DENY GET other.test/hidden host_not_allowed", "the scheme's own port");
}

#[test]
fn raw_is_what_is_stored_and_verify_reads_it() {
    let (_site, home) = acted();
    let raw: Vec<Value> =
        home.done(&["audit", "--raw"]).out.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    for (n, record) in raw.iter().enumerate() {
        assert_eq!(record["seq"], n + 1, "no gaps");
    }
    let kinds = |k: &str| raw.iter().filter(|r| r["kind"] == k).count();
    assert_eq!((kinds("call"), kinds("session")), (3, 4));
    assert!(kinds("end") >= 2, "each open call is closed");
    let verify = home.document(&["audit", "verify"]);
    has(
        &verify,
        "audit_verify",
        &["/ok", "/records", "/segments", "/first_seq", "/head/seq", "/head/hash", "/problems"],
    );
    assert_eq!((&verify["ok"], &verify["records"]), (&true.into(), &raw.len().into()));
}

#[test]
fn h15_an_edited_record_is_found_in_a_copy() {
    let (_site, home) = acted();
    let copy = Home::new();
    std::fs::create_dir(copy.state()).unwrap();
    let mut cp = std::process::Command::new("cp");
    assert_eq!(done(cp.arg("-a").arg(home.state().join("audit")).arg(copy.state())).code, Some(0));
    assert_eq!(copy.calls().len(), 3, "it works on a copied state folder");
    let segment = std::fs::read_dir(copy.state().join("audit/segments")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&segment).unwrap();
    let at = bytes.windows(7).position(|w| w == b"/second").unwrap();
    bytes[at + 1] = b'X';
    std::fs::write(&segment, bytes).unwrap();
    let verify = copy.done(&["--json", "audit", "verify"]);
    assert_eq!(verify.code, Some(1), "{verify:?}");
    let verify = verify.json();
    assert_eq!((&verify["ok"], &verify["problems"][0]["kind"]), (&false.into(), &"edited".into()), "{verify}");
    assert_eq!(home.done(&["audit", "verify"]).code, Some(0));
}

#[test]
fn a_log_of_another_format_version_is_told_as_such_and_is_left_alone() {
    let (_site, home) = acted();
    let audit = home.state().join("audit");
    // The gateway of the sessions lingers, and writes its last records when it ends.
    until("the log is closed", || {
        let lock = std::fs::File::open(audit.join("lock")).unwrap();
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockShared).ok()
    });
    let segments = || std::fs::read_dir(audit.join("segments")).unwrap().map(|entry| entry.unwrap().path());
    let path = segments().next().unwrap();
    let mut old = std::fs::read(&path).unwrap();
    old[8] = 2;
    std::fs::write(&path, &old).unwrap();

    let what = format!("the segment {path:?} was written in format version 2, this build reads version 3");
    let help = format!("move {audit:?} aside, a new log begins in its place; nothing is deleted");
    let told = |words: &[&str], code: i32, doing: &str| {
        let done = home.done(words);
        assert_eq!((done.code, &*done.out), (Some(code), ""), "{done:?}");
        assert_eq!(done.err, format!("ensage: error: {doing}: {what}\n  help: {help}\n"));
    };
    let run = ["run", "--advisory", "--enclave", "lab", "--", "true"];
    told(&run, 125, "the gateway did not start: cannot open the audit log");
    told(&["gateway"], 1, "cannot open the audit log");
    told(&["audit"], 1, "cannot read the audit log");
    told(&["audit", "verify"], 1, "cannot read the audit log");
    for words in [["audit", "--json"].as_slice(), &["--json", "audit", "verify"]] {
        let done = home.done(words);
        assert_eq!(done.code, Some(1), "{done:?}");
        let (message, remedy) = (format!("cannot read the audit log: {what}"), &*help);
        let want = json!({"schema": "ensage.error.v1", "error": "internal", "message": message, "remedy": remedy});
        assert_eq!(done.json(), want);
    }
    assert_eq!(segments().collect::<Vec<_>>(), [&*path]);
    assert_eq!(std::fs::read(&path).unwrap(), old);
    // What it says helps.
    std::fs::rename(&audit, home.path("aside")).unwrap();
    assert_eq!(home.done(&run).code, Some(0));
    assert_eq!(home.done(&["audit", "verify"]).code, Some(0));
}
