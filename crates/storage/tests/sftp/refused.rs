//! The server answers, and what is asked of it cannot be: no folder, no right to write, no room.

use std::fs;

use howdah_domain::FailureCode;
use howdah_storage::{Destination as _, Error, MissingWhy};
use howdah_testkit::sshd::Sshd;

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_vanished_is_missing_and_is_not_made_again() {
    let sshd = Sshd::start().unwrap();
    let (root, sftp) = prepared(&sshd).await;
    fs::remove_dir(&root).unwrap();
    let missing = |error: Error| {
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
    };
    missing(put(&sftp, "a/b", b"x").await.unwrap_err());
    missing(sftp.list(None, &token()).await.unwrap_err());
    missing(sftp.stat(&path("a"), &token()).await.unwrap_err());
    missing(sftp.read(&path("a"), None, &token()).await.unwrap_err());
    missing(sftp.delete(&path("a"), &token()).await.unwrap_err());
    missing(sftp.delete_folder(&path("a"), &token()).await.unwrap_err());
    missing(sftp.free_space(&token()).await.unwrap_err());
    assert!(!root.exists());
    fs::write(&root, "a file").unwrap();
    missing(sftp.prepare(&token()).await.unwrap_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_may_only_be_read_from_is_read_only() {
    let sshd = Sshd::builder()
        .line("ForceCommand internal-sftp -R")
        .start()
        .unwrap();
    let root = sshd.folder().join("backups");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("there"), "already").unwrap();
    let sftp = sftp(&sshd, &root);
    sftp.prepare(&token()).await.unwrap();
    assert_eq!(get(&sftp, "there").await.unwrap(), b"already");
    for error in [
        put(&sftp, "new", b"x").await.unwrap_err(),
        put(&sftp, "folder/new", b"x").await.unwrap_err(),
        sftp.delete(&path("there"), &token()).await.unwrap_err(),
    ] {
        assert!(matches!(error, Error::ReadOnly { .. }), "{error:?}");
        assert_eq!(error.to_failure().code, FailureCode::DestinationReadOnly);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_with_what_fitted_and_nothing_stays() {
    if !is_root() {
        return;
    }
    let sshd = Sshd::builder().disk(12_000_000).start().unwrap();
    let root = sshd.disk().join("backups");
    let sftp = sftp(&sshd, &root);
    sftp.prepare(&token()).await.unwrap();
    let free = sftp.free_space(&token()).await.unwrap().unwrap();
    assert!((8_000_000..12_100_000).contains(&free), "{free}");
    let error = put(&sftp, "shop/big", &sample(30_000_000)).await.unwrap_err();
    let Error::Full { written, .. } = &error else {
        panic!("{error:?}")
    };
    assert!((4_000_000..12_000_000).contains(written), "{written}");
    assert_eq!(error.to_failure().code, FailureCode::DiskFull);
    assert_eq!(
        sftp.free_space(&token()).await.unwrap(),
        Some(free),
        "nothing stays"
    );
    put(&sftp, "shop/small", b"fits").await.unwrap();
}
