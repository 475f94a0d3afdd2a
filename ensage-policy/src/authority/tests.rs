//! Tables of spellings, patterns and addresses.

use std::net::IpAddr;

use ipnet::IpNet;
use proptest::prelude::*;

use super::{Authority, AuthorityError, Fit, Host, HostPattern, InvalidHost, may_dial, special_purpose};
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
    same("1a.test", "1a.test");
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
    for spelling in ["ok.test％00", "user＠ok.test", "ok.test／evil", "ok.test：80", "［::1］"] {
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
}

#[test]
fn f9_patterns_fit_label_by_label() {
    let check = |pattern: &str, asked: &str, want: Fit| {
        let pattern = HostPattern::parse(pattern, 443).unwrap();
        let asked = Authority::parse(asked.as_bytes(), Some(443)).unwrap();
        assert_eq!(pattern.matches(&asked), want, "{pattern} on {asked}");
    };
    check("ok.test", "ok.test", Fit::Full);
    check("OK.test.", "ok.test:443", Fit::Full);
    check("ok.test", "ok.test:8443", Fit::OtherPort);
    check("ok.test", "a.ok.test", Fit::None);
    check("ok.test", "evilok.test", Fit::None);
    check("ok.test:8443", "ok.test:8443", Fit::Full);
    check("ok.test:8443", "ok.test", Fit::OtherPort);
    check("ok.test:*", "ok.test:22", Fit::Full);
    check("*.ok.test", "a.ok.test", Fit::Full);
    check("*.ok.test", "a.b.ok.test", Fit::Full);
    check("*.ok.test", "ok.test", Fit::None);
    check("*.ok.test", "evilok.test", Fit::None);
    check("*.ok.test", "a.ok.test.evil.test", Fit::None);
    check("*.ok.test:*", "a.ok.test:1", Fit::Full);
    check("*", "any.test", Fit::Full);
    check("*", "127.0.0.1", Fit::Full);
    check("*", "any.test:80", Fit::OtherPort);
    check("*:*", "[::1]:80", Fit::Full);
    check("127.0.0.1:80", "127.0.0.1:80", Fit::Full);
    check("[::1]:80", "[0::1]:80", Fit::Full);
    check("[::ffff:127.0.0.1]", "127.0.0.1", Fit::None);
    for bad in
        ["", "*ok.test", "a.*.test", "*.", "*.*", "**", "*.127.0.0.1", "ok.test:0", "ok.test:", "ok.test:**", "a b"]
    {
        assert!(HostPattern::parse(bad, 443).is_err(), "{bad:?}");
    }
}

#[test]
fn patterns_cover_and_overlap() {
    let check = |a: &str, b: &str, covers: bool, overlaps: bool| {
        let (a, b) = (HostPattern::parse(a, 443).unwrap(), HostPattern::parse(b, 443).unwrap());
        assert_eq!((a.covers(&b), a.overlaps(&b), b.overlaps(&a)), (covers, overlaps, overlaps), "{a} and {b}");
    };
    check("ok.test", "ok.test", true, true);
    check("ok.test", "no.test", false, false);
    check("ok.test", "ok.test:8443", false, false);
    check("ok.test:*", "ok.test", true, true);
    check("ok.test", "ok.test:*", false, true);
    check("*.test", "ok.test", true, true);
    check("ok.test", "*.test", false, true);
    check("*.test", "*.ok.test", true, true);
    check("*.ok.test", "*.test", false, true);
    check("*.ok.test", "*.ok.test", true, true);
    check("*.ok.test", "ok.test", false, false);
    check("*.ok.test", "*.evilok.test", false, false);
    check("*", "*.test", true, true);
    check("*.test", "*", false, true);
    check("*", "127.0.0.1", true, true);
    check("127.0.0.1", "127.0.0.1", true, true);
    check("*.test", "127.0.0.1", false, false);
}

#[test]
fn a11_special_purpose_addresses_are_known() {
    let special = [
        "0.0.0.0",
        "0.255.255.255",
        "10.0.0.0",
        "10.255.255.255",
        "100.64.0.0",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.255",
        "169.254.0.0",
        "169.254.169.254",
        "169.254.255.255",
        "172.16.0.0",
        "172.31.255.255",
        "192.0.0.0",
        "192.0.0.192",
        "192.0.0.255",
        "192.0.2.1",
        "192.31.196.1",
        "192.52.193.1",
        "192.88.99.1",
        "192.168.0.0",
        "192.168.255.255",
        "192.175.48.1",
        "198.18.0.0",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "168.63.129.16",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:10.0.0.1",
        "::127.0.0.1",
        "::8.8.8.8",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::808:808",
        "100::1",
        "100:0:0:1::1",
        "2001::1",
        "2001:2::1",
        "2001:10::1",
        "2001:20::1",
        "2001:1ff::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "2002:808:808::1",
        "2620:4f:8000::1",
        "3fff::1",
        "3fff:fff::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fdff::1",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "ff02::1",
        "4000::1",
        "e000::1",
    ];
    for text in special {
        let ip: IpAddr = text.parse().unwrap();
        assert!(special_purpose(ip).is_some(), "{text} must be special");
        assert_eq!(may_dial(ip, &[]).map_err(|e| e.address), Err(ip), "{text}");
    }
    let ordinary = [
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "192.0.3.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "168.63.129.17",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
        "2001:200::1",
        "2001:4860:4860::8888",
        "2003::1",
        "2620:4f:8001::1",
        "2600::1",
        "3ffe::1",
        "3fff:1000::1",
    ];
    for text in ordinary {
        let ip: IpAddr = text.parse().unwrap();
        assert_eq!(special_purpose(ip), None, "{text}");
        assert_eq!(may_dial(ip, &[]), Ok(()), "{text}");
    }
}

#[test]
fn a11_ranges_open_what_they_name_and_no_more() {
    let check = |ip: &str, nets: &[&str], open: bool| {
        let nets: Vec<IpNet> = nets.iter().map(|net| net.parse().unwrap()).collect();
        let (one, two) = nets.split_at(nets.len() / 2);
        assert_eq!(may_dial(ip.parse().unwrap(), &[one, two]).is_ok(), open, "{ip} with {nets:?}");
    };
    check("127.0.0.1", &["127.0.0.1/32"], true);
    check("127.0.0.2", &["127.0.0.1/32"], false);
    check("10.1.2.3", &["10.1.0.0/16"], true);
    check("10.1.2.3", &["192.168.0.0/16", "10.0.0.0/8"], true);
    check("10.2.2.3", &["10.1.0.0/16"], false);
    check("::ffff:10.1.2.3", &["10.1.0.0/16"], true);
    check("::1", &["::1/128"], true);
    check("fd00::1", &["fc00::/7"], true);
    // Wrapped: the wrapping and what it holds must both be open.
    check("2002:7f00:1::", &["2002::/16"], false);
    check("2002:7f00:1::", &["127.0.0.0/8"], false);
    check("2002:7f00:1::", &["2002::/16", "127.0.0.0/8"], true);
    check("64:ff9b::7f00:1", &["127.0.0.0/8"], true);
    check("64:ff9b::7f00:1", &["64:ff9b::/96"], false);
    check("64:ff9b:1::7f00:1", &["64:ff9b:1::/48"], false);
    check("::127.0.0.1", &["::/96"], false);
    // Teredo with the client 127.0.0.1 (inverted) behind the server 8.8.8.8, and the reverse.
    check("2001:0:808:808::80ff:fffe", &["2001::/32"], false);
    check("2001:0:7f00:1::f7f7:f7f7", &["2001::/32"], false);
    check("2001:0:808:808::f7f7:f7f7", &["2001::/32"], true);
    // Metadata opens only by name.
    for wide in ["0.0.0.0/0", "169.0.0.0/8", "168.0.0.0/5"] {
        check("169.254.169.254", &[wide], false);
        check("::ffff:169.254.169.254", &[wide], false);
    }
    check("169.254.169.254", &["169.254.0.0/16"], true);
    check("169.254.169.254", &["169.254.169.254/32"], true);
    check("169.254.1.1", &["169.254.169.254/32"], false);
    check("fe80::1", &["::/0"], false);
    check("fe80::1", &["fe80::/10"], true);
    check("fd00:ec2::254", &["fc00::/7"], false);
    check("fd00:ec2::254", &["fd00:ec2::254/128"], true);
    check("100.100.100.200", &["100.64.0.0/10"], false);
    check("168.63.129.16", &["168.63.129.16/32"], true);
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

proptest! {
    #[test]
    fn parsing_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = Authority::parse(&bytes, Some(443));
        let _ = HostPattern::parse(&String::from_utf8_lossy(&bytes), 443);
    }

    #[test]
    fn what_was_read_reads_the_same_again(text in "[a-zA-Z0-9.\u{e4}\u{3002}\u{ff21}_:\\[\\]-]{1,30}") {
        if let Ok(read) = Authority::parse(text.as_bytes(), Some(443)) {
            prop_assert_eq!(Authority::parse(read.to_string().as_bytes(), None), Ok(read));
        }
    }

    #[test]
    fn covering_is_what_it_says(a in "(\\*|\\*\\.b\\.c|a\\.b\\.c|b\\.c)(:1|:\\*)?", b in "(\\*|\\*\\.b\\.c|a\\.b\\.c|b\\.c)(:1|:\\*)?") {
        let (a, b) = (HostPattern::parse(&a, 443).unwrap(), HostPattern::parse(&b, 443).unwrap());
        for host in ["a.b.c", "b.c", "x.b.c", "d", "1.1.1.1"] {
            for port in [1, 443] {
                let asked = Authority::parse(host.as_bytes(), Some(port)).unwrap();
                let (in_a, in_b) = (a.matches(&asked) == Fit::Full, b.matches(&asked) == Fit::Full);
                prop_assert!(!a.covers(&b) || !in_b || in_a, "{} covers {} but not {}", a, b, asked);
                prop_assert!(!(in_a && in_b) || a.overlaps(&b), "{} and {} share {}", a, b, asked);
            }
        }
    }
}
