//! Destinations: where copies of backups live, and under which name the keyring holds what opens each.

use howdah_domain::{DestinationId, Failure, Place};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::{found, in_use, name_taken};
use crate::{
    Result,
    column::{Id, Json, Size, Time, time},
};

/// A place that holds backups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// Its id.
    pub id: DestinationId,
    /// What the user calls it; unique.
    pub name: String,
    /// Where it is; unique.
    pub place: Place,
    /// The name of its secret in the keyring; `None` where it needs none.
    pub secret_reference: Option<String>,
    /// When it was added.
    pub created_at: Timestamp,
    /// When the place was first there. From then on its absence is an error, and it is not made again.
    pub prepared_at: Option<Timestamp>,
    /// When it was last looked at beside the work (a sign-in that may have ended, a disk that may be away).
    pub checked_at: Option<Timestamp>,
    /// What that look found to be wrong.
    pub failure: Option<Failure>,
}

/// What a destination holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// The destination.
    pub destination_id: DestinationId,
    /// Copies on it that are there.
    pub backups: u64,
    /// Their bytes.
    pub bytes: u64,
}

const COLUMNS: &str = "id, name, place, secret_reference, created_at, prepared_at, checked_at, failure";

fn from_row(row: &Row<'_>) -> rusqlite::Result<Destination> {
    Ok(Destination {
        id: row.get::<_, Id<_>>("id")?.0,
        name: row.get("name")?,
        place: row.get::<_, Json<_>>("place")?.0,
        secret_reference: row.get("secret_reference")?,
        created_at: row.get::<_, Time>("created_at")?.0,
        prepared_at: row.get::<_, Option<Time>>("prepared_at")?.map(|time| time.0),
        checked_at: row.get::<_, Option<Time>>("checked_at")?.map(|time| time.0),
        failure: row.get::<_, Option<Json<_>>>("failure")?.map(|json| json.0),
    })
}

/// Adds a destination.
///
/// # Errors
/// [`Error::NameTaken`](crate::Error::NameTaken) where the name or the place is one already.
pub fn insert(connection: &Connection, destination: &Destination) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO destinations (id, name, place, location, secret_reference, created_at, prepared_at, checked_at, failure)
             VALUES (:id, :name, :place, :location, :secret_reference, :created_at, :prepared_at, :checked_at, :failure)",
        )?
        .execute(named_params! {
            ":id": Id(&destination.id),
            ":name": destination.name,
            ":place": Json(&destination.place),
            ":location": destination.place.to_string(),
            ":secret_reference": destination.secret_reference,
            ":created_at": Time(destination.created_at),
            ":prepared_at": time(destination.prepared_at),
            ":checked_at": time(destination.checked_at),
            ":failure": destination.failure.as_ref().map(Json),
        })
        .map_err(|error| name_taken(error, "destination", &destination.name))?;
    Ok(())
}

/// Writes a destination's name, place and secret reference anew. Its copies stay listed: they are expected at the new place.
///
/// # Errors
/// [`Error::NotFound`](crate::Error::NotFound), [`Error::NameTaken`](crate::Error::NameTaken).
pub fn update(connection: &Connection, destination: &Destination) -> Result<()> {
    let changed = connection
        .prepare_cached(
            "UPDATE destinations SET name = :name, place = :place, location = :location, secret_reference = :secret_reference
             WHERE id = :id",
        )?
        .execute(named_params! {
            ":id": Id(&destination.id),
            ":name": destination.name,
            ":place": Json(&destination.place),
            ":location": destination.place.to_string(),
            ":secret_reference": destination.secret_reference,
        })
        .map_err(|error| name_taken(error, "destination", &destination.name))?;
    found(changed, "destination")
}

/// Takes note of a look at a destination beside the work: what is wrong with it, or that nothing is.
///
/// # Errors
/// [`Error::NotFound`](crate::Error::NotFound).
pub fn set_checked(
    connection: &Connection,
    id: &DestinationId,
    now: Timestamp,
    failure: Option<&Failure>,
) -> Result<()> {
    let changed = connection
        .prepare_cached("UPDATE destinations SET checked_at = ?2, failure = ?3 WHERE id = ?1")?
        .execute((Id(id), Time(now), failure.map(Json)))?;
    found(changed, "destination")
}

/// A destination.
pub fn get(connection: &Connection, id: &DestinationId) -> Result<Option<Destination>> {
    Ok(connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM destinations WHERE id = ?1"))?
        .query_row([Id(id)], from_row)
        .optional()?)
}

/// The destination at a place.
pub fn by_place(connection: &Connection, place: &Place) -> Result<Option<Destination>> {
    Ok(connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM destinations WHERE location = ?1"))?
        .query_row([place.to_string()], from_row)
        .optional()?)
}

/// The destination of a name.
pub fn by_name(connection: &Connection, name: &str) -> Result<Option<Destination>> {
    Ok(connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM destinations WHERE name = ?1"))?
        .query_row([name], from_row)
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

/// Removes a destination to which nothing refers. What lies there is not touched.
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
             WHERE c.state IN ('present', 'damaged') GROUP BY c.destination_id",
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
