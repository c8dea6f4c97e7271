//! Passwords in a file that a passphrase encrypts: the clear choice for a machine without a keyring.
//!
//! `secrets.age` in the data directory is a plain age file (scrypt recipient) with a JSON object in it, so `age -d secrets.age` reads it
//! too. It is rewritten whole, under another name first; a lock keeps two processes from losing each other's changes. The
//! passphrase lives in memory only.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use age::secrecy::SecretString;
use async_trait::async_trait;
use howdah_domain::Secret;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::{KeyringState, SecretStore};
use crate::{
    Error, Result,
    store::{lock_file, private_options},
};

/// The environment variable that may hold the passphrase.
pub const PASSPHRASE_VARIABLE: &str = "HOWDAH_PASSPHRASE";

const FILE: &str = "secrets.age";
const LOCK: &str = "secrets.lock";

/// scrypt's work factor, as a power of two: 2^17 needs 128 MiB and some tenths of a second, OWASP's recommendation for
/// scrypt (Password Storage Cheat Sheet).
const WORK_FACTOR: u8 = 17;

/// The greatest work factor that is accepted when reading: 2^20 needs 1 GiB.
const GREATEST_WORK_FACTOR: u8 = 20;

/// A file of secrets, opened with its passphrase.
#[derive(Clone)]
pub struct PassphraseFile(Arc<Opened>);

struct Opened {
    path: PathBuf,
    lock: PathBuf,
    passphrase: Secret,
    work_factor: u8,
    read: Mutex<Contents>,
}

/// What the file held when it was last read.
#[derive(Default)]
struct Contents {
    stamp: Option<Stamp>,
    secrets: BTreeMap<String, Kept>,
}

/// Tells whether the file is still the one that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    len: u64,
    modified: Option<SystemTime>,
    #[cfg(unix)]
    inode: u64,
}

/// A secret in the file.
#[derive(Serialize, Deserialize)]
struct Kept {
    label: String,
    secret: Zeroizing<String>,
}

impl PassphraseFile {
    /// The passphrase from `HOWDAH_PASSPHRASE`, where it is set and not empty.
    pub fn passphrase_from_environment() -> Option<Secret> {
        std::env::var(PASSPHRASE_VARIABLE)
            .ok()
            .filter(|text| !text.is_empty())
            .map(Secret::new)
    }

    /// Whether a data directory has such a file: the choice was made.
    pub fn exists(dir: &Path) -> bool {
        dir.join(FILE).exists()
    }

    /// Opens the file of a data directory, which begins empty where it is missing. Takes some tenths of a second and 128 MiB
    /// for a moment: call it in `spawn_blocking`.
    ///
    /// # Errors
    /// [`Error::WrongPassphrase`], [`Error::SecretsDamaged`], [`Error::DataDir`].
    pub fn open(dir: &Path, passphrase: Secret) -> Result<Self> {
        Self::open_with(dir, passphrase, WORK_FACTOR)
    }

    fn open_with(dir: &Path, passphrase: Secret, work_factor: u8) -> Result<Self> {
        let file = Self(Arc::new(Opened {
            path: dir.join(FILE),
            lock: dir.join(LOCK),
            passphrase,
            work_factor,
            read: Mutex::default(),
        }));
        file.0.refresh(&mut file.0.contents())?;
        Ok(file)
    }

    async fn blocking<T, F>(&self, call: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Opened) -> Result<T> + Send + 'static,
    {
        let opened = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || call(&opened))
            .await
            .map_err(|_| Error::Stopped("work on the file of passwords panicked"))?
    }

    /// Changes the contents under the lock, and writes them where something changed.
    async fn change<F>(&self, change: F) -> Result<()>
    where
        F: FnOnce(&mut BTreeMap<String, Kept>) -> bool + Send + 'static,
    {
        self.blocking(move |opened| {
            let mut contents = opened.contents();
            let lock = lock_file(&opened.lock)?;
            lock.lock().map_err(|source| Error::DataDir {
                path: opened.lock.clone(),
                source,
            })?;
            opened.refresh(&mut contents)?;
            if change(&mut contents.secrets) {
                // Until it is known to be written, what was read is not what is there.
                contents.stamp = None;
                opened.write(&contents.secrets)?;
                contents.stamp = opened.stamp()?;
            }
            Ok(())
        })
        .await
    }
}

impl std::fmt::Debug for PassphraseFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("PassphraseFile").field(&self.0.path).finish()
    }
}

impl Opened {
    fn contents(&self) -> std::sync::MutexGuard<'_, Contents> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn io(&self, source: io::Error) -> Error {
        Error::DataDir {
            path: self.path.clone(),
            source,
        }
    }

    fn stamp(&self) -> Result<Option<Stamp>> {
        match fs::metadata(&self.path) {
            Ok(metadata) => Ok(Some(Stamp {
                len: metadata.len(),
                modified: metadata.modified().ok(),
                #[cfg(unix)]
                inode: std::os::unix::fs::MetadataExt::ino(&metadata),
            })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.io(error)),
        }
    }

    /// Reads the file anew where it is not the one that was read.
    fn refresh(&self, contents: &mut Contents) -> Result<()> {
        let stamp = self.stamp()?;
        if stamp == contents.stamp {
            return Ok(());
        }
        contents.secrets = match stamp {
            None => BTreeMap::new(),
            Some(_) => self.read_file()?,
        };
        contents.stamp = stamp;
        Ok(())
    }

    fn read_file(&self) -> Result<BTreeMap<String, Kept>> {
        let encrypted = fs::read(&self.path).map_err(|error| self.io(error))?;
        let damaged = |reason: String| Error::SecretsDamaged {
            path: self.path.clone(),
            reason,
        };
        let mut identity = age::scrypt::Identity::new(self.passphrase());
        identity.set_max_work_factor(GREATEST_WORK_FACTOR);
        let plain = age::decrypt(&identity, &encrypted)
            .map(Zeroizing::new)
            .map_err(|error| match error {
                // age cannot tell a wrong passphrase from an altered header.
                age::DecryptError::DecryptionFailed
                | age::DecryptError::KeyDecryptionFailed
                | age::DecryptError::NoMatchingKeys => Error::WrongPassphrase {
                    path: self.path.clone(),
                },
                other => damaged(other.to_string()),
            })?;
        serde_json::from_slice(&plain)
            // The error's text could quote what it met.
            .map_err(|error| damaged(format!("line {}, column {}", error.line(), error.column())))
    }

    /// Writes the file under another name, makes it durable, and puts it in place.
    fn write(&self, secrets: &BTreeMap<String, Kept>) -> Result<()> {
        let plain = serde_json::to_vec(secrets)
            .map(Zeroizing::new)
            .map_err(|error| self.io(error.into()))?;
        let mut recipient = age::scrypt::Recipient::new(self.passphrase());
        recipient.set_work_factor(self.work_factor);
        let encrypted = age::encrypt(&recipient, &plain).map_err(|error| self.io(io::Error::other(error)))?;
        let temporary = self.path.with_extension("age.new");
        let result = (|| {
            let mut file = private_options().create(true).truncate(true).open(&temporary)?;
            file.write_all(&encrypted)?;
            file.sync_all()?;
            fs::rename(&temporary, &self.path)?;
            match self.path.parent() {
                Some(dir) => File::open(dir)?.sync_all(),
                None => Ok(()),
            }
        })();
        result.map_err(|error| {
            let _ = fs::remove_file(&temporary);
            self.io(error)
        })
    }

    fn passphrase(&self) -> SecretString {
        SecretString::from(self.passphrase.expose().to_owned())
    }
}

#[async_trait]
impl SecretStore for PassphraseFile {
    async fn get(&self, reference: &str) -> Result<Option<Secret>> {
        let reference = reference.to_owned();
        self.blocking(move |opened| {
            let mut contents = opened.contents();
            opened.refresh(&mut contents)?;
            Ok(contents
                .secrets
                .get(&reference)
                .map(|kept| Secret::new(kept.secret.as_str())))
        })
        .await
    }

    async fn set(&self, reference: &str, label: &str, secret: &Secret) -> Result<()> {
        let (reference, label) = (reference.to_owned(), label.to_owned());
        let secret = Zeroizing::new(secret.expose().to_owned());
        self.change(move |secrets| {
            secrets.insert(reference, Kept { label, secret });
            true
        })
        .await
    }

    async fn delete(&self, reference: &str) -> Result<()> {
        let reference = reference.to_owned();
        self.change(move |secrets| secrets.remove(&reference).is_some())
            .await
    }

    async fn state(&self) -> KeyringState {
        let read = self
            .blocking(|opened| opened.refresh(&mut opened.contents()))
            .await;
        match read {
            Ok(()) => KeyringState::Open,
            Err(Error::WrongPassphrase { .. }) => KeyringState::Locked,
            Err(error) => {
                tracing::warn!(%error, "the file of passwords cannot be read");
                KeyringState::Absent
            }
        }
    }

    /// There is no dialog to show: the passphrase was given when the file was opened.
    async fn unlock(&self, _cancel: &CancellationToken) -> Result<KeyringState> {
        Ok(self.state().await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// scrypt with next to no work: these tests are not about guessing.
    fn open(dir: &Path, passphrase: &str) -> Result<PassphraseFile> {
        PassphraseFile::open_with(dir, Secret::new(passphrase), 2)
    }

    #[tokio::test]
    async fn a_secret_is_kept_and_found_again_with_the_passphrase() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!PassphraseFile::exists(dir.path()));
        let file = open(dir.path(), "open sesame").unwrap();
        assert_eq!(file.get("server/a").await.unwrap(), None);
        assert!(
            !PassphraseFile::exists(dir.path()),
            "nothing is written before there is something to keep"
        );
        file.set("server/a", "production", &Secret::new("hunter2"))
            .await
            .unwrap();
        file.set("server/b", "staging", &Secret::new("ünïcode"))
            .await
            .unwrap();
        let again = open(dir.path(), "open sesame").unwrap();
        assert_eq!(again.get("server/a").await.unwrap(), Some(Secret::new("hunter2")));
        again.delete("server/a").await.unwrap();
        again.delete("server/a").await.unwrap();
        // The first notices what the second changed.
        assert_eq!(file.get("server/a").await.unwrap(), None);
        assert_eq!(file.get("server/b").await.unwrap(), Some(Secret::new("ünïcode")));
        assert_eq!(file.state().await, KeyringState::Open);
    }

    #[tokio::test]
    async fn the_file_shows_nothing_and_only_its_owner_can_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let file = open(dir.path(), "open sesame").unwrap();
        file.set("server/a", "production", &Secret::new("hunter2"))
            .await
            .unwrap();
        let path = dir.path().join(FILE);
        let bytes = fs::read(&path).unwrap();
        assert!(bytes.starts_with(b"age-encryption.org/v1\n-> scrypt "));
        for needle in ["hunter2", "server/a", "production", "sesame"] {
            assert!(
                !bytes
                    .windows(needle.len())
                    .any(|window| window == needle.as_bytes())
            );
        }
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!format!("{file:?}").contains("sesame"));
        let mut names: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, [FILE, LOCK], "no temporary file is left");
    }

    #[tokio::test]
    async fn a_wrong_passphrase_is_told_as_that_and_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = open(dir.path(), "open sesame").unwrap();
        file.set("server/a", "production", &Secret::new("hunter2"))
            .await
            .unwrap();
        let before = fs::read(dir.path().join(FILE)).unwrap();
        let error = open(dir.path(), "open barley").unwrap_err();
        assert!(matches!(error, Error::WrongPassphrase { .. }), "{error}");
        assert!(error.to_failure().message.contains("passphrase does not open"));
        assert_eq!(fs::read(dir.path().join(FILE)).unwrap(), before);

        // Somebody replaced the file by one with another passphrase.
        fs::remove_file(dir.path().join(FILE)).unwrap();
        let other = open(dir.path(), "open barley").unwrap();
        other.set("server/a", "x", &Secret::new("y")).await.unwrap();
        assert_eq!(file.state().await, KeyringState::Locked);
        let error = file.set("server/b", "x", &Secret::new("z")).await.unwrap_err();
        assert!(matches!(error, Error::WrongPassphrase { .. }), "{error}");
        assert_eq!(other.get("server/a").await.unwrap(), Some(Secret::new("y")));
    }

    #[tokio::test]
    async fn a_damaged_file_is_told_as_that() {
        let dir = tempfile::tempdir().unwrap();
        let file = open(dir.path(), "open sesame").unwrap();
        file.set("server/a", "production", &Secret::new("hunter2"))
            .await
            .unwrap();
        let path = dir.path().join(FILE);
        let whole = fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 1;
        for bytes in [&flipped, &whole[..whole.len() - 3], b"something else"] {
            fs::write(&path, bytes).unwrap();
            let error = open(dir.path(), "open sesame").unwrap_err();
            assert!(matches!(error, Error::SecretsDamaged { .. }), "{error}");
        }
    }

    #[tokio::test]
    async fn two_that_change_the_file_at_once_lose_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let files = [open(dir.path(), "x").unwrap(), open(dir.path(), "x").unwrap()];
        let mut tasks = Vec::new();
        for (number, file) in files.iter().cycle().take(20).enumerate() {
            let file = file.clone();
            tasks.push(tokio::spawn(async move {
                file.set(&format!("server/{number}"), "x", &Secret::new("y"))
                    .await
            }));
        }
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        for number in 0..20 {
            for file in &files {
                assert!(
                    file.get(&format!("server/{number}")).await.unwrap().is_some(),
                    "{number}"
                );
            }
        }
    }

    #[test]
    fn the_work_that_guessing_costs_is_as_recommended() {
        let dir = tempfile::tempdir().unwrap();
        let file = PassphraseFile::open(dir.path(), Secret::new("x")).unwrap();
        file.0.write(&BTreeMap::new()).unwrap();
        let head = fs::read(dir.path().join(FILE)).unwrap();
        let head = String::from_utf8_lossy(&head[..100]).into_owned();
        assert!(head.lines().nth(1).unwrap().ends_with(" 17"), "{head}");
        let begin = std::time::Instant::now();
        PassphraseFile::open(dir.path(), Secret::new("x")).unwrap();
        println!("opened in {:?}", begin.elapsed());
    }
}
