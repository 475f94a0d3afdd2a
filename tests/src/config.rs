//! The configuration of a rig, as text.

use std::fmt::Write as _;
use std::net::SocketAddr;

/// What a test says of its gateway; the rest is the same for all: port 0, enforce, no catalogue, one agent `raw` that
/// is the test itself, the test CA as the only root.
#[derive(Clone, Debug, Default)]
pub struct Config {
    pub(crate) gateway: String,
    pub(crate) upstream: String,
    pub(crate) resolve: Vec<(String, String)>,
    pub(crate) dns: Vec<SocketAddr>,
    pub(crate) private: Option<String>,
    pub(crate) body: String,
}

impl Config {
    /// Nothing is reachable yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Further lines of `[gateway]`.
    #[must_use]
    pub fn gateway(mut self, lines: &str) -> Self {
        self.gateway.push_str(lines);
        self.gateway.push('\n');
        self
    }

    /// Further lines of `[upstream]`.
    #[must_use]
    pub fn upstream(mut self, lines: &str) -> Self {
        self.upstream.push_str(lines);
        self.upstream.push('\n');
        self
    }

    /// A name that leads to this address and is never looked up.
    #[must_use]
    pub fn resolve(mut self, name: &str, to: SocketAddr) -> Self {
        self.resolve.push((name.to_owned(), to.to_string()));
        self
    }

    /// A resolver to ask.
    #[must_use]
    pub fn dns(mut self, at: SocketAddr) -> Self {
        self.dns.push(at);
        self
    }

    /// Other `private_addresses` than `127.0.0.0/8`, as a TOML array.
    #[must_use]
    pub fn private(mut self, ranges: &str) -> Self {
        self.private = Some(ranges.to_owned());
        self
    }

    /// Enclaves, credentials, limits and the rest.
    #[must_use]
    pub fn body(mut self, toml: &str) -> Self {
        self.body.push_str(toml);
        self.body.push('\n');
        self
    }

    /// The file's text; names are asked of `resolver` where no other is said.
    pub(crate) fn text(&self, roots: &str, agent: &str, resolver: SocketAddr) -> String {
        let mode = if self.gateway.contains("mode") { "" } else { "mode = \"enforce\"\n" };
        let resolve: Vec<String> = self.resolve.iter().map(|(name, to)| format!("{name:?} = {to:?}")).collect();
        let dns = if self.dns.is_empty() { &[resolver] } else { &*self.dns };
        let dns: Vec<String> = dns.iter().map(|at| format!("\"{at}\"")).collect();
        let private = self.private.as_deref().unwrap_or("[\"127.0.0.0/8\"]");
        let mut text = format!("[gateway]\nlisten = \"127.0.0.1:0\"\ncatalogue = false\n{mode}{}\n", self.gateway);
        let _ = writeln!(text, "[upstream]\nroots = [{roots:?}]\nprivate_addresses = {private}");
        let _ = writeln!(text, "resolve = {{ {} }}\ndns = [{}]\n{}", resolve.join(", "), dns.join(", "), self.upstream);
        let _ = writeln!(text, "[agent.raw]\nexe = {agent:?}\n\n{}", self.body);
        text
    }
}
