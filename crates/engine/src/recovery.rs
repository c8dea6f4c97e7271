//! What is set right at the start: runs of dead processes are *interrupted*, what they were writing is removed, what they had
//! finished but not listed is listed, and a scheduled backup that was cut short is made once more.

use howdah_archive::Manifest;
use howdah_domain::{Failure, FailureCode, RunId, RunKind, RunState, Trigger};
use howdah_storage::ObjectPath;
use howdah_store::tables::ledger::{self, LedgerEntry};
use howdah_store::tables::runs::{self, Run};
use howdah_store::tables::{backups, databases, destinations, overview, plans};
use tokio_util::sync::CancellationToken;

use crate::engine::{Engine, OrFailure};
use crate::runs::backup::{Copied, listed};
use crate::stored::StoredBackup;

/// What the manifest of something that is no backup fails with.
const NO_BACKUP: [FailureCode; 3] = [
    FailureCode::BackupNotFound,
    FailureCode::BackupUnreadable,
    FailureCode::BackupDamaged,
];

/// A due time whose runs were cut short this often is not tried again.
const MOST_INTERRUPTED: usize = 3;

/// Sets right what dead processes left.
pub(crate) async fn set_right(engine: &Engine) -> Result<(), Failure> {
    let repair = engine.0.store.repair(engine.0.clock.now()).await.or_failure()?;
    for entry in repair.leavings {
        engine.clear_leaving(entry).await;
    }
    engine.clear_instances(repair.instances).await;
    if engine.owns_schedule() {
        engine.make_up_for(repair.interrupted).await?;
    }
    Ok(())
}

/// At the start of the process that owns the schedule: backups that were cut short when Howdah was quit are made once more.
pub(crate) async fn make_up_for_quitting(engine: &Engine) -> Result<(), Failure> {
    let interrupted = |standing: overview::Standing| {
        standing
            .last_run
            .filter(|run| run.state == RunState::Interrupted)
            .map(|run| run.id)
    };
    let standings = engine.0.store.read(overview::standings).await.or_failure()?;
    engine
        .make_up_for(standings.into_iter().filter_map(interrupted).collect())
        .await
}

impl Engine {
    /// Removes what was begun and never finished. Where the manifest is in place the backup is whole: it is listed.
    /// What cannot be done now (a disk that is not connected) stays in the ledger for the next start.
    async fn clear_leaving(&self, entry: LedgerEntry) {
        if let Err(failure) = self.clear(&entry).await {
            tracing::warn!(place = %entry.place, folder = entry.path, %failure, "leavings could not be cleared yet");
        }
    }

    async fn clear(&self, entry: &LedgerEntry) -> Result<(), Failure> {
        let cancel = self.0.ending.child_token();
        let destination = self.open_known(&entry.place).await?;
        let folder = ObjectPath::new(entry.path.clone()).or_failure()?;
        let stored = StoredBackup::new(destination, &entry.place, folder);
        match stored.manifest(&cancel).await {
            Ok(manifest) => self.list_finished(entry, &stored, manifest).await,
            // There is no manifest, or a torn one: what is there is no backup.
            Err(failure) if NO_BACKUP.contains(&failure.code) => {
                self.remove_leaving(entry, &stored, &cancel).await
            }
            // It cannot be told now.
            Err(failure) => Err(failure),
        }
    }

    async fn remove_leaving(
        &self,
        entry: &LedgerEntry,
        stored: &StoredBackup,
        cancel: &CancellationToken,
    ) -> Result<(), Failure> {
        stored
            .destination()
            .delete_folder(stored.folder(), cancel)
            .await
            .or_failure()?;
        tracing::info!(folder = stored.name(), "removed an unfinished backup");
        let number = entry.number;
        self.0
            .store
            .write(move |tx| ledger::remove(tx, number))
            .await
            .or_failure()
    }

    /// Lists a backup that was whole when its process died. One made by a command on a URL is of no known database, and
    /// simply stays where it is.
    async fn list_finished(
        &self,
        entry: &LedgerEntry,
        stored: &StoredBackup,
        manifest: Manifest,
    ) -> Result<(), Failure> {
        let folder = stored.folder().clone();
        let stored_bytes = manifest.stored_bytes() + manifest.to_bytes().len() as u64;
        let (number, run_id, place) = (entry.number, entry.run_id.clone(), entry.place.clone());
        self.0
            .store
            .write(move |tx| {
                let run = match &run_id {
                    Some(id) => runs::get(tx, id)?,
                    None => None,
                };
                let destination = destinations::by_place(tx, &place)?;
                if let (Some(database_id), Some(destination)) =
                    (run.and_then(|run| run.database_id), destination)
                {
                    let copied = Copied::present(&destination, &folder);
                    match backups::get(tx, &manifest.id)? {
                        None => backups::insert(
                            tx,
                            &listed(database_id, run_id, &manifest, stored_bytes, vec![copied]),
                        )?,
                        // Another destination of the same pass came before.
                        Some(known)
                            if known
                                .copies
                                .iter()
                                .all(|copy| copy.destination_id != destination.id) =>
                        {
                            backups::insert_copy(tx, &known.id, &copied)?;
                        }
                        Some(_) => {}
                    }
                }
                ledger::remove(tx, number)
            })
            .await
            .or_failure()
    }

    /// Backs up once more what a dead process was to back up, so that a due time is not lost because Howdah was killed in
    /// the middle of it.
    async fn make_up_for(&self, interrupted: Vec<RunId>) -> Result<(), Failure> {
        for id in interrupted {
            let again = self
                .0
                .store
                .read(move |c| made_up_for(c, &id))
                .await
                .or_failure()?;
            if let Some((run, plan, database)) = again {
                let occurrence = run.occurrence_id.zip(run.due_at);
                let new = self.backup_run(&plan, &database, &run.server_name, run.trigger, occurrence);
                self.enqueue(vec![new]).await?;
            }
        }
        Ok(())
    }
}

/// What to back up once more for an interrupted run: where it was a plan's backup, no backup was made after all, nothing newer
/// is under way, and its due time was not cut short too often.
fn made_up_for(
    c: &howdah_store::Connection,
    id: &RunId,
) -> howdah_store::Result<Option<(Run, howdah_domain::Plan, databases::Database)>> {
    let Some(run) = runs::get(c, id)? else {
        return Ok(None);
    };
    if run.kind != RunKind::Backup || run.trigger == Trigger::CommandLine {
        return Ok(None);
    }
    let (Some(plan_id), Some(database_id)) = (run.plan_id.clone(), run.database_id.clone()) else {
        return Ok(None);
    };
    let Some(plan) = plans::get(c, &plan_id)?.filter(|plan| plan.enabled) else {
        return Ok(None);
    };
    let Some(database) = databases::get(c, &database_id)? else {
        return Ok(None);
    };
    let listed =
        backups::newest_good(c, &database_id)?.is_some_and(|backup| backup.run_id.as_ref() == Some(id));
    let under_way = !runs::active_on(c, &database_id)?.is_empty();
    let tried = match &run.occurrence_id {
        Some(occurrence) => runs::of_occurrence(c, occurrence)?
            .iter()
            .filter(|run| run.database_id.as_ref() == Some(&database_id))
            .count(),
        None => runs::of_database(c, &database_id, 10)?
            .iter()
            .take_while(|run| run.state == RunState::Interrupted)
            .count(),
    };
    Ok((!listed && !under_way && tried < MOST_INTERRUPTED).then_some((run, plan, database)))
}
