//! Where stored bytes come from: a file read at any offset ([`RangeSource`]), or a backup's folder ([`BackupFolder`]).
//!
//! The implementations here are for a local folder. Other destinations implement the same two traits with ranged
//! requests; this crate knows nothing of them.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Something stored that can be read at any offset, such as an object fetched by ranged requests.
pub trait RangeSource {
    /// Fills `buffer` with the bytes from `offset` on.
    ///
    /// # Errors
    /// `UnexpectedEof` where it ends before; otherwise what the system says.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// Its length in bytes.
    ///
    /// # Errors
    /// What the system says.
    fn byte_len(&self) -> io::Result<u64>;
}

impl<T: RangeSource + ?Sized> RangeSource for &T {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        (**self).read_at(offset, buffer)
    }

    fn byte_len(&self) -> io::Result<u64> {
        (**self).byte_len()
    }
}

impl<T: RangeSource + ?Sized> RangeSource for std::sync::Arc<T> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        (**self).read_at(offset, buffer)
    }

    fn byte_len(&self) -> io::Result<u64> {
        (**self).byte_len()
    }
}

impl RangeSource for File {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        #[cfg(unix)]
        {
            std::os::unix::fs::FileExt::read_exact_at(self, buffer, offset)
        }
        #[cfg(windows)]
        {
            let mut done = 0;
            while done < buffer.len() {
                let read = std::os::windows::fs::FileExt::seek_read(
                    self,
                    &mut buffer[done..],
                    offset + done as u64,
                )?;
                if read == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                done += read;
            }
            Ok(())
        }
    }

    fn byte_len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

impl RangeSource for [u8] {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let bytes = start
            .checked_add(buffer.len())
            .and_then(|end| self.get(start..end))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }

    fn byte_len(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }
}

/// A backup's folder, wherever it lies: its files by name, read from the beginning.
pub trait BackupFolder {
    /// Opens a file for reading from its beginning.
    ///
    /// # Errors
    /// `NotFound` where there is no such file; otherwise what the system says.
    fn open(&self, name: &str) -> io::Result<Box<dyn Read + Send>>;

    /// A file's length in bytes.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    fn byte_len(&self, name: &str) -> io::Result<u64>;
}

/// A backup's folder on this machine.
#[derive(Debug, Clone)]
pub struct LocalFolder(PathBuf);

impl LocalFolder {
    /// The backup in `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The path of one of its files. Names with separators are refused: a manifest names files beside itself only.
    ///
    /// # Errors
    /// `InvalidInput` for such a name.
    pub fn file(&self, name: &str) -> io::Result<PathBuf> {
        if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\\', '\0']) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "not the name of a file in this folder",
            ));
        }
        Ok(self.0.join(name))
    }
}

impl BackupFolder for LocalFolder {
    fn open(&self, name: &str) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(File::open(self.file(name)?)?))
    }

    fn byte_len(&self, name: &str) -> io::Result<u64> {
        Ok(std::fs::metadata(self.file(name)?)?.len())
    }
}
