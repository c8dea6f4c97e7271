//! The desktop's keyring over the freedesktop Secret Service (gnome-keyring, KWallet, KeePassXC).
//!
//! Before each call the default collection is asked whether it is locked: the library would otherwise pop up a dialog and block
//! until somebody answers it. Calls block, so they run on threads with a time limit; plain threads rather than the
//! runtime's blocking ones, for which a runtime waits when it ends: a keyring that hangs must not keep Howdah from quitting. A
//! connection that failed is never kept: a keyring that was not there at login, or whose daemon was restarted, works
//! as soon as it is back.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use howdah_domain::Secret;
use keyring_core::{Entry, api::CredentialStoreApi};
use tokio::sync::{Semaphore, oneshot};
use tokio_util::sync::CancellationToken;
use zbus_secret_service_keyring_store::{Store as KeyringStore, cred::Specifier};

use super::{KeyringState, SecretStore};
use crate::{Error, Result};

/// The attribute `service` of every item of ours.
const SERVICE: &str = "howdah";

/// How long a call may take in all.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long a single question to the bus may take.
const QUESTION: Duration = Duration::from_secs(5);

/// Calls at once. A call whose keyring never answers keeps its thread; this bounds how many can be lost that way.
const CALLS: usize = 4;

const BUS_NAME: &str = "org.freedesktop.secrets";
const DEFAULT_COLLECTION: &str = "/org/freedesktop/secrets/aliases/default";

/// The Secret Service of the session bus. Items are labelled `Howdah: <server name>` and carry the attributes
/// `service=howdah` and `username=<reference>`.
#[derive(Clone)]
pub struct SecretService {
    store: Arc<Mutex<Option<Arc<KeyringStore>>>>,
    calls: Arc<Semaphore>,
    /// Held while a dialog waits for the person.
    dialog: Arc<Semaphore>,
    timeout: Duration,
}

impl Default for SecretService {
    fn default() -> Self {
        Self {
            store: Arc::default(),
            calls: Arc::new(Semaphore::new(CALLS)),
            dialog: Arc::new(Semaphore::new(1)),
            timeout: TIMEOUT,
        }
    }
}

impl std::fmt::Debug for SecretService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretService")
    }
}

impl SecretService {
    /// The session bus's keyring. Connects when it is first asked for something.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs a blocking call on a thread of its own, and gives up waiting after the time limit.
    async fn blocking<T, F>(&self, call: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T> + Send + 'static,
    {
        let silent = || Error::KeyringSilent {
            seconds: self.timeout.as_secs(),
        };
        let calls = Arc::clone(&self.calls);
        let work = async move {
            let permit = calls
                .acquire_owned()
                .await
                .map_err(|_| Error::Stopped("the keyring is closed"))?;
            on_a_thread(move || {
                let _permit = permit;
                call()
            })
            .await
        };
        tokio::time::timeout(self.timeout, work)
            .await
            .unwrap_or_else(|_| {
                // The store is held by the call that hangs: the next one makes another.
                self.forget();
                Err(silent())
            })
    }

    /// Runs a call on the store where the keyring is open. An error of the connection gets one more try on a new one.
    async fn with_store<T, F>(&self, call: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&KeyringStore) -> keyring_core::Result<T> + Send + 'static,
    {
        let this = self.clone();
        self.blocking(move || {
            require_open()?;
            let mut attempt = 1;
            loop {
                let kept = this.kept();
                let answer = match kept {
                    Some(store) => call(&store),
                    None => KeyringStore::new().and_then(|store| {
                        let answer = call(&store);
                        this.keep(store);
                        answer
                    }),
                };
                match answer {
                    Ok(answer) => return Ok(answer),
                    Err(error) => {
                        this.forget();
                        let broken = matches!(
                            error,
                            keyring_core::Error::PlatformFailure(_) | keyring_core::Error::NoStorageAccess(_)
                        );
                        if !broken || attempt == 2 {
                            return Err(classify(&error));
                        }
                        attempt += 1;
                        // The daemon may be gone or locked by now: no dialog for the second try either.
                        require_open()?;
                    }
                }
            }
        })
        .await
    }

    fn kept(&self) -> Option<Arc<KeyringStore>> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep(&self, store: Arc<KeyringStore>) {
        *self.store.lock().unwrap_or_else(PoisonError::into_inner) = Some(store);
    }

    fn forget(&self) {
        *self.store.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[async_trait]
impl SecretStore for SecretService {
    async fn get(&self, reference: &str) -> Result<Option<Secret>> {
        let reference = reference.to_owned();
        self.with_store(move |store| {
            let entry = store.build(SERVICE, &reference, None)?;
            let found = match entry.get_password() {
                Err(keyring_core::Error::Ambiguous(entries)) => match entries.first() {
                    Some(entry) => entry.get_password(),
                    None => Err(keyring_core::Error::NoEntry),
                },
                other => other,
            };
            match found {
                Ok(password) => Ok(Some(Secret::new(password))),
                Err(keyring_core::Error::NoEntry) => Ok(None),
                Err(error) => Err(error),
            }
        })
        .await
    }

    async fn set(&self, reference: &str, label: &str, secret: &Secret) -> Result<()> {
        let reference = reference.to_owned();
        let label = format!("Howdah: {label}");
        let secret = secret.clone();
        self.with_store(move |store| {
            let entry = store.build(
                SERVICE,
                &reference,
                Some(&HashMap::from([("label", label.as_str())])),
            )?;
            match entry.set_password(secret.expose()) {
                Err(keyring_core::Error::Ambiguous(entries)) => {
                    delete_all(&entries)?;
                    entry.set_password(secret.expose())?;
                }
                other => other?,
            }
            // An item that was there keeps its old label otherwise.
            if let Some(specifier) = entry.as_any().downcast_ref::<Specifier>() {
                specifier.set_label(&label)?;
            }
            Ok(())
        })
        .await
    }

    async fn delete(&self, reference: &str) -> Result<()> {
        let reference = reference.to_owned();
        self.with_store(move |store| {
            let entry = store.build(SERVICE, &reference, None)?;
            match entry.delete_credential() {
                Ok(()) | Err(keyring_core::Error::NoEntry) => Ok(()),
                Err(keyring_core::Error::Ambiguous(entries)) => delete_all(&entries),
                Err(error) => Err(error),
            }
        })
        .await
    }

    async fn state(&self) -> KeyringState {
        match self.blocking(require_open).await {
            Ok(()) => KeyringState::Open,
            Err(Error::KeyringLocked) => KeyringState::Locked,
            Err(error) => {
                tracing::debug!(%error, "no keyring");
                KeyringState::Absent
            }
        }
    }

    async fn unlock(&self, cancel: &CancellationToken) -> Result<KeyringState> {
        match self.state().await {
            KeyringState::Locked => {}
            other => return Ok(other),
        }
        // One dialog is enough: who asks while it is shown is told how things are.
        let Ok(permit) = Arc::clone(&self.dialog).try_acquire_owned() else {
            return Ok(KeyringState::Locked);
        };
        // Waits for a person: neither the time limit nor the number of calls applies.
        let prompt = on_a_thread(move || {
            let _permit = permit;
            prompt_to_unlock()
        });
        tokio::select! {
            () = cancel.cancelled() => return Err(Error::Cancelled),
            answer = prompt => answer?,
        }
        Ok(self.state().await)
    }
}

/// Runs a call on a thread of its own and awaits its answer. Nobody waits for the thread itself.
async fn on_a_thread<T, F>(call: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T> + Send + 'static,
{
    let (answer, answered) = oneshot::channel();
    std::thread::Builder::new()
        .name("howdah-keyring".to_owned())
        .spawn(move || {
            let _ = answer.send(call());
        })
        .map_err(|error| Error::Keyring(error.to_string()))?;
    answered
        .await
        .map_err(|_| Error::Stopped("the keyring call panicked"))?
}

/// Asks the bus whether the default collection is open. Shows no dialog.
fn require_open() -> Result<()> {
    let absent = |error: zbus::Error| Error::KeyringAbsent(error.to_string());
    let connection = zbus::blocking::connection::Builder::session()
        .map_err(absent)?
        .method_timeout(QUESTION)
        .build()
        .map_err(absent)?;
    let answer = connection.call_method(
        Some(BUS_NAME),
        DEFAULT_COLLECTION,
        Some("org.freedesktop.DBus.Properties"),
        "Get",
        &("org.freedesktop.Secret.Collection", "Locked"),
    );
    let reply = match answer {
        Ok(reply) => reply,
        Err(zbus::Error::MethodError(name, text, _)) => {
            return Err(match name.as_str() {
                // The service is there, but has no default collection yet: it asks for a password when one is made.
                "org.freedesktop.DBus.Error.UnknownObject"
                | "org.freedesktop.DBus.Error.UnknownMethod"
                | "org.freedesktop.DBus.Error.UnknownInterface"
                | "org.freedesktop.Secret.Error.NoSuchObject" => Error::KeyringLocked,
                "org.freedesktop.DBus.Error.NoReply" | "org.freedesktop.DBus.Error.Timeout" => {
                    Error::KeyringSilent {
                        seconds: QUESTION.as_secs(),
                    }
                }
                name => Error::KeyringAbsent(format!("{name}: {}", text.unwrap_or_default())),
            });
        }
        Err(zbus::Error::InputOutput(error)) if error.kind() == std::io::ErrorKind::TimedOut => {
            return Err(Error::KeyringSilent {
                seconds: QUESTION.as_secs(),
            });
        }
        Err(error) => return Err(absent(error)),
    };
    let locked: bool = reply
        .body()
        .deserialize::<zbus::zvariant::Value<'_>>()
        .map_err(absent)?
        .downcast()
        .map_err(|error| absent(error.into()))?;
    if locked { Err(Error::KeyringLocked) } else { Ok(()) }
}

/// Has the keyring ask the person for its password, or for a new one where there is no default collection yet. A dialog that is
/// dismissed is no error: the state tells.
fn prompt_to_unlock() -> Result<()> {
    use secret_service::{EncryptionType, Error as ServiceError, blocking::SecretService};
    let service = SecretService::connect(EncryptionType::Plain)
        .map_err(|error| Error::KeyringAbsent(error.to_string()))?;
    let answer = match service.get_default_collection() {
        Ok(collection) => collection.unlock(),
        Err(ServiceError::NoResult) => service.create_collection("Login", "default").map(|_| ()),
        Err(error) => Err(error),
    };
    match answer {
        Ok(()) | Err(ServiceError::Prompt | ServiceError::PromptDisconnected) => Ok(()),
        Err(error) => Err(Error::Keyring(error.to_string())),
    }
}

fn delete_all(entries: &[Entry]) -> keyring_core::Result<()> {
    entries.iter().try_for_each(Entry::delete_credential)
}

/// The library's error in ours. Its `Debug` may show a secret's bytes, its `Display` does not.
fn classify(error: &keyring_core::Error) -> Error {
    match error {
        keyring_core::Error::NoStorageAccess(_) => Error::KeyringLocked,
        other => Error::Keyring(other.to_string()),
    }
}
