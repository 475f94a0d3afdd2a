//! What each key means, and what counts where it is left out.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ensage_mcp::Revision;
use sha2::{Digest, Sha256};

use super::super::{Env, load};
use super::{env, loaded, policy};
use crate::model::{Limits, Listen, Mode, Roots, Rule, Scheme, Slot, Source, Tier, Unattributed};

const HOUR: Duration = Duration::from_secs(3600);

fn tcp(text: &str) -> Listen {
    Listen::Tcp(text.parse().unwrap())
}

fn rule(path: &str, line: u32) -> Rule {
    Rule { path: path.into(), line }
}

fn strings<T: ToString>(values: &[T]) -> Vec<String> {
    values.iter().map(T::to_string).collect()
}

#[test]
fn defaults() {
    let policy = policy("");
    assert_eq!((policy.generation, policy.file.as_deref()), (1, Some(Path::new("/work/chip/ensage.toml"))));
    assert_eq!(&*policy.sha256, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    let gateway = &policy.gateway;
    assert_eq!(gateway.listen, [tcp("127.0.0.1:0")]);
    assert_eq!((gateway.mode, &gateway.unattributed), (Mode::Enforce, &Unattributed::Deny));
    assert_eq!((gateway.session_ttl, gateway.catalogue, gateway.workers), (12 * HOUR, true, 1));
    let upstream = &policy.upstream;
    assert_eq!(upstream.roots, [Roots::System]);
    assert!(upstream.resolve.is_empty() && upstream.dns.is_empty() && upstream.private_addresses.is_empty());
    let limits = Limits {
        body_hold: 4 << 20,
        held_total: 256 << 20,
        decoded: 64 << 20,
        header: 64 << 10,
        target: 16 << 10,
        header_lines: 128,
        connections: 10_000,
        per_client: 1024,
        streams: 256,
        head_timeout: Duration::from_secs(10),
        dial_timeout: Duration::from_secs(10),
        upstream_head_timeout: Duration::from_secs(600),
        idle_timeout: Duration::from_secs(300),
    };
    assert_eq!(policy.limits, limits);
    assert_eq!((policy.audit.sync, policy.audit.retain, policy.audit.segment), (false, 90 * 24 * HOUR, 64 << 20));
    assert!(policy.agents.is_empty() && policy.enclaves.is_empty() && policy.credentials.is_empty());
}

#[test]
fn the_gateway() {
    let text = r#"
        [gateway]
        listen = ["127.0.0.1:8899", "[::1]:0"]
        mode = "observe"
        unattributed = "lab"
        session_ttl = "90m"
        catalogue = false
        workers = 0x4
        [upstream]
        roots = ["system", "ca/corp.pem", "/etc/x.pem", "~/y.pem"]
        dns = ["1.1.1.1:53", "[::1]:5353"]
        private_addresses = ["127.0.0.1", "10.1.0.0/16", "::1/128"]
        [limits]
        body_hold = "1KiB"
        per_client = 7
        idle_timeout = "1500ms"
        [audit]
        sync = true
        retain = "1d"
        segment = "1MiB"
        [enclave.lab]
    "#;
    let policy = policy(text);
    assert_eq!(*policy.sha256, super::super::hex(&Sha256::digest(text)));
    let gateway = &policy.gateway;
    assert_eq!(gateway.listen, [tcp("127.0.0.1:8899"), tcp("[::1]:0")]);
    assert_eq!((gateway.mode, &gateway.unattributed), (Mode::Observe, &Unattributed::Enclave("lab".into())));
    assert_eq!((gateway.session_ttl, gateway.catalogue, gateway.workers), (HOUR * 3 / 2, false, 4));
    let file = |path: &str| Roots::File(PathBuf::from(path));
    let upstream = &policy.upstream;
    let roots = [Roots::System, file("/work/chip/ca/corp.pem"), file("/etc/x.pem"), file("/home/ann/y.pem")];
    assert_eq!(upstream.roots, roots);
    assert_eq!(strings(&upstream.dns), ["1.1.1.1:53", "[::1]:5353"]);
    assert_eq!(strings(&upstream.private_addresses), ["127.0.0.1/32", "10.1.0.0/16", "::1/128"]);
    let limits = &policy.limits;
    assert_eq!((limits.body_hold, limits.per_client, limits.header_lines), (1024, 7, 128));
    assert_eq!((limits.idle_timeout, limits.head_timeout), (HOUR / 2400, Duration::from_secs(10)));
    assert_eq!((policy.audit.sync, policy.audit.retain, policy.audit.segment), (true, 24 * HOUR, 1 << 20));
    assert_eq!(policy.enclaves[0].mode, Mode::Observe);
}

#[test]
fn the_more_exact_name_is_resolved_first() {
    let text = r#"
        [upstream.resolve]
        "*:*" = "10.0.0.1"
        "*:443" = "10.0.0.2:8443"
        "*.x.test:443" = "10.0.0.3"
        "*.y.x.test" = "::1"
        "A.Y.x.test" = "[::1]:8443"
        "a.y.x.test:*" = "10.0.0.4:1"
    "#;
    let resolve = policy(text).upstream.resolve;
    let seen: Vec<_> = resolve.iter().map(|r| (r.from.to_string(), r.to, r.port)).collect();
    let to = |text: &str| text.parse::<IpAddr>().unwrap();
    let expected = [
        ("a.y.x.test:443", to("::1"), Some(8443)),
        ("a.y.x.test:*", to("10.0.0.4"), Some(1)),
        ("*.y.x.test:443", to("::1"), None),
        ("*.x.test:443", to("10.0.0.3"), None),
        ("*:443", to("10.0.0.2"), Some(8443)),
        ("*:*", to("10.0.0.1"), None),
    ];
    assert_eq!(seen, expected.map(|(from, to, port)| (from.to_owned(), to, port)));
}

#[test]
fn agents_and_enclaves() {
    let digest = "0A".repeat(32);
    let text = format!(
        r#"
[agent.mine]
exe = "**/node"
script = "**/mine/cli*.js"
sha256 = ["{digest}"]

[enclave.zeta]
agents = ["mine", "codex", "*"]
folders = ["~/src/chip", "sub", "~"]
mode = "observe"
require = "contained"
listen = "127.0.0.1:8901"
closed = [
    "t.test",
    "*.u.test:*",
]

[enclave.alpha]
"#
    );
    let policy = policy(&text);
    let [mine] = &policy.agents[..] else { panic!() };
    assert_eq!((&*mine.name, &mine.rule), ("mine", &rule("agent.mine", 2)));
    assert_eq!(mine.exe.as_ref().unwrap().as_str(), "**/node");
    assert_eq!(mine.script.as_ref().unwrap().as_str(), "**/mine/cli*.js");
    assert_eq!(mine.sha256, ["0a".repeat(32)]);
    assert!(mine.state.is_empty());
    let [zeta, alpha] = &policy.enclaves[..] else { panic!("in the order of the file") };
    assert_eq!((&*zeta.name, &zeta.rule), ("zeta", &rule("enclave.zeta", 7)));
    assert_eq!((strings(&zeta.agents), zeta.any_agent), (vec!["mine".to_owned(), "codex".to_owned()], true));
    assert_eq!(zeta.folders, ["/home/ann/src/chip", "/work/chip/sub", "/home/ann"].map(PathBuf::from));
    assert_eq!((zeta.mode, zeta.require), (Mode::Observe, Tier::Contained));
    assert_eq!(zeta.listen, [tcp("127.0.0.1:8901")]);
    let closed: Vec<_> = zeta.closed.iter().map(|(host, rule)| (host.to_string(), rule.clone())).collect();
    let expected = [
        ("t.test:443".to_owned(), rule("enclave.zeta.closed[0]", 14)),
        ("*.u.test:*".to_owned(), rule("enclave.zeta.closed[1]", 15)),
    ];
    assert_eq!(closed, expected);
    assert_eq!((alpha.mode, alpha.require, alpha.any_agent), (Mode::Enforce, Tier::Advisory, false));
    assert!(alpha.agents.is_empty() && alpha.listen.is_empty() && alpha.folders.is_empty());
}

#[test]
fn http_rules() {
    let text = r#"
[[enclave."chip a".http]]
host = "API.example.com."

[[enclave."chip a".http]]
host = "10.1.2.3"
scheme = "http"
methods = ["GET", "X-CUSTOM"]
paths = ["/repos/**", "**/x"]
addresses = ["10.2.0.0/16"]
websocket = true
mcp = "allow"

[[enclave."chip a".http]]
host = "*:*"
methods = []
paths = []
"#;
    let policy = policy(text);
    let [first, second, third] = &policy.enclaves[0].http[..] else { panic!() };
    assert_eq!(first.rule, rule("enclave.\"chip a\".http[0]", 2));
    assert_eq!((first.host.to_string().as_str(), &first.schemes[..]), ("api.example.com:443", &[Scheme::Https][..]));
    assert!(first.methods.is_none() && first.paths.is_none() && first.addresses.is_empty());
    assert!(!first.websocket && !first.undeclared_mcp && first.credential.is_none());
    assert_eq!(second.rule, rule("enclave.\"chip a\".http[1]", 5));
    assert_eq!((second.host.to_string().as_str(), &second.schemes[..]), ("10.1.2.3:80", &[Scheme::Http][..]));
    assert_eq!(second.methods.as_deref().unwrap(), ["GET", "X-CUSTOM"]);
    assert_eq!(second.paths.as_ref().unwrap().iter().map(|g| g.as_str()).collect::<Vec<_>>(), ["/repos/**", "**/x"]);
    assert_eq!(strings(&second.addresses), ["10.2.0.0/16"]);
    assert!(second.websocket && second.undeclared_mcp);
    // An empty list is none, not all.
    assert_eq!((third.methods.as_deref(), third.paths.as_deref()), (Some(&[][..]), Some(&[][..])));
}

#[test]
fn llm_and_mcp_entries() {
    let text = r#"
[enclave.e.llm.anthropic]
api = "anthropic"
host = "api.anthropic.com"
models = ["claude-*"]
provider_tools = [
    "web_search"]

[enclave.e.llm.bare]
api = "anthropic"
host = "127.0.0.1:1"
addresses = ["10.2.0.0/16", "10.3.3.3"]

[enclave.e.mcp.github]
url = "https://API.test:8443/mcp/?x=1"
revisions = ["2025-11-25", "2026-07-28"]
headers = ["X-Trace"]
tools = [
    "get_*",
    "search_code",
]
resources = ["repo://acme/**"]
prompts = ["p"]
server_requests = ["roots"]
addresses = ["10.1.0.0/16"]
pin = false

[enclave.e.mcp.local]
url = "http://127.0.0.1:3000"
"#;
    let policy = policy(text);
    let [anthropic, bare] = &policy.enclaves[0].llm[..] else { panic!() };
    assert_eq!((&*anthropic.name, &anthropic.rule), ("anthropic", &rule("enclave.e.llm.anthropic", 2)));
    assert_eq!(anthropic.host.to_string(), "api.anthropic.com:443");
    assert!(anthropic.models[0].matches("claude-x") && anthropic.models.len() == 1);
    assert_eq!(anthropic.models_rule, rule("enclave.e.llm.anthropic.models", 5));
    assert_eq!(strings(&anthropic.provider_tools), ["web_search"]);
    assert_eq!(anthropic.provider_tools_rule, rule("enclave.e.llm.anthropic.provider_tools", 6));
    assert!(bare.models.is_empty() && bare.provider_tools.is_empty());
    assert_eq!((&bare.models_rule, &bare.provider_tools_rule), (&bare.rule, &bare.rule));
    assert_eq!(strings(&bare.addresses), ["10.2.0.0/16", "10.3.3.3/32"]);
    let [github, local] = &policy.enclaves[0].mcp[..] else { panic!() };
    assert_eq!((&*github.name, &github.rule), ("github", &rule("enclave.e.mcp.github", 14)));
    assert_eq!((github.scheme, github.host.to_string().as_str(), github.port), (Scheme::Https, "api.test", 8443));
    assert_eq!((github.path.as_str(), github.query.as_deref()), ("/mcp", Some("x=1")));
    assert_eq!(github.revisions, [Revision::V2025_11_25, Revision::V2026_07_28]);
    assert_eq!(github.headers, ["x-trace"]);
    let tools: Vec<_> = github.tools.iter().map(|t| (t.glob.as_str(), t.rule.clone())).collect();
    assert_eq!(tools[0], ("get_*", rule("enclave.e.mcp.github.tools[0]", 19)));
    assert_eq!(tools[1], ("search_code", rule("enclave.e.mcp.github.tools[1]", 20)));
    assert_eq!(github.tools_rule, rule("enclave.e.mcp.github.tools", 18));
    assert_eq!(github.resources[0].rule, rule("enclave.e.mcp.github.resources[0]", 22));
    assert_eq!((github.prompts.len(), strings(&github.server_requests)), (1, vec!["roots".to_owned()]));
    assert_eq!((strings(&github.addresses), github.pin), (vec!["10.1.0.0/16".to_owned()], false));
    assert_eq!((local.scheme, local.port, local.path.as_str(), &local.query), (Scheme::Http, 3000, "", &None));
    assert_eq!((&local.revisions[..], local.pin), (&Revision::ALL[..], true));
    assert_eq!((local.tools.len(), &local.tools_rule), (0, &local.rule));
}

#[test]
fn credentials() {
    let text = r#"
[credential.anthropic]
source = "env:KEY"
slot = ["header:X-Api-Key", "bearer"]
hosts = ["api.anthropic.com", "*.x.test:*"]
paths = ["/v1/**"]
placeholder = "sk-ant-api03-"
env = "ANTHROPIC_API_KEY"
inject = true
ttl = "1h"

[credential.bare]
slot = "bearer"
hosts = ["a.test"]
env = ["A", "B"]
"#;
    let policy = policy(text);
    let [anthropic, bare] = &policy.credentials[..] else { panic!() };
    assert_eq!((&*anthropic.name, &anthropic.rule), ("anthropic", &rule("credential.anthropic", 2)));
    assert_eq!(anthropic.source, Source::Env("KEY".to_owned()));
    assert_eq!(anthropic.slots, [Slot::Header("x-api-key".to_owned()), Slot::Bearer]);
    assert_eq!(strings(&anthropic.hosts), ["api.anthropic.com:443", "*.x.test:*"]);
    assert_eq!(anthropic.paths.as_ref().unwrap()[0].as_str(), "/v1/**");
    assert_eq!(
        (anthropic.placeholder.as_str(), &anthropic.env[..]),
        ("sk-ant-api03-", &["ANTHROPIC_API_KEY".to_owned()][..])
    );
    assert_eq!((anthropic.inject, anthropic.ttl), (true, HOUR));
    assert_eq!((&bare.source, &bare.slots[..], &bare.paths), (&Source::Vault, &[Slot::Bearer][..], &None));
    assert_eq!((bare.placeholder.as_str(), bare.inject, bare.ttl), ("", false, 12 * HOUR));
    assert_eq!(bare.env, ["A", "B"]);
}

#[test]
fn a_credential_is_implied_where_exactly_one_binds_the_host() {
    let text = r#"
[credential.one]
slot = "bearer"
hosts = ["one.test", "*.both.test", "h.test:80", "llm.test", "mcp.test", "127.0.0.1:1"]
[credential.two]
slot = "bearer"
hosts = ["x.both.test", "two.test"]
"#;
    for (host, implied) in [
        ("one.test", Some("one")),
        ("two.test", Some("two")),
        ("y.both.test", Some("one")),
        // Two bind it.
        ("x.both.test", None),
        // One binds all of it, the other a part.
        ("*.both.test", None),
        // None binds all of it.
        ("*.test", None),
        ("one.test:*", None),
        ("*", None),
        ("none.test", None),
        ("one.test:8443", None),
    ] {
        let policy = policy(&format!("{text}[[enclave.e.http]]\nhost = \"{host}\""));
        assert_eq!(policy.enclaves[0].http[0].credential.as_deref(), implied, "{host}");
    }
    let named = policy(&format!("{text}[[enclave.e.http]]\nhost = \"x.both.test\"\ncredential = \"two\""));
    assert_eq!(named.enclaves[0].http[0].credential.as_deref(), Some("two"));
    let plain = policy(&format!("{text}[[enclave.e.http]]\nhost = \"h.test\"\nscheme = \"http\""));
    assert_eq!(plain.enclaves[0].http[0].credential, None);
    let llm = policy(&format!("{text}[enclave.e.llm.p]\napi = \"anthropic\"\nhost = \"llm.test\""));
    assert_eq!(llm.enclaves[0].llm[0].credential.as_deref(), Some("one"));
    let mcp = policy(&format!("{text}[enclave.e.mcp.s]\nurl = \"https://mcp.test/\""));
    assert_eq!(mcp.enclaves[0].mcp[0].credential.as_deref(), Some("one"));
    let local = policy(&format!("{text}[enclave.e.mcp.s]\nurl = \"http://127.0.0.1:1/\""));
    assert_eq!(local.enclaves[0].mcp[0].credential, None);
}

#[test]
fn paths_start_at_the_folder_of_the_file() {
    let text = "[upstream]\nroots = [\"ca.pem\", \"./x/../y.pem\"]";
    let roots = |file: &str| load(text, Some(Path::new(file)), &env()).policy.unwrap().upstream.roots;
    let file = |path: &str| Roots::File(PathBuf::from(path));
    assert_eq!(roots("/etc/ensage/e.toml"), [file("/etc/ensage/ca.pem"), file("/etc/ensage/x/../y.pem")]);
    assert_eq!(roots("conf/e.toml")[0], file("/work/chip/conf/ca.pem"));
    let crl = load("[upstream]\ncrl = [\"a.pem\",\n \"/b.pem\"]", Some(Path::new("e.toml")), &env());
    let crl: Vec<_> = crl.policy.unwrap().upstream.crl.into_iter().map(|c| (c.path, c.line, c.column)).collect();
    assert_eq!(crl, [(PathBuf::from("/work/chip/a.pem"), 2, 8), (PathBuf::from("/b.pem"), 3, 2)]);
    let homeless = Env { home: None, ..env() };
    let errors = load("[upstream]\nroots = [\"~/ca.pem\"]", None, &homeless).errors;
    assert_eq!((errors[0].code, errors[0].file.as_str()), ("bad_value", "(embedded)"));
}

#[test]
fn warnings_of_what_does_not_do_what_it_seems() {
    for (text, place, key) in [
        ("[gateway]\nlisten = \"0.0.0.0:1\"", (2, 10), "gateway.listen"),
        ("[upstream]\nprivate_addresses = [\"10.1.2.3/16\"]", (2, 22), "upstream.private_addresses[0]"),
        ("[agent.a]\nexe = \"node\"", (2, 7), "agent.a.exe"),
        ("[agent.a]\nscript = \"~/cli.js\"", (2, 10), "agent.a.script"),
    ] {
        let loaded = loaded(text);
        let [warning] = &loaded.warnings[..] else { panic!("{text} {:?}", loaded.warnings) };
        assert_eq!((warning.code, (warning.line, warning.column), warning.key.as_str()), ("no_effect", place, key));
        assert!(loaded.policy.is_some());
    }
    let policy = policy("[upstream]\nprivate_addresses = [\"10.1.2.3/16\"]");
    assert_eq!(strings(&policy.upstream.private_addresses), ["10.1.0.0/16"]);
}

#[test]
fn diagnostics_as_json() {
    let errors = loaded("[gateway]\nmoed = 1").errors;
    let expected = serde_json::json!([{
        "code": "unknown_key", "file": "ensage.toml", "line": 2, "column": 1, "key": "gateway.moed",
        "message": "unknown key `gateway.moed`", "help": "did you mean `mode`?",
    }]);
    assert_eq!(serde_json::to_value(errors).unwrap(), expected);
}
