//! The threat rows: attacks by raw bytes, each beside its benign twin in the same rig.

mod authority;
mod hosts;
mod lab;
mod tunnel;
