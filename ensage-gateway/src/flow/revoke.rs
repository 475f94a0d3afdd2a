//! What a new policy takes away: a call that runs is held against it, and cut where it would now be refused.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use ensage_mcp::llm;
use ensage_mcp::mcp::Message;
use ensage_policy::Policy;
use ensage_policy::judge::{CredentialFinding, HeadFacts, RouteKind, Trial};

use super::identify::{self, Member};
use super::request::Target;
use crate::session::Origin;

/// What was judged of the call that runs on a connection. HTTP/1 has one at a time.
pub(crate) struct Running {
    member: Rc<Member>,
    method: http::Method,
    target: Target,
    content: Content,
}

/// What the body said, where it was read.
#[derive(Clone)]
pub(crate) enum Content {
    /// It was not read.
    Unread,
    /// An MCP message.
    Mcp(Rc<Message>),
    /// An inference.
    Llm(Rc<llm::Request>),
}

/// The running call of a connection, and whether it was revoked.
#[derive(Default)]
pub(crate) struct Watchman {
    running: RefCell<Option<Running>>,
    revoked: Cell<bool>,
}

impl Watchman {
    /// A call begins to run.
    pub(crate) fn begin(&self, member: &Rc<Member>, method: http::Method, target: &Target, content: Content) {
        self.running.replace(Some(Running { member: member.clone(), method, target: target.clone(), content }));
    }

    /// It is over.
    pub(crate) fn end(&self) {
        self.running.replace(None);
    }

    /// True if it was cut off because it may no longer run.
    pub(crate) fn was_revoked(&self) -> bool {
        self.revoked.get()
    }

    /// Returns when the running call may no longer run. `policy` is asked after each change.
    pub(crate) async fn revoked(&self, member: &Member, policy: impl Fn() -> Arc<Policy>) {
        let mut changes = member.session.changes();
        while changes.changed().await.is_ok() {
            if !self.still_allowed(&policy()) {
                self.revoked.set(true);
                return;
            }
        }
        std::future::pending::<()>().await;
    }

    fn still_allowed(&self, policy: &Policy) -> bool {
        self.running.borrow().as_ref().is_none_or(|running| running.still_allowed(policy))
    }
}

impl Running {
    fn still_allowed(&self, policy: &Policy) -> bool {
        let opening = &self.member.session.opening;
        let Ok(enclave) = identify::enclave(policy, &self.member) else { return false };
        // What `run` started is an agent by that act; any other must still be listed.
        let listed = enclave.any_agent || enclave.agents.contains(&opening.agent);
        if opening.origin == Origin::Found && !listed {
            return false;
        }
        let mut trial = Trial::begin(policy, &enclave, identify::mode(&enclave, &self.member));
        if trial.reach(&self.target.authority, self.target.scheme).is_err() {
            return false;
        }
        let facts = HeadFacts {
            authority: &self.target.authority,
            scheme: self.target.scheme,
            method: self.method.as_str(),
            path: &self.target.path,
            query: self.target.query.as_deref(),
            // An upgrade would never have got this far.
            upgrade: false,
            finding: &CredentialFinding::Bare,
        };
        let Ok(route) = trial.head(&facts) else { return false };
        match (&self.content, route.kind()) {
            (Content::Mcp(message), RouteKind::Mcp { .. }) => trial.message(&route, message).is_ok(),
            (Content::Llm(request), RouteKind::Llm { .. }) => trial.inference(&route, request).is_ok(),
            (Content::Mcp(_) | Content::Llm(_), _) => false,
            (Content::Unread, _) => true,
        }
    }
}
