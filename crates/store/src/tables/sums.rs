//! What checks and stretches of time come to, by the hour and by the day: how that stands in its rows, and how it is added to.

use std::collections::BTreeMap;

use howdah_domain::{availability::TimeIn, latency::Histogram};
use rusqlite::{Connection, OptionalExtension, Row, ToSql, types::ValueRef};

use super::watches::WatchNumber;
use crate::{Result, column::Size};

/// What the checks of a stretch of time come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sum {
    /// Milliseconds in each state. What is missing was not watched, or is not settled yet.
    pub time: TimeIn,
    /// Checks.
    pub checks: u64,
    /// Those that failed, within maintenance too.
    pub failures: u64,
    /// How long the others took, from the first step of connecting to the answer.
    pub latencies: Histogram,
}

impl Sum {
    /// Adds another one.
    pub fn add(&mut self, other: &Self) {
        self.time.add(&other.time);
        self.checks += other.checks;
        self.failures += other.failures;
        self.latencies.add(&other.latencies);
    }

    /// Counts a check, which failed or took so many microseconds.
    pub(super) fn count(&mut self, failed: bool, took_us: Option<u32>) {
        self.checks += 1;
        self.failures += u64::from(failed);
        if let (false, Some(micros)) = (failed, took_us) {
            self.latencies.count(micros);
        }
    }

    /// A share of it, so many parts of a whole. The histogram stays as it is: what it tells are percentiles.
    pub(super) fn scaled(&self, part: u64, whole: u64) -> Self {
        let scale = |number: u64| {
            let scaled = u128::from(number) * u128::from(part) / u128::from(whole.max(1));
            u64::try_from(scaled).unwrap_or(u64::MAX)
        };
        Self {
            time: TimeIn {
                up: scale(self.time.up),
                slow: scale(self.time.slow),
                failing: scale(self.time.failing),
                down: scale(self.time.down),
                maintenance: scale(self.time.maintenance),
                asleep: scale(self.time.asleep),
                offline: scale(self.time.offline),
                paused: scale(self.time.paused),
                locked: scale(self.time.locked),
            },
            checks: scale(self.checks),
            failures: scale(self.failures),
            latencies: self.latencies.clone(),
        }
    }
}

/// What is to be added, by watch and number of the hour or day.
pub(super) type Additions = BTreeMap<(WatchNumber, i64), Sum>;

/// Adds to rows of `hours` or `days`: one read and one write for each.
pub(super) fn add(connection: &Connection, table: &'static str, sums: Additions) -> Result<()> {
    let mut read = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM {table} WHERE watch = ?1 AND number = ?2"
    ))?;
    let mut write = connection.prepare_cached(&format!(
        "INSERT INTO {table} (watch, number, {COLUMNS})
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
         ON CONFLICT (watch, number) DO UPDATE SET up = excluded.up, slow = excluded.slow, failing = excluded.failing,
            down = excluded.down, maintenance = excluded.maintenance, asleep = excluded.asleep, offline = excluded.offline,
            paused = excluded.paused, locked = excluded.locked, checks = excluded.checks, failures = excluded.failures,
            latencies = excluded.latencies"
    ))?;
    for ((watch, number), mut sum) in sums {
        let written = read
            .query_row((watch, number), |row| from_row(row, 0))
            .optional()?;
        if let Some(written) = written {
            sum.add(&written);
        }
        let Sum {
            time,
            checks,
            failures,
            latencies,
        } = sum;
        let latencies = latencies.to_bytes();
        let columns: [&dyn ToSql; 14] = [
            &watch,
            &number,
            &Size(time.up),
            &Size(time.slow),
            &Size(time.failing),
            &Size(time.down),
            &Size(time.maintenance),
            &Size(time.asleep),
            &Size(time.offline),
            &Size(time.paused),
            &Size(time.locked),
            &Size(checks),
            &Size(failures),
            &latencies,
        ];
        write.execute(&columns[..])?;
    }
    Ok(())
}

/// The columns of a sum, in the order that [`from_row`] expects.
const COLUMNS: &str =
    "up, slow, failing, down, maintenance, asleep, offline, paused, locked, checks, failures, latencies";

/// A sum from [`COLUMNS`], the first of which is column `at`. A histogram that cannot be read counts for nothing: the time is worth
/// more than its percentiles.
fn from_row(row: &Row<'_>, at: usize) -> rusqlite::Result<Sum> {
    let get = |column: usize| row.get::<_, Size>(at + column).map(|size| size.0);
    let latencies = match row.get_ref(at + 11)? {
        ValueRef::Blob(bytes) => Histogram::from_bytes(bytes),
        _ => None,
    };
    Ok(Sum {
        time: TimeIn {
            up: get(0)?,
            slow: get(1)?,
            failing: get(2)?,
            down: get(3)?,
            maintenance: get(4)?,
            asleep: get(5)?,
            offline: get(6)?,
            paused: get(7)?,
            locked: get(8)?,
        },
        checks: get(9)?,
        failures: get(10)?,
        latencies: latencies.unwrap_or_default(),
    })
}

/// Calls `f` with the rows of `hours` or `days` of these numbers, in order.
pub(super) fn each(
    connection: &Connection,
    table: &'static str,
    watch: WatchNumber,
    numbers: std::ops::Range<i64>,
    mut f: impl FnMut(i64, Sum) -> Result<()>,
) -> Result<()> {
    if numbers.is_empty() {
        return Ok(());
    }
    let mut statement = connection.prepare_cached(&format!(
        "SELECT number, {COLUMNS} FROM {table} WHERE watch = ?1 AND number >= ?2 AND number < ?3 ORDER BY number"
    ))?;
    let mut rows = statement.query((watch, numbers.start, numbers.end))?;
    while let Some(row) = rows.next()? {
        f(row.get(0)?, from_row(row, 1)?)?;
    }
    Ok(())
}
