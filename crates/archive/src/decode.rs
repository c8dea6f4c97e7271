//! A stored dump read from its beginning to its end: frames in, pg_dump's archive out.

use std::io::{self, Read};

use crate::Index;

/// The archive inside a `.zst`, as a [`Read`], for piping to pg_restore. Frames are decompressed ahead by threads.
///
/// A read fails with an `io::Error` whose source is an [`Error`](crate::Error) where a frame is damaged or missing. At
/// the end it has checked that as much came as the index says.
#[derive(Debug)]
pub struct Decoder {}

impl Decoder {
    /// Reads the frames that `index` tells of from `input`, which stands at the file's beginning. `threads` (1 to 4)
    /// decompress ahead.
    pub fn new(input: impl Read + Send + 'static, index: &Index, threads: usize) -> Self {
        let _ = (input, index, threads);
        todo!()
    }
}

impl Read for Decoder {
    fn read(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
        todo!()
    }
}
