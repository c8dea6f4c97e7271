//! Several destinations in one pass, copies that are made later, copies that go, and a catalogue made from what lies there.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use howdah_domain::retention::RetentionRule;
use howdah_domain::{BackupId, DestinationId, FailureCode, RunState, Trigger};
use howdah_engine::api::{BackupView, PlanDraft};
use howdah_engine::backup::Finished;
use howdah_engine::stored::StoredBackup;
use howdah_engine::work::Reporter;
use howdah_storage::{Destination as _, Fault, Faulty, Folder};
use howdah_testkit::Cluster;
use jiff::SignedDuration;
use rstest::rstest;
use support::by_hand::{by_hand, folder_at, saved, server};
use support::unrecorded::Unrecorded;
use support::{Heard, TestEngine, files_below};
use tokio_util::sync::CancellationToken;

/// Rows enough for several chunks.
const ROWS: &str = "CREATE TABLE t AS SELECT n, md5(n::text) || md5((n * 7)::text) AS text FROM generate_series(1, 100000) n";

/// A test's engine with a server, and two folders that are destinations.
struct Two {
    cluster: Cluster,
    test: TestEngine,
    folders: [PathBuf; 2],
    destinations: [DestinationId; 2],
    plan: PlanDraft,
}

impl Two {
    async fn start() -> Self {
        let cluster = Cluster::start(17).await.unwrap();
        cluster.sql("postgres", ROWS).await.unwrap();
        let test = TestEngine::start().await;
        let folders = [test.dir.path().join("first"), test.dir.path().join("second")];
        let mut destinations = Vec::new();
        for folder in &folders {
            let added = test.engine.add_destination(folder_at(folder)).await;
            destinations.push(added.unwrap().id);
        }
        let server = server(&test, &cluster, "shop").await;
        let plan = saved(&test, by_hand(server, destinations.clone())).await;
        Self {
            cluster,
            test,
            folders,
            destinations: destinations.try_into().unwrap(),
            plan,
        }
    }

    async fn backup(&self, id: &BackupId) -> BackupView {
        self.test.engine.backup_page(id).await.unwrap().backup
    }

    /// Waits until something about a backup's copies is so.
    async fn until(&self, id: &BackupId, wish: impl Fn(&BackupView) -> bool) -> BackupView {
        for _ in 0..300 {
            let backup = self.backup(id).await;
            if wish(&backup) {
                return backup;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("not so after half a minute: {:?}", self.backup(id).await.copies);
    }

    /// Every file of both folders, read: the same in both?
    fn same_in_both(&self) -> bool {
        let read = |folder: &Path| {
            files_below(folder)
                .into_iter()
                .map(|file| (std::fs::read(folder.join(&file)).unwrap(), file))
                .collect::<Vec<_>>()
        };
        read(&self.folders[0]) == read(&self.folders[1])
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_with_two_destinations_writes_the_same_bytes_to_both() {
    let two = Two::start().await;
    let backup = two.test.backed_up().await;
    assert_eq!(backup.copies.len(), 2);
    assert!(backup.copies.iter().all(|copy| copy.present));
    assert_eq!(
        files_below(&two.folders[0]).len(),
        5,
        "{:?}",
        files_below(&two.folders[0])
    );
    assert!(two.same_in_both());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_is_away_gets_its_copy_when_it_is_back() {
    let two = Two::start().await;
    let aside = two.test.dir.path().join("aside");
    std::fs::rename(&two.folders[1], &aside).unwrap();
    let backup = two.test.backed_up().await;
    let copy = |backup: &BackupView, number: usize| {
        let id = &two.destinations[number];
        backup
            .copies
            .iter()
            .find(|copy| copy.destination_id == *id)
            .unwrap()
            .clone()
    };
    assert!(copy(&backup, 0).present);
    let wanted = copy(&backup, 1);
    assert!(!wanted.present);
    assert_eq!(wanted.failure.unwrap().code, FailureCode::DestinationMissing);

    std::fs::rename(&aside, &two.folders[1]).unwrap();
    two.test.clock.turn(SignedDuration::from_mins(6));
    two.test.engine.look_at_copies();
    let backup = two.until(&backup.id, |backup| copy(backup, 1).present).await;
    assert_eq!(copy(&backup, 1).failure, None);
    assert!(two.same_in_both());
    let verify = two.test.engine.verify_backup(&backup.id).await.unwrap();
    assert_eq!(two.test.ended(&verify).await.state, RunState::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn changing_a_plans_destinations_changes_nothing_about_the_backups_that_are_there() {
    let two = Two::start().await;
    let backup = two.test.backed_up().await;
    let only_second = PlanDraft {
        destinations: vec![two.destinations[1].clone()],
        ..two.plan.clone()
    };
    two.test.engine.save_plan(only_second).await.unwrap();
    let newer = two.test.backed_up().await;
    assert_eq!(newer.copies.len(), 1);
    assert_eq!(two.backup(&backup.id).await.copies.len(), 2);
    let stored = two.test.engine.locate(&backup.id).await.unwrap();
    assert_eq!(
        stored.manifest(&CancellationToken::new()).await.unwrap().id,
        backup.id
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_deleted_and_made_again_and_the_last_one_only_when_that_is_meant() {
    let two = Two::start().await;
    let backup = two.test.backed_up().await;
    let engine = &two.test.engine;
    let run = engine
        .delete_copy(&backup.id, &two.destinations[0], false)
        .await
        .unwrap();
    assert_eq!(two.test.ended(&run).await.state, RunState::Succeeded);
    assert_eq!(files_below(&two.folders[0]), Vec::<String>::new());
    assert_eq!(two.backup(&backup.id).await.copies.len(), 1);

    let last = engine.delete_copy(&backup.id, &two.destinations[1], false).await;
    assert_eq!(last.unwrap_err().code, FailureCode::InvalidInput);

    let run = engine.copy_to(&backup.id, &two.destinations[0]).await.unwrap();
    assert_eq!(two.test.ended(&run).await.state, RunState::Succeeded);
    assert!(two.same_in_both());

    for destination in &two.destinations {
        let run = engine.delete_copy(&backup.id, destination, true).await.unwrap();
        assert_eq!(two.test.ended(&run).await.state, RunState::Succeeded);
    }
    assert_eq!(
        engine.backup_page(&backup.id).await.unwrap_err().code,
        FailureCode::BackupNotFound
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_fails_is_owed_until_it_succeeds() {
    let two = Two::start().await;
    let backup = two.test.backed_up().await;
    let aside = two.test.dir.path().join("aside");
    std::fs::rename(&two.folders[0], &aside).unwrap();
    let run = two
        .test
        .engine
        .delete_copy(&backup.id, &two.destinations[0], false)
        .await
        .unwrap();
    assert_eq!(two.test.ended(&run).await.state, RunState::Failed);
    assert_eq!(
        two.backup(&backup.id).await.copies.len(),
        2,
        "still listed: it is not gone"
    );
    // A week of failing changes nothing.
    for _ in 0..7 {
        two.test.clock.turn(SignedDuration::from_hours(24));
        two.test.engine.look_at_copies();
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    std::fs::rename(&aside, &two.folders[0]).unwrap();
    two.test.clock.turn(SignedDuration::from_hours(24));
    two.test.engine.look_at_copies();
    two.until(&backup.id, |backup| backup.copies.len() == 1).await;
    assert_eq!(files_below(&two.folders[0]), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_deletes_what_it_says_beforehand_and_never_what_is_pinned() {
    let two = Two::start().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(two.test.backed_up().await.id);
        two.test.clock.turn(SignedDuration::from_hours(24));
    }
    two.test.engine.pin_backup(&ids[1], true).await.unwrap();
    let rule = RetentionRule {
        keep_last: Some(1),
        min_good: 1,
        ..RetentionRule::default()
    };
    let with_rule = PlanDraft {
        retention: Some(rule),
        ..two.plan.clone()
    };
    two.test.engine.save_plan(with_rule).await.unwrap();
    let preview = two.test.engine.preview_prune(None).await.unwrap();
    let dropped: Vec<&BackupId> = preview.dropped.iter().map(|dropped| &dropped.backup.id).collect();
    assert_eq!(dropped, [&ids[0]], "{preview:?}");
    assert_eq!(
        two.test.engine.list_backups(None).await.unwrap().len(),
        3,
        "a look deletes nothing"
    );

    two.test.engine.prune(None, Trigger::Manual).await.unwrap();
    for _ in 0..200 {
        if two.test.engine.list_backups(None).await.unwrap().len() == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let left: Vec<BackupId> = two
        .test
        .engine
        .list_backups(None)
        .await
        .unwrap()
        .into_iter()
        .map(|backup| backup.id)
        .collect();
    assert_eq!(left, [ids[2].clone(), ids[1].clone()]);
    assert_eq!(files_below(&two.folders[0]).len(), 10);
    // The next backup lets the rule act by itself.
    let newest = two.test.backed_up().await.id;
    for _ in 0..200 {
        if two.test.engine.list_backups(None).await.unwrap().len() == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let left = two.test.engine.list_backups(None).await.unwrap();
    assert_eq!(left[0].id, newest);
    assert_eq!(left[1].id, ids[1], "the pinned one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_machine_knows_every_backup_of_a_destination_that_is_attached_and_restores_it() {
    let two = Two::start().await;
    let backup = two.test.backed_up().await;
    std::fs::write(two.folders[0].join("foreign.txt"), "not ours").unwrap();
    let newer = two.folders[0].join("shop/postgres/20990101T000000Z-aaaaaa");
    std::fs::create_dir_all(&newer).unwrap();
    std::fs::write(newer.join("manifest.json"), "{\"format\":9}").unwrap();

    let other = TestEngine::start().await;
    let destination = other
        .engine
        .add_destination(folder_at(&two.folders[0]))
        .await
        .unwrap();
    let report = other.engine.attach(&destination.id).await.unwrap();
    assert_eq!(
        (report.found, report.added, report.missing),
        (2, 1, 0),
        "{report:?}"
    );
    let unreadable = report.unreadable[0].failure.clone().unwrap();
    assert_eq!(unreadable.code, FailureCode::BackupUnreadable, "{unreadable:?}");

    let known = other.engine.list_backups(None).await.unwrap();
    assert_eq!(known[0].id, backup.id);
    assert_eq!(known[0].server_name, "shop");
    let stored = other.engine.locate(&backup.id).await.unwrap();
    let never = CancellationToken::new();
    let request = howdah_engine::restore::RestoreRequest {
        backup: stored.clone(),
        target: two.cluster.connection("again"),
        secret: Some(two.cluster.password()),
        options: howdah_postgres::restore::Options {
            create: true,
            ..Default::default()
        },
        jobs: 2,
    };
    let reporter: Arc<dyn Reporter> = Arc::new(Heard::default());
    Box::pin(other.engine.restore_once(&request, reporter.clone(), &never))
        .await
        .unwrap();
    let secret = two.cluster.password();
    let target = two.cluster.connection("again");
    let compared =
        howdah_engine::restore::compare_with(&stored, None, &target, Some(&secret), 1, &reporter, &never)
            .await
            .unwrap();
    assert_eq!(compared.mismatches, []);

    // Looked at again, nothing is new; and what has gone is told.
    assert_eq!(other.engine.attach(&destination.id).await.unwrap().added, 0);
    std::fs::remove_dir_all(two.folders[0].join("shop")).unwrap();
    assert_eq!(other.engine.attach(&destination.id).await.unwrap().missing, 1);
}

/// One pass by hand, to two destinations of which the second has a fault.
async fn pass(fault: Fault, only: &str) -> (Finished, tempfile::TempDir, tempfile::TempDir) {
    let cluster = Cluster::start(17).await.unwrap();
    cluster.sql("postgres", ROWS).await.unwrap();
    let test = TestEngine::start().await;
    let never = CancellationToken::new();
    let (good, bad) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let folder = async |root: &tempfile::TempDir| {
        let folder = Folder::new(root.path());
        folder.prepare(&never).await.unwrap();
        folder
    };
    let faulty = Faulty::new(Arc::new(folder(&bad).await), fault).only(only);
    let backup = Unrecorded {
        connection: cluster.connection("postgres"),
        secret: cluster.password(),
        patience: Duration::from_secs(6),
        destinations: vec![Arc::new(folder(&good).await), Arc::new(faulty)],
        globals: false,
        reporter: Arc::new(Heard::default()),
    };
    let finished = backup.back_up(&test).await.unwrap();
    (finished, good, bad)
}

#[rstest]
#[case::cannot_begin(Fault::Create, "dump.pgdump.zst", FailureCode::DestinationFailed)]
#[case::breaks_in_mid_dump(Fault::WriteAfter(500_000), "dump.pgdump.zst", FailureCode::DestinationFailed)]
#[case::runs_full(Fault::FullAfter(500_000), "dump.pgdump.zst", FailureCode::DiskFull)]
#[case::stalls(
    Fault::StallAfter(500_000),
    "dump.pgdump.zst",
    FailureCode::DestinationUnreachable
)]
#[case::loses_a_byte(Fault::LoseLastByte, "dump.pgdump.zst", FailureCode::DestinationFailed)]
#[case::fails_at_the_manifest(Fault::Finish, "manifest.json", FailureCode::DestinationFailed)]
#[tokio::test(flavor = "multi_thread")]
async fn one_destination_drops_out_and_the_other_is_whole_when_one(
    #[case] fault: Fault,
    #[case] only: &str,
    #[case] code: FailureCode,
) {
    let (finished, good, bad) = pass(fault, only).await;
    assert!(finished.copies[0].is_ok());
    let failure = finished.copies[1].as_ref().unwrap_err();
    assert_eq!(failure.code, code, "{failure:?}");
    assert_eq!(
        files_below(bad.path()),
        Vec::<String>::new(),
        "nothing is left of the lost one"
    );
    let stored = StoredBackup::in_folder(&good.path().join(finished.folder.as_str())).unwrap();
    let reporter: Arc<dyn Reporter> = Arc::new(Heard::default());
    let report = howdah_engine::verify::verify(&stored, &reporter, &CancellationToken::new())
        .await
        .unwrap();
    assert!(report.is_whole() && report.content_checked, "{report:?}");
}
