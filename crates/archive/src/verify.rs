//! Checks every byte of a backup's folder: checksums, frames, seek table, index against content.
//!
//! This file goes through the folder; what is inside the dump is `verify_dump.rs`. Damages are gathered in a
//! [`Report`]; an error is only what keeps it from looking.

use std::io::{self, ErrorKind, Read};

use howdah_domain::{Failure, FailureCode, TableName};
use sha2::{Digest, Sha256};

use crate::encryption::{EXTENSION, Keys, StoredReader};
use crate::manifest::{
    CHECKSUM_FILE, FileEntry, MANIFEST_FILE, MAX_MANIFEST, checksum_matches, checksum_text, to_hex,
};
use crate::source::BackupFolder;
use crate::verify_dump::{self, Checked};
use crate::{Error, Index, Manifest, Meter};

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// What is wrong. Empty means that the backup is whole.
    pub damages: Vec<Damage>,
    /// Files looked at, manifest and checksum included.
    pub files: u64,
    /// Bytes read of them.
    pub bytes: u64,
    /// Tables whose rows were read and compared with the index.
    pub tables: u64,
    /// Rows read and compared.
    pub rows: u64,
    /// Whether the content was read to its end: not where it is [`locked`](Self::locked), or a damage stood in the way.
    pub content_checked: bool,
    /// The backup is encrypted and no key was at hand: every file is as it was written, by its checksum, but what is in
    /// it was not looked into.
    pub locked: bool,
}

/// One damage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The damaged file's name.
    pub file: String,
    /// The tables it may concern, where that can be told: those with rows in the damaged stretch.
    pub tables: Vec<TableName>,
    /// What kind of damage.
    pub kind: DamageKind,
    /// What exactly, in a sentence.
    pub detail: String,
}

/// Kinds of damages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DamageKind {
    /// The file is not there.
    Missing,
    /// It is shorter or longer than it was.
    Length,
    /// Its checksum differs.
    Checksum,
    /// A frame does not decompress to what it was.
    Frame,
    /// The seek table at the dump's end does not tell of its frames.
    SeekTable,
    /// It cannot be understood.
    Unreadable,
    /// The content is not what the index tells of.
    Content,
}

impl Damage {
    pub(crate) fn new(file: &str, kind: DamageKind, detail: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            tables: Vec::new(),
            kind,
            detail: detail.into(),
        }
    }

    /// The damage in one line: file, tables, what.
    pub fn describe(&self) -> String {
        let named = self
            .tables
            .iter()
            .take(5)
            .map(|table| format!("{}.{}", table.schema, table.name));
        let mut named = named.collect::<Vec<_>>().join(", ");
        if self.tables.len() > 5 {
            named.push_str(&format!(" and {} more", self.tables.len() - 5));
        }
        match self.tables.len() {
            0 => format!("{}: {}", self.file, self.detail),
            1 => format!("{}: {} (table {named})", self.file, self.detail),
            _ => format!("{}: {} (tables {named})", self.file, self.detail),
        }
    }
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_whole(&self) -> bool {
        self.damages.is_empty()
    }

    /// What was not looked into, in a sentence; none where everything was.
    pub fn remark(&self) -> Option<&'static str> {
        self.locked.then_some(
            "The backup is encrypted and its key is not at hand: every checksum was compared, the content was not looked into.",
        )
    }

    /// The damages as one failure; none where all is whole.
    pub fn to_failure(&self) -> Option<Failure> {
        let first = self.damages.first()?;
        let mut files: Vec<&str> = self.damages.iter().map(|damage| damage.file.as_str()).collect();
        files.dedup();
        let message = match (first.kind, files.as_slice()) {
            (DamageKind::Missing, [file]) => format!("The backup's file {file} is missing."),
            (_, [file]) => format!("The backup's file {file} is damaged."),
            (_, files) => format!(
                "{} of the backup's files are damaged: {}.",
                files.len(),
                files.join(", ")
            ),
        };
        let lines: Vec<String> = self.damages.iter().take(100).map(Damage::describe).collect();
        let failure = Failure::new(FailureCode::BackupDamaged, message)
            .hint("Use another copy of this backup, or an older one; then make a new backup, and look at the disk.")
            .details(lines.join("\n"));
        Some(failure)
    }
}

/// Checks a backup: the manifest by its own checksum, each file's length and SHA-256, every frame, the seek table, and
/// the index against the content (rows and fingerprint of every table). Damages are in the report, not errors.
///
/// An encrypted backup is checked by lengths and checksums only: as [`verify_with`] without keys.
///
/// # Errors
/// As there.
pub fn verify(
    folder: &dyn BackupFolder,
    meter: &Meter,
    is_cancelled: &(dyn Fn() -> bool + Sync),
) -> Result<Report, Error> {
    verify_with(&Keys::none(), folder, meter, is_cancelled)
}

/// Checks a backup as [`verify`] does, with the keys that open it where it is encrypted. Without any, an encrypted one is
/// checked by lengths and checksums only, and the report says so.
///
/// `meter` tells how far it is (`stored_bytes` counts what has been read of all files); `is_cancelled` is asked before
/// every read.
///
/// # Errors
/// [`Error::NotABackup`], [`Error::NewerFormat`], [`Error::Cancelled`], and [`Error::Read`] where a file is there but
/// cannot be read; [`Error::WrongKey`], [`Error::WrongPassphrase`] and [`Error::KeyMissing`] where there are keys, and a file
/// whose checksum is right does not open with them.
pub fn verify_with(
    keys: &Keys,
    folder: &dyn BackupFolder,
    meter: &Meter,
    is_cancelled: &(dyn Fn() -> bool + Sync),
) -> Result<Report, Error> {
    let mut look = Look {
        keys,
        folder,
        meter,
        is_cancelled,
        report: Report::default(),
    };
    if let Some(manifest) = look.manifest()? {
        look.files(&manifest)?;
    }
    Ok(look.report)
}

/// A verification at work.
pub(crate) struct Look<'a> {
    keys: &'a Keys,
    folder: &'a dyn BackupFolder,
    meter: &'a Meter,
    is_cancelled: &'a (dyn Fn() -> bool + Sync),
    pub(crate) report: Report,
}

impl<'a> Look<'a> {
    pub(crate) fn found(&mut self, damage: Damage) {
        self.report.damages.push(damage);
    }

    /// Opens a file; what is missing is a damage.
    fn open(&mut self, name: &str) -> Result<Option<Passing<'a>>, Error> {
        match self.folder.open(name) {
            Ok(file) => {
                self.report.files += 1;
                let (meter, is_cancelled) = (self.meter, self.is_cancelled);
                Ok(Some(Passing {
                    file,
                    meter,
                    is_cancelled,
                    sha256: Sha256::new(),
                    bytes: 0,
                }))
            }
            Err(error) if is_missing(&error) => {
                self.found(Damage::new(name, DamageKind::Missing, "the file is not there"));
                Ok(None)
            }
            Err(error) => Err(Error::read(name, error)),
        }
    }

    /// A small file, whole.
    fn read_small(&mut self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let Some(mut file) = self.open(name)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        let limit = MAX_MANIFEST as u64 + 1;
        (&mut file)
            .take(limit)
            .read_to_end(&mut bytes)
            .map_err(|error| file.error(name, error))?;
        self.report.bytes += file.bytes;
        Ok(Some(bytes))
    }

    /// The manifest, where it is what its checksum says; a damaged one vouches for nothing.
    fn manifest(&mut self) -> Result<Option<Manifest>, Error> {
        let manifest = self.read_small(MANIFEST_FILE)?;
        let checksum = self.read_small(CHECKSUM_FILE)?;
        let (manifest, checksum) = match (manifest, checksum) {
            (None, None) => return Err(Error::NotABackup),
            (None, Some(_)) => return Ok(None),
            (Some(manifest), checksum) => (manifest, checksum),
        };
        if let Some(checksum) = checksum.filter(|checksum| !checksum_matches(checksum, &manifest)) {
            let expected = checksum_text(&manifest);
            // A damaged manifest has a checksum that is wholly different; a damaged checksum is almost the right one.
            let alike = checksum
                .iter()
                .zip(expected.as_bytes())
                .filter(|(a, b)| a == b)
                .count();
            if alike < expected.len() - 8 && looks_like_checksum(&checksum) {
                let detail = "it is not the one that its checksum in manifest.sha256 was taken of";
                self.found(Damage::new(MANIFEST_FILE, DamageKind::Checksum, detail));
                return Ok(None);
            }
            let detail = "it is not the checksum of manifest.json";
            self.found(Damage::new(CHECKSUM_FILE, DamageKind::Checksum, detail));
        }
        match Manifest::from_bytes(&manifest) {
            Ok(manifest) => Ok(Some(manifest)),
            Err(Error::Damaged { reason, .. }) => {
                self.found(Damage::new(MANIFEST_FILE, DamageKind::Unreadable, reason));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn files(&mut self, manifest: &Manifest) -> Result<(), Error> {
        let (index_file, dump_file) = (manifest.index_file(), manifest.dump_file());
        self.report.locked = manifest.encryption.is_some() && self.keys.is_empty();
        let mut index = None;
        match index_file {
            Some(file) if self.is_open(file) => index = self.index(file)?,
            Some(_) => {}
            None => {
                let detail = "the manifest names no index";
                self.found(Damage::new(MANIFEST_FILE, DamageKind::Content, detail));
            }
        }
        if dump_file.is_none() {
            let detail = "the manifest names no dump";
            self.found(Damage::new(MANIFEST_FILE, DamageKind::Content, detail));
        }
        for file in &manifest.files {
            let open = self.is_open(file);
            if open && index_file.is_some_and(|index| index.name == file.name) {
                continue;
            }
            if open && dump_file.is_some_and(|dump| dump.name == file.name) {
                self.dump(file, manifest, index.as_ref())?;
            } else {
                self.other(file, open)?;
            }
        }
        Ok(())
    }

    /// Whether it can be looked into a file: it is not encrypted, or there are keys.
    fn is_open(&self, file: &FileEntry) -> bool {
        !(self.report.locked || file.name.ends_with(EXTENSION) && self.keys.is_empty())
    }

    /// Looks into a file by `read`, and at its checksum. Gives what was read where the checksum is right.
    ///
    /// A checksum that differs is told where `read` has told no damage. A key that does not fit is an error only where the
    /// checksum is right: age cannot tell it from a damaged header.
    fn look_into<T>(
        &mut self,
        file: &FileEntry,
        read: impl FnOnce(&mut Self, &mut Content<'_, 'a>) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        let Some(mut passing) = self.open(&file.name)? else {
            return Ok(None);
        };
        let before = self.report.damages.len();
        let opened = self.keys.reader(&file.name, &mut passing);
        let outcome = opened.and_then(|reader| {
            let mut content = Content {
                name: &file.name,
                reader,
                is_cancelled: self.is_cancelled,
            };
            read(self, &mut content)
        });
        if (self.is_cancelled)() {
            return Err(Error::Cancelled);
        }
        if let Err(error @ (Error::Read { .. } | Error::Cancelled)) = outcome {
            return Err(error);
        }
        let told = self.report.damages.len() > before;
        let sound = self.close(file, passing, !told)?;
        match outcome {
            Ok(read) => Ok(sound.then_some(read)),
            // Its damage is told already.
            Err(_) if !sound => Ok(None),
            Err(Error::Damaged { reason, .. }) => {
                self.found(Damage::new(&file.name, DamageKind::Unreadable, reason));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The index, where it can be read.
    fn index(&mut self, file: &FileEntry) -> Result<Option<Index>, Error> {
        // Where its checksum is wrong, it vouches for nothing.
        self.look_into(file, |_, content| Index::read_from(content))
    }

    fn dump(&mut self, file: &FileEntry, manifest: &Manifest, index: Option<&Index>) -> Result<(), Error> {
        self.look_into(file, |look, content| {
            let damages = &mut look.report.damages;
            let checked = match index {
                Some(index) => verify_dump::with_index(content, index, look.meter, damages)?,
                None => verify_dump::without_index(content, look.meter, damages)?,
            };
            let Checked {
                tables,
                rows,
                raw_bytes,
                whole,
            } = checked;
            (look.report.tables, look.report.rows, look.report.content_checked) = (tables, rows, whole);
            if whole && (raw_bytes, tables, rows) != (manifest.raw_bytes, manifest.tables, manifest.rows) {
                let detail = format!(
                    "it holds {rows} rows of {tables} tables in {raw_bytes} bytes, the manifest says {} of {} in {}",
                    manifest.rows, manifest.tables, manifest.raw_bytes
                );
                look.found(Damage::new(&file.name, DamageKind::Content, detail));
            }
            Ok(())
        })?;
        Ok(())
    }

    /// A file that is looked at for its checksum, and whether it decompresses, where it can be looked into.
    fn other(&mut self, file: &FileEntry, open: bool) -> Result<(), Error> {
        let plain_name = file.name.strip_suffix(EXTENSION).unwrap_or(&file.name);
        if open && plain_name.ends_with(".zst") {
            let broken = self.look_into(file, |_, content| verify_dump::unpacks(content))?;
            if let Some(reason) = broken.flatten() {
                self.found(Damage::new(&file.name, DamageKind::Frame, reason));
            }
        } else if let Some(passing) = self.open(&file.name)? {
            self.close(file, passing, true)?;
        }
        Ok(())
    }

    /// Reads a file to its end, and compares length and checksum. A checksum that differs is told where nothing else is
    /// (`tell`). Whether both are right.
    fn close(&mut self, file: &FileEntry, mut passing: Passing<'_>, tell: bool) -> Result<bool, Error> {
        io::copy(&mut passing, &mut io::sink()).map_err(|error| passing.error(&file.name, error))?;
        let bytes = passing.bytes;
        self.report.bytes += bytes;
        if bytes != file.bytes {
            let detail = format!("it has {bytes} bytes instead of {}", file.bytes);
            self.found(Damage::new(&file.name, DamageKind::Length, detail));
            return Ok(false);
        }
        let sound = to_hex(&passing.sha256.finalize()) == file.sha256;
        if !sound && tell {
            let detail = "its SHA-256 is not the one in the manifest";
            self.found(Damage::new(&file.name, DamageKind::Checksum, detail));
        }
        Ok(sound)
    }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidInput)
}

/// Whether it has the form that `sha256sum` writes.
fn looks_like_checksum(text: &[u8]) -> bool {
    let hex = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    text.split_at_checked(64)
        .is_some_and(|(sum, name)| sum.iter().all(hex) && name == format!("  {MANIFEST_FILE}\n").as_bytes())
}

/// A file as it passes: hashed and counted.
pub(crate) struct Passing<'a> {
    file: Box<dyn Read + Send>,
    meter: &'a Meter,
    is_cancelled: &'a (dyn Fn() -> bool + Sync),
    sha256: Sha256,
    bytes: u64,
}

impl Passing<'_> {
    /// A reading error, or the cancelling that looks like one.
    fn error(&self, name: &str, error: io::Error) -> Error {
        if (self.is_cancelled)() {
            Error::Cancelled
        } else {
            Error::read(name, error)
        }
    }
}

/// What is in a file, decrypted where it is encrypted.
pub(crate) struct Content<'n, 'a> {
    pub(crate) name: &'n str,
    reader: StoredReader<&'n mut Passing<'a>>,
    is_cancelled: &'a (dyn Fn() -> bool + Sync),
}

impl Content<'_, '_> {
    /// What an error of reading it means: [`Error::Damaged`] where it does not decrypt, a reading error, or the cancelling that
    /// looks like one.
    pub(crate) fn error(&self, error: io::Error) -> Error {
        if (self.is_cancelled)() {
            Error::Cancelled
        } else {
            Error::from_io(self.name, error)
        }
    }
}

impl Read for Content<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer)
    }
}

impl Read for Passing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if (self.is_cancelled)() {
            return Err(io::Error::other("cancelled"));
        }
        let len = self.file.read(buffer)?;
        self.sha256.update(&buffer[..len]);
        self.bytes += len as u64;
        self.meter.add_stored_bytes(len as u64);
        Ok(len)
    }
}
