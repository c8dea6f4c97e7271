//! All rows of a table, written to a file or a stream: as COPY has them, as CSV, as SQL.
//!
//! A file is written beside its place and put there when it is whole: rows and fingerprint have been compared with the index by then. A stream
//! has had its rows when that shows; who reads one waits for the end before trusting it.

use std::io::{self, BufWriter, Read as _, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use howdah_archive::copy_text::{CopyText, Fields};
use howdah_archive::csv::CsvWriter;
use howdah_archive::insert::{InsertTarget, InsertWriter};
use howdah_domain::{Failure, FailureCode};
use tempfile::NamedTempFile;
use tokio_util::sync::CancellationToken;

use super::{Table, cancelled};
use crate::api::RowFormat;
use crate::engine::internal;

/// Rows are read in pieces of this size,
const PIECE: usize = 128 << 10;
/// and written in pieces of this one.
const BUFFER: usize = 256 << 10;

/// How long a cancelled thread is waited for, so that its file is gone when the answer is there.
const FAREWELL: Duration = Duration::from_secs(2);

/// Where rows go.
pub enum Target {
    /// Into a file. One that is there is replaced as a whole.
    File(PathBuf),
    /// Into a stream. Where nobody reads it any more the work ends well.
    Stream(Box<dyn Write + Send>),
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Stream(_) => f.write_str("Stream(…)"),
        }
    }
}

/// How far it is: bytes of rows read, of [`Table::raw_bytes`]. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct SaveMeter(Arc<AtomicU64>);

impl SaveMeter {
    /// Bytes of rows read so far.
    pub fn read(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Saved {
    /// Bytes.
    pub bytes: u64,
    /// Whether all rows were written: not so where nobody read the stream to its end.
    pub whole: bool,
}

/// Writes all rows of a table.
///
/// # Errors
/// [`FailureCode::BackupDamaged`] with the table's name; those of the destination; where it cannot be written; cancelled. No file is
/// there or changed then.
pub async fn save(
    table: &Table,
    format: RowFormat,
    target: Target,
    meter: &SaveMeter,
    cancel: &CancellationToken,
) -> Result<Saved, Failure> {
    let (table, meter, stop) = (table.clone(), meter.clone(), cancel.clone());
    let mut thread = tokio::task::spawn_blocking(move || {
        let work = Work {
            table: &table,
            format,
            meter: &meter,
            stop: &stop,
        };
        match target {
            Target::File(path) => work.into_file(&path),
            Target::Stream(stream) => work.into_stream(stream),
        }
    });
    tokio::select! {
        biased;
        () = cancel.cancelled() => {
            // What it says no longer counts.
            let _ = tokio::time::timeout(FAREWELL, &mut thread).await;
            Err(cancelled())
        }
        done = &mut thread => done.map_err(|error| internal("Writing the table's rows died.", &error))?,
    }
}

/// What is to be done.
#[derive(Clone, Copy)]
struct Work<'a> {
    table: &'a Table,
    format: RowFormat,
    meter: &'a SaveMeter,
    stop: &'a CancellationToken,
}

/// Why it ended.
enum Ended {
    /// Rows could not be read, or it was cancelled.
    Failed(Failure),
    /// It could not be written.
    Unwritten(io::Error),
}

impl Work<'_> {
    fn into_file(self, path: &Path) -> Result<Saved, Failure> {
        let unwritten = |error: io::Error| not_written(path, &error);
        let (place, before) = place_of(path)?;
        let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty());
        let file = beside(folder.unwrap_or_else(|| Path::new("."))).map_err(unwritten)?;
        if let Some(permissions) = before {
            file.as_file().set_permissions(permissions).map_err(unwritten)?;
        }
        let mut counted = Counted::new(file);
        match self.write(&mut counted) {
            Ok(()) => {}
            Err(Ended::Failed(failure)) => return Err(failure),
            Err(Ended::Unwritten(error)) => return Err(unwritten(error)),
        }
        let Counted { inner: file, bytes } = counted;
        file.as_file().sync_all().map_err(unwritten)?;
        if self.stop.is_cancelled() {
            return Err(cancelled());
        }
        file.persist(&place).map_err(|error| unwritten(error.error))?;
        Ok(Saved { bytes, whole: true })
    }

    fn into_stream(self, stream: Box<dyn Write + Send>) -> Result<Saved, Failure> {
        let mut counted = Counted::new(stream);
        let written = self.write(&mut counted);
        let bytes = counted.bytes;
        match written {
            Ok(()) => Ok(Saved { bytes, whole: true }),
            Err(Ended::Unwritten(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                Ok(Saved { bytes, whole: false })
            }
            Err(Ended::Unwritten(error)) => Err(not_written(Path::new("standard output"), &error)),
            Err(Ended::Failed(failure)) => Err(failure),
        }
    }

    fn write(self, out: &mut dyn Write) -> Result<(), Ended> {
        let mut out = BufWriter::with_capacity(BUFFER, out);
        let columns = || {
            let charset = self.table.charset();
            let names = self.table.columns().iter();
            names.map(|name| charset.encode(name)).collect::<Vec<_>>()
        };
        match self.format {
            RowFormat::Copy => self.each_piece(|piece| out.write_all(piece).map_err(Ended::Unwritten))?,
            RowFormat::Csv => {
                let mut csv = CsvWriter::begin(&mut out, &columns()).map_err(Ended::Unwritten)?;
                self.fields(&mut csv)?;
            }
            RowFormat::Sql => {
                let charset = self.table.charset();
                let target = InsertTarget {
                    encoding: self.table.encoding().to_owned(),
                    schema: charset.encode(&self.table.target.schema),
                    table: charset.encode(&self.table.target.name),
                    columns: columns(),
                };
                let mut sql = InsertWriter::begin(&mut out, &target).map_err(Ended::Unwritten)?;
                self.fields(&mut sql)?;
                sql.finish().map_err(Ended::Unwritten)?;
            }
        }
        out.flush().map_err(Ended::Unwritten)
    }

    /// All rows, field by field.
    fn fields(self, fields: &mut dyn Fields) -> Result<(), Ended> {
        let mut text = CopyText::new(self.table.columns().len());
        let told = |error| match error {
            howdah_archive::Error::Write { source } => Ended::Unwritten(source),
            error => Ended::Failed(self.table.damaged(&error)),
        };
        self.each_piece(|piece| text.push(piece, fields).map(|_| ()).map_err(told))?;
        text.finish().map_err(told)
    }

    /// All rows, in pieces of some size.
    fn each_piece(self, mut take: impl FnMut(&[u8]) -> Result<(), Ended>) -> Result<(), Ended> {
        let mut piece = vec![0; PIECE];
        for entry in &*self.table.entries {
            let mut rows = self.table.all_rows(entry);
            loop {
                if self.stop.is_cancelled() {
                    return Err(Ended::Failed(cancelled()));
                }
                let read = match rows.read(&mut piece) {
                    Ok(0) => break,
                    Ok(read) => read,
                    Err(_) if self.stop.is_cancelled() => return Err(Ended::Failed(cancelled())),
                    Err(error) => return Err(Ended::Failed(self.table.unreadable(&error))),
                };
                take(&piece[..read])?;
                self.meter.0.fetch_add(read as u64, Relaxed);
            }
        }
        Ok(())
    }
}

/// Where a file is put in the end (a link is followed), and the rights of what is there.
fn place_of(path: &Path) -> Result<(PathBuf, Option<std::fs::Permissions>), Failure> {
    let refused = |why: &str, hint: &str| {
        Err(Failure::new(FailureCode::InvalidInput, format!("{} {why}.", path.display())).hint(hint))
    };
    if path.file_name().is_none() {
        return refused("names no file", "Give a file's name.");
    }
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((path.to_owned(), None)),
        Err(error) => Err(not_written(path, &error)),
        Ok(there) if there.is_dir() => refused("is a folder", "Give a file's name in it."),
        // A device or a pipe would be replaced by the file.
        Ok(there) if !there.is_file() => refused(
            "is no ordinary file",
            "Give the name of a file, or leave it out to have the rows on standard output.",
        ),
        Ok(there) => {
            let place = std::fs::canonicalize(path).map_err(|error| not_written(path, &error))?;
            Ok((place, Some(there.permissions())))
        }
    }
}

/// A new file in a folder, with the rights that other programs' files have there. It goes when it is dropped.
fn beside(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".howdah-").suffix(".part");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

fn not_written(path: &Path, error: &io::Error) -> Failure {
    let message = format!("The rows could not be written to {}.", path.display());
    let (code, hint) = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => (
            FailureCode::DiskFull,
            "There is no room left there. Free some space, or choose another folder.",
        ),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => (
            FailureCode::InvalidInput,
            "Its folder is not there: make it, or choose another.",
        ),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => (
            FailureCode::InvalidInput,
            "Choose another folder, one that you may write to.",
        ),
        _ => (FailureCode::Internal, "Choose another folder."),
    };
    Failure::new(code, message).hint(hint).details(error.to_string())
}

/// Counts what is written.
struct Counted<W> {
    inner: W,
    bytes: u64,
}

impl<W> Counted<W> {
    fn new(inner: W) -> Self {
        Self { inner, bytes: 0 }
    }
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_ordinary_file_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        for (path, words) in [
            (folder.path().to_owned(), "is a folder"),
            (PathBuf::from("/dev/null"), "is no ordinary file"),
            (PathBuf::from("/"), "names no file"),
        ] {
            let failure = place_of(&path).unwrap_err();
            assert_eq!(failure.code, FailureCode::InvalidInput);
            assert!(failure.message.contains(words), "{failure:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_a_link_names_is_replaced_and_the_link_stays() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        std::fs::write(&file, "before").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let (place, permissions) = place_of(&link).unwrap();
        assert_eq!(place, file.canonicalize().unwrap());
        assert_eq!(permissions.unwrap().mode() & 0o777, 0o640);
        let (place, permissions) = place_of(&folder.path().join("new")).unwrap();
        assert_eq!((place, permissions), (folder.path().join("new"), None));
    }
}
