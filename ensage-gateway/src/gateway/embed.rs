//! Sessions for an agent runtime that has a gateway in its own process.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;

use ensage_policy::Tier;
use tokio::sync::mpsc;

use super::Shared;
use super::accept::Scope;
use crate::session::{self, Attribution, Opening, Origin};

/// Which session is wanted.
#[derive(Clone, Debug)]
pub struct SessionSpec {
    /// The enclave's name.
    pub enclave: String,
    /// The agent's name; the enclave must list it.
    pub agent: String,
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    /// The configuration has no such enclave.
    #[error("there is no enclave {0}")]
    NoEnclave(String),
    /// The enclave does not list the agent.
    #[error("enclave {enclave} does not list agent {agent}")]
    NotListed {
        /// The enclave.
        enclave: String,
        /// The agent.
        agent: String,
    },
    /// No listener can be opened.
    #[error("no listener can be opened for the session")]
    Listen(#[source] std::io::Error),
    /// The gateway has stopped.
    #[error("the gateway has stopped")]
    Stopped,
}

/// A session with a listener of its own: whoever connects to it is the agent. Dropping it ends the session.
pub struct Session {
    shared: Arc<Shared>,
    session: Arc<session::Session>,
    proxy_url: String,
    placeholders: Vec<(String, String)>,
}

impl Session {
    /// `http://127.0.0.1:PORT`, for `HTTPS_PROXY` or an HTTP client's proxy setting.
    pub fn proxy_url(&self) -> &str {
        &self.proxy_url
    }

    /// The certificate authority that the agent must trust, PEM.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn ca_pem(&self) -> std::io::Result<String> {
        std::fs::read_to_string(self.shared.ca_path())
    }

    /// (variable or credential, placeholder) for each credential of the enclave; the credential's name where it has no
    /// `env`.
    pub fn placeholders(&self) -> &[(String, String)] {
        &self.placeholders
    }

    /// The session's id, as records have it.
    pub fn id(&self) -> uuid::Uuid {
        self.session.id
    }

    /// Ends it: streams are closed and placeholders void within a second.
    pub fn close(self) {
        drop(self);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.shared.end(&self.session, "closed");
    }
}

pub(super) fn open(
    shared: &Arc<Shared>,
    control: &mpsc::UnboundedSender<(TcpListener, Scope)>,
    spec: &SessionSpec,
) -> Result<Session, EmbedError> {
    let policy = shared.policy();
    let enclave = policy
        .enclaves
        .iter()
        .find(|e| *e.name == *spec.enclave)
        .ok_or_else(|| EmbedError::NoEnclave(spec.enclave.clone()))?;
    if !enclave.any_agent && !enclave.agents.iter().any(|a| **a == *spec.agent) {
        return Err(EmbedError::NotListed { enclave: spec.enclave.clone(), agent: spec.agent.clone() });
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(EmbedError::Listen)?;
    listener.set_nonblocking(true).map_err(EmbedError::Listen)?;
    let at = listener.local_addr().map_err(EmbedError::Listen)?;
    let session = shared.sessions.open(Opening {
        enclave: enclave.name.clone(),
        agent: spec.agent.as_str().into(),
        tier: Tier::Advisory,
        attribution: Attribution::Listener,
        origin: Origin::Embedded,
        root: None,
        listener: Some(at),
        mode: None,
        ttl: policy.gateway.session_ttl,
        process: None,
    });
    shared.session_record(&session, "opened", Some("api"));
    let mut placeholders = Vec::new();
    for c in policy.credentials_of(enclave) {
        if let Some(token) = shared.placeholder(&session, &c.name, &c.placeholder, c.ttl) {
            if c.env.is_empty() {
                placeholders.push((c.name.to_string(), token.clone()));
            }
            placeholders.extend(c.env.iter().map(|name| (name.clone(), token.clone())));
        }
    }
    if control.send((listener, Scope::Session(session.clone()))).is_err() {
        shared.end(&session, "stopped");
        return Err(EmbedError::Stopped);
    }
    Ok(Session { shared: shared.clone(), session, proxy_url: format!("http://{at}"), placeholders })
}
