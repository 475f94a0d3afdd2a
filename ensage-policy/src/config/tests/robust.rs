//! Any text whatever, and the embedded default.

use std::path::Path;

use proptest::prelude::*;

use super::super::{EMBEDDED, Env, embedded, load_bytes};
use super::{env, loaded};
use crate::model::{Mode, Scheme, Unattributed};

#[test]
fn embedded_default_is_a_policy() {
    let policy = embedded(&Env::default()).policy.unwrap();
    assert!(loaded(EMBEDDED).warnings.is_empty());
    assert_eq!((policy.generation, &policy.file), (1, &None));
    assert_eq!(policy.gateway.mode, Mode::Observe);
    assert_eq!(policy.gateway.unattributed, Unattributed::Enclave("default".into()));
    let [enclave] = &policy.enclaves[..] else {
        panic!("{:?}", policy.enclaves);
    };
    assert_eq!(
        (&*enclave.name, enclave.any_agent, enclave.mode, enclave.rule.line),
        ("default", true, Mode::Observe, 0)
    );
    let [rule] = &enclave.http[..] else {
        panic!("{:?}", enclave.http);
    };
    assert_eq!((rule.host.to_string().as_str(), &rule.schemes[..]), ("*:*", &[Scheme::Http, Scheme::Https][..]));
    assert_eq!((&*rule.rule.path, rule.rule.line), ("enclave.default.http[0]", 0));
    assert!(rule.methods.is_none() && rule.paths.is_none() && rule.websocket && rule.undeclared_mcp);
    let open = |address: &str| {
        let address: std::net::IpAddr = address.parse().unwrap();
        crate::authority::may_dial(address, &[&policy.upstream.private_addresses]).is_ok()
    };
    for address in ["127.0.0.1", "::1", "10.1.2.3", "172.31.0.1", "192.168.1.1", "100.64.0.1", "fd12::1", "1.1.1.1"] {
        assert!(open(address), "{address}");
    }
    for address in ["169.254.169.254", "169.254.0.1", "fe80::1", "fd00:ec2::254", "100.100.100.200", "0.0.0.0"] {
        assert!(!open(address), "{address}");
    }
}

#[test]
fn bytes_that_are_no_text() {
    let loaded = load_bytes(b"[gateway]\nmode = \"\xff\"", Some(Path::new("e.toml")), &env());
    assert!(loaded.policy.is_none());
    assert_eq!(
        loaded.errors[0].to_string(),
        "e.toml:2:9: error: the file is not UTF-8 from here on\n  help: save the file as UTF-8"
    );
    assert!(load_bytes(b"", None, &env()).policy.is_some());
    let large = vec![b'\n'; super::super::TEXT_BYTES_MAX + 1];
    assert_eq!(load_bytes(&large, None, &env()).errors[0].code, "too_large");
    assert!(load_bytes(&large[1..], None, &env()).policy.is_some());
}

#[test]
fn deep_nesting_is_an_error() {
    for open in ["[", "{a=", "a.", "[["] {
        assert!(!loaded(&format!("x = {}", open.repeat(20_000))).errors.is_empty(), "{open}");
        assert!(!loaded(&open.repeat(20_000)).errors.is_empty(), "{open}");
    }
}

const VALID: &str = r#"
[gateway]
listen = ["127.0.0.1:0", "[::1]:0"]
session_ttl = "12h"
[upstream]
roots = ["system", "ca.pem"]
resolve = { "api.example.com:443" = "127.0.0.1:9443", "*:443" = "10.0.0.1" }
[limits]
body_hold = "4MiB"
header_lines = 0x80
[agent.my-agent]
exe = "**/node"
sha256 = ["0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a"]
[enclave."chip a"]
agents = ["my-agent", "*"]
closed = ["t.test"]
[[enclave."chip a".http]]
host = "*.example.com:*"
methods = ["GET"]
paths = ["/repos/**"]
credential = "git"
[enclave."chip a".llm.anthropic]
api = "anthropic"
host = "api.anthropic.com"
models = ["claude-*"]
[enclave."chip a".mcp.pdk]
url = "https://pdk.internal/mcp"
tools = ["read_*"]
[enclave."chip a".mcp.pdk.tool.read_x]
[credential.git]
slot = ["bearer", "header:x-key"]
hosts = ["*.example.com:*"]
env = ["A", "B"]
"#;

#[test]
fn the_start_of_mutation_is_valid() {
    super::policy(VALID);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn h6_any_text_is_read(text in "(?s).{0,200}") {
        loaded(&text);
    }

    #[test]
    fn h6_any_row_of_words_is_read(words in prop::collection::vec(prop::sample::select(WORDS), 0..40)) {
        loaded(&words.concat());
    }

    #[test]
    fn h6_any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        load_bytes(&bytes, None, &env());
    }

    #[test]
    fn h6_a_mutated_file_is_read(
        cuts in prop::collection::vec((0..VALID.len(), 0..20usize, prop::sample::select(WORDS)), 1..4)
    ) {
        let mut text = VALID.to_owned();
        for (at, length, word) in cuts {
            let start = text.floor_char_boundary(at.min(text.len()));
            let end = text.floor_char_boundary(start.saturating_add(length).min(text.len()));
            text.replace_range(start..end.max(start), word);
        }
        let loaded = loaded(&text);
        let lines = text.lines().count().max(1) + 1;
        for d in loaded.errors.iter().chain(&loaded.warnings) {
            prop_assert!(d.line >= 1 && d.line as usize <= lines && d.column >= 1, "{d}");
        }
    }
}

const WORDS: &[&str] = &[
    "",
    "\n",
    " ",
    "=",
    "\"",
    "'",
    "\"\"\"",
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    ".",
    ",",
    "#",
    "*",
    "..",
    "\\",
    "\u{feff}",
    "ü",
    "\r\n",
    "0",
    "1",
    "-1",
    "1e400",
    "true",
    "1979-05-27T07:32:00Z",
    "gateway",
    "upstream",
    "resolve",
    "limits",
    "audit",
    "agent",
    "enclave",
    "chamber",
    "credential",
    "http",
    "llm",
    "mcp",
    "tool",
    "host",
    "url",
    "slot",
    "x",
    "\n[enclave.e]\n",
    "\n[[enclave.e.http]]\n",
    "\n[enclave.e.mcp.s]\n",
    "\n[credential.c]\n",
    "\n[chamber.c]\n",
    "host = \"a.test\"\n",
    "a.b = 1\n",
    "a = 1\n",
    "a = {}\n",
    "[a]\n",
    "[[a]]\n",
    "[a.b]\n",
    "a = []\n",
];
