//! Runs that make missing copies and delete those that are to go, and the task that sees to it that neither is forgotten.
//!
//! A row in the catalogue says what is owed: a copy that is *wanted*, or one that is being *deleted*. It stays until the work is
//! done, however often it fails and whoever is killed meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use howdah_domain::{
    BackupId, DestinationId, Failure, FailureCode, Phase, Progress, RunId, RunKind, Trigger,
};
use howdah_storage::ObjectPath;
use howdah_store::tables::backups::{self, Backup, BackupCopy, CopyState};
use howdah_store::tables::destinations;
use howdah_store::tables::runs::{self, NewRun, Run};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::backup::{Copied, StoreLedger};
use super::{Made, Recording, Subject};
use crate::api::Event;
use crate::backup::{Checksums, Ledger as _};
use crate::copying::{already_there, copy};
use crate::decide;
use crate::engine::{Engine, OrFailure};
use crate::places::best_copy;
use crate::stored::StoredBackup;
use crate::work::{Rate, Reporter, TICK};

/// What is owed is looked at this often, whatever happens.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// Backups with owed copies that are looked at in one go.
const AT_ONCE: u32 = 100;

/// Records a run for whatever is owed, until the engine ends.
pub(crate) async fn see_to_what_is_owed(engine: Engine) {
    loop {
        let next = match engine.record_owed().await {
            Ok(next) => next,
            Err(failure) => {
                tracing::error!(%failure, "copies that are to be made or deleted could not be looked at");
                None
            }
        };
        let now = engine.0.clock.now();
        let wait = next
            .and_then(|at| Duration::try_from(at.duration_since(now)).ok())
            .map_or(LOOK_AGAIN, |wait| {
                wait.clamp(Duration::from_millis(200), LOOK_AGAIN)
            });
        tokio::select! {
            () = engine.0.ending.cancelled() => return,
            () = engine.0.copies_changed.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

impl Engine {
    /// Looks at once for copies that are due to be made or deleted, instead of within a minute.
    pub fn look_at_copies(&self) {
        self.0.copies_changed.notify_one();
    }

    /// Records runs for copies that are due to be made or deleted. Answers when the next one is.
    async fn record_owed(&self) -> Result<Option<Timestamp>, Failure> {
        let now = self.0.clock.now();
        let (owed, active, next) = self
            .0
            .store
            .read(move |c| {
                Ok((
                    backups::owed(c, now, AT_ONCE)?,
                    runs::active(c)?,
                    backups::next_owed(c)?,
                ))
            })
            .await
            .or_failure()?;
        let mut new: Vec<NewRun> = Vec::new();
        for backup in owed {
            if backup
                .copies
                .iter()
                .any(|copy| is_due(copy, CopyState::Wanted, now))
            {
                let at_work = active
                    .iter()
                    .any(|run| run.kind == RunKind::Copy && run.backup_id.as_ref() == Some(&backup.id));
                if !at_work {
                    new.push(self.new_run(subject(RunKind::Copy, &backup, Trigger::Schedule)));
                }
            }
            if backup
                .copies
                .iter()
                .any(|copy| is_due(copy, CopyState::Deleting, now))
            {
                // One run deletes all that is due of a database.
                let database = Some(&backup.database_id);
                let at_work = active
                    .iter()
                    .any(|run| run.kind == RunKind::Prune && run.database_id.as_ref() == database);
                let asked = new
                    .iter()
                    .any(|run| run.kind == RunKind::Prune && run.database_id.as_ref() == database);
                if !at_work && !asked {
                    new.push(self.new_run(Subject {
                        backup_id: None,
                        ..subject(RunKind::Prune, &backup, Trigger::Schedule)
                    }));
                }
            }
        }
        if !new.is_empty() {
            self.enqueue(new).await?;
        }
        Ok(next.filter(|at| *at > now))
    }

    /// Makes a copy of a backup at another destination, by a run.
    ///
    /// # Errors
    /// [`FailureCode::InvalidInput`] where it is there already, [`FailureCode::NotFound`].
    pub async fn copy_to(&self, id: &BackupId, destination: &DestinationId) -> Result<RunId, Failure> {
        let backup = self.known_backup(id).await?;
        let now = self.0.clock.now();
        let row = self.destination(destination).await?;
        let known = backup
            .copies
            .iter()
            .find(|copy| copy.destination_id == *destination);
        if known.is_some_and(|copy| matches!(copy.state, CopyState::Present | CopyState::Deleting)) {
            return Err(Failure::new(
                FailureCode::InvalidInput,
                format!(
                    "This backup has a copy on {} already, or one that is being deleted.",
                    row.name
                ),
            ));
        }
        let source = best_copy(&backup)
            .ok_or_else(|| Failure::new(FailureCode::BackupNotFound, "There is no copy to copy from."))?;
        if let Some(same) = backup.copies.iter().find(|copy| {
            copy.is_there() && copy.destination_id != row.id && copy.place.same_storage(&row.place)
        }) {
            return Err(Failure::new(
                FailureCode::InvalidInput,
                format!(
                    "{} and {} are the same storage: the copy there is the one that is there.",
                    row.name, same.destination_name
                ),
            ));
        }
        let wanted = BackupCopy {
            path: source.path.clone(),
            ..BackupCopy::wanted(row.id.clone(), row.place.clone(), source.path.clone(), None, now)
        };
        let (id, again) = (id.clone(), known.is_some());
        self.0
            .store
            .write(move |tx| {
                if again {
                    backups::update_copy(tx, &id, &wanted)
                } else {
                    backups::insert_copy(tx, &id, &wanted)
                }
            })
            .await
            .or_failure()?;
        self.record_now(RunKind::Copy, &backup).await
    }

    /// Deletes one copy of a backup, by a run. Of the last good copy that is refused unless `even_the_last`.
    ///
    /// # Errors
    /// [`FailureCode::InvalidInput`] for the last good copy, [`FailureCode::NotFound`].
    pub async fn delete_copy(
        &self,
        id: &BackupId,
        destination: &DestinationId,
        even_the_last: bool,
    ) -> Result<RunId, Failure> {
        let backup = self.known_backup(id).await?;
        let Some(copy) = backup
            .copies
            .iter()
            .find(|copy| copy.destination_id == *destination)
        else {
            return Err(Failure::new(FailureCode::NotFound, "There is no such copy."));
        };
        let others = backup
            .copies
            .iter()
            .any(|other| other.state == CopyState::Present && other.destination_id != *destination);
        if !others && !even_the_last {
            return Err(Failure::new(
                FailureCode::InvalidInput,
                "This is the last good copy of this backup: with it the backup is gone.",
            )
            .hint("Confirm it by the database's name, or make another copy first."));
        }
        let now = self.0.clock.now();
        let deleting = deleting(copy, now);
        let wanted = id.clone();
        self.0
            .store
            .write(move |tx| backups::update_copy(tx, &wanted, &deleting))
            .await
            .or_failure()?;
        self.record_now(RunKind::Prune, &backup).await
    }

    async fn record_now(&self, kind: RunKind, backup: &Backup) -> Result<RunId, Failure> {
        let run = self.new_run(subject(kind, backup, Trigger::Manual));
        let id = run.id.clone();
        self.enqueue(vec![run]).await?;
        self.tell_copies(backup);
        Ok(id)
    }

    /// Makes every copy of the run's backup that is due.
    pub(super) async fn make_copies(
        &self,
        run: &Run,
        recording: &Recording,
        cancel: &CancellationToken,
    ) -> Result<Made, Failure> {
        let backup = self.backup_of(run).await?;
        let now = self.0.clock.now();
        let wanted: Vec<BackupCopy> = backup
            .copies
            .iter()
            .filter(|copy| is_due(copy, CopyState::Wanted, now))
            .cloned()
            .collect();
        let reporter = recording.reporter();
        let mut worst = None;
        for copy in wanted {
            reporter.info(format!("Making the copy on {}.", copy.destination_name));
            let made = self.make_copy(run, &backup, &copy, &reporter, cancel).await;
            if let Err(failure) = &made {
                if failure.is_cancelled() {
                    return Err(failure.clone());
                }
                reporter.warn(format!("{}: {}", copy.destination_name, failure.message));
            }
            worst = worst.or(self.record_copy(&backup.id, copy, made).await?);
        }
        self.tell_copies(&backup);
        worst.map_or_else(|| Ok(Made::default()), Err)
    }

    /// Makes one copy. The ledger has it from before the first byte until it is listed or gone.
    async fn make_copy(
        &self,
        run: &Run,
        backup: &Backup,
        wanted: &BackupCopy,
        reporter: &Arc<dyn Reporter>,
        cancel: &CancellationToken,
    ) -> Result<(BackupCopy, Vec<i64>), Failure> {
        let source = best_copy(backup)
            .ok_or_else(|| Failure::new(FailureCode::BackupNotFound, "No copy is left to copy from."))?;
        let row = self.destination(&wanted.destination_id).await?;
        let source = self.open_copy(source).await?;
        let target = StoredBackup::new(
            self.open_destination(&row).await?,
            &row.place,
            source.folder().clone(),
        );
        if let Some(checksums) = already_there(&source, &target, cancel).await? {
            return Ok((self.made_copy(&row, &source, checksums), Vec::new()));
        }
        // From here on what lies there is ours to remove, should this process die.
        let ledger = StoreLedger::new(self, Some(run.id.clone()), vec![row.place.clone()]);
        ledger.begin(&backup.id, source.folder()).await?;
        reporter.phase(Phase::Copying);
        let meter = CopyMeter::new(reporter, backup.stored_bytes);
        let copied = copy(&source, &target, &|bytes| meter.add(bytes), cancel).await;
        match copied {
            Ok(checksums) => Ok((self.made_copy(&row, &source, checksums), ledger.open_entries())),
            Err(failure) => {
                // Not the run's own token: the leavings must go although the run was cancelled.
                let removal = target
                    .destination()
                    .delete_folder(source.folder(), &self.0.ending);
                match tokio::time::timeout(LOOK_AGAIN, removal).await {
                    Ok(Ok(())) => ledger.removed(0).await?,
                    _ => ledger.keep(0),
                }
                Err(failure)
            }
        }
    }

    /// A copy as it is listed: every byte of it was compared with the manifest.
    fn made_copy(
        &self,
        row: &destinations::Destination,
        source: &StoredBackup,
        checksums: Checksums,
    ) -> BackupCopy {
        BackupCopy {
            checksums: some(checksums),
            looked_at: Some(self.0.clock.now()),
            ..Copied::present(row, source.folder())
        }
    }

    /// Writes down how making a copy went: that it is there, or when it is tried again. Answers the failure.
    async fn record_copy(
        &self,
        id: &BackupId,
        wanted: BackupCopy,
        made: Result<(BackupCopy, Vec<i64>), Failure>,
    ) -> Result<Option<Failure>, Failure> {
        let now = self.0.clock.now();
        let (copy, entries, failure) = match made {
            Ok((copy, entries)) => (copy, entries, None),
            Err(failure) => {
                let attempts = wanted.attempts.saturating_add(1);
                let again = BackupCopy {
                    attempts,
                    next_attempt_at: Some(decide::next_copy_attempt(attempts, now)),
                    failure: Some(failure.clone()),
                    ..wanted
                };
                (again, Vec::new(), Some(failure))
            }
        };
        let id = id.clone();
        self.0
            .store
            .write(move |tx| {
                backups::update_copy(tx, &id, &copy)?;
                entries
                    .into_iter()
                    .try_for_each(|number| howdah_store::tables::ledger::remove(tx, number))
            })
            .await
            .or_failure()?;
        Ok(failure)
    }

    /// Deletes every copy that is due to go: of the run's backup, or of all of its database's.
    pub(super) async fn delete_copies(
        &self,
        run: &Run,
        recording: &Recording,
        cancel: &CancellationToken,
    ) -> Result<Made, Failure> {
        let now = self.0.clock.now();
        let due = match (&run.backup_id, run.database_id.clone()) {
            (Some(_), _) => vec![self.backup_of(run).await?],
            (None, Some(database_id)) => self
                .0
                .store
                .read(move |c| backups::deleting_of(c, &database_id, now))
                .await
                .or_failure()?,
            (None, None) => Vec::new(),
        };
        let reporter = recording.reporter();
        reporter.phase(Phase::Deleting);
        let mut worst = None;
        let mut going = Vec::new();
        for backup in &due {
            for copy in &backup.copies {
                if is_due(copy, CopyState::Deleting, now) {
                    going.push((backup, copy));
                }
            }
        }
        for (backup, copy) in going {
            let deleted = self.delete_files(copy, cancel).await;
            let (id, destination_id) = (backup.id.clone(), copy.destination_id.clone());
            match deleted {
                Ok(()) => {
                    reporter.info(format!(
                        "Deleted the copy of {} on {}.",
                        backup.started_at, copy.destination_name
                    ));
                    self.0
                        .store
                        .write(move |tx| backups::remove_copy(tx, &id, &destination_id))
                        .await
                        .or_failure()?;
                }
                Err(failure) if failure.is_cancelled() => return Err(failure),
                Err(failure) => {
                    reporter.warn(format!("{}: {}", copy.destination_name, failure.message));
                    let attempts = copy.attempts.saturating_add(1);
                    let again = BackupCopy {
                        attempts,
                        next_attempt_at: Some(decide::next_copy_attempt(attempts, now)),
                        failure: Some(failure.clone()),
                        ..copy.clone()
                    };
                    self.0
                        .store
                        .write(move |tx| backups::update_copy(tx, &id, &again))
                        .await
                        .or_failure()?;
                    worst.get_or_insert(failure);
                }
            }
        }
        if let Some(backup) = due.first() {
            self.tell_copies(backup);
        }
        worst.map_or_else(|| Ok(Made::default()), Err)
    }

    async fn delete_files(&self, copy: &BackupCopy, cancel: &CancellationToken) -> Result<(), Failure> {
        let row = self.destination(&copy.destination_id).await?;
        let destination = self.open_destination(&row).await?;
        let folder = ObjectPath::new(copy.path.clone()).or_failure()?;
        destination.delete_folder(&folder, cancel).await.or_failure()
    }

    pub(super) async fn backup_of(&self, run: &Run) -> Result<Backup, Failure> {
        match &run.backup_id {
            Some(id) => self.known_backup(id).await,
            None => Err(Failure::new(FailureCode::Internal, "The run names no backup.")),
        }
    }

    /// A configured destination.
    pub(crate) async fn destination(&self, id: &DestinationId) -> Result<destinations::Destination, Failure> {
        let id = id.clone();
        self.0
            .store
            .read(move |c| destinations::get(c, &id))
            .await
            .or_failure()?
            .ok_or_else(|| Failure::new(FailureCode::NotFound, "This destination was removed."))
    }

    fn tell_copies(&self, backup: &Backup) {
        self.0.events.send(Event::Backups {
            database_id: backup.database_id.clone(),
        });
    }
}

/// A copy that is to go, from now on.
pub(crate) fn deleting(copy: &BackupCopy, now: Timestamp) -> BackupCopy {
    BackupCopy {
        state: CopyState::Deleting,
        attempts: 0,
        next_attempt_at: Some(now),
        failure: None,
        ..copy.clone()
    }
}

fn is_due(copy: &BackupCopy, state: CopyState, now: Timestamp) -> bool {
    copy.state == state && copy.next_attempt_at.is_none_or(|at| at <= now)
}

pub(crate) fn subject(kind: RunKind, backup: &Backup, trigger: Trigger) -> Subject {
    Subject {
        kind,
        trigger,
        plan_id: None,
        occurrence: None,
        database_id: Some(backup.database_id.clone()),
        database_name: backup.database_name.clone(),
        server_name: backup.server_name.clone(),
        backup_id: Some(backup.id.clone()),
    }
}

fn some(checksums: Checksums) -> Option<Checksums> {
    (!checksums.is_empty()).then_some(checksums)
}

/// Tells how far a copy is, at most once a tick.
struct CopyMeter<'a> {
    reporter: &'a Arc<dyn Reporter>,
    expected: u64,
    copied: AtomicU64,
    told: std::sync::Mutex<(Rate, Option<Instant>)>,
}

impl<'a> CopyMeter<'a> {
    fn new(reporter: &'a Arc<dyn Reporter>, expected: u64) -> Self {
        Self {
            reporter,
            expected,
            copied: AtomicU64::new(0),
            told: std::sync::Mutex::new((Rate::new(Instant::now()), None)),
        }
    }

    fn add(&self, bytes: u64) {
        let copied = self.copied.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let now = Instant::now();
        let mut told = crate::engine::lock(&self.told);
        if told.1.is_some_and(|last| now - last < TICK) && copied < self.expected {
            return;
        }
        told.1 = Some(now);
        let (bytes_per_second, elapsed_ms) = told.0.sample(now, copied);
        self.reporter.progress(Progress {
            raw_bytes: copied,
            raw_bytes_expected: Some(self.expected.max(copied)),
            stored_bytes: copied,
            bytes_per_second,
            elapsed_ms,
            ..Progress::default()
        });
    }
}
