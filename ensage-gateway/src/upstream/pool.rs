//! Idle upstream connections of one session. No session rides another's, and none serves two credentials.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

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

/// Each with the moment it became idle, the newest last.
type Idle = HashMap<PoolKey, Vec<(Lease, Instant)>>;

/// The idle connections of one session; single-threaded like everything of a session.
#[derive(Clone, Default)]
pub(crate) struct Pool {
    idle: Rc<RefCell<Idle>>,
}

impl Pool {
    /// The most recently used connection that is still usable.
    pub(crate) fn take(&self, key: &PoolKey) -> Option<Lease> {
        let mut idle = self.idle.borrow_mut();
        let list = idle.get_mut(key)?;
        while let Some((lease, _)) = list.pop() {
            if lease.link.is_usable() {
                return Some(lease);
            }
        }
        idle.remove(key);
        None
    }

    /// Keeps a connection whose last answer is complete.
    pub(crate) fn give_back(&self, key: PoolKey, lease: Lease) {
        if !lease.link.is_idle() {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        let list = idle.entry(key).or_default();
        if list.len() < IDLE_MAX {
            list.push((lease, Instant::now()));
        }
    }

    /// Closes what has been idle for longer than `age`, or is closed already.
    pub(crate) fn sweep(&self, age: Duration) {
        self.idle.borrow_mut().retain(|_, list| {
            list.retain(|(lease, since)| lease.link.is_usable() && since.elapsed() < age);
            !list.is_empty()
        });
    }
}
