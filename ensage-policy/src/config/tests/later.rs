//! Keys whose effect is not there yet, and configurations that stand beside the project.

use super::{loaded, policy, shown};

/// Reads a file beside the project. It may be absent on a developer's machine, never where CI runs.
fn beside(path: &str) -> Option<String> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared").join(path);
    let text = std::fs::read_to_string(&path).ok();
    if text.is_none() {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci.is_empty()), "{} is missing", path.display());
        eprintln!("skipped: {} is not there", path.display());
    }
    text
}

#[test]
fn the_example_of_the_contract_has_nothing_wrong_but_what_is_not_there_yet() {
    let Some(contract) = beside("contract.md") else {
        return;
    };
    let (_, rest) = contract.split_once("\n## 2. ").unwrap();
    let (_, rest) = rest.split_once("```toml\n").unwrap();
    let (example, _) = rest.split_once("\n```").unwrap();
    // The example leaves out what a digest looks like.
    let loaded = loaded(&example.replace("\"...\"", &format!("\"{}\"", "0a".repeat(32))));
    let keys: Vec<&str> = loaded.errors.iter().map(|d| d.key.as_str()).collect();
    let expected = [
        "audit.otlp",
        "agent.my-agent.state",
        "enclave.chip-a.tcp",
        "enclave.chip-a.mounts.read",
        "enclave.chip-a.http[0].mcp",
        "enclave.chip-a.http[0].rate",
        "enclave.chip-a.llm.anthropic.rate",
        "enclave.chip-a.llm.anthropic.tokens",
        "enclave.chip-a.mcp.github.oauth",
        "enclave.chip-a.mcp.github.pin",
        "enclave.chip-a.mcp.github.tool.create_issue.arguments",
        "enclave.chip-a.mcp.github.tool.create_issue.rate",
        "chamber.layout-db",
        "credential.anthropic.aws",
        "credential.github.slot[1]",
    ];
    assert_eq!(keys, expected, "{}", shown(&loaded.errors));
    assert!(loaded.errors.iter().all(|d| d.code == "not_yet"), "{}", shown(&loaded.errors));
    let warned: Vec<&str> = loaded.warnings.iter().map(|d| d.key.as_str()).collect();
    assert_eq!(warned, ["enclave.chip-a.mcp.pdk.pin", "enclave.chip-a.http[1].mcp"]);
}

#[test]
fn the_configuration_of_the_benchmark_is_used() {
    let Some(text) = beside("bench/peers/ensage.toml") else {
        return;
    };
    let filled = [("@PORT@", "8899"), ("@ORIGIN_PORT@", "8443"), ("@THREADS@", "2"), ("@CERTS@", "/certs")];
    let text = filled.iter().fold(text, |text, (name, value)| text.replace(name, value));
    let policy = policy(&text);
    assert_eq!(policy.enclaves[0].mcp[0].credential.as_deref(), Some("bench"));
    assert_eq!(policy.gateway.workers, 2);
}

#[test]
fn keys_without_effect_are_refused() {
    let in_enclave = |text: &str| format!("[enclave.e]\n{text}");
    let in_http = |text: &str| format!("[[enclave.e.http]]\nhost = \"a.test\"\nmcp = \"allow\"\n{text}");
    let in_llm = |text: &str| format!("[enclave.e.llm.p]\napi = \"anthropic\"\nhost = \"a.test\"\n{text}");
    let in_mcp = |text: &str| format!("[enclave.e.mcp.s]\nurl = \"https://a.test/\"\npin = false\n{text}");
    let in_tool = |text: &str| in_mcp(&format!("[enclave.e.mcp.s.tool.t]\n{text}"));
    let in_credential = |text: &str| format!("[credential.c]\nslot = \"bearer\"\nhosts = [\"a.test\"]\n{text}");
    let slot = |slot: &str| format!("[credential.c]\nslot = \"{slot}\"\nhosts = [\"a.test\"]");
    for (text, key) in [
        ("[agent.a]\nexe = \"/x\"\nstate = [\"~/.a\"]".to_owned(), "agent.a.state"),
        (in_http("").replace("allow", "deny"), "enclave.e.http[0].mcp"),
        (in_mcp("").replace("pin = false", "pin = true"), "enclave.e.mcp.s.pin"),
        ("[audit]\notlp = \"http://127.0.0.1:4318\"".to_owned(), "audit.otlp"),
        (in_enclave("tcp = [\"db.test:5432\"]"), "enclave.e.tcp"),
        (in_enclave("mounts = { read = [\"~/.cargo\"] }"), "enclave.e.mounts.read"),
        (in_enclave("mounts = { write = [\"out\"] }"), "enclave.e.mounts.write"),
        (in_http("rate = \"1/s\""), "enclave.e.http[0].rate"),
        (in_llm("rate = \"1/s\""), "enclave.e.llm.p.rate"),
        (in_llm("tokens = { day = 1 }"), "enclave.e.llm.p.tokens"),
        (in_llm("").replace("\"anthropic\"", "\"gemini\""), "enclave.e.llm.p.api"),
        (in_llm("").replace("\"anthropic\"", "\"azure-openai\""), "enclave.e.llm.p.api"),
        ("[enclave.e.mcp.s]\ncommand = [\"npx\"]\npin = false".to_owned(), "enclave.e.mcp.s.command"),
        (in_mcp("oauth = [\"https://a.test\"]"), "enclave.e.mcp.s.oauth"),
        (in_tool("arguments = { type = \"object\" }"), "enclave.e.mcp.s.tool.t.arguments"),
        (in_tool("arguments = \"schema.json\""), "enclave.e.mcp.s.tool.t.arguments"),
        (in_tool("rate = \"1/s\""), "enclave.e.mcp.s.tool.t.rate"),
        (
            "[chamber.c]\nenclave = \"e\"\ngrants = { max = \"1h\", approvers = [\"a\"] }\n[enclave.e]".to_owned(),
            "chamber.c",
        ),
        (in_credential("source = \"exec:pass show x\""), "credential.c.source"),
        (in_credential("source = \"file:/x\""), "credential.c.source"),
        (in_credential("source = \"hashicorp:kv/x#y\""), "credential.c.source"),
        (in_credential("source = \"keyring:x\""), "credential.c.source"),
        (slot("basic"), "credential.c.slot"),
        (slot("basic:user"), "credential.c.slot"),
        (slot("query:key"), "credential.c.slot"),
        (slot("cookie:sid"), "credential.c.slot"),
        (slot("sigv4"), "credential.c.slot"),
        (slot("oauth2"), "credential.c.slot"),
        (in_credential("capture = true"), "credential.c.capture"),
        (in_credential("aws = { services = [\"s3\"], regions = [\"x\"] }"), "credential.c.aws"),
        (in_credential("env_secret = \"X\""), "credential.c.env_secret"),
    ] {
        let loaded = loaded(&text);
        let found: Vec<_> = loaded.errors.iter().map(|d| (d.code, d.key.as_str())).collect();
        assert_eq!(found, [("not_yet", key)], "{text}\n{}", shown(&loaded.errors));
        assert!(loaded.errors[0].help.starts_with("remove it"), "{text}");
    }
}

#[test]
fn empty_lists_of_them_are_used() {
    let text = r#"
        [upstream]
        crl = []
        [enclave.e]
        tcp = []
        tunnel = []
        mounts = { read = [], write = [] }
        [enclave.e.mcp.s]
        url = "https://a.test/"
        oauth = []
        [credential.c]
        slot = "bearer"
        hosts = []
        capture = false
    "#;
    policy(text);
}

#[test]
fn defaults_without_effect_are_told_once() {
    let http = "[[enclave.e.http]]\nhost = \"a.test\"\n";
    let mcp = |n: u32| format!("[enclave.e.mcp.s{n}]\nurl = \"https://a.test/{n}\"\n");
    let warned = |text: &str| {
        let loaded = loaded(text);
        assert!(loaded.policy.is_some(), "{}", shown(&loaded.errors));
        loaded.warnings.into_iter().map(|d| (d.line, d.column, d.key)).collect::<Vec<_>>()
    };
    let once = |line, column, key: &str| vec![(line, column, key.to_owned())];
    assert_eq!(warned(&format!("{http}{http}")), once(1, 1, "enclave.e.http[0].mcp"));
    assert_eq!(warned(&format!("{http}mcp = \"allow\"\n")), []);
    assert_eq!(warned(&format!("{}{}", mcp(1), mcp(2))), once(1, 1, "enclave.e.mcp.s1.pin"));
    assert_eq!(warned(&format!("{}pin = false\n", mcp(1))), []);
}
