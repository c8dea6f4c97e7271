//! How long databases were up or down, and how quickly they answered: sums over stretches of time, for charts, bars and files.
//!
//! What [`super::checks`] keeps is read where it is: whole days from the days, whole hours from the hours, and parts of an hour from the
//! checks and stretches themselves. Where those are not kept any more, a part of an hour (or of a day, beyond the hours) is its share of the
//! whole.

use std::collections::{BTreeMap, HashMap};

use howdah_domain::{
    DatabaseId,
    availability::{Stretch, TimeIn},
};
use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;

use super::{
    checks::{self, Check, DAY_MS, HOUR_MS, HOURS_KEPT, KEPT},
    stretches, sums,
    watches::WatchNumber,
};
use crate::{Result, column::Id};

pub use super::sums::Sum;

/// Buckets that are given at most.
pub const MOST_BUCKETS: usize = 10_000;

/// The stretches up to now of which [`uptimes`] tells: 24 hours, 7, 30, 90 and 365 days.
pub const SPAN_HOURS: [i64; 5] = [24, 7 * 24, 30 * 24, 90 * 24, 365 * 24];

/// A watch's time from `from` until `to` in buckets of `bucket_ms` milliseconds, the last of which may be shorter. Nothing where there is no
/// time or no bucket; what is after the first [`MOST_BUCKETS`] is left out. `now` says what is kept still.
pub fn availability(
    connection: &Connection,
    watch: WatchNumber,
    from: Timestamp,
    to: Timestamp,
    bucket_ms: i64,
    now: Timestamp,
) -> Result<Vec<Sum>> {
    let Some(buckets) = Buckets::new(from, to, bucket_ms) else {
        return Ok(Vec::new());
    };
    Sweep::new(connection, watch, buckets, now, true).run()
}

/// A watch's time in the last 24 hours, 7, 30, 90 and 365 days ([`SPAN_HOURS`]).
pub fn uptimes(connection: &Connection, watch: WatchNumber, now: Timestamp) -> Result<[TimeIn; 5]> {
    let mut times = [TimeIn::default(); 5];
    for (time, hours) in times.iter_mut().zip(SPAN_HOURS) {
        let from = earlier(now, SignedDuration::from_hours(hours));
        if let Some(buckets) = Buckets::new(from, now, i64::MAX) {
            let sums = Sweep::new(connection, watch, buckets, now, false).run()?;
            *time = sums.first().map(|sum| sum.time).unwrap_or_default();
        }
    }
    Ok(times)
}

/// Bars of equal buckets, of all watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bars {
    /// When the first bucket begins: buckets begin at whole multiples of their length since 1970.
    pub from: Timestamp,
    /// How long a bucket is, in milliseconds.
    pub bucket_ms: i64,
    /// The buckets of each database of which anything is known in them.
    pub times: HashMap<DatabaseId, Vec<TimeIn>>,
}

/// The last `count` buckets of `bucket_ms` milliseconds of every watch, `now` being within the last one. One query where all of them lie within
/// what is kept of stretches ([`KEPT`]), a few for each watch otherwise.
pub fn bars(connection: &Connection, now: Timestamp, bucket_ms: i64, count: usize) -> Result<Bars> {
    let count = count.min(MOST_BUCKETS);
    let length = bucket_ms.max(1);
    let now_ms = millis(now);
    let spanned = length.saturating_mul(i64::try_from(count).unwrap_or(i64::MAX));
    let end = now_ms.div_euclid(length).saturating_add(1).saturating_mul(length);
    let from = Timestamp::from_millisecond(end.saturating_sub(spanned)).unwrap_or(Timestamp::MIN);
    let mut bars = Bars {
        from,
        bucket_ms: length,
        times: HashMap::new(),
    };
    let Some(buckets) = Buckets::new(from, Timestamp::from_millisecond(end).unwrap_or(now), length) else {
        return Ok(bars);
    };
    let ids = database_ids(connection)?;
    if buckets.from < first_fine(now) {
        for (number, id) in ids {
            let sums = Sweep::new(connection, number, buckets, now, false).run()?;
            if sums.iter().any(|sum| sum.time != TimeIn::default()) {
                bars.times
                    .insert(id, sums.into_iter().map(|sum| sum.time).collect());
            }
        }
        return Ok(bars);
    }
    // The last stretch that began before the first bucket may reach into it; none before that does.
    let mut statement = connection.prepare_cached(
        "SELECT s.began, s.ended, s.state, w.number FROM watches w JOIN stretches s ON s.watch = w.number
           AND s.began >= coalesce((SELECT max(p.began) FROM stretches p WHERE p.watch = w.number AND p.began <= ?1), ?1)
           AND s.began < ?2
         WHERE s.ended > ?1",
    )?;
    let mut rows = statement.query((buckets.from, buckets.to))?;
    while let Some(row) = rows.next()? {
        let stretch = stretches::from_row(row)?;
        let Some(id) = ids.get(&row.get(3)?) else { continue };
        let times = bars
            .times
            .entry(id.clone())
            .or_insert_with(|| vec![TimeIn::default(); buckets.count]);
        buckets.share(stretch.from, stretch.to, |bucket, millis| {
            times[bucket].add(&TimeIn::of(stretch.state, millis));
        });
    }
    Ok(bars)
}

fn database_ids(connection: &Connection) -> Result<BTreeMap<WatchNumber, DatabaseId>> {
    Ok(connection
        .prepare_cached("SELECT number, database_id FROM watches")?
        .query_map([], |row| Ok((row.get(0)?, row.get::<_, Id<_>>(1)?.0)))?
        .collect::<rusqlite::Result<_>>()?)
}

/// A row of a file of what checks found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "there is one at a time")]
pub enum Exported {
    /// A check.
    Check(Check),
    /// All checks of an hour or a day (UTC).
    Sum {
        /// When it began.
        from: Timestamp,
        /// An hour or a day, in milliseconds.
        length_ms: i64,
        /// What they come to.
        sum: Sum,
    },
}

/// Calls `f` with all that is kept of a watch from `from` until `to`, oldest first: days beyond the hours that are kept ([`HOURS_KEPT`]), hours
/// beyond the checks that are kept ([`KEPT`]), and those checks. Days and hours are told whole, where they are partly within. Ends with the
/// first error of `f`. Memory does not grow with what is told.
pub fn export(
    connection: &Connection,
    watch: WatchNumber,
    from: Timestamp,
    to: Timestamp,
    now: Timestamp,
    mut f: impl FnMut(Exported) -> Result<()>,
) -> Result<()> {
    let (from_ms, to_ms) = (millis(from), millis(to));
    let (fine, hourly) = (first_fine(now), first_hourly(now));
    for (table, length_ms, from, to) in [
        ("days", DAY_MS, from_ms, hourly.min(to_ms)),
        ("hours", HOUR_MS, from_ms.max(hourly), fine.min(to_ms)),
    ] {
        let rows = from.div_euclid(length_ms)..ceil(to, length_ms);
        sums::each(connection, table, watch, rows, |number, sum| {
            let begin = Timestamp::from_millisecond(number.saturating_mul(length_ms));
            f(Exported::Sum {
                from: begin.unwrap_or(Timestamp::MIN),
                length_ms,
                sum,
            })
        })?;
    }
    let from = from.max(Timestamp::from_millisecond(fine).unwrap_or(Timestamp::MIN));
    checks::each(connection, watch, from, to, |check| f(Exported::Check(check)))
}

/// From where on every check and stretch is kept: an hour's begin.
fn first_fine(now: Timestamp) -> i64 {
    let old = millis(earlier(now, KEPT));
    ceil(old, HOUR_MS) * HOUR_MS
}

/// From where on every hour is kept: a day's begin.
fn first_hourly(now: Timestamp) -> i64 {
    let old = millis(earlier(now, HOURS_KEPT));
    ceil(old, DAY_MS) * DAY_MS
}

fn earlier(now: Timestamp, by: SignedDuration) -> Timestamp {
    now.checked_sub(by).unwrap_or(Timestamp::MIN)
}

fn millis(at: Timestamp) -> i64 {
    at.as_microsecond().div_euclid(1000)
}

/// The number of the first part that does not begin before `at`.
fn ceil(at: i64, part: i64) -> i64 {
    at.div_euclid(part) + i64::from(at.rem_euclid(part) != 0)
}

/// A stretch of time in equal parts, of which the last may be shorter. Milliseconds since 1970.
#[derive(Debug, Clone, Copy)]
struct Buckets {
    from: i64,
    to: i64,
    length: i64,
    count: usize,
}

impl Buckets {
    fn new(from: Timestamp, to: Timestamp, length: i64) -> Option<Self> {
        let (from, to) = (millis(from), millis(to));
        if from >= to || length <= 0 {
            return None;
        }
        let length = length.min(to - from);
        let count = usize::try_from(ceil(to - from, length)).ok()?.min(MOST_BUCKETS);
        let most = length.saturating_mul(i64::try_from(count).ok()?);
        Some(Self {
            from,
            to: to.min(from.saturating_add(most)),
            length,
            count,
        })
    }

    /// The bucket in which a moment is.
    fn of(&self, at: i64) -> Option<usize> {
        if at < self.from || at >= self.to {
            return None;
        }
        usize::try_from((at - self.from) / self.length).ok()
    }

    /// Where a bucket begins or ends next, after `at`.
    fn border_after(&self, at: i64) -> Option<i64> {
        if at < self.from {
            return Some(self.from);
        }
        let bucket = (at - self.from) / self.length + 1;
        let border = bucket
            .saturating_mul(self.length)
            .saturating_add(self.from)
            .min(self.to);
        (at < self.to).then_some(border)
    }

    /// Calls `f` with each bucket that has a share of it, and how many milliseconds.
    fn share(&self, from: i64, to: i64, mut f: impl FnMut(usize, u64)) {
        let (mut at, to) = (from.max(self.from), to.min(self.to));
        while at < to {
            let (Some(bucket), Some(border)) = (self.of(at), self.border_after(at)) else {
                return;
            };
            let end = border.min(to);
            f(bucket, u64::try_from(end - at).unwrap_or(0));
            at = end;
        }
    }
}

/// Fills buckets from days, hours, and checks and stretches.
struct Sweep<'c> {
    connection: &'c Connection,
    watch: WatchNumber,
    buckets: Buckets,
    /// See [`first_fine`].
    fine: i64,
    /// See [`first_hourly`].
    hourly: i64,
    /// Whether more than the time is wanted.
    checks: bool,
    sums: Vec<Sum>,
}

impl<'c> Sweep<'c> {
    fn new(
        connection: &'c Connection,
        watch: WatchNumber,
        buckets: Buckets,
        now: Timestamp,
        checks: bool,
    ) -> Self {
        Self {
            connection,
            watch,
            buckets,
            fine: first_fine(now),
            hourly: first_hourly(now),
            checks,
            sums: vec![Sum::default(); buckets.count],
        }
    }

    fn run(mut self) -> Result<Vec<Sum>> {
        let Buckets { from, to, .. } = self.buckets;
        let kept = self.hourly.clamp(from, to);
        self.add_rows("days", DAY_MS, from, kept)?;
        for (from, to, divided) in self.runs(kept, to, DAY_MS) {
            if divided {
                self.add_hours(from.max(kept), to.min(self.buckets.to))?;
            } else {
                self.add_rows("days", DAY_MS, from, to)?;
            }
        }
        Ok(self.sums)
    }

    fn add_hours(&mut self, from: i64, to: i64) -> Result<()> {
        let kept = self.fine.max(from).min(to);
        self.add_rows("hours", HOUR_MS, from, kept)?;
        for (from, to, divided) in self.runs(kept, to, HOUR_MS) {
            if divided {
                self.add_fine(from.max(kept), to.min(self.buckets.to))?;
            } else {
                self.add_rows("hours", HOUR_MS, from, to)?;
            }
        }
        Ok(())
    }

    /// The parts of `part` milliseconds that `from` to `to` touches, those in a row together that buckets divide, or do not.
    fn runs(&self, from: i64, to: i64, part: i64) -> Vec<(i64, i64, bool)> {
        let mut runs: Vec<(i64, i64, bool)> = Vec::new();
        if from >= to {
            return runs;
        }
        let (mut begin, end) = (from.div_euclid(part) * part, ceil(to, part) * part);
        while begin < end {
            // Up to the next border nothing is divided; what has the border within itself is.
            let border = self.buckets.border_after(begin).unwrap_or(end).min(end);
            let whole = border.div_euclid(part) * part;
            let divided = whole == begin;
            let until = if divided { begin + part } else { whole };
            match runs.last_mut() {
                Some((_, last, of)) if *of == divided => *last = until,
                _ => runs.push((begin, until, divided)),
            }
            begin = until;
        }
        runs
    }

    /// Adds rows of days or hours: whole ones to their bucket, divided ones in shares.
    fn add_rows(&mut self, table: &'static str, part: i64, from: i64, to: i64) -> Result<()> {
        if from >= to {
            return Ok(());
        }
        let (buckets, filled) = (self.buckets, &mut self.sums);
        let numbers = from.div_euclid(part)..ceil(to, part);
        sums::each(self.connection, table, self.watch, numbers, |number, sum| {
            let (begin, end) = (number * part, (number + 1) * part);
            let whole = u64::try_from(part).unwrap_or(1);
            buckets.share(begin, end, |bucket, millis| {
                if millis == whole {
                    filled[bucket].add(&sum);
                } else {
                    filled[bucket].add(&sum.scaled(millis, whole));
                }
            });
            Ok(())
        })
    }

    /// Adds checks and stretches themselves.
    fn add_fine(&mut self, from: i64, to: i64) -> Result<()> {
        let (buckets, filled) = (self.buckets, &mut self.sums);
        for stretch in stretches::near(self.connection, self.watch, from, to)? {
            let Stretch {
                state,
                from: begin,
                to: end,
            } = stretch;
            buckets.share(begin.max(from), end.min(to), |bucket, millis| {
                filled[bucket].time.add(&TimeIn::of(state, millis));
            });
        }
        if !self.checks {
            return Ok(());
        }
        checks::each_counted(self.connection, self.watch, from, to, |at, failed, took_us| {
            if let Some(bucket) = buckets.of(at) {
                filled[bucket].count(failed, took_us);
            }
        })
    }
}
