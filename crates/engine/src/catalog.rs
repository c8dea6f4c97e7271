//! Backups as they lie at a destination, without any configuration: found and listed.
//!
//! Only what is on the destination counts here; what this machine remembers of backups is in the store, and how one backup is
//! opened and read is in [`crate::stored`].

use futures_util::future::BoxFuture;
use futures_util::{StreamExt as _, stream};
use howdah_archive::manifest::MANIFEST_FILE;
use howdah_archive::{Index, Manifest};
use howdah_domain::{Failure, Place};
use howdah_storage::{Destination, ObjectPath};
use std::collections::HashMap;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

use crate::api::TableView;
use crate::engine::OrFailure;
use crate::stored::StoredBackup;

/// Manifests that are read at once.
const AT_ONCE: usize = 32;

/// A backup that was found.
#[derive(Debug, Clone)]
pub struct FoundBackup {
    /// Where it is.
    pub stored: StoredBackup,
    /// What its manifest says; none where it cannot be read.
    pub manifest: Option<Manifest>,
    /// Why the manifest cannot be read.
    pub failure: Option<Failure>,
    /// Bytes of all its files.
    pub stored_bytes: u64,
}

/// Lists the backups at a destination, oldest first. A folder without a manifest is not a backup; one whose manifest cannot be
/// read is listed with the reason.
///
/// # Errors
/// Where the destination cannot be listed; cancelled.
pub async fn list(
    destination: &Arc<dyn Destination>,
    place: &Place,
    cancel: &CancellationToken,
) -> Result<Vec<FoundBackup>, Failure> {
    list_below(destination, place, None, cancel).await
}

/// As [`list`], of what lies below a folder only.
pub(crate) async fn list_below(
    destination: &Arc<dyn Destination>,
    place: &Place,
    folder: Option<&ObjectPath>,
    cancel: &CancellationToken,
) -> Result<Vec<FoundBackup>, Failure> {
    let entries = destination.list(folder, cancel).await.or_failure()?;
    let mut bytes: HashMap<ObjectPath, u64> = HashMap::new();
    for entry in &entries {
        if let Some(folder) = entry.path.parent() {
            *bytes.entry(folder).or_default() += entry.len;
        }
    }
    let folders = entries
        .iter()
        .filter(|entry| entry.path.name() == MANIFEST_FILE)
        .filter_map(|entry| entry.path.parent());
    let mut looks: Vec<BoxFuture<'static, FoundBackup>> = Vec::new();
    for folder in folders {
        let stored_bytes = bytes.get(&folder).copied().unwrap_or(0);
        let stored = StoredBackup::new(Arc::clone(destination), place, folder);
        looks.push(Box::pin(look(stored, stored_bytes, cancel.clone())));
    }
    let mut found: Vec<FoundBackup> = stream::iter(looks).buffer_unordered(AT_ONCE).collect().await;
    if cancel.is_cancelled() {
        return Err(howdah_storage::Error::Cancelled.to_failure());
    }
    found.sort_by(|a, b| {
        started(a)
            .cmp(&started(b))
            .then_with(|| a.stored.folder().cmp(b.stored.folder()))
    });
    Ok(found)
}

/// Reads one backup's manifest.
async fn look(stored: StoredBackup, stored_bytes: u64, cancel: CancellationToken) -> FoundBackup {
    let (manifest, failure) = match stored.manifest(&cancel).await {
        Ok(manifest) => (Some(manifest), None),
        Err(failure) => (None, Some(failure)),
    };
    FoundBackup {
        stored,
        manifest,
        failure,
        stored_bytes,
    }
}

fn started(found: &FoundBackup) -> Option<jiff::Timestamp> {
    found.manifest.as_ref().map(|manifest| manifest.started_at)
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
    ObjectPath::new(format!("{}/{id}", folder_of_database(server, database))).or_failure()
}

/// Where a database's backups lie in their destinations.
pub(crate) fn folder_of_database(server: &str, database: &str) -> String {
    use howdah_domain::slug::slug;
    format!("{}/{}", slug(server), slug(database))
}
