//! The threat rows: attacks by raw bytes, each beside its benign twin in the same rig.

mod authority;
mod daemon;
mod framing;
mod governed;
mod h2;
mod handshakes;
mod hidden;
mod hop;
mod hosts;
mod keys;
mod lab;
mod leaving;
mod limits;
mod mcp;
mod metrics;
mod observe;
mod passing;
mod pinned;
mod reflect;
mod regress;
mod revoked;
mod state;
mod tunnel;
mod unseen;
mod upstream;
mod who;
