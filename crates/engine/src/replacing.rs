//! A database replaced by a backup: restored beside it, compared, swapped in; the one that was there is kept for a week.
//!
//! A row in the store says how far that is, and is written before each step on the server. What a dead process left half done is set
//! right as soon as its server can be reached ([`Engine::look_at_replacements`]).

use std::sync::Arc;
use std::time::Duration;

use howdah_domain::{BackupId, Connection, Failure, FailureCode, Phase, ReplacementId, Secret, ServerId};
use howdah_postgres::connect::Session;
use howdah_postgres::databases;
use howdah_postgres::quote;
use howdah_postgres::replace::{self, Place, Record};
use howdah_store::tables::replacements::{self, Replacement, ReplacementState};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::api::{Event, ReplacementView, RestoreOptions};
use crate::engine::{Engine, OrFailure, internal, lock};
use crate::random;
use crate::restore::{RestoreRequest, compare_with, maintenance_session, restore};
use crate::stored::StoredBackup;
use crate::work::Reporter;

/// How long the one that was replaced is kept.
const KEPT: SignedDuration = SignedDuration::from_hours(24 * 7);

/// How long a swap may wait for those who are on the two databases.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long dropping a database may take.
const DROP_PATIENCE: Duration = Duration::from_secs(120);

/// Connections that load and compare at once.
const JOBS: usize = 2;

/// A replacement to be made.
pub(crate) struct Replacing<'a> {
    pub(crate) server_id: &'a ServerId,
    /// How the server is reached, through its tunnel where it has one.
    pub(crate) connection: &'a Connection,
    pub(crate) secret: Option<&'a Secret>,
    pub(crate) database: &'a str,
    pub(crate) backup_id: &'a BackupId,
    pub(crate) stored: &'a StoredBackup,
    pub(crate) options: &'a RestoreOptions,
}

impl Engine {
    /// Replaces a database. Where anything fails before the swap, the one that is there is not touched, and what was restored beside
    /// it is dropped.
    pub(crate) async fn replace_database(
        &self,
        wanted: &Replacing<'_>,
        reporter: &Arc<dyn Reporter>,
        cancel: &CancellationToken,
    ) -> Result<(), Failure> {
        let session = maintenance_session(wanted.connection, wanted.secret, cancel).await?;
        demand_database(&session, wanted.database, cancel).await?;
        let at = TimeZone::UTC.to_datetime(self.0.clock.now());
        let id = ReplacementId::from_random(random::bytes());
        // A name that is this replacement's alone: by it, what was restored is dropped again.
        let word = format!("restored_{}", id.as_str().get(..6).unwrap_or_default());
        let restored = replace::free_name(&session, wanted.database, &word, at, cancel)
            .await
            .or_failure()?;
        drop(session);
        let row = Replacement {
            id,
            server_id: wanted.server_id.clone(),
            database: wanted.database.to_owned(),
            restored,
            backup_id: wanted.backup_id.clone(),
            state: ReplacementState::Restoring,
            record: None,
            owner: Some(self.0.store.owner().clone()),
            created_at: self.0.clock.now(),
            kept_until: None,
        };
        let _at_work = self.at_work(&row.id);
        self.put_replacement(&row).await?;
        let record = match Box::pin(self.restore_beside(wanted, &row, reporter, cancel)).await {
            Ok(record) => record,
            Err(failure) => {
                let dropped = self.drop_restored(wanted.connection, wanted.secret, &row).await;
                return Err(match dropped {
                    Ok(()) => failure.and_hint(format!(
                        "{} was not touched, and what was restored beside it is removed.",
                        wanted.database
                    )),
                    Err(left) => failure.and_hint(format!(
                        "{} was not touched. {} is left beside it and is dropped as soon as that can be done: {}",
                        wanted.database, row.restored, left.message
                    )),
                });
            }
        };
        self.swap_in(wanted, row, record, reporter).await
    }

    /// Restores beside the database, compares, and looks whether the two can be swapped.
    async fn restore_beside(
        &self,
        wanted: &Replacing<'_>,
        row: &Replacement,
        reporter: &Arc<dyn Reporter>,
        cancel: &CancellationToken,
    ) -> Result<Record, Failure> {
        reporter.info(format!(
            "Restoring beside {} as {}.",
            wanted.database, row.restored
        ));
        let request = RestoreRequest {
            backup: wanted.stored.clone(),
            target: wanted.connection.with_database(&row.restored),
            secret: wanted.secret.cloned(),
            options: wanted.options.for_restore(),
            jobs: JOBS,
        };
        let restored = Box::pin(restore(&request, &self.0.programs, reporter, cancel)).await?;
        let comparison = compare_with(
            wanted.stored,
            restored.part.as_ref(),
            &request.target,
            wanted.secret,
            JOBS,
            reporter,
            cancel,
        )
        .await?;
        if let Some(first) = comparison.mismatches.first() {
            return Err(Failure::new(
                FailureCode::NotEqual,
                format!(
                    "{}.{} did not come back as it was dumped, so nothing is replaced.",
                    first.schema, first.name
                ),
            ));
        }
        reporter.info(format!("All {} rows are as they were dumped.", comparison.rows));
        let session = maintenance_session(wanted.connection, wanted.secret, cancel).await?;
        let at = TimeZone::UTC.to_datetime(self.0.clock.now());
        let record = replace::prepare(&session, wanted.database, &row.restored, at, cancel)
            .await
            .or_failure()?;
        for remark in replace::remarks(&session, &record, cancel).await.or_failure()? {
            reporter.warn(remark);
        }
        Ok(record)
    }

    async fn swap_in(
        &self,
        wanted: &Replacing<'_>,
        mut row: Replacement,
        record: Record,
        reporter: &Arc<dyn Reporter>,
    ) -> Result<(), Failure> {
        reporter.phase(Phase::Finishing);
        // From here on it is a matter of seconds, and either all of it happens or nothing.
        let never = CancellationToken::new();
        row.state = ReplacementState::Swapping;
        row.record = Some(text_of(&record)?);
        self.put_replacement(&row).await?;
        let swapping = async {
            let (session, usher) = self.two_sessions(wanted.connection, wanted.secret).await?;
            replace::swap(session, usher, &record, PATIENCE, &never)
                .await
                .or_failure()
        };
        if let Err(failure) = swapping.await {
            if failure.code == FailureCode::ConnectionLost {
                return Err(failure.and_hint(
                    "Whether the names were exchanged shows when the server can be reached again: Howdah looks then, and sets it right.",
                ));
            }
            let dropped = self.drop_restored(wanted.connection, wanted.secret, &row).await;
            return Err(match dropped {
                Ok(()) => failure.and_hint(format!("{} is as it was.", wanted.database)),
                Err(left) => failure.and_hint(format!(
                    "{} is as it was. {} is left beside it and is dropped as soon as that can be done: {}",
                    wanted.database, row.restored, left.message
                )),
            });
        }
        reporter.info(format!(
            "{} is replaced. What was there is kept as {} for seven days.",
            record.name, record.kept
        ));
        self.is_swapped(row).await
    }

    /// Says, for as long as what it answers lives, that a run of this process works on a replacement. One of ours that no run works on
    /// is seen to like one of the dead: its server was away at the end, or the end could not be written down.
    fn at_work(&self, id: &ReplacementId) -> AtWork<'_> {
        lock(&self.0.replacing).insert(id.clone());
        AtWork {
            engine: self,
            id: id.clone(),
        }
    }

    async fn is_swapped(&self, row: Replacement) -> Result<(), Failure> {
        let now = self.0.clock.now();
        self.put_replacement(&Replacement {
            state: ReplacementState::Swapped,
            owner: None,
            kept_until: Some(now.checked_add(KEPT).unwrap_or(Timestamp::MAX)),
            ..row
        })
        .await
    }

    /// Gives a replaced database its name back. What was restored stays beside it; answers its name.
    ///
    /// # Errors
    /// [`FailureCode::NotFound`]; those of the swap.
    pub async fn put_back(&self, id: &ReplacementId) -> Result<String, Failure> {
        let row = self.replacement(id).await?;
        let record = record_of(&row)?;
        let server = self.server(&row.server_id).await?;
        let cancel = self.0.ending.child_token();
        let at = TimeZone::UTC.to_datetime(self.0.clock.now());
        let name = self
            .within_reach(&server, &cancel, async |connection, secret| {
                let (session, usher) = self.two_sessions(connection, secret).await?;
                replace::put_back(session, usher, &record, at, PATIENCE, &cancel)
                    .await
                    .or_failure()
            })
            .await?;
        self.forget_replacement(id).await?;
        Ok(name)
    }

    /// Drops a replaced database before its week is over.
    ///
    /// # Errors
    /// [`FailureCode::NotFound`]; those of the server.
    pub async fn drop_kept(&self, id: &ReplacementId) -> Result<(), Failure> {
        let row = self.replacement(id).await?;
        self.drop_kept_of(&row).await
    }

    async fn drop_kept_of(&self, row: &Replacement) -> Result<(), Failure> {
        let record = record_of(row)?;
        let server = self.server(&row.server_id).await?;
        let cancel = self.0.ending.child_token();
        let dropped = self
            .within_reach(&server, &cancel, async |connection, secret| {
                let session = maintenance_session(connection, secret, &cancel).await?;
                replace::drop_kept(&session, &record, &cancel).await.or_failure()
            })
            .await;
        match dropped {
            Ok(()) => self.forget_replacement(&row.id).await,
            // Somebody dropped or renamed it, or put it back: there is nothing left that is ours to drop.
            Err(failure) if failure.code == FailureCode::NotFound => {
                self.forget_replacement(&row.id).await?;
                Err(failure)
            }
            Err(failure) => Err(failure),
        }
    }

    /// Databases that were replaced and are kept.
    pub async fn list_replacements(&self) -> Result<Vec<ReplacementView>, Failure> {
        let rows = self.0.store.read(replacements::list).await.or_failure()?;
        Ok(rows.iter().filter_map(view).collect())
    }

    /// Sets right what dead processes left half done, and drops what was kept for its week. What cannot be reached now is looked at
    /// again later.
    pub(crate) async fn look_at_replacements(&self) -> Result<(), Failure> {
        let now = self.0.clock.now();
        let rows = self.0.store.read(replacements::list).await.or_failure()?;
        if rows.is_empty() {
            return Ok(());
        }
        // After the rows: who is not counted did not live when they were read.
        let living = self.0.store.living_owners().await.or_failure()?;
        for row in rows {
            let is_ours_to_see_to = match &row.owner {
                Some(owner) if owner == self.0.store.owner() => !lock(&self.0.replacing).contains(&row.id),
                Some(owner) => !living.contains(owner),
                None => row.kept_until.is_some_and(|until| until <= now),
            };
            if !is_ours_to_see_to {
                continue;
            }
            if let Err(failure) = self.see_to(&row).await {
                tracing::warn!(%failure, database = row.database, "a replacement could not be seen to; it is tried again later");
            }
        }
        Ok(())
    }

    async fn see_to(&self, row: &Replacement) -> Result<(), Failure> {
        if row.state == ReplacementState::Swapped {
            return self.drop_kept_of(row).await;
        }
        let server = self.server(&row.server_id).await?;
        let cancel = self.0.ending.child_token();
        let place = self
            .within_reach(&server, &cancel, async |connection, secret| {
                let Some(record) = &row.record else {
                    self.drop_restored(connection, secret, row).await?;
                    return Ok(None);
                };
                let record: Record = parsed(record)?;
                let session = maintenance_session(connection, secret, &cancel).await?;
                let place = replace::repair(&session, &record, &cancel).await.or_failure()?;
                if let Place::Before { restored: Some(_) } = place {
                    self.drop_restored(connection, secret, row).await?;
                }
                Ok(Some(place))
            })
            .await?;
        match place {
            Some(Place::Swapped) => self.is_swapped(row.clone()).await,
            Some(
                Place::Before { restored: None }
                | Place::Stranger(_)
                | Place::Nobody { .. }
                | Place::OtherServer,
            ) => {
                tracing::warn!(
                    database = row.database,
                    ?place,
                    "a replacement is not as it was left, and is let go"
                );
                self.forget_replacement(&row.id).await
            }
            Some(Place::Before { .. }) | None => Ok(()),
        }
    }

    /// Drops what was restored beside a database, and forgets the replacement.
    async fn drop_restored(
        &self,
        connection: &Connection,
        secret: Option<&Secret>,
        row: &Replacement,
    ) -> Result<(), Failure> {
        let never = CancellationToken::new();
        let session = maintenance_session(connection, secret, &never).await?;
        drop_database(&session, &row.restored, &never).await?;
        self.forget_replacement(&row.id).await
    }

    async fn two_sessions(
        &self,
        connection: &Connection,
        secret: Option<&Secret>,
    ) -> Result<(Session, Session), Failure> {
        let never = CancellationToken::new();
        Ok((
            maintenance_session(connection, secret, &never).await?,
            maintenance_session(connection, secret, &never).await?,
        ))
    }

    async fn put_replacement(&self, row: &Replacement) -> Result<(), Failure> {
        let row = row.clone();
        self.0
            .store
            .write(move |tx| replacements::put(tx, &row))
            .await
            .or_failure()?;
        self.0.events.send(Event::Databases);
        Ok(())
    }

    async fn forget_replacement(&self, id: &ReplacementId) -> Result<(), Failure> {
        let id = id.clone();
        self.0
            .store
            .write(move |tx| replacements::remove(tx, &id))
            .await
            .or_failure()?;
        self.0.events.send(Event::Databases);
        Ok(())
    }

    async fn replacement(&self, id: &ReplacementId) -> Result<Replacement, Failure> {
        let id = id.clone();
        self.0
            .store
            .read(move |c| replacements::get(c, &id))
            .await
            .or_failure()?
            .filter(|row| row.state == ReplacementState::Swapped)
            .ok_or_else(|| Failure::new(FailureCode::NotFound, "What was replaced is not kept any more."))
    }
}

/// A run of this process that works on a replacement.
struct AtWork<'a> {
    engine: &'a Engine,
    id: ReplacementId,
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        lock(&self.engine.0.replacing).remove(&self.id);
    }
}

/// There must be something to replace.
async fn demand_database(session: &Session, name: &str, cancel: &CancellationToken) -> Result<(), Failure> {
    if !databases::exists(session, name, DROP_PATIENCE, cancel)
        .await
        .or_failure()?
    {
        return Err(Failure::new(
            FailureCode::DatabaseNotFound,
            format!("There is no database {name} on the server to replace."),
        )
        .hint("Restore it as a new database."));
    }
    Ok(())
}

/// Drops a database of ours where it is there, whoever is on it.
async fn drop_database(session: &Session, name: &str, cancel: &CancellationToken) -> Result<(), Failure> {
    let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quote::ident(name));
    session
        .run(
            "dropping what was restored",
            DROP_PATIENCE,
            cancel,
            session.client.batch_execute(&drop),
        )
        .await
        .or_failure()
}

fn text_of(record: &Record) -> Result<String, Failure> {
    serde_json::to_string(record)
        .map_err(|error| internal("What a swap is about could not be written.", &error))
}

fn parsed(record: &str) -> Result<Record, Failure> {
    serde_json::from_str(record).map_err(|error| internal("What a swap is about could not be read.", &error))
}

fn record_of(row: &Replacement) -> Result<Record, Failure> {
    match &row.record {
        Some(record) => parsed(record),
        None => Err(internal("A replacement says nothing about its swap.", &row.id)),
    }
}

fn view(row: &Replacement) -> Option<ReplacementView> {
    if row.state != ReplacementState::Swapped {
        return None;
    }
    let record: Record = row.record.as_deref().and_then(|text| parsed(text).ok())?;
    Some(ReplacementView {
        id: row.id.clone(),
        server_id: row.server_id.clone(),
        database: row.database.clone(),
        kept: record.kept,
        backup_id: row.backup_id.clone(),
        replaced_at: row.created_at,
        kept_until: row.kept_until?,
    })
}
