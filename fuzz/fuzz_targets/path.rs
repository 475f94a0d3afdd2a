//! Paths and globs: no panic, no accepted path climbs, and a path is like itself.
#![no_main]

use ensage_policy::glob::Glob;
use ensage_policy::path::{Likeness, RequestPath};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &str| {
    let (pattern, raw) = data.split_once('\n').unwrap_or(("**", data));
    let Ok(path) = RequestPath::parse(raw) else { return };
    assert_eq!(path.as_str(), raw);
    let decoded = path.decoded();
    if let Some(decoded) = &decoded {
        assert!(!decoded.split('/').any(|segment| segment == "." || segment == ".."));
        assert!(!decoded.contains(['\0', '\\']));
        assert_eq!(path.likeness(&path), Likeness::Same);
    }
    if let Ok(glob) = Glob::parse(pattern) {
        assert!(!path.matches(&glob) || path.doubt().is_none());
        // Without slashes in segments, matching by segments is matching the decoded text, but for `?`.
        if let Some(decoded) = decoded.filter(|_| !pattern.contains('?')) {
            assert_eq!(path.matches(&glob), glob.matches(&decoded));
        }
    }
});
