//! The open data directory: one thread that writes, a few that read, and none of them the async runtime's.
//!
//! SQLite's calls block, so they run on threads of their own; callers send closures and await the answer. Reads
//! see one moment of the database each (a transaction in WAL mode); writes begin with BEGIN IMMEDIATE, so that what a closure has
//! read is still true when it writes, also beside other processes. The directory is 0700 where Howdah makes it, its
//! files are 0600. Knows no SQL but pragmas: that is in [`crate::tables`].

use std::{
    fs::{File, OpenOptions},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use crate::{
    Error, Guard, OwnerId, Result, migrate,
    owner::{self, OwnerLock},
};

/// The database's file name in the data directory.
pub const DATABASE_FILE: &str = "howdah.db";

/// Held while a process opens the data directory, so that only one makes or migrates the file.
const OPEN_LOCK: &str = "open.lock";

/// How long a statement waits for another process's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Threads that read. Two, so that one long list does not hold up the rest.
const READERS: usize = 2;

/// Closures that may wait for a thread; callers beyond that wait to hand theirs over.
const QUEUE: usize = 64;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// An open data directory. Cheap to clone; the last clone closes it.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    dir: PathBuf,
    owner: OwnerLock,
    // Options, so that dropping can close the queues before it waits for the threads.
    writer: Option<mpsc::Sender<Job>>,
    readers: Option<mpsc::Sender<Job>>,
    /// The writer's first.
    threads: Vec<JoinHandle<()>>,
}

impl Store {
    /// Opens the data directory, makes it where it is missing, brings the database to the newest version, and registers this
    /// process as an owner ([`crate::owner`]). Blocks for some milliseconds (a migration: longer): call it at the start,
    /// or in `spawn_blocking`.
    ///
    /// # Errors
    /// [`Error::Newer`] where a newer Howdah wrote it (nothing is changed then), [`Error::Corrupt`], [`Error::ReadOnly`],
    /// [`Error::Full`], [`Error::DataDir`], [`Error::Unusable`] (a file system without shared memory, such as some network shares).
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = dir.as_ref();
        make_dir(dir)?;
        let opening = lock_file(&dir.join(OPEN_LOCK))?;
        opening.lock().map_err(|source| Error::DataDir {
            path: dir.join(OPEN_LOCK),
            source,
        })?;
        let file = dir.join(DATABASE_FILE);
        make_private_file(&file)?;

        let mut connection = connect(&file)?;
        migrate::refuse_newer(&connection)?;
        prepare(&connection, &file)?;
        migrate::migrate(&mut connection)?;
        let mut reading = Vec::new();
        for _ in 0..READERS {
            let connection = connect(&file)?;
            prepare(&connection, &file)?;
            connection.pragma_update(None, "query_only", true)?;
            reading.push(connection);
        }
        let owner = OwnerLock::take(dir)?;
        drop(opening);

        let mut threads = Vec::new();
        let (writer, jobs) = mpsc::channel(QUEUE);
        threads.push(spawn(
            "howdah-store-write",
            connection,
            Arc::new(Mutex::new(jobs)),
            dir,
        )?);
        let (readers, jobs) = mpsc::channel(QUEUE);
        let jobs = Arc::new(Mutex::new(jobs));
        for connection in reading {
            threads.push(spawn("howdah-store-read", connection, Arc::clone(&jobs), dir)?);
        }
        Ok(Self(Arc::new(Inner {
            dir: dir.to_owned(),
            owner,
            writer: Some(writer),
            readers: Some(readers),
            threads,
        })))
    }

    /// The data directory.
    pub fn dir(&self) -> &Path {
        &self.0.dir
    }

    /// This process's name among those that use the data directory; runs, claims and ledger entries carry it.
    pub fn owner(&self) -> &OwnerId {
        self.0.owner.id()
    }

    /// Runs `work` on a reading connection, in a transaction of its own: all its queries see the same moment.
    /// Dropping the future does not stop the work.
    ///
    /// # Errors
    /// What `work` returns; SQLite's errors, classified.
    pub async fn read<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        submit(self.0.readers.as_ref(), move |connection| {
            let transaction = connection.unchecked_transaction()?;
            work(&transaction)
        })
        .await
    }

    /// Runs `work` in a write transaction (BEGIN IMMEDIATE), committed where it returns `Ok` and rolled back where not. Writes
    /// follow each other in the order they were handed over. Dropping the future does not stop the work.
    ///
    /// # Errors
    /// What `work` returns; SQLite's errors, classified. After any error nothing of it is in the database.
    pub async fn write<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
    {
        submit(self.0.writer.as_ref(), move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let answer = work(&transaction)?;
            transaction.commit()?;
            Ok(answer)
        })
        .await
    }

    /// SQLite's own check of the whole file: an empty list means all is well. Takes a while on a large one.
    ///
    /// # Errors
    /// SQLite's errors, classified.
    pub async fn integrity_check(&self) -> Result<Vec<String>> {
        self.read(|connection| {
            let mut statement = connection.prepare("PRAGMA integrity_check")?;
            let lines = statement
                .query_map([], |row| row.get::<_, String>(0))?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            Ok(lines.into_iter().filter(|line| line != "ok").collect())
        })
        .await
    }

    /// Makes this process the one that runs the schedule of this data directory, for as long as the guard lives.
    /// `None` where another one is. Freed by the system when the process dies, however it dies.
    ///
    /// # Errors
    /// [`Error::DataDir`] where the lock file cannot be made.
    pub fn try_own_schedule(&self) -> Result<Option<Guard>> {
        owner::try_own_schedule(&self.0.dir)
    }

    /// Makes this process the one that sends what is in the outbox, for as long as the guard lives. `None` where another one does.
    ///
    /// # Errors
    /// [`Error::DataDir`] where the lock file cannot be made.
    pub fn try_own_outbox(&self) -> Result<Option<Guard>> {
        owner::try_own_outbox(&self.0.dir)
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("dir", &self.0.dir).finish()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The writer last: of connections that close at the same time none is the last one, and the write-ahead log stays.
        self.readers = None;
        let writing = self.threads.drain(..1).collect::<Vec<_>>();
        join(self.threads.drain(..));
        self.writer = None;
        join(writing);
    }
}

/// Waits for threads to end.
fn join(threads: impl IntoIterator<Item = JoinHandle<()>>) {
    for thread in threads {
        // The last clone may be dropped by a job itself, on its own thread.
        if thread.thread().id() != thread::current().id() {
            let _ = thread.join();
        }
    }
}

/// Hands a closure to a thread and awaits its answer.
async fn submit<T, F>(queue: Option<&mpsc::Sender<Job>>, work: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce(&mut Connection) -> Result<T> + Send + 'static,
{
    let (answer, answered) = oneshot::channel();
    let job: Job = Box::new(move |connection| {
        // A panic ends the job, not the thread: its transaction is rolled back while it unwinds.
        let result = catch_unwind(AssertUnwindSafe(|| work(connection)))
            .unwrap_or(Err(Error::Stopped("its work panicked")));
        let _ = answer.send(result);
    });
    queue
        .ok_or(Error::Stopped("it is closed"))?
        .send(job)
        .await
        .map_err(|_| Error::Stopped("its thread has ended"))?;
    answered
        .await
        .map_err(|_| Error::Stopped("its thread has ended"))?
}

/// A thread that owns a connection and runs what comes from the queue until that is closed.
fn spawn(
    name: &str,
    mut connection: Connection,
    jobs: Arc<Mutex<mpsc::Receiver<Job>>>,
    dir: &Path,
) -> Result<JoinHandle<()>> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            loop {
                let job = jobs
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .blocking_recv();
                match job {
                    Some(job) => job(&mut connection),
                    None => break,
                }
            }
        })
        .map_err(|source| Error::DataDir {
            path: dir.to_owned(),
            source,
        })
}

/// Opens the file, without making it: that was done with the right mode.
fn connect(file: &Path) -> Result<Connection> {
    let connection = Connection::open_with_flags(
        file,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(|error| at_file(error.into(), file))?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(128);
    Ok(connection)
}

/// Sets what every connection needs. WAL lets readers and the writer work at once; synchronous FULL, because what
/// the ledger says must survive a power cut as well.
fn prepare(connection: &Connection, file: &Path) -> Result<()> {
    let mode: String = connection
        .query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
        .map_err(|error| at_file(error.into(), file))?;
    if mode != "wal" {
        return Err(Error::Unusable {
            path: file.to_owned(),
            reason: format!("the file system does not allow write-ahead logging (journal mode {mode})"),
        });
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // The log is cut back to this after a checkpoint, in bytes.
    connection.query_row("PRAGMA journal_size_limit = 8388608", [], |_| Ok(()))?;
    Ok(())
}

/// Names the file where SQLite does not.
fn at_file(error: Error, file: &Path) -> Error {
    match error {
        Error::Unusable { reason, .. } => Error::Unusable {
            path: file.to_owned(),
            reason,
        },
        other => other,
    }
}

/// Makes a directory, for its owner only. One that is there is left as it is: it may be anybody's.
pub(crate) fn make_dir(dir: &Path) -> Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir).map_err(|source| Error::DataDir {
        path: dir.to_owned(),
        source,
    })
}

/// Opens a file to lock, and makes it where it is missing, for its owner only.
pub(crate) fn lock_file(path: &Path) -> Result<File> {
    private_options()
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(|source| Error::DataDir {
            path: path.to_owned(),
            source,
        })
}

/// Makes the file where it is missing, and takes group and others off where it is there. SQLite gives the same mode to
/// the files it makes beside it.
fn make_private_file(path: &Path) -> Result<()> {
    let failed = |source: io::Error| Error::DataDir {
        path: path.to_owned(),
        source,
    };
    let file = private_options()
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(failed)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = file.metadata().map_err(failed)?.permissions().mode();
        if mode & 0o077 != 0 {
            file.set_permissions(std::fs::Permissions::from_mode(0o600))
                .map_err(failed)?;
        }
    }
    drop(file);
    Ok(())
}

/// Options to read and write a file that only its owner may open.
pub(crate) fn private_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}
