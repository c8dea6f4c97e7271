//! What crosses between the engine and the doors (window and command line): plain data, no secrets on the way out.
//!
//! Every type here becomes a TypeScript type in `ui/src/lib/ipc/generated` (`make types`). Times are RFC 3339
//! strings in UTC, sizes are bytes, durations are milliseconds.

use std::path::PathBuf;

use howdah_domain::schedule::TimeOfDay;
use howdah_domain::{
    BackupId, Connection, DatabaseId, DestinationId, Environment, Failure, Plan, PlanId, Progress, RunId,
    RunKind, RunState, Schedule, Scope, Secret, Selection, ServerId, Trigger,
};
pub use howdah_domain::{TestReport, TestState, TestStep, TestStepId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

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
    /// The run that failed.
    pub run_id: Option<RunId>,
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
    /// The newest backup run failed.
    BackupFailed,
    /// No good backup within the plan's period and a half.
    Overdue,
    /// The keyring is locked or absent while passwords are needed.
    Keyring,
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
    /// The newest ended backup run.
    pub last_run: Option<RunView>,
    /// The run at work, waiting or queued.
    pub active_run: Option<RunView>,
    /// When its plan is due next.
    #[ts(type = "string | null")]
    pub next_run: Option<Timestamp>,
    /// The plan that covers it.
    pub plan: Option<Plan>,
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

/// A server.
#[derive(Debug, Clone, Serialize, TS)]
#[ts(export)]
pub struct ServerView {
    /// Its id.
    pub id: ServerId,
    /// What the user calls it.
    pub name: String,
    /// How it is reached.
    pub connection: Connection,
    /// What it is used for.
    pub environment: Environment,
    /// Whether the keyring is said to hold a password for it.
    pub has_password: bool,
}

/// A new server.
#[derive(Debug, Clone, Deserialize, TS)]
#[ts(export)]
pub struct NewServer {
    /// What the user calls it; empty means host name.
    pub name: String,
    /// How it is reached.
    pub connection: Connection,
    /// Its password, which goes to the keyring.
    #[ts(type = "string | null")]
    pub password: Option<Secret>,
    /// What it is used for.
    pub environment: Environment,
}

/// A change to a server. Absent fields stay.
#[derive(Debug, Clone, Deserialize, TS)]
#[ts(export)]
pub struct ServerChange {
    /// Its name.
    #[ts(optional)]
    pub name: Option<String>,
    /// How it is reached.
    #[ts(optional)]
    pub connection: Option<Connection>,
    /// A new password; the empty text removes the old one.
    #[ts(type = "string", optional)]
    pub password: Option<Secret>,
    /// What it is used for.
    #[ts(optional)]
    pub environment: Option<Environment>,
}

/// What was understood of a pasted connection.
#[derive(Debug, Clone, Serialize, TS)]
#[ts(export)]
pub struct ParsedConnection {
    /// The connection, with defaults where the text is silent.
    pub connection: Connection,
    /// Whether the text held a password. It is handed back by no command: the form sends the text again.
    pub has_password: bool,
    /// What was left aside or is unwise, as sentences.
    pub warnings: Vec<String>,
}

/// What to test: a pasted text or a form, or a server known already.
#[derive(Debug, Clone, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
#[ts(export)]
pub enum ConnectionInput {
    /// A pasted text; may hold the password.
    Text {
        /// The text.
        #[ts(type = "string")]
        text: Secret,
        /// A password typed beside it.
        #[ts(type = "string | null")]
        password: Option<Secret>,
    },
    /// A filled form.
    Form {
        /// The connection.
        connection: Connection,
        /// The password typed.
        #[ts(type = "string | null")]
        password: Option<Secret>,
    },
    /// A server known already, with the password in the keyring.
    Server {
        /// Its id.
        id: ServerId,
    },
}

/// A test of a connection.
#[derive(Debug, Clone, Deserialize, TS)]
#[ts(export)]
pub struct TestRequest {
    /// The caller's name for this test, sent with each of its events.
    pub test_id: String,
    /// What to test.
    pub input: ConnectionInput,
    /// What of the database the plan would take.
    #[serde(default)]
    pub selection: Selection,
}

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
    /// Into which folder; `~/` is the home directory. A destination is made of it where none is there.
    pub folder: PathBuf,
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

/// A destination.
#[derive(Debug, Clone, Serialize, TS)]
#[ts(export)]
pub struct DestinationView {
    /// Its id.
    pub id: DestinationId,
    /// Its name.
    pub name: String,
    /// The folder.
    pub folder: PathBuf,
    /// Copies there.
    pub backups: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes free, where known.
    pub free_bytes: Option<u64>,
}

/// A backup in a list.
#[derive(Debug, Clone, Serialize, TS)]
#[ts(export)]
pub struct BackupView {
    /// Its id.
    pub id: BackupId,
    /// The database it is of.
    pub database_id: DatabaseId,
    /// That database's name then.
    pub database_name: String,
    /// The server's name then.
    pub server_name: String,
    /// The run that made it.
    pub run_id: Option<RunId>,
    /// When the dump began.
    #[ts(type = "string")]
    pub started_at: Timestamp,
    /// When the manifest was written.
    #[ts(type = "string")]
    pub finished_at: Timestamp,
    /// Bytes of the dump, uncompressed.
    pub raw_bytes: u64,
    /// Bytes of all files as stored.
    pub stored_bytes: u64,
    /// Tables with data entries.
    pub tables: u64,
    /// Rows of all tables.
    pub rows: u64,
    /// The server's version then.
    pub server_version: String,
    /// pg_dump's version.
    pub client_version: String,
    /// Where it lies.
    pub copies: Vec<CopyView>,
    /// When it was last read back and found whole.
    #[ts(type = "string | null")]
    pub verified_at: Option<Timestamp>,
}

/// A backup on one destination.
#[derive(Debug, Clone, Serialize, TS)]
#[ts(export)]
pub struct CopyView {
    /// The destination.
    pub destination_id: DestinationId,
    /// Its name.
    pub destination_name: String,
    /// The backup's folder, absolute.
    pub path: PathBuf,
    /// Whether its manifest is there.
    pub present: bool,
}

/// A backup's own page.
#[derive(Debug, Clone, Serialize, TS)]
#[ts(export)]
pub struct BackupPage {
    /// The backup.
    pub backup: BackupView,
    /// Its tables; empty where the index cannot be read.
    pub tables: Vec<TableView>,
    /// Why the tables cannot be shown.
    pub failure: Option<Failure>,
    /// The commands that restore it without Howdah.
    pub restore_by_hand: String,
    /// The database's encoding.
    pub encoding: String,
    /// The extensions the database uses.
    pub extensions: Vec<String>,
}

/// A table in a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct TableView {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Rows.
    pub rows: u64,
    /// Bytes of its COPY data, uncompressed.
    pub raw_bytes: u64,
    /// 32 hex digits (FORMAT: fingerprint).
    pub fingerprint: String,
}

/// A run in a list.
#[derive(Debug, Clone, Serialize, TS)]
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
    /// The five good backups of the same database before this run, newest first: to compare with.
    pub earlier: Vec<BackupView>,
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

/// The user's settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct Settings {
    /// Light, dark or the system's.
    pub theme: Theme,
    /// Whether a success is told by a native notification. A failure always is.
    pub notify_success: bool,
    /// Backups at work at once, at most. 1 to 8.
    pub parallel_backups: u32,
    /// Minutes without a byte from pg_dump before the run is ended. 1 to 1440.
    pub stall_minutes: u32,
    /// Seconds pg_dump waits for a lock (`--lock-wait-timeout`). 1 to 86400.
    pub lock_wait_seconds: u32,
    /// Where new plans put their backups.
    pub default_folder: PathBuf,
    /// When new plans run.
    pub default_time: TimeOfDay,
}

/// The window's colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum Theme {
    /// As the desktop has it.
    #[default]
    System,
    /// Light.
    Light,
    /// Dark.
    Dark,
}

/// What the settings page shows beside the settings.
#[derive(Debug, Clone, Serialize, TS)]
#[ts(export)]
pub struct SettingsPage {
    /// The settings.
    pub settings: Settings,
    /// Howdah's version.
    pub version: String,
    /// The data directory.
    pub data_dir: PathBuf,
    /// The bundled programs.
    pub programs: Vec<ProgramsView>,
    /// Whether passwords can be kept.
    pub keyring: KeyringState,
    /// The system's IANA time zone.
    pub time_zone: String,
    /// IANA time zones to choose from.
    pub time_zones: Vec<String>,
    /// Destinations.
    pub destinations: Vec<DestinationView>,
    /// Servers.
    pub servers: Vec<ServerView>,
}

/// The keyring's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum KeyringState {
    /// Passwords can be read and kept.
    Open,
    /// It asks for its own password first.
    Locked,
    /// There is none.
    Absent,
}

/// The bundled programs of one major.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct ProgramsView {
    /// 13 to 18.
    pub major: u16,
    /// The client programs' version, where they are there.
    pub client_version: Option<String>,
    /// The server programs' version, where they are there.
    pub server_version: Option<String>,
    /// Where they lie.
    pub path: PathBuf,
}

/// What happens, as it happens. One channel carries all.
#[derive(Debug, Clone, Serialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
#[ts(export)]
pub enum Event {
    /// A run came, or its state changed.
    Run {
        /// The run.
        run: RunView,
    },
    /// A run got further. At most four times a second for a run.
    Progress {
        /// Which.
        run_id: RunId,
        /// In which state.
        state: RunState,
        /// How far.
        progress: Progress,
    },
    /// A run wrote into its log.
    Log {
        /// Which.
        run_id: RunId,
        /// The lines.
        lines: Vec<LogLine>,
    },
    /// Servers, databases or plans changed.
    Databases,
    /// Backups came or went.
    Backups {
        /// Of which database.
        database_id: DatabaseId,
    },
    /// The scheduler's state changed.
    Scheduler {
        /// Its state.
        scheduler: SchedulerView,
    },
    /// Settings changed.
    Settings,
    /// A test got further.
    TestStep {
        /// The caller's name for the test.
        test_id: String,
        /// The line.
        step: TestStep,
    },
    /// The window is to show a page (from the tray or a notification).
    Navigate {
        /// A route of the window, such as `/runs/abc`.
        to: String,
    },
}
