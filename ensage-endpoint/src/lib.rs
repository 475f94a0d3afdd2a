//! Who is at the other end of the socket, and how a session is started.
//!
//! Everything here asks the operating system and nothing else: a client's claim about itself (a header, an
//! environment variable, `argv[0]`, `comm`) is never evidence. What cannot be found out is [`peers::Unknown`],
//! never a guess. The crate is synchronous and knows no policy: globs come in as predicates.
//!
//! It is the only crate of the workspace with `unsafe`; each block states its proof.

#![allow(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr)
)]

pub mod catalogue;
pub mod folder;
mod glob;
pub mod harden;
pub mod identify;
pub mod launch;
pub mod peers;
pub mod proc;
pub mod scan;
