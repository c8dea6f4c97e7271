//! What the first page needs of every database, in as many queries for a hundred databases as for one.

use std::collections::HashMap;

use howdah_domain::{DatabaseId, Server};
use rusqlite::Connection;

use super::{
    backups::{self, Backup, GOOD},
    databases::{self, Database},
    drills,
    runs::{self, Run},
    servers,
};
use crate::{
    Result,
    column::{Id, Size},
};

/// How many sizes are given for a database.
pub const SIZES: u32 = 30;

/// A database and how it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The database.
    pub database: Database,
    /// Its server.
    pub server: Server,
    /// Its newest good backup.
    pub last_backup: Option<Backup>,
    /// Its newest ended backup run.
    pub last_run: Option<Run>,
    /// Its runs that are not final, oldest first.
    pub active_runs: Vec<Run>,
    /// Stored bytes of its newest good backups, oldest first; at most [`SIZES`].
    pub sizes: Vec<u64>,
    /// What drills say of it; none where it had none.
    pub drills: Option<drills::Standing>,
}

/// Every database of a server that was not removed, by server and name. Seven queries, each by index.
pub fn standings(connection: &Connection) -> Result<Vec<Standing>> {
    let servers: HashMap<_, _> = servers::list(connection)?
        .into_iter()
        .map(|row| (row.server.id.clone(), row.server))
        .collect();
    let mut last_backups = by_database(newest_good_backups(connection)?, |backup| {
        Some(backup.database_id.clone())
    });
    let mut last_runs = by_database(newest_ended_backup_runs(connection)?, |run| {
        run.database_id.clone()
    });
    let mut active_runs = by_database(runs::active(connection)?, |run| run.database_id.clone());
    let mut sizes = newest_sizes(connection)?;
    let mut drills = drills::standings(connection)?;
    Ok(databases::list(connection)?
        .into_iter()
        .filter_map(|database| {
            Some(Standing {
                server: servers.get(&database.server_id)?.clone(),
                last_backup: last_backups.remove(&database.id).and_then(|mut all| all.pop()),
                last_run: last_runs.remove(&database.id).and_then(|mut all| all.pop()),
                active_runs: active_runs.remove(&database.id).unwrap_or_default(),
                sizes: sizes.remove(&database.id).unwrap_or_default(),
                drills: drills.remove(&database.id),
                database,
            })
        })
        .collect())
}

fn by_database<T>(rows: Vec<T>, database: impl Fn(&T) -> Option<DatabaseId>) -> HashMap<DatabaseId, Vec<T>> {
    let mut groups: HashMap<DatabaseId, Vec<T>> = HashMap::new();
    for row in rows {
        if let Some(id) = database(&row) {
            groups.entry(id).or_default().push(row);
        }
    }
    groups
}

/// The newest good backup of each database.
fn newest_good_backups(connection: &Connection) -> Result<Vec<Backup>> {
    backups::query(
        connection,
        &format!(
            "WHERE b.id IN (SELECT (SELECT b.id FROM backups b WHERE b.database_id = d.id AND {GOOD}
                                    ORDER BY b.started_at DESC, b.id DESC LIMIT 1) FROM databases d)"
        ),
        &[],
    )
}

/// The newest ended backup run of each database.
fn newest_ended_backup_runs(connection: &Connection) -> Result<Vec<Run>> {
    Ok(connection
        .prepare_cached(&format!(
            "SELECT {} FROM runs r WHERE r.number IN (
                SELECT (SELECT e.number FROM runs e WHERE e.database_id = d.id AND e.finished_at IS NOT NULL
                            AND e.kind = 'backup' ORDER BY e.number DESC LIMIT 1) FROM databases d)",
            runs::COLUMNS
        ))?
        .query_map([], runs::from_row)?
        .collect::<rusqlite::Result<_>>()?)
}

/// Stored bytes of each database's newest good backups, oldest first.
fn newest_sizes(connection: &Connection) -> Result<HashMap<DatabaseId, Vec<u64>>> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT d.id, n.stored_bytes FROM databases d JOIN backups n ON n.id IN (
            SELECT b.id FROM backups b WHERE b.database_id = d.id AND {GOOD}
            ORDER BY b.started_at DESC, b.id DESC LIMIT {SIZES})
         ORDER BY d.id, n.started_at, n.id"
    ))?;
    let mut sizes: HashMap<DatabaseId, Vec<u64>> = HashMap::new();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        sizes
            .entry(row.get::<_, Id<_>>(0)?.0)
            .or_default()
            .push(row.get::<_, Size>(1)?.0);
    }
    Ok(sizes)
}
