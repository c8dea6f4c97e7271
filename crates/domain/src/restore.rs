//! What of a backup a restore brings back.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// Which of a backup's sections are restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum RestoreContent {
    /// Definitions, rows, large objects and sequences' values.
    #[default]
    All,
    /// Only what is defined: no rows, large objects or sequences' values (pg_restore's `--schema-only`).
    Definitions,
    /// Only rows, large objects and sequences' values (`--data-only`), into tables that are there and empty: all of them or none.
    Rows,
}

impl RestoreContent {
    /// Whether rows come along.
    pub fn has_rows(self) -> bool {
        self != Self::Definitions
    }

    /// Whether what is defined comes along.
    pub fn has_definitions(self) -> bool {
        self != Self::Rows
    }
}
