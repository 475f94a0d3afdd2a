//! Commands that only ask: version, status, check, explain, env, ca, agents; their documents and their failures.

use serde_json::Value;

use super::home::{Home, Site, done, filled, start, until};

/// The schema is as named, each field is there, and nothing is `null` or empty (interface section 1).
pub(super) fn has(document: &Value, schema: &str, fields: &[&str]) {
    if !schema.is_empty() {
        assert_eq!(document["schema"], format!("ensage.{schema}.v1"), "{document}");
    }
    for field in fields {
        assert!(document.pointer(field).is_some(), "{field} is missing in {document}");
    }
    full(document, document);
}

fn full(part: &Value, all: &Value) {
    match part {
        Value::Null => panic!("a null in {all}"),
        Value::String(s) => assert!(!s.is_empty(), "an empty text in {all}"),
        Value::Array(list) => list.iter().for_each(|v| full(v, all)),
        Value::Object(map) => map.values().for_each(|v| full(v, all)),
        Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The error document of interface section 1, and that stdout holds nothing else.
pub(super) fn failed(home: &Home, arguments: &[&str], exit: i32, code: &str) -> Value {
    let json = home.done(&[&["--json"], arguments].concat());
    assert_eq!(json.code, Some(exit), "{arguments:?}: {json:?}");
    let document = json.json();
    has(&document, "error", &["/error", "/message"]);
    assert_eq!(document["error"], code, "{document}");
    let text = home.done(arguments);
    assert_eq!(text.code, Some(exit), "{arguments:?}: {text:?}");
    assert_eq!(text.out, "", "{arguments:?}: data on stdout of a failure");
    assert!(!text.err.is_empty(), "{arguments:?}: a failure without a word");
    document
}

#[test]
fn version_is_told() {
    let home = Home::new();
    let text = done(&mut home.bare(&["version"]));
    assert_eq!((text.code, text.out.as_str()), (Some(0), concat!("ensage ", env!("CARGO_PKG_VERSION"), "\n")));
    assert_eq!(text.err, "");
    let json = done(&mut home.bare(&["version", "--json"]));
    has(&json.json(), "version", &["/version"]);
}

#[test]
fn what_is_not_understood_is_usage() {
    let home = Home::new();
    for arguments in [
        &["nonsense"][..],
        &["run"],
        &["run", "--enclave"],
        &["audit", "--decision", "maybe"],
        &["sessions", "end"],
        &["creds", "add"],
        &["run", "--contained", "--advisory", "--", "true"],
        &["explain", "--url", "https://a.test/"],
        &["audit", "--since", "yesterday"],
    ] {
        failed(&home, arguments, 2, "usage");
    }
    let none = done(&mut home.bare(&[]));
    assert_eq!((none.code, none.out.as_str()), (Some(2), ""));
    let help = done(&mut home.bare(&["--help"]));
    assert_eq!((help.code, help.err.as_str()), (Some(0), ""));
    assert!(help.out.contains("Usage: ensage"));
}

#[test]
fn without_a_gateway_there_is_nothing_to_ask() {
    let home = Home::new();
    for arguments in [&["status"][..], &["reload"], &["sessions", "list"], &["sessions", "end", "--all"], &["env"]] {
        let error = failed(&home, arguments, 1, "no_gateway");
        assert!(error["message"].as_str().unwrap().contains(home.state().to_str().unwrap()), "{error}");
        let remedy = error["remedy"].as_str().unwrap();
        assert!(remedy.contains("ensage gateway") && remedy.contains("--state"), "{error}");
    }
}

#[test]
fn status_tells_all_of_its_document() {
    let home = Home::with(&Site::new().policy());
    let daemon = home.gateway();
    let status = home.document(&["status"]);
    has(
        &status,
        "status",
        &[
            "/version",
            "/pid",
            "/started",
            "/ready",
            "/draining",
            "/listeners/0",
            "/mode",
            "/generation",
            "/policy_hash",
            "/sessions",
            "/connections",
            "/held_bytes",
            "/decisions/allow",
            "/decisions/deny",
            "/audit/seq",
            "/audit/durable_seq",
            "/audit/queued",
            "/audit/writable",
            "/vault",
            "/degraded",
        ],
    );
    assert_eq!(status["pid"], daemon.child.id());
    assert_eq!(status["listeners"][0], daemon.at.to_string());
    assert_eq!(status["mode"], "enforce");
    assert_eq!((&status["ready"], &status["draining"]), (&true.into(), &false.into()));
    assert_eq!(status["generation"], 1);
}

#[test]
fn env_points_a_shell_at_the_daemon() {
    let home = Home::with(&Site::new().policy());
    let daemon = home.gateway();
    let variables = home.document(&["env"])["variables"].clone();
    let proxy = format!("http://{}", daemon.at);
    for name in ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"] {
        assert_eq!(variables[name], proxy, "{name}");
    }
    assert_eq!(variables["NO_PROXY"], "");
    let unset = home.document(&["env"])["unset"].clone();
    assert!(unset.as_array().unwrap().contains(&"SSL_CERT_DIR".into()), "{unset}");
    let shell = format!(
        "eval \"$({} --state {} env)\"; echo \"$HTTPS_PROXY\"; grep -c BEGIN \"$SSL_CERT_FILE\"",
        env!("CARGO_BIN_EXE_ensage"),
        home.state().display()
    );
    let text = done(std::process::Command::new("sh").arg("-c").arg(shell)).out;
    let (told, certificates) = text.split_once('\n').unwrap();
    assert_eq!(told, proxy);
    assert!(certificates.trim().parse::<u32>().unwrap() >= 1, "{certificates}");
}

#[test]
fn env_leaves_a_shell_its_state_folder_and_configuration() {
    let home = Home::with(&Site::new().policy());
    let daemon = home.gateway();
    let mut shell = std::process::Command::new("sh");
    shell.env("ENSAGE_STATE", home.state()).env("ENSAGE_CONFIG", home.config()).current_dir(home.path("work"));
    let ensage = env!("CARGO_BIN_EXE_ensage");
    let said = done(shell.arg("-c").arg(format!("eval \"$({ensage} env)\"; {ensage} --json status")));
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(said.json()["pid"], daemon.child.id());
}

#[test]
fn ca_is_made_on_first_use_and_stays() {
    let home = Home::new();
    let path = home.done(&["ca", "path"]);
    assert_eq!(path.code, Some(0), "{path:?}");
    assert_eq!(path.out.trim(), home.state().join("ca/ca.pem").display().to_string());
    let pem = std::fs::read_to_string(path.out.trim()).unwrap();
    assert!(pem.starts_with("-----BEGIN CERTIFICATE-----"));
    assert!(!pem.contains("PRIVATE"));
    let show = home.document(&["ca", "show"]);
    has(&show, "ca_show", &["/path", "/subject", "/sha256", "/not_before", "/not_after", "/installed"]);
    assert_eq!(home.document(&["ca", "show"])["sha256"], show["sha256"]);
    use std::os::unix::fs::PermissionsExt;
    let mode = |p: &str| std::fs::metadata(home.state().join(p)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(""), mode("ca"), mode("ca/ca.pem"), mode("ca/ca.key")), (0o700, 0o700, 0o644, 0o600));
    let key = std::fs::read(home.state().join("ca/ca.key")).unwrap();
    assert!(!key.windows(7).any(|w| w == b"PRIVATE"), "the key is not sealed");
}

#[test]
fn check_prints_every_error_where_it_is() {
    let home = Home::with("[gateway]\nlisten = 5\n\n[enclave.lab]\nagents = [\"*\"]\nunheard = 1\n");
    let text = home.done(&["check"]);
    assert_eq!((text.code, text.out.as_str()), (Some(1), ""), "{text:?}");
    let at = home.config().display().to_string();
    for (line, column) in [(2, 10), (6, 1)] {
        let place = format!("{at}:{line}:{column}: error: ");
        assert!(text.err.lines().any(|l| l.starts_with(&place)), "{place} is not in {}", text.err);
    }
    assert!(text.err.lines().any(|l| l.starts_with("  help: ")), "{}", text.err);
    let json = home.done(&["check", "--json"]);
    assert_eq!(json.code, Some(1));
    let json = json.json();
    has(&json, "check", &["/ok", "/errors/1/code", "/warnings"]);
    assert_eq!(json["ok"], false);
    for error in json["errors"].as_array().unwrap() {
        has(error, "", &["/code", "/file", "/line", "/column", "/message"]);
        assert_eq!(error["file"], at);
    }
    // `gateway` and `run` print the same for the same file.
    let run = done(&mut home.run(&[], "true"));
    assert_eq!(run.code, Some(125));
    let gateway = home.done(&["gateway"]);
    assert_eq!((gateway.code, gateway.out.as_str()), (Some(1), ""));
    let errors = |err: &str| err.lines().filter(|l| l.contains(": error: ")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(errors(&run.err), errors(&text.err));
    assert_eq!(errors(&gateway.err), errors(&text.err));
    failed(&home, &["gateway"], 1, "bad_config");
    failed(&home, &["run", "--advisory", "--", "true"], 125, "bad_config");
}

#[test]
fn check_leaves_out_what_it_does_not_know() {
    let home = Home::with("[gateway\n");
    let json = home.done(&["check", "--json"]);
    assert_eq!(json.code, Some(1), "{json:?}");
    let json = json.json();
    has(&json, "check", &["/errors/0/file", "/errors/0/line", "/errors/0/column", "/errors/0/message"]);
    assert_eq!(json["errors"][0].get("key"), None, "a line that can't be read has none");
}

#[test]
fn a_good_file_is_ok_and_so_is_none() {
    let home = Home::with(&Site::new().policy());
    let json = home.document(&["check"]);
    assert_eq!((&json["ok"], &json["errors"]), (&true.into(), &Value::Array(vec![])));
    assert_eq!(home.done(&["check"]).code, Some(0));
    std::fs::remove_file(home.config()).unwrap();
    assert_eq!(home.document(&["check"])["ok"], true);
}

#[test]
fn check_warns_of_what_run_would_refuse() {
    let policy = "[enclave.watched]\nmode = \"observe\"\n\n[enclave.held]\n[enclave.also-held]\n";
    let home = Home::with(policy);
    let json = home.document(&["check"]);
    assert_eq!(json["ok"], true);
    let [warning] = json["warnings"].as_array().unwrap().as_slice() else { panic!("once for a file: {json}") };
    has(warning, "", &["/code", "/file", "/line", "/column", "/key", "/message", "/help"]);
    assert_eq!((&warning["line"], &warning["key"]), (&4.into(), &"enclave.held.mode".into()), "{warning}");
    assert!(warning["help"].as_str().unwrap().contains("ensage run --advisory"), "{warning}");
    let text = home.done(&["check"]);
    assert_eq!(text.code, Some(0));
    assert!(text.err.contains(&format!("{}:4:1: warning: ", home.config().display())), "{text:?}");

    // Nothing at all gets into an enclave that demands a containment that is not there.
    let home = Home::with("[enclave.lab]\nmode = \"observe\"\nrequire = \"contained\"\n");
    let warning = home.document(&["check"])["warnings"][0].clone();
    assert_eq!(warning["key"], "enclave.lab.require", "{warning}");
    let home = Home::with("[gateway]\nmode = \"observe\"\n[enclave.lab]\n");
    assert_eq!(home.document(&["check"])["warnings"], Value::Array(vec![]));
}

#[test]
fn explain_tells_the_decision_and_its_rule() {
    let site = Site::new();
    let home = Home::with(&site.policy());
    let url = format!("http://{}/", site.at);
    let allow = home.document(&["explain", "--enclave", "lab", "--url", &url]);
    has(&allow, "explain", &["/decision", "/rule", "/at/file", "/at/line", "/steps/0/step", "/steps/0/decision"]);
    assert_eq!((&allow["decision"], &allow["rule"]), (&"allow".into(), &"enclave.lab.http[0]".into()));
    for (url, method, reason) in [
        (url.as_str(), "POST", "method_not_allowed"),
        ("http://other.test/", "GET", "host_not_allowed"),
        ("http://10.9.8.7/", "GET", "address_literal"),
    ] {
        let deny = home.done(&["--json", "explain", "--enclave", "lab", "--url", url, "--method", method]);
        assert_eq!(deny.code, Some(1), "{deny:?}");
        let deny = deny.json();
        has(&deny, "explain", &["/decision", "/reason", "/message", "/rule", "/at/file", "/at/line", "/steps/0"]);
        assert_eq!((&deny["decision"], &deny["reason"]), (&"deny".into(), &reason.into()), "{deny}");
    }
    failed(&home, &["explain", "--enclave", "none", "--url", &url], 1, "not_found");
    failed(&home, &["explain", "01a21085-33aa-7155-94db-c01b45659007"], 1, "not_found");
}

#[test]
fn explain_tells_why_it_took_a_decision() {
    let site = Site::new();
    let home = Home::with(&site.policy());
    done(&mut home.run(&[], &format!("curl -s -X POST http://{}/", site.at)));
    let id = home.calls()[0]["id"].as_str().unwrap().to_owned();
    let told = home.done(&["--json", "explain", &id]);
    assert_eq!(told.code, Some(1), "{told:?}");
    let told = told.json();
    has(&told, "explain", &["/decision", "/reason", "/rule", "/steps/0"]);
    assert_eq!((&told["decision"], &told["reason"]), (&"deny".into(), &"method_not_allowed".into()));
}

#[test]
fn explain_tells_what_is_no_decision() {
    let site = Site::new();
    let home = Home::with(&site.policy());
    done(&mut home.run(&[], &format!("curl -s http://{}/", site.at)));
    let records = home.records(&[]);
    let of = |kind: &str| records.iter().find(|r| r["kind"] == kind).unwrap();
    let text = |v: &Value| v.as_str().unwrap().to_owned();
    let session = text(&of("session")["session"]["id"]);
    for (id, said, remedy) in [
        (&text(&of("session")["id"]), "sh session opened", &format!("ensage audit --session {session}")),
        (&session, "a session with 1 call", &format!("ensage audit --session {session}")),
        (&text(&of("policy")["id"]), "policy loaded 1", &"ensage audit --json".to_owned()),
        (&text(&of("gateway")["id"]), "gateway started", &"ensage audit --json".to_owned()),
    ] {
        let error = failed(&home, &["explain", id], 1, "not_found");
        assert!(text(&error["message"]).contains(said), "{error}");
        assert!(text(&error["remedy"]).contains(remedy), "{error}");
    }
}

#[test]
fn agents_and_sessions_show_who_runs() {
    let home = Home::with(&Site::new().policy());
    let (here, go) = (home.path("here"), home.path("go"));
    let script =
        format!("echo $ENSAGE_SESSION > {}; while [ ! -e {} ]; do sleep 0.05; done", here.display(), go.display());
    let mut run = start(&mut home.run(&[], &script));
    let id = until("the session is open", || filled(&here));
    let id = id.trim();

    let sessions = home.document(&["sessions", "list"]);
    assert_eq!(sessions["schema"], "ensage.sessions_list.v1");
    let session = &sessions["sessions"][0];
    has(
        session,
        "",
        &[
            "/id",
            "/enclave",
            "/agent",
            "/mode",
            "/tier",
            "/process/pid",
            "/since",
            "/state",
            "/streams",
            "/allowed",
            "/denied",
        ],
    );
    assert_eq!((&session["id"], &session["state"]), (&id.into(), &"open".into()));
    assert_eq!((&session["enclave"], &session["agent"]), (&"lab".into(), &"sh".into()));
    assert_eq!((&session["mode"], &session["tier"]), (&"enforce".into(), &"advisory".into()));

    let agents = home.document(&["agents"]);
    assert_eq!(agents["schema"], "ensage.agents.v1");
    let ours = agents["agents"].as_array().unwrap().iter().find(|a| a["session"] == id).unwrap();
    has(
        ours,
        "",
        &[
            "/sanctioned",
            "/rogue",
            "/agent",
            "/enclave",
            "/mode",
            "/tier",
            "/process/pid",
            "/since",
            "/connections",
            "/listening",
        ],
    );
    assert_eq!((&ours["sanctioned"], &ours["rogue"]), (&true.into(), &false.into()));

    // The root is `ensage run`; what is shown of it is the program that it stands for.
    let shell = std::fs::canonicalize("/bin/sh").unwrap();
    let opened = home.records(&["--session", id]).into_iter().find(|r| r["event"] == "opened").unwrap();
    for shown in [&session["process"], &ours["process"], &opened["process"]] {
        assert_eq!(shown["pid"], run.id(), "{shown}");
        assert_eq!(shown["executable"]["path"], shell.to_str().unwrap(), "{shown}");
    }

    std::fs::write(&go, "").unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(0));
    until("the session has ended", || {
        (home.document(&["sessions", "list"])["sessions"][0]["state"] == "ended").then_some(())
    });
}
