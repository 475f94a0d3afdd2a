//! A worker: one thread, one current-thread runtime, and everything of the sessions that live on it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ensage_creds::{Patterns, Secret, Unavailable};
use ensage_policy::model::Credential;
use tokio::sync::mpsc;
use tokio::task::LocalSet;
use uuid::Uuid;

use crate::flow::{self, Arrival, Given, McpSessions};
use crate::gate;
use crate::gateway::{Generation, Shared};
use crate::metrics::{CredentialTally, EnclaveTally, Tally};
use crate::session::{Life, Session};
use crate::upstream::{Dialer, Pool, SetupError};

/// How often idle upstream connections and the rooms of ended sessions are looked through.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// What the worker keeps for one session.
#[derive(Clone)]
pub(crate) struct Rooms {
    /// Idle upstream connections.
    pub(crate) pool: Pool,
    /// MCP sessions that it was given.
    pub(crate) mcp: Rc<McpSessions>,
    /// What of its LLM providers' state it was given.
    pub(crate) given: Rc<Given>,
    /// What its enclave's calls are counted in.
    pub(crate) tally: Arc<EnclaveTally>,
    session: Arc<Session>,
    worker: Arc<Tally>,
    ready: Rc<RefCell<Vec<Rc<Ready>>>>,
}

/// Which secrets are ready: the credential that is put in, the placeholder that its client spelled, and the credentials
/// that bind the host.
type ReadyKey = (Option<Arc<str>>, Option<String>, Vec<Arc<str>>);

/// Most entries kept ready for one session; an agent has a handful, and they are searched one by one.
const READY_MAX: usize = 64;

/// A secret ready to be put in, and what must not come back.
pub(crate) struct Ready {
    /// The secret; absent where none is put in.
    pub(crate) secret: Option<Secret>,
    /// All secrets of the host, each with what the client shall see instead.
    pub(crate) patterns: Arc<Patterns>,
    /// What is counted of the credential, that which is put in before others.
    pub(crate) tally: Option<Arc<CredentialTally>>,
    key: ReadyKey,
    epoch: u64,
    generation: u64,
}

impl Rooms {
    /// The secret of `credential` and the patterns of all that bind the host, from the vault or as they were; all of
    /// them are of the policy `generation`.
    ///
    /// # Errors
    /// The secret that should be put in is not available.
    pub(crate) fn ready(
        &self,
        shared: &Shared,
        generation: u64,
        credential: Option<&Arc<Credential>>,
        token: Option<&str>,
        bound: &[&Arc<Credential>],
    ) -> Result<Rc<Ready>, Unavailable> {
        let epoch = shared.vault_epoch();
        let is_asked = |(put_in, spelled, all): &ReadyKey| {
            put_in.as_ref() == credential.map(|c| &c.name)
                && spelled.as_deref() == token
                && all.iter().eq(bound.iter().map(|c| &c.name))
        };
        if let Some(ready) = self.ready.borrow().iter().find(|ready| is_asked(&ready.key))
            && (ready.epoch, ready.generation) == (epoch, generation)
        {
            return Ok(ready.clone());
        }
        let secret = credential.map(|c| shared.secret(c)).transpose()?;
        let mut pairs = Vec::new();
        for c in bound {
            let own = credential.is_some_and(|used| used.name == c.name);
            let shown = match token {
                Some(token) if own => Some(token.to_owned()),
                _ => shared.placeholder(&self.session, &c.name, &c.placeholder, c.ttl),
            };
            // A secret that is not there cannot be reflected.
            if let (Some(shown), Ok(secret)) = (shown, shared.secret(c)) {
                pairs.push((secret, shown));
            }
        }
        let pairs: Vec<(&Secret, &str)> = pairs.iter().map(|(s, p)| (s, p.as_str())).collect();
        let key = (
            credential.map(|c| c.name.clone()),
            token.map(str::to_owned),
            bound.iter().map(|c| c.name.clone()).collect(),
        );
        let tally = credential.or(bound.first().copied()).map(|c| self.worker.credential(&c.name));
        let ready = Rc::new(Ready { secret, patterns: Patterns::new(&pairs), tally, key, epoch, generation });
        let mut all = self.ready.borrow_mut();
        all.retain(|ready| !is_asked(&ready.key));
        if all.len() >= READY_MAX {
            all.clear();
        }
        all.push(ready.clone());
        Ok(ready)
    }
}

/// A generation as a worker holds it: counted once for all its exchanges, so that workers share no count.
pub(crate) struct Current(Arc<Generation>);

impl Deref for Current {
    type Target = Arc<Generation>;

    fn deref(&self) -> &Arc<Generation> {
        &self.0
    }
}

/// State of one worker thread; nothing in it is shared or locked.
pub(crate) struct Worker {
    shared: Arc<Shared>,
    generation: RefCell<Rc<Current>>,
    dialer: RefCell<Option<(u64, Rc<Dialer>)>>,
    rooms: RefCell<HashMap<Uuid, Rooms>>,
    tally: Arc<Tally>,
    strangers: Arc<EnclaveTally>,
}

impl Worker {
    fn new(shared: Arc<Shared>, number: usize) -> Self {
        let tally = shared.metrics.worker(number);
        let strangers = tally.enclave(&"".into());
        let generation = RefCell::new(Rc::new(Current(shared.generation())));
        Self { shared, generation, dialer: RefCell::default(), rooms: RefCell::default(), tally, strangers }
    }

    /// What this worker counts in.
    pub(crate) fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }

    /// The same for calls of clients that belong to no enclave.
    pub(crate) fn strangers(&self) -> &EnclaveTally {
        &self.strangers
    }

    /// The generation of this moment.
    pub(crate) fn generation(&self) -> Rc<Current> {
        let mut known = self.generation.borrow_mut();
        if known.policy.generation != self.shared.generation_number() {
            *known = Rc::new(Current(self.shared.generation()));
        }
        known.clone()
    }

    /// The dialer of this generation; made on first use after a reload.
    ///
    /// # Errors
    /// The resolvers cannot be set up.
    pub(crate) fn dialer(&self, generation: &Arc<Generation>) -> Result<Rc<Dialer>, SetupError> {
        let number = generation.policy.generation;
        if let Some((known, dialer)) = self.dialer.borrow().as_ref()
            && *known == number
        {
            return Ok(dialer.clone());
        }
        let dialer = Rc::new(Dialer::new(generation, self.tally.clone(), &self.shared.own_addresses())?);
        self.dialer.replace(Some((number, dialer.clone())));
        Ok(dialer)
    }

    /// What is kept for `session`, made on first use.
    pub(crate) fn rooms(&self, session: &Arc<Session>) -> Rooms {
        self.rooms
            .borrow_mut()
            .entry(session.id)
            .or_insert_with(|| Rooms {
                pool: Pool::default(),
                mcp: Rc::default(),
                given: Rc::default(),
                tally: self.tally.enclave(&session.opening.enclave),
                session: session.clone(),
                worker: self.tally.clone(),
                ready: Rc::default(),
            })
            .clone()
    }

    /// Bounds of the head gate in the policy of this moment.
    pub(crate) fn gate_limits(&self) -> gate::Limits {
        gate::Limits::from(&self.shared.policy().limits)
    }

    /// Waits of the head gate towards clients.
    pub(crate) fn gate_waits(&self) -> gate::Waits {
        gate::Waits::from(&self.shared.policy().limits)
    }

    fn sweep(&self) {
        let age = self.shared.policy().limits.idle_timeout;
        self.rooms.borrow_mut().retain(|_, room| {
            if room.session.life() != Life::Open {
                return false;
            }
            room.pool.sweep(SWEEP_EVERY, age);
            true
        });
    }
}

/// Runs a worker until its channel is closed and its last connection has ended or `shared` says stop.
pub(crate) fn run(shared: &Arc<Shared>, number: usize, mut arrivals: mpsc::UnboundedReceiver<Arrival>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "a worker has no runtime");
            return;
        }
    };
    let worker = Rc::new(Worker::new(shared.clone(), number));
    let local = LocalSet::new();
    let stop = shared.stopped();
    local.block_on(&runtime, async {
        let mut stop = std::pin::pin!(stop);
        let mut sweep = tokio::time::interval(SWEEP_EVERY);
        loop {
            tokio::select! {
                arrival = arrivals.recv() => match arrival {
                    Some(arrival) => {
                        let (shared, worker) = (shared.clone(), worker.clone());
                        tokio::task::spawn_local(flow::serve(shared, worker, arrival));
                    }
                    None => break,
                },
                _ = sweep.tick() => worker.sweep(),
                () = &mut stop => break,
            }
        }
    });
    // Dropping the set drops every connection that is left: their records are written by their guards.
    drop(local);
}
