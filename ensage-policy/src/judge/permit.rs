//! The two proofs of design section 5. Nothing outside the judging step can make, copy or change one.

use std::sync::Arc;

use ipnet::IpNet;

use super::denial::Denial;
use super::route::Route;
use crate::authority::Authority;
use crate::model::{Credential, Mode, Rule, Scheme, Slot};

/// What is done about credentials in one request.
#[derive(Clone, Debug)]
pub enum Fill {
    /// No secret goes into it: it carries no credential, or observe mode lets it through with what it has.
    Nothing,
    /// The placeholder in this slot becomes the secret.
    Substitute {
        /// Whose placeholder it is; not always the one that the rule names.
        credential: Arc<Credential>,
        /// Where it stands.
        slot: Slot,
    },
    /// The request has no credential and gets this one, in this slot.
    Inject {
        /// The one of the rule.
        credential: Arc<Credential>,
        /// Its first slot.
        slot: Slot,
    },
}

/// Identity, authority, path and credential were judged and nothing is refused: the head may go upstream.
///
/// ```compile_fail
/// // Its fields are private and it has no constructor, no Default and no Clone.
/// let forged = ensage_policy::judge::HeadPermit { ..Default::default() };
/// ```
/// ```compile_fail
/// fn twice(permit: &ensage_policy::judge::HeadPermit) -> ensage_policy::judge::HeadPermit {
///     Clone::clone(permit)
/// }
/// ```
#[derive(Debug)]
#[must_use]
pub struct HeadPermit {
    pub(super) route: Route,
    pub(super) authority: Authority,
    pub(super) scheme: Scheme,
    pub(super) mode: Mode,
    pub(super) would: Option<Denial>,
    pub(super) rule: Option<Rule>,
    pub(super) fill: Fill,
    pub(super) addresses: Vec<IpNet>,
}

impl HeadPermit {
    /// The entry that governs the exchange.
    pub const fn route(&self) -> &Route {
        &self.route
    }

    /// The rule that decided: the narrowest that allowed it, or the one by which enforce mode would refuse it.
    pub const fn rule(&self) -> Option<&Rule> {
        self.rule.as_ref()
    }

    /// Where it goes: no other authority was judged.
    pub const fn authority(&self) -> &Authority {
        &self.authority
    }

    /// How it goes there.
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The mode that it was judged under.
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// Why enforce mode would have refused it.
    pub const fn would(&self) -> Option<&Denial> {
        self.would.as_ref()
    }

    /// Which secret may be put in; none in a request that enforce mode would refuse.
    pub const fn fill(&self) -> &Fill {
        &self.fill
    }

    /// The special-purpose ranges that may be dialled for it.
    pub fn addresses(&self) -> &[IpNet] {
        &self.addresses
    }

    /// [`Self::authority`] and [`Self::addresses`], out of a proof that has served.
    pub fn into_place(self) -> (Authority, Vec<IpNet>) {
        (self.authority, self.addresses)
    }
}

/// Identity and authority were judged, and TLS to this host passes unread: a client's bytes may go there as they are.
/// No secret goes with them, since nothing of them is changed.
///
/// ```compile_fail
/// let forged = ensage_policy::judge::TunnelPermit { ..Default::default() };
/// ```
#[derive(Debug)]
#[must_use]
pub struct TunnelPermit {
    pub(super) authority: Authority,
    pub(super) would: Option<Denial>,
    pub(super) rule: Option<Rule>,
    pub(super) addresses: Vec<IpNet>,
}

impl TunnelPermit {
    /// Where it goes.
    pub const fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The rule that lets it pass unseen; absent where the program's own refusals do.
    pub const fn rule(&self) -> Option<&Rule> {
        self.rule.as_ref()
    }

    /// Why enforce mode would have refused it.
    pub const fn would(&self) -> Option<&Denial> {
        self.would.as_ref()
    }

    /// The special-purpose ranges that may be dialled for it.
    pub fn addresses(&self) -> &[IpNet] {
        &self.addresses
    }
}

/// One whole governed value was judged and nothing is refused: its last byte may go upstream.
///
/// ```compile_fail
/// let forged = ensage_policy::judge::BodyPermit { rule: None };
/// ```
/// ```compile_fail
/// let forged = ensage_policy::judge::BodyPermit::default();
/// ```
#[derive(Debug)]
#[must_use]
pub struct BodyPermit {
    pub(super) rule: Option<Rule>,
}

impl BodyPermit {
    /// The rule that allowed it; absent where only observe mode lets it through.
    pub const fn rule(&self) -> Option<&Rule> {
        self.rule.as_ref()
    }
}

/// What is proven of the body behind a head, which must be known before the head may go.
#[derive(Clone, Copy, Debug)]
pub enum BodyProof<'a> {
    /// There is none.
    Absent,
    /// There may be one, and no rule reads it.
    Unread,
    /// It was judged whole.
    Judged(&'a BodyPermit),
}
