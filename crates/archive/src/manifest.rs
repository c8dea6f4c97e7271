//! The manifest: what a backup is, which files it has, and how to restore it without Howdah.
//!
//! Plain JSON, written last; a folder without it is not a backup. Its own checksum lies beside it in
//! `manifest.sha256`, in the form that `sha256sum -c` reads. This module writes and reads texts, no files.

use std::fmt::Write as _;

use howdah_domain::{BackupId, Selection};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Error;
use crate::encryption::stored_name;
use crate::index::INDEX_FILE;

/// The manifest's file name.
pub const MANIFEST_FILE: &str = "manifest.json";
/// The file name of the manifest's checksum.
pub const CHECKSUM_FILE: &str = "manifest.sha256";
/// The dump's file name in a backup that is not encrypted.
pub const DUMP_FILE: &str = "dump.pgdump.zst";
/// The globals' file name in a backup that is not encrypted.
pub const GLOBALS_FILE: &str = "globals.sql.zst";
/// The newest format that this version writes and reads.
pub const FORMAT: u64 = 1;

/// No manifest is longer than this.
pub const MAX_MANIFEST: usize = 16 << 20;

/// What a backup is. Unknown fields are ignored when reading, so that later versions may add some.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u64,
    /// The backup's id, which is its folder's name.
    pub id: BackupId,
    /// The version of Howdah that wrote it.
    pub howdah: String,
    /// The server it is of.
    pub server: ServerInfo,
    /// The database's real name.
    pub database: String,
    /// The database's encoding, in which the dump is: `UTF8`.
    pub encoding: String,
    /// The database's collation.
    #[serde(default)]
    pub collation: Option<String>,
    /// The extensions that the database uses.
    #[serde(default)]
    pub extensions: Vec<String>,
    /// When the dump began.
    pub started_at: Timestamp,
    /// When everything but the manifest was in place.
    pub finished_at: Timestamp,
    /// The pg_dump that made it.
    pub client: ClientInfo,
    /// How it was made.
    pub options: BackupOptions,
    /// Bytes of the dump, uncompressed.
    pub raw_bytes: u64,
    /// Tables with data entries.
    pub tables: u64,
    /// Rows of all tables.
    pub rows: u64,
    /// Every file of the folder but the manifest and its checksum.
    pub files: Vec<FileEntry>,
    /// How it is encrypted; none is plain.
    #[serde(default)]
    pub encryption: Option<Encryption>,
    /// The commands that restore it without Howdah.
    pub restore_by_hand: String,
}

/// The server a backup is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerInfo {
    /// What the user calls it.
    pub name: String,
    /// Its version: `16.4`.
    pub version: String,
}

/// The pg_dump that made a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientInfo {
    /// Its version: `16.15`.
    pub version: String,
    /// Its major version: 16.
    pub major: u16,
    /// Whether it is of a newer major than the server, because the server's own was not at hand.
    #[serde(default)]
    pub newer_than_server: bool,
}

/// How a backup was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupOptions {
    /// zstd's level.
    pub level: i32,
    /// Whether only a part of the database was chosen.
    #[serde(default)]
    pub partial: bool,
    /// What was chosen. Absent where all was, and in an encrypted backup, whose manifest names no table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selection: Option<Selection>,
    /// Whether roles and other globals are in it.
    #[serde(default)]
    pub globals: Globals,
}

/// Whether roles and other globals are in a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Globals {
    /// They are not.
    #[default]
    None,
    /// They are, with the roles' password hashes.
    WithPasswords,
    /// They are, without passwords: the role that dumped them was no superuser.
    WithoutPasswords,
}

/// One file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Its name in the folder.
    pub name: String,
    /// Its length as stored.
    pub bytes: u64,
    /// The SHA-256 of it as stored, in 64 lower-case hex digits.
    pub sha256: String,
}

impl FileEntry {
    /// A file of `bytes` bytes with that SHA-256.
    pub fn new(name: impl Into<String>, bytes: u64, sha256: [u8; 32]) -> Self {
        Self {
            name: name.into(),
            bytes,
            sha256: to_hex(&sha256),
        }
    }
}

/// How a backup is encrypted: to keys, or with a passphrase.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Encryption {
    /// The age recipients whose keys open it.
    #[serde(default)]
    pub age_recipients: Vec<String>,
    /// Whether a passphrase opens it instead.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub age_passphrase: bool,
}

impl Manifest {
    /// The bytes of `manifest.json`. That of an encrypted backup names no table: what was chosen is left out, and stands
    /// in the index only.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut public = std::borrow::Cow::Borrowed(self);
        if self.encryption.is_some() && self.options.selection.is_some() {
            public.to_mut().options.selection = None;
        }
        let mut text = serde_json::to_vec_pretty(&*public).expect("BUG: a manifest is always JSON");
        text.push(b'\n');
        text
    }

    /// Reads `manifest.json`.
    ///
    /// # Errors
    /// [`Error::NewerFormat`] for a higher format, whatever else it holds; [`Error::Damaged`] where it is not a manifest.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        /// What every format has.
        #[derive(Deserialize)]
        struct AnyFormat {
            format: u64,
        }
        let damaged = |reason: String| Error::damaged(MANIFEST_FILE, reason);
        if bytes.len() > MAX_MANIFEST {
            return Err(damaged("it is longer than any manifest".to_owned()));
        }
        let any: AnyFormat = serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
        if any.format > FORMAT {
            return Err(Error::NewerFormat {
                found: any.format,
                known: FORMAT,
            });
        }
        if any.format == 0 {
            return Err(damaged("there is no format 0".to_owned()));
        }
        serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))
    }

    /// The entry of a file.
    pub fn file(&self, name: &str) -> Option<&FileEntry> {
        self.files.iter().find(|file| file.name == name)
    }

    /// The dump's entry, encrypted or not.
    pub fn dump_file(&self) -> Option<&FileEntry> {
        self.stored(DUMP_FILE)
    }

    /// The index's entry, encrypted or not.
    pub fn index_file(&self) -> Option<&FileEntry> {
        self.stored(INDEX_FILE)
    }

    /// The globals' entry, encrypted or not.
    pub fn globals_file(&self) -> Option<&FileEntry> {
        self.stored(GLOBALS_FILE)
    }

    fn stored(&self, name: &str) -> Option<&FileEntry> {
        self.file(name).or_else(|| self.file(&stored_name(name, true)))
    }

    /// Bytes of all files as stored, the manifest and its checksum left aside.
    pub fn stored_bytes(&self) -> u64 {
        self.files
            .iter()
            .fold(0, |sum, file| sum.saturating_add(file.bytes))
    }
}

/// The commands that restore a backup with these files without Howdah, for [`Manifest::restore_by_hand`].
pub fn restore_by_hand(files: &[FileEntry], encryption: Option<&Encryption>) -> String {
    // With a passphrase there is no key file: age asks for it.
    let key = if encryption.is_some_and(|encryption| encryption.age_passphrase) {
        ""
    } else {
        "-i key.txt "
    };
    let open = |base: &str| {
        let encrypted = stored_name(base, true);
        if files.iter().any(|file| file.name == encrypted) {
            Some(format!("age -d {key}{encrypted} | zstd -dc"))
        } else {
            files
                .iter()
                .any(|file| file.name == base)
                .then(|| format!("zstd -dc {base}"))
        }
    };
    let mut text = String::new();
    if let Some(encryption) = encryption {
        text.push_str(if encryption.age_passphrase {
            "# age asks for the passphrase.\n"
        } else {
            "# key.txt holds the secret key: the line that begins with AGE-SECRET-KEY-1.\n"
        });
    }
    if let Some(globals) = open(GLOBALS_FILE) {
        let _ = writeln!(
            text,
            "# Roles first, where the server lacks them:\n{globals} | psql -d postgres"
        );
    }
    if let Some(dump) = open(DUMP_FILE) {
        let _ = writeln!(
            text,
            "# Into an empty database called target:\n{dump} | pg_restore -d target"
        );
    }
    text.truncate(text.trim_end().len());
    text
}

/// The text of `manifest.sha256` for these bytes of `manifest.json`; `sha256sum -c manifest.sha256` checks it.
pub fn checksum_text(manifest: &[u8]) -> String {
    format!("{}  {MANIFEST_FILE}\n", to_hex(&Sha256::digest(manifest)))
}

/// Whether these bytes of `manifest.sha256` belong to those of `manifest.json`.
pub fn checksum_matches(checksum: &[u8], manifest: &[u8]) -> bool {
    checksum == checksum_text(manifest).as_bytes()
}

/// Lower-case hex digits.
pub fn to_hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_to_restore_by_hand_have_the_real_names_and_can_be_pasted() {
        let file = |name: &str| FileEntry::new(name, 1, [0; 32]);
        let commands = |names: [&str; 2], encryption: Option<&Encryption>| -> Vec<String> {
            restore_by_hand(&names.map(file), encryption)
                .lines()
                .filter(|line| !line.starts_with('#'))
                .map(str::to_owned)
                .collect()
        };
        assert_eq!(
            commands([DUMP_FILE, GLOBALS_FILE], None),
            [
                "zstd -dc globals.sql.zst | psql -d postgres",
                "zstd -dc dump.pgdump.zst | pg_restore -d target"
            ]
        );
        let names = ["dump.pgdump.zst.age", "globals.sql.zst.age"];
        let mut encryption = Encryption {
            age_recipients: vec!["age1…".to_owned()],
            age_passphrase: false,
        };
        assert_eq!(
            commands(names, Some(&encryption)),
            [
                "age -d -i key.txt globals.sql.zst.age | zstd -dc | psql -d postgres",
                "age -d -i key.txt dump.pgdump.zst.age | zstd -dc | pg_restore -d target"
            ]
        );
        encryption.age_passphrase = true;
        assert_eq!(
            commands(names, Some(&encryption)),
            [
                "age -d globals.sql.zst.age | zstd -dc | psql -d postgres",
                "age -d dump.pgdump.zst.age | zstd -dc | pg_restore -d target"
            ]
        );
    }

    #[test]
    fn what_is_no_manifest_is_told_as_damaged() {
        for text in [
            "",
            "null",
            "{}",
            "[1]",
            "{\"format\":0}",
            "{\"format\":1}",
            "{\"format\":-1}",
        ] {
            assert!(
                matches!(Manifest::from_bytes(text.as_bytes()), Err(Error::Damaged { .. })),
                "{text}"
            );
        }
        let newer = Manifest::from_bytes(b"{\"format\":7}");
        assert!(matches!(newer, Err(Error::NewerFormat { found: 7, .. })));
    }
}
