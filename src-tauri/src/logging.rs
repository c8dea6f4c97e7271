//! The log file: one a day in the data directory's `logs`, a week kept. Secrets cannot get in: their type does not print.

use std::path::Path;

use anyhow::Context as _;
use tracing_appender::non_blocking::WorkerGuard;
use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::EnvFilter;

/// Days of log that are kept.
const DAYS: usize = 7;

/// Starts logging. What is still in memory is written when the guard is dropped.
///
/// `HOWDAH_LOG` chooses what is logged, in the syntax of `tracing_subscriber::EnvFilter`; without it, what Howdah itself
/// says from *info* upwards, and warnings of what it is made of.
pub(crate) fn start(data_dir: &Path) -> anyhow::Result<WorkerGuard> {
    let folder = data_dir.join("logs");
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("the log folder {} cannot be made", folder.display()))?;
    let file = RollingFileAppender::builder()
        .rotation(Rotation::DAILY)
        .filename_prefix("howdah")
        .filename_suffix("log")
        .max_log_files(DAYS)
        .build(folder)
        .context("the log file cannot be made")?;
    let (writer, guard) = tracing_appender::non_blocking(file);
    let filter = EnvFilter::try_from_env("HOWDAH_LOG").unwrap_or_else(|_| {
        EnvFilter::new("warn,howdah_engine=info,howdah_desktop=info,howdah_store=info,howdah_postgres=info")
    });
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(writer)
        .init();
    Ok(guard)
}
