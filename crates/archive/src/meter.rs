//! How far an encoding or a verification is, readable from any thread while it works.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use howdah_domain::TableName;

/// How far the work is. Clones share the same figures.
#[derive(Debug, Clone, Default)]
pub struct Meter(Arc<Figures>);

#[derive(Debug, Default)]
struct Figures {
    table: Mutex<Option<TableName>>,
    tables_done: AtomicU32,
    tables_total: AtomicU32,
    total_known: AtomicBool,
    rows: AtomicU64,
    raw_bytes: AtomicU64,
    stored_bytes: AtomicU64,
}

/// The figures of a moment. Sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// The table at work.
    pub table: Option<TableName>,
    /// Tables whose data has passed.
    pub tables_done: u32,
    /// Tables with data in all; known once the table of contents has passed.
    pub tables_total: Option<u32>,
    /// Rows that have passed.
    pub rows: u64,
    /// Bytes of the dump that have passed, uncompressed.
    pub raw_bytes: u64,
    /// Bytes written (when verifying: read) in compressed form.
    pub stored_bytes: u64,
}

impl Meter {
    /// All figures at zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// The figures as they are now. Cheap; from any thread.
    pub fn snapshot(&self) -> Snapshot {
        let figures = &*self.0;
        Snapshot {
            table: figures
                .table
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
            tables_done: figures.tables_done.load(Relaxed),
            tables_total: figures
                .total_known
                .load(Relaxed)
                .then(|| figures.tables_total.load(Relaxed)),
            rows: figures.rows.load(Relaxed),
            raw_bytes: figures.raw_bytes.load(Relaxed),
            stored_bytes: figures.stored_bytes.load(Relaxed),
        }
    }

    pub(crate) fn set_tables_total(&self, total: u32) {
        self.0.tables_total.store(total, Relaxed);
        self.0.total_known.store(true, Relaxed);
    }

    pub(crate) fn begin_table(&self, table: Option<TableName>) {
        *self.0.table.lock().unwrap_or_else(PoisonError::into_inner) = table;
    }

    pub(crate) fn end_table(&self) {
        self.0.tables_done.fetch_add(1, Relaxed);
    }

    pub(crate) fn set_rows(&self, rows: u64) {
        self.0.rows.store(rows, Relaxed);
    }

    pub(crate) fn set_raw_bytes(&self, bytes: u64) {
        self.0.raw_bytes.store(bytes, Relaxed);
    }

    pub(crate) fn add_stored_bytes(&self, bytes: u64) {
        self.0.stored_bytes.fetch_add(bytes, Relaxed);
    }
}
