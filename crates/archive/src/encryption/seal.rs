//! Writing: what passes through is encrypted, or not.

use std::fmt;
use std::io::{self, Write};

use age::stream::StreamWriter;

/// Encrypts what is written through it. Memory is two chunks of 64 KiB.
pub struct EncryptingWriter<W: Write>(StreamWriter<W>);

impl<W: Write> EncryptingWriter<W> {
    /// Writes the header.
    pub(crate) fn begin(encryptor: age::Encryptor, output: W) -> io::Result<Self> {
        encryptor.wrap_output(output).map(Self)
    }

    /// Writes the last chunk, and hands the output back. Without it the file is truncated, and reading it fails.
    ///
    /// # Errors
    /// What the output says.
    pub fn finish(self) -> io::Result<W> {
        self.0.finish()
    }
}

impl<W: Write> Write for EncryptingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    /// Flushes the output. A chunk that is not full stays here.
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<W: Write> fmt::Debug for EncryptingWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncryptingWriter").finish_non_exhaustive()
    }
}

/// An output that is encrypted or not, by whether there is an encryptor.
pub(crate) enum Sealed<W: Write> {
    Plain(W),
    Encrypted(Box<EncryptingWriter<W>>),
}

impl<W: Write> Sealed<W> {
    pub(crate) fn begin(encryptor: Option<age::Encryptor>, output: W) -> io::Result<Self> {
        match encryptor {
            None => Ok(Self::Plain(output)),
            Some(encryptor) => {
                let writer = EncryptingWriter::begin(encryptor, output)?;
                Ok(Self::Encrypted(Box::new(writer)))
            }
        }
    }

    /// Writes what is left, and hands the output back.
    pub(crate) fn finish(self) -> io::Result<W> {
        match self {
            Self::Plain(output) => Ok(output),
            Self::Encrypted(writer) => writer.finish(),
        }
    }
}

impl<W: Write> Write for Sealed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(output) => output.write(bytes),
            Self::Encrypted(writer) => writer.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(output) => output.flush(),
            Self::Encrypted(writer) => writer.flush(),
        }
    }
}
