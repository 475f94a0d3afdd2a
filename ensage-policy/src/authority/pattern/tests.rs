//! Tables of patterns.

use proptest::prelude::*;

use super::{Fit, HostPattern};
use crate::authority::Authority;

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

proptest! {
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
