//! The head gate of `ensage-gateway` and the engine behind it, their sources as they are, and a connection to drive both.
#![forbid(unsafe_code)]

#[path = "../../ensage-gateway/src/bell.rs"]
mod bell;
pub mod connection;
#[path = "../../ensage-gateway/src/gate/mod.rs"]
pub mod gate;
#[expect(dead_code, unused_imports, reason = "what the data path uses besides")]
#[path = "../../ensage-gateway/src/h1/mod.rs"]
mod h1;
#[path = "../../ensage-gateway/src/timer.rs"]
mod timer;
