//! What is logged, where, and in which words (interface section 6). A library that uses the gateway installs its own
//! subscriber, or none; [`install`] is the binary's.

mod line;
mod queue;
mod settings;

use std::error::Error;

pub(crate) use queue::Flush;
pub(crate) use settings::install;

/// The target of spans; it is always enabled, since a span is made only where an event is.
pub(crate) const SPANS: &str = "ensage::span";
/// The target of what becomes of calls.
pub(crate) const CALLS: &str = "ensage::call";
/// The target of what becomes of sessions.
pub(crate) const SESSIONS: &str = "ensage::session";
/// The target of what becomes of the gateway and its configuration.
pub(crate) const GATEWAY: &str = "ensage::gateway";

/// An error and its causes on one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

/// A panic is told by its place alone: its message may quote what a client sent.
pub(crate) fn tell_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(target: GATEWAY, { panic.location = place }, "a thread of the gateway panicked");
    }));
}
