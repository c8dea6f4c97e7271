//! A plan: what of a database is backed up, when, and to where.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::{Conditions, DestinationId, DrillRule, PlanId, RetentionRule, Schedule, ServerId};

/// A schema-qualified table name, unquoted: exactly as in `pg_class.relname` and `pg_namespace.nspname`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct TableName {
    /// The schema's name.
    pub schema: String,
    /// The table's name.
    pub name: String,
}

/// Which databases of the server a plan covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
#[ts(export)]
pub enum Scope {
    /// One database, by name.
    Database {
        /// Its name.
        name: String,
    },
    /// Every database that allows connections and is no template, also those created later.
    AllDatabases {
        /// Names left out.
        #[serde(default)]
        except: Vec<String>,
    },
}

/// What of a database is dumped. Empty lists mean "no restriction". Names are exact, never patterns.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, TS)]
#[serde(default)]
#[ts(export)]
pub struct Selection {
    /// Only these schemas.
    pub schemas: Vec<String>,
    /// Not these schemas.
    pub exclude_schemas: Vec<String>,
    /// Only these tables.
    pub tables: Vec<TableName>,
    /// Not these tables.
    pub exclude_tables: Vec<TableName>,
    /// These tables' definitions without their rows.
    pub exclude_data: Vec<TableName>,
    /// Whether extensions go along although schemas or tables were chosen (pg_dump 14 and later leaves them out then).
    pub keep_extensions: bool,
    /// Whether large objects go along although schemas or tables were chosen.
    pub keep_large_objects: bool,
}

impl Selection {
    /// Whether pg_dump is told to take only a part, which leaves out extensions and large objects by default.
    pub fn is_partial(&self) -> bool {
        !self.schemas.is_empty() || !self.tables.is_empty()
    }
}

/// Who can read a plan's backups.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, TS)]
#[serde(tag = "with", rename_all = "snake_case")]
#[ts(export)]
pub enum Encryption {
    /// Everybody who gets at the files.
    #[default]
    None,
    /// Whoever holds the secret key of one of these recipients. A machine that holds none of them can back up and not read.
    Keys {
        /// The public keys, `age1…`.
        recipients: Vec<String>,
    },
    /// Whoever knows the passphrase, which is in the keyring.
    Passphrase,
}

/// What is backed up, when, to where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct Plan {
    /// Its id.
    pub id: PlanId,
    /// The server whose databases it covers.
    pub server_id: ServerId,
    /// Which of them.
    pub scope: Scope,
    /// What of each.
    pub selection: Selection,
    /// Whether roles and other globals are saved beside each dump.
    pub globals: bool,
    /// When.
    pub schedule: Schedule,
    /// The IANA time zone in which the schedule is meant, such as `Europe/Berlin`.
    pub time_zone: String,
    /// Where to, all in one pass.
    pub destinations: Vec<DestinationId>,
    /// Who can read the backups.
    pub encryption: Encryption,
    /// For how long backups are kept.
    pub retention: RetentionRule,
    /// When its backups are proved by a drill, and what must be true in them.
    #[serde(default)]
    pub drill: DrillRule,
    /// What its scheduled backups wait for, and what becomes of missed ones.
    #[serde(default)]
    pub conditions: Conditions,
    /// zstd's compression level.
    pub level: i32,
    /// Whether the schedule starts it.
    pub enabled: bool,
    /// When it was made.
    #[ts(type = "string")]
    pub created_at: Timestamp,
}
