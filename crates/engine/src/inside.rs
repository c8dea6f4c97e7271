//! What is in a backup's tables, without restoring it: one table's rows, by reading only its frames.
//!
//! [`Inside`] is a backup that was opened for that, [`Table`] a table in it, [`save`] writes all of its rows somewhere; a page of
//! rows is [`look`]'s, and how the window asks for them is [`window`]'s. Rows are read by threads that may block; memory does not grow with
//! a table or with a value. Large objects belong to no table and are not looked at here.

mod look;
mod near;
pub mod save;
mod window;

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;

use howdah_archive::entry::CopyRows;
use howdah_archive::source::ReadAhead;
use howdah_archive::text::Charset;
use howdah_archive::{Entry, Index};
use howdah_domain::{Failure, FailureCode, TableName};
use tokio_util::sync::CancellationToken;

use crate::stored::{StoredBackup, StoredFile};

pub(crate) use window::Looks;

/// So much is fetched at once of a table that is read to its end.
const AHEAD: u64 = 4 << 20;

/// How the encoding is called where an index does not say: what PostgreSQL calls having none.
const NO_ENCODING: &str = "SQL_ASCII";

/// A backup that is open to be looked into. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Inside {
    name: Arc<str>,
    index: Arc<Index>,
    dump: StoredFile,
}

impl Inside {
    /// Reads a backup's manifest and index. Reads of its rows end with `cancel` too.
    ///
    /// # Errors
    /// Those of [`StoredBackup::manifest`] and [`StoredBackup::index`].
    pub async fn open(backup: &StoredBackup, cancel: &CancellationToken) -> Result<Self, Failure> {
        let opening = async {
            let manifest = backup.manifest(cancel).await?;
            let index = backup.index(&manifest, cancel).await?;
            let dump = backup.dump(&manifest, cancel).await?;
            Ok(Self {
                name: backup.name().into(),
                index: Arc::new(index),
                dump,
            })
        };
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(cancelled()),
            opened = opening => opened,
        }
    }

    /// PostgreSQL's name of the encoding that names and rows are in.
    pub fn encoding(&self) -> &str {
        self.index
            .settings
            .get("encoding")
            .map_or(NO_ENCODING, String::as_str)
    }

    /// A table. A partition is a table too; the root of partitions that pg_dump loads through it has their rows together.
    ///
    /// # Errors
    /// [`FailureCode::NotFound`] where the backup has no rows of it, with names that are near.
    pub fn table(&self, name: &TableName) -> Result<Table, Failure> {
        let entries: Vec<Entry> = match self.index.table(name) {
            Some(entry) => vec![entry.clone()],
            None => {
                let through = |entry: &&Entry| entry.copied_into.as_ref() == Some(name);
                self.index.tables().filter(through).cloned().collect()
            }
        };
        let Some(first) = entries.first() else {
            return Err(near::not_found(&self.index, &self.name, name));
        };
        if let Some(other) = entries.iter().find(|entry| entry.columns != first.columns) {
            return Err(Failure::new(
                FailureCode::InvalidInput,
                format!(
                    "The partitions of {} have their columns in different orders.",
                    in_words(name)
                ),
            )
            .hint(format!(
                "Take them one by one, such as {} and {}.",
                in_words(&first.table_name()),
                in_words(&other.table_name())
            )));
        }
        let target = first.copied_into.clone();
        Ok(Table {
            inside: self.clone(),
            name: name.clone(),
            target: target.unwrap_or_else(|| name.clone()),
            entries: entries.into(),
        })
    }
}

/// A table in a backup. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Table {
    inside: Inside,
    name: TableName,
    /// Into which table its rows go.
    target: TableName,
    /// At least one; all with the same columns.
    entries: Arc<[Entry]>,
}

impl Table {
    /// Its name.
    pub fn name(&self) -> &TableName {
        &self.name
    }

    /// The columns that the dump has of it, which are those that are not generated.
    pub fn columns(&self) -> &[String] {
        self.entries.first().map_or(&[], |entry| &entry.columns)
    }

    /// How many rows it has.
    pub fn rows(&self) -> u64 {
        self.entries.iter().map(|entry| entry.rows).sum()
    }

    /// Bytes of its rows in COPY's text format.
    pub fn raw_bytes(&self) -> u64 {
        self.entries.iter().map(|entry| entry.data_len).sum()
    }

    /// Bytes of the frames that hold its rows, as they are stored (before encryption).
    pub fn stored_bytes(&self) -> u64 {
        let frames = |entry: &Entry| {
            let frames = self.inside.index.frames_of(entry.raw_offset, entry.raw_end());
            frames.iter().map(|frame| frame.stored_len).sum::<u64>()
        };
        self.entries.iter().map(frames).sum()
    }

    /// PostgreSQL's name of the encoding that its rows are in.
    pub fn encoding(&self) -> &str {
        self.inside.encoding()
    }

    fn charset(&self) -> Charset {
        Charset::of(self.encoding())
    }

    /// The dump, from which only what an entry needs is read, `ahead` bytes at once.
    fn source(&self, entry: &Entry, ahead: u64) -> ReadAhead<StoredFile> {
        let frames = self.inside.index.frames_of(entry.raw_offset, entry.raw_end());
        let until = frames.last().map_or(0, howdah_archive::Frame::stored_end);
        ReadAhead::new(self.inside.dump.clone(), until, ahead)
    }

    /// All rows of an entry; at their end they are compared with the index.
    fn all_rows(&self, entry: &Entry) -> CopyRows<ReadAhead<StoredFile>> {
        CopyRows::new(self.source(entry, AHEAD), &self.inside.index, entry)
    }

    /// Why its rows could not be read.
    fn unreadable(&self, error: &io::Error) -> Failure {
        let mut cause: Option<&(dyn StdError + 'static)> = error.get_ref().map(|inner| inner as _);
        while let Some(inner) = cause {
            if let Some(ours) = inner.downcast_ref::<howdah_storage::Error>() {
                return ours.to_failure();
            }
            if let Some(ours) = inner.downcast_ref::<howdah_archive::Error>() {
                return self.damaged(ours);
            }
            cause = inner.source();
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof => self.is_damaged("the file ends before them"),
            _ => Failure::new(
                FailureCode::DestinationFailed,
                format!(
                    "The rows of {} could not be read from {}.",
                    in_words(&self.name),
                    self.inside.name
                ),
            )
            .hint("Look whether its disk is in place and well, or use another copy of this backup.")
            .details(error.to_string()),
        }
    }

    /// An error of the archive's, with the table's name where it is about damage.
    fn damaged(&self, error: &howdah_archive::Error) -> Failure {
        match error {
            howdah_archive::Error::Damaged { .. } => self.is_damaged(&error.to_string()),
            error => error.to_failure(),
        }
    }

    fn is_damaged(&self, details: &str) -> Failure {
        Failure::new(
            FailureCode::BackupDamaged,
            format!(
                "The rows of {} in {} are damaged.",
                in_words(&self.name),
                self.inside.name
            ),
        )
        .hint("Use another copy of this backup, or an older backup. Other tables of this one may be whole.")
        .details(details)
    }
}

/// A table's name for people: `shop.orders`.
fn in_words(name: &TableName) -> String {
    format!("{}.{}", name.schema, name.name)
}

fn cancelled() -> Failure {
    Failure::new(FailureCode::Cancelled, "Cancelled.")
}
