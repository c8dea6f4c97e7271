//! Backups as they lie in a folder, without any configuration: found, opened, read.
//!
//! Only what is on the destination counts here; what this machine remembers of backups is in the store.

use std::path::{Path, PathBuf};

use howdah_archive::index::INDEX_FILE;
use howdah_archive::manifest::{CHECKSUM_FILE, MANIFEST_FILE, checksum_matches};
use howdah_archive::{Index, Manifest};
use howdah_domain::{Failure, FailureCode};
use howdah_storage::{Destination, Folder, ObjectPath};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::api::TableView;
use crate::engine::OrFailure;

/// A backup that was found.
#[derive(Debug, Clone, Serialize)]
pub struct FoundBackup {
    /// Its folder.
    pub path: PathBuf,
    /// What its manifest says; none where it cannot be read.
    pub manifest: Option<Manifest>,
    /// Why the manifest cannot be read.
    pub failure: Option<Failure>,
}

/// Lists the backups below `folder`, oldest first. A folder without a manifest is not a backup; one whose manifest
/// cannot be read is listed with the reason.
pub async fn list(folder: &Path, cancel: &CancellationToken) -> Result<Vec<FoundBackup>, Failure> {
    let destination = Folder::new(folder);
    let entries = destination.list(None, cancel).await.or_failure()?;
    let mut found = Vec::new();
    for entry in entries.iter().filter(|entry| entry.path.name() == MANIFEST_FILE) {
        let file = destination.file(&entry.path);
        let Some(path) = file.parent() else { continue };
        found.push(match open(path).await {
            Ok(manifest) => FoundBackup {
                path: path.to_owned(),
                manifest: Some(manifest),
                failure: None,
            },
            Err(failure) => FoundBackup {
                path: path.to_owned(),
                manifest: None,
                failure: Some(failure),
            },
        });
    }
    found.sort_by(|a, b| started(a).cmp(&started(b)).then_with(|| a.path.cmp(&b.path)));
    Ok(found)
}

fn started(found: &FoundBackup) -> Option<jiff::Timestamp> {
    found.manifest.as_ref().map(|manifest| manifest.started_at)
}

/// Opens the backup in `folder`: reads its manifest and checks it against its checksum.
pub async fn open(folder: &Path) -> Result<Manifest, Failure> {
    let bytes = match read(folder, MANIFEST_FILE).await {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(match tokio::fs::try_exists(folder).await {
                Ok(true) => howdah_archive::Error::NotABackup.to_failure(),
                _ => Failure::new(
                    FailureCode::BackupNotFound,
                    format!("There is no backup at {}.", folder.display()),
                )
                .hint("`howdah list FOLDER` shows the backups in a folder."),
            });
        }
        Err(error) => return Err(unreadable(folder, MANIFEST_FILE, &error)),
    };
    let manifest = Manifest::from_bytes(&bytes).or_failure()?;
    let checksum = match read(folder, CHECKSUM_FILE).await {
        Ok(checksum) => checksum,
        Err(error) => return Err(unreadable(folder, CHECKSUM_FILE, &error)),
    };
    if checksum_matches(&checksum, &bytes) {
        Ok(manifest)
    } else {
        Err(Failure::new(
            FailureCode::BackupDamaged,
            format!(
                "manifest.json in {} is not as it was written: its checksum differs.",
                folder.display()
            ),
        )
        .hint("Use another copy of this backup, or an older backup."))
    }
}

/// Reads the index of the backup in `folder`.
pub async fn index(folder: &Path) -> Result<Index, Failure> {
    let bytes = read(folder, INDEX_FILE)
        .await
        .map_err(|error| unreadable(folder, INDEX_FILE, &error))?;
    // Unpacking a large index is work for a thread that may block.
    tokio::task::spawn_blocking(move || Index::from_bytes(&bytes))
        .await
        .map_err(|error| {
            Failure::new(FailureCode::Internal, "Reading the index failed.").details(error.to_string())
        })?
        .or_failure()
}

/// The tables of an index, in the order of their names.
pub fn tables(index: &Index) -> Vec<TableView> {
    let mut tables: Vec<TableView> = index
        .tables()
        .map(|entry| TableView {
            schema: entry.schema.clone(),
            name: entry.name.clone(),
            rows: entry.rows,
            raw_bytes: entry.data_len,
            fingerprint: entry.fingerprint.to_string(),
        })
        .collect();
    tables.sort_by(|a, b| (&a.schema, &a.name).cmp(&(&b.schema, &b.name)));
    tables
}

/// Where a backup lies in its destination: `<server>/<database>/<id>`, the first two as slugs.
pub fn folder_of(server: &str, database: &str, id: &howdah_domain::BackupId) -> Result<ObjectPath, Failure> {
    use howdah_domain::slug::slug;
    ObjectPath::new(format!("{}/{}/{id}", slug(server), slug(database))).or_failure()
}

async fn read(folder: &Path, name: &str) -> std::io::Result<Vec<u8>> {
    tokio::fs::read(folder.join(name)).await
}

fn unreadable(folder: &Path, name: &str, error: &std::io::Error) -> Failure {
    let message = match error.kind() {
        std::io::ErrorKind::NotFound => format!("{name} is missing in {}.", folder.display()),
        _ => format!("{name} in {} cannot be read.", folder.display()),
    };
    Failure::new(FailureCode::BackupDamaged, message)
        .hint("Use another copy of this backup, or an older backup.")
        .details(error.to_string())
}
