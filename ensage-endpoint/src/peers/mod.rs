//! The process at the other end of a loopback or Unix socket.
//!
//! The kernel is asked straight after `accept`: which socket is the other end (sock_diag, 3 µs), then which
//! processes hold it (`/proc/*/fd`). All holders count, since each of them can write to it.
//!
//! What this cannot see, and therefore does not decide: holders whose files the kernel hides from us (another
//! user's process, or one that made itself undumpable) and a socket on its way inside another socket. A gateway that
//! runs as the agents' own user protects against accident, not against attack.

mod census;
mod diag;
mod holders;
mod passes;
mod tables;

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

pub(crate) use self::{
    diag::{ESTABLISHED, Entry, LISTEN, dump},
    holders::sockets,
};
use self::{
    holders::{Hints, Holder},
    tables::Tables,
};
use crate::proc::{Chain, Kin, PidFd, ProcError, Process};

/// Longest search for the holders of one socket. Measured: 0.1 s for 500 processes of 50 files each.
const BUDGET: Duration = Duration::from_millis(250);
/// From fork(2) a child holds its parent's sockets until its exec closes them; so long it may take.
const EXEC_PAUSE: Duration = Duration::from_millis(2);
const EXEC_PAUSES_MAX: u32 = 10;
/// Why nothing can be said about who is at the other end. It always means: refuse.
#[derive(Debug, thiserror::Error)]
pub enum Unknown {
    /// There is no such connection in this network namespace (any more).
    #[error("no socket has this pair of addresses")]
    NoSocket,
    /// The socket is there but belongs to no process: its owner has exited or closed it. The kernel then reports
    /// uid 0, which does not mean root.
    #[error("the socket has no owner any more")]
    Orphaned,
    /// No process that we may look into holds it.
    #[error("no process holds the socket")]
    NoHolder,
    /// There was no time to look at every process.
    #[error("the search for the socket's owners took longer than {0:?}")]
    TooSlow(Duration),
    /// A process could not be read.
    #[error(transparent)]
    Process(#[from] ProcError),
    /// The kernel does not answer.
    #[error("the kernel can't be asked about sockets")]
    Kernel(#[source] io::Error),
}

/// The other end of an accepted connection, as the kernel knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Socket {
    /// Its inode, as `/proc/PID/fd` shows it; never 0. Reused in time: not a key for anything that is kept.
    pub inode: u32,
    /// Who made it.
    pub uid: u32,
    /// Never reused while the machine runs: the key for what is kept about this connection.
    pub cookie: u64,
    /// Inode of the cgroup v2 that it was made in.
    pub cgroup: Option<u64>,
}

/// Finds peers. One of these serves all threads.
#[derive(Debug)]
pub struct Peers {
    diag: diag::Diag,
    passes: passes::Passes,
    hints: Mutex<Hints>,
    tables: Mutex<Tables>,
    kin: Kin,
    budget: Duration,
}

impl Peers {
    /// Opens the kernel's socket diagnosis for the network namespace of the calling thread.
    ///
    /// # Errors
    /// The kernel has no socket diagnosis, or not for us.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            diag: diag::Diag::open()?,
            passes: passes::Passes::default(),
            hints: Mutex::default(),
            tables: Mutex::default(),
            kin: Kin::default(),
            budget: BUDGET,
        })
    }

    /// The same with another longest search; the default is 250 ms.
    pub fn with_budget(self, budget: Duration) -> Self {
        Self { budget, ..self }
    }

    /// Clients are never in this process: with many connections its own files are most of what there is to look at.
    pub fn elsewhere(self) -> Self {
        self.hints().never = Some(std::process::id());
        self
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hints(&self) -> MutexGuard<'_, Hints> {
        self.hints.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client's socket of an accepted connection: `client` is the accepted socket's peer address, `local` its
    /// own. Ask at once: when the client has gone, so has the answer.
    ///
    /// # Errors
    /// [`Unknown::NoSocket`] and [`Unknown::Orphaned`] if the client has gone; [`Unknown::Kernel`].
    pub fn socket(&self, client: SocketAddr, local: SocketAddr) -> Result<Socket, Unknown> {
        let entry = self.diag.exact(client, local)?;
        if entry.inode == 0 {
            return Err(Unknown::Orphaned);
        }
        let Entry { inode, uid, cookie, cgroup, .. } = entry;
        Ok(Socket { inode, uid, cookie, cgroup })
    }

    /// All processes that hold the socket, by a look at every open file that the kernel shows us of each process that
    /// has run since the last look, shared with whoever asks at the same time. Blocks for up to twice the budget; never
    /// empty.
    ///
    /// # Errors
    /// Any [`Unknown`] but [`Unknown::NoSocket`].
    pub fn owners(&self, socket: &Socket) -> Result<Vec<Process>, Unknown> {
        let holders = self.look(&[socket.inode])?.remove(&socket.inode).unwrap_or_default();
        let owners = settled(socket, verified(socket, &holders)?)?;
        if owners.is_empty() { Err(Unknown::NoHolder) } else { Ok(owners) }
    }

    /// The same as [`chains`](Self::chains) for several sockets, as far as that can be told without a wait (4 ms at most):
    /// the one process that holds a socket, where it is one. Nothing is said of the others, nor of any while another
    /// look is under way or where a look takes long.
    pub fn at_once(&self, sockets: &[Socket]) -> Vec<Option<Chain>> {
        let inodes: Vec<u32> = sockets.iter().map(|socket| socket.inode).collect();
        let found = match self.tables.try_lock() {
            Ok(mut tables) => tables.holders_at_once(&inodes, &self.hints()),
            Err(_) => None,
        };
        let Some(found) = found else { return vec![None; sockets.len()] };
        self.hints().note(&found);
        let only = |socket: &Socket| {
            let [holder] = found.get(&socket.inode)?.as_slice() else { return None };
            let owner = verified(socket, std::slice::from_ref(holder)).ok()?.pop()?;
            self.kin.chain(owner).ok()
        };
        sockets.iter().map(only).collect()
    }

    /// The pids of those that hold each of the sockets, by one look for all of them. That is not the last word about
    /// any: a process may close a file by one number while it is looked at, and have it by another.
    ///
    /// # Errors
    /// [`Unknown::TooSlow`], [`Unknown::Kernel`].
    pub fn holders(&self, sockets: &[Socket]) -> Result<Vec<Vec<u32>>, Unknown> {
        let inodes: Vec<u32> = sockets.iter().map(|socket| socket.inode).collect();
        let found = self.look(&inodes)?;
        let pids = |inode| found.get(inode).into_iter().flatten().map(|holder| holder.pid).collect();
        Ok(inodes.iter().map(pids).collect())
    }

    fn look(&self, inodes: &[u32]) -> Result<HashMap<u32, Vec<Holder>>, Unknown> {
        let look = |inodes: &[u32]| {
            let hints = self.hints().clone();
            let deadline = Instant::now() + self.budget;
            let found = self.tables().holders(inodes, &hints, deadline)?;
            self.hints().note(&found);
            Ok(found)
        };
        self.passes.holders(inodes, look).map_err(|err| self.failed(err))
    }

    /// A process and its ancestors.
    ///
    /// # Errors
    /// [`Unknown::Process`]: one of them can't be read.
    pub fn chain(&self, pid: u32) -> Result<Chain, Unknown> {
        Ok(self.kin.chain(Process::read(pid)?)?)
    }

    /// The same, each with its ancestors.
    ///
    /// # Errors
    /// As [`Peers::owners`].
    pub fn chains(&self, socket: &Socket) -> Result<Vec<Chain>, Unknown> {
        self.owners(socket)?.into_iter().map(|owner| Ok(self.kin.chain(owner)?)).collect()
    }

    fn failed(&self, err: holders::Failed) -> Unknown {
        match err {
            holders::Failed::Late => Unknown::TooSlow(self.budget),
            holders::Failed::Proc(source) => Unknown::Kernel(source),
        }
    }
}

/// The process that connected a Unix socket, by the handle that the kernel took at that moment (SO_PEERPIDFD).
///
/// # Errors
/// [`Unknown::Orphaned`] if it has exited; [`Unknown::Process`] or [`Unknown::Kernel`] if it can't be read.
pub fn unix_peer(stream: impl AsFd) -> Result<Process, Unknown> {
    let stream = stream.as_fd();
    let mut raw: libc::c_int = -1;
    let mut len = libc::socklen_t::try_from(size_of::<libc::c_int>()).unwrap_or(4);
    // SAFETY: `raw` and `len` live across the call and `len` is the size of `raw`; the kernel writes one int.
    let code = unsafe {
        libc::getsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_PEERPIDFD, (&raw mut raw).cast(), &raw mut len)
    };
    if code != 0 {
        return match io::Error::last_os_error() {
            // Linux before 6.5.
            err if err.raw_os_error() == Some(libc::ENOPROTOOPT) => unix_peer_by_pid(stream),
            // The peer was reaped before it could be asked for.
            err if matches!(err.raw_os_error(), Some(libc::ESRCH | libc::ENODATA)) => Err(Unknown::Orphaned),
            err => Err(Unknown::Kernel(err)),
        };
    }
    // SAFETY: the kernel just made this descriptor for us, and nothing else owns it.
    let handle = unsafe { OwnedFd::from_raw_fd(raw) };
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", handle.as_raw_fd())).map_err(Unknown::Kernel)?;
    // -1 once it is reaped, 0 in a pid namespace that is not ours (pidfd_open(2)).
    let pid = info.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse::<u32>().ok());
    let Some(pid) = pid.filter(|pid| *pid != 0) else { return Err(Unknown::Orphaned) };
    let process = Process::read(pid)?;
    // It had the pid from connect to now if it still lives, so what was read is of the one that connected.
    let mut wanted = [rustix::event::PollFd::new(&handle, rustix::event::PollFlags::IN)];
    match rustix::event::poll(&mut wanted, Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 })) {
        Ok(0) => Ok(process),
        Ok(_) => Err(Unknown::Orphaned),
        Err(err) => Err(Unknown::Kernel(err.into())),
    }
}

/// Whether nobody holds the other end of a connected Unix socket any more. Who only says no more still does.
pub fn unix_peer_is_gone(stream: impl AsFd) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut wanted = [PollFd::new(&stream, PollFlags::empty())];
    let asked = poll(&mut wanted, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
    let [told] = &wanted;
    asked.is_ok() && told.revents().contains(PollFlags::HUP)
}

/// The process that has the pid of the one that connected. Weaker: if that one has exited, another of its user may
/// have the pid by now.
fn unix_peer_by_pid(stream: BorrowedFd<'_>) -> Result<Process, Unknown> {
    let peer = rustix::net::sockopt::socket_peercred(stream).map_err(|err| Unknown::Kernel(err.into()))?;
    let pid = u32::try_from(peer.pid.as_raw_nonzero().get()).map_err(|_| Unknown::Orphaned)?;
    let process = Process::read(pid)?;
    if process.uid == peer.uid.as_raw() { Ok(process) } else { Err(Unknown::Orphaned) }
}

/// Reads the processes and drops those that do not hold the socket any more.
fn verified(socket: &Socket, holders: &[Holder]) -> Result<Vec<Process>, Unknown> {
    let mut owners = Vec::with_capacity(holders.len());
    for holder in holders {
        match Process::read_if(holder.pid, || holders::holds(*holder, socket.inode)) {
            Ok(process) => owners.extend(process),
            Err(ProcError::Gone { .. }) => {}
            Err(err) => return Err(err.into()),
        }
    }
    Ok(owners)
}

/// Looks again while one of them may be about to exec, and so to close what it only inherited.
fn settled(socket: &Socket, mut owners: Vec<Process>) -> Result<Vec<Process>, Unknown> {
    for _ in 0..EXEC_PAUSES_MAX {
        if !forking(&owners) {
            break;
        }
        std::thread::sleep(EXEC_PAUSE);
        let holders: Vec<_> = owners.iter().map(|owner| Holder { pid: owner.pid, file: None }).collect();
        owners = verified(socket, &holders)?;
    }
    Ok(owners)
}

/// Whether one of them may be between fork and exec: the child of another, running the same program.
fn forking(owners: &[Process]) -> bool {
    owners.iter().any(|child| owners.iter().any(|parent| child.ppid == parent.pid && child.exe == parent.exe))
}

/// Opens a handle on each, so that the life of a connection's owners can be watched.
///
/// # Errors
/// [`Unknown::Process`] if one of them has exited or can't be opened.
pub fn watch(owners: &[Process]) -> Result<Vec<PidFd>, Unknown> {
    owners.iter().map(|owner| Ok(PidFd::open(&owner.key())?)).collect()
}

#[cfg(test)]
mod tests;
