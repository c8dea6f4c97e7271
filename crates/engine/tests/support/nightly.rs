//! A plan for every night at four, and a clock that brings the next morning.

use std::time::Duration;

use howdah_domain::schedule::TimeOfDay;
use howdah_domain::{Environment, RunState, Schedule, Scope, Trigger};
use howdah_engine::api::{PlanDraft, RunView};
use howdah_testkit::Cluster;
use jiff::{SignedDuration, Timestamp};

use super::TestEngine;
use super::by_hand::{by_hand, saved, server_in};

/// A plan that is due at four every morning, UTC.
pub async fn nightly(test: &TestEngine, cluster: &Cluster, scope: Scope) -> PlanDraft {
    let server = server_in(test, cluster, "shop", Environment::Production).await;
    let draft = PlanDraft {
        scope,
        schedule: Schedule::Daily {
            at: TimeOfDay { hour: 4, minute: 0 },
        },
        folder: Some(test.folder()),
        ..by_hand(server, Vec::new())
    };
    saved(test, draft).await
}

/// One database.
pub fn one(name: &str) -> Scope {
    Scope::Database {
        name: name.to_owned(),
    }
}

/// Turns the clock to just after the next due time, and lets the scheduler see it.
pub async fn next_morning(test: &TestEngine, draft: &PlanDraft) -> Timestamp {
    let due = test
        .engine
        .scheduler()
        .await
        .unwrap()
        .next
        .expect("something is due")
        .at;
    test.clock.set(due + SignedDuration::from_secs(1));
    look_again(test, draft).await;
    due
}

/// A plan that is saved makes the scheduler look at the clock; otherwise it does within fifteen seconds.
pub async fn look_again(test: &TestEngine, draft: &PlanDraft) {
    test.engine.save_plan(draft.clone()).await.unwrap();
}

/// What the schedule has run, newest first.
pub async fn scheduled_runs(test: &TestEngine) -> Vec<RunView> {
    let mut runs = test.engine.list_runs(100).await.unwrap();
    runs.retain(|run| run.trigger == Trigger::Schedule);
    runs
}

/// Waits until so many runs of the schedule have ended, and all have.
pub async fn wait_for_runs(test: &TestEngine, count: usize) -> Vec<RunView> {
    for _ in 0..300 {
        let runs = scheduled_runs(test).await;
        if runs.len() >= count && runs.iter().all(|run| run.state.is_final()) {
            return runs;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!(
        "{count} runs did not come to an end: {:?}",
        scheduled_runs(test).await
    );
}

/// The first run of the schedule, once it is in the wished state.
pub async fn first_scheduled(test: &TestEngine, wish: impl Fn(RunState) -> bool) -> RunView {
    loop {
        if let Some(run) = scheduled_runs(test).await.pop() {
            return test.until(&run.id, wish).await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
