//! A backup that lies: one byte of one row is another, and everything that is checked without restoring is right again.

use std::io::Read as _;
use std::path::Path;

use howdah_archive::manifest::{CHECKSUM_FILE, DUMP_FILE, FileEntry, MANIFEST_FILE, checksum_text};
use howdah_archive::{EncodeOptions, Index, Manifest, Meter, encode};
use sha2::{Digest as _, Sha256};

const INDEX_FILE: &str = "index.json.zst";

/// Exchanges `from` for `to`, of the same length, once in a table's rows. Frames, offsets, checksums and the manifest are made
/// anew; the table's fingerprint stays what was dumped.
pub(crate) fn exchange(backup: &Path, table: &str, from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let read = |name: &str| std::fs::read(backup.join(name)).unwrap();
    let index = Index::from_bytes(&read(INDEX_FILE)).unwrap();
    let entry = index.tables().find(|entry| entry.name == table).unwrap();
    let mut raw = Vec::new();
    zstd::Decoder::new(read(DUMP_FILE).as_slice())
        .unwrap()
        .read_to_end(&mut raw)
        .unwrap();
    let start = usize::try_from(entry.raw_offset).unwrap();
    let end = usize::try_from(entry.raw_end()).unwrap();
    let at = raw[start..end]
        .windows(from.len())
        .position(|window| window == from.as_bytes())
        .unwrap();
    raw[start + at..start + at + from.len()].copy_from_slice(to.as_bytes());

    let mut stored = Vec::new();
    let options = EncodeOptions::default();
    let mut encoded = encode(raw.as_slice(), &mut stored, &options, &Meter::new(), &|| false).unwrap();
    for entry in &mut encoded.index.entries {
        let before = index
            .entries
            .iter()
            .find(|before| before.dump_id == entry.dump_id);
        entry.fingerprint = before.unwrap().fingerprint;
    }
    encoded.index.settings = index.settings.clone();
    let written = [
        (DUMP_FILE, stored),
        (INDEX_FILE, encoded.index.to_bytes().unwrap()),
    ];
    let mut manifest = Manifest::from_bytes(&read(MANIFEST_FILE)).unwrap();
    for (name, bytes) in &written {
        let file = manifest.files.iter_mut().find(|file| file.name == *name).unwrap();
        *file = FileEntry::new(*name, bytes.len() as u64, Sha256::digest(bytes).into());
        std::fs::write(backup.join(name), bytes).unwrap();
    }
    let bytes = manifest.to_bytes();
    std::fs::write(backup.join(CHECKSUM_FILE), checksum_text(&bytes)).unwrap();
    std::fs::write(backup.join(MANIFEST_FILE), bytes).unwrap();
}
