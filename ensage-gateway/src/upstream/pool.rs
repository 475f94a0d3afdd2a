//! Idle upstream connections of one session. No session rides another's, and none serves two credentials.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use ensage_policy::Scheme;
use ensage_policy::authority::Authority;
use ipnet::IpNet;

use super::dial::OriginIo;
use crate::flow::OutBody;
use crate::gate::{Gate, Watch};
use crate::h1;

/// Most idle connections kept for one key; more are closed.
const IDLE_MAX: usize = 32;

/// What makes two requests of one session able to share a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PoolKey {
    /// The one authority.
    pub(crate) authority: Authority,
    /// Plain or TLS.
    pub(crate) scheme: Scheme,
    /// The credential that was put in, if any.
    pub(crate) credential: Option<Arc<str>>,
    /// The policy generation whose trust anchors and addresses were checked.
    pub(crate) generation: u64,
    /// The special-purpose ranges that were open when its address was checked.
    pub(crate) opened: Vec<IpNet>,
}

/// One connection: its two directions, its response gate, and where it leads.
pub(crate) struct Lease {
    /// Requests and answers.
    pub(crate) link: h1::Link<Gate<OriginIo>, OutBody>,
    /// Told the method of each request before it is sent.
    pub(crate) gate: Watch,
    /// The address that was dialled.
    pub(crate) peer: SocketAddr,
}

type Recent = Option<(PoolKey, Rc<Lane>)>;

/// The idle connections of one session; single-threaded like everything of a session.
#[derive(Clone, Default)]
pub(crate) struct Pool {
    lanes: Rc<RefCell<HashMap<PoolKey, Rc<Lane>>>>,
    /// The lane that was asked for last: most sessions keep to one.
    recent: Rc<RefCell<Recent>>,
}

/// The idle connections of one key.
#[derive(Default)]
pub(crate) struct Lane {
    /// The newest last, each with how many sweeps it has seen.
    idle: RefCell<Vec<(Lease, u32)>>,
}

impl Pool {
    /// Where the connections of this key are.
    pub(crate) fn lane(&self, key: &PoolKey) -> Rc<Lane> {
        let mut recent = self.recent.borrow_mut();
        if let Some((known, lane)) = &*recent
            && known == key
        {
            return lane.clone();
        }
        let lane = self.lanes.borrow_mut().entry(key.clone()).or_default().clone();
        *recent = Some((key.clone(), lane.clone()));
        lane
    }

    /// Closes what would be idle for longer than `age` at the next sweep, and what is closed already; called `every`
    /// so often.
    pub(crate) fn sweep(&self, every: Duration, age: Duration) {
        *self.recent.borrow_mut() = None;
        self.lanes.borrow_mut().retain(|_, lane| {
            let mut idle = lane.idle.borrow_mut();
            idle.retain_mut(|(lease, sweeps)| {
                *sweeps = sweeps.saturating_add(1);
                every.saturating_mul(*sweeps) < age && lease.link.is_usable()
            });
            !idle.is_empty() || Rc::strong_count(lane) > 1
        });
    }
}

impl Lane {
    /// The most recently used connection that is still usable, for a task that asks at once.
    pub(crate) fn take(&self, cx: &mut Context<'_>) -> Option<Lease> {
        let mut idle = self.idle.borrow_mut();
        std::iter::from_fn(|| idle.pop()).map(|(lease, _)| lease).find(|lease| lease.link.arm(cx))
    }

    /// Keeps a connection whose last answer is complete.
    pub(crate) fn give_back(&self, lease: Lease) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < IDLE_MAX && lease.link.is_idle() {
            idle.push((lease, 0));
        }
    }
}
