//! The copies of a backup, one after the other until one of them does.

use std::collections::VecDeque;
use std::sync::Arc;

use howdah_domain::{Failure, FailureCode};
use howdah_store::tables::backups::{Backup, BackupCopy, CopyState};

use crate::work::Reporter;

/// A backup's copies that are there, the best one first: not known to be damaged, on this machine.
pub(crate) struct Copies {
    left: VecDeque<BackupCopy>,
    first: Option<Failure>,
}

impl Copies {
    pub(crate) fn of(backup: &Backup) -> Self {
        let mut copies: Vec<BackupCopy> = backup
            .copies
            .iter()
            .filter(|copy| copy.is_there())
            .cloned()
            .collect();
        copies.sort_by_key(|copy| (copy.state != CopyState::Present, !copy.place.is_local()));
        Self {
            left: copies.into(),
            first: None,
        }
    }

    pub(crate) fn next(&mut self) -> Option<BackupCopy> {
        self.left.pop_front()
    }

    /// Goes on to the next copy, and says why.
    ///
    /// # Errors
    /// The failure itself where it is the last copy; where somebody cancelled.
    pub(crate) fn give_up(
        &mut self,
        copy: &BackupCopy,
        failure: Failure,
        reporter: &Arc<dyn Reporter>,
    ) -> Result<(), Failure> {
        if self.left.is_empty() || failure.is_cancelled() {
            return Err(failure);
        }
        reporter.warn(format!(
            "The copy on {} is of no use: {} Another one is tried.",
            copy.destination_name, failure.message
        ));
        self.first.get_or_insert(failure);
        Ok(())
    }

    pub(crate) fn none_left(self) -> Failure {
        self.first.unwrap_or_else(|| {
            Failure::new(
                FailureCode::BackupNotFound,
                "No copy of this backup is there any more.",
            )
            .hint("Its page says what became of each copy.")
        })
    }
}

/// Whether a failure of a restore, in which a server has its part too, is the copy's, so that another may do.
pub(crate) fn is_about_the_copy(failure: &Failure) -> bool {
    matches!(
        failure.code,
        FailureCode::BackupDamaged
            | FailureCode::BackupUnreadable
            | FailureCode::BackupNotFound
            | FailureCode::DestinationMissing
            | FailureCode::DestinationDenied
            | FailureCode::DestinationUnreachable
            | FailureCode::DestinationFailed
            | FailureCode::SignInNeeded
    )
}
