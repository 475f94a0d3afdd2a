//! What an exchange adds to the counters of its worker.

use std::time::{Duration, Instant};

use ensage_policy::Reason;

use super::exchange::Exchange;
use crate::metrics::{CredentialTally, Decision, EnclaveTally};

/// Whose turn it is: the time that a call spends with the gateway is its overhead, that with client and upstream is not.
pub(super) struct Turn {
    /// When the gateway's turn began.
    since: Instant,
    /// The turns before it.
    worked: Duration,
}

impl Turn {
    pub(super) const fn begin(now: Instant) -> Self {
        Self { since: now, worked: Duration::ZERO }
    }
}

impl Exchange {
    /// From here on the upstream is waited for.
    pub(super) fn hands_over(&mut self, now: Instant) {
        self.turn.worked += now.saturating_duration_since(self.turn.since);
    }

    /// What was waited for is there.
    pub(super) fn takes_over(&mut self) {
        self.turn.since = Instant::now();
    }

    /// The body that was waited for is there: nothing before it was the gateway's doing.
    pub(super) fn has_waited(&mut self) {
        self.turn = Turn::begin(Instant::now());
    }

    /// The answer goes out, or begins to.
    pub(super) fn count_overhead(&self) {
        let worked = self.turn.worked + self.turn.since.elapsed();
        self.conn.worker.tally().overhead(self.facts.kind, worked);
    }

    pub(super) fn count_call(&self, decision: Decision, reason: Option<Reason>) {
        self.enclave_tally().call(self.facts.kind, decision, reason);
    }

    /// It is over.
    pub(super) fn count_end(&self, took: Duration) {
        self.conn.worker.tally().call_took(self.facts.kind, took);
        if let Some(seen) = &self.facts.seen {
            let usage = &seen.usage;
            self.enclave_tally().tokens(usage.input_total().unwrap_or(0), usage.output_total().unwrap_or(0));
        }
    }

    /// The request leaves with the secret of this credential in it.
    pub(super) fn substituted(&self) {
        if let Some(tally) = self.credit() {
            tally.substitutions.add(1);
        }
    }

    /// What its credential's use is counted in.
    pub(super) fn credit(&self) -> Option<&CredentialTally> {
        self.ready.as_ref().and_then(|ready| ready.tally.as_deref())
    }

    fn enclave_tally(&self) -> &EnclaveTally {
        match &self.member {
            Some(member) => &member.rooms.tally,
            None => self.conn.worker.strangers(),
        }
    }
}
