//! What the log is told of connections and calls. The audit log has all of it; this is for whoever watches.
//!
//! A span is made only around an event that is wanted: while nobody listens, a call pays for a load and a comparison.

use std::borrow::Cow;

use ensage_policy::Reason;
use ensage_policy::judge::Denial;
use tracing::{Level, Span};
use uuid::Uuid;

use super::exchange::Exchange;
use super::identify::Client;
use crate::gateway::Shared;
use crate::telemetry::{CALLS, SPANS};

/// Most bytes of a path, as in records (interface section 2).
const PATH_BYTES_MAX: usize = 1024;

/// The connection that an event is about.
pub(super) fn connection(id: Uuid, client: &Client) -> Span {
    let session = match client {
        Client::Member(member) => Some(&*member.session),
        Client::Stranger(_) => None,
    };
    tracing::error_span!(
        target: SPANS,
        "connection",
        id = %id,
        session = session.map(|s| tracing::field::display(s.id)),
        enclave = session.map(|s| &*s.opening.enclave),
        agent = session.map(|s| &*s.opening.agent),
    )
}

/// A connection has come to its worker.
pub(super) fn opened(id: Uuid, client: &Client) {
    if tracing::enabled!(target: CALLS, Level::DEBUG) {
        connection(id, client).in_scope(|| tracing::debug!(target: CALLS, "a connection is served"));
    }
}

/// It is over.
pub(super) fn closed(id: Uuid, client: &Client) {
    if tracing::enabled!(target: CALLS, Level::DEBUG) {
        connection(id, client).in_scope(|| tracing::debug!(target: CALLS, "a connection is over"));
    }
}

impl Exchange {
    /// Says something of this exchange, within its spans. The caller has asked whether anybody listens.
    pub(super) fn within(&self, say: impl FnOnce()) {
        let host = self.facts.server.as_ref().map(|at| self.shown(&at.host.to_string()));
        let method = self.facts.method.as_ref().map(|method| self.shown(method.as_str()));
        connection(self.conn.id, &self.conn.client).in_scope(|| {
            let exchange = tracing::error_span!(target: SPANS, "exchange", id = %self.exchange, method, host);
            exchange.in_scope(say);
        });
    }

    /// The call was decided.
    pub(super) fn tell_decision(&self, denial: Option<&Denial>) {
        if tracing::enabled!(target: CALLS, Level::INFO) {
            self.within(|| self.decision(denial));
        }
    }

    fn decision(&self, denial: Option<&Denial>) {
        let f = &self.facts;
        let shown = denial.or(f.would.as_deref());
        tracing::info!(
            target: CALLS,
            {
                decision.id = %self.call,
                decision = if denial.is_some() { "deny" } else { "allow" },
                would = f.would.as_ref().filter(|_| denial.is_none()).map(|_| "deny"),
                reason = shown.map(|d| d.reason.code()),
                rule = shown.and_then(|d| d.rule.as_ref()).map(|r| &*r.path).or(f.rule.as_deref()),
                call.type = f.kind.code(),
                server.address = f.server.as_ref().map(|at| self.shown(&at.host.to_string())),
                server.port = f.server.as_ref().map(|at| at.port),
                url.path = f.path.as_deref().map(|path| self.shown(cut(path))),
            },
            "a call was decided"
        );
    }

    /// What was let through is over.
    pub(super) fn tell_end(&self, outcome: &str, reason: Option<Reason>) {
        if !tracing::enabled!(target: CALLS, Level::DEBUG) {
            return;
        }
        let f = &self.facts;
        self.within(|| {
            tracing::debug!(
                target: CALLS,
                {
                    decision.id = %self.call,
                    outcome,
                    reason = reason.map(Reason::code),
                    http.response.status_code = f.status,
                    bytes.up = f.up.max(self.up.bytes.get()),
                    bytes.down = f.down,
                    duration_ms = self.started.elapsed().as_secs_f64() * 1000.0,
                },
                "a call is over"
            );
        });
    }

    /// As records print it: no secret of the vault, no placeholder.
    fn shown(&self, text: &str) -> String {
        shown(&self.conn.shared, text)
    }
}

fn shown(shared: &Shared, text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    shared.redact(&mut bytes);
    match String::from_utf8_lossy(&bytes) {
        Cow::Borrowed(text) => text.to_owned(),
        Cow::Owned(text) => text,
    }
}

fn cut(path: &str) -> &str {
    path.get(..path.floor_char_boundary(PATH_BYTES_MAX)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tracing::level_filters::LevelFilter;
    use tracing::span::{Attributes, Id};
    use tracing::{Event, Subscriber};
    use tracing_subscriber::Layer;
    use tracing_subscriber::layer::{Context, SubscriberExt};
    use tracing_subscriber::registry::LookupSpan;

    use super::super::identify::{Facts, Stranger};
    use super::*;

    #[derive(Clone, Default)]
    struct Counted {
        spans: Arc<AtomicUsize>,
        events: Arc<AtomicUsize>,
    }

    impl<S: Subscriber + for<'l> LookupSpan<'l>> Layer<S> for Counted {
        fn on_new_span(&self, _: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
            self.spans.fetch_add(1, Ordering::Relaxed);
        }

        fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
            self.events.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn no_span_is_made_while_nobody_listens() {
        let client = Client::Stranger(Rc::new(Stranger { reason: Reason::Unattributed, facts: Facts::default() }));
        let count = |level: LevelFilter| {
            let counted = Counted::default();
            let subscriber = tracing_subscriber::registry().with(level).with(counted.clone());
            tracing::subscriber::with_default(subscriber, || {
                opened(Uuid::nil(), &client);
                closed(Uuid::nil(), &client);
            });
            (counted.spans.load(Ordering::Relaxed), counted.events.load(Ordering::Relaxed))
        };
        for quiet in [LevelFilter::OFF, LevelFilter::WARN, LevelFilter::INFO] {
            assert_eq!(count(quiet), (0, 0), "{quiet}");
        }
        assert_eq!(count(LevelFilter::DEBUG), (2, 2));
    }

    #[test]
    fn a_path_is_cut_between_characters() {
        assert_eq!(cut(&"é".repeat(1000)).len(), PATH_BYTES_MAX);
        assert_eq!(cut("/a"), "/a");
    }
}
