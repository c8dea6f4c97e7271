//! The catalogue from a destination alone: what lies there becomes known here, whoever made it.
//!
//! A manifest says which server and database a backup is of. Where this machine knows them by name the backup is listed with
//! theirs; else under a server that is known by its backups only. Nothing at the destination is changed.

use std::collections::HashSet;

use howdah_archive::Manifest;
use howdah_domain::{BackupId, DatabaseId, DestinationId, Failure, ServerId};
use howdah_store::Connection;
use howdah_store::tables::backups::{self, BackupCopy, CopyState};
use howdah_store::tables::destinations::Destination;
use howdah_store::tables::{databases, servers};
use jiff::Timestamp;

use crate::api::{AttachReport, Event, UnreadableBackup};
use crate::catalog::{self, FoundBackup};
use crate::engine::{Engine, OrFailure};
use crate::random;
use crate::runs::backup::listed;

/// Backups that are listed in one transaction.
const AT_ONCE: usize = 500;

impl Engine {
    /// Looks at what lies at a destination, and makes the catalogue agree: backups that are new here are listed, copies that are
    /// listed and not there become *missing*, those that came back are present again.
    pub async fn attach(&self, id: &DestinationId) -> Result<AttachReport, Failure> {
        let row = self.destination(id).await?;
        let destination = self.open_destination(&row).await?;
        let cancel = self.0.ending.child_token();
        let found = catalog::list(&destination, &row.place, &cancel).await?;
        let mut report = AttachReport {
            found: found.len() as u64,
            added: 0,
            missing: 0,
            unreadable: Vec::new(),
        };
        let mut whole = Vec::new();
        for backup in found {
            match (&backup.manifest, &backup.failure) {
                (Some(_), _) => whole.push(backup),
                (None, failure) => report.unreadable.push(UnreadableBackup {
                    path: backup.stored.name(),
                    failure: failure.clone(),
                }),
            }
        }
        let there: HashSet<BackupId> = whole
            .iter()
            .filter_map(|backup| backup.manifest.as_ref().map(|manifest| manifest.id.clone()))
            .collect();
        let mut whole = whole.into_iter();
        loop {
            let some: Vec<FoundBackup> = whole.by_ref().take(AT_ONCE).collect();
            if some.is_empty() {
                break;
            }
            let (row, now) = (row.clone(), self.0.clock.now());
            report.added += self
                .0
                .store
                .write(move |tx| {
                    let mut added = 0;
                    for backup in &some {
                        added += u64::from(list(tx, &row, backup, now)?);
                    }
                    Ok(added)
                })
                .await
                .or_failure()?;
        }
        let destination_id = row.id.clone();
        report.missing = self
            .0
            .store
            .write(move |tx| miss(tx, &destination_id, &there))
            .await
            .or_failure()?;
        self.0.events.send(Event::Databases);
        self.0.events.send(Event::Destinations);
        Ok(report)
    }
}

/// Lists a backup that was found. Answers whether it, or its copy here, is new.
fn list(
    c: &Connection,
    row: &Destination,
    found: &FoundBackup,
    now: Timestamp,
) -> howdah_store::Result<bool> {
    let Some(manifest) = &found.manifest else {
        return Ok(false);
    };
    let copy = BackupCopy::present(
        row.id.clone(),
        row.place.clone(),
        found.stored.folder().to_string(),
    );
    let Some(known) = backups::get(c, &manifest.id)? else {
        let database_id = database_of(c, manifest, now)?;
        let backup = listed(database_id, None, manifest, found.stored_bytes, vec![copy]);
        backups::insert(c, &backup)?;
        return Ok(true);
    };
    match known.copies.iter().find(|copy| copy.destination_id == row.id) {
        None => {
            backups::insert_copy(c, &known.id, &copy)?;
            Ok(true)
        }
        Some(before) if matches!(before.state, CopyState::Missing | CopyState::Wanted) => {
            backups::update_copy(c, &known.id, &copy)?;
            Ok(true)
        }
        Some(_) => Ok(false),
    }
}

/// The database that a manifest names: one that is known, else one that is known by its backups only.
fn database_of(c: &Connection, manifest: &Manifest, now: Timestamp) -> howdah_store::Result<DatabaseId> {
    let server_id = servers::known_by_backups(
        c,
        &manifest.server.name,
        ServerId::from_random(random::bytes()),
        now,
    )?;
    let new = DatabaseId::from_random(random::bytes());
    Ok(databases::ensure(c, new, &server_id, &manifest.database, now)?.id)
}

/// Copies that are listed as present at a destination and were not found there are missing. Answers how many.
fn miss(c: &Connection, id: &DestinationId, there: &HashSet<BackupId>) -> howdah_store::Result<u64> {
    let mut missing = 0;
    for (backup, mut copy) in backups::copies_on(c, id)? {
        if copy.is_there() && !there.contains(&backup) {
            copy.state = CopyState::Missing;
            backups::update_copy(c, &backup, &copy)?;
            missing += 1;
        }
    }
    Ok(missing)
}
