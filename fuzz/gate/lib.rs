//! The head gate of `ensage-gateway`, its sources as they are.
#![forbid(unsafe_code)]

#[path = "../../ensage-gateway/src/gate/mod.rs"]
pub mod gate;
#[path = "../../ensage-gateway/src/timer.rs"]
mod timer;
