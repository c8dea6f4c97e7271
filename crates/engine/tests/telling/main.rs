//! What people are told of backups, once per streak, also after a death or a day without a network.

#![allow(clippy::unwrap_used)]

mod figures;
mod routes;
#[path = "../support/mod.rs"]
mod support;

use std::sync::atomic::Ordering;
use std::time::Duration;

use howdah_domain::schedule::TimeOfDay;
use howdah_domain::{AlertKind, Environment, FailureCode, Place, RunState, Schedule, Severity};
use howdah_engine::api::{
    AlertView, ChannelView, ConnectionInput, DeliveryState, DestinationChange, NeedKind, PlanDraft,
};
use howdah_testkit::Cluster;
use jiff::SignedDuration;

use support::TestEngine;
use support::by_hand::{by_hand, saved};
use support::nightly::{next_morning, nightly, one, wait_for_runs};

async fn alerts(test: &TestEngine, kind: AlertKind) -> Vec<AlertView> {
    let mut alerts = test.engine.notifications_page().await.unwrap().alerts;
    alerts.retain(|alert| alert.kind == kind);
    alerts
}

/// Waits until there is such an alert.
async fn alert(test: &TestEngine, kind: AlertKind) -> AlertView {
    for _ in 0..400 {
        if let Some(found) = alerts(test, kind).await.into_iter().next() {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{kind:?} was not raised");
}

async fn desktop(test: &TestEngine) -> ChannelView {
    test.engine.list_channels().await.unwrap().remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn backups_that_fail_are_told_once_with_the_last_lines_of_pg_dump_and_so_is_their_end() {
    let cluster = Cluster::start(17).await.unwrap();
    let test = TestEngine::start().await;
    let password = cluster.create_role("reader", "").await.unwrap();
    cluster
        .sql("postgres", "CREATE TABLE secrets (id int)")
        .await
        .unwrap();
    let input = ConnectionInput::Form {
        connection: cluster.connection_as("reader", "postgres"),
        password: Some(password.clone()),
        ssh_secret: None,
    };
    let server = test
        .engine
        .add_server(input, "shop", Environment::Production)
        .await
        .unwrap();
    let draft = PlanDraft {
        schedule: Schedule::Daily {
            at: TimeOfDay { hour: 4, minute: 0 },
        },
        folder: Some(test.folder()),
        ..by_hand(server.id, Vec::new())
    };
    let draft = saved(&test, draft).await;
    for night in 1..=3 {
        next_morning(&test, &draft).await;
        let runs = wait_for_runs(&test, night).await;
        assert_eq!(runs[0].state, RunState::Failed);
    }
    test.engine.look_at_alerts().await.unwrap();
    assert_eq!(
        test.caught.told(1).await,
        ["postgres was not backed up"],
        "that it is overdue by now is no news"
    );
    let message = test.caught.messages().remove(0);
    assert_eq!(message.severity, Severity::Critical);
    let last = message.text().lines().next_back().unwrap().to_owned();
    assert!(
        message.text().contains("permission denied for table secrets"),
        "{}",
        message.text()
    );
    assert!(last.contains("secrets"), "the last line is pg_dump's own: {last}");
    assert_eq!(message.databases[0].database, "postgres");
    assert!(message.route.as_ref().unwrap().starts_with("/runs/"));
    assert!(!message.text().contains(password.expose()));
    cluster
        .sql("postgres", "GRANT SELECT ON secrets TO reader")
        .await
        .unwrap();
    next_morning(&test, &draft).await;
    assert_eq!(wait_for_runs(&test, 4).await[0].state, RunState::Succeeded);
    let told = test.caught.told(2).await;
    assert_eq!(told[1..], ["postgres is backed up again"]);
    let failed = alerts(&test, AlertKind::BackupFailed).await;
    assert_eq!(failed.len(), 1);
    assert!(failed[0].ended_at.is_some() && failed[0].lasts);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_overdue_is_told_and_so_is_one_that_shrank() {
    let cluster = Cluster::start(17).await.unwrap();
    cluster
        .sql(
            "postgres",
            "CREATE TABLE orders AS SELECT g, md5(g::text) FROM generate_series(1, 1000) g",
        )
        .await
        .unwrap();
    let test = TestEngine::start().await;
    let draft = nightly(&test, &cluster, one("postgres")).await;
    for night in 1..=3 {
        next_morning(&test, &draft).await;
        assert_eq!(wait_for_runs(&test, night).await[0].state, RunState::Succeeded);
    }
    assert_eq!(alerts(&test, AlertKind::BackupShrunk).await.len(), 0);
    cluster
        .sql("postgres", "DELETE FROM orders WHERE g > 100")
        .await
        .unwrap();
    next_morning(&test, &draft).await;
    wait_for_runs(&test, 4).await;
    let shrunk = alert(&test, AlertKind::BackupShrunk).await;
    assert!(
        shrunk.body.contains("1,000 rows") || shrunk.body.contains("1000 rows"),
        "{}",
        shrunk.body
    );
    // The plan is paused by its own schedule: nothing begins, and a day and a half go by.
    test.engine
        .pause(Some(test.engine_now() + SignedDuration::from_hours(100)))
        .await
        .unwrap();
    test.clock.turn(SignedDuration::from_hours(37));
    test.engine.look_at_alerts().await.unwrap();
    let overdue = alert(&test, AlertKind::BackupOverdue).await;
    assert_eq!(overdue.title, "The backup of postgres is overdue");
    assert!(overdue.body.contains("every day"), "{}", overdue.body);
    test.engine.look_at_alerts().await.unwrap();
    assert_eq!(alerts(&test, AlertKind::BackupOverdue).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_time_without_a_way_to_people_one_message_stands_for_all() {
    let cluster = Cluster::start(17).await.unwrap();
    let test = TestEngine::start().await;
    test.caught.away.store(true, Ordering::Relaxed);
    let draft = nightly(&test, &cluster, one("postgres")).await;
    for night in 1..=5 {
        next_morning(&test, &draft).await;
        wait_for_runs(&test, night).await;
    }
    let channel = desktop(&test).await;
    assert_eq!(channel.waiting, 5);
    assert_eq!(channel.failure.unwrap().code, FailureCode::Unreachable);
    assert!(test.caught.tries() < 20, "{}", test.caught.tries());
    test.caught.away.store(false, Ordering::Relaxed);
    test.engine.retry_deliveries(&channel.id).await.unwrap();
    assert_eq!(test.caught.told(1).await, ["5 things happened meanwhile"]);
    let message = test.caught.messages().remove(0);
    assert_eq!(
        (message.stands_for, message.kind),
        (5, AlertKind::BackupSucceeded)
    );
    for _ in 0..100 {
        if desktop(&test).await.waiting == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let channel = desktop(&test).await;
    assert_eq!((channel.waiting, channel.failure), (0, None));
    let states: Vec<DeliveryState> = alerts(&test, AlertKind::BackupSucceeded)
        .await
        .iter()
        .map(|alert| alert.deliveries[0].state)
        .collect();
    assert_eq!(
        states
            .iter()
            .filter(|state| **state == DeliveryState::Collapsed)
            .count(),
        4
    );
    assert_eq!(
        states
            .iter()
            .filter(|state| **state == DeliveryState::Delivered)
            .count(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_channel_that_is_switched_off_is_told_only_to_whoever_asks_for_it() {
    let cluster = Cluster::start(17).await.unwrap();
    let test = TestEngine::start().await;
    test.caught.away.store(true, Ordering::Relaxed);
    let draft = nightly(&test, &cluster, one("postgres")).await;
    for night in 1..=2 {
        next_morning(&test, &draft).await;
        wait_for_runs(&test, night).await;
    }
    assert_eq!(desktop(&test).await.waiting, 2);
    for enabled in [false, true] {
        let channel = ChannelView {
            enabled,
            ..desktop(&test).await
        };
        test.save_channel(channel).await;
        assert_eq!(desktop(&test).await.waiting, 0);
        test.caught.away.store(false, Ordering::Relaxed);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(test.caught.titles(), Vec::<String>::new());
    let told = alerts(&test, AlertKind::BackupSucceeded).await;
    let delivery = &told[0].deliveries[0];
    assert_eq!(delivery.state, DeliveryState::Failed);
    let channel = desktop(&test).await.id;
    test.engine.retry_deliveries(&channel).await.unwrap();
    assert_eq!(test.caught.told(1).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_before_a_death_is_told_after_the_next_start() {
    let cluster = Cluster::start(17).await.unwrap();
    let first = TestEngine::start().await;
    first.caught.away.store(true, Ordering::Relaxed);
    let draft = nightly(&first, &cluster, one("postgres")).await;
    next_morning(&first, &draft).await;
    wait_for_runs(&first, 1).await;
    assert_eq!(desktop(&first).await.waiting, 1);
    let (dir, clock, secrets) = (first.dir.clone(), first.clock.clone(), first.secrets.clone());
    first.engine.shutdown(Duration::from_secs(10)).await;
    drop(first);
    // A try that failed waits for its next time.
    clock.turn(SignedDuration::from_mins(10));
    let second = TestEngine::start_with(dir, clock, secrets).await;
    assert_eq!(second.caught.told(1).await, ["postgres is backed up"]);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(second.caught.tries(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn quiet_hours_hold_back_what_is_not_critical() {
    let cluster = Cluster::start(17).await.unwrap();
    let test = TestEngine::start().await;
    let mut channel = desktop(&test).await;
    // All day but the minute that has just passed.
    let now = jiff::Timestamp::now()
        .to_zoned_datetime(jiff::tz::TimeZone::system())
        .time();
    let minute = |time: jiff::civil::Time| TimeOfDay {
        hour: u8::try_from(time.hour()).unwrap(),
        minute: u8::try_from(time.minute()).unwrap(),
    };
    channel.rule.quiet = Some(howdah_domain::routing::QuietHours {
        from: minute(now),
        to: minute(now.wrapping_sub(jiff::SignedDuration::from_mins(2))),
    });
    test.save_channel(channel).await;
    let draft = PlanDraft {
        schedule: Schedule::Manual,
        ..nightly(&test, &cluster, one("postgres")).await
    };
    test.engine.save_plan(draft).await.unwrap();
    assert_eq!(test.back_up_now().await.state, RunState::Succeeded);
    cluster
        .sql("postgres", "ALTER ROLE postgres PASSWORD 'another'")
        .await
        .unwrap();
    assert_eq!(test.back_up_now().await.state, RunState::Failed);
    assert_eq!(test.caught.told(1).await, ["postgres was not backed up"]);
    assert_eq!(desktop(&test).await.waiting, 1);
    let needs = test.engine.overview().await.unwrap().needs;
    assert!(needs.iter().any(|need| need.kind == NeedKind::BackupFailed));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_gets_its_summary_once_a_day() {
    let cluster = Cluster::start(17).await.unwrap();
    let test = TestEngine::start().await;
    let draft = nightly(&test, &cluster, one("postgres")).await;
    let mut channel = desktop(&test).await;
    channel.rule.also.clear();
    // On this machine's clock, in an hour.
    let soon = (jiff::Timestamp::now() + SignedDuration::from_hours(1))
        .to_zoned_datetime(jiff::tz::TimeZone::system())
        .time();
    channel.rule.summary = Some(howdah_domain::routing::SummaryRule {
        day: None,
        at: TimeOfDay {
            hour: u8::try_from(soon.hour()).unwrap(),
            minute: u8::try_from(soon.minute()).unwrap(),
        },
    });
    test.save_channel(channel).await;
    let run = test.back_up_now().await;
    assert_eq!(run.state, RunState::Succeeded);
    test.engine.sum_up().await.unwrap();
    assert_eq!(test.caught.titles(), Vec::<String>::new(), "it is not due yet");
    test.clock.turn(SignedDuration::from_mins(61));
    test.engine.sum_up().await.unwrap();
    test.engine.sum_up().await.unwrap();
    let told = test.caught.told(1).await;
    assert_eq!(told, ["The last day: all is well"]);
    let body = test.caught.messages().remove(0).body;
    assert!(body.starts_with("1 backup made, 0 failed."), "{body}");
    assert!(
        body.contains("postgres (shop): 1 backup; newest backup"),
        "{body}"
    );
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(test.caught.titles().len(), 1);
    drop(draft);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_on_a_disk_that_is_nearly_full_is_told_once_and_so_is_nothing_once_there_is_room() {
    let Some(disk) = support::small_disk("64m") else {
        return;
    };
    let cluster = Cluster::start(17).await.unwrap();
    let test = TestEngine::start().await;
    let folder = disk.path().join("backups");
    let draft = PlanDraft {
        folder: Some(folder.clone()),
        ..by_hand(
            support::by_hand::server(&test, &cluster, "shop").await,
            Vec::new(),
        )
    };
    saved(&test, draft).await;
    test.engine.look_at_alerts().await.unwrap();
    test.engine.look_at_alerts().await.unwrap();
    let found = alert(&test, AlertKind::DiskLow).await;
    assert!(
        found.title.contains("nearly full") && found.body.contains(&folder.display().to_string()),
        "{found:?}"
    );
    assert_eq!(test.caught.told(1).await, [found.title]);
    assert_eq!(alerts(&test, AlertKind::DiskLow).await.len(), 1);
    // The same destination, moved to a disk with room.
    let moved = DestinationChange {
        name: None,
        place: Some(Place::folder(test.folder())),
        secret: None,
        sign_in: None,
    };
    let destinations = test.engine.list_destinations().await.unwrap();
    let id = destinations[0].id.clone();
    test.engine.change_destination(&id, moved).await.unwrap();
    test.engine.look_at_alerts().await.unwrap();
    assert!(alerts(&test, AlertKind::DiskLow).await[0].ended_at.is_some());
}
