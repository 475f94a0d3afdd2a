//! The page of interface section 6: every metric, in the order of that list.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use ensage_policy::{Policy, Reason, Severity};

use super::text::{Kind, Text};
use super::{
    BUCKETS, CallType, Cell, DURATIONS_US, Decision, EnclaveTally, Histogram, Leg, LegCells, Metrics, OVERHEADS_US,
    Tally, reasons,
};
use crate::gateway::Shared;
use crate::session::Attribution;

/// What a gateway has counted, in Prometheus' text format.
pub(crate) fn page(shared: &Shared) -> String {
    let (metrics, policy, audit) = (&shared.metrics, shared.policy(), shared.log.status());
    let mut text = Text::default();
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    text.family("build_info", Kind::Gauge, "The version of ensage that runs.").sample(&version, 1);
    text.family("sessions", Kind::Gauge, "Open sessions.").sample(&[], shared.open_sessions());
    let upstream = metrics.legs(Leg::Upstream, |leg| &leg.open);
    text.family("connections", Kind::Gauge, "Open connections.")
        .sample(&[("leg", "client")], shared.open_connections.load(Relaxed))
        .sample(&[("leg", "upstream")], upstream);
    calls(&mut text, metrics, &policy);
    histograms(&mut text, metrics);
    legs(&mut text, metrics, shared);
    credentials(&mut text, metrics, &policy);
    text.family("alarms_total", Kind::Counter, "Alarms raised.");
    for (reason, count) in Reason::ALL.iter().zip(&metrics.alarms) {
        let count = count.load(Relaxed);
        // From 0 on where one is a sign of compromise: the first is seen as a rise.
        if count > 0 || reason.severity() == Severity::High {
            text.sample(&[("reason", reason.code())], count);
        }
    }
    text.family("attributions_total", Kind::Counter, "Client connections, by the layer that told whose they are.");
    for (by, count) in Attribution::ALL.iter().zip(&metrics.attributions) {
        text.sample(&[("attribution", by.code())], count.load(Relaxed));
    }
    tokens(&mut text, metrics, &policy);
    text.family("audit_records_total", Kind::Counter, "Records of the audit log, over all starts.")
        .sample(&[], audit.seq);
    text.family("audit_queued", Kind::Gauge, "Records that are not written yet.").sample(&[], audit.queued);
    text.family("audit_durable_seq", Kind::Gauge, "The newest record that is on disk.").sample(&[], audit.durable_seq);
    text.family("policy_generation", Kind::Gauge, "The generation in force.").sample(&[], policy.generation);
    text.family("reloads_total", Kind::Counter, "Reloads of the configuration.")
        .sample(&[("result", "loaded")], metrics.reloads_loaded.load(Relaxed))
        .sample(&[("result", "rejected")], metrics.reloads_rejected.load(Relaxed));
    text.family("accept_pauses_total", Kind::Counter, "Times that no connection was accepted for a while.")
        .sample(&[], metrics.accept_pauses.load(Relaxed));
    text.finish()
}

fn calls(text: &mut Text, metrics: &Metrics, policy: &Policy) {
    text.family("calls_total", Kind::Counter, "Calls decided; an allow with a reason is one that observe let through.");
    for (enclave, cells) in with_configured(metrics, policy) {
        for kind in CallType::ALL {
            for decision in Decision::ALL {
                for reason in reasons() {
                    let count: u64 = cells.iter().map(|c| c.calls(kind, decision, reason)).sum();
                    let starts = decision == Decision::Allow && reason.is_none() && kind != CallType::Connect;
                    if count > 0 || starts && !enclave.is_empty() {
                        let reason = reason.map_or("", Reason::code);
                        let labels = [
                            ("enclave", &*enclave),
                            ("type", kind.code()),
                            ("decision", decision.code()),
                            ("reason", reason),
                        ];
                        text.sample(&labels, count);
                    }
                }
            }
        }
    }
}

/// Every enclave that has cells or that the configuration names now.
fn with_configured(metrics: &Metrics, policy: &Policy) -> BTreeMap<Arc<str>, Vec<Arc<EnclaveTally>>> {
    let mut all = metrics.enclaves();
    for enclave in &policy.enclaves {
        all.entry(enclave.name.clone()).or_default();
    }
    all
}

fn histograms(text: &mut Text, metrics: &Metrics) {
    type Of = fn(&Tally) -> &[Histogram; CallType::ALL.len()];
    let both: [(_, _, _, Of); 2] = [
        ("call_duration_seconds", "From a call's head to the end of its answer.", &DURATIONS_US, |t| &t.durations),
        ("overhead_seconds", "The gateway's own time on a call that was let through.", &OVERHEADS_US, |t| &t.overheads),
    ];
    for (name, help, bounds, of) in both {
        text.family(name, Kind::Histogram, help);
        for kind in CallType::ALL {
            let (mut buckets, mut sum_ns) = ([0u64; BUCKETS + 1], 0u64);
            for histogram in metrics.workers.iter().filter_map(|w| of(w).get(kind as usize)) {
                for (sum, cell) in buckets.iter_mut().zip(&histogram.buckets) {
                    *sum += cell.read();
                }
                sum_ns = sum_ns.saturating_add(histogram.sum_ns.read());
            }
            text.histogram(&[("type", kind.code())], bounds, &buckets, Duration::from_nanos(sum_ns));
        }
    }
}

fn legs(text: &mut Text, metrics: &Metrics, shared: &Shared) {
    text.family("bytes_total", Kind::Counter, "Bytes on the wire; up is towards the origin.");
    for leg in Leg::ALL {
        text.sample(&[("leg", leg.code()), ("direction", "up")], metrics.legs(leg, |l| &l.up));
        text.sample(&[("leg", leg.code()), ("direction", "down")], metrics.legs(leg, |l| &l.down));
    }
    text.family("held_bytes", Kind::Gauge, "Bytes of undecided messages.").sample(&[], shared.held_bytes());
    text.family("handshakes_total", Kind::Counter, "TLS handshakes.");
    for leg in Leg::ALL {
        text.sample(&[("leg", leg.code()), ("kind", "full")], metrics.legs(leg, |l| &l.full));
        text.sample(&[("leg", leg.code()), ("kind", "resumed")], metrics.legs(leg, |l| &l.resumed));
        text.sample(&[("leg", leg.code()), ("kind", "failed")], metrics.legs(leg, |l| &l.failed));
    }
    text.family("leaves_minted_total", Kind::Counter, "Leaf certificates made.").sample(&[], shared.minter.minted());
}

fn credentials(text: &mut Text, metrics: &Metrics, policy: &Policy) {
    let cells = metrics.credentials();
    let names: BTreeSet<&Arc<str>> = cells.keys().chain(policy.credentials.iter().map(|c| &c.name)).collect();
    let all = |name: &Arc<str>, of: fn(&super::CredentialTally) -> &Cell| -> u64 {
        cells.get(name).into_iter().flatten().map(|c| of(c).read()).sum()
    };
    text.family("substitutions_total", Kind::Counter, "Requests that a secret was put into.");
    for name in &names {
        text.sample(&[("credential", name)], all(name, |c| &c.substitutions));
    }
    text.family("scrubs_total", Kind::Counter, "Reflections of a secret that were replaced.");
    for name in &names {
        text.sample(&[("credential", name)], all(name, |c| &c.scrubs));
    }
}

fn tokens(text: &mut Text, metrics: &Metrics, policy: &Policy) {
    text.family("tokens_total", Kind::Counter, "Tokens as providers report them; up is input.");
    for (enclave, cells) in with_configured(metrics, policy) {
        if enclave.is_empty() {
            continue;
        }
        let (up, down) = (cells.iter().map(|c| c.tokens_up.read()), cells.iter().map(|c| c.tokens_down.read()));
        text.sample(&[("enclave", &enclave), ("direction", "up")], up.sum::<u64>());
        text.sample(&[("enclave", &enclave), ("direction", "down")], down.sum::<u64>());
    }
}

impl Metrics {
    /// A cell of one leg, of all workers.
    fn legs(&self, leg: Leg, of: impl Fn(&LegCells) -> &Cell) -> u64 {
        self.workers.iter().map(|w| of(w.leg(leg)).read()).fold(0, u64::wrapping_add)
    }
}
