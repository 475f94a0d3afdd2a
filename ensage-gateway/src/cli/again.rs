//! Starting over, once, with what the C library reads before `main`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// What glibc reads its settings from.
const TUNABLES: &str = "GLIBC_TUNABLES";
/// From what size on `memcpy` copies with `rep movsb`: that is twice as slow as its vector loop on the 16 KiB records of
/// TLS, which are most of what is copied here.
const THRESHOLD: &str = "glibc.cpu.x86_rep_movsb_threshold";
/// Holds the process that has started over: whatever a loader makes of the settings, there is no second time.
const STARTED_OVER: &str = "ENSAGE_STARTED_OVER";
/// Larger than any copy.
const NEVER: &str = "100000000";

/// Replaces this process by the same program with the same arguments, unless it was told how to copy already. Where that
/// cannot be, it goes on as it is.
pub(super) fn with_tunables(arguments: &[OsString]) {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu")) {
        return;
    }
    let own = std::process::id().to_string();
    if std::env::var_os(STARTED_OVER).is_some_and(|before| *before == *own) {
        return;
    }
    let Some(settings) = settings(std::env::var_os(TUNABLES)) else { return };
    let Some((program, rest)) = arguments.split_first() else { return };
    // The file that runs, whatever lies under its name by now.
    let failed =
        Command::new("/proc/self/exe").arg0(program).args(rest).env(TUNABLES, settings).env(STARTED_OVER, own).exec();
    tracing::debug!(error = &failed as &dyn std::error::Error, "the program cannot start over with faster copies");
}

/// The settings with ours among them; `None` if it is there.
fn settings(now: Option<OsString>) -> Option<OsString> {
    let now = now.unwrap_or_default();
    if now.as_bytes().split(|byte| *byte == b':').any(|one| one.starts_with(THRESHOLD.as_bytes())) {
        return None;
    }
    // First: some loaders cut at the colon what others see of it.
    let mut settings = OsString::from(format!("{THRESHOLD}={NEVER}"));
    if !now.is_empty() {
        settings.push(":");
        settings.push(now);
    }
    Some(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_stays_and_ours_is_set_once() {
        let set = |now: Option<&str>| settings(now.map(Into::into)).map(|s| s.into_string().unwrap());
        let ours = format!("{THRESHOLD}={NEVER}");
        assert_eq!(set(None), Some(ours.clone()));
        assert_eq!(set(Some("")), Some(ours.clone()));
        assert_eq!(set(Some("glibc.malloc.check=1")), Some(format!("{ours}:glibc.malloc.check=1")));
        assert_eq!(set(Some(&ours)), None);
        assert_eq!(set(Some("a=1:glibc.cpu.x86_rep_movsb_threshold=2:b=3")), None);
    }
}
