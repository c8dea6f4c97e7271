//! A verification run: reads a copy back, and records what was found with the copy.

use howdah_domain::{BackupId, Failure, FailureCode, RunId, RunKind, Trigger};
use howdah_store::tables::backups::{self, CopyState};
use howdah_store::tables::runs::Run;
use tokio_util::sync::CancellationToken;

use super::{Made, Recording, Subject};
use crate::engine::{Engine, OrFailure};
use crate::verify::verify;

impl Engine {
    /// Records a run that reads a backup back.
    pub async fn verify_backup(&self, id: &BackupId) -> Result<RunId, Failure> {
        let backup = self.known_backup(id).await?;
        let run = self.new_run(Subject {
            kind: RunKind::Verify,
            trigger: Trigger::Manual,
            plan_id: None,
            occurrence: None,
            database_id: Some(backup.database_id),
            database_name: backup.database_name,
            server_name: backup.server_name,
            backup_id: Some(id.clone()),
        });
        let id = run.id.clone();
        self.enqueue(vec![run]).await?;
        Ok(id)
    }

    /// Verifies every copy of the run's backup.
    pub(super) async fn verify(
        &self,
        run: &Run,
        recording: &Recording,
        cancel: &CancellationToken,
    ) -> Result<Made, Failure> {
        let id = run
            .backup_id
            .clone()
            .ok_or_else(|| Failure::new(FailureCode::Internal, "The run names no backup."))?;
        let backup = self.known_backup(&id).await?;
        let reporter = recording.reporter();
        let mut worst = None;
        for copy in backup.copies {
            if !copy.is_there() && copy.state != CopyState::Missing {
                continue;
            }
            let stored = self.open_copy(&copy).await?;
            reporter.info(format!("Reading the copy in {}.", stored.name()));
            let (state, failure) = match verify(&stored, &reporter, cancel).await {
                Ok(report) => match report.to_failure() {
                    None => (CopyState::Present, None),
                    Some(failure) => (CopyState::Damaged, Some(failure)),
                },
                Err(failure) if failure.is_cancelled() => return Err(failure),
                Err(failure) => {
                    let missing = matches!(
                        failure.code,
                        FailureCode::BackupNotFound | FailureCode::DestinationMissing
                    );
                    (
                        if missing {
                            CopyState::Missing
                        } else {
                            CopyState::Damaged
                        },
                        Some(failure),
                    )
                }
            };
            let verified_at = failure.is_none().then(|| self.0.clock.now());
            let (id, destination_id, found) = (id.clone(), copy.destination_id, failure.clone());
            self.0
                .store
                .write(move |tx| {
                    backups::set_copy_state(tx, &id, &destination_id, state, verified_at, found.as_ref())
                })
                .await
                .or_failure()?;
            worst = worst.or(failure);
        }
        match worst {
            None => Ok(Made::default()),
            Some(failure) => Err(failure),
        }
    }

    /// A backup that the catalogue knows.
    pub(crate) async fn known_backup(&self, id: &BackupId) -> Result<backups::Backup, Failure> {
        self.backup_row(id).await.or_failure()?.ok_or_else(|| {
            Failure::new(
                FailureCode::BackupNotFound,
                format!("Howdah knows no backup {id}."),
            )
        })
    }
}
