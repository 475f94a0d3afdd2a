//! All steps of an exchange whose body has been read, in one go: how a call that runs is held against a new policy.

use ensage_mcp::llm::{self, StoredId};
use ensage_mcp::mcp::Message;

use super::denial::Denial;
use super::permit::{BodyProof, HeadPermit};
use super::route::RouteKind;
use super::{HeadFacts, Trial};
use crate::reason::Reason;

/// What the body of an exchange has said.
#[derive(Clone, Copy, Debug)]
pub enum Said<'a> {
    /// There was none.
    Absent,
    /// It was not read.
    Unread,
    /// An MCP message.
    Mcp(&'a Message),
    /// An inference.
    Llm(&'a llm::Request),
}

impl Trial<'_> {
    /// Every step behind identity, for a body that is known; `given` tells what of which provider's state the session was
    /// given.
    ///
    /// # Errors
    /// The first refusing step; `path_not_allowed` where what was read is governed by no entry, or by one that would
    /// have had to read it.
    pub fn whole(
        mut self,
        facts: &HeadFacts<'_>,
        said: Said<'_>,
        given: &dyn Fn(&str, &StoredId) -> bool,
    ) -> Result<HeadPermit, Denial> {
        self.reach(facts.authority, facts.scheme)?;
        let route = self.head(facts)?;
        let judged = match (said, route.kind()) {
            (Said::Mcp(message), RouteKind::Mcp { .. }) => Some(self.message(&route, message)?),
            (Said::Llm(request), RouteKind::Llm { provider, .. }) => {
                Some(self.inference(&route, request, &|stored| given(provider, stored))?)
            }
            (Said::Absent, _) | (Said::Unread, RouteKind::Http | RouteKind::Unlisted) => None,
            (Said::Mcp(_) | Said::Llm(_) | Said::Unread, _) => {
                return Err(Denial::new(Reason::PathNotAllowed, "this call is governed by another entry, or by none"));
            }
        };
        let proof = match (&judged, said) {
            (Some(permit), _) => BodyProof::Judged(permit),
            (None, Said::Absent) => BodyProof::Absent,
            (None, Said::Unread | Said::Mcp(_) | Said::Llm(_)) => BodyProof::Unread,
        };
        self.permit(route, facts.finding, proof)
    }
}
