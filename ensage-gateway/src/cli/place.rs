//! Which configuration and which state folder a command means (contract section 1).

use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ensage_endpoint::catalogue::Catalogue;
use ensage_endpoint::folder::FolderError;
use ensage_policy::config::{self, Diagnostic};
use ensage_policy::judge::Denial;
use ensage_policy::model::Enclave;
use ensage_policy::{Policy, Reason};
use sha2::{Digest, Sha256};

use super::args::Global;
use super::daemon::folder_failed;
use super::output::Failure;
use super::text::word;
use crate::state::surroundings;

/// Largest configuration that is read.
const CONFIG_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Write permission of the group or of all.
const OTHERS_WRITE: u32 = 0o022;

/// Where the words of a command lead.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The state folder, absolute; not necessarily there yet.
    pub(crate) state: PathBuf,
    /// The configuration, absolute; `None` is the embedded default.
    pub(crate) config: Option<PathBuf>,
    /// It lies in the working folder, where an agent may write: each text of it must have been accepted.
    pub(crate) found: Found,
}

/// How a configuration was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Somebody named it, or it is the user's own.
    Named,
    /// It was in the working folder.
    WorkingFolder,
}

/// A configuration that was read, with what `check` says about it.
pub(crate) struct Reading {
    /// The policy, if there is no error.
    pub(crate) policy: Option<Policy>,
    /// What keeps it from being used.
    pub(crate) errors: Vec<Diagnostic>,
    /// What its author should know.
    pub(crate) warnings: Vec<Diagnostic>,
}

/// True inside a session: there neither variable counts, since the agent itself may have set them.
pub(crate) fn in_session() -> bool {
    std::env::var_os("ENSAGE_SESSION").is_some()
}

fn variable(name: &str) -> Option<OsString> {
    if in_session() {
        return None;
    }
    std::env::var_os(name).filter(|v| !v.is_empty())
}

fn home() -> Option<PathBuf> {
    std::env::var_os("HOME").filter(|v| !v.is_empty()).map(PathBuf::from)
}

/// A folder of the XDG Base Directory Specification; a relative value is invalid there and ignored.
fn xdg(name: &str, below_home: &str) -> Option<PathBuf> {
    std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute()).or_else(|| home().map(|h| h.join(below_home)))
}

/// The state folder: `--state`, `$ENSAGE_STATE`, the user's data folder. If it is there, nobody else had a hand in it.
pub(crate) fn state(global: &Global) -> Result<PathBuf, Failure> {
    let given = global.state.clone().or_else(|| variable("ENSAGE_STATE").map(PathBuf::from));
    let path = match given {
        Some(path) => path,
        None => xdg("XDG_DATA_HOME", ".local/share")
            .ok_or_else(|| {
                Failure::new("usage", "there is no home folder to keep the state in").remedy("give --state DIR")
            })?
            .join("ensage"),
    };
    // Without a slash at its end, behind which a link would be the folder that it leads to.
    let path: PathBuf = absolute(&path)?.components().collect();
    unshared(&path).map_err(folder_failed)?;
    Ok(path)
}

/// What [`crate::state::StateFolder::open`] refuses, for commands that only ask and must not make or change anything.
fn unshared(folder: &Path) -> Result<(), FolderError> {
    let path = folder.to_owned();
    let meta = match fs::symlink_metadata(folder) {
        Ok(meta) => meta,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(FolderError::Io { path, source }),
    };
    let (uid, mode, wanted) = (meta.uid(), meta.mode() & 0o7777, rustix::process::geteuid().as_raw());
    match () {
        () if meta.is_symlink() => Err(FolderError::Symlink { path }),
        () if !meta.is_dir() => Err(FolderError::WrongKind { path }),
        () if uid != wanted => Err(FolderError::WrongOwner { path, uid, wanted }),
        () if mode & OTHERS_WRITE != 0 => Err(FolderError::OthersWrite { path, mode }),
        () => Ok(()),
    }
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|e| Failure::new("usage", format!("{path:?}: {e}")))
}

/// Finds state folder and configuration; a file of the working folder must be trusted.
pub(crate) fn find(global: &Global) -> Result<Place, Failure> {
    let state = state(global)?;
    if let Some(path) = global.config.clone().or_else(|| variable("ENSAGE_CONFIG").map(PathBuf::from)) {
        return Ok(Place { state, config: Some(absolute(&path)?), found: Found::Named });
    }
    if let Some(path) = working_folder(&state)? {
        return Ok(Place { state, config: Some(path), found: Found::WorkingFolder });
    }
    Ok(Place { state, config: user_folder(), found: Found::Named })
}

fn working_folder(state: &Path) -> Result<Option<PathBuf>, Failure> {
    let path = absolute(Path::new("ensage.toml"))?;
    if fs::symlink_metadata(&path).is_err() {
        return Ok(None);
    }
    accepted(state, &path, &content(&path)?.0)?;
    text(&path)?;
    Ok(Some(path))
}

/// Whether this very text was accepted.
fn accepted(state: &Path, path: &Path, text: &str) -> Result<(), Failure> {
    if is_trusted(state, text) {
        return Ok(());
    }
    let what = format!("{path:?} is not trusted: a cloned repository must not configure the gateway");
    Err(Failure::new("untrusted_config", what).remedy(format!("read it, then run `ensage trust {}`", word(path))))
}

fn user_folder() -> Option<PathBuf> {
    let path = xdg("XDG_CONFIG_HOME", ".config")?.join("ensage/ensage.toml");
    path.is_file().then_some(path)
}

/// Lower-case hex SHA-256.
pub(crate) fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|b| format!("{b:02x}")).collect()
}

fn is_trusted(state: &Path, text: &str) -> bool {
    state.join("trusted").join(digest(text)).is_file()
}

/// Reads a configuration file that nobody else may write.
pub(crate) fn text(path: &Path) -> Result<String, Failure> {
    let (text, meta) = content(path)?;
    writable_by_others(path, &meta)?;
    if let Some(folder) = path.parent() {
        let meta = fs::metadata(folder).map_err(|e| Failure::new("bad_config", format!("{folder:?}: {e}")))?;
        // A sticky folder (/tmp) lets nobody replace another's file.
        if meta.mode() & 0o1000 == 0 {
            writable_by_others(folder, &meta)?;
        }
    }
    Ok(text)
}

/// What a configuration file says, whoever may write it.
fn content(path: &Path) -> Result<(String, fs::Metadata), Failure> {
    let bad = |what: String| Failure::new("bad_config", what);
    let mut file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc_nonblock())
        .open(path)
        .map_err(|e| bad(format!("cannot read {path:?}: {e}")))?;
    let meta = file.metadata().map_err(|e| bad(format!("{path:?}: {e}")))?;
    if !meta.is_file() {
        return Err(bad(format!("{path:?} is not a file")));
    }
    let mut bytes = Vec::new();
    file.by_ref()
        .take(CONFIG_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| bad(format!("cannot read {path:?}: {e}")))?;
    if bytes.len() as u64 > CONFIG_BYTES_MAX {
        return Err(bad(format!("{path:?} is longer than {CONFIG_BYTES_MAX} bytes")));
    }
    let text = String::from_utf8(bytes).map_err(|_| bad(format!("{path:?} is not UTF-8")))?;
    Ok((text, meta))
}

/// `O_NONBLOCK`: a FIFO in place of the file must not hang the command.
fn libc_nonblock() -> i32 {
    i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0)
}

fn writable_by_others(path: &Path, meta: &fs::Metadata) -> Result<(), Failure> {
    let uid = rustix::process::geteuid().as_raw();
    let foreign = meta.uid() != uid && meta.uid() != 0;
    if meta.mode() & OTHERS_WRITE == 0 && !foreign {
        return Ok(());
    }
    let word = word(path);
    let (what, remedy) = if foreign {
        (format!("{path:?} belongs to another user"), format!("chown it to yourself: `chown $(id -u) {word}`"))
    } else {
        (format!("{path:?} may be written by others"), format!("`chmod go-w {word}`"))
    };
    Err(Failure::new("bad_config", what).remedy(remedy))
}

/// Reads and checks the configuration of `place`.
pub(crate) fn read(place: &Place) -> Result<Reading, Failure> {
    let Some(path) = &place.config else {
        let loaded = config::embedded(&surroundings());
        return Ok(Reading { policy: loaded.policy, errors: loaded.errors, warnings: loaded.warnings });
    };
    let text = text(path)?;
    if place.found == Found::WorkingFolder {
        // What is read is what was accepted, at every reload too.
        accepted(&place.state, path, &text)?;
    }
    let loaded = crate::upstream::checked(config::load(&text, Some(path), &surroundings()));
    Ok(Reading { policy: loaded.policy, errors: loaded.errors, warnings: loaded.warnings })
}

/// The policy, or every error of the file on stderr and a failure that has already been told.
pub(crate) fn policy(place: &Place, json: bool) -> Result<Policy, Failure> {
    let read = read(place)?;
    match read.policy {
        Some(policy) if read.errors.is_empty() => Ok(policy),
        _ => Err(bad(&read.errors, json)),
    }
}

/// The enclave of that name, or a failure that lists them all.
pub(crate) fn enclave<'p>(policy: &'p Policy, name: &str) -> Result<&'p Arc<Enclave>, Failure> {
    policy.enclave(name).ok_or_else(|| {
        let all: Vec<&str> = policy.enclaves.iter().map(|e| &*e.name).collect();
        Failure::new("not_found", format!("there is no enclave {name}"))
            .remedy(format!("choose one of: {}", all.join(", ")))
    })
}

/// That no enclave is an agent's, with what to write for it: the configuration may not know the agent at all.
pub(crate) fn unlisted(policy: &Policy, agent: &str, program: Option<&Path>, denial: Denial) -> Failure {
    let catalogue = Catalogue::builtin();
    let known = policy.agents.iter().any(|a| *a.name == *agent)
        || (policy.gateway.catalogue && catalogue.names().any(|name| name == agent));
    let mut remedy = denial.remedy.unwrap_or_default();
    if !known && denial.reason == Reason::AgentNotAllowed {
        let bare = agent.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        let key = if bare { agent.to_owned() } else { format!("{agent:?}") };
        let exe = program.map_or_else(|| format!("**/{agent}"), |path| path.display().to_string());
        remedy.push_str(&format!(", and say what it is: [agent.{key}] exe = {exe:?}"));
    }
    Failure::new("not_found", denial.message).remedy(remedy)
}

/// All errors of a configuration as one failure.
pub(crate) fn bad(errors: &[Diagnostic], json: bool) -> Failure {
    let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
    let mut failure = Failure::new("bad_config", all.join("\n"));
    if !json {
        use std::io::Write;
        let _ = writeln!(std::io::stderr().lock(), "{}", failure.message);
        failure.told = true;
    }
    failure
}
