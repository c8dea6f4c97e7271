//! The folder `programs`: what lies where, and the stamp that says what was put there.
//!
//! ```text
//! programs/
//!     17/stamp.json            written last: a major without it is not there
//!     17/client/bin/pg_dump …  17/client/lib
//!     17/server/bin/postgres … 17/server/lib  17/server/share
//!     shared/<sum>/libicudata.so.60     libraries that several majors hold in common
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::lock::{Package, Part};

/// The name of a major's stamp.
pub const STAMP: &str = "stamp.json";

/// Raised when the layout changes, so that folders of an older one are made anew.
pub const LAYOUT: u32 = 1;

/// What lies in a major's folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// [`LAYOUT`] when it was made.
    pub layout: u32,
    /// The major.
    pub major: u16,
    /// `pg_dump` and the other clients; `None` where they could not be had.
    pub client: Option<StampedPart>,
    /// Why there is no client.
    pub client_missing: Option<Missing>,
    /// The server.
    pub server: Option<StampedPart>,
}

/// Why an optional part is not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// In words.
    pub reason: String,
    /// Whether this machine can never have it; otherwise the next run tries again.
    pub for_good: bool,
}

/// One part of a major.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StampedPart {
    /// The version of PostgreSQL, `17.10`.
    pub version: String,
    /// The file it was unpacked from.
    pub file: String,
    /// That file's SHA-256.
    pub sha256: String,
    /// [`Package::recipe`] of its entry.
    pub recipe: String,
    /// Folders for the library path, relative to the major's folder.
    pub library_path: Vec<String>,
    /// What it needs from the system.
    pub needs: String,
}

impl Stamp {
    /// The stamp of a major's folder; `None` when there is none or it cannot be read, which both mean: make it anew.
    pub fn read(major_folder: &Path) -> Option<Self> {
        let text = fs::read(major_folder.join(STAMP)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Writes the stamp into a major's folder.
    pub fn write(&self, major_folder: &Path) -> anyhow::Result<()> {
        let path = major_folder.join(STAMP);
        let mut text = serde_json::to_vec_pretty(self).expect("BUG: a stamp is plain data");
        text.push(b'\n');
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// The part that a package becomes.
    pub fn part(&self, part: Part) -> Option<&StampedPart> {
        match part {
            Part::Client => self.client.as_ref(),
            Part::Server => self.server.as_ref(),
        }
    }

    /// Whether what lies there is what these packages (of this major) would become, shared libraries included.
    pub fn is_current(&self, packages: &[&Package], programs: &Path) -> bool {
        self.layout == LAYOUT
            && packages.iter().all(|package| match self.part(package.part) {
                Some(part) => {
                    part.recipe == package.recipe()
                        && part
                            .library_path
                            .iter()
                            .all(|folder| programs.join(self.major.to_string()).join(folder).is_dir())
                }
                None => {
                    package.optional.is_some() && self.client_missing.as_ref().is_some_and(|m| m.for_good)
                }
            })
    }
}

/// The sum of the sizes of all files below a folder, in bytes.
pub fn size_of(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => size_of(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}

/// A major's folder.
pub fn major_folder(programs: &Path, major: u16) -> PathBuf {
    programs.join(major.to_string())
}
