//! What a managed database is like: a role without superuser, TLS forced, a pooler in between.

#![allow(clippy::unwrap_used)]

mod support;

use howdah_domain::{Connection, FailureCode, Secret, TlsMode};
use howdah_testkit::{Cluster, Encryption, PgBouncer, PoolMode, sample};
use rstest::rstest;
use support::TestEngine;

/// Backs up what `source` names, restores it beside it as superuser, and finds it equal.
async fn comes_back_equal(cluster: &Cluster, source: Connection, secret: Secret) {
    let test = TestEngine::start().await;
    let target = Connection {
        tls: source.tls.clone(),
        host: source.host.clone(),
        ..cluster.connection("restored")
    };
    let made = test.back_up(&test.one_off(source, secret)).await.unwrap();
    test.comes_back_equal(&made, target, cluster.password(), 1).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_role_without_superuser_over_forced_tls(#[values(13, 14, 18)] major: u16) {
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
    let grant = if major < 14 {
        "GRANT USAGE ON SCHEMA audit TO backup; GRANT SELECT ON ALL TABLES IN SCHEMA public, audit TO backup"
    } else {
        "GRANT pg_read_all_data TO backup"
    };
    cluster.sql("postgres", grant).await.unwrap();
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
    let failure = test.fails_with(&wanted, FailureCode::PoolerUnsuitable).await;
    assert!(failure.hint.is_some_and(|hint| hint.len() > 20));
}
