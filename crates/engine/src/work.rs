//! What a piece of work (a backup, a restore, a verification) needs from around it, and what it tells while at it.
//!
//! Work knows no run, no window and no SQLite: the engine's runs and the command line's progress bar both listen
//! through [`Reporter`].

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use howdah_archive::{Meter, Snapshot};
use howdah_domain::{Phase, Progress};

use crate::api::LogLevel;

/// Hears what a piece of work is doing. Called from any thread; must return at once.
pub trait Reporter: Send + Sync {
    /// A phase began.
    fn phase(&self, phase: Phase);
    /// Something worth a line in the log happened.
    fn log(&self, level: LogLevel, text: &str);
    /// It got further. Called some four times a second while bytes flow.
    fn progress(&self, progress: Progress);
}

/// Short forms for the log's levels.
impl dyn Reporter + '_ {
    /// A line that says what was done.
    pub fn info(&self, text: impl AsRef<str>) {
        self.log(LogLevel::Info, text.as_ref());
    }

    /// A line that somebody should read.
    pub fn warn(&self, text: impl AsRef<str>) {
        self.log(LogLevel::Warning, text.as_ref());
    }

    /// A line that says what went wrong.
    pub fn error(&self, text: impl AsRef<str>) {
        self.log(LogLevel::Error, text.as_ref());
    }
}

/// Nobody listens.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Reporter for Silent {
    fn phase(&self, _: Phase) {}
    fn log(&self, _: LogLevel, _: &str) {}
    fn progress(&self, _: Progress) {}
}

/// How often progress is read and told.
pub const TICK: Duration = Duration::from_millis(250);

/// Bytes per second over the last seconds.
#[derive(Debug)]
pub struct Rate {
    begun: Instant,
    samples: VecDeque<(Instant, u64)>,
}

impl Rate {
    /// Over how long the rate is taken.
    const WINDOW: Duration = Duration::from_secs(5);

    /// Begins at zero bytes.
    pub fn new(now: Instant) -> Self {
        Self {
            begun: now,
            samples: VecDeque::from([(now, 0)]),
        }
    }

    /// Takes a sample of a counter that only grows, and answers (bytes per second, milliseconds since the beginning).
    pub fn sample(&mut self, now: Instant, total: u64) -> (u64, u64) {
        self.samples.push_back((now, total));
        while self.samples.len() > 2 && now - self.samples[1].0 >= Self::WINDOW {
            self.samples.pop_front();
        }
        let (then, before) = self.samples[0];
        let millis = u64::try_from((now - then).as_millis()).unwrap_or(u64::MAX);
        let rate = total
            .saturating_sub(before)
            .saturating_mul(1000)
            .checked_div(millis)
            .unwrap_or(0);
        (
            rate,
            u64::try_from((now - self.begun).as_millis()).unwrap_or(u64::MAX),
        )
    }
}

/// The figures of a meter as progress. `expected` raw bytes are what the whole is thought to have.
pub fn progress_of(snapshot: Snapshot, expected: Option<u64>) -> Progress {
    Progress {
        table: snapshot
            .table
            .map(|table| format!("{}.{}", table.schema, table.name)),
        tables_done: snapshot.tables_done,
        tables_total: snapshot.tables_total,
        rows: snapshot.rows,
        raw_bytes: snapshot.raw_bytes,
        raw_bytes_expected: expected.map(|expected| expected.max(snapshot.raw_bytes)),
        stored_bytes: snapshot.stored_bytes,
        bytes_per_second: 0,
        elapsed_ms: 0,
    }
}

/// Waits for `work` and tells at each tick how far `meter` is, and once more at the end.
pub async fn tell_while<T>(
    work: impl Future<Output = T>,
    meter: &Meter,
    expected: Option<u64>,
    reporter: &dyn Reporter,
) -> T {
    let mut rate = Rate::new(Instant::now());
    let mut tell = || {
        let snapshot = meter.snapshot();
        let (bytes_per_second, elapsed_ms) = rate.sample(Instant::now(), snapshot.raw_bytes);
        reporter.progress(Progress {
            bytes_per_second,
            elapsed_ms,
            ..progress_of(snapshot, expected)
        });
    };
    let mut ticks = tokio::time::interval(TICK);
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => {
                tell();
                return done;
            }
            _ = ticks.tick() => tell(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut rate = Rate::new(start);
        assert_eq!(rate.sample(start, 0), (0, 0));
        assert_eq!(rate.sample(at(1), 100), (100, 1000));
        for second in 2..=20 {
            rate.sample(at(second), 100);
        }
        assert_eq!(
            rate.sample(at(21), 100).0,
            0,
            "nothing came for longer than the window"
        );
        assert_eq!(rate.sample(at(22), 1100).0, 200);
    }
}
