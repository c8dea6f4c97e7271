//! Backups and their copies. A backup is good where at least one copy is present and not known to be damaged.

use howdah_domain::{BackupId, DatabaseId, DestinationId, Failure, Place, RunId};
use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{Connection, Row, ToSql, named_params};
use serde::{Deserialize, Serialize};

use super::drills::Proof;
use super::found;
use crate::{
    Result,
    column::{Id, Json, Size, Time, Word, time},
};

/// A backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// Its id and folder name.
    pub id: BackupId,
    /// The database it is of.
    pub database_id: DatabaseId,
    /// The run that made it.
    pub run_id: Option<RunId>,
    /// The database's name then.
    pub database_name: String,
    /// The server's name then.
    pub server_name: String,
    /// When the dump began.
    pub started_at: Timestamp,
    /// When the manifest was written.
    pub finished_at: Timestamp,
    /// Bytes of the dump, uncompressed.
    pub raw_bytes: u64,
    /// Bytes of all files of one copy.
    pub stored_bytes: u64,
    /// Tables with data entries.
    pub tables: u64,
    /// Rows of all tables.
    pub rows: u64,
    /// The server's version then.
    pub server_version: String,
    /// pg_dump's version.
    pub client_version: String,
    /// Whether no rule ever deletes it.
    pub pinned: bool,
    /// How it is encrypted, as its manifest has it; none is plain.
    pub encryption: Option<BackupEncryption>,
    /// What its newest drill found; read with the backup, not written with it.
    pub proof: Option<Proof>,
    /// Where it lies.
    pub copies: Vec<BackupCopy>,
}

impl Backup {
    /// Whether a copy is there and not known to be damaged.
    pub fn is_good(&self) -> bool {
        self.copies.iter().any(|copy| copy.state == CopyState::Present)
    }

    /// When a copy was last read back and found whole.
    pub fn verified_at(&self) -> Option<Timestamp> {
        self.copies.iter().filter_map(|copy| copy.verified_at).max()
    }
}

/// How a backup is encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BackupEncryption {
    /// The age recipients whose keys open it.
    #[serde(default)]
    pub age_recipients: Vec<String>,
    /// Whether a passphrase opens it instead.
    #[serde(default)]
    pub age_passphrase: bool,
}

/// A backup on one destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupCopy {
    /// The destination.
    pub destination_id: DestinationId,
    /// Its name; read with the copy, not written with it.
    pub destination_name: String,
    /// Its place; read with the copy, not written with it.
    pub place: Place,
    /// The backup's folder, relative to the place, with slashes.
    pub path: String,
    /// Whether it is there.
    pub state: CopyState,
    /// When it was last read back and found whole.
    pub verified_at: Option<Timestamp>,
    /// When it was last checked, whatever was found.
    pub looked_at: Option<Timestamp>,
    /// What is wrong with it, or why the last try to make or delete it failed.
    pub failure: Option<Failure>,
    /// How often making or deleting it failed.
    pub attempts: u32,
    /// When making or deleting it is tried (again).
    pub next_attempt_at: Option<Timestamp>,
    /// What the destination itself said of each file when it was written: name and checksum.
    pub checksums: Option<BTreeMap<String, String>>,
}

impl BackupCopy {
    /// A copy whose manifest is in place.
    pub fn present(destination_id: DestinationId, place: Place, path: impl Into<String>) -> Self {
        Self {
            destination_id,
            destination_name: String::new(),
            place,
            path: path.into(),
            state: CopyState::Present,
            verified_at: None,
            looked_at: None,
            failure: None,
            attempts: 0,
            next_attempt_at: None,
            checksums: None,
        }
    }

    /// A copy that could not be made in the same pass, and is to be made from another one at `at`.
    pub fn wanted(
        destination_id: DestinationId,
        place: Place,
        path: impl Into<String>,
        failure: Option<Failure>,
        at: Timestamp,
    ) -> Self {
        Self {
            state: CopyState::Wanted,
            failure,
            next_attempt_at: Some(at),
            ..Self::present(destination_id, place, path)
        }
    }

    /// Whether it is there, whole or not.
    pub fn is_there(&self) -> bool {
        matches!(self.state, CopyState::Present | CopyState::Damaged)
    }
}

/// Whether a copy is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CopyState {
    /// It is to be made from another copy.
    Wanted,
    /// Its manifest is in place.
    Present,
    /// It is not where it was written.
    Missing,
    /// It was read back and is not whole.
    Damaged,
    /// It is to be deleted, and may be half gone.
    Deleting,
}

/// All backups together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Backups with a copy that is not missing.
    pub backups: u64,
    /// Bytes of all copies that are not missing.
    pub bytes: u64,
    /// Destinations that hold at least one.
    pub destinations: u64,
}

/// A backup with the condition "has a good copy", for `backups b`.
pub(super) const GOOD: &str =
    "EXISTS (SELECT 1 FROM copies c WHERE c.backup_id = b.id AND c.state = 'present')";

fn from_row(row: &Row<'_>) -> rusqlite::Result<Backup> {
    Ok(Backup {
        id: row.get::<_, Id<_>>("id")?.0,
        database_id: row.get::<_, Id<_>>("database_id")?.0,
        run_id: row.get::<_, Option<Id<_>>>("run_id")?.map(|id| id.0),
        database_name: row.get("database_name")?,
        server_name: row.get("server_name")?,
        started_at: row.get::<_, Time>("started_at")?.0,
        finished_at: row.get::<_, Time>("finished_at")?.0,
        raw_bytes: row.get::<_, Size>("raw_bytes")?.0,
        stored_bytes: row.get::<_, Size>("stored_bytes")?.0,
        tables: row.get::<_, Size>("tables")?.0,
        rows: row.get::<_, Size>("row_count")?.0,
        server_version: row.get("server_version")?,
        client_version: row.get("client_version")?,
        pinned: row.get("pinned")?,
        encryption: row.get::<_, Option<Json<_>>>("encryption")?.map(|json| json.0),
        proof: match row.get::<_, Option<Time>>("p_finished_at")? {
            None => None,
            Some(Time(finished_at)) => Some(Proof {
                finished_at,
                proved: row.get("p_proved")?,
                run_id: row.get::<_, Option<Id<_>>>("p_run_id")?.map(|id| id.0),
            }),
        },
        copies: Vec::new(),
    })
}

fn copy_from_row(row: &Row<'_>) -> rusqlite::Result<Option<BackupCopy>> {
    let Some(Id(destination_id)) = row.get::<_, Option<Id<_>>>("c_destination_id")? else {
        return Ok(None);
    };
    Ok(Some(BackupCopy {
        destination_id,
        destination_name: row.get("c_destination_name")?,
        place: row.get::<_, Json<_>>("c_place")?.0,
        path: row.get("c_path")?,
        state: row.get::<_, Word<_>>("c_state")?.0,
        verified_at: row.get::<_, Option<Time>>("c_verified_at")?.map(|time| time.0),
        looked_at: row.get::<_, Option<Time>>("c_looked_at")?.map(|time| time.0),
        failure: row.get::<_, Option<Json<_>>>("c_failure")?.map(|json| json.0),
        attempts: row.get("c_attempts")?,
        next_attempt_at: row
            .get::<_, Option<Time>>("c_next_attempt_at")?
            .map(|time| time.0),
        checksums: row.get::<_, Option<Json<_>>>("c_checksums")?.map(|json| json.0),
    }))
}

/// Adds a backup with its copies: when its manifest is in place, in the transaction that removes its ledger entry.
pub fn insert(connection: &Connection, backup: &Backup) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO backups (id, database_id, run_id, database_name, server_name, started_at, finished_at, raw_bytes,
                stored_bytes, tables, row_count, server_version, client_version, pinned, encryption)
             VALUES (:id, :database_id, :run_id, :database_name, :server_name, :started_at, :finished_at, :raw_bytes,
                :stored_bytes, :tables, :row_count, :server_version, :client_version, :pinned, :encryption)",
        )?
        .execute(named_params! {
            ":id": Id(&backup.id),
            ":database_id": Id(&backup.database_id),
            ":run_id": backup.run_id.as_ref().map(Id),
            ":database_name": backup.database_name,
            ":server_name": backup.server_name,
            ":started_at": Time(backup.started_at),
            ":finished_at": Time(backup.finished_at),
            ":raw_bytes": Size(backup.raw_bytes),
            ":stored_bytes": Size(backup.stored_bytes),
            ":tables": Size(backup.tables),
            ":row_count": Size(backup.rows),
            ":server_version": backup.server_version,
            ":client_version": backup.client_version,
            ":pinned": backup.pinned,
            ":encryption": backup.encryption.as_ref().map(Json),
        })?;
    for copy in &backup.copies {
        insert_copy(connection, &backup.id, copy)?;
    }
    Ok(())
}

/// Adds a copy of a backup that is known.
pub fn insert_copy(connection: &Connection, id: &BackupId, copy: &BackupCopy) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO copies (backup_id, destination_id, path, state, verified_at, looked_at, failure, attempts, next_attempt_at,
                checksums)
             VALUES (:backup_id, :destination_id, :path, :state, :verified_at, :looked_at, :failure, :attempts, :next_attempt_at,
                :checksums)",
        )?
        .execute(named_params! {
            ":backup_id": Id(id),
            ":destination_id": Id(&copy.destination_id),
            ":path": copy.path,
            ":state": Word(copy.state),
            ":verified_at": time(copy.verified_at),
            ":looked_at": time(copy.looked_at),
            ":failure": copy.failure.as_ref().map(Json),
            ":attempts": copy.attempts,
            ":next_attempt_at": time(copy.next_attempt_at),
            ":checksums": copy.checksums.as_ref().map(Json),
        })?;
    Ok(())
}

/// Takes note of what a look at a copy found. `verified_at` is set where it was read back and found whole, and otherwise stays.
///
/// # Errors
/// [`Error::NotFound`](crate::Error::NotFound).
pub fn set_copy_state(
    connection: &Connection,
    id: &BackupId,
    destination_id: &DestinationId,
    state: CopyState,
    verified_at: Option<Timestamp>,
    failure: Option<&Failure>,
) -> Result<()> {
    let changed = connection
        .prepare_cached(
            "UPDATE copies SET state = :state, verified_at = coalesce(:verified_at, verified_at), failure = :failure
             WHERE backup_id = :backup_id AND destination_id = :destination_id",
        )?
        .execute(named_params! {
            ":backup_id": Id(id),
            ":destination_id": Id(destination_id),
            ":state": Word(state),
            ":verified_at": time(verified_at),
            ":failure": failure.map(Json),
        })?;
    found(changed, "copy")
}

/// A backup.
pub fn get(connection: &Connection, id: &BackupId) -> Result<Option<Backup>> {
    Ok(query(connection, "WHERE b.id = ?1", &[&Id(id)])?.pop())
}

/// Backups of one database or of all, newest first.
pub fn list(connection: &Connection, database_id: Option<&DatabaseId>, limit: u32) -> Result<Vec<Backup>> {
    match database_id {
        Some(database_id) => query(
            connection,
            "WHERE b.database_id = ?1 ORDER BY b.started_at DESC, b.id DESC LIMIT ?2",
            &[&Id(database_id), &limit],
        ),
        None => query(
            connection,
            "ORDER BY b.started_at DESC, b.id DESC LIMIT ?1",
            &[&limit],
        ),
    }
}

/// A database's newest good backup.
pub fn newest_good(connection: &Connection, database_id: &DatabaseId) -> Result<Option<Backup>> {
    Ok(query(
        connection,
        &format!("WHERE b.database_id = ?1 AND {GOOD} ORDER BY b.started_at DESC, b.id DESC LIMIT 1"),
        &[&Id(database_id)],
    )?
    .pop())
}

/// A database's good backups that began before `before`, newest first.
pub fn good_before(
    connection: &Connection,
    database_id: &DatabaseId,
    before: Timestamp,
    limit: u32,
) -> Result<Vec<Backup>> {
    query(
        connection,
        &format!(
            "WHERE b.database_id = ?1 AND b.started_at < ?2 AND {GOOD} ORDER BY b.started_at DESC, b.id DESC LIMIT ?3"
        ),
        &[&Id(database_id), &Time(before), &limit],
    )
}

/// Takes note of how making or deleting a copy went: its new state, or why it failed and when it is tried again.
///
/// # Errors
/// [`Error::NotFound`](crate::Error::NotFound).
pub fn update_copy(connection: &Connection, id: &BackupId, copy: &BackupCopy) -> Result<()> {
    let changed = connection
        .prepare_cached(
            "UPDATE copies SET path = :path, state = :state, verified_at = :verified_at, looked_at = :looked_at, failure = :failure,
                attempts = :attempts, next_attempt_at = :next_attempt_at, checksums = :checksums
             WHERE backup_id = :backup_id AND destination_id = :destination_id",
        )?
        .execute(named_params! {
            ":backup_id": Id(id),
            ":destination_id": Id(&copy.destination_id),
            ":path": copy.path,
            ":state": Word(copy.state),
            ":verified_at": time(copy.verified_at),
            ":looked_at": time(copy.looked_at),
            ":failure": copy.failure.as_ref().map(Json),
            ":attempts": copy.attempts,
            ":next_attempt_at": time(copy.next_attempt_at),
            ":checksums": copy.checksums.as_ref().map(Json),
        })?;
    found(changed, "copy")
}

/// Writes a copy anew where it is still as it was when `seen`: in the same state and at the same path. Answers whether it was.
pub fn update_unchanged_copy(
    connection: &Connection,
    id: &BackupId,
    seen: &BackupCopy,
    copy: &BackupCopy,
) -> Result<bool> {
    let now = get(connection, id)?.and_then(|backup| {
        backup
            .copies
            .into_iter()
            .find(|copy| copy.destination_id == seen.destination_id)
    });
    let unchanged = now.is_some_and(|now| now.state == seen.state && now.path == seen.path);
    if unchanged {
        update_copy(connection, id, copy)?;
    }
    Ok(unchanged)
}

/// Forgets a copy that is gone; with the last one goes the backup.
pub fn remove_copy(connection: &Connection, id: &BackupId, destination_id: &DestinationId) -> Result<()> {
    connection
        .prepare_cached("DELETE FROM copies WHERE backup_id = ?1 AND destination_id = ?2")?
        .execute((Id(id), Id(destination_id)))?;
    connection
        .prepare_cached(
            "DELETE FROM backups WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM copies WHERE backup_id = ?1)",
        )?
        .execute([Id(id)])?;
    Ok(())
}

/// Backups with a copy that is to be made or deleted at `now` or before, the longest waiting first.
pub fn owed(connection: &Connection, now: Timestamp, limit: u32) -> Result<Vec<Backup>> {
    query(
        connection,
        "WHERE b.id IN (SELECT c.backup_id FROM copies c WHERE c.state IN ('wanted', 'deleting')
            AND c.next_attempt_at <= ?1 ORDER BY c.next_attempt_at LIMIT ?2)",
        &[&Time(now), &limit],
    )
}

/// A database's backups with a copy that is to be deleted at `now` or before, oldest first.
pub fn deleting_of(connection: &Connection, database_id: &DatabaseId, now: Timestamp) -> Result<Vec<Backup>> {
    let mut found = query(
        connection,
        "WHERE b.database_id = ?1 AND EXISTS (SELECT 1 FROM copies c WHERE c.backup_id = b.id
            AND c.state = 'deleting' AND c.next_attempt_at <= ?2)",
        &[&Id(database_id), &Time(now)],
    )?;
    found.reverse();
    Ok(found)
}

/// When the next copy is to be made or deleted.
pub fn next_owed(connection: &Connection) -> Result<Option<Timestamp>> {
    Ok(connection
        .prepare_cached("SELECT min(next_attempt_at) FROM copies WHERE state IN ('wanted', 'deleting')")?
        .query_row([], |row| row.get::<_, Option<Time>>(0))?
        .map(|time| time.0))
}

/// Every copy that is listed at a destination.
pub fn copies_on(
    connection: &Connection,
    destination_id: &DestinationId,
) -> Result<Vec<(BackupId, BackupCopy)>> {
    let found = query(
        connection,
        "WHERE b.id IN (SELECT c.backup_id FROM copies c WHERE c.destination_id = ?1)",
        &[&Id(destination_id)],
    )?;
    Ok(found
        .into_iter()
        .filter_map(|backup| {
            let copy = backup
                .copies
                .into_iter()
                .find(|copy| copy.destination_id == *destination_id)?;
            Some((backup.id, copy))
        })
        .collect())
}

/// Keeps a backup from every rule, or no longer.
///
/// # Errors
/// [`Error::NotFound`](crate::Error::NotFound).
pub fn set_pinned(connection: &Connection, id: &BackupId, pinned: bool) -> Result<()> {
    let changed = connection
        .prepare_cached("UPDATE backups SET pinned = ?2 WHERE id = ?1")?
        .execute((Id(id), pinned))?;
    found(changed, "backup")
}

/// Removes a backup from the catalogue with its copies. The files are the caller's.
///
/// # Errors
/// [`Error::NotFound`](crate::Error::NotFound).
pub fn remove(connection: &Connection, id: &BackupId) -> Result<()> {
    let changed = connection
        .prepare_cached("DELETE FROM backups WHERE id = ?1")?
        .execute([Id(id)])?;
    found(changed, "backup")
}

/// All backups together.
pub fn totals(connection: &Connection) -> Result<Totals> {
    Ok(connection
        .prepare_cached(
            "SELECT count(DISTINCT c.backup_id), coalesce(sum(b.stored_bytes), 0), count(DISTINCT c.destination_id)
             FROM copies c JOIN backups b ON b.id = c.backup_id WHERE c.state IN ('present', 'damaged')",
        )?
        .query_row([], |row| {
            Ok(Totals {
                backups: row.get::<_, Size>(0)?.0,
                bytes: row.get::<_, Size>(1)?.0,
                destinations: row.get::<_, Size>(2)?.0,
            })
        })?)
}

/// Backups with their copies, in one query: those that `rest` chooses among `backups b`, newest first.
pub(super) fn query(connection: &Connection, rest: &str, parameters: &[&dyn ToSql]) -> Result<Vec<Backup>> {
    let mut statement = connection.prepare_cached(&format!(
        "WITH chosen AS MATERIALIZED (SELECT b.* FROM backups b {rest})
         SELECT chosen.*, c.destination_id AS c_destination_id, c.path AS c_path, c.state AS c_state,
            c.verified_at AS c_verified_at, c.failure AS c_failure, c.attempts AS c_attempts,
            c.next_attempt_at AS c_next_attempt_at, c.looked_at AS c_looked_at, c.checksums AS c_checksums,
            d.name AS c_destination_name, d.place AS c_place,
            p.finished_at AS p_finished_at, p.proved AS p_proved, p.run_id AS p_run_id
         FROM chosen LEFT JOIN drills p ON p.number = (SELECT max(number) FROM drills WHERE backup_id = chosen.id)
         LEFT JOIN copies c ON c.backup_id = chosen.id LEFT JOIN destinations d ON d.id = c.destination_id
         ORDER BY chosen.started_at DESC, chosen.id DESC, d.name"
    ))?;
    let mut rows = statement.query(parameters)?;
    let mut backups: Vec<Backup> = Vec::new();
    while let Some(row) = rows.next()? {
        let Id(id) = row.get::<_, Id<BackupId>>("id")?;
        if backups.last().is_none_or(|backup| backup.id != id) {
            backups.push(from_row(row)?);
        }
        if let (Some(copy), Some(backup)) = (copy_from_row(row)?, backups.last_mut()) {
            backup.copies.push(copy);
        }
    }
    Ok(backups)
}
