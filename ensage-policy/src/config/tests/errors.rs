//! What is wrong, where it is said to be, and what is said about it.

use super::{loaded, shown};

/// One error: `LINE:COLUMN`, code, key.
pub(super) type Expected<'a> = (&'a str, &'a str, &'a str);

#[track_caller]
pub(super) fn check(text: &str, expected: &[Expected<'_>]) {
    let loaded = loaded(text);
    let places: Vec<String> = loaded.errors.iter().map(|d| format!("{}:{}", d.line, d.column)).collect();
    let found: Vec<Expected<'_>> =
        loaded.errors.iter().zip(&places).map(|(d, place)| (place.as_str(), d.code, d.key.as_str())).collect();
    assert_eq!(found, expected, "\n{text}\n{}", shown(&loaded.errors));
}

/// Each row: the lines below `[enclave.e.mcp.s]`, `[credential.c]` and so on, and the one error that they make.
#[track_caller]
pub(super) fn rows(head: &str, rows: &[(&str, Expected<'_>)]) {
    for (text, expected) in rows {
        check(&format!("{head}{text}"), &[*expected]);
    }
}

#[test]
fn h6_every_error_at_once_in_the_order_of_the_file() {
    check(
        r#"
[gateway]
listen = "localhost:8899"
moed = "enforce"
workers = 0
mode = "enforce"
mode = "observe"

[limits]
body_hold = "4MB"

[enclave.chip-a]
agents = ["cladue-code"]

[[enclave.chip-a.http]]
methods = ["get"]
credential = "github"

[nothing]
"#,
        &[
            ("3:10", "bad_value", "gateway.listen"),
            ("4:1", "unknown_key", "gateway.moed"),
            ("5:11", "out_of_range", "gateway.workers"),
            ("7:1", "duplicate", "mode"),
            ("10:13", "bad_unit", "limits.body_hold"),
            ("13:11", "dangling_reference", "enclave.chip-a.agents[0]"),
            ("15:1", "missing_key", "enclave.chip-a.http[0].host"),
            ("16:12", "bad_value", "enclave.chip-a.http[0].methods[0]"),
            ("17:14", "dangling_reference", "enclave.chip-a.http[0].credential"),
            ("19:2", "unknown_key", "nothing"),
        ],
    );
}

#[test]
fn errors_are_printed_for_people() {
    for (text, printed) in [
        (
            "[gateway]\nmoed = \"enforce\"",
            "ensage.toml:2:1: error: unknown key `gateway.moed`\n  help: did you mean `mode`?",
        ),
        (
            "[enclave.e]\nagents = [\"cladue-code\"]",
            "ensage.toml:2:11: error: there is no agent \"cladue-code\"\n  help: did you mean \"claude-code\"? if not, add `[agent.cladue-code]`",
        ),
        (
            "[[enclave.e.http]]\nhost = \"a.test\"\nmcp = \"allow\"\nrate = \"1/s\"",
            "ensage.toml:4:8: error: `enclave.e.http[0].rate` is understood but not enforced by this version\n  help: remove it; a limit that is not enforced must not look as if it were",
        ),
        (
            "[limits]\nheader_lines = 0",
            "ensage.toml:2:16: error: `limits.header_lines` is out of range\n  help: 1 at least, 10000 at most",
        ),
        (
            "[gateway]\nmode = true",
            "ensage.toml:2:8: error: `gateway.mode` must be a string, not a boolean\n  help: write `mode = \"...\"`",
        ),
        (
            "[enclave.e.llm.p]\napi = \"anthropic\"",
            "ensage.toml:1:1: error: `enclave.e.llm.p.host` is missing\n  help: add `host = \"api.anthropic.com\"`",
        ),
    ] {
        assert_eq!(loaded(text).errors[0].to_string(), printed);
    }
    let warned = loaded("[gateway]\nlisten = \"0.0.0.0:1\"").warnings;
    assert!(warned[0].to_string().starts_with("ensage.toml:2:10: warning: 0.0.0.0:1 can be reached"), "{}", warned[0]);
}

#[test]
fn what_a_terminal_would_obey_is_shown() {
    let loaded = loaded("[agent.\"\\u001b[2J\\u202e\"]\nexe = \"\\n\"\n");
    for d in &loaded.errors {
        let all = format!("{d}{}", d.key);
        assert!(!all.contains('\u{1b}') && !all.contains('\u{202e}'), "{all:?}");
    }
    assert_eq!(loaded.errors.len(), 2, "{}", shown(&loaded.errors));
}

#[test]
fn syntax() {
    check("[gateway", &[("1:9", "syntax", "")]);
    check("[gateway]\nmode = enforce\n", &[("2:8", "syntax", "")]);
    check("[gateway]\nmode = \"enforce\n", &[("2:16", "syntax", "")]);
    check("ü = 1\n", &[("1:1", "syntax", "")]);
    // Columns are characters, not bytes.
    check(
        "[gateway]\n\"öö\" = 1\nmode = \"ö\"\n",
        &[("2:1", "unknown_key", "gateway.\"öö\""), ("3:8", "bad_value", "gateway.mode")],
    );
    check(
        "[enclave.\"ö\"]\nagents = [\"ö\", \"x\"]\r\nmode = 1\r\n",
        &[
            ("2:11", "dangling_reference", "enclave.\"ö\".agents[0]"),
            ("2:16", "dangling_reference", "enclave.\"ö\".agents[1]"),
            ("3:8", "wrong_type", "enclave.\"ö\".mode"),
        ],
    );
    // One line that can't be read hides nothing on other lines, and is not blamed for what it may have held.
    check(
        "[gateway]\nmoed = 1\nlisten = 127.0.0.1\n[enclave.e]\nagents = [\"x\"]\nlisen = 1\n[[enclave.e.http]]\nhost = a\n",
        &[
            ("2:1", "unknown_key", "gateway.moed"),
            ("3:15", "syntax", ""),
            ("6:1", "unknown_key", "enclave.e.lisen"),
            ("8:8", "syntax", ""),
        ],
    );
}

#[test]
fn one_cause_on_one_line() {
    // A second key of the same name is no echo of what else is wrong with its line.
    check(
        "[gateway]\nmode = \"observe\"\nmode = x\nworkers = = = 1\n",
        &[("3:1", "duplicate", "mode"), ("3:8", "syntax", ""), ("4:11", "syntax", "")],
    );
    check("[gateway]\nlisten = {{{\n", &[("2:11", "syntax", "")]);
}

#[test]
fn h6_duplicates() {
    check("[gateway]\nmode = \"enforce\"\nmode = \"observe\"", &[("3:1", "duplicate", "mode")]);
    check("[gateway]\n[gateway]", &[("2:2", "duplicate", "gateway")]);
    check("[enclave.e]\n[enclave.f]\n[enclave.e]", &[("3:10", "duplicate", "e")]);
    check("[enclave.e]\nmounts = { read = [], read = [] }", &[("2:23", "duplicate", "read")]);
    check("gateway.mode = \"observe\"\n[gateway]\nworkers = 1", &[("2:2", "duplicate", "gateway")]);
    let resolve = "[upstream.resolve]\n\"A.test:443\" = \"127.0.0.1\"\n\"a.test\" = \"127.0.0.2\"";
    check(resolve, &[("3:1", "conflict", "upstream.resolve.\"a.test\"")]);
    check(
        "[gateway]\nlisten = [\"127.0.0.1:0\", \"127.0.0.1:0\", \"127.0.0.1:1\"]\n[enclave.e]\nlisten = \"127.0.0.1:1\"",
        &[("4:10", "conflict", "enclave.e.listen")],
    );
    check(
        "[enclave.e.mcp]\na = { url = \"https://a.test/m\", pin = false }\nb = { url = \"https://A.test:443/m/\", pin = false }",
        &[("3:5", "conflict", "enclave.e.mcp.b")],
    );
    check(
        "[enclave.e.llm]\na = { api = \"anthropic\", host = \"a.test\" }\nb = { api = \"anthropic\", host = \"a.test:443\" }",
        &[("3:5", "conflict", "enclave.e.llm.b")],
    );
}

#[test]
fn h6_unknown_keys_everywhere() {
    check("gatway = 1", &[("1:1", "unknown_key", "gatway")]);
    for (head, key) in [
        ("[gateway]", "gateway"),
        ("[upstream]", "upstream"),
        ("[limits]", "limits"),
        ("[audit]", "audit"),
        ("[enclave.e]", "enclave.e"),
        ("[agent.a]\nexe = \"/a\"", "agent.a"),
        ("[enclave.e.mounts]", "enclave.e.mounts"),
        ("[[enclave.e.http]]\nhost = \"a.test\"", "enclave.e.http[0]"),
        ("[enclave.e.llm.p]\napi = \"anthropic\"\nhost = \"a.test\"", "enclave.e.llm.p"),
        ("[enclave.e.mcp.s]\nurl = \"https://a.test\"", "enclave.e.mcp.s"),
        ("[enclave.e.mcp.s]\nurl = \"https://a.test\"\n[enclave.e.mcp.s.tool.t]", "enclave.e.mcp.s.tool.t"),
        ("[credential.c]\nslot = \"bearer\"\nhosts = []", "credential.c"),
    ] {
        let line = head.lines().count() + 1;
        let expected = format!("{key}.zzz");
        check(&format!("{head}\nzzz = 1"), &[(&format!("{line}:1"), "unknown_key", &expected)]);
    }
}

#[test]
fn names() {
    check("[agent.\"\"]\nexe = \"/a\"", &[("1:8", "bad_name", "agent.\"\"")]);
    check("[enclave.\"\"]", &[("1:10", "bad_name", "enclave.\"\"")]);
    check(
        "[enclave.e.llm.\"\"]\napi = \"anthropic\"\nhost = \"a.test\"",
        &[("1:16", "bad_name", "enclave.e.llm.\"\"")],
    );
    check("[enclave.e.mcp.\"\"]\nurl = \"https://a.test\"", &[("1:16", "bad_name", "enclave.e.mcp.\"\"")]);
    check("[credential.\"\"]\nslot = \"bearer\"\nhosts = []", &[("1:13", "bad_name", "credential.\"\"")]);
    check("[enclave.\"a\\nb\"]", &[("1:10", "bad_name", "enclave.\"a\\nb\"")]);
    check(&format!("[enclave.{}]", "x".repeat(129)), &[("1:10", "bad_name", &format!("enclave.{}", "x".repeat(129)))]);
    check(&format!("[enclave.{}]", "x".repeat(128)), &[]);
    check("[agent.\"*\"]\nexe = \"/a\"", &[("1:8", "bad_name", "agent.\"*\"")]);
    check("[enclave.deny]", &[("1:10", "bad_name", "enclave.deny")]);
    check("[enclave.e]\nagents = [\"\"]", &[("2:11", "bad_value", "enclave.e.agents[0]")]);
}

#[test]
fn gateway_upstream_audit() {
    rows(
        "[gateway]\n",
        &[
            ("listen = 8899", ("2:10", "wrong_type", "gateway.listen")),
            ("listen = \"127.0.0.1\"", ("2:10", "bad_value", "gateway.listen")),
            ("listen = [\"127.0.0.1:1\", \"x\"]", ("2:26", "bad_value", "gateway.listen[1]")),
            ("listen = \"unix:\"", ("2:10", "bad_value", "gateway.listen")),
            ("listen = \"unix:/run/\"", ("2:10", "bad_value", "gateway.listen")),
            ("listen = \"unix:/run/..\"", ("2:10", "bad_value", "gateway.listen")),
            ("listen = \"unix:~bob/e.sock\"", ("2:10", "bad_value", "gateway.listen")),
            ("listen = \"unix:a\\u0000b\"", ("2:10", "bad_value", "gateway.listen")),
            ("listen = [\"127.0.0.1:1\", \"unix:\"]", ("2:26", "bad_value", "gateway.listen[1]")),
            ("listen = [\"unix:e.sock\", \"unix:./e.sock\"]", ("2:26", "conflict", "gateway.listen[1]")),
            ("mode = \"enforced\"", ("2:8", "bad_value", "gateway.mode")),
            ("mode = \"\"", ("2:8", "bad_value", "gateway.mode")),
            ("unattributed = \"e\"", ("2:16", "dangling_reference", "gateway.unattributed")),
            ("session_ttl = \"0s\"", ("2:15", "out_of_range", "gateway.session_ttl")),
            ("session_ttl = \"367d\"", ("2:15", "out_of_range", "gateway.session_ttl")),
            ("session_ttl = 12", ("2:15", "wrong_type", "gateway.session_ttl")),
            ("session_ttl = \"12\"", ("2:15", "bad_unit", "gateway.session_ttl")),
            ("session_ttl = 12:00:00", ("2:15", "wrong_type", "gateway.session_ttl")),
            ("catalogue = \"true\"", ("2:13", "wrong_type", "gateway.catalogue")),
            ("workers = 0", ("2:11", "out_of_range", "gateway.workers")),
            ("workers = -1", ("2:11", "out_of_range", "gateway.workers")),
            ("workers = 1025", ("2:11", "out_of_range", "gateway.workers")),
            ("workers = 99999999999999999999", ("2:11", "out_of_range", "gateway.workers")),
            ("workers = 1.0", ("2:11", "wrong_type", "gateway.workers")),
        ],
    );
    check("gateway = 1", &[("1:11", "wrong_type", "gateway")]);
    check("[[gateway]]", &[("1:1", "wrong_type", "gateway")]);
    check("agent = [1]", &[("1:9", "wrong_type", "agent")]);
    rows(
        "[upstream]\n",
        &[
            ("roots = \"system\"", ("2:9", "wrong_type", "upstream.roots")),
            ("roots = [\"\"]", ("2:10", "bad_value", "upstream.roots[0]")),
            ("roots = [\"~bob/ca.pem\"]", ("2:10", "bad_value", "upstream.roots[0]")),
            ("roots = [\"a\\u0000b\"]", ("2:10", "bad_value", "upstream.roots[0]")),
            ("crl = [1]", ("2:8", "wrong_type", "upstream.crl[0]")),
            ("resolve = []", ("2:11", "wrong_type", "upstream.resolve")),
            ("resolve = { \"a.test:x\" = \"127.0.0.1\" }", ("2:13", "bad_host", "upstream.resolve.\"a.test:x\"")),
            ("resolve = { \"a.test\" = \"b.test\" }", ("2:24", "bad_value", "upstream.resolve.\"a.test\"")),
            ("resolve = { \"a.test\" = \"127.0.0.1:0\" }", ("2:24", "bad_value", "upstream.resolve.\"a.test\"")),
            ("resolve = { \"\" = \"127.0.0.1\" }", ("2:13", "bad_name", "upstream.resolve.\"\"")),
            ("dns = [\"1.1.1.1\"]", ("2:8", "bad_value", "upstream.dns[0]")),
            ("dns = [\"1.1.1.1:0\"]", ("2:8", "bad_value", "upstream.dns[0]")),
            ("private_addresses = [\"10.0.0.0/33\"]", ("2:22", "bad_value", "upstream.private_addresses[0]")),
            ("private_addresses = [\"localhost\"]", ("2:22", "bad_value", "upstream.private_addresses[0]")),
            ("proxy = \"p:3128\"", ("2:9", "bad_value", "upstream.proxy")),
            ("proxy = \"http://u:p@p:3128\"", ("2:9", "bad_value", "upstream.proxy")),
            ("proxy_credential = \"corp\"", ("2:20", "dangling_reference", "upstream.proxy_credential")),
            ("no_proxy = [\"a b\"]", ("2:13", "bad_host", "upstream.no_proxy[0]")),
        ],
    );
    rows(
        "[audit]\n",
        &[
            ("sync = 1", ("2:8", "wrong_type", "audit.sync")),
            ("retain = \"0d\"", ("2:10", "out_of_range", "audit.retain")),
            ("segment = \"0B\"", ("2:11", "out_of_range", "audit.segment")),
            ("segment = \"64M\"", ("2:11", "bad_unit", "audit.segment")),
            ("otlp = \"localhost\"", ("2:8", "bad_value", "audit.otlp")),
        ],
    );
}

#[test]
fn h6_a_limit_of_0_and_one_without_end() {
    for key in ["body_hold", "held_total", "decoded", "header", "target"] {
        let path = format!("limits.{key}");
        for size in ["0B", "0GiB", "65GiB", "99999999999999999999B"] {
            let place = format!("2:{}", key.len() + 4);
            check(&format!("[limits]\n{key} = \"{size}\""), &[(&place, "out_of_range", &path)]);
        }
        check(&format!("[limits]\n{key} = \"1B\""), &[]);
    }
    for key in ["header_lines", "connections", "per_client", "streams"] {
        let path = format!("limits.{key}");
        for count in ["0", "-0", "1_000_001"] {
            let place = format!("2:{}", key.len() + 4);
            check(&format!("[limits]\n{key} = {count}"), &[(&place, "out_of_range", &path)]);
        }
        check(&format!("[limits]\n{key} = 1"), &[]);
    }
    for key in ["head_timeout", "dial_timeout", "upstream_head_timeout", "idle_timeout"] {
        let path = format!("limits.{key}");
        for wait in ["0s", "0ms", "25h"] {
            let place = format!("2:{}", key.len() + 4);
            check(&format!("[limits]\n{key} = \"{wait}\""), &[(&place, "out_of_range", &path)]);
        }
        check(&format!("[limits]\n{key} = \"1ms\""), &[]);
    }
}

#[test]
fn agents() {
    let digest = "0A".repeat(32);
    check(&format!("[agent.a]\nsha256 = [\"{digest}\"]"), &[]);
    check("[agent.a]\n", &[("1:1", "missing_key", "agent.a")]);
    let idle = [("1:1", "missing_key", "agent.a"), ("2:9", "not_yet", "agent.a.state")];
    check("[agent.a]\nstate = [\"~/.a\"]", &idle);
    rows(
        "[agent.a]\n",
        &[
            ("exe = [\"/a\"]", ("2:7", "wrong_type", "agent.a.exe")),
            ("exe = \"\"", ("2:7", "bad_value", "agent.a.exe")),
            ("exe = \"/a\\u0007\"", ("2:7", "bad_glob", "agent.a.exe")),
            ("exe = \"/opt/../a\"", ("2:7", "dot_segment", "agent.a.exe")),
            ("sha256 = [\"...\"]", ("2:11", "bad_value", "agent.a.sha256[0]")),
            ("sha256 = []", ("2:10", "bad_value", "agent.a.sha256")),
            ("sha256 = [\"0a0a\"]", ("2:11", "bad_value", "agent.a.sha256[0]")),
            ("exe = \"/a\"\nsha256 = []", ("3:10", "bad_value", "agent.a.sha256")),
            ("exe = \"/a\"\nstate = [\"~x\"]", ("3:10", "bad_value", "agent.a.state[0]")),
        ],
    );
    check("agent.a = 1", &[("1:11", "wrong_type", "agent.a")]);
}

#[test]
fn a_catalogue_that_does_not_count_has_no_names() {
    check("[enclave.e]\nagents = [\"codex\", \"*\"]", &[]);
    let text = "[gateway]\ncatalogue = false\n[enclave.e]\nagents = [\"codex\", \"*\"]";
    check(text, &[("4:11", "dangling_reference", "enclave.e.agents[0]")]);
    check(&format!("{text}\n[agent.codex]\nexe = \"/codex\""), &[]);
}
