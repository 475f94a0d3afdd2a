//! `tunnel`: what passes unseen is claimed by nothing that would see it.

use super::{loaded, policy, shown};

fn config(tunnel: &str, rest: &str) -> String {
    format!("[enclave.e]\ntunnel = [{tunnel}]\n{rest}\n")
}

#[test]
fn a_tunnel_is_a_host_pattern_with_its_rule() {
    let policy = policy(&config("\"a.test\", \"*.b.test:*\", \"10.0.0.1:8443\"", ""));
    let tunnel: Vec<_> =
        policy.enclaves[0].tunnel.iter().map(|(h, rule)| format!("{h} {} {}", rule.path, rule.line)).collect();
    let want =
        ["a.test:443 enclave.e.tunnel[0] 2", "*.b.test:* enclave.e.tunnel[1] 2", "10.0.0.1:8443 enclave.e.tunnel[2] 2"];
    assert_eq!(tunnel, want);
    assert!(!policy.embedded);
    assert!(crate::config::embedded(&super::env()).policy.unwrap().embedded);
}

#[test]
fn v4_what_is_read_or_bound_does_not_pass_unseen() {
    let http = |host: &str| format!("[[enclave.e.http]]\nhost = \"{host}\"\nmcp = \"allow\"");
    let mcp = |url: &str| format!("[enclave.e.mcp.s]\nurl = \"{url}\"\npin = false");
    let llm = "[enclave.e.llm.p]\napi = \"anthropic\"\nhost = \"a.test\"";
    let bound = |host: &str| format!("[credential.c]\nslot = \"bearer\"\nhosts = [\"{host}\"]");
    for (tunnel, rest, clash) in [
        ("\"a.test\"", http("a.test"), Some("enclave.e.http[0]")),
        ("\"*.a.test\"", http("x.a.test"), Some("enclave.e.http[0]")),
        ("\"*\"", http("a.test"), Some("enclave.e.http[0]")),
        ("\"x.a.test:*\"", http("*.a.test"), Some("enclave.e.http[0]")),
        ("\"a.test\"", mcp("https://a.test/mcp"), Some("enclave.e.mcp.s")),
        ("\"*.a.test:*\"", mcp("https://x.a.test:8443/mcp"), Some("enclave.e.mcp.s")),
        ("\"a.test\"", llm.to_owned(), Some("enclave.e.llm.p")),
        ("\"a.test\"", bound("a.test"), Some("`c`")),
        ("\"a.test\"", bound("*"), Some("`c`")),
        ("\"*.test\"", bound("a.test"), Some("`c`")),
        // The twins: a wider rule gives way, and other ports and schemes are other places.
        ("\"a.test\"", http("*"), None),
        ("\"x.a.test\"", http("*.a.test"), None),
        ("\"a.test:8443\"", http("a.test"), None),
        ("\"a.test:80\"", format!("{}\nscheme = \"http\"", http("a.test:80")), None),
        ("\"a.test\"", mcp("https://b.test/mcp"), None),
        ("\"127.0.0.1:80\"", mcp("http://127.0.0.1/mcp"), None),
        ("\"a.test\"", bound("b.test"), None),
        ("\"a.test\"", bound("a.test:8443"), None),
    ] {
        let loaded = loaded(&config(tunnel, &rest));
        let found: Vec<_> = loaded.errors.iter().map(|d| (d.line, d.column, d.code, d.key.as_str())).collect();
        match clash {
            None => assert_eq!(found, [], "{tunnel} {rest}\n{}", shown(&loaded.errors)),
            Some(with) => {
                assert_eq!(found, [(2, 11, "conflict", "enclave.e.tunnel[0]")], "{tunnel} {rest}");
                assert!(loaded.errors[0].message.contains(with), "{}", shown(&loaded.errors));
            }
        }
    }
}

#[test]
fn what_is_closed_is_not_passed_through() {
    let loaded = loaded("[enclave.e]\nclosed = [\"*.a.test\"]\ntunnel = [\"b.test\", \"x.a.test\"]\n");
    let warned: Vec<_> = loaded.warnings.iter().map(|d| (d.code, d.key.as_str())).collect();
    assert_eq!(warned, [("no_effect", "enclave.e.tunnel[1]")]);
}
