//! Bad days of a dump on real servers, and what is said about them: rights, locks, kills, poolers. And the globals.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod support;

use std::time::{Duration, Instant};

use howdah_domain::{FailureCode, Selection};
use howdah_postgres::dump::Dump;
use howdah_postgres::globals::{self, Globals, Readable};
use howdah_postgres::selection::Chosen;
use howdah_postgres::{activity, pooler};
use howdah_testkit::{Cluster, PgBouncer, PoolMode};
use rstest::rstest;
use support::*;
use tokio_util::sync::CancellationToken;

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_the_role_may_not_read_is_named(#[values(13, 14, 15, 16, 17, 18)] major: u16) {
    let cluster = cluster_with(
        major,
        "CREATE TABLE open(x int); CREATE TABLE \"Sec ret\"(x int); CREATE TABLE hidden_rows(x int);
         ALTER TABLE hidden_rows ENABLE ROW LEVEL SECURITY; CREATE SEQUENCE counter",
    )
    .await;
    let secret = cluster.create_role("reader", "").await.unwrap();
    cluster
        .sql("shop", "GRANT SELECT ON open, hidden_rows TO reader")
        .await
        .unwrap();
    let connection = cluster.connection_as("reader", "shop");
    let cancel = CancellationToken::new();
    let everything = Selection::default();
    let try_again = || back_up(major, &connection, &secret, &everything, PATIENCE, &cancel);

    let refused = failure(try_again().await);
    assert_eq!(refused.code, FailureCode::PermissionDenied, "{refused:?}");
    assert!(
        refused.message.contains("table public.\"Sec ret\""),
        "{}",
        refused.message
    );
    cluster
        .sql("shop", "GRANT SELECT ON \"Sec ret\" TO reader")
        .await
        .unwrap();
    let refused = failure(try_again().await);
    assert_eq!(refused.code, FailureCode::PermissionDenied, "{refused:?}");
    assert!(refused.message.contains("sequence"), "{}", refused.message);
    assert!(refused.message.contains("counter"), "{}", refused.message);
    cluster
        .sql("shop", "GRANT SELECT ON SEQUENCE counter TO reader")
        .await
        .unwrap();
    let refused = failure(try_again().await);
    assert_eq!(refused.code, FailureCode::RowSecurity, "{refused:?}");
    assert!(
        refused.message.contains("table public.hidden_rows"),
        "{}",
        refused.message
    );
    cluster
        .sql("postgres", "ALTER ROLE reader BYPASSRLS")
        .await
        .unwrap();
    try_again().await.unwrap();
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_in_the_way_ends_the_dump_and_its_holder_is_told(#[values(13, 17)] major: u16) {
    let cluster = cluster_with(major, "CREATE TABLE orders(x int)").await;
    let holder = cluster.client("shop").await.unwrap();
    holder
        .batch_execute("SET application_name = 'migration'; BEGIN; ALTER TABLE orders ADD y int")
        .await
        .unwrap();

    let (connection, secret, cancel) = (
        cluster.connection("shop"),
        cluster.password(),
        CancellationToken::new(),
    );
    let waiting = tokio::spawn({
        let (connection, secret, cancel) = (connection.clone(), secret.clone(), cancel.clone());
        async move {
            let three_seconds = Duration::from_secs(3);
            back_up(
                major,
                &connection,
                &secret,
                &Selection::default(),
                three_seconds,
                &cancel,
            )
            .await
            .map(|_| ())
        }
    });
    let session = session(&connection, &secret).await;
    let blocked = Instant::now();
    let sentence = loop {
        let sentence = activity::explain(&session, &cancel).await.unwrap();
        if sentence.contains("held by") {
            break sentence;
        }
        assert!(blocked.elapsed() < Duration::from_secs(3), "{sentence}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    for part in [
        "public.orders",
        "migration",
        "ALTER TABLE orders ADD y int",
        "postgres",
    ] {
        assert!(sentence.contains(part), "{part} in {sentence}");
    }
    let failure = failure(waiting.await.unwrap());
    assert_eq!(failure.code, FailureCode::LockTimeout, "{failure:?}");
    assert!(failure.message.contains("public.orders"), "{}", failure.message);
    assert!(failure.is_retryable());
}

/// A dump that stands still, its pipe full.
async fn a_dump_in_the_middle(cluster: &Cluster) -> howdah_postgres::running::Running {
    cluster
        .sql(
            "shop",
            "CREATE TABLE big AS SELECT g, repeat('x', 1000) t FROM generate_series(1, 50000) g",
        )
        .await
        .unwrap();
    let (connection, secret) = (cluster.connection("shop"), cluster.password());
    let session = session(&connection, &secret).await;
    let client = client(cluster.major());
    let chosen = Chosen::resolve(&session.client, &Selection::default(), client.major)
        .await
        .unwrap();
    let dump = Dump {
        client: &client,
        connection: &connection,
        secret: Some(&secret),
        chosen: &chosen,
        lock_wait: PATIENCE,
        verbose: false,
    };
    let mut running = dump.spawn(howdah_postgres::running::ignore_lines()).unwrap();
    let mut stdout = running.take_stdout().unwrap();
    // Into the data, and no further.
    let read = tokio::task::spawn_blocking(move || {
        let mut some = vec![0; 2 << 20];
        std::io::Read::read_exact(&mut stdout, &mut some).unwrap();
        stdout
    })
    .await
    .unwrap();
    std::mem::drop(tokio::task::spawn_blocking(move || {
        let mut read = read;
        std::thread::sleep(Duration::from_millis(1500));
        let _ = std::io::copy(&mut read, &mut std::io::sink());
    }));
    running
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_mid_dump_is_a_lost_connection(#[values(13, 18)] major: u16) {
    let mut cluster = cluster_with(major, "").await;
    let mut running = a_dump_in_the_middle(&cluster).await;
    cluster.kill();
    let failure = failure(running.wait(&CancellationToken::new()).await);
    assert_eq!(failure.code, FailureCode::ConnectionLost, "{failure:?}");
    assert!(failure.message.contains("COPY public.big"), "{}", failure.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_pg_dump_is_a_killed_program() {
    let cluster = cluster_with(17, "").await;
    let mut running = a_dump_in_the_middle(&cluster).await;
    running.killer().kill_group();
    let failure = failure(running.wait(&CancellationToken::new()).await);
    assert_eq!(failure.code, FailureCode::ProgramKilled, "{failure:?}");
    assert!(failure.message.contains("SIGKILL"), "{}", failure.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_dump_ends_at_once_and_leaves_no_process_and_no_session() {
    let cluster = cluster_with(17, "").await;
    let mut running = a_dump_in_the_middle(&cluster).await;
    let process = format!("/proc/{}", running.pid());
    assert!(std::path::Path::new(&process).exists());
    let cancel = CancellationToken::new();
    cancel.cancel();
    let begun = Instant::now();
    assert!(running.wait(&cancel).await.unwrap_err().is_cancelled());
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert!(!std::path::Path::new(&process).exists());
    let begun = Instant::now();
    loop {
        let sessions = cluster
            .one(
                "shop",
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'howdah'",
            )
            .await
            .unwrap();
        if sessions == "0" {
            break;
        }
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn through_a_pooler_in_session_mode_a_dump_is_like_any_other() {
    let cluster = cluster_with(17, "CREATE TABLE t AS SELECT generate_series(1, 1000) g").await;
    let pooler = PgBouncer::start(&cluster, PoolMode::Session, &[]).unwrap();
    let (connection, secret) = (pooler.connection(&cluster.connection("shop")), cluster.password());
    let cancel = CancellationToken::new();
    let session = session(&connection, &secret).await;
    let shares = pooler::shares_sessions(&session, &connection, Some(&secret), PATIENCE, &cancel)
        .await
        .unwrap();
    assert_eq!(shares, Some(false));
    let everything = Selection::default();
    let backup = back_up(17, &connection, &secret, &everything, PATIENCE, &cancel)
        .await
        .unwrap();
    let target = cluster.connection("copy");
    stream(&restore(17, target.clone(), secret.clone(), create()), &backup)
        .await
        .unwrap();
    assert_eq!(compared(&target, &secret, &backup.index, 1).await.mismatches, []);
    let path = session.client.simple_query("SHOW search_path").await.unwrap();
    assert!(format!("{path:?}").contains("public"), "{path:?}");
}

/// Why a pooler in transaction mode is refused although pg_dump says nothing against it: with others at work in the same
/// pool, pg_dump's settings (an empty `search_path`) land in sessions of the server that others get next.
#[tokio::test(flavor = "multi_thread")]
async fn through_a_pooler_in_transaction_mode_a_dump_would_spoil_the_sessions_of_others() {
    let cluster = cluster_with(17, "CREATE TABLE t AS SELECT generate_series(1, 1000) g").await;
    let pooler = PgBouncer::start(&cluster, PoolMode::Transaction, &[]).unwrap();
    let (connection, secret) = (pooler.connection(&cluster.connection("shop")), cluster.password());
    let cancel = CancellationToken::new();
    {
        let session = session(&connection, &secret).await;
        let shares = pooler::shares_sessions(&session, &connection, Some(&secret), PATIENCE, &cancel)
            .await
            .unwrap();
        assert_eq!(shares, Some(true));
    }
    let spoiled = CancellationToken::new();
    let mut others = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let other = session(&connection, &secret).await;
        let spoiled = spoiled.clone();
        others.spawn(async move {
            let other = other;
            while !spoiled.is_cancelled() {
                let work = "SELECT pg_sleep(0.002), current_setting('search_path')";
                let messages = other.client.simple_query(work).await.unwrap();
                for message in messages {
                    if let tokio_postgres::SimpleQueryMessage::Row(row) = message
                        && row.get(1) == Some("")
                    {
                        spoiled.cancel();
                    }
                }
            }
        });
    }
    let begun = Instant::now();
    while !spoiled.is_cancelled() {
        assert!(begun.elapsed() < PATIENCE, "no session was spoiled");
        let everything = Selection::default();
        let backup = back_up(17, &connection, &secret, &everything, PATIENCE, &cancel)
            .await
            .unwrap();
        assert_eq!(backup.index.rows(), 1000);
    }
    others.join_all().await;
}

async fn globals_of(cluster: &Cluster, role: &str, secret: &howdah_domain::Secret, database: &str) -> String {
    let connection = cluster.connection_as(role, database);
    let session = session(&connection, secret).await;
    let readable = globals::readable(&session.client).await.unwrap();
    let client = client(cluster.major());
    let globals = Globals {
        client: &client,
        connection: &connection,
        secret: Some(secret),
        passwords: match &readable {
            Readable::Everything => true,
            Readable::WithoutPasswords(why) => {
                assert!(why.contains(role) && why.contains("passwords"), "{why}");
                false
            }
            Readable::Nothing(why) => panic!("{why}"),
        },
    };
    let mut running = globals.spawn(howdah_postgres::running::ignore_lines()).unwrap();
    let mut stdout = running.take_stdout().unwrap();
    let reading = tokio::task::spawn_blocking(move || {
        let mut sql = String::new();
        std::io::Read::read_to_string(&mut stdout, &mut sql).unwrap();
        sql
    });
    running.wait(&CancellationToken::new()).await.unwrap();
    reading.await.unwrap()
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn globals_hold_roles_and_only_a_superuser_s_hold_passwords(
    #[values(13, 14, 15, 16, 17, 18)] major: u16,
) {
    let cluster = Cluster::start(major).await.unwrap();
    let strange = "host=no 'where' \\ =";
    cluster.create_database(strange).await.unwrap();
    let secret = cluster.create_role("plain role", "").await.unwrap();
    let all = globals_of(&cluster, "postgres", &cluster.password(), strange).await;
    assert!(
        all.contains("CREATE ROLE \"plain role\"") && all.contains("PASSWORD 'SCRAM"),
        "{all}"
    );
    let some = globals_of(&cluster, "plain role", &secret, strange).await;
    assert!(
        some.contains("CREATE ROLE \"plain role\"") && !some.contains("PASSWORD"),
        "{some}"
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn globals_of_a_server_that_is_gone_are_a_lost_connection(
    #[values(13, 14, 15, 16, 17, 18)] major: u16,
) {
    let mut cluster = Cluster::start(major).await.unwrap();
    let (connection, secret) = (cluster.connection("postgres"), cluster.password());
    cluster.stop().await.unwrap();
    let client = client(major);
    let globals = Globals {
        client: &client,
        connection: &connection,
        secret: Some(&secret),
        passwords: true,
    };
    let mut running = globals.spawn(howdah_postgres::running::ignore_lines()).unwrap();
    let failure = failure(running.wait(&CancellationToken::new()).await);
    assert_eq!(failure.code, FailureCode::ConnectionLost, "{failure:?}");
    assert!(failure.is_retryable());
    assert!(
        failure.message.contains("pg_dumpall could not connect"),
        "{failure:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn globals_that_may_not_be_read_have_a_reason() {
    let cluster = cluster_with(17, "REVOKE SELECT ON pg_catalog.pg_roles FROM PUBLIC").await;
    let secret = cluster.create_role("nobody", "").await.unwrap();
    let session = session(&cluster.connection_as("nobody", "shop"), &secret).await;
    let Readable::Nothing(why) = globals::readable(&session.client).await.unwrap() else {
        panic!("it is readable");
    };
    assert!(why.contains("nobody"), "{why}");
}
