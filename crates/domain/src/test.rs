//! What a test of a connection finds, line by line. How it is found out is not known here.

use serde::Serialize;
use ts_rs::TS;

use crate::Failure;

/// One line of a test's checklist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct TestStep {
    /// Which line.
    pub id: TestStepId,
    /// How it went.
    pub state: TestState,
    /// What was found, in a few words: `PostgreSQL 16.4`.
    pub finding: Option<String>,
    /// Where it failed or warns: what happened and what to do.
    pub failure: Option<Failure>,
    /// SQL that would help, to copy; never run by Howdah.
    pub sql: Option<String>,
}

impl TestStep {
    /// A line with neither finding nor failure.
    pub fn new(id: TestStepId, state: TestState) -> Self {
        Self {
            id,
            state,
            finding: None,
            failure: None,
            sql: None,
        }
    }

    /// Adds what was found.
    #[must_use]
    pub fn finding(mut self, finding: impl Into<String>) -> Self {
        self.finding = Some(finding.into());
        self
    }

    /// Adds what happened and what to do.
    #[must_use]
    pub fn failure(mut self, failure: Failure) -> Self {
        self.failure = Some(failure);
        self
    }

    /// Adds SQL that would help.
    #[must_use]
    pub fn sql(mut self, sql: impl Into<String>) -> Self {
        self.sql = Some(sql.into());
        self
    }
}

/// The lines of a test's checklist, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum TestStepId {
    /// The SSH tunnel is open. A line of connections that go through one.
    Tunnel,
    /// The host answers.
    Reach,
    /// TLS.
    Tls,
    /// Logged in.
    Login,
    /// The server's version is one Howdah can dump.
    Version,
    /// The database's size and number of tables.
    Size,
    /// Every object that the dump reads can be read.
    Rights,
    /// Nothing that is needed lies outside the chosen schemas.
    Selection,
    /// Roles and other globals can be read.
    Globals,
}

impl TestStepId {
    /// All lines, in the order in which they are shown and worked through.
    pub const ALL: [Self; 9] = [
        Self::Tunnel,
        Self::Reach,
        Self::Tls,
        Self::Login,
        Self::Version,
        Self::Size,
        Self::Rights,
        Self::Selection,
        Self::Globals,
    ];
}

/// How a line went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum TestState {
    /// At work.
    Running,
    /// Good.
    Passed,
    /// Good enough; worth knowing.
    Warning,
    /// Not good: a backup would fail.
    Failed,
    /// Not reached.
    Skipped,
}

/// What a test found.
#[derive(Debug, Clone, Serialize, TS)]
#[ts(export)]
pub struct TestReport {
    /// Whether a backup would work.
    pub ok: bool,
    /// The lines.
    pub steps: Vec<TestStep>,
    /// `16.4`.
    pub server_version: Option<String>,
    /// Milliseconds from connect to the first answer.
    pub latency_ms: Option<u32>,
    /// Bytes of the database on the server.
    pub database_bytes: Option<u64>,
    /// Tables the dump would read.
    pub tables: Option<u32>,
    /// The server's databases that a plan could cover.
    pub databases: Vec<String>,
    /// The database's schemas.
    pub schemas: Vec<String>,
    /// SQL that creates a role with the least rights a backup needs; to copy, never run by Howdah.
    pub role_sql: Option<String>,
}
