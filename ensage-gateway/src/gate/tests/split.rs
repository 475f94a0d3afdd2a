//! Properties: no panic, and the same verdict at the same byte however the stream is cut.

use proptest::prelude::*;

use super::*;

/// Pieces of which streams are made that are nearly HTTP.
const PARTS: &[&str] = &[
    "GET / HTTP/1.1\r\nHost: a\r\n",
    "POST /a?b HTTP/1.0\r\n",
    "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n",
    "GET http://a:80/x HTTP/1.1\r\nhost:\r\n",
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 100 \r\n\r\n",
    "HTTP/1.0 304\r\n",
    "Content-Length: 5\r\n",
    "content-length: 12345678901234567890\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer_Encoding: chunked\r\n",
    "Connection: close, Upgrade\r\nUpgrade: x\r\n",
    "Connection: te, host\r\n",
    "X: \u{e9}\t y \r\n",
    "\r\n",
    "\r\n",
    "hello",
    "5\r\nhello\r\n",
    "0\r\n",
    "0\r\n\r\n",
    "Authorization: x\r\n",
    "a;b=c\r\n",
    "ffffffffffffffff1\r\n",
    " ",
    "\n",
    "\r",
    "\0",
    "#",
];

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        20 => proptest::sample::select(PARTS).prop_map(|p| p.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..4),
        1 => (0..300_usize).prop_map(|n| b"z".repeat(n)),
    ];
    proptest::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}

fn pieces() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(1..40_usize, 1..6)
}

fn asked() -> impl Strategy<Value = Vec<Asked>> {
    let one = proptest::sample::select(vec![Asked::Other, Asked::Head, Asked::Connect, Asked::Upgrade]);
    proptest::collection::vec(one, 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn b1_requests_have_one_verdict_however_they_are_cut(input in stream(), pieces in pieces()) {
        let whole = requests(&input, SMALL, &[usize::MAX]);
        prop_assert_eq!(whole, requests(&input, SMALL, &pieces));
        prop_assert_eq!(whole, requests(&input, SMALL, &[1]));
        prop_assert!(whole.violation.is_none_or(|v| v.offset < input.len() as u64));
    }

    #[test]
    fn b1_responses_have_one_verdict_however_they_are_cut(input in stream(), pieces in pieces(), asked in asked()) {
        let whole = responses(&input, SMALL, &asked, &[usize::MAX]);
        prop_assert_eq!(whole, responses(&input, SMALL, &asked, &pieces));
        prop_assert_eq!(whole, responses(&input, SMALL, &asked, &[1]));
    }

    #[test]
    fn a_refusal_is_final(input in stream(), more in stream()) {
        let (outcome, _, mut inspector) = drive(Inspector::requests(SMALL), &input, &[], &[usize::MAX]);
        if let Some(violation) = outcome.violation {
            let seen = inspector.feed(&more);
            prop_assert_eq!(seen.shown, 0);
            prop_assert_eq!(inspector.violation(), Some(violation));
        }
    }

    #[test]
    fn values_end_at_their_first_control_byte(
        bytes in proptest::collection::vec(prop_oneof![9 => 0x20..=0x7e_u8, 2 => Just(b'\t'), 1 => any::<u8>()], 0..40),
    ) {
        let end = bytes.iter().position(|&b| b.is_ascii_control() && b != b'\t').unwrap_or(bytes.len());
        prop_assert_eq!(crate::gate::lex::value_run(&bytes), end);
    }
}
