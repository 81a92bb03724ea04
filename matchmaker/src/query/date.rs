//! Date-times in text, as Go's parser reads them.

use std::fmt;

use base::time::{civil_from_days, days_from_civil};

const NANOS: i128 = 1_000_000_000;

/// RFC 3339, as nanoseconds since 1970 that fit.
pub(super) fn parse_rfc3339(text: &str) -> Option<i64> {
    let (nanos, form) = parse(text)?;
    if form == Form::Zoned { i64::try_from(nanos).ok() } else { None }
}

/// A property in any of the four forms. Years that do not fit wrap around, as they do in Nakama.
#[expect(clippy::cast_possible_truncation, reason = "wraps around on purpose")]
pub(super) fn parse_property(text: &str) -> Option<i64> {
    parse(text).map(|(nanos, _)| nanos as i64)
}

#[derive(PartialEq, Eq)]
enum Form {
    Zoned,
    Local,
}

/// Reads a form: the hour may have one digit, and a fraction any number of them, after a comma too.
fn parse(text: &str) -> Option<(i128, Form)> {
    let mut rest = text;
    let year = digits(&mut rest, 4)?;
    rest = rest.strip_prefix('-')?;
    let month = digits(&mut rest, 2)?;
    rest = rest.strip_prefix('-')?;
    let day = digits(&mut rest, 2)?;
    let days = days_from_civil(year, month, day)?;
    let midnight = i128::from(days) * 86_400 * NANOS;
    if rest.is_empty() {
        return Some((midnight, Form::Local));
    }
    let spaced = rest.starts_with(' ');
    rest = rest.strip_prefix(['T', ' '])?;
    let hour = digits(&mut rest, 2).or_else(|| digits(&mut rest, 1))?;
    rest = rest.strip_prefix(':')?;
    let minute = digits(&mut rest, 2)?;
    rest = rest.strip_prefix(':')?;
    let second = digits(&mut rest, 2)?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let time = i128::from(hour * 3600 + minute * 60 + second) * NANOS + fraction(&mut rest)?;
    if rest.is_empty() {
        return Some((midnight + time, Form::Local));
    }
    if spaced {
        return None;
    }
    Some((midnight + time - i128::from(offset(rest)?) * NANOS, Form::Zoned))
}

/// Exactly `count` digits.
fn digits(rest: &mut &str, count: usize) -> Option<i64> {
    let found = rest.get(..count).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    *rest = &rest[count..];
    found.parse().ok()
}

/// Nanoseconds of a fraction, if there is one.
fn fraction(rest: &mut &str) -> Option<i128> {
    let Some(after) = rest.strip_prefix(['.', ',']) else {
        return Some(0);
    };
    let count = after.bytes().take_while(u8::is_ascii_digit).count();
    *rest = &after[count..];
    format!("{:0<9}", &after[..count]).get(..9).filter(|_| count > 0)?.parse().ok()
}

/// Seconds east of UTC.
fn offset(rest: &str) -> Option<i64> {
    if rest == "Z" {
        return Some(0);
    }
    let east = if rest.starts_with('+') { 1 } else { -1 };
    let mut rest = rest.strip_prefix(['+', '-'])?;
    let hours = digits(&mut rest, 2)?;
    rest = rest.strip_prefix(':')?;
    let minutes = digits(&mut rest, 2)?;
    // Go lets these two limits pass.
    (rest.is_empty() && hours <= 24 && minutes <= 60)
        .then_some(east * (hours * 3600 + minutes * 60))
}

/// Writes RFC 3339 in UTC.
pub(super) fn write(f: &mut fmt::Formatter<'_>, nanos: i64) -> fmt::Result {
    let (secs, nanos) = (nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000));
    let (year, month, day) = civil_from_days(secs.div_euclid(86_400));
    let second = secs.rem_euclid(86_400);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_forms_are_dates() {
        let second = 1_000_000_000;
        let check = |text, expected| assert_eq!(parse_property(text), expected, "{text}");
        check("1970-01-01", Some(0));
        check("1970-01-01T00:00:01", Some(second));
        check("1970-01-01 00:00:01", Some(second));
        check("1970-01-01T00:00:01Z", Some(second));
        check("1970-01-01T00:00:01.5Z", Some(second + second / 2));
        check("1970-01-01T00:00:01,5", Some(second + second / 2));
        check("1970-01-01T00:00:00.0000000019Z", Some(1));
        check("1970-01-01T01:00:01+01:00", Some(second));
        check("1969-12-31T23:59:59-00:00", Some(-second));
        check("1970-01-02T00:00:00+24:00", Some(0));
        check("1970-01-01T1:00:00Z", Some(3600 * second));
        check("2006-01-02T15:04:05Z", Some(1_136_214_245 * second));
        check("2000-02-29", Some(951_782_400 * second));
        check("1600-02-29", Some((-11_670_998_400_i64).wrapping_mul(second)));
        check("9999-12-31", Some(253_402_214_400_i64.wrapping_mul(second)));
        for text in [
            "",
            "1970",
            "1970-1-1",
            "1970-01-01T",
            "1970-01-01T00:00",
            "1970-01-01T00:00:60",
            "1970-01-01T24:00:00",
            "1970-01-01t00:00:00",
            "1970-01-01T00:00:00z",
            "1970-01-01 00:00:00Z",
            "1970-01-01T00:00:00.Z",
            "1970-01-01T00:00:00+0100",
            "1970-01-01T00:00:00+25:00",
            "1970-01-01T00:00:00Z ",
            " 1970-01-01",
            "1900-02-29",
            "1970-00-01",
            "1970-13-01",
            "1970-01-00",
            "-970-01-01",
            "١٩٧٠-01-01",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn only_rfc_3339_that_fits_bounds_a_range() {
        assert_eq!(parse_rfc3339("1970-01-01T00:00:00Z"), Some(0));
        for text in
            ["1970-01-01", "1970-01-01T00:00:00", "0001-01-01T00:00:00Z", "9999-01-01T00:00:00Z"]
        {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }
}
