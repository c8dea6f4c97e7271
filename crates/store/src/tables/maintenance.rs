//! Maintenance windows: which databases, when, what for. When that is, is [`MaintenanceTime`]'s to say.

use howdah_domain::{DatabaseId, MaintenanceId, MaintenanceTime};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::found;
use crate::{
    Result,
    column::{Id, Json, Time},
};

/// A maintenance window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maintenance {
    /// Its id.
    pub id: MaintenanceId,
    /// The databases concerned; empty is all.
    pub databases: Vec<DatabaseId>,
    /// When.
    pub when: MaintenanceTime,
    /// What for.
    pub note: String,
    /// When it was made.
    pub created_at: Timestamp,
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Maintenance> {
    Ok(Maintenance {
        id: row.get::<_, Id<_>>("id")?.0,
        databases: row.get::<_, Json<_>>("databases")?.0,
        when: row.get::<_, Json<_>>("time")?.0,
        note: row.get("note")?,
        created_at: row.get::<_, Time>("created_at")?.0,
    })
}

/// Writes a window down, or anew; when it was made stays.
pub fn put(connection: &Connection, maintenance: &Maintenance) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO maintenance (id, databases, time, note, created_at)
             VALUES (:id, :databases, :time, :note, :created_at)
             ON CONFLICT (id) DO UPDATE SET databases = excluded.databases, time = excluded.time, note = excluded.note",
        )?
        .execute(named_params! {
            ":id": Id(&maintenance.id),
            ":databases": Json(&maintenance.databases),
            ":time": Json(&maintenance.when),
            ":note": maintenance.note,
            ":created_at": Time(maintenance.created_at),
        })?;
    Ok(())
}

/// A window.
pub fn get(connection: &Connection, id: &MaintenanceId) -> Result<Option<Maintenance>> {
    Ok(connection
        .prepare_cached("SELECT * FROM maintenance WHERE id = ?1")?
        .query_row([Id(id)], from_row)
        .optional()?)
}

/// All windows, those that have passed too, in the order they were made.
pub fn list(connection: &Connection) -> Result<Vec<Maintenance>> {
    Ok(connection
        .prepare_cached("SELECT * FROM maintenance ORDER BY created_at, id")?
        .query_map([], from_row)?
        .collect::<rusqlite::Result<_>>()?)
}

/// Removes a window.
///
/// # Errors
/// [`Error::NotFound`](crate::Error::NotFound).
pub fn remove(connection: &Connection, id: &MaintenanceId) -> Result<()> {
    let changed = connection
        .prepare_cached("DELETE FROM maintenance WHERE id = ?1")?
        .execute([Id(id)])?;
    found(changed, "maintenance window")
}
