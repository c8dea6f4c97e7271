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
use crate::place::Named;

/// The backups that lie at a place, whoever made them.
pub(crate) async fn at_place(
    named: &Named,
    data_dir: Option<&Path>,
    cancel: &CancellationToken,
) -> Result<Done, Failure> {
    let destination = named.open(data_dir)?;
    let found = catalog::list(&destination, &named.place, cancel).await?;
    let place = &named.place;
    let mut text = String::new();
    for backup in &found {
        text.push_str(&line(backup));
        text.push('\n');
    }
    text.push_str(&match found.len() {
        0 => format!("No backups in {place}."),
        many => format!("{} in {place}.", counted(many as u64, "backup", "backups")),
    });
    let backups: Vec<Value> = found.iter().map(object).collect();
    Ok(Done::good(
        json!({ "place": place.to_string(), "backups": backups }),
        text,
    ))
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
        .map_or_else(|| "nowhere".to_owned(), |copy| copy.path.clone());
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
            backup.stored.name(),
        ),
        (None, failure) => format!(
            "cannot be read: {}  {}",
            failure
                .as_ref()
                .map_or("no reason is known", |failure| failure.message.as_str()),
            backup.stored.name(),
        ),
    }
}

/// The manifest's main figures flat, for scripts that want a list; `howdah show` has the rest.
fn object(backup: &FoundBackup) -> Value {
    match &backup.manifest {
        Some(manifest) => json!({
            "id": manifest.id,
            "path": backup.stored.name(),
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
        None => json!({ "path": backup.stored.name(), "error": backup.failure }),
    }
}
