//! Placeholders, the vault file, slots, egress substitution and response scrubbing.
//!
//! An agent holds a *placeholder*; the secret behind it is put in on the egress leg only. The way of one request:
//! [`examine()`] says what its head carries, the gateway judges that, [`egress::fill`] writes the secret, and a
//! [`Scrubber`] takes it out of what comes back.
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr)
)]

mod body;
pub mod egress;
mod examine;
mod find;
mod placeholder;
mod scrub;
mod secret;
mod source;
mod vault;

pub use body::{BodySearch, Masked, mask_json, mask_text};
pub use egress::{EgressError, Slot};
pub use examine::{Finding, HostFit, Misuse, PathFit, Place, Site, examine, examine_trailers};
pub use placeholder::{Grant, MintError, Placeholders, Scope, SessionId, Standing, TOKEN_BYTES, Who};
pub use scrub::{Patterns, Scrubber};
pub use secret::{SECRET_BYTES_MAX, SECRET_BYTES_MIN, Secret, SecretError};
pub use source::{Secrets, Source, Unavailable};
pub use vault::{AgentAsk, AgentPlaceholder, KeySource, Meta, Vault, VaultError};
