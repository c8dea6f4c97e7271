//! Bad days: each ends in a clear failure, with nothing left behind and the next backup working. Here those of the server and
//! of the programs; what is odd about databases is in `content.rs`, ways to a server in `ways_in.rs`, destinations in
//! `destinations.rs`, the disk under the data directory in `data_dir.rs`.

#![allow(clippy::unwrap_used)]

mod content;
mod data_dir;
mod destinations;
#[path = "../support/mod.rs"]
mod support;
mod ways_in;

use std::sync::Arc;
use std::time::Duration;

use howdah_domain::{Connection, FailureCode, Secret, TableName};
use howdah_engine::api::{ConnectionInput, LogLevel, TestRequest};
use howdah_engine::work::Reporter;
use howdah_testkit::Cluster;
use howdah_testkit::impostor::{Impostor, postgres_of_version, stuck_listener, web_server};
use rstest::rstest;
use support::{Heard, TestEngine, files_below, hold_a_table};
use tokio_util::sync::CancellationToken;

fn at(host: &str, port: u16) -> Connection {
    Connection {
        host: host.to_owned(),
        port,
        role: "postgres".to_owned(),
        database: "postgres".to_owned(),
        tls: Default::default(),
        tunnel: None,
        forwarded: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_unknown() {
    let test = TestEngine::start().await;
    let wanted = test.one_off(at("no-such-host.invalid", 5432), Secret::new("x"));
    test.fails_with(&wanted, FailureCode::HostNotFound).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_where_nothing_listens() {
    let test = TestEngine::start().await;
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let wanted = test.one_off(at("127.0.0.1", port), Secret::new("x"));
    test.fails_with(&wanted, FailureCode::ConnectionRefused).await;
}

#[rstest]
#[case::that_accepts_and_never_answers(stuck_listener().await.unwrap(), FailureCode::Timeout)]
#[case::that_is_a_web_server(web_server().await.unwrap(), FailureCode::NotPostgres)]
#[case::older_than_13(postgres_of_version("12.22").await.unwrap(), FailureCode::UnsupportedVersion)]
#[case::newer_than_18(postgres_of_version("19beta1").await.unwrap(), FailureCode::UnsupportedVersion)]
#[tokio::test(flavor = "multi_thread")]
async fn a_server(#[case] impostor: Impostor, #[case] code: FailureCode) {
    let test = TestEngine::start().await;
    let wanted = test.one_off(impostor.connection(), Secret::new("x"));
    test.fails_with(&wanted, code).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_is_wrong() {
    let cluster = Cluster::start(17).await.unwrap();
    let test = TestEngine::start().await;
    let wanted = test.one_off(cluster.connection("postgres"), Secret::new("Kr0kodil"));
    let failure = test.fails_with(&wanted, FailureCode::AuthenticationFailed).await;
    assert!(!format!("{failure:?}").contains("Kr0kodil"), "{failure:?}");
    assert!(!failure.is_retryable());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_dropped_between_the_test_and_the_run() {
    let cluster = Cluster::start(17).await.unwrap();
    cluster.create_database("gone").await.unwrap();
    let test = TestEngine::start().await;
    let tested = TestRequest {
        test_id: "before".to_owned(),
        input: ConnectionInput::Form {
            connection: cluster.connection("gone"),
            password: Some(cluster.password()),
            ssh_secret: None,
        },
        selection: Default::default(),
    };
    assert!(test.engine.test_connection(tested).await.unwrap().ok);
    cluster.sql("postgres", "DROP DATABASE gone").await.unwrap();
    let wanted = test.one_off(cluster.connection("gone"), cluster.password());
    let failure = test.fails_with(&wanted, FailureCode::DatabaseNotFound).await;
    assert!(failure.message.contains("gone"), "{failure:?}");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_the_role_may_not_read_is_named(#[values(13, 18)] major: u16) {
    let cluster = Cluster::start(major).await.unwrap();
    cluster
        .sql(
            "postgres",
            "CREATE TABLE payroll (a int); CREATE TABLE fine (a int)",
        )
        .await
        .unwrap();
    let secret = cluster.create_role("backup", "").await.unwrap();
    cluster
        .sql("postgres", "GRANT SELECT ON fine TO backup")
        .await
        .unwrap();
    let test = TestEngine::start().await;
    let wanted = test.one_off(cluster.connection_as("backup", "postgres"), secret.clone());
    let failure = test.fails_with(&wanted, FailureCode::PermissionDenied).await;
    assert!(failure.message.contains("payroll"), "{failure:?}");
    assert!(!format!("{failure:?}").contains(secret.expose()));
    // pg_dump's own words are in the run's log, each line of them.
    let run = test.engine.list_runs(1).await.unwrap().remove(0);
    let log = test.engine.run_page(&run.id).await.unwrap().log;
    for words in ["permission denied for table payroll", "LOCK TABLE"] {
        assert!(
            log.iter()
                .any(|line| line.level == LogLevel::Error && line.text.contains(words)),
            "{words}: {log:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_chosen_and_not_there() {
    let cluster = Cluster::start(16).await.unwrap();
    let test = TestEngine::start().await;
    let mut wanted = test.one_off(cluster.connection("postgres"), cluster.password());
    wanted.selection.tables = vec![TableName {
        schema: "public".to_owned(),
        name: "gone".to_owned(),
    }];
    test.fails_with(&wanted, FailureCode::NotFound).await;
}

/// A cluster with a table of some hundred megabytes, so that there is a middle of its dump.
async fn large() -> Cluster {
    let cluster = Cluster::start(17).await.unwrap();
    cluster
        .sql(
            "postgres",
            "CREATE TABLE large AS SELECT n, repeat(md5(n::text), 30) AS text FROM generate_series(1, 600000) n",
        )
        .await
        .unwrap();
    cluster
}

/// Waits until a backup is in the middle of its dump.
async fn in_the_middle(test: &TestEngine) {
    let mut events = test.engine.events();
    let look = async {
        loop {
            if let Ok(howdah_engine::api::Event::Progress { progress, .. }) = events.recv().await
                && progress.raw_bytes > 1_000_000
            {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), look)
        .await
        .expect("no progress in 30 s");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_in_mid_dump() {
    let cluster = large().await;
    let test = TestEngine::start().await;
    let mut wanted = test.one_off(cluster.connection("postgres"), cluster.password());
    wanted.globals = false;
    let (failed, ()) = tokio::join!(test.fails_with(&wanted, FailureCode::ConnectionLost), async {
        in_the_middle(&test).await;
        // The postmaster alone would not do: a session that sends rows goes on without it. One session's death ends all.
        let ours = "SELECT pid FROM pg_stat_activity WHERE application_name = 'howdah'";
        for row in cluster.rows("postgres", ours).await.unwrap() {
            nix_kill(row[0].as_deref().unwrap().parse().unwrap());
        }
    });
    assert!(failed.is_retryable());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pg_dump_that_is_killed() {
    let cluster = large().await;
    let test = TestEngine::start().await;
    let wanted = test.one_off(cluster.connection("postgres"), cluster.password());
    let (failed, ()) = tokio::join!(test.fails_with(&wanted, FailureCode::ProgramKilled), async {
        in_the_middle(&test).await;
        for pid in children_named("pg_dump") {
            nix_kill(pid);
        }
    });
    assert!(failed.is_retryable());
    test.back_up(&wanted).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_backup_ends_at_once_and_leaves_nothing() {
    let cluster = large().await;
    let test = TestEngine::start().await;
    let wanted = test.one_off(cluster.connection("postgres"), cluster.password());
    let cancel = CancellationToken::new();
    let reporter: Arc<dyn Reporter> = Arc::new(Heard::default());
    let (outcome, begun) = tokio::join!(test.engine.back_up_once(&wanted, reporter, &cancel), async {
        in_the_middle(&test).await;
        cancel.cancel();
        std::time::Instant::now()
    });
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "took {:?}",
        begun.elapsed()
    );
    assert!(outcome.unwrap_err().is_cancelled());
    assert_eq!(files_below(&test.folder()), Vec::<String>::new());
    assert_eq!(outlive("pg_dump"), Vec::<i32>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_pg_dump_waits_for_ends_the_run_and_names_the_table() {
    let cluster = Cluster::start(17).await.unwrap();
    let _holder = hold_a_table(&cluster, "postgres").await;
    let test = TestEngine::start().await;
    let mut settings = test.engine.settings().await;
    settings.lock_wait_seconds = 1;
    test.engine.save_settings(settings).await.unwrap();
    let wanted = test.one_off(cluster.connection("postgres"), cluster.password());
    let failure = test.fails_with(&wanted, FailureCode::LockTimeout).await;
    assert!(format!("{failure:?}").contains("held"), "{failure:?}");
}

/// Children of this process by that name that are still there a moment after their work's end: who was killed takes a little to go.
fn outlive(name: &str) -> Vec<i32> {
    for _ in 0..100 {
        if children_named(name).is_empty() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    children_named(name)
}

/// Children of this process by that name.
fn children_named(name: &str) -> Vec<i32> {
    let ours = std::process::id().to_string();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else {
            continue;
        };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        // "pid (name) state ppid …"; a zombie is no child at work.
        let Some((before, after)) = stat.rsplit_once(") ") else {
            continue;
        };
        let mut fields = after.split(' ');
        let (state, parent) = (fields.next(), fields.next());
        if before.ends_with(&format!("({name}")) && parent == Some(&ours) && state != Some("Z") {
            found.push(pid);
        }
    }
    found
}

fn nix_kill(pid: i32) {
    let status = std::process::Command::new("kill")
        .args(["-9", &pid.to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}
