//! What lasts, found in what the store says: backups that fail or are overdue, drills, copies, destinations, this machine's disk.
//!
//! It is looked for again whenever something ended and once a minute, and compared with what is open: so what began is told once, however
//! often it is found, and nothing is lost when Howdah dies between the event and the telling.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use howdah_domain::units::{duration, size};
use howdah_domain::{AlertKind, Failure, FailureCode, Plan, RunKind, RunState, WaitReason};
use howdah_notify::Message;
use howdah_store::tables::overview::Standing;
use howdah_store::tables::troubles::{self, TroubledCopies};
use howdah_store::tables::{alerts, backups::CopyState, destinations, overview, plans};
use jiff::{SignedDuration, Timestamp};

use super::News;
use crate::api::{Event, NeedKind};
use crate::decide::is_overdue;
use crate::engine::{Engine, OrFailure};
use crate::events;
use crate::needs;
use crate::pages::summary;
use crate::plans::plan_of;
use crate::runs::news;

/// It is looked for this often, whatever happens.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// Events come in rows.
const SETTLE: Duration = Duration::from_millis(500);

/// After the start, what is due is made up for first: a laptop that was off for a week has nothing overdue that it can do something about.
const AFTER_START: SignedDuration = SignedDuration::from_secs(60);

/// This machine's disk is nearly full with less than this, in bytes.
const LEAST_FREE: u64 = 2_000_000_000;

/// Kinds that are found here; another one that is open is somebody else's.
const FOUND_HERE: [AlertKind; 13] = [
    AlertKind::BackupFailed,
    AlertKind::BackupOverdue,
    AlertKind::DrillFailed,
    AlertKind::Unproved,
    AlertKind::CopyLost,
    AlertKind::CopyOwed,
    AlertKind::DestinationUnreachable,
    AlertKind::DestinationFull,
    AlertKind::SignInExpiring,
    AlertKind::DiskLow,
    AlertKind::ConnectionsHigh,
    AlertKind::TransactionIdsLow,
    AlertKind::CertificateExpiring,
];

/// What is found of a condition.
pub(super) enum Found {
    /// It holds.
    Holds(Box<News>),
    /// Nobody can tell now: whatever was open stays so.
    Unclear(AlertKind, String),
}

/// Runs until the engine ends.
pub(crate) async fn run(engine: Engine) {
    let mut events = engine.events();
    loop {
        if let Err(failure) = engine.look_at_alerts().await {
            tracing::error!(%failure, "what lasts could not be looked at");
        }
        tokio::select! {
            () = engine.0.ending.cancelled() => return,
            () = engine.0.conditions_changed.notified() => {}
            () = events::any(&mut events, SETTLE, may_begin_or_end) => {}
            () = tokio::time::sleep(LOOK_AGAIN) => {}
        }
    }
}

/// Whether something may have begun or ended.
fn may_begin_or_end(event: Option<&Event>) -> bool {
    match event {
        Some(Event::Run { run }) => run.state.is_final(),
        Some(Event::Backups { .. } | Event::Destinations | Event::Databases) | None => true,
        Some(_) => false,
    }
}

impl Engine {
    /// Compares what holds now with what is open, tells what began, and closes what is over.
    ///
    /// It is done by itself once a minute and whenever something ended.
    pub async fn look_at_alerts(&self) -> Result<(), Failure> {
        let now = self.0.clock.now();
        let low = self.low_disks(now).await?;
        let fresh = now.duration_since(self.0.started_at) < AFTER_START;
        let changed = self
            .0
            .store
            .write(move |tx| {
                let mut found = low;
                let plans = plans::list(tx)?;
                for standing in overview::standings(tx)? {
                    let plan = plan_of(&plans, &standing.database);
                    found.extend(of_backups(&standing, plan, fresh, now));
                    found.extend(of_drills(&standing, &plans, now));
                }
                found.extend(
                    troubles::list(tx, needs::ATTEMPTS)?
                        .into_iter()
                        .map(|each| of_copies(&each, now)),
                );
                found.extend(
                    destinations::list(tx)?
                        .iter()
                        .filter_map(|row| of_destination(row, now)),
                );
                found.extend(super::server_health::found(tx, now)?);
                settle(tx, found, now)
            })
            .await
            .or_failure()?;
        if changed {
            self.told();
        }
        Ok(())
    }

    /// Disks of this machine that are nearly full: the data directory's, and those that backups are kept on.
    async fn low_disks(&self, now: Timestamp) -> Result<Vec<Found>, Failure> {
        let mut places = vec![(
            "Howdah's own data".to_owned(),
            self.data_dir().to_owned(),
            "data".to_owned(),
        )];
        for row in self.0.store.read(destinations::list).await.or_failure()? {
            if let Some(path) = row.place.as_folder() {
                places.push((row.name.clone(), path.to_owned(), row.id.to_string()));
            }
        }
        let mut found = Vec::new();
        for (name, path, subject) in places {
            match self.free_bytes(&path).await {
                Some(free) if free < LEAST_FREE => {
                    let message = Message::new(
                        AlertKind::DiskLow,
                        now,
                        format!("The disk of {name} is nearly full"),
                        format!(
                            "{} are free where {} lies. Backups fail when nothing is left: make room, or move them to another destination.",
                            size(free),
                            path.display()
                        ),
                    );
                    found.push(Found::Holds(Box::new(
                        News::new(message.route("/destinations")).lasting(subject),
                    )));
                }
                Some(_) => {}
                None => found.push(Found::Unclear(AlertKind::DiskLow, subject)),
            }
        }
        Ok(found)
    }

    /// Bytes free where a folder lies, or is to be made; none where nobody can tell within a moment.
    async fn free_bytes(&self, path: &Path) -> Option<u64> {
        let permit = Arc::clone(&self.0.disk_looks).try_acquire_owned().ok()?;
        let path = path.to_owned();
        let looked = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            crate::drill::free_space(&path)
        });
        tokio::time::timeout(Duration::from_secs(2), looked)
            .await
            .ok()?
            .ok()?
    }
}

/// Tells what began, ends what is over. Whether anything changed.
fn settle(c: &howdah_store::Connection, found: Vec<Found>, now: Timestamp) -> howdah_store::Result<bool> {
    let mut standing: HashSet<(AlertKind, String)> = HashSet::new();
    let mut changed = false;
    for each in found {
        match each {
            Found::Unclear(kind, subject) => {
                standing.insert((kind, subject));
            }
            Found::Holds(news) => {
                standing.extend(news.subject.clone().map(|subject| (news.message.kind, subject)));
                changed |= (*news).raise(c)?;
            }
        }
    }
    for open in alerts::all_lasting(c)? {
        let Some(subject) = open.subject.clone() else {
            continue;
        };
        if FOUND_HERE.contains(&open.kind)
            && !subject.starts_with(news::TRY)
            && !standing.contains(&(open.kind, subject))
        {
            changed |= alerts::end(c, &open.id, now)?;
        }
    }
    Ok(changed)
}

/// Whether a database's backups fail, or are overdue.
fn of_backups(standing: &Standing, plan: Option<&Plan>, fresh: bool, now: Timestamp) -> Vec<Found> {
    let subject = standing.database.id.to_string();
    let name = &standing.database.name;
    let mut found = Vec::new();
    let Some(plan) = plan.filter(|plan| plan.enabled && standing.database.vanished_at.is_none()) else {
        return found;
    };
    if let Some(run) = &standing.last_run {
        match (run.state, &run.failure) {
            // It will be overdue too, which says nothing new.
            (RunState::Failed, Some(failure)) => {
                found.push(Found::Holds(Box::new(news::backup_failed(run, failure, now))));
                found.push(Found::Unclear(AlertKind::BackupOverdue, subject));
                return found;
            }
            // A run that somebody cancelled, or that was left out, neither begins a streak nor ends one.
            (RunState::Cancelled | RunState::Skipped { .. } | RunState::Interrupted, _) => {
                found.push(Found::Unclear(AlertKind::BackupFailed, subject.clone()));
            }
            _ => {}
        }
    }
    let since = standing
        .last_backup
        .as_ref()
        .map_or(plan.created_at, |backup| backup.finished_at);
    let Some(period) = plan
        .schedule
        .period()
        .filter(|period| is_overdue(since, *period, now))
    else {
        return found;
    };
    let begun = standing
        .active_runs
        .iter()
        .any(|run| run.kind == RunKind::Backup && run.failure.is_none() && !is_held_up(run.state));
    if fresh || begun {
        found.push(Found::Unclear(AlertKind::BackupOverdue, subject));
        return found;
    }
    let ago = duration(now.duration_since(since).unsigned_abs());
    let last = match &standing.last_backup {
        Some(_) => format!(
            "Its last good backup is {ago} old, and one is due every {}.",
            every(period)
        ),
        None => format!("It has had a plan for {ago}, and no backup yet."),
    };
    let why = match standing.active_runs.iter().find_map(|run| run.failure.as_ref()) {
        Some(failure) => format!("{last}\nThe last try: {}", failure.message),
        None => format!("{last}\nOpen the database's page to see what holds it up, or back it up now."),
    };
    let message = Message::new(
        AlertKind::BackupOverdue,
        now,
        format!("The backup of {name} is overdue"),
        why,
    );
    found.push(Found::Holds(Box::new(
        News::new(message.route(format!("/databases/{}", standing.database.id)))
            .lasting(subject)
            .about(Some(&standing.database.id)),
    )));
    found
}

/// Whether a run waits for something that may not come for days.
fn is_held_up(state: RunState) -> bool {
    matches!(
        state,
        RunState::Waiting {
            reason: WaitReason::Keyring | WaitReason::Power | WaitReason::Metered | WaitReason::Hours
        }
    )
}

fn every(period: SignedDuration) -> String {
    match period.as_hours() {
        1 => "hour".to_owned(),
        24 => "day".to_owned(),
        168 => "week".to_owned(),
        hours if hours % 24 == 0 => format!("{} days", hours / 24),
        hours => format!("{hours} hours"),
    }
}

/// Whether a database's drills found something, or there was none for 90 days.
fn of_drills(standing: &Standing, plans: &[Plan], now: Timestamp) -> Option<Found> {
    let need = needs::of_proofs(&summary(standing, plans, now), now)?;
    let id = &standing.database.id;
    let name = &standing.database.name;
    let message = match need.kind {
        NeedKind::NotProved => Message::new(
            AlertKind::DrillFailed,
            need.since.unwrap_or(now),
            format!("A backup of {name} is not proved"),
            "What was restored is not what was dumped. The drill's report names each table that differs.",
        )
        .route(match &need.run_id {
            Some(run) => format!("/runs/{run}"),
            None => format!("/databases/{id}"),
        }),
        _ => Message::new(
            AlertKind::Unproved,
            now,
            format!("No backup of {name} was proved for 90 days"),
            "A backup that nobody has restored is a hope. Run a drill on the backup's page, or have one made by the plan.",
        )
        .route(format!("/databases/{id}")),
    };
    Some(Found::Holds(Box::new(
        News::new(message).lasting(id.to_string()).about(Some(id)),
    )))
}

/// Copies that are lost, or owed for too long.
fn of_copies(troubled: &TroubledCopies, now: Timestamp) -> Found {
    let (database, place) = (&troubled.database_name, &troubled.destination_name);
    let failure = troubled
        .failure
        .clone()
        .unwrap_or_else(|| Failure::new(FailureCode::DestinationFailed, "Why is not known."));
    let (kind, title) = match troubled.state {
        CopyState::Wanted => (
            AlertKind::CopyOwed,
            format!("Copies of {database} do not reach {place}"),
        ),
        CopyState::Deleting => (
            AlertKind::CopyOwed,
            format!("Copies of {database} cannot be deleted at {place}"),
        ),
        CopyState::Damaged => (
            AlertKind::CopyLost,
            format!("A copy of {database} at {place} is damaged"),
        ),
        CopyState::Missing | CopyState::Present => (
            AlertKind::CopyLost,
            format!("A copy of {database} at {place} is missing"),
        ),
    };
    let message =
        Message::failed(kind, now, title, &failure).route(format!("/backups/{}", troubled.backup_id));
    let subject = format!("{}/{}", troubled.database_id, troubled.destination_id);
    Found::Holds(Box::new(
        News::new(message)
            .lasting(subject)
            .about(Some(&troubled.database_id)),
    ))
}

/// What the last look at a destination found.
fn of_destination(row: &destinations::Destination, now: Timestamp) -> Option<Found> {
    let failure = row.failure.as_ref()?;
    let (kind, title) = match failure.code {
        FailureCode::SignInNeeded => (
            AlertKind::SignInExpiring,
            format!("{} needs you to sign in again", row.name),
        ),
        FailureCode::DiskFull => (AlertKind::DestinationFull, format!("{} is full", row.name)),
        _ => (
            AlertKind::DestinationUnreachable,
            format!("{} cannot be used", row.name),
        ),
    };
    let message = Message::failed(kind, row.checked_at.unwrap_or(now), title, failure).route("/destinations");
    Some(Found::Holds(Box::new(
        News::new(message).lasting(row.id.to_string()),
    )))
}
