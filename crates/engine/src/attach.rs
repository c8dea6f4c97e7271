//! The catalogue from a destination alone: what lies there becomes known here, whoever made it.
//!
//! A manifest says which server and database a backup is of. Where this machine knows them by name the backup is listed with
//! theirs; else under a server that is known by its backups only. Nothing at the destination is changed.

use std::collections::HashSet;

use howdah_archive::Manifest;
use howdah_domain::{BackupId, DatabaseId, DestinationId, Failure, ServerId};
use howdah_storage::ObjectPath;
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
use crate::runs::verify::says_damaged;

/// Backups that are listed in one transaction.
const AT_ONCE: usize = 500;

impl Engine {
    /// Looks at what lies at a destination, and makes the catalogue agree: backups that are new here are listed, copies that are
    /// listed and not there become *missing*, those that came back are present again.
    pub async fn attach(&self, id: &DestinationId) -> Result<AttachReport, Failure> {
        let row = self.destination(id).await?;
        let listed_before = {
            let id = row.id.clone();
            self.0
                .store
                .read(move |c| backups::copies_on(c, &id))
                .await
                .or_failure()?
        };
        let (mut report, folders) = self.look_below(&row, None).await?;
        let destination_id = row.id.clone();
        report.missing = self
            .0
            .store
            .write(move |tx| miss(tx, &destination_id, &listed_before, &folders))
            .await
            .or_failure()?;
        self.0.events.send(Event::Databases);
        self.0.events.send(Event::Destinations);
        Ok(report)
    }

    /// Lists what lies below a folder of a destination and is not known here. Answers the folders that hold a backup, one that
    /// cannot be read now among them.
    pub(crate) async fn look_below(
        &self,
        row: &Destination,
        folder: Option<&ObjectPath>,
    ) -> Result<(AttachReport, HashSet<String>), Failure> {
        let destination = self.open_destination(row).await?;
        let cancel = self.0.ending.child_token();
        let found = catalog::list_below(&destination, &row.place, folder, &cancel).await?;
        let mut report = AttachReport {
            found: found.len() as u64,
            added: 0,
            missing: 0,
            unreadable: Vec::new(),
        };
        let folders = found
            .iter()
            .map(|backup| backup.stored.folder().to_string())
            .collect();
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
        Ok((report, folders))
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
        Some(before) if before.state == CopyState::Missing || is_wanted_and_not_damaged(before) => {
            backups::update_copy(c, &known.id, &copy)?;
            Ok(true)
        }
        Some(_) => Ok(false),
    }
}

/// Whether a copy was never made. One that was found damaged is wanted too, and has a manifest.
fn is_wanted_and_not_damaged(copy: &BackupCopy) -> bool {
    copy.state == CopyState::Wanted && !copy.failure.as_ref().is_some_and(says_damaged)
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

/// Copies that were listed as present at a destination before the look, and whose folders were not found there, are missing.
/// Answers how many.
fn miss(
    c: &Connection,
    id: &DestinationId,
    listed_before: &[(BackupId, BackupCopy)],
    folders: &HashSet<String>,
) -> howdah_store::Result<u64> {
    let gone: HashSet<&BackupId> = listed_before
        .iter()
        .filter(|(_, copy)| copy.is_there() && !folders.contains(&copy.path))
        .map(|(backup, _)| backup)
        .collect();
    let mut missing = 0;
    for (backup, mut copy) in backups::copies_on(c, id)? {
        if copy.is_there() && gone.contains(&backup) {
            copy.state = CopyState::Missing;
            backups::update_copy(c, &backup, &copy)?;
            missing += 1;
        }
    }
    Ok(missing)
}
