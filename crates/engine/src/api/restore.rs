//! What is restored, where to and how; what drills say.

use howdah_domain::{
    BackupId, DrillReport, InstanceId, ReplacementId, RestoreContent, RunId, ServerId, TableName,
};
use howdah_postgres::restore::Options;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// A restore to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct RestoreWish {
    /// The backup.
    pub backup_id: BackupId,
    /// Where to.
    pub to: RestoreTarget,
    /// How.
    #[serde(default)]
    pub options: RestoreOptions,
}

/// Where a restore goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[ts(export)]
pub enum RestoreTarget {
    /// A new PostgreSQL on this machine.
    NewInstance {
        /// What to call it; without it, after the backup.
        #[serde(default)]
        name: Option<String>,
    },
    /// A new database in a local instance that runs.
    Instance {
        /// Which.
        instance_id: InstanceId,
        /// The new database's name.
        database: String,
    },
    /// A database on a server.
    Server {
        /// Which.
        server_id: ServerId,
        /// The database's name.
        database: String,
        /// Whether it takes the place of the one that is there, which is kept for a week; else it is a new one.
        #[serde(default)]
        replace: bool,
    },
}

/// How a backup is restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(default)]
#[ts(export)]
pub struct RestoreOptions {
    /// Only these tables, with what belongs to them; empty means everything.
    pub tables: Vec<TableName>,
    /// Only these schemas, with all that lies in them, besides `tables`.
    pub schemas: Vec<String>,
    /// Create the extensions.
    pub extensions: bool,
    /// Owners as they were dumped. Roles that the target lacks are errors then.
    pub owners: bool,
    /// Privileges as they were dumped, on the same terms.
    pub privileges: bool,
    /// Everything, only what is defined, or only rows; those into a database that is there.
    pub content: RestoreContent,
    /// Stop at the first error and keep nothing; else go on, and name each.
    pub exit_on_error: bool,
    /// Make the roles that the target lacks from the backup's globals. A local instance always has them made.
    pub roles: bool,
}

impl RestoreOptions {
    /// Whether everything that a backup holds is restored, whoever owns it then.
    pub(crate) fn is_all(&self) -> bool {
        self.content == RestoreContent::All
            && self.extensions
            && self.tables.is_empty()
            && self.schemas.is_empty()
    }

    /// As a restore takes them.
    pub fn for_restore(&self) -> Options {
        Options {
            create: self.content.has_definitions(),
            owners: self.owners,
            privileges: self.privileges,
            content: self.content,
            exit_on_error: self.exit_on_error,
            tables: self.tables.clone(),
            schemas: self.schemas.clone(),
            extensions: self.extensions,
            ..Options::default()
        }
    }
}

impl Default for RestoreOptions {
    fn default() -> Self {
        Self {
            tables: Vec::new(),
            schemas: Vec::new(),
            extensions: true,
            owners: true,
            privileges: true,
            content: RestoreContent::All,
            exit_on_error: false,
            roles: false,
        }
    }
}

/// What the newest drill of a backup found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct ProofView {
    /// Whether the backup is proved.
    pub proved: bool,
    /// When the drill ended.
    #[ts(type = "string")]
    pub at: Timestamp,
    /// Its run, while that is kept.
    pub run_id: Option<RunId>,
}

/// What a drill found, and what that means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct DrillView {
    /// Whether the backup is proved.
    pub proved: bool,
    /// What is wrong in one sentence; none where nothing is.
    pub verdict: Option<String>,
    /// What was found.
    pub report: DrillReport,
}

/// A database that a backup took the place of, and that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct ReplacementView {
    /// Its id.
    pub id: ReplacementId,
    /// The server.
    pub server_id: ServerId,
    /// The name in question.
    pub database: String,
    /// The name under which the one that was replaced is kept.
    pub kept: String,
    /// The backup that was restored.
    pub backup_id: BackupId,
    /// When that was.
    #[ts(type = "string")]
    pub replaced_at: Timestamp,
    /// Until when it is kept.
    #[ts(type = "string")]
    pub kept_until: Timestamp,
}
