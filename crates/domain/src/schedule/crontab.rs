//! Five-field cron expressions as POSIX `crontab` has them, on the `cron` crate.
//!
//! The crate wants seconds, calls Sunday 1 and takes day of month *and* day of week; a `crontab` has five fields, calls
//! Monday 1 (Sunday is 0 or 7), and takes either day where both are restricted (POSIX.1-2017, `crontab`, "INPUT FILES").
//! So the fields are read here, errors are told in words, and what the crate gets is lists of numbers and names
//! of weekdays. Ranges, steps and names of months and weekdays are crontab(5)'s, as on Linux and BSD; so is that a day field that begins with
//! `*` (also `*/2`) does not count as restricted. Knows no time zone.

use std::str::FromStr;

use chrono::{Datelike, NaiveDate, Timelike};
use jiff::{
    SignedDuration,
    civil::{Date, DateTime},
};

use crate::{Failure, FailureCode};

/// A field of the expression.
struct Field {
    /// Its name, for people.
    name: &'static str,
    /// The smallest value.
    least: u8,
    /// The greatest value. Day of week: 7, which is Sunday as 0 is.
    greatest: u8,
    /// Names for values, from `least` on.
    names: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field {
        name: "minute",
        least: 0,
        greatest: 59,
        names: &[],
    },
    Field {
        name: "hour",
        least: 0,
        greatest: 23,
        names: &[],
    },
    Field {
        name: "day of month",
        least: 1,
        greatest: 31,
        names: &[],
    },
    Field {
        name: "month",
        least: 1,
        greatest: 12,
        names: &[
            "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
        ],
    },
    Field {
        name: "day of week",
        least: 0,
        greatest: 7,
        names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
    },
];

/// An expression that was read, and comes round.
pub(super) struct Crontab {
    minutes: Vec<u8>,
    hours: Vec<u8>,
    days_of_month: Vec<u8>,
    months: Vec<u8>,
    /// 0 is Sunday, up to 6.
    days_of_week: Vec<u8>,
    /// Both day fields are restricted: either of them is enough.
    either_day: bool,
    /// One schedule of the crate's, or two where either day is enough.
    schedules: Vec<cron::Schedule>,
}

impl Crontab {
    /// Reads an expression.
    ///
    /// # Errors
    /// Which field is wrong and what may stand there; or that the expression never comes round (30 February).
    pub(super) fn parse(expression: &str) -> Result<Self, Failure> {
        let fields: Vec<&str> = expression.split_ascii_whitespace().collect();
        let [minute, hour, day_of_month, month, day_of_week] = fields[..] else {
            return Err(wrong_number_of_fields(expression, fields.len()));
        };
        let minutes = FIELDS[0].parse(minute)?;
        let hours = FIELDS[1].parse(hour)?;
        let days_of_month = FIELDS[2].parse(day_of_month)?;
        let months = FIELDS[3].parse(month)?;
        let mut days_of_week: Vec<u8> = FIELDS[4].parse(day_of_week)?.iter().map(|day| day % 7).collect();
        days_of_week.sort_unstable();
        days_of_week.dedup();
        let either_day = !day_of_month.starts_with('*') && !day_of_week.starts_with('*');

        let times = format!("0 {} {}", numbers(&minutes), numbers(&hours));
        let month_list = numbers(&months);
        let dates = numbers(&days_of_month);
        // Weekdays by name: the crate's numbers begin with Sunday as 1.
        let weekdays: Vec<&str> = days_of_week
            .iter()
            .map(|day| FIELDS[4].names[usize::from(*day)])
            .collect();
        let weekdays = if weekdays.len() == 7 {
            "*".to_owned()
        } else {
            weekdays.join(",")
        };
        let texts = if either_day {
            vec![
                format!("{times} {dates} {month_list} *"),
                format!("{times} * {month_list} {weekdays}"),
            ]
        } else {
            vec![format!("{times} {dates} {month_list} {weekdays}")]
        };
        let schedules = texts
            .iter()
            .map(|text| {
                cron::Schedule::from_str(text).map_err(|error| {
                    invalid(format!("“{expression}” is not a cron expression.")).details(error.to_string())
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let crontab = Self {
            minutes,
            hours,
            days_of_month,
            months,
            days_of_week,
            either_day,
            schedules,
        };
        if !crontab.comes_round() {
            return Err(
                invalid(format!("“{expression}” never comes round: no such day exists.")).hint(
                    "Choose a day of month that the chosen months have. For the last day of every month use the monthly schedule with day 31.",
                ),
            );
        }
        Ok(crontab)
    }

    /// Whether the hour field names all 24 hours.
    pub(super) fn names_every_hour(&self) -> bool {
        self.hours.len() == 24
    }

    /// The first time strictly after `wall` that the expression names; up to the year 2100, where the crate ends.
    pub(super) fn next_wall(&self, wall: DateTime) -> Option<DateTime> {
        let date = NaiveDate::from_ymd_opt(
            i32::from(wall.year()),
            u32::try_from(wall.month()).ok()?,
            u32::try_from(wall.day()).ok()?,
        )?;
        let after = date
            .and_hms_opt(
                u32::try_from(wall.hour()).ok()?,
                u32::try_from(wall.minute()).ok()?,
                u32::try_from(wall.second()).ok()?,
            )?
            .and_utc();
        let next = self
            .schedules
            .iter()
            .filter_map(|schedule| schedule.after(&after).next())
            .min()?;
        DateTime::new(
            i16::try_from(next.year()).ok()?,
            i8::try_from(next.month()).ok()?,
            i8::try_from(next.day()).ok()?,
            i8::try_from(next.hour()).ok()?,
            i8::try_from(next.minute()).ok()?,
            0,
            0,
        )
        .ok()
    }

    /// Whether any day is ever named. Every weekday comes in every month, so only dates can be impossible.
    fn comes_round(&self) -> bool {
        let longest_month = self
            .months
            .iter()
            .map(|month| match month {
                2 => 29,
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            })
            .max();
        self.either_day || self.days_of_month.first().copied() <= longest_month
    }

    /// The longest time between two due times within nine years that have two leap days at least; those nine years
    /// where there are fewer than two. `None` never: an expression that was read has times.
    pub(super) fn period(&self) -> Option<SignedDuration> {
        let mut times: Vec<i64> = Vec::with_capacity(self.hours.len() * self.minutes.len());
        for hour in &self.hours {
            for minute in &self.minutes {
                times.push(i64::from(*hour) * 60 + i64::from(*minute));
            }
        }
        let first = *times.first()?;
        let last = *times.last()?;
        let within_a_day = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);

        let mut date = Date::constant(2024, 1, 1);
        let end = Date::constant(2033, 1, 1);
        let mut days = 0;
        let mut since: Option<i64> = None;
        let mut longest = None;
        while date < end {
            days += 1;
            since = since.map(|days| days + 1);
            if self.names_day(date) {
                longest = longest.max(since);
                since = Some(0);
            }
            date = date.tomorrow().ok()?;
        }
        let between_days = (longest.unwrap_or(days) - 1) * 24 * 60 + (24 * 60 - last) + first;
        Some(SignedDuration::from_mins(within_a_day.max(between_days)))
    }

    /// Whether the expression names this day.
    fn names_day(&self, date: Date) -> bool {
        let has = |values: &[u8], value: i8| values.iter().any(|one| i16::from(*one) == i16::from(value));
        let by_date = has(&self.days_of_month, date.day());
        let by_weekday = has(&self.days_of_week, date.weekday().to_sunday_zero_offset());
        has(&self.months, date.month())
            && if self.either_day {
                by_date || by_weekday
            } else {
                by_date && by_weekday
            }
    }
}

impl Field {
    /// Reads a field into its values, sorted, each once.
    fn parse(&self, text: &str) -> Result<Vec<u8>, Failure> {
        let mut values = Vec::new();
        for item in text.split(',') {
            self.parse_item(text, item, &mut values)?;
        }
        values.sort_unstable();
        values.dedup();
        Ok(values)
    }

    /// Reads one item of a list: `*`, a value, a range; the first and the last with a step.
    fn parse_item(&self, text: &str, item: &str, values: &mut Vec<u8>) -> Result<(), Failure> {
        if item.is_empty() {
            return Err(self.wrong(text, "has an empty item between its commas"));
        }
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (item, None),
        };
        let (from, to) = if range == "*" {
            // 7 is Sunday once more: not counted twice.
            (
                self.least,
                if self.least == 0 && self.greatest == 7 {
                    6
                } else {
                    self.greatest
                },
            )
        } else if let Some((from, to)) = range.split_once('-') {
            let from = self.value(text, from)?;
            let mut end = self.value(text, to)?;
            if self.greatest == 7 && end == 0 && from > 0 && !to.starts_with('0') {
                end = 7; // `fri-sun`
            }
            if end < from {
                return Err(self.wrong(
                    text,
                    &format!("has a range that ends before it begins: “{range}”"),
                ));
            }
            (from, end)
        } else {
            let value = self.value(text, range)?;
            if let Some(step) = step {
                let better = format!("{range}-{}/{step}", self.greatest);
                return Err(self
                    .wrong(text, &format!("has a step after a single value: “{item}”"))
                    .hint(format!(
                        "A step follows `*` or a range: write “{better}” if that is meant."
                    )));
            }
            (value, value)
        };
        let step = match step {
            None => 1,
            Some(step) => match step.parse::<u8>() {
                Ok(number) if number > 0 && !step.starts_with('+') => usize::from(number),
                _ => {
                    return Err(
                        self.wrong(text, &format!("has a step that is no number from 1 on: “{item}”"))
                    );
                }
            },
        };
        values.extend((from..=to).step_by(step));
        Ok(())
    }

    /// Reads a number or a name.
    fn value(&self, text: &str, value: &str) -> Result<u8, Failure> {
        let lower = value.to_ascii_lowercase();
        if let Some(index) = self.names.iter().position(|name| *name == lower) {
            return Ok(self.least + u8::try_from(index).unwrap_or_default());
        }
        let number = if value.bytes().all(|byte| byte.is_ascii_digit()) {
            value.parse::<u8>().ok()
        } else {
            None
        };
        match number {
            Some(number) if (self.least..=self.greatest).contains(&number) => Ok(number),
            _ => Err(self.wrong(text, &format!("says “{value}”"))),
        }
    }

    /// The failure of a field, with what may stand there.
    fn wrong(&self, text: &str, what: &str) -> Failure {
        let mut allowed = format!("{} to {}", self.least, self.greatest);
        if let (Some(first), Some(last)) = (self.names.first(), self.names.last()) {
            allowed.push_str(&format!(" or {first} to {last}"));
        }
        if self.greatest == 7 {
            allowed.push_str(" (0 and 7 are Sunday, 1 is Monday)");
        }
        invalid(format!("The {} field “{text}” {what}.", self.name)).hint(format!(
            "It takes {allowed}, also as a list (1,5), a range (1-5), `*`, or with a step (*/2)."
        ))
    }
}

/// A list for the crate.
fn numbers(values: &[u8]) -> String {
    values.iter().map(u8::to_string).collect::<Vec<_>>().join(",")
}

fn invalid(message: String) -> Failure {
    Failure::new(FailureCode::InvalidInput, message)
}

/// Not five fields: empty, a macro, or with seconds.
fn wrong_number_of_fields(expression: &str, found: usize) -> Failure {
    let failure = match found {
        0 => invalid("The cron expression is empty.".to_owned()),
        1 if expression.trim_start().starts_with('@') => invalid(format!(
            "“{}” is a shorthand, not a cron expression of five fields.",
            expression.trim()
        )),
        _ => invalid(format!(
            "A cron expression has five fields; “{expression}” has {found}."
        )),
    };
    failure.hint("The fields are minute, hour, day of month, month, day of week: “30 4 * * 1-5” is 04:30 from Monday to Friday.")
}
