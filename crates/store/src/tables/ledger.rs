//! The ledger: what is being written, and where. An entry stands here from before the first byte until the manifest is in
//! place or the leavings are gone, so that whatever happens in between, somebody knows what to remove.

use howdah_domain::{Place, RunId};
use jiff::Timestamp;
use rusqlite::{Connection, Row, named_params};

use crate::{
    OwnerId, Result,
    column::{Id, Json, Time},
};

/// A backup folder in the making.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerEntry {
    /// The entry's number.
    pub number: i64,
    /// The process that writes, or that has to clean up.
    pub owner: OwnerId,
    /// The run.
    pub run_id: Option<RunId>,
    /// The destination's place.
    pub place: Place,
    /// The backup's folder, relative to it, with slashes.
    pub path: String,
    /// When writing began.
    pub begun_at: Timestamp,
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<LedgerEntry> {
    Ok(LedgerEntry {
        number: row.get("number")?,
        owner: row.get::<_, Id<_>>("owner")?.0,
        run_id: row.get::<_, Option<Id<_>>>("run_id")?.map(|id| id.0),
        place: match row.get::<_, Option<Json<_>>>("place")? {
            Some(Json(place)) => place,
            // Entries of the first version, which knew folders only.
            None => Place::folder(row.get::<_, String>("root")?),
        },
        path: row.get("path")?,
        begun_at: row.get::<_, Time>("begun_at")?.0,
    })
}

/// Takes note of a folder before its first byte is written.
pub fn begin(
    connection: &Connection,
    owner: &OwnerId,
    run_id: Option<&RunId>,
    place: &Place,
    path: &str,
    now: Timestamp,
) -> Result<LedgerEntry> {
    connection
        .prepare_cached(
            "INSERT INTO ledger (owner, run_id, root, place, path, begun_at)
             VALUES (:owner, :run_id, :root, :place, :path, :begun_at)",
        )?
        .execute(named_params! {
            ":owner": Id(owner),
            ":run_id": run_id.map(Id),
            ":root": place.to_string(),
            ":place": Json(place),
            ":path": path,
            ":begun_at": Time(now),
        })?;
    Ok(LedgerEntry {
        number: connection.last_insert_rowid(),
        owner: owner.clone(),
        run_id: run_id.cloned(),
        place: place.clone(),
        path: path.to_owned(),
        begun_at: now,
    })
}

/// Removes an entry: the manifest is in place, or nothing is left. Does nothing where it is gone already.
pub fn remove(connection: &Connection, number: i64) -> Result<()> {
    connection
        .prepare_cached("DELETE FROM ledger WHERE number = ?1")?
        .execute([number])?;
    Ok(())
}

/// All entries, oldest first.
pub fn list(connection: &Connection) -> Result<Vec<LedgerEntry>> {
    Ok(connection
        .prepare_cached("SELECT * FROM ledger ORDER BY number")?
        .query_map([], from_row)?
        .collect::<rusqlite::Result<_>>()?)
}

/// An owner's entries, oldest first.
pub fn of_owner(connection: &Connection, owner: &OwnerId) -> Result<Vec<LedgerEntry>> {
    Ok(connection
        .prepare_cached("SELECT * FROM ledger WHERE owner = ?1 ORDER BY number")?
        .query_map([Id(owner)], from_row)?
        .collect::<rusqlite::Result<_>>()?)
}

/// Gives a dead owner's entry to a living one.
pub(crate) fn adopt(connection: &Connection, entry: LedgerEntry, owner: &OwnerId) -> Result<LedgerEntry> {
    connection
        .prepare_cached("UPDATE ledger SET owner = ?2 WHERE number = ?1")?
        .execute((entry.number, Id(owner)))?;
    Ok(LedgerEntry {
        owner: owner.clone(),
        ..entry
    })
}
