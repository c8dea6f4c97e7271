//! `howdah list`: the backups found in a folder, or those that the data directory knows.

use std::path::Path;

use howdah_domain::Failure;
use howdah_domain::units::{counted, size};
use howdah_engine::Engine;
use howdah_engine::api::BackupView;
use howdah_engine::catalog::{self, FoundBackup};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::output::Done;

/// The backups that lie in a folder, whoever made them.
pub(crate) async fn in_folder(folder: &Path, cancel: &CancellationToken) -> Result<Done, Failure> {
    let found = catalog::list(folder, cancel).await?;
    let mut text = String::new();
    for backup in &found {
        text.push_str(&line(backup));
        text.push('\n');
    }
    text.push_str(&match found.len() {
        0 => format!("No backups in {}.", folder.display()),
        many => format!(
            "{} in {}.",
            counted(many as u64, "backup", "backups"),
            folder.display()
        ),
    });
    let backups: Vec<Value> = found.iter().map(object).collect();
    Ok(Done::good(json!({ "folder": folder, "backups": backups }), text))
}

/// The backups that plans have made.
pub(crate) async fn known(engine: &Engine) -> Result<Done, Failure> {
    let backups = engine.list_backups(None).await?;
    let mut lines: Vec<String> = backups.iter().map(known_line).collect();
    if lines.is_empty() {
        lines.push("No plan has made a backup yet. `howdah list DIR` shows those in a folder.".to_owned());
    }
    Ok(Done::good(json!({ "backups": backups }), lines.join("\n")))
}

fn known_line(backup: &BackupView) -> String {
    let place = backup
        .copies
        .first()
        .map_or_else(|| "nowhere".to_owned(), |copy| copy.path.display().to_string());
    format!(
        "{}  {} on {}: {}, {} as {}  {place}",
        backup.id,
        backup.database_name,
        backup.server_name,
        counted(backup.tables, "table", "tables"),
        size(backup.raw_bytes),
        size(backup.stored_bytes),
    )
}

fn line(backup: &FoundBackup) -> String {
    match (&backup.manifest, &backup.failure) {
        (Some(manifest), _) => format!(
            "{}  {} on {}: {}, {} as {}  {}",
            manifest.id,
            manifest.database,
            manifest.server.name,
            counted(manifest.tables, "table", "tables"),
            size(manifest.raw_bytes),
            size(manifest.stored_bytes()),
            backup.path.display(),
        ),
        (None, failure) => format!(
            "cannot be read: {}  {}",
            failure
                .as_ref()
                .map_or("no reason is known", |failure| failure.message.as_str()),
            backup.path.display(),
        ),
    }
}

/// The manifest's main figures flat, for scripts that want a list; `howdah show` has the rest.
fn object(backup: &FoundBackup) -> Value {
    match &backup.manifest {
        Some(manifest) => json!({
            "id": manifest.id,
            "path": backup.path,
            "server": manifest.server.name,
            "database": manifest.database,
            "started_at": manifest.started_at,
            "finished_at": manifest.finished_at,
            "raw_bytes": manifest.raw_bytes,
            "stored_bytes": manifest.stored_bytes(),
            "tables": manifest.tables,
            "rows": manifest.rows,
            "server_version": manifest.server.version,
            "client_version": manifest.client.version,
        }),
        None => json!({ "path": backup.path, "error": backup.failure }),
    }
}
