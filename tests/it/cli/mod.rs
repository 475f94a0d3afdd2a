//! Every command by the words of its contract: exit codes, streams, documents, and who may use it where.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr)]

mod asking;
mod audit;
mod configuration;
mod creds;
mod daemon;
mod documents;
mod help;
pub(crate) mod home;
mod inside;
mod logs;
mod pinned;
mod remedies;
mod report;
mod run;
mod store;
mod variables;
