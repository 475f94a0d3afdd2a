//! The two records that are made of an exchange: `call`, the decision, and `end`, its close.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use ensage_audit::{Call, Draft, End, GenAi, Mcp, Seq};
use ensage_policy::judge::Denial;
use ensage_policy::{Reason, Severity};
use http::{HeaderValue, StatusCode};

use super::body::Cut;
use super::exchange::{Exchange, State};
use super::forward::Loan;
use super::reply::Stop;
use super::respond::{Stages, Watched};
use crate::metrics::Decision;
use crate::session::Life;

impl Exchange {
    /// Nothing goes upstream while the log cannot be written.
    pub(crate) fn launch(&mut self) -> Result<(), Stop> {
        if !self.conn.shared.log.writable() {
            return Err(unrecordable());
        }
        self.state = State::Launched;
        Ok(())
    }

    /// True while its `call` is not in the log yet.
    pub(crate) fn is_launched(&self) -> bool {
        self.state == State::Launched
    }

    /// It was let through: its `call` goes into the log, once, and into a file before its answer's last byte.
    pub(crate) fn decided(&mut self, peer: Option<SocketAddr>) -> Result<(), Stop> {
        if self.state != State::Launched {
            return Ok(());
        }
        self.facts.peer = peer.map(|p| p.ip());
        let severity = match (&self.facts.would, &self.facts.credential) {
            (Some(d), _) => d.reason.severity(),
            (None, Some((_, "masked"))) => Severity::Low,
            (None, _) => Severity::Info,
        };
        match self.append_call(severity, "allow", None, None) {
            Ok(seq) => {
                self.state = State::Decided(seq);
                if let Some(session) = self.session() {
                    session.allowed.fetch_add(1, Ordering::Relaxed);
                }
                self.count_call(Decision::Allow, self.facts.would.as_ref().map(|d| d.reason));
                self.tell_decision(None);
                Ok(())
            }
            Err(_) => Err(unrecordable()),
        }
    }

    /// A refusal is one record, written before its answer goes out.
    pub(crate) fn refused(&mut self, denial: &Denial, status: StatusCode) -> Result<(), ensage_audit::AuditError> {
        self.facts.status = Some(status.as_u16());
        let outcome = if denial.reason.is_upstream() { "upstream_failed" } else { "refused" };
        let took = self.started.elapsed();
        if self.state != State::Closed {
            self.count_end(took);
        }
        let seq = match self.state {
            State::Closed => return Ok(()),
            State::Open | State::Launched => {
                if let Some(session) = self.session() {
                    session.denied.fetch_add(1, Ordering::Relaxed);
                }
                if let Some((_, action)) = &mut self.facts.credential
                    && !denial.reason.is_fault()
                {
                    *action = "refused";
                }
                self.count_call(Decision::Deny, Some(denial.reason));
                self.tell_decision(Some(denial));
                self.append_call(denial.reason.severity(), "deny", Some(denial), Some((outcome, took)))
            }
            State::Decided(_) => {
                self.tell_end(outcome, Some(denial.reason));
                self.append_end(outcome, Some(denial.reason), took)
            }
        }?;
        self.state = State::Closed;
        self.conn.shared.log.written(seq)
    }

    /// Writes that it is over, once; before the last byte goes.
    pub(super) fn close(&mut self, outcome: &str, reason: Option<Reason>) -> Result<(), Cut> {
        match self.end_record(outcome, reason)? {
            Some(seq) => self.written(seq),
            None => Ok(()),
        }
    }

    /// Gives the `end` its place in the log, once.
    fn end_record(&mut self, outcome: &str, reason: Option<Reason>) -> Result<Option<Seq>, Cut> {
        if self.state == State::Closed {
            return Ok(None);
        }
        let took = self.started.elapsed();
        let seq = self.append_end(outcome, reason, took).map_err(|_| Cut::Audit)?;
        self.state = State::Closed;
        self.count_end(took);
        self.tell_end(outcome, reason);
        Ok(Some(seq))
    }

    /// The `call` is in a file, not only in the log's queue.
    pub(crate) fn recorded(&self) -> Result<(), Stop> {
        match self.state {
            State::Decided(seq) => self.conn.shared.log.written(seq).map_err(|_| unrecordable()),
            State::Open | State::Launched | State::Closed => Ok(()),
        }
    }

    /// A CONNECT that was let through and comes to nothing, because its client refuses our certificate.
    pub(crate) fn certificate_refused(&mut self, note: &'static str) {
        self.facts.note = Some(note);
        let took = self.started.elapsed();
        self.count_end(took);
        self.count_call(Decision::Allow, None);
        if let Some(session) = self.session() {
            session.allowed.fetch_add(1, Ordering::Relaxed);
            session.certificate_refusals.fetch_add(1, Ordering::Relaxed);
        }
        self.state = State::Closed;
        let appended = self.append_call(Severity::Low, "allow", None, Some(("client_gone", took)));
        // Nobody waits for an answer: that it cannot be written is the audit log's own alarm.
        let _ = appended.and_then(|seq| self.conn.shared.log.written(seq));
    }

    fn written(&self, seq: Seq) -> Result<(), Cut> {
        self.conn.shared.log.written(seq).map_err(|_| Cut::Audit)
    }

    /// Whether others of this session are under way on this worker.
    fn has_company(&self) -> bool {
        self.session().is_some_and(|s| s.streams.load(Ordering::Relaxed) > 1)
    }

    /// Notes what an answer said, unless its record is written.
    pub(crate) fn saw(&mut self, stages: &mut Stages) {
        if self.state != State::Closed {
            let Watched { scrubbed, seen, flagged } = stages.summary();
            self.scrubbed(scrubbed);
            self.facts.seen = seen.map(Box::new);
            self.facts.flagged = flagged;
        }
    }

    pub(crate) fn client_gone(&mut self) {
        self.gone("client_gone", None);
    }

    /// What was carried of a stream so far, in all.
    pub(super) fn carried(&mut self, up: u64, down: u64) {
        (self.facts.up, self.facts.down) = (up, down);
    }

    /// Why something ends that nobody has ended.
    pub(super) fn why_cut(&self) -> &'static str {
        if self.conn.watchman.was_revoked() {
            "revoked"
        } else if self.session().is_some_and(|s| s.life() != Life::Open) {
            "session_ended"
        } else if self.conn.shared.is_stopping() {
            "gateway_stopped"
        } else {
            "client_gone"
        }
    }

    /// The answer breaks off, and why.
    pub(crate) fn cut(&mut self, cut: Cut) {
        let (outcome, reason) = match (cut, self.up.stray.get()) {
            // An upstream that answers before it has the body loses its connection by our own hand.
            (Cut::Placeholder | Cut::Upstream | Cut::Client, Some(found)) => ("refused", Some(found)),
            (Cut::Placeholder, None) => ("refused", Some(Reason::PlaceholderWrongSlot)),
            (Cut::Client, None) => ("client_gone", None),
            (Cut::Upstream, None) => ("upstream_failed", Some(Reason::UpstreamClosed)),
            (Cut::Response | Cut::Unasked, _) => ("refused", Some(Reason::ResponseRefused)),
            (Cut::Audit, _) => ("refused", Some(Reason::AuditUnavailable)),
        };
        self.gone(outcome, reason);
    }

    fn gone(&mut self, outcome: &str, reason: Option<Reason>) {
        // Who breaks a rule of the body's framing has not gone.
        let (outcome, reason) = match (outcome, self.conn.refusal()) {
            ("client_gone", Some((refused, _))) => ("refused", Some(refused)),
            (outcome, _) => (outcome, reason),
        };
        match self.state {
            // Nothing was decided and nothing went upstream: there is no decision to record.
            State::Open => self.state = State::Closed,
            // The upstream may have seen all of it, whoever waits for its answer.
            State::Launched => {
                let _ = self.decided(None);
                let _ = self.close(outcome, reason);
            }
            State::Decided(_) => {
                let _ = self.close(outcome, reason);
            }
            State::Closed => {}
        }
    }

    fn append_call(
        &self,
        severity: Severity,
        decision: &str,
        denial: Option<&Denial>,
        outcome: Option<(&str, Duration)>,
    ) -> Result<Seq, ensage_audit::AuditError> {
        let f = &self.facts;
        let end = outcome.map(|(outcome, took)| self.end(outcome, None, took));
        let message = f.message.as_deref();
        let shown = denial.or(f.would.as_deref());
        let call = Call {
            exchange: Some(self.exchange),
            connection: Some(self.conn.id),
            session: self.session().map(|s| s.fragment(self.mode())),
            process: self.conn.client.process(),
            kind: f.kind.code(),
            server: None,
            port: f.server.as_ref().map(|a| a.port),
            peer: f.peer,
            protocol_version: Some(f.version),
            via: f.via.as_deref(),
            method: f.method.as_ref().map(http::Method::as_str),
            scheme: f.scheme,
            path: f.path.as_deref(),
            mcp: f.mcp_server.as_deref().map(|server| Mcp {
                server,
                direction: "client",
                method: message.map(|m| m.method.as_str()),
                protocol_version: message.map(|m| m.revision),
                session_id: f.mcp_session.as_deref(),
                resource_uri: message.and_then(|m| m.resource.as_deref()),
                request_id: message.and_then(|m| m.id.as_deref()),
            }),
            gen_ai: GenAi {
                provider: f.provider.as_deref(),
                request_model: f.model.as_deref(),
                tool: message.and_then(|m| m.tool.as_deref()),
                prompt: message.and_then(|m| m.prompt.as_deref()),
            },
            provider_tools: &f.provider_tools,
            arguments: message.and_then(|m| m.arguments.as_ref()).map(|(sha256, bytes)| (sha256.as_str(), *bytes)),
            credential: f.credential.as_ref().map(|(name, action)| (&**name, *action)),
            decision,
            would: f.would.as_ref().filter(|_| denial.is_none()).map(|_| "deny"),
            reason: shown.map(|d| d.reason.code()),
            rule: shown.and_then(|d| d.rule.as_ref()).map(|r| &*r.path).or(f.rule.as_deref()),
            message: shown.map(|d| d.message.as_str()).or(f.note),
            fault: f.fault,
            policy: Some(&self.generation.fragment),
            end: end.as_ref(),
            ..Call::new(self.call, severity.code())
        };
        // The host's one spelling is made here, not kept: most exchanges need it once.
        let host = f.server.as_ref().map(|a| a.host.to_string());
        self.conn.shared.append(Draft::call(&Call { server: host.as_deref(), ..call }))
    }

    fn append_end(
        &self,
        outcome: &str,
        reason: Option<Reason>,
        took: Duration,
    ) -> Result<Seq, ensage_audit::AuditError> {
        let severity = reason.map_or(Severity::Info, Reason::severity);
        self.conn.shared.append(Draft::end(self.call, severity.code(), &self.end(outcome, reason, took)))
    }

    fn end<'a>(&'a self, outcome: &'a str, reason: Option<Reason>, took: Duration) -> End<'a> {
        let f = &self.facts;
        let seen = f.seen.as_deref();
        End {
            status: f.status,
            response_model: seen.and_then(|s| s.model.as_deref()),
            input_tokens: seen.and_then(|s| s.usage.input_total()),
            output_tokens: seen.and_then(|s| s.usage.output_total()),
            tools_requested: seen.map_or(&[], |s| &s.tools_requested),
            flagged: &f.flagged,
            scrubbed: (f.scrubbed > 0).then_some(f.scrubbed),
            bytes_up: f.up.max(self.up.bytes.get()),
            bytes_down: f.down.max(self.up.unseen.get()),
            duration: Some(took),
            outcome,
            reason: reason.map(Reason::code),
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.conn.watchman.end();
        if self.state != State::Closed {
            self.gone(self.why_cut(), None);
        }
        if let Some(session) = self.session() {
            session.streams.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Owns the exchange while its answer streams, and closes its record before the last byte.
pub(crate) struct EndGuard {
    x: Box<Exchange>,
    loan: Loan,
}

impl EndGuard {
    pub(crate) fn new(x: Box<Exchange>, loan: Loan) -> Self {
        Self { x, loan }
    }

    /// Goes on with a request whose answer came before its end.
    pub(crate) fn poll_upload(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.loan.poll_upload(cx)
    }

    /// The exchange, whose answer is another one after all.
    pub(crate) fn into_exchange(self) -> Box<Exchange> {
        self.x
    }

    /// Bytes went to the client.
    pub(crate) fn down(&mut self, bytes: u64) {
        self.x.down(bytes);
    }

    /// The answer breaks off here.
    pub(crate) fn broken(&mut self, cut: Cut) -> Cut {
        self.x.cut(cut);
        cut
    }

    /// Everything but the last byte is out.
    pub(crate) fn complete(&mut self, stages: &mut Stages) -> Result<(), Cut> {
        if let Some(seq) = self.end_record(stages)? {
            self.x.written(seq)?;
        }
        self.loan.done();
        Ok(())
    }

    /// The same for an answer that is here whole: exchanges that end in one turn of the worker share one write.
    /// Dropped on its way, the record is written all the same.
    pub(crate) async fn complete_whole(&mut self, stages: &mut Stages) -> Result<(), Cut> {
        if let Some(seq) = self.end_record(stages)? {
            if self.x.has_company() {
                tokio::task::yield_now().await;
            }
            self.x.written(seq)?;
        }
        self.x.count_overhead();
        self.loan.done();
        Ok(())
    }

    /// The head of an answer goes out, its body behind it.
    pub(crate) fn begun(&self) {
        self.x.count_overhead();
    }

    /// Notes what the answer said.
    pub(crate) fn saw(&mut self, stages: &mut Stages) {
        self.x.saw(stages);
    }

    fn end_record(&mut self, stages: &mut Stages) -> Result<Option<Seq>, Cut> {
        self.saw(stages);
        self.x.end_record("complete", None)
    }
}

/// `date`, RFC 9110 section 6.6.1.
pub(crate) fn http_date() -> HeaderValue {
    use time::format_description::FormatItem;
    use time::macros::format_description;
    const FORMAT: &[FormatItem<'_>] =
        format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");
    let text = time::OffsetDateTime::now_utc().format(FORMAT).unwrap_or_default();
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT"))
}

fn unrecordable() -> Stop {
    Stop::refused(Reason::AuditUnavailable, "the audit log cannot be written; try again later")
}
