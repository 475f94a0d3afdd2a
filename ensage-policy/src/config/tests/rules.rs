//! Errors of enclaves, credentials and chambers.

use super::errors::{check, rows};

#[test]
fn enclaves() {
    rows(
        "[enclave.e]\n",
        &[
            ("agents = \"*\"", ("2:10", "wrong_type", "enclave.e.agents")),
            ("folders = [\"\"]", ("2:12", "bad_value", "enclave.e.folders[0]")),
            ("mode = \"off\"", ("2:8", "bad_value", "enclave.e.mode")),
            ("require = \"none\"", ("2:11", "bad_value", "enclave.e.require")),
            ("listen = \"x\"", ("2:10", "bad_value", "enclave.e.listen")),
            ("listen = \"unix:\"", ("2:10", "bad_value", "enclave.e.listen")),
            ("tcp = [\"db.test\"]", ("2:8", "bad_host", "enclave.e.tcp[0]")),
            ("tcp = [\"*.test:1\"]", ("2:8", "bad_host", "enclave.e.tcp[0]")),
            ("closed = [\"a..b\"]", ("2:11", "bad_host", "enclave.e.closed[0]")),
            ("tunnel = [\"\"]", ("2:11", "bad_value", "enclave.e.tunnel[0]")),
            ("mounts = { read = 1 }", ("2:19", "wrong_type", "enclave.e.mounts.read")),
            ("http = {}", ("2:8", "wrong_type", "enclave.e.http")),
            ("http = [1]", ("2:9", "wrong_type", "enclave.e.http[0]")),
            ("llm = []", ("2:7", "wrong_type", "enclave.e.llm")),
            ("mcp = []", ("2:7", "wrong_type", "enclave.e.mcp")),
        ],
    );
}

#[test]
fn http_rules() {
    check(
        "[[enclave.e.http]]\n\n[[enclave.e.http]]\n",
        &[("1:1", "missing_key", "enclave.e.http[0].host"), ("3:1", "missing_key", "enclave.e.http[1].host")],
    );
    for host in [
        "https://a.test/x",
        "a.test/x",
        "a b",
        "a.*.test",
        "*a.test",
        "a.test:0",
        "a.test:99999",
        "a.test:",
        "127.1",
        "::1",
        "*.127.0.0.1",
        "u@a.test",
    ] {
        check(&format!("[[enclave.e.http]]\nhost = \"{host}\""), &[("2:8", "bad_host", "enclave.e.http[0].host")]);
    }
    rows(
        "[[enclave.e.http]]\nhost = \"a.test\"\n",
        &[
            ("scheme = \"ftp\"", ("3:10", "bad_value", "enclave.e.http[0].scheme")),
            ("methods = \"GET\"", ("3:11", "wrong_type", "enclave.e.http[0].methods")),
            ("methods = [\"GET\", \"G T\"]", ("3:19", "bad_value", "enclave.e.http[0].methods[1]")),
            ("paths = [\"repos/**\"]", ("3:10", "bad_glob", "enclave.e.http[0].paths[0]")),
            ("paths = [\"/a/../b\"]", ("3:10", "dot_segment", "enclave.e.http[0].paths[0]")),
            ("paths = [\"/a/**/..\"]", ("3:10", "dot_segment", "enclave.e.http[0].paths[0]")),
            ("paths = [\"/./b\"]", ("3:10", "dot_segment", "enclave.e.http[0].paths[0]")),
            ("paths = [\"\"]", ("3:10", "bad_value", "enclave.e.http[0].paths[0]")),
            ("addresses = [\"10.0.0.0/x\"]", ("3:14", "bad_value", "enclave.e.http[0].addresses[0]")),
            ("websocket = \"yes\"", ("3:13", "wrong_type", "enclave.e.http[0].websocket")),
            ("mcp = true", ("3:7", "wrong_type", "enclave.e.http[0].mcp")),
            ("mcp = \"read\"", ("3:7", "bad_value", "enclave.e.http[0].mcp")),
            ("rate = \"10/m\"", ("3:8", "bad_unit", "enclave.e.http[0].rate")),
            ("rate = \"0/s\"", ("3:8", "out_of_range", "enclave.e.http[0].rate")),
            ("credential = \"c\"", ("3:14", "dangling_reference", "enclave.e.http[0].credential")),
        ],
    );
    // Two dots inside a segment are no dot segment.
    check("[[enclave.e.http]]\nhost = \"a.test\"\npaths = [\"/a..b/..c/**\"]", &[]);
}

#[test]
fn llm_providers() {
    check(
        "[enclave.e.llm.p]",
        &[("1:1", "missing_key", "enclave.e.llm.p.api"), ("1:1", "missing_key", "enclave.e.llm.p.host")],
    );
    rows(
        "[enclave.e.llm.p]\napi = \"anthropic\"\nhost = \"a.test\"\n",
        &[
            ("models = \"x\"", ("4:10", "wrong_type", "enclave.e.llm.p.models")),
            ("models = [\"\"]", ("4:11", "bad_value", "enclave.e.llm.p.models[0]")),
            ("provider_tools = [1]", ("4:19", "wrong_type", "enclave.e.llm.p.provider_tools[0]")),
            ("rate = 1", ("4:8", "wrong_type", "enclave.e.llm.p.rate")),
            ("credential = \"c\"", ("4:14", "dangling_reference", "enclave.e.llm.p.credential")),
        ],
    );
    check("[enclave.e.llm.p]\napi = \"openia\"\nhost = \"a.test\"", &[("2:7", "bad_value", "enclave.e.llm.p.api")]);
    check(
        "[enclave.e.llm.p]\napi = \"anthropic\"\nhost = \"a.test\"\ntokens = { day = 0, week = 1 }",
        &[
            ("4:10", "not_yet", "enclave.e.llm.p.tokens"),
            ("4:18", "out_of_range", "enclave.e.llm.p.tokens.day"),
            ("4:21", "unknown_key", "enclave.e.llm.p.tokens.week"),
        ],
    );
}

#[test]
fn mcp_servers() {
    check("[enclave.e.mcp.s]\n", &[("1:1", "url_or_command", "enclave.e.mcp.s")]);
    check(
        "[enclave.e.mcp.s]\nurl = \"https://a.test\"\ncommand = [\"npx\"]",
        &[("3:11", "url_or_command", "enclave.e.mcp.s.command")],
    );
    check("[enclave.e.mcp.s]\ncommand = []", &[("2:11", "bad_value", "enclave.e.mcp.s.command")]);
    check("[enclave.e.mcp.s]\ncommand = \"npx\"", &[("2:11", "wrong_type", "enclave.e.mcp.s.command")]);
    for url in [
        "a.test",
        "ftp://a.test",
        "https://",
        "https://a.test/../x",
        "https://u@a.test/",
        "https://a.test/a%2fb",
        "https://a.test/a//b",
        "https://a.test/%zz",
        "https://a.test/?a b",
        "https://a.test/#f",
        "http://a.test/mcp",
        "http://10.0.0.1/mcp",
    ] {
        check(&format!("[enclave.e.mcp.s]\nurl = \"{url}\""), &[("2:7", "bad_value", "enclave.e.mcp.s.url")]);
    }
    rows(
        "[enclave.e.mcp.s]\nurl = \"https://a.test/\"\n",
        &[
            ("revisions = [\"2025-11-24\"]", ("3:14", "bad_value", "enclave.e.mcp.s.revisions[0]")),
            ("revisions = [2025-11-25]", ("3:14", "wrong_type", "enclave.e.mcp.s.revisions[0]")),
            ("headers = [\"a b\"]", ("3:12", "bad_value", "enclave.e.mcp.s.headers[0]")),
            ("headers = [\"Transfer-Encoding\"]", ("3:12", "bad_value", "enclave.e.mcp.s.headers[0]")),
            ("oauth = [\"a.test\"]", ("3:10", "bad_value", "enclave.e.mcp.s.oauth[0]")),
            ("oauth = [\"http://127.0.0.1\"]", ("3:10", "bad_value", "enclave.e.mcp.s.oauth[0]")),
            ("credential = 1", ("3:14", "wrong_type", "enclave.e.mcp.s.credential")),
            ("tools = \"*\"", ("3:9", "wrong_type", "enclave.e.mcp.s.tools")),
            ("tools = [\n \"a\",\n \"\"]", ("5:2", "bad_value", "enclave.e.mcp.s.tools[1]")),
            ("resources = [\"repo://a/../b\"]", ("3:14", "dot_segment", "enclave.e.mcp.s.resources[0]")),
            ("prompts = [\"\\u0001\"]", ("3:12", "bad_glob", "enclave.e.mcp.s.prompts[0]")),
            ("server_requests = [\"root\"]", ("3:20", "bad_value", "enclave.e.mcp.s.server_requests[0]")),
            ("addresses = \"10.0.0.0/8\"", ("3:13", "wrong_type", "enclave.e.mcp.s.addresses")),
            ("pin = \"no\"", ("3:7", "wrong_type", "enclave.e.mcp.s.pin")),
            ("tool = { \"\" = {} }", ("3:10", "bad_name", "enclave.e.mcp.s.tool.\"\"")),
            ("tool.t.arguments = 1", ("3:20", "wrong_type", "enclave.e.mcp.s.tool.t.arguments")),
            ("tool.t.rate = \"1/m\"", ("3:15", "bad_unit", "enclave.e.mcp.s.tool.t.rate")),
        ],
    );
}

#[test]
fn credentials() {
    check(
        "[credential.c]",
        &[("1:1", "missing_key", "credential.c.slot"), ("1:1", "missing_key", "credential.c.hosts")],
    );
    let head = "[credential.c]\nhosts = [\"a.test\"]\n";
    rows(
        head,
        &[
            ("slot = \"baerer\"", ("3:8", "bad_value", "credential.c.slot")),
            ("slot = \"bearer:x\"", ("3:8", "bad_value", "credential.c.slot")),
            ("slot = \"header\"", ("3:8", "bad_value", "credential.c.slot")),
            ("slot = \"header:\"", ("3:8", "bad_value", "credential.c.slot")),
            ("slot = \"header:a:b\"", ("3:8", "bad_value", "credential.c.slot")),
            ("slot = \"header:Host\"", ("3:8", "bad_value", "credential.c.slot")),
            ("slot = \"query:\"", ("3:8", "bad_value", "credential.c.slot")),
            ("slot = []", ("3:8", "bad_value", "credential.c.slot")),
            ("slot = [\"bearer\", 1]", ("3:19", "wrong_type", "credential.c.slot[1]")),
        ],
    );
    rows(
        "[credential.c]\nslot = \"bearer\"\nhosts = [\"a.test\"]\n",
        &[
            ("source = \"valut\"", ("4:10", "bad_value", "credential.c.source")),
            ("source = \"vault:x\"", ("4:10", "bad_value", "credential.c.source")),
            ("source = \"env:\"", ("4:10", "bad_value", "credential.c.source")),
            ("source = \"env:1A\"", ("4:10", "bad_value", "credential.c.source")),
            ("source = \"env\"", ("4:10", "bad_value", "credential.c.source")),
            ("source = \"exec: \"", ("4:10", "bad_value", "credential.c.source")),
            ("source = \"hashicorp:kv\"", ("4:10", "bad_value", "credential.c.source")),
            ("paths = [\"v1\"]", ("4:10", "bad_glob", "credential.c.paths[0]")),
            ("paths = [\"/v1/..\"]", ("4:10", "dot_segment", "credential.c.paths[0]")),
            ("placeholder = \"\"", ("4:15", "bad_value", "credential.c.placeholder")),
            ("placeholder = \"a b\"", ("4:15", "bad_value", "credential.c.placeholder")),
            ("placeholder = \"a%20\"", ("4:15", "bad_value", "credential.c.placeholder")),
            ("env = \"A-B\"", ("4:7", "bad_value", "credential.c.env")),
            ("env = [\"A\", \"\"]", ("4:13", "bad_value", "credential.c.env[1]")),
            ("inject = 1", ("4:10", "wrong_type", "credential.c.inject")),
            ("ttl = \"0h\"", ("4:7", "out_of_range", "credential.c.ttl")),
            ("capture = 1", ("4:11", "wrong_type", "credential.c.capture")),
        ],
    );
    check(
        "[credential.c]\nslot = \"bearer\"\nhosts = [\"a.test\", \"b c\"]",
        &[("3:20", "bad_host", "credential.c.hosts[1]")],
    );
    let long = format!("placeholder = \"{}\"", "x".repeat(65));
    check(&format!("{head}slot = \"bearer\"\n{long}"), &[("4:15", "bad_value", "credential.c.placeholder")]);
}

const GIT: &str = "[credential.git]\nslot = \"bearer\"\nhosts = [\"api.test\", \"*.wide.test:*\"]\nenv = \"T\"\n";

#[test]
fn f1_a_credential_goes_only_where_it_is_bound() {
    for host in ["api.test", "x.wide.test", "x.wide.test:8443", "*.wide.test", "*.y.wide.test:*"] {
        check(&format!("{GIT}[[enclave.e.http]]\nhost = \"{host}\"\ncredential = \"git\""), &[]);
    }
    for host in ["other.test", "api.test:8443", "api.test:*", "*.test", "*", "wide.test", "*:*"] {
        check(
            &format!("{GIT}[[enclave.e.http]]\nhost = \"{host}\"\ncredential = \"git\""),
            &[("7:14", "credential_host", "enclave.e.http[0].credential")],
        );
    }
    check(
        &format!("{GIT}[enclave.e.llm.p]\napi = \"anthropic\"\nhost = \"b.test\"\ncredential = \"git\""),
        &[("8:14", "credential_host", "enclave.e.llm.p.credential")],
    );
    check(
        &format!("{GIT}[enclave.e.mcp.s]\nurl = \"https://api.test:1/m\"\ncredential = \"git\""),
        &[("7:14", "credential_host", "enclave.e.mcp.s.credential")],
    );
    check(&format!("{GIT}[enclave.e.mcp.s]\nurl = \"https://api.test/m\"\ncredential = \"git\""), &[]);
}

#[test]
fn f1_plain_http_carries_no_credential() {
    let git = GIT.replace("\"api.test\"", "\"api.test\", \"api.test:80\", \"127.0.0.1:3000\"");
    check(
        &format!("{git}[[enclave.e.http]]\nhost = \"api.test\"\nscheme = \"http\"\ncredential = \"git\""),
        &[("8:14", "credential_plaintext", "enclave.e.http[0].credential")],
    );
    check(
        &format!("{git}[enclave.e.mcp.s]\nurl = \"http://127.0.0.1:3000/m\"\ncredential = \"git\""),
        &[("7:14", "credential_plaintext", "enclave.e.mcp.s.credential")],
    );
    check(&format!("{git}[[enclave.e.http]]\nhost = \"api.test\"\nscheme = \"http\""), &[]);
}

#[test]
fn one_variable_has_one_credential_in_an_enclave() {
    let second = "[credential.lab]\nslot = \"bearer\"\nhosts = [\"lab.test\"]\nenv = [\"U\", \"T\"]\n";
    let rule = |enclave: &str, host: &str| format!("[[enclave.{enclave}.http]]\nhost = \"{host}\"\n");
    let text = |rules: &str| format!("{GIT}{second}{rules}");
    check(
        &text(&(rule("e", "api.test") + &rule("e", "lab.test"))),
        &[("8:13", "credential_env", "credential.lab.env")],
    );
    check(&text(&(rule("e", "api.test") + &rule("f", "lab.test"))), &[]);
    check(&text(&(rule("e", "api.test") + &rule("e", "x.wide.test"))), &[]);
    check(&text(""), &[]);
}

#[test]
fn chambers() {
    let enclave = "[enclave.e]\n[[enclave.e.http]]\nhost = \"db.test\"\npaths = [\"/v1/**\"]\n[enclave.e.mcp.pdk]\nurl = \"https://pdk.test/\"\ntools = [\"read_*\"]\nresources = [\"layout://**\"]\n";
    let chamber = |text: &str| format!("{enclave}[chamber.c]\n{text}");
    let grants = "grants = { max = \"1h\", approvers = [\"alice\"] }\n";
    let shut = ("9:1", "not_yet", "chamber.c");
    check(
        &chamber(""),
        &[("9:1", "missing_key", "chamber.c.enclave"), ("9:1", "missing_key", "chamber.c.grants"), shut],
    );
    let good = format!("enclave = \"e\"\n{grants}");
    check(&chamber(&good), &[shut]);
    for (text, place, code, key) in [
        ("mcp = { pdk = { tools = [\"read_x\", \"read_*\"], resources = [\"layout://a\"] } }", "", "", ""),
        ("mcp = { git = {} }", "12:15", "chamber_wider", "chamber.c.mcp.git"),
        ("mcp = { pdk = { tools = [\"write_x\"] } }", "12:15", "chamber_wider", "chamber.c.mcp.pdk"),
        ("mcp = { pdk = { tools = [\"*\"] } }", "12:15", "chamber_wider", "chamber.c.mcp.pdk"),
        ("mcp = { pdk = { resources = [\"x://a\"] } }", "12:15", "chamber_wider", "chamber.c.mcp.pdk"),
        ("mcp = { pdk = { prompts = [\"p\"] } }", "12:15", "chamber_wider", "chamber.c.mcp.pdk"),
        ("mcp = { pdk = { tool = [] } }", "12:17", "unknown_key", "chamber.c.mcp.pdk.tool"),
        ("http = [{ host = \"db.test\", paths = [\"/v1/layout/**\"] }]", "", "", ""),
        ("http = [{ host = \"db.test\" }, { host = \"x.test\" }]", "12:31", "chamber_wider", "chamber.c.http[1]"),
        ("http = [{ host = \"db.test\", paths = [\"/v2/x\"] }]", "12:9", "chamber_wider", "chamber.c.http[0]"),
        ("http = [{ paths = [\"/v1/x\"] }]", "12:9", "missing_key", "chamber.c.http[0].host"),
        (
            "http = [{ host = \"db.test\", paths = [\"/v1/../x\"] }]",
            "12:38",
            "dot_segment",
            "chamber.c.http[0].paths[0]",
        ),
    ] {
        let expected: Vec<_> = std::iter::once(shut).chain((!code.is_empty()).then_some((place, code, key))).collect();
        check(&chamber(&format!("{good}{text}")), &expected);
    }
    for (grants, place, code, key) in [
        ("{ max = \"1h\", approvers = [] }", "11:36", "no_approvers", "chamber.c.grants.approvers"),
        ("{ max = \"1h\" }", "11:10", "no_approvers", "chamber.c.grants.approvers"),
        ("{ approvers = [\"a\"] }", "11:10", "missing_key", "chamber.c.grants.max"),
        ("{ max = \"0h\", approvers = [\"a\"] }", "11:18", "out_of_range", "chamber.c.grants.max"),
        ("{ max = \"1h\", approvers = [\"\"] }", "11:37", "bad_value", "chamber.c.grants.approvers[0]"),
    ] {
        check(&chamber(&format!("enclave = \"e\"\ngrants = {grants}")), &[shut, (place, code, key)]);
    }
    check(
        &chamber(&format!("enclave = \"f\"\n{grants}")),
        &[shut, ("10:11", "dangling_reference", "chamber.c.enclave")],
    );
    // What can't be read of the enclave is not held against the chamber.
    let broken = enclave.replace("https://pdk.test/", "pdk.test");
    check(
        &format!("{broken}[chamber.c]\n{good}mcp = {{ pdk = {{ tools = [\"read_x\"] }} }}"),
        &[("6:7", "bad_value", "enclave.e.mcp.pdk.url"), shut],
    );
}
