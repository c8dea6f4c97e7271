//! Reads a backup back, every byte of it, and says what is wrong with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use howdah_archive::{Meter, Report};
use howdah_domain::{Failure, FailureCode, Phase};
use tokio_util::sync::CancellationToken;

use crate::engine::OrFailure;
use crate::stored::StoredBackup;
use crate::work::{Reporter, tell_while};

/// Verifies a backup: every checksum, every frame, the index against the content. Damages are in the
/// report, and each is in the log.
///
/// # Errors
/// Where there is no backup, or it cannot be read; cancelled.
pub async fn verify(
    backup: &StoredBackup,
    reporter: &Arc<dyn Reporter>,
    cancel: &CancellationToken,
) -> Result<Report, Failure> {
    let manifest = backup.manifest(cancel).await;
    if let Err(failure) = &manifest
        && failure.code != FailureCode::BackupDamaged
    {
        return Err(failure.clone());
    }
    reporter.phase(Phase::Verifying);
    let expected = manifest.ok().map(|manifest| manifest.raw_bytes);
    let meter = Meter::new();
    let stopped = Arc::new(AtomicBool::new(false));
    let reading = {
        let (files, keys) = (backup.files(cancel), backup.keys().clone());
        let (meter, stopped) = (meter.clone(), Arc::clone(&stopped));
        tokio::task::spawn_blocking(move || {
            howdah_archive::verify_with(&keys, &*files, &meter, &|| stopped.load(Ordering::Relaxed))
        })
    };
    let told = tell_while(reading, &meter, expected, &**reporter);
    let report = tokio::select! {
        report = told => report,
        () = cancel.cancelled() => {
            stopped.store(true, Ordering::Relaxed);
            return Err(Failure::new(FailureCode::Cancelled, "The verification was cancelled."));
        }
    }
    .map_err(|error| {
        Failure::new(FailureCode::Internal, "The verification died.").details(error.to_string())
    })?
    .or_failure()?;
    for damage in &report.damages {
        reporter.error(&damage.detail);
    }
    if let Some(remark) = report.remark() {
        reporter.warn(remark);
    }
    if report.is_whole() && report.content_checked {
        reporter.info(format!(
            "Every byte is as it was written: {} files, {} tables, {} rows.",
            report.files, report.tables, report.rows
        ));
    }
    Ok(report)
}
