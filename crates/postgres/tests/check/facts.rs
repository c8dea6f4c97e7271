//! What a look into a server finds, for a superuser and for a role that may see nothing special.

use std::time::Duration;

use howdah_domain::{Connection, FailureCode, Secret, Tls, TlsMode};
use howdah_postgres::account::Account;
use howdah_postgres::check::{Facts, facts};
use howdah_testkit::{Cluster, Encryption, impostor};
use rstest::rstest;
use tokio_util::sync::CancellationToken;

use crate::{LIMIT, gone};

async fn found(connection: &Connection, secret: &Secret) -> Facts {
    let outcome = facts(connection, Some(secret), LIMIT, &CancellationToken::new()).await;
    outcome.unwrap_or_else(|error| panic!("{:#?}", error.to_failure()))
}

#[rstest]
#[tokio::test]
async fn any_role_finds_what_is_left_of_a_server(#[values(13, 14, 15, 16, 17, 18)] major: u16) {
    let mut builder = Cluster::builder(major).set("superuser_reserved_connections", "4");
    if major >= 16 {
        builder = builder.set("reserved_connections", "2");
    }
    let cluster = builder.start().await.unwrap();
    let secret = cluster.create_role("plain", "").await.unwrap();
    cluster
        .sql("postgres", "SELECT pg_current_xact_id()")
        .await
        .unwrap();
    let others = [
        cluster.client("postgres").await.unwrap(),
        cluster.client("template1").await.unwrap(),
        cluster.client("postgres").await.unwrap(),
    ];
    // Those that have just gone are gone.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let by_plain = found(&cluster.connection_as("plain", "postgres"), &secret).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let by_superuser = found(&cluster.connection("postgres"), &cluster.password()).await;
    assert_eq!(by_plain, by_superuser);
    let slots = by_plain.slots.unwrap();
    assert_eq!(
        slots.taken, 3,
        "neither workers of the server nor the one that asks"
    );
    assert_eq!(slots.of, if major >= 16 { 54 } else { 56 });
    assert_eq!(by_plain.server_version.text, cluster.version());
    assert_eq!(by_plain.server_version.major, major);
    assert_eq!(by_plain.is_standby, Some(false));
    assert_eq!(by_plain.certificate_expires, None);
    let left = by_plain.transactions_left.unwrap();
    assert!((2_144_000_000..=2_144_483_648).contains(&left), "{left}");
    let left = by_plain.multixacts_left.unwrap();
    assert!((2_144_000_000..=2_144_483_648).contains(&left), "{left}");
    drop(others);
    gone(&cluster, Duration::from_secs(5)).await;
}

#[tokio::test]
async fn what_a_server_does_not_tell_is_none() {
    let cluster = Cluster::start(16).await.unwrap();
    let secret = cluster.create_role("plain", "").await.unwrap();
    cluster
        .sql(
            "postgres",
            "REVOKE SELECT ON pg_stat_activity FROM public; REVOKE SELECT ON pg_database FROM public",
        )
        .await
        .unwrap();
    let found = found(&cluster.connection_as("plain", "postgres"), &secret).await;
    assert_eq!(
        (found.slots, found.transactions_left, found.multixacts_left),
        (None, None, None)
    );
    assert_eq!(found.is_standby, Some(false));
}

#[tokio::test]
async fn a_certificate_says_until_when_it_is_valid() {
    let cluster = Cluster::builder(18)
        .encryption(Encryption::Offered)
        .start()
        .await
        .unwrap();
    let files = cluster.certificates().unwrap();
    let mut connection = cluster.connection("postgres");
    let plain = found(&connection, &cluster.password()).await;
    connection.tls = Tls {
        mode: TlsMode::VerifyFull,
        ca_file: Some(files.ca.clone()),
        ..Tls::default()
    };
    let secured = found(&connection, &cluster.password()).await;
    // As rcgen makes them.
    assert_eq!(
        secured.certificate_expires.unwrap().to_string(),
        "4096-01-01T00:00:00Z"
    );
    assert_eq!(plain.certificate_expires, None);
}

#[rstest]
#[tokio::test]
async fn a_standby_says_that_it_is_one(#[values(13, 18)] major: u16) {
    let mut cluster = Cluster::start(major).await.unwrap();
    let secret = cluster.password();
    cluster.stop().await.unwrap();
    let signal = cluster.folder().join("data/standby.signal");
    std::fs::write(&signal, "").unwrap();
    Account::for_instances().unwrap().own(&signal).unwrap();
    cluster.start_again().await.unwrap();
    let found = found(&cluster.connection("postgres"), &secret).await;
    assert_eq!(found.is_standby, Some(true));
    assert!(found.transactions_left.unwrap() > 2_000_000_000);
    assert!(found.slots.is_some());
}

#[tokio::test]
async fn a_server_that_does_not_answer_has_no_facts() {
    let stuck = impostor::stuck_listener().await.unwrap();
    let never = CancellationToken::new();
    let limit = Duration::from_millis(500);
    let outcome = facts(&stuck.connection(), None, limit, &never).await;
    assert_eq!(outcome.unwrap_err().code(), FailureCode::Timeout);
    let cancel = CancellationToken::new();
    cancel.cancel();
    let outcome = facts(&stuck.connection(), None, LIMIT, &cancel).await;
    assert!(outcome.unwrap_err().is_cancelled());
    // One that knows no question but for its version.
    let odd = impostor::postgres_of_version("19.0").await.unwrap();
    let found = facts(&odd.connection(), None, LIMIT, &never).await.unwrap();
    assert_eq!(
        (found.server_version.major, found.slots, found.is_standby),
        (19, None, None)
    );
}
