//! Writes one file of a folder: under a temporary name, on a blocking thread, synced, checked, renamed.
//!
//! Bytes are brought to the disk as they come, so that the sync at the end is short.
//!
//! The caller's side and the thread share a [`Fate`]: whichever comes first, giving up or renaming, decides, so that a
//! file never appears after its writer was told to give up.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{is_absent, remove_empty_folders, temporary};
use crate::destination::{ObjectWriter, Stored};
use crate::{Error, ObjectPath};

/// The largest piece that is handed to the thread; longer ones are cut (which copies nothing).
const PIECE: usize = 1024 * 1024;
/// Pieces on their way to the thread, at most.
const QUEUE: usize = 4;
/// Small pieces are gathered up to this much before they are written.
const GATHER: usize = 256 * 1024;
/// After so many bytes the system is asked to bring them to the disk.
const FLUSH: u64 = 16 * 1024 * 1024;

/// A temporary file that is open, and what it is to become.
pub(super) struct Opened {
    file: File,
    target: Arc<Target>,
}

/// Where the file goes.
struct Target {
    root: PathBuf,
    object: ObjectPath,
    temporary: PathBuf,
    place: PathBuf,
    fate: Mutex<Fate>,
}

/// What has become of the temporary file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Writing,
    GivenUp,
    InPlace,
}

/// What the thread is told.
enum Order {
    Write(Bytes),
    Finish(u64, oneshot::Sender<Result<Stored, Error>>),
}

/// The caller's side.
pub(super) struct FolderWriter {
    orders: Option<mpsc::Sender<Order>>,
    thread: Option<tokio::task::JoinHandle<Result<(), Error>>>,
    target: Arc<Target>,
    cancel: CancellationToken,
}

impl Opened {
    /// Makes the folders on the way and opens the temporary file.
    pub(super) fn open(root: &Path, object: &ObjectPath) -> Result<Self, Error> {
        let place = root.join(object.as_str());
        let folder = place.parent().unwrap_or(root).to_owned();
        let temporary = temporary(&place);
        match fs::symlink_metadata(&place) {
            Ok(_) => {
                return Err(Error::AlreadyExists {
                    path: object.to_string(),
                });
            }
            Err(error) if is_absent(&error) => {}
            Err(source) => return Err(Error::reading(&place, source)),
        }
        let mut attempt = 0;
        let file = loop {
            make_folders(root, &folder).map_err(|source| full_or(root, object, 0, &folder, source))?;
            let opened = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .open(&temporary);
            match opened {
                Ok(file) => break file,
                // Somebody removed an object beside ours, and with it the folder that was empty just then.
                Err(error) if is_absent(&error) && attempt < 3 => attempt += 1,
                Err(source) => return Err(full_or(root, object, 0, &temporary, source)),
            }
        };
        let target = Target {
            root: root.to_owned(),
            object: object.clone(),
            temporary,
            place,
            fate: Mutex::new(Fate::Writing),
        };
        Ok(Self {
            file,
            target: Arc::new(target),
        })
    }
}

impl Target {
    /// Decides that the file will not appear, and removes it. `false` where it is in place already.
    fn give_up(&self) -> bool {
        let mut fate = self.fate.lock().unwrap_or_else(PoisonError::into_inner);
        if *fate == Fate::Writing {
            *fate = Fate::GivenUp;
            self.remove(&self.temporary);
        }
        *fate == Fate::GivenUp
    }

    fn remove(&self, file: &Path) {
        if fs::remove_file(file).is_ok()
            && let Some(folder) = file.parent()
        {
            remove_empty_folders(&self.root, folder);
        }
    }

    /// Gives the file its name, and puts that on stable storage, unless it was given up.
    fn put_in_place(&self) -> Result<(), Error> {
        let mut fate = self.fate.lock().unwrap_or_else(PoisonError::into_inner);
        if *fate != Fate::Writing {
            return Err(Error::Cancelled);
        }
        // hard_link + unlink would refuse an existing name atomically, but not every share has links; backup folders
        // have random names and one writer, so looking first is enough.
        if fs::symlink_metadata(&self.place).is_ok() {
            return Err(Error::AlreadyExists {
                path: self.object.to_string(),
            });
        }
        fs::rename(&self.temporary, &self.place)
            .map_err(|source| full_or(&self.root, &self.object, 0, &self.place, source))?;
        if let Some(folder) = self.place.parent()
            && let Err(error) = sync_folder(folder)
        {
            *fate = Fate::GivenUp;
            self.remove(&self.place);
            return Err(error);
        }
        *fate = Fate::InPlace;
        Ok(())
    }
}

/// Nobody is left who could put it in place: an opening, say, that was cancelled before its writer was made.
impl Drop for Target {
    fn drop(&mut self) {
        self.give_up();
    }
}

impl FolderWriter {
    /// Starts the thread. The temporary file is this writer's from here on.
    pub(super) fn start(opened: Opened, cancel: CancellationToken) -> Self {
        let Opened { file, target } = opened;
        let (orders, inbox) = mpsc::channel(QUEUE);
        let thread = tokio::task::spawn_blocking({
            let target = Arc::clone(&target);
            move || {
                let result = work(file, &target, inbox);
                if result.is_err() {
                    target.give_up();
                }
                result
            }
        });
        Self {
            orders: Some(orders),
            thread: Some(thread),
            target,
            cancel,
        }
    }

    /// Why the thread ended although orders were to come.
    async fn reason(&mut self) -> Error {
        self.orders = None;
        match self.thread.take() {
            Some(thread) => match thread.await.expect("BUG: the writing thread does not panic") {
                Err(error) => error,
                Ok(()) => lost(&self.target),
            },
            None => lost(&self.target),
        }
    }
}

/// The answer to calls after the one that told the real error.
fn lost(target: &Target) -> Error {
    Error::Failed {
        what: "writing",
        at: target.place.display().to_string(),
        source: io::Error::other("an earlier write failed").into(),
    }
}

#[async_trait]
impl ObjectWriter for FolderWriter {
    async fn write(&mut self, mut bytes: Bytes) -> Result<(), Error> {
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(PIECE));
            let Some(orders) = &self.orders else {
                return Err(lost(&self.target));
            };
            let sent = tokio::select! {
                biased;
                () = self.cancel.cancelled() => {
                    self.orders = None;
                    self.target.give_up();
                    return Err(Error::Cancelled);
                }
                sent = orders.send(Order::Write(piece)) => sent.is_ok(),
            };
            if !sent {
                return Err(self.reason().await);
            }
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>, expected_len: u64) -> Result<Stored, Error> {
        let Some(orders) = self.orders.take() else {
            return Err(self.reason().await);
        };
        let (answer, answered) = oneshot::channel();
        let cancel = self.cancel.clone();
        let finished = async {
            orders.send(Order::Finish(expected_len, answer)).await.ok()?;
            answered.await.ok()
        };
        tokio::select! {
            biased;
            () = cancel.cancelled() => {
                if self.target.give_up() {
                    Err(Error::Cancelled)
                } else {
                    Ok(Stored {
                        len: expected_len,
                        checksum: None,
                    })
                }
            }
            finished = finished => match finished {
                Some(Ok(stored)) => Ok(stored),
                Some(Err(error)) => {
                    self.target.give_up();
                    Err(error)
                }
                None => Err(self.reason().await),
            },
        }
    }

    async fn abort(mut self: Box<Self>) {
        self.orders = None;
        self.target.give_up();
        if let Some(thread) = self.thread.take() {
            // Its error is of no interest any more.
            let _ = thread.await;
        }
    }
}

impl Drop for FolderWriter {
    fn drop(&mut self) {
        self.target.give_up();
    }
}

/// Brings bytes to the disk while more of them come, on a thread of its own, so that the last sync finds little to do.
/// Measured with 200 MB on a fast disk: the sync at the end takes 0.04 s instead of 0.12 s, and writing is no slower. A slow
/// disk or a share gains the more.
struct Flusher {
    wake: SyncSender<()>,
    thread: JoinHandle<io::Result<()>>,
}

impl Flusher {
    /// Starts the thread on a handle of its own.
    fn start(file: &File) -> io::Result<Self> {
        let file = file.try_clone()?;
        let (wake, woken) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("howdah-flush".to_owned())
            .spawn(move || {
                while woken.recv().is_ok() {
                    // Linux tells an error of writing back only once per open file: it must not get lost here.
                    file.sync_data()?;
                }
                Ok(())
            })?;
        Ok(Self { wake, thread })
    }

    /// Asks for a sync. While one is under way and another is asked for, nothing is added.
    fn wake(&self) {
        // A full queue says that it is asked for already; a closed one that an error waits for `finish`.
        let _ = self.wake.try_send(());
    }

    /// Waits for the thread and answers the first error.
    fn finish(self) -> io::Result<()> {
        drop(self.wake);
        self.thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the flushing thread died")))
    }
}

/// The thread: writes what comes until told to finish, or until nobody is left to tell.
fn work(mut file: File, target: &Target, mut inbox: mpsc::Receiver<Order>) -> Result<(), Error> {
    let mut gathered: Vec<u8> = Vec::new();
    let mut written: u64 = 0;
    let mut flushed: u64 = 0;
    let mut flusher: Option<Flusher> = None;
    let fail = |written, source| full_or(&target.root, &target.object, written, &target.place, source);
    while let Some(order) = inbox.blocking_recv() {
        match order {
            Order::Write(bytes) => {
                if gathered.len() + bytes.len() <= GATHER {
                    gathered.extend_from_slice(&bytes);
                    continue;
                }
                for piece in [&gathered[..], &bytes[..]] {
                    file.write_all(piece).map_err(|source| fail(written, source))?;
                    written += piece.len() as u64;
                }
                gathered.clear();
                if written - flushed >= FLUSH {
                    flushed = written;
                    if flusher.is_none() {
                        flusher = Some(Flusher::start(&file).map_err(|source| fail(written, source))?);
                    }
                    if let Some(flusher) = &flusher {
                        flusher.wake();
                    }
                }
            }
            Order::Finish(expected, answer) => {
                let result = file
                    .write_all(&gathered)
                    .and_then(|()| flusher.map_or(Ok(()), Flusher::finish))
                    .map_err(|source| fail(written, source))
                    .and_then(|()| finish(&file, target, expected));
                // Nobody waits any more when it was cancelled; the file's fate is decided all the same.
                let _ = answer.send(result);
                return Ok(());
            }
        }
    }
    target.give_up();
    Ok(())
}

/// On stable storage, of the right length, under its name, and the name on stable storage too.
fn finish(file: &File, target: &Target, expected: u64) -> Result<Stored, Error> {
    let fail = |source| full_or(&target.root, &target.object, expected, &target.place, source);
    file.sync_all().map_err(fail)?;
    let found = fs::metadata(&target.temporary).map_err(fail)?.len();
    if found != expected {
        return Err(Error::WrongSize {
            path: target.object.to_string(),
            expected,
            found,
        });
    }
    target.put_in_place()?;
    Ok(Stored {
        len: found,
        checksum: None,
    })
}

/// An error of writing: a full disk is told as such.
fn full_or(root: &Path, object: &ObjectPath, written: u64, path: &Path, source: io::Error) -> Error {
    match source.kind() {
        // FileTooLarge is what a limit on file sizes answers: to the writer there is no more room.
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            Error::Full {
                place: root.display().to_string(),
                object: object.to_string(),
                written,
                free: free_bytes(root),
                source: source.into(),
            }
        }
        _ => Error::from_io("writing", path, source),
    }
}

/// Makes the folders between `root` and `folder`, each on stable storage before the next. The root itself is not made.
fn make_folders(root: &Path, folder: &Path) -> io::Result<()> {
    let below = folder.strip_prefix(root).unwrap_or(Path::new(""));
    let mut current = root.to_owned();
    for part in below.components() {
        let parent = current.clone();
        current.push(part);
        match fs::create_dir(&current) {
            Ok(()) => sync_directory(&parent)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Puts a folder's list of names on stable storage.
pub(super) fn sync_folder(folder: &Path) -> Result<(), Error> {
    sync_directory(folder).map_err(|source| Error::from_io("syncing", folder, source))
}

#[cfg(unix)]
fn sync_directory(folder: &Path) -> io::Result<()> {
    match File::open(folder)?.sync_all() {
        // Some file systems (shares above all) cannot sync a folder, and say so with EINVAL.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
            ) =>
        {
            Ok(())
        }
        result => result,
    }
}

/// Windows syncs names with the files.
#[cfg(not(unix))]
fn sync_directory(_folder: &Path) -> io::Result<()> {
    Ok(())
}

/// Bytes free for us.
#[cfg(unix)]
pub(super) fn free_bytes(folder: &Path) -> Option<u64> {
    let stat = nix::sys::statvfs::statvfs(folder).ok()?;
    #[allow(clippy::useless_conversion, reason = "its type differs between systems")]
    let free = u64::from(stat.blocks_available()).checked_mul(u64::from(stat.fragment_size()))?;
    Some(free)
}

/// Not told there.
#[cfg(not(unix))]
pub(super) fn free_bytes(_folder: &Path) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::TEMPORARY;

    #[test]
    fn a_temporary_name_lies_in_the_same_folder_and_is_no_object() {
        let place = Path::new("/x/shop/dump.zst");
        let name = temporary(place);
        assert_eq!(name.parent(), place.parent());
        assert!(name.to_str().unwrap().ends_with(TEMPORARY));
        assert!(ObjectPath::new("shop/dump.zst.part").is_err());
    }
}
