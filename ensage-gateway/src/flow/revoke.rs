//! What a new policy takes away: a call that runs is held against it, and cut where it would now be refused.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

use ensage_mcp::llm;
use ensage_mcp::mcp::Message;
use ensage_policy::Reason;
use ensage_policy::judge::{CredentialFinding, Fill, HeadFacts, Said, Upgrade};

use super::identify::{self, Member};
use super::reply::Stop;
use super::request::Target;
use crate::gateway::Shared;

/// What was judged of the call that runs on a connection, or on a stream of one.
pub(crate) struct Running {
    pub(crate) member: Rc<Member>,
    pub(crate) method: http::Method,
    pub(crate) target: Target,
    /// Whether it left HTTP, or asked to.
    pub(crate) upgrade: Upgrade,
    /// What its head carried as credential.
    pub(crate) finding: CredentialFinding,
    pub(crate) content: Content,
}

/// What the body said, where it was read.
#[derive(Clone)]
pub(crate) enum Content {
    /// There was none.
    Absent,
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
    /// Who waits to be cut off.
    waker: RefCell<Option<Waker>>,
}

impl Watchman {
    /// A call begins to run.
    pub(crate) fn begin(&self, running: Running) {
        *self.running.borrow_mut() = Some(running);
    }

    /// It is over.
    pub(crate) fn end(&self) {
        *self.running.borrow_mut() = None;
    }

    /// What runs was cut off because it may no longer run.
    pub(crate) fn revoke(&self) {
        self.revoked.set(true);
    }

    /// True if it was cut off because it may no longer run.
    pub(crate) fn was_revoked(&self) -> bool {
        self.revoked.get()
    }

    /// Returns when the running call may no longer run: it is judged again after each change.
    pub(crate) async fn revoked(&self, member: &Member, shared: &Shared) {
        let mut changes = member.session.changes();
        loop {
            if self.judge_again(shared).is_err() {
                self.revoked.set(true);
                return;
            }
            if changes.changed().await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await;
    }

    /// Cuts the running call off where it may no longer run.
    pub(crate) fn review(&self, shared: &Shared) {
        if self.judge_again(shared).is_err() {
            self.revoked.set(true);
            if let Some(waker) = self.waker.take() {
                waker.wake();
            }
        }
    }

    /// What `work` comes to; `None` once a [review](Self::review) has cut it off.
    pub(crate) async fn unless_cut_off<T>(&self, mut work: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        poll_fn(|cx| {
            if self.revoked.get() {
                return Poll::Ready(None);
            }
            let polled = work.as_mut().poll(cx).map(Some);
            let mut waker = self.waker.borrow_mut();
            if polled.is_pending() && !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                *waker = Some(cx.waker().clone());
            }
            polled
        })
        .await
    }

    /// Holds the running call against the policy and the vault of this moment.
    pub(crate) fn judge_again(&self, shared: &Shared) -> Result<(), Stop> {
        match self.running.borrow().as_ref() {
            Some(running) => running.judge(shared),
            None => Ok(()),
        }
    }
}

impl Running {
    fn judge(&self, shared: &Shared) -> Result<(), Stop> {
        let policy = shared.policy();
        let enclave = identify::enclave(&policy, &self.member)?;
        let facts = HeadFacts {
            authority: &self.target.authority,
            scheme: self.target.scheme,
            method: self.method.as_str(),
            path: &self.target.path,
            query: self.target.query.as_deref(),
            upgrade: self.upgrade,
            finding: &self.finding,
        };
        let said = match &self.content {
            Content::Absent => Said::Absent,
            Content::Unread => Said::Unread,
            Content::Mcp(message) => Said::Mcp(message),
            Content::Llm(request) => Said::Llm(request),
        };
        let given = |provider: &str, stored: &llm::StoredId| self.member.rooms.given.has(provider, stored);
        let permit = identify::admit(&policy, enclave, &self.member)?.whole(&facts, said, &given)?;
        match permit.fill() {
            Fill::Nothing => Ok(()),
            Fill::Substitute { credential, .. } | Fill::Inject { credential, .. } => {
                shared.secret(credential).map(drop).map_err(|_| {
                    Stop::refused(
                        Reason::CredentialUnavailable,
                        "the credential of this call is not available any more",
                    )
                })
            }
        }
    }
}
