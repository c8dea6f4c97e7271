//! When a plan runs: presets and five-field cron, on the wall clock of a time zone.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

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
