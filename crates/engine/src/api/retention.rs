//! What rules delete, as it is asked for and shown.

use howdah_domain::PlanId;
use howdah_domain::retention::{DropReason, RetentionRule};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::BackupView;

/// A look at what a rule would delete, before it is saved.
#[derive(Debug, Clone, Deserialize, TS)]
#[ts(export)]
pub struct RetentionQuestion {
    /// The plan whose backups are meant.
    pub plan_id: PlanId,
    /// The rule.
    pub rule: RetentionRule,
    /// The IANA time zone that days and weeks are meant in; none is the plan's.
    #[serde(default)]
    pub time_zone: Option<String>,
}

/// What rules delete.
#[derive(Debug, Clone, Serialize, TS)]
#[ts(export)]
pub struct PrunePreview {
    /// Backups that stay.
    pub kept: u64,
    /// Bytes of one copy each of what goes.
    pub bytes_freed: u64,
    /// What goes, by database, oldest first.
    pub dropped: Vec<PrunedBackup>,
}

/// A backup that goes.
#[derive(Debug, Clone, Serialize, TS)]
#[ts(export)]
pub struct PrunedBackup {
    /// The backup.
    pub backup: BackupView,
    /// Its database.
    pub database_name: String,
    /// Why, to be put into words.
    pub reason: DropReason,
    /// Why, in an English sentence.
    pub why: String,
}
