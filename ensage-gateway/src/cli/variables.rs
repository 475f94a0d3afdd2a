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

/// Variables that are taken out whether they are there or not: they switch verification off, trust others than the
/// bundle, or give keys of the TLS away.
const REMOVED: [&str; 5] =
    ["NODE_TLS_REJECT_UNAUTHORIZED", "GIT_SSL_NO_VERIFY", "PYTHONHTTPSVERIFY", "SSL_CERT_DIR", "SSLKEYLOGFILE"];

/// The same of single tools, taken out where they are inherited; npm's are told apart by no letter's case.
const UNVERIFIED: [&str; 9] = [
    "npm_config_strict_ssl",
    "pip_trusted_host",
    "uv_insecure_host",
    "bundle_ssl_verify_mode",
    "hex_unsafe_https",
    "conda_ssl_verify",
    "cloudsdk_auth_disable_ssl_validation",
    "azure_cli_disable_connection_verification",
    "goinsecure",
];

/// Variables of single tools that name another proxy, or hosts without one, and count before the common ones.
const ELSEWHERE: [&str; 16] = [
    "npm_config_proxy",
    "npm_config_https_proxy",
    "npm_config_http_proxy",
    "npm_config_noproxy",
    "yarn_http_proxy",
    "yarn_https_proxy",
    "cargo_http_proxy",
    "pip_proxy",
    "git_proxy_command",
    "grpc_proxy",
    "no_grpc_proxy",
    "global_agent_http_proxy",
    "global_agent_https_proxy",
    "global_agent_no_proxy",
    "cloudsdk_proxy_address",
    "cloudsdk_proxy_port",
];

/// Our own, which say nothing inside a session; a shell behind `env` is outside of one and goes on asking its gateway.
pub(crate) const OWN: [&str; 2] = ["ENSAGE_CONFIG", "ENSAGE_STATE"];

/// Prefixes of the LLM vendors whose base-URL variables are removed.
const VENDORS: [&str; 18] = [
    "ANTHROPIC",
    "CLAUDE_CODE",
    "OPENAI",
    "CODEX",
    "GEMINI",
    "GOOGLE",
    "VERTEX",
    "AZURE_OPENAI",
    "AWS",
    "BEDROCK",
    "OPENROUTER",
    "MISTRAL",
    "GROQ",
    "XAI",
    "DEEPSEEK",
    "COHERE",
    "LITELLM",
    "OLLAMA",
];

/// True for `VENDOR..._BASE_URL` and `VENDOR..._ENDPOINT` (and `..._ENDPOINT_URL`, `..._API_BASE`).
fn leads_elsewhere(name: &str) -> bool {
    let ends = ["_BASE_URL", "_ENDPOINT", "_ENDPOINT_URL", "_API_BASE"].iter().any(|e| name.ends_with(e))
        || name.starts_with("AWS_ENDPOINT_URL");
    ends && VENDORS.iter().any(|v| name.starts_with(v))
}

/// A merged bundle's sources: the files and folders that the user had set before.
pub(crate) fn inherited_bundles(environment: &BTreeMap<OsString, OsString>) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        BUNDLE.iter().filter_map(|name| environment.get(OsStr::new(name))).map(PathBuf::from).collect();
    let folders = environment.get(OsStr::new("SSL_CERT_DIR"));
    files.extend(folders.into_iter().flat_map(std::env::split_paths));
    files.retain(|path| !path.as_os_str().is_empty());
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
    c.unset.extend(REMOVED.map(str::to_owned));
    for name in environment.keys().filter_map(|n| n.to_str()).filter(|name| is_variable(name)) {
        let lower = name.to_ascii_lowercase();
        let of_a_tool = UNVERIFIED.contains(&lower.as_str()) || ELSEWHERE.contains(&lower.as_str());
        // npm takes either spelling, and which of the two counts is nowhere said.
        let twin = lower.starts_with("npm_config_") && !c.set.contains_key(name) && c.set.contains_key(&lower);
        if of_a_tool || twin || leads_elsewhere(name) {
            c.unset.push(name.to_owned());
        }
    }
    c
}

/// Whether a shell can unset it.
fn is_variable(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
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

    /// What is taken out besides what always is.
    fn removed(pairs: &[(&str, &str)]) -> Vec<String> {
        let mut unset = given(pairs).unset;
        assert_eq!(unset.drain(..REMOVED.len()).collect::<Vec<_>>(), REMOVED, "{pairs:?}");
        unset
    }

    #[test]
    fn e8_what_leads_past_the_policy_is_removed() {
        for name in [
            "ANTHROPIC_BASE_URL",
            "OPENAI_BASE_URL",
            "OPENAI_API_BASE",
            "AZURE_OPENAI_ENDPOINT",
            "ANTHROPIC_BEDROCK_BASE_URL",
            "GOOGLE_GEMINI_BASE_URL",
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME",
            "MISTRAL_BASE_URL",
            "npm_config_https_proxy",
            "NPM_CONFIG_HTTPS_PROXY",
            "NPM_CONFIG_CAFILE",
            "NPM_CONFIG_STRICT_SSL",
            "CARGO_HTTP_PROXY",
            "PIP_PROXY",
            "PIP_TRUSTED_HOST",
            "GRPC_PROXY",
            "grpc_proxy",
        ] {
            assert_eq!(removed(&[(name, "x")]), [name], "{name}");
        }
        for name in ["PATH", "NODE_OPTIONS", "MY_BASE_URL", "AWS_REGION", "npm_config_cafile", "npm_config_registry"] {
            assert!(removed(&[(name, "x")]).is_empty(), "{name}");
        }
        for name in ["SSLKEYLOGFILE", "GIT_SSL_NO_VERIFY", "NODE_TLS_REJECT_UNAUTHORIZED", "SSL_CERT_DIR"] {
            assert!(removed(&[(name, "x")]).is_empty() && given(&[]).unset.contains(&name.to_owned()), "{name}");
        }
        // No shell has such a name, and none could unset it.
        assert!(removed(&[("OPENAI_x-y_BASE_URL", "x"), ("OPENAI_$(id)_BASE_URL", "x")]).is_empty());
    }

    #[test]
    fn what_was_trusted_before_is_looked_for_in_files_and_folders() {
        let of = |pairs: &[(&str, &str)]| inherited_bundles(&environment(pairs));
        let paths = |all: &[&str]| all.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!(of(&[("SSL_CERT_FILE", "/b"), ("PIP_CERT", "/a"), ("HOME", "/c")]), paths(&["/a", "/b"]));
        assert_eq!(of(&[("SSL_CERT_DIR", "/d:/e"), ("SSL_CERT_FILE", "/d")]), paths(&["/d", "/e"]));
        assert!(of(&[("SSL_CERT_DIR", ""), ("SSL_CERT_FILE", "")]).is_empty());
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
        assert_eq!(quoted("a b\"$(id)`id`\\"), "'a b\"$(id)`id`\\'");
    }
}
