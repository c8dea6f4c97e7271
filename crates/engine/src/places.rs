//! From a configured destination, or a place that somebody names, to the destination there and the backups on it.

use std::sync::Arc;

use howdah_domain::{BackupId, Failure, FailureCode, Place, Secret};
use howdah_storage::{Destination, ObjectPath, Surroundings};
use howdah_store::tables::backups::{Backup, BackupCopy, CopyState};
use howdah_store::tables::destinations;

use crate::engine::{Engine, OrFailure};
use crate::stored::StoredBackup;

impl Engine {
    /// The destination that is configured as `row`, with its secret from the keyring. Nobody is asked yet whether it answers.
    pub(crate) async fn open_destination(
        &self,
        row: &destinations::Destination,
    ) -> Result<Arc<dyn Destination>, Failure> {
        let secret = match &row.secret_reference {
            Some(reference) => Some(self.secret(reference, &row.name).await?),
            None => None,
        };
        self.open_place(&row.place, secret.as_ref())
    }

    /// The destination at a place.
    pub(crate) fn open_place(
        &self,
        place: &Place,
        secret: Option<&Secret>,
    ) -> Result<Arc<dyn Destination>, Failure> {
        let surroundings = Surroundings {
            known_hosts: Some(self.known_hosts()),
        };
        howdah_storage::open_in(place, secret, &surroundings).or_failure()
    }

    /// The destination at a place: as it is configured, where it is; else without a secret.
    pub(crate) async fn open_known(&self, place: &Place) -> Result<Arc<dyn Destination>, Failure> {
        let wanted = place.clone();
        let known = self
            .0
            .store
            .read(move |c| destinations::by_place(c, &wanted))
            .await
            .or_failure()?;
        match known {
            Some(row) => self.open_destination(&row).await,
            None => self.open_place(place, None),
        }
    }

    /// A copy of a backup, to be read.
    pub(crate) async fn open_copy(&self, copy: &BackupCopy) -> Result<StoredBackup, Failure> {
        let destination = self.open_known(&copy.place).await?;
        let folder = ObjectPath::new(copy.path.clone()).or_failure()?;
        Ok(StoredBackup::new(destination, &copy.place, folder).with_keys(self.keys().await))
    }

    /// The copy of a known backup that is best read: one that is there and not known to be damaged, on this machine before
    /// elsewhere.
    ///
    /// # Errors
    /// [`FailureCode::BackupNotFound`] where no backup of that id is known, or no copy of it is there.
    pub async fn locate(&self, id: &BackupId) -> Result<StoredBackup, Failure> {
        let backup = self.known_backup(id).await?;
        match best_copy(&backup) {
            Some(copy) => self.open_copy(copy).await,
            None => Err(Failure::new(
                FailureCode::BackupNotFound,
                format!("No copy of the backup {id} is there any more."),
            )
            .hint("Connect its disk, or look at its page for what became of each copy.")),
        }
    }

    /// Puts a secret into the keyring, and answers its name there.
    pub(crate) async fn keep(
        &self,
        reference: String,
        label: String,
        secret: &Secret,
    ) -> Result<String, Failure> {
        self.0
            .secrets
            .set(&reference, &label, secret)
            .await
            .or_failure()?;
        self.secrets_changed().await?;
        Ok(reference)
    }

    async fn secret(&self, reference: &str, name: &str) -> Result<Secret, Failure> {
        self.0.secrets.get(reference).await.or_failure()?.ok_or_else(|| {
            Failure::new(
                FailureCode::DestinationDenied,
                format!("The keyring no longer holds what opens {name}."),
            )
            .hint("Enter it again on the destination's page.")
        })
    }
}

/// The copy to read: present before damaged, a local one first.
pub(crate) fn best_copy(backup: &Backup) -> Option<&BackupCopy> {
    backup
        .copies
        .iter()
        .filter(|copy| copy.is_there())
        .min_by_key(|copy| (copy.state != CopyState::Present, !copy.place.is_local()))
}
