//! Times as records print them (RFC 3339, UTC, microseconds), and the spans and instants that people type.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::json::push_fraction;

const LEN: usize = 27;
const SECOND_LEN: usize = 20;
const SECONDS_A_DAY: u64 = 86_400;
/// 9999-12-31T23:59:59; times after its last microsecond print as that, so that every stamp has the same width.
const LAST_SECOND: u64 = 253_402_300_799;

/// A time as records print it, `2026-11-23T18:20:52.123456Z`: text of one width, so that it sorts as it reads.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp([u8; LEN]);

impl Stamp {
    /// The stamp of a time; times before 1970 print as 1970.
    pub fn of(time: SystemTime) -> Self {
        let (seconds, micros) = since_1970(time);
        let (year, month, day) = civil(seconds / SECONDS_A_DAY);
        let clock = seconds % SECONDS_A_DAY;
        let fields = [
            (year, 4, b'-'),
            (month, 2, b'-'),
            (day, 2, b'T'),
            (clock / 3600, 2, b':'),
            (clock / 60 % 60, 2, b':'),
            (clock % 60, 2, b'.'),
            (micros, 6, b'Z'),
        ];
        let mut text = [0; LEN];
        let mut rest = text.as_mut_slice();
        for (mut value, width, after) in fields {
            let Some((digits, tail)) = rest.split_at_mut_checked(width) else { break };
            for digit in digits.iter_mut().rev() {
                *digit = b'0' + u8::try_from(value % 10).unwrap_or(0);
                value /= 10;
            }
            let Some((mark, tail)) = tail.split_first_mut() else { break };
            *mark = after;
            rest = tail;
        }
        Self(text)
    }

    /// The stamp of now.
    pub fn now() -> Self {
        Self::of(SystemTime::now())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The text up to and with the point before the microseconds.
    fn second(&self) -> &[u8] {
        self.0.get(..SECOND_LEN).unwrap_or_default()
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Appends stamps one after the other; those of the same second share the text of all but the microseconds.
#[derive(Debug)]
pub(crate) struct Stamps {
    seconds: u64,
    last: Stamp,
}

impl Stamps {
    pub(crate) fn new() -> Self {
        Self { seconds: 0, last: Stamp::of(UNIX_EPOCH) }
    }

    /// Appends [`Stamp::of`] the time.
    pub(crate) fn push(&mut self, out: &mut Vec<u8>, time: SystemTime) {
        let (seconds, micros) = since_1970(time);
        if seconds != self.seconds {
            *self = Self { seconds, last: Stamp::of(time) };
        }
        out.extend_from_slice(self.last.second());
        push_fraction::<6>(out, micros);
        out.push(b'Z');
    }
}

/// Seconds and microseconds, within what a stamp can print.
fn since_1970(time: SystemTime) -> (u64, u64) {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    match since.as_secs() {
        seconds @ ..=LAST_SECOND => (seconds, since.subsec_micros().into()),
        _ => (LAST_SECOND, 999_999),
    }
}

/// Year, month and day of a number of days since 1970-01-01 (H. Hinnant, "chrono-compatible low-level date
/// algorithms", `civil_from_days`, for days that are not negative).
fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

/// A time or a span that can't be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TimeError {
    /// Neither a span nor an instant.
    #[error("not a span such as 7d, 90m or 500ms, and not an RFC 3339 time")]
    Form,
    /// A span that is too long for any clock.
    #[error("that span is longer than the clock reaches")]
    TooLong,
}

/// Reads a span of contract section 2: a number and `ms`, `s`, `m`, `h` or `d`.
///
/// # Errors
/// Anything else, and spans beyond 2^64 ms.
pub fn parse_duration(text: &str) -> Result<Duration, TimeError> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits).ok_or(TimeError::Form)?;
    let scale: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(TimeError::Form),
    };
    if number.is_empty() {
        return Err(TimeError::Form);
    }
    let number: u64 = number.parse().map_err(|_| TimeError::TooLong)?;
    number.checked_mul(scale).map(Duration::from_millis).ok_or(TimeError::TooLong)
}

/// Reads what `--since` and `--until` take: a span before `now`, or an RFC 3339 time with any offset.
///
/// # Errors
/// Anything else. A span that reaches before 1970 is 1970.
pub fn parse_since(text: &str, now: SystemTime) -> Result<SystemTime, TimeError> {
    match parse_duration(text) {
        Ok(span) => Ok(now.checked_sub(span).map_or(UNIX_EPOCH, |t| t.max(UNIX_EPOCH))),
        Err(TimeError::TooLong) => Ok(UNIX_EPOCH),
        Err(TimeError::Form) => {
            OffsetDateTime::parse(text, &Rfc3339).map(SystemTime::from).map_err(|_| TimeError::Form)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spans_and_instants() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
        for (text, seconds_before) in [("7d", 604_800), ("90m", 5400), ("2h", 7200), ("30s", 30), ("0s", 0)] {
            assert_eq!(parse_since(text, now), Ok(now - Duration::from_secs(seconds_before)), "{text}");
        }
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_since("1970-01-01T02:00:01+02:00", now), Ok(UNIX_EPOCH + Duration::from_secs(1)));
        assert_eq!(parse_since("99999999999999999999d", now), Ok(UNIX_EPOCH));
        for bad in ["", "d", "7", "7 d", "-7d", "7w", "1.5h", "yesterday", "2026-01-01", "7d\n", "٧d"] {
            assert_eq!(parse_since(bad, now), Err(TimeError::Form), "{bad:?}");
        }
    }

    #[test]
    fn every_stamp_has_one_width() {
        for (time, want) in [
            (UNIX_EPOCH - Duration::from_secs(1), "1970-01-01T00:00:00.000000Z"),
            (UNIX_EPOCH + Duration::from_secs(LAST_SECOND + 1), "9999-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(Stamp::of(time).as_str(), want);
        }
    }

    proptest! {
        #[test]
        fn a_stamp_is_the_rfc_3339_time(seconds in 0u64..=253_402_300_799, micros in 0u64..1_000_000) {
            let time = UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_micros(micros);
            let stamp = Stamp::of(time);
            let parsed = OffsetDateTime::parse(stamp.as_str(), &Rfc3339).unwrap();
            prop_assert_eq!(SystemTime::from(parsed), time);
            prop_assert_eq!(stamp.as_str().len(), LEN);
            let mut stamps = Stamps::new();
            for time in [time, UNIX_EPOCH + Duration::from_secs(seconds), time + Duration::from_secs(1), UNIX_EPOCH] {
                let mut out = Vec::new();
                stamps.push(&mut out, time);
                prop_assert_eq!(String::from_utf8(out).unwrap(), Stamp::of(time).to_string());
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,40}") {
            let _ = parse_since(&text, UNIX_EPOCH);
        }
    }
}
