//! One entry of a stored dump, by reading only its frames.

use std::io::{self, Read};

use crate::source::RangeSource;
use crate::{Entry, Index};

/// Any stretch of the archive, by reading only the frames that hold it.
#[derive(Debug)]
pub struct RawRange<S> {
    source: S,
}

impl<S: RangeSource> RawRange<S> {
    /// The raw bytes from `start` to before `end`.
    pub fn new(source: S, index: &Index, start: u64, end: u64) -> Self {
        let _ = (index, start, end);
        Self { source }
    }

    /// The header and the table of contents: what pg_restore accepts for `--list`, `--section=pre-data` and
    /// `--section=post-data`.
    pub fn header_and_toc(source: S, index: &Index) -> Self {
        Self::new(source, index, 0, index.toc_len)
    }
}

impl<S: RangeSource> Read for RawRange<S> {
    fn read(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
        let _ = &self.source;
        todo!()
    }
}

/// A table's rows as COPY's text format has them, newline after each, without pg_dump's framing and without the `\.`
/// line: what `COPY … FROM STDIN` takes over the wire.
#[derive(Debug)]
pub struct CopyRows<S> {
    source: S,
}

impl<S: RangeSource> CopyRows<S> {
    /// The rows of a whole entry. At the end rows and fingerprint have been compared with the index.
    pub fn new(source: S, index: &Index, entry: &Entry) -> Self {
        let _ = (index, entry);
        Self { source }
    }

    /// The rows from one of [`starts`] to before another (or to the end, where there is none).
    pub fn part(source: S, index: &Index, entry: &Entry, start: u64, end: Option<u64>) -> Self {
        let _ = (index, entry, start, end);
        Self { source }
    }
}

/// The raw offsets at which the rows of an entry can be read from: its beginning, and each of its frames that begins
/// between two rows. For parallel restores.
pub fn starts(index: &Index, entry: &Entry) -> Vec<u64> {
    let _ = (index, entry);
    todo!()
}

impl<S: RangeSource> Read for CopyRows<S> {
    fn read(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
        let _ = &self.source;
        todo!()
    }
}
