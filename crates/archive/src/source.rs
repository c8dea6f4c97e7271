//! Where stored bytes come from: a file read at any offset ([`RangeSource`]), ahead where it is far away ([`ReadAhead`]), or a backup's
//! folder ([`BackupFolder`]).
//!
//! The implementations here are for a local folder. Other destinations implement the same two traits with ranged
//! requests; this crate knows nothing of them.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

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

/// A stretch of a source that is read from its beginning on: fetched some megabytes at a time, since a request costs more than its bytes,
/// and nothing twice. Reads outside the stretch go through as they are.
#[derive(Debug)]
pub struct ReadAhead<S> {
    source: S,
    until: u64,
    ahead: u64,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    begins: u64,
    bytes: Vec<u8>,
}

impl<S: RangeSource> ReadAhead<S> {
    /// Fetches `ahead` bytes at once, and nothing from `until` on.
    pub fn new(source: S, until: u64, ahead: u64) -> Self {
        Self {
            source,
            until,
            ahead,
            held: Mutex::default(),
        }
    }
}

impl<S: RangeSource> RangeSource for ReadAhead<S> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let skipped = offset
            .checked_sub(held.begins)
            .and_then(|skipped| usize::try_from(skipped).ok());
        let at_hand = skipped
            .and_then(|skipped| held.bytes.get(skipped..))
            .unwrap_or_default();
        let len = at_hand.len().min(buffer.len());
        let (first, rest) = buffer.split_at_mut(len);
        first.copy_from_slice(&at_hand[..len]);
        if rest.is_empty() {
            return Ok(());
        }
        let from = offset + len as u64;
        let wanted = rest.len() as u64;
        let fetched = self.until.saturating_sub(from).min(self.ahead);
        if fetched <= wanted {
            return self.source.read_at(from, rest);
        }
        let fetched = usize::try_from(fetched).map_err(|_| io::ErrorKind::OutOfMemory)?;
        held.begins = from;
        held.bytes.resize(fetched, 0);
        if let Err(error) = self.source.read_at(from, &mut held.bytes) {
            held.bytes.clear();
            return Err(error);
        }
        rest.copy_from_slice(&held.bytes[..rest.len()]);
        Ok(())
    }

    fn byte_len(&self) -> io::Result<u64> {
        self.source.byte_len()
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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// Notes what is asked for.
    struct Asked {
        bytes: Vec<u8>,
        ranges: RefCell<Vec<(u64, u64)>>,
    }

    impl RangeSource for Asked {
        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
            self.ranges.borrow_mut().push((offset, buffer.len() as u64));
            self.bytes.as_slice().read_at(offset, buffer)
        }

        fn byte_len(&self) -> io::Result<u64> {
            Ok(self.bytes.len() as u64)
        }
    }

    #[test]
    fn a_stretch_is_fetched_in_few_requests_and_nothing_twice() {
        let asked = Asked {
            bytes: (0..=255).cycle().take(10_000).collect(),
            ranges: RefCell::default(),
        };
        let ahead = ReadAhead::new(&asked, 9_000, 1_000);
        let mut buffer = vec![0; 300];
        for offset in (2_000..=8_700).step_by(300) {
            ahead.read_at(offset, &mut buffer[..]).unwrap();
            let place = usize::try_from(offset).unwrap();
            assert_eq!(buffer, asked.bytes[place..place + 300]);
        }
        let mut next = 2_000;
        for (offset, len) in asked.ranges.borrow().iter() {
            assert_eq!(*offset, next, "one after the other");
            next = offset + len;
        }
        assert_eq!(next, 9_000);
        assert!(asked.ranges.borrow().len() <= 10);
        ahead.read_at(9_900, &mut buffer[..100]).unwrap();
        assert!(ahead.read_at(9_900, &mut buffer).is_err());
    }
}
