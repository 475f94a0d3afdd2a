//! Which programs refuse our certificate, and where: what a pinned certificate looks like from here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use ensage_endpoint::proc::ProcessKey;
use ensage_policy::authority::Authority;
use uuid::Uuid;

/// Most programs and hosts that are remembered; beyond, whoever was heard of longest ago is forgotten.
const KNOWN_MAX: usize = 4096;
/// After so many refusals a program's TLS to a host passes unread, where anything does (contract section 2).
pub(crate) const REFUSALS_ENOUGH: u32 = 2;

/// What counts as one program.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Program {
    /// Every process that runs this file.
    Executable(Arc<str>),
    /// One process, whose file is not known.
    Process(ProcessKey),
    /// Whoever is behind a session's own listener.
    Session(Uuid),
}

/// One program at one host.
pub(crate) type Party = (Program, Authority);

/// What a program has made of our certificate at a host.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    refusals: u32,
    accepted: bool,
    /// Grows with each word about anybody.
    heard: u64,
}

/// What is known of all of them; bounded.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    known: HashMap<Party, Known>,
    clock: u64,
}

impl Table {
    fn entry(&mut self, party: Party) -> &mut Known {
        self.clock += 1;
        let clock = self.clock;
        if self.known.len() >= KNOWN_MAX && !self.known.contains_key(&party) {
            let oldest = self.known.iter().min_by_key(|(_, known)| known.heard).map(|(party, _)| party.clone());
            oldest.and_then(|oldest| self.known.remove(&oldest));
        }
        let known = self.known.entry(party).or_default();
        known.heard = clock;
        known
    }
}

impl Refusals {
    /// It said that it does not take our certificate. Returns how often it has.
    pub(crate) fn refused(&self, party: Party) -> u32 {
        let mut table = self.table();
        let known = table.entry(party);
        known.refusals = known.refusals.saturating_add(1);
        known.refusals
    }

    /// It closed the connection when it had our certificate, and said nothing. Whoever has taken the certificate before
    /// has changed its mind about the connection only: `None`.
    pub(crate) fn closed(&self, party: Party) -> Option<u32> {
        if self.table().known.get(&party).is_some_and(|known| known.accepted) {
            return None;
        }
        Some(self.refused(party))
    }

    /// It sent something over TLS with our certificate.
    pub(crate) fn accepted(&self, party: Party) {
        self.table().entry(party).accepted = true;
    }

    /// Whether it has refused often enough.
    pub(crate) fn is_enough(&self, party: &Party) -> bool {
        self.table().known.get(party).is_some_and(|known| known.refusals >= REFUSALS_ENOUGH)
    }

    fn table(&self) -> std::sync::MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn party(program: &str, host: &str) -> Party {
        (Program::Executable(program.into()), Authority::parse(host.as_bytes(), Some(443)).unwrap())
    }

    #[test]
    fn two_refusals_by_one_program_at_one_host_are_enough() {
        let refusals = Refusals::default();
        assert_eq!(refusals.refused(party("/a", "x.test")), 1);
        assert!(!refusals.is_enough(&party("/a", "x.test")));
        assert_eq!(refusals.closed(party("/a", "x.test")), Some(2));
        assert!(refusals.is_enough(&party("/a", "x.test")));
        for other in [party("/b", "x.test"), party("/a", "y.test"), party("/a", "x.test:8443")] {
            assert!(!refusals.is_enough(&other), "{other:?}");
        }
    }

    #[test]
    fn whoever_has_taken_the_certificate_may_close_as_it_likes_but_not_refuse() {
        let refusals = Refusals::default();
        refusals.accepted(party("/a", "x.test"));
        assert_eq!(refusals.closed(party("/a", "x.test")), None);
        assert_eq!(refusals.closed(party("/a", "x.test")), None);
        assert!(!refusals.is_enough(&party("/a", "x.test")));
        assert_eq!(refusals.refused(party("/a", "x.test")), 1);
        assert_eq!(refusals.refused(party("/a", "x.test")), 2);
        assert!(refusals.is_enough(&party("/a", "x.test")));
    }

    #[test]
    fn the_table_is_bounded_and_forgets_whoever_was_heard_of_longest_ago() {
        let refusals = Refusals::default();
        refusals.refused(party("/old", "x.test"));
        refusals.refused(party("/kept", "x.test"));
        for n in 0..KNOWN_MAX - 2 {
            refusals.accepted(party("/flood", &format!("n{n}.test")));
        }
        refusals.refused(party("/kept", "x.test"));
        refusals.accepted(party("/flood", "one-more.test"));
        assert_eq!(refusals.table().known.len(), KNOWN_MAX);
        assert!(refusals.is_enough(&party("/kept", "x.test")));
        assert_eq!(refusals.refused(party("/old", "x.test")), 1);
    }
}
