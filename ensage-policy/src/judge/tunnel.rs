//! TLS that passes unread, and on whose word.

use std::borrow::Cow;

use super::Trial;
use super::denial::{Denial, Step};
use super::permit::TunnelPermit;
use super::{reach, route};
use crate::authority::Authority;

/// On whose word TLS passes unread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unseen {
    /// The configuration's: `tunnel` lists the host.
    Listed,
    /// The program's own, which refuses our certificate there: counts in the embedded default alone, which breaks
    /// nothing.
    Refused,
}

impl Trial<'_> {
    /// Whether a client's TLS to this host passes unread. `None` is TLS as everywhere else.
    ///
    /// # Errors
    /// The host does not exist for this enclave.
    pub fn tunnel(&mut self, to: &Authority, unseen: Unseen) -> Result<Option<TunnelPermit>, Denial> {
        let enclave = self.enclave;
        let (reached, rule, opened) = match unseen {
            Unseen::Listed => {
                let Some((host, rule)) = reach::tunnel(enclave, to) else { return Ok(None) };
                (Ok(Cow::Borrowed(rule)), Some(rule), route::opened(&[], host.host()))
            }
            Unseen::Refused if !self.policy.embedded || reach::closed(enclave, to).is_some() => return Ok(None),
            Unseen::Refused => (reach::reach(enclave, to, None), None, Vec::new()),
        };
        self.settle(Step::Reach, reached.map(Some))?;
        self.settle(Step::Protocol, Ok(rule.map(Cow::Borrowed)))?;
        let mut addresses = opened;
        addresses.extend_from_slice(&self.policy.upstream.private_addresses);
        let would = self.would.clone();
        let rule = would.as_ref().map_or_else(|| rule.cloned(), |would| would.rule.clone());
        Ok(Some(TunnelPermit { authority: to.clone(), would, rule, addresses }))
    }
}
