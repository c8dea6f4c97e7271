//! Destinations that fail at every step, and a pg_dump or pg_dumpall that stands still: nothing is left, and the run says why.

use std::sync::Arc;
use std::time::Duration;

use howdah_domain::{FailureCode, Phase, Place, Progress};
use howdah_engine::api::LogLevel;
use howdah_engine::oneoff::{OneOffBackup, OneOffPlace};
use howdah_engine::work::Reporter;
use howdah_storage::{Destination as _, Fault, Faulty, Folder};
use howdah_testkit::Cluster;
use rstest::rstest;
use tokio_util::sync::CancellationToken;

use crate::outlive;
use crate::support::unrecorded::Unrecorded;
use crate::support::{Heard, TestEngine, failure, files_below, hold_a_table, small_disk};

async fn prepared(test: &TestEngine) -> Folder {
    let folder = Folder::new(test.folder());
    folder.prepare(&CancellationToken::new()).await.unwrap();
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pg_dump_that_stays_silent_is_ended_and_the_run_says_what_it_waited_for() {
    let cluster = Cluster::start(17).await.unwrap();
    let _holder = hold_a_table(&cluster, "postgres").await;
    let test = TestEngine::start().await;
    let backup = Unrecorded {
        connection: cluster.connection("postgres"),
        secret: cluster.password(),
        patience: Duration::from_secs(2),
        destinations: vec![Arc::new(prepared(&test).await)],
        globals: false,
        reporter: Arc::new(Heard::default()),
    };
    let begun = std::time::Instant::now();
    let failure = failure(backup.back_up(&test).await.map(|made| made.folder));
    assert_eq!(failure.code, FailureCode::Stalled, "{failure:?}");
    assert!(failure.message.contains("held"), "{failure:?}");
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "took {:?}",
        begun.elapsed()
    );
    assert_eq!(files_below(&test.folder()), Vec::<String>::new());
    assert_eq!(outlive("pg_dump"), Vec::<i32>::new());
}

#[rstest]
#[case::runs_full_in_mid_dump(Fault::FullAfter(500_000), "dump.pgdump.zst", FailureCode::DiskFull)]
#[case::runs_full_at_the_manifest(Fault::FullAfter(10), "manifest.json", FailureCode::DiskFull)]
#[case::breaks_in_mid_dump(Fault::WriteAfter(500_000), "dump.pgdump.zst", FailureCode::DestinationFailed)]
#[case::takes_no_more_bytes(
    Fault::StallAfter(500_000),
    "dump.pgdump.zst",
    FailureCode::DestinationUnreachable
)]
#[case::takes_no_byte_of_the_index(
    Fault::StallAfter(0),
    "index.json.zst",
    FailureCode::DestinationUnreachable
)]
#[case::takes_no_byte_of_the_manifest(
    Fault::StallAfter(0),
    "manifest.json",
    FailureCode::DestinationUnreachable
)]
#[case::begins_no_file(Fault::Create, "dump.pgdump.zst", FailureCode::DestinationFailed)]
#[case::loses_a_byte_of_the_dump(Fault::LoseLastByte, "dump.pgdump.zst", FailureCode::DestinationFailed)]
#[case::loses_a_byte_of_the_index(Fault::LoseLastByte, "index.json.zst", FailureCode::DestinationFailed)]
#[case::cannot_finish_the_manifest(Fault::Finish, "manifest.json", FailureCode::DestinationFailed)]
#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that(#[case] fault: Fault, #[case] only: &str, #[case] code: FailureCode) {
    let cluster = Cluster::start(17).await.unwrap();
    let sql = "CREATE TABLE t AS SELECT n, md5(n::text) || md5((n * 7)::text) AS text FROM generate_series(1, 100000) n";
    cluster.sql("postgres", sql).await.unwrap();
    let test = TestEngine::start().await;
    let backup = Unrecorded {
        connection: cluster.connection("postgres"),
        secret: cluster.password(),
        patience: Duration::from_secs(3),
        destinations: vec![Arc::new(
            Faulty::new(Arc::new(prepared(&test).await), fault).only(only),
        )],
        globals: false,
        reporter: Arc::new(Heard::default()),
    };
    let failure = failure(backup.back_up(&test).await.map(|made| made.folder));
    assert_eq!(failure.code, code, "{failure:?}");
    assert_eq!(files_below(&test.folder()), Vec::<String>::new());
    assert_eq!(outlive("pg_dump"), Vec::<i32>::new());
}

/// Freezes a server when a backup reaches a phase.
struct FreezeAt(Arc<Cluster>, Phase);

impl Reporter for FreezeAt {
    fn phase(&self, phase: Phase) {
        if phase == self.1 {
            self.0.freeze();
        }
    }
    fn log(&self, _: LogLevel, _: &str) {}
    fn progress(&self, _: Progress) {}
}

/// The dump is through, and then the server answers pg_dumpall no more: the watchdog watches that too.
#[tokio::test(flavor = "multi_thread")]
async fn a_pg_dumpall_that_stays_silent_is_ended() {
    let cluster = Arc::new(Cluster::start(17).await.unwrap());
    let test = TestEngine::start().await;
    let backup = Unrecorded {
        connection: cluster.connection("postgres"),
        secret: cluster.password(),
        patience: Duration::from_secs(3),
        destinations: vec![Arc::new(prepared(&test).await)],
        globals: true,
        reporter: Arc::new(FreezeAt(cluster.clone(), Phase::Finishing)),
    };
    let begun = std::time::Instant::now();
    let failure = failure(backup.back_up(&test).await.map(|made| made.folder));
    cluster.thaw();
    assert_eq!(failure.code, FailureCode::Stalled, "{failure:?}");
    assert!(failure.message.contains("pg_dumpall"), "{failure:?}");
    assert!(
        begun.elapsed() < Duration::from_secs(12),
        "took {:?}",
        begun.elapsed()
    );
    assert_eq!(files_below(&test.folder()), Vec::<String>::new());
    assert_eq!(outlive("pg_dumpall"), Vec::<i32>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_where_the_folder_should_be() {
    let cluster = Cluster::start(17).await.unwrap();
    let test = TestEngine::start().await;
    std::fs::write(test.folder(), "").unwrap();
    let wanted = test.one_off(cluster.connection("postgres"), cluster.password());
    let failure = failure(test.back_up(&wanted).await.map(|made| made.stored));
    assert_eq!(failure.code, FailureCode::DestinationMissing, "{failure:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_has_become_read_only() {
    let Some(disk) = small_disk("64m") else { return };
    let cluster = Cluster::start(17).await.unwrap();
    let test = TestEngine::start().await;
    let wanted = OneOffBackup {
        to: vec![OneOffPlace {
            place: Place::folder(disk.path().join("backups")),
            secret: None,
        }],
        ..test.one_off(cluster.connection("postgres"), cluster.password())
    };
    let first = test.back_up(&wanted).await.unwrap();
    disk.make_read_only().unwrap();
    let failure = failure(test.back_up(&wanted).await.map(|made| made.stored));
    assert_eq!(failure.code, FailureCode::DestinationReadOnly, "{failure:?}");
    // What was there is untouched.
    test.comes_back_equal(&first, cluster.connection("restored"), cluster.password(), 1)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_keeps_what_was_there_and_serves_again_when_there_is_room() {
    let Some(disk) = small_disk("8m") else { return };
    let cluster = Cluster::start(17).await.unwrap();
    let sql = "CREATE TABLE t AS SELECT n, md5(n::text) || md5((n * 7)::text) AS text FROM generate_series(1, 20000) n";
    cluster.sql("postgres", sql).await.unwrap();
    let test = TestEngine::start().await;
    let wanted = OneOffBackup {
        to: vec![OneOffPlace {
            place: Place::folder(disk.path().join("backups")),
            secret: None,
        }],
        ..test.one_off(cluster.connection("postgres"), cluster.password())
    };
    let first = test.back_up(&wanted).await.unwrap();
    let before = files_below(wanted.to[0].place.as_folder().unwrap());
    disk.fill().unwrap();
    let failure = failure(test.back_up(&wanted).await.map(|made| made.stored));
    assert_eq!(failure.code, FailureCode::DiskFull, "{failure:?}");
    assert_eq!(files_below(wanted.to[0].place.as_folder().unwrap()), before);
    test.comes_back_equal(&first, cluster.connection("restored"), cluster.password(), 1)
        .await;
    disk.make_room().unwrap();
    test.back_up(&wanted).await.unwrap();
}
