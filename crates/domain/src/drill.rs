//! Drills: when a backup is proved, and what a proof is made of.
//!
//! A drill restores a backup into a PostgreSQL of its own and compares what is there with what was dumped. Its report says what was
//! expected and found; whether that is a proof is decided here ([`DrillReport::is_proved`]), and nowhere else.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::{BackupId, Failure};

/// How long a database may be without a passed drill before that is reported, in days.
pub const REMIND_AFTER_DAYS: i64 = 90;

/// When a plan's backups are proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum DrillWhen {
    /// Only when somebody asks.
    #[default]
    Never,
    /// Each backup, when it is made; one that was left out then is made up for within a week.
    EachBackup,
    /// The newest backup, once in seven days.
    Weekly,
    /// The newest backup, once in thirty days.
    Monthly,
}

impl DrillWhen {
    /// Whether a backup (the newest, or with [`DrillWhen::EachBackup`] any) is to be proved at `now`: `last` is when a drill of that
    /// database last ended, whatever it found, and `tried` whether this very backup had one.
    pub fn is_due(self, last: Option<Timestamp>, tried: bool, now: Timestamp) -> bool {
        let is_over = |period| last.is_none_or(|last| now.duration_since(last) >= period);
        match self {
            Self::Never => false,
            Self::EachBackup => !tried,
            Self::Weekly | Self::Monthly => !tried && is_over(self.period()),
        }
    }

    /// Since when one that is due has been due: `last` as in [`DrillWhen::is_due`], `first` is when the first backup since then was made.
    pub fn due_since(self, last: Option<Timestamp>, first: Timestamp) -> Timestamp {
        let over = last.and_then(|last| last.checked_add(self.period()).ok());
        over.map_or(first, |over| over.max(first))
    }

    /// What has to go by between two of a database.
    fn period(self) -> SignedDuration {
        // A drill takes its time, and the backup comes at its hour: an hour's grace keeps a weekly drill on its day.
        match self {
            Self::Never | Self::EachBackup => SignedDuration::ZERO,
            Self::Weekly => SignedDuration::from_hours(24 * 7 - 1),
            Self::Monthly => SignedDuration::from_hours(24 * 30 - 1),
        }
    }
}

/// Something that must be true in a restored database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct Assertion {
    /// What it says, for people.
    pub name: String,
    /// A query that answers one boolean.
    pub sql: String,
}

/// When a plan's backups are proved, and what must be true in them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, TS)]
#[serde(default)]
#[ts(export)]
pub struct DrillRule {
    /// When.
    pub when: DrillWhen,
    /// What must be true.
    pub assertions: Vec<Assertion>,
}

/// What a drill found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct DrillReport {
    /// The backup.
    pub backup_id: BackupId,
    /// Its database's name.
    pub database: String,
    /// When its dump began.
    #[ts(type = "string")]
    pub backup_started_at: Timestamp,
    /// When the drill began.
    #[ts(type = "string")]
    pub started_at: Timestamp,
    /// When it ended.
    #[ts(type = "string")]
    pub finished_at: Timestamp,
    /// The PostgreSQL that it was restored into.
    pub server_version: String,
    /// Every table and what else was compared, by schema and name.
    pub tables: Vec<TableProof>,
    /// Rows compared.
    pub rows: u64,
    /// What the restore itself could not do, each error named.
    pub restore_errors: Vec<String>,
    /// Definitions that are not as the backup has them.
    pub definitions: Vec<DefinitionDifference>,
    /// The user's own assertions.
    pub assertions: Vec<AssertionOutcome>,
    /// What amcheck found wrong with tables and B-tree indexes; none where it is not there to be run.
    #[serde(alias = "index_errors")]
    pub amcheck_errors: Option<Vec<String>>,
    /// What this machine cannot have, and what a drill leaves out on purpose, as sentences. No failure by itself.
    pub left_out: Vec<String>,
    /// What could be compared only in part, as sentences.
    pub remarks: Vec<String>,
    /// How long each step took.
    pub timings: Vec<DrillTiming>,
}

/// One table, sequence or the large objects: expected and found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct TableProof {
    /// What it is.
    pub kind: ProofKind,
    /// Its schema; empty for large objects.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Rows (large objects; 1 for a sequence) in the backup.
    pub expected_rows: u64,
    /// The same found; none where it could not be read.
    pub found_rows: Option<u64>,
    /// The backup's fingerprint, or a sequence's value.
    pub expected: String,
    /// What was found; none where it could not be read.
    pub found: Option<String>,
    /// Whether it is as the backup has it.
    pub equal: bool,
    /// Why it could not be read, where it could not.
    pub why: Option<String>,
}

/// What was compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum ProofKind {
    /// A table's rows.
    Table,
    /// All large objects together.
    LargeObjects,
    /// A sequence's value.
    Sequence,
}

/// A definition that is missing, not expected, or another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct DefinitionDifference {
    /// What it is, as pg_dump calls it: `TABLE`, `INDEX`, `FUNCTION`, …
    pub kind: String,
    /// Its name, with the schema where it has one.
    pub name: String,
    /// What is wrong.
    pub difference: Difference,
}

/// How a definition differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum Difference {
    /// The backup has it, the restored database not.
    Missing,
    /// The restored database has it, the backup not.
    Unexpected,
    /// Both have it, not the same.
    Changed,
}

/// What became of an assertion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct AssertionOutcome {
    /// The assertion.
    pub assertion: Assertion,
    /// Whether it is true. None where it could not be told.
    pub held: Option<bool>,
    /// Why it could not be told.
    pub failure: Option<Failure>,
}

/// How long a step took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct DrillTiming {
    /// Which.
    pub step: DrillStep,
    /// Milliseconds.
    pub ms: u64,
}

/// A step of a drill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum DrillStep {
    /// A PostgreSQL was set up and started.
    Start,
    /// The backup was restored.
    Restore,
    /// Rows were compared.
    Compare,
    /// Definitions were compared.
    Definitions,
    /// Statistics were gathered, indexes checked.
    Check,
    /// Assertions were asked.
    Assertions,
}

impl DrillReport {
    /// Whether the backup is proved: it was restored without an error, every table, sequence and definition is as it was dumped, no
    /// index is broken, and every assertion is true.
    pub fn is_proved(&self) -> bool {
        self.tables.iter().all(|table| table.equal)
            && self.restore_errors.is_empty()
            && self.definitions.is_empty()
            && self.amcheck_errors.as_ref().is_none_or(Vec::is_empty)
            && self.assertions.iter().all(|outcome| outcome.held == Some(true))
    }

    /// What is wrong in one sentence, the gravest first; none where nothing is.
    pub fn verdict(&self) -> Option<String> {
        let first = self.tables.iter().find(|table| !table.equal);
        let differing = self.tables.iter().filter(|table| !table.equal).count();
        if let Some(table) = first {
            let what = table.title();
            let how = match (&table.why, table.found_rows) {
                (Some(why), _) => why.clone(),
                (None, Some(found)) if found != table.expected_rows => {
                    format!("{found} rows instead of {}", table.expected_rows)
                }
                _ => "as many, but not the same".to_owned(),
            };
            let others = match differing - 1 {
                0 => String::new(),
                1 => "; and another one differs".to_owned(),
                more => format!("; and {more} others differ"),
            };
            return Some(format!(
                "{what} did not come back as it was dumped: {how}{others}."
            ));
        }
        if let Some(error) = self.restore_errors.first() {
            let first = error.lines().next().unwrap_or_default();
            return Some(format!("The restore could not do everything: {first}"));
        }
        if let Some(definition) = self.definitions.first() {
            let how = match definition.difference {
                Difference::Missing => "is missing",
                Difference::Unexpected => "is there and was not dumped",
                Difference::Changed => "is another one",
            };
            return Some(format!(
                "The definition of {} {} {how}{}.",
                definition.kind.to_lowercase(),
                definition.name,
                match self.definitions.len() - 1 {
                    0 => String::new(),
                    more => format!(", and {more} more"),
                }
            ));
        }
        if let Some(error) = self.amcheck_errors.iter().flatten().next() {
            return Some(format!("amcheck found an error: {error}"));
        }
        let refused = self
            .assertions
            .iter()
            .find(|outcome| outcome.held != Some(true))?;
        Some(match &refused.failure {
            Some(failure) => format!(
                "The assertion “{}” could not be checked: {}",
                refused.assertion.name, failure.message
            ),
            None => format!("The assertion “{}” is not true.", refused.assertion.name),
        })
    }
}

impl TableProof {
    /// Its name for people.
    pub fn title(&self) -> String {
        match self.kind {
            ProofKind::LargeObjects => "The large objects".to_owned(),
            ProofKind::Table | ProofKind::Sequence => format!("{}.{}", self.schema, self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(number: i64) -> Timestamp {
        Timestamp::from_second(1_780_000_000 + number * 86_400).unwrap()
    }

    fn report() -> DrillReport {
        let proof = |name: &str| TableProof {
            kind: ProofKind::Table,
            schema: "public".to_owned(),
            name: name.to_owned(),
            expected_rows: 3,
            found_rows: Some(3),
            expected: "00".to_owned(),
            found: Some("00".to_owned()),
            equal: true,
            why: None,
        };
        DrillReport {
            backup_id: BackupId::new(day(0), [0; 10]),
            database: "shop".to_owned(),
            backup_started_at: day(0),
            started_at: day(1),
            finished_at: day(1),
            server_version: "17.10".to_owned(),
            tables: vec![proof("orders"), proof("carts")],
            rows: 6,
            restore_errors: Vec::new(),
            definitions: Vec::new(),
            assertions: vec![AssertionOutcome {
                assertion: Assertion {
                    name: "there are orders".to_owned(),
                    sql: "SELECT count(*) > 0 FROM orders".to_owned(),
                },
                held: Some(true),
                failure: None,
            }],
            amcheck_errors: Some(Vec::new()),
            left_out: vec!["The extension postgis is not on this machine.".to_owned()],
            remarks: Vec::new(),
            timings: Vec::new(),
        }
    }

    #[test]
    fn what_is_equal_in_everything_is_proved_although_something_was_left_out() {
        assert!(report().is_proved());
        assert_eq!(report().verdict(), None);
    }

    #[test]
    fn anything_that_differs_is_no_proof_and_is_named() {
        let mut rows = report();
        rows.tables[1].equal = false;
        assert_eq!(
            rows.verdict().unwrap(),
            "public.carts did not come back as it was dumped: as many, but not the same."
        );
        rows.tables[0].equal = false;
        rows.tables[0].found_rows = Some(2);
        assert_eq!(
            rows.verdict().unwrap(),
            "public.orders did not come back as it was dumped: 2 rows instead of 3; and another one differs."
        );
        let mut definition = report();
        definition.definitions.push(DefinitionDifference {
            kind: "INDEX".to_owned(),
            name: "public.orders_by_day".to_owned(),
            difference: Difference::Missing,
        });
        assert_eq!(
            definition.verdict().unwrap(),
            "The definition of index public.orders_by_day is missing."
        );
        let mut refused = report();
        refused
            .restore_errors
            .push("ERROR: type \"geometry\" does not exist".to_owned());
        let mut index = report();
        index.amcheck_errors = Some(vec!["orders_pkey: item order invariant violated".to_owned()]);
        let mut unknown = report();
        unknown.assertions[0].held = None;
        let mut false_one = report();
        false_one.assertions[0].held = Some(false);
        assert_eq!(
            false_one.verdict().unwrap(),
            "The assertion “there are orders” is not true."
        );
        for report in [rows, refused, definition, index, unknown, false_one] {
            assert!(!report.is_proved());
            assert!(report.verdict().is_some());
        }
    }

    #[test]
    fn a_weekly_drill_comes_once_a_week_and_never_twice_for_the_same_backup() {
        let weekly = DrillWhen::Weekly;
        assert!(weekly.is_due(None, false, day(0)));
        assert!(!weekly.is_due(Some(day(0)), false, day(6)));
        assert!(weekly.is_due(Some(day(0)), false, day(7)));
        assert!(!weekly.is_due(Some(day(0)), true, day(9)));
        assert!(DrillWhen::EachBackup.is_due(Some(day(1)), false, day(1)));
        assert!(!DrillWhen::EachBackup.is_due(Some(day(1)), true, day(1)));
        assert!(!DrillWhen::Never.is_due(None, false, day(90)));
        // Due since the week was over, or since there has been a backup to prove.
        let hour = SignedDuration::from_hours(1);
        assert_eq!(weekly.due_since(Some(day(0)), day(1)), day(7) - hour);
        assert_eq!(weekly.due_since(Some(day(0)), day(9)), day(9));
        assert_eq!(weekly.due_since(None, day(3)), day(3));
        assert_eq!(DrillWhen::EachBackup.due_since(Some(day(1)), day(2)), day(2));
        assert!(!DrillWhen::Monthly.is_due(Some(day(0)), false, day(29)));
        assert!(DrillWhen::Monthly.is_due(Some(day(0)), false, day(30)));
    }
}
