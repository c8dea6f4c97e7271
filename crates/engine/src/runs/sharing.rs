//! A backup that is due on two machines: taken by one, left by the other, which comes to know it, or makes it after all.

use std::sync::Arc;
use std::time::Duration;

use howdah_domain::{Connection, DatabaseId, DestinationId, Failure, PlanId, Secret, Trigger};
use howdah_postgres::connect::{APPLICATION_NAME, connect};
use howdah_postgres::databases::system_identifier;
use howdah_storage::ObjectPath;
use howdah_store::tables::backups::{self, BackupCopy};
use howdah_store::tables::destinations::{self, Destination};
use howdah_store::tables::runs::Run;
use howdah_store::tables::{databases, plans};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::api::Event;
use crate::backup::{CONNECT_TIMEOUT, Target};
use crate::catalog::folder_of_database;
use crate::claims::{Claim, Claimed, Due, Held, claim, is_taken};
use crate::engine::{Engine, OrFailure, lock};
use crate::work::Reporter;

/// How long a destination may take to say who makes a backup.
const PATIENCE: Duration = Duration::from_secs(60);

/// When the backup that another machine makes is looked for. The last look is when its claim counts no more.
const LOOKS: [Duration; 5] = [
    Duration::from_secs(10),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 3600),
    Duration::from_secs(4 * 3600),
];

/// What is to be done with a due backup.
pub(super) enum Share {
    /// This machine makes it; what it holds so that no other does, where the destinations can tell.
    Ours(Option<Held>),
    /// Another machine makes it.
    Left(Claim),
}

/// Whose backup is due, and what it is made with.
pub(super) struct Asked<'a> {
    pub(super) run: &'a Run,
    pub(super) connection: &'a Connection,
    pub(super) password: Option<&'a Secret>,
    pub(super) there: &'a [(Destination, Target)],
    pub(super) reporter: &'a Arc<dyn Reporter>,
}

/// A backup that another machine makes.
struct Left {
    plan_id: PlanId,
    database_id: DatabaseId,
    destination_id: DestinationId,
    server: String,
    identity: String,
    due_at: Timestamp,
    run: Run,
}

impl Engine {
    /// Takes a due backup, or leaves it to another machine. It is asked of the first of the plan's destinations that can tell.
    pub(super) async fn share(
        &self,
        asked: Asked<'_>,
        due: &mut Due<'_>,
        cancel: &CancellationToken,
    ) -> Result<Share, Failure> {
        let Asked {
            run,
            connection,
            password,
            there,
            reporter,
        } = asked;
        // A folder of this machine is nobody else's, and a share tells too little of who else writes there.
        let remote: Vec<&(Destination, Target)> =
            there.iter().filter(|(row, _)| !row.place.is_local()).collect();
        if remote.is_empty() {
            return Ok(Share::Ours(None));
        }
        let session = connect(connection, password, APPLICATION_NAME, CONNECT_TIMEOUT, cancel)
            .await
            .or_failure()?;
        // Two servers may have one name and address, `localhost` above all; and one that was cloned file by file has the number of the
        // other. A server that is not known to be the same one is another: a backup made twice is better than none.
        let Some(number) = system_identifier(&session).await else {
            return Ok(Share::Ours(None));
        };
        drop(session);
        let tunnel = connection.tunnel.as_ref().map_or("", |tunnel| &tunnel.host);
        let identity = format!("{number} {}:{} by {tunnel}", connection.host, connection.port);
        due.identity.clone_from(&identity);
        let machine = self.machine().await?;
        for (row, target) in remote {
            let claiming = async {
                target.destination.learn(cancel).await.or_failure()?;
                if !target.destination.excludes_others() {
                    return Ok(None);
                }
                let now = self.0.clock.now();
                claim(&target.destination, due, &machine, now, cancel)
                    .await
                    .map(Some)
            };
            let why = match tokio::time::timeout(PATIENCE, Box::pin(claiming)).await {
                Ok(Ok(None)) => continue,
                Ok(Ok(Some(Claimed::Ours(held)))) => return Ok(Share::Ours(Some(held))),
                Ok(Ok(Some(Claimed::Theirs(theirs)))) => {
                    self.learn_of_it_later(Left {
                        plan_id: due.plan.id.clone(),
                        database_id: run
                            .database_id
                            .clone()
                            .unwrap_or_else(|| DatabaseId::from_text("")),
                        destination_id: row.id.clone(),
                        server: due.server.to_owned(),
                        identity,
                        due_at: due.at,
                        run: run.clone(),
                    });
                    return Ok(Share::Left(theirs));
                }
                Ok(Err(failure)) if failure.is_cancelled() => return Err(failure),
                Ok(Err(failure)) => failure.message,
                Err(_) => "it did not answer in time".to_owned(),
            };
            reporter.warn(format!(
                "Whether another machine makes this backup could not be asked of {} ({why}).",
                target.name
            ));
        }
        Ok(Share::Ours(None))
    }

    /// Looks for a backup that another machine makes, until it is listed here too. Where that machine gave it up, it is made here.
    fn learn_of_it_later(&self, left: Left) {
        let key = (left.destination_id.clone(), left.database_id.clone());
        if !lock(&self.0.learning).insert(key.clone()) {
            return;
        }
        let engine = self.clone();
        self.spawn(async move {
            for (number, pause) in LOOKS.into_iter().enumerate() {
                tokio::select! {
                    () = engine.0.ending.cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                }
                let last = number + 1 == LOOKS.len();
                match engine.learn_of_it(&left, last).await {
                    Ok(true) => break,
                    Ok(false) => {}
                    Err(failure) => {
                        tracing::debug!(%failure, "another machine's backup could not be looked for");
                    }
                }
            }
            lock(&engine.0.learning).remove(&key);
        });
    }

    /// Looks once. Answers whether that was all.
    async fn learn_of_it(&self, left: &Left, last: bool) -> Result<bool, Failure> {
        let row = self.destination(&left.destination_id).await?;
        let folder =
            ObjectPath::new(folder_of_database(&left.server, &left.run.database_name)).or_failure()?;
        let (report, _) = self.look_below(&row, Some(&folder)).await?;
        if report.added > 0 {
            self.0.events.send(Event::Backups {
                database_id: left.database_id.clone(),
            });
            self.0.events.send(Event::Databases);
        }
        let (plan, database, newest) = {
            let (plan_id, database_id) = (left.plan_id.clone(), left.database_id.clone());
            self.0
                .store
                .read(move |c| {
                    Ok((
                        plans::get(c, &plan_id)?,
                        databases::get(c, &database_id)?,
                        backups::newest_good(c, &database_id)?,
                    ))
                })
                .await
                .or_failure()?
        };
        let (Some(plan), Some(database)) = (plan, database) else {
            return Ok(true);
        };
        if let Some(newest) = newest.filter(|newest| newest.started_at >= left.due_at) {
            self.want_other_copies(&plan.destinations, &newest).await?;
            self.prune_after(&left.plan_id, &left.database_id).await?;
            return Ok(true);
        }
        let destination = self.open_destination(&row).await?;
        let due = Due {
            plan: &plan,
            server: &left.server,
            database: &database.name,
            identity: left.identity.clone(),
            at: left.due_at,
        };
        if !last && is_taken(&destination, &due, &self.0.ending).await? {
            return Ok(false);
        }
        // It was given up: it comes to whoever asks first.
        let occurrence = left.run.occurrence_id.clone().map(|id| (id, left.due_at));
        let again = self.backup_run(&plan, &database, &left.server, Trigger::Schedule, occurrence);
        self.enqueue(vec![again]).await?;
        Ok(true)
    }

    /// The plan's other destinations are to have the backup too.
    async fn want_other_copies(
        &self,
        plan: &[DestinationId],
        backup: &backups::Backup,
    ) -> Result<(), Failure> {
        let Some(path) = backup.copies.first().map(|copy| copy.path.clone()) else {
            return Ok(());
        };
        let (plan, backup, now) = (plan.to_vec(), backup.clone(), self.0.clock.now());
        self.0
            .store
            .write(move |tx| {
                for id in &plan {
                    let known = backup.copies.iter().any(|copy| copy.destination_id == *id);
                    if let (false, Some(row)) = (known, destinations::get(tx, id)?) {
                        let wanted = BackupCopy::wanted(row.id, row.place, path.clone(), None, now);
                        backups::insert_copy(tx, &backup.id, &wanted)?;
                    }
                }
                Ok(())
            })
            .await
            .or_failure()?;
        self.0.copies_changed.notify_one();
        Ok(())
    }
}
