//! Placeholders, the vault file, slots, egress substitution and response scrubbing.
//!
//! An agent holds a *placeholder*; the secret behind it is put in on the egress leg only. The way of one request:
//! [`examine()`] says what its head carries, the gateway judges that, [`egress::fill`] writes the secret, and a
//! [`Scrubber`] takes it out of what comes back.
//!
//! ```
//! use std::time::{Duration, SystemTime};
//! use ensage_creds::*;
//!
//! // At the start, and when a session opens.
//! let secrets = Secrets::new([("GITHUB".to_owned(), "ghp_realrealreal".into())]);
//! let table = Placeholders::new();
//! let now = SystemTime::now();
//! let scope = Scope::Session([7; 16]);
//! let placeholder = table.mint("ghp_", Grant { credential: "github".into(), scope, expires: now + Duration::from_secs(60) })?;
//!
//! // One exchange. Whether a credential binds this host and path is the policy's to say.
//! let request = http::Request::get("/user").header("authorization", format!("Bearer {placeholder}")).body(())?;
//! let (mut head, ()) = request.into_parts();
//! let who = Who { session: [7; 16], enclave: "chip-a", agent: "codex" };
//! let site = Site { name: "github", slots: &[Slot::Bearer], host: HostFit::Bound, path: PathFit::Covered };
//! let Finding::Placeholder { credential, slot } = examine(&head, &who, &[site], &table, now) else { panic!() };
//!
//! // Behind the permit, on the verified leg.
//! let secret = secrets.resolve(&credential, &Source::Env("GITHUB".to_owned()), None)?;
//! egress::fill(&mut head.headers, &slot, &secret)?;
//! assert_eq!(head.headers["authorization"], "Bearer ghp_realrealreal");
//!
//! // What comes back.
//! let mut scrubber = Scrubber::new(&[(&secret, &placeholder)]);
//! let mut out = Vec::new();
//! let chunk = b"you sent ghp_realrealreal";
//! if scrubber.clean(chunk) { out.extend_from_slice(chunk) } else { scrubber.feed(chunk, &mut out) }
//! scrubber.finish(&mut out);
//! assert_eq!(out, format!("you sent {placeholder}").as_bytes());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
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
mod redact;
mod scrub;
mod secret;
mod source;
mod vault;

pub use body::{BodySearch, Masked, mask_json, mask_text};
pub use egress::{EgressError, Slot};
pub use examine::{Finding, HostFit, Misuse, PathFit, Place, Site, examine, examine_trailers};
pub use placeholder::{AgentPlaceholder, Grant, MintError, Placeholders, Scope, SessionId, Standing, TOKEN_BYTES, Who};
pub use redact::Redactor;
pub use scrub::{Patterns, Scrubber};
pub use secret::{SECRET_BYTES_MAX, SECRET_BYTES_MIN, Secret, SecretError};
pub use source::{Secrets, Source, Unavailable};
pub use vault::{AgentAsk, KeySource, Meta, Vault, VaultError};
