//! pg_dump's archive in, a row of zstd frames out, with index, fingerprints and checksum.
//!
//! Reading and scanning happen on the caller's thread, in the very buffers that become frames; what is compressed and
//! written, and how memory stays bounded, is `compress.rs`; where frames are cut is `cutter.rs`.

use std::io::{ErrorKind, Read, Write};

use crate::block::BlockSum;
use crate::compress::{Pipeline, Stopped};
use crate::cutter::{Cut, Cutter};
use crate::encryption::Recipients;
use crate::gather::{Contents, Gatherer};
use crate::scanner::{Scanner, Sink};
use crate::toc::{ArchiveHeader, TocEntry};
use crate::{Error, Index, Meter};

/// A frame holds at most this many raw bytes.
pub const MAX_FRAME: usize = 8 << 20;

/// The level that is as small as `pg_dump -Z zstd:3` and keeps up with pg_dump. Levels 2 and 3 are tuned to dumps, so
/// they differ from zstd's own of that number (see `compress.rs`).
pub const DEFAULT_LEVEL: i32 = 3;

/// How much is read at once: what was read is scanned while it is still in the processor's cache.
const READ: usize = 256 << 10;

/// How to encode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncodeOptions {
    /// zstd's level, 1 to 19; others are brought into that range.
    pub level: i32,
    /// Threads that compress, 1 to 4; others are brought into that range. Memory is at most 40 MiB, and 16 MiB more for
    /// each thread, where nothing can be compressed; half of that on ordinary data. (Levels above 9 need more.)
    pub threads: usize,
}

impl Default for EncodeOptions {
    /// The default level, and two threads where there are two processors: more of them wait for pg_dump.
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Self {
            level: DEFAULT_LEVEL,
            threads: processors.clamp(1, 2),
        }
    }
}

/// What came out of an encoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// What is where.
    pub index: Index,
    /// Bytes of the dump, uncompressed.
    pub raw_bytes: u64,
    /// Bytes written, encryption included.
    pub stored_bytes: u64,
    /// The SHA-256 of the bytes written.
    pub sha256: [u8; 32],
    /// The archive's head.
    pub header: ArchiveHeader,
    /// The extensions that the archive creates, in its order.
    pub extensions: Vec<String>,
    /// The database's collation, as its DATABASE entry has it.
    pub collation: Option<String>,
}

/// Reads pg_dump's archive (`-Fc -Z0`) from `input` to its end, and writes it to `output` as a row of zstd frames with
/// a seek table at the end; as [`encode_for`] without recipients.
///
/// # Errors
/// As there.
pub fn encode(
    input: impl Read,
    output: impl Write + Send,
    options: &EncodeOptions,
    meter: &Meter,
    is_cancelled: &(dyn Fn() -> bool + Sync),
) -> Result<Encoded, Error> {
    encode_for(None, input, output, options, meter, is_cancelled)
}

/// Reads pg_dump's archive (`-Fc -Z0`) from `input` to its end, and writes it to `output` as a row of zstd frames with
/// a seek table at the end, encrypted where there are recipients. The index's stored offsets are those before encryption;
/// length and SHA-256 are those of what is written.
///
/// Reading and scanning happen on the calling thread, compression on `options.threads` others, writing (in order) and
/// hashing on one more; all have ended when it returns. `is_cancelled` is asked before every read. Flushes `output`;
/// nothing more is done to it (no fsync).
///
/// # Errors
/// [`Error::Truncated`] when the archive ends before the last block its table of contents announces,
/// [`Error::Malformed`] when it is not an archive of pg_dump's; [`Error::Read`] and [`Error::Write`] with the system's
/// error as source; [`Error::Encrypt`]; [`Error::Cancelled`], also instead of what the cancelling brought about.
pub fn encode_for(
    recipients: Option<&Recipients>,
    input: impl Read,
    output: impl Write + Send,
    options: &EncodeOptions,
    meter: &Meter,
    is_cancelled: &(dyn Fn() -> bool + Sync),
) -> Result<Encoded, Error> {
    let encryptor = recipients.map(Recipients::encryptor).transpose()?;
    let outcome = std::thread::scope(|scope| {
        let pipeline = Pipeline::start(scope, output, encryptor, *options, meter)?;
        let fed = feed(input, &pipeline, meter, is_cancelled);
        match fed {
            Ok(contents) => Ok((contents, pipeline.finish()?)),
            Err(end) => {
                pipeline.abandon();
                let written = pipeline.finish();
                match end {
                    End::Failed(error) => Err(error),
                    End::Stopped => Err(written.err().unwrap_or_else(|| Error::Compress {
                        reason: "the compressing threads ended early".to_owned(),
                    })),
                }
            }
        }
    });
    let (contents, written) = match outcome {
        Err(_) if is_cancelled() => return Err(Error::Cancelled),
        outcome => outcome?,
    };
    let raw_bytes = written.frames.last().map_or(0, crate::Frame::raw_end);
    let index = Index {
        frames: written.frames,
        entries: contents.entries,
        settings: contents.settings,
        sequences: contents.sequences,
        toc_len: contents.toc_len,
        selection: None,
    };
    Ok(Encoded {
        index,
        raw_bytes,
        stored_bytes: written.stored_bytes,
        sha256: written.sha256,
        header: contents.header,
        extensions: contents.extensions,
        collation: contents.collation,
    })
}

/// Why feeding ended early.
enum End {
    Failed(Error),
    /// The pipeline knows why.
    Stopped,
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Stopped> for End {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

/// Who listens to the scanner.
struct Listeners {
    gatherer: Gatherer,
    cutter: Cutter,
}

impl Sink for Listeners {
    fn header(&mut self, header: &ArchiveHeader) {
        self.gatherer.header(header);
    }

    fn toc_entry(&mut self, entry: &TocEntry<'_>) {
        self.gatherer.toc_entry(entry);
    }

    fn toc_end(&mut self, offset: u64) {
        self.gatherer.toc_end(offset);
        self.cutter.toc_end(offset);
    }

    fn block_begin(&mut self, offset: u64, dump_id: i32) {
        self.gatherer.block_begin(offset, dump_id);
        self.cutter.block_begin(offset, dump_id);
    }

    fn block_end(&mut self, offset: u64, dump_id: i32, sum: &BlockSum) {
        self.gatherer.block_end(offset, dump_id, sum);
        self.cutter.block_end(offset, dump_id, sum);
    }
}

/// The frame at work: its bytes stand in `buffer` from 0 to `filled`.
struct Filling {
    buffer: Vec<u8>,
    filled: usize,
    raw_offset: u64,
    flags: u64,
}

/// Reads the input to its end, scans it, cuts it.
fn feed(
    mut input: impl Read,
    pipeline: &Pipeline<'_>,
    meter: &Meter,
    is_cancelled: &(dyn Fn() -> bool + Sync),
) -> Result<Contents, End> {
    let mut scanner = Scanner::new();
    let mut listeners = Listeners {
        gatherer: Gatherer::new(meter.clone()),
        cutter: Cutter::default(),
    };
    let mut filling = Filling {
        buffer: pipeline.buffer()?,
        filled: 0,
        raw_offset: 0,
        flags: 0,
    };
    loop {
        if is_cancelled() {
            return Err(Error::Cancelled.into());
        }
        let begin = filling.filled;
        let room = listeners.cutter.room(scanner.offset()).min(READ);
        let len = match input.read(&mut filling.buffer[begin..begin + room]) {
            Ok(0) => break,
            Ok(len) => len,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::read("pg_dump's output", error).into()),
        };
        filling.filled += len;
        scanner.push(&filling.buffer[begin..filling.filled], &mut listeners)?;
        for cut in listeners.cutter.cuts(scanner.offset(), scanner.cut_at()) {
            filling = filling.cut(cut, pipeline)?;
        }
        meter.set_raw_bytes(scanner.offset());
        meter.set_rows(scanner.rows());
    }
    scanner.finish()?;
    if filling.filled > 0 {
        pipeline.submit(filling.buffer, filling.filled, filling.raw_offset, filling.flags)?;
    }
    Ok(listeners.gatherer.finish())
}

impl Filling {
    /// Hands on what lies before the cut; what lies after it goes on. The shorter of the two is copied.
    fn cut(mut self, cut: Cut, pipeline: &Pipeline<'_>) -> Result<Self, Stopped> {
        let len = usize::try_from(cut.at - self.raw_offset).expect("BUG: a frame is at most 8 MiB");
        let rest = self.filled - len;
        let mut buffer = pipeline.buffer()?;
        if rest <= len {
            buffer[..rest].copy_from_slice(&self.buffer[len..self.filled]);
            pipeline.submit(self.buffer, len, self.raw_offset, self.flags)?;
        } else {
            buffer[..len].copy_from_slice(&self.buffer[..len]);
            pipeline.submit(buffer, len, self.raw_offset, self.flags)?;
            self.buffer.copy_within(len..self.filled, 0);
            buffer = self.buffer;
        }
        Ok(Self {
            buffer,
            filled: rest,
            raw_offset: cut.at,
            flags: cut.next_flags,
        })
    }
}
