//! A copy of a backup made from another copy: file by file, checked against the manifest on its way, the manifest last.
//!
//! Knows two destinations and no run. What it began and did not finish is removed by the caller, who has it in the ledger.

use bytes::Bytes;
use howdah_archive::Manifest;
use howdah_archive::manifest::{CHECKSUM_FILE, MANIFEST_FILE, MAX_MANIFEST, to_hex};
use howdah_domain::{Failure, FailureCode};
use howdah_storage::{Checksum, Destination, Error, ObjectPath};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt as _;
use tokio_util::sync::CancellationToken;

use crate::backup::{Checksums, files};
use crate::engine::OrFailure;
use crate::stored::{StoredBackup, read_whole};

/// How much is read at once.
const CHUNK: usize = 1 << 20;

/// Looks whether a copy has to be made at `target` at all, and changes nothing. Answers what the target says of each file where it
/// holds the backup already, whole. Where something else lies there (an earlier attempt, a damaged copy), which would have to go first,
/// the source is read in full.
///
/// # Errors
/// [`FailureCode::BackupDamaged`] where the source is not what its manifest says, so that nothing may go for its sake. Those of both
/// destinations; cancelled.
pub(crate) async fn already_there(
    source: &StoredBackup,
    target: &StoredBackup,
    cancel: &CancellationToken,
) -> Result<Option<Checksums>, Failure> {
    let manifest = source.manifest(cancel).await?;
    let there = target
        .destination()
        .list(Some(source.folder()), cancel)
        .await
        .or_failure()?;
    if there.is_empty() {
        return Ok(None);
    }
    if holds(target, &manifest, cancel).await? {
        return checksums_of(target, &manifest, cancel).await.map(Some);
    }
    demand_whole(source, &manifest, cancel).await?;
    Ok(None)
}

/// Copies a backup to `target`, into the folder of the same name there; what lies in it goes first, since objects are never replaced
/// (see [`already_there`]). `on_bytes` hears how many bytes went over. Answers what the target said of each file.
///
/// # Errors
/// [`FailureCode::BackupDamaged`] where what is read is not what the manifest says: the source is the damaged one then. Those of
/// both destinations; cancelled.
pub(crate) async fn copy(
    source: &StoredBackup,
    target: &StoredBackup,
    on_bytes: &(dyn Fn(u64) + Sync),
    cancel: &CancellationToken,
) -> Result<Checksums, Failure> {
    let manifest = source.manifest(cancel).await?;
    let folder = source.folder();
    let destination = &**target.destination();
    destination.delete_folder(folder, cancel).await.or_failure()?;
    let mut checksums = Checksums::new();
    for file in &manifest.files {
        let path = folder.join(&file.name).or_failure()?;
        let checksum = copy_file(source, &manifest, &path, destination, on_bytes, cancel).await?;
        if let Some(checksum) = checksum {
            checksums.insert(file.name.clone(), checksum);
        }
    }
    for name in [CHECKSUM_FILE, MANIFEST_FILE] {
        let path = folder.join(name).or_failure()?;
        let bytes = read_whole(&**source.destination(), &path, MAX_MANIFEST as u64, cancel)
            .await
            .or_failure()?;
        on_bytes(bytes.len() as u64);
        files::put(destination, &path, Bytes::from(bytes), cancel)
            .await
            .or_failure()?;
    }
    Ok(checksums)
}

/// Whether a destination holds this backup already, every byte of it.
async fn holds(
    target: &StoredBackup,
    manifest: &Manifest,
    cancel: &CancellationToken,
) -> Result<bool, Failure> {
    match target.manifest(cancel).await {
        Ok(there) if there == *manifest => match demand_whole(target, manifest, cancel).await {
            Ok(()) => Ok(true),
            Err(failure) if failure.code == FailureCode::BackupDamaged => Ok(false),
            Err(failure) => Err(failure),
        },
        Ok(_) => Ok(false),
        Err(failure) => match failure.code {
            FailureCode::BackupNotFound | FailureCode::BackupDamaged | FailureCode::BackupUnreadable => {
                Ok(false)
            }
            _ => Err(failure),
        },
    }
}

/// Reads every file of a copy. [`FailureCode::BackupDamaged`] where one is not what the manifest says.
async fn demand_whole(
    stored: &StoredBackup,
    manifest: &Manifest,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    for file in &manifest.files {
        let path = stored.folder().join(&file.name).or_failure()?;
        let damaged = || damaged(stored, &file.name);
        let mut object = match stored.destination().read(&path, None, cancel).await {
            Ok(object) => object,
            Err(Error::NotFound { .. } | Error::Corrupted { .. }) => return Err(damaged()),
            Err(error) => return Err(error.to_failure()),
        };
        let mut hash = Sha256::new();
        let mut buffer = vec![0; CHUNK];
        let mut len = 0;
        loop {
            let read = tokio::select! {
                biased;
                () = cancel.cancelled() => return Err(Error::Cancelled.to_failure()),
                read = object.body.read(&mut buffer) => read,
            };
            match read {
                Ok(0) => break,
                Ok(read) => {
                    hash.update(&buffer[..read]);
                    len += read as u64;
                }
                Err(error) => return Err(unread(&path, error)),
            }
        }
        if len != file.bytes || to_hex(&hash.finalize()) != file.sha256 {
            return Err(damaged());
        }
    }
    Ok(())
}

/// What a destination says of each file of a copy.
async fn checksums_of(
    stored: &StoredBackup,
    manifest: &Manifest,
    cancel: &CancellationToken,
) -> Result<Checksums, Failure> {
    let mut checksums = Checksums::new();
    for file in &manifest.files {
        let path = stored.folder().join(&file.name).or_failure()?;
        let stat = stored.destination().stat(&path, cancel).await.or_failure()?;
        if let Some(checksum) = stat.and_then(|stat| stat.checksum) {
            checksums.insert(file.name.clone(), checksum.into_text());
        }
    }
    Ok(checksums)
}

fn damaged(stored: &StoredBackup, file: &str) -> Failure {
    Failure::new(
        FailureCode::BackupDamaged,
        format!(
            "{file} at {} is not what the manifest says, so it was not copied.",
            stored.name()
        ),
    )
    .hint("Verify this backup: the copy that was to be the source is damaged.")
}

fn unread(path: &ObjectPath, error: std::io::Error) -> Failure {
    let failed = Error::Failed {
        what: "reading",
        at: path.to_string(),
        source: error.into(),
    };
    failed.to_failure()
}

/// Copies one file of a backup. It appears at the target only if it is what the manifest says.
async fn copy_file(
    source: &StoredBackup,
    manifest: &Manifest,
    path: &ObjectPath,
    target: &dyn Destination,
    on_bytes: &(dyn Fn(u64) + Sync),
    cancel: &CancellationToken,
) -> Result<Option<String>, Failure> {
    let expected = manifest.file(path.name()).ok_or_else(|| {
        Failure::new(
            FailureCode::Internal,
            "The manifest lost a file while it was copied.",
        )
    })?;
    let mut object = source.destination().read(path, None, cancel).await.or_failure()?;
    let mut writer = target
        .create(path, Some(expected.bytes), cancel)
        .await
        .or_failure()?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; CHUNK];
    let mut copied = 0;
    let read = loop {
        let read = tokio::select! {
            biased;
            () = cancel.cancelled() => break Err(Error::Cancelled.to_failure()),
            read = object.body.read(&mut buffer) => read,
        };
        match read {
            Ok(0) => break Ok(()),
            Ok(len) => {
                hash.update(&buffer[..len]);
                if let Err(error) = writer.write(Bytes::copy_from_slice(&buffer[..len])).await {
                    // The writer has removed what it wrote.
                    return Err(error.to_failure());
                }
                copied += len as u64;
                on_bytes(len as u64);
            }
            Err(error) => break Err(unread(path, error)),
        }
    };
    let found = to_hex(&hash.finalize());
    let checked = read.and_then(|()| {
        if copied == expected.bytes && found == expected.sha256 {
            Ok(())
        } else {
            Err(damaged(source, &expected.name).details(format!(
                "{copied} bytes with sha256 {found} instead of {} bytes with sha256 {}",
                expected.bytes, expected.sha256
            )))
        }
    });
    match checked {
        Ok(()) => {
            let stored = writer.finish(copied).await.or_failure()?;
            Ok(stored.checksum.map(Checksum::into_text))
        }
        Err(failure) => {
            writer.abort().await;
            Err(failure)
        }
    }
}
