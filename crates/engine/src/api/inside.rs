//! A table's rows inside a backup.

use std::path::PathBuf;

use howdah_domain::{BackupId, TableName};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// Rows that are to be looked at.
#[derive(Debug, Clone, Deserialize, TS)]
#[ts(export)]
pub struct RowsRequest {
    /// The caller's name for its look, by which it can be cancelled. A new request ends one of the same name that is at work.
    pub look_id: String,
    /// The backup.
    pub backup_id: BackupId,
    /// The table.
    pub table: TableName,
    /// Only rows in which some value holds this text, whatever the case of its letters. Empty for all rows.
    pub search: String,
    /// From where on: what the last answer had as `next`. None for the beginning.
    pub from: Option<RowPlace>,
    /// At most so many rows.
    pub limit: u32,
}

/// Where a row is in a backup. Comes from an answer, and is handed back as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct RowPlace {
    /// Which of the table's parts.
    pub entry: u32,
    /// The raw offset of a place in it at which reading can begin.
    pub start: u64,
    /// Rows from there to this one.
    pub skip: u64,
    /// Rows of the table before this one.
    pub row: u64,
}

/// Rows of a table; as many as were found within a moment.
#[derive(Debug, Clone, Serialize, TS)]
#[ts(export)]
pub struct RowsPage {
    /// The database that the backup is of.
    pub database_name: String,
    /// When the dump began.
    #[ts(type = "string")]
    pub started_at: Timestamp,
    /// The columns' names.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Vec<RowView>,
    /// Rows that the table has.
    pub total_rows: u64,
    /// Bytes of its COPY data, uncompressed.
    pub raw_bytes: u64,
    /// Rows of the table that have been looked at, those of earlier answers among them.
    pub looked_at: u64,
    /// Where the next rows are looked for; none at the end. There may be none in spite of it.
    pub next: Option<RowPlace>,
    /// The encoding of the rows in the backup, as PostgreSQL calls it.
    pub encoding: String,
    /// Whether every byte shown is text in that encoding; what is not is shown as `\x9f`.
    pub all_text: bool,
}

/// A row.
#[derive(Debug, Clone, Serialize, TS)]
#[ts(export)]
pub struct RowView {
    /// Where it is.
    pub place: RowPlace,
    /// Its values, in the order of the columns.
    pub cells: Vec<CellView>,
}

/// A value in a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct CellView {
    /// Its text, or the beginning of it; none is NULL.
    pub text: Option<String>,
    /// How many bytes the whole value has, where only its beginning is here.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub bytes: Option<u64>,
}

/// One value that is to be seen whole.
#[derive(Debug, Clone, Deserialize, TS)]
#[ts(export)]
pub struct ValueRequest {
    /// The caller's name for its look, by which it can be cancelled.
    pub look_id: String,
    /// The backup.
    pub backup_id: BackupId,
    /// The table.
    pub table: TableName,
    /// The row.
    pub place: RowPlace,
    /// Which of the columns, counted from 0.
    pub column: u32,
}

/// One value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct ValueView {
    /// Its text, or the first megabyte of it; none is NULL.
    pub text: Option<String>,
    /// How many bytes the whole value has.
    pub bytes: u64,
    /// Whether only its beginning is here.
    pub shortened: bool,
    /// Whether every byte shown is text in the rows' encoding.
    pub all_text: bool,
}

/// What rows are written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum RowFormat {
    /// As pg_dump stored them: the lines of COPY's text format, without a heading and without the line `\.`.
    Copy,
    /// Comma-separated values (RFC 4180) below a line with the columns' names; NULL is nothing, the empty text is `""`.
    Csv,
    /// INSERT statements in one transaction.
    Sql,
}

impl RowFormat {
    /// What files of it are called.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Csv => "csv",
            Self::Sql => "sql",
        }
    }
}

/// A table that is to be written into a file.
#[derive(Debug, Clone, Deserialize, TS)]
#[ts(export)]
pub struct SaveTableRequest {
    /// The caller's name for it, by which it can be cancelled and its progress is known.
    pub look_id: String,
    /// The backup.
    pub backup_id: BackupId,
    /// The table.
    pub table: TableName,
    /// As what.
    pub format: RowFormat,
}

/// A table that was written into a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct SavedTable {
    /// The file.
    pub path: PathBuf,
    /// Rows in it.
    pub rows: u64,
    /// Its length.
    pub bytes: u64,
    /// The encoding of the rows, as PostgreSQL calls it.
    pub encoding: String,
}
