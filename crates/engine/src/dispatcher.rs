//! Starts runs: as many at once as the settings allow, one per database, the rest waits and says for what.
//!
//! What may start is decided by the store in one transaction, for all processes of the data directory together. This
//! loop only offers it this process's runs whenever something may have changed.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use howdah_domain::conditions::Circumstances;
use howdah_domain::{Encryption, Failure, Phase, RunId, RunKind, RunState, Trigger, WaitReason};
use howdah_store::KeyringState;
use howdah_store::tables::runs::{self, Outcome, Run, Start};
use howdah_store::tables::{databases, destinations, plans, servers};
use jiff::Timestamp;

use crate::engine::{Engine, OrFailure};
use crate::recovery;

/// The loop looks again after this long, whatever happens: other processes' runs end without telling this one.
const LOOK_AGAIN: Duration = Duration::from_secs(15);

/// A process beside this one may have been killed: its run would hold a place, and its leavings would stay.
const SET_RIGHT: Duration = Duration::from_secs(60);

/// Runs until the engine ends.
pub(crate) async fn run(engine: Engine) {
    let mut set_right = Instant::now();
    loop {
        if set_right.elapsed() >= SET_RIGHT {
            if let Err(failure) = recovery::set_right(&engine).await {
                tracing::error!(%failure, "what dead processes left could not be looked at");
            }
            set_right = Instant::now();
        }
        let next = match engine.start_what_can().await {
            Ok(next) => next,
            Err(failure) => {
                tracing::error!(%failure, "runs could not be looked at");
                None
            }
        };
        let now = engine.0.clock.now();
        let wait = next
            .and_then(|at| Duration::try_from(at.duration_since(now)).ok())
            .map_or(LOOK_AGAIN, |wait| wait.min(LOOK_AGAIN));
        tokio::select! {
            () = engine.0.ending.cancelled() => return,
            () = engine.0.runs_changed.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

impl Engine {
    /// Starts every run of this process that may start. Answers when the next one that waits for a time may.
    async fn start_what_can(&self) -> Result<Option<Timestamp>, Failure> {
        let mut next: Option<Timestamp> = None;
        for run in self.runs_to_start().await? {
            let now = self.0.clock.now();
            if let Some(at) = run.next_attempt_at.filter(|at| *at > now) {
                next = Some(next.map_or(at, |next| next.min(at)));
                continue;
            }
            if self.0.ending.is_cancelled() {
                break;
            }
            if let Some(reason) = self.conditions_in_the_way(&run).await? {
                self.wait_for(&run, reason).await?;
                continue;
            }
            if self.keyring_is_in_the_way(&run).await? {
                self.wait_for(&run, WaitReason::Keyring).await?;
                continue;
            }
            self.offer(&run.id).await?;
        }
        Ok(next)
    }

    /// This process's runs that have not begun, oldest first.
    async fn runs_to_start(&self) -> Result<Vec<Run>, Failure> {
        let at_work: HashSet<RunId> = self.active().keys().cloned().collect();
        let owner = self.0.store.owner().clone();
        let mut active = self.0.store.read(runs::active).await.or_failure()?;
        active.retain(|run| {
            run.owner == owner
                && matches!(run.state, RunState::Queued | RunState::Waiting { .. })
                && !at_work.contains(&run.id)
        });
        Ok(active)
    }

    /// Asks the store whether a run may start, and starts it.
    async fn offer(&self, id: &RunId) -> Result<(), Failure> {
        let parallel = self.settings().await.parallel_backups;
        let (id, now) = (id.clone(), self.0.clock.now());
        let before = {
            let id = id.clone();
            self.0
                .store
                .read(move |c| runs::get(c, &id))
                .await
                .or_failure()?
                .map(|run| run.state)
        };
        if self.active().contains_key(&id) {
            return Ok(());
        }
        // Before it is started, so that there is no moment in which nobody could cancel it.
        self.enter(&id);
        let start = {
            let id = id.clone();
            self.0
                .store
                .write(move |tx| {
                    let start = runs::try_start(tx, &id, parallel, Phase::Connecting, now)?;
                    if let Start::Started(run) = &start
                        && let Some(news) = crate::runs::news::of_start(run, now)
                    {
                        news.raise(tx)?;
                    }
                    Ok(start)
                })
                .await
                .or_failure()
        };
        if !matches!(start, Ok(Start::Started(_))) && self.leave(&id) {
            self.cancel_run(&id).await?;
        }
        match start? {
            Start::Started(run) => {
                self.0.outbox_changed.notify_one();
                let engine = self.clone();
                self.spawn(async move {
                    engine.carry_out(run).await;
                });
            }
            Start::Waits(run) if before != Some(run.state) => self.tell_run(&run),
            Start::Waits(_) | Start::Refused(_) => {}
        }
        Ok(())
    }

    /// Whether a run needs a secret that cannot be had now: the server's, or those of all of its plan's destinations. Where one
    /// destination can be reached without, the backup goes there now, and to the others later.
    async fn keyring_is_in_the_way(&self, run: &Run) -> Result<bool, Failure> {
        let Some(database_id) = run.database_id.clone().filter(|_| run.kind == RunKind::Backup) else {
            return Ok(false);
        };
        let plan_id = run.plan_id.clone();
        let needs_secret = self
            .0
            .store
            .read(move |c| {
                let Some(database) = databases::get(c, &database_id)? else {
                    return Ok(false);
                };
                let of_server = servers::get(c, &database.server_id)?.is_some_and(|row| {
                    row.secret_reference.is_some() || row.tunnel_secret_reference.is_some()
                });
                let plan = match plan_id {
                    Some(id) => plans::get(c, &id)?,
                    None => None,
                };
                let Some(plan) = plan else {
                    return Ok(of_server);
                };
                let mut of_destinations = !plan.destinations.is_empty();
                for id in &plan.destinations {
                    of_destinations &=
                        destinations::get(c, id)?.is_some_and(|row| row.secret_reference.is_some());
                }
                Ok(of_server || of_destinations || plan.encryption == Encryption::Passphrase)
            })
            .await
            .or_failure()?;
        Ok(needs_secret && self.0.secrets.state().await != KeyringState::Open)
    }

    /// What the plan of a scheduled backup wants to wait for.
    async fn conditions_in_the_way(&self, run: &Run) -> Result<Option<WaitReason>, Failure> {
        let (RunKind::Backup, Trigger::Schedule, Some(plan_id)) = (run.kind, run.trigger, &run.plan_id)
        else {
            return Ok(None);
        };
        let (id, now) = (plan_id.clone(), self.0.clock.now());
        let found = self
            .0
            .store
            .read(move |c| {
                let Some(plan) = plans::get(c, &id)? else {
                    return Ok(None);
                };
                let server = servers::get(c, &plan.server_id)?;
                let mut far = server.is_some_and(|row| !row.server.connection.is_local());
                for id in &plan.destinations {
                    far |= destinations::get(c, id)?.is_some_and(|row| !row.place.is_local());
                }
                Ok(Some((plan, far)))
            })
            .await
            .or_failure()?;
        let Some((plan, far)) = found else { return Ok(None) };
        let Some(zone) = crate::scheduler::zone(&plan) else {
            return Ok(None);
        };
        let machine = *self.0.machine.state().borrow();
        let circumstances = Circumstances {
            power: machine.power,
            metered: machine.metered,
            far,
            time: now.to_zoned_datetime(zone).time(),
        };
        Ok(plan.conditions.in_the_way(&circumstances))
    }

    async fn wait_for(&self, run: &Run, reason: WaitReason) -> Result<(), Failure> {
        let waiting = RunState::Waiting { reason };
        if run.state == waiting {
            return Ok(());
        }
        let (id, now) = (run.id.clone(), self.0.clock.now());
        let transition = self
            .0
            .store
            .write(move |tx| runs::transition(tx, &id, |_| true, waiting, now, &Outcome::default()))
            .await
            .or_failure()?;
        if let Some(run) = transition.done() {
            self.tell_run(&run);
        }
        Ok(())
    }
}
