//! What a piece of work tells while at it: a bar on a terminal, a line now and then elsewhere. On standard error only.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use howdah_domain::units::{count, size};
use howdah_domain::{Phase, Progress};
use howdah_engine::api::LogLevel;
use howdah_engine::work::Reporter;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::{Output, say};

/// Without a terminal, progress is told this often.
const LINES: Duration = Duration::from_secs(10);

/// Tells how far the work is.
pub(crate) struct Teller {
    output: Output,
    bar: Option<ProgressBar>,
    told: Mutex<Told>,
}

struct Told {
    /// Steps are told by name, so that phases need not be.
    by_name: bool,
    phase: Option<Phase>,
    at: Instant,
}

impl Teller {
    /// A bar where standard error is a terminal, lines otherwise, nothing when quiet.
    pub(crate) fn new(output: Output) -> Self {
        let terminal = console_is_a_terminal();
        let bar = (terminal && !output.quiet).then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(8));
            bar.set_style(spinner());
            bar.enable_steady_tick(Duration::from_millis(125));
            bar
        });
        Self {
            output,
            bar,
            told: Mutex::new(Told {
                by_name: false,
                phase: None,
                at: Instant::now(),
            }),
        }
    }

    /// Says what comes next, where no phase of the engine's says it.
    pub(crate) fn doing(&self, what: &str) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).by_name = true;
        match &self.bar {
            Some(bar) => {
                bar.set_style(spinner());
                bar.set_message(format!("{what} …"));
            }
            None => self.output.note(&format!("{what} …")),
        }
    }

    /// Removes the bar.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| say(text)),
            None => say(text),
        }
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.finish();
    }
}

fn console_is_a_terminal() -> bool {
    std::io::IsTerminal::is_terminal(&std::io::stderr())
}

fn spinner() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner())
}

fn measured() -> ProgressStyle {
    ProgressStyle::with_template("{bar:24} {percent:>3} %  {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("█▉▊▋▌▍▎▏ ")
}

fn name(phase: Phase) -> &'static str {
    match phase {
        Phase::Connecting => "Connecting",
        Phase::Dumping => "Dumping",
        Phase::Finishing => "Finishing",
        Phase::Verifying => "Verifying",
        Phase::Restoring => "Restoring",
        Phase::Copying => "Copying",
        Phase::Deleting => "Deleting",
        Phase::Comparing => "Comparing",
        Phase::Starting => "Starting PostgreSQL",
        Phase::Asserting => "Checking",
    }
}

/// `table 14 of 32 (public.orders), 1,234,567 rows, 300 MB as 80 MB, 120 MB/s`.
fn words(progress: &Progress) -> String {
    let mut parts = Vec::new();
    let table = progress
        .table
        .as_ref()
        .map_or_else(String::new, |table| format!(" ({table})"));
    match (progress.tables_done, progress.tables_total) {
        (0, None) => {}
        (done, None) => parts.push(format!("table {}{table}", count(u64::from(done)))),
        (done, Some(total)) => {
            let (done, total) = (count(u64::from(done)), count(u64::from(total)));
            parts.push(format!("table {done} of {total}{table}"));
        }
    }
    if progress.rows > 0 {
        parts.push(format!("{} rows", count(progress.rows)));
    }
    match (progress.raw_bytes, progress.stored_bytes) {
        (0, _) => {}
        (raw, 0) => parts.push(size(raw)),
        (raw, stored) => parts.push(format!("{} as {}", size(raw), size(stored))),
    }
    if progress.bytes_per_second > 0 {
        parts.push(format!("{}/s", size(progress.bytes_per_second)));
    }
    parts.join(", ")
}

impl Reporter for Teller {
    fn phase(&self, phase: Phase) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.phase == Some(phase) {
            return;
        }
        told.phase = Some(phase);
        told.at = Instant::now();
        match &self.bar {
            Some(bar) => {
                bar.set_style(spinner());
                bar.set_message(format!("{} …", name(phase)));
            }
            None if told.by_name => {}
            None => self.output.note(&format!("{} …", name(phase))),
        }
    }

    fn log(&self, level: LogLevel, text: &str) {
        match level {
            LogLevel::Info => {}
            LogLevel::Warning => self.line(&format!("warning: {text}")),
            // The failure itself is told at the end.
            LogLevel::Error => {}
        }
    }

    fn progress(&self, progress: Progress) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let phase = told.phase.map_or("Working", name);
        let words = words(&progress);
        if let Some(bar) = &self.bar {
            if let Some(expected) = progress.raw_bytes_expected.filter(|expected| *expected > 0) {
                bar.set_style(measured());
                bar.set_length(expected);
                bar.set_position(progress.raw_bytes);
            }
            bar.set_message(format!("{phase}: {words}"));
        } else if told.at.elapsed() >= LINES && !words.is_empty() {
            told.at = Instant::now();
            self.output.note(&format!("{phase}: {words}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_told_in_one_line() {
        let progress = Progress {
            table: Some("public.orders".into()),
            tables_done: 14,
            tables_total: Some(32),
            rows: 1_234_567,
            raw_bytes: 300_000_000,
            stored_bytes: 80_000_000,
            bytes_per_second: 120_000_000,
            ..Progress::default()
        };
        assert_eq!(
            words(&progress),
            "table 14 of 32 (public.orders), 1,234,567 rows, 300 MB as 80.0 MB, 120 MB/s"
        );
        assert_eq!(words(&Progress::default()), "");
    }
}
