//! Where passwords are kept: the desktop's keyring, or a file that a passphrase encrypts. Nowhere else.
//!
//! SQLite holds references (names) only. Which of the two is used is the user's clear choice: nothing here falls back from
//! one to the other, and nothing is ever kept in plain text.

mod passphrase_file;
mod secret_service;

#[cfg(any(test, feature = "testing"))]
mod memory;

use async_trait::async_trait;
use howdah_domain::Secret;
use tokio_util::sync::CancellationToken;

use crate::Result;

#[cfg(any(test, feature = "testing"))]
pub use memory::MemorySecrets;
pub use passphrase_file::{PASSPHRASE_VARIABLE, PassphraseFile};
pub use secret_service::SecretService;

/// Whether passwords can be kept and read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyringState {
    /// They can.
    Open,
    /// It asks for its own password first.
    Locked,
    /// There is none.
    Absent,
}

/// Keeps passwords under references. Every call ends within some seconds, but for [`SecretStore::unlock`], which waits for a person.
#[async_trait]
pub trait SecretStore: Send + Sync {
    /// The secret of that name; `None` where there is none.
    ///
    /// # Errors
    /// [`Error::KeyringLocked`](crate::Error::KeyringLocked), [`Error::KeyringAbsent`](crate::Error::KeyringAbsent),
    /// [`Error::KeyringSilent`](crate::Error::KeyringSilent), [`Error::Keyring`](crate::Error::Keyring). No dialog is shown.
    async fn get(&self, reference: &str) -> Result<Option<Secret>>;

    /// Keeps a secret under a name, in place of what was there. `label` is what a person sees in the keyring's own program:
    /// the server's name.
    ///
    /// # Errors
    /// As [`SecretStore::get`].
    async fn set(&self, reference: &str, label: &str, secret: &Secret) -> Result<()>;

    /// Removes a secret; does nothing where there is none.
    ///
    /// # Errors
    /// As [`SecretStore::get`].
    async fn delete(&self, reference: &str) -> Result<()>;

    /// Whether secrets can be read and kept now. Asks each time: a keyring may come, go, be locked and unlocked.
    async fn state(&self) -> KeyringState;

    /// Asks the person to unlock the keyring: a dialog of the desktop appears. Returns the state afterwards. Call it only on a
    /// person's own request.
    ///
    /// # Errors
    /// As [`SecretStore::get`]; [`Error::Cancelled`](crate::Error::Cancelled) where the token is cancelled (the
    /// dialog stays until it is answered).
    async fn unlock(&self, cancel: &CancellationToken) -> Result<KeyringState>;
}
