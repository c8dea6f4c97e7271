//! The schedule at work: due times become runs, once each, whatever the clock does.

#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use howdah_domain::conditions::{Missed, OnBattery};
use howdah_domain::{Conditions, Environment, FailureCode, Power, RunState, Scope, SkipReason, WaitReason};
use howdah_engine::api::{
    ChannelInput, ConnectionInput, DatabaseStatus, Event, NeedKind, PlanDraft, RunView, ServerChange,
};
use howdah_machine::{Moment, State};
use howdah_store::KeyringState;
use howdah_testkit::Cluster;
use jiff::SignedDuration;
use rstest::rstest;
use support::nightly::{
    first_scheduled, look_again, next_morning, nightly, one, scheduled_runs, wait_for_runs,
};
use support::{TestEngine, files_below, hold_a_table};

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
    let titles = test.caught.told(6).await;
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

fn waits_for(reason: WaitReason) -> impl Fn(RunState) -> bool {
    move |state| state == RunState::Waiting { reason }
}

#[rstest]
#[case::locked(KeyringState::Locked)]
#[case::absent(KeyringState::Absent)]
#[tokio::test(flavor = "multi_thread")]
async fn a_keyring_that_cannot_be_read_makes_a_run_wait_and_opening_it_lets_it_go(
    #[case] state: KeyringState,
) {
    let cluster = Cluster::start(17).await.unwrap();
    let test = TestEngine::start().await;
    let draft = nightly(&test, &cluster, one("postgres")).await;
    test.secrets.set_state(state);
    next_morning(&test, &draft).await;
    let waiting = first_scheduled(&test, waits_for(WaitReason::Keyring)).await;
    let overview = test.engine.overview().await.unwrap();
    assert!(
        overview.needs.iter().any(|need| need.kind == NeedKind::Keyring),
        "{:?}",
        overview.needs
    );
    // A dialog opens a locked one; one that is absent comes by itself.
    if state == KeyringState::Absent {
        test.secrets.set_state(KeyringState::Open);
    }
    let mut events = test.engine.events();
    test.engine.unlock_keyring().await.unwrap();
    let told = async { while !matches!(events.recv().await.unwrap(), Event::Settings) {} };
    tokio::time::timeout(Duration::from_secs(5), told)
        .await
        .expect("pages that show the keyring's state are told");
    assert_eq!(test.ended(&waiting.id).await.state, RunState::Succeeded);
}

#[rstest]
#[case::locked(KeyringState::Locked, FailureCode::KeyringLocked)]
#[case::absent(KeyringState::Absent, FailureCode::KeyringAbsent)]
#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_password_cannot_be_kept_is_not_added(
    #[case] state: KeyringState,
    #[case] code: FailureCode,
) {
    let cluster = Cluster::start(17).await.unwrap();
    let test = TestEngine::start().await;
    test.secrets.set_state(state);
    let form = ConnectionInput::Form {
        connection: cluster.connection("postgres"),
        password: Some(cluster.password()),
        ssh_secret: None,
    };
    let failure = test
        .engine
        .add_server(form, "shop", Environment::Production)
        .await
        .unwrap_err();
    assert_eq!(failure.code, code, "{failure:?}");
    assert!(failure.hint.is_some());
    assert!(test.engine.list_servers().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_backups_work_at_once_and_the_third_waits_for_its_turn() {
    let cluster = Cluster::start(17).await.unwrap();
    let test = TestEngine::start().await;
    let mut holders = Vec::new();
    for name in ["a", "b", "c"] {
        cluster.create_database(name).await.unwrap();
        holders.push(hold_a_table(&cluster, name).await);
    }
    let except = vec!["postgres".to_owned()];
    let draft = nightly(&test, &cluster, Scope::AllDatabases { except }).await;
    next_morning(&test, &draft).await;
    let states = async || -> (usize, usize) {
        let runs = scheduled_runs(&test).await;
        let count = |wish: &dyn Fn(RunState) -> bool| runs.iter().filter(|run| wish(run.state)).count();
        (
            count(&|state| matches!(state, RunState::Running { .. })),
            count(&waits_for(WaitReason::Slot)),
        )
    };
    for _ in 0..200 {
        if states().await == (2, 1) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(states().await, (2, 1), "{:?}", scheduled_runs(&test).await);
    drop(holders);
    let runs = wait_for_runs(&test, 3).await;
    assert!(
        runs.iter().all(|run| run.state == RunState::Succeeded),
        "{runs:?}"
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_success_is_told_where_the_channel_wants_to_hear_of_it(#[values(true, false)] told: bool) {
    let cluster = Cluster::start(17).await.unwrap();
    let test = TestEngine::start().await;
    let mut desktop = test.engine.list_channels().await.unwrap().remove(0);
    assert_eq!(desktop.rule.also.len(), 3, "{:?}", desktop.rule);
    if !told {
        desktop.rule.also.clear();
    }
    let input = ChannelInput {
        id: Some(desktop.id),
        name: desktop.name,
        address: desktop.address,
        secrets: std::collections::BTreeMap::new(),
        rule: desktop.rule,
        enabled: true,
    };
    test.engine.save_channel(input).await.unwrap();
    let draft = nightly(&test, &cluster, one("postgres")).await;
    next_morning(&test, &draft).await;
    assert_eq!(wait_for_runs(&test, 1).await[0].state, RunState::Succeeded);
    if told {
        assert_eq!(test.caught.told(1).await, ["postgres is backed up"]);
        return;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(test.caught.titles(), Vec::<String>::new());
    let alerts = test.engine.notifications_page().await.unwrap().alerts;
    assert_eq!(alerts.len(), 1, "it is on record all the same: {alerts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_is_tried_again_after_a_minute() {
    let mut cluster = Cluster::start(17).await.unwrap();
    let test = TestEngine::start().await;
    let draft = nightly(&test, &cluster, one("postgres")).await;
    cluster.stop().await.unwrap();
    next_morning(&test, &draft).await;
    let run = first_scheduled(&test, waits_for(WaitReason::Retry)).await;
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
        ssh_secret: None,
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
    let titles = test.caught.told(1).await;
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
    let test = TestEngine::start().await;
    let draft = nightly(&test, &cluster, one("postgres")).await;
    let _holder = hold_a_table(&cluster, "postgres").await;
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
    let test = TestEngine::start().await;
    let draft = nightly(&test, &cluster, one("postgres")).await;
    let holder = hold_a_table(&cluster, "postgres").await;
    next_morning(&test, &draft).await;
    let run = first_scheduled(&test, |state| matches!(state, RunState::Running { .. })).await;
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
async fn of_two_engines_that_start_at_once_one_runs_the_schedule() {
    let cluster = Cluster::start(17).await.unwrap();
    let (dir, clock) = (Arc::new(tempfile::tempdir().unwrap()), Arc::default());
    let start = || TestEngine::start_in(Arc::clone(&dir), Arc::clone(&clock));
    let (one_of_them, other) = tokio::join!(start(), start());
    let owns = [&one_of_them, &other].map(|test| test.engine.owns_schedule());
    assert_eq!(owns.iter().filter(|owns| **owns).count(), 1, "{owns:?}");
    let owner = if owns[0] { &one_of_them } else { &other };
    let draft = nightly(owner, &cluster, one("postgres")).await;
    next_morning(owner, &draft).await;
    let runs = wait_for_runs(owner, 1).await;
    assert_eq!((runs.len(), runs[0].state), (1, RunState::Succeeded));
    assert_eq!(other.engine.list_backups(None).await.unwrap().len(), 1);
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

#[tokio::test(flavor = "multi_thread")]
async fn this_machine_is_kept_awake_while_a_backup_is_at_work_and_no_longer() {
    let cluster = Cluster::start(17).await.unwrap();
    let test = TestEngine::start().await;
    nightly(&test, &cluster, one("postgres")).await;
    let held = hold_a_table(&cluster, "postgres").await;
    let database = test.engine.overview().await.unwrap().databases.remove(0).id;
    let run = test.engine.back_up_now(&database).await.unwrap().remove(0);
    test.until(&run, |state| matches!(state, RunState::Running { .. }))
        .await;
    for _ in 0..100 {
        if test.machine.holds() == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(test.machine.holds(), 1);
    drop(held);
    assert_eq!(test.ended(&run).await.state, RunState::Succeeded);
    for _ in 0..100 {
        if test.machine.holds() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it is kept awake by nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_due_in_the_sleep_begins_as_the_machine_wakes() {
    let cluster = Cluster::start(17).await.unwrap();
    let test = TestEngine::start().await;
    nightly(&test, &cluster, one("postgres")).await;
    // The schedule has just been looked at, and is again in fifteen seconds.
    tokio::time::sleep(Duration::from_secs(1)).await;
    test.machine.tell(Moment::FallsAsleep);
    test.clock.turn(SignedDuration::from_hours(25));
    test.machine.tell(Moment::Woke);
    let begun = std::time::Instant::now();
    wait_for_runs(&test, 1).await;
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_eq!(scheduled_runs(&test).await.len(), 1);
}

/// A nightly plan under other conditions than the usual ones.
async fn under(test: &TestEngine, draft: &PlanDraft, conditions: Conditions) -> PlanDraft {
    let draft = PlanDraft {
        conditions: Some(conditions),
        ..draft.clone()
    };
    test.engine.save_plan(draft.clone()).await.unwrap();
    draft
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_waits_for_power_and_begins_as_it_comes_and_by_hand_it_waits_for_nothing() {
    let cluster = Cluster::start(17).await.unwrap();
    let test = TestEngine::start().await;
    let draft = nightly(&test, &cluster, one("postgres")).await;
    let on_battery = |percent| State {
        power: Power::Battery {
            percent: Some(percent),
        },
        // Everything is on this machine, which needs no network.
        metered: Some(true),
        connected: Some(true),
    };
    test.machine.state.send_replace(on_battery(19));
    next_morning(&test, &draft).await;
    let run = first_scheduled(&test, waits_for(WaitReason::Power)).await;
    assert_eq!(test.caught.titles(), Vec::<String>::new(), "it waits silently");

    // By hand.
    let database = test.engine.overview().await.unwrap().databases.remove(0).id;
    let by_hand = test.engine.back_up_now(&database).await.unwrap().remove(0);
    assert_eq!(test.ended(&by_hand).await.state, RunState::Succeeded);

    // Power is back: at once, not at the next look.
    let begun = std::time::Instant::now();
    test.machine.state.send_replace(State {
        power: Power::Mains,
        ..on_battery(19)
    });
    assert_eq!(test.ended(&run.id).await.state, RunState::Succeeded);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(scheduled_runs(&test).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_waits_for_days_is_told_as_overdue() {
    let cluster = Cluster::start(17).await.unwrap();
    let test = TestEngine::start().await;
    let draft = nightly(&test, &cluster, one("postgres")).await;
    let draft = under(
        &test,
        &draft,
        Conditions {
            battery: OnBattery::Never,
            ..Conditions::default()
        },
    )
    .await;
    test.machine.state.send_replace(State {
        power: Power::Battery { percent: None },
        ..State::default()
    });
    next_morning(&test, &draft).await;
    first_scheduled(&test, waits_for(WaitReason::Power)).await;
    test.engine.look_at_alerts().await.unwrap();
    assert_eq!(test.caught.titles(), Vec::<String>::new());
    test.clock.turn(SignedDuration::from_hours(37));
    test.engine.look_at_alerts().await.unwrap();
    assert_eq!(test.caught.told(1).await, ["The backup of postgres is overdue"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_night_that_was_missed_is_left_out_where_the_plan_says_so_and_the_next_is_not() {
    let cluster = Cluster::start(17).await.unwrap();
    let test = TestEngine::start().await;
    let draft = nightly(&test, &cluster, one("postgres")).await;
    let skip = Conditions {
        missed: Missed::Skip,
        ..Conditions::default()
    };
    let draft = under(&test, &draft, skip).await;
    let due = test.engine.scheduler().await.unwrap().next.unwrap().at;
    test.clock.set(due + SignedDuration::from_hours(5));
    look_again(&test, &draft).await;
    let missed = RunState::Skipped {
        reason: SkipReason::Missed,
    };
    let runs = wait_for_runs(&test, 1).await;
    assert_eq!(runs[0].state, missed, "and it says so");
    next_morning(&test, &draft).await;
    let runs = wait_for_runs(&test, 2).await;
    assert_eq!((runs[0].state, runs[1].state), (RunState::Succeeded, missed));
}
