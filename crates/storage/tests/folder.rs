//! A folder as a destination: the conformance suite, and the bad days of folders.
//!
//! Some tests start this very test binary again as another process (to kill it, or inside a mount namespace); the
//! variable [`INNER`] then holds the folder to work on and makes the test play the other process's part.

#![allow(clippy::unwrap_used, reason = "helpers of tests may unwrap like the tests")]

mod common;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use howdah_domain::FailureCode;
use howdah_storage::{Destination as _, Error, Folder, MARKER, MissingWhy};

use common::{is_root, path, token};

const INNER: &str = "HOWDAH_STORAGE_INNER";

fn inner() -> Option<PathBuf> {
    std::env::var_os(INNER).map(PathBuf::from)
}

/// This test binary, to run one of its tests on `folder`.
fn again(test: &str, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", test, "--nocapture"])
        .env(INNER, folder)
        .stdin(Stdio::null());
    command
}

/// This test binary inside a mount namespace of its own, after `mount` was run there; for root only.
fn again_with_mount(test: &str, folder: &Path, mount: &str) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-ec"])
        .arg(format!(r#"{mount}; exec "$0" --exact "$1" --nocapture"#))
        .arg(std::env::current_exe().unwrap())
        .arg(test)
        .env(INNER, folder)
        .stdin(Stdio::null());
    command
}

async fn prepared() -> (tempfile::TempDir, Folder) {
    let directory = tempfile::tempdir().unwrap();
    let folder = Folder::new(directory.path());
    folder.prepare(&token()).await.unwrap();
    (directory, folder)
}

/// Every file and folder below, relative, sorted; the marker left out.
fn everything(root: &Path) -> Vec<String> {
    let mut found = common::everything(root);
    found.retain(|name| name != MARKER);
    found
}

#[tokio::test]
async fn a_folder_does_what_every_destination_must_do() {
    let (directory, folder) = prepared().await;
    howdah_storage::conformance::run(&folder).await;
    assert!(everything(directory.path()).is_empty());
}

#[tokio::test]
async fn a_folder_that_is_gone_is_an_error_and_is_not_made_again() {
    let (directory, folder) = prepared().await;
    let root = directory.path().to_owned();
    std::fs::remove_dir_all(&root).unwrap();
    let error = folder.create(&path("a/b"), None, &token()).await.err().unwrap();
    assert!(
        matches!(
            error,
            Error::Missing {
                why: MissingWhy::NoFolder,
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(error.to_failure().code, FailureCode::DestinationMissing);
    assert!(matches!(
        folder.list(None, &token()).await,
        Err(Error::Missing { .. })
    ));
    assert!(!root.exists());
}

#[tokio::test]
async fn an_empty_mount_point_is_not_filled() {
    let (directory, folder) = prepared().await;
    std::fs::remove_file(directory.path().join(MARKER)).unwrap();
    let error = folder.create(&path("a/b"), None, &token()).await.err().unwrap();
    assert!(
        matches!(
            error,
            Error::Missing {
                why: MissingWhy::NotOurs,
                ..
            }
        ),
        "{error:?}"
    );
    let failure = error.to_failure();
    assert_eq!(failure.code, FailureCode::DestinationMissing);
    assert!(failure.hint.unwrap().contains(MARKER));
    assert!(everything(directory.path()).is_empty());
    assert!(matches!(
        folder.delete_folder(&path("a"), &token()).await,
        Err(Error::Missing { .. })
    ));
}

#[tokio::test]
async fn a_folder_removed_in_mid_write_is_an_error_at_the_end() {
    let (directory, folder) = prepared().await;
    let mut writer = folder.create(&path("a/b"), None, &token()).await.unwrap();
    writer.write(Bytes::from_static(b"12345")).await.unwrap();
    std::fs::remove_dir_all(directory.path()).unwrap();
    let error = writer.finish(5).await.unwrap_err();
    assert!(
        matches!(error, Error::Failed { .. } | Error::Missing { .. }),
        "{error:?}"
    );
    assert!(!directory.path().exists());
}

#[tokio::test]
async fn a_file_in_the_folders_place_is_told_as_missing() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let folder = Folder::new(&file);
    assert!(matches!(
        folder.prepare(&token()).await,
        Err(Error::Missing { .. })
    ));
    assert!(matches!(
        folder.create(&path("a"), None, &token()).await,
        Err(Error::Missing { .. })
    ));
}

#[tokio::test]
async fn foreign_files_and_unfinished_ones_are_not_listed() {
    let (directory, folder) = prepared().await;
    std::fs::create_dir(directory.path().join("a")).unwrap();
    for name in ["a/x.part", "a/y\nz", "a/good"] {
        std::fs::write(directory.path().join(name), "x").unwrap();
    }
    std::os::unix::fs::symlink("/etc", directory.path().join("a/link")).unwrap();
    let listed = folder.list(None, &token()).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].path.as_str(), "a/good");
}

#[tokio::test]
async fn a_full_disk_is_told_and_leaves_nothing() {
    // /dev/full answers every write with ENOSPC, on every Linux and for every user.
    let (directory, folder) = prepared().await;
    std::fs::create_dir(directory.path().join("a")).unwrap();
    std::os::unix::fs::symlink("/dev/full", directory.path().join("a/dump.part")).unwrap();
    let mut writer = folder.create(&path("a/dump"), None, &token()).await.unwrap();
    let mut result = Ok(());
    for _ in 0..100 {
        result = writer.write(Bytes::from(vec![1; 1_000_000])).await;
        if result.is_err() {
            break;
        }
    }
    let error = match result {
        Err(error) => error,
        Ok(()) => writer.finish(100_000_000).await.unwrap_err(),
    };
    assert!(matches!(error, Error::Full { .. }), "{error:?}");
    assert_eq!(error.to_failure().code, FailureCode::DiskFull);
    assert!(everything(directory.path()).is_empty());
}

#[tokio::test]
async fn a_disk_that_fills_up_tells_how_much_fitted_and_what_is_free() {
    const TEST: &str = "a_disk_that_fills_up_tells_how_much_fitted_and_what_is_free";
    if let Some(root) = inner() {
        let folder = Folder::new(&root);
        folder.prepare(&token()).await.unwrap();
        let mut writer = folder.create(&path("a/dump"), None, &token()).await.unwrap();
        let error = loop {
            if let Err(error) = writer.write(Bytes::from(vec![1; 700_000])).await {
                break error;
            }
        };
        let Error::Full { written, free, .. } = &error else {
            panic!("{error:?}");
        };
        assert!(*written > 1_000_000 && *written <= 4 << 20, "{written}");
        assert!(free.unwrap() < 1_000_000, "{free:?}");
        assert!(everything(&root).is_empty(), "room is given back at once");
        return;
    }
    if !is_root() {
        eprintln!("skipped: only root may mount a small file system");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mount = format!("mount -t tmpfs -o size=4m tmpfs '{}'", directory.path().display());
    assert!(
        again_with_mount(TEST, directory.path(), &mount)
            .status()
            .unwrap()
            .success()
    );
}

#[tokio::test]
async fn a_read_only_folder_is_told_as_such() {
    const TEST: &str = "a_read_only_folder_is_told_as_such";
    if let Some(root) = inner() {
        let error = Folder::new(&root)
            .create(&path("a/dump"), None, &token())
            .await
            .err()
            .unwrap();
        assert!(matches!(error, Error::ReadOnly { .. }), "{error:?}");
        assert_eq!(error.to_failure().code, FailureCode::DestinationReadOnly);
        let unprepared = Folder::new(root.join("new"));
        assert!(matches!(
            unprepared.prepare(&token()).await,
            Err(Error::ReadOnly { .. })
        ));
        return;
    }
    let (directory, _folder) = prepared().await;
    // Permission bits do not bind root: it gets a read-only mount, everybody else the bits.
    let mut command = if is_root() {
        let shown = directory.path().display();
        let mount = format!("mount --bind '{shown}' '{shown}'; mount -o remount,ro,bind '{shown}'");
        again_with_mount(TEST, directory.path(), &mount)
    } else {
        let read_only = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o555);
        std::fs::set_permissions(directory.path(), read_only).unwrap();
        again(TEST, directory.path())
    };
    assert!(command.status().unwrap().success());
    assert!(everything(directory.path()).is_empty());
}

#[tokio::test]
async fn a_killed_writer_leaves_only_an_unfinished_file() {
    const TEST: &str = "a_killed_writer_leaves_only_an_unfinished_file";
    if let Some(root) = inner() {
        let folder = Folder::new(root);
        let mut writer = folder.create(&path("a/dump"), None, &token()).await.unwrap();
        for _ in 0..20 {
            writer.write(Bytes::from(vec![7; 1_000_000])).await.unwrap();
        }
        println!("written");
        std::io::stdout().flush().unwrap();
        std::thread::sleep(Duration::from_secs(60));
        return;
    }
    let (directory, folder) = prepared().await;
    let mut child = again(TEST, directory.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    assert!(out.lines().any(|line| line.unwrap().ends_with("written")));
    child.kill().unwrap();
    child.wait().unwrap();

    assert_eq!(everything(directory.path()), ["a", "a/dump.part"]);
    assert!(folder.list(None, &token()).await.unwrap().is_empty());
    // The next attempt is not disturbed by it, and removing the folder removes it.
    let mut writer = folder.create(&path("a/dump"), None, &token()).await.unwrap();
    writer.write(Bytes::from_static(b"whole")).await.unwrap();
    assert_eq!(writer.finish(5).await.unwrap().len, 5);
    assert_eq!(std::fs::read(directory.path().join("a/dump")).unwrap(), b"whole");
    std::fs::write(directory.path().join("a/other.part"), "left").unwrap();
    folder.delete_folder(&path("a"), &token()).await.unwrap();
    assert!(everything(directory.path()).is_empty());
}

#[tokio::test]
async fn a_cancelled_writer_leaves_nothing_and_returns_at_once() {
    let (directory, folder) = prepared().await;
    let cancel = token();
    let mut writer = folder.create(&path("a/b/dump"), None, &cancel).await.unwrap();
    for _ in 0..30 {
        writer.write(Bytes::from(vec![7; 1_000_000])).await.unwrap();
    }
    let began = Instant::now();
    cancel.cancel();
    assert!(
        writer
            .write(Bytes::from_static(b"more"))
            .await
            .unwrap_err()
            .is_cancelled()
    );
    assert!(began.elapsed() < Duration::from_secs(1));
    assert!(everything(directory.path()).is_empty());
    drop(writer);
}

#[tokio::test]
async fn pieces_of_any_size_arrive_in_order() {
    let (_directory, folder) = prepared().await;
    let mut writer = folder.create(&path("a/dump"), None, &token()).await.unwrap();
    let mut expected = Vec::new();
    for length in [1, 100, 262_144, 1_048_576, 3, 5_000_000, 999_999, 0, 262_145, 7] {
        let piece: Vec<u8> = (0..length)
            .map(|i| u8::try_from((i + length) % 253).unwrap())
            .collect();
        writer.write(Bytes::from(piece.clone())).await.unwrap();
        expected.extend(piece);
    }
    writer.finish(expected.len() as u64).await.unwrap();
    assert!(std::fs::read(folder.file(&path("a/dump"))).unwrap() == expected);
}

#[tokio::test]
async fn free_space_is_what_the_file_system_tells() {
    let (_directory, folder) = prepared().await;
    let free = folder.free_space(&token()).await.unwrap().unwrap();
    assert!(free > 1_000_000, "{free}");
}
