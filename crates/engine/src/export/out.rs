//! The copy of the settings at the destinations of encrypted backups: a laptop that is gone takes no settings with it.
//!
//! It is written after each change, under `howdah-settings/<machine>/<time>.json.age`, encrypted to this machine's own key; the
//! one before it goes when the new one is there.

use std::collections::BTreeMap;

use bytes::Bytes;
use howdah_domain::{DestinationId, Encryption, Failure, FailureCode};
use howdah_storage::ObjectPath;
use howdah_store::tables::{destinations, plans, settings};
use jiff::Timestamp;
use jiff::fmt::strtime;
use sha2::{Digest as _, Sha256};

use super::{LONGEST_EXPORT, encrypted};
use crate::api::{ExportView, StoredExport};
use crate::backup::files;
use crate::engine::{Engine, OrFailure};
use crate::stored::read_whole;

/// The folder at a destination in which all machines' settings lie.
const FOLDER: &str = "howdah-settings";

/// When an export was made, in its name.
const TIME: &str = "%Y%m%dT%H%M%SZ";

/// The end of an export's name.
const SUFFIX: &str = ".json.age";

/// Where the store keeps what was last written to which destination.
const WRITTEN: &str = "settings_written";

/// Where the store counts changes of secrets.
const SECRETS: &str = "secrets_changed";

impl Engine {
    /// Writes the settings to every destination of encrypted backups that does not have them as they are.
    pub(crate) async fn copy_settings_out(&self) -> Result<(), Failure> {
        let (used, mut written, secrets_changed) = self
            .0
            .store
            .read(|c| {
                let encrypted: Vec<DestinationId> = plans::list(c)?
                    .into_iter()
                    .filter(|plan| plan.encryption != Encryption::None)
                    .flat_map(|plan| plan.destinations)
                    .collect();
                let used: Vec<_> = destinations::list(c)?
                    .into_iter()
                    .filter(|row| encrypted.contains(&row.id))
                    .collect();
                let written: BTreeMap<String, String> = settings::get(c, WRITTEN)?.unwrap_or_default();
                Ok((
                    used,
                    written,
                    settings::get::<u64>(c, SECRETS)?.unwrap_or_default(),
                ))
            })
            .await
            .or_failure()?;
        if used.is_empty() {
            return Ok(());
        }
        let own = self.own_key().await?;
        let with_secrets = self.settings().await.export_secrets;
        let plain = self.document(false).await?;
        let state = {
            let mut same = plain.clone();
            same.exported_at = Timestamp::UNIX_EPOCH;
            let mut hash = Sha256::new();
            hash.update(&*same.to_bytes()?);
            hash.update(format!("{with_secrets} {secrets_changed} {}", own.recipient));
            howdah_archive::manifest::to_hex(&hash.finalize())
        };
        let stale: Vec<_> = used
            .into_iter()
            .filter(|row| written.get(row.id.as_str()) != Some(&state))
            .collect();
        if stale.is_empty() {
            return Ok(());
        }
        let document = match with_secrets {
            true => self.document(true).await?,
            false => plain,
        };
        let folder = ObjectPath::new(format!(
            "{FOLDER}/{}-{}",
            howdah_domain::slug::slug(&document.machine.name),
            document.machine.id
        ))
        .or_failure()?;
        let name = format!("{}{SUFFIX}", document.exported_at.strftime(TIME));
        let bytes = Bytes::from(encrypted(document, self.own_recipients().await?).await?);
        let cancel = self.0.ending.child_token();
        let mut failed = None;
        for row in stale {
            let writing = async {
                let destination = self.open_destination(&row).await?;
                let path = folder.join(&name).or_failure()?;
                match files::put(&*destination, &path, bytes.clone(), &cancel).await {
                    // Written in the same second by an attempt whose end was not recorded.
                    Ok(_) | Err(howdah_storage::Error::AlreadyExists { .. }) => {}
                    Err(error) => return Err(error.to_failure()),
                }
                for entry in destination.list(Some(&folder), &cancel).await.or_failure()? {
                    if entry.path < path {
                        destination.delete(&entry.path, &cancel).await.or_failure()?;
                    }
                }
                Ok(())
            };
            match writing.await {
                Ok(()) => {
                    written.insert(row.id.as_str().to_owned(), state.clone());
                    let written = written.clone();
                    self.0
                        .store
                        .write(move |tx| settings::set(tx, WRITTEN, &written))
                        .await
                        .or_failure()?;
                }
                Err(failure) => failed = Some(failure),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// The machines' settings that lie at a destination, the newest of each machine, newest first.
    pub async fn stored_exports(&self, id: &DestinationId) -> Result<Vec<StoredExport>, Failure> {
        let row = self.destination(id).await?;
        let destination = self.open_destination(&row).await?;
        let cancel = self.0.ending.child_token();
        let folder = ObjectPath::new(FOLDER).or_failure()?;
        let mut newest: BTreeMap<String, StoredExport> = BTreeMap::new();
        for entry in destination.list(Some(&folder), &cancel).await.or_failure()? {
            let Some((machine, exported_at)) = named(&entry.path) else {
                continue;
            };
            // In the order of their paths, so that the last of a machine is its newest.
            let export = StoredExport {
                destination_id: id.clone(),
                machine: machine.clone(),
                exported_at,
                path: entry.path.to_string(),
            };
            newest.insert(machine, export);
        }
        let mut all: Vec<StoredExport> = newest.into_values().collect();
        all.sort_by_key(|export| std::cmp::Reverse(export.exported_at));
        Ok(all)
    }

    /// Reads an export that lies at a destination, as [`Engine::read_export`].
    pub async fn read_stored_export(&self, id: &DestinationId, path: &str) -> Result<ExportView, Failure> {
        let path = ObjectPath::new(path).or_failure()?;
        if named(&path).is_none() {
            return Err(Failure::new(
                FailureCode::InvalidInput,
                "No settings of a machine lie at this path.",
            ));
        }
        let row = self.destination(id).await?;
        let destination = self.open_destination(&row).await?;
        let cancel = self.0.ending.child_token();
        let bytes = read_whole(&*destination, &path, LONGEST_EXPORT, &cancel)
            .await
            .or_failure()?;
        self.read_export(bytes, None).await
    }

    /// Takes note that the keyring holds something else than before.
    pub(crate) async fn secrets_changed(&self) -> Result<(), Failure> {
        self.0
            .store
            .write(|tx| {
                let changes = settings::get::<u64>(tx, SECRETS)?.unwrap_or_default();
                settings::set(tx, SECRETS, &changes.wrapping_add(1))
            })
            .await
            .or_failure()?;
        self.0.upkeep_changed.notify_one();
        Ok(())
    }
}

/// The machine and the time that an export's path names.
fn named(path: &ObjectPath) -> Option<(String, Timestamp)> {
    let rest = path.as_str().strip_prefix(FOLDER)?.strip_prefix('/')?;
    let (machine, name) = rest.split_once('/')?;
    let time = name.strip_suffix(SUFFIX)?;
    let at = strtime::parse(TIME, time).ok()?.to_datetime().ok()?;
    let at = jiff::tz::TimeZone::UTC.to_timestamp(at).ok()?;
    Some((machine.to_owned(), at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_exports_name_a_machine_and_a_time() {
        let read = |path: &str| named(&ObjectPath::new(path).unwrap());
        let (machine, at) = read("howdah-settings/laptop-abc/20261122T040506Z.json.age").unwrap();
        assert_eq!(machine, "laptop-abc");
        assert_eq!(at.to_string(), "2026-11-22T04:05:06Z");
        for other in [
            "howdah-settings/laptop/x.json.age",
            "howdah-settings/20261122T040506Z.json.age",
            "howdah-settings/laptop/deeper/20261122T040506Z.json.age",
            "shop/laptop/20261122T040506Z.json.age",
            "howdah-settings/laptop/20261122T040506Z.json",
        ] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
