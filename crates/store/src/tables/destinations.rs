//! Destinations: where copies of backups live. Folders, for now.

use std::path::{Path, PathBuf};

use howdah_domain::DestinationId;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::{found, in_use, name_taken};
use crate::{
    Result,
    column::{Id, Size, Time, path, path_text, time},
};

/// A folder that holds backups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// Its id.
    pub id: DestinationId,
    /// What the user calls it; unique.
    pub name: String,
    /// The folder, absolute; unique.
    pub root: PathBuf,
    /// When it was added.
    pub created_at: Timestamp,
    /// When the folder was first there. From then on its absence is an error, and it is not made again.
    pub prepared_at: Option<Timestamp>,
}

/// What a destination holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// The destination.
    pub destination_id: DestinationId,
    /// Copies on it, but for missing ones.
    pub backups: u64,
    /// Their bytes.
    pub bytes: u64,
}

const COLUMNS: &str = "id, name, root, created_at, prepared_at";

fn from_row(row: &Row<'_>) -> rusqlite::Result<Destination> {
    Ok(Destination {
        id: row.get::<_, Id<_>>("id")?.0,
        name: row.get("name")?,
        root: path(row.get("root")?),
        created_at: row.get::<_, Time>("created_at")?.0,
        prepared_at: row.get::<_, Option<Time>>("prepared_at")?.map(|time| time.0),
    })
}

/// Adds a destination.
///
/// # Errors
/// [`Error::NameTaken`](crate::Error::NameTaken) where the name or the folder is one already,
/// [`Error::Unstorable`](crate::Error::Unstorable) for a path that is not Unicode.
pub fn insert(connection: &Connection, destination: &Destination) -> Result<()> {
    let root = path_text(&destination.root)?;
    connection
        .prepare_cached(
            "INSERT INTO destinations (id, name, kind, root, created_at, prepared_at)
             VALUES (:id, :name, 'folder', :root, :created_at, :prepared_at)",
        )?
        .execute(named_params! {
            ":id": Id(&destination.id),
            ":name": destination.name,
            ":root": root,
            ":created_at": Time(destination.created_at),
            ":prepared_at": time(destination.prepared_at),
        })
        .map_err(|error| name_taken(error, "destination", &destination.name))?;
    Ok(())
}

/// A destination.
pub fn get(connection: &Connection, id: &DestinationId) -> Result<Option<Destination>> {
    Ok(connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM destinations WHERE id = ?1"))?
        .query_row([Id(id)], from_row)
        .optional()?)
}

/// The destination of a folder.
pub fn by_root(connection: &Connection, root: &Path) -> Result<Option<Destination>> {
    Ok(connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM destinations WHERE root = ?1"))?
        .query_row([path_text(root)?], from_row)
        .optional()?)
}

/// All destinations, by name.
pub fn list(connection: &Connection) -> Result<Vec<Destination>> {
    Ok(connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM destinations ORDER BY name COLLATE NOCASE, id"
        ))?
        .query_map([], from_row)?
        .collect::<rusqlite::Result<_>>()?)
}

/// Takes note that the folder is there; the first time counts.
///
/// # Errors
/// [`Error::NotFound`](crate::Error::NotFound).
pub fn mark_prepared(connection: &Connection, id: &DestinationId, now: Timestamp) -> Result<()> {
    let changed = connection
        .prepare_cached("UPDATE destinations SET prepared_at = coalesce(prepared_at, ?2) WHERE id = ?1")?
        .execute((Id(id), Time(now)))?;
    found(changed, "destination")
}

/// Gives a destination another name.
///
/// # Errors
/// [`Error::NotFound`](crate::Error::NotFound), [`Error::NameTaken`](crate::Error::NameTaken).
pub fn rename(connection: &Connection, id: &DestinationId, name: &str) -> Result<()> {
    let changed = connection
        .prepare_cached("UPDATE destinations SET name = ?2 WHERE id = ?1")?
        .execute((Id(id), name))
        .map_err(|error| name_taken(error, "destination", name))?;
    found(changed, "destination")
}

/// Removes a destination to which nothing refers. Its folder is not touched.
///
/// # Errors
/// [`Error::InUse`](crate::Error::InUse) where a plan writes to it or backups lie there.
pub fn remove(connection: &Connection, id: &DestinationId) -> Result<()> {
    let changed = connection
        .prepare_cached("DELETE FROM destinations WHERE id = ?1")?
        .execute([Id(id)])
        .map_err(|error| in_use(error, "destination", "a plan writes to it, or backups lie there"))?;
    found(changed, "destination")
}

/// What each destination holds; those that hold nothing are left out.
pub fn usage(connection: &Connection) -> Result<Vec<Usage>> {
    Ok(connection
        .prepare_cached(
            "SELECT c.destination_id, count(*), sum(b.stored_bytes)
             FROM copies c JOIN backups b ON b.id = c.backup_id
             WHERE c.state <> 'missing' GROUP BY c.destination_id",
        )?
        .query_map([], |row| {
            Ok(Usage {
                destination_id: row.get::<_, Id<_>>(0)?.0,
                backups: row.get::<_, Size>(1)?.0,
                bytes: row.get::<_, Size>(2)?.0,
            })
        })?
        .collect::<rusqlite::Result<_>>()?)
}
