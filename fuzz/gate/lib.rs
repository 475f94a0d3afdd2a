//! The head gate of `ensage-gateway`, the engines behind it and its WebSocket frames, their sources as they are, and a
//! connection to drive the first two.
#![forbid(unsafe_code)]

#[path = "../../ensage-gateway/src/bell.rs"]
mod bell;
pub mod connection;
#[path = "../../ensage-gateway/src/gate/mod.rs"]
pub mod gate;
#[expect(dead_code, unused_imports, reason = "what the data path uses besides")]
#[path = "../../ensage-gateway/src/h1/mod.rs"]
mod h1;
#[expect(dead_code, unused_imports, reason = "what the data path uses besides")]
#[path = "../../ensage-gateway/src/h2/mod.rs"]
mod h2;
pub mod heads;
#[path = "../../ensage-gateway/src/timer.rs"]
mod timer;
#[path = "../../ensage-gateway/src/ws/mod.rs"]
pub mod ws;
