//! Tables of paths (threat A19).

use proptest::prelude::*;

use super::{Doubt, Likeness, PathError, RequestPath};
use crate::glob::Glob;

#[track_caller]
fn path(raw: &str) -> RequestPath {
    RequestPath::parse(raw).unwrap_or_else(|e| panic!("{raw:?}: {e}"))
}

#[test]
fn a19_paths_that_read_in_two_ways_are_refused() {
    for (raw, why) in [
        ("", PathError::NotAbsolute),
        ("*", PathError::NotAbsolute),
        ("a/b", PathError::NotAbsolute),
        ("/.", PathError::DotSegment),
        ("/..", PathError::DotSegment),
        ("/mcp/../x", PathError::DotSegment),
        ("/mcp/./x", PathError::DotSegment),
        ("/mcp/%2e%2e/x", PathError::DotSegment),
        ("/mcp/.%2E/x", PathError::DotSegment),
        ("/mcp/%2e", PathError::DotSegment),
        ("/mcp/..%2fx", PathError::DotSegment),
        ("/mcp/x%2f..", PathError::DotSegment),
        ("/mcp/x%2F%2e%2E%2fy", PathError::DotSegment),
        ("/mcp/..;/x", PathError::DotSegment),
        ("/mcp/..;a=b", PathError::DotSegment),
        ("/a%00", PathError::Control),
        ("/a%0d%0a", PathError::Control),
        ("/a%7f", PathError::Control),
        ("/a%c2%85", PathError::Control),
        ("/a\u{0}", PathError::Control),
        ("/a\tb", PathError::Control),
        ("/a\\b", PathError::Backslash),
        ("/a%5cb", PathError::Backslash),
        ("/..%5c..", PathError::Backslash),
        ("/a b", PathError::Raw),
        ("/a?b", PathError::Raw),
        ("/a#b", PathError::Raw),
        ("/ü", PathError::Raw),
    ] {
        assert_eq!(RequestPath::parse(raw), Err(why), "{raw:?}");
    }
    for raw in ["/", "/a", "/a/", "/...", "/a..b", "/.a", "/%252e%252e", "/a;b", "/@scope%2fname", "/%20", "/x|y"] {
        assert_eq!(path(raw).as_str(), raw);
        assert_eq!(path(raw).doubt(), None, "{raw:?}");
    }
}

#[test]
fn a19_doubts_are_told() {
    for (raw, doubt) in [
        ("//", Doubt::EmptySegment),
        ("//mcp", Doubt::EmptySegment),
        ("/a//b", Doubt::EmptySegment),
        ("/a//", Doubt::EmptySegment),
        ("/100%", Doubt::Percent),
        ("/%zz", Doubt::Percent),
        ("/%2", Doubt::Percent),
        ("/%41%", Doubt::Percent),
        ("/%ff", Doubt::Encoding),
        ("/%c0%ae", Doubt::Encoding),
    ] {
        assert_eq!(path(raw).doubt(), Some(doubt), "{raw:?}");
        assert!(!path(raw).matches(&Glob::parse("**").unwrap()), "{raw:?}");
        assert_eq!(path(raw).decoded(), None, "{raw:?}");
    }
}

#[test]
fn a19_globs_match_segment_by_segment() {
    let check = |glob: &str, good: &[&str], bad: &[&str]| {
        let glob = Glob::parse(glob).unwrap();
        for raw in good {
            assert!(path(raw).matches(&glob), "{glob} must match {raw:?}");
        }
        for raw in bad {
            assert!(!path(raw).matches(&glob), "{glob} must not match {raw:?}");
        }
    };
    check("/*", &["/", "/a", "/@scope%2fname", "/%61"], &["/a/b", "/a/"]);
    check("/@scope/name", &["/@scope/name"], &["/@scope%2fname"]);
    check("/*/name", &["/@scope/name"], &["/@scope%2fname"]);
    check("/a?c", &["/abc", "/a%2fc"], &["/a/c", "/ac"]);
    check("/repos/acme/**", &["/repos/acme/", "/repos/acme/x/y", "/repos/acme/x%2fy"], &["/repos/acme", "/repos/evil"]);
    check("/repos/*/issues", &["/repos/a/issues", "/repos/a%2Fb/issues"], &["/repos/a/b/issues", "/repos/issues"]);
    check("/mcp", &["/mcp", "/%6dcp", "/m%63p"], &["/mcp/", "/MCP", "/mcp;a", "/mcp%2f", "/mcp/x", "/mcp%3fx"]);
    check("/b\u{fc}cher", &["/b%c3%bccher"], &["/bucher", "/bu%cc%88cher"]);
    check("**", &["/", "/a/b/c"], &[]);
}

#[test]
fn a_glob_that_misses_an_encoded_slash_alone_has_a_pattern_that_does_not() {
    let told = |glob: &str, raw: &str| {
        let pattern = path(raw).missed_by_slash(&Glob::parse(glob).unwrap());
        if let Some(pattern) = &pattern {
            assert!(path(raw).matches(&Glob::parse(pattern).unwrap()), "{pattern} must match {raw:?}");
        }
        pattern
    };
    assert_eq!(told("/@acme/**", "/@acme%2fthing").as_deref(), Some("/@acme?thing"));
    assert_eq!(told("/@acme/*/x", "/@acme%2Fth%20ing/x").as_deref(), Some("/@acme?th ing/x"));
    for (glob, raw) in [
        ("/@acme/**", "/@other%2fthing"),
        ("/@acme/**", "/@acme-thing"),
        ("/@acme/**", "/@acme%2f%2a"),
        ("/@acme/**", "/@acme%2f/thing"),
        ("/@acme/**", "/@acme%2fthing%zz"),
    ] {
        assert_eq!(told(glob, raw), None, "{glob} {raw}");
    }
    assert_eq!(told("/@acme/**", &format!("/@acme%2f{}", "x".repeat(300))), None);
}

#[test]
fn a19_an_endpoint_is_itself_near_or_another() {
    let check = |endpoint: &str, raw: &str, want: Likeness| {
        assert_eq!(path(raw).likeness(&path(endpoint)), want, "{raw:?} against {endpoint:?}");
    };
    for endpoint in ["/mcp", "/mcp/"] {
        check(endpoint, "/mcp", Likeness::Same);
        check(endpoint, "/mcp/", Likeness::Same);
        check(endpoint, "/%6dcp", Likeness::Same);
        check(endpoint, "//mcp", Likeness::Near);
        check(endpoint, "/mcp//", Likeness::Near);
        check(endpoint, "/mcp%2f", Likeness::Near);
        check(endpoint, "/%2fmcp", Likeness::Near);
        check(endpoint, "/mcp;a", Likeness::Near);
        check(endpoint, "/mcp;a=b/", Likeness::Near);
        check(endpoint, "/MCP", Likeness::Near);
        check(endpoint, "/mcp%20", Likeness::Near);
        check(endpoint, "/mcp/x", Likeness::Other);
        check(endpoint, "/mcps", Likeness::Other);
        check(endpoint, "/x/mcp", Likeness::Other);
        check(endpoint, "/%256dcp", Likeness::Other);
        check(endpoint, "/", Likeness::Other);
    }
    check("/", "/", Likeness::Same);
    check("/", "//", Likeness::Near);
    check("/", "/;x", Likeness::Near);
    check("/", "/a", Likeness::Other);
    check("/v1/My%20Server", "/v1/My%20Server", Likeness::Same);
    check("/v1/My%20Server", "/v1/my%20server", Likeness::Near);
    check("/B%c3%9ccher", "/b%c3%bccher", Likeness::Near);
    check("/k", "/%e2%84%aa", Likeness::Near); // the Kelvin sign
    check("/mcp/x", "/mcp", Likeness::Other);
}

#[test]
fn decoding_is_done_once() {
    assert_eq!(path("/a%20b/c").decoded().as_deref(), Some("/a b/c"));
    assert_eq!(path("/%2541").decoded().as_deref(), Some("/%41"));
    assert_eq!(path("/").decoded().as_deref(), Some("/"));
    assert_eq!(path("/a%2fb").decoded(), None);
    assert_eq!(path("/x/a%2fb/y").decoded(), None);
}

proptest! {
    #[test]
    fn parsing_never_panics(raw in ".{0,60}") {
        let _ = RequestPath::parse(&raw);
        let _ = RequestPath::parse(&format!("/{raw}")).map(|p| p.likeness(&path("/mcp")));
    }

    /// The short way through for paths of plain characters says the same as the long one.
    #[test]
    fn plain_paths_are_read_like_all_others(raw in "/[a-zA-Z0-9/._~@:+=,;%2e-]{0,12}") {
        let slowly = RequestPath::parse(&format!("{raw}(")).map(|p| (p.doubt(), p.decoded()));
        let here = RequestPath::parse(&raw).map(|p| (p.doubt(), p.decoded()));
        if let (Ok((Some(_) | None, Some(here))), Ok((_, Some(slowly)))) = (&here, &slowly) {
            prop_assert_eq!(format!("{here}("), slowly.as_str());
        }
        let plain = !raw.contains(['.', '%', ';']) && !raw.contains("//");
        prop_assert!(!plain || here.is_ok_and(|(doubt, decoded)| doubt.is_none() && decoded == Some(raw)));
    }

    /// No accepted path climbs, whichever of the usual ways a server decodes it once.
    #[test]
    fn nothing_accepted_climbs(raw in "/(\\.|%2e|%2F|/|a|;|%){0,8}") {
        if let Ok(read) = RequestPath::parse(&raw) {
            let decoded = percent_encoding::percent_decode_str(read.as_str()).decode_utf8_lossy();
            prop_assert!(!decoded.split('/').any(|s| s == "." || s == ".."), "{}", raw);
        }
    }

    #[test]
    fn the_same_path_always_fits_a_glob_of_itself(raw in "(/[a-z0-9]{0,3}){1,4}") {
        let read = RequestPath::parse(&raw).unwrap();
        prop_assert_eq!(read.matches(&Glob::parse(&raw).unwrap()), read.doubt().is_none());
        prop_assert_eq!(read.likeness(&read) == Likeness::Same, read.doubt().is_none());
    }
}
