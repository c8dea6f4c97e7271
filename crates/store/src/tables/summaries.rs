//! What happened in a stretch of time, counted: for the summary that a channel gets each day or week.

use std::collections::HashMap;

use howdah_domain::DatabaseId;
use jiff::Timestamp;
use rusqlite::Connection;

use crate::Result;
use crate::column::{Id, Size, Time};

/// Counts of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Backups that succeeded.
    pub succeeded: u32,
    /// Backup runs that failed.
    pub failed: u32,
    /// Drills that proved a backup.
    pub proved: u32,
    /// Bytes of the backups that were added, one copy of each.
    pub added_bytes: u64,
}

/// What happened since then, by database. Databases of which nothing happened are left out.
pub fn since(connection: &Connection, since: Timestamp) -> Result<HashMap<DatabaseId, Counts>> {
    let mut counts: HashMap<DatabaseId, Counts> = HashMap::new();
    let mut runs = connection.prepare_cached(
        "SELECT database_id, sum(state = 'succeeded'), sum(state = 'failed') FROM runs
         WHERE kind = 'backup' AND finished_at >= ?1 AND database_id IS NOT NULL GROUP BY database_id",
    )?;
    let mut rows = runs.query([Time(since)])?;
    while let Some(row) = rows.next()? {
        let of = counts.entry(row.get::<_, Id<_>>(0)?.0).or_default();
        (of.succeeded, of.failed) = (row.get(1)?, row.get(2)?);
    }
    let mut drills = connection.prepare_cached(
        "SELECT database_id, count(*) FROM drills WHERE proved AND finished_at >= ?1 GROUP BY database_id",
    )?;
    let mut rows = drills.query([Time(since)])?;
    while let Some(row) = rows.next()? {
        counts.entry(row.get::<_, Id<_>>(0)?.0).or_default().proved = row.get(1)?;
    }
    let mut added = connection.prepare_cached(
        "SELECT database_id, sum(stored_bytes) FROM backups WHERE finished_at >= ?1 GROUP BY database_id",
    )?;
    let mut rows = added.query([Time(since)])?;
    while let Some(row) = rows.next()? {
        counts.entry(row.get::<_, Id<_>>(0)?.0).or_default().added_bytes = row.get::<_, Size>(1)?.0;
    }
    Ok(counts)
}
