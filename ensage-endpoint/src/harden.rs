//! What a process that holds secrets does to itself first of all.

use std::io;

use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

/// Keeps other processes of the same user out: no reading of memory or environment, no list of open files, no
/// ptrace, no core file. Being killed stays possible.
///
/// # Errors
/// The kernel refuses; then no secret may be read into this process.
pub fn not_dumpable() -> io::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    Ok(())
}

/// Raises the number of files that this process may open to what it may raise it to, and returns that; `None` is
/// no limit.
///
/// # Errors
/// The kernel refuses; the limit is what it was.
pub fn raise_nofile() -> io::Result<Option<u64>> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    Ok(maximum)
}
