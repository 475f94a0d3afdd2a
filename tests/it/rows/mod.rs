//! The threat rows: attacks by raw bytes, each beside its benign twin in the same rig.

mod authority;
mod framing;
mod hosts;
mod keys;
mod lab;
mod mcp;
mod reflect;
mod state;
mod tunnel;
mod upstream;
mod who;
