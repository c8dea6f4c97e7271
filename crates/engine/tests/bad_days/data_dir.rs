//! A full disk under the data directory: told as such, and no run stays *running* when there is room again.

use std::sync::Arc;
use std::time::Duration;

use howdah_domain::{FailureCode, RunState};
use howdah_postgres::programs::Programs;
use howdah_testkit::{Cluster, SmallDisk};
use jiff::SignedDuration;

use crate::support::nightly::{nightly, one, scheduled_runs, wait_for_runs};
use crate::support::{TestEngine, failure, files_below, hold_a_table, small_disk};

/// An engine whose data directory is on a disk of its own; none where that cannot be had.
async fn on_a_small_disk() -> Option<(SmallDisk, TestEngine)> {
    let disk = small_disk("4m")?;
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let programs = Programs::locate(None).unwrap();
    let data_dir = disk.path().join("data");
    let test = TestEngine::open(dir, data_dir, Arc::default(), Arc::default(), programs).await;
    Some((disk, test))
}

/// Takes all room, also that which SQLite has kept for itself.
async fn fill(disk: &SmallDisk, test: &TestEngine) {
    disk.fill().unwrap();
    for _ in 0..5_000 {
        let settings = test.engine.settings().await;
        if let Err(failure) = test.engine.save_settings(settings).await {
            assert_eq!(failure.code, FailureCode::DiskFull, "{failure:?}");
            return;
        }
    }
    panic!("the disk takes more and more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_does_not_begin_when_it_cannot_be_recorded() {
    let Some((disk, test)) = on_a_small_disk().await else {
        return;
    };
    let cluster = Cluster::start(17).await.unwrap();
    let wanted = test.one_off(cluster.connection("postgres"), cluster.password());
    test.back_up(&wanted).await.unwrap();
    let before = files_below(&test.folder());
    fill(&disk, &test).await;
    let failure = failure(test.back_up(&wanted).await.map(|made| made.stored));
    assert_eq!(failure.code, FailureCode::DiskFull, "{failure:?}");
    assert_eq!(files_below(&test.folder()), before);
    disk.make_room().unwrap();
    test.back_up(&wanted).await.unwrap();
    let runs = test.engine.list_runs(10).await.unwrap();
    assert!(runs.iter().all(|run| run.state.is_final()), "{runs:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_could_not_be_concluded_is_when_there_is_room() {
    let Some((disk, test)) = on_a_small_disk().await else {
        return;
    };
    let cluster = Cluster::start(17).await.unwrap();
    nightly(&test, &cluster, one("postgres")).await;
    let holder = hold_a_table(&cluster, "postgres").await;
    let database = test.engine.overview().await.unwrap().databases[0].id.clone();
    let id = test.engine.back_up_now(&database).await.unwrap().remove(0);
    test.until(&id, |state| matches!(state, RunState::Running { .. }))
        .await;
    // The ledger's entry is written by the time that pg_dump waits.
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'howdah' AND wait_event_type = 'Lock'";
    while cluster.one("postgres", waits).await.unwrap() == "0" {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    fill(&disk, &test).await;
    drop(holder);
    // A disk stays full for longer than a few attempts take.
    tokio::time::sleep(Duration::from_secs(20)).await;
    let run = test.engine.run(&id).await.unwrap();
    assert!(matches!(run.state, RunState::Running { .. }), "{run:?}");
    disk.make_room().unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            let run = test.engine.run(&id).await.unwrap();
            if run.state.is_final() {
                return run;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    let run = ended.await.expect("the run stays running although there is room");
    assert_eq!(run.state, RunState::Succeeded, "{run:?}");
    assert_eq!(test.engine.list_backups(None).await.unwrap().len(), 1);
    // The database is not busy for ever.
    let again = test.engine.back_up_now(&database).await.unwrap().remove(0);
    assert_eq!(test.ended(&again).await.state, RunState::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_due_time_that_comes_while_the_disk_is_full_is_run_when_there_is_room() {
    let Some((disk, test)) = on_a_small_disk().await else {
        return;
    };
    let cluster = Cluster::start(17).await.unwrap();
    nightly(&test, &cluster, one("postgres")).await;
    let due = test.engine.scheduler().await.unwrap().next.unwrap().at;
    fill(&disk, &test).await;
    test.clock.set(due + SignedDuration::from_secs(1));
    // The scheduler looks at the clock every fifteen seconds.
    tokio::time::sleep(Duration::from_secs(17)).await;
    assert!(scheduled_runs(&test).await.is_empty());
    disk.make_room().unwrap();
    let runs = wait_for_runs(&test, 1).await;
    assert_eq!((runs[0].state, runs[0].due_at), (RunState::Succeeded, Some(due)));
}
