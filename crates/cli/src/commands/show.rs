//! `howdah show`: a backup's manifest, tables, rows, sizes.

use howdah_archive::Manifest;
use howdah_domain::Failure;
use howdah_domain::units::{count, counted, size};
use howdah_engine::api::TableView;
use howdah_engine::catalog;
use howdah_engine::stored::StoredBackup;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::output::Done;

pub(crate) async fn run(backup: &StoredBackup, cancel: &CancellationToken) -> Result<Done, Failure> {
    let manifest = backup.manifest(cancel).await?;
    let index = backup.index(&manifest, cancel).await?;
    let tables = catalog::tables(&index);
    let text = tell(backup, &manifest, &tables);
    let json = json!({
        "id": manifest.id,
        "path": backup.name(),
        "raw_bytes": manifest.raw_bytes,
        "stored_bytes": manifest.stored_bytes(),
        "rows": manifest.rows,
        "server_version": manifest.server.version,
        "client_version": manifest.client.version,
        "tables": tables,
        "manifest": manifest,
    });
    Ok(Done::good(json, text))
}

fn tell(backup: &StoredBackup, manifest: &Manifest, tables: &[TableView]) -> String {
    let mut lines = vec![
        format!("Backup     {}", manifest.id),
        format!("Place      {}", backup.name()),
        format!("Database   {} on {}", manifest.database, manifest.server.name),
        format!("Begun      {}", manifest.started_at),
        format!("Finished   {}", manifest.finished_at),
        format!(
            "Server     PostgreSQL {}, dumped with pg_dump {}",
            manifest.server.version, manifest.client.version
        ),
        format!(
            "Size       {} as {} in {}",
            size(manifest.raw_bytes),
            size(manifest.stored_bytes()),
            counted(manifest.files.len() as u64, "file", "files")
        ),
        format!(
            "Content    {}, {}",
            counted(manifest.tables, "table", "tables"),
            counted(manifest.rows, "row", "rows")
        ),
    ];
    if !manifest.extensions.is_empty() {
        lines.push(format!("Extensions {}", manifest.extensions.join(", ")));
    }
    if manifest.options.partial {
        lines.push("A part of the database only: schemas or tables were chosen.".to_owned());
    }
    lines.push(String::new());
    let widest = tables
        .iter()
        .map(|table| table.schema.chars().count() + 1 + table.name.chars().count())
        .max()
        .unwrap_or(0)
        .min(60);
    for table in tables {
        let name = format!("{}.{}", table.schema, table.name);
        lines.push(format!(
            "{name:<widest$}  {:>14} rows  {:>10}  {}",
            count(table.rows),
            size(table.raw_bytes),
            table.fingerprint
        ));
    }
    lines.push(String::new());
    lines.push("Without Howdah, in the backup's folder:".to_owned());
    lines.extend(manifest.restore_by_hand.lines().map(|line| format!("    {line}")));
    lines.join("\n")
}
