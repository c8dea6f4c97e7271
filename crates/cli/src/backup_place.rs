//! Which backup is meant when it is named by a path.

use std::path::{Path, PathBuf};

use howdah_archive::manifest::MANIFEST_FILE;
use howdah_domain::{Failure, FailureCode};

/// The folder that a path names, where there is something: the folder itself, or that of its manifest.
pub(crate) fn as_path(named: &str) -> Option<PathBuf> {
    let path = Path::new(named);
    if !path.exists() {
        return None;
    }
    let path = std::path::absolute(path).ok()?;
    if path.file_name().is_some_and(|name| name == MANIFEST_FILE) {
        return path.parent().map(Path::to_owned);
    }
    Some(path)
}

/// There is no such backup.
pub(crate) fn none(named: &str) -> Failure {
    Failure::new(
        FailureCode::BackupNotFound,
        format!("There is no backup at {named}."),
    )
    .hint("Name a backup's folder, or an id that `howdah list` shows.")
}
