//! `howdah verify`: reads a backup again, every byte of it.

use std::sync::Arc;

use howdah_archive::Report;
use howdah_domain::units::{count, counted, size};
use howdah_domain::{Failure, FailureCode};
use howdah_engine::stored::StoredBackup;
use howdah_engine::verify::verify;
use howdah_engine::work::Reporter;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::output::{Done, End, Output};
use crate::progress::Teller;

pub(crate) async fn run(
    backup: &StoredBackup,
    output: Output,
    cancel: &CancellationToken,
) -> Result<Done, Failure> {
    let teller = Arc::new(Teller::new(output));
    let reporter: Arc<dyn Reporter> = Arc::clone(&teller) as _;
    let report = verify(backup, &reporter, cancel).await;
    teller.finish();
    Ok(tell(backup, &report?))
}

fn tell(backup: &StoredBackup, report: &Report) -> Done {
    let json = json!({
        "whole": report.is_whole(),
        "path": backup.name(),
        "files": report.files,
        "bytes": report.bytes,
        "tables": report.tables,
        "rows": report.rows,
        "content_checked": report.content_checked,
        "damages": report.damages.iter().map(|damage| json!({
            "file": damage.file,
            "tables": damage.tables,
            "detail": damage.detail,
        })).collect::<Vec<_>>(),
    });
    if report.is_whole() {
        let text = format!(
            "Whole: {} ({}), {}, {} rows are as they were written.",
            counted(report.files, "file", "files"),
            size(report.bytes),
            counted(report.tables, "table", "tables"),
            count(report.rows),
        );
        return Done::good(json, text);
    }
    let damages: Vec<String> = report.damages.iter().map(|damage| damage.describe()).collect();
    let failure = report
        .to_failure()
        .unwrap_or_else(|| Failure::new(FailureCode::BackupDamaged, "The backup is damaged."));
    Done {
        json,
        text: damages.join("\n"),
        end: End::Bad(failure),
    }
}
