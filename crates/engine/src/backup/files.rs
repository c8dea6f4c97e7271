//! The small files of a backup: index, globals, manifest. Each is put whole, and its size is checked by the destination.

use std::io;

use bytes::Bytes;
use howdah_archive::manifest::FileEntry;
use howdah_storage::{Destination, Error, ObjectPath};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

/// zstd's level for the small files: they are written once, and size counts more than the milliseconds.
const LEVEL: i32 = 9;

/// Puts `bytes` as `name` into `folder`, and answers the entry for the manifest.
pub(super) async fn put(
    destination: &dyn Destination,
    folder: &ObjectPath,
    name: &str,
    bytes: Vec<u8>,
    cancel: &CancellationToken,
) -> Result<FileEntry, Error> {
    let len = bytes.len() as u64;
    let sha256: [u8; 32] = Sha256::digest(&bytes).into();
    let mut writer = destination.create(&folder.join(name)?, None, cancel).await?;
    writer.write(Bytes::from(bytes)).await?;
    writer.finish(len).await?;
    Ok(FileEntry::new(name, len, sha256))
}

/// Compresses a text with checksum and content size, as every other `.zst` of a backup.
pub(super) fn compress(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
    compressor.include_checksum(true)?;
    compressor.include_contentsize(true)?;
    compressor.compress(bytes)
}
