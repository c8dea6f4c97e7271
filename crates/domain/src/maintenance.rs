//! When a maintenance window is: once, or each week on the clock of a time zone.
//!
//! Where clocks are put forward or back, a weekly window begins as a schedule is due ([`crate::schedule`]): at the next moment that exists,
//! or the first of two. Its minutes are minutes that pass, whatever the clock shows meanwhile.

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::{
    Failure, FailureCode, Schedule,
    schedule::{TimeOfDay, Weekday},
};

/// How long a weekly window may be, in minutes.
pub const MINUTES: std::ops::RangeInclusive<u32> = 1..=1440;

/// Windows that follow each other without a break are followed so far to find their end: more than a year of days.
const MOST_IN_A_ROW: u32 = 400;

/// When a maintenance window is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "repeats", rename_all = "snake_case")]
#[ts(export)]
pub enum MaintenanceTime {
    /// Once.
    Never {
        /// From then on.
        #[ts(type = "string")]
        from: Timestamp,
        /// Until then.
        #[ts(type = "string")]
        to: Timestamp,
    },
    /// Each week.
    Weekly {
        /// On these days; empty is every day.
        days: Vec<Weekday>,
        /// From that time on.
        at: TimeOfDay,
        /// For so many minutes, 1 to 1440.
        minutes: u32,
        /// On the clock of that IANA time zone.
        time_zone: String,
    },
}

impl MaintenanceTime {
    /// Whether it makes sense.
    ///
    /// # Errors
    /// A [`FailureCode::InvalidInput`] that names what is wrong.
    pub fn validate(&self) -> Result<(), Failure> {
        let invalid = |message: String, hint: &str| {
            Err(Failure::new(FailureCode::InvalidInput, message).hint(hint.to_owned()))
        };
        match self {
            Self::Never { from, to } if from >= to => invalid(
                "The maintenance window ends before it begins.".to_owned(),
                "Choose an end that is after the beginning.",
            ),
            Self::Never { .. } => Ok(()),
            Self::Weekly { minutes, .. } if !MINUTES.contains(minutes) => invalid(
                format!("A maintenance window cannot last {minutes} minutes."),
                "Choose 1 to 1440 minutes.",
            ),
            Self::Weekly { at, time_zone, .. } => {
                at.validate()?;
                if TimeZone::get(time_zone).is_err() {
                    return invalid(
                        format!("There is no time zone “{time_zone}”."),
                        "Choose one like “Europe/Berlin”.",
                    );
                }
                Ok(())
            }
        }
    }

    /// Whether `now` is within it. What [`Self::validate`] refuses is never.
    pub fn covers(&self, now: Timestamp) -> bool {
        match self {
            Self::Never { from, to } => (*from..*to).contains(&now),
            Self::Weekly { .. } => self.weekly().is_some_and(|weekly| weekly.covers(now)),
        }
    }

    /// When what [`Self::covers`] says changes next, strictly after `now`. None where it never does, or not within a year.
    pub fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Never { from, to } if from >= to => None,
            Self::Never { from, to } => [*from, *to].into_iter().find(|change| *change > now),
            Self::Weekly { .. } => self.weekly()?.next_change(now),
        }
    }

    /// Whether it is over for good.
    pub fn has_passed(&self, now: Timestamp) -> bool {
        match self {
            Self::Never { from, to } => now >= *to || from >= to,
            Self::Weekly { .. } => false,
        }
    }

    fn weekly(&self) -> Option<Weekly> {
        let Self::Weekly {
            days,
            at,
            minutes,
            time_zone,
        } = self
        else {
            return None;
        };
        self.validate().ok()?;
        Some(Weekly {
            beginning: if days.is_empty() {
                Schedule::Daily { at: *at }
            } else {
                Schedule::Weekly {
                    days: days.clone(),
                    at: *at,
                }
            },
            length: SignedDuration::from_mins(i64::from(*minutes)),
            zone: TimeZone::get(time_zone).ok()?,
        })
    }
}

/// A weekly window that makes sense.
struct Weekly {
    beginning: Schedule,
    length: SignedDuration,
    zone: TimeZone,
}

impl Weekly {
    /// The first beginning after `after`.
    fn begins_after(&self, after: Timestamp) -> Option<Timestamp> {
        self.beginning.next_after(after, &self.zone)
    }

    /// The first beginning whose window has not ended at `now`.
    fn first_not_ended(&self, now: Timestamp) -> Option<Timestamp> {
        self.begins_after(now.checked_sub(self.length).ok()?)
    }

    fn covers(&self, now: Timestamp) -> bool {
        self.first_not_ended(now).is_some_and(|begin| begin <= now)
    }

    fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        if !self.covers(now) {
            return self.begins_after(now);
        }
        // Windows may touch or overlap, on a day of 23 hours at the latest.
        let mut end = now;
        for _ in 0..MOST_IN_A_ROW {
            match self.first_not_ended(end) {
                Some(begin) if begin <= end => end = begin.checked_add(self.length).ok()?,
                _ => return Some(end),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn weekly(days: &[Weekday], hour: u8, minute: u8, minutes: u32, time_zone: &str) -> MaintenanceTime {
        MaintenanceTime::Weekly {
            days: days.to_vec(),
            at: TimeOfDay { hour, minute },
            minutes,
            time_zone: time_zone.to_owned(),
        }
    }

    #[test]
    fn a_window_that_comes_once_covers_its_first_moment_and_not_its_last() {
        let once = MaintenanceTime::Never {
            from: at("2026-11-28T01:00:00Z"),
            to: at("2026-11-28T02:00:00Z"),
        };
        for (now, covers, change, passed) in [
            ("2026-11-28T00:59:59Z", false, Some("2026-11-28T01:00:00Z"), false),
            ("2026-11-28T01:00:00Z", true, Some("2026-11-28T02:00:00Z"), false),
            ("2026-11-28T02:00:00Z", false, None, true),
        ] {
            assert_eq!(once.covers(at(now)), covers, "{now}");
            assert_eq!(once.next_change(at(now)), change.map(at), "{now}");
            assert_eq!(once.has_passed(at(now)), passed, "{now}");
        }
    }

    /// A window of two hours from 23:30 on Saturdays in Berlin, across midnight and across the changes of the clock.
    #[rstest]
    #[case::before("2026-11-28T22:29:00Z", false, "2026-11-28T22:30:00Z")]
    #[case::within("2026-11-28T22:30:00Z", true, "2026-11-29T00:30:00Z")]
    #[case::after_midnight("2026-11-29T00:29:00Z", true, "2026-11-29T00:30:00Z")]
    #[case::after("2026-11-29T00:30:00Z", false, "2026-12-05T22:30:00Z")]
    #[case::in_summer("2026-07-04T21:30:00Z", true, "2026-07-04T23:30:00Z")]
    fn a_weekly_window_follows_the_clock_on_the_wall(
        #[case] now: &str,
        #[case] covers: bool,
        #[case] change: &str,
    ) {
        let window = weekly(&[Weekday::Saturday], 23, 30, 120, "Europe/Berlin");
        assert_eq!(window.covers(at(now)), covers);
        assert_eq!(window.next_change(at(now)), Some(at(change)));
        assert!(!window.has_passed(at(now)));
    }

    /// The nights on which Berlin's clock goes from 02:00 to 03:00 (2026-03-29) and from 03:00 back to 02:00 (2026-10-25).
    #[rstest]
    #[case::skipped_beginning(2, 30, 60, "2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z")]
    #[case::over_the_gap(1, 30, 60, "2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z")]
    #[case::first_of_two(2, 30, 60, "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z")]
    #[case::over_the_fold(1, 30, 150, "2026-10-24T23:30:00Z", "2026-10-25T02:00:00Z")]
    fn minutes_pass_where_the_clock_jumps(
        #[case] hour: u8,
        #[case] minute: u8,
        #[case] minutes: u32,
        #[case] begin: &str,
        #[case] end: &str,
    ) {
        let window = weekly(&[Weekday::Sunday], hour, minute, minutes, "Europe/Berlin");
        let second = SignedDuration::from_secs(1);
        let (begin, end) = (at(begin), at(end));
        let told = [begin - second, begin, end - second, end].map(|now| window.covers(now));
        assert_eq!(told, [false, true, true, false]);
        assert_eq!(window.next_change(begin - second), Some(begin));
        assert_eq!(window.next_change(begin), Some(end));
    }

    #[test]
    fn windows_that_touch_are_one() {
        let always = weekly(&[], 0, 0, 1440, "UTC");
        assert!(always.covers(at("2026-11-28T12:00:00Z")));
        assert_eq!(always.next_change(at("2026-11-28T12:00:00Z")), None);
        let weekend = weekly(&[Weekday::Saturday, Weekday::Sunday], 0, 0, 1440, "UTC");
        assert_eq!(
            weekend.next_change(at("2026-11-28T12:00:00Z")),
            Some(at("2026-11-30T00:00:00Z"))
        );
        // The day of 25 hours is one hour longer than the longest window.
        let berlin = weekly(&[], 0, 0, 1440, "Europe/Berlin");
        assert_eq!(
            berlin.next_change(at("2026-10-20T12:00:00Z")),
            Some(at("2026-10-25T22:00:00Z"))
        );
        assert_eq!(
            berlin.next_change(at("2026-10-25T22:00:00Z")),
            Some(at("2026-10-25T23:00:00Z"))
        );
    }

    #[rstest]
    #[case::zone(weekly(&[], 1, 0, 60, "Europe/Nowhere"))]
    #[case::time(weekly(&[], 24, 0, 60, "UTC"))]
    #[case::no_minutes(weekly(&[], 1, 0, 0, "UTC"))]
    #[case::too_many_minutes(weekly(&[], 1, 0, 1441, "UTC"))]
    #[case::backwards(MaintenanceTime::Never { from: at("2026-11-28T02:00:00Z"), to: at("2026-11-28T01:00:00Z") })]
    fn what_makes_no_sense_is_told_and_never_is(#[case] time: MaintenanceTime) {
        assert_eq!(time.validate().unwrap_err().code, FailureCode::InvalidInput);
        let now = at("2026-11-28T01:30:00Z");
        assert!(!time.covers(now));
        assert_eq!(time.next_change(now), None);
        for extreme in [Timestamp::MIN, Timestamp::MAX] {
            assert!(!time.covers(extreme));
        }
    }

    #[test]
    fn the_ends_of_time_are_no_trouble() {
        let window = weekly(&[Weekday::Monday], 1, 0, 60, "Europe/Berlin");
        for extreme in [Timestamp::MIN, Timestamp::MAX] {
            let _ = (window.covers(extreme), window.next_change(extreme));
        }
    }
}
