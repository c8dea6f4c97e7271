//! A drill as a run: asked for by a person, or by a plan's rule; and which backups are due for one.

use howdah_domain::drill::DrillWhen;
use howdah_domain::{BackupId, DrillReport, Failure, FailureCode, RunId, RunKind, RunState, Trigger};
use howdah_store::tables::backups::{self, Backup};
use howdah_store::tables::runs::Run;
use howdah_store::tables::{databases, drills, plans, runs};
use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use super::copies::subject;
use super::{Made, Recording};
use crate::api::Event;
use crate::copies::{Copies, is_about_the_copy};
use crate::drill::{ASSERTION_PATIENCE, DrillRequest};
use crate::engine::{Engine, OrFailure};
use crate::plans::plan_of;

/// A drill that is due waits this long for the machine to be idle and on mains power; then it is made all the same.
const PREFERENCE: SignedDuration = SignedDuration::from_hours(24);

/// A drill that came to no verdict (no room, a copy that is away) is tried again after this.
const PAUSE: SignedDuration = SignedDuration::from_hours(24);

/// A database's newest runs, among which such a drill is looked for.
const LOOKED_BACK: u32 = 100;

/// Backups among which the first one since the last drill is looked for, and those that had none.
const WAITING: u32 = 200;

/// Where each backup is to be proved, what a busy or sleeping machine left out is made up for, newest first, if it is not older.
const MADE_UP_FOR: SignedDuration = SignedDuration::from_hours(24 * 7);

/// Connections of a drill.
pub(crate) const JOBS: usize = 2;

impl Engine {
    /// Records a run that proves a backup.
    pub async fn drill_backup(&self, id: &BackupId) -> Result<RunId, Failure> {
        let backup = self.known_backup(id).await?;
        let run = self.new_run(subject(RunKind::Drill, &backup, Trigger::Manual));
        let id = run.id.clone();
        self.enqueue(vec![run]).await?;
        Ok(id)
    }

    /// Proves the run's backup. What was found is kept, whatever it is; that a backup is not proved is the run's failure.
    pub(super) async fn prove(
        &self,
        run: &Run,
        recording: &Recording,
        cancel: &CancellationToken,
    ) -> Result<Made, Failure> {
        let backup = self.backup_of(run).await?;
        let assertions = self.assertions_of(&backup).await?;
        let reporter = recording.reporter();
        let mut copies = Copies::of(&backup);
        let report = loop {
            let Some(copy) = copies.next() else {
                return Err(copies.none_left());
            };
            let stored = match self.open_copy(&copy).await {
                Ok(stored) => stored,
                Err(failure) => {
                    copies.give_up(&copy, failure, &reporter)?;
                    continue;
                }
            };
            let request = DrillRequest {
                backup: stored,
                assertions: assertions.clone(),
                assertion_patience: ASSERTION_PATIENCE,
                jobs: JOBS,
            };
            match Box::pin(self.drill(&request, &reporter, cancel)).await {
                Err(failure) if is_about_the_copy(&failure) => copies.give_up(&copy, failure, &reporter)?,
                drilled => break drilled?,
            }
        };
        match self.keep_report(&run.id, &report).await? {
            None => Ok(Made::default()),
            Some(failure) => Err(failure),
        }
    }

    /// Keeps a drill's report with its backup, where that is a known one. Answers the failure that an unproved backup is.
    pub(crate) async fn keep_report(
        &self,
        run_id: &RunId,
        report: &DrillReport,
    ) -> Result<Option<Failure>, Failure> {
        let (run_id, kept) = (run_id.clone(), report.clone());
        let database_id = self
            .0
            .store
            .write(move |tx| {
                let Some(backup) = backups::get(tx, &kept.backup_id)? else {
                    return Ok(None);
                };
                drills::insert(tx, &run_id, &backup.database_id, &kept)?;
                Ok(Some(backup.database_id))
            })
            .await
            .or_failure()?;
        if let Some(database_id) = database_id {
            self.0.events.send(Event::Backups { database_id });
        }
        Ok(report.verdict().map(|verdict| {
            Failure::new(FailureCode::NotEqual, verdict).hint(
                "The drill's report names everything that differs. Keep this backup, and look at an older one as well.",
            )
        }))
    }

    /// What the plan that covers a backup's database says must be true.
    async fn assertions_of(&self, backup: &Backup) -> Result<Vec<howdah_domain::Assertion>, Failure> {
        let database_id = backup.database_id.clone();
        self.0
            .store
            .read(move |c| {
                let Some(database) = databases::get(c, &database_id)? else {
                    return Ok(Vec::new());
                };
                let plans = plans::of_server(c, &database.server_id)?;
                let plan = plan_of(&plans, &database);
                Ok(plan.map(|plan| plan.drill.assertions.clone()).unwrap_or_default())
            })
            .await
            .or_failure()
    }

    /// Records a run for the backup whose drill is due, one at a time, where the machine has nothing else to do. Answers how many.
    pub(crate) async fn drill_what_is_due(&self) -> Result<usize, Failure> {
        let now = self.0.clock.now();
        let chosen = self
            .0
            .store
            .read(move |c| {
                let active = runs::active(c)?;
                if active.iter().any(|run| run.kind == RunKind::Drill) {
                    return Ok(None);
                }
                let standings = drills::standings(c)?;
                let had_one = drills::tried(c)?;
                let plans = plans::list(c)?;
                let mut due: Vec<(Timestamp, Backup)> = Vec::new();
                for id in databases::with_backups(c)? {
                    let Some(database) = databases::get(c, &id)? else {
                        continue;
                    };
                    let Some(plan) = plan_of(&plans, &database).filter(|plan| plan.enabled) else {
                        continue;
                    };
                    let Some(newest) = backups::newest_good(c, &id)? else {
                        continue;
                    };
                    let last = standings.get(&id).map(|standing| standing.newest.finished_at);
                    let when = plan.drill.when;
                    let is_due = |backup: &Backup| when.is_due(last, had_one.contains(&backup.id), now);
                    if when != DrillWhen::EachBackup && !is_due(&newest) {
                        continue;
                    }
                    let earlier = backups::good_before(c, &id, newest.started_at, WAITING)?;
                    let mut waiting = vec![newest];
                    if when == DrillWhen::EachBackup {
                        let oldest = now.checked_sub(MADE_UP_FOR).unwrap_or(Timestamp::MIN);
                        let young = earlier.iter().filter(|backup| backup.finished_at > oldest);
                        waiting.extend(young.cloned());
                    }
                    waiting.retain(is_due);
                    let (Some(wanted), Some(waits_longest)) = (waiting.first(), waiting.last()) else {
                        continue;
                    };
                    let pause = now.checked_sub(PAUSE).unwrap_or(Timestamp::MIN);
                    let failed_lately = runs::of_database(c, &id, LOOKED_BACK)?.iter().any(|run| {
                        run.kind == RunKind::Drill
                            && came_to_no_verdict(run)
                            && run.finished_at.is_some_and(|at| at > pause)
                    });
                    if failed_lately {
                        continue;
                    }
                    // With a backup every hour the newest is never old: it is the first one since the last drill that waits.
                    let first = earlier
                        .iter()
                        .map(|backup| backup.finished_at)
                        .take_while(|at| last.is_none_or(|last| *at > last))
                        .last()
                        .unwrap_or(wanted.finished_at);
                    let since = match when {
                        DrillWhen::EachBackup => waits_longest.finished_at,
                        _ => when.due_since(last, first),
                    };
                    due.push((since, wanted.clone()));
                }
                // Whoever waits for longest comes first.
                due.sort_by(|a, b| (a.0, &a.1.id).cmp(&(b.0, &b.1.id)));
                Ok(due
                    .into_iter()
                    .next()
                    .map(|(since, backup)| (since, backup, !active.is_empty())))
            })
            .await
            .or_failure()?;
        let Some((since, backup, busy)) = chosen else {
            return Ok(0);
        };
        let patient = now.duration_since(since) < PREFERENCE;
        if patient && (busy || self.is_on_battery()) {
            return Ok(0);
        }
        let run = self.new_run(subject(RunKind::Drill, &backup, Trigger::Schedule));
        self.enqueue(vec![run]).await?;
        Ok(1)
    }
}

/// Whether a drill ended without having found out anything, for want of room, or of a copy.
fn came_to_no_verdict(run: &Run) -> bool {
    run.state == RunState::Failed
        && run
            .failure
            .as_ref()
            .is_none_or(|failure| failure.code != FailureCode::NotEqual)
}
