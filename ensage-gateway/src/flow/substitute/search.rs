//! Placeholders in what a request carries behind its head: searched for on the way, or overwritten.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use ensage_audit::{Alarm, Draft};
use ensage_creds::{BodySearch, Who, mask_json};
use ensage_policy::Reason;
use ensage_policy::judge::{HostFit, SiteFit};
use ensage_policy::model::Slot;
use http::HeaderMap;

use super::{creds_site, reason, who};
use crate::flow::hold::Held;
use crate::flow::identify::{Conn, Member};
use crate::flow::reply::Stop;
use crate::gate::trailer_passes;

/// The search that a passing body goes through.
pub(crate) struct Search {
    search: BodySearch,
    shared: Arc<crate::gateway::Shared>,
    session: Arc<crate::session::Session>,
    sites: Vec<SiteFit>,
}

impl Search {
    pub(crate) fn new(conn: &Conn, member: &Member, sites: &[SiteFit]) -> Self {
        let (shared, session) = (conn.shared.clone(), member.session.clone());
        Self { search: BodySearch::new(), shared, session, sites: sites.to_vec() }
    }

    /// Raises the alarm at once: the exchange may be over, answered before its body was, and recorded as complete.
    pub(crate) fn alarm(&self, reason: Reason) {
        let session = Some(self.session.fragment(self.shared.mode_of(&self.session)));
        let message = Some("a placeholder was found in a body on its way upstream, which was cut");
        let alarm = Alarm { reason: reason.code(), call: None, session, message };
        self.shared.metrics.alarm(reason);
        self.shared.note(Draft::alarm(reason.severity().code(), &alarm));
    }

    /// Why the placeholder that ends in this chunk is refused.
    pub(crate) fn feed(&mut self, chunk: &[u8]) -> Option<Reason> {
        let opening = &self.session.opening;
        let who = Who { session: *self.session.id.as_bytes(), enclave: &opening.enclave, agent: &opening.agent };
        let found = self.search.feed(chunk, &who, &self.shared.placeholders, SystemTime::now())?;
        // No slot is in a body.
        Some(reason(found.misuse(&self.sites.iter().map(|s| creds_site(s, &[])).collect::<Vec<_>>())))
    }
}

impl Search {
    /// The trailers that pass: no fields of framing, of routing, or that could carry a credential to this host
    /// (contract section 4). They are looked through before they are dropped.
    ///
    /// # Errors
    /// Why a placeholder in them is refused.
    pub(crate) fn trailers(&mut self, trailers: HeaderMap) -> Result<HeaderMap, Reason> {
        for value in trailers.values() {
            // The line end keeps two values from reading as one.
            if let Some(found) = self.feed(value.as_bytes()).or_else(|| self.feed(b"\r\n")) {
                return Err(found);
            }
        }
        let bound = self.sites.iter().filter(|site| site.host == HostFit::Bound);
        let slots: Vec<&str> = bound
            .flat_map(|site| &site.credential.slots)
            .filter_map(|slot| match slot {
                Slot::Header(name) => Some(name.as_str()),
                Slot::Bearer | Slot::Basic(_) => None,
            })
            .collect();
        let pairs = trailers.iter().filter(|(name, _)| trailer_passes(name) && !slots.contains(&name.as_str()));
        Ok(pairs.map(|(name, value)| (name.clone(), value.clone())).collect())
    }
}

/// Overwrites this session's placeholders in the JSON of a governed message (contract section 5): an agent that prints
/// its environment must not lose its model. Any other placeholder is a misuse.
pub(crate) fn mask(conn: &Conn, member: &Member, held: &mut Held) -> Result<(Bytes, Option<Arc<str>>), Stop> {
    let bytes = held.bytes();
    let mut owned = match bytes.try_into_mut() {
        Ok(mine) => mine,
        Err(shared) => bytes::BytesMut::from(&shared[..]),
    };
    match mask_json(&mut owned, &who(member), &conn.shared.placeholders, SystemTime::now()) {
        Ok(masked) => Ok((owned.freeze(), masked.credential)),
        Err(standing) => Err(Stop::refused(
            reason(standing.misuse(&[])),
            "the body carries a placeholder that is not this session's",
        )),
    }
}
