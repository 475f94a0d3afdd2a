//! Who is at the other end of the socket, and how a session is started.
//!
//! Everything here asks the operating system and nothing else: a client's claim about itself (a header, an
//! environment variable, `argv[0]`, `comm`) is never evidence. What cannot be found out is [`peers::Unknown`],
//! never a guess. The crate is synchronous and knows no policy: globs come in as predicates.
//!
//! ```no_run
//! use ensage_endpoint::{
//!     catalogue::Catalogue,
//!     identify::{Identity, Rules, owner_of},
//!     peers::Peers,
//!     proc::Digests,
//! };
//! # fn accepted() -> std::net::TcpStream { unimplemented!() }
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let peers = Peers::new()?; // one for all threads
//! let digests = Digests::new();
//! let matchers = Catalogue::builtin().matchers(&|_| false);
//! let stream = accepted();
//! // Straight after accept: when the client has gone, so has the answer.
//! let socket = peers.socket(stream.peer_addr()?, stream.local_addr()?)?;
//! let rules =
//!     Rules { matchers: &matchers, registered: &|_| false, digest: &|process| digests.of(&process.key()).ok() };
//! match owner_of(&peers, &socket, &rules)? {
//!     Identity::Agent(agent) => println!("{:?} at {}", agent.name, agent.root.pid),
//!     Identity::Unattributed(client) => println!("{} is no agent", client.process.pid),
//!     Identity::AmbiguousAgent { .. } | Identity::AmbiguousOwners(_) => println!("refused"),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! It is the only crate of the workspace with `unsafe`; each block states its proof.

#![allow(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr)
)]

pub mod activation;
pub mod catalogue;
pub mod folder;
mod glob;
pub mod harden;
pub mod identify;
pub mod launch;
pub mod peers;
pub mod proc;
pub mod scan;
