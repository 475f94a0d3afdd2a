//! The leg towards the origin: names to checked addresses, TCP, verified TLS, and a pool for each session.

mod crl;
mod dial;
mod fault;
mod hop;
mod pool;
mod resolve;
mod verify;

pub use crl::CrlError;
pub(crate) use crl::checked;
pub(crate) use dial::{Dialer, OriginIo};
pub(crate) use fault::Fault;
pub(crate) use pool::{Lane, Lease, Pool, PoolKey, Shared, Single};
pub use verify::SetupError;
pub(crate) use verify::{anchors, client_config};
