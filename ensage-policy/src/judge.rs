//! The judging step: one exchange under one generation of the policy, step by step, to a permit or a refusal.
//!
//! ```text
//! identity → reach → authority → protocol → method → path → classify → tool → model → credential
//! ```
//!
//! Observe runs every step of enforce: [`Mode::lets_pass`] is asked where a step has refused, and for what a list shows.

mod credential;
mod denial;
mod enclave;
mod explain;
mod http;
mod llm;
mod mcp;
mod permit;
mod reach;
mod route;
mod tunnel;
mod url;
mod whole;

#[cfg(test)]
mod tests;

pub use credential::{CredentialFinding, HostFit, PathFit, SiteFit, bound, sites};
pub use denial::{Denial, Step, Taken, Verdict};
pub use enclave::{Hint, enclave_of};
pub use explain::{Explanation, Question, explain};
pub use mcp::ToolFilter;
pub use permit::{BodyPermit, BodyProof, Fill, HeadPermit, TunnelPermit};
pub use route::{Form, Governed, Route, RouteKind, form};
pub use tunnel::Unseen;
pub use url::{Url, UrlError};
pub use whole::Said;

use std::borrow::Cow;
use std::sync::Arc;

use crate::authority::Authority;
use crate::model::{Enclave, Mode, Policy, Rule, Scheme};
use crate::path::RequestPath;
use crate::reason::{Reason, Severity};
use route::Asked;

/// What the judging step must know of a request's head.
#[derive(Clone, Copy, Debug)]
pub struct HeadFacts<'a> {
    /// The one authority that CONNECT target, SNI and Host agree on.
    pub authority: &'a Authority,
    /// The scheme it goes out with.
    pub scheme: Scheme,
    /// The HTTP method, as sent.
    pub method: &'a str,
    /// The path, as sent.
    pub path: &'a RequestPath,
    /// The query without the question mark, as sent.
    pub query: Option<&'a str>,
    /// Whether it asks to leave HTTP.
    pub upgrade: Upgrade,
    /// What it carries as credential.
    pub finding: &'a CredentialFinding,
}

/// What a head asks for with `upgrade`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upgrade {
    /// Nothing.
    Stay,
    /// WebSocket, by the rules.
    Websocket,
    /// WebSocket, against its rules: which one.
    Malformed(&'static str),
    /// Something that is not passed in any mode, such as `h2c`.
    Other,
}

/// Most exchanges take so many steps.
const STEPS_USUAL: usize = 8;

/// An exchange of which nothing is judged. The first step is who asks; without it there is no [`Trial`], and so no permit.
///
/// ```compile_fail
/// use ensage_policy::judge::{HeadFacts, Trial};
/// use ensage_policy::model::{Enclave, Mode, Policy};
/// fn unidentified(policy: &Policy, enclave: &std::sync::Arc<Enclave>, facts: &HeadFacts<'_>) {
///     let _ = Trial::begin(policy, enclave, Mode::Enforce).head(facts);
/// }
/// ```
#[derive(Debug)]
#[must_use]
pub struct Newcomer<'p>(Trial<'p>);

impl<'p> Newcomer<'p> {
    /// The identity step: what speaks against this client, if anything does.
    ///
    /// # Errors
    /// The refusal, where the mode does not let it pass.
    pub fn identity(self, against: Option<Reason>, message: &str) -> Result<Trial<'p>, Denial> {
        let Self(mut trial) = self;
        let verdict = match against {
            None => Ok(Some(Cow::Borrowed(&trial.enclave.rule))),
            Some(reason) => Err(Denial::new(reason, message).by(&trial.enclave.rule)),
        };
        trial.settle(Step::Identity, verdict)?;
        Ok(trial)
    }
}

/// One exchange being judged. It ends in a [`HeadPermit`] or a [`Denial`].
#[derive(Debug)]
pub struct Trial<'p> {
    policy: &'p Policy,
    enclave: &'p Arc<Enclave>,
    mode: Mode,
    steps: Vec<Taken<'p>>,
    would: Option<Denial>,
    reached: Option<(Authority, Scheme)>,
    asked: Option<AskedFor>,
}

/// What a head that was judged asks for.
#[derive(Debug)]
struct AskedFor {
    authority: Authority,
    scheme: Scheme,
    path: RequestPath,
    body: Needs,
}

/// What must be proven of the body behind a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    /// That it was judged whole.
    Judged,
    /// That there is none.
    Absent,
    /// Nothing: no entry reads it.
    Nothing,
}

impl<'p> Trial<'p> {
    /// Begins with an exchange whose enclave is known; `mode` is the enclave's, or the session's own.
    pub fn begin(policy: &'p Policy, enclave: &'p Arc<Enclave>, mode: Mode) -> Newcomer<'p> {
        let steps = Vec::with_capacity(STEPS_USUAL);
        Newcomer(Self { policy, enclave, mode, steps, would: None, reached: None, asked: None })
    }

    /// Whether the host exists for this enclave; before DNS, and before any answer that would show that it does.
    ///
    /// A closed host passes: that it is closed is told inside TLS, by [`head`](Self::head).
    ///
    /// # Errors
    /// `host_not_allowed`, `address_literal`, `port_not_allowed` or `scheme_not_allowed`.
    pub fn reach(&mut self, to: &Authority, scheme: Scheme) -> Result<(), Denial> {
        self.settle(Step::Reach, reach::reach(self.enclave, to, Some(scheme)).map(Some))?;
        self.reached = Some((to.clone(), scheme));
        Ok(())
    }

    /// The same for a CONNECT, whose scheme shows only inside.
    ///
    /// # Errors
    /// `host_not_allowed`, `address_literal` or `port_not_allowed`.
    pub fn connect(&mut self, to: &Authority) -> Result<(), Denial> {
        self.settle(Step::Reach, reach::reach(self.enclave, to, None).map(Some))
    }

    /// Plain HTTP found inside a CONNECT: where only its scheme is not the enclave's, there is nothing to hide.
    ///
    /// # Errors
    /// `protocol_not_allowed`, or as [`connect`](Self::connect).
    pub fn plain_tunnel(&mut self, to: &Authority) -> Result<(), Denial> {
        if let Err(denial) = reach::reach(self.enclave, to, None) {
            return self.settle(Step::Reach, Err(denial));
        }
        match reach::reach(self.enclave, to, Some(Scheme::Http)) {
            Ok(rule) => self.settle(Step::Reach, Ok(Some(rule))),
            Err(denial) => {
                let message = "plain HTTP is not allowed in a tunnel to this host: use TLS".to_owned();
                let denial = Denial { reason: Reason::ProtocolNotAllowed, message, ..denial };
                Err(self.refuse(Step::Protocol, denial))
            }
        }
    }

    /// Judges a head: which entry governs it, and whether that entry takes its method and path.
    ///
    /// # Errors
    /// The first refusing step. A placeholder where it never belongs wins over the protocol and later.
    pub fn head(&mut self, facts: &HeadFacts<'_>) -> Result<Route, Denial> {
        let HeadFacts { authority, scheme, method, path, query, upgrade, finding } = *facts;
        if self.reached.as_ref().is_none_or(|(to, by)| to != authority || *by != scheme) {
            self.reach(authority, scheme)?;
        }
        self.open(authority)?;
        self.settle(Step::Authority, Ok(None))?;
        if let Some(misuse) = credential::misuse(self.policy, finding)
            && misuse.reason.severity() == Severity::High
        {
            return Err(self.refuse(Step::Credential, misuse));
        }
        let governed = credential::governed(self.policy, self.enclave, authority);
        let found = route::find(self.enclave, &Asked { authority, scheme, method, path, query });
        let opened = self.protocol(upgrade, &found)?;
        if matches!(method, "CONNECT" | "TRACE") {
            // The one opens a tunnel in a tunnel, the other reflects what it is sent: no rule can mean them.
            let denial = Denial::new(Reason::MethodNotAllowed, format!("{method} is never allowed inside a tunnel"));
            return Err(self.refuse(Step::Method, denial));
        }
        let route = match (&found.method, &found.path, &found.classify) {
            (Ok(_), Ok(_), Ok(_)) if opened => Route::new(&found, self.enclave, governed),
            _ => Route::unlisted(self.enclave, governed),
        };
        self.settle(Step::Method, found.method.map(Some))?;
        self.settle(Step::Path, found.path.map(Some))?;
        self.settle(Step::Classify, found.classify.map(Some))?;
        let body = needs(&route, method);
        let path = path.clone();
        self.asked = self.reached.take().map(|(authority, scheme)| AskedFor { authority, scheme, path, body });
        Ok(route)
    }

    /// The gateway has found a message of MCP in traffic that no `mcp` entry declares.
    ///
    /// # Errors
    /// `undeclared_mcp`, unless the rule lets it through unread (`mcp = "allow"`).
    pub fn undeclared_mcp(&mut self, route: &Route) -> Result<(), Denial> {
        let Some(rule) = route.http().filter(|rule| !rule.undeclared_mcp) else { return Ok(()) };
        let message = "this host is not declared as an MCP server";
        let remedy = format!("declare it as {}.mcp.NAME", self.enclave.rule.path);
        let denial = Denial::new(Reason::UndeclaredMcp, message).by(&rule.rule).remedy(remedy);
        self.settle(Step::Classify, Err(denial))
    }

    /// Why enforce mode would have refused it, if observe has let something pass.
    pub const fn would(&self) -> Option<&Denial> {
        self.would.as_ref()
    }

    /// The steps so far.
    pub fn steps(&self) -> &[Taken<'p>] {
        &self.steps
    }

    /// The mode it is judged under.
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    fn open(&mut self, authority: &Authority) -> Result<(), Denial> {
        let Some((_, rule)) = reach::closed(self.enclave, authority) else { return Ok(()) };
        let message = format!("{} is closed in this enclave; go on without it", authority.host);
        let remedy = format!("take it out of {}", rule.path);
        self.settle(Step::Reach, Err(Denial::new(Reason::HostClosed, message).by(rule).remedy(remedy)))
    }

    /// The protocol step: whether this may leave HTTP. False where only observe mode lets it, and then no entry governs it.
    fn protocol(&mut self, upgrade: Upgrade, found: &route::Found<'_>) -> Result<bool, Denial> {
        match upgrade {
            Upgrade::Stay => {}
            Upgrade::Other => return Err(self.refuse(Step::Protocol, self.upgrade(found))),
            Upgrade::Websocket | Upgrade::Malformed(_) if found.websocket => {}
            Upgrade::Websocket | Upgrade::Malformed(_) => {
                let denial = self.upgrade(found);
                self.settle(Step::Protocol, Err(denial))?;
            }
        }
        if let Upgrade::Malformed(why) = upgrade {
            return Err(self.refuse(Step::Protocol, Denial::new(Reason::MalformedRequest, why)));
        }
        if upgrade == Upgrade::Websocket && !found.websocket {
            return Ok(false);
        }
        self.settle(Step::Protocol, Ok(None))?;
        Ok(true)
    }

    fn upgrade(&self, found: &route::Found<'_>) -> Denial {
        let rule = found.classify.clone().unwrap_or_else(|_| Cow::Owned(http::list(self.enclave)));
        let message = "this Upgrade is not passed: send the request without it";
        let denial = Denial::new(Reason::WebsocketNotAllowed, message).by(&rule);
        match found.entry {
            route::Entry::Http(_) => denial.remedy(format!("for a WebSocket, say `websocket = true` in {}", rule.path)),
            route::Entry::Mcp(_) | route::Entry::Llm(_) | route::Entry::None => denial,
        }
    }

    /// The narrowest rule that allowed something so far: the one of the last step that had any.
    fn deciding(&self) -> Option<&Rule> {
        let allowed = self.steps.iter().rev().filter(|taken| taken.verdict == Verdict::Allow);
        allowed.into_iter().find_map(|taken| taken.rule.as_deref())
    }

    fn body_permit(&self) -> BodyPermit {
        BodyPermit { rule: if self.would.is_none() { self.deciding().cloned() } else { None } }
    }

    /// Notes what a step said. A refusal ends the trial, unless observe lets its reason pass.
    fn settle(&mut self, step: Step, verdict: Result<Option<Cow<'p, Rule>>, Denial>) -> Result<(), Denial> {
        match verdict {
            Ok(rule) => {
                self.steps.push(Taken { step, verdict: Verdict::Allow, rule });
                Ok(())
            }
            Err(denial) if self.mode.lets_pass(denial.reason) => {
                self.steps.push(Taken { step, verdict: Verdict::Deny, rule: denial.rule.clone().map(Cow::Owned) });
                self.would.get_or_insert(denial);
                Ok(())
            }
            Err(denial) => Err(self.refuse(step, denial)),
        }
    }

    /// Notes a refusal that no mode lets pass.
    fn refuse(&mut self, step: Step, denial: Denial) -> Denial {
        self.steps.push(Taken { step, verdict: Verdict::Deny, rule: denial.rule.clone().map(Cow::Owned) });
        denial
    }
}

/// Of an MCP server only POST carries a message.
fn needs(route: &Route, method: &str) -> Needs {
    match route.kind() {
        RouteKind::Mcp { .. } if method == "POST" => Needs::Judged,
        RouteKind::Llm { endpoint, .. } if endpoint.body().is_some() => Needs::Judged,
        RouteKind::Mcp { .. } | RouteKind::Llm { .. } => Needs::Absent,
        RouteKind::Http | RouteKind::Unlisted => Needs::Nothing,
    }
}
