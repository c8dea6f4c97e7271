//! Copies that somebody should know of: damaged, missing, owed for too long.

use howdah_domain::{BackupId, DatabaseId, DestinationId, Failure};
use jiff::Timestamp;
use rusqlite::Connection;

use super::backups::CopyState;
use crate::{
    Result,
    column::{Id, Json, Size, Time, Word},
};

/// Copies of one database at one destination that are in one kind of trouble.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TroubledCopies {
    /// The database.
    pub database_id: DatabaseId,
    /// Its name.
    pub database_name: String,
    /// The destination.
    pub destination_id: DestinationId,
    /// Its name.
    pub destination_name: String,
    /// The trouble: [`CopyState::Missing`], [`CopyState::Damaged`], or [`CopyState::Wanted`] and [`CopyState::Deleting`] without
    /// success.
    pub state: CopyState,
    /// How many copies.
    pub copies: u64,
    /// The newest backup among them.
    pub backup_id: BackupId,
    /// When that backup was made.
    pub since: Timestamp,
    /// What is wrong with its copy.
    pub failure: Option<Failure>,
}

/// What is in trouble: copies that are damaged or missing, and those that were tried to be made or deleted in vain more than
/// `attempts` times. By database and destination.
pub fn list(connection: &Connection, attempts: u32) -> Result<Vec<TroubledCopies>> {
    Ok(connection
        .prepare_cached(
            // With max(), SQLite takes the other columns from the row that has it.
            "SELECT b.database_id, b.database_name, c.destination_id, d.name AS destination_name, c.state, count(*) AS copies,
                    b.id, max(b.finished_at) AS since, c.failure
             FROM copies c JOIN backups b ON b.id = c.backup_id JOIN destinations d ON d.id = c.destination_id
             WHERE c.state IN ('missing', 'damaged')
                OR (c.state IN ('wanted', 'deleting') AND c.attempts > ?1)
             GROUP BY b.database_id, c.destination_id, c.state
             ORDER BY b.database_name, d.name, c.state",
        )?
        .query_map([attempts], |row| {
            Ok(TroubledCopies {
                database_id: row.get::<_, Id<_>>("database_id")?.0,
                database_name: row.get("database_name")?,
                destination_id: row.get::<_, Id<_>>("destination_id")?.0,
                destination_name: row.get("destination_name")?,
                state: row.get::<_, Word<_>>("state")?.0,
                copies: row.get::<_, Size>("copies")?.0,
                backup_id: row.get::<_, Id<_>>("id")?.0,
                since: row.get::<_, Time>("since")?.0,
                failure: row.get::<_, Option<Json<_>>>("failure")?.map(|json| json.0),
            })
        })?
        .collect::<rusqlite::Result<_>>()?)
}
