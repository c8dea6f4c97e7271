//! Databases that a restored one takes, or took, the place of.

use howdah_domain::{BackupId, ReplacementId, ServerId};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, named_params};
use serde::{Deserialize, Serialize};

use super::found;
use crate::{
    OwnerId, Result,
    column::{Id, Time, Word, time},
};

/// How far a replacement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplacementState {
    /// The restored one is made beside the other.
    Restoring,
    /// The names are exchanged.
    Swapping,
    /// It is done; the one that was replaced is kept.
    Swapped,
}

/// A replacement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replacement {
    /// Its id.
    pub id: ReplacementId,
    /// The server.
    pub server_id: ServerId,
    /// The name in question.
    pub database: String,
    /// The name under which the restored one is made.
    pub restored: String,
    /// The backup that is restored.
    pub backup_id: BackupId,
    /// How far it is.
    pub state: ReplacementState,
    /// What the swap is about, as JSON of the caller's.
    pub record: Option<String>,
    /// The process that is at it.
    pub owner: Option<OwnerId>,
    /// When it began.
    pub created_at: Timestamp,
    /// When the one that was replaced is dropped.
    pub kept_until: Option<Timestamp>,
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Replacement> {
    Ok(Replacement {
        id: row.get::<_, Id<_>>("id")?.0,
        server_id: row.get::<_, Id<_>>("server_id")?.0,
        database: row.get("database")?,
        restored: row.get("restored")?,
        backup_id: row.get::<_, Id<_>>("backup_id")?.0,
        state: row.get::<_, Word<_>>("state")?.0,
        record: row.get("record")?,
        owner: row.get::<_, Option<Id<_>>>("owner")?.map(|id| id.0),
        created_at: row.get::<_, Time>("created_at")?.0,
        kept_until: row.get::<_, Option<Time>>("kept_until")?.map(|time| time.0),
    })
}

/// Writes a replacement down, or anew.
pub fn put(connection: &Connection, replacement: &Replacement) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO replacements (id, server_id, database, restored, backup_id, state, record, owner, created_at, kept_until)
             VALUES (:id, :server_id, :database, :restored, :backup_id, :state, :record, :owner, :created_at, :kept_until)
             ON CONFLICT (id) DO UPDATE SET state = excluded.state, record = excluded.record, owner = excluded.owner,
                kept_until = excluded.kept_until",
        )?
        .execute(named_params! {
            ":id": Id(&replacement.id),
            ":server_id": Id(&replacement.server_id),
            ":database": replacement.database,
            ":restored": replacement.restored,
            ":backup_id": Id(&replacement.backup_id),
            ":state": Word(replacement.state),
            ":record": replacement.record,
            ":owner": replacement.owner.as_ref().map(Id),
            ":created_at": Time(replacement.created_at),
            ":kept_until": time(replacement.kept_until),
        })?;
    Ok(())
}

/// A replacement.
pub fn get(connection: &Connection, id: &ReplacementId) -> Result<Option<Replacement>> {
    Ok(connection
        .prepare_cached("SELECT * FROM replacements WHERE id = ?1")?
        .query_row([Id(id)], from_row)
        .optional()?)
}

/// All replacements, newest first.
pub fn list(connection: &Connection) -> Result<Vec<Replacement>> {
    Ok(connection
        .prepare_cached("SELECT * FROM replacements ORDER BY created_at DESC, id")?
        .query_map([], from_row)?
        .collect::<rusqlite::Result<_>>()?)
}

/// Forgets a replacement: nothing of it is left but the one database.
///
/// # Errors
/// [`Error::NotFound`](crate::Error::NotFound).
pub fn remove(connection: &Connection, id: &ReplacementId) -> Result<()> {
    let changed = connection
        .prepare_cached("DELETE FROM replacements WHERE id = ?1")?
        .execute([Id(id)])?;
    found(changed, "replacement")
}
