//! Schedules: CRON expressions, in UTC or in the time of a place.
//!
//! Fields as Nakama takes them: minute, hour, day of month, month, day of week; a sixth is the
//! year, of seven the first is the second; more are ignored. `CRON_TZ=Europe/Berlin` in front of
//! them names a time zone of the IANA database. There, a time that comes twice when clocks are set
//! back counts once, at first, and one that is skipped counts at the end of the gap.

use std::cell::Cell;

use base::limits::SCHEDULE_MAX;
use chrono::{DateTime, MappedLocalTime, NaiveDateTime, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::CronParser;

/// Steps of a search over the hours around a change of clocks; no schedule needs as many.
const STEPS_MAX: u32 = 10_000;
/// Clocks are set by multiples of so many seconds.
const SHIFT: i64 = 900;

/// Why a text is no schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    TooLong,
    FieldCount,
    TimeZone,
    /// As the parser says.
    Expression(String),
    /// It never comes.
    Never,
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Error::TooLong => write!(f, "is longer than {SCHEDULE_MAX} bytes"),
            Error::FieldCount => f.write_str("has fewer than 5 fields"),
            Error::TimeZone => f.write_str("names no time zone of the IANA database"),
            Error::Expression(why) => write!(f, "is no CRON expression: {why}"),
            Error::Never => f.write_str("never comes"),
        }
    }
}

/// A CRON expression that comes at least once after 2020.
#[derive(Clone, Debug)]
pub struct Schedule {
    cron: Cron,
    zone: Tz,
    /// Two of its times, or any time and one of its, between which there is none: a search takes
    /// long, and most questions are about the same moment.
    known_next: Cell<(u64, u64)>,
    known_last: Cell<(u64, u64)>,
}

impl Schedule {
    pub fn parse(text: &str) -> Result<Schedule, Error> {
        if text.len() > SCHEDULE_MAX {
            return Err(Error::TooLong);
        }
        let (zone, fields) = match text.trim_start().strip_prefix("CRON_TZ=") {
            Some(rest) => {
                let (name, fields) = rest.split_once(' ').unwrap_or((rest, ""));
                (name.parse().map_err(|_| Error::TimeZone)?, fields)
            }
            None => (Tz::UTC, text),
        };
        let fields: Vec<_> = fields.split_ascii_whitespace().collect();
        let fields = match fields.as_slice() {
            [name] if name.starts_with('@') => (*name).to_owned(),
            [_, _, _, _, _] => format!("0 {}", fields.join(" ")),
            [_, _, _, _, _, _] => format!("0 {}", fields.join(" ")),
            [seven @ .., _] if fields.len() > 7 => seven[..7].join(" "),
            [_, _, _, _, _, _, _] => fields.join(" "),
            _ => return Err(Error::FieldCount),
        };
        let parsed = CronParser::new().parse(&fields);
        let cron = parsed.map_err(|error| Error::Expression(error.to_string()))?;
        let (known_next, known_last) = (Cell::new((0, 0)), Cell::new((0, 0)));
        let schedule = Schedule { cron, zone, known_next, known_last };
        const YEAR_2020: u64 = 1_577_836_800;
        schedule.next(YEAR_2020).map(|_| schedule).ok_or(Error::Never)
    }

    /// The first time after this one, both in seconds since 1970.
    pub fn next(&self, after: u64) -> Option<u64> {
        let (from, to) = self.known_next.get();
        if (from..to).contains(&after) {
            return Some(to);
        }
        let next = self.search_next(after)?;
        self.known_next.set((after, next));
        Some(next)
    }

    fn search_next(&self, after: u64) -> Option<u64> {
        let mut local = self.local(after)?;
        for _ in 0..STEPS_MAX {
            let found = self.cron.find_next_occurrence(&local.and_utc(), false).ok()?.naive_utc();
            let time = self.time(found)?;
            if time > after {
                return Some(time);
            }
            // It was there already before the clocks were set back.
            let secs = found.and_utc().timestamp();
            let behind = secs - secs.rem_euclid(SHIFT) + SHIFT - 1;
            local = DateTime::from_timestamp(behind, 0)?.naive_utc();
        }
        None
    }

    /// The last time at or before this one.
    pub fn last(&self, at: u64) -> Option<u64> {
        let (from, to) = self.known_last.get();
        if (from..to).contains(&at) {
            return Some(from);
        }
        let local = self.local(at)?.and_utc();
        let found = self.cron.find_previous_occurrence(&local, true).ok()?.naive_utc();
        let mut last = self.time(found).filter(|time| *time <= at)?;
        for _ in 0..STEPS_MAX {
            match self.search_next(last) {
                Some(next) if next <= at => last = next,
                Some(next) => {
                    self.known_last.set((last, next));
                    break;
                }
                None => break,
            }
        }
        Some(last)
    }

    fn local(&self, secs: u64) -> Option<NaiveDateTime> {
        let time: DateTime<Utc> = DateTime::from_timestamp(i64::try_from(secs).ok()?, 0)?;
        Some(time.with_timezone(&self.zone).naive_local())
    }

    /// When clocks there show this for the first time, or would have.
    fn time(&self, mut local: NaiveDateTime) -> Option<u64> {
        for _ in 0..24 * 3600 / SHIFT {
            match self.zone.from_local_datetime(&local) {
                MappedLocalTime::Single(time) | MappedLocalTime::Ambiguous(time, _) => {
                    return u64::try_from(time.timestamp()).ok();
                }
                MappedLocalTime::None => {
                    let secs = local.and_utc().timestamp();
                    let step = TimeDelta::seconds(SHIFT - secs.rem_euclid(SHIFT));
                    local = local.checked_add_signed(step)?;
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use base::UnixTime;
    use proptest::prelude::*;

    use super::*;

    fn secs(text: &str) -> u64 {
        UnixTime::parse(text).expect("a time").secs()
    }

    fn shown(time: Option<u64>) -> String {
        time.map_or("never".into(), |time| UnixTime::from_secs(time).to_string())
    }

    fn check(schedule: &str, at: &str, last: &str, next: &str) {
        let parsed = Schedule::parse(schedule).expect("a schedule");
        assert_eq!(shown(parsed.last(secs(at))), last, "{schedule} at {at}");
        assert_eq!(shown(parsed.next(secs(at))), next, "{schedule} after {at}");
    }

    #[test]
    fn fields_are_those_of_nakama() {
        let at = "2026-12-01T00:30:00Z"; // a Tuesday
        check("0 0 * * *", at, "2026-12-01T00:00:00Z", "2026-12-02T00:00:00Z");
        check("0 0 * * 1", at, "2026-11-30T00:00:00Z", "2026-12-07T00:00:00Z");
        check("0 0 * * SUN", at, "2026-11-29T00:00:00Z", "2026-12-06T00:00:00Z");
        check("0 0 * * 7", at, "2026-11-29T00:00:00Z", "2026-12-06T00:00:00Z");
        check("*/20 * * * *", at, "2026-12-01T00:20:00Z", "2026-12-01T00:40:00Z");
        check("30 0 1 * *", at, "2026-12-01T00:30:00Z", "2027-01-01T00:30:00Z");
        check("0 0 1 JAN *", at, "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z");
        check("0 0 L * *", at, "2026-11-30T00:00:00Z", "2026-12-31T00:00:00Z");
        check("0 12 13 * 5", at, "2026-11-27T12:00:00Z", "2026-12-04T12:00:00Z");
        check("0 0 1 1 * 2027", at, "never", "2027-01-01T00:00:00Z");
        check("15 * * * * * *", at, "2026-12-01T00:29:15Z", "2026-12-01T00:30:15Z");
        check("15 * * * * * * more", at, "2026-12-01T00:29:15Z", "2026-12-01T00:30:15Z");
        check("@weekly", at, "2026-11-29T00:00:00Z", "2026-12-06T00:00:00Z");
    }

    #[test]
    fn a_place_keeps_its_own_time() {
        let daily = "CRON_TZ=Europe/Berlin 0 0 * * *";
        check(daily, "2026-12-01T00:30:00Z", "2026-11-30T23:00:00Z", "2026-12-01T23:00:00Z");
        check(daily, "2026-07-01T00:30:00Z", "2026-06-30T22:00:00Z", "2026-07-01T22:00:00Z");
        // Clocks are set from 2:00 to 3:00 on 2026-03-29, and from 3:00 to 2:00 on 2026-10-25.
        let night = "CRON_TZ=Europe/Berlin 30 2 * * *";
        check(night, "2026-03-29T00:00:00Z", "2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z");
        check(night, "2026-03-29T01:00:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z");
        check(night, "2026-10-25T00:29:59Z", "2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z");
        check(night, "2026-10-25T01:30:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z");
        let often = "CRON_TZ=Europe/Berlin */15 * * * *";
        check(often, "2026-10-25T01:20:00Z", "2026-10-25T00:45:00Z", "2026-10-25T02:00:00Z");
        check(often, "2026-03-29T01:00:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:15:00Z");
    }

    #[test]
    fn what_is_no_schedule_is_told() {
        let why = |text: &str| Schedule::parse(text).map(|_| ()).unwrap_err();
        assert_eq!(why(""), Error::FieldCount);
        assert_eq!(why("* * * *"), Error::FieldCount);
        assert_eq!(why(&"1".repeat(SCHEDULE_MAX + 1)), Error::TooLong);
        assert_eq!(why("CRON_TZ=Europe/Nowhere 0 0 * * *"), Error::TimeZone);
        assert_eq!(why("CRON_TZ=Europe/Berlin"), Error::FieldCount);
        for text in ["61 * * * *", "* 24 * * *", "x * * * *", "* * 0 * *", "5-1 * * * *", "@often"]
        {
            assert!(matches!(why(text), Error::Expression(_)), "{text}");
        }
        assert_eq!(why("0 0 30 2 *"), Error::Never);
        assert_eq!(why("0 0 1 1 * 2019"), Error::Never);
    }

    proptest! {
        /// What comes next is what came last when it has come; nothing lies between.
        #[test]
        fn next_and_last_are_each_others_inverse(
            at in 1_700_000_000_u64..2_000_000_000,
            schedule in prop::sample::select(vec![
                "0 0 * * *", "*/7 3-5 * * *", "0 12 13 * 5", "59 23 L * *", "30 2 * * *",
            ]),
            zone in prop::sample::select(vec![
                "", "CRON_TZ=Europe/Berlin ", "CRON_TZ=America/New_York ",
                "CRON_TZ=Australia/Lord_Howe ", "CRON_TZ=Asia/Kathmandu ",
            ]),
        ) {
            let schedule = Schedule::parse(&format!("{zone}{schedule}")).unwrap();
            let next = schedule.next(at).unwrap();
            prop_assert!(next > at);
            prop_assert_eq!(schedule.last(next), Some(next));
            let last = schedule.last(next - 1).unwrap();
            prop_assert!(last <= at);
            prop_assert_eq!(schedule.next(last), Some(next));
            for time in [at, last, next - 1] {
                prop_assert_eq!(schedule.next(time), Some(next));
                prop_assert_eq!(schedule.last(time), Some(last));
            }
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = Schedule::parse(&text);
        }
    }
}
