//! pg_dump's archive in, a row of zstd frames out, with index, fingerprints and checksum.

use std::io::{Read, Write};

use crate::toc::ArchiveHeader;
use crate::{Error, Index, Meter};

/// A frame holds at most this many raw bytes.
pub const MAX_FRAME: usize = 8 << 20;

/// The level that gives the smallest file at full speed; measured (docs/performance.md).
pub const DEFAULT_LEVEL: i32 = 2;

/// How to encode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncodeOptions {
    /// zstd's level, 1 to 19; others are brought into that range.
    pub level: i32,
    /// Threads that compress, 1 to 4; others are brought into that range. Memory is some 20 MiB a thread.
    pub threads: usize,
}

impl Default for EncodeOptions {
    /// The default level, and as many threads as there are processors (up to four).
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Self {
            level: DEFAULT_LEVEL,
            threads: processors.clamp(1, 4),
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
    /// Bytes written.
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
/// a seek table at the end.
///
/// Reading and scanning happen on the calling thread, compression on `options.threads` others, writing (in order) and
/// hashing on one more; all have ended when it returns. `is_cancelled` is asked before every read. Flushes `output`;
/// nothing more is done to it (no fsync).
///
/// # Errors
/// [`Error::Truncated`] when the archive ends before the last block its table of contents announces,
/// [`Error::Malformed`] when it is not an archive of pg_dump's; [`Error::Read`] and [`Error::Write`] with the system's
/// error as source; [`Error::Cancelled`].
pub fn encode(
    input: impl Read,
    output: impl Write + Send,
    options: &EncodeOptions,
    meter: &Meter,
    is_cancelled: &(dyn Fn() -> bool + Sync),
) -> Result<Encoded, Error> {
    let _ = (input, output, options, meter, is_cancelled);
    todo!()
}
