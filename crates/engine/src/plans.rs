//! Plans: proposed, previewed, saved, run by hand.

use std::path::Path;

use howdah_domain::{
    DatabaseId, DestinationId, Failure, FailureCode, Place, Plan, PlanId, RunId, Schedule, Scope, ServerId,
    Trigger,
};
use howdah_store::tables::databases::Database;
use howdah_store::tables::destinations::{self, Destination};
use howdah_store::tables::plans;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio_util::sync::CancellationToken;

use crate::api::{Event, PlanDraft, PlanProposal, ScheduleQuestion};
use crate::engine::{Engine, OrFailure};
use crate::random;
use crate::scheduler::{handle_until, next_due};
use crate::settings::{absolute, with_tilde};

/// How many due times a preview shows.
pub(crate) const PREVIEW: usize = 5;

impl Engine {
    /// The plan that Howdah proposes for a database: every day at the time from the settings, in the system's time zone.
    pub async fn propose_plan(&self, server_id: &ServerId, database: &str) -> Result<PlanProposal, Failure> {
        self.server(server_id).await?;
        let settings = self.settings().await;
        Ok(PlanProposal {
            schedule: Schedule::Daily {
                at: settings.default_time,
            },
            time_zone: system_zone(),
            folder: with_tilde(&settings.default_folder),
            scope: Scope::Database {
                name: database.to_owned(),
            },
        })
    }

    /// The next five due times of a schedule.
    pub fn next_runs(&self, question: &ScheduleQuestion) -> Result<Vec<Timestamp>, Failure> {
        next_due(
            &question.schedule,
            &question.time_zone,
            self.0.clock.now(),
            PREVIEW,
        )
    }

    /// Saves a plan. Its folder is made and marked if it is new; its databases are looked after from now on.
    pub async fn save_plan(&self, draft: PlanDraft) -> Result<Plan, Failure> {
        draft.schedule.validate()?;
        crate::scheduler::time_zone(&draft.time_zone)?;
        if draft.scope == (Scope::Database { name: String::new() }) {
            return Err(Failure::new(
                FailureCode::InvalidInput,
                "The plan names no database.",
            ));
        }
        self.server(&draft.server_id).await?;
        let before = match &draft.id {
            Some(id) => Some(self.plan(id).await?),
            None => None,
        };
        let destinations = self.chosen_destinations(&draft).await?;
        let encryption = draft
            .encryption
            .or_else(|| before.as_ref().map(|plan| plan.encryption.clone()))
            .unwrap_or_default();
        let drill = draft
            .drill
            .or_else(|| before.as_ref().map(|plan| plan.drill.clone()))
            .unwrap_or_default();
        let conditions = draft
            .conditions
            .or_else(|| before.as_ref().map(|plan| plan.conditions))
            .unwrap_or_default();
        if let Some(problem) = conditions.problem() {
            return Err(Failure::new(FailureCode::InvalidInput, problem));
        }
        let retention = draft
            .retention
            .or_else(|| before.as_ref().map(|plan| plan.retention))
            .unwrap_or_default();
        if let Some(problem) = retention.problem() {
            return Err(Failure::new(FailureCode::InvalidInput, problem));
        }
        let now = self.0.clock.now();
        let id = draft.id.unwrap_or_else(|| PlanId::from_random(random::bytes()));
        self.check_encryption(&id, &encryption, draft.passphrase.as_ref())
            .await?;
        let plan = Plan {
            id,
            server_id: draft.server_id,
            scope: draft.scope,
            selection: draft.selection,
            globals: draft.globals,
            schedule: draft.schedule,
            time_zone: draft.time_zone,
            destinations,
            encryption,
            retention,
            drill,
            conditions,
            level: before
                .as_ref()
                .map_or(howdah_archive::DEFAULT_LEVEL, |plan| plan.level),
            enabled: draft.enabled,
            created_at: before.as_ref().map_or(now, |plan| plan.created_at),
        };
        let (saved, owner) = (plan.clone(), self.0.store.owner().clone());
        self.0
            .store
            .write(move |tx| match before {
                None => plans::insert(tx, &saved),
                Some(before) => {
                    let new_times = before.schedule != saved.schedule || before.time_zone != saved.time_zone;
                    if new_times || (saved.enabled && !before.enabled) {
                        handle_until(tx, &saved, &owner, now)?;
                    }
                    plans::update(tx, &saved)
                }
            })
            .await
            .or_failure()?;
        self.databases_of(&plan).await?;
        self.0.events.send(Event::Databases);
        self.0.schedule_changed.notify_one();
        Ok(plan)
    }

    /// Removes a plan; its backups stay.
    pub async fn remove_plan(&self, id: &PlanId) -> Result<(), Failure> {
        let id = id.clone();
        self.0
            .store
            .write(move |tx| plans::remove(tx, &id))
            .await
            .or_failure()?;
        self.0.events.send(Event::Databases);
        self.0.schedule_changed.notify_one();
        Ok(())
    }

    /// All plans, oldest first.
    pub async fn list_plans(&self) -> Result<Vec<Plan>, Failure> {
        self.0.store.read(plans::list).await.or_failure()
    }

    /// A plan.
    pub async fn plan(&self, id: &PlanId) -> Result<Plan, Failure> {
        let id = id.clone();
        self.0
            .store
            .read(move |c| plans::get(c, &id))
            .await
            .or_failure()?
            .ok_or_else(|| Failure::new(FailureCode::NotFound, "This plan was removed."))
    }

    /// Backs up a database now, by the plan that covers it.
    pub async fn back_up_now(&self, database_id: &DatabaseId) -> Result<Vec<RunId>, Failure> {
        let database = self.database(database_id).await?;
        let plan = self
            .list_plans()
            .await?
            .into_iter()
            .find(|plan| covers(plan, &database))
            .ok_or_else(|| {
                Failure::new(
                    FailureCode::NotFound,
                    format!("No plan covers {}.", database.name),
                )
                .hint("Make one on the database's page.")
            })?;
        let server = self.server(&database.server_id).await?;
        let run = self.backup_run(&plan, &database, &server.server.name, Trigger::Manual, None);
        Ok(self
            .enqueue(vec![run])
            .await?
            .into_iter()
            .map(|run| run.id)
            .collect())
    }

    /// A database that Howdah looks after.
    pub(crate) async fn database(&self, id: &DatabaseId) -> Result<Database, Failure> {
        let id = id.clone();
        self.0
            .store
            .read(move |c| howdah_store::tables::databases::get(c, &id))
            .await
            .or_failure()?
            .ok_or_else(|| Failure::new(FailureCode::NotFound, "Howdah does not know this database."))
    }

    /// The destinations that a draft names, each once, in its order.
    async fn chosen_destinations(&self, draft: &PlanDraft) -> Result<Vec<DestinationId>, Failure> {
        let mut chosen = Vec::new();
        if let Some(folder) = &draft.folder {
            chosen.push(self.ensure_destination(folder).await?.id);
        }
        let known = self.0.store.read(destinations::list).await.or_failure()?;
        for id in &draft.destinations {
            if known.iter().all(|row| row.id != *id) {
                return Err(Failure::new(
                    FailureCode::NotFound,
                    "This destination was removed.",
                ));
            }
            if !chosen.contains(id) {
                chosen.push(id.clone());
            }
        }
        if chosen.is_empty() {
            return Err(
                Failure::new(FailureCode::InvalidInput, "The plan has no destination.")
                    .hint("Choose a folder or another destination for its backups."),
            );
        }
        Ok(chosen)
    }

    /// The destination in a folder. A folder that is new to Howdah is made and marked; one that is known and not there (a disk
    /// that is not connected) is left alone: its backups will say so.
    pub(crate) async fn ensure_destination(&self, folder: &Path) -> Result<Destination, Failure> {
        let root = absolute(folder)?;
        let place = Place::folder(&root);
        let known = {
            let place = place.clone();
            self.0
                .store
                .read(move |c| destinations::by_place(c, &place))
                .await
                .or_failure()?
        };
        if let Some(destination) = known {
            return Ok(destination);
        }
        self.open_place(&place, None)?
            .prepare(&CancellationToken::new())
            .await
            .or_failure()?;
        let now = self.0.clock.now();
        let destination = Destination {
            id: DestinationId::from_random(random::bytes()),
            name: with_tilde(&root).display().to_string(),
            place,
            secret_reference: None,
            created_at: now,
            prepared_at: Some(now),
            checked_at: None,
            failure: None,
        };
        let inserted = destination.clone();
        self.0
            .store
            .write(move |tx| destinations::insert(tx, &inserted))
            .await
            .or_failure()?;
        Ok(destination)
    }
}

/// The plan that covers a database: one of its own goes before one for the whole server.
pub(crate) fn plan_of<'a>(plans: &'a [Plan], database: &Database) -> Option<&'a Plan> {
    plans
        .iter()
        .filter(|plan| covers(plan, database))
        .min_by_key(|plan| matches!(plan.scope, Scope::AllDatabases { .. }))
}

/// Whether a plan covers a database.
pub(crate) fn covers(plan: &Plan, database: &Database) -> bool {
    plan.server_id == database.server_id
        && match &plan.scope {
            Scope::Database { name } => *name == database.name,
            Scope::AllDatabases { except } => !except.contains(&database.name),
        }
}

/// The system's IANA time zone; UTC where it has none that has a name.
pub(crate) fn system_zone() -> String {
    TimeZone::system().iana_name().unwrap_or("UTC").to_owned()
}
