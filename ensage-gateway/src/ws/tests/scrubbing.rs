//! Frames that carry a reflected secret.

use std::sync::Arc;

use ensage_creds::{Patterns, Scrubber, Secret};

use super::*;

const SECRET: &str = "sk-real-0123456789";
const PLACEHOLDER: &str = "ens_1";

fn patterns() -> Arc<Patterns> {
    Patterns::new(&[(&Secret::from_stdin(SECRET.into()).unwrap(), PLACEHOLDER)])
}

/// What a connection does, and how many secrets it met.
fn through(all: &[u8], lengths: &[usize]) -> (Vec<u8>, usize) {
    let mut scrubbing = Scrubbing::new(patterns());
    let (mut held, mut out) = (Vec::new(), Vec::new());
    for piece in pieces(all, lengths) {
        held.extend_from_slice(piece);
        loop {
            let mut made = Vec::new();
            let full = held.len() >= HELD_BYTES_MAX;
            let passed = scrubbing.read(&held, full, &mut made).unwrap();
            assert!(passed.as_it_came <= passed.taken);
            out.extend_from_slice(&held[..passed.as_it_came]);
            out.extend(made);
            held.drain(..passed.taken);
            if held.len() < HELD_BYTES_MAX {
                break;
            }
        }
    }
    assert!(held.is_empty(), "{held:x?}");
    (out, scrubbing.count())
}

/// Messages, and control frames, each with how many messages were whole before it.
type Told = (Vec<(Opcode, Vec<u8>)>, Vec<(usize, Frame)>);

/// What these frames say.
fn told(frames: &[Frame]) -> Told {
    let (mut messages, mut controls, mut under_way) = (Vec::new(), Vec::new(), None);
    for frame in frames {
        match frame.header.opcode {
            opcode if opcode.is_control() => controls.push((messages.len(), frame.clone())),
            Opcode::Continuation => {
                let (_, payload): &mut (Opcode, Vec<u8>) = under_way.as_mut().expect("a message to go on with");
                payload.extend(&frame.payload);
            }
            opcode => assert_eq!(under_way.replace((opcode, frame.payload.clone())), None),
        }
        if frame.header.fin && !frame.header.opcode.is_control() {
            messages.extend(under_way.take());
        }
    }
    assert_eq!(under_way, None);
    (messages, controls)
}

/// One message after the other, each whole.
fn whole(messages: Vec<(Opcode, Vec<u8>)>) -> Vec<(Opcode, String)> {
    let mut scrubber = Scrubber::over(patterns());
    let mut clean = |message: &[u8]| {
        let mut out = Vec::new();
        scrubber.feed(message, &mut out);
        scrubber.event_end(&mut out);
        String::from_utf8(out).unwrap()
    };
    messages.iter().map(|(opcode, message)| (*opcode, clean(message))).collect()
}

fn check(talk: &[Frame], expected: &[Frame]) {
    let (out, _) = through(&bytes(talk), &[usize::MAX]);
    assert_eq!(frames(&out), expected);
}

#[test]
fn a_secret_in_one_frame_or_in_several_is_replaced() {
    let text = |fin, payload: &str| Frame::new(fin, Opcode::Text, payload);
    let rest = |fin, payload: &str| Frame::new(fin, Opcode::Continuation, payload);
    let ping = Frame::new(true, Opcode::Ping, "p");
    check(&[text(true, "clean")], &[text(true, "clean")]);
    check(&[text(true, &format!("a {SECRET} b"))], &[text(true, "a ens_1 b")]);
    // A fragment that is held back goes with the next one, the ping between them at once.
    check(&[text(false, "sk-real-01"), ping.clone(), rest(true, "23456789!")], &[ping.clone(), text(true, "ens_1!")]);
    check(
        &[text(false, "a sk-real-"), rest(false, ""), ping.clone(), rest(true, "x")],
        &[text(false, "a "), rest(false, ""), ping, rest(true, "sk-real-x")],
    );
    // What is held back comes out with the end of its message, empty as the last fragment may be.
    check(&[text(false, "a sk-real-"), rest(true, "")], &[text(false, "a "), rest(true, "sk-real-")]);
    check(&[text(true, "sk-real-"), text(true, "next")], &[text(true, "sk-real-"), text(true, "next")]);
}

#[test]
fn a_secret_in_a_control_frame_is_replaced() {
    let long = format!("{}{SECRET}", "é".repeat(52));
    let (out, count) =
        through(&bytes(&[Frame::new(true, Opcode::Ping, SECRET), Frame::new(true, Opcode::Pong, &long)]), &[3]);
    assert_eq!(count, 2);
    let said: Vec<String> = frames(&out).iter().map(|f| String::from_utf8(f.payload.clone()).unwrap()).collect();
    assert_eq!(said, [PLACEHOLDER.to_owned(), format!("{}{PLACEHOLDER}", "é".repeat(52))]);
}

#[test]
fn a_frame_of_any_length_goes_in_parts_without_its_secrets() {
    let payload = format!("{SECRET}{}", "x".repeat(997)).repeat(1000);
    let talk = [Frame::new(true, Opcode::Binary, &payload), Frame::new(true, Opcode::Text, "then")];
    for length in [1000, 7001, 65_536, 200_000] {
        let (out, count) = through(&bytes(&talk), &[length]);
        assert_eq!(count, 1000, "{length}");
        let (messages, _) = told(&frames(&out));
        assert!(messages[0].1 == payload.replace(SECRET, PLACEHOLDER).into_bytes(), "{length}");
        assert_eq!(messages[1], (Opcode::Text, b"then".to_vec()));
        assert!(frames(&out).len() > 5);
    }
}

proptest! {
    #[test]
    fn messages_are_scrubbed_as_if_each_were_whole(talk in talk(), lengths in lengths()) {
        let all = bytes(&talk);
        let (out, count) = through(&all, &[usize::MAX]);
        let (messages, controls) = told(&frames(&out));
        let (asked, kept) = told(&talk);
        let clean = |(opcode, message): &(Opcode, Vec<u8>)| (*opcode, String::from_utf8_lossy(message).into_owned());
        let messages: Vec<_> = messages.iter().map(clean).collect();
        prop_assert!(messages.iter().all(|(_, message)| !message.contains(SECRET)));
        prop_assert_eq!(controls, kept);
        // The chunks of a message decide where up to three first bytes of a secret show, and nothing else.
        let bare = |all: &[(Opcode, String)]| all.iter().map(|(o, m)| (*o, shown(m))).collect::<Vec<_>>();
        prop_assert_eq!(bare(&messages), bare(&whole(asked)));
        // Frames that fit are dealt with whole, so the pieces make no difference.
        prop_assert_eq!(through(&all, &lengths), (out, count));
    }
}

/// Without the first bytes of a secret that stand before its placeholder.
fn shown(message: &str) -> String {
    message.replace("sk-ens_1", "ens_1").replace("skens_1", "ens_1").replace("sens_1", "ens_1")
}
