//! Sessions for an agent runtime that has a gateway in its own process.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::Arc;

use ensage_endpoint::folder::FolderError;
use ensage_policy::config::Diagnostic;
use ensage_policy::{Policy, Tier};
use tokio::sync::mpsc;

use super::accept::Scope;
use super::listen::Bound;
use super::{Options, Shared};
use crate::session::{self, Attribution, Opening, Origin};
use crate::state::StateFolder;

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

impl SessionSpec {
    /// A session for `agent` in `enclave`.
    pub fn new(enclave: impl Into<String>, agent: impl Into<String>) -> Self {
        Self { enclave: enclave.into(), agent: agent.into() }
    }
}

/// Why there are no options.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// The state folder cannot be used.
    #[error("cannot use the state folder")]
    State(#[source] FolderError),
    /// The configuration has errors: all of them, in the order of the text.
    #[error("{}", lines(.0))]
    Config(Vec<Diagnostic>),
}

fn lines(errors: &[Diagnostic]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

impl Options {
    /// A gateway on the state folder `state`, made if it is not there, with `config` as its configuration, which a
    /// reload does not change. The vault opens as for the command line, with the folder's machine key unless
    /// `$ENSAGE_VAULT_KEY_FILE` or `$ENSAGE_VAULT_PASSPHRASE_FILE` names another.
    ///
    /// # Errors
    /// [`OptionsError`]
    pub fn new(state: impl AsRef<Path>, config: &str) -> Result<Self, OptionsError> {
        let policy = policy(config).map_err(OptionsError::Config)?;
        let state = StateFolder::open(state.as_ref()).map_err(OptionsError::State)?;
        let config = config.to_owned();
        let again = Box::new(move || policy_again(&config));
        Ok(Self { state, policy, keys: crate::state::keys(), again, embedded: true, passed: Vec::new() })
    }
}

fn policy_again(config: &str) -> Result<Policy, String> {
    policy(config).map_err(|errors| lines(&errors))
}

fn policy(config: &str) -> Result<Policy, Vec<Diagnostic>> {
    let loaded = ensage_policy::config::load(config, None, &crate::state::surroundings());
    let loaded = crate::upstream::checked(loaded);
    loaded.policy.ok_or(loaded.errors)
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

    /// The same as a file, for the variables that name one.
    pub fn ca_path(&self) -> &Path {
        self.shared.ca_path()
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
    control: &mpsc::UnboundedSender<(Bound, Scope)>,
    spec: &SessionSpec,
) -> Result<Session, EmbedError> {
    let policy = shared.policy();
    let enclave = policy.enclave(&spec.enclave).ok_or_else(|| EmbedError::NoEnclave(spec.enclave.clone()))?;
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
    if control.send((Bound::Tcp(listener), Scope::Session(session.clone()))).is_err() {
        shared.end(&session, "stopped");
        return Err(EmbedError::Stopped);
    }
    Ok(Session { shared: shared.clone(), session, proxy_url: format!("http://{at}"), placeholders })
}
