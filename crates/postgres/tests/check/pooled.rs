//! The check through PgBouncer in transaction mode: it works, and what the pooler keeps is as it was.

use std::time::Duration;

use howdah_domain::FailureCode;
use howdah_postgres::check::{Question, facts};
use howdah_postgres::connect;
use howdah_testkit::{Cluster, PgBouncer, PoolMode};
use tokio_postgres::SimpleQueryMessage;
use tokio_util::sync::CancellationToken;

use crate::{LIMIT, asking, failing, good};

#[tokio::test(flavor = "multi_thread")]
async fn a_check_through_a_pooler_leaves_its_session_as_it_was() {
    let cluster = Cluster::start(17).await.unwrap();
    let bouncer = PgBouncer::start(&cluster, PoolMode::Transaction, &[]).unwrap();
    let secret = cluster.password();
    let connection = bouncer.connection(&cluster.connection("postgres"));
    good(&connection, &secret, &Question::default()).await;

    let never = CancellationToken::new();
    let watching = connect(&connection, Some(&secret), "howdah-test", LIMIT, &never)
        .await
        .unwrap();
    let value = async |sql: &str| {
        let messages = watching.client.simple_query(sql).await.unwrap();
        let row = messages.into_iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        row.unwrap().get(0).unwrap().to_owned()
    };
    let pid = value("SELECT pg_backend_pid()").await;
    for question in [
        asking("SELECT pg_backend_pid()", Some(&pid)),
        asking("SELECT set_config('work_mem', '123MB', false)", Some("123MB")),
        asking("SET statement_timeout = 1", None),
    ] {
        good(&connection, &secret, &question).await;
    }
    for (sql, code) in [
        ("SELECT 1 / 0", FailureCode::NotEqual),
        ("SELECT * FROM gone", FailureCode::InvalidInput),
        ("SELEC", FailureCode::InvalidInput),
        ("CREATE TABLE t()", FailureCode::InvalidInput),
    ] {
        failing(&connection, &secret, &asking(sql, None), LIMIT, code).await;
    }
    for (sql, expected) in [
        ("SELECT pg_backend_pid()", pid.as_str()),
        ("SHOW statement_timeout", "0"),
        ("SHOW work_mem", "4MB"),
        ("SHOW transaction_read_only", "off"),
        ("SELECT count(*) FROM pg_prepared_statements", "0"),
    ] {
        assert_eq!(value(sql).await, expected, "{sql}");
    }
    // Its one session of the server has served them all.
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
    assert_eq!(cluster.one("postgres", sessions).await.unwrap(), "1");

    let limit = Duration::from_secs(1);
    failing(
        &connection,
        &secret,
        &asking("SELECT pg_sleep(3600)", None),
        limit,
        FailureCode::Timeout,
    )
    .await;
    let asleep = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%3600%' AND state = 'active' AND pid <> pg_backend_pid()";
    let began = std::time::Instant::now();
    while cluster.one("postgres", asleep).await.unwrap() != "0" {
        assert!(began.elapsed() < Duration::from_secs(3), "the question goes on");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    good(&connection, &secret, &Question::default()).await;

    let found = facts(&connection, Some(&secret), LIMIT, &never).await.unwrap();
    assert_eq!(found.server_version.text, cluster.version());
    assert_eq!(found.slots.unwrap().of, 57, "of the server behind it");
}
