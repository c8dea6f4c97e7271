//! Opening a data directory: who may read it, what is refused, what a full or broken disk says.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // helpers of tests are tests

mod common;

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    time::Duration,
};

use common::{World, moment};
use howdah_domain::{FailureCode, RunState};
use howdah_store::{
    Error, Store,
    tables::{
        ledger,
        run_logs::{self, LogLevel, LogLine},
        runs::{self, Outcome},
        settings,
    },
};
use howdah_testkit::SmallDisk;
use tempfile::TempDir;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn only_its_owner_can_read_the_data_directory() {
    let parent = TempDir::new().unwrap();
    let dir = parent.path().join("new").join("data");
    let store = Store::open(&dir).unwrap();
    let world = World::make(&store).await;
    let run = world.run(&store);
    store.write(move |c| runs::insert(c, &run)).await.unwrap();
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&dir.join("owners")), 0o700);
    let mut files = 0;
    for folder in [dir.clone(), dir.join("owners")] {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                assert_eq!(mode(&path), 0o600, "{}", path.display());
                files += 1;
            }
        }
    }
    assert!(files >= 5, "the database, its log, its index, two locks: {files}");
}

#[test]
fn a_file_that_others_could_read_is_closed_to_them_and_a_directory_is_left_as_it_is() {
    let dir = TempDir::new().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let file = dir.path().join("howdah.db");
    drop(Store::open(dir.path()).unwrap());
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    drop(Store::open(dir.path()).unwrap());
    assert_eq!((mode(&file), mode(dir.path())), (0o600, 0o755));
}

#[test]
fn a_data_directory_of_a_newer_version_is_refused_and_not_changed() {
    let dir = TempDir::new().unwrap();
    drop(Store::open(dir.path()).unwrap());
    let file = dir.path().join("howdah.db");
    let connection = rusqlite::Connection::open(&file).unwrap();
    connection.pragma_update(None, "user_version", 1000).unwrap();
    drop(connection);
    let before = fs::read(&file).unwrap();
    let error = Store::open(dir.path()).unwrap_err();
    assert!(matches!(error, Error::Newer { found: 1000, .. }), "{error}");
    let failure = error.to_failure();
    assert_eq!(failure.code, FailureCode::DataDirNewer);
    assert!(failure.hint.unwrap().contains("Update Howdah"));
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[test]
fn a_file_that_is_no_database_is_told_and_left_alone() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("howdah.db");
    let content = b"This is a letter to my grandmother, long enough to have a header. ".repeat(20);
    fs::write(&file, &content).unwrap();
    let error = Store::open(dir.path()).unwrap_err();
    assert!(matches!(error, Error::Corrupt(_)), "{error}");
    assert_eq!(error.to_failure().code, FailureCode::DataDirUnusable);
    assert_eq!(fs::read(&file).unwrap(), content);
}

#[tokio::test]
async fn a_damaged_database_is_found_out_by_its_check_or_by_opening_it() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let world = World::make(&store).await;
    for _ in 0..200 {
        let run = world.run(&store);
        store.write(move |c| runs::insert(c, &run)).await.unwrap();
    }
    assert_eq!(store.integrity_check().await.unwrap(), Vec::<String>::new());
    drop(store);
    let file = dir.path().join("howdah.db");
    let mut bytes = fs::read(&file).unwrap();
    let end = bytes.len();
    for byte in &mut bytes[end / 2..] {
        *byte = 0xa5;
    }
    fs::write(&file, bytes).unwrap();
    match Store::open(dir.path()) {
        Err(error) => assert!(matches!(error, Error::Corrupt(_)), "{error}"),
        Ok(store) => match store.integrity_check().await {
            Err(error) => assert!(matches!(error, Error::Corrupt(_)), "{error}"),
            Ok(problems) => assert!(!problems.is_empty()),
        },
    }
}

#[test]
fn a_directory_where_a_file_is_says_so() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    let error = Store::open(&file).unwrap_err();
    assert!(matches!(error, Error::DataDir { .. }), "{error}");
    assert_eq!(error.to_failure().code, FailureCode::DataDirUnusable);
}

/// A disk of that size; says what is left out where there is none to be had.
fn small_disk(size: &str) -> Option<SmallDisk> {
    let disk = SmallDisk::mount(size).unwrap();
    if disk.is_none() {
        println!("left out: no right to mount a file system");
    }
    disk
}

/// Opens a directory that cannot be written: on a file system mounted read-only as root (whom modes do not stop), by its mode otherwise.
#[test]
fn a_read_only_directory_says_so() {
    let check = |dir: &Path| {
        let error = Store::open(dir).unwrap_err();
        let failure = error.to_failure();
        assert_eq!(failure.code, FailureCode::DataDirUnusable, "{error}");
        assert!(failure.message.contains("may not write"), "{failure:?}");
    };
    if nix::unistd::geteuid().is_root() {
        let Some(disk) = small_disk("4m") else { return };
        let fresh = disk.path().join("fresh");
        let used = disk.path().join("used");
        drop(Store::open(&used).unwrap());
        disk.make_read_only().unwrap();
        check(&fresh);
        check(&used);
    } else {
        let dir = TempDir::new().unwrap();
        drop(Store::open(dir.path()).unwrap());
        fs::set_permissions(dir.path().join("howdah.db"), fs::Permissions::from_mode(0o400)).unwrap();
        check(dir.path());
    }
}

#[tokio::test]
async fn a_full_disk_is_told_nothing_is_half_written_and_work_goes_on_when_there_is_space() {
    let Some(disk) = small_disk("2m") else { return };
    let dir = disk.path().join("data");
    let store = Store::open(&dir).unwrap();
    let world = World::make(&store).await;
    let run = world.run(&store);
    let id = run.id.clone();
    store.write(move |c| runs::insert(c, &run)).await.unwrap();
    disk.fill().unwrap();

    let line = LogLine {
        at: moment(1),
        level: LogLevel::Info,
        text: "x".repeat(1000),
    };
    let mut written = 0;
    let error = loop {
        let (id, lines) = (id.clone(), vec![line.clone(); 10]);
        match store.write(move |c| run_logs::append(c, &id, &lines)).await {
            Ok(()) => written += 10,
            Err(error) => break error,
        }
        assert!(written < 10_000, "a disk of 2 MB holds no 10 MB");
    };
    let failure = error.to_failure();
    assert_eq!(failure.code, FailureCode::DiskFull, "{error:?}");
    // Reading goes on, and shows whole transactions only.
    let (reading, counted) = (id.clone(), written);
    let log = store
        .read(move |c| run_logs::last(c, &reading, 20_000))
        .await
        .unwrap();
    assert_eq!(log.lines.len(), counted);

    // Opening on a full disk is an error, or works; it never breaks anything.
    if let Err(error) = Store::open(&dir) {
        assert_eq!(error.to_failure().code, FailureCode::DiskFull, "{error:?}");
    }

    disk.make_room().unwrap();
    store
        .write(move |c| {
            runs::transition(c, &id, |_| true, RunState::Failed, moment(2), &Outcome::default())?
                .done()
                .unwrap();
            Ok(())
        })
        .await
        .unwrap();
    assert_eq!(store.integrity_check().await.unwrap(), Vec::<String>::new());
}

#[test]
fn a_fresh_directory_on_a_full_disk_is_told_as_that() {
    let Some(disk) = small_disk("64k") else { return };
    disk.fill().unwrap();
    let error = Store::open(disk.path().join("data")).unwrap_err();
    assert_eq!(error.to_failure().code, FailureCode::DiskFull, "{error:?}");
}

#[tokio::test]
async fn two_stores_of_one_directory_see_each_others_writes_and_have_names_of_their_own() {
    let dir = TempDir::new().unwrap();
    let (one, other) = std::thread::scope(|scope| {
        let one = scope.spawn(|| Store::open(dir.path()).unwrap());
        let other = scope.spawn(|| Store::open(dir.path()).unwrap());
        (one.join().unwrap(), other.join().unwrap())
    });
    assert_ne!(one.owner(), other.owner());
    one.write(|c| settings::set(c, "x", &1)).await.unwrap();
    let seen: Option<u32> = other.read(|c| settings::get(c, "x")).await.unwrap();
    assert_eq!(seen, Some(1));
    assert_eq!(fs::read_dir(dir.path().join("owners")).unwrap().count(), 2);
    drop(other);
    assert_eq!(fs::read_dir(dir.path().join("owners")).unwrap().count(), 1);
}

#[tokio::test]
async fn a_second_writer_waits_for_the_first_and_the_runtime_does_not() {
    let dir = TempDir::new().unwrap();
    let one = Store::open(dir.path()).unwrap();
    let other = Store::open(dir.path()).unwrap();
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let slow = tokio::spawn(async move {
        one.write(move |c| {
            settings::set(c, "x", &1)?;
            begun.send(()).unwrap();
            std::thread::sleep(Duration::from_millis(300));
            Ok(())
        })
        .await
    });
    has_begun.await.unwrap();
    let mut ticks = 0;
    let mut waiting = Box::pin(other.write(|c| {
        let seen: Option<u32> = settings::get(c, "x")?;
        ledger::list(c)?;
        Ok(seen)
    }));
    // This test's runtime has one thread: it ticks only where nobody blocks it.
    let seen = loop {
        tokio::select! {
            seen = &mut waiting => break seen.unwrap(),
            () = tokio::time::sleep(Duration::from_millis(10)) => ticks += 1,
        }
    };
    slow.await.unwrap().unwrap();
    assert_eq!(seen, Some(1), "what the first wrote is seen by the second");
    assert!(ticks >= 5, "{ticks}");
}

#[test]
fn opening_twice_does_not_change_the_file() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("howdah.db");
    drop(Store::open(dir.path()).unwrap());
    assert!(
        !dir.path().join("howdah.db-wal").exists(),
        "all is in the one file"
    );
    let (before, inode) = (fs::read(&file).unwrap(), fs::metadata(&file).unwrap().ino());
    drop(Store::open(dir.path()).unwrap());
    assert!(fs::read(&file).unwrap() == before, "the file is another one");
    assert_eq!(fs::metadata(&file).unwrap().ino(), inode);
}
