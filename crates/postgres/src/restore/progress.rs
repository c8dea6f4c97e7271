//! How far a restore is, told by whoever works on it. What is done with it is not known here.

use std::sync::Arc;

use crate::running::OnLine;

/// What a restore is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Creating the database.
    Create,
    /// Types, tables, functions.
    PreData,
    /// Rows and large objects.
    Data,
    /// Indexes, constraints, triggers.
    PostData,
    /// Privileges and comment of the database.
    Finish,
}

/// How far a restore is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreProgress {
    /// At what.
    pub step: Step,
    /// The table at work, as far as known.
    pub table: Option<String>,
    /// Tables whose rows are in.
    pub tables_done: usize,
    /// Tables with rows in all.
    pub tables_total: usize,
    /// Bytes of the archive handed on.
    pub raw_bytes: u64,
}

/// Is told how far a restore is; called from several threads, often.
pub type OnProgress = Arc<dyn Fn(&RestoreProgress) + Send + Sync>;

/// A restore's progress, shared by what works on it.
#[derive(Clone)]
pub(crate) struct Progress(Arc<Shared>);

struct Shared {
    now: std::sync::Mutex<RestoreProgress>,
    tell: OnProgress,
}

impl Progress {
    pub(crate) fn new(tables_total: usize, tell: OnProgress) -> Self {
        Self(Arc::new(Shared {
            now: std::sync::Mutex::new(RestoreProgress {
                step: Step::Create,
                table: None,
                tables_done: 0,
                tables_total,
                raw_bytes: 0,
            }),
            tell,
        }))
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut RestoreProgress)) {
        let told = {
            let mut now = self
                .0
                .now
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            change(&mut now);
            now.clone()
        };
        (self.0.tell)(&told);
    }

    pub(crate) fn step(&self, step: Step) {
        self.change(|now| now.step = step);
    }

    /// Learns of tables from pg_restore's verbose lines, and hands them on.
    pub(super) fn hearing(&self, mut on_line: OnLine) -> OnLine {
        let progress = self.clone();
        Box::new(move |severity, line| {
            if let Some(table) = line
                .split_once("processing data for table ")
                .map(|(_, table)| table)
            {
                progress.change(|now| {
                    if now.table.replace(table.trim_matches('"').to_owned()).is_some() {
                        now.tables_done += 1;
                    }
                });
            }
            on_line(severity, line);
        })
    }
}
