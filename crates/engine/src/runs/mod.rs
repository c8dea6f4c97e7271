//! Runs: recorded before their work begins, moved by compare-and-set, concluded in one transaction with what they made.

pub(crate) mod backup;
mod conclude;
pub(crate) mod copies;
mod drill;
pub(crate) mod news;
mod recorder;
pub(crate) mod restore;
mod sharing;
pub(crate) mod verify;

use howdah_domain::{
    BackupId, DatabaseId, Failure, FailureCode, OccurrenceId, PlanId, RunId, RunKind, RunState, SkipReason,
    Trigger,
};
use howdah_store::tables::backups::Backup;
use howdah_store::tables::runs::{self, NewRun, Outcome, Run, Transition};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

pub(crate) use self::recorder::Recording;
use crate::api::{Event, RunView};
use crate::engine::{Active, Engine, OrFailure};
use crate::random;
use crate::views;

/// What a run that succeeded leaves in the store, in the transaction that ends it.
#[derive(Default)]
pub(crate) struct Made {
    /// A backup to list, and the ledger's entries to close.
    pub(crate) backup: Option<(Backup, Vec<i64>)>,
    /// Nothing was made, and that is well.
    pub(crate) skipped: Option<SkipReason>,
}

/// What a run is about.
pub(crate) struct Subject {
    pub(crate) kind: RunKind,
    pub(crate) trigger: Trigger,
    pub(crate) plan_id: Option<PlanId>,
    pub(crate) occurrence: Option<(OccurrenceId, Timestamp)>,
    pub(crate) database_id: Option<DatabaseId>,
    pub(crate) database_name: String,
    pub(crate) server_name: String,
    pub(crate) backup_id: Option<BackupId>,
}

impl Engine {
    /// A run to record, owned by this process.
    pub(crate) fn new_run(&self, subject: Subject) -> NewRun {
        let (occurrence_id, due_at) = subject.occurrence.unzip();
        NewRun {
            id: RunId::from_random(random::bytes()),
            kind: subject.kind,
            trigger: subject.trigger,
            owner: self.0.store.owner().clone(),
            plan_id: subject.plan_id,
            occurrence_id,
            database_id: subject.database_id,
            database_name: subject.database_name,
            server_name: subject.server_name,
            backup_id: subject.backup_id,
            due_at,
            queued_at: self.0.clock.now(),
        }
    }

    /// Records runs, and lets the dispatcher look at them.
    pub(crate) async fn enqueue(&self, new: Vec<NewRun>) -> Result<Vec<Run>, Failure> {
        let recorded = self
            .0
            .store
            .write(move |tx| {
                new.iter()
                    .map(|run| runs::insert(tx, run))
                    .collect::<Result<Vec<_>, _>>()
            })
            .await
            .or_failure()?;
        self.announce(&recorded);
        Ok(recorded)
    }

    /// Tells that runs came, and wakes the dispatcher.
    pub(crate) fn announce(&self, recorded: &[Run]) {
        for run in recorded {
            self.tell_run(run);
        }
        self.0.runs_changed.notify_one();
    }

    /// Tells a run's new state.
    pub(crate) fn tell_run(&self, run: &Run) {
        self.0.events.send(Event::Run { run: views::run(run) });
    }

    /// A run.
    pub async fn run(&self, id: &RunId) -> Result<RunView, Failure> {
        let id = id.clone();
        let run = self.0.store.read(move |c| runs::get(c, &id)).await.or_failure()?;
        run.as_ref()
            .map(views::run)
            .ok_or_else(|| Failure::new(FailureCode::NotFound, "There is no such run."))
    }

    /// Cancels a run: at once where it works in this process; a run that has not begun never will.
    pub async fn cancel_run(&self, id: &RunId) -> Result<(), Failure> {
        if let Some(active) = self.active().get(id) {
            active.cancel.cancel();
            return Ok(());
        }
        let (wanted, now) = (id.clone(), self.0.clock.now());
        let outcome = Outcome {
            failure: Some(cancelled()),
            ..Outcome::default()
        };
        let transition = self
            .0
            .store
            .write(move |tx| {
                let waiting = |state| matches!(state, RunState::Queued | RunState::Waiting { .. });
                runs::transition(tx, &wanted, waiting, RunState::Cancelled, now, &outcome)
            })
            .await
            .or_failure()?;
        match transition {
            Transition::Done(run) => {
                self.tell_run(&run);
                Ok(())
            }
            Transition::Refused(state) if state.is_final() => Ok(()),
            Transition::Refused(_) => Err(Failure::new(
                FailureCode::Busy,
                "This run belongs to another Howdah, the command or the app, and has to be cancelled there.",
            )),
        }
    }

    /// Takes note that this process works on a run, or is about to, so that it can be cancelled.
    pub(crate) fn enter(&self, id: &RunId) -> CancellationToken {
        let cancel = self
            .active()
            .entry(id.clone())
            .or_insert_with(|| Active {
                cancel: self.0.ending.child_token(),
            })
            .cancel
            .clone();
        // After it is there: whoever hears of it looks.
        self.0.active_changed.notify_one();
        cancel
    }

    /// What [`Engine::enter`] said was not so: the run does not begin yet. Answers whether somebody cancelled it meanwhile.
    pub(crate) fn leave(&self, id: &RunId) -> bool {
        let left = self.active().remove(id);
        self.0.active_changed.notify_one();
        left.is_some_and(|active| active.cancel.is_cancelled())
    }

    /// Works on a run that is *running* already, to its end, and records that. Answers the run as it ended, or as it waits
    /// for its next attempt.
    pub(crate) async fn carry_out(&self, run: Run) -> Option<Run> {
        let cancel = self.enter(&run.id);
        self.tell_run(&run);
        let recording = Recording::start(self, &run.id);
        let outcome = self.work(&run, &recording, &cancel).await;
        let ended = self.conclude(&run, outcome, recording).await;
        self.leave(&run.id);
        self.0.runs_changed.notify_one();
        ended
    }

    async fn work(
        &self,
        run: &Run,
        recording: &Recording,
        cancel: &CancellationToken,
    ) -> Result<Made, Failure> {
        match run.kind {
            RunKind::Backup => Box::pin(self.back_up(run, recording, cancel)).await,
            RunKind::Verify => self.verify(run, recording, cancel).await,
            RunKind::Copy => Box::pin(self.make_copies(run, recording, cancel)).await,
            RunKind::Prune => self.delete_copies(run, recording, cancel).await,
            RunKind::Restore => Box::pin(self.bring_back(run, recording, cancel)).await,
            RunKind::Drill => Box::pin(self.prove(run, recording, cancel)).await,
        }
    }
}

/// What a cancelled run says.
pub(crate) fn cancelled() -> Failure {
    Failure::new(FailureCode::Cancelled, "Cancelled. Nothing of it was kept.")
}
