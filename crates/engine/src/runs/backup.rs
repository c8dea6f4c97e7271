//! A backup run: from the plan and the keyring to a listed backup.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use howdah_archive::EncodeOptions;
use howdah_domain::{BackupId, DatabaseId, DestinationId, Failure, FailureCode, Plan, RunId, Selection};
use howdah_storage::{Folder, ObjectPath};
use howdah_store::tables::backups::{self, Backup, BackupCopy, CopyState};
use howdah_store::tables::destinations::{self, Destination};
use howdah_store::tables::runs::Run;
use howdah_store::tables::{databases, ledger, plans};
use tokio_util::sync::CancellationToken;

use super::{Made, Recording};
use crate::backup::{BackupRequest, Finished, Ledger, back_up};
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
        let secret = self.password(&server).await?;
        let destination = self.plan_destination(&plan).await?;
        let settings = self.settings().await;
        let folder = Folder::new(&destination.root);
        let request = BackupRequest {
            server_name: server.server.name.clone(),
            connection: server.server.connection.with_database(&database.name),
            secret,
            selection: plan.selection.clone(),
            globals: plan.globals,
            encode: EncodeOptions {
                level: plan.level,
                ..EncodeOptions::default()
            },
            patience: Duration::from_secs(u64::from(settings.stall_minutes) * 60),
            lock_wait: Duration::from_secs(u64::from(settings.lock_wait_seconds)),
            expected_raw_bytes: newest
                .filter(|_| plan.selection == Selection::default())
                .map(|backup| backup.raw_bytes),
            destination: Arc::new(folder),
        };
        let ledger = StoreLedger::new(self, Some(run.id.clone()), destination.root.clone());
        let reporter = recording.reporter();
        let finished = back_up(
            &request,
            &self.0.programs,
            &ledger,
            &reporter,
            &*self.0.clock,
            cancel,
        )
        .await?;
        let number = ledger.number().ok_or_else(|| {
            Failure::new(
                FailureCode::Internal,
                "The backup was written without an entry in the ledger.",
            )
        })?;
        reporter.info(format!(
            "Stored in {}.",
            destination.root.join(finished.folder.as_str()).display()
        ));
        let backup = listed(database_id, Some(run.id.clone()), &finished, &destination.id);
        Ok(Made {
            backup: Some((backup, number)),
        })
    }

    /// Where a plan writes to. The folder is prepared when the plan is saved, and is not made again here.
    async fn plan_destination(&self, plan: &Plan) -> Result<Destination, Failure> {
        let none = || {
            Failure::new(FailureCode::DestinationMissing, "The plan has no destination.")
                .hint("Choose a folder for it on the database's page.")
        };
        let id = plan.destinations.first().cloned().ok_or_else(none)?;
        let found = self
            .0
            .store
            .read(move |c| destinations::get(c, &id))
            .await
            .or_failure()?;
        found.ok_or_else(none)
    }

    /// A backup as the store has it.
    pub(crate) async fn backup_row(&self, id: &BackupId) -> Result<Option<Backup>, howdah_store::Error> {
        let id = id.clone();
        self.0.store.read(move |c| backups::get(c, &id)).await
    }
}

/// A finished backup as the catalogue lists it.
pub(crate) fn listed(
    database_id: DatabaseId,
    run_id: Option<RunId>,
    finished: &Finished,
    destination_id: &DestinationId,
) -> Backup {
    let manifest = &finished.manifest;
    Backup {
        id: manifest.id.clone(),
        database_id,
        run_id,
        database_name: manifest.database.clone(),
        server_name: manifest.server.name.clone(),
        started_at: manifest.started_at,
        finished_at: manifest.finished_at,
        raw_bytes: manifest.raw_bytes,
        stored_bytes: finished.stored_bytes,
        tables: manifest.tables,
        rows: manifest.rows,
        server_version: manifest.server.version.clone(),
        client_version: manifest.client.version.clone(),
        copies: vec![BackupCopy {
            destination_id: destination_id.clone(),
            destination_name: String::new(),
            root: PathBuf::new(),
            path: finished.folder.to_string(),
            state: CopyState::Present,
            verified_at: None,
            failure: None,
        }],
    }
}

/// The ledger in the store.
pub(crate) struct StoreLedger {
    engine: Engine,
    run_id: Option<RunId>,
    root: PathBuf,
    number: std::sync::Mutex<Option<i64>>,
}

impl StoreLedger {
    /// For one backup, below `root`.
    pub(crate) fn new(engine: &Engine, run_id: Option<RunId>, root: impl AsRef<Path>) -> Self {
        Self {
            engine: engine.clone(),
            run_id,
            root: root.as_ref().to_owned(),
            number: std::sync::Mutex::default(),
        }
    }

    /// The entry's number, once there is one.
    pub(crate) fn number(&self) -> Option<i64> {
        *lock(&self.number)
    }
}

#[async_trait]
impl Ledger for StoreLedger {
    async fn begin(&self, _id: &BackupId, folder: &ObjectPath) -> Result<(), Failure> {
        let store = &self.engine.0.store;
        let owner = store.owner().clone();
        let (run_id, root, path) = (self.run_id.clone(), self.root.clone(), folder.to_string());
        let now = self.engine.0.clock.now();
        let entry = store
            .write(move |tx| ledger::begin(tx, &owner, run_id.as_ref(), &root, &path, now))
            .await
            .or_failure()?;
        *lock(&self.number) = Some(entry.number);
        Ok(())
    }

    async fn removed(&self) -> Result<(), Failure> {
        let Some(number) = self.number() else {
            return Ok(());
        };
        self.engine
            .0
            .store
            .write(move |tx| ledger::remove(tx, number))
            .await
            .or_failure()
    }
}
