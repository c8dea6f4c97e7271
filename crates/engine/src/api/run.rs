//! Runs and their logs.

use howdah_domain::{
    BackupId, DatabaseId, Failure, PlanId, Progress, RunId, RunKind, RunState, ServerId, Trigger,
};
use jiff::Timestamp;
use serde::Serialize;
use ts_rs::TS;

use super::{BackupView, DrillView, InstanceView};

/// A run in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct RunView {
    /// Its id.
    pub id: RunId,
    /// What it does.
    pub kind: RunKind,
    /// Its state.
    pub state: RunState,
    /// Who asked.
    pub trigger: Trigger,
    /// The database it is about.
    pub database_id: Option<DatabaseId>,
    /// That database's name.
    pub database_name: String,
    /// The server's name.
    pub server_name: String,
    /// The plan it belongs to.
    pub plan_id: Option<PlanId>,
    /// The due time it serves.
    #[ts(type = "string | null")]
    pub due_at: Option<Timestamp>,
    /// When it was recorded.
    #[ts(type = "string")]
    pub queued_at: Timestamp,
    /// When it began to work.
    #[ts(type = "string | null")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[ts(type = "string | null")]
    pub finished_at: Option<Timestamp>,
    /// When it is tried again, while it waits for that.
    #[ts(type = "string | null")]
    pub next_attempt_at: Option<Timestamp>,
    /// Attempts begun.
    pub attempt: u32,
    /// How far it is, or was.
    pub progress: Progress,
    /// Why it failed, or failed last.
    pub failure: Option<Failure>,
    /// The backup it made or works on.
    pub backup_id: Option<BackupId>,
}

/// A run's own page.
#[derive(Debug, Clone, Serialize, TS)]
#[ts(export)]
pub struct RunPage {
    /// The run.
    pub run: RunView,
    /// Its log, oldest first; where it is longer than 2,000 lines, the last of them.
    pub log: Vec<LogLine>,
    /// Whether lines were left out at the front.
    pub log_shortened: bool,
    /// The backup it made, where it made one.
    pub backup: Option<BackupView>,
    /// What the drill found, where it is one and came to a verdict.
    pub drill: Option<DrillView>,
    /// The local instance that it restored into, while that is there.
    pub instance: Option<InstanceView>,
    /// The database that it restores into, where that is of a server or an instance that was there.
    pub restored_to: Option<RestoredTo>,
    /// The five good backups of the same database before this run, newest first: to compare with.
    pub earlier: Vec<BackupView>,
}

/// The database that a restore goes into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct RestoredTo {
    /// What its server or local instance is called; none where that is not known any more.
    pub place: Option<String>,
    /// The server.
    pub server_id: Option<ServerId>,
    /// The database's name.
    pub database: String,
    /// Whether it takes the place of the one that is there.
    pub replaces: bool,
}

/// One line of a run's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct LogLine {
    /// When.
    #[ts(type = "string")]
    pub at: Timestamp,
    /// How grave.
    pub level: LogLevel,
    /// What.
    pub text: String,
}

/// How grave a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
#[allow(missing_docs)]
pub enum LogLevel {
    Info,
    Warning,
    Error,
}
