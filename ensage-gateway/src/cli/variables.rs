//! The variables that point a program at the gateway (contract section 6; the reasons are measured per runtime).

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// Variables that take the proxy's URL, in both cases: wget and gRPC read lower case only.
const PROXY: [&str; 6] = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];

/// Variables that take the merged CA bundle, each read by the tools of its name.
const BUNDLE: [&str; 15] = [
    "NODE_EXTRA_CA_CERTS",
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "AWS_CA_BUNDLE",
    "PIP_CERT",
    "npm_config_cafile",
    "DENO_CERT",
    "CODEX_CA_CERTIFICATE",
    "CARGO_HTTP_CAINFO",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
    "BUNDLE_SSL_CA_CERT",
    "HEX_CACERTS_PATH",
];

/// Inherited variables that switch verification off, lead past the policy, or give keys of the TLS away.
const REMOVED: [&str; 5] =
    ["NODE_TLS_REJECT_UNAUTHORIZED", "GIT_SSL_NO_VERIFY", "PYTHONHTTPSVERIFY", "SSL_CERT_DIR", "SSLKEYLOGFILE"];

/// Our own, which say nothing inside a session; a shell behind `env` is outside of one and goes on asking its gateway.
pub(crate) const OWN: [&str; 2] = ["ENSAGE_CONFIG", "ENSAGE_STATE"];

/// Prefixes of the LLM vendors whose base-URL variables are removed.
const VENDORS: [&str; 10] =
    ["ANTHROPIC", "CLAUDE_CODE", "OPENAI", "CODEX", "GEMINI", "GOOGLE", "AZURE_OPENAI", "AWS", "BEDROCK", "OPENROUTER"];

/// True for `VENDOR..._BASE_URL` and `VENDOR..._ENDPOINT` (and `..._ENDPOINT_URL`, `..._API_BASE`).
fn leads_elsewhere(name: &str) -> bool {
    let ends = ["_BASE_URL", "_ENDPOINT", "_ENDPOINT_URL", "_API_BASE"].iter().any(|e| name.ends_with(e))
        || name.starts_with("AWS_ENDPOINT_URL");
    ends && VENDORS.iter().any(|v| name.starts_with(v))
}

/// Variables of a merged bundle's sources: what the user had set before.
pub(crate) fn inherited_bundles(environment: &BTreeMap<OsString, OsString>) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        BUNDLE.iter().filter_map(|name| environment.get(OsStr::new(name))).map(PathBuf::from).collect();
    files.sort();
    files.dedup();
    files
}

/// What is set and what is taken out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// Set or replaced.
    pub(crate) set: BTreeMap<String, OsString>,
    /// Taken out.
    pub(crate) unset: Vec<String>,
}

/// The changes that point a program at `proxy`.
pub(crate) fn changes(
    environment: &BTreeMap<OsString, OsString>,
    proxy: &str,
    bundle: &Path,
    wgetrc: &Path,
) -> Changes {
    let mut c = Changes::default();
    let mut set = |name: &str, value: OsString| {
        c.set.insert(name.to_owned(), value);
    };
    for name in PROXY {
        set(name, proxy.into());
    }
    // An inherited `.corp.example` or `*` would be a hole. Loopback goes through the gateway too: an MCP server there
    // is reached only as an entry of the enclave.
    set("NO_PROXY", OsString::new());
    set("no_proxy", OsString::new());
    set("NODE_USE_ENV_PROXY", "1".into());
    for name in BUNDLE {
        set(name, bundle.into());
    }
    set("WGETRC", wgetrc.into());
    set("UV_NATIVE_TLS", "1".into());
    set("DENO_TLS_CA_STORE", "system,mozilla".into());
    let options = environment.get(OsStr::new("NODE_OPTIONS")).and_then(|v| v.to_str()).unwrap_or("");
    // Both together stop Node from starting (exit 9).
    if !options.contains("--use-openssl-ca") {
        set("NODE_USE_SYSTEM_CA", "1".into());
    }
    for name in environment.keys().filter_map(|n| n.to_str()) {
        if REMOVED.contains(&name) || leads_elsewhere(name) {
            c.unset.push(name.to_owned());
        }
    }
    c
}

/// A value between single quotes, as `sh` reads it.
pub(crate) fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> BTreeMap<OsString, OsString> {
        pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect()
    }

    fn given(pairs: &[(&str, &str)]) -> Changes {
        changes(&environment(pairs), "http://127.0.0.1:1", Path::new("/b.pem"), Path::new("/w"))
    }

    #[test]
    fn an_inherited_hole_is_closed() {
        let c = given(&[("NO_PROXY", "*"), ("ALL_PROXY", "socks5://elsewhere")]);
        assert_eq!(c.set["NO_PROXY"], "");
        assert_eq!(c.set["no_proxy"], "");
        assert_eq!(c.set["ALL_PROXY"], "http://127.0.0.1:1");
    }

    #[test]
    fn e8_what_leads_past_the_policy_is_removed() {
        for name in [
            "ANTHROPIC_BASE_URL",
            "OPENAI_BASE_URL",
            "AZURE_OPENAI_ENDPOINT",
            "SSLKEYLOGFILE",
            "GIT_SSL_NO_VERIFY",
            "ANTHROPIC_BEDROCK_BASE_URL",
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME",
            "NODE_TLS_REJECT_UNAUTHORIZED",
            "SSL_CERT_DIR",
        ] {
            assert_eq!(given(&[(name, "x")]).unset, [name], "{name}");
        }
        for name in ["PATH", "NODE_OPTIONS", "MY_BASE_URL", "AWS_REGION"] {
            assert!(given(&[(name, "x")]).unset.is_empty(), "{name}");
        }
    }

    #[test]
    fn node_is_not_given_two_stores() {
        assert!(given(&[]).set.contains_key("NODE_USE_SYSTEM_CA"));
        assert!(!given(&[("NODE_OPTIONS", "--use-openssl-ca")]).set.contains_key("NODE_USE_SYSTEM_CA"));
        assert!(!given(&[("NODE_OPTIONS", "--x")]).set.contains_key("NODE_OPTIONS"));
    }

    #[test]
    fn a_quote_in_a_value_does_not_end_it() {
        assert_eq!(quoted("a'b"), r"'a'\''b'");
    }
}
