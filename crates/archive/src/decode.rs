//! A stored dump read from its beginning to its end: frames in, pg_dump's archive out.
//!
//! One thread reads, others decompress ahead, and the caller reads in order. It knows frames, not what is in them.

use std::io::{self, Read};
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use crate::frames::{FrameReader, damaged_frame};
use crate::manifest::DUMP_FILE;
use crate::{Error, Frame, Index};

/// A frame's content, or why there is none.
type Outcome = Result<Vec<u8>, Error>;

/// A frame to decompress.
struct Job {
    frame: Frame,
    stored: Vec<u8>,
    done: SyncSender<Outcome>,
}

/// The archive inside a `.zst`, as a [`Read`], for piping to pg_restore. Frames are decompressed ahead by threads.
///
/// A read fails with an `io::Error` whose source is an [`Error`] where a frame is damaged or the file ends early. The
/// seek table after the last frame is not read. Dropping it ends its threads; that waits for a read of the input that
/// is under way.
#[derive(Debug)]
pub struct Decoder {
    order: Option<Receiver<Receiver<Outcome>>>,
    spare: Arc<Mutex<Vec<Vec<u8>>>>,
    current: Vec<u8>,
    at: usize,
    failed: bool,
    /// Content still to come, by the index.
    left: u64,
    threads: Vec<JoinHandle<()>>,
}

impl Decoder {
    /// Reads the frames that `index` tells of from `input`, which stands at the file's beginning. `threads` (1 to 4)
    /// decompress ahead; memory is some 12 MiB for each, and 20 MiB besides.
    ///
    /// # Errors
    /// Where a thread cannot be started.
    pub fn new(input: impl Read + Send + 'static, index: &Index, threads: usize) -> Result<Self, Error> {
        let threads = threads.clamp(1, 4);
        let (jobs, todo) = mpsc::channel();
        let todo = Arc::new(Mutex::new(todo));
        let spare = Arc::new(Mutex::new(Vec::new()));
        let (order, pending) = mpsc::sync_channel(threads);
        let mut decoder = Self {
            order: Some(pending),
            spare: Arc::clone(&spare),
            current: Vec::new(),
            at: 0,
            failed: false,
            left: index.raw_len(),
            threads: Vec::with_capacity(threads + 1),
        };
        for number in 0..threads {
            let (todo, spare, frames) = (Arc::clone(&todo), Arc::clone(&spare), FrameReader::new()?);
            decoder.spawn(format!("unpack-{number}"), move || {
                decompress_frames(frames, &todo, &spare);
            })?;
        }
        let frames = index.frames.clone();
        decoder.spawn("read".to_owned(), move || {
            read_frames(input, &frames, &jobs, &order);
        })?;
        Ok(decoder)
    }

    fn spawn(&mut self, name: String, work: impl FnOnce() + Send + 'static) -> Result<(), Error> {
        let thread = Builder::new()
            .name(name)
            .spawn(work)
            .map_err(|error| Error::Compress {
                reason: format!("no thread could be started: {error}"),
            })?;
        self.threads.push(thread);
        Ok(())
    }

    /// The next frame's content. Empty at the end.
    fn next_frame(&mut self) -> Outcome {
        let next = self.order.as_ref().and_then(|order| order.recv().ok());
        let Some(next) = next else {
            let short = || Error::damaged(DUMP_FILE, "it ends before its last frame");
            return if self.left == 0 {
                Ok(Vec::new())
            } else {
                Err(short())
            };
        };
        let raw = next.recv().unwrap_or_else(|_| {
            Err(Error::Compress {
                reason: "a thread ended".to_owned(),
            })
        })?;
        self.left = self.left.saturating_sub(raw.len() as u64);
        Ok(raw)
    }
}

impl Read for Decoder {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.current.len() && !buffer.is_empty() {
            if self.failed {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let next = self.next_frame().map_err(|error| {
                self.failed = true;
                to_io(error)
            })?;
            let used = std::mem::replace(&mut self.current, next);
            self.at = 0;
            if used.capacity() > 0 {
                self.spare
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(used);
            }
        }
        let len = buffer.len().min(self.current.len() - self.at);
        buffer[..len].copy_from_slice(&self.current[self.at..self.at + len]);
        self.at += len;
        Ok(len)
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        self.order = None;
        for thread in self.threads.drain(..) {
            // A panic there has been told as an error of a read.
            let _ = thread.join();
        }
    }
}

/// An error of ours on its way through [`Read`]; its source stays an [`Error`], and the system's own stay themselves.
pub(crate) fn to_io(error: Error) -> io::Error {
    match error {
        Error::Read { source, .. } => source,
        error => io::Error::new(io::ErrorKind::InvalidData, error),
    }
}

/// The reading thread: ends with the last frame, with an error, or when nobody listens any more.
fn read_frames(
    mut input: impl Read,
    frames: &[Frame],
    jobs: &Sender<Job>,
    order: &SyncSender<Receiver<Outcome>>,
) {
    for frame in frames {
        let (done, outcome) = mpsc::sync_channel(1);
        let stored = read_stored(&mut input, frame);
        let goes_on = stored.is_ok();
        // First the place in the order, which is bounded; then the work.
        if order.send(outcome).is_err() {
            return;
        }
        let sent = match stored {
            Ok(stored) => jobs
                .send(Job {
                    frame: *frame,
                    stored,
                    done,
                })
                .is_ok(),
            Err(error) => done.send(Err(error)).is_ok(),
        };
        if !(goes_on && sent) {
            return;
        }
    }
}

fn read_stored(input: &mut impl Read, frame: &Frame) -> Outcome {
    let mut stored = Vec::new();
    let read = input.take(frame.stored_len).read_to_end(&mut stored);
    read.map_err(|error| Error::read(DUMP_FILE, error))?;
    if (stored.len() as u64) < frame.stored_len {
        return Err(damaged_frame(frame, "the file ends inside it"));
    }
    Ok(stored)
}

/// A decompressing thread.
fn decompress_frames(mut frames: FrameReader, todo: &Mutex<Receiver<Job>>, spare: &Mutex<Vec<Vec<u8>>>) {
    loop {
        let next = todo.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { frame, stored, done }) = next else {
            return;
        };
        let mut raw = spare
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop()
            .unwrap_or_default();
        let outcome = frames.read(&frame, &stored, &mut raw).map(|()| raw);
        // Nobody listens after a drop.
        let _ = done.send(outcome);
    }
}
