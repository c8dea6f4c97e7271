//! Two machines with the same plan and destination: one of them makes the backup that is due, the other leaves it.
//!
//! Before a due backup begins, its machine puts a small object at the destination, `.howdah/claims/<server>/<database>/<due>-<what>-1`,
//! where creating an object that is there fails ([`Destination::excludes_others`]). Who finds it taken leaves the backup to the
//! other, unless that one has not made it for hours: then it takes the next number. A destination that cannot be asked stops nobody,
//! since a backup made twice is better than none.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use howdah_domain::{BackupId, Failure, Plan, Selection};
use howdah_storage::{Destination, Error, ObjectPath};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use crate::backup::files;
use crate::catalog::folder_of_database;
use crate::engine::OrFailure;
use crate::export::Machine;
use crate::stored::read_whole;

/// Times in names.
const TIME: &str = "%Y%m%dT%H%M%SZ";

/// Where claims lie.
const FOLDER: &str = ".howdah/claims";

/// A claim that nothing came of for this long counts no more.
const PATIENCE: SignedDuration = SignedDuration::from_hours(6);

/// How long giving a claim up may take.
const GIVING_UP: Duration = Duration::from_secs(20);

/// Claims that are older are removed by the next one.
const KEPT: SignedDuration = SignedDuration::from_hours(24 * 7);

/// How often a due time may be given up and taken over.
const MOST: u32 = 3;

/// A claim is a line or two.
const LONGEST: u64 = 4096;

/// What lies in a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claim {
    pub(crate) machine: Machine,
    pub(crate) at: Timestamp,
}

/// Who makes a backup that is due.
pub(crate) enum Claimed {
    /// This machine.
    Ours(Held),
    /// Another one.
    Theirs(Claim),
}

/// A claim of this machine's, to be given up where nothing comes of it.
pub(crate) struct Held {
    destination: Arc<dyn Destination>,
    path: ObjectPath,
}

impl Held {
    /// Gives the claim up. Where that fails, others wait until it counts no more.
    pub(crate) async fn give_up(self) {
        let cancel = CancellationToken::new();
        let removing = self.destination.delete(&self.path, &cancel);
        match tokio::time::timeout(GIVING_UP, removing).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, path = %self.path, "a claim could not be given up"),
            Err(_) => tracing::warn!(path = %self.path, "a claim could not be given up in time"),
        }
    }
}

/// A backup that is due.
pub(crate) struct Due<'a> {
    /// The plan that it is due by.
    pub(crate) plan: &'a Plan,
    /// The server's name.
    pub(crate) server: &'a str,
    /// The database's name.
    pub(crate) database: &'a str,
    /// What tells the server from every other one, whatever it is called.
    pub(crate) identity: String,
    /// When it is due.
    pub(crate) at: Timestamp,
}

impl Due<'_> {
    /// The folder of a database's claims.
    fn folder(&self) -> Result<ObjectPath, Failure> {
        ObjectPath::new(format!(
            "{FOLDER}/{}",
            folder_of_database(self.server, self.database)
        ))
        .or_failure()
    }

    /// The claim's name without its number. Two plans that take different parts of a database do not stand in each other's way, nor
    /// do two servers of one name.
    fn name(&self) -> Result<String, Failure> {
        let what: (&Selection, bool, &str) = (&self.plan.selection, self.plan.globals, &self.identity);
        let text = serde_json::to_string(&what)
            .map_err(|error| crate::engine::internal("The plan could not be written.", &error))?;
        let hash = howdah_archive::manifest::to_hex(&Sha256::digest(text.as_bytes())[..6]);
        Ok(format!("{}-{hash}", self.at.strftime(TIME)))
    }
}

/// Claims a due backup for `machine`, at a destination that excludes others.
///
/// # Errors
/// Those of the destination; cancelled.
pub(crate) async fn claim(
    destination: &Arc<dyn Destination>,
    due: &Due<'_>,
    machine: &Machine,
    now: Timestamp,
    cancel: &CancellationToken,
) -> Result<Claimed, Failure> {
    let (folder, name) = (due.folder()?, due.name()?);
    let ours = Claim {
        machine: machine.clone(),
        at: now,
    };
    let text = serde_json::to_vec(&ours)
        .map_err(|error| crate::engine::internal("The claim could not be written.", &error))?;
    let ours_at = |path: ObjectPath| {
        Claimed::Ours(Held {
            destination: Arc::clone(destination),
            path,
        })
    };
    for number in 1..=MOST {
        let path = folder.join(&format!("{name}-{number}")).or_failure()?;
        match files::put(&**destination, &path, Bytes::from(text.clone()), cancel).await {
            Ok(_) => {
                forget_old(destination, &folder, now, cancel).await;
                return Ok(ours_at(path));
            }
            Err(Error::AlreadyExists { .. }) => {}
            Err(error) => return Err(error.to_failure()),
        }
        let bytes = read_whole(&**destination, &path, LONGEST, cancel)
            .await
            .or_failure()?;
        let Ok(theirs) = serde_json::from_slice::<Claim>(&bytes) else {
            return Err(Failure::new(
                howdah_domain::FailureCode::DestinationFailed,
                format!("{path} is no claim of a Howdah."),
            ));
        };
        if theirs.machine.id == machine.id {
            return Ok(ours_at(path));
        }
        let given_up = now.duration_since(theirs.at) > PATIENCE
            && !has_backup_since(destination, due, theirs.at, cancel).await?;
        if !given_up {
            return Ok(Claimed::Theirs(theirs));
        }
        if number == MOST {
            // Nobody brings it about: made twice is better than never.
            return Ok(ours_at(path));
        }
    }
    Err(Failure::new(
        howdah_domain::FailureCode::Internal,
        "The backup could be claimed by nobody.",
    ))
}

/// Whether a machine holds a due backup.
///
/// # Errors
/// Those of the destination; cancelled.
pub(crate) async fn is_taken(
    destination: &Arc<dyn Destination>,
    due: &Due<'_>,
    cancel: &CancellationToken,
) -> Result<bool, Failure> {
    let (folder, name) = (due.folder()?, due.name()?);
    for number in 1..=MOST {
        let path = folder.join(&format!("{name}-{number}")).or_failure()?;
        if destination.stat(&path, cancel).await.or_failure()?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a backup of the database that was begun since then lies at the destination.
async fn has_backup_since(
    destination: &Arc<dyn Destination>,
    due: &Due<'_>,
    since: Timestamp,
    cancel: &CancellationToken,
) -> Result<bool, Failure> {
    let folder = ObjectPath::new(folder_of_database(due.server, due.database)).or_failure()?;
    let entries = destination.list(Some(&folder), cancel).await.or_failure()?;
    // A backup's id begins with the second in which it was begun.
    let since = since.strftime(TIME).to_string();
    Ok(entries
        .iter()
        .filter(|entry| entry.path.name() == howdah_storage::MANIFEST)
        .filter_map(|entry| BackupId::parse(entry.path.parent()?.name()))
        .any(|id| id.as_str() >= since.as_str()))
}

/// Removes claims that are too old to matter. What cannot be removed now is removed by a later one.
async fn forget_old(
    destination: &Arc<dyn Destination>,
    folder: &ObjectPath,
    now: Timestamp,
    cancel: &CancellationToken,
) {
    let before = now.checked_sub(KEPT).unwrap_or(Timestamp::MIN);
    let oldest = before.strftime(TIME).to_string();
    let entries = match destination.list(Some(folder), cancel).await {
        Ok(entries) => entries,
        Err(error) => {
            tracing::debug!(%error, "old claims could not be listed");
            return;
        }
    };
    for entry in entries {
        // Names begin with the due time.
        if entry.path.name() < oldest.as_str()
            && let Err(error) = destination.delete(&entry.path, cancel).await
        {
            tracing::debug!(%error, "an old claim could not be removed");
        }
    }
}
