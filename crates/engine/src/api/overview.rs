//! The first page and a database's own page: what is well, what needs somebody, what is due.

use howdah_domain::{
    BackupId, DatabaseId, DestinationId, Environment, Failure, Plan, PlanId, RunId, ServerId,
};
use jiff::Timestamp;
use serde::Serialize;
use ts_rs::TS;

use super::{BackupView, Bar, HealthView, ProofView, RunView, ServerView};

/// The first page: one verdict, what needs somebody, every database.
#[derive(Debug, Clone, Serialize, TS)]
#[ts(export)]
pub struct Overview {
    /// What needs somebody, gravest first. Empty means all is well.
    pub needs: Vec<Need>,
    /// Every database that Howdah looks after.
    pub databases: Vec<DatabaseSummary>,
    /// Runs that are queued, waiting or running.
    pub active_runs: Vec<RunView>,
    /// The newest ended runs, newest first; at most ten.
    pub recent_runs: Vec<RunView>,
    /// All backups together.
    pub storage: StorageTotals,
    /// The scheduler.
    pub scheduler: SchedulerView,
}

/// How much is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct StorageTotals {
    /// Backups.
    pub backups: u64,
    /// Bytes stored, copies included.
    pub bytes: u64,
    /// Destinations that hold at least one.
    pub destinations: u32,
}

/// One thing that needs somebody.
#[derive(Debug, Clone, Serialize, TS)]
#[ts(export)]
pub struct Need {
    /// What it is about.
    pub kind: NeedKind,
    /// The database concerned.
    pub database_id: Option<DatabaseId>,
    /// Its name, for the sentence.
    pub database_name: Option<String>,
    /// The destination concerned.
    pub destination_id: Option<DestinationId>,
    /// Its name.
    pub destination_name: Option<String>,
    /// The run that failed.
    pub run_id: Option<RunId>,
    /// The backup whose copy is concerned; of several, the newest.
    pub backup_id: Option<BackupId>,
    /// Why.
    pub failure: Option<Failure>,
    /// Since when.
    #[ts(type = "string | null")]
    pub since: Option<Timestamp>,
}

/// The kinds of things that need somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum NeedKind {
    /// A database does not answer.
    DatabaseDown,
    /// The newest backup run failed.
    BackupFailed,
    /// No good backup within the plan's period and a half.
    Overdue,
    /// The keyring is locked or absent while passwords are needed.
    Keyring,
    /// A destination asks for something: a new sign-in, or it was not there when it was last looked at.
    Destination,
    /// A channel takes no messages before somebody does something; `destination_name` is its name.
    Channel,
    /// A copy is damaged or missing, and there is none to repair it from.
    CopyLost,
    /// A copy is owed and could not be made for a day.
    CopyOwed,
    /// The newest drill of a database found that a backup does not come back as it was dumped, or could not be made.
    NotProved,
    /// No backup of a database was proved for 90 days.
    Unproved,
    /// The recovery kit was never saved, and backups are encrypted to this machine's own key.
    KitUnsaved,
    /// A database is no longer on its server.
    DatabaseVanished,
    /// A database has a plan and no backup yet, and none is running.
    NeverBackedUp,
    /// A database has no plan.
    NoPlan,
}

/// A database in a list.
#[derive(Debug, Clone, Serialize, TS)]
#[ts(export)]
pub struct DatabaseSummary {
    /// Its id.
    pub id: DatabaseId,
    /// Its name on the server.
    pub name: String,
    /// Its server.
    pub server_id: ServerId,
    /// The server's name.
    pub server_name: String,
    /// What it is used for.
    pub environment: Environment,
    /// Its state in one word.
    pub status: DatabaseStatus,
    /// The newest backup.
    pub last_backup: Option<BackupView>,
    /// What the newest drill found, of whichever of its backups.
    pub proof: Option<ProofView>,
    /// When a drill last proved one of its backups.
    #[ts(type = "string | null")]
    pub proved_at: Option<Timestamp>,
    /// The newest ended backup run.
    pub last_run: Option<RunView>,
    /// The backup run at work, waiting or queued.
    pub active_run: Option<RunView>,
    /// When its plan is due next.
    #[ts(type = "string | null")]
    pub next_run: Option<Timestamp>,
    /// The plan that covers it.
    pub plan: Option<Plan>,
    /// How it stands, from its checks; none where it never was watched.
    pub health: Option<HealthView>,
    /// The last 24 hours in buckets of half an hour.
    pub day: Option<Bar>,
    /// The newest backups' stored sizes, oldest first; at most thirty.
    pub sizes: Vec<u64>,
}

/// A database's state in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum DatabaseStatus {
    /// Backed up, nothing to do.
    Good,
    /// A run is at work.
    Running,
    /// A run is queued or waits.
    Waiting,
    /// The newest run failed.
    Failed,
    /// No good backup within the plan's period and a half.
    Overdue,
    /// No backup yet.
    Never,
    /// The plan is disabled or there is none; backups are kept.
    Paused,
    /// No longer on its server; backups are kept.
    Vanished,
}

/// A database's own page.
#[derive(Debug, Clone, Serialize, TS)]
#[ts(export)]
pub struct DatabasePage {
    /// The database.
    pub database: DatabaseSummary,
    /// Its server.
    pub server: ServerView,
    /// Its plan's next five due times.
    #[ts(type = "string[]")]
    pub next_runs: Vec<Timestamp>,
    /// Its backups, newest first; at most 200.
    pub backups: Vec<BackupView>,
    /// Its runs, newest first; at most 50.
    pub runs: Vec<RunView>,
}

/// The scheduler's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct SchedulerView {
    /// Whether this process runs the schedule, or another one of the same data directory does.
    pub owned: bool,
    /// Paused until then.
    #[ts(type = "string | null")]
    pub paused_until: Option<Timestamp>,
    /// What is due next.
    pub next: Option<NextRun>,
    /// Runs at work.
    pub running: u32,
}

/// What is due next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct NextRun {
    /// When.
    #[ts(type = "string")]
    pub at: Timestamp,
    /// The plan.
    pub plan_id: PlanId,
    /// The database's name, or the server's where the plan covers all.
    pub name: String,
}
