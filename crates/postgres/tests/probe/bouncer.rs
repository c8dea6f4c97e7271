//! Through PgBouncer: session mode serves, transaction mode is found out, and why it must be.

use std::time::Duration;

use howdah_domain::{Connection, FailureCode, Secret, Selection, TestState, TestStepId, Tls, TlsMode};
use howdah_postgres::pooler;
use howdah_testkit::{Cluster, PgBouncer, PoolMode, sample};
use rstest::rstest;
use tokio_util::sync::CancellationToken;

use crate::support::{PATIENCE, back_up, session};
use crate::{state, step, test};

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_in_session_mode_serves_for_test_and_dump(#[values(13, 18)] major: u16) {
    let cluster = Cluster::start(major).await.unwrap();
    sample::every_kind(&cluster, "shop").await.unwrap();
    let bouncer = PgBouncer::start(&cluster, PoolMode::Session, &[]).unwrap();
    let secret = cluster.password();
    let connection = bouncer.connection(&cluster.connection("shop"));
    let (report, _) = test(&connection, Some(&secret), &Selection::default()).await;
    assert!(report.ok, "{report:#?}");
    assert_eq!(report.server_version.as_deref(), Some(cluster.version()));
    let never = CancellationToken::new();
    let backup = back_up(
        major,
        &connection,
        &secret,
        &Selection::default(),
        PATIENCE,
        &never,
    )
    .await;
    backup.unwrap_or_else(|error| panic!("{:#?}", error.to_failure()));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_in_transaction_mode_is_found_out(#[values(13, 18)] major: u16) {
    let cluster = Cluster::start(major).await.unwrap();
    cluster.create_database("shop").await.unwrap();
    let bouncer = PgBouncer::start(&cluster, PoolMode::Transaction, &[]).unwrap();
    let secret = cluster.password();
    let connection = bouncer.connection(&cluster.connection("shop"));
    for _ in 0..3 {
        let (report, _) = test(&connection, Some(&secret), &Selection::default()).await;
        assert!(!report.ok, "{report:#?}");
        let login = step(&report, TestStepId::Login);
        let failure = login.failure.as_ref().unwrap();
        assert_eq!(failure.code, FailureCode::PoolerUnsuitable);
        assert!(failure.hint.as_ref().unwrap().contains("session mode"));
        // What can be found out beyond it, is.
        assert_eq!(state(&report, TestStepId::Rights), TestState::Passed);
    }
    // Straight at the server it is no pooler.
    let direct = cluster.connection("shop");
    let straight = session(&direct, &secret).await;
    let never = CancellationToken::new();
    let shares = pooler::shares_sessions(&straight, &direct, Some(&secret), PATIENCE, &never)
        .await
        .unwrap();
    assert_eq!(shares, Some(false));
}

/// Why transaction mode is refused although a dump through it may succeed: what pg_dump sets for its session before its
/// transaction begins ends up in sessions that applications get next.
#[tokio::test(flavor = "multi_thread")]
async fn a_dump_through_a_pooler_in_transaction_mode_would_harm_others() {
    let cluster = Cluster::start(17).await.unwrap();
    cluster.create_database("shop").await.unwrap();
    cluster.sql("shop", "CREATE TABLE orders(a int)").await.unwrap();
    let bouncer = PgBouncer::start(&cluster, PoolMode::Transaction, &[]).unwrap();
    let secret = cluster.password();
    let connection = bouncer.connection(&cluster.connection("shop"));
    let stop = CancellationToken::new();
    let mut applications = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let application = session(&connection, &secret).await;
        let stop = stop.clone();
        applications.spawn(async move {
            let mut errors = Vec::new();
            while !stop.is_cancelled() && !application.client.is_closed() {
                let outcome = application.client.batch_execute("SELECT * FROM orders").await;
                errors.extend(
                    outcome
                        .err()
                        .map(|error| howdah_postgres::classify::server_text(&error)),
                );
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            errors
        });
    }
    let never = CancellationToken::new();
    for _ in 0..10 {
        // Whether it succeeds is not the point.
        let dumped = back_up(17, &connection, &secret, &Selection::default(), PATIENCE, &never).await;
        println!("the dump: {:?}", dumped.map(|backup| backup.warnings));
    }
    stop.cancel();
    let mut errors = Vec::new();
    while let Some(found) = applications.join_next().await {
        errors.extend(found.unwrap());
    }
    // What the dump has set for itself (an empty search_path) has become the applications'.
    let misled = errors
        .iter()
        .filter(|error| error.contains("relation \"orders\" does not exist"));
    assert!(
        misled.count() > 0,
        "refusing transaction mode would be needless: {errors:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_pgbouncer_says_is_understood() {
    let cluster = Cluster::start(16).await.unwrap();
    let bouncer = PgBouncer::start(&cluster, PoolMode::Session, &[]).unwrap();
    let secret = cluster.password();
    let connection = bouncer.connection(&cluster.connection("postgres"));
    let nobody = Connection {
        role: "nobody".to_owned(),
        ..connection.clone()
    };
    let gone = connection.with_database("gone");
    let demanding = Connection {
        tls: Tls {
            mode: TlsMode::Require,
            ..Tls::default()
        },
        ..connection.clone()
    };
    let wrong = Secret::new("wrong");
    for (connection, secret, expected) in [
        (&connection, &wrong, FailureCode::AuthenticationFailed),
        (&nobody, &secret, FailureCode::AuthenticationFailed),
        (&gone, &secret, FailureCode::DatabaseNotFound),
        (&demanding, &secret, FailureCode::TlsUnavailable),
    ] {
        let (report, _) = test(connection, Some(secret), &Selection::default()).await;
        let failure = report.steps.iter().find_map(|step| step.failure.clone()).unwrap();
        assert_eq!(failure.code, expected, "{failure:#?}");
    }
}
