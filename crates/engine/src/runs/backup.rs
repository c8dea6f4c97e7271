//! A backup run: from the plan and the keyring to a listed backup.

use std::time::Duration;

use async_trait::async_trait;
use howdah_archive::{EncodeOptions, Manifest};
use howdah_domain::{
    BackupId, DatabaseId, Failure, FailureCode, Place, Plan, RunId, Selection, SkipReason, Trigger,
};
use howdah_storage::ObjectPath;
use howdah_store::tables::backups::{self, Backup, BackupCopy, BackupEncryption};
use howdah_store::tables::destinations::{self, Destination};
use howdah_store::tables::runs::Run;
use howdah_store::tables::{databases, ledger, plans};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::sharing::{Asked, Share};
use super::{Made, Recording};
use crate::backup::{BackupRequest, Ledger, Target, back_up};
use crate::claims::Due;
use crate::decide;
use crate::engine::{Engine, OrFailure, lock};

impl Engine {
    /// Makes the backup that a run is for.
    pub(super) async fn back_up(
        &self,
        run: &Run,
        recording: &Recording,
        cancel: &CancellationToken,
    ) -> Result<Made, Failure> {
        let gone = |what: &str| {
            Failure::new(
                FailureCode::NotFound,
                format!("{what} was removed before the run began."),
            )
        };
        let database_id = run.database_id.clone().ok_or_else(|| gone("The database"))?;
        let plan_id = run.plan_id.clone().ok_or_else(|| gone("The plan"))?;
        let (plan, database, newest) = {
            let database_id = database_id.clone();
            self.0
                .store
                .read(move |c| {
                    Ok((
                        plans::get(c, &plan_id)?,
                        databases::get(c, &database_id)?,
                        backups::newest_good(c, &database_id)?,
                    ))
                })
                .await
                .or_failure()?
        };
        let plan = plan.ok_or_else(|| gone("The plan"))?;
        let database = database.ok_or_else(|| gone("The database"))?;
        let server = self.server(&database.server_id).await?;
        let reporter = recording.reporter();
        let (there, away) = self.plan_targets(&plan).await?;
        for (destination, failure) in &away {
            reporter.warn(format!(
                "{} is left out for now: {}",
                destination.name, failure.message
            ));
        }
        if there.is_empty() {
            let first = away.into_iter().next().map(|(_, failure)| failure);
            return Err(first.unwrap_or_else(no_destination));
        }
        let settings = self.settings().await;
        let secrets = self.secrets_of(&server).await?;
        let reach = self
            .reach(&server.server.connection, secrets.ssh.as_ref(), cancel)
            .await?;
        if let Some(tunnel) = &server.server.connection.tunnel {
            reporter.info(format!("The SSH tunnel by {} is open.", tunnel.host));
        }
        let connection = reach.connection().with_database(&database.name);
        let mut held = None;
        if run.trigger == Trigger::Schedule {
            let mut due = Due {
                plan: &plan,
                server: &server.server.name,
                database: &database.name,
                identity: String::new(),
                at: run.due_at.unwrap_or(run.queued_at),
            };
            let asked = Asked {
                run,
                connection: &connection,
                password: secrets.password.as_ref(),
                there: &there,
                reporter: &reporter,
            };
            match self.share(asked, &mut due, cancel).await {
                Ok(Share::Ours(ours)) => held = ours,
                Ok(Share::Left(theirs)) => {
                    reporter.info(format!(
                        "{} makes this backup: it took it at {}. Nothing is to be done here.",
                        theirs.machine.name, theirs.at
                    ));
                    return Ok(Made {
                        skipped: Some(SkipReason::OtherMachine),
                        ..Made::default()
                    });
                }
                Err(failure) => return Err(reach.judge(failure).await),
            }
        }
        let making = async {
            let request = BackupRequest {
                server_name: server.server.name.clone(),
                connection,
                secret: secrets.password,
                selection: plan.selection.clone(),
                globals: plan.globals,
                encode: EncodeOptions {
                    level: plan.level,
                    ..EncodeOptions::default()
                },
                recipients: self.recipients(&plan).await?,
                patience: Duration::from_secs(u64::from(settings.stall_minutes) * 60),
                lock_wait: Duration::from_secs(u64::from(settings.lock_wait_seconds)),
                expected_raw_bytes: newest
                    .filter(|_| plan.selection == Selection::default())
                    .map(|backup| backup.raw_bytes),
                targets: there.iter().map(|(_, target)| target.clone()).collect(),
            };
            let places = there.iter().map(|(row, _)| row.place.clone()).collect();
            let ledger = StoreLedger::new(self, Some(run.id.clone()), places);
            let finished = back_up(
                &request,
                &self.0.programs,
                &ledger,
                &reporter,
                &*self.0.clock,
                cancel,
            )
            .await?;
            let now = self.0.clock.now();
            let mut copies = Vec::new();
            for ((row, target), outcome) in there.iter().zip(&finished.copies) {
                copies.push(match outcome {
                    Ok(checksums) => {
                        reporter.info(format!("Stored at {}.", target.name));
                        BackupCopy {
                            checksums: (!checksums.is_empty()).then(|| checksums.clone()),
                            ..Copied::present(row, &finished.folder)
                        }
                    }
                    Err(failure) => Copied::wanted(row, &finished.folder, failure, now),
                });
            }
            for (row, failure) in &away {
                copies.push(Copied::wanted(row, &finished.folder, failure, now));
            }
            let backup = listed(
                database_id,
                Some(run.id.clone()),
                &finished.manifest,
                finished.stored_bytes,
                copies,
            );
            Ok(Made {
                backup: Some((backup, ledger.open_entries())),
                skipped: None,
            })
        };
        let made: Result<Made, Failure> = Box::pin(making).await;
        match made {
            Ok(made) => Ok(made),
            Err(failure) => {
                let failure = reach.judge(failure).await;
                let tried_again = decide::next_attempt(&failure, run.attempt, self.0.clock.now()).is_some();
                if let Some(held) = held.filter(|_| !tried_again) {
                    // Another machine may make it.
                    held.give_up().await;
                }
                Err(failure)
            }
        }
    }

    /// The plan's destinations: those that can be opened, and those that cannot with the reason. Places are prepared when they are
    /// chosen, and are not made again here.
    async fn plan_targets(
        &self,
        plan: &Plan,
    ) -> Result<(Vec<(Destination, Target)>, Vec<(Destination, Failure)>), Failure> {
        let ids = plan.destinations.clone();
        let rows = self
            .0
            .store
            .read(move |c| {
                ids.iter()
                    .map(|id| destinations::get(c, id))
                    .collect::<Result<Vec<_>, _>>()
            })
            .await
            .or_failure()?;
        let (mut there, mut away) = (Vec::new(), Vec::new());
        for row in rows.into_iter().flatten() {
            match self.open_destination(&row).await {
                Ok(destination) => {
                    let name = row.name.clone();
                    there.push((row, Target { name, destination }));
                }
                Err(failure) => away.push((row, failure)),
            }
        }
        Ok((there, away))
    }

    /// A backup as the store has it.
    pub(crate) async fn backup_row(&self, id: &BackupId) -> Result<Option<Backup>, howdah_store::Error> {
        let id = id.clone();
        self.0.store.read(move |c| backups::get(c, &id)).await
    }
}

fn no_destination() -> Failure {
    Failure::new(FailureCode::DestinationMissing, "The plan has no destination.")
        .hint("Choose one for it on the database's page.")
}

/// Copies as the catalogue lists them.
pub(crate) struct Copied;

impl Copied {
    /// One whose manifest is in place.
    pub(crate) fn present(row: &Destination, folder: &ObjectPath) -> BackupCopy {
        BackupCopy::present(row.id.clone(), row.place.clone(), folder.to_string())
    }

    /// One that dropped out of the pass: it is made from another one later.
    pub(crate) fn wanted(
        row: &Destination,
        folder: &ObjectPath,
        failure: &Failure,
        now: Timestamp,
    ) -> BackupCopy {
        let at = decide::next_copy_attempt(1, now);
        let failure = Some(failure.clone());
        BackupCopy {
            attempts: 1,
            ..BackupCopy::wanted(row.id.clone(), row.place.clone(), folder.to_string(), failure, at)
        }
    }
}

/// A backup as the catalogue lists it.
pub(crate) fn listed(
    database_id: DatabaseId,
    run_id: Option<RunId>,
    manifest: &Manifest,
    stored_bytes: u64,
    copies: Vec<BackupCopy>,
) -> Backup {
    Backup {
        id: manifest.id.clone(),
        database_id,
        run_id,
        database_name: manifest.database.clone(),
        server_name: manifest.server.name.clone(),
        started_at: manifest.started_at,
        finished_at: manifest.finished_at,
        raw_bytes: manifest.raw_bytes,
        stored_bytes,
        tables: manifest.tables,
        rows: manifest.rows,
        server_version: manifest.server.version.clone(),
        client_version: manifest.client.version.clone(),
        pinned: false,
        encryption: manifest.encryption.as_ref().map(|encryption| BackupEncryption {
            age_recipients: encryption.age_recipients.clone(),
            age_passphrase: encryption.age_passphrase,
        }),
        proof: None,
        copies,
    }
}

/// The ledger in the store: an entry for each place of the pass.
pub(crate) struct StoreLedger {
    engine: Engine,
    run_id: Option<RunId>,
    places: Vec<Place>,
    /// The entry of each place, while there is one.
    entries: std::sync::Mutex<Vec<Option<i64>>>,
}

impl StoreLedger {
    /// For one backup at these places, in the order of its targets.
    pub(crate) fn new(engine: &Engine, run_id: Option<RunId>, places: Vec<Place>) -> Self {
        Self {
            engine: engine.clone(),
            run_id,
            entries: std::sync::Mutex::new(vec![None; places.len()]),
            places,
        }
    }

    /// The entries of copies that are in place, to be closed with their listing.
    pub(crate) fn open_entries(&self) -> Vec<i64> {
        lock(&self.entries).iter().copied().flatten().collect()
    }
}

#[async_trait]
impl Ledger for StoreLedger {
    async fn begin(&self, _id: &BackupId, folder: &ObjectPath) -> Result<(), Failure> {
        let store = &self.engine.0.store;
        let owner = store.owner().clone();
        let (run_id, places, path) = (self.run_id.clone(), self.places.clone(), folder.to_string());
        let now = self.engine.0.clock.now();
        let begun = store
            .write(move |tx| {
                places
                    .iter()
                    .map(|place| ledger::begin(tx, &owner, run_id.as_ref(), place, &path, now))
                    .collect::<Result<Vec<_>, _>>()
            })
            .await
            .or_failure()?;
        *lock(&self.entries) = begun.into_iter().map(|entry| Some(entry.number)).collect();
        Ok(())
    }

    async fn removed(&self, target: usize) -> Result<(), Failure> {
        let Some(number) = lock(&self.entries).get(target).copied().flatten() else {
            return Ok(());
        };
        self.engine
            .0
            .store
            .write(move |tx| ledger::remove(tx, number))
            .await
            .or_failure()?;
        lock(&self.entries)[target] = None;
        Ok(())
    }

    fn keep(&self, target: usize) {
        lock(&self.entries)[target] = None;
    }
}
