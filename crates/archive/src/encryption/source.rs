//! Reading at any offset: only the chunks that hold what is wanted are fetched, each stretch in one request.

use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use age::stream::StreamReader;
use age_core::format::FileKey;

use super::open::{Guarded, explain, open, open_again};
use super::{CHUNK, Keys, SEAL};
use crate::Error;
use crate::source::RangeSource;

/// What is fetched of a file's beginning: headers with some twenty recipients fit.
const BEGINNING: u64 = 4 << 10;

/// A file that is not longer is fetched whole.
const SMALL: u64 = 64 << 10;

/// At most so much is fetched at once.
const MOST: u64 = 4 << 20;

/// An encrypted file that is read decrypted at any offset. Offsets are those of the content.
///
/// What is read is fetched in stretches of at most 4 MiB, rounded to age's chunks; the last stretch and the last
/// chunk are kept, so that reading on from there fetches nothing twice. Several threads can read at once, each with a stretch of
/// its own. A read fails with an `io::Error` whose source is an [`Error`] where the file was altered.
pub struct DecryptedSource<S> {
    file: String,
    source: Arc<S>,
    file_key: FileKey,
    /// The file's first bytes, its header among them.
    beginning: Arc<[u8]>,
    stored_len: u64,
    len: u64,
    /// Where the first chunk begins.
    payload: u64,
    idle: Mutex<Vec<Reader<S>>>,
}

/// A place in the file.
struct Reader<S> {
    stream: StreamReader<Guarded<Fetching<S>>>,
    until: Arc<AtomicU64>,
    /// The content's offset after what was read last.
    at: u64,
}

impl<S: RangeSource> DecryptedSource<S> {
    /// Reads the header and the last chunk, which only a file that was not cut off has.
    pub(super) fn open(keys: &Keys, file: &str, source: S) -> Result<Self, Error> {
        let unread = |error| Error::read(file, error);
        let stored_len = source.byte_len().map_err(unread)?;
        let first = if stored_len <= SMALL { SMALL } else { BEGINNING };
        let mut beginning = vec![0; usize::try_from(stored_len.min(first)).unwrap_or(0)];
        source.read_at(0, &mut beginning).map_err(unread)?;
        let (source, beginning): (_, Arc<[u8]>) = (Arc::new(source), beginning.into());
        let (fetching, until) = Fetching::new(&source, stored_len, &beginning);
        let mut opened = open(keys, file, fetching)?;
        until.store(stored_len, Relaxed);
        let len = opened
            .stream
            .seek(SeekFrom::End(0))
            .map_err(|error| Error::from_io(file, explain(file, error)))?;
        let chunks = len.div_ceil(CHUNK).max(1);
        Ok(Self {
            file: file.to_owned(),
            source,
            file_key: opened.file_key,
            beginning,
            stored_len,
            len,
            payload: stored_len.saturating_sub(len + chunks * SEAL),
            idle: Mutex::new(vec![Reader {
                stream: opened.stream,
                until,
                at: len,
            }]),
        })
    }

    /// A reader that stands in the same chunk, or else any; a new one where all are at work.
    fn reader(&self, offset: u64) -> io::Result<Reader<S>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let near = idle.iter().position(|reader| reader.at / CHUNK == offset / CHUNK);
        if let Some(index) = near.or_else(|| idle.len().checked_sub(1)) {
            return Ok(idle.swap_remove(index));
        }
        drop(idle);
        let (fetching, until) = Fetching::new(&self.source, self.stored_len, &self.beginning);
        let stream = open_again(&self.file_key, &self.file, fetching).map_err(crate::decode::to_io)?;
        Ok(Reader { stream, until, at: 0 })
    }
}

impl<S: RangeSource> RangeSource for DecryptedSource<S> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        if buffer.is_empty() {
            return Ok(());
        }
        let end = offset
            .checked_add(buffer.len() as u64)
            .filter(|end| *end <= self.len)
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut reader = self.reader(offset)?;
        let until = self.payload + end.div_ceil(CHUNK) * (CHUNK + SEAL);
        reader.until.store(until, Relaxed);
        // After an error the reader is dropped: age's stands in the middle of something.
        reader
            .stream
            .seek(SeekFrom::Start(offset))
            .and_then(|_| reader.stream.read_exact(buffer))
            .map_err(|error| explain(&self.file, error))?;
        reader.at = end;
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(reader);
        Ok(())
    }

    /// The content's length.
    fn byte_len(&self) -> io::Result<u64> {
        Ok(self.len)
    }
}

impl<S> fmt::Debug for DecryptedSource<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecryptedSource")
            .field("file", &self.file)
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

/// The stored file as a stream that can be sought in. Fetches up to where it was told that reading goes.
struct Fetching<S> {
    source: Arc<S>,
    len: u64,
    position: u64,
    /// Up to where in the stored file reading is known to go.
    until: Arc<AtomicU64>,
    buffer: Vec<u8>,
    /// Where in the file the buffer begins.
    begins: u64,
}

impl<S: RangeSource> Fetching<S> {
    fn new(source: &Arc<S>, len: u64, beginning: &[u8]) -> (Self, Arc<AtomicU64>) {
        let until = Arc::new(AtomicU64::new(0));
        let fetching = Self {
            source: Arc::clone(source),
            len,
            position: 0,
            until: Arc::clone(&until),
            buffer: beginning.to_vec(),
            begins: 0,
        };
        (fetching, until)
    }

    /// What of the buffer lies at the position.
    fn at_hand(&self) -> &[u8] {
        let skipped = self.position.checked_sub(self.begins);
        skipped
            .and_then(|skipped| self.buffer.get(usize::try_from(skipped).ok()?..))
            .unwrap_or_default()
    }

    fn fetch(&mut self, wanted: u64) -> io::Result<()> {
        let end = self
            .until
            .load(Relaxed)
            .max(self.position.saturating_add(wanted.max(BEGINNING)))
            .min(self.position.saturating_add(MOST))
            .min(self.len);
        let len = usize::try_from(end - self.position).map_err(|_| io::ErrorKind::OutOfMemory)?;
        self.buffer.resize(len, 0);
        self.begins = self.position;
        let outcome = self.source.read_at(self.position, &mut self.buffer);
        if outcome.is_err() {
            self.buffer.clear();
        }
        outcome
    }
}

impl<S: RangeSource> Read for Fetching<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position >= self.len || buffer.is_empty() {
            return Ok(0);
        }
        if self.at_hand().is_empty() {
            self.fetch(buffer.len() as u64)?;
        }
        let at_hand = self.at_hand();
        let len = at_hand.len().min(buffer.len());
        buffer[..len].copy_from_slice(&at_hand[..len]);
        self.position += len as u64;
        Ok(len)
    }
}

impl<S> Seek for Fetching<S> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let to = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => self.len.checked_add_signed(by),
        };
        self.position = to.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

/// A stored file read at any offset, encrypted or not.
#[derive(Debug)]
pub enum StoredSource<S> {
    /// As it is.
    Plain(S),
    /// Decrypted.
    Encrypted(DecryptedSource<S>),
}

impl<S: RangeSource> RangeSource for StoredSource<S> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        match self {
            Self::Plain(source) => source.read_at(offset, buffer),
            Self::Encrypted(source) => source.read_at(offset, buffer),
        }
    }

    fn byte_len(&self) -> io::Result<u64> {
        match self {
            Self::Plain(source) => source.byte_len(),
            Self::Encrypted(source) => source.byte_len(),
        }
    }
}
