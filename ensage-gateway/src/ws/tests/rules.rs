//! Frames that break a rule.

use super::*;

const KEY: [u8; 4] = [1, 2, 3, 4];

/// What the rules say of these frames.
fn verdict(rules: Rules, bytes: &[u8]) -> Result<(), &'static str> {
    match Passage::holding(rules).read(bytes, |_, _| Ok::<_, ()>(())) {
        Ok(_) => Ok(()),
        Err(Stop::Broken(broken)) => Err(broken.0),
        Err(Stop::Refused(())) => panic!("nothing was refused"),
    }
}

fn check(first: &[Frame], second: Vec<u8>, rule: &str) {
    for (rules, key) in [(Rules::Client, Some(KEY)), (Rules::Server, None)] {
        let side = |frame: &Frame| Frame { header: Header { mask: key, ..frame.header }, ..frame.clone() };
        let mut second = second.clone();
        if key.is_some() {
            second[1] |= 0x80;
            second.extend(KEY);
        }
        let all = [bytes(&first.iter().map(side).collect::<Vec<_>>()), second].concat();
        assert_eq!(verdict(rules, &all), Err(rule), "{rules:?} {all:x?}");
        assert_eq!(verdict(Rules::Lenient, &all), Ok(()), "{all:x?}");
    }
}

#[test]
fn what_a_side_without_extensions_may_not_send() {
    let begun = [Frame::new(false, Opcode::Text, "a")];
    let closed = [Frame::new(true, Opcode::Close, "")];
    check(&[], vec![0xc1, 0], "a reserved bit without an extension");
    check(&[], vec![0xa1, 0], "a reserved bit without an extension");
    check(&[], vec![0x91, 0], "a reserved bit without an extension");
    check(&[], vec![0x83, 0], "a reserved opcode");
    check(&[], vec![0x8b, 0], "a reserved opcode");
    check(&[], vec![0x82, 126, 0, 125], "a length that is spelled longer than it need be");
    check(&[], vec![0x82, 127, 0, 0, 0, 0, 0, 0, 255, 255], "a length that is spelled longer than it need be");
    check(&[], vec![0x82, 127, 128, 0, 0, 0, 0, 0, 0, 0], "a length of more than 63 bits");
    check(&[], vec![0x09, 0], "a control frame in fragments");
    check(&[], vec![0x89, 126, 0, 126], "a control frame that is too long");
    check(&[], vec![0x88, 1], "half a status in a close frame");
    check(&[], vec![0x80, 0], "a continuation of nothing");
    check(&begun, vec![0x81, 0], "a message within a message");
    check(&begun, vec![0x02, 0], "a message within a message");
    check(&closed, vec![0x81, 0], "a message behind a close frame");
    assert_eq!(verdict(Rules::Client, &[0x81, 0]), Err("a frame of a client that is not masked"));
    assert_eq!(verdict(Rules::Server, &[0x81, 0x80, 1, 2, 3, 4]), Err("a frame of a server that is masked"));
}

#[test]
fn a_broken_rule_is_seen_with_the_head_of_its_frame() {
    let mut passage = Passage::holding(Rules::Server);
    let good = bytes(&[Frame::new(true, Opcode::Text, "good")]);
    assert_eq!(passage.read(&good, |_, _| Ok::<_, ()>(())), Ok(good.len()));
    assert_eq!(passage.read(&[0x83], |_, _| Ok::<_, ()>(())), Ok(0));
    assert!(passage.read(&[0x83, 99], |_, _| Ok::<_, ()>(())).is_err());
}

#[test]
fn a_close_frame_has_a_status_and_as_much_of_a_reason_as_fits() {
    for (key, reason) in [(None, "why"), (Some(KEY), ""), (None, &*"é".repeat(90))] {
        let mut out = Vec::new();
        close(&mut out, key, 1008, reason);
        assert_eq!(verdict(if key.is_some() { Rules::Client } else { Rules::Server }, &out), Ok(()));
        let [Frame { header, payload }] = &frames(&out)[..] else { panic!("one frame") };
        assert_eq!((header.opcode, header.mask, &payload[..2]), (Opcode::Close, key, &1008_u16.to_be_bytes()[..]));
        let said = std::str::from_utf8(&payload[2..]).unwrap();
        assert!(reason.starts_with(said) && (said == reason || said.len() >= 122), "{said}");
    }
}
