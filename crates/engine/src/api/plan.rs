//! Plans as they are proposed, drafted and previewed.

use std::path::PathBuf;

use howdah_domain::{
    Conditions, DestinationId, DrillRule, Encryption, PlanId, RetentionRule, Schedule, Scope, Secret,
    Selection, ServerId,
};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// The plan that Howdah proposes for a database just tested.
#[derive(Debug, Clone, Serialize, TS)]
#[ts(export)]
pub struct PlanProposal {
    /// When.
    pub schedule: Schedule,
    /// In which time zone: the system's.
    pub time_zone: String,
    /// Into which folder.
    pub folder: PathBuf,
    /// Which databases.
    pub scope: Scope,
}

/// A plan to make or change.
#[derive(Debug, Clone, Deserialize, TS)]
#[ts(export)]
pub struct PlanDraft {
    /// The plan to change; none makes a new one.
    pub id: Option<PlanId>,
    /// The server.
    pub server_id: ServerId,
    /// Which databases.
    pub scope: Scope,
    /// What of each.
    #[serde(default)]
    pub selection: Selection,
    /// Whether globals are saved.
    pub globals: bool,
    /// When.
    pub schedule: Schedule,
    /// In which IANA time zone.
    pub time_zone: String,
    /// Into which folder, `~/` being the home directory. A destination is made of it where none is there; it comes before
    /// `destinations`.
    #[serde(default)]
    pub folder: Option<PathBuf>,
    /// To which destinations.
    #[serde(default)]
    pub destinations: Vec<DestinationId>,
    /// Who can read the backups; none leaves it as it is, or for a new plan unencrypted.
    #[serde(default)]
    pub encryption: Option<Encryption>,
    /// The passphrase, where that opens the backups; none leaves the one that is kept.
    #[serde(default)]
    #[ts(optional, as = "Option<String>")]
    pub passphrase: Option<Secret>,
    /// For how long backups are kept; none leaves it as it is, or for a new plan keeps everything.
    #[serde(default)]
    pub retention: Option<RetentionRule>,
    /// When its backups are proved, and what must be true in them; none leaves it as it is, or for a new plan proves none.
    #[serde(default)]
    pub drill: Option<DrillRule>,
    /// What its scheduled backups wait for; none leaves it as it is, or for a new plan is the usual.
    #[serde(default)]
    pub conditions: Option<Conditions>,
    /// Whether the schedule starts it.
    pub enabled: bool,
}

/// A look at a schedule before it is saved.
#[derive(Debug, Clone, Deserialize, TS)]
#[ts(export)]
pub struct ScheduleQuestion {
    /// The schedule.
    pub schedule: Schedule,
    /// Its IANA time zone.
    pub time_zone: String,
}
