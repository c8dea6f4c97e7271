//! Gathers the index while an archive is scanned, and tells the meter.
//!
//! Knows what the entries of a table of contents mean; knows no frames.

use std::collections::{BTreeMap, HashMap};

use crate::block::BlockSum;
use crate::index::SequenceValue;
use crate::scanner::Sink;
use crate::text::Charset;
use crate::toc::{ArchiveHeader, TocEntry};
use crate::{Entry, Meter, statement};

/// What an archive holds, as far as the index and the manifest tell of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Contents {
    pub(crate) header: ArchiveHeader,
    pub(crate) entries: Vec<Entry>,
    pub(crate) settings: BTreeMap<String, String>,
    pub(crate) sequences: Vec<SequenceValue>,
    pub(crate) extensions: Vec<String>,
    pub(crate) collation: Option<String>,
    pub(crate) toc_len: u64,
}

/// The sink that gathers them.
pub(crate) struct Gatherer {
    meter: Meter,
    decoder: Charset,
    contents: Contents,
    /// Entries whose block has not come yet, but for what only the block tells.
    announced: HashMap<i32, Entry>,
    block_at: u64,
}

impl Gatherer {
    pub(crate) fn new(meter: Meter) -> Self {
        Self {
            meter,
            decoder: Charset::Utf8,
            contents: Contents::default(),
            announced: HashMap::new(),
            block_at: 0,
        }
    }

    pub(crate) fn finish(self) -> Contents {
        self.contents
    }

    fn text(&self, bytes: &[u8]) -> String {
        self.decoder.decode(bytes)
    }

    fn set(&mut self, key: &str, name: &str, entry: &TocEntry<'_>) {
        if let Some(value) = statement::setting(&self.text(entry.definition), name) {
            self.contents.settings.insert(key.to_owned(), value);
        }
    }

    fn announce(&mut self, entry: &TocEntry<'_>) {
        let schema = entry.namespace.map(|name| self.text(name)).unwrap_or_default();
        let name = self.text(entry.tag);
        let target = entry
            .copy_statement
            .and_then(|statement| statement::copy_target(&self.text(statement)));
        let (copied_into, columns) = match target {
            Some(target) => {
                let elsewhere = target.table.schema != schema || target.table.name != name;
                (elsewhere.then_some(target.table), target.columns)
            }
            None => (None, Vec::new()),
        };
        let announced = Entry {
            dump_id: entry.dump_id,
            kind: self.text(entry.kind),
            schema,
            name,
            columns,
            copied_into,
            raw_offset: 0,
            raw_len: 0,
            data_len: 0,
            rows: 0,
            fingerprint: crate::Fingerprint::EMPTY,
        };
        self.announced.insert(entry.dump_id, announced);
    }
}

impl Sink for Gatherer {
    fn header(&mut self, header: &ArchiveHeader) {
        self.contents.header = header.clone();
    }

    fn toc_entry(&mut self, entry: &TocEntry<'_>) {
        match entry.kind {
            // The first entry of every archive: the names after it are in this encoding.
            b"ENCODING" => {
                self.set("encoding", "client_encoding", entry);
                if let Some(encoding) = self.contents.settings.get("encoding") {
                    self.decoder = Charset::of(encoding);
                }
            }
            b"STDSTRINGS" => self.set(
                "standard_conforming_strings",
                "standard_conforming_strings",
                entry,
            ),
            b"SEARCHPATH" => self.set("search_path", "search_path", entry),
            b"DATABASE" => self.contents.collation = statement::collation(&self.text(entry.definition)),
            b"EXTENSION" => self.contents.extensions.push(self.text(entry.tag)),
            b"SEQUENCE SET" => {
                if let Some((last_value, is_called)) = statement::sequence_value(&self.text(entry.definition))
                {
                    self.contents.sequences.push(SequenceValue {
                        schema: entry.namespace.map(|name| self.text(name)).unwrap_or_default(),
                        name: self.text(entry.tag),
                        last_value,
                        is_called,
                    });
                }
            }
            _ => {}
        }
        if entry.has_data {
            self.announce(entry);
        }
    }

    fn toc_end(&mut self, offset: u64) {
        self.contents.toc_len = offset;
        let tables = self.announced.values().filter(|entry| entry.is_table()).count();
        self.meter
            .set_tables_total(u32::try_from(tables).unwrap_or(u32::MAX));
        self.contents.entries.reserve_exact(self.announced.len());
    }

    fn block_begin(&mut self, offset: u64, dump_id: i32) {
        self.block_at = offset;
        let table = self.announced.get(&dump_id).filter(|entry| entry.is_table());
        self.meter.begin_table(table.map(Entry::table_name));
    }

    fn block_end(&mut self, offset: u64, dump_id: i32, sum: &BlockSum) {
        let Some(mut entry) = self.announced.remove(&dump_id) else {
            return;
        };
        entry.raw_offset = self.block_at;
        entry.raw_len = offset - self.block_at;
        entry.data_len = sum.data_len;
        entry.rows = sum.rows;
        entry.fingerprint = sum.fingerprint;
        if entry.is_table() {
            self.meter.end_table();
        }
        self.contents.entries.push(entry);
    }
}
