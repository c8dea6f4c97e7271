//! When a scheduled backup waits although it is due, and what becomes of a due time that was missed.
//!
//! A laptop runs out of battery, pays for its network, and sleeps when something is due. What is started by hand waits for none of this.

use jiff::civil::Time;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::run::WaitReason;
use crate::schedule::TimeOfDay;

/// A due time that is begun later than this was missed: the machine slept, or Howdah did not run.
const LATE: SignedDuration = SignedDuration::from_mins(2);

/// With the next due time so near, a missed one is left to that.
const NEAR: SignedDuration = SignedDuration::from_mins(30);

/// What a machine lives on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Power {
    /// Nobody says.
    #[default]
    Unknown,
    /// The mains, or a charger.
    Mains,
    /// Its battery.
    Battery {
        /// How full it is, in percent.
        percent: Option<u8>,
    },
}

/// What is done about a due time that was missed. Several that were missed are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, TS)]
#[serde(tag = "is", rename_all = "snake_case")]
#[ts(export)]
pub enum Missed {
    /// It is made up for.
    #[default]
    Late,
    /// It is left out.
    Skip,
    /// It is made up for where the newest good backup is older than that.
    IfOlder {
        /// In hours.
        hours: u32,
    },
}

/// Whether backups are made on battery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "is", rename_all = "snake_case")]
#[ts(export)]
pub enum OnBattery {
    /// Always.
    Always,
    /// With a battery that is as full as that.
    AtLeast {
        /// In percent.
        percent: u8,
    },
    /// Never.
    Never,
}

impl Default for OnBattery {
    fn default() -> Self {
        Self::AtLeast { percent: 20 }
    }
}

/// Hours of the day, on the clock of the plan's time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct Hours {
    /// When they begin.
    pub from: TimeOfDay,
    /// When they end; earlier than `from` is on the next day, the same is the whole day.
    pub to: TimeOfDay,
}

impl Hours {
    /// Whether a time of the day is within them.
    pub fn hold(self, time: Time) -> bool {
        let minutes = |hour: i64, minute: i64| hour * 60 + minute;
        let of = |time: TimeOfDay| minutes(i64::from(time.hour), i64::from(time.minute));
        let (from, to) = (of(self.from), of(self.to));
        let now = minutes(i64::from(time.hour()), i64::from(time.minute()));
        if from < to {
            (from..to).contains(&now)
        } else {
            now >= from || now < to
        }
    }
}

/// What a plan's scheduled backups wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, TS)]
#[serde(default)]
#[ts(export)]
pub struct Conditions {
    /// What is done about a due time that was missed.
    pub missed: Missed,
    /// Whether they are made on battery.
    pub battery: OnBattery,
    /// Whether they go over a network that is paid by the byte.
    pub metered: bool,
    /// When they may begin; none is at any time.
    pub hours: Option<Hours>,
}

/// How it is where a backup is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Circumstances {
    /// What the machine lives on.
    pub power: Power,
    /// Whether its network is paid by the byte; none where nobody says.
    pub metered: Option<bool>,
    /// Whether the backup needs a network at all: its server or a destination is elsewhere.
    pub far: bool,
    /// The time of the day in the plan's time zone.
    pub time: Time,
}

impl Conditions {
    /// What is wrong with them, as a sentence.
    pub fn problem(&self) -> Option<&'static str> {
        if matches!(self.battery, OnBattery::AtLeast { percent } if percent > 100) {
            return Some("A battery has at most 100 percent.");
        }
        if matches!(self.missed, Missed::IfOlder { hours } if hours == 0 || hours > 24 * 366) {
            return Some(
                "A backup that is missed is made up for where the last one is 1 hour to a year old.",
            );
        }
        let wrong = |time: TimeOfDay| time.validate().is_err();
        self.hours
            .is_some_and(|hours| wrong(hours.from) || wrong(hours.to))
            .then_some("The hours in which backups may begin are no times of the day.")
    }

    /// What a scheduled backup has to wait for. What nobody knows holds nothing up.
    pub fn in_the_way(&self, now: &Circumstances) -> Option<WaitReason> {
        if self.hours.is_some_and(|hours| !hours.hold(now.time)) {
            return Some(WaitReason::Hours);
        }
        let enough = match (now.power, self.battery) {
            (Power::Unknown | Power::Mains, _) | (_, OnBattery::Always) => true,
            (Power::Battery { .. }, OnBattery::Never) => false,
            (Power::Battery { percent }, OnBattery::AtLeast { percent: least }) => {
                percent.is_none_or(|percent| percent >= least)
            }
        };
        if !enough {
            return Some(WaitReason::Power);
        }
        (!self.metered && now.far && now.metered == Some(true)).then_some(WaitReason::Metered)
    }

    /// Whether a due time that has come is to be made up for. `next` is the one after it, `newest` when the newest good backup ended.
    pub fn makes_up_for(
        &self,
        due: Timestamp,
        next: Option<Timestamp>,
        newest: Option<Timestamp>,
        now: Timestamp,
    ) -> bool {
        if now.duration_since(due) <= LATE {
            return true;
        }
        if next.is_some_and(|next| next.duration_since(now) <= NEAR) {
            return false;
        }
        match self.missed {
            Missed::Late => true,
            Missed::Skip => false,
            Missed::IfOlder { hours } => newest.is_none_or(|newest| {
                now.duration_since(newest) >= SignedDuration::from_hours(i64::from(hours))
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn circumstances() -> Circumstances {
        Circumstances {
            power: Power::Mains,
            metered: Some(false),
            far: true,
            time: Time::constant(12, 0, 0, 0),
        }
    }

    fn on(percent: u8) -> Power {
        Power::Battery {
            percent: Some(percent),
        }
    }

    #[rstest]
    #[case::mains(Power::Mains, OnBattery::Never, true)]
    #[case::nobody_says(Power::Unknown, OnBattery::Never, true)]
    #[case::half_full(on(50), OnBattery::default(), true)]
    #[case::at_the_limit(on(20), OnBattery::default(), true)]
    #[case::below_it(on(19), OnBattery::default(), false)]
    #[case::nobody_says_how_full(Power::Battery { percent: None }, OnBattery::default(), true)]
    #[case::never_on_battery(on(99), OnBattery::Never, false)]
    #[case::always(on(3), OnBattery::Always, true)]
    fn a_backup_waits_for_power(#[case] power: Power, #[case] battery: OnBattery, #[case] begins: bool) {
        let conditions = Conditions {
            battery,
            ..Conditions::default()
        };
        let now = Circumstances {
            power,
            ..circumstances()
        };
        let expected = (!begins).then_some(WaitReason::Power);
        assert_eq!(conditions.in_the_way(&now), expected);
    }

    #[rstest]
    #[case::paid_by_the_byte(Some(true), true, false, false)]
    #[case::which_is_allowed(Some(true), true, true, true)]
    #[case::onto_this_machine(Some(true), false, false, true)]
    #[case::nobody_says(None, true, false, true)]
    fn a_backup_waits_for_a_network_that_costs_nothing(
        #[case] metered: Option<bool>,
        #[case] far: bool,
        #[case] allowed: bool,
        #[case] begins: bool,
    ) {
        let conditions = Conditions {
            metered: allowed,
            ..Conditions::default()
        };
        let now = Circumstances {
            metered,
            far,
            ..circumstances()
        };
        let expected = (!begins).then_some(WaitReason::Metered);
        assert_eq!(conditions.in_the_way(&now), expected);
    }

    #[rstest]
    #[case::by_day((9, 0), (17, 0), (9, 0), true)]
    #[case::its_end_is_outside((9, 0), (17, 0), (17, 0), false)]
    #[case::before_it((9, 0), (17, 0), (8, 59), false)]
    #[case::over_midnight_before((22, 0), (6, 0), (23, 30), true)]
    #[case::over_midnight_after((22, 0), (6, 0), (5, 59), true)]
    #[case::over_midnight_outside((22, 0), (6, 0), (12, 0), false)]
    #[case::the_whole_day((6, 0), (6, 0), (3, 0), true)]
    fn a_backup_begins_within_its_hours(
        #[case] from: (u8, u8),
        #[case] to: (u8, u8),
        #[case] now: (i8, i8),
        #[case] begins: bool,
    ) {
        let time = |(hour, minute)| TimeOfDay { hour, minute };
        let conditions = Conditions {
            hours: Some(Hours {
                from: time(from),
                to: time(to),
            }),
            ..Conditions::default()
        };
        let now = Circumstances {
            time: Time::constant(now.0, now.1, 0, 0),
            ..circumstances()
        };
        assert_eq!(
            conditions.in_the_way(&now),
            (!begins).then_some(WaitReason::Hours)
        );
    }

    #[rstest]
    #[case::in_time(Missed::Skip, 1, 24 * 60, 1, true)]
    #[case::late(Missed::Late, 300, 19 * 60, 30, true)]
    #[case::the_next_is_near(Missed::Late, 300, 30, 30, false)]
    #[case::the_next_is_near_enough(Missed::Late, 300, 31, 30, true)]
    #[case::left_out(Missed::Skip, 300, 19 * 60, 30, false)]
    #[case::old_enough(Missed::IfOlder { hours: 24 }, 300, 19 * 60, 24, true)]
    #[case::not_old_enough(Missed::IfOlder { hours: 24 }, 300, 19 * 60, 23, false)]
    fn a_due_time_that_was_missed_is_made_up_for_as_the_plan_says(
        #[case] missed: Missed,
        #[case] minutes_late: i64,
        #[case] minutes_until_next: i64,
        #[case] hours_since_newest: i64,
        #[case] made: bool,
    ) {
        let now: Timestamp = "2026-11-28T10:00:00Z".parse().unwrap();
        let conditions = Conditions {
            missed,
            ..Conditions::default()
        };
        let due = now - SignedDuration::from_mins(minutes_late);
        let next = now + SignedDuration::from_mins(minutes_until_next);
        let newest = now - SignedDuration::from_hours(hours_since_newest);
        assert_eq!(conditions.makes_up_for(due, Some(next), Some(newest), now), made);
        if matches!(missed, Missed::IfOlder { .. }) {
            assert!(
                conditions.makes_up_for(due, Some(next), None, now),
                "there is no backup yet"
            );
        }
    }
}
