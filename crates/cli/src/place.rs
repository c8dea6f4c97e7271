//! Where backups are, as it is said on the command line: a folder, a destination's URL, a backup's id.

use std::path::Path;
use std::sync::Arc;

use howdah_archive::encryption::{Keys, Recipients};
use howdah_archive::manifest::MANIFEST_FILE;
use howdah_domain::{BackupId, Failure, FailureCode, Place, Secret};
use howdah_engine::Role;
use howdah_engine::stored::StoredBackup;
use howdah_storage::{Destination, ObjectPath, Surroundings};

use crate::installation;
use crate::output::Output;

/// Holds what opens a destination that is named by its URL: a password, a key, a token.
const SECRET_VARIABLE: &str = "HOWDAH_DESTINATION_SECRET";

/// Holds the passphrase of backups that are encrypted with one.
const PASSPHRASE_VARIABLE: &str = "HOWDAH_BACKUP_PASSPHRASE";

/// A place, and what opens it.
pub(crate) struct Named {
    pub(crate) place: Place,
    pub(crate) secret: Option<Secret>,
}

impl Named {
    /// The destination there. Nobody is asked yet whether it answers.
    pub(crate) fn open(&self, data_dir: Option<&Path>) -> Result<Arc<dyn Destination>, Failure> {
        open(&self.place, self.secret.as_ref(), data_dir)
    }
}

fn open(
    place: &Place,
    secret: Option<&Secret>,
    data_dir: Option<&Path>,
) -> Result<Arc<dyn Destination>, Failure> {
    let surroundings = Surroundings {
        known_hosts: installation::known_hosts(data_dir).ok(),
    };
    howdah_storage::open_in(place, secret, &surroundings).map_err(|error| error.to_failure())
}

/// Reads several places. Where more than one of them needs a secret, each has a variable of its own, by its number: what opens one
/// is not shown to another.
pub(crate) fn read_all(texts: &[String], output: Output) -> Result<Vec<Named>, Failure> {
    let [one] = texts else {
        let mut all = Vec::new();
        for (number, text) in (1..).zip(texts) {
            let mut named = read_without_environment(text, output)?;
            let variable = format!("{SECRET_VARIABLE}_{number}");
            if named.secret.is_none() {
                named.secret = std::env::var(variable).ok().map(Secret::new);
            }
            all.push(named);
        }
        let mut without = all
            .iter_mut()
            .filter(|named| named.secret.is_none() && !named.place.is_local())
            .collect::<Vec<_>>();
        if let (Ok(secret), many) = (std::env::var(SECRET_VARIABLE), without.len()) {
            match without.as_mut_slice() {
                [only] => only.secret = Some(Secret::new(secret)),
                [] => {}
                _ => {
                    return Err(Failure::new(
                        FailureCode::InvalidInput,
                        format!("{SECRET_VARIABLE} would be shown to {many} destinations."),
                    )
                    .hint(format!(
                        "Give each its own: {SECRET_VARIABLE}_1 for the first --to, {SECRET_VARIABLE}_2 for the second."
                    )));
                }
            }
        }
        return Ok(all);
    };
    Ok(vec![read(one, output)?])
}

/// Reads a place from a URL or a folder's path. A secret in the URL works, and draws a warning.
pub(crate) fn read(text: &str, output: Output) -> Result<Named, Failure> {
    let named = read_without_environment(text, output)?;
    let from_environment = || std::env::var(SECRET_VARIABLE).ok().map(Secret::new);
    Ok(Named {
        secret: named.secret.or_else(from_environment),
        ..named
    })
}

fn read_without_environment(text: &str, output: Output) -> Result<Named, Failure> {
    let here = std::env::current_dir().unwrap_or_default();
    let home_made = text
        .strip_prefix("~/")
        .and_then(|rest| Some(dirs::home_dir()?.join(rest)));
    let text = home_made.map_or_else(|| text.to_owned(), |path| path.display().to_string());
    let (place, secret) = Place::from_text(&text, &here)
        .map_err(|error| Failure::new(FailureCode::InvalidInput, error.to_string()))?;
    if secret.is_some() {
        output.warn(&format!(
            "a password on the command line can be seen by other users of this machine; {SECRET_VARIABLE} keeps it from them"
        ));
    }
    Ok(Named { place, secret })
}

/// The backup that is named: a folder (or the manifest in it), a URL, or the id of one that the data directory knows, which is
/// opened only for an id.
pub(crate) async fn backup(
    named: &str,
    data_dir: Option<&Path>,
    key: Option<&Path>,
    output: Output,
) -> Result<StoredBackup, Failure> {
    let located = locate(named, data_dir, output).await?;
    match keys(key)? {
        Some(keys) => Ok(located.with_keys(keys)),
        None => Ok(located),
    }
}

async fn locate(named: &str, data_dir: Option<&Path>, output: Output) -> Result<StoredBackup, Failure> {
    let path = Path::new(named);
    if path.exists() {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        return match path.parent() {
            Some(folder) if path.file_name().is_some_and(|name| name == MANIFEST_FILE) => {
                StoredBackup::in_folder(folder)
            }
            _ => StoredBackup::in_folder(&path),
        };
    }
    if let Some(id) = BackupId::parse(named) {
        let engine = installation::open(data_dir, Role::Guest).await?;
        let located = engine.locate(&id).await;
        engine.shutdown(installation::FAREWELL).await;
        return located;
    }
    if !named.contains(':') {
        return Err(none(named));
    }
    let Named { place, secret } = read(named, output)?;
    let (root, folder) = place.split_last().ok_or_else(|| none(named))?;
    let destination = open(&root, secret.as_ref(), data_dir)?;
    let folder = ObjectPath::new(folder).map_err(|error| error.to_failure())?;
    Ok(StoredBackup::new(destination, &root, folder))
}

/// What was given to open encrypted backups with: a key file, a passphrase, or both.
fn keys(key: Option<&Path>) -> Result<Option<Keys>, Failure> {
    let mut keys = match key {
        None => Keys::none(),
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| {
                Failure::new(
                    FailureCode::KeyMissing,
                    format!("The key file {} cannot be read.", path.display()),
                )
                .details(error.to_string())
            })?;
            Keys::from_key_file(&Secret::new(text)).map_err(|error| error.to_failure())?
        }
    };
    if let Ok(passphrase) = std::env::var(PASSPHRASE_VARIABLE) {
        keys = keys.and_passphrase(Secret::new(passphrase));
    }
    Ok(Some(keys).filter(|keys| !keys.is_empty()))
}

/// Whom a backup is encrypted for: the holders of the public keys given, or whoever knows the passphrase in the environment.
pub(crate) fn recipients(named: &[String], with_passphrase: bool) -> Result<Option<Recipients>, Failure> {
    let recipients = if with_passphrase {
        let passphrase = std::env::var(PASSPHRASE_VARIABLE).map_err(|_| {
            Failure::new(
                FailureCode::KeyMissing,
                format!("There is no passphrase in {PASSPHRASE_VARIABLE}."),
            )
        })?;
        Recipients::passphrase(Secret::new(passphrase)).map(Some)
    } else if named.is_empty() {
        Ok(None)
    } else {
        Recipients::parse(named).map(Some)
    };
    recipients.map_err(|error| error.to_failure())
}

fn none(named: &str) -> Failure {
    Failure::new(
        FailureCode::BackupNotFound,
        format!("There is no backup at {named}."),
    )
    .hint("Name a backup's folder or URL, or an id that `howdah list` shows.")
}
