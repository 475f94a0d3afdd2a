//! Waiting for what must come, never for time to pass.

use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take before the test fails; generous, since machines are shared.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// Between two looks at a condition that tells nobody when it changes.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Looks until `found` has something.
///
/// # Panics
/// If that is not so within [`DEADLINE`]; names `what` was waited for.
pub fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(value) = found() {
            return value;
        }
        assert!(Instant::now() < end, "waited {DEADLINE:?} in vain for {what}");
        thread::park_timeout(LOOK_EVERY);
    }
}
