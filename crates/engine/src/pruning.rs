//! What a plan's rule deletes: shown beforehand, decided after each backup, carried out by a run.
//!
//! Which backups go is the domain's decision. Here it is asked of the catalogue, and what goes is marked in the catalogue
//! (*deleting*) in the same transaction that looked; the files follow, copy by copy, until they are gone.

use std::collections::HashMap;

use howdah_domain::retention::{Candidate, Decision, RetentionRule, decide};
use howdah_domain::{BackupId, DatabaseId, Failure, FailureCode, Plan, PlanId, RunKind, RunState, Trigger};
use howdah_store::Connection;
use howdah_store::tables::backups::{self, Backup, CopyState};
use howdah_store::tables::databases::Database;
use howdah_store::tables::run_logs::{self, LogLevel, LogLine};
use howdah_store::tables::{databases, plans, runs};
use jiff::Timestamp;

use crate::api::{PrunePreview, PrunedBackup, RetentionQuestion};
use crate::engine::{Engine, OrFailure};
use crate::plans::covers;
use crate::runs::Subject;
use crate::runs::copies::deleting;
use crate::scheduler;
use crate::views;

/// Backups of one database that a rule looks at, at most.
const MOST: u32 = 200_000;

/// What a rule decides for one database.
struct Ruling {
    database: Database,
    rule: RetentionRule,
    backups: HashMap<BackupId, Backup>,
    decision: Decision,
}

impl Engine {
    /// What a rule would delete, before it is saved.
    pub async fn preview_retention(&self, question: RetentionQuestion) -> Result<PrunePreview, Failure> {
        if let Some(problem) = question.rule.problem() {
            return Err(Failure::new(FailureCode::InvalidInput, problem));
        }
        let plan = self.plan(&question.plan_id).await?;
        let plan = Plan {
            retention: question.rule,
            time_zone: question.time_zone.unwrap_or(plan.time_zone.clone()),
            ..plan
        };
        let now = self.0.clock.now();
        let rulings = self
            .0
            .store
            .read(move |c| rulings_of(c, &plan, now))
            .await
            .or_failure()?;
        Ok(preview(&rulings))
    }

    /// What the plans' rules would delete now: of one plan, or of all.
    pub async fn preview_prune(&self, plan: Option<&PlanId>) -> Result<PrunePreview, Failure> {
        let rulings = self.rulings(plan).await?;
        Ok(preview(&rulings))
    }

    /// Deletes what the plans' rules drop: marks it, and records a run for each backup. Answers what goes.
    pub async fn prune(&self, plan: Option<&PlanId>, trigger: Trigger) -> Result<PrunePreview, Failure> {
        let rulings = self.rulings(plan).await?;
        let shown = preview(&rulings);
        for ruling in rulings {
            self.drop_backups(&ruling, trigger).await?;
        }
        Ok(shown)
    }

    /// After a backup: what its plan's rule drops of that database goes.
    pub(crate) async fn prune_after(
        &self,
        plan_id: &PlanId,
        database_id: &DatabaseId,
    ) -> Result<(), Failure> {
        let (plan_id, database_id, now) = (plan_id.clone(), database_id.clone(), self.0.clock.now());
        let ruling = self
            .0
            .store
            .read(move |c| {
                let (Some(plan), Some(database)) =
                    (plans::get(c, &plan_id)?, databases::get(c, &database_id)?)
                else {
                    return Ok(None);
                };
                ruling(c, &plan, database, now).map(Some)
            })
            .await
            .or_failure()?;
        match ruling {
            Some(ruling) => self.drop_backups(&ruling, Trigger::Schedule).await,
            None => Ok(()),
        }
    }

    async fn rulings(&self, plan: Option<&PlanId>) -> Result<Vec<Ruling>, Failure> {
        let (plan, now) = (plan.cloned(), self.0.clock.now());
        self.0
            .store
            .read(move |c| {
                let mut all = Vec::new();
                for candidate in plans::list(c)? {
                    if plan.as_ref().is_none_or(|id| *id == candidate.id) {
                        all.extend(rulings_of(c, &candidate, now)?);
                    }
                }
                Ok(all)
            })
            .await
            .or_failure()
    }

    /// Marks every copy of what a ruling drops, and records the run that deletes them, with each reason in its log.
    async fn drop_backups(&self, ruling: &Ruling, trigger: Trigger) -> Result<(), Failure> {
        let now = self.0.clock.now();
        let mut lines = Vec::new();
        let mut marked = Vec::new();
        let mut newest: Option<&Backup> = None;
        for dropped in &ruling.decision.dropped {
            let Some(backup) = ruling.backups.get(&dropped.id) else {
                continue;
            };
            newest = Some(backup);
            lines.push(LogLine {
                at: now,
                level: LogLevel::Info,
                text: format!(
                    "The backup of {} goes: {}",
                    backup.started_at,
                    dropped.reason.sentence(&ruling.rule)
                ),
            });
            let of_it = backup
                .copies
                .iter()
                .map(|copy| (backup.id.clone(), deleting(copy, now)));
            marked.extend(of_it);
        }
        let Some(backup) = newest else {
            return Ok(());
        };
        let new = self.new_run(Subject {
            backup_id: None,
            ..crate::runs::copies::subject(RunKind::Prune, backup, trigger)
        });
        let recorded = self
            .0
            .store
            .write(move |tx| {
                for (id, copy) in &marked {
                    // Pinned meanwhile: it stays.
                    if backups::get(tx, id)?.is_some_and(|backup| !backup.pinned) {
                        backups::update_copy(tx, id, copy)?;
                    }
                }
                let run = runs::insert(tx, &new)?;
                run_logs::append(tx, &run.id, &lines)?;
                Ok(run)
            })
            .await
            .or_failure()?;
        self.announce(&[recorded]);
        Ok(())
    }

    /// Keeps a backup from every rule, or no longer.
    pub async fn pin_backup(&self, id: &BackupId, pinned: bool) -> Result<(), Failure> {
        let backup = self.known_backup(id).await?;
        let id = id.clone();
        self.0
            .store
            .write(move |tx| backups::set_pinned(tx, &id, pinned))
            .await
            .or_failure()?;
        self.0.events.send(crate::api::Event::Backups {
            database_id: backup.database_id,
        });
        Ok(())
    }
}

fn rulings_of(c: &Connection, plan: &Plan, now: Timestamp) -> howdah_store::Result<Vec<Ruling>> {
    let mut all = Vec::new();
    for database in databases::of_server(c, &plan.server_id)? {
        if covers(plan, &database) {
            all.push(ruling(c, plan, database, now)?);
        }
    }
    Ok(all)
}

fn ruling(c: &Connection, plan: &Plan, database: Database, now: Timestamp) -> howdah_store::Result<Ruling> {
    let known = backups::list(c, Some(&database.id), MOST)?;
    let candidates: Vec<Candidate> = known
        .iter()
        .filter(|backup| backup.copies.iter().any(|copy| copy.state != CopyState::Deleting))
        .map(|backup| Candidate {
            id: backup.id.clone(),
            taken_at: backup.started_at,
            stored_bytes: backup.stored_bytes,
            good: backup.is_good(),
            pinned: backup.pinned,
        })
        .collect();
    let newest = runs::of_database(c, &database.id, 20)?
        .into_iter()
        .find(|run| run.kind == RunKind::Backup && run.state.is_final());
    let failed = newest.is_some_and(|run| matches!(run.state, RunState::Failed | RunState::Interrupted));
    let zone = scheduler::zone(plan).unwrap_or(jiff::tz::TimeZone::UTC);
    let decision = decide(&plan.retention, &candidates, failed, &zone, now);
    Ok(Ruling {
        rule: plan.retention,
        backups: known
            .into_iter()
            .map(|backup| (backup.id.clone(), backup))
            .collect(),
        decision,
        database,
    })
}

fn preview(rulings: &[Ruling]) -> PrunePreview {
    let mut shown = PrunePreview {
        kept: 0,
        bytes_freed: 0,
        dropped: Vec::new(),
    };
    for ruling in rulings {
        shown.kept += ruling.decision.kept.len() as u64;
        shown.bytes_freed += ruling.decision.bytes_freed;
        for dropped in &ruling.decision.dropped {
            if let Some(backup) = ruling.backups.get(&dropped.id) {
                shown.dropped.push(PrunedBackup {
                    backup: views::backup(backup),
                    database_name: ruling.database.name.clone(),
                    reason: dropped.reason,
                    why: dropped.reason.sentence(&ruling.rule),
                });
            }
        }
    }
    shown
}
