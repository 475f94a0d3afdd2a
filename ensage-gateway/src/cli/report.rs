//! `run --summary` and `run --fail-on-deny`: what a run came to, for whoever started it.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ensage_audit::query::Summary;
use serde_json::{Value, json};

use super::args::Run;
use super::output::{Failure, Output, chain};
use crate::admin::Open;

/// What is wanted of a run besides its exit code.
pub(super) struct Report {
    target: Option<Target>,
    fail_on_deny: bool,
}

impl Report {
    /// Before the program starts: a summary that cannot be written is told then.
    pub(super) fn open(run: &Run) -> Result<Self, Failure> {
        let target = match &run.summary {
            Some(path) => Some(Target::open(path).map_err(|error| unwritable(path, &error))?),
            None => None,
        };
        Ok(Self { target, fail_on_deny: run.fail_on_deny })
    }

    /// True if the calls must be known.
    pub(super) fn is_wanted(&self) -> bool {
        self.target.is_some() || self.fail_on_deny
    }

    /// The exit code of a run whose program gave `code`, which is written too. What fails here turns 0 into 125.
    pub(super) fn finish(&mut self, open: &Open, session: &str, code: u8, counted: Option<&Summary>) -> u8 {
        if !self.is_wanted() {
            return code;
        }
        let failed = |failure: &Failure| {
            // Said on stderr always: stdout is the program's.
            Output { json: false, quiet: false }.failed(failure);
            if code == 0 { 125 } else { code }
        };
        let Some(counted) = counted else {
            return failed(&Failure::new("internal", "the records of this run cannot be read"));
        };
        let code = if code == 0 && self.fail_on_deny && counted.denied > 0 { 1 } else { code };
        let Some(target) = &mut self.target else { return code };
        match target.write(&document(open, session, code, counted)) {
            Ok(()) => code,
            Err(error) => failed(&unwritable(target.path(), &error)),
        }
    }
}

fn document(open: &Open, session: &str, code: u8, counted: &Summary) -> Value {
    json!({
        "schema": "ensage.run_summary.v1",
        "session": session,
        "enclave": open.enclave,
        "agent": open.agent,
        "tier": "advisory",
        "exit_code": code,
        "allowed": counted.allowed,
        "denied": counted.denied,
        "reasons": counted.reasons,
    })
}

/// Where the summary goes. A file is replaced as a whole, once the program has ended: nobody reads half of one.
enum Target {
    /// By rename.
    File(PathBuf),
    /// A pipe or a device, which no file may take the place of; open since before the program.
    Stream(PathBuf, File),
}

impl Target {
    /// Finds out whether `path` can be written, and changes nothing there.
    fn open(path: &Path) -> io::Result<Self> {
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
            Ok(found) if !found.is_file() => Ok(Self::Stream(path.to_owned(), File::options().write(true).open(path)?)),
            Ok(_) => {
                // What a link leads to is replaced, not the link.
                let path = path.canonicalize()?;
                File::options().write(true).open(&path)?;
                Self::replaceable(path)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::replaceable(std::path::absolute(path)?),
            Err(error) => Err(error),
        }
    }

    fn replaceable(path: PathBuf) -> io::Result<Self> {
        let (probe, _) = beside(&path)?;
        fs::remove_file(probe)?;
        Ok(Self::File(path))
    }

    fn path(&self) -> &Path {
        match self {
            Self::File(path) | Self::Stream(path, _) => path,
        }
    }

    fn write(&mut self, document: &Value) -> io::Result<()> {
        let text = format!("{document}\n");
        match self {
            Self::File(path) => replace(path, text.as_bytes()),
            Self::Stream(_, stream) => stream.write_all(text.as_bytes()),
        }
    }
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mode = fs::metadata(path).map(|m| m.permissions().mode() & 0o777).ok();
    let (temporary, mut file) = beside(path)?;
    let written = file
        .write_all(bytes)
        .and_then(|()| mode.map_or(Ok(()), |mode| file.set_permissions(Permissions::from_mode(mode))))
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// A new file in the folder of `path`.
fn beside(path: &Path) -> io::Result<(PathBuf, File)> {
    let mut name = OsString::from(".");
    name.push(path.file_name().ok_or(io::ErrorKind::IsADirectory)?);
    name.push(format!(".{}", uuid::Uuid::now_v7()));
    let path = path.with_file_name(name);
    let file = File::create_new(&path)?;
    Ok((path, file))
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    let text = format!("the summary {path:?} cannot be written: {}", chain(error));
    Failure::new("internal", text).remedy("name a file in a folder that is there and that you may write")
}
