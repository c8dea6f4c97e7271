//! Drills that came to a verdict, and what the newest one says of a backup and of a database.

use std::collections::{HashMap, HashSet};

use howdah_domain::{BackupId, DatabaseId, DrillReport, RunId};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, named_params};

use crate::{
    Result,
    column::{Id, Json, Time},
};

/// What a drill found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// When it ended.
    pub finished_at: Timestamp,
    /// Whether the backup is proved.
    pub proved: bool,
    /// Its run, while that is kept.
    pub run_id: Option<RunId>,
}

/// What drills say of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// What the newest one found, of whichever of its backups.
    pub newest: Proof,
    /// When one last proved a backup.
    pub proved_at: Option<Timestamp>,
}

/// Adds a drill. Reports of backups that are gone are let go.
pub fn insert(
    connection: &Connection,
    run_id: &RunId,
    database_id: &DatabaseId,
    report: &DrillReport,
) -> Result<()> {
    connection
        .prepare_cached(
            "UPDATE drills SET report = NULL
             WHERE database_id = ?1 AND report IS NOT NULL AND backup_id NOT IN (SELECT id FROM backups)",
        )?
        .execute([Id(database_id)])?;
    connection
        .prepare_cached(
            "INSERT INTO drills (run_id, database_id, backup_id, finished_at, proved, report)
             VALUES (:run_id, :database_id, :backup_id, :finished_at, :proved, :report)",
        )?
        .execute(named_params! {
            ":run_id": Id(run_id),
            ":database_id": Id(database_id),
            ":backup_id": Id(&report.backup_id),
            ":finished_at": Time(report.finished_at),
            ":proved": report.is_proved(),
            ":report": Json(report),
        })?;
    Ok(())
}

/// The report of a run's drill.
pub fn of_run(connection: &Connection, run_id: &RunId) -> Result<Option<DrillReport>> {
    Ok(connection
        .prepare_cached("SELECT report FROM drills WHERE run_id = ?1")?
        .query_row([Id(run_id)], report)
        .optional()?
        .flatten())
}

fn report(row: &Row<'_>) -> rusqlite::Result<Option<DrillReport>> {
    Ok(row.get::<_, Option<Json<_>>>(0)?.map(|json| json.0))
}

/// Backups that had a drill.
pub fn tried(connection: &Connection) -> Result<HashSet<BackupId>> {
    Ok(connection
        .prepare_cached("SELECT DISTINCT backup_id FROM drills")?
        .query_map([], |row| Ok(row.get::<_, Id<_>>(0)?.0))?
        .collect::<rusqlite::Result<_>>()?)
}

/// What drills say of each database that had one.
pub fn standings(connection: &Connection) -> Result<HashMap<DatabaseId, Standing>> {
    Ok(connection
        .prepare_cached(
            "SELECT d.database_id, d.finished_at, d.proved, d.run_id,
                (SELECT max(p.finished_at) FROM drills p WHERE p.database_id = d.database_id AND p.proved) AS proved_at
             FROM drills d WHERE d.number IN (
                SELECT (SELECT p.number FROM drills p WHERE p.database_id = x.id ORDER BY p.number DESC LIMIT 1) FROM databases x)",
        )?
        .query_map([], |row| {
            let standing = Standing {
                newest: from_row(row)?,
                proved_at: row.get::<_, Option<Time>>("proved_at")?.map(|time| time.0),
            };
            Ok((row.get::<_, Id<_>>("database_id")?.0, standing))
        })?
        .collect::<rusqlite::Result<_>>()?)
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Proof> {
    Ok(Proof {
        finished_at: row.get::<_, Time>("finished_at")?.0,
        proved: row.get("proved")?,
        run_id: row.get::<_, Option<Id<_>>>("run_id")?.map(|id| id.0),
    })
}
