//! Time as a value: handed in by the driver, never read from a clock.

use std::fmt;
use std::time::Duration;

/// A point in monotonic time, nanoseconds since the driver's start. Deadlines are of this kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Instant(pub u64);

impl Instant {
    /// This instant plus `duration`, at most the end of time (584 years after the start).
    pub fn after(self, duration: Duration) -> Instant {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Instant(self.0.saturating_add(nanos))
    }

    /// Time passed since `earlier`; zero when `earlier` is later.
    pub fn since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Wall time, nanoseconds since 1970-01-01T00:00:00Z. Stored stamps and token claims are of this
/// kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UnixTime(pub u64);

impl UnixTime {
    pub fn from_secs(secs: u64) -> UnixTime {
        UnixTime(secs.saturating_mul(1_000_000_000))
    }

    pub fn secs(self) -> u64 {
        self.0 / 1_000_000_000
    }

    /// Reads RFC 3339, with an offset from UTC or `Z`, at any number of digits of fraction.
    pub fn parse(text: &str) -> Option<UnixTime> {
        fn number(text: &str, from: usize, to: usize) -> Option<u64> {
            let digits = text.get(from..to)?;
            digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
        }
        let separators = [(4, "-"), (7, "-"), (10, "Tt "), (13, ":"), (16, ":")];
        for (at, allowed) in separators {
            allowed.contains(text.get(at..=at)?).then_some(())?;
        }
        let (year, month, day) = (number(text, 0, 4)?, number(text, 5, 7)?, number(text, 8, 10)?);
        let [year, month, day] = [year, month, day].map(u64::cast_signed);
        let days = u64::try_from(days_from_civil(year, month, day)?).ok()?;
        let (hour, minute, second) =
            (number(text, 11, 13)?, number(text, 14, 16)?, number(text, 17, 19)?);
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let mut rest = &text[19..];
        let mut nanos = 0;
        if let Some(fraction) = rest.strip_prefix('.') {
            let count = fraction.bytes().take_while(u8::is_ascii_digit).count();
            let kept = count.min(9);
            nanos = number(fraction, 0, kept).filter(|_| count > 0)?;
            nanos *= 10_u64.pow(9 - u32::try_from(kept).ok()?);
            rest = &fraction[count..];
        }
        let local = days * 86_400 + hour * 3600 + minute * 60 + second;
        let secs = match rest {
            "Z" | "z" => local,
            _ => {
                let (hours, minutes) = (number(rest, 1, 3)?, number(rest, 4, 6)?);
                let shift = hours * 3600 + minutes * 60;
                let is_offset = rest.len() == 6 && &rest[3..4] == ":" && hours < 24 && minutes < 60;
                match &rest[..1] {
                    "+" if is_offset => local.checked_sub(shift)?,
                    "-" if is_offset => local + shift,
                    _ => return None,
                }
            }
        };
        Some(UnixTime(secs.checked_mul(1_000_000_000)?.checked_add(nanos)?))
    }

    fn subsec_nanos(self) -> u64 {
        self.0 % 1_000_000_000
    }
}

/// RFC 3339 in UTC, with 0, 3, 6 or 9 digits of fraction: the shortest that loses nothing.
impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_from_days((self.secs() / 86_400).cast_signed());
        let second_of_day = self.secs() % 86_400;
        let (hour, minute, second) =
            (second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        let nanos = self.subsec_nanos();
        if nanos == 0 {
            write!(f, "Z")
        } else if nanos.is_multiple_of(1_000_000) {
            write!(f, ".{:03}Z", nanos / 1_000_000)
        } else if nanos.is_multiple_of(1_000) {
            write!(f, ".{:06}Z", nanos / 1_000)
        } else {
            write!(f, ".{nanos:09}Z")
        }
    }
}

/// Both clocks at one moment, as every input carries them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    pub monotonic: Instant,
    pub wall: UnixTime,
}

/// The day, counted from 1970-01-01, of a date that is one. The inverse of [`civil_from_days`].
pub fn days_from_civil(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(0..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let shifted_year = if month > 2 { year } else { year - 1 };
    let (era, year_of_era) = (shifted_year.div_euclid(400), shifted_year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    (civil_from_days(days) == (year, month, day)).then_some(days)
}

/// (year, month, day) of a day counted from 1970-01-01, in the proleptic Gregorian calendar.
/// Algorithm: Howard Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`.
pub fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468; // days since 0000-03-01, so that leap days end a year
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows 28 and 29: whole seconds have no fraction, others 3, 6 or 9 digits.
    #[test]
    fn times_are_printed_in_rfc_3339() {
        let check = |nanos, text: &str| assert_eq!(UnixTime(nanos).to_string(), text);
        check(0, "1970-01-01T00:00:00Z");
        check(951_782_400_000_000_000, "2000-02-29T00:00:00Z");
        check(1_709_251_199_000_000_000, "2024-02-29T23:59:59Z");
        check(1_735_689_599_120_000_000, "2024-12-31T23:59:59.120Z");
        check(1_735_689_599_120_400_000, "2024-12-31T23:59:59.120400Z");
        check(1_735_689_599_120_400_001, "2024-12-31T23:59:59.120400001Z");
        check(4_107_542_400_000_000_000, "2100-03-01T00:00:00Z");
    }

    #[test]
    fn deadlines_do_not_overflow() {
        assert_eq!(Instant(u64::MAX - 1).after(Duration::from_secs(1)), Instant(u64::MAX));
        assert_eq!(Instant(1).since(Instant(2)), Duration::ZERO);
    }

    #[test]
    fn times_are_read_from_rfc_3339() {
        for nanos in [0, 1, 951_782_399_000_000_000, 951_782_400_123_456_789, 1 << 62] {
            assert_eq!(UnixTime::parse(&UnixTime(nanos).to_string()), Some(UnixTime(nanos)));
        }
        let noon = UnixTime::from_secs(1_767_225_600 + 12 * 3600);
        for text in [
            "2026-01-01T12:00:00Z",
            "2026-01-01 12:00:00.0z",
            "2026-01-01T14:30:00+02:30",
            "2026-01-01T07:00:00.0000000000-05:00",
        ] {
            assert_eq!(UnixTime::parse(text), Some(noon), "{text}");
        }
        for text in [
            "",
            "2026-01-01",
            "2026-02-29T12:00:00Z",
            "2026-13-01T12:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T12:00:00",
            "2026-01-01T12:00:00.Z",
            "2026-01-01T12:00:00+2:30",
            "2026-01-01T12:00:00Zx",
            "1969-12-31T23:59:59Z",
            "2026-01-01T12:00:0\u{e9}",
            "+026-01-01T12:00:00Z",
        ] {
            assert_eq!(UnixTime::parse(text), None, "{text:?}");
        }
    }
}
