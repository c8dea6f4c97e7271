//! The presets (hourly, daily, weekly, monthly) as times of a clock on a wall. Knows no time zone.

use jiff::{
    SignedDuration, ToSpan,
    civil::{Date, DateTime, Time, Weekday as CivilWeekday},
};

use super::{Schedule, TimeOfDay, Weekday};

/// The first wall-clock time of a preset strictly after `wall`. `None` for cron, manual and values out of range.
pub(super) fn next_wall(schedule: &Schedule, wall: DateTime) -> Option<DateTime> {
    match schedule {
        Schedule::Hourly { minute } => {
            let this_hour = wall
                .date()
                .to_datetime(Time::new(wall.hour(), i8::try_from(*minute).ok()?, 0, 0).ok()?);
            if this_hour > wall {
                Some(this_hour)
            } else {
                this_hour.checked_add(1.hour()).ok()
            }
        }
        Schedule::Daily { at } => on_days(*at, wall, |_| true),
        Schedule::Weekly { days, at } => on_days(*at, wall, |date| {
            days.iter().any(|day| day.civil() == date.weekday())
        }),
        Schedule::Monthly { day, at } => {
            let day = i8::try_from(*day).ok()?;
            let due_in = |month: Date| -> Option<DateTime> {
                let date = month.with().day(day.min(month.days_in_month())).build().ok()?;
                Some(date.to_datetime(at.civil()?))
            };
            let first = wall.date().first_of_month();
            match due_in(first)? {
                due if due > wall => Some(due),
                _ => due_in(first.checked_add(1.month()).ok()?),
            }
        }
        Schedule::Cron { .. } | Schedule::Manual => None,
    }
}

/// The longest ordinary gap between two due times of a preset.
pub(super) fn period(schedule: &Schedule) -> Option<SignedDuration> {
    let days = |days: i64| SignedDuration::from_hours(24 * days);
    match schedule {
        Schedule::Hourly { .. } => Some(SignedDuration::from_hours(1)),
        Schedule::Daily { .. } => Some(days(1)),
        Schedule::Weekly { days: chosen, .. } => {
            let mut offsets: Vec<i64> = chosen
                .iter()
                .map(|day| i64::from(day.civil().to_monday_zero_offset()))
                .collect();
            offsets.sort_unstable();
            let first = *offsets.first()?;
            offsets.push(first + 7);
            offsets.windows(2).map(|pair| pair[1] - pair[0]).max().map(days)
        }
        Schedule::Monthly { .. } => Some(days(31)),
        Schedule::Cron { .. } | Schedule::Manual => None,
    }
}

/// The first day from `wall`'s on that is wanted, at a time strictly after `wall`. Looks a week and a day ahead.
fn on_days(at: TimeOfDay, wall: DateTime, wanted: impl Fn(Date) -> bool) -> Option<DateTime> {
    let time = at.civil()?;
    let mut date = wall.date();
    for _ in 0..8 {
        let due = date.to_datetime(time);
        if due > wall && wanted(date) {
            return Some(due);
        }
        date = date.tomorrow().ok()?;
    }
    None
}

impl TimeOfDay {
    /// As the time library has it.
    /// As a time of a clock; none where it is not one.
    pub(crate) fn civil(self) -> Option<Time> {
        Time::new(
            i8::try_from(self.hour).ok()?,
            i8::try_from(self.minute).ok()?,
            0,
            0,
        )
        .ok()
    }
}

impl Weekday {
    /// As the time library has it.
    /// As the calendar has it.
    pub(crate) fn civil(self) -> CivilWeekday {
        match self {
            Self::Monday => CivilWeekday::Monday,
            Self::Tuesday => CivilWeekday::Tuesday,
            Self::Wednesday => CivilWeekday::Wednesday,
            Self::Thursday => CivilWeekday::Thursday,
            Self::Friday => CivilWeekday::Friday,
            Self::Saturday => CivilWeekday::Saturday,
            Self::Sunday => CivilWeekday::Sunday,
        }
    }
}
