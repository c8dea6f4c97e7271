//! Which backups of a database are kept, which are deleted, and why.
//!
//! A [`RetentionRule`] is what a plan says; [`decide`] applies it to all backups of one database at one moment, and gives a
//! reason for each. Nothing is deleted here: there is no I/O, no clock and no copy of a backup, only backups as wholes.
//!
//! What is kept:
//! - A rule without any field set keeps everything.
//! - The fields that say what to keep (`keep_last`, `keep_within_days`, `hourly` to `yearly`) add up: a backup stays as
//!   long as one of them holds. They count *good* backups only. A period without a good backup is passed over, so that a
//!   laptop that was off in August still has its last seven days.
//! - `max_total_bytes` comes after them: what they keep is deleted, oldest first, until the rest fits. Without any of
//!   them it works on everything.
//! - The newest `min_good` good backups stay, whatever the rest of the rule says; at least the newest one.
//! - A pinned backup stays. Besides that pinning changes nothing: a pinned backup takes its place in the counts and its
//!   bytes in the total as before, so no other backup is kept or deleted because of it, except where the total is exceeded.
//! - A backup whose time lies in the future (a clock was wrong) stays, and takes no place in any count.
//! - A damaged backup takes no place in any count and never makes a good one go. It may still hold tables that nothing else
//!   has, so it stays while the rule keeps backups of its age, and goes first where the total is exceeded.
//! - Where the newest run failed and fewer than `min_good` good backups stand, nothing is deleted at all.

mod decide;
mod period;
mod reason;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::{BackupId, units};

pub use decide::decide;
pub use period::Period;
pub use reason::{DropReason, KeepReason};

/// How many good backups are kept where the plan does not say otherwise.
pub const MIN_GOOD: u32 = 3;

/// For how long backups are kept. Fields that are not set say nothing; a rule in which none is set keeps everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(default)]
#[ts(export)]
pub struct RetentionRule {
    /// The newest so many.
    pub keep_last: Option<u32>,
    /// All that are not older than so many days of the calendar.
    pub keep_within_days: Option<u32>,
    /// The newest of each hour, for the last so many hours that have one.
    pub hourly: Option<u32>,
    /// The newest of each day, for the last so many days that have one.
    pub daily: Option<u32>,
    /// The newest of each week (Monday to Sunday), for the last so many weeks that have one.
    pub weekly: Option<u32>,
    /// The newest of each month, for the last so many months that have one.
    pub monthly: Option<u32>,
    /// The newest of each year, for the last so many years that have one.
    pub yearly: Option<u32>,
    /// What all backups of the database may take together, in bytes.
    pub max_total_bytes: Option<u64>,
    /// So many good backups always stay.
    pub min_good: u32,
}

impl Default for RetentionRule {
    /// Keeps everything.
    fn default() -> Self {
        Self {
            keep_last: None,
            keep_within_days: None,
            hourly: None,
            daily: None,
            weekly: None,
            monthly: None,
            yearly: None,
            max_total_bytes: None,
            min_good: MIN_GOOD,
        }
    }
}

impl RetentionRule {
    /// The limits per period, finest first.
    pub fn periods(&self) -> [(Period, Option<u32>); 5] {
        [
            (Period::Hour, self.hourly),
            (Period::Day, self.daily),
            (Period::Week, self.weekly),
            (Period::Month, self.monthly),
            (Period::Year, self.yearly),
        ]
    }

    /// Whether some field says which backups to keep by their number or age.
    pub fn limits_number_or_age(&self) -> bool {
        self.keep_last.is_some()
            || self.keep_within_days.is_some()
            || self.periods().iter().any(|(_, limit)| limit.is_some())
    }

    /// Whether the rule never deletes anything.
    pub fn keeps_everything(&self) -> bool {
        !self.limits_number_or_age() && self.max_total_bytes.is_none()
    }

    /// What makes no sense, in a sentence; none where the rule can be used. A rule with a problem can still be decided by: a
    /// zero keeps nothing of its kind, and the newest good backup stays.
    pub fn problem(&self) -> Option<String> {
        let zero = |limit: Option<u32>| limit == Some(0);
        if self.min_good == 0 {
            return Some("At least one good backup is always kept: choose 1 or more.".to_owned());
        }
        if zero(self.keep_last) {
            return Some(
                "Keeping the last 0 backups keeps none: choose 1 or more, or leave it empty.".to_owned(),
            );
        }
        if zero(self.keep_within_days) {
            return Some(
                "Keeping backups for 0 days keeps none: choose 1 or more, or leave it empty.".to_owned(),
            );
        }
        if let Some((period, _)) = self.periods().into_iter().find(|(_, limit)| zero(*limit)) {
            return Some(format!(
                "One backup for each of 0 {} keeps none: choose 1 or more, or leave it empty.",
                period.plural()
            ));
        }
        (self.max_total_bytes == Some(0))
            .then(|| "A total size of 0 bytes holds no backup: choose more, or leave it empty.".to_owned())
    }

    /// The rule in a sentence: `Keep the last 7, and one per week for 4 weeks; at most 50 GB together; always at least 3 good
    /// ones.`
    pub fn describe(&self) -> String {
        if self.keeps_everything() {
            return "Keep everything.".to_owned();
        }
        let mut kept = Vec::new();
        if let Some(last) = self.keep_last {
            kept.push(format!("the last {}", units::count(last.into())));
        }
        if let Some(days) = self.keep_within_days {
            kept.push(format!(
                "all of the last {}",
                units::counted(days.into(), "day", "days")
            ));
        }
        for (period, limit) in self.periods() {
            if let Some(limit) = limit {
                kept.push(format!(
                    "one per {} for {}",
                    period.singular(),
                    period.counted(limit)
                ));
            }
        }
        let mut text = format!(
            "Keep {}",
            if kept.is_empty() {
                "all".to_owned()
            } else {
                enumerate(&kept)
            }
        );
        if let Some(bytes) = self.max_total_bytes {
            text.push_str(&format!("; at most {} together", units::size(bytes)));
        }
        text.push_str(&format!(
            "; always at least {}.",
            units::counted(self.least_good().into(), "good one", "good ones")
        ));
        text
    }

    /// `min_good`, and at least one.
    pub(crate) fn least_good(&self) -> u32 {
        self.min_good.max(1)
    }
}

/// `a`, `a and b`, `a, b, and c`.
fn enumerate(parts: &[String]) -> String {
    match parts {
        [first, second] => format!("{first} and {second}"),
        [init @ .., last] if !init.is_empty() => format!("{}, and {last}", init.join(", ")),
        _ => parts.concat(),
    }
}

/// A backup that a rule is applied to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its id.
    pub id: BackupId,
    /// When the dump began.
    pub taken_at: Timestamp,
    /// What it takes where the total size is meant, in bytes.
    pub stored_bytes: u64,
    /// Whether it can be restored from: at least one copy is present and not known to be damaged.
    pub good: bool,
    /// Whether the user said that it stays.
    pub pinned: bool,
}

/// What becomes of the backups of a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export, rename = "RetentionDecision")]
pub struct Decision {
    /// What stays, newest first.
    pub kept: Vec<KeptBackup>,
    /// What goes, in the order in which to delete: oldest first.
    pub dropped: Vec<DroppedBackup>,
    /// Bytes of what stays.
    pub bytes_kept: u64,
    /// Bytes of what goes.
    pub bytes_freed: u64,
    /// By how many bytes `max_total_bytes` is exceeded all the same, because what is left must stay.
    pub bytes_beyond_total: u64,
    /// Good backups among what stays, those dated in the future left aside.
    pub good: u32,
}

/// A backup that stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct KeptBackup {
    /// Which.
    pub id: BackupId,
    /// Why: at least one reason, all that hold.
    pub reasons: Vec<KeepReason>,
}

/// A backup that goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct DroppedBackup {
    /// Which.
    pub id: BackupId,
    /// Its bytes, which become free.
    pub stored_bytes: u64,
    /// Why.
    pub reason: DropReason,
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::nothing(RetentionRule::default(), None)]
    #[case::all(RetentionRule { keep_last: Some(1), hourly: Some(1), max_total_bytes: Some(1), ..RetentionRule::default() }, None)]
    #[case::no_minimum(RetentionRule { min_good: 0, ..RetentionRule::default() }, Some("good backup"))]
    #[case::last_none(RetentionRule { keep_last: Some(0), ..RetentionRule::default() }, Some("last 0"))]
    #[case::no_days(RetentionRule { keep_within_days: Some(0), ..RetentionRule::default() }, Some("0 days"))]
    #[case::no_weeks(RetentionRule { daily: Some(1), weekly: Some(0), ..RetentionRule::default() }, Some("0 weeks"))]
    #[case::no_bytes(RetentionRule { max_total_bytes: Some(0), ..RetentionRule::default() }, Some("0 bytes"))]
    fn a_rule_that_makes_no_sense_is_told_in_a_sentence(
        #[case] rule: RetentionRule,
        #[case] part: Option<&str>,
    ) {
        let problem = rule.problem();
        assert_eq!(problem.is_some(), part.is_some(), "{problem:?}");
        if let (Some(problem), Some(part)) = (problem, part) {
            assert!(problem.contains(part) && problem.ends_with('.'), "{problem}");
        }
    }

    #[rstest]
    #[case(RetentionRule::default(), "Keep everything.")]
    #[case(RetentionRule { keep_last: Some(7), ..RetentionRule::default() }, "Keep the last 7; always at least 3 good ones.")]
    #[case(RetentionRule { keep_within_days: Some(30), monthly: Some(12), ..RetentionRule::default() },
        "Keep all of the last 30 days and one per month for 12 months; always at least 3 good ones.")]
    #[case(RetentionRule { keep_last: Some(3), daily: Some(7), yearly: Some(1), min_good: 1, ..RetentionRule::default() },
        "Keep the last 3, one per day for 7 days, and one per year for 1 year; always at least 1 good one.")]
    #[case(RetentionRule { max_total_bytes: Some(50_000_000_000), ..RetentionRule::default() },
        "Keep all; at most 50.0 GB together; always at least 3 good ones.")]
    fn a_rule_reads_as_a_sentence(#[case] rule: RetentionRule, #[case] sentence: &str) {
        assert_eq!(rule.describe(), sentence);
    }
}
