//! A schedule as it is typed: `daily 04:00`, `weekly mon,thu 04:00`, `0 4 * * *`; and as it is told.

use howdah_domain::Schedule;
use howdah_domain::schedule::{TimeOfDay, Weekday};

/// Reads a schedule.
pub(crate) fn parse(text: &str) -> Result<Schedule, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    match words[..] {
        ["manual"] => Ok(Schedule::Manual),
        ["hourly"] => Ok(Schedule::Hourly { minute: 0 }),
        ["hourly", minute] => {
            let minute = minute.strip_prefix(':').unwrap_or(minute);
            Ok(Schedule::Hourly {
                minute: number(minute, 0, 59, "a minute")?,
            })
        }
        ["daily", at] => Ok(Schedule::Daily { at: time(at)? }),
        ["weekly", days, at] => {
            let mut days = days.split(',').map(weekday).collect::<Result<Vec<_>, _>>()?;
            days.sort();
            days.dedup();
            Ok(Schedule::Weekly { days, at: time(at)? })
        }
        ["monthly", day, at] => Ok(Schedule::Monthly {
            day: number(day, 1, 31, "a day of the month")?,
            at: time(at)?,
        }),
        [_, _, _, _, _] => Ok(Schedule::Cron {
            expression: words.join(" "),
        }),
        _ => Err(
            "say hourly, hourly :30, daily 04:00, weekly mon,thu 04:00, monthly 31 04:00, manual, or five fields of cron"
                .to_owned(),
        ),
    }
}

/// A schedule in words.
pub(crate) fn tell(schedule: &Schedule) -> String {
    let time = |at: &TimeOfDay| format!("{:02}:{:02}", at.hour, at.minute);
    match schedule {
        Schedule::Hourly { minute } => format!("hourly at :{minute:02}"),
        Schedule::Daily { at } => format!("daily at {}", time(at)),
        Schedule::Weekly { days, at } => {
            let days: Vec<&str> = days.iter().map(|day| short(*day)).collect();
            format!("weekly on {} at {}", days.join(", "), time(at))
        }
        Schedule::Monthly { day, at } => format!("monthly on day {day} at {}", time(at)),
        Schedule::Cron { expression } => format!("cron {expression}"),
        Schedule::Manual => "when asked".to_owned(),
    }
}

const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

fn weekday(text: &str) -> Result<Weekday, String> {
    let lower = text.to_ascii_lowercase();
    DAYS.iter()
        .find(|(name, _)| lower.len() >= 3 && lower.starts_with(name) && full(name).starts_with(&lower))
        .map(|(_, day)| *day)
        .ok_or_else(|| format!("“{text}” is no day: mon, tue, wed, thu, fri, sat, sun"))
}

fn full(name: &str) -> &'static str {
    match name {
        "mon" => "monday",
        "tue" => "tuesday",
        "wed" => "wednesday",
        "thu" => "thursday",
        "fri" => "friday",
        "sat" => "saturday",
        _ => "sunday",
    }
}

fn short(day: Weekday) -> &'static str {
    DAYS.iter()
        .find(|(_, known)| *known == day)
        .map_or("?", |(name, _)| name)
}

fn time(text: &str) -> Result<TimeOfDay, String> {
    let (hour, minute) = text
        .split_once(':')
        .ok_or_else(|| format!("“{text}” is no time of day: 04:00"))?;
    Ok(TimeOfDay {
        hour: number(hour, 0, 23, "an hour")?,
        minute: number(minute, 0, 59, "a minute")?,
    })
}

fn number(text: &str, least: u8, most: u8, what: &str) -> Result<u8, String> {
    text.parse()
        .ok()
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| format!("“{text}” is not {what}, {least} to {most}"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("hourly", "hourly at :00")]
    #[case("hourly :5", "hourly at :05")]
    #[case("daily 4:00", "daily at 04:00")]
    #[case("weekly Thursday,mon 23:59", "weekly on mon, thu at 23:59")]
    #[case("monthly 31 04:00", "monthly on day 31 at 04:00")]
    #[case("manual", "when asked")]
    #[case(" 0  4 * * 1-5 ", "cron 0 4 * * 1-5")]
    fn a_schedule_is_read_and_told(#[case] text: &str, #[case] told: &str) {
        assert_eq!(tell(&parse(text).unwrap()), told);
    }

    #[rstest]
    #[case("")]
    #[case("daily")]
    #[case("daily 24:00")]
    #[case("daily 4")]
    #[case("weekly 04:00")]
    #[case("weekly moon 04:00")]
    #[case("weekly m 04:00")]
    #[case("monthly 32 04:00")]
    #[case("monthly 0 04:00")]
    #[case("hourly :60")]
    #[case("0 0 4 * * * *")]
    fn what_is_no_schedule_is_refused(#[case] text: &str) {
        assert!(parse(text).is_err(), "{text}");
    }
}
