//! What the log is told of the gateway and its sessions.

use std::path::Path;
use std::sync::Arc;

use ensage_policy::Policy;
use ensage_policy::model::Listen;

use crate::session::Session;
use crate::telemetry::{GATEWAY, SESSIONS};

/// It takes connections.
pub(super) fn started(policy: &Policy, listeners: &[(Listen, Option<Arc<str>>)]) {
    for (at, enclave) in listeners {
        tracing::info!(target: GATEWAY, listener = %at, enclave = enclave.as_deref(), "the gateway listens");
    }
    tracing::info!(
        target: GATEWAY,
        {
            version = env!("CARGO_PKG_VERSION"),
            mode = policy.gateway.mode.code(),
            config = policy.file.as_deref().and_then(Path::to_str),
            policy.sha256 = &*policy.sha256,
        },
        "the gateway has started"
    );
}

/// The configuration was read again; `policy` is what is in force after that.
pub(super) fn reloaded(policy: &Policy, error: Option<&str>) {
    match error {
        None => tracing::info!(
            target: GATEWAY,
            {
                policy.generation = policy.generation,
                policy.sha256 = &*policy.sha256,
            },
            "the new configuration is in force"
        ),
        Some(error) => tracing::error!(
            target: GATEWAY,
            {
                policy.generation = policy.generation,
                error,
            },
            "the new configuration is refused, the old one stays in force"
        ),
    }
}

/// Something has become of a session.
pub(super) fn session(session: &Session, event: &str, cause: Option<&str>) {
    tracing::info!(
        target: SESSIONS,
        {
            session.id = %session.id,
            session.enclave = &*session.opening.enclave,
            session.agent = &*session.opening.agent,
            event,
            cause,
        },
        "a session has changed"
    );
}
