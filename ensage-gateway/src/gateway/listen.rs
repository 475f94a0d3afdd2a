//! Listeners: where they are, and the files of Unix sockets, which are made for the gateway's own user alone.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ensage_endpoint::activation::{At, Passed};
use ensage_endpoint::folder::{FolderError, StateFolder, socket_folder};
use ensage_policy::Policy;
use ensage_policy::model::Listen;
use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, Stat, chmodat, flock, statat, unlinkat};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind as bind_to, connect, socket_with};

use super::StartError;
use super::accept::Scope;

/// Connections that wait to be accepted; the kernel allows no more than its own limit. A Unix socket whose queue is
/// full refuses at once.
const QUEUE: i32 = 4096;
/// Longest wait for another gateway that makes a socket in the same folder.
const FOLDER_WAIT: Duration = Duration::from_secs(5);

/// Why a listener cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The kernel refused.
    #[error("the system refuses it")]
    Io(#[source] io::Error),
    /// The folder of a socket, or what has its name.
    #[error("its folder cannot be used")]
    Folder(#[source] FolderError),
    /// Somebody listens there.
    #[error("another program listens there")]
    Live,
    /// Something else than a socket has the name.
    #[error("something that is no socket of this user has that name")]
    NoSocket,
}

impl ListenError {
    /// What to do about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::Io(_) => "choose another `listen`".to_owned(),
            Self::Folder(error) => error.remedy(),
            Self::Live => "end it, or choose another `listen`".to_owned(),
            Self::NoSocket => "move it away, or choose another path".to_owned(),
        }
    }
}

impl From<io::Error> for ListenError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Errno> for ListenError {
    fn from(error: Errno) -> Self {
        Self::Io(error.into())
    }
}

/// A listener that nobody accepts from yet.
pub(super) enum Bound {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

/// The file of a Unix socket; dropped, it is removed, if it is still the one that was made.
#[derive(Debug)]
pub(super) struct SocketFile {
    folder: OwnedFd,
    name: PathBuf,
    made: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if statat(&self.folder, &self.name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|stat| identity(&stat) == self.made) {
            // One that stays is replaced by the next gateway.
            let _ = unlinkat(&self.folder, &self.name, AtFlags::empty());
        }
    }
}

fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

/// A listener of this gateway, and what connecting to it means.
pub(super) struct Open {
    pub(super) bound: Bound,
    /// With the port that was picked.
    pub(super) at: Listen,
    pub(super) scope: Scope,
    /// Absent where a supervisor keeps the socket.
    pub(super) file: Option<SocketFile>,
}

/// Every listener of the configuration: a socket that a supervisor passed where it has that very address, else one of
/// our own. Where the file does not name the gateway's listeners, they are what was passed.
pub(super) fn open(policy: &Policy, passed: Vec<Passed>) -> Result<Vec<Open>, StartError> {
    let enclaves = policy.enclaves.iter();
    let enclaves = enclaves.flat_map(|e| e.listen.iter().map(|l| (l.clone(), Scope::Enclave(e.name.clone()))));
    let mut passed: Vec<(Listen, Passed)> = passed.into_iter().map(|one| (place(&one.at), one)).collect();
    let mut wanted: Vec<(Listen, Scope)> = enclaves.collect();
    let own = if policy.gateway.listen_is_said || passed.iter().all(|(at, _)| wanted.iter().any(|(w, _)| w == at)) {
        policy.gateway.listen.clone()
    } else {
        passed.iter().map(|(at, _)| at).filter(|at| !wanted.iter().any(|(w, _)| w == *at)).cloned().collect()
    };
    // Of one that the file names `check` has warned.
    if let Some(at) = own.iter().find(|at| !policy.gateway.listen_is_said && is_open_to_others(at)) {
        return Err(StartError::Reachable { at: at.clone() });
    }
    wanted.splice(0..0, own.into_iter().map(|listen| (listen, Scope::Gateway)));
    let mut all = Vec::new();
    for (listen, scope) in wanted {
        let failed = |source| StartError::Listen { at: listen.clone(), source };
        let given = passed.iter().position(|(at, _)| *at == listen).map(|found| passed.swap_remove(found).1);
        let (bound, at, file) = match given {
            Some(given) => (taken(given).map_err(|error| failed(error.into()))?, listen.clone(), None),
            None => bind(&listen).map_err(failed)?,
        };
        all.push(Open { bound, at, scope, file });
    }
    match passed.into_iter().next() {
        // Its clients would wait for ever.
        Some((at, _)) => Err(StartError::Passed { at }),
        None => Ok(all),
    }
}

/// Whether other machines may be able to connect to it.
const fn is_open_to_others(at: &Listen) -> bool {
    match at {
        Listen::Tcp(at) => !at.ip().to_canonical().is_loopback(),
        Listen::Unix(_) => false,
    }
}

fn place(at: &At) -> Listen {
    match at {
        At::Tcp(at) => Listen::Tcp(*at),
        At::Unix(path) => Listen::Unix(path.clone()),
    }
}

fn taken(passed: Passed) -> io::Result<Bound> {
    Ok(match passed.at {
        At::Tcp(_) => {
            let listener = std::net::TcpListener::from(passed.socket);
            listener.set_nonblocking(true)?;
            Bound::Tcp(listener)
        }
        At::Unix(_) => {
            let listener = std::os::unix::net::UnixListener::from(passed.socket);
            listener.set_nonblocking(true)?;
            Bound::Unix(listener)
        }
    })
}

/// Opens a listener; where it is, the port picked.
fn bind(listen: &Listen) -> Result<(Bound, Listen, Option<SocketFile>), ListenError> {
    match listen {
        Listen::Tcp(at) => {
            let listener = std::net::TcpListener::bind(at)?;
            listener.set_nonblocking(true)?;
            let at = listener.local_addr()?;
            Ok((Bound::Tcp(listener), Listen::Tcp(at), None))
        }
        Listen::Unix(path) => {
            let (listener, file) = unix(path)?;
            Ok((Bound::Unix(listener), listen.clone(), Some(file)))
        }
    }
}

/// A socket that only this user can connect to, in the place of one that a dead gateway left.
fn unix(path: &Path) -> Result<(std::os::unix::net::UnixListener, SocketFile), ListenError> {
    let folder = socket_folder(path).map_err(ListenError::Folder)?;
    let name = path.file_name().ok_or(ListenError::NoSocket)?;
    // Two gateways that find the same dead socket must not replace each other's live one.
    alone(&folder)?;
    clear(&folder, name)?;
    let address = address(&folder, name)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    bind_to(&socket, &address)?;
    let made = statat(&folder.fd, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let file = SocketFile { folder: folder.fd, name: name.into(), made: identity(&made) };
    // Before it listens: until then nobody can connect, whatever the umask made of it.
    chmodat(&file.folder, name, Mode::RUSR | Mode::WUSR, AtFlags::empty())?;
    rustix::net::listen(&socket, QUEUE)?;
    // Waiting gateways may go on.
    flock(&file.folder, FlockOperation::Unlock)?;
    Ok((socket.into(), file))
}

fn alone(folder: &StateFolder) -> Result<(), ListenError> {
    let until = Instant::now() + FOLDER_WAIT;
    loop {
        match flock(&folder.fd, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(Errno::WOULDBLOCK) if Instant::now() < until => std::thread::sleep(Duration::from_millis(10)),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Removes a socket that nobody listens on any more; anything else that has the name stays, and is an error.
fn clear(folder: &StateFolder, name: &OsStr) -> Result<(), ListenError> {
    let stat = match statat(&folder.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let own = stat.st_uid == rustix::process::geteuid().as_raw();
    if FileType::from_raw_mode(stat.st_mode) != FileType::Socket || !own {
        return Err(ListenError::NoSocket);
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let asked = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    match connect(&asked, &address(folder, name)?) {
        // A queue that is full is somebody's too, and so is a socket of another kind.
        Ok(()) | Err(Errno::AGAIN | Errno::PROTOTYPE) => Err(ListenError::Live),
        Err(Errno::CONNREFUSED) => Ok(unlinkat(&folder.fd, name, AtFlags::empty())?),
        Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The socket by the very folder that was checked, or by its path where that leaves no room for its name.
fn address(folder: &StateFolder, name: &OsStr) -> Result<SocketAddrUnix, Errno> {
    let short = Path::new("/proc/self/fd").join(folder.fd.as_fd().as_raw_fd().to_string()).join(name);
    SocketAddrUnix::new(&short).or_else(|_| SocketAddrUnix::new(folder.path.join(name)))
}
