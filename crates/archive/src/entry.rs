//! One entry of a stored dump, by reading only its frames.
//!
//! For ranged reads of objects far away as for files. Knows frames and blocks; it neither knows where the bytes lie nor
//! who takes the rows.

use std::io::{self, Read};

use crate::block::{BlockKind, BlockScanner, Spans};
use crate::decode::to_io;
use crate::frames::FrameReader;
use crate::manifest::DUMP_FILE;
use crate::source::RangeSource;
use crate::toc::{INT, decode_int};
use crate::{Entry, Error, Frame, Index};

/// Any stretch of the archive, by reading only the frames that hold it.
pub struct RawRange<S> {
    source: S,
    frames: std::vec::IntoIter<Frame>,
    reader: Option<FrameReader>,
    stored: Vec<u8>,
    raw: Vec<u8>,
    /// What of `raw` is still to be handed on.
    at: usize,
    until: usize,
    start: u64,
    end: u64,
}

impl<S> std::fmt::Debug for RawRange<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RawRange")
            .field("start", &self.start)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

impl<S: RangeSource> RawRange<S> {
    /// The raw bytes from `start` to before `end`. A read fails with an [`Error`] as source where a frame is damaged.
    pub fn new(source: S, index: &Index, start: u64, end: u64) -> Self {
        let frames = index.frames_of(start, end).to_vec().into_iter();
        Self {
            source,
            frames,
            reader: None,
            stored: Vec::new(),
            raw: Vec::new(),
            at: 0,
            until: 0,
            start,
            end,
        }
    }

    /// The header and the table of contents: what pg_restore accepts for `--list`, `--section=pre-data` and
    /// `--section=post-data`.
    pub fn header_and_toc(source: S, index: &Index) -> Self {
        Self::new(source, index, 0, index.toc_len)
    }

    fn next_frame(&mut self) -> io::Result<()> {
        let Some(frame) = self.frames.next() else {
            return Ok(());
        };
        let reader = match &mut self.reader {
            Some(reader) => reader,
            none => none.insert(FrameReader::new().map_err(to_io)?),
        };
        let stored_len = usize::try_from(frame.stored_len).map_err(|_| io::ErrorKind::InvalidData)?;
        self.stored.resize(stored_len, 0);
        self.source.read_at(frame.stored_offset, &mut self.stored)?;
        reader.read(&frame, &self.stored, &mut self.raw).map_err(to_io)?;
        let place = |raw: u64| usize::try_from(raw.saturating_sub(frame.raw_offset)).unwrap_or(usize::MAX);
        self.until = place(self.end).min(self.raw.len());
        self.at = place(self.start).min(self.until);
        Ok(())
    }
}

impl<S: RangeSource> Read for RawRange<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.until && !buffer.is_empty() {
            self.next_frame()?;
        }
        let len = buffer.len().min(self.until - self.at);
        buffer[..len].copy_from_slice(&self.raw[self.at..self.at + len]);
        self.at += len;
        Ok(len)
    }
}

/// The raw offsets at which the rows of an entry can be read from: its beginning, and each of its frames that begins
/// between two rows. Ascending; for parallel restores.
pub fn starts(index: &Index, entry: &Entry) -> Vec<u64> {
    let inside = index.frames_of(entry.raw_offset, entry.raw_end()).iter();
    let rows = inside.filter(|frame| frame.begins_at_row() && frame.raw_offset > entry.raw_offset);
    std::iter::once(entry.raw_offset)
        .chain(rows.map(|frame| frame.raw_offset))
        .collect()
}

/// A table's rows as COPY's text format has them, newline after each, without pg_dump's framing and without the `\.`
/// line: what `COPY … FROM STDIN` takes over the wire.
pub struct CopyRows<S> {
    range: RawRange<S>,
    block: BlockScanner,
    rows: Collected,
    at: usize,
    /// The block's type byte and dump id, where they are still to come.
    head_left: usize,
    dump_id: i32,
    /// Where it reads to the entry's end: what it is to have ended with.
    ends_with_block: bool,
    expected: Option<Entry>,
    done: bool,
}

impl<S> std::fmt::Debug for CopyRows<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CopyRows")
            .field("range", &self.range)
            .finish_non_exhaustive()
    }
}

/// Rows without framing.
#[derive(Default)]
struct Collected(Vec<u8>);

impl Spans for Collected {
    fn copy_data(&mut self, span: &[u8]) {
        self.0.extend_from_slice(span);
    }
}

/// How much of a frame is unframed at once.
const STEP: usize = 256 << 10;

impl<S: RangeSource> CopyRows<S> {
    /// The rows of a whole entry. At the end rows and fingerprint have been compared with the index; a difference is an
    /// `InvalidData` error with an [`Error`] as source.
    pub fn new(source: S, index: &Index, entry: &Entry) -> Self {
        let mut rows = Self::part(source, index, entry, entry.raw_offset, None);
        rows.expected = Some(entry.clone());
        rows
    }

    /// The rows from one of [`starts`] to before another (or to the entry's end, where there is none).
    pub fn part(source: S, index: &Index, entry: &Entry, start: u64, end: Option<u64>) -> Self {
        Self {
            range: RawRange::new(source, index, start, end.unwrap_or_else(|| entry.raw_end())),
            block: BlockScanner::new(BlockKind::Table),
            rows: Collected::default(),
            at: 0,
            head_left: if start == entry.raw_offset { 1 + INT } else { 0 },
            dump_id: entry.dump_id,
            ends_with_block: end.is_none(),
            expected: None,
            done: false,
        }
    }

    /// The next bytes, some 256 KiB at most and cut anywhere, without copying them; none at the end. Errors are those of reading.
    pub fn next_piece(&mut self) -> io::Result<Option<Vec<u8>>> {
        if self.at == self.rows.0.len() {
            self.rows.0.reserve(STEP);
            self.refill()?;
        }
        let mut piece = std::mem::take(&mut self.rows.0);
        piece.drain(..std::mem::take(&mut self.at));
        Ok(Some(piece).filter(|piece| !piece.is_empty()))
    }

    /// Refills `rows`; leaves it empty at the end.
    fn refill(&mut self) -> io::Result<()> {
        self.rows.0.clear();
        self.at = 0;
        while self.rows.0.is_empty() && !self.done {
            if self.head_left > 0 {
                let mut head = [0; 1 + INT];
                self.range.read_exact(&mut head)?;
                self.head_left = 0;
                let [kind, int @ ..] = head;
                if kind != 1 || decode_int(int) != Some(i64::from(self.dump_id)) {
                    return Err(damaged(format!(
                        "no data of entry {} where it should begin",
                        self.dump_id
                    )));
                }
            }
            if self.range.at == self.range.until {
                self.range.next_frame()?;
            }
            let from = self.range.at;
            let until = self.range.until.min(from + STEP);
            if from == until {
                self.done = true;
                self.check_end()?;
                break;
            }
            let piece = &self.range.raw[from..until];
            let taken = self
                .block
                .push(piece, &mut self.rows)
                .map_err(|reason| damaged(reason.to_owned()))?;
            if taken < piece.len() {
                return Err(damaged("data after the end of an entry".to_owned()));
            }
            self.range.at = until;
        }
        Ok(())
    }

    fn check_end(&self) -> io::Result<()> {
        let whole = if self.ends_with_block {
            self.block.has_ended()
        } else {
            self.block.stands_at_cut()
        };
        if !whole {
            return Err(damaged(format!("the data of entry {} ends early", self.dump_id)));
        }
        let sum = self.block.sum();
        match &self.expected {
            Some(entry) if entry.rows != sum.rows || entry.fingerprint != sum.fingerprint => {
                Err(damaged(format!(
                    "the rows of {}.{} are not those of the index",
                    entry.schema, entry.name
                )))
            }
            _ => Ok(()),
        }
    }
}

impl<S: RangeSource> Read for CopyRows<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.rows.0.len() && !buffer.is_empty() {
            self.refill()?;
        }
        let len = buffer.len().min(self.rows.0.len() - self.at);
        buffer[..len].copy_from_slice(&self.rows.0[self.at..self.at + len]);
        self.at += len;
        Ok(len)
    }
}

fn damaged(reason: String) -> io::Error {
    to_io(Error::damaged(DUMP_FILE, reason))
}
