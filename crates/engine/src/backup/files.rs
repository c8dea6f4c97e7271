//! The small files of a backup: index, globals, manifest. Each is put whole, and its size is checked by the destination.

use std::io;

use bytes::Bytes;
use howdah_archive::manifest::FileEntry;
use howdah_storage::{Destination, Error, ObjectPath, Stored};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

/// zstd's level for the small files: they are written once, and size counts more than the milliseconds.
const LEVEL: i32 = 9;

/// The manifest's entry of a file.
pub(super) fn entry(name: &str, bytes: &[u8]) -> FileEntry {
    FileEntry::new(name, bytes.len() as u64, Sha256::digest(bytes).into())
}

/// Puts `bytes` at `path`.
pub(crate) async fn put(
    destination: &dyn Destination,
    path: &ObjectPath,
    bytes: Bytes,
    cancel: &CancellationToken,
) -> Result<Stored, Error> {
    let len = bytes.len() as u64;
    let mut writer = destination.create(path, Some(len), cancel).await?;
    writer.write(bytes).await?;
    writer.finish(len).await
}

/// Compresses a text with checksum and content size, as every other `.zst` of a backup.
pub(super) fn compress(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
    compressor.include_checksum(true)?;
    compressor.include_contentsize(true)?;
    compressor.compress(bytes)
}
