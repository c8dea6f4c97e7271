//! A destination that is a folder of this machine, perhaps one that is mounted from elsewhere.
//!
//! A missing mount must not silently fill the disk below it. So the folder is *prepared* once, when the user chooses
//! it: a marker file is put into it. From then on nothing is written unless the marker is there; the folder itself is
//! never created again.

mod writer;

use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio_util::sync::CancellationToken;

use crate::destination::{Destination, Entry, MANIFEST, Object, ObjectWriter, Stat};
use crate::error::MissingWhy;
use crate::path::TEMPORARY;
use crate::{Error, ObjectPath};

/// The file that tells our folder from the empty mount point of one that is not mounted.
pub const MARKER: &str = ".howdah-destination";

const MARKER_TEXT: &str = "This folder holds backups made by Howdah.\n\
    Howdah writes here only while this file is here, so that a disk or share that is not connected is noticed.\n";

/// A folder as a destination.
#[derive(Debug, Clone)]
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    /// The destination at `root`. Touches nothing: a folder that is not there shows when it is used.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The file of an object, for programs that want one.
    pub fn file(&self, path: &ObjectPath) -> PathBuf {
        self.root.join(path.as_str())
    }
}

/// Runs file-system work on a blocking thread. Cancelled, it is no longer waited for.
async fn blocking<T: Send + 'static>(
    cancel: &CancellationToken,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    if cancel.is_cancelled() {
        return Err(Error::Cancelled);
    }
    tokio::select! {
        done = tokio::task::spawn_blocking(work) => done.expect("BUG: file-system work does not panic"),
        () = cancel.cancelled() => Err(Error::Cancelled),
    }
}

/// The root must be a folder.
fn demand_root(root: &Path) -> Result<(), Error> {
    match fs::metadata(root) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(Error::missing(root.display(), MissingWhy::NoFolder)),
        Err(error) if is_absent(&error) => Err(Error::missing(root.display(), MissingWhy::NoFolder)),
        Err(source) => Err(Error::reading(root, source)),
    }
}

/// Where something is written or removed, the root must be ours.
fn demand_marker(root: &Path) -> Result<(), Error> {
    demand_root(root)?;
    match fs::metadata(root.join(MARKER)) {
        Ok(_) => Ok(()),
        Err(error) if is_absent(&error) => Err(Error::missing(root.display(), MissingWhy::NotOurs)),
        Err(source) => Err(Error::reading(root, source)),
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

#[async_trait]
impl Destination for Folder {
    fn name(&self) -> String {
        self.root.display().to_string()
    }

    async fn is_there(&self, cancel: &CancellationToken) -> Result<(), Error> {
        let root = self.root.clone();
        blocking(cancel, move || demand_marker(&root)).await
    }

    /// Creates the folder where it is not there, and puts the marker into it. A file system that refuses the marker answers
    /// [`Error::ReadOnly`] or [`Error::Full`].
    async fn prepare(&self, cancel: &CancellationToken) -> Result<(), Error> {
        let root = self.root.clone();
        blocking(cancel, move || {
            fs::create_dir_all(&root).map_err(|source| match source.kind() {
                io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                    Error::missing(root.display(), MissingWhy::NoFolder)
                }
                _ => Error::from_io("creating", &root, source),
            })?;
            let marker = root.join(MARKER);
            if marker.try_exists().unwrap_or(false) {
                return Ok(());
            }
            fs::write(&marker, MARKER_TEXT).map_err(|source| match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::Full {
                    place: root.display().to_string(),
                    object: MARKER.to_owned(),
                    written: 0,
                    free: writer::free_bytes(&root),
                    source: source.into(),
                },
                _ => Error::from_io("writing", &marker, source),
            })
        })
        .await
    }

    async fn create(
        &self,
        path: &ObjectPath,
        _estimate: Option<u64>,
        cancel: &CancellationToken,
    ) -> Result<Box<dyn ObjectWriter>, Error> {
        let root = self.root.clone();
        let path = path.clone();
        let token = cancel.clone();
        let opened = blocking(cancel, move || {
            demand_marker(&root)?;
            writer::Opened::open(&root, &path)
        })
        .await?;
        Ok(Box::new(writer::FolderWriter::start(opened, token)))
    }

    async fn read(
        &self,
        path: &ObjectPath,
        range: Option<Range<u64>>,
        cancel: &CancellationToken,
    ) -> Result<Object, Error> {
        let root = self.root.clone();
        let file_path = self.file(path);
        let name = path.clone();
        let (file, len) = blocking(cancel, move || {
            demand_root(&root)?;
            let file = fs::File::open(&file_path).map_err(|error| {
                if is_absent(&error) {
                    Error::NotFound {
                        path: name.to_string(),
                    }
                } else {
                    Error::reading(&file_path, error)
                }
            })?;
            let metadata = file
                .metadata()
                .map_err(|error| Error::reading(&file_path, error))?;
            if !metadata.is_file() {
                return Err(Error::NotFound {
                    path: name.to_string(),
                });
            }
            Ok((file, metadata.len()))
        })
        .await?;
        let mut file = tokio::fs::File::from_std(file);
        file.set_max_buf_size(512 * 1024);
        let range = range.unwrap_or(0..len);
        let start = range.start.min(len);
        let wanted = range.end.min(len).saturating_sub(start);
        if start > 0 {
            file.seek(io::SeekFrom::Start(start))
                .await
                .map_err(|error| Error::reading(&self.file(path), error))?;
        }
        Ok(Object {
            len: wanted,
            body: Box::new(file.take(wanted)),
        })
    }

    async fn list(
        &self,
        folder: Option<&ObjectPath>,
        cancel: &CancellationToken,
    ) -> Result<Vec<Entry>, Error> {
        let root = self.root.clone();
        let folder = folder.cloned();
        let token = cancel.clone();
        blocking(cancel, move || {
            demand_root(&root)?;
            let mut entries = Vec::new();
            collect(&root, folder.as_ref(), &mut entries, &token)?;
            entries.sort_by(|a, b| a.path.cmp(&b.path));
            Ok(entries)
        })
        .await
    }

    async fn stat(&self, path: &ObjectPath, cancel: &CancellationToken) -> Result<Option<Stat>, Error> {
        let root = self.root.clone();
        let file = self.file(path);
        blocking(cancel, move || {
            demand_root(&root)?;
            match fs::metadata(&file) {
                Ok(metadata) if metadata.is_file() => Ok(Some(Stat {
                    len: metadata.len(),
                    checksum: None,
                })),
                Ok(_) => Ok(None),
                Err(error) if is_absent(&error) => Ok(None),
                Err(source) => Err(Error::reading(&file, source)),
            }
        })
        .await
    }

    async fn delete(&self, path: &ObjectPath, cancel: &CancellationToken) -> Result<(), Error> {
        let root = self.root.clone();
        let file = self.file(path);
        blocking(cancel, move || {
            demand_marker(&root)?;
            remove_file(&file)?;
            if let Some(parent) = file.parent() {
                remove_empty_folders(&root, parent);
            }
            Ok(())
        })
        .await
    }

    async fn delete_folder(&self, folder: &ObjectPath, cancel: &CancellationToken) -> Result<(), Error> {
        let root = self.root.clone();
        let folder = self.file(folder);
        blocking(cancel, move || {
            demand_marker(&root)?;
            match fs::metadata(&folder) {
                Ok(metadata) if metadata.is_dir() => {}
                Ok(_) => return Ok(()),
                Err(error) if is_absent(&error) => return Ok(()),
                Err(source) => return Err(Error::reading(&folder, source)),
            }
            let manifest = folder.join(MANIFEST);
            if manifest.try_exists().unwrap_or(true) {
                remove_file(&manifest)?;
                writer::sync_folder(&folder)?;
            }
            match fs::remove_dir_all(&folder) {
                Ok(()) => {}
                Err(error) if is_absent(&error) => {}
                Err(source) => return Err(Error::from_io("removing", &folder, source)),
            }
            if let Some(parent) = folder.parent() {
                remove_empty_folders(&root, parent);
                // What is gone stays gone after a power cut; a file system that cannot say so is no reason to fail.
                let _ = writer::sync_folder(parent);
            }
            Ok(())
        })
        .await
    }

    async fn free_space(&self, cancel: &CancellationToken) -> Result<Option<u64>, Error> {
        let root = self.root.clone();
        blocking(cancel, move || {
            demand_root(&root)?;
            Ok(writer::free_bytes(&root))
        })
        .await
    }
}

/// Adds every finished object below `folder`. Names that are no object paths are somebody else's files; links are not
/// followed.
fn collect(
    root: &Path,
    folder: Option<&ObjectPath>,
    entries: &mut Vec<Entry>,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    let mut folders = vec![folder.cloned()];
    while let Some(folder) = folders.pop() {
        if cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let directory = folder
            .as_ref()
            .map_or_else(|| root.to_owned(), |folder| root.join(folder.as_str()));
        let read = match fs::read_dir(&directory) {
            Ok(read) => read,
            Err(error) if is_absent(&error) => continue,
            Err(source) => return Err(Error::reading(&directory, source)),
        };
        for item in read {
            let item = item.map_err(|source| Error::reading(&directory, source))?;
            let Some(name) = item.file_name().to_str().map(str::to_owned) else {
                continue;
            };
            if folder.is_none() && name == MARKER {
                continue;
            }
            let path = folder.as_ref().map_or_else(
                || ObjectPath::new(name.as_str()),
                |folder| folder.join(name.as_str()),
            );
            let Ok(path) = path else { continue };
            let metadata = match item.metadata() {
                Ok(metadata) => metadata,
                Err(error) if is_absent(&error) => continue,
                Err(source) => return Err(Error::reading(&item.path(), source)),
            };
            if metadata.is_dir() {
                folders.push(Some(path));
            } else if metadata.is_file() {
                entries.push(Entry {
                    path,
                    len: metadata.len(),
                });
            }
        }
    }
    Ok(())
}

fn remove_file(file: &Path) -> Result<(), Error> {
    match fs::remove_file(file) {
        Ok(()) => Ok(()),
        Err(error) if is_absent(&error) => Ok(()),
        Err(source) => Err(Error::from_io("removing", file, source)),
    }
}

/// Removes `folder` and those above it, as long as they are empty and below the root. A folder that is not empty ends
/// it, and is no error.
fn remove_empty_folders(root: &Path, folder: &Path) {
    let mut folder = Some(folder);
    while let Some(current) = folder {
        if current == root || !current.starts_with(root) || fs::remove_dir(current).is_err() {
            return;
        }
        folder = current.parent();
    }
}

/// The temporary name of a file, in the same folder.
fn temporary(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(TEMPORARY);
    PathBuf::from(name)
}
