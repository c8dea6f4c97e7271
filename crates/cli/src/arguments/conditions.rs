//! What a plan's scheduled backups wait for, and what becomes of missed ones, on the command line.

use clap::Args;
use howdah_domain::Conditions;
use howdah_domain::conditions::{Hours, Missed, OnBattery};
use howdah_domain::schedule::TimeOfDay;

/// When a plan's backups wait.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct When {
    /// What becomes of a due time that was missed (asleep, not running): `late`, `skip`, or `older:HOURS`, made up for where the newest
    /// good backup is older than that
    #[arg(long, value_name = "late|skip|older:HOURS", default_value = "late", value_parser = missed)]
    missed: Missed,
    /// On battery: `always`, `never`, or from that charge on
    #[arg(long, value_name = "always|never|PERCENT", default_value = "20", value_parser = battery)]
    battery: OnBattery,
    /// Make backups also over a network that is paid by the byte
    #[arg(long)]
    metered: bool,
    /// Begin only within these hours, in the plan's time zone
    #[arg(long, value_name = "22:00-06:00", value_parser = hours)]
    hours: Option<Hours>,
}

impl From<When> for Conditions {
    fn from(when: When) -> Self {
        Self {
            missed: when.missed,
            battery: when.battery,
            metered: when.metered,
            hours: when.hours,
        }
    }
}

fn missed(text: &str) -> Result<Missed, String> {
    match text {
        "late" => Ok(Missed::Late),
        "skip" => Ok(Missed::Skip),
        _ => text
            .strip_prefix("older:")
            .and_then(|hours| hours.parse().ok())
            .filter(|hours| *hours > 0)
            .map(|hours| Missed::IfOlder { hours })
            .ok_or_else(|| "write late, skip, or older:24".to_owned()),
    }
}

fn battery(text: &str) -> Result<OnBattery, String> {
    match text {
        "always" => Ok(OnBattery::Always),
        "never" => Ok(OnBattery::Never),
        _ => text
            .trim_end_matches('%')
            .parse()
            .ok()
            .filter(|percent| *percent <= 100)
            .map(|percent| OnBattery::AtLeast { percent })
            .ok_or_else(|| "write always, never, or a percentage such as 20".to_owned()),
    }
}

fn hours(text: &str) -> Result<Hours, String> {
    let time = |text: &str| {
        let (hour, minute) = text.trim().split_once(':')?;
        let time = TimeOfDay {
            hour: hour.parse().ok()?,
            minute: minute.parse().ok()?,
        };
        time.validate().is_ok().then_some(time)
    };
    text.split_once('-')
        .and_then(|(from, to)| {
            Some(Hours {
                from: time(from)?,
                to: time(to)?,
            })
        })
        .ok_or_else(|| "write two times of the day, such as 22:00-06:00".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_said_is_read_and_everything_else_refused() {
        assert_eq!(missed("skip"), Ok(Missed::Skip));
        assert_eq!(missed("older:24"), Ok(Missed::IfOlder { hours: 24 }));
        assert_eq!(battery("never"), Ok(OnBattery::Never));
        assert_eq!(battery("35%"), Ok(OnBattery::AtLeast { percent: 35 }));
        let night = hours("22:00-06:30").unwrap();
        assert_eq!((night.from.hour, night.to.minute), (22, 30));
        for text in ["older:0", "older:x", "later", ""] {
            assert!(missed(text).is_err(), "{text}");
        }
        for text in ["101", "-1", "x"] {
            assert!(battery(text).is_err(), "{text}");
        }
        for text in ["22:00", "24:00-06:00", "22:00-06:60", "a-b"] {
            assert!(hours(text).is_err(), "{text}");
        }
    }
}
