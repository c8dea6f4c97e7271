//! Runs the schedule: claims due times, and records their runs.
//!
//! A due time is claimed by inserting its row, so it runs once, whatever the clock does and however often Howdah is
//! started. The wall clock is read at least every fifteen seconds; due times missed meanwhile (asleep, not running) become
//! one run of the latest.

use std::time::{Duration, Instant};

use howdah_domain::{
    AlertKind, DatabaseId, Failure, FailureCode, OccurrenceId, Plan, RunKind, RunState, Schedule, Scope,
    SkipReason, Trigger,
};
use howdah_notify::Message;
use howdah_store::tables::databases::{self, Database, Discovery};
use howdah_store::tables::runs::{self, NewRun, Outcome, Run};
use howdah_store::tables::{backups, occurrences, plans, run_logs, settings};
use howdah_store::{OwnerId, Result as StoreResult};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::api::{Event, NextRun, SchedulerView};
use crate::decide;
use crate::engine::{Engine, OrFailure};
use crate::random;
use crate::runs::Subject;
use crate::telling::News;

/// The wall clock is read at least this often.
const LOOK_AGAIN: Duration = Duration::from_secs(15);

/// Claims older than this are forgotten; the latest of each plan stays.
const KEEP_CLAIMS: SignedDuration = SignedDuration::from_hours(24 * 400);

/// Logs of runs that ended before that are forgotten; the runs stay.
const KEEP_LOGS: SignedDuration = SignedDuration::from_hours(24 * 180);

/// How often what is too old is forgotten.
const FORGET: Duration = Duration::from_secs(3600);

/// Runs until the engine ends.
pub(crate) async fn run(engine: Engine) {
    let mut told = None;
    let mut forgot: Option<Instant> = None;
    loop {
        if let Err(failure) = engine.claim_what_is_due().await {
            tracing::error!(%failure, "the schedule could not be looked at");
        }
        if forgot.is_none_or(|at| at.elapsed() >= FORGET) {
            if let Err(failure) = engine.forget_what_is_old().await {
                tracing::warn!(%failure, "what is old could not be forgotten");
            }
            forgot = Some(Instant::now());
        }
        let view = engine.scheduler().await.ok();
        if view != told
            && let Some(scheduler) = view.clone()
        {
            engine.0.events.send(Event::Scheduler { scheduler });
            told.clone_from(&view);
        }
        let now = engine.0.clock.now();
        let wait = view
            .and_then(|view| view.next)
            .and_then(|next| Duration::try_from(next.at.duration_since(now)).ok())
            .map_or(LOOK_AGAIN, |wait| wait.min(LOOK_AGAIN));
        tokio::select! {
            () = engine.0.ending.cancelled() => return,
            () = engine.0.schedule_changed.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

impl Engine {
    /// The scheduler's state.
    pub async fn scheduler(&self) -> Result<SchedulerView, Failure> {
        let now = self.0.clock.now();
        let (paused_until, due) = self
            .0
            .store
            .read(move |c| {
                let paused_until = settings::paused_until(c)?.filter(|until| *until > now);
                let mut due: Option<(Timestamp, Plan)> = None;
                for plan in plans::list(c)?.into_iter().filter(|plan| plan.enabled) {
                    let handled = handled_until(c, &plan, now)?;
                    let from = paused_until.unwrap_or(now).max(handled);
                    let next = zone(&plan).and_then(|zone| plan.schedule.next_after(from, &zone));
                    if let Some(next) = next
                        && due.as_ref().is_none_or(|(first, _)| next < *first)
                    {
                        due = Some((next, plan));
                    }
                }
                Ok((paused_until, due))
            })
            .await
            .or_failure()?;
        let next = match due {
            None => None,
            Some((at, plan)) => {
                let name = match &plan.scope {
                    Scope::Database { name } => name.clone(),
                    Scope::AllDatabases { .. } => self
                        .server(&plan.server_id)
                        .await
                        .map(|row| row.server.name)
                        .unwrap_or_default(),
                };
                Some(NextRun {
                    at,
                    plan_id: plan.id,
                    name,
                })
            }
        };
        let running = u32::try_from(self.active().len()).unwrap_or(u32::MAX);
        Ok(SchedulerView {
            owned: self.owns_schedule(),
            paused_until,
            next,
            running,
        })
    }

    /// Pauses the schedule until then; none ends the pause. Due times within a pause are not made up for.
    pub async fn pause(&self, until: Option<Timestamp>) -> Result<SchedulerView, Failure> {
        let (now, owner) = (self.0.clock.now(), self.0.store.owner().clone());
        self.0
            .store
            .write(move |tx| {
                // Pressed without a pause, it must not swallow what is due at this moment.
                let paused = settings::paused_until(tx)?.is_some_and(|until| until > now);
                if until.is_none() && paused {
                    for plan in plans::list(tx)? {
                        handle_until(tx, &plan, &owner, now)?;
                    }
                }
                settings::set_paused_until(tx, until)
            })
            .await
            .or_failure()?;
        let scheduler = self.scheduler().await?;
        self.0.events.send(Event::Scheduler {
            scheduler: scheduler.clone(),
        });
        self.0.schedule_changed.notify_one();
        Ok(scheduler)
    }

    /// Claims every due time that has come.
    async fn claim_what_is_due(&self) -> Result<(), Failure> {
        let now = self.0.clock.now();
        let due = self
            .0
            .store
            .read(move |c| {
                let paused_until = settings::paused_until(c)?;
                if paused_until.is_some_and(|until| until > now) {
                    return Ok(Vec::new());
                }
                let mut due = Vec::new();
                for plan in plans::list(c)?.into_iter().filter(|plan| plan.enabled) {
                    // A pause that has ended by itself: what was due within it is not made up for.
                    let handled = handled_until(c, &plan, now)?.max(paused_until.unwrap_or(Timestamp::MIN));
                    if let Some(zone) = zone(&plan)
                        && let Some(at) = decide::latest_due(&plan.schedule, &zone, handled, now)
                    {
                        due.push((plan, at));
                    }
                }
                Ok(due)
            })
            .await
            .or_failure()?;
        for (plan, at) in due {
            self.claim(plan, at).await?;
        }
        Ok(())
    }

    /// Forgets claims and logs that are too old to be asked for.
    async fn forget_what_is_old(&self) -> Result<(), Failure> {
        let now = self.0.clock.now();
        let before = |keep| now.checked_sub(keep).unwrap_or(Timestamp::MIN);
        let (claims, logs) = (before(KEEP_CLAIMS), before(KEEP_LOGS));
        self.0
            .store
            .write(move |tx| {
                occurrences::prune(tx, claims)?;
                run_logs::prune(tx, logs)
            })
            .await
            .or_failure()?;
        Ok(())
    }

    /// Claims one due time, and records its runs.
    async fn claim(&self, plan: Plan, due_at: Timestamp) -> Result<(), Failure> {
        let id = OccurrenceId::from_random(random::bytes());
        let (owner, now) = (self.0.store.owner().clone(), self.0.clock.now());
        let claimed = {
            let (id, plan_id) = (id.clone(), plan.id.clone());
            self.0
                .store
                .write(move |tx| occurrences::claim(tx, &id, &plan_id, due_at, &owner, now))
                .await
                .or_failure()?
        };
        if !claimed {
            return Ok(());
        }
        // Asking a server for its databases may take a while, and other plans are due too.
        let engine = self.clone();
        self.spawn(async move { engine.record_until_done(&plan, &id, due_at).await });
        Ok(())
    }

    /// Records the runs of a claimed due time. Where that fails (the disk is full) it is tried again until it can be done: a
    /// due time that is claimed comes to nobody else while this process lives.
    async fn record_until_done(&self, plan: &Plan, id: &OccurrenceId, due_at: Timestamp) {
        while let Err(failure) = self.record_occurrence(plan, id.clone(), due_at).await {
            tracing::error!(%failure, plan = %plan.id, "a due time's runs could not be recorded yet");
            if failure.code == FailureCode::NotFound {
                return;
            }
            tokio::select! {
                () = self.0.ending.cancelled() => return,
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
        }
    }

    /// Records the runs of a claimed due time, and settles it.
    async fn record_occurrence(
        &self,
        plan: &Plan,
        id: OccurrenceId,
        due_at: Timestamp,
    ) -> Result<(), Failure> {
        self.plan(&plan.id).await?;
        let databases = self.databases_of(plan).await?;
        let server = self.server(&plan.server_id).await?.server.name;
        let new: Vec<NewRun> = databases
            .into_iter()
            .map(|database| {
                self.backup_run(
                    plan,
                    &database,
                    &server,
                    Trigger::Schedule,
                    Some((id.clone(), due_at)),
                )
            })
            .collect();
        let now = self.0.clock.now();
        let (conditions, next) = (
            plan.conditions,
            zone(plan).and_then(|zone| plan.schedule.next_after(due_at, &zone)),
        );
        let recorded = self
            .0
            .store
            .write(move |tx| {
                let mut recorded = Vec::with_capacity(new.len());
                for run in &new {
                    let newest = match &run.database_id {
                        Some(id) => backups::newest_good(tx, id)?.map(|backup| backup.finished_at),
                        None => None,
                    };
                    let wanted = conditions.makes_up_for(due_at, next, newest, now);
                    recorded.push(record_or_skip(tx, run, wanted, now)?);
                }
                occurrences::settle(tx, &id, now)?;
                Ok(recorded)
            })
            .await
            .or_failure()?;
        self.announce(&recorded);
        Ok(())
    }

    /// The databases that a plan covers now. For all of a server's the server is asked; where it does not answer, those
    /// known already are taken, and their runs say what is wrong.
    pub(crate) async fn databases_of(&self, plan: &Plan) -> Result<Vec<Database>, Failure> {
        let except = match &plan.scope {
            Scope::Database { name } => return Ok(vec![self.ensure_database(&plan.server_id, name).await?]),
            Scope::AllDatabases { except } => except.clone(),
        };
        match self.list_databases(&plan.server_id).await {
            Ok(present) => {
                let discovery = self.discover(&plan.server_id, present, except.clone()).await?;
                self.tell_discovery(plan, &discovery).await;
            }
            Err(failure) => tracing::warn!(%failure, "a server's databases could not be listed"),
        }
        let server_id = plan.server_id.clone();
        let mut known = self
            .0
            .store
            .read(move |c| databases::of_server(c, &server_id))
            .await
            .or_failure()?;
        known.retain(|database| database.vanished_at.is_none() && !except.contains(&database.name));
        Ok(known)
    }

    async fn discover(
        &self,
        server_id: &howdah_domain::ServerId,
        present: Vec<String>,
        except: Vec<String>,
    ) -> Result<Discovery, Failure> {
        let (server_id, now) = (server_id.clone(), self.0.clock.now());
        self.0
            .store
            .write(move |tx| {
                let covered = |name: &str| !except.iter().any(|other| other == name);
                let new_id = || DatabaseId::from_random(random::bytes());
                databases::discover(tx, &server_id, &present, covered, new_id, now)
            })
            .await
            .or_failure()
    }

    /// Tells which databases came and which are gone.
    async fn tell_discovery(&self, plan: &Plan, discovery: &Discovery) {
        if *discovery == Discovery::default() {
            return;
        }
        self.0.events.send(Event::Databases);
        let server = self
            .server(&plan.server_id)
            .await
            .map(|row| row.server.name)
            .unwrap_or_default();
        for database in &discovery.joined {
            self.tell(
                News::new(
                    Message::new(
                        AlertKind::DatabaseJoined,
                        self.0.clock.now(),
                        format!("{} is new on {server}", database.name),
                        "The plan covers all of the server's databases, so it is backed up from now on.",
                    )
                    .route(format!("/databases/{}", database.id)),
                )
                .about(Some(&database.id)),
            )
            .await;
        }
        for database in &discovery.vanished {
            self.tell(
                News::new(
                    Message::new(
                        AlertKind::DatabaseVanished,
                        self.0.clock.now(),
                        format!("{} is no longer on {server}", database.name),
                        "It was dropped or renamed, or the role no longer sees it. Its backups are kept.",
                    )
                    .route(format!("/databases/{}", database.id)),
                )
                .about(Some(&database.id)),
            )
            .await;
        }
    }

    /// A backup run of one of a plan's databases.
    pub(crate) fn backup_run(
        &self,
        plan: &Plan,
        database: &Database,
        server: &str,
        trigger: Trigger,
        occurrence: Option<(OccurrenceId, Timestamp)>,
    ) -> NewRun {
        self.new_run(Subject {
            kind: RunKind::Backup,
            trigger,
            plan_id: Some(plan.id.clone()),
            occurrence,
            database_id: Some(database.id.clone()),
            database_name: database.name.clone(),
            server_name: server.to_owned(),
            backup_id: None,
        })
    }
}

/// Records a run. Where it is not wanted any more, or the one before it on the same database has not ended, it is skipped, and says so.
fn record_or_skip(
    c: &howdah_store::Connection,
    new: &NewRun,
    wanted: bool,
    now: Timestamp,
) -> StoreResult<Run> {
    let busy = match &new.database_id {
        Some(id) => runs::active_on(c, id)?
            .iter()
            .any(|run| run.kind == RunKind::Backup),
        None => false,
    };
    let run = runs::insert(c, new)?;
    let reason = match (wanted, busy) {
        (true, false) => return Ok(run),
        (false, _) => SkipReason::Missed,
        (true, true) => SkipReason::StillRunning,
    };
    let skipped = RunState::Skipped { reason };
    Ok(
        runs::transition(c, &new.id, |_| true, skipped, now, &Outcome::default())?
            .done()
            .unwrap_or(run),
    )
}

/// Until when a plan's due times have been looked at: the latest claimed one that is not in the future (a clock that
/// was wrong may have claimed some there), or when the plan was made.
fn handled_until(c: &howdah_store::Connection, plan: &Plan, now: Timestamp) -> StoreResult<Timestamp> {
    Ok(occurrences::latest_until(c, &plan.id, now)?.unwrap_or(plan.created_at))
}

/// Marks everything of a plan until now as looked at: for a plan that is switched on again, or was given another schedule.
pub(crate) fn handle_until(
    c: &howdah_store::Connection,
    plan: &Plan,
    owner: &OwnerId,
    now: Timestamp,
) -> StoreResult<()> {
    let id = OccurrenceId::from_random(random::bytes());
    if occurrences::claim(c, &id, &plan.id, now, owner, now)? {
        occurrences::settle(c, &id, now)?;
    }
    Ok(())
}

/// The plan's time zone; none where this machine does not know it (any more).
pub(crate) fn zone(plan: &Plan) -> Option<TimeZone> {
    TimeZone::get(&plan.time_zone)
        .inspect_err(
            |error| tracing::error!(plan = %plan.id, zone = plan.time_zone, %error, "unknown time zone"),
        )
        .ok()
}

/// A time zone by its IANA name.
pub(crate) fn time_zone(name: &str) -> Result<TimeZone, Failure> {
    TimeZone::get(name).map_err(|error| {
        Failure::new(
            FailureCode::InvalidInput,
            format!("There is no time zone called {name}."),
        )
        .hint("Use an IANA name such as Europe/Berlin.")
        .details(error.to_string())
    })
}

/// The next due times of a schedule after `after`.
pub(crate) fn next_due(
    schedule: &Schedule,
    zone: &str,
    after: Timestamp,
    count: usize,
) -> Result<Vec<Timestamp>, Failure> {
    schedule.validate()?;
    Ok(schedule.next(count, after, &time_zone(zone)?))
}
