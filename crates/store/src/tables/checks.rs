//! What checks found: each of them for some days, and the stretches of time they speak for; both added up by the hour and by the day as
//! they come in.
//!
//! A millisecond counts once, in the state that was written first: what comes late fills holes only, and a clock that is set back counts
//! nothing again. Reading sums is [`super::availability`]'s.

use std::collections::BTreeMap;

use howdah_domain::{
    FailureCode,
    availability::{self, State, Stretch, TimeIn},
};
use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, Row, named_params};

use super::{
    stretches,
    sums::{self, Additions},
    watches::WatchNumber,
};
use crate::{
    Result,
    column::{Time, Word},
};

pub(super) const HOUR_MS: i64 = 3_600_000;
pub(super) const DAY_MS: i64 = 24 * HOUR_MS;

/// Checks and stretches are kept for so long.
pub const KEPT: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Sums by the hour are kept for so long; those by the day for ever.
pub const HOURS_KEPT: SignedDuration = SignedDuration::from_hours(366 * 24);

/// Bytes of a failure's text that are kept.
const LONGEST_TEXT: usize = 2048;

/// Rows that one call of [`prune`] removes at most.
pub const PRUNED_AT_ONCE: usize = 10_000;

/// One check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Of what.
    pub watch: WatchNumber,
    /// When it ended.
    pub at: Timestamp,
    /// How the database stood after it. A check that is written with no data is none: it is kept, and does not count.
    pub state: State,
    /// Microseconds until the login was through.
    pub connect_us: Option<u32>,
    /// Microseconds from then until the answer.
    pub answer_us: Option<u32>,
    /// What it is about, and what was said, where there was no answer or not the one expected. Of a text no more than 2 kB are kept.
    pub failure: Option<(FailureCode, String)>,
}

impl Check {
    /// Microseconds from the first step of connecting to the answer, where there was one.
    pub fn took_us(&self) -> Option<u32> {
        Some(self.connect_us?.saturating_add(self.answer_us?))
    }
}

/// What has come in since the last time, of any number of watches, in the order it came in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Checks.
    pub checks: Vec<Check>,
    /// Settled stretches. Late ones are welcome; those in which Howdah did not run are left out.
    pub stretches: Vec<(WatchNumber, Stretch)>,
}

/// Writes a batch and adds it to the hours and days it is about. A check at a time that has one already, and time that was accounted for
/// already, are left out; so is what is about a watch that was removed.
pub fn record(connection: &Connection, batch: &Batch) -> Result<()> {
    let mut hours = Additions::new();
    let mut watches = Known::default();
    insert_checks(connection, &batch.checks, &mut watches, &mut hours)?;
    for (watch, stretch) in stretches::joined(&batch.stretches) {
        if !watches.has(connection, watch)? {
            continue;
        }
        stretches::add(connection, watch, stretch, |part| {
            for (hour, millis) in availability::cut(part.from, part.to, HOUR_MS) {
                let sum = hours.entry((watch, hour)).or_default();
                sum.time.add(&TimeIn::of(part.state, millis));
            }
        })?;
    }
    let mut days = Additions::new();
    for ((watch, hour), sum) in &hours {
        days.entry((*watch, hour.div_euclid(24))).or_default().add(sum);
    }
    sums::add(connection, "hours", hours)?;
    sums::add(connection, "days", days)
}

/// Which watches there are, each asked for once in a batch.
#[derive(Default)]
struct Known(BTreeMap<WatchNumber, bool>);

impl Known {
    fn has(&mut self, connection: &Connection, watch: WatchNumber) -> Result<bool> {
        if let Some(known) = self.0.get(&watch) {
            return Ok(*known);
        }
        let known = connection
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM watches WHERE number = ?1)")?
            .query_row([watch], |row| row.get(0))?;
        self.0.insert(watch, known);
        Ok(known)
    }
}

fn insert_checks(
    connection: &Connection,
    checks: &[Check],
    watches: &mut Known,
    hours: &mut Additions,
) -> Result<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO checks (watch, at, state, connect, answer, code, text)
         VALUES (:watch, :at, :state, :connect, :answer, :code, :text) ON CONFLICT DO NOTHING",
    )?;
    for check in checks {
        if !watches.has(connection, check.watch)? {
            continue;
        }
        let failure = check.failure.as_ref();
        let inserted = insert.execute(named_params! {
            ":watch": check.watch,
            ":at": Time(check.at),
            ":state": stretches::number(check.state),
            ":connect": check.connect_us,
            ":answer": check.answer_us,
            ":code": failure.map(|(code, _)| Word(*code)),
            ":text": failure.map(|(_, text)| shortened(text)),
        })?;
        if inserted == 0 || matches!(check.state, State::NoData(_)) {
            continue;
        }
        let hour = check.at.as_microsecond().div_euclid(HOUR_MS * 1000);
        let sum = hours.entry((check.watch, hour)).or_default();
        sum.count(failure.is_some(), check.took_us());
    }
    Ok(())
}

fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST_TEXT)]
}

/// Calls `f` with the checks of a watch from `from` until before `to`, oldest first.
pub(super) fn each(
    connection: &Connection,
    watch: WatchNumber,
    from: Timestamp,
    to: Timestamp,
    mut f: impl FnMut(Check) -> Result<()>,
) -> Result<()> {
    let mut statement = connection.prepare_cached(
        "SELECT at, state, connect, answer, code, text FROM checks WHERE watch = ?1 AND at >= ?2 AND at < ?3 ORDER BY at",
    )?;
    let mut rows = statement.query((watch, Time(from), Time(to)))?;
    while let Some(row) = rows.next()? {
        f(check(watch, row)?)?;
    }
    Ok(())
}

/// Calls `f` with the checks that count, of a watch from `from` until before `to` (milliseconds since 1970): when, whether it failed, and how many
/// microseconds it took where there was an answer.
pub(super) fn each_counted(
    connection: &Connection,
    watch: WatchNumber,
    from: i64,
    to: i64,
    mut f: impl FnMut(i64, bool, Option<u32>),
) -> Result<()> {
    let mut statement = connection.prepare_cached(
        "SELECT at, code IS NOT NULL, connect, answer FROM checks WHERE watch = ?1 AND at >= ?2 AND at < ?3 AND state < ?4",
    )?;
    let micros = |millis: i64| millis.saturating_mul(1000);
    let mut rows = statement.query((watch, micros(from), micros(to), stretches::FIRST_BLIND))?;
    while let Some(row) = rows.next()? {
        let at: i64 = row.get(0)?;
        let took = match (row.get::<_, Option<u32>>(2)?, row.get::<_, Option<u32>>(3)?) {
            (Some(connect), Some(answer)) => Some(connect.saturating_add(answer)),
            _ => None,
        };
        f(at.div_euclid(1000), row.get(1)?, took);
    }
    Ok(())
}

/// The newest checks of a watch from `from` until before `to`, newest first, at most `limit`.
pub fn raw(
    connection: &Connection,
    watch: WatchNumber,
    from: Timestamp,
    to: Timestamp,
    limit: u32,
) -> Result<Vec<Check>> {
    let mut statement = connection.prepare_cached(
        "SELECT at, state, connect, answer, code, text FROM checks WHERE watch = ?1 AND at >= ?2 AND at < ?3
         ORDER BY at DESC LIMIT ?4",
    )?;
    let mut rows = statement.query((watch, Time(from), Time(to), limit))?;
    let mut checks = Vec::new();
    while let Some(row) = rows.next()? {
        checks.push(check(watch, row)?);
    }
    Ok(checks)
}

fn check(watch: WatchNumber, row: &Row<'_>) -> Result<Check> {
    let failure = match row.get::<_, Option<Word<FailureCode>>>(4)? {
        Some(code) => Some((code.0, row.get::<_, Option<String>>(5)?.unwrap_or_default())),
        None => None,
    };
    Ok(Check {
        watch,
        at: row.get::<_, Time>(0)?.0,
        state: stretches::state(row.get(1)?)?,
        connect_us: row.get(2)?,
        answer_us: row.get(3)?,
        failure,
    })
}

/// Removes what is older than [`KEPT`] and [`HOURS_KEPT`], at most [`PRUNED_AT_ONCE`] rows, and answers whether more is left to be removed.
/// Call it again then, in another transaction: others may want to write in between.
pub fn prune(connection: &Connection, now: Timestamp) -> Result<bool> {
    let before = |kept: SignedDuration| now.checked_sub(kept).unwrap_or(Timestamp::MIN);
    let (old, old_ms) = (before(KEPT), before(KEPT).as_millisecond());
    let old_hour = before(HOURS_KEPT).as_millisecond().div_euclid(HOUR_MS);
    let mut room = PRUNED_AT_ONCE;
    // Each by watch, as the tables are sorted: the old rows of a watch are the first of it.
    let watches: Vec<WatchNumber> = connection
        .prepare_cached("SELECT number FROM watches ORDER BY number")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for watch in watches {
        for (table, key, end, limit) in [
            ("checks", "at", "at", old.as_microsecond()),
            ("stretches", "began", "ended", old_ms),
            ("hours", "number", "number", old_hour),
        ] {
            let removed = connection
                .prepare_cached(&format!(
                    "DELETE FROM {table} WHERE watch = ?1 AND {key} IN (
                        SELECT {key} FROM {table} WHERE watch = ?1 AND {key} < ?2 AND {end} < ?2 ORDER BY {key} LIMIT ?3)"
                ))?
                .execute((watch, limit, i64::try_from(room).unwrap_or(i64::MAX)))?;
            room = room.saturating_sub(removed);
            if room == 0 {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
