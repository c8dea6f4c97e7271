//! Why a backup stays or goes. English sentences for the command line; the window has a catalogue of its own.

use serde::Serialize;
use ts_rs::TS;

use super::{Period, RetentionRule};
use crate::units;

/// Why a backup stays. What the rule itself says (how many, how long) is not repeated here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
#[ts(export)]
pub enum KeepReason {
    /// The rule keeps everything.
    NoLimit,
    /// The user pinned it.
    Pinned,
    /// Its time lies in the future, so its age is not known.
    InTheFuture,
    /// The newest run failed, and there are fewer good backups than the rule's minimum.
    LastRunFailed {
        /// How many good ones there are.
        good: u32,
    },
    /// It is one of the good backups that always stay.
    Minimum,
    /// It is one of the last so many.
    Last,
    /// It is not older than the rule's days.
    Young,
    /// It is the newest good one of its period.
    NewestOf {
        /// Of which.
        period: Period,
    },
    /// It is damaged, and of an age at which the rule keeps backups.
    Damaged,
    /// Only the total size is limited, and it fits.
    Fits,
}

impl KeepReason {
    /// The reason as a sentence. `rule` is the one that was decided by.
    pub fn sentence(self, rule: &RetentionRule) -> String {
        let number = |limit: Option<u32>| units::count(limit.unwrap_or_default().into());
        match self {
            Self::NoLimit => "The rule keeps everything.".to_owned(),
            Self::Pinned => "It is pinned.".to_owned(),
            Self::InTheFuture => {
                "Its time lies in the future, so its age is not known: a clock was wrong.".to_owned()
            }
            Self::LastRunFailed { good } => format!(
                "The newest run failed, and there {} only; nothing is deleted until there are {}.",
                if good == 1 {
                    "is 1 good backup".to_owned()
                } else {
                    format!("are {} good backups", units::count(good.into()))
                },
                units::count(rule.least_good().into())
            ),
            Self::Minimum => match rule.least_good() {
                1 => "It is the newest good backup, which always stays.".to_owned(),
                least => format!(
                    "It is one of the newest {} good backups, which always stay.",
                    units::count(least.into())
                ),
            },
            Self::Last => match rule.keep_last {
                Some(1) => "It is the last one.".to_owned(),
                last => format!("It is one of the last {}.", number(last)),
            },
            Self::Young => match rule.keep_within_days {
                Some(1) => "It is not older than a day.".to_owned(),
                days => format!("It is not older than {} days.", number(days)),
            },
            Self::NewestOf { period } => {
                let limit = rule.periods().into_iter().find(|(of, _)| *of == period);
                let limit = limit.and_then(|(_, limit)| limit).unwrap_or_default();
                format!(
                    "It is the newest of its {}, and the rule keeps one per {} for {}.",
                    period.singular(),
                    period.singular(),
                    period.counted(limit)
                )
            }
            Self::Damaged => {
                "It is damaged, but may still hold what nothing else has, and the rule keeps backups of its age."
                    .to_owned()
            }
            Self::Fits => format!(
                "It fits into the {} that all backups may take together.",
                units::size(rule.max_total_bytes.unwrap_or_default())
            ),
        }
    }
}

/// Why a backup goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum DropReason {
    /// No part of the rule keeps it any longer.
    Outlived,
    /// It is damaged, and no part of the rule keeps backups of its age.
    DamagedAndOutlived,
    /// All backups together take too much, and it is the oldest that may go.
    TotalSize,
    /// All backups together take too much, and damaged ones go first.
    DamagedAndTotalSize,
}

impl DropReason {
    /// The reason as a sentence. `rule` is the one that was decided by.
    pub fn sentence(self, rule: &RetentionRule) -> String {
        let total = || units::size(rule.max_total_bytes.unwrap_or_default());
        match self {
            Self::Outlived => format!("{}.", outlived(rule)),
            Self::DamagedAndOutlived => "It is damaged, and older than what the rule keeps.".to_owned(),
            Self::TotalSize => format!(
                "All backups together take more than {}, and it is the oldest that may go.",
                total()
            ),
            Self::DamagedAndTotalSize => format!(
                "All backups together take more than {}, and it is damaged: such ones go first.",
                total()
            ),
        }
    }
}

/// `It is not one of the last 7, it is older than 30 days, and it is not the one kept per week (for 4 weeks)`.
fn outlived(rule: &RetentionRule) -> String {
    let mut parts = Vec::new();
    match rule.keep_last {
        Some(1) => parts.push("it is not the last one".to_owned()),
        Some(last) => parts.push(format!("it is not one of the last {}", units::count(last.into()))),
        None => {}
    }
    if let Some(days) = rule.keep_within_days {
        parts.push(format!(
            "it is older than {}",
            units::counted(days.into(), "day", "days")
        ));
    }
    let periods: Vec<String> = rule
        .periods()
        .into_iter()
        .filter_map(|(period, limit)| {
            Some(format!(
                "per {} (for {})",
                period.singular(),
                period.counted(limit?)
            ))
        })
        .collect();
    if !periods.is_empty() {
        parts.push(format!("it is not the one kept {}", periods.join(" or ")));
    }
    let text = super::enumerate(&parts);
    match text.strip_prefix('i') {
        Some(rest) => format!("I{rest}"),
        None => "No part of the rule keeps it any longer".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn rule() -> RetentionRule {
        RetentionRule {
            keep_last: Some(7),
            keep_within_days: Some(1),
            weekly: Some(4),
            yearly: Some(1),
            max_total_bytes: Some(50_000_000_000),
            ..RetentionRule::default()
        }
    }

    #[rstest]
    #[case(KeepReason::Last, "It is one of the last 7.")]
    #[case(KeepReason::Young, "It is not older than a day.")]
    #[case(
        KeepReason::Minimum,
        "It is one of the newest 3 good backups, which always stay."
    )]
    #[case(KeepReason::NewestOf { period: Period::Week },
        "It is the newest of its week, and the rule keeps one per week for 4 weeks.")]
    #[case(KeepReason::LastRunFailed { good: 1 },
        "The newest run failed, and there is 1 good backup only; nothing is deleted until there are 3.")]
    #[case(
        KeepReason::Fits,
        "It fits into the 50.0 GB that all backups may take together."
    )]
    fn a_reason_to_keep_reads_as_a_sentence(#[case] reason: KeepReason, #[case] sentence: &str) {
        assert_eq!(reason.sentence(&rule()), sentence);
    }

    #[rstest]
    #[case(
        rule(),
        DropReason::Outlived,
        "It is not one of the last 7, it is older than 1 day, and it is not the one \
        kept per week (for 4 weeks) or per year (for 1 year)."
    )]
    #[case(RetentionRule { daily: Some(2), ..RetentionRule::default() }, DropReason::Outlived,
        "It is not the one kept per day (for 2 days).")]
    #[case(RetentionRule { keep_last: Some(1), ..RetentionRule::default() }, DropReason::Outlived, "It is not the last one.")]
    #[case(
        rule(),
        DropReason::TotalSize,
        "All backups together take more than 50.0 GB, and it is the oldest that may go."
    )]
    fn a_reason_to_delete_reads_as_a_sentence(
        #[case] rule: RetentionRule,
        #[case] reason: DropReason,
        #[case] sentence: &str,
    ) {
        assert_eq!(reason.sentence(&rule), sentence);
    }

    #[test]
    fn every_reason_is_a_sentence_under_any_rule() {
        let all = [
            KeepReason::NoLimit,
            KeepReason::Pinned,
            KeepReason::InTheFuture,
            KeepReason::LastRunFailed { good: 2 },
            KeepReason::Minimum,
            KeepReason::Last,
            KeepReason::Young,
            KeepReason::NewestOf { period: Period::Hour },
            KeepReason::Damaged,
            KeepReason::Fits,
        ];
        let dropped = [
            DropReason::Outlived,
            DropReason::DamagedAndOutlived,
            DropReason::TotalSize,
            DropReason::DamagedAndTotalSize,
        ];
        for rule in [
            rule(),
            RetentionRule::default(),
            RetentionRule {
                min_good: 1,
                ..rule()
            },
        ] {
            let kept = all.iter().map(|reason| reason.sentence(&rule));
            for sentence in kept.chain(dropped.iter().map(|reason| reason.sentence(&rule))) {
                assert!(
                    sentence.starts_with(char::is_uppercase) && sentence.ends_with('.'),
                    "{sentence}"
                );
            }
        }
    }
}
