//! Upstream connections of one session. No session rides another's, and none serves two credentials.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use ensage_policy::Scheme;
use ensage_policy::authority::Authority;
use ipnet::IpNet;
use tokio::sync::Notify;

use super::dial::OriginIo;
use crate::flow::OutBody;
use crate::gate::{Gate, Watch};
use crate::{h1, h2};

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

/// A connection for one more request.
pub(crate) enum Lease {
    /// For this one alone.
    Single(Single),
    /// Others are under way on it.
    Shared(Rc<Shared>),
}

/// HTTP/1.1: the connection's two directions, its response gate, and where it leads.
pub(crate) struct Single {
    /// Requests and answers.
    pub(crate) link: h1::Link<Gate<OriginIo>, OutBody>,
    /// Told the method of each request before it is sent.
    pub(crate) gate: Watch,
    /// The address that was dialled.
    pub(crate) peer: SocketAddr,
}

/// HTTP/2: a connection that all requests of its key share.
pub(crate) struct Shared {
    /// Opens streams on it.
    pub(crate) handle: h2::Handle,
    /// The address that was dialled.
    pub(crate) peer: SocketAddr,
    /// How many sweeps have seen it idle.
    sweeps: Cell<u32>,
}

type Recent = Option<(PoolKey, Rc<Lane>)>;

/// The connections of one session; single-threaded like everything of a session.
#[derive(Clone, Default)]
pub(crate) struct Pool {
    lanes: Rc<RefCell<HashMap<PoolKey, Rc<Lane>>>>,
    /// The lane that was asked for last: most sessions keep to one.
    recent: Rc<RefCell<Recent>>,
}

/// The connections of one key.
#[derive(Default)]
pub(crate) struct Lane {
    /// The newest last, each with how many sweeps it has seen.
    idle: RefCell<Vec<(Single, u32)>>,
    shared: RefCell<Vec<Rc<Shared>>>,
    /// Rings when the connection that is being opened is there, or is not.
    opening: RefCell<Option<Rc<Notify>>>,
    /// The last one that was opened cannot be shared: nobody waits for the next.
    single: Cell<bool>,
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
            idle.retain_mut(|(single, sweeps)| {
                *sweeps = sweeps.saturating_add(1);
                every.saturating_mul(*sweeps) < age && single.link.is_usable()
            });
            let mut shared = lane.shared.borrow_mut();
            shared.retain(|shared| {
                let sweeps = if shared.handle.is_idle() { shared.sweeps.get().saturating_add(1) } else { 0 };
                shared.sweeps.set(sweeps);
                every.saturating_mul(sweeps) < age && !shared.handle.is_closed()
            });
            !idle.is_empty() || !shared.is_empty() || Rc::strong_count(lane) > 1
        });
    }
}

impl Lane {
    /// A connection that is still usable, for a task that asks at once: one that others use, where `shares`, or else the
    /// most recently used one.
    pub(crate) fn take(&self, shares: bool, cx: &mut Context<'_>) -> Option<Lease> {
        let shared = || self.shared.borrow().iter().find(|shared| shared.handle.has_room()).cloned();
        if let Some(shared) = shares.then(shared).flatten() {
            return Some(Lease::Shared(shared));
        }
        let mut idle = self.idle.borrow_mut();
        let single = std::iter::from_fn(|| idle.pop()).map(|(single, _)| single).find(|s| s.link.arm(cx));
        single.map(Lease::Single)
    }

    /// What was opened is for one request at a time, or not.
    pub(crate) fn opened(&self, single: bool) {
        self.single.set(single);
    }

    /// Keeps a connection whose last answer is complete.
    pub(crate) fn give_back(&self, single: Single) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < IDLE_MAX && single.link.is_idle() {
            idle.push((single, 0));
        }
    }

    /// Lets others share a new connection.
    pub(crate) fn share(&self, handle: h2::Handle, peer: SocketAddr) -> Rc<Shared> {
        let shared = Rc::new(Shared { handle, peer, sweeps: Cell::new(0) });
        let mut all = self.shared.borrow_mut();
        // One that takes no request although it has none serves nobody.
        all.retain(|shared| shared.handle.has_room() || !shared.handle.is_idle());
        all.push(shared.clone());
        shared
    }

    /// Rings when the connection is there that somebody opens at this moment; `None` if nobody does, or it would serve
    /// nobody else.
    pub(crate) fn opening(&self) -> Option<Rc<Notify>> {
        self.opening.borrow().clone().filter(|_| !self.single.get())
    }

    /// Says that one is being opened, until what is returned is dropped.
    pub(crate) fn open(self: &Rc<Self>) -> Opening {
        let opening: Rc<Notify> = Rc::default();
        *self.opening.borrow_mut() = Some(opening.clone());
        Opening(self.clone(), opening)
    }
}

/// A connection is being opened that may be shared.
pub(crate) struct Opening(Rc<Lane>, Rc<Notify>);

impl Drop for Opening {
    fn drop(&mut self) {
        // Others may have begun to open one as well: each rings for those who wait for it.
        self.0.opening.borrow_mut().take_if(|opening| Rc::ptr_eq(opening, &self.1));
        self.1.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::Waker;

    use super::*;

    #[test]
    fn whoever_waits_for_one_opening_is_not_forgotten_for_another() {
        let lane: Rc<Lane> = Rc::default();
        let cx = &mut Context::from_waker(Waker::noop());
        let first = lane.open();
        let waited = lane.opening().unwrap();
        let mut waits = pin!(waited.notified());
        assert!(waits.as_mut().poll(cx).is_pending());
        let second = lane.open();
        drop(first);
        assert!(waits.as_mut().poll(cx).is_ready());
        assert!(lane.opening().is_some());
        drop(second);
        assert!(lane.opening().is_none());
    }
}
