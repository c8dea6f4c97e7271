//! The end of a run: its state, its log, what it made, and who is told. One transaction.

use std::time::Duration;

use howdah_domain::{Failure, FailureCode, RunKind, RunState, SkipReason, WaitReason};
use howdah_store::tables::runs::{self, Outcome, Run, Transition};
use howdah_store::tables::{backups, ledger};

use super::{Made, Recording, cancelled, news};
use crate::api::{Event, LogLevel};
use crate::decide;
use crate::engine::Engine;

/// Between two attempts at writing the end of a run, first and longest: a full disk may have room again a little later.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Whether a kind of run is tried again by itself. A restore is somebody's who waits for it, and what it left on a server would be
/// in its own way; a drill is due again the next day.
fn again(kind: RunKind) -> bool {
    !matches!(kind, RunKind::Restore | RunKind::Drill)
}

impl Engine {
    /// Records how a run ended. A transient failure sends it back to wait for its next attempt.
    pub(super) async fn conclude(
        &self,
        run: &Run,
        outcome: Result<Made, Failure>,
        recording: Recording,
    ) -> Option<Run> {
        let now = self.0.clock.now();
        let (to, failure, next_attempt_at, made) = match outcome {
            Ok(made) => {
                let to = made
                    .skipped
                    .map_or(RunState::Succeeded, |reason| RunState::Skipped { reason });
                (to, None, None, made)
            }
            Err(failure) if self.0.ending.is_cancelled() => {
                let interrupted =
                    Failure::new(FailureCode::Interrupted, "Howdah was quit before this run ended.")
                        .hint("What it had written is removed. The next run is not affected.")
                        .details(failure.message);
                (RunState::Interrupted, Some(interrupted), None, Made::default())
            }
            Err(failure) if failure.is_cancelled() => {
                (RunState::Cancelled, Some(cancelled()), None, Made::default())
            }
            Err(failure) => {
                match decide::next_attempt(&failure, run.attempt, now).filter(|_| again(run.kind)) {
                    Some(at) => (
                        RunState::Waiting {
                            reason: WaitReason::Retry,
                        },
                        Some(failure),
                        Some(at),
                        Made::default(),
                    ),
                    None => (RunState::Failed, Some(failure), None, Made::default()),
                }
            }
        };
        if let Some(failure) = &failure {
            self.log_failure(&recording, failure);
        }
        let progress = recording.finish().await;
        let outcome = Outcome {
            failure,
            next_attempt_at,
            backup_id: made.backup.as_ref().map(|(backup, _)| backup.id.clone()),
            progress: Some(progress),
        };
        let ended = self.write_end(run, to, &outcome, made).await?;
        // Only now it makes room for the next check of a copy, and the next drill.
        self.0.upkeep_changed.notify_one();
        self.tell_end(&ended);
        self.follow_up(&ended).await;
        Some(ended)
    }

    fn log_failure(&self, recording: &Recording, failure: &Failure) {
        let reporter = recording.reporter();
        let level = if failure.is_cancelled() {
            LogLevel::Warning
        } else {
            LogLevel::Error
        };
        reporter.log(level, &failure.message);
        if let Some(hint) = &failure.hint {
            reporter.log(LogLevel::Info, hint);
        }
    }

    /// Writes the end. Where that cannot be done (the disk is full), it is tried again until it can be: a run that stayed *running*
    /// would keep its database from being backed up ever again. Where Howdah ends before, the next start finds the run
    /// interrupted and its ledger entry open.
    async fn write_end(&self, run: &Run, to: RunState, outcome: &Outcome, made: Made) -> Option<Run> {
        let now = self.0.clock.now();
        let mut pause = PAUSES.0;
        loop {
            let (id, outcome, backup) = (run.id.clone(), outcome.clone(), made.backup.clone());
            let written = self
                .0
                .store
                .write(move |tx| {
                    if let Some((backup, entries)) = &backup {
                        backups::insert(tx, backup)?;
                        for number in entries {
                            ledger::remove(tx, *number)?;
                        }
                    }
                    let running = |state| matches!(state, RunState::Running { .. });
                    let ended = runs::transition(tx, &id, running, to, now, &outcome)?;
                    let mut told = false;
                    if let Transition::Done(run) = &ended {
                        for news in news::of_end(tx, run, backup.as_ref().map(|(backup, _)| backup), now)? {
                            told |= news.raise(tx)?;
                        }
                    }
                    Ok((ended, told))
                })
                .await;
            match written {
                Ok((Transition::Done(run), told)) => {
                    if told {
                        self.told();
                    }
                    return Some(run);
                }
                Ok((Transition::Refused(state), _)) => {
                    tracing::error!(run = %run.id, ?state, "a run ended that was not running any more");
                    return None;
                }
                Err(error) => {
                    tracing::error!(run = %run.id, %error, "the end of a run could not be recorded yet");
                    if self.0.ending.is_cancelled() {
                        return None;
                    }
                }
            }
            tokio::select! {
                () = self.0.ending.cancelled() => {}
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSES.1),
            }
        }
    }

    /// What a new backup brings about: copies that are still owed, and what the plan's rule drops.
    async fn follow_up(&self, run: &Run) {
        let left = RunState::Skipped {
            reason: SkipReason::OtherMachine,
        };
        if run.kind != RunKind::Backup || (run.state != RunState::Succeeded && run.state != left) {
            return;
        }
        self.0.copies_changed.notify_one();
        if let (Some(plan_id), Some(database_id)) = (&run.plan_id, &run.database_id)
            && let Err(failure) = self.prune_after(plan_id, database_id).await
        {
            tracing::warn!(%failure, "what the plan's rule drops could not be decided; the next backup does it");
        }
    }

    fn tell_end(&self, run: &Run) {
        self.tell_run(run);
        if let (RunState::Succeeded, Some(database_id)) = (run.state, &run.database_id) {
            self.0.events.send(Event::Backups {
                database_id: database_id.clone(),
            });
        }
    }
}
