//! A verification run: reads a copy back, and records what was found with the copy.

use howdah_domain::{BackupId, Failure, FailureCode, RunId, Trigger};
use howdah_store::tables::backups::{self, BackupCopy, CopyState};
use howdah_store::tables::runs::Run;
use tokio_util::sync::CancellationToken;

use super::{Made, Recording};
use crate::api::Event;
use crate::engine::{Engine, OrFailure};
use crate::integrity::{Finding, check};

/// Whether a failure is about the bytes of a copy, not about the way to it.
pub(crate) fn says_damaged(failure: &Failure) -> bool {
    matches!(
        failure.code,
        FailureCode::BackupDamaged | FailureCode::BackupUnreadable | FailureCode::BackupNotFound
    )
}

impl Engine {
    /// Records a run that reads a backup back.
    pub async fn verify_backup(&self, id: &BackupId) -> Result<RunId, Failure> {
        let backup = self.known_backup(id).await?;
        let run = self.new_run(check(&backup, Trigger::Manual));
        let id = run.id.clone();
        self.enqueue(vec![run]).await?;
        Ok(id)
    }

    /// Checks every copy of the run's backup: asked for by a person, each is read in full.
    pub(super) async fn verify(
        &self,
        run: &Run,
        recording: &Recording,
        cancel: &CancellationToken,
    ) -> Result<Made, Failure> {
        let backup = self.backup_of(run).await?;
        let reporter = recording.reporter();
        let by_reading = run.trigger != Trigger::Schedule || self.settings().await.verify_by_reading;
        let mut found = Vec::new();
        for copy in &backup.copies {
            if copy.is_there() || copy.state == CopyState::Missing {
                let finding = self.examine(copy, by_reading, &reporter, cancel).await?;
                found.push((copy, finding));
            }
        }
        let whole: Vec<&BackupCopy> = found
            .iter()
            .filter(|(_, finding)| *finding == Finding::Whole)
            .map(|(copy, _)| *copy)
            .collect();
        let source = whole.first().map(|copy| copy.destination_name.clone());
        let mut worst = None;
        for (copy, finding) in found {
            let failure = self
                .keep_finding(&backup.id, copy, finding, source.as_deref())
                .await?;
            if let Some(failure) = &failure {
                reporter.error(&failure.message);
            }
            // That a copy is damaged is worse than that one could not be asked.
            worst = match (worst, failure) {
                (Some(before), Some(now)) if says_damaged(&now) && !says_damaged(&before) => Some(now),
                (before, now) => before.or(now),
            };
        }
        self.0.copies_changed.notify_one();
        self.0.events.send(Event::Backups {
            database_id: backup.database_id,
        });
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
