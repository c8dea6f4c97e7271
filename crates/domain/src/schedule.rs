//! When a plan runs: presets and five-field cron, on the wall clock of a time zone.
//!
//! A schedule names times of a clock on a wall ([`preset`], [`crontab`]); which instants those are is decided in
//! one place ([`instant`]). It knows neither the present time nor the system's time zone: both are arguments.
//!
//! The rules where clocks are put forward or back:
//! - A time that is skipped is due at the next moment that exists (02:30 on the night without 02:30 becomes 03:00).
//! - A time that comes twice is due the first time.
//! - What is meant *every* hour (`Hourly`, and cron expressions whose hour field names all 24) follows elapsed time
//!   instead: each real hour has its run, also the one that the clock shows a second time, and the hour that
//!   does not exist is not made up for. Where the clock moves by a part of an hour (Lord Howe Island, 30 minutes),
//!   the first two rules hold for these as well.

mod crontab;
mod instant;
mod preset;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::{Failure, FailureCode};
use crontab::Crontab;
use instant::Pace;

/// A time of day, to the minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct TimeOfDay {
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
#[allow(missing_docs)]
pub enum Weekday {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

/// When a plan is due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
#[ts(export)]
pub enum Schedule {
    /// Once an hour, at this minute.
    Hourly {
        /// 0 to 59.
        minute: u8,
    },
    /// Every day.
    Daily {
        /// At this time.
        at: TimeOfDay,
    },
    /// On these days of every week.
    Weekly {
        /// At least one.
        days: Vec<Weekday>,
        /// At this time.
        at: TimeOfDay,
    },
    /// Once a month.
    Monthly {
        /// 1 to 31; a day that a month lacks means its last day.
        day: u8,
        /// At this time.
        at: TimeOfDay,
    },
    /// A cron expression of five fields: minute, hour, day of month, month, day of week (POSIX `crontab`).
    Cron {
        /// The five fields.
        expression: String,
    },
    /// Only when asked.
    Manual,
}

impl Schedule {
    /// Whether the schedule makes sense and comes round at all.
    ///
    /// # Errors
    /// A [`FailureCode::InvalidInput`] that names the part that is wrong, and what may stand there.
    pub fn validate(&self) -> Result<(), Failure> {
        match self {
            Self::Hourly { minute } if *minute > 59 => Err(Failure::new(
                FailureCode::InvalidInput,
                format!("An hour has no minute {minute}."),
            )
            .hint("Choose a minute from 0 to 59.")),
            Self::Weekly { days, .. } if days.is_empty() => Err(Failure::new(
                FailureCode::InvalidInput,
                "No day of the week is chosen.",
            )
            .hint("Choose at least one day.")),
            Self::Monthly { day, .. } if !(1..=31).contains(day) => Err(Failure::new(
                FailureCode::InvalidInput,
                format!("No month has a day {day}."),
            )
            .hint("Choose a day from 1 to 31; 31 means the last day of every month.")),
            Self::Daily { at } | Self::Weekly { at, .. } | Self::Monthly { at, .. } => at.validate(),
            Self::Cron { expression } => Crontab::parse(expression).map(|_| ()),
            Self::Hourly { .. } | Self::Manual => Ok(()),
        }
    }

    /// The first due time strictly after `after`, on the clock of `zone`. `None` for [`Schedule::Manual`], for a
    /// schedule that [`Schedule::validate`] refuses, and past the year 2100 for cron.
    pub fn next_after(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        if let Self::Cron { expression } = self {
            let crontab = Crontab::parse(expression).ok()?;
            let pace = if crontab.names_every_hour() {
                Pace::Elapsed
            } else {
                Pace::WallClock
            };
            return instant::next_after(after, zone, pace, |wall| crontab.next_wall(wall));
        }
        self.validate().ok()?;
        let pace = if matches!(self, Self::Hourly { .. }) {
            Pace::Elapsed
        } else {
            Pace::WallClock
        };
        instant::next_after(after, zone, pace, |wall| preset::next_wall(self, wall))
    }

    /// The next `count` due times strictly after `after`, in order; fewer where the schedule ends.
    pub fn next(&self, count: usize, after: Timestamp, zone: &TimeZone) -> Vec<Timestamp> {
        std::iter::successors(self.next_after(after, zone), |due| self.next_after(*due, zone))
            .take(count)
            .collect()
    }

    /// The longest time that ordinarily lies between two due times: an hour, a day, the longest gap of the chosen
    /// weekdays (Monday to Friday: three days), 31 days for a month. A database is overdue after one and a half of these,
    /// so the *longest* is meant: a plan for working days is not overdue on every Sunday. `None` where nothing is ever due.
    pub fn period(&self) -> Option<SignedDuration> {
        match self {
            Self::Cron { expression } => Crontab::parse(expression).ok()?.period(),
            other => preset::period(other),
        }
    }
}

impl TimeOfDay {
    /// Whether a day has this time.
    ///
    /// # Errors
    /// A [`FailureCode::InvalidInput`] where it has not.
    pub fn validate(self) -> Result<(), Failure> {
        if self.hour > 23 || self.minute > 59 {
            return Err(Failure::new(
                FailureCode::InvalidInput,
                format!("A day has no time {:02}:{:02}.", self.hour, self.minute),
            )
            .hint("Choose a time from 00:00 to 23:59."));
        }
        Ok(())
    }
}
