//! What breaks or hangs in the middle: connections that are cut, files that shrink, servers that no longer answer.

use std::fs;
use std::time::{Duration, Instant};

use bytes::Bytes;
use howdah_storage::{Destination as _, Error};
use howdah_testkit::chance::Chance;
use howdah_testkit::sshd::Sshd;
use tokio::io::AsyncReadExt as _;

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_cut_anywhere_leaves_nothing() {
    let sshd = Sshd::start().unwrap();
    let (root, sftp) = prepared(&sshd).await;
    let mut chance = Chance::for_test("a_connection_that_is_cut_anywhere_leaves_nothing");
    for _ in 0..4 {
        let cut_after = chance.below(20_000_000);
        let mut writer = sftp.create(&path("shop/x/dump"), None, &token()).await.unwrap();
        let mut written = 0;
        let error = loop {
            if written >= cut_after {
                sshd.kill_sessions();
            }
            let piece = Bytes::from(vec![7; 100_000]);
            match writer.write(piece).await {
                Ok(()) => written += 100_000,
                Err(error) => break error,
            }
            assert!(
                written < cut_after + 100_000_000,
                "it goes on as if nothing had happened"
            );
        };
        assert!(
            matches!(error, Error::Unreachable { .. }) && error.is_retryable(),
            "{error:?}"
        );
        assert_eq!(settled(&root).await, [""; 0]);
    }
    put(&sftp, "shop/x/dump", b"the next attempt").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_cut_while_reading_is_an_error_and_no_short_read() {
    let sshd = Sshd::start().unwrap();
    let (_, sftp) = prepared(&sshd).await;
    put(&sftp, "long", &sample(30_000_000)).await.unwrap();
    let mut object = sftp.read(&path("long"), None, &token()).await.unwrap();
    let mut some = vec![0; 1_000_000];
    object.body.read_exact(&mut some).await.unwrap();
    sshd.kill_sessions();
    assert!(object.body.read_to_end(&mut Vec::new()).await.is_err());
    assert_eq!(get(&sftp, "long").await.unwrap().len(), 30_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_shrinks_while_it_is_read_is_an_error() {
    let sshd = Sshd::start().unwrap();
    let (root, sftp) = prepared(&sshd).await;
    put(&sftp, "long", &sample(30_000_000)).await.unwrap();
    let mut object = sftp.read(&path("long"), None, &token()).await.unwrap();
    let file = fs::OpenOptions::new()
        .write(true)
        .open(root.join("long"))
        .unwrap();
    file.set_len(10_000_000).unwrap();
    let error = object.body.read_to_end(&mut Vec::new()).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_answering_is_given_up() {
    let sshd = Sshd::start().unwrap();
    let (root, sftp) = prepared(&sshd).await;
    let mut writer = sftp.create(&path("shop/dump"), None, &token()).await.unwrap();
    writer.write(sample(1_000_000).into()).await.unwrap();
    sshd.freeze_sessions();
    let begun = Instant::now();
    let error = loop {
        if let Err(error) = writer.write(sample(1_000_000).into()).await {
            break error;
        }
    };
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    assert_eq!(settled(&root).await, [""; 0], "by a new connection");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_wait_ends_when_it_is_cancelled() {
    let sshd = Sshd::start().unwrap();
    let (root, sftp) = prepared(&sshd).await;
    put(&sftp, "kept", b"x").await.unwrap();
    let cancel = token();
    let mut writer = sftp.create(&path("shop/dump"), None, &cancel).await.unwrap();
    writer.write(sample(1_000_000).into()).await.unwrap();
    sshd.freeze_sessions();
    let soon = || {
        let cancel = token();
        let later = cancel.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(200)).await;
            later.cancel();
        });
        cancel
    };
    let begun = Instant::now();
    assert!(sftp.list(None, &soon()).await.unwrap_err().is_cancelled());
    assert!(
        sftp.stat(&path("kept"), &soon())
            .await
            .unwrap_err()
            .is_cancelled()
    );
    assert!(
        sftp.read(&path("kept"), None, &soon())
            .await
            .unwrap_err()
            .is_cancelled()
    );
    assert!(
        sftp.delete(&path("kept"), &soon())
            .await
            .unwrap_err()
            .is_cancelled()
    );
    assert!(
        sftp.delete_folder(&path("kept"), &soon())
            .await
            .unwrap_err()
            .is_cancelled()
    );
    assert!(sftp.free_space(&soon()).await.unwrap_err().is_cancelled());
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    cancel.cancel();
    let error = writer.finish(1_000_000).await.unwrap_err();
    assert!(error.is_cancelled(), "{error:?}");
    let begun = Instant::now();
    while everything(&root) != ["kept"] {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "{:?}",
            everything(&root)
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
