//! Documents of interface section 5 that the daemon makes.

use std::sync::atomic::Ordering::Relaxed;
use std::time::SystemTime;

use serde_json::{Map, Value, json};

use super::Shared;
use crate::session::{self, Session};

/// RFC 3339, UTC, microseconds.
pub(crate) fn instant(at: SystemTime) -> String {
    ensage_audit::Stamp::of(at).as_str().to_owned()
}

/// `status`
pub(crate) fn status(shared: &Shared) -> Value {
    let policy = shared.policy();
    let audit = shared.log.status();
    let (allow, deny) = shared.metrics.decisions();
    let mut degraded = Vec::new();
    if !audit.writable {
        degraded.push(json!({
            "code": "audit_unavailable",
            "message": "the audit log cannot be written; every call is refused",
            "remedy": "make room on the disk of the state folder",
        }));
    }
    if !shared.vault_is_readable() {
        degraded.push(json!({
            "code": "credential_unavailable",
            "message": "the vault cannot be read; calls that need a credential are refused",
            "remedy": "put vault.ens back, or add the credentials again",
        }));
    }
    if shared.out_of_files.load(Relaxed) > 0 {
        degraded.push(json!({
            "code": "overloaded",
            "message": "the limit of open files is near; new connections wait",
            "remedy": "end what holds connections, or raise the limit (`ulimit -n`, LimitNOFILE= of systemd)",
        }));
    }
    if shared.out_of_slots.load(Relaxed) {
        degraded.push(json!({
            "code": "overloaded",
            "message": "as many connections are open as limits.connections allows; new ones wait",
            "remedy": "end what holds connections, or raise limits.connections",
        }));
    }
    let mut body = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "started": instant(shared.since()),
        "ready": !shared.is_draining(),
        "draining": shared.is_draining(),
        "listeners": shared.listeners().iter().map(|(at, _)| at.to_string()).collect::<Vec<_>>(),
        "mode": policy.gateway.mode.code(),
        "generation": policy.generation,
        "policy_hash": &*policy.sha256,
        "sessions": shared.open_sessions(),
        "connections": shared.open_connections.load(Relaxed),
        "held_bytes": shared.held_bytes(),
        "decisions": { "allow": allow, "deny": deny },
        "audit": {
            "seq": audit.seq, "durable_seq": audit.durable_seq, "queued": audit.queued,
            "writable": audit.writable, "head": audit.head,
        },
        "vault": if shared.vault_is_readable() { "open" } else { "locked" },
        "degraded": degraded,
    });
    if let Some(map) = body.as_object_mut() {
        if let Some(file) = &policy.file {
            map.insert("config".to_owned(), file.display().to_string().into());
        }
        if let Some((time, error)) = shared.last_reload() {
            let mut last = json!({ "time": instant(time), "ok": error.is_none() });
            if let (Some(map), Some(error)) = (last.as_object_mut(), error) {
                map.insert("error".to_owned(), error.into());
            }
            map.insert("last_reload".to_owned(), last);
        }
    }
    body
}

/// `sessions list`
pub(crate) fn sessions(shared: &Shared) -> Value {
    let all: Vec<Value> = shared.sessions.all().iter().map(|s| session(shared, s)).collect();
    json!({ "sessions": all })
}

fn session(shared: &Shared, s: &Session) -> Value {
    let o = &s.opening;
    let mut body = Map::new();
    let mut put = |key: &str, value: Value| {
        body.insert(key.to_owned(), value);
    };
    put("id", s.id.to_string().into());
    put("enclave", (*o.enclave).into());
    put("agent", (*o.agent).into());
    put("mode", shared.mode_of(s).code().into());
    put("tier", session::tier(o).into());
    if let Some(process) = &o.process {
        put("process", serde_json::from_str(process.as_str()).unwrap_or_default());
    }
    // For our own commands; `sessions list` does not print it.
    put("run", (o.origin == session::Origin::Run).into());
    put("since", instant(s.since).into());
    put("state", s.life().code().into());
    put("streams", s.streams.load(Relaxed).into());
    put("allowed", s.allowed.load(Relaxed).into());
    put("denied", s.denied.load(Relaxed).into());
    body.into()
}
