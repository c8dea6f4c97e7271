//! Copies that are checked over time: found damaged or missing, told, and made anew from another.

use std::path::PathBuf;

use howdah_domain::{BackupId, FailureCode, RunKind, RunState, Trigger};
use howdah_engine::api::{BackupView, CopyState, CopyView, NeedKind, RunView, Settings};
use howdah_storage::{Destination, ObjectPath};
use howdah_testkit::Cluster;
use jiff::SignedDuration;
use tokio::io::AsyncReadExt as _;
use tokio_util::sync::CancellationToken;

use crate::support::{TestEngine, files_below};
use crate::{ROWS, Shop, bucket, by_hand, folder, moto, server, until};

/// Lets eight days go by, and waits for the check that is due then.
async fn a_week_later(test: &TestEngine, id: &BackupId) -> RunView {
    test.clock.turn(SignedDuration::from_hours(24 * 8));
    test.engine.look_after_things();
    let run = until("a check is recorded", async || {
        let runs = test.engine.list_runs(50).await.unwrap();
        runs.into_iter().find(|run| {
            run.kind == RunKind::Verify
                && run.trigger == Trigger::Schedule
                && run.backup_id.as_ref() == Some(id)
                && test.clock_is_near(run)
        })
    })
    .await;
    test.ended(&run.id).await
}

impl TestEngine {
    pub(crate) fn clock_is_near(&self, run: &RunView) -> bool {
        self.engine_now().duration_since(run.queued_at) < SignedDuration::from_mins(5)
    }

    /// Waits until people are told something: that happens after a run has ended.
    async fn told(&self, what: &str) {
        until(what, async || {
            let titles = self.caught.titles();
            titles.iter().any(|title| title.contains(what)).then_some(())
        })
        .await;
    }

    pub(crate) async fn copies_of(&self, id: &BackupId) -> Vec<CopyView> {
        self.engine.backup_page(id).await.unwrap().backup.copies
    }

    pub(crate) async fn copy(&self, backup: &BackupView, name: &str) -> CopyView {
        let copies = self.copies_of(&backup.id).await;
        copies
            .into_iter()
            .find(|copy| copy.destination_name == name)
            .unwrap()
    }
}

/// A whole object.
async fn read_whole(store: &dyn Destination, path: &ObjectPath, cancel: &CancellationToken) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut object = store.read(path, None, cancel).await.unwrap();
    object.body.read_to_end(&mut bytes).await.unwrap();
    bytes
}

/// The dump's file in a folder.
pub(crate) fn dump_in(folder: &std::path::Path) -> PathBuf {
    let file = files_below(folder)
        .into_iter()
        .find(|file| file.ends_with("dump.pgdump.zst"))
        .unwrap();
    folder.join(file)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_copy_is_found_by_the_schedule_told_and_made_anew_from_the_other() {
    let shop = Shop::kept_in(&["first", "second"]).await;
    let (test, backup) = (&shop.test, shop.test.backed_up().await);

    let checked = a_week_later(test, &backup.id).await;
    assert_eq!(checked.state, RunState::Succeeded, "{:?}", checked.failure);
    assert!(test.copy(&backup, "first").await.verified_at.is_some());

    let dump = dump_in(&test.dir.path().join("second"));
    let mut bytes = std::fs::read(&dump).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&dump, &bytes).unwrap();
    let checked = a_week_later(test, &backup.id).await;
    assert_eq!(checked.state, RunState::Failed);
    let failure = checked.failure.unwrap();
    assert!(failure.hint.unwrap().contains("made anew from the copy at first"));
    test.told("damaged").await;
    until("it is made anew", async || {
        let copy = test.copy(&backup, "second").await;
        (copy.state == CopyState::Present && copy.failure.is_none()).then_some(())
    })
    .await;
    bytes[middle] ^= 1;
    assert_eq!(std::fs::read(&dump).unwrap(), bytes);
    let checked = a_week_later(test, &backup.id).await;
    assert_eq!(checked.state, RunState::Succeeded, "{:?}", checked.failure);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_copy_that_is_damaged_or_gone_is_shown_and_not_forgotten() {
    let shop = Shop::kept_in(&["only"]).await;
    let (test, backup) = (&shop.test, shop.test.backed_up().await);
    let dump = dump_in(&test.dir.path().join("only"));
    std::fs::remove_dir_all(dump.parent().unwrap()).unwrap();
    let checked = a_week_later(test, &backup.id).await;
    assert_eq!(checked.state, RunState::Failed);
    assert_eq!(test.copy(&backup, "only").await.state, CopyState::Missing);
    let needs = test.engine.overview().await.unwrap().needs;
    let lost = needs.iter().find(|need| need.kind == NeedKind::CopyLost).unwrap();
    assert_eq!(lost.backup_id.as_ref(), Some(&backup.id));
}

/// A disk that is not connected at the moment of the check: as a folder that is gone, or as the empty mount point below it.
#[rstest::rstest]
#[case::gone(false)]
#[case::empty(true)]
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_not_connected_says_nothing_of_its_copies_and_they_are_left_alone(
    #[case] mount_point: bool,
) {
    let shop = Shop::kept_in(&["disk", "other"]).await;
    let (test, backup) = (&shop.test, shop.test.backed_up().await);
    let (root, aside) = (test.dir.path().join("disk"), test.dir.path().join("aside"));
    std::fs::rename(&root, &aside).unwrap();
    if mount_point {
        std::fs::create_dir(&root).unwrap();
    }
    let checked = a_week_later(test, &backup.id).await;
    assert_eq!(checked.state, RunState::Failed);
    assert_eq!(test.copy(&backup, "disk").await.state, CopyState::Present);
    test.told("could not be checked").await;
    if mount_point {
        std::fs::remove_dir(&root).unwrap();
    }
    std::fs::rename(&aside, &root).unwrap();
    let before = std::fs::metadata(dump_in(&root)).unwrap().modified().unwrap();
    let checked = a_week_later(test, &backup.id).await;
    assert_eq!(checked.state, RunState::Succeeded, "{:?}", checked.failure);
    let after = std::fs::metadata(dump_in(&root)).unwrap().modified().unwrap();
    assert_eq!(before, after, "the copy was not made anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_asked_for_where_it_lies_already_is_recognised_and_not_replaced() {
    let shop = Shop::kept_in(&["first"]).await;
    let (test, backup) = (&shop.test, shop.test.backed_up().await);
    let second = test.engine.add_destination(folder(test, "second")).await.unwrap();
    // Somebody has copied the folder by hand.
    let (from, to) = (
        test.dir.path().join("first/shop"),
        test.dir.path().join("second/shop"),
    );
    let copied = std::process::Command::new("cp")
        .arg("-r")
        .args([&from, &to])
        .status()
        .unwrap();
    assert!(copied.success());
    let dump = dump_in(&test.dir.path().join("second"));
    let inode =
        |path: &std::path::Path| std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(path).unwrap());
    let whole = inode(&dump);
    let run = test.engine.copy_to(&backup.id, &second.id).await.unwrap();
    assert_eq!(test.ended(&run).await.state, RunState::Succeeded);
    assert_eq!(inode(&dump), whole, "it was left as it is");
    assert_eq!(test.copy(&backup, "second").await.state, CopyState::Present);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_whose_source_is_damaged_too_removes_nothing() {
    let shop = Shop::kept_in(&["first", "second"]).await;
    let (test, backup) = (&shop.test, shop.test.backed_up().await);
    // One byte of the one is another, and half of the other is gone: the first could still give most rows, the second some.
    let (first, second) = (
        dump_in(&test.dir.path().join("first")),
        dump_in(&test.dir.path().join("second")),
    );
    let mut bytes = std::fs::read(&first).unwrap();
    let middle = bytes.len() / 2;
    std::fs::write(&second, &bytes[..middle]).unwrap();
    bytes[middle] ^= 1;
    std::fs::write(&first, &bytes).unwrap();
    let run = test.engine.verify_backup(&backup.id).await.unwrap();
    assert_eq!(test.ended(&run).await.state, RunState::Failed);
    for copy in test.copies_of(&backup.id).await {
        assert_eq!(copy.state, CopyState::Damaged, "{copy:?}");
    }
    let before = files_below(test.dir.path());

    let run = test
        .engine
        .copy_to(&backup.id, &shop.destinations[1])
        .await
        .unwrap();
    let ended = test
        .until(&run, |state| {
            state.is_final() || matches!(state, RunState::Waiting { .. })
        })
        .await;
    assert_eq!(
        ended.failure.map(|failure| failure.code),
        Some(FailureCode::BackupDamaged)
    );
    let unchanged = |file: &String| !file.contains("howdah.db") && !file.contains("data/");
    assert!(
        files_below(test.dir.path())
            .into_iter()
            .filter(unchanged)
            .eq(before.into_iter().filter(unchanged)),
        "nothing was removed"
    );
    assert_eq!(std::fs::read(&second).unwrap(), {
        bytes[middle] ^= 1;
        bytes[..middle].to_vec()
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_is_checked_by_its_own_checksums_unless_reading_is_wished_for() {
    let cluster = Cluster::start(18).await.unwrap();
    cluster.sql("postgres", ROWS).await.unwrap();
    let moto = moto().await;
    let test = &TestEngine::start().await;
    let kept = test.engine.add_destination(bucket(&moto)).await.unwrap();
    let shop = server(test, &cluster, "shop").await;
    test.engine.save_plan(by_hand(shop, vec![kept.id])).await.unwrap();
    let backup = test.backed_up().await;
    let reads = || moto.log().matches("GET /backups/").count();
    let log_of = async |run: &RunView| {
        let page = test.engine.run_page(&run.id).await.unwrap();
        page.log
            .iter()
            .map(|line| line.text.clone())
            .collect::<Vec<_>>()
            .join("\n")
    };
    let before = reads();
    let checked = a_week_later(test, &backup.id).await;
    assert_eq!(checked.state, RunState::Succeeded, "{:?}", checked.failure);
    let log = log_of(&checked).await;
    assert!(log.contains("destination's checksums"), "{log}");
    assert!(!log.contains("Reading the copy"), "{log}");
    let few = reads() - before;

    let settings = Settings {
        verify_by_reading: true,
        ..test.engine.settings().await
    };
    test.engine.save_settings(settings).await.unwrap();
    let checked = a_week_later(test, &backup.id).await;
    assert_eq!(checked.state, RunState::Succeeded, "{:?}", checked.failure);
    assert!(log_of(&checked).await.contains("Reading the copy"));
    println!("{few} reads by checksums");

    // A bucket that was moved with a client that uploads in parts gives the same bytes another checksum: they are read, and whole.
    let settings = Settings {
        verify_by_reading: false,
        ..test.engine.settings().await
    };
    test.engine.save_settings(settings).await.unwrap();
    let input = bucket(&moto);
    let store = howdah_storage::open(&input.place, input.secret.as_ref()).unwrap();
    let never = CancellationToken::new();
    let folder = backup.copies[0].path.split(" · ").nth(1).unwrap();
    let object = ObjectPath::new(format!("{folder}/dump.pgdump.zst")).unwrap();
    let before = store.stat(&object, &never).await.unwrap().unwrap();
    let len = before.len;
    moto.upload_in_parts(
        &format!("/backups/{object}"),
        &read_whole(&*store, &object, &never).await,
    )
    .unwrap();
    let moved = store.stat(&object, &never).await.unwrap().unwrap();
    assert_eq!(moved.len, len);
    assert_ne!(moved.checksum, before.checksum);
    let checked = a_week_later(test, &backup.id).await;
    assert_eq!(checked.state, RunState::Succeeded, "{:?}", checked.failure);
    assert!(log_of(&checked).await.contains("Reading the copy"));
    assert_eq!(test.copies_of(&backup.id).await[0].state, CopyState::Present);

    // Another checksum over other bytes is a damaged copy.
    store.delete(&object, &never).await.unwrap();
    let mut writer = store.create(&object, Some(len), &never).await.unwrap();
    let other = vec![7; usize::try_from(len).unwrap()];
    writer.write(other.into()).await.unwrap();
    writer.finish(len).await.unwrap();
    let checked = a_week_later(test, &backup.id).await;
    assert_eq!(checked.state, RunState::Failed);
    assert_eq!(test.copies_of(&backup.id).await[0].state, CopyState::Damaged);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_checked_where_that_is_switched_off() {
    let shop = Shop::kept_in(&["only"]).await;
    let test = &shop.test;
    test.backed_up().await;
    let settings = Settings {
        verify_days: 0,
        ..test.engine.settings().await
    };
    test.engine.save_settings(settings).await.unwrap();
    test.clock.turn(SignedDuration::from_hours(24 * 100));
    test.engine.look_after_things();
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let runs = test.engine.list_runs(50).await.unwrap();
    assert!(runs.iter().all(|run| run.kind != RunKind::Verify), "{runs:?}");
}
