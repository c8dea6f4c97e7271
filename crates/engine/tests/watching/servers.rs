//! What is found beside an answer: that it came late, and what looks into servers say.

use std::time::Duration;

use howdah_domain::AlertKind;
use howdah_domain::check::{CheckRule, ServerFacts};
use howdah_engine::api::{AlertView, HealthState};
use howdah_store::Store;
use howdah_store::tables::server_facts;
use howdah_testkit::Cluster;
use jiff::SignedDuration;
use rstest::rstest;

use super::support::TestEngine;
use super::{quick, until, watched};

async fn alerts(test: &TestEngine, kind: AlertKind) -> Vec<AlertView> {
    let mut alerts = test.engine.notifications_page().await.unwrap().alerts;
    alerts.retain(|alert| alert.kind == kind);
    alerts
}

/// Waits until there is such an alert that lasts, or until there is none.
async fn lasts(test: &TestEngine, kind: AlertKind, wanted: bool) -> Vec<AlertView> {
    for _ in 0..900 {
        let found = alerts(test, kind).await;
        if found.iter().any(|alert| alert.ended_at.is_none()) == wanted {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{kind:?} lasts: not {wanted}, but {:?}", alerts(test, kind).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_come_late_are_told_once_and_are_not_called_down() {
    let cluster = Cluster::start(17).await.unwrap();
    let test = TestEngine::start().await;
    let ids = watched(&test, &cluster, &["postgres"], &quick(2)).await;
    let late = CheckRule {
        sql: Some("SELECT 1 FROM pg_sleep(0.3)".to_owned()),
        slow_after_ms: Some(250),
        ..quick(2)
    };
    test.engine.save_check_rule(&ids[0], late.clone()).await.unwrap();
    for _ in 0..4 {
        test.engine.check_now(&ids[0]).await.unwrap();
    }
    let found = lasts(&test, AlertKind::DatabaseSlow, true).await;
    assert_eq!(found.len(), 1);
    assert_eq!(test.caught.told(1).await, ["postgres answers slowly"]);
    assert!(found[0].body.contains("250 ms are allowed"), "{}", found[0].body);
    let page = test.engine.watch_page(&ids[0]).await.unwrap();
    assert_eq!(page.health.state, HealthState::Slow);
    assert!(page.incident.is_none(), "it answers");
    let patient = CheckRule {
        slow_after_ms: Some(20_000),
        ..late
    };
    test.engine.save_check_rule(&ids[0], patient).await.unwrap();
    until(&test, &ids[0], |page| page.health.state == HealthState::Up).await;
    lasts(&test, AlertKind::DatabaseSlow, false).await;
    assert_eq!(test.caught.titles().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_connections_are_nearly_all_taken_is_told_before_none_is_left() {
    let cluster = Cluster::builder(17)
        .set("max_connections", "20")
        .start()
        .await
        .unwrap();
    let mut clients = Vec::new();
    // Three are the superuser's own, so 16 of 17 are more than nine tenths.
    for _ in 0..16 {
        clients.push(cluster.client("postgres").await.unwrap());
    }
    let test = TestEngine::start().await;
    watched(&test, &cluster, &["postgres"], &quick(1)).await;
    let found = lasts(&test, AlertKind::ConnectionsHigh, true).await;
    assert!(
        found[0].body.contains(" of 17 connections are taken"),
        "{}",
        found[0].body
    );
    assert_eq!(test.caught.told(1).await, ["shop has nearly no connections left"]);
}

const GOOD: ServerFacts = ServerFacts {
    at: jiff::Timestamp::UNIX_EPOCH,
    connections: 3,
    max_connections: 97,
    transactions_left: Some(1_900_000_000),
    certificate_expires: None,
};

#[rstest]
#[case::connections(AlertKind::ConnectionsHigh, "shop has nearly no connections left", |facts: &mut ServerFacts| facts.connections = 96)]
#[case::transaction_ids(AlertKind::TransactionIdsLow, "shop runs out of transaction ids", |facts: &mut ServerFacts| facts.transactions_left = Some(40_000_000))]
#[case::a_certificate_that_expires(AlertKind::CertificateExpiring, "The certificate of shop expires in 6 days", |facts: &mut ServerFacts| {
    facts.certificate_expires = Some(facts.at + SignedDuration::from_mins(6 * 24 * 60 + 30));
})]
#[case::a_certificate_that_has_expired(AlertKind::CertificateExpiring, "The certificate of shop has expired", |facts: &mut ServerFacts| {
    facts.certificate_expires = Some(facts.at - SignedDuration::from_hours(1));
})]
#[tokio::test(flavor = "multi_thread")]
async fn what_a_look_into_a_server_found_is_told_once_until_another_look_finds_it_mended(
    #[case] kind: AlertKind,
    #[case] title: &str,
    #[case] spoil: fn(&mut ServerFacts),
) {
    let cluster = Cluster::start(17).await.unwrap();
    let test = TestEngine::start().await;
    // Not checked: what the tests below say is what was found.
    let rule = CheckRule {
        enabled: false,
        ..quick(1)
    };
    let ids = watched(&test, &cluster, &["postgres"], &quick(1)).await;
    test.engine.save_check_rule(&ids[0], rule).await.unwrap();
    let server = test.engine.list_servers().await.unwrap().remove(0).id;
    let store = Store::open(test.dir.path().join("data")).unwrap();
    let look = async |facts: ServerFacts| {
        let server = server.clone();
        store
            .write(move |tx| server_facts::set(tx, &server, &facts))
            .await
            .unwrap();
        test.engine.look_at_alerts().await.unwrap();
    };
    let good = ServerFacts {
        at: test.engine_now(),
        ..GOOD
    };
    look(good.clone()).await;
    assert!(alerts(&test, kind).await.is_empty());
    let mut spoilt = good.clone();
    spoil(&mut spoilt);
    look(spoilt.clone()).await;
    look(spoilt).await;
    let found = alerts(&test, kind).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].title, title);
    assert_eq!(test.caught.told(1).await, [title]);
    look(good).await;
    assert!(alerts(&test, kind).await[0].ended_at.is_some());
}
