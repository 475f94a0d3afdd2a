//! Authorities: no panic, and whatever is read is read the same from its one spelling.
#![no_main]

use ensage_policy::authority::{Authority, Fit, HostPattern};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(read) = Authority::parse(data, Some(443)) {
        let text = read.to_string();
        assert!(text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.:[]".contains(&b)));
        assert_eq!(Authority::parse(text.as_bytes(), None).as_ref(), Ok(&read));
        let pattern = HostPattern::parse(&text, 443).expect("an authority is a pattern of itself");
        assert_eq!(pattern.matches(&read), Fit::Full);
    }
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(pattern) = HostPattern::parse(text, 443)
    {
        assert_eq!(HostPattern::parse(&pattern.to_string(), 1).as_ref(), Ok(&pattern));
        assert!(pattern.covers(&pattern) && pattern.overlaps(&pattern));
    }
});
