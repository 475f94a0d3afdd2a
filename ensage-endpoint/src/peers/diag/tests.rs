use proptest::prelude::*;

use super::*;

/// A message as the kernel sends it, for the pair 127.0.0.1:5000 → 127.0.0.1:80.
fn message(sequence: u32, kind: u16, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(u32::try_from(HEADER_BYTES + body.len()).unwrap().to_ne_bytes());
    out.extend(kind.to_ne_bytes());
    out.extend(0_u16.to_ne_bytes());
    out.extend(sequence.to_ne_bytes());
    out.extend(0_u32.to_ne_bytes());
    out.extend(body);
    out
}

fn body(attributes: &[u8]) -> Vec<u8> {
    let mut out = vec![2, ESTABLISHED, 0, 0];
    out.extend(5000_u16.to_be_bytes());
    out.extend(80_u16.to_be_bytes());
    out.extend([127, 0, 0, 1]);
    out.extend([0; 12]);
    out.extend([127, 0, 0, 1]);
    out.extend([0; 12]);
    out.extend(0_u32.to_ne_bytes());
    out.extend(7_u32.to_ne_bytes());
    out.extend(1_u32.to_ne_bytes());
    out.extend([0; 12]);
    out.extend(1000_u32.to_ne_bytes());
    out.extend(4711_u32.to_ne_bytes());
    assert_eq!(out.len(), MESSAGE_BYTES);
    out.extend(attributes);
    out
}

fn cgroup_attribute(id: u64) -> Vec<u8> {
    let mut out = vec![];
    // An attribute of one byte comes first: INET_DIAG_SHUTDOWN, padded.
    out.extend(5_u16.to_ne_bytes());
    out.extend(8_u16.to_ne_bytes());
    out.extend([0; 4]);
    out.extend(12_u16.to_ne_bytes());
    out.extend(CGROUP_ID.to_ne_bytes());
    out.extend(id.to_ne_bytes());
    out
}

fn wanted(cgroup: Option<u64>) -> Message {
    Message::Entry(Entry {
        state: ESTABLISHED,
        local: "127.0.0.1:5000".parse().unwrap(),
        remote: "127.0.0.1:80".parse().unwrap(),
        uid: 1000,
        inode: 4711,
        cookie: 0x1_0000_0007,
        cgroup,
    })
}

#[test]
fn a_message_is_read_field_by_field() {
    for (attributes, cgroup) in
        [(vec![], None), (cgroup_attribute(99), Some(99)), (cgroup_attribute(0), None), (vec![3, 0, 21, 0], None)]
    {
        let bytes = message(3, BY_FAMILY, &body(&attributes));
        assert_eq!(next(&bytes, 3), (wanted(cgroup), &[][..]), "{attributes:?}");
    }
}

#[test]
fn an_answer_to_another_question_is_foreign() {
    let mut bytes = message(2, BY_FAMILY, &body(&[]));
    bytes.extend(message(3, BY_FAMILY, &body(&[])));
    let (first, rest) = next(&bytes, 3);
    assert_eq!(first, Message::Foreign);
    assert_eq!(next(rest, 3), (wanted(None), &[][..]));
}

#[test]
fn errors_and_ends_are_told_apart() {
    let errno = (-libc::ENOENT).to_ne_bytes();
    for (bytes, want) in [
        (message(1, NLMSG_ERROR, &errno), Message::Error(libc::ENOENT)),
        (message(1, NLMSG_ERROR, &[]), Message::Foreign),
        (message(1, NLMSG_DONE, &[0; 4]), Message::Done),
        (message(1, BY_FAMILY, &body(&[])[..71]), Message::Foreign),
        (message(1, 77, &body(&[])), Message::Foreign),
        (vec![200, 0, 0, 0, 20, 0], Message::Foreign),
        (vec![0; 16], Message::Foreign),
    ] {
        assert_eq!(next(&bytes, 1), (want, &[][..]), "{bytes:?}");
    }
}

#[test]
fn g9_mapped_addresses_are_the_plain_ones() {
    for (text, want) in
        [("[::ffff:127.0.0.1]:80", "127.0.0.1:80"), ("127.0.0.1:80", "127.0.0.1:80"), ("[::1]:80", "[::1]:80")]
    {
        assert_eq!(canonical(text.parse().unwrap()), want.parse().unwrap());
    }
}

proptest! {
    #[test]
    fn never_panics(bytes: Vec<u8>, sequence: u32) {
        let (_, rest) = next(&bytes, sequence);
        prop_assert!(rest.len() < bytes.len().max(1));
        let _ = entry(&bytes);
        let _ = attribute(&bytes, CGROUP_ID);
    }
}
