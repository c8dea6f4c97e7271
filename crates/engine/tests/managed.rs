//! What a managed database is like: a role without superuser, TLS forced, a pooler in between.

#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use howdah_domain::{Connection, FailureCode, Secret, TlsMode};
use howdah_engine::restore::{RestoreRequest, compare_with};
use howdah_engine::work::Reporter;
use howdah_postgres::restore::Options;
use howdah_testkit::{Cluster, Encryption, PgBouncer, PoolMode, sample};
use rstest::rstest;
use support::{Heard, TestEngine, failure, files_below};
use tokio_util::sync::CancellationToken;

/// Backs up what `source` names, restores it into a cluster of its own as superuser, and finds it equal.
async fn comes_back_equal(cluster: &Cluster, source: Connection, secret: Secret) {
    let test = TestEngine::start().await;
    let heard = Arc::new(Heard::default());
    let reporter: Arc<dyn Reporter> = heard.clone();
    let cancel = CancellationToken::new();
    let wanted = test.one_off(source, secret);
    let made = test
        .engine
        .back_up_once(&wanted, reporter.clone(), &cancel)
        .await
        .unwrap_or_else(|failure| panic!("{failure:?}\n{}", heard.text()));
    let request = RestoreRequest {
        backup: made.stored.clone(),
        target: Connection {
            tls: wanted.connection.tls.clone(),
            host: wanted.connection.host.clone(),
            ..cluster.connection("restored")
        },
        secret: Some(cluster.password()),
        options: Options {
            create: true,
            ..Options::default()
        },
        jobs: 1,
    };
    test.engine
        .restore_once(&request, reporter.clone(), &cancel)
        .await
        .unwrap_or_else(|failure| panic!("{failure:?}\n{}", heard.text()));
    let target = &request.target;
    let comparison = compare_with(
        &made.stored,
        target,
        request.secret.as_ref(),
        1,
        &reporter,
        &cancel,
    );
    let comparison = comparison.await.unwrap();
    assert_eq!(comparison.mismatches, [], "{:?}", comparison.remarks);
    assert_eq!(comparison.rows, made.manifest.rows);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_role_without_superuser_over_forced_tls(#[values(14, 18)] major: u16) {
    let cluster = Cluster::builder(major)
        .encryption(Encryption::Forced)
        .start()
        .await
        .unwrap();
    cluster
        .sql(
            "postgres",
            "CREATE TABLE orders (id int PRIMARY KEY, note text);
             INSERT INTO orders SELECT n, 'order ' || n FROM generate_series(1, 5000) n;
             CREATE SCHEMA audit; CREATE TABLE audit.log AS SELECT n FROM generate_series(1, 100) n",
        )
        .await
        .unwrap();
    let secret = cluster.create_role("backup", "").await.unwrap();
    cluster
        .sql("postgres", "GRANT pg_read_all_data TO backup")
        .await
        .unwrap();
    let mut connection = cluster.connection_as("backup", "postgres");
    // libpq before 15 does not look for addresses in a certificate.
    connection.host = "localhost".to_owned();
    connection.tls.mode = TlsMode::VerifyFull;
    connection.tls.ca_file = Some(cluster.certificates().unwrap().ca.clone());
    comes_back_equal(&cluster, connection, secret).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_in_session_mode_serves() {
    let cluster = Cluster::start(17).await.unwrap();
    sample::every_kind(&cluster, "every kind").await.unwrap();
    let pooler = PgBouncer::start(&cluster, PoolMode::Session, &[]).unwrap();
    let connection = pooler.connection(&cluster.connection("every kind"));
    comes_back_equal(&cluster, connection, cluster.password()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_in_transaction_mode_is_refused_before_it_does_harm_and_says_what_to_do() {
    let cluster = Cluster::start(17).await.unwrap();
    let pooler = PgBouncer::start(&cluster, PoolMode::Transaction, &[]).unwrap();
    let test = TestEngine::start().await;
    let connection = pooler.connection(&cluster.connection("postgres"));
    let wanted = test.one_off(connection, cluster.password());
    let reporter: Arc<dyn Reporter> = Arc::new(Heard::default());
    let outcome = test
        .engine
        .back_up_once(&wanted, reporter, &CancellationToken::new())
        .await;
    let failure = failure(outcome.map(|made| made.stored));
    assert_eq!(failure.code, FailureCode::PoolerUnsuitable, "{failure:?}");
    assert!(failure.hint.is_some_and(|hint| hint.len() > 20));
    assert_eq!(files_below(&test.folder()), Vec::<String>::new());
}
