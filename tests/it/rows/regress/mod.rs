//! Holes that an attacker found, each kept shut by the attack that found it.

mod bounds;
mod inside;
mod reload;
mod secrets;
mod wire;

use ensage_tests::{Gateway, Rig, until};
use serde_json::Value;

/// What `status` says.
fn status(rig: &Rig) -> Value {
    serde_json::from_str(&rig.good(&["status", "--json"])).unwrap()
}

/// How many records of this kind tell this event.
fn seen(rig: &Rig, kind: &str, event: &str) -> usize {
    rig.records().iter().filter(|r| r["kind"] == kind && r["event"] == event).count()
}

/// Makes the gateway read its configuration again, and waits until that is in force. A process inside a session, as the
/// test is after its first call, may not ask for that by `reload`.
pub(super) fn reloaded(rig: &Rig, gateway: &Gateway) {
    let before = seen(rig, "policy", "loaded");
    gateway.hang_up();
    until("the new policy", || (seen(rig, "policy", "loaded") > before).then_some(()));
}
