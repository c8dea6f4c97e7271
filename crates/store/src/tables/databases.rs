//! Databases that Howdah looks after: which server each is on, since when it is known, whether it is still there.

use std::collections::HashSet;

use howdah_domain::{DatabaseId, Environment, ServerId};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::found;
use crate::{
    Result,
    column::{Id, Time, Word, time},
};

/// A database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// Its id.
    pub id: DatabaseId,
    /// Its server.
    pub server_id: ServerId,
    /// Its name on the server.
    pub name: String,
    /// What it is used for, where that differs from its server's tag.
    pub environment: Option<Environment>,
    /// When Howdah first saw it.
    pub first_seen_at: Timestamp,
    /// Since when it is no longer on its server.
    pub vanished_at: Option<Timestamp>,
}

/// What a look at a server's databases found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Discovery {
    /// Looked after from now on.
    pub joined: Vec<Database>,
    /// No longer on the server; their backups stay.
    pub vanished: Vec<Database>,
    /// Had vanished, and are there again.
    pub returned: Vec<Database>,
}

pub(super) const COLUMNS: &str = "d.id AS d_id, d.server_id AS d_server_id, d.name AS d_name, d.environment AS d_environment, \
     d.first_seen_at AS d_first_seen_at, d.vanished_at AS d_vanished_at";

pub(super) fn from_row(row: &Row<'_>) -> rusqlite::Result<Database> {
    Ok(Database {
        id: row.get::<_, Id<_>>("d_id")?.0,
        server_id: row.get::<_, Id<_>>("d_server_id")?.0,
        name: row.get("d_name")?,
        environment: row.get::<_, Option<Word<_>>>("d_environment")?.map(|word| word.0),
        first_seen_at: row.get::<_, Time>("d_first_seen_at")?.0,
        vanished_at: row.get::<_, Option<Time>>("d_vanished_at")?.map(|time| time.0),
    })
}

/// The database of that name on that server; added under `id` where it is not known yet.
pub fn ensure(
    connection: &Connection,
    id: DatabaseId,
    server_id: &ServerId,
    name: &str,
    now: Timestamp,
) -> Result<Database> {
    if let Some(database) = by_name(connection, server_id, name)? {
        return Ok(database);
    }
    let database = Database {
        id,
        server_id: server_id.clone(),
        name: name.to_owned(),
        environment: None,
        first_seen_at: now,
        vanished_at: None,
    };
    insert(connection, &database)?;
    Ok(database)
}

fn insert(connection: &Connection, database: &Database) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO databases (id, server_id, name, environment, first_seen_at, vanished_at)
             VALUES (:id, :server_id, :name, :environment, :first_seen_at, :vanished_at)",
        )?
        .execute(named_params! {
            ":id": Id(&database.id),
            ":server_id": Id(&database.server_id),
            ":name": database.name,
            ":environment": database.environment.map(Word),
            ":first_seen_at": Time(database.first_seen_at),
            ":vanished_at": time(database.vanished_at),
        })?;
    Ok(())
}

/// A database, also one of a server that was removed.
pub fn get(connection: &Connection, id: &DatabaseId) -> Result<Option<Database>> {
    Ok(connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM databases d WHERE d.id = ?1"))?
        .query_row([Id(id)], from_row)
        .optional()?)
}

/// A database of a server, by its name.
pub fn by_name(connection: &Connection, server_id: &ServerId, name: &str) -> Result<Option<Database>> {
    Ok(connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM databases d WHERE d.server_id = ?1 AND d.name = ?2"
        ))?
        .query_row((Id(server_id), name), from_row)
        .optional()?)
}

/// A server's databases, by name.
pub fn of_server(connection: &Connection, server_id: &ServerId) -> Result<Vec<Database>> {
    Ok(connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM databases d WHERE d.server_id = ?1 ORDER BY d.name"
        ))?
        .query_map([Id(server_id)], from_row)?
        .collect::<rusqlite::Result<_>>()?)
}

/// All databases of servers that were not removed, by server and name.
pub fn list(connection: &Connection) -> Result<Vec<Database>> {
    Ok(connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM databases d JOIN servers s ON s.id = d.server_id
             WHERE s.removed_at IS NULL ORDER BY s.name COLLATE NOCASE, s.id, d.name"
        ))?
        .query_map([], from_row)?
        .collect::<rusqlite::Result<_>>()?)
}

/// The databases that have backups, whether their servers are still there or not.
pub fn with_backups(connection: &Connection) -> Result<Vec<DatabaseId>> {
    Ok(connection
        .prepare_cached("SELECT DISTINCT database_id FROM backups ORDER BY database_id")?
        .query_map([], |row| Ok(row.get::<_, Id<DatabaseId>>(0)?.0))?
        .collect::<rusqlite::Result<_>>()?)
}

/// Tags a database otherwise than its server; `None` takes the server's tag again.
///
/// # Errors
/// [`Error::NotFound`](crate::Error::NotFound).
pub fn set_environment(
    connection: &Connection,
    id: &DatabaseId,
    environment: Option<Environment>,
) -> Result<()> {
    let changed = connection
        .prepare_cached("UPDATE databases SET environment = ?2 WHERE id = ?1")?
        .execute((Id(id), environment.map(Word)))?;
    found(changed, "database")
}

/// Takes note of what is on a server now: `present` are the names of all its databases, `covered` says which of them a plan
/// wants. Databases known already vanish or return whether covered or not.
pub fn discover(
    connection: &Connection,
    server_id: &ServerId,
    present: &[String],
    covered: impl Fn(&str) -> bool,
    mut new_id: impl FnMut() -> DatabaseId,
    now: Timestamp,
) -> Result<Discovery> {
    let names: HashSet<&str> = present.iter().map(String::as_str).collect();
    let mut discovery = Discovery::default();
    let known = of_server(connection, server_id)?;
    let mut mark = connection.prepare_cached("UPDATE databases SET vanished_at = ?2 WHERE id = ?1")?;
    for database in &known {
        let there = names.contains(database.name.as_str());
        if there && database.vanished_at.is_some() {
            mark.execute((Id(&database.id), None::<Time>))?;
            discovery.returned.push(Database {
                vanished_at: None,
                ..database.clone()
            });
        } else if !there && database.vanished_at.is_none() {
            mark.execute((Id(&database.id), Time(now)))?;
            discovery.vanished.push(Database {
                vanished_at: Some(now),
                ..database.clone()
            });
        }
    }
    let known: HashSet<&str> = known.iter().map(|database| database.name.as_str()).collect();
    for name in present {
        if covered(name) && !known.contains(name.as_str()) {
            discovery
                .joined
                .push(ensure(connection, new_id(), server_id, name, now)?);
        }
    }
    Ok(discovery)
}
