//! A backup as it lies at a destination: opened, read whole or at any place, whatever kind of destination it is.
//!
//! The archive's readers are blocking and work on threads of their own; [`StoredBackup`] gives them a backup's files through
//! the destination's async calls. A folder of this machine is read directly.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use howdah_archive::encryption::Keys;
use howdah_archive::index::INDEX_FILE;
use howdah_archive::manifest::{CHECKSUM_FILE, DUMP_FILE, MANIFEST_FILE, MAX_MANIFEST, checksum_matches};
use howdah_archive::source::{BackupFolder, LocalFolder};
use howdah_archive::{Index, Manifest};
use howdah_domain::{Failure, FailureCode, Place};
use howdah_storage::{Destination, Error, Folder, ObjectPath};
use tokio::io::AsyncReadExt as _;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::engine::{OrFailure, internal};

mod files;

pub(crate) use files::Sequential;
pub use files::StoredFile;
use files::{RemoteFile, RemoteFolder};

/// No index is longer than this.
const MAX_INDEX: u64 = 1 << 30;

/// No globals are longer than this, packed or not.
const MAX_GLOBALS: u64 = 256 << 20;

/// A backup at a destination.
#[derive(Debug, Clone)]
pub struct StoredBackup {
    destination: Arc<dyn Destination>,
    folder: ObjectPath,
    /// Its folder, where it is one of this machine.
    local: Option<PathBuf>,
    /// What is at hand to open it with, where it is encrypted.
    keys: Arc<Keys>,
}

impl StoredBackup {
    /// The backup in a folder of a destination. `place` is that destination's.
    pub fn new(destination: Arc<dyn Destination>, place: &Place, folder: ObjectPath) -> Self {
        let local = place.as_folder().map(|root| root.join(folder.as_str()));
        Self {
            destination,
            folder,
            local,
            keys: Arc::default(),
        }
    }

    /// The backup in a folder of this machine, wherever that is.
    ///
    /// # Errors
    /// Where the folder's own name is one that no destination has.
    pub fn in_folder(path: &Path) -> Result<Self, Failure> {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let root = path.parent().unwrap_or(path);
        Ok(Self {
            destination: Arc::new(Folder::new(root)),
            folder: ObjectPath::new(name).or_failure()?,
            local: Some(path.to_owned()),
            keys: Arc::default(),
        })
    }

    /// The same backup, with what is at hand to open it.
    #[must_use]
    pub fn with_keys(self, keys: Keys) -> Self {
        Self {
            keys: Arc::new(keys),
            ..self
        }
    }

    /// What is at hand to open it with.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Where it lies, for people: a path, or the destination's name and the folder in it.
    pub fn name(&self) -> String {
        match &self.local {
            Some(path) => path.display().to_string(),
            None => format!(
                "{}/{}",
                self.destination.name().trim_end_matches('/'),
                self.folder
            ),
        }
    }

    /// Its folder, where it is one of this machine.
    pub fn local(&self) -> Option<&Path> {
        self.local.as_deref()
    }

    /// The destination that it is on.
    pub fn destination(&self) -> &Arc<dyn Destination> {
        &self.destination
    }

    /// Its folder in the destination.
    pub fn folder(&self) -> &ObjectPath {
        &self.folder
    }

    /// Reads its manifest and checks it against its checksum.
    ///
    /// # Errors
    /// [`FailureCode::BackupNotFound`] where there is nothing, [`FailureCode::BackupUnreadable`] where there is something else or a
    /// newer format, [`FailureCode::BackupDamaged`]; those of the destination.
    pub async fn manifest(&self, cancel: &CancellationToken) -> Result<Manifest, Failure> {
        let bytes = match self.small(MANIFEST_FILE, MAX_MANIFEST as u64, cancel).await {
            Ok(bytes) => bytes,
            Err(Error::NotFound { .. }) => return Err(self.no_backup(cancel).await),
            Err(Error::Missing { .. }) if self.local.is_some() => return Err(self.not_found()),
            Err(error) => return Err(self.unreadable(MANIFEST_FILE, &error)),
        };
        let manifest = Manifest::from_bytes(&bytes).or_failure()?;
        let checksum = self
            .small(CHECKSUM_FILE, MAX_MANIFEST as u64, cancel)
            .await
            .map_err(|error| self.unreadable(CHECKSUM_FILE, &error))?;
        if checksum_matches(&checksum, &bytes) {
            return Ok(manifest);
        }
        Err(Failure::new(
            FailureCode::BackupDamaged,
            format!(
                "manifest.json in {} is not as it was written: its checksum differs.",
                self.name()
            ),
        )
        .hint("Use another copy of this backup, or an older backup."))
    }

    /// Reads its index.
    ///
    /// # Errors
    /// [`FailureCode::BackupDamaged`]; [`FailureCode::KeyMissing`] and [`FailureCode::KeyWrong`] where it is encrypted; those of the
    /// destination.
    pub async fn index(&self, manifest: &Manifest, cancel: &CancellationToken) -> Result<Index, Failure> {
        let name = manifest
            .index_file()
            .map_or_else(|| INDEX_FILE.to_owned(), |file| file.name.clone());
        let bytes = self
            .small(&name, MAX_INDEX, cancel)
            .await
            .map_err(|error| self.unreadable(&name, &error))?;
        // Opening and unpacking a large index is work for a thread that may block.
        let keys = Arc::clone(&self.keys);
        tokio::task::spawn_blocking(move || Index::from_bytes(&keys.decrypt(&name, &bytes)?))
            .await
            .map_err(|error| internal("Reading the index failed.", &error))?
            .or_failure()
    }

    /// Its dump, decrypted where it is encrypted, to be read at any place by threads that may block.
    ///
    /// # Errors
    /// As [`StoredBackup::index`].
    pub async fn dump(&self, manifest: &Manifest, cancel: &CancellationToken) -> Result<StoredFile, Failure> {
        let name = manifest
            .dump_file()
            .map_or_else(|| DUMP_FILE.to_owned(), |file| file.name.clone());
        let file = self.file(&name, cancel).await?;
        if manifest.encryption.is_none() {
            return Ok(file);
        }
        let what = file.what();
        let keys = Arc::clone(&self.keys);
        let opened = tokio::task::spawn_blocking(move || keys.source(&name, file))
            .await
            .map_err(|error| internal("Opening the dump died.", &error))?
            .or_failure()?;
        Ok(StoredFile::new(opened, what))
    }

    /// Its globals, as SQL; none where they were not saved.
    ///
    /// # Errors
    /// As [`StoredBackup::index`].
    pub async fn globals(
        &self,
        manifest: &Manifest,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, Failure> {
        let Some(file) = manifest.globals_file() else {
            return Ok(None);
        };
        let name = file.name.clone();
        let bytes = self
            .small(&name, MAX_GLOBALS, cancel)
            .await
            .map_err(|error| self.unreadable(&name, &error))?;
        let (keys, place) = (Arc::clone(&self.keys), self.name());
        let sql = tokio::task::spawn_blocking(move || {
            let plain = keys.decrypt(&name, &bytes).or_failure()?;
            let mut sql = Vec::new();
            zstd::Decoder::new(plain.as_slice())
                .and_then(|unpacked| unpacked.take(MAX_GLOBALS).read_to_end(&mut sql))
                .map_err(|error| {
                    Failure::new(
                        FailureCode::BackupDamaged,
                        format!("{name} in {place} cannot be unpacked."),
                    )
                    .hint("Use another copy of this backup, or an older backup.")
                    .details(error.to_string())
                })?;
            Ok::<_, Failure>(String::from_utf8_lossy(&sql).into_owned())
        })
        .await
        .map_err(|error| internal("Reading the globals died.", &error))??;
        Ok(Some(sql))
    }

    /// Its files, for the archive's blocking readers. To be used on threads that may block, not on the runtime's own.
    pub fn files(&self, cancel: &CancellationToken) -> Box<dyn BackupFolder + Send> {
        match &self.local {
            Some(path) => Box::new(LocalFolder::new(path)),
            None => Box::new(RemoteFolder {
                backup: self.clone(),
                runtime: Handle::current(),
                cancel: cancel.clone(),
            }),
        }
    }

    /// One of its files, to be read at any place by threads that may block.
    ///
    /// # Errors
    /// [`FailureCode::BackupDamaged`] where it is not there; those of the destination.
    async fn file(&self, name: &str, cancel: &CancellationToken) -> Result<StoredFile, Failure> {
        let path = self.folder.join(name).or_failure()?;
        let what = format!("{name} in {}", self.name());
        if let Some(local) = &self.local {
            let path = local.join(name);
            let opened = tokio::task::spawn_blocking(move || File::open(path))
                .await
                .map_err(|error| internal("Opening a backup's file died.", &error))?;
            return match opened {
                Ok(file) => Ok(StoredFile::new(file, what)),
                Err(source) => Err(Failure::new(
                    FailureCode::BackupDamaged,
                    format!("{name} in {} cannot be read.", self.name()),
                )
                .hint("Use another copy of this backup, or an older backup.")
                .details(source.to_string())),
            };
        }
        let stat = self.destination.stat(&path, cancel).await.or_failure()?;
        let Some(stat) = stat else {
            let missing = Error::NotFound {
                path: name.to_owned(),
            };
            return Err(self.unreadable(name, &missing));
        };
        let file = RemoteFile {
            destination: Arc::clone(&self.destination),
            path,
            len: stat.len,
            runtime: Handle::current(),
            cancel: cancel.clone(),
        };
        Ok(StoredFile::new(file, what))
    }

    /// A small file, whole.
    async fn small(&self, name: &str, limit: u64, cancel: &CancellationToken) -> Result<Vec<u8>, Error> {
        read_whole(&*self.destination, &self.folder.join(name)?, limit, cancel).await
    }

    /// There is no manifest: is there nothing at all, or something that is no backup?
    async fn no_backup(&self, cancel: &CancellationToken) -> Failure {
        let there = match &self.local {
            Some(path) => tokio::fs::try_exists(path).await.unwrap_or(false),
            None => self
                .destination
                .list(Some(&self.folder), cancel)
                .await
                .is_ok_and(|entries| !entries.is_empty()),
        };
        if there {
            howdah_archive::Error::NotABackup.to_failure()
        } else {
            self.not_found()
        }
    }

    fn not_found(&self) -> Failure {
        Failure::new(
            FailureCode::BackupNotFound,
            format!("There is no backup at {}.", self.name()),
        )
        .hint("`howdah list` with a folder or a destination's URL shows the backups there.")
    }

    /// A file of a backup that is there cannot be read: its absence is a damage, anything else the destination's trouble.
    fn unreadable(&self, name: &str, error: &Error) -> Failure {
        match error {
            Error::NotFound { .. } => Failure::new(
                FailureCode::BackupDamaged,
                format!("{name} is missing in {}.", self.name()),
            )
            .hint("Use another copy of this backup, or an older backup.")
            .details(error.to_string()),
            error => error.to_failure(),
        }
    }
}

/// Reads an object that is known to be small; one that is longer than `limit` is cut there.
pub(crate) async fn read_whole(
    destination: &dyn Destination,
    path: &ObjectPath,
    limit: u64,
    cancel: &CancellationToken,
) -> Result<Vec<u8>, Error> {
    let object = destination.read(path, None, cancel).await?;
    let mut bytes = Vec::new();
    let mut body = object.body.take(limit);
    tokio::select! {
        biased;
        () = cancel.cancelled() => return Err(Error::Cancelled),
        read = body.read_to_end(&mut bytes) => read.map_err(|source| Error::Failed {
            what: "reading",
            at: path.to_string(),
            source: source.into(),
        })?,
    };
    Ok(bytes)
}
