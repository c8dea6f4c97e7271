//! Local instances: PostgreSQLs on this machine, and what is restored into them.

use std::path::PathBuf;

use howdah_domain::{BackupId, InstanceId};
use jiff::Timestamp;
use serde::Serialize;
use ts_rs::TS;

/// A local instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct InstanceView {
    /// Its id.
    pub id: InstanceId,
    /// What the user calls it.
    pub name: String,
    /// PostgreSQL's major version.
    pub major: u32,
    /// Whether it runs.
    pub state: InstanceState,
    /// Its port on 127.0.0.1, while it runs.
    pub port: Option<u16>,
    /// The role to log in as.
    pub role: String,
    /// The database that was restored into it.
    pub database: Option<String>,
    /// The backup that was.
    pub backup_id: Option<BackupId>,
    /// Its folder.
    pub folder: PathBuf,
    /// Bytes on the disk.
    pub disk_bytes: u64,
    /// How it is reached, without the password; absent while it does not run.
    pub url: Option<String>,
    /// When it was made.
    #[ts(type = "string")]
    pub created_at: Timestamp,
}

/// Whether a local instance runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum InstanceState {
    /// A backup is being restored into it.
    Making,
    /// It takes connections.
    Running,
    /// It does not run.
    Stopped,
    /// Its folder is not there any more.
    Lost,
}
