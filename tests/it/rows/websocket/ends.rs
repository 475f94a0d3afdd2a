//! How a WebSocket ends.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use ensage_tests::{DEADLINE, until};

use super::*;

/// An origin that hands each frame over, and says `None` at the end of its stream.
fn telling() -> (Receiver<Option<Frame>>, impl Fn(&mut Link) -> io::Result<()> + Send + Sync + 'static) {
    let (tell, told) = channel();
    let tell: Arc<Mutex<Sender<Option<Frame>>>> = Arc::new(Mutex::new(tell));
    (told, move |link: &mut Link| {
        link.upgrade("")?;
        link.write(&plain(TEXT, "ready"))?;
        let tell = tell.lock().unwrap().clone();
        loop {
            let frame = link.frame();
            let over = !matches!(frame, Ok(Some(_)));
            let _ = tell.send(frame.ok().flatten());
            if over {
                return Ok(());
            }
        }
    })
}

/// A WebSocket that is under way.
fn ready(sea: &Sea, host: &str) -> Raw {
    let mut raw = sea.open(host, "");
    assert_eq!(text(&mut raw), "ready");
    raw
}

fn next(told: &Receiver<Option<Frame>>) -> Option<Frame> {
    told.recv_timeout(DEADLINE).unwrap()
}

#[test]
fn a_server_may_say_goodbye_first() {
    for host in ["api.test", "other.test"] {
        let sea = Sea::new(|link| {
            link.upgrade("")?;
            link.write(&plain(CLOSE, status(1001, "going")))?;
            let answer = link.frame()?.unwrap();
            assert_eq!(answer.status().unwrap().0, 1001);
            Ok(())
        });
        let mut raw = sea.open(host, "");
        assert_eq!(raw.frame().unwrap().unwrap().status(), Some((1001, "going".to_owned())));
        raw.send(&masked(CLOSE, status(1001, "")));
        assert_eq!(raw.try_rest().unwrap(), b"");
        // Its record is there before the last byte.
        let calls = sea.lab.rig.calls();
        assert_eq!((calls.len(), &calls[0]["outcome"]), (1, &"complete".into()), "{calls:#?}");
        assert_eq!((&calls[0]["bytes"]["up"], &calls[0]["bytes"]["down"]), (&8.into(), &9.into()));
    }
}

#[test]
fn a_websocket_is_recorded_before_the_last_word() {
    let (go, gone) = channel::<()>();
    let gone = Mutex::new(gone);
    let sea = Sea::new(move |link| {
        link.upgrade("")?;
        let word = link.frame()?.unwrap();
        link.write(&plain(CLOSE, &word.payload))?;
        // The stream does not end before the test has looked.
        let _ = gone.lock().unwrap().recv_timeout(DEADLINE);
        Ok(())
    });
    for host in ["api.test", "other.test"] {
        let mut raw = sea.open(host, "");
        raw.send(&masked(CLOSE, status(1000, "")));
        assert_eq!(raw.frame().unwrap().unwrap().first, CLOSE);
        let call = sea.lab.rig.calls().pop().unwrap();
        assert_eq!((&call["outcome"], call.get("open")), (&"complete".into(), None), "{call}");
        go.send(()).unwrap();
        assert_eq!(raw.try_rest().unwrap(), b"");
    }
}

/// An upstream that neither reads nor ends keeps nobody.
#[test]
fn a_client_that_has_left_is_missed() {
    for fills in [false, true] {
        let (go, gone) = channel::<()>();
        let gone = Mutex::new(gone);
        let sea = Sea::new(move |link| {
            link.upgrade("")?;
            let _ = gone.lock().unwrap().recv_timeout(DEADLINE);
            Ok(())
        });
        let mut raw = sea.open("other.test", "");
        let socket = raw.duplicate();
        socket.set_nonblocking(true).unwrap();
        let frame = masked(BINARY, vec![b'.'; 50_000]);
        // Until every buffer on the way is full: the end of its stream is behind them.
        let (mut looks, mut stuck) = (0, 0);
        until("nothing more to fit in", || {
            stuck = if raw.try_send(&frame).is_ok() { 0 } else { stuck + 1 };
            looks += 1;
            (!fills && looks > 3 || stuck > 100).then_some(())
        });
        drop((raw, socket));
        assert_eq!(sea.record()["outcome"], "client_gone", "{fills}");
        // It was missed at once, and not by those who look whether somebody else has the connection.
        let said = sea.lab.gateway.stderr();
        assert!(!said.contains("another identity"), "{said}");
        go.send(()).unwrap();
    }
}

#[test]
fn a_stream_that_ends_without_a_word_ends_the_other() {
    for host in ["api.test", "other.test"] {
        // Upstream ends.
        let sea = Sea::new(|link| {
            link.upgrade("")?;
            link.write(&plain(TEXT, "ready"))
        });
        let mut raw = ready(&sea, host);
        assert_eq!(raw.try_rest().unwrap(), b"");
        drop(raw);
        let record = sea.record();
        assert_eq!(
            (&record["outcome"], &record["reason"]),
            (&"upstream_failed".into(), &"upstream_closed".into()),
            "{record}"
        );
        // Upstream breaks off: the client's stream does not end in order.
        let sea = Sea::new(|link| {
            link.upgrade("")?;
            link.write(&plain(TEXT, "ready"))?;
            link.cut();
            Ok(())
        });
        let mut raw = ready(&sea, host);
        assert!(raw.try_rest().is_err());
        assert_eq!(sea.record()["outcome"], "upstream_failed");
        // The client goes.
        let (told, script) = telling();
        let sea = Sea::new(script);
        drop(ready(&sea, host));
        assert_eq!(next(&told), None);
        assert_eq!(sea.record()["outcome"], "client_gone");
    }
}

#[test]
fn a_client_that_says_no_more_may_still_listen() {
    for host in ["api.test", "other.test"] {
        let sea = Sea::new(|link| {
            link.upgrade("")?;
            while link.frame()?.is_some() {}
            // The client has said all it had to say.
            for _ in 0..3 {
                link.write(&plain(TEXT, "still"))?;
            }
            link.write(&plain(CLOSE, ""))
        });
        let mut raw = sea.open(host, "");
        raw.send(&masked(TEXT, "all"));
        raw.end();
        for _ in 0..3 {
            assert_eq!(text(&mut raw), "still");
        }
        assert_eq!(raw.frame().unwrap().unwrap().first, CLOSE);
        assert_eq!(raw.try_rest().unwrap(), b"");
        assert_eq!(sea.record()["outcome"], "complete");
    }
}

/// So many policies were put in force.
fn loaded(sea: &Sea, policies: usize) -> Option<()> {
    let events = sea.lab.rig.records();
    (events.iter().filter(|r| r["kind"] == "policy" && r["event"] == "loaded").count() >= policies).then_some(())
}

#[test]
fn a_websocket_that_may_no_longer_run_is_ended() {
    for host in ["api.test", "other.test"] {
        let (told, script) = telling();
        let sea = Sea::new(script);
        let mut raw = ready(&sea, host);
        let text = std::fs::read_to_string(sea.lab.rig.config_file()).unwrap();
        // What does not concern it leaves it alone.
        sea.lab.rig.write_config(&text.replace("shut.test", "closed.test"));
        sea.lab.gateway.hang_up();
        until("the new policy", || loaded(&sea, 2));
        raw.send(&masked(TEXT, "here"));
        assert_eq!(next(&told).unwrap().text(), "here");
        sea.lab.rig.write_config(&text.replace("websocket = true", "websocket = false"));
        sea.lab.gateway.hang_up();
        assert_eq!(raw.frame().unwrap().unwrap().status(), Some((1008, "revoked".to_owned())));
        assert_eq!(raw.try_rest().unwrap(), b"");
        assert_eq!(next(&told), None);
        assert_eq!(sea.record()["outcome"], "revoked");
    }
}

#[test]
fn a_drain_waits_for_a_websocket() {
    let (told, script) = telling();
    let mut sea = Sea::new(script);
    let mut raw = ready(&sea, "api.test");
    let address = sea.lab.gateway.address();
    let stopping = std::thread::spawn(move || {
        let status = sea.lab.gateway.stop();
        (sea, status)
    });
    until("the gateway to take no more", || std::net::TcpStream::connect(address).is_err().then_some(()));
    raw.send(&masked(TEXT, "here"));
    assert_eq!(next(&told).unwrap().text(), "here");
    raw.send(&masked(CLOSE, ""));
    assert_eq!(next(&told).unwrap().first, CLOSE);
    drop(raw);
    let (sea, status) = stopping.join().unwrap();
    assert!(status.success(), "{status:?}");
    assert_eq!(sea.record()["outcome"], "complete");
}
