//! What is watched, as the store has it.

use std::collections::BTreeSet;

use howdah_domain::DatabaseId;
use howdah_domain::check::CheckRule;
use howdah_domain::maintenance::MaintenanceTime;
use howdah_store::Connection;
use howdah_store::tables::{databases, maintenance, servers, watches};
use jiff::Timestamp;

use super::incidents;

/// A database that is watched.
pub(super) struct Row {
    pub(super) database: databases::Database,
    pub(super) watch: watches::Watch,
    pub(super) rule: CheckRule,
    pub(super) windows: Vec<MaintenanceTime>,
}

/// Every database of a server that is there; each has a watch from now on. What lasted of those that are not checked any more ends quietly.
pub(super) fn read(c: &Connection, now: Timestamp) -> howdah_store::Result<Vec<Row>> {
    let windows = maintenance::list(c)?;
    let there: BTreeSet<_> = servers::list(c)?.into_iter().map(|row| row.server.id).collect();
    let mut rows = Vec::new();
    for database in databases::list(c)? {
        if database.vanished_at.is_some() || !there.contains(&database.server_id) {
            continue;
        }
        let watch = watches::ensure(c, &database.id)?;
        rows.push(Row {
            rule: watch.rule.clone().unwrap_or_default(),
            windows: windows
                .iter()
                .filter(|window| window.databases.is_empty() || window.databases.contains(&database.id))
                .map(|window| window.when.clone())
                .collect(),
            watch,
            database,
        });
    }
    let checked: BTreeSet<&DatabaseId> = rows
        .iter()
        .filter(|row| row.rule.enabled)
        .map(|row| &row.database.id)
        .collect();
    incidents::end_unchecked(c, &checked, now)?;
    Ok(rows)
}
