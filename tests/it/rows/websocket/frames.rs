//! What passes in a WebSocket.

use super::super::lab::has;
use ensage_tests::until;

use super::*;

/// Where a placeholder may hide: frames, of which the last completes it.
fn hidings(placeholder: &str) -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let (a, b) = placeholder.split_at(placeholder.len() / 2);
    let percent: String = placeholder.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let long = format!("{}{placeholder}{}", "x".repeat(200_000), "y".repeat(200_000));
    vec![
        ("text", vec![masked(TEXT, format!("my key is {placeholder}!"))]),
        ("bytes", vec![masked(BINARY, placeholder)]),
        ("percent", vec![masked(TEXT, percent)]),
        ("fragments", vec![masked(0x01, a), masked(PING, "between"), masked(0x80, b)]),
        ("messages", vec![masked(TEXT, a), masked(TEXT, b)]),
        ("ping", vec![masked(PING, placeholder)]),
        ("pings", vec![masked(PING, a), masked(TEXT, "between"), masked(PING, b)]),
        ("close", vec![masked(CLOSE, status(1000, placeholder))]),
        ("long", vec![masked(TEXT, long)]),
    ]
}

#[test]
fn f2_a_placeholder_in_a_frame_ends_the_websocket() {
    for (host, reason) in [("api.test", "placeholder_wrong_slot"), ("other.test", "placeholder_wrong_host")] {
        let sea = Sea::new(echo);
        let hidings = hidings(&sea.lab.placeholder);
        let count = hidings.len();
        for (what, frames) in hidings {
            let mut raw = sea.open(host, "");
            raw.send(&masked(TEXT, "good"));
            assert_eq!(text(&mut raw), "good");
            let (last, before) = frames.split_last().unwrap();
            for frame in before {
                raw.send(frame);
            }
            // What is echoed of these frames is there before the last one is sent.
            let echoed = before.iter().filter(|frame| frame[0] != PING).count() + usize::from(what.starts_with("ping"));
            for _ in 0..echoed.max(before.len()) {
                if before.is_empty() {
                    break;
                }
                raw.frame().unwrap().unwrap();
            }
            let seen = sea.origin.received().last().unwrap().len();
            let _ = raw.try_send(last);
            let frame = raw.frame().unwrap().unwrap();
            assert_eq!(frame.status(), Some((1008, reason.to_owned())), "{host} {what}");
            assert_eq!(raw.try_rest().unwrap(), b"", "{host} {what}");
            if what != "long" {
                let got = sea.origin.received().last().unwrap()[seen..].to_vec();
                assert_eq!(got, b"", "{host} {what}: something of the last frame went up");
            }
        }
        let records = until("the ends", || {
            let calls = sea.lab.rig.calls();
            calls.iter().all(|call| call.get("open").is_none()).then_some(calls)
        });
        assert_eq!(records.len(), count);
        for record in &records {
            assert_eq!((&record["outcome"], &record["reason"]), (&"refused".into(), &reason.into()), "{record}");
        }
        let alarms: Vec<_> = sea.lab.rig.records().into_iter().filter(|r| r["kind"] == "alarm").collect();
        assert_eq!(alarms.len(), count);
        assert!(alarms.iter().all(|alarm| alarm["reason"] == reason && alarm["severity"] == "high"), "{alarms:#?}");
        sea.lab.assert_sealed();
    }
}

#[test]
fn f2_nothing_of_a_frame_goes_up_before_its_end() {
    for host in ["api.test", "other.test"] {
        for cut in [1, 6, 20, 30] {
            let sea = Sea::new(echo);
            let mut raw = sea.open(host, "");
            let seen = sea.origin.text().len();
            let first = masked(TEXT, "first");
            let second = masked(TEXT, format!("so: {} and more", sea.lab.placeholder));
            raw.send(&[&first, &second[..cut]].concat());
            // It was read together with a part of the second.
            assert_eq!(text(&mut raw), "first");
            raw.send(&second[cut..]);
            assert_eq!(raw.frame().unwrap().unwrap().status().unwrap().0, 1008);
            assert_eq!(raw.rest(), b"");
            assert_eq!(sea.record()["outcome"], "refused");
            let got = sea.origin.received().pop().unwrap();
            assert_eq!(got[seen..], first, "{host} {cut}");
        }
    }
}

#[test]
fn f4_a_reflected_secret_does_not_come_back() {
    let sea = Sea::new(|link| {
        let request = link.upgrade("X-Echo: nothing\r\n")?;
        let secret = request.field("x-api-key").unwrap_or("none").to_owned();
        let (a, b) = secret.split_at(secret.len() / 2);
        let long = format!("{}{secret}", "x".repeat(300_000));
        for frame in [
            plain(TEXT, format!("you are {secret}.")),
            plain(BINARY, &secret),
            plain(0x01, format!("half {a}")),
            plain(PING, &secret),
            plain(0x00, b),
            plain(0x80, " done"),
            plain(TEXT, &long),
            plain(TEXT, "clean"),
            plain(CLOSE, status(1000, &secret)),
        ] {
            link.write(&frame)?;
        }
        while link.frame()?.is_some() {}
        Ok(())
    });
    let mut raw = sea.open("api.test", &format!("x-api-key: {}\r\n", sea.lab.placeholder));
    let placeholder = &sea.lab.placeholder;
    let mut messages: Vec<(u8, Vec<u8>)> = Vec::new();
    let mut controls = Vec::new();
    while let Some(frame) = raw.frame().unwrap() {
        assert!(!has(&frame.payload, sea.lab.secret.as_bytes()), "{frame:?}");
        match frame.first {
            CLOSE => {
                assert_eq!(frame.status(), Some((1000, placeholder.clone())));
                raw.send(&masked(CLOSE, status(1000, "")));
                raw.end();
            }
            PING => controls.push((messages.len(), frame.text())),
            first if first & 15 == 0 => messages.last_mut().unwrap().1.extend(frame.payload),
            first => messages.push((first & 15, frame.payload)),
        }
    }
    let said: Vec<(u8, String)> =
        messages.into_iter().map(|(first, all)| (first, String::from_utf8(all).unwrap())).collect();
    let expected = [
        (1, format!("you are {placeholder}.")),
        (2, placeholder.clone()),
        (1, format!("half {placeholder} done")),
        (1, format!("{}{placeholder}", "x".repeat(300_000))),
        (1, "clean".to_owned()),
    ];
    assert!(said == expected, "{said:?}");
    assert_eq!(controls, [(3, placeholder.clone())]);
    let record = sea.record();
    assert_eq!((&record["scrubbed"], &record["outcome"]), (&6.into(), &"complete".into()), "{record}");
    sea.lab.assert_sealed();
}

#[test]
fn a_client_that_breaks_the_rules_is_told_so_and_so_is_its_server() {
    let bad = [
        masked(0xc1, "reserved bit"),
        masked(0x83, "reserved opcode"),
        masked(0x09, "a ping in fragments"),
        masked(PING, "x".repeat(126)),
        plain(TEXT, "not masked"),
        [&[0x81, 0xfe, 0, 1, 0, 0, 0, 0][..], b"x"].concat(),
        masked(0x80, "goes on with nothing"),
        [masked(0x01, "one"), masked(TEXT, "in the other")].concat(),
    ];
    for frame in bad {
        let sea = Sea::new(|link| {
            link.upgrade("")?;
            while link.frame()?.is_some() {}
            Ok(())
        });
        let mut raw = sea.open("api.test", "");
        raw.send(&frame);
        let word = raw.frame().unwrap().unwrap();
        assert_eq!(word.status().unwrap().0, 1002, "{frame:x?}");
        assert_eq!(raw.try_rest().unwrap(), b"");
        let record = sea.record();
        assert_eq!(
            (&record["outcome"], &record["reason"]),
            (&"refused".into(), &"malformed_request".into()),
            "{record}"
        );
        let got = until("the close frame upstream", || {
            let got = sea.origin.received().pop()?;
            let head = got.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
            (got.len() > head + 6).then(|| got[head..].to_vec())
        });
        // Masked, status 1002, and nothing before it.
        let key = &got[2..6];
        assert_eq!((got[0], got[1] & 0x80, got[6] ^ key[0], got[7] ^ key[1]), (CLOSE, 0x80, 3, 0xea), "{got:x?}");
    }
}

#[test]
fn a_server_that_breaks_the_rules_is_told_so_and_so_is_its_client() {
    let bad = [
        plain(0xc1, "reserved bit"),
        plain(0x8b, "reserved opcode"),
        plain(0x08, ""),
        plain(PONG, "x".repeat(126)),
        masked(TEXT, "masked"),
        vec![0x82, 127, 0, 0, 0, 0, 0, 0, 0, 1, b'x'],
        [plain(0x02, "one"), plain(BINARY, "in the other")].concat(),
    ];
    for frame in bad {
        let (sent, (told, tells)) = (frame.clone(), std::sync::mpsc::channel());
        let told = std::sync::Mutex::new(told);
        let sea = Sea::new(move |link| {
            link.upgrade("")?;
            link.write(&[plain(TEXT, "good"), sent.clone()].concat())?;
            while let Some(frame) = link.frame()? {
                let _ = told.lock().unwrap().send(frame);
            }
            Ok(())
        });
        let mut raw = sea.open("api.test", "");
        let mut word = raw.frame().unwrap().unwrap();
        while word.first != CLOSE {
            assert!(!word.text().contains("other"), "{word:?}");
            word = raw.frame().unwrap().unwrap();
        }
        assert_eq!(word.status().unwrap().0, 1002, "{frame:x?}");
        assert_eq!(raw.try_rest().unwrap(), b"");
        let record = sea.record();
        assert_eq!(
            (&record["outcome"], &record["reason"]),
            (&"upstream_failed".into(), &"upstream_protocol".into()),
            "{record}"
        );
        let word: Frame = tells.recv_timeout(ensage_tests::DEADLINE).unwrap();
        assert_eq!((word.masked, word.status().unwrap().0), (true, 1002));
    }
}

#[test]
fn odd_frames_pass_where_no_credential_binds_the_host() {
    let sea = Sea::new(|link| {
        link.upgrade("")?;
        while let Some(frame) = link.frame()? {
            link.write(&masked(frame.first, &frame.payload))?;
        }
        Ok(())
    });
    let mut raw = sea.open("other.test", "");
    for (first, length) in [(0x83, 3), (0xf1, 0), (0x09, 126), (0x80, 70_000)] {
        raw.send(&masked(first, "x".repeat(length)));
        let frame = raw.frame().unwrap().unwrap();
        assert_eq!((frame.first, frame.masked, frame.payload.len()), (first, true, length));
    }
}

#[test]
fn frames_of_any_length_pass_in_bounded_memory() {
    const BYTES: usize = 48 << 20;
    for host in ["api.test", "other.test"] {
        let sea = Sea::new(|link| {
            link.upgrade("")?;
            let frame = link.frame()?.unwrap();
            let sum: u64 = frame.payload.iter().map(|byte| u64::from(*byte)).sum();
            link.write(&plain(BINARY, &frame.payload))?;
            link.write(&plain(TEXT, format!("{} {sum}", frame.payload.len())))?;
            while link.frame()?.is_some() {}
            Ok(())
        });
        let payload: Vec<u8> = (0..BYTES).map(|n| (n % 253) as u8).collect();
        let sum: u64 = payload.iter().map(|byte| u64::from(*byte)).sum();
        let mut raw = sea.open(host, "");
        let before = sea.lab.gateway.peak_kib();
        raw.send(&masked(BINARY, &payload));
        let mut back = Vec::new();
        let last = loop {
            let frame = raw.frame().unwrap().unwrap();
            if frame.first == TEXT {
                break frame;
            }
            back.extend(frame.payload);
        };
        assert_eq!(last.text(), format!("{BYTES} {sum}"));
        assert!(back == payload, "{host}: what came back is not what was sent");
        let more = sea.lab.gateway.peak_kib().saturating_sub(before);
        assert!(more < 12 * 1024, "{host}: {more} KiB more");
    }
}

#[test]
fn whoever_does_not_read_holds_the_other_side_back() {
    const FRAMES: usize = 6_000;
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let gone = std::sync::Mutex::new(gone);
    let sea = Sea::new(move |link| {
        link.upgrade("")?;
        let _ = gone.lock().unwrap().recv_timeout(ensage_tests::DEADLINE);
        let mut bytes = 0;
        while let Some(frame) = link.frame()? {
            bytes += frame.payload.len();
            if frame.first == CLOSE {
                break;
            }
        }
        link.write(&plain(TEXT, bytes.to_string()))
    });
    let mut raw = sea.open("api.test", "");
    let before = sea.lab.gateway.peak_kib();
    let sent = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = sent.clone();
    let frame = masked(BINARY, vec![b'.'; 10_000]);
    let writer = std::thread::spawn(move || {
        for _ in 0..FRAMES {
            raw.send(&frame);
            counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        raw.send(&masked(CLOSE, ""));
        raw
    });
    // Until nothing has gone for many looks: every buffer on the way is full then, or all is out.
    let (mut last, mut looks) = (0, 0);
    until("the client to be held back", || {
        let now = sent.load(std::sync::atomic::Ordering::Relaxed);
        looks = if now == last && now > 0 { looks + 1 } else { 0 };
        last = now;
        (looks > 100).then_some(())
    });
    assert!(last < FRAMES, "all of it was taken");
    go.send(()).unwrap();
    let mut raw = writer.join().unwrap();
    assert_eq!(text(&mut raw), "60000000");
    let more = sea.lab.gateway.peak_kib().saturating_sub(before);
    assert!(more < 12 * 1024, "{more} KiB more");
}
