//! What all threads of a gateway share.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use ensage_audit::{Draft, GatewayEvent, Log, PolicyEvent, Seq};
use ensage_creds::{KeySource, Placeholders, Redactor, Secrets, Vault};
use ensage_endpoint::peers::Peers;
use ensage_endpoint::proc::Digests;
use ensage_policy::Policy;
use ensage_policy::model::Listen;
use rustls::pki_types::CertificateDer;
use tokio::sync::{Semaphore, watch};

use super::generation::{Generation, environment};
use super::owners::Owners;
use super::secrets::audit_key;
use super::{Again, StartError, notice};
use crate::ca::{Authority, Minter};
use crate::flow::HOLD_UNIT;
use crate::metrics::Metrics;
use crate::refusals::Refusals;
use crate::session::Sessions;
use crate::state::StateFolder;
use crate::telemetry::{GATEWAY, chain};

/// Longest search for the owners of a client's socket. It runs beside everything else, and on a busy machine takes many
/// times what it costs: a client must not be refused for that.
const ATTRIBUTION_MAX: Duration = Duration::from_secs(5);

/// The gateway's state; one `Arc` of it in every thread.
pub(crate) struct Shared {
    current: ArcSwap<Generation>,
    generations: AtomicU64,
    again: Again,
    reloading: Mutex<()>,
    last_reload: Mutex<Option<(SystemTime, Option<String>)>>,
    /// Sessions.
    pub(crate) sessions: Sessions,
    /// The audit log.
    pub(crate) log: Log,
    /// Placeholders that were given out.
    pub(crate) placeholders: Placeholders,
    pub(super) vault: Mutex<Vault>,
    /// False from the moment on that the vault's file cannot be read, until it can.
    pub(super) vault_readable: AtomicBool,
    /// Knows every secret of this moment.
    pub(super) redactor: ArcSwap<Redactor>,
    /// Ticks when the vault's content changed, so that nobody keeps an old secret.
    pub(super) vault_epoch: AtomicU64,
    pub(super) secrets: Secrets,
    /// Makes leaf certificates.
    pub(crate) minter: Minter,
    own_ca: CertificateDer<'static>,
    ca_path: PathBuf,
    /// Budget of held bytes, in units of [`HOLD_UNIT`].
    pub(crate) held: Arc<Semaphore>,
    held_units: u64,
    /// Budget of client connections.
    pub(crate) connections: Arc<Semaphore>,
    /// Client connections open now.
    pub(crate) open_connections: AtomicU64,
    /// How many listeners wait for file descriptors.
    pub(super) out_of_files: AtomicU64,
    /// Whether one waits for `limits.connections`.
    pub(super) out_of_slots: AtomicBool,
    /// What is counted.
    pub(crate) metrics: Metrics,
    /// Who refuses our certificate, and where.
    pub(crate) refusals: Refusals,
    /// Asks the kernel who is at the other end.
    pub(crate) peers: Peers,
    /// Who holds each connection.
    pub(super) owners: Owners,
    /// Digests of programs.
    pub(crate) digests: Digests,
    /// True while one is being made for records.
    pub(crate) hashing: AtomicBool,
    state: PathBuf,
    /// Each with the enclave that it belongs to, if it is one's own.
    listeners: OnceLock<Vec<(Listen, Option<Arc<str>>)>>,
    since: SystemTime,
    draining: AtomicBool,
    leaving: watch::Sender<bool>,
    /// Held while `run` opens a session, so that a gateway does not end under it.
    pub(super) opening: Mutex<()>,
    stop: watch::Sender<bool>,
    _lock: std::fs::File,
}

impl Shared {
    pub(super) fn open(
        state: &StateFolder,
        mut policy: Policy,
        keys: &KeySource,
        again: Again,
        embedded: bool,
        lock: std::fs::File,
    ) -> Result<Arc<Self>, StartError> {
        let peers = Peers::new().map_err(StartError::Attribution)?.with_budget(ATTRIBUTION_MAX);
        let peers = if embedded { peers } else { peers.elsewhere() };
        let vault = Vault::open(state.path(), keys).map_err(StartError::Vault)?;
        let ca = Authority::open_or_create(state.path(), &vault).map_err(StartError::Ca)?;
        let own_ca = ca.certificate().clone();
        let ca_path = ca.facts().path.clone();
        let key = audit_key(state.path(), &vault)?;
        let options = ensage_audit::Options {
            segment_bytes: policy.audit.segment,
            retain: Some(policy.audit.retain),
            sync: policy.audit.sync,
            ..ensage_audit::Options::default()
        };
        let log = Log::open(&state.path().join("audit"), options, &key).map_err(StartError::Audit)?;
        policy.generation = 1;
        let secrets = Secrets::new(environment(&policy));
        let limits = policy.limits;
        let workers = policy.gateway.workers;
        let generation = Generation::new(policy, &own_ca).map_err(StartError::Upstream)?;
        let placeholders = Placeholders::new();
        if let Ok(known) = vault.placeholders() {
            placeholders.sync_agents(&known);
        }
        let held_units = limits.held_total.div_ceil(HOLD_UNIT).min(Semaphore::MAX_PERMITS as u64);
        let minter = Minter::new(ca).map_err(StartError::Leaf)?;
        Ok(Arc::new(Self {
            current: ArcSwap::from_pointee(generation),
            generations: AtomicU64::new(1),
            again,
            reloading: Mutex::default(),
            last_reload: Mutex::default(),
            sessions: Sessions::new(workers),
            log,
            placeholders,
            vault: Mutex::new(vault),
            vault_readable: AtomicBool::new(true),
            redactor: ArcSwap::default(),
            vault_epoch: AtomicU64::new(1),
            secrets,
            minter,
            own_ca,
            ca_path,
            held: Arc::new(Semaphore::new(usize::try_from(held_units).unwrap_or(Semaphore::MAX_PERMITS))),
            held_units,
            connections: Arc::new(Semaphore::new(
                usize::try_from(limits.connections).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS),
            )),
            open_connections: AtomicU64::new(0),
            out_of_files: AtomicU64::new(0),
            out_of_slots: AtomicBool::new(false),
            metrics: Metrics::new(workers),
            refusals: Refusals::default(),
            peers,
            owners: Owners::default(),
            digests: Digests::new(),
            hashing: AtomicBool::new(false),
            state: state.path().to_owned(),
            listeners: OnceLock::new(),
            since: SystemTime::now(),
            draining: AtomicBool::new(false),
            leaving: watch::Sender::new(false),
            opening: Mutex::default(),
            stop: watch::Sender::new(false),
            _lock: lock,
        }))
    }

    /// The generation of this moment.
    pub(crate) fn generation(&self) -> Arc<Generation> {
        self.current.load_full()
    }

    /// Which generation is in force, or will be in a moment.
    pub(crate) fn generation_number(&self) -> u64 {
        self.generations.load(Ordering::Acquire)
    }

    /// The policy of this moment.
    pub(crate) fn policy(&self) -> Arc<Policy> {
        self.current.load().policy.clone()
    }

    /// Reads the configuration again and puts it in force, or keeps the old one.
    pub(crate) fn reload(&self) -> Result<u64, String> {
        let _one = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let result = self.try_reload();
        let now = SystemTime::now();
        let error = result.as_ref().err().cloned();
        let generation = self.policy();
        let event = PolicyEvent {
            event: if error.is_none() { "loaded" } else { "rejected" },
            generation: Some(generation.generation),
            sha256: Some(&generation.sha256),
            file: generation.file.as_deref().and_then(Path::to_str),
            message: error.as_deref(),
        };
        self.note(Draft::policy(if error.is_none() { "info" } else { "medium" }, &event));
        match &error {
            None => self.metrics.reloaded(),
            Some(_) => self.metrics.reload_rejected(),
        }
        notice::reloaded(&generation, error.as_deref());
        *self.last_reload.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, error));
        result
    }

    fn try_reload(&self) -> Result<u64, String> {
        let mut policy = (self.again)()?;
        let number = self.generations.load(Ordering::Acquire) + 1;
        policy.generation = number;
        let generation = Generation::new(policy, &self.own_ca).map_err(|e| chain(&e))?;
        self.generations.store(number, Ordering::Release);
        self.current.store(Arc::new(generation));
        self.refresh_vault();
        self.redact_anew();
        self.sessions.judge_again();
        Ok(number)
    }

    /// When the last reload was, and why it failed if it did.
    pub(crate) fn last_reload(&self) -> Option<(SystemTime, Option<String>)> {
        self.last_reload.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The PEM of our own CA.
    pub(crate) fn ca_path(&self) -> &Path {
        &self.ca_path
    }

    /// Our own CA.
    pub(crate) fn own_ca(&self) -> &CertificateDer<'static> {
        &self.own_ca
    }

    /// The state folder.
    pub(crate) fn state(&self) -> &Path {
        &self.state
    }

    pub(super) fn set_listeners(&self, all: Vec<(Listen, Option<Arc<str>>)>) {
        let _ = self.listeners.set(all);
    }

    /// The gateway's listeners.
    pub(crate) fn listeners(&self) -> &[(Listen, Option<Arc<str>>)] {
        self.listeners.get().map_or(&[], Vec::as_slice)
    }

    /// The TCP ones of them.
    pub(super) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.listeners().iter().filter_map(|(listen, _)| tcp(listen))
    }

    /// Every address that this gateway listens on, those of embedded sessions too.
    pub(crate) fn own_addresses(&self) -> Vec<SocketAddr> {
        self.addresses().chain(self.sessions.all().iter().filter_map(|s| s.opening.listener)).collect()
    }

    /// When it was started.
    pub(crate) fn since(&self) -> SystemTime {
        self.since
    }

    /// Bytes held by undecided exchanges, to the unit.
    pub(crate) fn held_bytes(&self) -> u64 {
        self.held_units.saturating_sub(self.held.available_permits() as u64) * HOLD_UNIT
    }

    pub(super) fn drain(&self) {
        if !self.draining.swap(true, Ordering::AcqRel) {
            self.leaving.send_replace(true);
            tracing::info!(target: GATEWAY, "the gateway drains");
            self.note(Draft::gateway("info", &GatewayEvent { event: "draining", ..GatewayEvent::default() }));
        }
    }

    /// Returns when no new connection is taken any more, and none is kept for another request.
    pub(crate) fn left(&self) -> impl Future<Output = ()> + use<> {
        let mut leaving = self.leaving.subscribe();
        async move {
            let _ = leaving.wait_for(|leaving| *leaving).await;
        }
    }

    /// True while no new connection is taken.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    pub(super) fn stop(&self) {
        self.draining.store(true, Ordering::Release);
        self.leaving.send_replace(true);
        self.stop.send_replace(true);
    }

    /// True from the moment on that everything is cut.
    pub(crate) fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// Returns when everything is cut.
    pub(crate) fn stopped(&self) -> impl Future<Output = ()> + use<> {
        let mut stop = self.stop.subscribe();
        async move {
            let _ = stop.wait_for(|s| *s).await;
        }
    }

    pub(super) fn started(&self) {
        let version = env!("CARGO_PKG_VERSION");
        self.note(Draft::gateway(
            "info",
            &GatewayEvent { event: "started", version: Some(version), ..GatewayEvent::default() },
        ));
        let policy = self.policy();
        notice::started(&policy, self.listeners());
        let event = PolicyEvent {
            event: "loaded",
            generation: Some(policy.generation),
            sha256: Some(&policy.sha256),
            file: policy.file.as_deref().and_then(Path::to_str),
            message: None,
        };
        self.note(Draft::policy("info", &event));
    }

    pub(super) fn stopped_record(&self) {
        tracing::info!(target: GATEWAY, "the gateway has stopped");
        self.note(Draft::gateway("info", &GatewayEvent { event: "stopped", ..GatewayEvent::default() }));
    }

    /// Overwrites every secret and placeholder in what is about to be shown.
    pub(crate) fn redact(&self, text: &mut [u8]) {
        self.redactor.load().redact(text);
    }

    /// Gives a record its place in the log. Whatever others said in it, no secret and no placeholder is written down.
    pub(crate) fn append(&self, draft: Draft<'_>) -> Result<Seq, ensage_audit::AuditError> {
        let redactor = self.redactor.load();
        self.log.append_redacted(draft, |text| redactor.redact(text))
    }

    /// A record that no answer waits for; that it cannot be written is the audit log's own alarm.
    pub(crate) fn note(&self, draft: Draft<'_>) {
        match self.append(draft).and_then(|seq| self.log.written(seq)) {
            Ok(()) => {}
            Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "a record cannot be written"),
        }
    }
}

/// The address of a TCP listener.
pub(super) const fn tcp(listen: &Listen) -> Option<SocketAddr> {
    match listen {
        Listen::Tcp(at) => Some(*at),
        Listen::Unix(_) => None,
    }
}
