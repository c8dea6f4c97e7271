//! The schedule at work: due times become runs, once each, whatever the clock does.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use howdah_domain::schedule::TimeOfDay;
use howdah_domain::{Environment, FailureCode, RunState, Schedule, Scope, SkipReason, Trigger, WaitReason};
use howdah_engine::api::{ConnectionInput, DatabaseStatus, NeedKind, PlanDraft, RunView, ServerChange};
use howdah_store::KeyringState;
use howdah_testkit::Cluster;
use jiff::{SignedDuration, Timestamp};
use support::{TestEngine, files_below};

/// A plan that is due at four every morning, UTC.
async fn nightly(test: &TestEngine, cluster: &Cluster, scope: Scope) -> PlanDraft {
    let server = test
        .engine
        .add_server(
            ConnectionInput::Form {
                connection: cluster.connection("postgres"),
                password: Some(cluster.password()),
            },
            "shop",
            Environment::Production,
        )
        .await
        .unwrap();
    let draft = PlanDraft {
        id: None,
        server_id: server.id,
        scope,
        selection: Default::default(),
        globals: true,
        schedule: Schedule::Daily {
            at: TimeOfDay { hour: 4, minute: 0 },
        },
        time_zone: "UTC".to_owned(),
        folder: Some(test.folder()),
        destinations: Vec::new(),
        encryption: None,
        retention: None,
        enabled: true,
    };
    let plan = test.engine.save_plan(draft.clone()).await.unwrap();
    PlanDraft {
        id: Some(plan.id),
        ..draft
    }
}

fn one(name: &str) -> Scope {
    Scope::Database {
        name: name.to_owned(),
    }
}

/// Turns the clock to just after the next due time, and lets the scheduler see it.
async fn next_morning(test: &TestEngine, draft: &PlanDraft) -> Timestamp {
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
async fn look_again(test: &TestEngine, draft: &PlanDraft) {
    test.engine.save_plan(draft.clone()).await.unwrap();
}

async fn scheduled_runs(test: &TestEngine) -> Vec<RunView> {
    let mut runs = test.engine.list_runs(100).await.unwrap();
    runs.retain(|run| run.trigger == Trigger::Schedule);
    runs
}

async fn wait_for_runs(test: &TestEngine, count: usize) -> Vec<RunView> {
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

#[tokio::test(flavor = "multi_thread")]
async fn a_due_time_runs_once_also_when_the_clock_is_set_back() {
    let cluster = Cluster::start(17).await.unwrap();
    let test = TestEngine::start().await;
    let draft = nightly(&test, &cluster, one("postgres")).await;
    let due = next_morning(&test, &draft).await;
    let runs = wait_for_runs(&test, 1).await;
    assert_eq!((runs[0].state, runs[0].due_at), (RunState::Succeeded, Some(due)));

    test.clock.turn(SignedDuration::from_hours(-2));
    look_again(&test, &draft).await;
    test.clock.turn(SignedDuration::from_hours(3));
    look_again(&test, &draft).await;
    // Long enough for the scheduler to have looked; then the next due time comes, and is the only other run.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(scheduled_runs(&test).await.len(), 1);
    next_morning(&test, &draft).await;
    assert_eq!(wait_for_runs(&test, 2).await.len(), 2);
    assert_eq!(test.engine.list_backups(None).await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_was_a_year_ahead_does_not_end_the_schedule() {
    let cluster = Cluster::start(16).await.unwrap();
    let test = TestEngine::start().await;
    let draft = nightly(&test, &cluster, one("postgres")).await;
    test.clock.turn(SignedDuration::from_hours(24 * 366));
    look_again(&test, &draft).await;
    assert_eq!(wait_for_runs(&test, 1).await.len(), 1);
    test.clock.turn(SignedDuration::from_hours(-24 * 366));
    next_morning(&test, &draft).await;
    assert_eq!(wait_for_runs(&test, 2).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn nights_that_were_missed_become_one_run() {
    let cluster = Cluster::start(15).await.unwrap();
    let test = TestEngine::start().await;
    let draft = nightly(&test, &cluster, one("postgres")).await;
    test.clock.turn(SignedDuration::from_hours(24 * 5));
    look_again(&test, &draft).await;
    wait_for_runs(&test, 1).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(scheduled_runs(&test).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_switched_on_again_does_not_make_up_for_its_pause() {
    let cluster = Cluster::start(14).await.unwrap();
    let test = TestEngine::start().await;
    let draft = nightly(&test, &cluster, one("postgres")).await;
    test.engine
        .save_plan(PlanDraft {
            enabled: false,
            ..draft.clone()
        })
        .await
        .unwrap();
    test.clock.turn(SignedDuration::from_hours(24 * 5));
    look_again(&test, &draft).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(scheduled_runs(&test).await, []);
    next_morning(&test, &draft).await;
    assert_eq!(wait_for_runs(&test, 1).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_database_joins_and_a_dropped_one_is_told_and_keeps_its_backups() {
    let cluster = Cluster::start(17).await.unwrap();
    cluster.create_database("old").await.unwrap();
    let test = TestEngine::start().await;
    let draft = nightly(&test, &cluster, Scope::AllDatabases { except: Vec::new() }).await;
    next_morning(&test, &draft).await;
    let names = |runs: &[RunView]| {
        let mut names: Vec<_> = runs.iter().map(|run| run.database_name.clone()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&wait_for_runs(&test, 2).await), ["old", "postgres"]);

    cluster.create_database("new").await.unwrap();
    cluster.sql("postgres", "DROP DATABASE old").await.unwrap();
    next_morning(&test, &draft).await;
    assert_eq!(
        names(&wait_for_runs(&test, 4).await),
        ["new", "old", "postgres", "postgres"]
    );
    let titles = test.caught.titles();
    assert!(titles.contains(&"new is new on shop".to_owned()), "{titles:?}");
    assert!(
        titles.contains(&"old is no longer on shop".to_owned()),
        "{titles:?}"
    );
    let overview = test.engine.overview().await.unwrap();
    let old = overview
        .databases
        .iter()
        .find(|database| database.name == "old")
        .unwrap();
    assert_eq!(old.status, DatabaseStatus::Vanished);
    assert!(old.last_backup.is_some());
    assert!(
        overview
            .needs
            .iter()
            .any(|need| need.kind == NeedKind::DatabaseVanished)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_keyring_makes_a_run_wait_and_opening_it_lets_it_go() {
    let cluster = Cluster::start(17).await.unwrap();
    let test = TestEngine::start().await;
    let draft = nightly(&test, &cluster, one("postgres")).await;
    test.secrets.set_state(KeyringState::Locked);
    next_morning(&test, &draft).await;
    let waiting = loop {
        if let Some(run) = scheduled_runs(&test).await.pop() {
            break test
                .until(&run.id, |state| {
                    state
                        == RunState::Waiting {
                            reason: WaitReason::Keyring,
                        }
                })
                .await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let overview = test.engine.overview().await.unwrap();
    assert!(
        overview.needs.iter().any(|need| need.kind == NeedKind::Keyring),
        "{:?}",
        overview.needs
    );
    test.engine.unlock_keyring().await.unwrap();
    assert_eq!(test.ended(&waiting.id).await.state, RunState::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_is_tried_again_after_a_minute() {
    let mut cluster = Cluster::start(17).await.unwrap();
    let test = TestEngine::start().await;
    let draft = nightly(&test, &cluster, one("postgres")).await;
    cluster.stop().await.unwrap();
    next_morning(&test, &draft).await;
    let run = loop {
        if let Some(run) = scheduled_runs(&test).await.pop() {
            break test
                .until(&run.id, |state| {
                    state
                        == RunState::Waiting {
                            reason: WaitReason::Retry,
                        }
                })
                .await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(run.failure.as_ref().unwrap().code, FailureCode::ConnectionRefused);
    let pause = run.next_attempt_at.unwrap().duration_since(test.engine_now());
    assert!((50..=60).contains(&pause.as_secs()), "{pause}");
    assert_eq!(
        test.caught.titles(),
        Vec::<String>::new(),
        "an attempt that will be repeated alarms nobody"
    );

    cluster.start_again().await.unwrap();
    test.clock.turn(SignedDuration::from_secs(61));
    // It listens on another port now; telling Howdah so also makes it look at what waits.
    let moved = ServerChange {
        name: None,
        connection: Some(cluster.connection("postgres")),
        password: None,
        environment: None,
    };
    test.engine.change_server(&draft.server_id, moved).await.unwrap();
    let ended = test.ended(&run.id).await;
    assert_eq!(
        (ended.state, ended.attempt, ended.failure),
        (RunState::Succeeded, 2, None)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_is_rejected_fails_at_once_and_is_told() {
    let cluster = Cluster::start(17).await.unwrap();
    let test = TestEngine::start().await;
    let draft = nightly(&test, &cluster, one("postgres")).await;
    cluster
        .sql("postgres", "ALTER ROLE postgres PASSWORD 'another'")
        .await
        .unwrap();
    next_morning(&test, &draft).await;
    let run = wait_for_runs(&test, 1).await.remove(0);
    assert_eq!((run.state, run.attempt), (RunState::Failed, 1));
    assert_eq!(run.failure.unwrap().code, FailureCode::AuthenticationFailed);
    let titles = test.caught.titles();
    assert_eq!(titles, ["postgres was not backed up"]);
    let overview = test.engine.overview().await.unwrap();
    assert!(
        overview
            .needs
            .iter()
            .any(|need| need.kind == NeedKind::BackupFailed)
    );
    assert_eq!(files_below(&test.folder()), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_due_time_is_skipped_while_the_run_before_it_is_at_work() {
    let cluster = Cluster::start(17).await.unwrap();
    cluster
        .sql("postgres", "CREATE TABLE held (a int)")
        .await
        .unwrap();
    let test = TestEngine::start().await;
    let draft = nightly(&test, &cluster, one("postgres")).await;
    let holder = cluster.client("postgres").await.unwrap();
    holder
        .batch_execute("BEGIN; LOCK TABLE held IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    let database = test.engine.overview().await.unwrap().databases[0].id.clone();
    let held = test.engine.back_up_now(&database).await.unwrap().remove(0);
    test.until(&held, |state| matches!(state, RunState::Running { .. }))
        .await;
    next_morning(&test, &draft).await;
    let skipped = wait_for_runs(&test, 1).await.remove(0);
    assert_eq!(
        skipped.state,
        RunState::Skipped {
            reason: SkipReason::StillRunning
        }
    );

    let begun = std::time::Instant::now();
    test.engine.cancel_run(&held).await.unwrap();
    assert_eq!(test.ended(&held).await.state, RunState::Cancelled);
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "cancelling took {:?}",
        begun.elapsed()
    );
    assert_eq!(files_below(&test.folder()), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_cut_short_by_quitting_is_made_once_more_at_the_next_start() {
    let cluster = Cluster::start(17).await.unwrap();
    cluster
        .sql("postgres", "CREATE TABLE held (a int)")
        .await
        .unwrap();
    let test = TestEngine::start().await;
    let draft = nightly(&test, &cluster, one("postgres")).await;
    let holder = cluster.client("postgres").await.unwrap();
    holder
        .batch_execute("BEGIN; LOCK TABLE held IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    next_morning(&test, &draft).await;
    let run = loop {
        if let Some(run) = scheduled_runs(&test).await.pop() {
            break test
                .until(&run.id, |state| matches!(state, RunState::Running { .. }))
                .await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    test.engine.shutdown(Duration::from_secs(10)).await;
    assert_eq!(
        test.engine.run(&run.id).await.unwrap().state,
        RunState::Interrupted
    );
    assert_eq!(files_below(&test.folder()), Vec::<String>::new());

    // The next start makes up for it, once.
    drop(holder);
    let (dir, clock, secrets) = (test.dir.clone(), test.clock.clone(), test.secrets.clone());
    drop(test);
    let again = TestEngine::start_with(dir, clock, secrets).await;
    let runs = wait_for_runs(&again, 2).await;
    assert_eq!((runs[0].state, runs[0].due_at), (RunState::Succeeded, run.due_at));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_gone_fails_the_run_and_is_not_made_again() {
    let cluster = Cluster::start(17).await.unwrap();
    let test = TestEngine::start().await;
    let draft = nightly(&test, &cluster, one("postgres")).await;
    std::fs::remove_dir_all(test.folder()).unwrap();
    next_morning(&test, &draft).await;
    let run = wait_for_runs(&test, 1).await.remove(0);
    assert_eq!(run.failure.unwrap().code, FailureCode::DestinationMissing);
    assert!(
        !test.folder().exists(),
        "the disk below a mount that is away must stay empty"
    );

    // Nor where something else is there, such as the empty mount point.
    std::fs::create_dir(test.folder()).unwrap();
    next_morning(&test, &draft).await;
    let run = wait_for_runs(&test, 2).await.remove(0);
    assert_eq!(run.failure.unwrap().code, FailureCode::DestinationMissing);
    assert_eq!(files_below(&test.folder()), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_engine_is_a_guest_and_leaves_the_schedule_alone() {
    let cluster = Cluster::start(17).await.unwrap();
    let test = TestEngine::start().await;
    let draft = nightly(&test, &cluster, one("postgres")).await;
    let guest = TestEngine::start_in(test.dir.clone(), test.clock.clone()).await;
    assert!(test.engine.owns_schedule() && !guest.engine.owns_schedule());
    next_morning(&test, &draft).await;
    let runs = wait_for_runs(&test, 1).await;
    assert_eq!((runs.len(), runs[0].state), (1, RunState::Succeeded));
    assert_eq!(guest.engine.list_backups(None).await.unwrap().len(), 1);
    guest.engine.shutdown(Duration::from_secs(5)).await;
}
