//! Sessions that `ensage run` opens, and what its child is given.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use ensage_audit::{Fragment, ProcessFacts};
use ensage_creds::{Grant, Scope};
use ensage_endpoint::proc::{Chain, Process, ProcessKey};
use ensage_policy::model::Enclave;
use ensage_policy::{Mode, Policy, Tier};

use super::Shared;
use super::attribution::root_fragment;
use super::shared::tcp;
use crate::admin::{Open, Opened};
use crate::bundle;
use crate::session::{Attribution, Life, Opening, Origin, Session};

/// Folder of the merged CA bundles, inside the state folder.
const BUNDLES: &str = "bundles";

/// Why `run` gets no session.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// The gateway ends.
    #[error("the gateway is shutting down")]
    Leaving,
    /// The configuration has no such enclave.
    #[error("there is no enclave {0}")]
    NoEnclave(String),
    /// There is no TCP listener that a variable could name.
    #[error("the gateway listens on Unix sockets only, which no proxy variable can name")]
    NoProxy,
    /// The process that asked has exited.
    #[error("the process that asked is not there")]
    Gone,
    /// The child would trust nobody.
    #[error("{0}")]
    Bundle(String),
}

impl Shared {
    /// Opens a session of `run`.
    ///
    /// # Errors
    /// [`RunError::Leaving`] while the gateway ends: the caller starts another one.
    pub(crate) fn open_run(self: &Arc<Self>, open: &Open) -> Result<Opened, RunError> {
        let _opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_draining() {
            return Err(RunError::Leaving);
        }
        let policy = self.policy();
        let enclave = policy.enclave(&open.enclave).ok_or_else(|| RunError::NoEnclave(open.enclave.clone()))?;
        // Without one the child would go past the gateway.
        let proxy = self.proxy_for(enclave).ok_or(RunError::NoProxy)?;
        let key = ProcessKey { pid: open.pid, start_time: open.start_time };
        let process = Process::read_key(&key).map_err(|_| RunError::Gone)?;
        let session = self.sessions.open(Opening {
            enclave: enclave.name.clone(),
            agent: open.agent.as_str().into(),
            tier: Tier::Advisory,
            attribution: Attribution::Procfs,
            origin: Origin::Run,
            root: Some(key),
            listener: None,
            mode: open.observe.then_some(Mode::Observe),
            ttl: policy.gateway.session_ttl,
            process: Some(self.shown(open, &process)),
        });
        self.session_record(&session, "opened", Some("run"));
        let inherited: Vec<PathBuf> = open.bundles.iter().map(PathBuf::from).collect();
        let bundle = self.bundle(&policy, &inherited).map_err(|e| {
            self.end(&session, "no_bundle");
            RunError::Bundle(e)
        })?;
        let variables = self.variables(&policy, enclave, &session);
        let named: Vec<&str> = variables.iter().map(|(name, _)| name.as_str()).collect();
        let mut dropped = self.holding_secrets(&open.environment);
        dropped.retain(|name| !named.contains(&name.as_str()));
        Ok(Opened {
            session: session.id.to_string(),
            proxy,
            bundle: bundle.display().to_string(),
            variables,
            dropped,
            missing: self.missing(&policy, enclave),
        })
    }

    /// The root as records show it: `run` itself by its number, and the program that it stands for.
    fn shown(self: &Arc<Self>, open: &Open, run: &Process) -> Fragment {
        let Some(executable) = &open.executable else { return root_fragment(self, run) };
        let owner = run.owner();
        ProcessFacts {
            pid: run.pid,
            start_time: Some(run.start_time),
            executable: Some(executable),
            executable_sha256: None,
            script: open.script.as_deref(),
            owner: owner.as_deref(),
            ancestors: &[],
        }
        .fragment()
    }

    /// Takes no session any more if the last one ended `linger` ago; one that is being opened comes first.
    pub(super) fn close_if_quiet(&self, linger: Duration) -> bool {
        let _opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        if self.open_sessions() > 0 || self.sessions.quiet_for() < linger {
            return false;
        }
        self.drain();
        true
    }

    /// The proxy URL of the gateway's first TCP listener: no variable can name a Unix socket.
    pub(crate) fn proxy(&self) -> Option<String> {
        self.proxy_of(None)
    }

    /// The proxy URL of an enclave: its own listener, else the gateway's first.
    pub(crate) fn proxy_for(&self, enclave: &Enclave) -> Option<String> {
        self.proxy_of(Some(&enclave.name)).or_else(|| self.proxy())
    }

    fn proxy_of(&self, enclave: Option<&Arc<str>>) -> Option<String> {
        let mut its = self.listeners().iter().filter(|(_, own)| own.as_ref() == enclave);
        its.find_map(|(listen, _)| tcp(listen)).map(|at| format!("http://{at}"))
    }

    /// Writes the merged bundle for programs that had `inherited` ones.
    pub(crate) fn bundle(&self, policy: &Policy, inherited: &[PathBuf]) -> Result<PathBuf, String> {
        let configured = crate::upstream::anchors(policy, self.own_ca()).map_err(|e| e.to_string())?;
        bundle::write(&self.state().join(BUNDLES), &configured, inherited, self.own_ca())
            .map_err(|e| format!("the merged CA bundle cannot be written: {e}"))
    }

    /// Credentials of the enclave that `run` hands over and whose secret is not there.
    fn missing(&self, policy: &Policy, enclave: &Enclave) -> Vec<String> {
        let handed = policy.credentials_of(enclave).filter(|c| !c.env.is_empty());
        handed.filter(|c| self.secret(c).is_err()).map(|c| c.name.to_string()).collect()
    }

    /// A placeholder for each credential of the enclave that names a variable.
    fn variables(&self, policy: &Policy, enclave: &Arc<Enclave>, session: &Arc<Session>) -> Vec<(String, String)> {
        let mut all = Vec::new();
        for credential in policy.credentials_of(enclave) {
            if credential.env.is_empty() {
                continue;
            }
            if let Some(token) = self.placeholder(session, &credential.name, &credential.placeholder, credential.ttl) {
                all.extend(credential.env.iter().map(|name| (name.clone(), token.clone())));
            }
        }
        all
    }

    /// The session's placeholder for a credential, minted on first use.
    pub(crate) fn placeholder(
        &self,
        session: &Session,
        credential: &Arc<str>,
        prefix: &str,
        ttl: Duration,
    ) -> Option<String> {
        if let Some((_, token)) = session.placeholders().into_iter().find(|(name, _)| name == credential) {
            return Some(token);
        }
        let life = ttl.min(session.left(std::time::Instant::now()));
        let grant = Grant {
            credential: credential.clone(),
            scope: Scope::Session(*session.id.as_bytes()),
            expires: SystemTime::now() + life,
        };
        match self.placeholders.mint(prefix, grant) {
            Ok(token) => {
                session.hand_out(credential.clone(), token.clone());
                Some(token)
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "no placeholder can be made");
                None
            }
        }
    }

    /// Ends every session that is not over; how many there were.
    pub(crate) fn end_all(&self) -> usize {
        let open: Vec<_> = self.sessions.all().into_iter().filter(|s| s.life() != Life::Ended).collect();
        for session in &open {
            self.end(session, "admin");
        }
        open.len()
    }

    /// Whether the process of the admin socket's peer has the root of a live session above it.
    pub(crate) fn is_inside(&self, caller: Option<&Process>) -> bool {
        let chain = caller.and_then(|p| Chain::of(p.clone()).ok());
        // A caller that cannot be looked at may be anybody.
        chain.is_none_or(|chain| chain.iter().any(|p| self.is_root(&p.key())))
    }
}
