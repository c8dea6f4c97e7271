//! Which channel hears of what, and when.
//!
//! Each channel has a rule of its own: from which severity on, kinds that are told or not told whatever their severity, of which databases,
//! and hours in which only what is critical passes.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::alert::{AlertKind, Severity};
use crate::channel::ChannelKind;
use crate::schedule::{TimeOfDay, Weekday};
use crate::{DatabaseId, Environment};

/// Databases that a rule is about.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, TS)]
#[serde(tag = "which", rename_all = "snake_case")]
#[ts(export)]
pub enum Databases {
    /// All.
    #[default]
    All,
    /// Those of these environments.
    Environments {
        /// Which.
        environments: Vec<Environment>,
    },
    /// These.
    These {
        /// Which.
        ids: Vec<DatabaseId>,
    },
}

/// Hours in which only what is critical is told; the rest waits for their end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct QuietHours {
    /// When they begin, on this machine's clock.
    pub from: TimeOfDay,
    /// When they end; earlier than `from` is on the next day, the same is never.
    pub to: TimeOfDay,
}

/// When a channel gets a summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct SummaryRule {
    /// On which day of the week; none is every day.
    pub day: Option<Weekday>,
    /// At which time, on this machine's clock.
    pub at: TimeOfDay,
}

/// What a channel is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(default)]
#[ts(export)]
pub struct ChannelRule {
    /// What is as grave as this, and graver.
    pub least: Severity,
    /// Kinds that are told though they are not so grave.
    pub also: Vec<AlertKind>,
    /// Kinds that are never told.
    pub never: Vec<AlertKind>,
    /// Of which databases. What is of no database is told in any case.
    pub databases: Databases,
    /// Hours in which only what is critical is told.
    pub quiet: Option<QuietHours>,
    /// Minutes after which it is told again that a database is still down, until somebody acknowledges it; none is never.
    pub again_minutes: Option<u32>,
    /// Whether and when it gets a summary.
    pub summary: Option<SummaryRule>,
}

impl Default for ChannelRule {
    fn default() -> Self {
        Self {
            least: Severity::Warning,
            also: Vec::new(),
            never: Vec::new(),
            databases: Databases::All,
            quiet: None,
            again_minutes: None,
            summary: None,
        }
    }
}

/// What of an alert decides who hears of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About<'a> {
    /// What happened.
    pub kind: AlertKind,
    /// How grave it is.
    pub severity: Severity,
    /// The databases concerned, with their environments; none where it is of no database.
    pub databases: &'a [(DatabaseId, Environment)],
}

impl ChannelRule {
    /// Whether a channel of that kind hears of it. That whoever was told of something hears of its end too is not known here.
    pub fn takes(&self, channel: ChannelKind, about: &About<'_>) -> bool {
        let of_ours = about.databases.is_empty()
            || about
                .databases
                .iter()
                .any(|(id, environment)| match &self.databases {
                    Databases::All => true,
                    Databases::Environments { environments } => environments.contains(environment),
                    Databases::These { ids } => ids.contains(id),
                });
        if !of_ours {
            return false;
        }
        // A dead man's switch hears of backups and of nothing else, whatever its rule says.
        if channel == ChannelKind::Ping {
            return matches!(
                about.kind,
                AlertKind::BackupStarted
                    | AlertKind::BackupSucceeded
                    | AlertKind::BackupFailed
                    | AlertKind::Test
            );
        }
        match about.kind {
            AlertKind::Test | AlertKind::Summary => return true,
            AlertKind::BackupStarted => return self.also.contains(&AlertKind::BackupStarted),
            _ => {}
        }
        if self.never.contains(&about.kind) {
            return false;
        }
        about.severity >= self.least || self.also.contains(&about.kind)
    }

    /// Until when an alert of that severity waits for the end of the quiet hours; none where it is told now.
    pub fn waits_until(&self, severity: Severity, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let quiet = self.quiet.filter(|_| severity < Severity::Critical)?;
        let (from, to) = (quiet.from.civil()?, quiet.to.civil()?);
        let wall = now.to_zoned_datetime(zone.clone());
        let time = wall.time();
        let (within, next_day) = if from < to {
            ((from..to).contains(&time), false)
        } else if from > to {
            (time >= from || time < to, time >= from)
        } else {
            (false, false)
        };
        if !within {
            return None;
        }
        let date = if next_day {
            wall.date().tomorrow().ok()?
        } else {
            wall.date()
        };
        // A time that a change of the clocks leaves out is taken as its end.
        let end = date
            .to_datetime(to)
            .to_zoned_datetime(zone.clone())
            .ok()?
            .timestamp();
        (end > now).then_some(end)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn about(kind: AlertKind) -> About<'static> {
        About {
            kind,
            severity: kind.severity(),
            databases: &[],
        }
    }

    #[test]
    fn by_default_everything_that_needs_somebody_is_told() {
        let rule = ChannelRule::default();
        let takes = |kind| rule.takes(ChannelKind::Email, &about(kind));
        for kind in AlertKind::CHOICE {
            let told = kind.severity() >= Severity::Warning;
            assert_eq!(takes(kind), told, "{kind:?}");
        }
        assert!(takes(AlertKind::Test) && takes(AlertKind::Summary));
    }

    #[test]
    fn a_kind_can_be_told_or_left_out_whatever_its_severity() {
        let rule = ChannelRule {
            least: Severity::Critical,
            also: vec![AlertKind::BackupSucceeded],
            never: vec![AlertKind::DatabaseDown],
            ..ChannelRule::default()
        };
        let takes = |kind| rule.takes(ChannelKind::Slack, &about(kind));
        assert!(takes(AlertKind::BackupSucceeded) && takes(AlertKind::BackupFailed));
        assert!(!takes(AlertKind::DatabaseDown) && !takes(AlertKind::DiskLow));
    }

    #[test]
    fn of_which_databases_is_asked_only_of_what_is_about_one() {
        let shop = (DatabaseId::from_text("shop"), Environment::Production);
        let test = (DatabaseId::from_text("test"), Environment::Development);
        let takes = |rule: &ChannelRule, databases: &[(DatabaseId, Environment)]| {
            let failed = About {
                databases,
                ..about(AlertKind::BackupFailed)
            };
            rule.takes(ChannelKind::Email, &failed)
        };
        let production = ChannelRule {
            databases: Databases::Environments {
                environments: vec![Environment::Production],
            },
            ..ChannelRule::default()
        };
        assert!(takes(&production, std::slice::from_ref(&shop)));
        assert!(!takes(&production, std::slice::from_ref(&test)));
        assert!(takes(&production, &[test.clone(), shop.clone()]));
        assert!(takes(&production, &[]), "what is of no database is told");
        let these = ChannelRule {
            databases: Databases::These {
                ids: vec![test.0.clone()],
            },
            ..ChannelRule::default()
        };
        assert!(takes(&these, &[test]));
        assert!(!takes(&these, &[shop]));
    }

    #[test]
    fn a_dead_mans_switch_hears_of_backups_alone() {
        let rule = ChannelRule::default();
        let heard: Vec<_> = AlertKind::CHOICE
            .into_iter()
            .filter(|kind| rule.takes(ChannelKind::Ping, &about(*kind)))
            .collect();
        assert_eq!(
            heard,
            [
                AlertKind::BackupFailed,
                AlertKind::BackupSucceeded,
                AlertKind::BackupStarted
            ]
        );
    }

    #[rstest]
    // Vienna: 21:00 UTC is 22:00 there in winter.
    #[case("2026-01-10T20:59:00Z", None)]
    #[case("2026-01-10T21:00:00Z", Some("2026-01-11T06:00:00Z"))]
    #[case("2026-01-11T03:00:00Z", Some("2026-01-11T06:00:00Z"))]
    #[case("2026-01-11T06:00:00Z", None)]
    // The night in which an hour is left out.
    #[case("2026-03-28T22:00:00Z", Some("2026-03-29T05:00:00Z"))]
    fn quiet_hours_end_on_the_clock_on_the_wall(#[case] now: &str, #[case] until: Option<&str>) {
        let zone = TimeZone::get("Europe/Vienna").unwrap();
        let at = |hour| TimeOfDay { hour, minute: 0 };
        let rule = ChannelRule {
            quiet: Some(QuietHours {
                from: at(22),
                to: at(7),
            }),
            ..ChannelRule::default()
        };
        let now = now.parse().unwrap();
        let until: Option<Timestamp> = until.map(|text| text.parse().unwrap());
        assert_eq!(rule.waits_until(Severity::Warning, now, &zone), until);
        assert_eq!(rule.waits_until(Severity::Critical, now, &zone), None);
    }
}
