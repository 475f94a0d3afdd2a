//! Durations, sizes and rates as they are written: a whole number and one unit, without a space.

use std::time::Duration;

/// Why a quantity can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UnitError {
    /// Not a whole number followed by a known unit.
    Form,
    /// More than can be counted.
    TooLarge,
}

/// `10s`: `ms s m h d`.
pub(super) fn duration(text: &str) -> Result<Duration, UnitError> {
    let units = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
    quantity(text, &units).map(Duration::from_millis)
}

/// `4MiB`: `B KiB MiB GiB`.
pub(super) fn size(text: &str) -> Result<u64, UnitError> {
    quantity(text, &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)])
}

/// `600/min`: calls, and the time in which the bucket fills; `s min h day`.
pub(super) fn rate(text: &str) -> Result<(u64, Duration), UnitError> {
    let (calls, per) = text.split_once('/').ok_or(UnitError::Form)?;
    let seconds = match per {
        "s" => 1,
        "min" => 60,
        "h" => 3_600,
        "day" => 86_400,
        _ => return Err(UnitError::Form),
    };
    Ok((quantity(calls, &[("", 1)])?, Duration::from_secs(seconds)))
}

/// The shortest spelling that `duration` reads back.
pub(super) fn duration_text(d: Duration) -> String {
    let ms = u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
    spelt(ms, &[("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)])
}

/// The shortest spelling that `size` reads back.
pub(super) fn size_text(bytes: u64) -> String {
    spelt(bytes, &[("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)])
}

fn quantity(text: &str, units: &[(&str, u64)]) -> Result<u64, UnitError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).ok_or(UnitError::Form)?;
    if number.is_empty() {
        return Err(UnitError::Form);
    }
    let (_, factor) = units.iter().find(|(name, _)| *name == unit).ok_or(UnitError::Form)?;
    let number: u64 = number.parse().map_err(|_| UnitError::TooLarge)?;
    number.checked_mul(*factor).ok_or(UnitError::TooLarge)
}

fn spelt(value: u64, units: &[(&str, u64)]) -> String {
    let whole = units.iter().find(|(_, factor)| value != 0 && value.is_multiple_of(*factor));
    let (unit, factor) = whole.or_else(|| units.last()).copied().unwrap_or(("", 1));
    format!("{}{unit}", value.checked_div(factor).unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BAD: [&str; 14] =
        ["", "s", "10", "10 s", " 10s", "10s ", "1.5s", "-1s", "+1s", "1h30m", "10S", "10sec", "1_0s", "١s"];

    #[test]
    fn durations() {
        for (text, ms) in
            [("0ms", 0), ("7ms", 7), ("10s", 10_000), ("5m", 300_000), ("12h", 43_200_000), ("90d", 7_776_000_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
            assert_eq!(duration(&duration_text(Duration::from_millis(ms))), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in BAD {
            assert_eq!(duration(text), Err(UnitError::Form), "{text}");
        }
        for text in ["18446744073709551616ms", "18446744073709551615d"] {
            assert_eq!(duration(text), Err(UnitError::TooLarge), "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [("0B", 0), ("1B", 1), ("64KiB", 65_536), ("4MiB", 4_194_304), ("2GiB", 2_147_483_648)] {
            assert_eq!(size(text), Ok(bytes), "{text}");
            assert_eq!(size(&size_text(bytes)), Ok(bytes), "{text}");
        }
        for text in ["", "4", "4MB", "4mib", "4 MiB", "4M", "MiB", "1.5MiB", "-4MiB"] {
            assert_eq!(size(text), Err(UnitError::Form), "{text}");
        }
        assert_eq!(size("17179869184GiB"), Err(UnitError::TooLarge));
        assert_eq!(size_text(1_025), "1025B");
    }

    #[test]
    fn rates() {
        for (text, calls, seconds) in [("1/s", 1, 1), ("600/min", 600, 60), ("10/h", 10, 3_600), ("5/day", 5, 86_400)] {
            assert_eq!(rate(text), Ok((calls, Duration::from_secs(seconds))), "{text}");
        }
        for text in ["", "/s", "1", "1/", "1/m", "1 / s", "1/min/h", "-1/s", "1s/s"] {
            assert_eq!(rate(text), Err(UnitError::Form), "{text}");
        }
    }
}
