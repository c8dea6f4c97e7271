//! What is seen to from time to time beside the schedule: grants that may have gone, copies that are to be checked again, the copy
//! of the settings at encrypted destinations.

use std::time::{Duration, Instant};

use howdah_domain::{Failure, FailureCode};
use howdah_store::tables::destinations;
use jiff::{SignedDuration, Timestamp};

use crate::api::Event;
use crate::engine::{Engine, OrFailure};
use crate::events;

/// It is looked at this often, whatever happens.
const LOOK_AGAIN: Duration = Duration::from_secs(15 * 60);

/// How often what uploads left is looked for.
const SWEEP_AGAIN: Duration = Duration::from_secs(24 * 3600);

/// An upload that was begun so long ago is nobody's.
const GIVEN_UP: SignedDuration = SignedDuration::from_hours(24 * 7);

/// How long each of it may take.
const PATIENCE: Duration = Duration::from_secs(10 * 60);

/// Changes come in rows: a person fills in a form, a plan is saved with its server.
const SETTLE: Duration = Duration::from_secs(3);

impl Engine {
    /// Removes what uploads left at destinations that were given up a week ago, and that no machine will ever end.
    async fn sweep(&self) -> Result<(), Failure> {
        let before = self.0.clock.now().checked_sub(GIVEN_UP).unwrap_or(Timestamp::MIN);
        for row in self.0.store.read(destinations::list).await.or_failure()? {
            if row.place.is_local() {
                continue;
            }
            let swept = async {
                let destination = self.open_destination(&row).await?;
                destination.sweep(before, &self.0.ending).await.or_failure()
            };
            match swept.await {
                Ok(0) => {}
                Ok(many) => tracing::info!(destination = row.name, many, "unfinished uploads were removed"),
                Err(failure) => tracing::debug!(%failure, "a destination could not be swept"),
            }
        }
        Ok(())
    }

    /// Looks at once at grants, copies and the settings' copies, instead of within a quarter of an hour.
    pub fn look_after_things(&self) {
        self.0.upkeep_changed.notify_one();
    }
}

/// Runs until the engine ends.
pub(crate) async fn run(engine: Engine) {
    let mut events = engine.events();
    let mut swept: Option<Instant> = None;
    loop {
        if swept.is_none_or(|at| at.elapsed() >= SWEEP_AGAIN) {
            swept = Some(Instant::now());
            if let Err(failure) = in_time(engine.sweep()).await {
                tracing::warn!(%failure, "destinations could not be swept");
            }
        }
        for (what, outcome) in [
            (
                "the grants of destinations",
                in_time(engine.look_at_grants()).await,
            ),
            (
                "the copies to check",
                in_time(engine.check_what_is_due()).await.map(drop),
            ),
            ("what was replaced", in_time(engine.look_at_replacements()).await),
            ("the drills", in_time(engine.drill_what_is_due()).await.map(drop)),
            (
                "the copy of the settings",
                in_time(engine.copy_settings_out()).await,
            ),
        ] {
            if let Err(failure) = outcome {
                tracing::warn!(%failure, "{what} could not be seen to; it is tried again later");
            }
        }
        tokio::select! {
            () = engine.0.ending.cancelled() => return,
            () = engine.0.upkeep_changed.notified() => {}
            () = events::any(&mut events, SETTLE, |event| {
                // Something of what an export holds may have changed.
                matches!(event, Some(Event::Databases | Event::Destinations | Event::Settings) | None)
            }) => {}
            () = tokio::time::sleep(LOOK_AGAIN) => {}
        }
    }
}

/// A share that hangs must not keep everything else from being seen to.
async fn in_time<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::time::timeout(PATIENCE, Box::pin(work))
        .await
        .unwrap_or_else(|_| {
            Err(Failure::new(
                FailureCode::Timeout,
                "A destination did not answer in time.",
            ))
        })
}
