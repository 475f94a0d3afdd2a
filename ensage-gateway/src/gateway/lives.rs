//! The lives of this gateway's sessions: their ends, and the records of both.

use ensage_audit::{Draft, SessionEvent};
use ensage_endpoint::proc::ProcessKey;

use super::{Shared, notice};
use crate::session::Session;

impl Shared {
    pub(crate) fn open_sessions(&self) -> usize {
        self.sessions.all().iter().filter(|s| s.life() == crate::session::Life::Open).count()
    }

    /// Ends a session: its placeholders are void and its connections notice.
    pub(crate) fn end(&self, session: &Session, cause: &str) {
        if self.sessions.end(session) {
            self.placeholders.end_session(session.id.as_bytes());
            self.session_record(session, "ended", Some(cause));
        }
    }

    pub(crate) fn session_record(&self, session: &Session, event: &str, cause: Option<&str>) {
        let mode = self.mode_of(session);
        notice::session(session, event, cause);
        let event = SessionEvent {
            event,
            session: Some(session.fragment(mode)),
            process: session.opening.process.as_ref(),
            by: None,
            cause,
        };
        self.note(Draft::session("info", &event));
    }

    /// The mode of a session at this moment.
    pub(crate) fn mode_of(&self, session: &Session) -> ensage_policy::Mode {
        let policy = self.policy();
        let enclave = policy.enclave(&session.opening.enclave);
        session.opening.mode.unwrap_or_else(|| enclave.map_or(policy.gateway.mode, |e| e.mode))
    }

    /// Whether a process is the root of a session that lives.
    pub(crate) fn is_root(&self, key: &ProcessKey) -> bool {
        self.sessions.has_root(key)
    }
}
