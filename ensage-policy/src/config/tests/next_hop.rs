//! The next hop, named by the file or by the environment.

use std::path::Path;

use super::super::{Env, EnvProxy, embedded, load};
use super::errors::{check, rows};
use super::{env, loaded, policy, shown};
use crate::authority::Authority;
use crate::model::{HopFrom, NextHop, Slot, Source};

const CORP: &str = "[credential.corp]\nslot = \"basic\"\nhosts = [\"proxy.corp:3128\"]\n";

fn hop(text: &str) -> NextHop {
    policy(text).upstream.next_hop.unwrap_or_else(|| panic!("no next hop: {text}"))
}

fn to(text: &str) -> Authority {
    Authority::parse(text.as_bytes(), None).unwrap()
}

#[test]
fn the_file_names_it() {
    let read = hop("[upstream]\nproxy = \"http://Proxy.Corp:3128/\"\nno_proxy = [\"*.corp.example\", \"a.test:8443\"]");
    assert_eq!((read.at.to_string().as_str(), read.from), ("proxy.corp:3128", HopFrom::Configuration));
    assert!(read.credential.is_none());
    for (asked, through) in [
        ("api.test:443", true),
        // Without a port any is meant.
        ("x.corp.example:443", false),
        ("x.corp.example:80", false),
        ("corp.example:443", true),
        ("a.test:8443", false),
        ("a.test:443", true),
        ("127.0.0.1:443", false),
        ("10.0.0.1:443", true),
    ] {
        assert_eq!(read.leads_to(&to(asked)), through, "{asked}");
    }
    assert_eq!(hop("[upstream]\nproxy = \"http://[fd00::1]\"").at.to_string(), "[fd00::1]:80");
    assert!(policy("[upstream]\nno_proxy = [\"a.test\"]").upstream.next_hop.is_none());
}

#[test]
fn its_credential_belongs_to_no_enclave() {
    let named = "[upstream]\nproxy = \"http://proxy.corp:3128\"\nproxy_credential = \"corp\"\n";
    let all = "[enclave.e]\n[[enclave.e.http]]\nhost = \"*:*\"\nmcp = \"allow\"\n";
    for (slot, expected) in [("\"basic\"", Slot::Basic(None)), ("[\"basic:ann\"]", Slot::Basic(Some("ann".to_owned())))]
    {
        let policy = policy(&format!("{named}{all}{}", CORP.replace("\"basic\"", slot)));
        let taken = policy.upstream.next_hop.as_ref().and_then(|hop| hop.credential.clone()).unwrap();
        assert_eq!((&*taken.name, &taken.slots[..], &taken.source), ("corp", &[expected][..], &Source::Vault));
        let enclave = &policy.enclaves[0];
        assert_eq!(policy.credentials_of(enclave).count(), 0, "an agent of {} gets it", enclave.name);
        assert_eq!(enclave.http[0].credential, None);
        assert_eq!(policy.all_credentials().count(), 1);
    }
    // Without a next hop of the file nobody gets it either.
    let unused = policy(&format!("[upstream]\nproxy_credential = \"corp\"\n{all}{CORP}"));
    assert!(unused.upstream.next_hop.is_none() && unused.credentials_of(&unused.enclaves[0]).next().is_none());
}

#[test]
fn what_can_not_be_is_an_error() {
    let named = "[upstream]\nproxy = \"http://proxy.corp:3128\"\nproxy_credential = \"corp\"\n";
    check(
        &format!("{named}{}", CORP.replace(":3128\"]", "\"]")),
        &[("3:20", "credential_host", "upstream.proxy_credential")],
    );
    for slot in ["\"bearer\"", "\"basic:\"", "\"basic:a:b\"", "\"header:x-key\""] {
        check(&format!("{named}{}", CORP.replace("\"basic\"", slot)), &[("5:8", "bad_value", "credential.corp.slot")]);
    }
    for slots in ["[\"basic\", \"bearer\"]", "[]"] {
        check(&format!("{named}{}", CORP.replace("\"basic\"", slots)), &[("5:8", "bad_value", "credential.corp.slot")]);
    }
    let rule = "[[enclave.e.http]]\nhost = \"proxy.corp:3128\"\nmcp = \"allow\"\ncredential = \"corp\"\n";
    check(&format!("{named}{CORP}{rule}"), &[("10:14", "conflict", "enclave.e.http[0].credential")]);
    // Elsewhere Basic has no effect yet.
    check(CORP, &[("2:8", "not_yet", "credential.corp.slot")]);
    rows(
        "[upstream]\n",
        &[
            ("proxy = \"https://p:3128\"", ("2:9", "bad_value", "upstream.proxy")),
            ("proxy = \"http://p:3128/x\"", ("2:9", "bad_value", "upstream.proxy")),
            ("proxy = \"http://p:0\"", ("2:9", "bad_value", "upstream.proxy")),
            ("proxy = \"socks5://p:1080\"", ("2:9", "bad_value", "upstream.proxy")),
            ("no_proxy = \"a.test\"", ("2:12", "wrong_type", "upstream.no_proxy")),
        ],
    );
}

#[test]
fn a14_the_gateway_is_not_its_own_next_hop() {
    for (listen, proxy, own) in [
        ("127.0.0.1:8899", "127.0.0.1:8899", true),
        ("127.0.0.1:8899", "localhost:8899", true),
        ("0.0.0.0:8899", "127.0.0.1:8899", true),
        ("127.0.0.1:8899", "127.0.0.1:8898", false),
        ("127.0.0.1:8899", "10.0.0.1:8899", false),
    ] {
        let text = format!("[gateway]\nlisten = \"{listen}\"\n[upstream]\nproxy = \"http://{proxy}\"");
        let found: Vec<_> = loaded(&text).errors.into_iter().map(|d| (d.code, d.key)).collect();
        let expected = if own { vec![("conflict", "upstream.proxy".to_owned())] } else { vec![] };
        assert_eq!(found, expected, "{text}");
    }
    let text = "[upstream]\nproxy = \"http://127.0.0.1:8901\"\n[enclave.e]\nlisten = \"127.0.0.1:8901\"";
    check(text, &[("2:9", "conflict", "upstream.proxy")]);
}

fn in_env(text: &str, url: &str, has_user: bool) -> super::super::Loaded {
    let proxy = EnvProxy { variable: "HTTPS_PROXY".into(), url: url.into(), has_user, no_proxy: "b.test".into() };
    load(text, Some(Path::new("ensage.toml")), &Env { proxy: Some(proxy), ..env() })
}

#[test]
fn the_environment_names_it_where_the_file_does_not() {
    for url in ["http://proxy.corp:3128", "http://proxy.corp:3128/", "proxy.corp:3128"] {
        let loaded = in_env("[upstream]\nno_proxy = [\"c.test\"]", url, false);
        assert!(loaded.warnings.is_empty(), "{}", shown(&loaded.warnings));
        let read = loaded.policy.unwrap().upstream.next_hop.unwrap();
        assert_eq!((read.at.to_string().as_str(), read.from), ("proxy.corp:3128", HopFrom::Environment), "{url}");
        assert!(
            read.leads_to(&to("a.test:443")) && !read.leads_to(&to("b.test:443")) && !read.leads_to(&to("c.test:443"))
        );
    }
    let own = in_env("[upstream]\nproxy = \"http://other.corp:1\"", "http://proxy.corp:3128", true);
    let read = own.policy.unwrap().upstream.next_hop.unwrap();
    assert_eq!(read.at.to_string(), "other.corp:1");
    assert!(read.credential.is_none() && read.leads_to(&to("b.test:443")));
    // What is no such proxy is told, and nothing is made of it.
    for url in ["socks5://proxy.corp:1080", "https://proxy.corp", "http://proxy.corp:3128/x", "", "http://"] {
        let loaded = in_env("", url, false);
        let warned: Vec<_> = loaded.warnings.iter().map(|d| (d.code, d.key.as_str())).collect();
        assert_eq!(warned, [("no_effect", "upstream.proxy")], "{url}");
        assert!(loaded.policy.unwrap().upstream.next_hop.is_none(), "{url}");
    }
    let embedded =
        embedded(&Env { proxy: Some(EnvProxy { url: "http://p.test".into(), ..EnvProxy::default() }), ..env() });
    assert_eq!(embedded.policy.unwrap().upstream.next_hop.unwrap().at.to_string(), "p.test:80");
}

#[test]
fn the_environments_credential_is_the_urls_or_one_that_is_bound_to_it() {
    let taken = |text: &str, has_user: bool| {
        let policy = in_env(text, "http://proxy.corp:3128", has_user).policy.unwrap();
        let taken = policy.upstream.next_hop.as_ref().and_then(|hop| hop.credential.clone());
        let known = policy.all_credentials().filter(|c| taken.as_ref().is_some_and(|t| t.name == c.name)).count();
        assert_eq!(known, usize::from(taken.is_some()), "what is redacted has it once");
        taken.map(|c| (c.name.to_string(), c.source.clone()))
    };
    let corp = format!("[upstream]\nproxy_credential = \"corp\"\n{CORP}");
    assert_eq!(taken("", false), None);
    assert_eq!(taken("", true), Some(("upstream.proxy".to_owned(), Source::Env("HTTPS_PROXY".to_owned()))));
    assert_eq!(taken(&corp, false), Some(("corp".to_owned(), Source::Vault)));
    assert_eq!(taken(&corp.replace("proxy.corp:3128", "other.corp:3128"), false), None);
}
