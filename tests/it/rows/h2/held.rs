//! What is held of bodies that nobody reads: counted, bounded, and in nobody's way.

use std::future::poll_fn;

use ensage_tests::h2::{H2Origin, good, send, whole};
use ensage_tests::until;
use ensage_tests::wire::{DATA, END_HEADERS, END_STREAM, HEADERS, Wire, block, frame, head};

use super::super::lab::{KEYED, Keyed, lab, reasons, rig};
use super::wire;

/// Bytes of one upload: within its stream's window.
const UPLOAD: usize = 300 * 1000;

/// An origin that does not read what is sent to `/stuck`, and a gateway that may hold so much.
fn stuck(held_total: &str) -> (H2Origin, Keyed) {
    let rig = rig();
    let origin = H2Origin::start(rig.ca.leaf(&["other.test"]), |request, mut respond, _| async move {
        if request.uri().path() == "/stuck" {
            let _ = poll_fn(|cx| respond.poll_reset(cx)).await;
            return;
        }
        let Ok(asked) = whole(request).await else { return };
        send(respond, good(asked.body.len().to_string())).await;
    });
    let limits = format!("[limits]\nheld_total = \"{held_total}\"\n");
    let lab = Keyed::start(rig, &lab(KEYED).resolve("*.test:443", origin.address()).body(&limits));
    (origin, lab)
}

fn held(lab: &Keyed) -> u64 {
    let status: serde_json::Value = serde_json::from_str(&lab.rig.good(&["--json", "status"])).unwrap();
    status["held_bytes"].as_u64().unwrap()
}

fn upload(wire: &mut Wire, stream: u32, path: &str, bytes: usize, flags: u8) {
    wire.send(&frame(HEADERS, END_HEADERS, stream, &block(&head("POST", "other.test", path))));
    let body = vec![b'x'; bytes];
    let mut pieces = body.chunks(50_000).peekable();
    while let Some(piece) = pieces.next() {
        let last = if pieces.peek().is_none() { flags } else { 0 };
        wire.send(&frame(DATA, last, stream, piece));
    }
}

#[test]
fn h10_uploads_that_nobody_reads_count_as_held() {
    let (_origin, lab) = stuck("256MiB");
    let mut wire = wire(&lab);
    for stream in [1, 3, 5, 7] {
        upload(&mut wire, stream, "/stuck", UPLOAD, 0);
    }
    // Less what is on its way out, and what a connection has besides.
    until("they are held", || (held(&lab) > 2 * UPLOAD as u64).then_some(()));
    upload(&mut wire, 9, "/read", UPLOAD, END_STREAM);
    assert_eq!(wire.answer(9).text(), UPLOAD.to_string());
    assert!(held(&lab) > 2 * UPLOAD as u64);
    drop(wire);
    until("nothing is held", || (held(&lab) == 0).then_some(()));
    assert_eq!(reasons(&lab.rig), [""; 0]);
}

/// Where there is no room, the upload that would need it is refused; all others go on, and so does the connection.
#[test]
fn h10_an_upload_for_which_there_is_no_room_is_refused() {
    let (origin, lab) = stuck("1MiB");
    let mut wire = wire(&lab);
    for n in 0..6 {
        upload(&mut wire, 2 * n + 1, "/stuck", UPLOAD, 0);
    }
    upload(&mut wire, 99, "/read", UPLOAD, END_STREAM);
    assert_eq!(wire.answer(99).text(), UPLOAD.to_string());
    assert!(held(&lab) <= 1 << 20);
    let refused: Vec<_> = [1, 3, 5, 7, 9, 11].into_iter().filter(|stream| wire.so_far(*stream).ended).collect();
    assert!((1..6).contains(&refused.len()), "{refused:?}");
    for stream in &refused {
        assert_eq!(wire.answer(*stream).refusal(), (503, "overloaded".to_owned()));
    }
    // Their calls were on record, for they were under way.
    let calls = lab.rig.calls();
    let ended: Vec<_> = calls.iter().filter(|call| call["outcome"] == "refused").collect();
    assert_eq!((calls.len(), ended.len()), (7, refused.len()), "{calls:#?}");
    assert!(ended.iter().all(|call| call["reason"] == "overloaded" && call["http"]["response"]["status_code"] == 503));
    // A held body has its place too.
    let before = held(&lab);
    drop(wire);
    until("nothing is held", || (held(&lab) == 0).then_some(()));
    assert!(before > 0 && origin.connections() > 0);
}

/// Who finds all room taken by others goes on with what every connection has.
#[test]
fn h10_an_upload_that_is_read_needs_no_room() {
    let (_origin, lab) = stuck("256KiB");
    let mut full = wire(&lab);
    upload(&mut full, 1, "/stuck", UPLOAD, 0);
    until("they are held", || (held(&lab) > 100_000).then_some(()));
    let mut wire = wire(&lab);
    upload(&mut wire, 1, "/read", UPLOAD, END_STREAM);
    assert_eq!(wire.answer(1).text(), UPLOAD.to_string());
    assert_eq!(reasons(&lab.rig), [""; 0]);
}
