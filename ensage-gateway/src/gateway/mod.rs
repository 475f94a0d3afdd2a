//! A gateway in this process: its threads, its listeners, and the handle that embedders and the daemon hold.

mod accept;
mod attribution;
pub(crate) mod documents;
mod embed;
mod generation;
mod listen;
mod lives;
mod notice;
mod owners;
mod room;
mod runs;
mod secrets;
mod shared;
mod supervise;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ensage_creds::{KeySource, VaultError};
use ensage_endpoint::activation::Passed;
use ensage_policy::Policy;
use ensage_policy::model::Listen;
use tokio::sync::mpsc;

pub(crate) use accept::ConnectionSlot;
pub use embed::{EmbedError, OptionsError, Session, SessionSpec};
pub(crate) use generation::{Generation, matchers};
pub use listen::ListenError;
pub(crate) use owners::Owner;
pub(crate) use room::is_out_of_files;
pub(crate) use runs::RunError;
pub(crate) use shared::Shared;

use crate::state::StateFolder;
use crate::upstream::SetupError;
use accept::Scope;
use listen::{Bound, Open, SocketFile};

/// Reads the configuration again; the error is what `check` would print.
pub type Again = Box<dyn Fn() -> Result<Policy, String> + Send + Sync>;

/// What a gateway is started with.
pub struct Options {
    /// The state folder.
    pub state: StateFolder,
    /// The first policy.
    pub policy: Policy,
    /// What opens the vault.
    pub keys: KeySource,
    /// For a reload.
    pub again: Again,
    /// Whether clients may be in this very process, an agent runtime.
    pub embedded: bool,
    /// Listening sockets that a supervisor keeps.
    pub passed: Vec<Passed>,
}

/// Why a gateway did not start. Nothing is left running.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another gateway has this state folder.
    #[error("a gateway runs on this state folder already")]
    AlreadyRunning,
    /// The vault cannot be opened.
    #[error("cannot open the vault")]
    Vault(#[source] VaultError),
    /// The CA cannot be opened.
    #[error("cannot open the certificate authority")]
    Ca(#[source] crate::ca::CaError),
    /// No leaf key can be made.
    #[error("cannot make the key of leaf certificates")]
    Leaf(#[source] crate::ca::LeafError),
    /// The audit log cannot be opened.
    #[error("cannot open the audit log")]
    Audit(#[source] ensage_audit::AuditError),
    /// The upstream leg cannot be set up.
    #[error("cannot set up the upstream leg")]
    Upstream(#[source] SetupError),
    /// A listener cannot be opened.
    #[error("cannot listen on {at}")]
    Listen {
        /// Where.
        at: Listen,
        /// Why.
        #[source]
        source: ListenError,
    },
    /// A supervisor passed a socket that no listener of the configuration is.
    #[error("a listening socket was passed for {at}, which no `listen` names")]
    Passed {
        /// Where it listens.
        at: Listen,
    },
    /// A supervisor passed a socket that other machines can connect to, and no listener of the configuration says so.
    #[error("a listening socket was passed for {at}, which other machines may reach")]
    Reachable {
        /// Where it listens.
        at: Listen,
    },
    /// The state folder cannot be used.
    #[error("cannot use the state folder")]
    State(#[source] std::io::Error),
    /// The kernel cannot be asked about sockets.
    #[error("cannot ask the kernel who is at the other end of a socket")]
    Attribution(#[source] std::io::Error),
}

/// A running gateway. Dropping it stops it.
pub struct Gateway {
    shared: Arc<Shared>,
    addresses: Vec<SocketAddr>,
    control: mpsc::UnboundedSender<(Bound, Scope)>,
    threads: Vec<JoinHandle<()>>,
    /// Removed when it has stopped.
    _files: Vec<SocketFile>,
}

impl Gateway {
    /// Opens everything, then listens: a client that can connect meets policy, CA, vault and audit log in place.
    ///
    /// Installs nothing global: no crypto provider, no subscriber, no signal handler. Runs threads of its own and works
    /// from any runtime, or none.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running.
    pub fn start(options: Options) -> Result<Self, StartError> {
        let Options { state, policy, keys, again, embedded, passed } = options;
        let lock = lock(&state)?;
        let workers = policy.gateway.workers;
        let shared = Shared::open(&state, policy, &keys, again, embedded, lock)?;
        // Before the first record: the vault's secrets of now are as secret as those of later.
        shared.redact_anew();
        let open = listen::open(&shared.policy(), passed)?;
        let admin = crate::admin::server::bind(state.path()).map_err(StartError::State)?;
        let of_enclave = |scope: &Scope| match scope {
            Scope::Enclave(name) => Some(name.clone()),
            Scope::Gateway | Scope::Session(_) => None,
        };
        shared.set_listeners(open.iter().map(|one| (one.at.clone(), of_enclave(&one.scope))).collect());
        let addresses = shared.addresses().collect();
        let (control, control_in) = mpsc::unbounded_channel();
        let mut senders = Vec::new();
        let mut threads = Vec::new();
        for number in 0..workers {
            let (to, arrivals) = mpsc::unbounded_channel();
            senders.push(to);
            let shared = shared.clone();
            threads.push(spawn(&format!("ensage-worker-{number}"), move || {
                crate::worker::run(&shared, number, arrivals)
            })?);
        }
        let mut files = Vec::new();
        for Open { bound, scope, file, .. } in open {
            files.extend(file);
            // The control thread takes it from there.
            let _ = control.send((bound, scope));
        }
        let inner = shared.clone();
        let ready = std::sync::mpsc::channel();
        let started = ready.0;
        threads.push(spawn("ensage-control", move || supervise::run(&inner, senders, control_in, admin, &started))?);
        // The receiver only fails if the thread is gone, and then nothing listens.
        ready.1.recv().map_err(|_| StartError::State(std::io::ErrorKind::Other.into()))?;
        shared.started();
        Ok(Self { shared, addresses, control, threads, _files: files })
    }

    /// The TCP listeners, in the order of the configuration.
    pub fn listeners(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// All listeners, in the order of the configuration.
    pub fn listening(&self) -> impl Iterator<Item = &Listen> {
        self.shared.listeners().iter().map(|(at, _)| at)
    }

    /// Puts the configuration of this moment in force; a broken one changes nothing.
    ///
    /// # Errors
    /// What `check` would print.
    pub fn reload(&self) -> Result<u64, String> {
        self.shared.reload()
    }

    /// How many sessions are open.
    pub fn open_sessions(&self) -> usize {
        self.shared.open_sessions()
    }

    /// Takes no new session if the last one ended `linger` ago; true if so.
    pub fn close_if_quiet(&self, linger: Duration) -> bool {
        self.shared.close_if_quiet(linger)
    }

    /// Takes no new connection, lets idle ones go, and returns when what was asked is answered or `most` has passed.
    pub async fn drain(&self, most: Duration) {
        self.shared.drain();
        let until = Instant::now() + most;
        loop {
            // The first time too: connections must hear of it before they are looked at.
            tokio::time::sleep(Duration::from_millis(20)).await;
            if self.shared.metrics.answering() == 0 || Instant::now() >= until {
                return;
            }
        }
    }

    /// Opens a session for an agent in this process or one that it starts; its own listener is its identity.
    ///
    /// # Errors
    /// [`EmbedError`] if the enclave is not there or lists another agent.
    pub fn session(&self, spec: &SessionSpec) -> Result<Session, EmbedError> {
        embed::open(&self.shared, &self.control, spec)
    }

    /// Stops at once: connections are cut, records are written.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.shared.stop();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        self.shared.stopped_record();
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StartError> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map_err(StartError::State)
}

/// One gateway for each state folder: whoever holds the lock may replace the admin socket, and the CA.
pub(crate) fn lock(state: &StateFolder) -> Result<std::fs::File, StartError> {
    use std::os::unix::fs::OpenOptionsExt;
    let path: PathBuf = state.path().join("gateway.lock");
    let file = std::fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(StartError::State)?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StartError::AlreadyRunning),
        Err(error) => Err(StartError::State(error.into())),
    }
}
