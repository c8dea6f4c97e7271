//! The index: what is where in a dump, what its tables hold, and how far a sequence had counted.
//!
//! Written beside the dump as `index.json.zst`. The dump can be restored without it; with it one table can be read by
//! fetching only its frames. This module knows the index's form, not how it is gathered (that is `gather.rs`).

use std::collections::BTreeMap;
use std::io::{Read, Write};

use howdah_domain::{Selection, TableName};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::fingerprint::Fingerprint;

/// The index's file name in a backup that is not encrypted.
pub const INDEX_FILE: &str = "index.json.zst";

/// No index is larger than this when unpacked: a million tables make some 300 MB.
const MAX_UNPACKED: u64 = 1 << 30;

/// What is where in a dump.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Index {
    /// The frames, in the order of the file. Together they hold every byte of the dump.
    pub frames: Vec<Frame>,
    /// The data entries, in the order of the dump: tables, and large objects.
    pub entries: Vec<Entry>,
    /// What the dump's data depends on, as seen in the archive: `encoding`, `standard_conforming_strings`,
    /// `search_path`; and what else the caller knows of the session (`TimeZone`, `bytea_output`, …).
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// The sequences' values.
    #[serde(default)]
    pub sequences: Vec<SequenceValue>,
    /// Raw length of the header and the table of contents: the offset of the first data block.
    #[serde(default)]
    pub toc_len: u64,
    /// What was chosen of the database, where that was not everything. Here in every backup, in the manifest only where
    /// that may name tables: where the backup is not encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selection: Option<Selection>,
}

/// One zstd frame of the dump. Offsets and lengths in bytes; *raw* is in pg_dump's archive, *stored* in the `.zst`
/// (before encryption). In JSON: `[raw_offset, raw_len, stored_offset, stored_len, flags]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u64, u64, u64, u64, u64)", into = "(u64, u64, u64, u64, u64)")]
pub struct Frame {
    /// Where its content begins in the archive.
    pub raw_offset: u64,
    /// How much content it has; at most [`MAX_FRAME`](crate::encode::MAX_FRAME).
    pub raw_len: u64,
    /// Where it begins in the file.
    pub stored_offset: u64,
    /// How long it is in the file.
    pub stored_len: u64,
    /// [`Frame::MID_ROW`] or nothing; other bits are reserved and ignored.
    pub flags: u64,
}

impl Frame {
    /// The frame begins inside something that is not divided: a row, a chunk of it, or the table of contents. Where it
    /// is not set, the frame begins between two rows (or large objects) or before a data block.
    pub const MID_ROW: u64 = 1;

    /// Whether reading can start at this frame: it begins neither inside a row nor inside the table of contents.
    pub fn begins_at_row(&self) -> bool {
        self.flags & Self::MID_ROW == 0
    }

    /// The raw offset after its last byte.
    pub fn raw_end(&self) -> u64 {
        self.raw_offset.saturating_add(self.raw_len)
    }

    /// The stored offset after its last byte.
    pub fn stored_end(&self) -> u64 {
        self.stored_offset.saturating_add(self.stored_len)
    }
}

impl From<(u64, u64, u64, u64, u64)> for Frame {
    fn from((raw_offset, raw_len, stored_offset, stored_len, flags): (u64, u64, u64, u64, u64)) -> Self {
        Self {
            raw_offset,
            raw_len,
            stored_offset,
            stored_len,
            flags,
        }
    }
}

impl From<Frame> for (u64, u64, u64, u64, u64) {
    fn from(frame: Frame) -> Self {
        (
            frame.raw_offset,
            frame.raw_len,
            frame.stored_offset,
            frame.stored_len,
            frame.flags,
        )
    }
}

/// A data entry: one block of the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number in the archive's table of contents.
    pub dump_id: i32,
    /// pg_dump's word for it: `TABLE DATA` or `BLOBS`.
    pub kind: String,
    /// The schema; empty for large objects.
    pub schema: String,
    /// The table's name; for large objects what pg_dump calls them.
    pub name: String,
    /// The columns that the COPY statement names, unquoted, in its order. Empty for a table without columns.
    #[serde(default)]
    pub columns: Vec<String>,
    /// The table into which the rows are copied, where it is another one: the root of a partition that pg_dump loads
    /// through it. Rows and fingerprints of such entries are compared summed at that root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copied_into: Option<TableName>,
    /// Where its block begins in the archive (its type byte).
    pub raw_offset: u64,
    /// How long the block is, framing included.
    pub raw_len: u64,
    /// How long its content is without framing: the rows with their newlines; the large objects' contents.
    #[serde(default)]
    pub data_len: u64,
    /// Rows; for large objects how many there are.
    pub rows: u64,
    /// Over the rows (or large objects).
    pub fingerprint: Fingerprint,
}

impl Entry {
    /// pg_dump's word for a table's rows.
    pub const TABLE_DATA: &'static str = "TABLE DATA";
    /// pg_dump's word for large objects' contents.
    pub const BLOBS: &'static str = "BLOBS";

    /// Whether it holds a table's rows.
    pub fn is_table(&self) -> bool {
        self.kind == Self::TABLE_DATA
    }

    /// The raw offset after its block.
    pub fn raw_end(&self) -> u64 {
        self.raw_offset.saturating_add(self.raw_len)
    }

    /// Schema and name.
    pub fn table_name(&self) -> TableName {
        TableName {
            schema: self.schema.clone(),
            name: self.name.clone(),
        }
    }
}

/// What a sequence had come to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceValue {
    /// The schema.
    pub schema: String,
    /// The sequence's name.
    pub name: String,
    /// `last_value`.
    pub last_value: i64,
    /// `is_called`.
    pub is_called: bool,
}

impl Index {
    /// The entries that hold tables' rows.
    pub fn tables(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.is_table())
    }

    /// The entry of a table.
    pub fn table(&self, name: &TableName) -> Option<&Entry> {
        self.tables()
            .find(|entry| entry.schema == name.schema && entry.name == name.name)
    }

    /// Rows of all tables.
    pub fn rows(&self) -> u64 {
        self.tables().fold(0, |sum, entry| sum.saturating_add(entry.rows))
    }

    /// Length of the archive that the frames hold.
    pub fn raw_len(&self) -> u64 {
        self.frames.last().map_or(0, Frame::raw_end)
    }

    /// The frames that hold some byte of a raw range.
    pub fn frames_of(&self, raw_start: u64, raw_end: u64) -> &[Frame] {
        let first = self.frames.partition_point(|frame| frame.raw_end() <= raw_start);
        let after = self.frames.partition_point(|frame| frame.raw_offset < raw_end);
        self.frames.get(first..after).unwrap_or(&[])
    }

    /// The tables of which some byte lies in a raw range.
    pub fn tables_in(&self, raw_start: u64, raw_end: u64) -> impl Iterator<Item = &Entry> {
        self.tables()
            .filter(move |entry| entry.raw_offset < raw_end && raw_start < entry.raw_end())
    }

    /// The bytes of `index.json.zst`.
    ///
    /// # Errors
    /// [`Error::Compress`] where zstd refuses.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        let compress = |error: &dyn std::fmt::Display| Error::Compress {
            reason: error.to_string(),
        };
        let mut encoder = zstd::stream::Encoder::new(Vec::new(), 3).map_err(|error| compress(&error))?;
        encoder.include_checksum(true).map_err(|error| compress(&error))?;
        let mut buffered = std::io::BufWriter::with_capacity(1 << 16, encoder);
        serde_json::to_writer(&mut buffered, self).map_err(|error| compress(&error))?;
        buffered.flush().map_err(|error| compress(&error))?;
        let encoder = buffered.into_inner().map_err(|error| compress(&error))?;
        encoder.finish().map_err(|error| compress(&error))
    }

    /// Reads `index.json.zst`. Memory is bounded by what a million tables need; unknown fields are ignored.
    ///
    /// # Errors
    /// [`Error::Damaged`] where it is not an index, or where its frames do not follow one another.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        Self::read_from(bytes)
    }

    /// Reads `index.json.zst` from a stream; as [`from_bytes`](Self::from_bytes).
    ///
    /// # Errors
    /// [`Error::Damaged`], as there.
    pub fn read_from(input: impl Read) -> Result<Self, Error> {
        let damaged = |reason: String| Error::damaged(INDEX_FILE, reason);
        let mut decoder = zstd::stream::Decoder::new(input).map_err(|error| damaged(error.to_string()))?;
        decoder
            .window_log_max(23)
            .map_err(|error| damaged(error.to_string()))?;
        let limited = std::io::BufReader::with_capacity(1 << 16, decoder.take(MAX_UNPACKED));
        let index: Self = serde_json::from_reader(limited).map_err(|error| damaged(error.to_string()))?;
        index.check().map_err(damaged)?;
        Ok(index)
    }

    /// Whether frames follow one another without gaps, are not too large, and entries lie inside.
    fn check(&self) -> Result<(), String> {
        let (mut raw, mut stored) = (0, 0);
        for (number, frame) in self.frames.iter().enumerate() {
            let follows = frame.raw_offset == raw && frame.stored_offset == stored;
            let sized = (1..=crate::encode::MAX_FRAME as u64).contains(&frame.raw_len)
                && (1..=2 * crate::encode::MAX_FRAME as u64).contains(&frame.stored_len);
            if !follows || !sized {
                return Err(format!("frame {number} does not follow the one before it"));
            }
            (raw, stored) = (frame.raw_end(), frame.stored_end());
        }
        let mut before = self.toc_len;
        if before > raw {
            return Err("the table of contents is longer than the dump".to_owned());
        }
        for entry in &self.entries {
            if entry.raw_offset < before || entry.raw_len == 0 || entry.raw_end() > raw {
                return Err(format!("the entry {} lies outside the dump", entry.dump_id));
            }
            before = entry.raw_end();
        }
        Ok(())
    }
}
