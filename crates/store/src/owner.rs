//! Who of the processes that share a data directory is alive, and who of them runs the schedule.
//!
//! A process holds a lock (flock) on `owners/<id>.lock` for its life; the system frees it however the process ends. Whoever can
//! take such a lock knows that its process is dead: no pids, no heartbeats, no clock. Making, looking and removing happen
//! under one more lock, so that a file just made is not taken for a dead one's. Knows no table.

use std::{
    collections::HashSet,
    fmt,
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use crate::{
    Error, Result,
    store::{lock_file, make_dir},
};

const OWNERS: &str = "owners";
const OWNERS_LOCK: &str = "owners.lock";
const SCHEDULER_LOCK: &str = "scheduler.lock";
const OUTBOX_LOCK: &str = "outbox.lock";

/// The name of a process among those that use a data directory: sixteen characters of base32.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OwnerId(String);

impl OwnerId {
    /// An id read back from where it was kept.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The id's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OwnerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The right to do alone what one process of a data directory does; freed when dropped.
#[derive(Debug)]
pub struct Guard {
    _file: File,
}

/// This process's own lock. Dropping it removes the file and frees the lock.
pub(crate) struct OwnerLock {
    id: OwnerId,
    path: PathBuf,
    _file: File,
}

impl OwnerLock {
    /// Registers this process under a new name.
    pub(crate) fn take(dir: &Path) -> Result<Self> {
        let mut random = [0; 10];
        getrandom::fill(&mut random).map_err(|error| Error::DataDir {
            path: dir.to_owned(),
            source: io::Error::other(error.to_string()),
        })?;
        let id = OwnerId(howdah_domain::id::random_suffix(random, 16));
        let owners = dir.join(OWNERS);
        make_dir(&owners)?;
        let _looking = guard(dir)?;
        let path = owners.join(format!("{id}.lock"));
        let file = lock_file(&path)?;
        file.try_lock().map_err(|error| Error::DataDir {
            path: path.clone(),
            source: error.into(),
        })?;
        Ok(Self {
            id,
            path,
            _file: file,
        })
    }

    pub(crate) fn id(&self) -> &OwnerId {
        &self.id
    }
}

impl Drop for OwnerLock {
    fn drop(&mut self) {
        // A file left behind would be removed by the next repair.
        let _ = fs::remove_file(&self.path);
    }
}

/// Who is alive, looked at under the lock that keeps newcomers out; files of the dead are removed by [`Census::clear`].
pub(crate) struct Census {
    /// The living, this process among them.
    pub(crate) living: HashSet<OwnerId>,
    dead: Vec<(PathBuf, File)>,
    _looking: File,
}

impl Census {
    /// Looks at every lock.
    pub(crate) fn take(dir: &Path) -> Result<Self> {
        let looking = guard(dir)?;
        let owners = dir.join(OWNERS);
        let failed = |source: io::Error| Error::DataDir {
            path: owners.clone(),
            source,
        };
        let mut living = HashSet::new();
        let mut dead = Vec::new();
        for entry in fs::read_dir(&owners).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let Some(id) = path
                .file_name()
                .and_then(|name| name.to_str())
                .and_then(|name| name.strip_suffix(".lock"))
            else {
                continue;
            };
            let id = OwnerId::from_text(id);
            let file = match File::options().read(true).write(true).open(&path) {
                Ok(file) => file,
                // Its process ended between the listing and now.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(error)),
            };
            match file.try_lock() {
                Ok(()) => dead.push((path, file)),
                Err(TryLockError::WouldBlock) => {
                    living.insert(id);
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
        Ok(Self {
            living,
            dead,
            _looking: looking,
        })
    }

    /// Removes the lock files of the dead.
    pub(crate) fn clear(self) {
        for (path, _lock) in self.dead {
            // One that cannot be removed is found dead again next time.
            let _ = fs::remove_file(path);
        }
    }
}

/// The lock under which owners are made, looked at and removed. Held for microseconds.
fn guard(dir: &Path) -> Result<File> {
    let path = dir.join(OWNERS_LOCK);
    let file = lock_file(&path)?;
    file.lock().map_err(|source| Error::DataDir { path, source })?;
    Ok(file)
}

/// Takes the schedule where it is free.
pub(crate) fn try_own_schedule(dir: &Path) -> Result<Option<Guard>> {
    try_own(dir.join(SCHEDULER_LOCK))
}

/// Takes the outbox where it is free.
pub(crate) fn try_own_outbox(dir: &Path) -> Result<Option<Guard>> {
    try_own(dir.join(OUTBOX_LOCK))
}

/// The file itself stays: removing it could leave two processes with two files.
fn try_own(path: PathBuf) -> Result<Option<Guard>> {
    let file = lock_file(&path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Guard { _file: file })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(Error::DataDir { path, source }),
    }
}
