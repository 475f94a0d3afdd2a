//! One process: what it is, where it came from, whether it still lives.

mod clock;
mod digest;
mod kin;
mod pidfd;
mod program;
mod script;
mod stat;
mod tree;

use std::{
    ffi::OsString,
    fs, io,
    os::unix::{
        ffi::{OsStrExt as _, OsStringExt as _},
        fs::MetadataExt as _,
    },
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, SystemTime},
};

pub(crate) use self::{
    clock::{is_exact as exact_clocks, ran},
    kin::Kin,
    stat::Stat,
    tree::{life, lives},
};
pub use self::{
    digest::{DigestError, Digests},
    pidfd::PidFd,
    program::Program,
    tree::{ANCESTORS_MAX, Chain, Table},
};

/// How often a process that changes under the eyes of the reader (`exec`, a dying parent) is read again.
const READS_MAX: usize = 8;
/// An exec shows its arguments some microseconds after its program.
const EXEC_PAUSE: Duration = Duration::from_micros(500);
/// Longest command line that is searched for a script argument; the rest is options of the program.
const COMMAND_LINE_BYTES_MAX: u64 = 256 * 1024;

/// What names one process for as long as the machine runs: a pid alone is reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProcessKey {
    /// The process id in the pid namespace of this process.
    pub pid: u32,
    /// Clock ticks since boot, field 22 of `/proc/PID/stat`.
    pub start_time: u64,
}

/// Why a process could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ProcError {
    /// It has exited, or the pid belongs to another process by now.
    #[error("process {pid} is gone")]
    Gone {
        /// The pid that was asked for.
        pid: u32,
    },
    /// It changed during each of the reads, so nothing said about it would be of one moment.
    #[error("process {pid} kept changing while it was read")]
    Changing {
        /// The pid that was asked for.
        pid: u32,
    },
    /// The kernel's text has another form than documented in proc(5).
    #[error("/proc/{pid}/{file} has an unknown form")]
    Malformed {
        /// The pid that was asked for.
        pid: u32,
        /// The file below `/proc/PID`.
        file: &'static str,
    },
    /// Any other failure to read.
    #[error("/proc/{pid}/{file} can't be read")]
    Io {
        /// The pid that was asked for.
        pid: u32,
        /// The file below `/proc/PID`.
        file: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

/// How the path of an executable relates to the file that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExeFile {
    /// The path names the very file that runs.
    Present,
    /// The file was deleted or replaced after it was started; the path is where it was.
    Deleted,
    /// The path names another file, or none, for us: the process lives in another mount namespace or root. Such a
    /// path is the process's own choice and proves nothing.
    Elsewhere,
}

/// The program that a process runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exe {
    /// Resolved `/proc/PID/exe`, without the kernel's ` (deleted)`.
    pub path: PathBuf,
    /// Whether that path still stands for what runs.
    pub file: ExeFile,
    /// Device and inode of what runs.
    pub id: (u64, u64),
}

/// One process as it was at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its process id.
    pub pid: u32,
    /// Clock ticks since boot, field 22 of `/proc/PID/stat`.
    pub start_time: u64,
    /// The same as wall-clock time, to one tick (10 ms); one process has one value in the life of this process.
    pub started: SystemTime,
    /// Its parent; 0 if that is outside our pid namespace.
    pub ppid: u32,
    /// What it runs; absent where it is hidden from us (another user's process) or a kernel thread.
    pub exe: Option<Exe>,
    /// Absolute, resolved path of an interpreter's script argument.
    pub script: Option<PathBuf>,
    /// Effective user id.
    pub uid: u32,
}

impl ProcessKey {
    /// Reads who has this pid now.
    ///
    /// # Errors
    /// [`ProcError::Gone`], or that it can't be read.
    pub fn of(pid: u32) -> Result<Self, ProcError> {
        let stat = Stat::read(pid)?;
        Ok(Self { pid, start_time: stat.start_time })
    }
}

impl Process {
    /// Reads a process so that all fields are of one process and one program.
    ///
    /// Start time and memory layout are read before and after the rest: a reused pid or an `exec` in between makes a new
    /// read, never a mixture.
    ///
    /// # Errors
    /// Any [`ProcError`].
    pub fn read(pid: u32) -> Result<Self, ProcError> {
        Self::read_if(pid, || true)?.ok_or(ProcError::Gone { pid })
    }

    /// The same of a process of which something holds that is asked once it is read; it is the same process, running
    /// the same program, after that.
    pub(crate) fn read_if(pid: u32, holds: impl Fn() -> bool) -> Result<Option<Self>, ProcError> {
        for attempt in 1..=READS_MAX {
            let before = Stat::read(pid)?;
            let exe = Exe::read(pid)?;
            let uid = effective_uid(pid)?;
            let script = match &exe {
                Some(exe) => script_of(pid, &exe.path)?,
                None => Script::None,
            };
            let script = match script {
                Script::File(path) => Some(path),
                Script::None => None,
                // In the middle of an exec: the new program is there and its arguments are not yet.
                Script::NotYet if attempt < READS_MAX => {
                    std::thread::sleep(EXEC_PAUSE);
                    continue;
                }
                Script::NotYet => return Err(ProcError::Changing { pid }),
            };
            if !holds() {
                return Ok(None);
            }
            let after = Stat::read(pid)?;
            if before.start_time != after.start_time {
                return Err(ProcError::Gone { pid });
            }
            if before.image == after.image && before.ppid == after.ppid {
                let (start_time, ppid) = (after.start_time, after.ppid);
                return Ok(Some(Self { pid, start_time, started: wall_clock(start_time), ppid, exe, script, uid }));
            }
        }
        Err(ProcError::Changing { pid })
    }

    /// Reads the process that `key` names; another one with its pid is [`ProcError::Gone`].
    ///
    /// # Errors
    /// As [`Process::read`].
    pub fn read_key(key: &ProcessKey) -> Result<Self, ProcError> {
        let process = Self::read(key.pid)?;
        if process.key() == *key { Ok(process) } else { Err(ProcError::Gone { pid: key.pid }) }
    }

    /// The process that asks.
    ///
    /// # Errors
    /// As [`Process::read`].
    pub fn this() -> Result<Self, ProcError> {
        Self::read(std::process::id())
    }

    /// What names it.
    pub fn key(&self) -> ProcessKey {
        ProcessKey { pid: self.pid, start_time: self.start_time }
    }

    /// The user's name by the system's user database; absent if it has none.
    pub fn owner(&self) -> Option<Arc<str>> {
        user_name(self.uid)
    }

    /// The path that a definition's `exe` is compared with; absent where the path proves nothing.
    pub fn exe_path(&self) -> Option<&str> {
        let exe = self.exe.as_ref()?;
        match exe.file {
            ExeFile::Present | ExeFile::Deleted => exe.path.to_str(),
            ExeFile::Elsewhere => None,
        }
    }

    /// The path that a definition's `script` is compared with.
    pub fn script_path(&self) -> Option<&str> {
        self.script.as_deref().and_then(Path::to_str)
    }

    /// The last component of the program's path, for a process that no definition names.
    pub fn base_name(&self) -> Option<&str> {
        self.exe.as_ref()?.path.file_name()?.to_str()
    }
}

impl Exe {
    fn read(pid: u32) -> Result<Option<Self>, ProcError> {
        let link = PathBuf::from(format!("/proc/{pid}/exe"));
        let target = match fs::read_link(&link) {
            Ok(target) => target,
            Err(err) => return absent_or_gone(pid, "exe", err),
        };
        // Following the link leads to the file that runs, whatever its name says by now.
        let meta = match fs::metadata(&link) {
            Ok(meta) => meta,
            Err(err) => return absent_or_gone(pid, "exe", err),
        };
        let id = (meta.dev(), meta.ino());
        let names_it = |path: &Path| fs::metadata(path).is_ok_and(|at| (at.dev(), at.ino()) == id);
        // A file may really be called "x (deleted)": then the whole text names what runs.
        if names_it(&target) {
            return Ok(Some(Self { path: target, file: ExeFile::Present, id }));
        }
        let cut = target.as_os_str().as_bytes().strip_suffix(b" (deleted)");
        Ok(Some(match cut {
            Some(cut) => Self { path: OsString::from_vec(cut.to_vec()).into(), file: ExeFile::Deleted, id },
            None => Self { path: target, file: ExeFile::Elsewhere, id },
        }))
    }
}

/// A process that hides a link has none for us; one that has exited is gone.
fn absent_or_gone<T>(pid: u32, file: &'static str, err: io::Error) -> Result<Option<T>, ProcError> {
    match err.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => Ok(None),
        // Kernel threads and zombies have the file, but it leads nowhere; so does a process that is just leaving.
        Some(libc::ENOENT) if Path::new(&format!("/proc/{pid}/stat")).exists() => Ok(None),
        _ => Err(failed(pid, file, err)),
    }
}

fn failed(pid: u32, file: &'static str, source: io::Error) -> ProcError {
    match source.raw_os_error() {
        Some(libc::ENOENT | libc::ESRCH) => ProcError::Gone { pid },
        _ => ProcError::Io { pid, file, source },
    }
}

enum Script {
    File(PathBuf),
    None,
    NotYet,
}

fn script_of(pid: u32, exe: &Path) -> Result<Script, ProcError> {
    use std::io::Read as _;
    let Some(syntax) = script::syntax_of(exe) else { return Ok(Script::None) };
    let mut line = Vec::new();
    fs::File::open(format!("/proc/{pid}/cmdline"))
        .and_then(|file| file.take(COMMAND_LINE_BYTES_MAX).read_to_end(&mut line))
        .map_err(|err| failed(pid, "cmdline", err))?;
    // The kernel gives every program at least an argv[0] (execve(2)).
    if line.is_empty() {
        return Ok(Script::NotYet);
    }
    let Some(argument) = script::argument(syntax, &line) else { return Ok(Script::None) };
    let named = Path::new(std::ffi::OsStr::from_bytes(argument));
    let path = if named.is_absolute() {
        named.to_path_buf()
    } else {
        match fs::read_link(format!("/proc/{pid}/cwd")) {
            Ok(cwd) => cwd.join(named),
            Err(err) => return absent_or_gone::<()>(pid, "cwd", err).map(|_| Script::None),
        }
    };
    // What can't be resolved is no evidence: a link's name is the choice of whoever made the link.
    Ok(match fs::canonicalize(path) {
        Ok(path) if path.is_file() => Script::File(path),
        Ok(_) | Err(_) => Script::None,
    })
}

/// The owner of the folder itself, which is the effective user for every process; that of the files in it is root for a
/// process that is not dumpable (`task_dump_owner` of the kernel's `fs/proc/base.c`).
fn effective_uid(pid: u32) -> Result<u32, ProcError> {
    fs::metadata(format!("/proc/{pid}")).map(|meta| meta.uid()).map_err(|err| failed(pid, "", err))
}

/// Ticks since boot as wall-clock time, by one boot time for the whole life of this process.
fn wall_clock(ticks: u64) -> SystemTime {
    static BOOT: OnceLock<SystemTime> = OnceLock::new();
    let boot = *BOOT.get_or_init(|| {
        let up = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let up = Duration::new(u64::try_from(up.tv_sec).unwrap_or(0), u32::try_from(up.tv_nsec).unwrap_or(0));
        SystemTime::now().checked_sub(up).unwrap_or(SystemTime::UNIX_EPOCH)
    });
    // USER_HZ is 100 in the interface of every Linux architecture that this runs on (proc(5), sysconf(3)).
    let since_boot = Duration::from_millis(ticks.saturating_mul(10));
    boot.checked_add(since_boot).unwrap_or(boot)
}

/// Names of users seen so far; a machine has few, and the bound holds where it has many.
const USERS_MAX: usize = 1024;

/// The name of a user, remembered.
pub fn user_name(uid: u32) -> Option<Arc<str>> {
    static SEEN: Mutex<Vec<(u32, Option<Arc<str>>)>> = Mutex::new(Vec::new());
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, name)) = seen.iter().find(|(known, _)| *known == uid) {
        return name.clone();
    }
    let name = ask_user_database(uid).map(Arc::from);
    if seen.len() >= USERS_MAX {
        seen.clear();
    }
    seen.push((uid, name.clone()));
    name
}

fn ask_user_database(uid: u32) -> Option<String> {
    let mut text = vec![0_u8; 16 * 1024];
    // SAFETY: `passwd` is a plain C struct of pointers and integers; all zeroes is a value of it.
    let mut entry: libc::passwd = unsafe { std::mem::zeroed() };
    let mut found: *mut libc::passwd = std::ptr::null_mut();
    // SAFETY: `entry`, `text` and `found` live across the call, and the length is that of `text`.
    let code = unsafe { libc::getpwuid_r(uid, &raw mut entry, text.as_mut_ptr().cast(), text.len(), &raw mut found) };
    if code != 0 || found.is_null() || entry.pw_name.is_null() {
        return None;
    }
    // SAFETY: on success `pw_name` points to a NUL-terminated string inside `text`, which is still alive.
    let name = unsafe { std::ffi::CStr::from_ptr(entry.pw_name) };
    name.to_str().ok().map(str::to_owned)
}

#[cfg(test)]
mod tests;
