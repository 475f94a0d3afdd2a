//! The admin socket: a Unix socket of the state folder, HTTP/1 with JSON bodies, never a TCP port.
//!
//! | request | answer |
//! |---|---|
//! | `GET /metrics` | every metric, as Prometheus reads it |
//! | `GET /v1/status` | the `status` document |
//! | `POST /v1/reload` | `{generation}` once the new policy is in force |
//! | `GET /v1/sessions` | the `sessions list` document |
//! | `POST /v1/sessions` | opens a session: [`Open`] → [`Opened`] |
//! | `GET /v1/sessions/ID/life` | an answer that ends with the gateway; whoever leaves it ends the session |
//! | `POST /v1/sessions/ID/end` | ends it; `all` for every one |
//! | `GET /v1/sessions/ID` | its counters |
//! | `GET /v1/caller` | whether the caller runs inside a live session |

pub mod client;
pub(crate) mod server;

use serde::{Deserialize, Serialize};

/// The socket's name inside the state folder.
pub const SOCKET: &str = "admin.sock";

/// What `run` asks for.
#[derive(Debug, Serialize, Deserialize)]
pub struct Open {
    /// The enclave's name.
    pub enclave: String,
    /// The agent's name.
    pub agent: String,
    /// `run --observe`.
    pub observe: bool,
    /// The program that it starts, resolved; absent if there is none of that name.
    #[serde(default)]
    pub executable: Option<String>,
    /// The script that the program is to run, resolved, if it is an interpreter.
    #[serde(default)]
    pub script: Option<String>,
    /// The process whose descendants are the session.
    pub pid: u32,
    /// Its start time in clock ticks since boot.
    pub start_time: u64,
    /// Bundles that inherited CA variables name.
    pub bundles: Vec<String>,
    /// The environment that the child would inherit: what holds a secret is found by value. It stays between two
    /// processes of one user, on a socket that nobody else may open.
    pub environment: Vec<(String, String)>,
}

/// What `env` asks for.
#[derive(Debug, Serialize, Deserialize)]
pub struct Env {
    /// The enclave whose listener to use.
    pub enclave: Option<String>,
    /// Bundles that inherited CA variables name.
    pub bundles: Vec<String>,
}

/// What `run` gets.
#[derive(Debug, Serialize, Deserialize)]
pub struct Opened {
    /// The session's id.
    pub session: String,
    /// `http://127.0.0.1:PORT`
    pub proxy: String,
    /// The merged CA bundle.
    pub bundle: String,
    /// What the child's environment gets, besides the proxy variables: placeholders by variable.
    pub variables: Vec<(String, String)>,
    /// Inherited variables that hold a vaulted secret and no credential names: dropped, and reported.
    pub dropped: Vec<String>,
    /// Credentials whose placeholder is handed over and whose secret is not there.
    pub missing: Vec<String>,
}

/// A session's counters, for the last line of `run`.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Counters {
    /// Calls that were let through.
    pub allowed: u64,
    /// Calls that were refused.
    pub denied: u64,
    /// How often a program refused our certificate.
    pub certificate_refusals: u64,
}
