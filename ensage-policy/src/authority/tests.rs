//! Tables of spellings.

use proptest::prelude::*;

use super::{Authority, AuthorityError, Host, HostPattern, InvalidHost};
use crate::reason::Reason;

#[track_caller]
fn same(spelling: &str, canonical: &str) {
    let read = Host::parse(spelling).map(|host| host.to_string());
    assert_eq!(read.as_deref(), Ok(canonical), "{spelling:?}");
    assert_eq!(Host::parse(canonical), Host::parse(spelling), "the canonical form of {spelling:?} is not stable");
}

#[track_caller]
fn refused(spelling: &str, why: InvalidHost) {
    assert_eq!(Host::parse(spelling), Err(why), "{spelling:?}");
}

#[test]
fn a8_spellings_of_one_host_are_equal() {
    for spelling in [
        "ok.test",
        "OK.test",
        "ok.test.",
        "ok.test。",
        "ok。test",
        "ok．test",
        "ok｡test",
        "ｏｋ.test",
        "o\u{212a}.test",
        "O\u{212a}.TEST.",
        "ok.te\u{17f}t",
        "o\u{ad}k.test",
        "ok.\u{200b}test",
    ] {
        same(spelling, "ok.test");
    }
    same("bücher.test", "xn--bcher-kva.test");
    same("XN--BCHER-KVA.test", "xn--bcher-kva.test");
    same("faß.test", "xn--fa-hia.test");
    same("under_score.test", "under_score.test");
    same("_dmarc.ok.test", "_dmarc.ok.test");
    same("r3---sn-abc.test", "r3---sn-abc.test");
    same("localhost", "localhost");
    same("a", "a");
    same(&format!("o{}k", "\u{ad}".repeat(511)), "ok");
    same("1a.test", "1a.test");
    same("ok.t3st", "ok.t3st");
    same("ok.3t", "ok.3t");
    same("0x.test", "0x.test");
    same("1.2.3.4.test", "1.2.3.4.test");
    same("0xg", "0xg");
    same(&format!("{}.test", "a".repeat(63)), &format!("{}.test", "a".repeat(63)));
}

#[test]
fn a8_lookalikes_are_other_hosts() {
    // Cyrillic o, Greek omicron, dotless i, a lookalike in A-label form.
    for lookalike in ["\u{43e}k.test", "\u{3bf}k.test", "xn--k-9tb.test", "ok.tes\u{442}"] {
        assert_ne!(Host::parse(lookalike), Host::parse("ok.test"), "{lookalike}");
    }
    assert_ne!(Host::parse("\u{131}n.test"), Host::parse("in.test"));
}

#[test]
fn a8_names_that_are_not_what_they_decode_to_are_refused() {
    // Decodes to pure ASCII; decodes to upper case; does not decode; empty.
    for spelling in ["xn--ok-.test", "xn--a.test", "xn--999999999.test", "xn--.test", "xn--zn7c.com"] {
        assert!(Host::parse(spelling).is_err(), "{spelling}");
    }
    refused("a\u{fffd}.test", InvalidHost::Name);
    refused("a\u{202e}b.test", InvalidHost::Name);
}

#[test]
fn a8_dots_and_lengths_are_counted() {
    refused("", InvalidHost::Empty);
    refused(".", InvalidHost::Empty);
    refused("ok.test..", InvalidHost::Label);
    refused("ok.test.。", InvalidHost::Label);
    refused(".ok.test", InvalidHost::Label);
    refused("ok..test", InvalidHost::Label);
    refused("-ok.test", InvalidHost::Label);
    refused("ok-.test", InvalidHost::Label);
    refused(&format!("{}.test", "a".repeat(64)), InvalidHost::Label);
    let longest = format!("{}.{}", "a.".repeat(95).trim_end_matches('.'), "b".repeat(63));
    assert_eq!(longest.len(), 253);
    same(&longest, &longest);
    same(&format!("{longest}."), &longest);
    refused(&format!("a{longest}"), InvalidHost::TooLong);
    refused(&"a".repeat(1025), InvalidHost::TooLong);
}

#[test]
fn a9_what_no_host_name_has_is_refused() {
    for spelling in [
        "ok.test\0.evil.test",
        "ok.test%00",
        "%6fk.test",
        "ok.test\t",
        "ok.test\r\n",
        " ok.test",
        "ok.test ",
        "user@ok.test",
        "ok.test\\evil",
        "ok.test/evil",
        "ok.test?x",
        "ok.test#x",
        "ok!.test",
        "ok.test\u{7f}",
        "a:b",
        "*",
        "*.ok.test",
        "ok,test",
    ] {
        refused(spelling, InvalidHost::Character);
    }
    // Full-width forms of the same map onto them.
    for spelling in ["ok.test％00", "user＠ok.test", "ok.test／evil", "ok！.test", "ok.test：80", "［::1］"] {
        assert!(Host::parse(spelling).is_err(), "{spelling}");
    }
    for spelling in ["[ok.test]", "[127.0.0.1]", "[fe80::1%eth0]", "[fe80::1%25eth0]", "[::1", "[]", "[ ::1]", "[v1.x]"]
    {
        refused(spelling, InvalidHost::Brackets);
    }
    refused("::1", InvalidHost::Character);
    refused("::1]", InvalidHost::Character);
}

#[test]
fn a10_numeric_spellings_are_no_names() {
    same("127.0.0.1", "127.0.0.1");
    same("127.0.0.1.", "127.0.0.1");
    same("１２７.0.0.1", "127.0.0.1");
    same("[::1]", "[::1]");
    same("[0:0:0:0:0:0:0:1]", "[::1]");
    same("[::FFFF:127.0.0.1]", "[::ffff:127.0.0.1]");
    for spelling in [
        "127.1",
        "0177.0.0.1",
        "2130706433",
        "0x7f000001",
        "0X7F000001",
        "0",
        "0x",
        "127.0.0.01",
        "256.0.0.1",
        "1.2.3.4.5",
        "ok.test.1",
        "ok.0x1f",
        "ok.09",
        "0x7f.0.0.1",
        "127.0.0.0x1",
        "１２７.1",
        "4294967296",
    ] {
        refused(spelling, InvalidHost::AddressSpelling);
    }
    assert_eq!(AuthorityError::from(InvalidHost::AddressSpelling).reason(), Reason::AddressLiteral);
    assert_eq!(AuthorityError::from(InvalidHost::Name).reason(), Reason::MalformedAuthority);
    assert_eq!(AuthorityError::Port.reason(), Reason::MalformedAuthority);
}

#[test]
fn ports_are_plain_numbers() {
    let check = |text: &str, default, want: Result<&str, AuthorityError>| {
        let got = Authority::parse(text.as_bytes(), default).map(|a| a.to_string());
        assert_eq!(got, want.map(str::to_owned), "{text:?}");
    };
    check("ok.test:443", None, Ok("ok.test:443"));
    check("ok.test:1", None, Ok("ok.test:1"));
    check("ok.test:65535", None, Ok("ok.test:65535"));
    check("ok.test", Some(80), Ok("ok.test:80"));
    check("ok.test:81", Some(80), Ok("ok.test:81"));
    check("[::1]:8443", None, Ok("[::1]:8443"));
    check("[::1]", Some(443), Ok("[::1]:443"));
    check("127.0.0.1:80", None, Ok("127.0.0.1:80"));
    check("ok.test", None, Err(AuthorityError::PortMissing));
    check("ok.test", Some(0), Err(AuthorityError::PortMissing));
    check("", Some(443), Err(AuthorityError::Empty));
    check(":443", None, Err(InvalidHost::Empty.into()));
    for port in ["", "0", "00", "0443", "65536", "99999", "+443", "-1", " 443", "443 ", "4_4", "443a", "４４３", "*"]
    {
        check(&format!("ok.test:{port}"), Some(443), Err(AuthorityError::Port));
    }
    check("::1", Some(443), Err(InvalidHost::Brackets.into()));
    check("::1:443", None, Err(InvalidHost::Brackets.into()));
    check("[::1]443", None, Err(InvalidHost::Brackets.into()));
    check("[::1", None, Err(InvalidHost::Brackets.into()));
    check("ok.test:443:443", None, Err(InvalidHost::Brackets.into()));
    check("user:pass@ok.test", Some(443), Err(AuthorityError::Port));
    check("user@ok.test:443", None, Err(InvalidHost::Character.into()));
    check("https://ok.test", Some(443), Err(AuthorityError::Port));
    assert_eq!(Authority::parse(b"ok.test\xff:443", None), Err(AuthorityError::Encoding));
    assert_eq!(Authority::parse(&[b'a'; 1025], Some(443)), Err(AuthorityError::TooLong));
    assert_eq!(Authority::parse(&[b'a'; 1024], Some(443)), Err(InvalidHost::TooLong.into()));
}

/// The URL standard's own cases: we refuse more than it does, and never read another host out of a text.
#[test]
fn the_url_standard_never_names_another_host() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/url/urltestdata.json");
    let Ok(text) = std::fs::read_to_string(file) else {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "the URL cases must be there in CI");
        eprintln!("skipped: no shared data/url");
        return;
    };
    let cases: serde_json::Value = serde_json::from_str(&text).unwrap();
    let (mut equal, mut denied) = (0, 0);
    for case in cases.as_array().unwrap() {
        let Some(raw) = case["input"].as_str().and_then(raw_authority) else { continue };
        let failure = case["failure"].as_bool() == Some(true);
        match (Authority::parse(raw.as_bytes(), Some(443)), failure) {
            (Ok(read), false) => {
                let expected = case["hostname"].as_str().unwrap();
                let expected = expected.strip_suffix('.').unwrap_or(expected);
                assert_eq!(read.host.to_string(), expected, "{raw:?}");
                let port = case["port"].as_str().unwrap();
                assert!(port.is_empty() || port == read.port.to_string(), "{raw:?}: {port}");
                equal += 1;
            }
            (Ok(read), true) => panic!("{raw:?} was read as {read}"),
            (Err(_), _) => denied += 1,
        }
    }
    assert!(equal > 40 && denied > 100, "too few cases looked at: {equal} equal, {denied} denied");
}

/// The text between `//` and the path, of http(s) URLs.
fn raw_authority(input: &str) -> Option<&str> {
    let rest = input.strip_prefix("http://").or_else(|| input.strip_prefix("https://"))?;
    rest.split(['/', '?', '#', '\\']).next()
}

#[test]
fn one_spelling_is_known_without_reading() {
    let check = |authority: &str, spelling: &str, want: bool| {
        let read = Authority::parse(authority.as_bytes(), None).unwrap();
        assert_eq!(read.is_spelled(spelling.as_bytes(), 443), want, "{authority} as {spelling:?}");
    };
    check("ok.test:443", "ok.test", true);
    check("ok.test:443", "ok.test:443", true);
    check("ok.test:8443", "ok.test:8443", true);
    check("ok.test:8443", "ok.test", false);
    check("ok.test:443", "OK.test", false); // it is the same, but has to be read
    for other in
        ["", "ok", "ok.test:", "ok.test:0443", "ok.test:+443", "ok.test:80", "ok.test.", "ok.tests", "x.ok.test"]
    {
        check("ok.test:443", other, false);
    }
    check("127.0.0.1:443", "127.0.0.1", false);
}

#[test]
fn a_host_field_is_known_as_it_is_written() {
    for (authority, written) in [
        ("ok.test:443", "ok.test"),
        ("ok.test:8443", "ok.test:8443"),
        ("127.0.0.1:443", "127.0.0.1"),
        ("[::1]:80", "[::1]:80"),
    ] {
        let read = Authority::parse(authority.as_bytes(), None).unwrap();
        assert_eq!(read.written(443), written);
        assert_eq!(read.is_written(written.as_bytes(), 443), read.host.name().is_some());
        assert!(!read.is_written(b"OK.test", 443));
        assert!(
            written == authority || !read.is_written(authority.as_bytes(), 443),
            "the scheme's own port is left out"
        );
    }
}

proptest! {
    #[test]
    fn parsing_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = Authority::parse(&bytes, Some(443));
        let _ = HostPattern::parse(&String::from_utf8_lossy(&bytes), 443);
    }

    /// Where it says yes, reading gives the authority; and it says yes to what is displayed, but for address literals.
    #[test]
    fn what_is_spelled_so_reads_as_it(text in "[a-zA-Z0-9.:-]{1,12}(:443|:80)?", other in "[a-z.]{1,8}(:0?443|:80|:)?") {
        let Ok(read) = Authority::parse(text.as_bytes(), Some(443)) else { return Ok(()) };
        for spelling in [text, other] {
            let same = Authority::parse(spelling.as_bytes(), Some(443)).as_ref() == Ok(&read);
            prop_assert!(same || !read.is_spelled(spelling.as_bytes(), 443), "{} as {}", read, spelling);
        }
        prop_assert_eq!(read.is_spelled(read.to_string().as_bytes(), 443), read.host.name().is_some());
    }

    #[test]
    fn what_was_read_reads_the_same_again(text in "[a-zA-Z0-9.\u{e4}\u{3002}\u{ff21}_:\\[\\]-]{1,30}") {
        if let Ok(read) = Authority::parse(text.as_bytes(), Some(443)) {
            prop_assert_eq!(Authority::parse(read.to_string().as_bytes(), None), Ok(read));
        }
    }
}
