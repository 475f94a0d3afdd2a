//! Which entry of an enclave governs a request: `mcp` before `llm` before `http`.

use std::borrow::Cow;
use std::sync::Arc;

use ensage_mcp::Revision;
use ensage_mcp::llm::{Dialect, Endpoint};
use ipnet::IpNet;

use super::denial::Denial;
use super::http;
use crate::authority::{Authority, Fit, Host, HostPattern};
use crate::model::{Enclave, HttpRule, LlmRule, McpRule, Rule, Scheme};
use crate::path::{Likeness, RequestPath};
use crate::reason::Reason;

/// The entry that governs one exchange.
#[derive(Clone, Debug)]
pub struct Route {
    kind: RouteKind,
    enclave: Arc<Enclave>,
    entry: Entry,
    governed: Governed,
}

/// What kind of exchange it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteKind {
    /// A message to an MCP server, or its stream.
    Mcp {
        /// Name of the entry.
        server: Arc<str>,
    },
    /// A call to an LLM provider.
    Llm {
        /// Name of the entry.
        provider: Arc<str>,
        /// Which of the API's endpoints.
        endpoint: Endpoint,
    },
    /// Plain HTTP that a rule opens.
    Http,
    /// What no entry opens; only observe mode goes on with it.
    Unlisted,
}

impl RouteKind {
    /// The `type` of a record.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Mcp { .. } => "mcp",
            Self::Llm { .. } => "llm",
            Self::Http | Self::Unlisted => "http",
        }
    }
}

/// Where the entry is in its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Mcp(usize),
    Llm(usize),
    Http(usize),
    None,
}

/// Whether the gateway reads, strips and scrubs an exchange (contract section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Governed {
    /// An MCP or LLM exchange, or one with a host that a credential binds.
    Governed,
    /// Passing traffic.
    Passing,
}

/// In whose words a refusal is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form<'e> {
    /// Problem details, or the hidden answer.
    Http,
    /// The error object of the LLM API.
    Llm(Dialect),
    /// JSON-RPC.
    Mcp {
        /// The revisions that the entry lists.
        revisions: &'e [Revision],
    },
}

/// The form that a refusal of this request has, by the entry that governs its address.
pub fn form<'e>(
    enclave: &'e Enclave,
    authority: &Authority,
    scheme: Scheme,
    method: &str,
    path: &RequestPath,
) -> Form<'e> {
    let found = find(enclave, &Asked { authority, scheme, method, path, query: None });
    match found.entry {
        Entry::Mcp(at) => Form::Mcp { revisions: enclave.mcp.get(at).map_or(&[], |rule| &rule.revisions) },
        Entry::Llm(at) => llm_form(enclave, at, &found.kind),
        Entry::Http(_) | Entry::None => Form::Http,
    }
}

/// The dialect of the endpoint, or the one in which its API tells errors of others.
fn llm_form<'e>(enclave: &Enclave, at: usize, kind: &RouteKind) -> Form<'e> {
    let asked = match kind {
        RouteKind::Llm { endpoint, .. } => endpoint.body(),
        RouteKind::Mcp { .. } | RouteKind::Http | RouteKind::Unlisted => None,
    };
    let of_api = || enclave.llm.get(at).map_or(Dialect::Messages, |rule| rule.api.dialect());
    Form::Llm(asked.unwrap_or_else(of_api))
}

impl Route {
    pub(super) fn new(found: &Found<'_>, enclave: &Arc<Enclave>, governed: Governed) -> Self {
        let governed = match found.kind {
            RouteKind::Mcp { .. } | RouteKind::Llm { .. } => Governed::Governed,
            RouteKind::Http | RouteKind::Unlisted => governed,
        };
        Self { kind: found.kind.clone(), enclave: enclave.clone(), entry: found.entry, governed }
    }

    /// An exchange that only observe mode lets through: no entry lends it a name, a credential or a reader.
    pub(super) fn unlisted(enclave: &Arc<Enclave>, governed: Governed) -> Self {
        Self { kind: RouteKind::Unlisted, enclave: enclave.clone(), entry: Entry::None, governed }
    }

    /// The form that a refusal has; absent where no entry governs it.
    pub fn form(&self) -> Option<Form<'_>> {
        match self.entry {
            Entry::Mcp(_) => Some(Form::Mcp { revisions: self.mcp().map_or(&[], |rule| &rule.revisions) }),
            Entry::Llm(at) => Some(llm_form(&self.enclave, at, &self.kind)),
            Entry::Http(_) => Some(Form::Http),
            Entry::None => None,
        }
    }

    /// What kind of exchange it is.
    pub const fn kind(&self) -> &RouteKind {
        &self.kind
    }

    /// The rule that opens it; absent for [`RouteKind::Unlisted`].
    pub fn rule(&self) -> Option<&Rule> {
        match self.entry {
            Entry::Mcp(_) => self.mcp().map(|entry| &entry.rule),
            Entry::Llm(_) => self.llm().map(|entry| &entry.rule),
            Entry::Http(_) => self.http().map(|entry| &entry.rule),
            Entry::None => None,
        }
    }

    /// Whether the gateway reads, strips and scrubs it.
    pub const fn governed(&self) -> Governed {
        self.governed
    }

    /// The `mcp` entry, if one governs it.
    pub fn mcp(&self) -> Option<&McpRule> {
        match self.entry {
            Entry::Mcp(at) => self.enclave.mcp.get(at),
            Entry::Llm(_) | Entry::Http(_) | Entry::None => None,
        }
    }

    /// The `llm` entry, if one governs it.
    pub fn llm(&self) -> Option<&LlmRule> {
        match self.entry {
            Entry::Llm(at) => self.enclave.llm.get(at),
            Entry::Mcp(_) | Entry::Http(_) | Entry::None => None,
        }
    }

    /// The `http` rule, if one opens it.
    pub fn http(&self) -> Option<&HttpRule> {
        match self.entry {
            Entry::Http(at) => self.enclave.http.get(at),
            Entry::Mcp(_) | Entry::Llm(_) | Entry::None => None,
        }
    }

    /// The name of the credential that its entry uses.
    pub fn credential(&self) -> Option<&Arc<str>> {
        match self.entry {
            Entry::Mcp(_) => self.mcp().and_then(|rule| rule.credential.as_ref()),
            Entry::Llm(_) => self.llm().and_then(|rule| rule.credential.as_ref()),
            Entry::Http(_) => self.http().and_then(|rule| rule.credential.as_ref()),
            Entry::None => None,
        }
    }

    /// The special-purpose ranges that its entry opens; those of every entry with this host where none governs it.
    pub(super) fn addresses(&self, to: &Authority) -> Vec<IpNet> {
        let entries = &self.enclave;
        let of_mcp = |rule: &McpRule| opened(&rule.addresses, Some(&rule.host));
        let of_llm = |rule: &LlmRule| opened(&rule.addresses, rule.host.host());
        let of_http = |rule: &HttpRule| opened(&rule.addresses, rule.host.host());
        match self.entry {
            Entry::Mcp(_) => self.mcp().map(of_mcp).unwrap_or_default(),
            Entry::Llm(_) => self.llm().map(of_llm).unwrap_or_default(),
            Entry::Http(_) => self.http().map(of_http).unwrap_or_default(),
            Entry::None => {
                let exact = |rule: &McpRule| HostPattern::exact(rule.host.clone(), rule.port).matches(to) == Fit::Full;
                let mcp = entries.mcp.iter().filter(|rule| exact(rule)).flat_map(of_mcp);
                let llm = entries.llm.iter().filter(|rule| rule.host.matches(to) == Fit::Full).flat_map(of_llm);
                let http = entries.http.iter().filter(|rule| rule.host.matches(to) == Fit::Full).flat_map(of_http);
                mcp.chain(llm).chain(http).collect()
            }
        }
    }
}

/// What an entry opens: a literal address in it allows itself.
pub(super) fn opened(ranges: &[IpNet], host: Option<&Host>) -> Vec<IpNet> {
    ranges.iter().copied().chain(host.and_then(Host::ip).map(IpNet::from)).collect()
}

/// What is asked for, as far as it decides who judges it.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) authority: &'a Authority,
    pub(super) scheme: Scheme,
    pub(super) method: &'a str,
    pub(super) path: &'a RequestPath,
    pub(super) query: Option<&'a str>,
}

/// The governing entry, and what it says of method, path and kind; a step after a refusal says nothing of weight.
pub(super) struct Found<'e> {
    pub(super) kind: RouteKind,
    pub(super) entry: Entry,
    pub(super) method: Result<Cow<'e, Rule>, Denial>,
    pub(super) path: Result<Cow<'e, Rule>, Denial>,
    pub(super) classify: Result<Cow<'e, Rule>, Denial>,
    /// Whether the entry, or the `http` rule that comes nearest to one, lets a WebSocket pass.
    pub(super) websocket: bool,
}

impl<'e> Found<'e> {
    pub(super) fn open(kind: RouteKind, entry: Entry, rule: &'e Rule) -> Self {
        let rule = Cow::Borrowed(rule);
        Self { kind, entry, method: Ok(rule.clone()), path: Ok(rule.clone()), classify: Ok(rule), websocket: false }
    }
}

pub(super) fn find<'e>(enclave: &'e Enclave, asked: &Asked<'_>) -> Found<'e> {
    mcp(enclave, asked).or_else(|| llm(enclave, asked)).unwrap_or_else(|| http::find(enclave, asked))
}

/// The `mcp` entry whose address this is, or is to a forgiving server: no other entry may open either.
fn mcp<'e>(enclave: &'e Enclave, asked: &Asked<'_>) -> Option<Found<'e>> {
    let mut near = None;
    let mut same = None;
    for (at, rule) in enclave.mcp.iter().enumerate() {
        if !is_at(rule, asked.authority, asked.scheme) {
            continue;
        }
        let slot = match asked.path.likeness(&rule.endpoint) {
            Likeness::Same if takes_query(rule, asked.query) => return Some(mcp_found(at, rule, asked, Ok(()))),
            Likeness::Same => &mut same,
            Likeness::Near => &mut near,
            Likeness::Other => continue,
        };
        slot.get_or_insert((at, rule));
    }
    let query = same.map(|found| (found, "this MCP server takes no such query"));
    let path = near.map(|found| (found, "this is not the path of the MCP server, only one that looks like it"));
    query.or(path).map(|((at, rule), why)| mcp_found(at, rule, asked, Err(why)))
}

fn mcp_found<'e>(at: usize, rule: &'e McpRule, asked: &Asked<'_>, address: Result<(), &str>) -> Found<'e> {
    let mut found = Found::open(RouteKind::Mcp { server: rule.name.clone() }, Entry::Mcp(at), &rule.rule);
    if !matches!(asked.method, "POST" | "GET" | "DELETE") {
        let message = format!("{} is not allowed on an MCP server: use POST, GET or DELETE", asked.method);
        found.method = Err(Denial::new(Reason::MethodNotAllowed, message).by(&rule.rule));
    }
    if let Err(why) = address {
        let remedy = format!("make it the url of {}", rule.rule.path);
        found.path = Err(Denial::new(Reason::PathNotAllowed, why).by(&rule.rule).remedy(remedy));
    }
    found
}

pub(super) fn is_at(rule: &McpRule, authority: &Authority, scheme: Scheme) -> bool {
    rule.host == authority.host && rule.port == authority.port && rule.scheme == scheme
}

/// A query that the entry's `url` has, or none.
pub(super) fn takes_query(rule: &McpRule, query: Option<&str>) -> bool {
    query.is_none() || query == rule.query.as_deref()
}

/// The `llm` entry whose API this path belongs to, or belongs to for a forgiving server. Of several entries of one host
/// each has the paths of its API, and the first those of both.
fn llm<'e>(enclave: &'e Enclave, asked: &Asked<'_>) -> Option<Found<'e>> {
    let decoded = asked.path.decoded();
    let here = || llm_rules(enclave, asked.authority, asked.scheme);
    let found = |at: usize, rule: &'e LlmRule, endpoint: Endpoint| {
        let kind = RouteKind::Llm { provider: rule.name.clone(), endpoint };
        Found::open(kind, Entry::Llm(at), &rule.rule)
    };
    let known = |rule: &LlmRule, method: &str| decoded.as_deref().and_then(|path| rule.api.endpoint(method, path));
    if let Some((at, rule, endpoint)) = here().find_map(|(at, rule)| Some((at, rule, known(rule, asked.method)?))) {
        return Some(found(at, rule, endpoint));
    }
    let other = |rule: &LlmRule| known(rule, "POST").or_else(|| known(rule, "GET"));
    if let Some((at, rule, endpoint)) = here().find_map(|(at, rule)| Some((at, rule, other(rule)?))) {
        let message = format!("{} is not allowed on this endpoint of the LLM API", asked.method);
        let method = Err(Denial::new(Reason::MethodNotAllowed, message).by(&rule.rule));
        return Some(Found { method, ..found(at, rule, endpoint) });
    }
    let loose = format!("/{}", asked.path.loose().join("/"));
    let near = |rule: &LlmRule| rule.api.endpoint("POST", &loose).or_else(|| rule.api.endpoint("GET", &loose));
    let (at, rule, near) = here().find_map(|(at, rule)| Some((at, rule, near(rule)?)))?;
    let message = "this is not a path of the LLM API, only one that looks like it";
    let classify = Err(Denial::new(Reason::LlmPathNotAllowed, message).by(&rule.rule));
    Some(Found { classify, ..found(at, rule, near) })
}

/// True if an `llm` entry has this host.
pub(super) fn is_llm_host(enclave: &Enclave, authority: &Authority, scheme: Scheme) -> bool {
    llm_rules(enclave, authority, scheme).next().is_some()
}

fn llm_rules<'e>(
    enclave: &'e Enclave,
    authority: &Authority,
    scheme: Scheme,
) -> impl Iterator<Item = (usize, &'e LlmRule)> {
    let rules = enclave.llm.iter().enumerate();
    rules.filter(move |(_, rule)| scheme == Scheme::Https && rule.host.matches(authority) == Fit::Full)
}
