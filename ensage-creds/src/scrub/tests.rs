use http::header::{HeaderName, LOCATION, SET_COOKIE};
use proptest::prelude::*;

use super::*;

const SECRET: &str = "sk-ant-api03-S3cr3tS3cr3tS3cr3t";
const SHOWN: &str = "sk-ant-api03-ens_0123456789ABCDEFGHIJab";

fn secret(text: &str) -> Secret {
    Secret::from_stdin(text.as_bytes().to_vec()).unwrap()
}

fn scrubber(pairs: &[(&str, &str)]) -> Scrubber {
    let secrets: Vec<_> = pairs.iter().map(|(s, p)| (secret(s), *p)).collect();
    Scrubber::new(&secrets.iter().map(|(s, p)| (s, *p)).collect::<Vec<_>>())
}

/// Feeds chunks as the gateway does.
fn run<'a>(scrubber: &mut Scrubber, chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    for chunk in chunks {
        if scrubber.clean(chunk) {
            out.extend_from_slice(chunk);
        } else {
            scrubber.feed(chunk, &mut out);
        }
    }
    scrubber.finish(&mut out);
    out
}

/// Whole-buffer replacement, leftmost and longest (of one secret under two names the first), written without regard to
/// cost.
fn whole(pairs: &[(&str, &str)], mut bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some((first, rest)) = bytes.split_first() {
        let found = pairs.iter().rev().filter(|(s, _)| bytes.starts_with(s.as_bytes())).max_by_key(|(s, _)| s.len());
        match found {
            Some((s, p)) => {
                out.extend_from_slice(p.as_bytes());
                bytes = &bytes[s.len()..];
            }
            None => {
                out.push(*first);
                bytes = rest;
            }
        }
    }
    out
}

/// Says whether `got` is `expected` but for 1-3 first bytes of a secret before its placeholder.
fn alike(pairs: &[(&str, &str)], got: &[u8], expected: &[u8]) -> bool {
    let (Some((a, got_rest)), Some((b, expected_rest))) = (got.split_first(), expected.split_first()) else {
        return got.is_empty() && expected.is_empty();
    };
    let extra = pairs.iter().any(|(s, p)| {
        expected.starts_with(p.as_bytes())
            && (1..4).any(|n| {
                got.strip_prefix(&s.as_bytes()[..n])
                    .is_some_and(|g| g.starts_with(p.as_bytes()) && alike(pairs, &g[p.len()..], &expected[p.len()..]))
            })
    });
    extra || (a == b && alike(pairs, got_rest, expected_rest))
}

#[test]
fn f5_no_split_lets_a_secret_out() {
    let pairs = [(SECRET, SHOWN), ("hunter2hunter2", "ens_X")];
    let body = format!("data: {{\"x\":\"{SECRET}\"}}\n\nsk-ant-api hunter2hunter2{SECRET}{SECRET}hunter2hunte sk-a");
    let expected = whole(&pairs, body.as_bytes());
    for size in 1..=body.len() {
        for first in 0..size {
            let (head, rest) = body.as_bytes().split_at(first);
            let mut scrubber = scrubber(&pairs);
            let got = run(&mut scrubber, std::iter::once(head).chain(rest.chunks(size)));
            assert!(alike(&pairs, &got, &expected), "{first}, {size}: {}", String::from_utf8_lossy(&got));
            assert_eq!(scrubber.count(), 4, "{first}, {size}");
            assert!(!got.windows(4).any(|w| b"S3cr3tS3cr3tS3cr3t".windows(4).any(|s| s == w)), "{first}, {size}");
        }
    }
}

#[test]
fn a_placeholder_with_the_secrets_prefix_appears_unbroken() {
    let body = format!("<{SECRET}>");
    let got = run(&mut scrubber(&[(SECRET, SHOWN)]), body.as_bytes().chunks(1));
    assert_eq!(String::from_utf8(got).unwrap(), format!("<{SHOWN}>"));
}

#[test]
fn clean_chunks_pass_and_short_suffixes_are_not_held() {
    let mut scrubber = scrubber(&[("abcdefgh", "X")]);
    let mut out = Vec::new();
    assert!(scrubber.clean(b"nothing here"));
    assert!(scrubber.clean(b"it ends in abc"));
    assert!(scrubber.clean(b"abd, then abc"));
    assert!(scrubber.clean(b""));
    assert!(!scrubber.clean(b"def"), "it goes on");
    scrubber.feed(b"def", &mut out);
    assert_eq!(out, b"", "6 bytes of it wait");
    assert!(!scrubber.clean(b"x"), "what waits goes first");
    scrubber.feed(b"x", &mut out);
    assert_eq!(out, b"defx");
    assert!(!scrubber.clean(b"it ends in abcd"));
    scrubber.feed(b"it ends in abcd", &mut out);
    assert_eq!(out, b"defxit ends in ");
    scrubber.event_end(&mut out);
    assert_eq!(out, b"defxit ends in abcd");
    assert!(scrubber.clean(b"efgh"));
    assert_eq!(scrubber.count(), 0);
    assert!(!scrubber.clean(b"abcdefgh"));
}

#[test]
fn a_match_goes_on_over_the_end_of_an_event() {
    let mut scrubber = scrubber(&[("abcdefgh", "X")]);
    let mut out = Vec::new();
    scrubber.feed(b"abc", &mut out);
    scrubber.event_end(&mut out);
    scrubber.feed(b"defgh", &mut out);
    assert_eq!(out, b"abcX");
}

#[test]
fn of_overlapping_secrets_the_first_and_the_longest_win() {
    let pairs = [("abcdefgh", "1"), ("abcdefghijkl", "2"), ("xxabcdefghyy", "3"), ("ghijklmnop", "4")];
    for body in
        ["abcdefghijkl", "abcdefghijk", "xxabcdefghyy", "xxabcdefghyz", "xxabcdefgh", "abcdefghijklmnop", "ghijklmnop"]
    {
        let expected = whole(&pairs, body.as_bytes());
        for size in 1..=body.len() {
            let got = run(&mut scrubber(&pairs), body.as_bytes().chunks(size));
            assert!(alike(&pairs, &got, &expected), "{body} by {size}: {}", String::from_utf8_lossy(&got));
        }
    }
}

#[test]
fn f6_a_secret_cut_off_by_the_end_of_the_body_is_replaced() {
    let check = |body: &str, expected: &str| {
        for size in [body.len(), 7] {
            let got = run(&mut scrubber(&[(SECRET, SHOWN)]), body.as_bytes().chunks(size));
            assert_eq!(String::from_utf8(got).unwrap(), expected, "{body}");
        }
    };
    check(&format!("x{}", &SECRET[..13 + 8]), &format!("x{SHOWN}"));
    check(&format!("x{}", &SECRET[..13 + 7]), &format!("x{}", &SECRET[..13 + 7]));
    check("see sk-ant-api03-", "see sk-ant-api03-");
    check(&format!("{} ", &SECRET[..30]), &format!("{} ", &SECRET[..30]));
}

#[test]
fn f4_headers_are_scrubbed() {
    let check = |value: &str, expected: &str, count: usize| {
        let mut headers = HeaderMap::new();
        for name in [LOCATION, SET_COOKIE, HeaderName::from_static("x-any")] {
            headers.append(name, value.parse().unwrap());
        }
        headers.append(SET_COOKIE, "a=b%20c".parse().unwrap());
        let mut scrubber = scrubber(&[(SECRET, SHOWN), ("p@ss/wörd%41", "a/ens_b")]);
        assert_eq!(scrubber.scrub_headers(&mut headers), count * 3, "{value}");
        assert_eq!(scrubber.count(), count * 3);
        for name in [LOCATION, SET_COOKIE, HeaderName::from_static("x-any")] {
            assert_eq!(headers[&name].as_bytes(), expected.as_bytes(), "{value}");
        }
        assert_eq!(headers.len(), 4);
    };
    let percent = |text: &str| text.bytes().map(|b| format!("%{b:02x}")).collect::<String>();
    check("https://h/?a=b%20c", "https://h/?a=b%20c", 0);
    check(&format!("https://h/?k={SECRET}&x=1"), &format!("https://h/?k={SHOWN}&x=1"), 1);
    check(&format!("{SECRET}{SECRET}"), &format!("{SHOWN}{SHOWN}"), 2);
    check(&format!("k={};", percent(SECRET)), &format!("k={SHOWN};"), 1);
    check(&format!("k=sk%2dant{};", &SECRET[6..]), &format!("k={SHOWN};"), 1);
    check("u=p@ss/wörd%41", "u=a/ens_b", 1);
    check("u=p%40ss%2Fw%C3%B6rd%2541", "u=a%2Fens_b", 1);
}

#[test]
fn nothing_to_scrub_is_nothing_done() {
    let mut scrubber = scrubber(&[]);
    let mut out = Vec::new();
    assert!(scrubber.clean(b"anything"));
    scrubber.feed(b"anything", &mut out);
    scrubber.finish(&mut out);
    assert_eq!(out, b"anything");
}

#[test]
fn what_is_shown_of_it_is_no_secret() {
    let scrubber = scrubber(&[(SECRET, SHOWN)]);
    assert!(!format!("{scrubber:?} {:?}", scrubber.patterns).contains("S3cr3t"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// A small alphabet, so that secrets overlap themselves, each other and the text around them.
    #[test]
    fn every_chunking_gives_what_whole_replacement_gives(
        secrets in proptest::collection::vec("[abc]{8,14}", 1..4),
        twice in any::<bool>(),
        parts in proptest::collection::vec(prop_oneof![
            "[abcd]{0,12}".prop_map(Err), (0..4usize, 0..15usize, 0..15usize).prop_map(Ok)], 0..8),
        sizes in proptest::collection::vec(1..20usize, 1..12),
    ) {
        let secrets: Vec<_> = secrets.iter().chain(secrets.first().filter(|_| twice)).cloned().collect();
        let shown: Vec<_> = (0..secrets.len()).map(|n| format!("<{n}>")).collect();
        let pairs: Vec<_> = secrets.iter().zip(&shown).map(|(s, p)| (s.as_str(), p.as_str())).collect();
        let mut body = String::new();
        for part in &parts {
            match part {
                Err(noise) => body.push_str(noise),
                Ok((which, from, to)) => {
                    let s = &secrets[which % secrets.len()];
                    body.push_str(s.get(*from.min(to)..).unwrap_or(s));
                }
            }
        }
        // An end that begins no secret: what is cut off there is told apart by its own test.
        body.push('.');
        let mut rest = body.as_bytes();
        let mut chunks = Vec::new();
        for size in sizes.iter().cycle() {
            let (chunk, more) = rest.split_at((*size).min(rest.len()));
            chunks.push(chunk);
            rest = more;
            if rest.is_empty() { break; }
        }
        let got = run(&mut scrubber(&pairs), chunks);
        let expected = whole(&pairs, body.as_bytes());
        prop_assert!(alike(&pairs, &got, &expected), "{:?} {} {} {}", pairs, body,
            String::from_utf8_lossy(&got), String::from_utf8_lossy(&expected));
    }
}
