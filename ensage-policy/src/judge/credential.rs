//! The last step: what a request carries as credential, and which secret may take its place.

use std::borrow::Cow;
use std::sync::Arc;

use ipnet::IpNet;

use super::denial::{Denial, Step};
use super::permit::{BodyProof, Fill, HeadPermit};
use super::route::{Governed, Route};
use super::{AskedFor, Needs, Trial};
use crate::authority::{Authority, Fit};
use crate::model::{Credential, Enclave, Policy, Scheme, Slot};
use crate::path::RequestPath;
use crate::reason::Reason;

/// What the head of a request carries as credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialFinding {
    /// Nothing.
    Bare,
    /// A good placeholder in a slot of its credential.
    Placeholder {
        /// Whose.
        credential: Arc<str>,
        /// Where it stands.
        slot: Slot,
    },
    /// Something in a credential's place that is no placeholder of ours.
    Foreign {
        /// Where: `authorization`, `query key`.
        place: String,
    },
    /// A placeholder where, when or by whom it must not be used.
    Misuse {
        /// One of `placeholder_*`.
        reason: Reason,
        /// Whose, if it was ever given out.
        credential: Option<Arc<str>>,
    },
    /// Several placeholders, or one in several places.
    Ambiguous,
}

/// Whether a credential binds the host of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostFit {
    /// Host and port are among its `hosts`.
    Bound,
    /// They are not.
    Other,
}

/// Whether a credential binds the path of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathFit {
    /// It names no paths, or this one among them.
    Bound,
    /// It names others; or this path is in doubt.
    Other,
}

/// How one credential of the enclave stands to a request.
#[derive(Clone, Debug)]
pub struct SiteFit {
    /// Which.
    pub credential: Arc<Credential>,
    /// Its hosts.
    pub host: HostFit,
    /// Its paths.
    pub path: PathFit,
}

/// How each credential of the enclave stands to a request; those of other enclaves are not there.
pub fn sites(policy: &Policy, enclave: &Enclave, authority: &Authority, path: &RequestPath) -> Vec<SiteFit> {
    let fit = |credential: &Arc<Credential>| SiteFit {
        credential: credential.clone(),
        host: host_fit(credential, authority),
        path: path_fit(credential, path),
    };
    policy.credentials_of(enclave).map(fit).collect()
}

/// Whether some credential of the enclave binds this host: then nothing foreign goes there, and it is governed.
pub fn bound(policy: &Policy, enclave: &Enclave, authority: &Authority) -> bool {
    policy.credentials_of(enclave).any(|credential| host_fit(credential, authority) == HostFit::Bound)
}

pub(super) fn governed(policy: &Policy, enclave: &Enclave, authority: &Authority) -> Governed {
    if bound(policy, enclave, authority) { Governed::Governed } else { Governed::Passing }
}

fn host_fit(credential: &Credential, authority: &Authority) -> HostFit {
    match credential.hosts.iter().any(|host| host.matches(authority) == Fit::Full) {
        true => HostFit::Bound,
        false => HostFit::Other,
    }
}

fn path_fit(credential: &Credential, path: &RequestPath) -> PathFit {
    match credential.paths.as_ref().is_none_or(|paths| paths.iter().any(|glob| path.matches(glob))) {
        true => PathFit::Bound,
        false => PathFit::Other,
    }
}

/// The refusal of a misused placeholder, with the credential as its rule.
pub(super) fn misuse(policy: &Policy, finding: &CredentialFinding) -> Option<Denial> {
    let CredentialFinding::Misuse { reason, credential } = finding else { return None };
    let message = match reason {
        Reason::PlaceholderWrongHost => "this placeholder does not belong to this host",
        Reason::PlaceholderWrongSlot => "this placeholder belongs into its own header only",
        Reason::PlaceholderWrongPath => "this placeholder is not accepted on this path",
        Reason::PlaceholderWrongSession => "this placeholder belongs to another session",
        Reason::PlaceholderExpired => "this placeholder has expired; start a new session",
        _ => "this placeholder was never given out",
    };
    let denial = Denial::new(*reason, message);
    let named = credential.as_ref().and_then(|name| by_name(policy, name));
    Some(named.map_or(denial.clone(), |credential| denial.by(&credential.rule)))
}

fn by_name<'p>(policy: &'p Policy, name: &str) -> Option<&'p Arc<Credential>> {
    policy.credentials.iter().find(|credential| &*credential.name == name)
}

impl Trial<'_> {
    /// The credential step, and with it the end of the trial: there is one permit for each head.
    ///
    /// ```compile_fail
    /// use ensage_policy::judge::{CredentialFinding, Route, Trial};
    /// fn bodiless(trial: &mut Trial<'_>, route: Route) {
    ///     let _ = trial.permit(route, &CredentialFinding::Bare);
    /// }
    /// ```
    ///
    /// # Errors
    /// `internal` where the head was not judged, or not the body that its entry reads.
    /// A misused placeholder, several of them, one over plain HTTP, or one in a request that enforce mode would
    /// refuse: in every mode. A foreign credential: where the mode does not let it pass.
    pub fn permit(
        &mut self,
        route: Route,
        finding: &CredentialFinding,
        body: BodyProof<'_>,
    ) -> Result<HeadPermit, Denial> {
        let Some(AskedFor { authority, scheme, path, body: needs }) = self.asked.take() else {
            return Err(Denial::new(Reason::Internal, "the head of this request was not judged"));
        };
        match (needs, body) {
            (Needs::Judged, BodyProof::Judged(_)) | (Needs::Absent, BodyProof::Absent) | (Needs::Nothing, _) => {}
            (Needs::Judged | Needs::Absent, _) => {
                return Err(Denial::new(Reason::Internal, "the body of this request was not judged"));
            }
        }
        let rule = self.deciding().cloned();
        let fill = match finding {
            CredentialFinding::Bare => self.bare(&route, &authority, scheme, &path),
            CredentialFinding::Placeholder { credential, slot } => {
                self.placeholder(credential, slot, &authority, scheme, &path)?
            }
            CredentialFinding::Foreign { place } => {
                self.settle(Step::Credential, Err(foreign(place, &authority)))?;
                Fill::Nothing
            }
            CredentialFinding::Misuse { .. } | CredentialFinding::Ambiguous => {
                let message = "send one credential, in one place";
                let denial = misuse(self.policy, finding);
                let denial = denial.unwrap_or_else(|| Denial::new(Reason::AmbiguousCredential, message));
                return Err(denial);
            }
        };
        match &fill {
            Fill::Substitute { credential, .. } | Fill::Inject { credential, .. } => {
                self.settle(Step::Credential, Ok(Some(Cow::Owned(credential.rule.clone()))))?;
            }
            Fill::Nothing if matches!(finding, CredentialFinding::Bare) => self.settle(Step::Credential, Ok(None))?,
            Fill::Nothing => {}
        }
        let mut addresses: Vec<IpNet> = route.addresses(&authority);
        addresses.extend_from_slice(&self.policy.upstream.private_addresses);
        let would = self.would.clone();
        let rule = would.as_ref().map_or(rule, |would| would.rule.clone());
        Ok(HeadPermit { route, authority, scheme, mode: self.mode, would, rule, fill, addresses })
    }

    /// No credential: it stays so, or gets the one of its rule if that is to be filled in.
    fn bare(&self, route: &Route, authority: &Authority, scheme: Scheme, path: &RequestPath) -> Fill {
        let named = route.credential().and_then(|name| by_name(self.policy, name));
        let fits = |credential: &&Arc<Credential>| {
            credential.inject
                && scheme == Scheme::Https
                && self.would.is_none()
                && host_fit(credential, authority) == HostFit::Bound
                && path_fit(credential, path) == PathFit::Bound
        };
        let slot = |credential: &Arc<Credential>| credential.slots.first().cloned();
        match named.filter(fits).and_then(|credential| Some((credential.clone(), slot(credential)?))) {
            Some((credential, slot)) => Fill::Inject { credential, slot },
            None => Fill::Nothing,
        }
    }

    /// Everything that must hold before a secret is named, whatever the search for placeholders has said.
    fn placeholder(
        &self,
        name: &str,
        slot: &Slot,
        authority: &Authority,
        scheme: Scheme,
        path: &RequestPath,
    ) -> Result<Fill, Denial> {
        let wrong = |reason| {
            let finding = CredentialFinding::Misuse { reason, credential: Some(name.into()) };
            Err(misuse(self.policy, &finding).unwrap_or_else(|| Denial::new(reason, "")))
        };
        let mut mine = self.policy.credentials_of(self.enclave);
        let Some(credential) = mine.find(|credential| *credential.name == *name) else {
            return wrong(Reason::PlaceholderWrongSession);
        };
        if host_fit(credential, authority) == HostFit::Other {
            return wrong(Reason::PlaceholderWrongHost);
        }
        if !credential.slots.contains(slot) {
            return wrong(Reason::PlaceholderWrongSlot);
        }
        if path_fit(credential, path) == PathFit::Other {
            return wrong(Reason::PlaceholderWrongPath);
        }
        if scheme == Scheme::Http {
            let message = "a credential never travels over plain HTTP: use https";
            return Err(Denial::new(Reason::PlaintextUpstream, message).by(&credential.rule));
        }
        if let Some(would) = &self.would {
            let message = format!("policy would refuse this request ({}), so no credential goes with it", would.reason);
            let denial = Denial::new(Reason::PlaceholderWouldDeny, message);
            return Err(Denial { rule: would.rule.clone(), remedy: would.remedy.clone(), ..denial });
        }
        Ok(Fill::Substitute { credential: credential.clone(), slot: slot.clone() })
    }
}

fn foreign(place: &str, authority: &Authority) -> Denial {
    let message = format!("{} takes the credential of this session only, not the one in {place}", authority.host);
    Denial::new(Reason::ForeignCredential, message).remedy("use the placeholder that the session was given")
}
