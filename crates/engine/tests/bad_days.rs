//! Bad days: each ends in a clear failure, with nothing left behind and the next backup working.

#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use howdah_domain::{BackupId, Connection, Failure, FailureCode, Secret, TableName, TlsMode};
use howdah_engine::backup::{BackupRequest, Finished, Ledger};
use howdah_engine::oneoff::{OneOffBackedUp, OneOffBackup};
use howdah_engine::work::Reporter;
use howdah_storage::{Destination, Fault, Faulty, Folder, ObjectPath};
use howdah_testkit::Cluster;
use howdah_testkit::impostor::{Impostor, postgres_of_version, stuck_listener, web_server};
use rstest::rstest;
use support::{Heard, TestEngine, failure, files_below};
use tokio_util::sync::CancellationToken;

async fn back_up(test: &TestEngine, wanted: &OneOffBackup) -> Result<OneOffBackedUp, Failure> {
    let reporter: Arc<dyn Reporter> = Arc::new(Heard::default());
    test.engine
        .back_up_once(wanted, reporter, &CancellationToken::new())
        .await
}

/// The backup fails with this code, leaves no file, and its run is recorded as failed.
async fn fails_with(test: &TestEngine, wanted: &OneOffBackup, code: FailureCode) -> Failure {
    let failure = failure(back_up(test, wanted).await.map(|made| made.path));
    assert_eq!(failure.code, code, "{failure:?}");
    assert!(failure.message.len() > 20, "{failure:?}");
    assert_eq!(files_below(&test.folder()), Vec::<String>::new());
    let run = test.engine.list_runs(1).await.unwrap().remove(0);
    assert_eq!(run.failure.as_ref(), Some(&failure));
    failure
}

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
    fails_with(&test, &wanted, FailureCode::HostNotFound).await;
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
    fails_with(&test, &wanted, FailureCode::ConnectionRefused).await;
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
    fails_with(&test, &wanted, code).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_dropped() {
    let cluster = Cluster::start(17).await.unwrap();
    let test = TestEngine::start().await;
    let wanted = test.one_off(cluster.connection("gone"), cluster.password());
    let failure = fails_with(&test, &wanted, FailureCode::DatabaseNotFound).await;
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
    let failure = fails_with(&test, &wanted, FailureCode::PermissionDenied).await;
    assert!(failure.message.contains("payroll"), "{failure:?}");
    assert!(!format!("{failure:?}").contains(secret.expose()));
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
    fails_with(&test, &wanted, FailureCode::NotFound).await;
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
    let (failed, ()) = tokio::join!(fails_with(&test, &wanted, FailureCode::ConnectionLost), async {
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
    let (failed, ()) = tokio::join!(fails_with(&test, &wanted, FailureCode::ProgramKilled), async {
        in_the_middle(&test).await;
        for pid in children_named("pg_dump") {
            nix_kill(pid);
        }
    });
    assert!(failed.is_retryable());
    back_up(&test, &wanted).await.unwrap();
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
    assert_eq!(children_named("pg_dump"), Vec::<i32>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_pg_dump_waits_for_ends_the_run_and_says_who_holds_it() {
    let cluster = Cluster::start(17).await.unwrap();
    cluster
        .sql("postgres", "CREATE TABLE held (a int)")
        .await
        .unwrap();
    let holder = cluster.client("postgres").await.unwrap();
    holder
        .batch_execute("BEGIN; LOCK TABLE held IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    let test = TestEngine::start().await;
    let mut settings = test.engine.settings().await;
    settings.lock_wait_seconds = 1;
    test.engine.save_settings(settings).await.unwrap();
    let wanted = test.one_off(cluster.connection("postgres"), cluster.password());
    let failure = fails_with(&test, &wanted, FailureCode::LockTimeout).await;
    assert!(format!("{failure:?}").contains("held"), "{failure:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_whose_folder_was_removed_is_not_made_again() {
    let cluster = Cluster::start(17).await.unwrap();
    let test = TestEngine::start().await;
    let wanted = test.one_off(cluster.connection("postgres"), cluster.password());
    back_up(&test, &wanted).await.unwrap();
    std::fs::write(test.dir.path().join("a file"), "").unwrap();
    let not_a_folder = OneOffBackup {
        folder: test.dir.path().join("a file"),
        ..wanted
    };
    let failure = failure(back_up(&test, &not_a_folder).await.map(|made| made.path));
    assert_eq!(failure.code, FailureCode::DestinationMissing, "{failure:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_database_is_a_backup_too() {
    let cluster = Cluster::start(18).await.unwrap();
    let test = TestEngine::start().await;
    let made = back_up(
        &test,
        &test.one_off(cluster.connection("postgres"), cluster.password()),
    )
    .await
    .unwrap();
    assert_eq!((made.manifest.tables, made.manifest.rows), (0, 0));
}

#[rstest]
#[case::spaces("my shop")]
#[case::quotes(r#"o'clock "x""#)]
#[case::emoji("🐘 größe")]
#[case::a_leading_dash("-d")]
#[case::an_equals_sign("host=evil dbname=x")]
#[case::a_url("postgres://evil/x")]
#[case::sixty_three_bytes("abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijk")]
#[case::backslash(r"a\b%d$(x)")]
#[tokio::test(flavor = "multi_thread")]
async fn a_database_with_a_name_of(#[case] name: &str) {
    let cluster = Cluster::start(16).await.unwrap();
    cluster.create_database(name).await.unwrap();
    cluster
        .sql(name, "CREATE TABLE t AS SELECT 1 AS a")
        .await
        .unwrap();
    let test = TestEngine::start().await;
    let made = back_up(&test, &test.one_off(cluster.connection(name), cluster.password()))
        .await
        .unwrap();
    assert_eq!(made.manifest.database, name);
    assert_eq!(made.manifest.rows, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_tables() {
    let cluster = Cluster::builder(17)
        .set("max_locks_per_transaction", "256")
        .start()
        .await
        .unwrap();
    for batch in 0..10 {
        cluster
            .sql(
                "postgres",
                &format!(
                    "DO $$ BEGIN FOR n IN 1..1000 LOOP
                       EXECUTE format('CREATE TABLE t_{batch}_%s AS SELECT %s AS a', n, n); END LOOP; END $$"
                ),
            )
            .await
            .unwrap();
    }
    let test = TestEngine::start().await;
    let made = back_up(
        &test,
        &test.one_off(cluster.connection("postgres"), cluster.password()),
    )
    .await
    .unwrap();
    assert_eq!((made.manifest.tables, made.manifest.rows), (10_000, 10_000));
    assert!(
        made.index.frames.len() < 100,
        "small tables share frames: {}",
        made.index.frames.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_of_two_hundred_megabytes() {
    let cluster = Cluster::start(17).await.unwrap();
    cluster
        .sql(
            "postgres",
            "CREATE TABLE huge AS SELECT 1 AS n, repeat('0123456789', 20000000) AS text",
        )
        .await
        .unwrap();
    let test = TestEngine::start().await;
    let made = back_up(
        &test,
        &test.one_off(cluster.connection("postgres"), cluster.password()),
    )
    .await
    .unwrap();
    assert!(made.manifest.raw_bytes > 200_000_000);
    assert!(made.index.frames.iter().all(|frame| frame.raw_len <= 8 << 20));
    assert!(
        made.index
            .frames
            .iter()
            .filter(|frame| !frame.begins_at_row())
            .count()
            > 20
    );
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

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_demands_tls_gets_it() {
    let cluster = Cluster::builder(17)
        .encryption(howdah_testkit::Encryption::Forced)
        .start()
        .await
        .unwrap();
    let test = TestEngine::start().await;
    let mut encrypted = cluster.connection("postgres");
    encrypted.tls.mode = TlsMode::Require;
    back_up(&test, &test.one_off(encrypted, cluster.password()))
        .await
        .unwrap();
    let mut plain = cluster.connection("postgres");
    plain.tls.mode = TlsMode::Disable;
    let refused = failure(
        back_up(&test, &test.one_off(plain, cluster.password()))
            .await
            .map(|made| made.path),
    );
    assert!(
        matches!(
            refused.code,
            FailureCode::TlsRequired | FailureCode::NotAllowedByHba
        ),
        "{refused:?}"
    );
    let mut verified = cluster.connection("postgres");
    verified.tls.mode = TlsMode::VerifyFull;
    verified.tls.ca_file = None;
    let untrusted = failure(
        back_up(&test, &test.one_off(verified, cluster.password()))
            .await
            .map(|made| made.path),
    );
    assert_eq!(untrusted.code, FailureCode::TlsUntrusted, "{untrusted:?}");
}

/// Makes a backup with parts of the test's choosing, without a run.
struct ByHand {
    connection: Connection,
    secret: Secret,
    patience: Duration,
    destination: Arc<dyn Destination>,
}

impl ByHand {
    async fn back_up(self, test: &TestEngine) -> Result<Finished, Failure> {
        struct NoLedger;
        #[async_trait::async_trait]
        impl Ledger for NoLedger {
            async fn begin(&self, _: &BackupId, _: &ObjectPath) -> Result<(), Failure> {
                Ok(())
            }
            async fn removed(&self) -> Result<(), Failure> {
                Ok(())
            }
        }
        let request = BackupRequest {
            server_name: "shop".to_owned(),
            connection: self.connection,
            secret: Some(self.secret),
            selection: Default::default(),
            globals: false,
            encode: Default::default(),
            patience: self.patience,
            lock_wait: Duration::from_secs(60),
            expected_raw_bytes: None,
            destination: self.destination,
        };
        let reporter: Arc<dyn Reporter> = Arc::new(Heard::default());
        let never = CancellationToken::new();
        let programs = test.engine.programs();
        howdah_engine::backup::back_up(&request, programs, &NoLedger, &reporter, &*test.clock, &never).await
    }
}

async fn prepared(test: &TestEngine) -> Folder {
    let folder = Folder::new(test.folder());
    folder.prepare(&CancellationToken::new()).await.unwrap();
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pg_dump_that_stays_silent_is_ended_and_the_run_says_what_it_waited_for() {
    let cluster = Cluster::start(17).await.unwrap();
    cluster
        .sql("postgres", "CREATE TABLE held (a int)")
        .await
        .unwrap();
    let holder = cluster.client("postgres").await.unwrap();
    holder
        .batch_execute("BEGIN; LOCK TABLE held IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    let test = TestEngine::start().await;
    let by_hand = ByHand {
        connection: cluster.connection("postgres"),
        secret: cluster.password(),
        patience: Duration::from_secs(2),
        destination: Arc::new(prepared(&test).await),
    };
    let begun = std::time::Instant::now();
    let failure = failure(by_hand.back_up(&test).await.map(|made| made.folder));
    assert_eq!(failure.code, FailureCode::Stalled, "{failure:?}");
    assert!(failure.message.contains("held"), "{failure:?}");
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "took {:?}",
        begun.elapsed()
    );
    assert_eq!(files_below(&test.folder()), Vec::<String>::new());
    assert_eq!(children_named("pg_dump"), Vec::<i32>::new());
}

#[rstest]
#[case::runs_full_in_mid_dump(Fault::FullAfter(500_000), "dump.pgdump.zst", FailureCode::DiskFull)]
#[case::runs_full_at_the_manifest(Fault::FullAfter(10), "manifest.json", FailureCode::DiskFull)]
#[case::breaks_in_mid_dump(Fault::WriteAfter(500_000), "dump.pgdump.zst", FailureCode::DestinationFailed)]
#[case::takes_no_more_bytes(Fault::StallAfter(500_000), "dump.pgdump.zst", FailureCode::DestinationFailed)]
#[case::loses_a_byte_of_the_dump(Fault::LoseLastByte, "dump.pgdump.zst", FailureCode::DestinationFailed)]
#[case::loses_a_byte_of_the_index(Fault::LoseLastByte, "index.json.zst", FailureCode::DestinationFailed)]
#[case::cannot_finish_the_manifest(Fault::Finish, "manifest.json", FailureCode::DestinationFailed)]
#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that(#[case] fault: Fault, #[case] only: &str, #[case] code: FailureCode) {
    let cluster = Cluster::start(17).await.unwrap();
    let sql = "CREATE TABLE t AS SELECT n, md5(n::text) || md5((n * 7)::text) AS text FROM generate_series(1, 100000) n";
    cluster.sql("postgres", sql).await.unwrap();
    let test = TestEngine::start().await;
    let by_hand = ByHand {
        connection: cluster.connection("postgres"),
        secret: cluster.password(),
        patience: Duration::from_secs(3),
        destination: Arc::new(Faulty::new(Arc::new(prepared(&test).await), fault).only(only)),
    };
    let failure = failure(by_hand.back_up(&test).await.map(|made| made.folder));
    assert_eq!(failure.code, code, "{failure:?}");
    assert_eq!(files_below(&test.folder()), Vec::<String>::new());
    assert_eq!(children_named("pg_dump"), Vec::<i32>::new());
}
