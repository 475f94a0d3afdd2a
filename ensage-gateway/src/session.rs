//! Sessions: one run of one agent in one enclave, from its first request (or `run`) to the exit of its root.

mod attribution;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use dashmap::DashMap;
use ensage_endpoint::proc::ProcessKey;
use ensage_policy::{Mode, Tier};
use tokio::sync::watch;
use uuid::Uuid;

pub use attribution::Attribution;

/// Where a session is in its life. A final state stays final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// Calls are judged.
    Open,
    /// Over.
    Ended,
    /// Refused until it is released.
    Quarantined,
}

impl Life {
    /// The stable name.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Ended => "ended",
            Self::Quarantined => "quarantined",
        }
    }

    const fn from_byte(b: u8) -> Self {
        match b {
            0 => Self::Open,
            2 => Self::Quarantined,
            _ => Self::Ended,
        }
    }
}

/// What opened a session; it decides whether the agent may open another one after `sessions end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `ensage run`.
    Run,
    /// The first request of an agent's root.
    Found,
    /// A client that is no known agent, for one connection.
    Connection,
    /// An embedding program.
    Embedded,
}

/// What a new session is made of.
#[derive(Clone, Debug)]
pub struct Opening {
    /// The enclave's name.
    pub enclave: Arc<str>,
    /// The agent's name.
    pub agent: Arc<str>,
    /// How far its reach is structural; `None` is an agent outside any containment or proxy variables of ours.
    pub tier: Tier,
    /// How it was identified.
    pub attribution: Attribution,
    /// What opened it.
    pub origin: Origin,
    /// The root process; absent for an embedded session.
    pub root: Option<ProcessKey>,
    /// Its own listener, where it has one.
    pub listener: Option<SocketAddr>,
    /// `run --observe`.
    pub mode: Option<Mode>,
    /// Longest life.
    pub ttl: Duration,
    /// What the root process is, as records print it.
    pub process: Option<ensage_audit::Fragment>,
}

/// One session. Shared by the worker that serves it and by whoever lists or ends it.
#[derive(Debug)]
pub struct Session {
    /// UUIDv7.
    pub id: Uuid,
    /// What it was opened with.
    pub opening: Opening,
    /// When it was opened.
    pub since: SystemTime,
    expires: Instant,
    life: AtomicU8,
    /// Ticks on every change of life, so that open streams notice.
    change: watch::Sender<()>,
    /// Calls that were let through.
    pub allowed: AtomicU64,
    /// Calls that were refused.
    pub denied: AtomicU64,
    /// How often one of its programs has refused our certificate.
    pub certificate_refusals: AtomicU64,
    /// Connections open now.
    pub connections: AtomicU64,
    /// Exchanges open now.
    pub streams: AtomicU64,
    /// The worker all its connections live on.
    pub worker: usize,
    /// (credential, placeholder) handed out for this session.
    placeholders: Mutex<Vec<(Arc<str>, String)>>,
    /// Its member `session` of records under enforce and under observe, each made on first use.
    fragments: [std::sync::OnceLock<ensage_audit::Fragment>; 2],
}

impl Session {
    fn new(opening: Opening, worker: usize) -> Self {
        let expires = Instant::now() + opening.ttl;
        Self {
            id: Uuid::now_v7(),
            opening,
            since: SystemTime::now(),
            expires,
            life: AtomicU8::new(0),
            change: watch::Sender::new(()),
            allowed: AtomicU64::new(0),
            denied: AtomicU64::new(0),
            certificate_refusals: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            streams: AtomicU64::new(0),
            worker,
            placeholders: Mutex::default(),
            fragments: Default::default(),
        }
    }

    /// The member `session` of its records; `mode` is the enclave's, which `run --observe` overrides.
    pub fn fragment(&self, mode: Mode) -> &ensage_audit::Fragment {
        let effective = self.opening.mode.unwrap_or(mode);
        let made = match effective {
            Mode::Enforce => &self.fragments[0],
            Mode::Observe => &self.fragments[1],
        };
        made.get_or_init(|| {
            let o = &self.opening;
            ensage_audit::SessionFacts {
                id: self.id,
                enclave: &o.enclave,
                agent: &o.agent,
                mode: effective.code(),
                tier: tier(o),
                attribution: o.attribution.code(),
                parent: None,
            }
            .fragment()
        })
    }

    /// Where it is in its life.
    pub fn life(&self) -> Life {
        Life::from_byte(self.life.load(Ordering::Acquire))
    }

    /// Notices every change of life; what waits on it re-reads [`Session::life`].
    pub fn changes(&self) -> watch::Receiver<()> {
        self.change.subscribe()
    }

    /// True if `session_ttl` is over.
    pub fn has_expired(&self, now: Instant) -> bool {
        now >= self.expires
    }

    /// What is left of its life.
    pub fn left(&self, now: Instant) -> Duration {
        self.expires.saturating_duration_since(now)
    }

    /// Placeholders handed out so far.
    pub fn placeholders(&self) -> Vec<(Arc<str>, String)> {
        self.placeholders.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Remembers a placeholder that was minted for this session.
    pub fn hand_out(&self, credential: Arc<str>, token: String) {
        self.placeholders.lock().unwrap_or_else(PoisonError::into_inner).push((credential, token));
    }

    /// Returns true if the life changed.
    fn turn(&self, from: &[Life], to: Life) -> bool {
        let byte = match to {
            Life::Open => 0,
            Life::Ended => 1,
            Life::Quarantined => 2,
        };
        let changed = self
            .life
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| {
                from.contains(&Life::from_byte(now)).then_some(byte)
            })
            .is_ok();
        if changed {
            self.change.send_replace(());
        }
        changed
    }
}

/// The stable name of a session's tier: a client that nobody led here is outside.
pub fn tier(opening: &Opening) -> &'static str {
    match (opening.origin, opening.tier) {
        (Origin::Connection, _) => "outside",
        (_, Tier::Contained) => "contained",
        (_, Tier::Advisory) => "advisory",
    }
}

/// All sessions of a gateway. Entries are removed by the supervisor, [`Sessions::forget`].
#[derive(Debug, Default)]
pub struct Sessions {
    by_id: DashMap<Uuid, Arc<Session>>,
    by_root: DashMap<(ProcessKey, Arc<str>), Uuid>,
    workers: Mutex<Vec<usize>>,
    /// When the last one was opened or ended.
    stirred: Mutex<Option<Instant>>,
}

impl Sessions {
    /// For a gateway with `workers` worker threads.
    pub fn new(workers: usize) -> Self {
        let stirred = Mutex::new(Some(Instant::now()));
        Self { workers: Mutex::new(vec![0; workers.max(1)]), stirred, ..Self::default() }
    }

    /// How long no session has been opened or ended.
    pub fn quiet_for(&self) -> Duration {
        self.stirred.lock().unwrap_or_else(PoisonError::into_inner).map_or(Duration::MAX, |at| at.elapsed())
    }

    fn stir(&self) {
        *self.stirred.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Opens a session on the least loaded worker.
    pub fn open(&self, opening: Opening) -> Arc<Session> {
        let worker = self.least_loaded();
        let session = Arc::new(Session::new(opening, worker));
        if let Some(root) = session.opening.root {
            self.by_root.insert((root, session.opening.enclave.clone()), session.id);
        }
        self.by_id.insert(session.id, session.clone());
        session
    }

    /// The session of `root` in `enclave`, or a new one; `fresh` tells that it was opened by this call.
    ///
    /// Two connections that arrive together must end in one session, so the look-up and the opening are one step.
    pub fn find_or_open(
        &self,
        root: ProcessKey,
        enclave: &Arc<str>,
        opening: impl FnOnce() -> Opening,
    ) -> (Arc<Session>, Fresh) {
        use dashmap::Entry;
        match self.by_root.entry((root, enclave.clone())) {
            Entry::Occupied(mut slot) => {
                let known = self.by_id.get(slot.get()).map(|s| s.value().clone());
                match known {
                    Some(s) if s.life() != Life::Ended || s.opening.origin == Origin::Run => (s, Fresh::Known),
                    _ => {
                        let session = Arc::new(Session::new(opening(), self.least_loaded()));
                        slot.insert(session.id);
                        self.by_id.insert(session.id, session.clone());
                        (session, Fresh::Opened)
                    }
                }
            }
            Entry::Vacant(slot) => {
                let session = Arc::new(Session::new(opening(), self.least_loaded()));
                slot.insert(session.id);
                self.by_id.insert(session.id, session.clone());
                (session, Fresh::Opened)
            }
        }
    }

    /// Whether `run` opened a session for this root.
    pub fn is_registered(&self, root: &ProcessKey) -> bool {
        self.registered(root).is_some()
    }

    /// The session that `run` opened for this root.
    pub fn registered(&self, root: &ProcessKey) -> Option<Arc<Session>> {
        self.by_id
            .iter()
            .find(|s| s.opening.root.as_ref() == Some(root) && s.opening.origin == Origin::Run)
            .map(|s| s.value().clone())
    }

    /// Whether this is the root of any session that is not over.
    pub fn has_root(&self, key: &ProcessKey) -> bool {
        self.by_id.iter().any(|s| s.opening.root.as_ref() == Some(key) && s.life() != Life::Ended)
    }

    /// Wakes every session's streams, so that they are held against a new policy.
    pub fn judge_again(&self) {
        for session in self.by_id.iter() {
            session.change.send_replace(());
        }
    }

    /// One session.
    pub fn find(&self, id: Uuid) -> Option<Arc<Session>> {
        self.by_id.get(&id).map(|s| s.value().clone())
    }

    /// All of them, oldest first.
    pub fn all(&self) -> Vec<Arc<Session>> {
        let mut all: Vec<_> = self.by_id.iter().map(|s| s.value().clone()).collect();
        all.sort_by_key(|s| s.id);
        all
    }

    /// Ends a session; true if it was not over before.
    pub fn end(&self, session: &Session) -> bool {
        let ended = session.turn(&[Life::Open, Life::Quarantined], Life::Ended);
        if ended {
            self.stir();
        }
        ended
    }

    /// Quarantines; true if it was open.
    pub fn quarantine(&self, session: &Session) -> bool {
        session.turn(&[Life::Open], Life::Quarantined)
    }

    /// Releases; true if it was quarantined.
    pub fn release(&self, session: &Session) -> bool {
        session.turn(&[Life::Quarantined], Life::Open)
    }

    /// Drops an ended session from the tables; its connections keep their own reference.
    pub fn forget(&self, session: &Session) {
        self.by_id.remove(&session.id);
        if let Some(root) = session.opening.root {
            self.by_root.remove_if(&(root, session.opening.enclave.clone()), |_, id| *id == session.id);
        }
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(load) = workers.get_mut(session.worker) {
            *load = load.saturating_sub(1);
        }
    }

    /// Every opening comes through here.
    fn least_loaded(&self) -> usize {
        self.stir();
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        let best = workers.iter().enumerate().min_by_key(|(_, load)| **load).map_or(0, |(i, _)| i);
        if let Some(load) = workers.get_mut(best) {
            *load += 1;
        }
        best
    }
}

/// Whether a look-up opened a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fresh {
    /// It was opened by this call.
    Opened,
    /// It was there.
    Known,
}
