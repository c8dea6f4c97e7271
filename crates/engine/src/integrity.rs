//! Copies checked over time: which are due, how one is checked, and what becomes of what is found.
//!
//! A copy whose destination keeps checksums of its own is checked by these, without being read; any other is read back in full. What
//! is damaged or missing is made anew from another copy, where there is one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use howdah_archive::Manifest;
use howdah_archive::encryption::Keys;
use howdah_domain::{BackupId, DestinationId, Failure, FailureCode, Place, RunKind, Trigger};
use howdah_storage::Checksum;
use howdah_store::tables::backups::{self, Backup, BackupCopy, CopyState};
use howdah_store::tables::{databases, runs};
use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::api::Settings;
use crate::engine::{Engine, OrFailure};
use crate::runs::Subject;
use crate::stored::StoredBackup;
use crate::verify::verify;
use crate::work::Reporter;

/// Backups of one database that are looked at, newest first.
const MOST: u32 = 20_000;

/// Checks that are at work at once: they read whole dumps. When one ends, the next is recorded.
const AT_ONCE: usize = 2;

/// What a check of one copy found.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Finding {
    /// It is as it was written.
    Whole,
    /// It is there, and is not as it was written.
    Damaged(Failure),
    /// Its destination is there, and it is not.
    Missing(Failure),
    /// Its destination is not there.
    Away(Failure),
    /// Nobody knows: it could not be asked.
    Unknown(Failure),
}

impl Finding {
    /// What an error of reading a copy says about it.
    fn of(failure: Failure) -> Self {
        match failure.code {
            FailureCode::BackupDamaged | FailureCode::BackupUnreadable => Self::Damaged(failure),
            FailureCode::BackupNotFound => Self::Missing(failure),
            FailureCode::DestinationMissing => Self::Away(failure),
            _ => Self::Unknown(failure),
        }
    }
}

impl Engine {
    /// Records a run for each backup whose copies are to be checked again, as the settings have it. Answers how many.
    pub(crate) async fn check_what_is_due(&self) -> Result<usize, Failure> {
        let settings = self.settings().await;
        if settings.verify_days == 0 {
            return Ok(0);
        }
        let now = self.0.clock.now();
        let chosen = self
            .0
            .store
            .read(move |c| {
                let at_work: Vec<Option<BackupId>> = runs::active(c)?
                    .into_iter()
                    .filter(|run| run.kind == RunKind::Verify)
                    .map(|run| run.backup_id)
                    .collect();
                let room = AT_ONCE.saturating_sub(at_work.len());
                let mut chosen: Vec<Backup> = Vec::new();
                for database in databases::with_backups(c)? {
                    if chosen.len() >= room {
                        break;
                    }
                    let known = backups::list(c, Some(&database), MOST)?;
                    let ids = due(&known, &settings, now);
                    let left = room - chosen.len();
                    chosen.extend(
                        known
                            .into_iter()
                            .filter(|backup| ids.contains(&backup.id))
                            .filter(|backup| !at_work.contains(&Some(backup.id.clone())))
                            .take(left),
                    );
                }
                Ok(chosen)
            })
            .await
            .or_failure()?;
        let new: Vec<_> = chosen
            .iter()
            .map(|backup| self.new_run(check(backup, Trigger::Schedule)))
            .collect();
        let many = new.len();
        if many > 0 {
            self.enqueue(new).await?;
        }
        Ok(many)
    }

    /// Checks one copy. `by_reading`: in full, also where its destination's checksums would do.
    ///
    /// # Errors
    /// Only when cancelled.
    pub(crate) async fn examine(
        &self,
        copy: &BackupCopy,
        by_reading: bool,
        reporter: &Arc<dyn Reporter>,
        cancel: &CancellationToken,
    ) -> Result<Finding, Failure> {
        let stored = match self.open_copy(copy).await {
            Ok(stored) => stored,
            Err(failure) => return Ok(Finding::of(failure)),
        };
        let finding = self.look_at(&stored, copy, by_reading, reporter, cancel).await?;
        if matches!(finding, Finding::Missing(_) | Finding::Damaged(_))
            && let Some(away) = is_away(&stored, &copy.place, cancel).await
        {
            return Ok(Finding::Away(away));
        }
        Ok(finding)
    }

    async fn look_at(
        &self,
        stored: &StoredBackup,
        copy: &BackupCopy,
        by_reading: bool,
        reporter: &Arc<dyn Reporter>,
        cancel: &CancellationToken,
    ) -> Result<Finding, Failure> {
        if !by_reading && let Some(known) = &copy.checksums {
            match by_checksums(stored, known, cancel).await {
                Ok(Some(finding)) => {
                    if finding == Finding::Whole {
                        reporter.info(format!(
                            "{}: as its destination's checksums have it.",
                            stored.name()
                        ));
                    }
                    return Ok(finding);
                }
                Ok(None) => {}
                Err(failure) if failure.is_cancelled() => return Err(failure),
                Err(failure) => return Ok(Finding::of(failure)),
            }
        }
        reporter.info(format!("Reading the copy in {}.", stored.name()));
        let mut read = verify(stored, reporter, cancel).await;
        if read
            .as_ref()
            .is_err_and(|failure| matches!(failure.code, FailureCode::KeyMissing | FailureCode::KeyWrong))
        {
            // A machine that cannot open it can still tell whether its bytes are those that were written.
            let unopened = stored.clone().with_keys(Keys::none());
            read = verify(&unopened, reporter, cancel).await;
        }
        match read {
            Ok(report) => Ok(report.to_failure().map_or(Finding::Whole, Finding::Damaged)),
            Err(failure) if failure.is_cancelled() => Err(failure),
            Err(failure) => Ok(Finding::of(failure)),
        }
    }

    /// Writes what a check found of a copy into the catalogue. What is damaged or missing is to be made anew where `another` good
    /// copy is there. Answers the failure to tell, where there is one.
    pub(crate) async fn keep_finding(
        &self,
        id: &BackupId,
        copy: &BackupCopy,
        finding: Finding,
        another: Option<&str>,
    ) -> Result<Option<Failure>, Failure> {
        let now = self.0.clock.now();
        let mut changed = BackupCopy {
            looked_at: Some(now),
            ..copy.clone()
        };
        let failure = match finding {
            Finding::Whole => {
                changed = BackupCopy {
                    state: CopyState::Present,
                    verified_at: Some(now),
                    failure: None,
                    attempts: 0,
                    next_attempt_at: None,
                    ..changed
                };
                None
            }
            // Neither says anything about the copy.
            Finding::Unknown(failure) | Finding::Away(failure) => {
                self.write_look(id, copy, changed).await?;
                return Ok(Some(failure));
            }
            Finding::Damaged(failure) | Finding::Missing(failure) => Some(match another {
                None => {
                    changed.state = if failure.code == FailureCode::BackupNotFound {
                        CopyState::Missing
                    } else {
                        CopyState::Damaged
                    };
                    failure
                }
                Some(source) => {
                    changed.state = CopyState::Wanted;
                    changed.attempts = 0;
                    changed.next_attempt_at = Some(now);
                    failure.hint(format!("It is made anew from the copy at {source}."))
                }
            }),
        };
        changed.failure.clone_from(&failure);
        let written = self.write_look(id, copy, changed).await?;
        // Somebody deleted it, or had it made anew, while it was read.
        Ok(failure.filter(|_| written))
    }

    /// Writes a copy anew, where nothing happened to it since it was `seen`.
    async fn write_look(
        &self,
        id: &BackupId,
        seen: &BackupCopy,
        changed: BackupCopy,
    ) -> Result<bool, Failure> {
        let (id, seen) = (id.clone(), seen.clone());
        self.0
            .store
            .write(move |tx| backups::update_unchanged_copy(tx, &id, &seen, &changed))
            .await
            .or_failure()
    }
}

/// Why a copy that was not found, or not whole, says nothing: its destination is not there itself.
async fn is_away(stored: &StoredBackup, place: &Place, cancel: &CancellationToken) -> Option<Failure> {
    if let Err(error) = stored.destination().is_there(cancel).await {
        return Some(error.to_failure());
    }
    // A server whose disk is not mounted shows an empty folder.
    if !matches!(place, Place::Sftp(_) | Place::Webdav(_) | Place::Ftp(_)) {
        return None;
    }
    match stored.destination().list(None, cancel).await {
        Ok(entries) if entries.is_empty() => Some(
            Failure::new(
                FailureCode::DestinationMissing,
                format!(
                    "{} is empty: perhaps its disk is not mounted there.",
                    stored.destination().name()
                ),
            )
            .hint("Mount it on that machine; what was there before is then checked again."),
        ),
        Ok(_) => None,
        Err(error) => Some(error.to_failure()),
    }
}

/// A run that checks a backup's copies.
pub(crate) fn check(backup: &Backup, trigger: Trigger) -> Subject {
    crate::runs::copies::subject(RunKind::Verify, backup, trigger)
}

/// Compares what a destination says of a copy's files with what it said when they were written. None where it does not say enough.
async fn by_checksums(
    stored: &StoredBackup,
    known: &BTreeMap<String, String>,
    cancel: &CancellationToken,
) -> Result<Option<Finding>, Failure> {
    // Small, and read: that the list of files is right is what all the rest stands on.
    let manifest: Manifest = stored.manifest(cancel).await?;
    for file in &manifest.files {
        let path = stored.folder().join(&file.name).or_failure()?;
        let Some(stat) = stored.destination().stat(&path, cancel).await.or_failure()? else {
            return Ok(Some(damaged(stored, &file.name, "it is not there")));
        };
        if stat.len != file.bytes {
            return Ok(Some(damaged(
                stored,
                &file.name,
                &format!("it has {} bytes instead of {}", stat.len, file.bytes),
            )));
        }
        let Some(now) = stat.checksum else {
            return Ok(None);
        };
        let same = match (&now, known.get(&file.name)) {
            (Checksum::Sha256(hex), _) => *hex == file.sha256,
            // Another one need not mean other bytes: a store that was moved or brought up to date may count otherwise.
            (_, before) if before != Some(&now.clone().into_text()) => return Ok(None),
            _ => true,
        };
        if !same {
            return Ok(Some(damaged(
                stored,
                &file.name,
                "its checksum is another one than when it was written",
            )));
        }
    }
    Ok(Some(Finding::Whole))
}

fn damaged(stored: &StoredBackup, file: &str, why: &str) -> Finding {
    Finding::Damaged(
        Failure::new(
            FailureCode::BackupDamaged,
            format!("{file} in {} is not as it was written: {why}.", stored.name()),
        )
        .hint("Use another copy of this backup, or an older backup."),
    )
}

/// Which of a database's backups are to be checked. `known` is newest first.
fn due(known: &[Backup], settings: &Settings, now: Timestamp) -> BTreeSet<BackupId> {
    let age = SignedDuration::from_hours(24 * i64::from(settings.verify_days));
    let since = now.checked_sub(age).unwrap_or(Timestamp::MIN);
    let checkable = |copy: &&BackupCopy| copy.is_there() || copy.state == CopyState::Missing;
    let checked = |backup: &Backup, copy: &BackupCopy| {
        let looked = copy.verified_at.max(copy.looked_at);
        looked.unwrap_or(backup.finished_at)
    };
    if settings.verify_all {
        let mut old: Vec<(Timestamp, &BackupId)> = known
            .iter()
            .filter_map(|backup| {
                let oldest = backup
                    .copies
                    .iter()
                    .filter(checkable)
                    .map(|copy| checked(backup, copy))
                    .min()?;
                (oldest <= since).then_some((oldest, &backup.id))
            })
            .collect();
        old.sort();
        return old.into_iter().take(AT_ONCE).map(|(_, id)| id.clone()).collect();
    }
    let mut places: BTreeMap<&DestinationId, Vec<(&Backup, &BackupCopy)>> = BTreeMap::new();
    for backup in known {
        for copy in backup.copies.iter().filter(checkable) {
            let at_place = places.entry(&copy.destination_id).or_default();
            at_place.push((backup, copy));
        }
    }
    let mut chosen = BTreeSet::new();
    for copies in places.into_values() {
        let is_old = |(backup, copy): &(&Backup, &BackupCopy)| checked(backup, copy) <= since;
        let Some((newest, older)) = copies.split_first() else {
            continue;
        };
        // The newest one is the most wanted.
        if is_old(newest) {
            chosen.insert(newest.0.id.clone());
        }
        // Of the others, one in each period: the one that nobody looked at for longest.
        let looked_lately = older
            .iter()
            .filter_map(|(_, copy)| copy.verified_at.max(copy.looked_at))
            .any(|looked| looked > since);
        if !looked_lately {
            let longest = older
                .iter()
                .filter(|copy| is_old(copy))
                .min_by_key(|(backup, copy)| (checked(backup, copy), backup.id.clone()));
            chosen.extend(longest.map(|(backup, _)| backup.id.clone()));
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use howdah_domain::{DatabaseId, Place};

    use super::*;

    fn day(number: i64) -> Timestamp {
        Timestamp::from_second(1_780_000_000 + number * 86_400).unwrap()
    }

    fn id(number: i64) -> BackupId {
        let mut random = [0; 10];
        random[0] = u8::try_from(number).unwrap();
        BackupId::new(day(number), random)
    }

    /// A backup of that day, with a copy at each place, last checked on the day given.
    fn backup(number: i64, copies: &[(&str, Option<i64>)]) -> Backup {
        Backup {
            id: id(number),
            database_id: DatabaseId::from_text("db"),
            run_id: None,
            database_name: "shop".to_owned(),
            server_name: "vps".to_owned(),
            started_at: day(number),
            finished_at: day(number),
            raw_bytes: 1,
            stored_bytes: 1,
            tables: 1,
            rows: 1,
            server_version: "18".to_owned(),
            client_version: "18".to_owned(),
            pinned: false,
            encryption: None,
            proof: None,
            copies: copies
                .iter()
                .map(|(place, checked)| BackupCopy {
                    verified_at: checked.map(day),
                    ..BackupCopy::present(DestinationId::from_text(*place), Place::folder("/x"), "x")
                })
                .collect(),
        }
    }

    fn ids(numbers: &[i64]) -> BTreeSet<BackupId> {
        numbers.iter().map(|number| id(*number)).collect()
    }

    #[test]
    fn a_sample_is_the_newest_and_the_longest_unchecked_of_each_destination_once_in_a_period() {
        let known = [
            backup(9, &[("nas", None)]),
            backup(5, &[("nas", None), ("s3", None)]),
            backup(3, &[("nas", Some(4)), ("s3", Some(20))]),
            backup(1, &[("nas", Some(8)), ("s3", None)]),
        ];
        let settings = Settings {
            verify_days: 7,
            ..Settings::default()
        };
        // nas: newest 9, longest unchecked 3; s3: newest 5, longest unchecked 1.
        assert_eq!(due(&known, &settings, day(30)), ids(&[9, 3, 5, 1]));
        // Of the older ones at s3, one was looked at on day 20, and at nas on day 8.
        assert_eq!(due(&known, &settings, day(26)), ids(&[9, 3, 5]));
        assert_eq!(due(&known, &settings, day(12)), ids(&[5]));
        assert_eq!(due(&known, &settings, day(7)), ids(&[]));
        // A look that found something wrong counts as one: others have their turn.
        let mut broken = known;
        broken[2].copies[0].looked_at = Some(day(24));
        assert_eq!(due(&broken, &settings, day(30)), ids(&[9, 5, 1]));
    }

    #[test]
    fn all_are_all_that_nobody_looked_at_for_a_period_the_oldest_first() {
        let known: Vec<Backup> = (1..=40).rev().map(|n| backup(n, &[("nas", None)])).collect();
        let settings = Settings {
            verify_days: 7,
            verify_all: true,
            ..Settings::default()
        };
        let first = due(&known, &settings, day(50));
        assert_eq!(first, ids(&[1, 2]));
        assert_eq!(due(&known, &settings, day(8)), ids(&[1]));
    }

    #[test]
    fn copies_that_are_owed_or_going_are_not_checked() {
        let mut gone = backup(1, &[("nas", None), ("s3", None)]);
        gone.copies[0].state = CopyState::Deleting;
        gone.copies[1].state = CopyState::Wanted;
        let settings = Settings::default();
        assert_eq!(due(&[gone.clone()], &settings, day(30)), ids(&[]));
        gone.copies[1].state = CopyState::Missing;
        assert_eq!(due(&[gone], &settings, day(30)), ids(&[1]));
    }
}
