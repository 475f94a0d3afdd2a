//! Clients that leave, in whole or by half, while their request is under way.

use std::sync::{Mutex, mpsc};
use std::time::Duration;

use ensage_tests::{Origin, until};

use super::lab::{KEYED, Keyed, lab, rig};

/// Some clients say that they will ask no more, and still wait for what they have asked for. Those that have gone are
/// missed all the same.
#[test]
fn a_client_that_closes_one_direction_gets_its_answer() {
    let rig = rig();
    let (left, gone) = mpsc::channel::<()>();
    let left = Mutex::new(left);
    let origin = Origin::start(Some(rig.ca.leaf(&["api.test", "other.test"])), move |link| {
        let Some(request) = link.request()? else { return Ok(()) };
        if request.line().contains("/never") {
            while link.some().is_ok_and(|some| !some.is_empty()) {}
            let _ = left.lock().unwrap().send(());
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(300));
        link.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")?;
        std::thread::sleep(Duration::from_millis(300));
        link.write(b"4\r\nlast\r\n0\r\n\r\n")
    });
    let lab = Keyed::start(rig, &lab(KEYED).resolve("*.test:443", origin.address()));
    for host in ["api.test", "other.test"] {
        let mut raw = lab.rig.tunnel(&lab.gateway, &format!("{host}:443"));
        raw.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes());
        raw.end();
        assert_eq!(raw.answer().text(), "firstlast", "{host}");
        let mut raw = lab.rig.tunnel(&lab.gateway, &format!("{host}:443"));
        raw.send(format!("GET /never HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes());
        origin.wait_for("/never");
        raw.end();
        // It still listens, so the request goes on; then it does not.
        assert!(gone.recv_timeout(Duration::from_millis(300)).is_err(), "{host}");
        drop(raw);
        gone.recv_timeout(ensage_tests::DEADLINE).unwrap();
    }
}

/// What an upstream does not take is not taken from the client either, and so its leaving is not heard.
#[test]
fn a_client_that_leaves_its_upload_behind_is_missed() {
    let rig = rig();
    let (left, gone) = mpsc::channel::<()>();
    let (go, read) = mpsc::channel::<()>();
    let (left, read) = (Mutex::new(left), Mutex::new(read));
    let origin = Origin::start(Some(rig.ca.leaf(&["other.test"])), move |link| {
        let Some(_) = link.request_head()? else { return Ok(()) };
        let _ = read.lock().unwrap().recv_timeout(ensage_tests::DEADLINE);
        while link.some().is_ok_and(|some| !some.is_empty()) {}
        let _ = left.lock().unwrap().send(());
        Ok(())
    });
    let lab = Keyed::start(rig, &lab(KEYED).resolve("*.test:443", origin.address()));
    let mut raw = lab.rig.tunnel(&lab.gateway, "other.test:443");
    raw.send(b"POST / HTTP/1.1\r\nHost: other.test\r\nContent-Length: 1000000000\r\n\r\n");
    let stream = raw.duplicate();
    stream.set_nonblocking(true).unwrap();
    // Until nothing more fits in anywhere.
    let mut stuck = 0;
    while stuck < 30 {
        match raw.try_send(&[b'x'; 100_000]) {
            Ok(()) => stuck = 0,
            Err(_) => {
                stuck += 1;
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
    drop((raw, stream));
    // The exchange is over before the upstream reads on.
    until("the end of the exchange", || lab.rig.calls().into_iter().find(|call| call["outcome"] == "client_gone"));
    go.send(()).unwrap();
    gone.recv_timeout(ensage_tests::DEADLINE).unwrap();
}
