//! Health checks on real servers: what is told, what is not, and what is on record afterwards.

#![allow(clippy::unwrap_used)]

mod again;
mod servers;
#[path = "../support/mod.rs"]
mod support;

use std::sync::atomic::Ordering;
use std::time::Duration;

use howdah_domain::check::{Blind, CheckRule};
use howdah_domain::{DatabaseId, Environment, Scope};
use howdah_engine::api::{
    Availability, AvailabilityRequest, HealthState, MaintenanceTime, MaintenanceView, NeedKind, WatchPage,
};
use howdah_testkit::Cluster;
use jiff::SignedDuration;
use rstest::rstest;
use support::TestEngine;
use support::by_hand::{by_hand, saved, server_in};

/// A rule that finds out soon.
fn quick(failures: u32) -> CheckRule {
    CheckRule {
        interval_seconds: 10,
        timeout_seconds: 1,
        failures,
        ..CheckRule::default()
    }
}

/// Databases of a cluster that are watched, and answer.
async fn watched(test: &TestEngine, cluster: &Cluster, names: &[&str], rule: &CheckRule) -> Vec<DatabaseId> {
    let server = server_in(test, cluster, "shop", Environment::Production).await;
    for name in names {
        if *name != "postgres" {
            cluster.create_database(name).await.unwrap();
        }
        let scope = Scope::Database {
            name: (*name).to_owned(),
        };
        saved(
            test,
            howdah_engine::api::PlanDraft {
                scope,
                folder: Some(test.folder()),
                ..by_hand(server.clone(), Vec::new())
            },
        )
        .await;
    }
    let databases = test.engine.overview().await.unwrap().databases;
    let ids: Vec<DatabaseId> = databases.into_iter().map(|database| database.id).collect();
    assert_eq!(ids.len(), names.len());
    for id in &ids {
        test.engine.save_check_rule(id, rule.clone()).await.unwrap();
    }
    for id in &ids {
        until(test, id, |page| page.health.state == HealthState::Up).await;
    }
    ids
}

/// Waits until a database's page is as wished.
async fn until(test: &TestEngine, id: &DatabaseId, wish: impl Fn(&WatchPage) -> bool) -> WatchPage {
    for _ in 0..600 {
        let page = test.engine.watch_page(id).await.unwrap();
        if wish(&page) {
            return page;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!(
        "it did not come to that: {:?}",
        test.engine.watch_page(id).await.unwrap()
    );
}

async fn last_hours(test: &TestEngine, id: &DatabaseId, hours: i64) -> Availability {
    let to = test.engine_now();
    let request = AvailabilityRequest {
        database_id: id.clone(),
        from: to - SignedDuration::from_hours(hours),
        to,
        points: 500,
    };
    test.engine.availability(request).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_of_a_server_that_freezes_are_one_incident_told_once_and_so_is_its_end() {
    let cluster = Cluster::start(17).await.unwrap();
    let test = TestEngine::start().await;
    let ids = watched(&test, &cluster, &["postgres", "billing", "orders"], &quick(2)).await;
    cluster.freeze();
    let begun = std::time::Instant::now();
    let page = until(&test, &ids[0], |page| page.health.state == HealthState::Down).await;
    let took = begun.elapsed();
    // At most an interval until the first failure, then one re-check, each within its limit of a second.
    assert!(took < Duration::from_secs(24), "{took:?}");
    let told = test.caught.told(1).await;
    let title = format!(
        "127.0.0.1:{} does not answer: billing, orders, postgres",
        cluster.port()
    );
    assert_eq!(told, [title]);
    let incident = page.incident.unwrap();
    assert_eq!(incident.databases, ["billing", "orders", "postgres"]);
    assert!(incident.place.is_some() && incident.ended_at.is_none());
    cluster.thaw();
    for id in &ids {
        until(&test, id, |page| page.health.state == HealthState::Up).await;
    }
    let told = test.caught.told(2).await;
    assert_eq!(told[1..], [format!("127.0.0.1:{} answers again", cluster.port())]);
    let seen = last_hours(&test, &ids[0], 1).await;
    assert_eq!(seen.incidents.len(), 1);
    assert!(seen.incidents[0].ended_at.is_some());
    assert!(seen.total.down > 5_000, "{:?}", seen.total);
    assert!(seen.uptime.unwrap() < 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_while_this_machine_is_offline_is_no_data_and_told_to_nobody() {
    let cluster = Cluster::start(17).await.unwrap();
    let test = TestEngine::start().await;
    let ids = watched(&test, &cluster, &["postgres"], &quick(1)).await;
    test.network.offline.store(true, Ordering::Relaxed);
    cluster.freeze();
    let offline = HealthState::NoData { why: Blind::Offline };
    until(&test, &ids[0], |page| page.health.state == offline).await;
    tokio::time::sleep(Duration::from_secs(12)).await;
    cluster.thaw();
    until(&test, &ids[0], |page| page.health.state == HealthState::Up).await;
    let seen = last_hours(&test, &ids[0], 1).await;
    assert!(seen.total.offline > 8_000, "{:?}", seen.total);
    assert_eq!(
        (seen.total.down, seen.uptime, seen.incidents.len()),
        (0, Some(1.0), 0)
    );
    assert_eq!(test.caught.titles(), Vec::<String>::new());
}

#[rstest]
#[case::slept_for_eight_hours(8)]
#[case::was_offline_for_a_day(24)]
#[case::set_back_by_a_day(-24)]
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_raises_nothing_and_counts_nothing(#[case] hours: i64) {
    let cluster = Cluster::start(17).await.unwrap();
    let test = TestEngine::start().await;
    let ids = watched(&test, &cluster, &["postgres"], &quick(1)).await;
    test.clock.turn(SignedDuration::from_hours(hours));
    let turned = test.engine_now();
    until(&test, &ids[0], |page| {
        page.health.state == HealthState::Up && page.health.checked_at.is_some_and(|at| at >= turned)
    })
    .await;
    let seen = last_hours(&test, &ids[0], 48).await;
    assert_eq!((seen.total.down, seen.total.failing), (0, 0), "{:?}", seen.total);
    if hours > 0 {
        let gap = u64::try_from(hours).unwrap() * 3_600_000;
        assert!(seen.total.asleep.abs_diff(gap) < 15_000, "{:?}", seen.total);
    }
    assert!(seen.total.up < 120_000, "{:?}", seen.total);
    // After a clock that was set back, what was on record lies ahead.
    assert_eq!(seen.uptime, (hours > 0).then_some(1.0));
    assert_eq!(test.caught.titles(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_was_under_way_when_this_machine_fell_asleep_says_nothing() {
    let cluster = Cluster::start(17).await.unwrap();
    let test = TestEngine::start().await;
    let ids = watched(&test, &cluster, &["postgres"], &quick(1)).await;
    cluster.freeze();
    let (engine, id) = (test.engine.clone(), ids[0].clone());
    let asked = tokio::spawn(async move { engine.check_now(&id).await });
    tokio::time::sleep(Duration::from_millis(400)).await;
    test.clock.turn(SignedDuration::from_hours(8));
    // The check's limit of a second runs out, and then the server answers again.
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    cluster.thaw();
    drop(asked.await.unwrap());
    until(&test, &ids[0], |page| page.health.state == HealthState::Up).await;
    let seen = last_hours(&test, &ids[0], 24).await;
    assert_eq!(
        (seen.total.down, seen.total.failing, seen.incidents.len()),
        (0, 0, 0)
    );
    assert!(seen.total.asleep > 7 * 3_600_000, "{:?}", seen.total);
    assert_eq!(test.caught.titles(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_flaps_is_not_told_each_time() {
    let cluster = Cluster::start(17).await.unwrap();
    let test = TestEngine::start().await;
    let ids = watched(&test, &cluster, &["postgres"], &quick(1)).await;
    for _ in 0..10 {
        cluster.freeze();
        test.engine.check_now(&ids[0]).await.unwrap();
        until(&test, &ids[0], |page| page.health.state == HealthState::Down).await;
        cluster.thaw();
        test.engine.check_now(&ids[0]).await.unwrap();
        until(&test, &ids[0], |page| page.health.state == HealthState::Up).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(
        test.caught.titles(),
        ["postgres does not answer", "postgres answers again"]
    );
    let seen = last_hours(&test, &ids[0], 1).await;
    assert_eq!(seen.incidents.len(), 1, "{:?}", seen.incidents);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_within_maintenance_or_muted_is_on_record_and_told_to_nobody_until_it_is_not_muted() {
    let cluster = Cluster::start(17).await.unwrap();
    let test = TestEngine::start().await;
    let ids = watched(&test, &cluster, &["postgres", "billing"], &quick(1)).await;
    let (maintained, muted) = (&ids[0], &ids[1]);
    let now = test.engine_now();
    let window = MaintenanceView {
        id: None,
        databases: vec![maintained.clone()],
        when: MaintenanceTime::Never {
            from: now - SignedDuration::from_mins(1),
            to: now + SignedDuration::from_hours(1),
        },
        note: "new disks".to_owned(),
    };
    let window = test.engine.save_maintenance(window).await.unwrap();
    test.engine
        .mute(muted, Some(now + SignedDuration::from_hours(1)))
        .await
        .unwrap();
    until(&test, maintained, |page| {
        page.health.state == HealthState::Maintenance
    })
    .await;
    cluster.freeze();
    until(&test, muted, |page| page.health.state == HealthState::Down).await;
    tokio::time::sleep(Duration::from_secs(12)).await;
    let seen = last_hours(&test, maintained, 1).await;
    assert!(seen.total.maintenance > 5_000, "{:?}", seen.total);
    assert_eq!((seen.total.down, seen.incidents.len()), (0, 0));
    let seen = last_hours(&test, muted, 1).await;
    assert_eq!(seen.incidents.len(), 1);
    assert_eq!(test.caught.titles(), Vec::<String>::new());
    test.engine.mute(muted, None).await.unwrap();
    assert_eq!(
        test.caught.told(1).await,
        ["postgres does not answer"],
        "it is down still, and not muted any more"
    );
    cluster.thaw();
    until(&test, muted, |page| page.health.state == HealthState::Up).await;
    test.engine.remove_maintenance(&window.id.unwrap()).await.unwrap();
    until(&test, maintained, |page| page.health.state == HealthState::Up).await;
    assert_eq!(test.caught.told(2).await[1..], ["postgres answers again"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_that_was_open_when_howdah_ended_is_taken_up_and_ended() {
    let cluster = Cluster::start(17).await.unwrap();
    let first = TestEngine::start().await;
    let ids = watched(&first, &cluster, &["postgres"], &quick(1)).await;
    cluster.freeze();
    until(&first, &ids[0], |page| page.incident.is_some()).await;
    assert_eq!(first.caught.told(1).await, ["postgres does not answer"]);
    first.engine.shutdown(Duration::from_secs(10)).await;
    let (dir, clock, secrets) = (first.dir.clone(), first.clock.clone(), first.secrets.clone());
    drop(first);
    let second = TestEngine::start_with(dir, clock, secrets).await;
    until(&second, &ids[0], |page| page.health.state == HealthState::Down).await;
    assert_eq!(second.caught.titles(), Vec::<String>::new(), "it was told before");
    cluster.thaw();
    until(&second, &ids[0], |page| page.health.state == HealthState::Up).await;
    assert_eq!(second.caught.told(1).await, ["postgres answers again"]);
    assert_eq!(last_hours(&second, &ids[0], 1).await.incidents.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_was_changed_and_a_wrong_answer_are_of_the_one_database() {
    let cluster = Cluster::start(17).await.unwrap();
    let test = TestEngine::start().await;
    let ids = watched(&test, &cluster, &["postgres", "billing"], &quick(1)).await;
    let wrong = CheckRule {
        sql: Some("SELECT count(*) FROM pg_catalog.pg_namespace WHERE nspname = 'nowhere'".to_owned()),
        expected: Some("1".to_owned()),
        ..quick(1)
    };
    let tried = test.engine.try_check(&ids[0], wrong.clone()).await.unwrap();
    assert_eq!(tried.state, HealthState::Failing { times: 1, of: 1 });
    test.engine.save_check_rule(&ids[0], wrong).await.unwrap();
    let page = until(&test, &ids[0], |page| page.incident.is_some()).await;
    let cause = page.incident.unwrap().cause;
    assert!(
        cause.message.contains('1') && cause.message.contains('0'),
        "{}",
        cause.message
    );
    assert_eq!(test.caught.told(1).await.len(), 1);
    cluster
        .sql("postgres", "ALTER ROLE postgres PASSWORD 'another'")
        .await
        .unwrap();
    until(&test, &ids[1], |page| page.health.state == HealthState::Down).await;
    let told = test.caught.told(2).await;
    assert_eq!(told.len(), 2, "{told:?}");
    let page = test.engine.watch_page(&ids[1]).await.unwrap();
    let text = format!("{page:?}");
    assert!(!text.contains(cluster.password().expose()), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_can_be_switched_off_and_exported() {
    let cluster = Cluster::start(17).await.unwrap();
    let test = TestEngine::start().await;
    let ids = watched(&test, &cluster, &["postgres"], &quick(1)).await;
    let file = test.dir.path().join("checks.csv");
    let now = test.engine_now();
    test.engine
        .export_checks(&ids[0], now - SignedDuration::from_hours(1), now, &file)
        .await
        .unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    let mut lines = text.lines();
    let columns = lines.next().unwrap().split(',').count();
    let rows: Vec<&str> = lines.collect();
    assert!(
        !rows.is_empty() && rows.iter().all(|row| row.split(',').count() == columns),
        "{text}"
    );
    assert!(rows[0].contains(",up,"), "{text}");
    let off = CheckRule {
        enabled: false,
        ..quick(1)
    };
    test.engine.save_check_rule(&ids[0], off).await.unwrap();
    let page = until(&test, &ids[0], |page| page.health.state == HealthState::Off).await;
    let last = page.health.checked_at;
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_eq!(
        test.engine.watch_page(&ids[0]).await.unwrap().health.checked_at,
        last
    );
}

#[rstest]
#[case::switched_off(false)]
#[case::removed(true)]
#[tokio::test(flavor = "multi_thread")]
async fn an_incident_of_a_database_that_is_not_checked_any_more_ends_quietly(#[case] removed: bool) {
    let cluster = Cluster::start(17).await.unwrap();
    let test = TestEngine::start().await;
    let ids = watched(&test, &cluster, &["postgres"], &quick(1)).await;
    cluster.freeze();
    until(&test, &ids[0], |page| page.incident.is_some()).await;
    assert_eq!(test.caught.told(1).await, ["postgres does not answer"]);
    if removed {
        let server = test.engine.list_servers().await.unwrap().remove(0);
        test.engine.remove_server(&server.id).await.unwrap();
    } else {
        let off = CheckRule {
            enabled: false,
            ..quick(1)
        };
        test.engine.save_check_rule(&ids[0], off).await.unwrap();
    }
    let mut lasts = true;
    for _ in 0..100 {
        let alerts = test.engine.notifications_page().await.unwrap().alerts;
        lasts = alerts.iter().any(|alert| alert.lasts && alert.ended_at.is_none());
        if !lasts {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(!lasts, "it is not told again and again");
    let needs = test.engine.overview().await.unwrap().needs;
    assert!(
        needs.iter().all(|need| need.kind != NeedKind::DatabaseDown),
        "{needs:?}"
    );
    assert_eq!(test.caught.titles().len(), 1, "nobody knows how it is");
}
