//! A bridge for code that writes with [`std::io::Write`] on a thread of its own. It knows no kind of destination.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::runtime::Handle;

use crate::{Error, ObjectWriter};

/// How much is gathered before it is handed over.
const PIECE: usize = 1024 * 1024;

/// An [`ObjectWriter`] seen as [`io::Write`]. It must be used outside of the runtime's own threads: on a thread of the
/// caller's, or in `spawn_blocking`.
///
/// Errors of the destination come out as [`io::Error`]s that wrap [`Error`]; [`BlockingWriter::take_error`] gives the
/// first of them back as it was.
pub struct BlockingWriter {
    writer: Box<dyn ObjectWriter>,
    runtime: Handle,
    pending: BytesMut,
    error: Option<Error>,
}

impl BlockingWriter {
    /// Writes to `writer`, waiting on `runtime`.
    pub fn new(writer: Box<dyn ObjectWriter>, runtime: Handle) -> Self {
        Self {
            writer,
            runtime,
            pending: BytesMut::new(),
            error: None,
        }
    }

    /// The first error the destination gave, if any.
    pub fn take_error(&mut self) -> Option<Error> {
        self.error.take()
    }

    /// Hands over what is pending and gives the writer back, for [`ObjectWriter::finish`].
    pub fn into_inner(mut self) -> Result<Box<dyn ObjectWriter>, Error> {
        match io::Write::flush(&mut self) {
            Ok(()) => Ok(self.writer),
            Err(error) => Err(self.error.take().unwrap_or_else(|| Error::Failed {
                what: "writing",
                path: "the destination".into(),
                source: error,
            })),
        }
    }

    fn send(&mut self, bytes: Bytes) -> io::Result<()> {
        match self.runtime.block_on(self.writer.write(bytes)) {
            Ok(()) => Ok(()),
            Err(error) => {
                let told = io::Error::other(error.to_string());
                self.error.get_or_insert(error);
                Err(told)
            }
        }
    }
}

impl io::Write for BlockingWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.pending.is_empty() && bytes.len() >= PIECE {
            self.send(Bytes::copy_from_slice(bytes))?;
            return Ok(bytes.len());
        }
        if self.pending.capacity() == 0 {
            self.pending.reserve(PIECE);
        }
        let taken = bytes.len().min(PIECE - self.pending.len());
        self.pending.extend_from_slice(&bytes[..taken]);
        if self.pending.len() >= PIECE {
            let piece = self.pending.split().freeze();
            self.send(piece)?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let piece = self.pending.split().freeze();
        self.send(piece)
    }
}
