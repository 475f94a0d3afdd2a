//! WebSocket: what may become one, what passes in it, and how it ends.

mod ends;
mod frames;
mod handshake;

use std::io;

use ensage_tests::frames::{ACCEPT, BINARY, CLOSE, Frame, KEY, PING, PONG, TEXT, masked, plain, status};
use ensage_tests::{Config, Link, Origin, Raw};
use serde_json::Value;

use super::lab::{Keyed, lab, rig};

/// One host that a credential binds, one that none does, and one that no WebSocket is let through to.
const ENTRIES: &str = r#"
[[enclave.lab.http]]
host = "api.test"
websocket = true
credential = "key"

[[enclave.lab.http]]
host = "other.test"
websocket = true

[[enclave.lab.http]]
host = "shut.test"

[credential.key]
slot = ["bearer", "header:x-api-key"]
hosts = ["api.test"]
placeholder = "ph-"
env = "KEY"
"#;

/// A gateway, and an origin behind every name.
struct Sea {
    lab: Keyed,
    origin: Origin,
}

impl Sea {
    fn new(script: impl Fn(&mut Link) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self::with(lab(ENTRIES), script)
    }

    fn with(config: Config, script: impl Fn(&mut Link) -> io::Result<()> + Send + Sync + 'static) -> Self {
        let rig = rig();
        let origin = Origin::start(Some(rig.ca.leaf(&["api.test", "other.test", "shut.test"])), script);
        let lab = Keyed::start(rig, &config.resolve("*.test:443", origin.address()));
        Self { lab, origin }
    }

    /// A WebSocket to this host, with these further header lines.
    fn open(&self, host: &str, lines: &str) -> Raw {
        let mut raw = self.ask(host, lines);
        let answer = raw.answer_head().unwrap().unwrap();
        assert_eq!(answer.status, 101, "{}", answer.head);
        assert_eq!(answer.field("sec-websocket-accept"), Some(ACCEPT));
        raw
    }

    /// Only asks for one.
    fn ask(&self, host: &str, lines: &str) -> Raw {
        let mut raw = self.lab.rig.tunnel(&self.lab.gateway, &format!("{host}:443"));
        raw.send(upgrade(host, lines).as_bytes());
        raw
    }

    /// The one record of a WebSocket, once it has ended.
    fn record(&self) -> Value {
        ensage_tests::until("the end of the websocket", || {
            let mut calls = self.lab.rig.calls();
            assert!(calls.len() <= 1, "{calls:#?}");
            calls.pop().filter(|call| call.get("open").is_none())
        })
    }
}

/// A request for a WebSocket.
fn upgrade(host: &str, lines: &str) -> String {
    format!(
        "GET /ws?x=1 HTTP/1.1\r\nHost: {host}\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{lines}\r\n"
    )
}

/// Says back what it is told, but for control frames, which it answers.
fn echo(link: &mut Link) -> io::Result<()> {
    link.upgrade("")?;
    while let Some(frame) = link.frame()? {
        match frame.first {
            CLOSE => {
                link.write(&plain(CLOSE, &frame.payload))?;
                return Ok(());
            }
            PING => link.write(&plain(PONG, &frame.payload))?,
            first => link.write(&plain(first, &frame.payload))?,
        }
    }
    Ok(())
}

/// Ends a WebSocket in order.
fn close(raw: &mut Raw) {
    raw.send(&masked(CLOSE, status(1000, "bye")));
    let frame = raw.frame().unwrap().unwrap();
    assert_eq!(frame.status(), Some((1000, "bye".to_owned())));
    assert_eq!(raw.frame().unwrap(), None);
}

fn text(raw: &mut Raw) -> String {
    let frame: Frame = raw.frame().unwrap().unwrap();
    assert_eq!((frame.first, frame.masked), (TEXT, false), "{frame:?}");
    frame.text()
}
