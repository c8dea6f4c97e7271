//! What a piece of work (a backup, a restore, a verification) needs from around it, and what it tells while at it.
//!
//! Work knows no run, no window and no SQLite: the engine's runs and the command line's progress bar both listen
//! through [`Reporter`].

use std::collections::VecDeque;
use std::time::{Duration, Instant};

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
