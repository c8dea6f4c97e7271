//! What every destination must do, with any names, beside files of others, and by the hundred megabytes.

use std::fs;
use std::time::Instant;

use bytes::Bytes;
use howdah_storage::{Destination as _, Error, MANIFEST, conformance};
use howdah_testkit::rclone::{self, Protocol, Rclone};
use howdah_testkit::sshd::Sshd;
use tokio::io::AsyncReadExt as _;

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn openssh_passes_the_conformance_suite() {
    let sshd = Sshd::start().unwrap();
    let (root, sftp) = prepared(&sshd).await;
    conformance::run(&sftp).await;
    assert_eq!(everything(&root), [""; 0], "no part and no folder is left");
    assert_eq!(
        sshd.log().matches("Accepted publickey").count(),
        1,
        "one session serves all calls"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rclone_passes_the_conformance_suite() {
    let rclone = Rclone::start(Protocol::Sftp, &[]).unwrap();
    let sftp = at_rclone(&rclone, "deep/backups", rclone::PASSWORD).await;
    sftp.prepare(&token()).await.unwrap();
    assert!(rclone.root().join("deep/backups").is_dir());
    conformance::run(&sftp).await;
    // A file that is removed while somebody writes it comes back on rclone's disk when that one closes it, and rclone itself does not
    // know of it; nothing else is left.
    let root = rclone.root().join("deep/backups");
    let mut left = settled(&root).await;
    left.retain(|file| root.join(file).is_file() && !file.ends_with("/index.part"));
    assert_eq!(left, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_may_be_of_any_language() {
    let sshd = Sshd::start().unwrap();
    let (root, sftp) = prepared(&sshd).await;
    let names = [
        "läden/größe 100 %",
        "магазин/заказы",
        "店/注文",
        "🐘/'quoted' \"name\"",
    ];
    for name in names {
        put(&sftp, name, name.as_bytes()).await.unwrap();
    }
    let listed = sftp.list(None, &token()).await.unwrap();
    assert_eq!(listed.len(), names.len());
    for entry in listed {
        assert_eq!(
            get(&sftp, entry.path.as_str()).await.unwrap(),
            entry.path.as_str().as_bytes()
        );
        sftp.delete(&entry.path, &token()).await.unwrap();
    }
    assert_eq!(everything(&root), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_put_there_is_not_listed_and_stays() {
    use std::os::unix::ffi::OsStrExt as _;
    let sshd = Sshd::start().unwrap();
    let (root, sftp) = prepared(&sshd).await;
    put(&sftp, "shop/dump", b"ours").await.unwrap();
    fs::write(root.join("shop/unfinished.part"), "x").unwrap();
    fs::write(root.join("a:b"), "x").unwrap();
    fs::write(root.join(std::ffi::OsStr::from_bytes(b"\xff\xfe")), "x").unwrap();
    fs::write(root.join("notes.txt"), "x").unwrap();
    std::os::unix::fs::symlink("/etc", root.join("link")).unwrap();
    let listed = sftp.list(None, &token()).await.unwrap();
    let names: Vec<_> = listed.iter().map(|entry| entry.path.as_str()).collect();
    assert_eq!(names, ["notes.txt", "shop/dump"]);
    sftp.delete_folder(&path("shop"), &token()).await.unwrap();
    assert_eq!(everything(&root).len(), 4, "{:?}", everything(&root));
}

#[tokio::test(flavor = "multi_thread")]
async fn removing_a_folder_follows_no_link() {
    let sshd = Sshd::start().unwrap();
    let (root, sftp) = prepared(&sshd).await;
    let elsewhere = sshd.folder().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("precious"), "x").unwrap();
    fs::create_dir_all(root.join("shop/deep/deeper")).unwrap();
    fs::write(root.join("shop/deep/deeper/old.part"), "x").unwrap();
    std::os::unix::fs::symlink(&elsewhere, root.join("shop/link")).unwrap();
    put(&sftp, &format!("shop/{MANIFEST}"), b"{}").await.unwrap();
    sftp.delete_folder(&path("shop"), &token()).await.unwrap();
    assert_eq!(everything(&root), [""; 0]);
    assert!(elsewhere.join("precious").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_write_the_same_object_do_not_replace_each_others() {
    let sshd = Sshd::start().unwrap();
    let (root, one) = prepared(&sshd).await;
    put(&one, "shop/kept", b"x").await.unwrap();
    let mut writer = one.create(&path("shop/dump"), None, &token()).await.unwrap();
    writer.write(Bytes::from_static(b"second")).await.unwrap();
    // Somebody else was faster.
    fs::write(root.join("shop/dump"), "first").unwrap();
    let error = writer.finish(6).await.unwrap_err();
    assert!(matches!(error, Error::AlreadyExists { .. }), "{error:?}");
    assert_eq!(get(&one, "shop/dump").await.unwrap(), b"first");
    assert_eq!(everything(&root), ["shop", "shop/dump", "shop/kept"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn some_hundred_megabytes_stream_through() {
    let sshd = Sshd::start().unwrap();
    let (root, sftp) = prepared(&sshd).await;
    let piece = Bytes::from(sample(251 * 4000));
    let pieces = 300;
    let len = piece.len() as u64 * pieces;
    let begun = Instant::now();
    let mut writer = sftp.create(&path("big"), Some(len), &token()).await.unwrap();
    for _ in 0..pieces {
        writer.write(piece.clone()).await.unwrap();
    }
    writer.finish(len).await.unwrap();
    let wrote = begun.elapsed();
    assert_eq!(fs::metadata(root.join("big")).unwrap().len(), len);
    let begun = Instant::now();
    let mut object = sftp.read(&path("big"), None, &token()).await.unwrap();
    assert_eq!(object.len, len);
    let mut found = vec![0; piece.len()];
    for _ in 0..pieces {
        object.body.read_exact(&mut found).await.unwrap();
        assert!(found == piece);
    }
    assert_eq!(object.body.read(&mut found).await.unwrap(), 0);
    eprintln!(
        "{} MB: written in {wrote:?}, read in {:?}",
        len / 1_000_000,
        begun.elapsed()
    );
}
