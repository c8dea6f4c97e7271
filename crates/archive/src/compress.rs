//! The threads that compress frames, and the one that encrypts and writes them in order.
//!
//! Memory is bounded by a fixed set of raw buffers that go round: who wants to fill another waits for one. This module
//! knows bytes and frames, not what is in them.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, Scope, ScopedJoinHandle};

use sha2::{Digest, Sha256};
use zstd::bulk::Compressor;
use zstd::zstd_safe::{CParameter, compress_bound};

use crate::encode::{EncodeOptions, MAX_FRAME};
use crate::encryption::Sealed;
use crate::seekable::seek_table;
use crate::{Error, Frame, Meter};

/// A frame to compress.
struct Job {
    raw: Vec<u8>,
    len: usize,
    done: SyncSender<Result<Vec<u8>, String>>,
}

/// A frame to write, once it is compressed.
struct Pending {
    raw_offset: u64,
    raw_len: u64,
    flags: u64,
    compressed: Receiver<Result<Vec<u8>, String>>,
}

/// What was written. Length and checksum are those of the output, the frames' offsets those before encryption.
pub(crate) struct Written {
    pub(crate) frames: Vec<Frame>,
    pub(crate) stored_bytes: u64,
    pub(crate) sha256: [u8; 32],
}

/// Used output buffers, to be used again.
type Spare = Arc<Mutex<Vec<Vec<u8>>>>;

/// The pipeline has stopped; [`Pipeline::finish`] says why.
#[derive(Debug)]
pub(crate) struct Stopped;

/// Buffers in, frames out.
pub(crate) struct Pipeline<'scope> {
    jobs: Sender<Job>,
    order: SyncSender<Pending>,
    free: Receiver<Vec<u8>>,
    abandoned: Arc<AtomicBool>,
    workers: Vec<ScopedJoinHandle<'scope, ()>>,
    writer: ScopedJoinHandle<'scope, Result<Written, Error>>,
}

impl<'scope> Pipeline<'scope> {
    pub(crate) fn start<'env>(
        scope: &'scope Scope<'scope, 'env>,
        output: impl Write + Send + 'scope,
        encryptor: Option<age::Encryptor>,
        options: EncodeOptions,
        meter: &Meter,
    ) -> Result<Self, Error> {
        let threads = options.threads.clamp(1, 4);
        let abandoned = Arc::new(AtomicBool::new(false));
        let spare = Spare::default();
        // One buffer is filled, one waits, the others are compressed.
        let (give_back, free) = mpsc::channel();
        for _ in 0..threads + 2 {
            let _ = give_back.send(vec![0; MAX_FRAME]);
        }
        let (jobs, todo) = mpsc::channel();
        let todo = Arc::new(Mutex::new(todo));
        let mut workers = Vec::with_capacity(threads);
        for number in 0..threads {
            let compressor = compressor(options.level)?;
            let (todo, give_back) = (Arc::clone(&todo), give_back.clone());
            let (spare, abandoned) = (Arc::clone(&spare), Arc::clone(&abandoned));
            let work = move || compress_frames(compressor, &todo, &give_back, &spare, &abandoned);
            workers.push(spawn(scope, format!("compress-{number}"), work)?);
        }
        let (order, pending) = mpsc::sync_channel(threads + 1);
        let (meter, writer_abandoned) = (meter.clone(), Arc::clone(&abandoned));
        let work = move || {
            let output = Tally::new(output, meter);
            write_frames(output, encryptor, &pending, &spare, &writer_abandoned)
        };
        let writer = spawn(scope, "write".to_owned(), work)?;
        Ok(Self {
            jobs,
            order,
            free,
            abandoned,
            workers,
            writer,
        })
    }

    /// An empty buffer of [`MAX_FRAME`] bytes; waits for one.
    pub(crate) fn buffer(&self) -> Result<Vec<u8>, Stopped> {
        self.free.recv().map_err(|_| Stopped)
    }

    /// The first `len` bytes of `raw` are a frame.
    pub(crate) fn submit(
        &self,
        raw: Vec<u8>,
        len: usize,
        raw_offset: u64,
        flags: u64,
    ) -> Result<(), Stopped> {
        let (done, compressed) = mpsc::sync_channel(1);
        let pending = Pending {
            raw_offset,
            raw_len: len as u64,
            flags,
            compressed,
        };
        self.order.send(pending).map_err(|_| Stopped)?;
        self.jobs.send(Job { raw, len, done }).map_err(|_| Stopped)
    }

    /// Nothing more is to be written: what is under way is dropped, and [`finish`](Self::finish) returns soon.
    pub(crate) fn abandon(&self) {
        self.abandoned.store(true, Relaxed);
    }

    /// Waits until everything is written, the seek table included.
    pub(crate) fn finish(self) -> Result<Written, Error> {
        drop((self.jobs, self.order, self.free));
        let panicked = || Error::Compress {
            reason: "a thread panicked".to_owned(),
        };
        let mut whole = true;
        for worker in self.workers {
            whole &= worker.join().is_ok();
        }
        let written = self.writer.join().map_err(|_| panicked())?;
        if whole {
            written
        } else {
            written.and(Err(panicked()))
        }
    }
}

fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: String,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>, Error> {
    Builder::new()
        .name(name)
        .spawn_scoped(scope, work)
        .map_err(|error| Error::Compress {
            reason: format!("no thread could be started: {error}"),
        })
}

/// What is asked of zstd beyond its level, for the two levels that keep up with pg_dump.
///
/// pg_dump's five bytes of framing between every two rows cut matches short. The simple search with a longer minimal
/// match and a larger hash table then finds more than zstd's own parameters do, in less time than its level 3 takes.
/// Measured on a 1 GB dump of text, jsonb and numbers, against `pg_dump -Z zstd:3`, which compresses without framing:
/// zstd's own levels 2 and 3 come to 1.062 and 1.031 of its size, these to 1.025 and 1.014; processor time is 1.65 and
/// 1.86 of level 1's, zstd's own level 3 takes 2.14.
fn tuning(level: i32) -> &'static [CParameter] {
    use CParameter::{HashLog, MinMatch, Strategy, WindowLog};
    use zstd::zstd_safe::Strategy::ZSTD_fast;
    match level {
        2 => &[Strategy(ZSTD_fast), WindowLog(21), HashLog(17), MinMatch(7)],
        3 => &[Strategy(ZSTD_fast), WindowLog(21), HashLog(18), MinMatch(7)],
        _ => &[],
    }
}

/// A compressor whose frames have their content's size and a checksum.
fn compressor(level: i32) -> Result<Compressor<'static>, Error> {
    let refused = |error: std::io::Error| Error::Compress {
        reason: error.to_string(),
    };
    let level = level.clamp(1, 19);
    let mut compressor = Compressor::new(level).map_err(refused)?;
    let always = [CParameter::ContentSizeFlag(true), CParameter::ChecksumFlag(true)];
    for parameter in always.iter().chain(tuning(level)) {
        compressor.set_parameter(*parameter).map_err(refused)?;
    }
    Ok(compressor)
}

/// A compressing thread.
fn compress_frames(
    mut compressor: Compressor<'_>,
    todo: &Mutex<Receiver<Job>>,
    give_back: &Sender<Vec<u8>>,
    spare: &Mutex<Vec<Vec<u8>>>,
    abandoned: &AtomicBool,
) {
    loop {
        let next = todo.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { raw, len, done }) = next else { return };
        if !abandoned.load(Relaxed) {
            let spare_buffer = spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut compressed =
                spare_buffer.unwrap_or_else(|| Vec::with_capacity(compress_bound(MAX_FRAME)));
            compressed.clear();
            let outcome = compressor.compress_to_buffer(&raw[..len], &mut compressed);
            // A writer that has stopped listens no more.
            let _ = done.send(outcome.map(|_| compressed).map_err(|error| error.to_string()));
        }
        // A feeder that has stopped wants no more buffers.
        let _ = give_back.send(raw);
    }
}

/// An output whose bytes are hashed and counted as they are written.
struct Tally<W> {
    output: W,
    meter: Meter,
    sha256: Sha256,
    bytes: u64,
}

impl<W: Write> Tally<W> {
    fn new(output: W, meter: Meter) -> Self {
        Self {
            output,
            meter,
            sha256: Sha256::new(),
            bytes: 0,
        }
    }
}

impl<W: Write> Write for Tally<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.output.write_all(bytes)?;
        self.sha256.update(bytes);
        self.bytes += bytes.len() as u64;
        self.meter.add_stored_bytes(bytes.len() as u64);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

/// The writing thread.
fn write_frames(
    output: Tally<impl Write>,
    encryptor: Option<age::Encryptor>,
    pending: &Receiver<Pending>,
    spare: &Mutex<Vec<Vec<u8>>>,
    abandoned: &AtomicBool,
) -> Result<Written, Error> {
    let failed = |source| Error::Write { source };
    let mut output = Sealed::begin(encryptor, output).map_err(failed)?;
    let mut frames = Vec::new();
    let mut stored_offset = 0;
    while let Ok(Pending {
        raw_offset,
        raw_len,
        flags,
        compressed,
    }) = pending.recv()
    {
        let compressed = compressed
            .recv()
            .unwrap_or_else(|_| Err("the frame was abandoned".to_owned()))
            .map_err(|reason| Error::Compress { reason })?;
        output.write_all(&compressed).map_err(failed)?;
        let stored_len = compressed.len() as u64;
        frames.push(Frame {
            raw_offset,
            raw_len,
            stored_offset,
            stored_len,
            flags,
        });
        stored_offset += stored_len;
        spare
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(compressed);
    }
    if abandoned.load(Relaxed) {
        return Err(Error::Cancelled);
    }
    output.write_all(&seek_table(&frames)).map_err(failed)?;
    let mut written = output.finish().map_err(failed)?;
    written.flush().map_err(failed)?;
    Ok(Written {
        frames,
        stored_bytes: written.bytes,
        sha256: written.sha256.finalize().into(),
    })
}
