//! Hours, days, weeks, months and years on the clock of a time zone, as numbers that can be compared.

use jiff::{Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::units;

/// A stretch of which the newest backup is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export, rename = "RetentionPeriod")]
pub enum Period {
    /// An hour.
    Hour,
    /// A day of the calendar.
    Day,
    /// A week, Monday to Sunday (ISO 8601).
    Week,
    /// A month of the calendar.
    Month,
    /// A year of the calendar.
    Year,
}

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

impl Period {
    /// The period in which `time` lies, as a number that grows with time: later periods have greater ones.
    ///
    /// Hours are real hours: the one that the clock shows a second time when it is put back is another hour, as
    /// it is for an hourly schedule. Days and longer are those of the wall clock; a day of 23 or 25 hours is one day.
    pub(super) fn of(self, time: Timestamp, zone: &TimeZone) -> i64 {
        let offset = zone.to_offset(time);
        let wall = time.as_second() + i64::from(offset.seconds());
        match self {
            // The moment at which the hour began, by the offset that is in force.
            Self::Hour => time.as_second() - wall.rem_euclid(HOUR),
            Self::Day => wall.div_euclid(DAY),
            // 1970-01-01 was a Thursday: three days after a Monday.
            Self::Week => (wall.div_euclid(DAY) + 3).div_euclid(7),
            Self::Month => {
                let wall = offset.to_datetime(time);
                i64::from(wall.year()) * 12 + i64::from(wall.month())
            }
            Self::Year => i64::from(offset.to_datetime(time).year()),
        }
    }

    /// `week`.
    pub fn singular(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
        }
    }

    /// `weeks`.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Hour => "hours",
            Self::Day => "days",
            Self::Week => "weeks",
            Self::Month => "months",
            Self::Year => "years",
        }
    }

    /// `4 weeks`.
    pub(super) fn counted(self, number: u32) -> String {
        units::counted(number.into(), self.singular(), self.plural())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::within_an_hour(Period::Hour, "UTC", "2026-11-22T10:00:00Z", "2026-11-22T10:59:59Z", true)]
    #[case::next_hour(Period::Hour, "UTC", "2026-11-22T10:59:59Z", "2026-11-22T11:00:00Z", false)]
    #[case::an_hour_of_half_a_zone(
        Period::Hour,
        "Asia/Kolkata",
        "2026-11-22T10:15:00Z",
        "2026-11-22T10:45:00Z",
        false
    )]
    #[case::the_hour_that_comes_twice(
        Period::Hour,
        "Europe/Berlin",
        "2026-10-25T00:30:00Z",
        "2026-10-25T01:30:00Z",
        false
    )]
    #[case::the_half_hour_that_comes_twice(
        Period::Hour,
        "Australia/Lord_Howe",
        "2026-04-04T14:40:00Z",
        "2026-04-04T15:10:00Z",
        false
    )]
    #[case::midnight_there(
        Period::Day,
        "America/New_York",
        "2026-11-22T04:59:59Z",
        "2026-11-22T05:00:00Z",
        false
    )]
    #[case::no_midnight_there(
        Period::Day,
        "America/New_York",
        "2026-11-22T23:00:00Z",
        "2026-11-23T04:00:00Z",
        true
    )]
    #[case::a_day_of_25_hours(
        Period::Day,
        "Europe/Berlin",
        "2026-10-24T22:00:00Z",
        "2026-10-25T22:59:59Z",
        true
    )]
    #[case::after_a_day_of_23_hours(
        Period::Day,
        "Europe/Berlin",
        "2026-03-29T21:59:59Z",
        "2026-03-29T22:00:00Z",
        false
    )]
    #[case::sunday_and_monday(Period::Week, "UTC", "2026-11-22T23:59:59Z", "2026-11-23T00:00:00Z", false)]
    #[case::monday_to_sunday(Period::Week, "UTC", "2026-11-23T00:00:00Z", "2026-11-29T23:59:59Z", true)]
    #[case::a_week_over_new_year(Period::Week, "UTC", "2026-12-31T12:00:00Z", "2027-01-03T12:00:00Z", true)]
    #[case::the_same_week_of_another_year(
        Period::Week,
        "UTC",
        "2025-11-24T12:00:00Z",
        "2026-11-23T12:00:00Z",
        false
    )]
    #[case::before_1970(Period::Week, "UTC", "1969-12-29T00:00:00Z", "1970-01-04T23:59:59Z", true)]
    #[case::the_same_month_of_another_year(
        Period::Month,
        "UTC",
        "2025-11-24T12:00:00Z",
        "2026-11-24T12:00:00Z",
        false
    )]
    #[case::december_and_january(Period::Month, "UTC", "2026-12-31T23:59:59Z", "2027-01-01T00:00:00Z", false)]
    #[case::new_year_there(
        Period::Year,
        "Pacific/Auckland",
        "2026-12-31T10:59:59Z",
        "2026-12-31T11:00:00Z",
        false
    )]
    fn times_lie_in_the_same_period_or_not(
        #[case] period: Period,
        #[case] zone: &str,
        #[case] earlier: &str,
        #[case] later: &str,
        #[case] same: bool,
    ) {
        let zone = TimeZone::get(zone).unwrap();
        let [earlier, later] = [earlier, later].map(|time| period.of(time.parse().unwrap(), &zone));
        assert!(earlier <= later);
        assert_eq!(earlier == later, same);
    }
}
