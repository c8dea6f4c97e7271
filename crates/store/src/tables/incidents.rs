//! Incidents: stretches in which one or several databases were down for one reason.
//!
//! An incident lasts until the last of its databases has left it. It stands in its row alone: a process that is killed leaves it open, and
//! the next one takes it up by its key. How failures are told to be of one reason is the caller's to say.

use std::collections::HashMap;

use howdah_domain::{DatabaseId, Failure, IncidentId};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, named_params, params_from_iter};

use super::found;
use crate::{
    Result,
    column::{Id, Json, Time, time},
};

/// An incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    /// Its id.
    pub id: IncidentId,
    /// What does not answer: `host:db.example.com:5432`, `tunnel:…`, `database:<id>`. At most one incident of a key is open.
    pub key: String,
    /// The first failure.
    pub began_at: Timestamp,
    /// When the last of its databases left; none while it lasts.
    pub ended_at: Option<Timestamp>,
    /// What was found first.
    pub cause: Failure,
    /// What somebody wrote about it.
    pub note: Option<String>,
    /// When somebody said that they know.
    pub acknowledged_at: Option<Timestamp>,
    /// The databases concerned, in the order they joined; those that left among them.
    pub databases: Vec<Member>,
}

/// A database's part in an incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The database.
    pub database_id: DatabaseId,
    /// Its name.
    pub name: String,
    /// Its server's name.
    pub server_name: String,
    /// Its first failure.
    pub joined_at: Timestamp,
    /// When it answered again; none while it does not.
    pub left_at: Option<Timestamp>,
}

/// What came of a database's leaving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// Others are in it still.
    GoesOn,
    /// It was the last; the incident has ended.
    Ended,
    /// It was not in it.
    WasNotIn,
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Incident> {
    Ok(Incident {
        id: row.get::<_, Id<_>>("id")?.0,
        key: row.get("key")?,
        began_at: row.get::<_, Time>("began_at")?.0,
        ended_at: row.get::<_, Option<Time>>("ended_at")?.map(|time| time.0),
        cause: row.get::<_, Json<_>>("cause")?.0,
        note: row.get("note")?,
        acknowledged_at: row.get::<_, Option<Time>>("acknowledged_at")?.map(|time| time.0),
        databases: Vec::new(),
    })
}

/// Opens an incident without a database in it; the first [`join`]s it in the same transaction. Answers the incident of that key that is open
/// already, instead, where there is one.
pub fn open(
    connection: &Connection,
    id: &IncidentId,
    key: &str,
    began_at: Timestamp,
    cause: &Failure,
) -> Result<Incident> {
    if let Some(incident) = open_by_key(connection, key)? {
        return Ok(incident);
    }
    connection
        .prepare_cached(
            "INSERT INTO incidents (id, key, began_at, cause) VALUES (:id, :key, :began_at, :cause)",
        )?
        .execute(named_params! {
            ":id": Id(id),
            ":key": key,
            ":began_at": Time(began_at),
            ":cause": Json(cause),
        })?;
    Ok(Incident {
        id: id.clone(),
        key: key.to_owned(),
        began_at,
        ended_at: None,
        cause: cause.clone(),
        note: None,
        acknowledged_at: None,
        databases: Vec::new(),
    })
}

/// A database is down for the same reason. One that had left is in it again, since it first joined. An incident that a database joins with
/// an earlier failure began then.
///
/// # Errors
/// SQLite's, where there is no such incident or database.
pub fn join(
    connection: &Connection,
    id: &IncidentId,
    database_id: &DatabaseId,
    joined_at: Timestamp,
) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO incident_databases (incident_id, database_id, joined_at) VALUES (?1, ?2, ?3)
             ON CONFLICT (incident_id, database_id) DO UPDATE SET left_at = NULL, joined_at = min(joined_at, excluded.joined_at)",
        )?
        .execute((Id(id), Id(database_id), Time(joined_at)))?;
    connection
        .prepare_cached("UPDATE incidents SET began_at = ?2 WHERE id = ?1 AND began_at > ?2")?
        .execute((Id(id), Time(joined_at)))?;
    Ok(())
}

/// A database answers again. The incident ends when it was the last.
pub fn leave(
    connection: &Connection,
    id: &IncidentId,
    database_id: &DatabaseId,
    left_at: Timestamp,
) -> Result<Left> {
    let changed = connection
        .prepare_cached(
            "UPDATE incident_databases SET left_at = ?3 WHERE incident_id = ?1 AND database_id = ?2 AND left_at IS NULL",
        )?
        .execute((Id(id), Id(database_id), Time(left_at)))?;
    if changed == 0 {
        return Ok(Left::WasNotIn);
    }
    let ended = connection
        .prepare_cached(
            "UPDATE incidents SET ended_at = ?2 WHERE id = ?1 AND ended_at IS NULL AND NOT EXISTS (
                SELECT 1 FROM incident_databases WHERE incident_id = ?1 AND left_at IS NULL)",
        )?
        .execute((Id(id), Time(left_at)))?;
    Ok(if ended == 1 { Left::Ended } else { Left::GoesOn })
}

/// Ends the open incidents that no database is in: those that were, are not known any more. Answers which.
pub fn end_deserted(connection: &Connection, now: Timestamp) -> Result<Vec<IncidentId>> {
    Ok(connection
        .prepare_cached(
            "UPDATE incidents SET ended_at = ?1 WHERE ended_at IS NULL AND NOT EXISTS (
                SELECT 1 FROM incident_databases m WHERE m.incident_id = incidents.id AND m.left_at IS NULL)
             RETURNING id",
        )?
        .query_map([Time(now)], |row| Ok(row.get::<_, Id<_>>(0)?.0))?
        .collect::<rusqlite::Result<_>>()?)
}

/// An incident.
pub fn get(connection: &Connection, id: &IncidentId) -> Result<Option<Incident>> {
    one(connection, "SELECT * FROM incidents WHERE id = ?1", id.as_str())
}

/// The open incident of a key.
pub fn open_by_key(connection: &Connection, key: &str) -> Result<Option<Incident>> {
    one(
        connection,
        "SELECT * FROM incidents WHERE key = ?1 AND ended_at IS NULL",
        key,
    )
}

/// The open incident that a database is in and has not left; of several, the newest.
pub fn open_of_database(connection: &Connection, database_id: &DatabaseId) -> Result<Option<Incident>> {
    one(
        connection,
        "SELECT i.* FROM incident_databases m JOIN incidents i ON i.id = m.incident_id
         WHERE m.database_id = ?1 AND m.left_at IS NULL AND i.ended_at IS NULL ORDER BY m.joined_at DESC LIMIT 1",
        database_id.as_str(),
    )
}

/// The newest incident of a key that ended then or later.
pub fn ended_since(connection: &Connection, key: &str, since: Timestamp) -> Result<Option<Incident>> {
    let incident = connection
        .prepare_cached(
            "SELECT * FROM incidents WHERE key = ?1 AND ended_at >= ?2 ORDER BY ended_at DESC LIMIT 1",
        )?
        .query_row((key, Time(since)), from_row)
        .optional()?;
    Ok(with_databases(connection, incident.into_iter().collect())?.pop())
}

/// Opens an incident again: it was not over.
///
/// # Errors
/// [`Error::NotFound`](crate::Error::NotFound).
pub fn reopen(connection: &Connection, id: &IncidentId) -> Result<()> {
    let changed = connection
        .prepare_cached("UPDATE incidents SET ended_at = NULL WHERE id = ?1")?
        .execute([Id(id)])?;
    found(changed, "incident")
}

/// All open incidents, newest first.
pub fn list_open(connection: &Connection) -> Result<Vec<Incident>> {
    let incidents = connection
        .prepare_cached("SELECT * FROM incidents WHERE ended_at IS NULL ORDER BY began_at DESC, id DESC")?
        .query_map([], from_row)?
        .collect::<rusqlite::Result<_>>()?;
    with_databases(connection, incidents)
}

/// Incidents that lasted at some time from `from` until before `to`, newest first, at most `limit`; of a database, those that it was in then.
pub fn list(
    connection: &Connection,
    database_id: Option<&DatabaseId>,
    from: Timestamp,
    to: Timestamp,
    limit: u32,
) -> Result<Vec<Incident>> {
    let incidents = match database_id {
        Some(database_id) => connection
            .prepare_cached(
                "SELECT i.* FROM incident_databases m JOIN incidents i ON i.id = m.incident_id
                 WHERE m.database_id = ?4 AND m.joined_at < ?2 AND coalesce(m.left_at, i.ended_at, ?2) > ?1
                 ORDER BY i.began_at DESC, i.id DESC LIMIT ?3",
            )?
            .query_map((Time(from), Time(to), limit, Id(database_id)), from_row)?
            .collect::<rusqlite::Result<_>>()?,
        None => connection
            .prepare_cached(
                "SELECT * FROM incidents WHERE began_at < ?2 AND coalesce(ended_at, ?2) > ?1
                 ORDER BY began_at DESC, id DESC LIMIT ?3",
            )?
            .query_map((Time(from), Time(to), limit), from_row)?
            .collect::<rusqlite::Result<_>>()?,
    };
    with_databases(connection, incidents)
}

/// Sets what somebody wrote about an incident.
///
/// # Errors
/// [`Error::NotFound`](crate::Error::NotFound).
pub fn set_note(connection: &Connection, id: &IncidentId, note: Option<&str>) -> Result<()> {
    let changed = connection
        .prepare_cached("UPDATE incidents SET note = ?2 WHERE id = ?1")?
        .execute((Id(id), note))?;
    found(changed, "incident")
}

/// Takes note of when somebody said that they know; none takes it back.
///
/// # Errors
/// [`Error::NotFound`](crate::Error::NotFound).
pub fn acknowledge(connection: &Connection, id: &IncidentId, at: Option<Timestamp>) -> Result<()> {
    let changed = connection
        .prepare_cached("UPDATE incidents SET acknowledged_at = ?2 WHERE id = ?1")?
        .execute((Id(id), time(at)))?;
    found(changed, "incident")
}

fn one(connection: &Connection, sql: &str, of: &str) -> Result<Option<Incident>> {
    let incident = connection
        .prepare_cached(sql)?
        .query_row([of], from_row)
        .optional()?;
    Ok(with_databases(connection, incident.into_iter().collect())?.pop())
}

/// Fills in the databases, with one query for all.
fn with_databases(connection: &Connection, mut incidents: Vec<Incident>) -> Result<Vec<Incident>> {
    if incidents.is_empty() {
        return Ok(incidents);
    }
    let ids: Vec<&IncidentId> = incidents.iter().map(|incident| &incident.id).collect();
    let mut statement = connection.prepare_cached(
        "SELECT m.incident_id, m.database_id, d.name, s.name AS server_name, m.joined_at, m.left_at
         FROM json_each(?1) wanted JOIN incident_databases m ON m.incident_id = wanted.value
         JOIN databases d ON d.id = m.database_id JOIN servers s ON s.id = d.server_id
         ORDER BY m.joined_at, s.name, d.name",
    )?;
    let mut rows = statement.query(params_from_iter([Json(&ids)]))?;
    let mut members: HashMap<IncidentId, Vec<Member>> = HashMap::new();
    while let Some(row) = rows.next()? {
        let member = Member {
            database_id: row.get::<_, Id<_>>("database_id")?.0,
            name: row.get("name")?,
            server_name: row.get("server_name")?,
            joined_at: row.get::<_, Time>("joined_at")?.0,
            left_at: row.get::<_, Option<Time>>("left_at")?.map(|time| time.0),
        };
        members
            .entry(row.get::<_, Id<_>>("incident_id")?.0)
            .or_default()
            .push(member);
    }
    for incident in &mut incidents {
        incident.databases = members.remove(&incident.id).unwrap_or_default();
    }
    Ok(incidents)
}
