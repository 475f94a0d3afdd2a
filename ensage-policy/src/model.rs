//! The policy as values: what a configuration means once every word of it has been checked.

mod credential;
mod crl;
mod hop;
mod limits;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::authority::{Host, HostPattern};
use crate::glob::Glob;
use crate::path::RequestPath;
use crate::reason::Reason;
pub use credential::{Credential, Slot, Source};
pub use crl::Crl;
pub use ensage_mcp::llm::Api as LlmApi;
pub use hop::{Direct, HopFrom, NextHop};
pub use limits::Limits;

/// A configuration path such as `enclave.chip-a.mcp.github.tools[1]`, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    /// The path, as records and `explain` print it.
    pub path: Arc<str>,
    /// Line in the file, from 1; 0 for the embedded default.
    pub line: u32,
}

/// What happens to a call that the policy does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It is refused.
    Enforce,
    /// It goes on and is recorded as one that would have been refused.
    Observe,
}

impl Mode {
    /// The stable name.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Observe => "observe",
        }
    }

    /// True if a refusal for this reason is recorded only: the one difference between the modes.
    pub const fn lets_pass(self, reason: Reason) -> bool {
        match self {
            Self::Enforce => false,
            Self::Observe => reason.observe_passes(),
        }
    }
}

/// How far an agent's reach is structural.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// Only the proxy variables lead it here.
    Advisory,
    /// Its own network namespace.
    Contained,
}

/// One immutable generation of the policy.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Counts up from 1 with each accepted load of one gateway; set by the gateway.
    pub generation: u64,
    /// Lower-case hex SHA-256 of the file's bytes.
    pub sha256: Arc<str>,
    /// The file, absolute; absent for the embedded default and for a text of an embedding program.
    pub file: Option<PathBuf>,
    /// Nobody wrote it: it is the embedded default.
    pub embedded: bool,
    /// `[gateway]`
    pub gateway: Gateway,
    /// `[upstream]`
    pub upstream: Upstream,
    /// `[limits]`
    pub limits: Limits,
    /// `[audit]`
    pub audit: Audit,
    /// `[agent.NAME]`; the catalogue is not in here.
    pub agents: Vec<AgentDefinition>,
    /// `[enclave.NAME]`, in the order of the file.
    pub enclaves: Vec<Arc<Enclave>>,
    /// `[credential.NAME]`, in the order of the file.
    pub credentials: Vec<Arc<Credential>>,
}

impl Policy {
    /// `[enclave.NAME]`
    pub fn enclave(&self, name: &str) -> Option<&Arc<Enclave>> {
        self.enclaves.iter().find(|enclave| *enclave.name == *name)
    }
}

/// Where clients may connect.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Listen {
    /// A TCP address; port 0 picks one.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

/// As the configuration spells it.
impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(at) => at.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What becomes of a client that is no known agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unattributed {
    /// Refused.
    Deny,
    /// Treated as a member of this enclave.
    Enclave(Arc<str>),
}

/// `[gateway]`
#[derive(Clone, Debug)]
pub struct Gateway {
    /// Listeners of the whole gateway.
    pub listen: Vec<Listen>,
    /// Whether the file names them; else a supervisor's sockets come in their place.
    pub listen_is_said: bool,
    /// Default of `enclave.mode`.
    pub mode: Mode,
    /// Clients that match nothing.
    pub unattributed: Unattributed,
    /// Longest life of a session.
    pub session_ttl: Duration,
    /// Whether the built-in agent catalogue counts.
    pub catalogue: bool,
    /// Worker threads, at least 1.
    pub workers: usize,
}

/// A source of trust anchors for upstream certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Roots {
    /// The operating system's store.
    System,
    /// A PEM bundle.
    File(PathBuf),
}

/// One entry of `upstream.resolve`: a name that is never looked up.
#[derive(Clone, Debug)]
pub struct Resolve {
    /// The asked name and port.
    pub from: HostPattern,
    /// The address that is dialled.
    pub to: IpAddr,
    /// The port that is dialled; absent keeps the asked port.
    pub port: Option<u16>,
}

/// `[upstream]`
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Trust anchors.
    pub roots: Vec<Roots>,
    /// Lists of revoked certificates.
    pub crl: Vec<Crl>,
    /// Fixed addresses.
    pub resolve: Vec<Resolve>,
    /// Resolvers; none means the system's.
    pub dns: Vec<SocketAddr>,
    /// Special-purpose ranges that may be dialled.
    pub private_addresses: Vec<IpNet>,
    /// The proxy through which upstreams are reached.
    pub next_hop: Option<NextHop>,
}

/// `[audit]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Audit {
    /// A response ends only when its record is on disk.
    pub sync: bool,
    /// Age at which whole closed segments are dropped.
    pub retain: Duration,
    /// Bytes at which a segment is closed.
    pub segment: u64,
}

/// `[agent.NAME]`: keys are ANDed.
#[derive(Clone, Debug)]
pub struct AgentDefinition {
    /// The name.
    pub name: Arc<str>,
    /// Where it stands.
    pub rule: Rule,
    /// Glob on the resolved executable path.
    pub exe: Option<Glob>,
    /// Glob on the absolute script path.
    pub script: Option<Glob>,
    /// Lower-case hex digests of the executable.
    pub sha256: Vec<String>,
    /// Folders of its own state.
    pub state: Vec<PathBuf>,
}

/// `[enclave.NAME]`
#[derive(Clone, Debug)]
pub struct Enclave {
    /// The name.
    pub name: Arc<str>,
    /// `enclave.NAME`
    pub rule: Rule,
    /// Names of the agents that belong to it, `*` not among them.
    pub agents: Vec<Arc<str>>,
    /// `agents` has `*`.
    pub any_agent: bool,
    /// Working folders that choose it, absolute.
    pub folders: Vec<PathBuf>,
    /// Effective mode.
    pub mode: Mode,
    /// Least tier an agent must have.
    pub require: Tier,
    /// Listeners whose clients belong to it.
    pub listen: Vec<Listen>,
    /// Hosts answered 403 without any contact, with the rule of each.
    pub closed: Vec<(HostPattern, Rule)>,
    /// TLS hosts passed through unseen, with the rule of each.
    pub tunnel: Vec<(HostPattern, Rule)>,
    /// Plain HTTP reach, in the order of the file.
    pub http: Vec<HttpRule>,
    /// LLM providers.
    pub llm: Vec<LlmRule>,
    /// MCP servers.
    pub mcp: Vec<McpRule>,
}

/// URL scheme of an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// `http`
    Http,
    /// `https`
    Https,
}

impl Scheme {
    /// The name as it stands in a URL.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port of a URL that names none.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// `[[enclave.NAME.http]]`
#[derive(Clone, Debug)]
pub struct HttpRule {
    /// `enclave.NAME.http[N]`
    pub rule: Rule,
    /// Which hosts and ports.
    pub host: HostPattern,
    /// Which scheme; both only in the embedded default.
    pub schemes: Vec<Scheme>,
    /// Allowed methods; `None` = all.
    pub methods: Option<Vec<String>>,
    /// Allowed paths; `None` = all.
    pub paths: Option<Vec<Glob>>,
    /// Special-purpose ranges that this entry may dial.
    pub addresses: Vec<IpNet>,
    /// Whether an Upgrade may pass.
    pub websocket: bool,
    /// Whether MCP to this host passes unread.
    pub undeclared_mcp: bool,
    /// The credential's name, named or implied.
    pub credential: Option<Arc<str>>,
}

/// `[enclave.NAME.llm.PROVIDER]`
#[derive(Clone, Debug)]
pub struct LlmRule {
    /// The entry's name.
    pub name: Arc<str>,
    /// `enclave.NAME.llm.PROVIDER`
    pub rule: Rule,
    /// Which API it speaks.
    pub api: LlmApi,
    /// Which hosts.
    pub host: HostPattern,
    /// Allowed models.
    pub models: Vec<Glob>,
    /// The list `models`, or the entry where it is absent.
    pub models_rule: Rule,
    /// Server-side tools and connectors that may be asked for.
    pub provider_tools: Vec<Arc<str>>,
    /// The list `provider_tools`, or the entry where it is absent.
    pub provider_tools_rule: Rule,
    /// Special-purpose ranges that this entry may dial.
    pub addresses: Vec<IpNet>,
    /// The credential's name.
    pub credential: Option<Arc<str>>,
}

/// A glob of a list, with the rule that it is.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The pattern.
    pub glob: Glob,
    /// `...tools[2]`
    pub rule: Rule,
}

/// `[enclave.NAME.mcp.SERVER]`
#[derive(Clone, Debug)]
pub struct McpRule {
    /// The entry's name.
    pub name: Arc<str>,
    /// `enclave.NAME.mcp.SERVER`
    pub rule: Rule,
    /// Scheme of `url`.
    pub scheme: Scheme,
    /// Host of `url`.
    pub host: Host,
    /// Port of `url`.
    pub port: u16,
    /// Path of `url` as written, one trailing slash taken off.
    pub path: String,
    /// The same, as requests are compared with it.
    pub endpoint: RequestPath,
    /// Query of `url`, without the question mark.
    pub query: Option<String>,
    /// Revisions that may be spoken; an empty list is none.
    pub revisions: Vec<ensage_mcp::Revision>,
    /// Request headers let through besides the standard ones, lower case.
    pub headers: Vec<String>,
    /// The credential's name.
    pub credential: Option<Arc<str>>,
    /// Allowed tools.
    pub tools: Vec<Listed>,
    /// The list `tools`, or the entry where it is absent.
    pub tools_rule: Rule,
    /// Allowed resources.
    pub resources: Vec<Listed>,
    /// Allowed prompts.
    pub prompts: Vec<Listed>,
    /// What the server may ask of the agent.
    pub server_requests: Vec<Arc<str>>,
    /// Special-purpose ranges that this entry may dial.
    pub addresses: Vec<IpNet>,
    /// Whether definitions are pinned.
    pub pin: bool,
}
