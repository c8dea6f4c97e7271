//! Work on files and URLs without configuration, as the command line does it: recorded as runs, with the same ledger,
//! watchdog and checks as a plan's.

use std::sync::Arc;
use std::time::Duration;

use howdah_archive::encryption::Recipients;
use howdah_archive::{EncodeOptions, Index, Manifest, Report};
use howdah_domain::{
    Connection, DrillReport, Failure, FailureCode, InstanceId, Phase, Place, RunKind, RunState, Secret,
    Selection, Trigger,
};
use howdah_postgres::children::Parting;
use howdah_postgres::restore::Restored;
use howdah_store::tables::ledger;
use howdah_store::tables::runs::{self, Outcome, Run, Transition};
use tokio_util::sync::CancellationToken;

use crate::api::{InstanceView, LogLevel, RestoreOptions, RestoreWish};
use crate::backup::{BackupRequest, Target, back_up};
use crate::drill::DrillRequest;
use crate::engine::{Active, Engine, OrFailure};
use crate::instances::checked_name;
use crate::random;
use crate::restore::{RestoreRequest, restore};
use crate::runs::backup::StoreLedger;
use crate::runs::copies::subject;
use crate::runs::restore::IntoInstance;
use crate::runs::{Recording, Subject};
use crate::stored::StoredBackup;
use crate::work::Reporter;

/// A backup to be made from a URL into a folder.
#[derive(Debug, Clone)]
pub struct OneOffBackup {
    /// How to reach the database.
    pub connection: Connection,
    /// The password.
    pub secret: Option<Secret>,
    /// What of it.
    pub selection: Selection,
    /// Whether roles and other globals are saved too.
    pub globals: bool,
    /// To where, all in one pass; a folder is made where it is missing.
    pub to: Vec<OneOffPlace>,
    /// How to encode.
    pub encode: EncodeOptions,
    /// Who can read it; none is everybody who gets at the files.
    pub recipients: Option<Recipients>,
}

/// How a backup is restored into a new PostgreSQL on this machine.
#[derive(Debug, Clone)]
pub struct Here {
    /// What to call it; without it, after the backup.
    pub name: Option<String>,
    /// What of the backup, and how.
    pub options: RestoreOptions,
    /// Connections that load at once.
    pub jobs: usize,
}

/// Where a backup goes.
#[derive(Debug, Clone)]
pub struct OneOffPlace {
    /// The place.
    pub place: Place,
    /// What opens it, where it needs something that is not in the environment.
    pub secret: Option<Secret>,
}

/// A backup that was made.
#[derive(Debug, Clone)]
pub struct OneOffBackedUp {
    /// Where it lies: the first place that has it.
    pub stored: StoredBackup,
    /// Every place, in their order: where it lies there, or why it does not.
    pub copies: Vec<Result<String, Failure>>,
    /// What it is.
    pub manifest: Manifest,
    /// What is in it.
    pub index: Index,
    /// Bytes of all its files.
    pub stored_bytes: u64,
}

impl Engine {
    /// Backs up a database by its URL. `reporter` hears what the run's log hears.
    ///
    /// # Errors
    /// As a plan's backup; nothing is left of it then. Transient failures are not tried again: the caller decides.
    pub async fn back_up_once(
        &self,
        wanted: &OneOffBackup,
        reporter: Arc<dyn Reporter>,
        cancel: &CancellationToken,
    ) -> Result<OneOffBackedUp, Failure> {
        if let Some(twice) = twice(&wanted.to) {
            return Err(Failure::new(
                FailureCode::InvalidInput,
                format!("{twice} is named twice: one copy of a backup lies at one place."),
            ));
        }
        let (mut targets, mut places, mut away) = (Vec::new(), Vec::new(), Vec::new());
        for (number, to) in wanted.to.iter().enumerate() {
            let prepared = async {
                let destination = self.open_place(&to.place, to.secret.as_ref())?;
                destination.prepare(cancel).await.or_failure()?;
                Ok::<_, Failure>(destination)
            };
            match prepared.await {
                Ok(destination) => {
                    places.push(to.place.clone());
                    targets.push(Target {
                        name: destination.name(),
                        destination,
                    });
                }
                // One that is away keeps the others from nothing.
                Err(failure) if !failure.is_cancelled() => away.push((number, failure)),
                Err(failure) => return Err(failure),
            }
        }
        if targets.is_empty() {
            let first = away.into_iter().next().map(|(_, failure)| failure);
            return Err(first.unwrap_or_else(|| {
                Failure::new(FailureCode::InvalidInput, "It is not said where the backup goes.")
            }));
        }
        for (_, failure) in &away {
            reporter.warn(&failure.message);
        }
        let settings = self.settings().await;
        let request = BackupRequest {
            server_name: wanted.connection.server_name(),
            connection: wanted.connection.clone(),
            secret: wanted.secret.clone(),
            selection: wanted.selection.clone(),
            globals: wanted.globals,
            encode: wanted.encode,
            recipients: wanted.recipients.clone(),
            patience: Duration::from_secs(u64::from(settings.stall_minutes) * 60),
            lock_wait: Duration::from_secs(u64::from(settings.lock_wait_seconds)),
            expected_raw_bytes: None,
            targets: targets.clone(),
        };
        let subject = one_off(RunKind::Backup, &wanted.connection.database, &request.server_name);
        self.as_run(subject, reporter, cancel, async |run, reporter, cancel| {
            let ledger = StoreLedger::new(self, Some(run.id.clone()), places.clone());
            let finished = back_up(
                &request,
                &self.0.programs,
                &ledger,
                &reporter,
                &*self.0.clock,
                &cancel,
            )
            .await?;
            let entries = ledger.open_entries();
            self.0
                .store
                .write(move |tx| {
                    entries
                        .into_iter()
                        .try_for_each(|number| ledger::remove(tx, number))
                })
                .await
                .or_failure()?;
            let mut stored = None;
            let mut copies = Vec::new();
            for ((place, target), outcome) in places.iter().zip(targets).zip(finished.copies) {
                let lies = StoredBackup::new(target.destination, place, finished.folder.clone());
                copies.push(outcome.map(|_| lies.name()));
                if stored.is_none() && copies.last().is_some_and(Result::is_ok) {
                    stored = Some(lies);
                }
            }
            for (number, failure) in away {
                copies.insert(number.min(copies.len()), Err(failure));
            }
            Ok(OneOffBackedUp {
                stored: stored.ok_or_else(|| {
                    Failure::new(
                        FailureCode::Internal,
                        "The backup lies nowhere, and nobody said why.",
                    )
                })?,
                copies,
                manifest: finished.manifest,
                index: finished.index,
                stored_bytes: finished.stored_bytes,
            })
        })
        .await
    }

    /// Restores a backup into a URL.
    ///
    /// # Errors
    /// As [`restore`].
    pub async fn restore_once(
        &self,
        request: &RestoreRequest,
        reporter: Arc<dyn Reporter>,
        cancel: &CancellationToken,
    ) -> Result<Restored, Failure> {
        let subject = one_off(
            RunKind::Restore,
            &request.target.database,
            &request.target.server_name(),
        );
        self.as_run(subject, reporter, cancel, async |_, reporter, cancel| {
            Box::pin(restore(request, &self.0.programs, &reporter, &cancel)).await
        })
        .await
    }

    /// Restores a backup that the data directory knows to where a wish says, by what the data directory knows of that.
    ///
    /// # Errors
    /// As [`Engine::restore_backup`], and those of the run.
    pub async fn restore_wished_once(
        &self,
        wish: RestoreWish,
        reporter: Arc<dyn Reporter>,
        cancel: &CancellationToken,
    ) -> Result<(), Failure> {
        let (backup, asked) = self.asked(wish).await?;
        let subject = subject(RunKind::Restore, &backup, Trigger::Manual);
        self.as_run(subject, reporter, cancel, async |_, reporter, cancel| {
            Box::pin(self.restore_from_a_copy(&backup, &asked, &reporter, &cancel)).await
        })
        .await
    }

    /// Verifies a backup.
    ///
    /// # Errors
    /// As [`crate::verify::verify`]; damages are in the report, and make the run a failed one.
    pub async fn verify_once(
        &self,
        backup: &StoredBackup,
        reporter: Arc<dyn Reporter>,
        cancel: &CancellationToken,
    ) -> Result<Report, Failure> {
        let subject = one_off(RunKind::Verify, backup.folder().name(), "");
        let mut report = None;
        let whole = self
            .as_run(subject, reporter, cancel, async |_, reporter, cancel| {
                let found = crate::verify::verify(backup, &reporter, &cancel).await?;
                let failure = found.to_failure();
                report = Some(found);
                failure.map_or(Ok(()), Err)
            })
            .await;
        match (report, whole) {
            (Some(report), _) => Ok(report),
            (None, Err(failure)) => Err(failure),
            (None, Ok(())) => Err(Failure::new(
                FailureCode::Internal,
                "The verification ended without a report.",
            )),
        }
    }

    /// Restores a backup into a new PostgreSQL on this machine that goes on when this process has ended.
    ///
    /// # Errors
    /// As [`restore`]; what could be restored is kept where only some things could not be.
    pub async fn restore_here_once(
        &self,
        backup: &StoredBackup,
        here: Here,
        reporter: Arc<dyn Reporter>,
        cancel: &CancellationToken,
    ) -> Result<(InstanceView, Restored), Failure> {
        let name = here.name.as_deref().map(checked_name).transpose()?;
        let subject = one_off(RunKind::Restore, backup.folder().name(), "");
        let (id, restored) = self
            .as_run(subject, reporter, cancel, async |_, reporter, cancel| {
                let into = IntoInstance {
                    id: InstanceId::from_random(random::bytes()),
                    name,
                    options: here.options,
                    jobs: here.jobs,
                    parting: Parting::Stay,
                };
                Box::pin(self.restore_into_instance(backup, into, &reporter, &cancel)).await
            })
            .await?;
        Ok((self.instance_view(&id).await?, restored))
    }

    /// Proves a backup, or finds what differs, which makes the run a failed one. Where the data directory knows the backup, what was
    /// found is kept with it.
    ///
    /// # Errors
    /// What kept the drill from finding anything.
    pub async fn drill_once(
        &self,
        request: &DrillRequest,
        reporter: Arc<dyn Reporter>,
        cancel: &CancellationToken,
    ) -> Result<DrillReport, Failure> {
        let subject = one_off(RunKind::Drill, request.backup.folder().name(), "");
        let mut found = None;
        let proved = self
            .as_run(subject, reporter, cancel, async |run, reporter, cancel| {
                let report = Box::pin(self.drill(request, &reporter, &cancel)).await?;
                let verdict = self.keep_report(&run.id, &report).await?;
                found = Some(report);
                verdict.map_or(Ok(()), Err)
            })
            .await;
        match (found, proved) {
            (Some(report), _) => Ok(report),
            (None, Err(failure)) => Err(failure),
            (None, Ok(())) => Err(Failure::new(
                FailureCode::Internal,
                "The drill ended without a report.",
            )),
        }
    }

    /// Does a piece of work as a run of this process: recorded before it begins, its log kept, its end recorded.
    async fn as_run<T>(
        &self,
        subject: Subject,
        listener: Arc<dyn Reporter>,
        cancel: &CancellationToken,
        work: impl AsyncFnOnce(&Run, Arc<dyn Reporter>, CancellationToken) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let new = self.new_run(subject);
        let now = self.0.clock.now();
        let run = self
            .0
            .store
            .write(move |tx| {
                runs::insert(tx, &new)?;
                let working = RunState::Running {
                    phase: Phase::Connecting,
                };
                runs::transition(tx, &new.id, |_| true, working, now, &Outcome::default())
            })
            .await
            .or_failure()?
            .done()
            .ok_or_else(|| Failure::new(FailureCode::Internal, "The run could not be begun."))?;
        let cancel = cancel.child_token();
        let active = Active {
            cancel: cancel.clone(),
        };
        self.active().insert(run.id.clone(), active);
        self.0.active_changed.notify_one();
        self.tell_run(&run);
        let recording = Recording::start(self, &run.id);
        let both: Arc<dyn Reporter> = Arc::new(Both(recording.reporter(), listener));
        let ending = self.0.ending.clone();
        let stop = cancel.clone();
        let _watch = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(async move {
            ending.cancelled().await;
            stop.cancel();
        }));
        let outcome = work(&run, both, cancel).await;
        let to = match &outcome {
            Ok(_) => RunState::Succeeded,
            Err(failure) if failure.is_cancelled() => RunState::Cancelled,
            Err(_) => RunState::Failed,
        };
        let end = Outcome {
            failure: outcome.as_ref().err().cloned(),
            progress: Some(recording.finish().await),
            ..Outcome::default()
        };
        let (id, now) = (run.id.clone(), self.0.clock.now());
        let ended = self
            .0
            .store
            .write(move |tx| {
                runs::transition(
                    tx,
                    &id,
                    |state| matches!(state, RunState::Running { .. }),
                    to,
                    now,
                    &end,
                )
            })
            .await;
        self.leave(&run.id);
        match ended {
            Ok(Transition::Done(run)) => self.tell_run(&run),
            Ok(Transition::Refused(_)) => {}
            Err(error) => tracing::error!(%error, "the end of a run could not be recorded"),
        }
        outcome
    }
}

/// A place that is named more than once, in whatever words.
fn twice(to: &[OneOffPlace]) -> Option<String> {
    let real = |place: &Place| match place.as_folder() {
        Some(folder) => Place::folder(folder.canonicalize().unwrap_or_else(|_| folder.to_owned())),
        None => place.clone(),
    };
    let places: Vec<Place> = to.iter().map(|to| real(&to.place)).collect();
    places.iter().enumerate().find_map(|(number, place)| {
        let before = &places[..number];
        before
            .iter()
            .any(|other| other.same_storage(place))
            .then(|| place.to_string())
    })
}

fn one_off(kind: RunKind, database: &str, server: &str) -> Subject {
    Subject {
        kind,
        trigger: Trigger::CommandLine,
        plan_id: None,
        occurrence: None,
        database_id: None,
        database_name: database.to_owned(),
        server_name: server.to_owned(),
        backup_id: None,
    }
}

/// Two that hear the same.
struct Both(Arc<dyn Reporter>, Arc<dyn Reporter>);

impl Reporter for Both {
    fn phase(&self, phase: Phase) {
        self.0.phase(phase);
        self.1.phase(phase);
    }

    fn log(&self, level: LogLevel, text: &str) {
        self.0.log(level, text);
        self.1.log(level, text);
    }

    fn progress(&self, progress: howdah_domain::Progress) {
        self.0.progress(progress.clone());
        self.1.progress(progress);
    }
}
