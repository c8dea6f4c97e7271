//! Runs: recorded before the work begins, moved from state to state by compare-and-set, kept when they end.

use howdah_domain::{
    BackupId, DatabaseId, Failure, OccurrenceId, Phase, PlanId, Progress, RunId, RunKind, RunState, Trigger,
    WaitReason,
};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, ToSql, named_params};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Error, OwnerId, Result,
    column::{Id, Json, Time, Word, time},
};

/// A run to record. It begins as `queued`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRun {
    /// Its id.
    pub id: RunId,
    /// What it does.
    pub kind: RunKind,
    /// Who asked.
    pub trigger: Trigger,
    /// The process that will do it.
    pub owner: OwnerId,
    /// The plan it belongs to.
    pub plan_id: Option<PlanId>,
    /// The occurrence it serves.
    pub occurrence_id: Option<OccurrenceId>,
    /// The database it is about; `None` for a command that works on a URL.
    pub database_id: Option<DatabaseId>,
    /// That database's name.
    pub database_name: String,
    /// The server's name, or the host of a URL.
    pub server_name: String,
    /// The backup it works on, where that exists already (verify, restore).
    pub backup_id: Option<BackupId>,
    /// The due time it serves.
    pub due_at: Option<Timestamp>,
    /// Now.
    pub queued_at: Timestamp,
}

/// A run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The order of recording, whatever the clock says: a later run has a higher number.
    pub number: i64,
    /// Its id.
    pub id: RunId,
    /// What it does.
    pub kind: RunKind,
    /// Who asked.
    pub trigger: Trigger,
    /// Its state.
    pub state: RunState,
    /// The process that does it.
    pub owner: OwnerId,
    /// The plan it belongs to, while that exists.
    pub plan_id: Option<PlanId>,
    /// The occurrence it serves, while that is kept.
    pub occurrence_id: Option<OccurrenceId>,
    /// The database it is about.
    pub database_id: Option<DatabaseId>,
    /// That database's name.
    pub database_name: String,
    /// The server's name.
    pub server_name: String,
    /// The backup it made or works on.
    pub backup_id: Option<BackupId>,
    /// The due time it serves.
    pub due_at: Option<Timestamp>,
    /// When it was recorded.
    pub queued_at: Timestamp,
    /// When it first began to work.
    pub started_at: Option<Timestamp>,
    /// When it ended; set exactly when the state is final.
    pub finished_at: Option<Timestamp>,
    /// When it is tried again, while it waits for that.
    pub next_attempt_at: Option<Timestamp>,
    /// Attempts begun.
    pub attempt: u32,
    /// How far it is, or was.
    pub progress: Progress,
    /// Why it failed, or failed last.
    pub failure: Option<Failure>,
}

/// What goes with a change of state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Why: for failed, interrupted, cancelled, and waiting for a retry. `None` leaves what is there, but success clears it.
    pub failure: Option<Failure>,
    /// When it is tried again; kept only while the run waits.
    pub next_attempt_at: Option<Timestamp>,
    /// The backup it made. `None` leaves what is there.
    pub backup_id: Option<BackupId>,
    /// How far it got. `None` leaves what is there.
    pub progress: Option<Progress>,
}

/// The answer to a compare-and-set.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::large_enum_variant)] // short-lived, never in a collection
pub enum Transition {
    /// The state was changed; the run as it is now.
    Done(Run),
    /// Somebody was faster, or the state does not allow it; nothing was changed. The state as it is.
    Refused(RunState),
}

impl Transition {
    /// The run, where the state was changed.
    pub fn done(self) -> Option<Run> {
        match self {
            Self::Done(run) => Some(run),
            Self::Refused(_) => None,
        }
    }
}

/// The answer to [`try_start`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::large_enum_variant)] // short-lived, never in a collection
pub enum Start {
    /// The run works now.
    Started(Run),
    /// It has to wait, and waits now for this reason.
    Waits(Run),
    /// It is in a state from which nothing starts (cancelled meanwhile, for one).
    Refused(RunState),
}

pub(super) const COLUMNS: &str = "r.number AS r_number, r.id AS r_id, r.kind AS r_kind, r.started_by AS r_started_by, \
     r.state AS r_state, r.state_detail AS r_state_detail, r.owner AS r_owner, r.plan_id AS r_plan_id, \
     r.occurrence_id AS r_occurrence_id, r.database_id AS r_database_id, r.database_name AS r_database_name, \
     r.server_name AS r_server_name, r.backup_id AS r_backup_id, r.due_at AS r_due_at, r.queued_at AS r_queued_at, \
     r.started_at AS r_started_at, r.finished_at AS r_finished_at, r.next_attempt_at AS r_next_attempt_at, \
     r.attempt AS r_attempt, r.progress AS r_progress, r.failure AS r_failure";

pub(super) fn from_row(row: &Row<'_>) -> rusqlite::Result<Run> {
    let at = |column: &str| -> rusqlite::Result<Option<Timestamp>> {
        Ok(row.get::<_, Option<Time>>(column)?.map(|time| time.0))
    };
    Ok(Run {
        number: row.get("r_number")?,
        id: row.get::<_, Id<_>>("r_id")?.0,
        kind: row.get::<_, Word<_>>("r_kind")?.0,
        trigger: row.get::<_, Word<_>>("r_started_by")?.0,
        state: state_from_row(row)?,
        owner: row.get::<_, Id<_>>("r_owner")?.0,
        plan_id: row.get::<_, Option<Id<_>>>("r_plan_id")?.map(|id| id.0),
        occurrence_id: row.get::<_, Option<Id<_>>>("r_occurrence_id")?.map(|id| id.0),
        database_id: row.get::<_, Option<Id<_>>>("r_database_id")?.map(|id| id.0),
        database_name: row.get("r_database_name")?,
        server_name: row.get("r_server_name")?,
        backup_id: row.get::<_, Option<Id<_>>>("r_backup_id")?.map(|id| id.0),
        due_at: at("r_due_at")?,
        queued_at: row.get::<_, Time>("r_queued_at")?.0,
        started_at: at("r_started_at")?,
        finished_at: at("r_finished_at")?,
        next_attempt_at: at("r_next_attempt_at")?,
        attempt: row.get("r_attempt")?,
        progress: row.get::<_, Json<_>>("r_progress")?.0,
        failure: row.get::<_, Option<Json<_>>>("r_failure")?.map(|json| json.0),
    })
}

/// The state from its two columns, by way of its JSON: the words are the domain's own.
fn state_from_row(row: &Row<'_>) -> rusqlite::Result<RunState> {
    let state: String = row.get("r_state")?;
    let detail: Option<String> = row.get("r_state_detail")?;
    let mut json = serde_json::json!({ "state": state });
    if let Some(detail) = detail {
        json[detail_name(&state)] = detail.into();
    }
    serde_json::from_value(json).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error))
    })
}

fn detail_name(state: &str) -> &'static str {
    if state == "running" { "phase" } else { "reason" }
}

/// The two columns of a state.
fn state_columns(state: RunState) -> Result<(String, Option<String>)> {
    let json = serde_json::to_value(state).map_err(|error| Error::Unreadable(error.to_string()))?;
    let text = |name: &str| json.get(name).and_then(|value| value.as_str()).map(str::to_owned);
    let state = text("state").ok_or_else(|| Error::Unreadable(format!("{json} is no state")))?;
    let detail = text(detail_name(&state));
    Ok((state, detail))
}

/// Records a run as `queued`: before its work begins.
pub fn insert(connection: &Connection, run: &NewRun) -> Result<Run> {
    connection
        .prepare_cached(
            "INSERT INTO runs (id, kind, started_by, state, owner, plan_id, occurrence_id, database_id, database_name,
                server_name, backup_id, due_at, queued_at, progress)
             VALUES (:id, :kind, :started_by, 'queued', :owner, :plan_id, :occurrence_id, :database_id, :database_name,
                :server_name, :backup_id, :due_at, :queued_at, :progress)",
        )?
        .execute(named_params! {
            ":id": Id(&run.id),
            ":kind": Word(run.kind),
            ":started_by": Word(run.trigger),
            ":owner": Id(&run.owner),
            ":plan_id": run.plan_id.as_ref().map(Id),
            ":occurrence_id": run.occurrence_id.as_ref().map(Id),
            ":database_id": run.database_id.as_ref().map(Id),
            ":database_name": run.database_name,
            ":server_name": run.server_name,
            ":backup_id": run.backup_id.as_ref().map(Id),
            ":due_at": time(run.due_at),
            ":queued_at": Time(run.queued_at),
            ":progress": Json(Progress::default()),
        })?;
    known(connection, &run.id)
}

/// Keeps what a run was asked to do, in the transaction that records it.
pub fn put_request<T: Serialize>(connection: &Connection, id: &RunId, request: &T) -> Result<()> {
    connection
        .prepare_cached("INSERT INTO run_requests (run_id, request) VALUES (?1, ?2)")?
        .execute((Id(id), Json(request)))?;
    Ok(())
}

/// What a run was asked to do.
///
/// # Errors
/// Where it is of another shape, too.
pub fn request<T: DeserializeOwned>(connection: &Connection, id: &RunId) -> Result<Option<T>> {
    Ok(connection
        .prepare_cached("SELECT request FROM run_requests WHERE run_id = ?1")?
        .query_row([Id(id)], |row| Ok(row.get::<_, Json<T>>(0)?.0))
        .optional()?)
}

/// A run.
pub fn get(connection: &Connection, id: &RunId) -> Result<Option<Run>> {
    Ok(connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM runs r WHERE r.id = ?1"))?
        .query_row([Id(id)], from_row)
        .optional()?)
}

fn known(connection: &Connection, id: &RunId) -> Result<Run> {
    get(connection, id)?.ok_or(Error::NotFound("run"))
}

/// Moves a run to another state, where it is in one that `expected` accepts and that [`RunState::may_become`] the new one.
///
/// Entering `running` from another state begins an attempt (and sets `started_at` the first time); a final state sets
/// `finished_at`; `next_attempt_at` is kept only in `waiting`. Call it in a write transaction.
///
/// # Errors
/// [`Error::NotFound`] where there is no such run.
pub fn transition(
    connection: &Connection,
    id: &RunId,
    expected: impl FnOnce(RunState) -> bool,
    to: RunState,
    at: Timestamp,
    outcome: &Outcome,
) -> Result<Transition> {
    let mut run = known(connection, id)?;
    if !expected(run.state) || !run.state.may_become(to) {
        return Ok(Transition::Refused(run.state));
    }
    let was_running = matches!(run.state, RunState::Running { .. });
    if matches!(to, RunState::Running { .. }) && !was_running {
        run.attempt += 1;
        run.started_at = run.started_at.or(Some(at));
    }
    run.next_attempt_at = match to {
        RunState::Waiting { .. } => outcome.next_attempt_at,
        _ => None,
    };
    if to.is_final() {
        run.finished_at = Some(at);
    }
    if to == RunState::Succeeded {
        run.failure = None;
    }
    if outcome.failure.is_some() {
        run.failure.clone_from(&outcome.failure);
    }
    if outcome.backup_id.is_some() {
        run.backup_id.clone_from(&outcome.backup_id);
    }
    if let Some(progress) = &outcome.progress {
        run.progress = progress.clone();
    }
    run.state = to;
    write(connection, &run)?;
    Ok(Transition::Done(run))
}

/// Writes what a transition may change.
fn write(connection: &Connection, run: &Run) -> Result<()> {
    let (state, detail) = state_columns(run.state)?;
    connection
        .prepare_cached(
            "UPDATE runs SET state = :state, state_detail = :detail, backup_id = :backup_id, started_at = :started_at,
                finished_at = :finished_at, next_attempt_at = :next_attempt_at, attempt = :attempt, progress = :progress,
                failure = :failure
             WHERE number = :number",
        )?
        .execute(named_params! {
            ":number": run.number,
            ":state": state,
            ":detail": detail,
            ":backup_id": run.backup_id.as_ref().map(Id),
            ":started_at": time(run.started_at),
            ":finished_at": time(run.finished_at),
            ":next_attempt_at": time(run.next_attempt_at),
            ":attempt": run.attempt,
            ":progress": Json(&run.progress),
            ":failure": run.failure.as_ref().map(Json),
        })?;
    Ok(())
}

/// Starts a queued or waiting run where fewer than `parallel` backups run and none on the same database; otherwise
/// it waits, and says for what. Counts the runs of all processes, in one transaction: two processes cannot both take
/// the last place. Verify and restore runs take no place.
///
/// # Errors
/// [`Error::NotFound`] where there is no such run.
pub fn try_start(
    connection: &Connection,
    id: &RunId,
    parallel: u32,
    phase: Phase,
    at: Timestamp,
) -> Result<Start> {
    let run = known(connection, id)?;
    let startable = |state: RunState| matches!(state, RunState::Queued | RunState::Waiting { .. });
    if !startable(run.state) {
        return Ok(Start::Refused(run.state));
    }
    let mut to = RunState::Running { phase };
    if run.kind == RunKind::Backup {
        let (running, same): (u32, u32) = connection
            .prepare_cached(
                "SELECT count(*), coalesce(sum(database_id = ?1), 0) FROM runs
                 WHERE finished_at IS NULL AND state = 'running' AND kind = 'backup'",
            )?
            .query_row([run.database_id.as_ref().map(Id)], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
        if same > 0 {
            to = RunState::Waiting {
                reason: WaitReason::DatabaseBusy,
            };
        } else if running >= parallel {
            to = RunState::Waiting {
                reason: WaitReason::Slot,
            };
        }
    }
    if run.state == to {
        return Ok(Start::Waits(run));
    }
    match transition(connection, id, startable, to, at, &Outcome::default())? {
        Transition::Done(run) if matches!(to, RunState::Running { .. }) => Ok(Start::Started(run)),
        Transition::Done(run) => Ok(Start::Waits(run)),
        Transition::Refused(state) => Ok(Start::Refused(state)),
    }
}

/// Keeps how far a running run is; does nothing for any other. Call it at most once a second for a run.
pub fn save_progress(connection: &Connection, id: &RunId, progress: &Progress) -> Result<()> {
    connection
        .prepare_cached("UPDATE runs SET progress = ?2 WHERE id = ?1 AND state = 'running'")?
        .execute((Id(id), Json(progress)))?;
    Ok(())
}

/// Runs that are not final, of all processes, oldest first.
pub fn active(connection: &Connection) -> Result<Vec<Run>> {
    query(connection, "WHERE r.finished_at IS NULL ORDER BY r.number", &[])
}

/// A database's runs that are not final, oldest first.
pub fn active_on(connection: &Connection, database_id: &DatabaseId) -> Result<Vec<Run>> {
    query(
        connection,
        "WHERE r.finished_at IS NULL AND r.database_id = ?1 ORDER BY r.number",
        &[&Id(database_id)],
    )
}

/// The newest runs, newest first.
pub fn list(connection: &Connection, limit: u32) -> Result<Vec<Run>> {
    query(connection, "ORDER BY r.number DESC LIMIT ?1", &[&limit])
}

/// The newest ended runs, newest first.
pub fn ended(connection: &Connection, limit: u32) -> Result<Vec<Run>> {
    query(
        connection,
        "WHERE r.finished_at IS NOT NULL ORDER BY r.number DESC LIMIT ?1",
        &[&limit],
    )
}

/// A database's newest runs, newest first.
pub fn of_database(connection: &Connection, database_id: &DatabaseId, limit: u32) -> Result<Vec<Run>> {
    query(
        connection,
        "WHERE r.database_id = ?1 ORDER BY r.number DESC LIMIT ?2",
        &[&Id(database_id), &limit],
    )
}

/// The runs of an occurrence, oldest first.
pub fn of_occurrence(connection: &Connection, occurrence_id: &OccurrenceId) -> Result<Vec<Run>> {
    query(
        connection,
        "WHERE r.occurrence_id = ?1 ORDER BY r.number",
        &[&Id(occurrence_id)],
    )
}

fn query(connection: &Connection, rest: &str, parameters: &[&dyn ToSql]) -> Result<Vec<Run>> {
    Ok(connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM runs r {rest}"))?
        .query_map(parameters, from_row)?
        .collect::<rusqlite::Result<_>>()?)
}
