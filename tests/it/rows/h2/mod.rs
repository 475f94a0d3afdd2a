//! HTTP/2 on both legs: what passes, what each stream is judged by, and what a peer may not do.

mod blocks;
mod ends;
mod heads;
mod held;
mod hostile;
mod passing;
mod shared;

use ensage_tests::h2::{H2Origin, good};
use ensage_tests::wire::Wire;
use ensage_tests::{Origin, Raw, ok};
use http::Request;

use super::lab::{KEYED, Keyed, lab, rig};

/// An origin for `api.test` and `other.test` that answers with the request's line.
fn echo() -> (H2Origin, Keyed) {
    let rig = rig();
    let origin = H2Origin::answering(rig.ca.leaf(&["api.test", "other.test"]), |asked| good(asked.line.as_bytes()));
    let lab = Keyed::start(rig, &lab(KEYED).resolve("*.test:443", origin.address()));
    (origin, lab)
}

/// The same, speaking HTTP/1.1 alone.
fn echo_h1() -> (Origin, Keyed) {
    let rig = rig();
    let origin = Origin::answering(Some(rig.ca.leaf(&["api.test", "other.test"])), |asked| ok(asked.line()));
    let lab = Keyed::start(rig, &lab(KEYED).resolve("*.test:443", origin.address()));
    (origin, lab)
}

/// A connection to `other.test` that speaks frames.
fn wire(lab: &Keyed) -> Wire {
    let mut raw = Raw::open(lab.gateway.address());
    assert_eq!(raw.connect("other.test:443", "").status, 200);
    Wire::open(raw.tls_h2(&lab.rig.trust(), "other.test").unwrap())
}

fn post(url: &str, body: &[u8]) -> Request<Vec<u8>> {
    Request::post(url).body(body.to_vec()).unwrap()
}
