//! Objects on FTP servers: names, sizes, what is cut short, and what servers refuse.
//!
//! One test starts this very test binary again as another process, to kill it; the variable [`INNER`] then holds the port.

use std::time::Duration;

use bytes::Bytes;
use howdah_domain::destination::{FtpPlace, FtpTls};
use howdah_domain::{FailureCode, Secret};
use howdah_storage::{Destination as _, Error, Ftp, Patience};
use howdah_testkit::certificates::Certificates;
use howdah_testkit::chance::Chance;
use howdah_testkit::ftpd::Ftpd;
use howdah_testkit::rclone::{PASSWORD, Protocol, Rclone, USER};
use rstest::rstest;
use sha2::{Digest as _, Sha256};

use crate::common::{
    another_process, eventually, everything, get, get_part, names, path, put, sha256, short, token,
};
use crate::{at, count, place, served};

const INNER: &str = "HOWDAH_FTP_INNER";

#[tokio::test]
async fn names_are_kept_whatever_is_in_them() {
    for without in ["", "MLSD"] {
        let (server, ftp) = served(&[&format!("--without={without}")]).await;
        let wanted = ["-l/a -> b", "Größe/日本語/🐘.zst", "a b/c'd\"e;f=g", "a/.../~"];
        for name in wanted {
            put(&ftp, name, name.as_bytes()).await.unwrap();
        }
        assert_eq!(names(&ftp).await, wanted);
        for name in wanted {
            assert_eq!(get(&ftp, name).await.unwrap(), name.as_bytes());
            assert!(server.root().join(name).is_file(), "{name}");
            ftp.delete(&path(name), &token()).await.unwrap();
        }
        assert_eq!(everything(&server.root()), [""; 0]);
    }
}

#[rstest]
#[case::plain(FtpTls::None, 200)]
#[case::encrypted(FtpTls::Explicit, 80)]
#[tokio::test]
async fn a_large_object_streams_through_and_its_parts_can_be_read(#[case] tls: FtpTls, #[case] pieces: u64) {
    let directory = tempfile::tempdir().unwrap();
    let certificates = Certificates::make(directory.path(), USER).unwrap();
    let rclone = (tls == FtpTls::None).then(|| Rclone::start(Protocol::Ftp, &[]).unwrap());
    let python = (tls != FtpTls::None).then(|| Ftpd::with_tls(&certificates, &[]).unwrap());
    let (port, root) = match (&rclone, &python) {
        (Some(server), _) => (server.port(), server.root()),
        (_, Some(server)) => (server.port(), server.root()),
        _ => unreachable!(),
    };
    let ftp = at(&FtpPlace {
        tls,
        ca_file: Some(certificates.ca),
        ..place(port)
    });
    let at = path("shop/orders/dump");
    let mut chance = Chance::from_seed(1);
    let piece: Vec<u8> = (0..1_000_003).map(|_| chance.bits().to_le_bytes()[0]).collect();
    let mut writer = ftp.create(&at, None, &token()).await.unwrap();
    let mut digest = Sha256::new();
    for _ in 0..pieces {
        digest.update(&piece);
        writer.write(Bytes::copy_from_slice(&piece)).await.unwrap();
    }
    let len = pieces * piece.len() as u64;
    assert_eq!(writer.finish(len).await.unwrap().len, len);
    assert_eq!(everything(&root), ["shop", "shop/orders", "shop/orders/dump"]);

    let object = ftp.read(&at, None, &token()).await.unwrap();
    assert_eq!(sha256(object).await, digest.finalize());

    for number in [1, pieces / 2, pieces - 1] {
        let begin = number * piece.len() as u64 + 17;
        let bytes = get_part(&ftp, "shop/orders/dump", begin..begin + 1000)
            .await
            .unwrap();
        assert_eq!(bytes, &piece[17..1017]);
    }
}

#[tokio::test]
async fn connections_are_used_again() {
    let (server, ftp) = served(&[]).await;
    for number in 0..5 {
        put(&ftp, &format!("a/{number}"), &[7; 100_000]).await.unwrap();
        assert_eq!(get(&ftp, &format!("a/{number}")).await.unwrap().len(), 100_000);
        assert_eq!(names(&ftp).await.len(), number + 1);
        // The connection comes back a moment after the last byte.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(count(&server, "USER") <= 2, "{}", server.log());
    assert!(!server.log().contains(PASSWORD));
}

#[tokio::test]
async fn an_address_in_the_answer_to_pasv_is_not_believed() {
    let (server, ftp) = served(&["--without=EPSV", "--pasv-address=192.0.2.1"]).await;
    put(&ftp, "a/b", b"x").await.unwrap();
    assert_eq!(names(&ftp).await, ["a/b"]);
    assert!(server.log().contains("192,0,2,1"), "{}", server.log());
}

#[tokio::test]
async fn a_quota_that_is_used_up_is_told_and_leaves_nothing() {
    let (server, ftp) = served(&["--quota=3000000"]).await;
    put(&ftp, "a/fits", &[1; 1_000_000]).await.unwrap();
    for len in [2_500_000, 50_000_000] {
        let error = put(&ftp, "b/dump", &vec![1; len]).await.unwrap_err();
        assert!(matches!(error, Error::Full { .. }), "{error:?}");
        assert_eq!(error.to_failure().code, FailureCode::DiskFull);
        assert_eq!(everything(&server.root()), ["a", "a/fits"]);
    }
}

#[tokio::test]
async fn a_server_that_loses_bytes_is_noticed() {
    let (server, ftp) = served(&["--shorten=1"]).await;
    let error = put(&ftp, "a/b", &[1; 1000]).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::WrongSize {
                expected: 1000,
                found: 999,
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(everything(&server.root()), [""; 0]);
}

#[tokio::test]
async fn a_server_that_may_only_be_read_says_so() {
    let (server, ftp) = served(&["--permissions=elr"]).await;
    std::fs::create_dir_all(server.root().join("a")).unwrap();
    std::fs::write(server.root().join("a/b"), b"there").unwrap();
    assert_eq!(get(&ftp, "a/b").await.unwrap(), b"there");
    let errors = [
        put(&ftp, "a/c", b"x").await.unwrap_err(),
        put(&ftp, "new/c", b"x").await.unwrap_err(),
        ftp.delete(&path("a/b"), &token()).await.unwrap_err(),
        ftp.delete_folder(&path("a"), &token()).await.unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, Error::ReadOnly { .. }), "{error:?}");
    }
    assert_eq!(everything(&server.root()), ["a", "a/b"]);
}

#[tokio::test]
async fn other_peoples_files_are_left_alone() {
    let (server, ftp) = served(&[]).await;
    put(&ftp, "shop/orders/x/manifest.json", b"{}").await.unwrap();
    let root = server.root();
    for name in ["notes.txt", "odd:name", "back\\slash", "dump.part"] {
        std::fs::write(root.join("shop").join(name), b"mine").unwrap();
    }
    std::os::unix::fs::symlink("/etc", root.join("shop/link")).unwrap();
    assert_eq!(
        names(&ftp).await,
        ["shop/notes.txt", "shop/orders/x/manifest.json"]
    );
    ftp.delete_folder(&path("shop/orders/x"), &token()).await.unwrap();
    assert!(!root.join("shop/orders").exists());
    assert!(root.join("shop/dump.part").exists());
}

#[tokio::test]
async fn a_server_that_was_away_is_used_again() {
    let server = Rclone::start(Protocol::Ftp, &[]).unwrap();
    let ftp = at(&place(server.port()));
    put(&ftp, "a/1", b"first").await.unwrap();
    let mut writer = ftp.create(&path("a/2"), None, &token()).await.unwrap();
    writer.write(Bytes::from(vec![7; 1_000_000])).await.unwrap();
    let stopped = server.stop();
    let error = writer.finish(1_000_000).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    let error = ftp.list(None, &token()).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    let server = stopped.start().unwrap();
    assert_eq!(names(&ftp).await, ["a/1"]);
    put(&ftp, "a/2", b"second").await.unwrap();
    assert_eq!(get(&ftp, "a/2").await.unwrap(), b"second");
    ftp.delete_folder(&path("a"), &token()).await.unwrap();
    assert!(server.files().unwrap().is_empty());
}

#[rstest]
#[case::of_rclone(true)]
#[case::of_pyftpdlib(false)]
#[tokio::test]
async fn what_is_cancelled_leaves_nothing_in_any_phase(#[case] of_rclone: bool) {
    let rclone = of_rclone.then(|| Rclone::start(Protocol::Ftp, &[]).unwrap());
    let python = (!of_rclone).then(|| Ftpd::start(&[]).unwrap());
    let (port, root) = match (&rclone, &python) {
        (Some(server), _) => (server.port(), server.root()),
        (_, Some(server)) => (server.port(), server.root()),
        _ => unreachable!(),
    };
    let ftp = at(&place(port));
    for phase in ["created", "written", "finishing"] {
        let cancel = token();
        let at = path(&format!("shop/{phase}/dump"));
        let mut writer = ftp.create(&at, None, &cancel).await.unwrap();
        if phase != "created" {
            writer.write(Bytes::from(vec![1; 10_000_000])).await.unwrap();
        }
        if phase == "finishing" {
            let canceller = tokio::spawn({
                let cancel = cancel.clone();
                async move {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    cancel.cancel();
                }
            });
            // It may have been finished before.
            if writer.finish(10_000_000).await.is_ok() {
                ftp.delete(&at, &token()).await.unwrap();
            }
            canceller.await.unwrap();
        } else {
            cancel.cancel();
            let error = writer.write(Bytes::from_static(b"x")).await.unwrap_err();
            assert!(error.is_cancelled(), "{error:?}");
        }
        assert_eq!(everything(&root), [""; 0], "{phase}");
    }
}

#[tokio::test]
async fn a_writer_that_is_dropped_cleans_up_behind_itself() {
    let (server, ftp) = served(&[]).await;
    let mut writer = ftp.create(&path("shop/x/dump"), None, &token()).await.unwrap();
    writer.write(Bytes::from(vec![1; 3_000_000])).await.unwrap();
    drop(writer);
    eventually("nothing is left", || everything(&server.root()).is_empty()).await;
}

#[tokio::test]
async fn a_process_that_is_killed_in_mid_upload_leaves_nothing_that_removing_the_folder_does_not_take() {
    if let Ok(port) = std::env::var(INNER) {
        let ftp = at(&place(port.parse().unwrap()));
        put(&ftp, "shop/orders/x/index", b"{}").await.unwrap();
        let mut writer = ftp
            .create(&path("shop/orders/x/dump"), None, &token())
            .await
            .unwrap();
        loop {
            writer.write(Bytes::from(vec![1; 1_000_000])).await.unwrap();
        }
    }
    let (server, ftp) = served(&[]).await;
    let mut inner = another_process(
        "files::a_process_that_is_killed_in_mid_upload_leaves_nothing_that_removing_the_folder_does_not_take",
    )
    .env(INNER, server.port().to_string())
    .spawn()
    .unwrap();
    let unfinished = server.root().join("shop/orders/x/dump.part");
    eventually("the upload is under way", || {
        unfinished.metadata().is_ok_and(|file| file.len() > 5_000_000)
    })
    .await;
    inner.kill().unwrap();
    inner.wait().unwrap();
    assert_eq!(names(&ftp).await, ["shop/orders/x/index"]);
    ftp.delete_folder(&path("shop/orders/x"), &token()).await.unwrap();
    assert_eq!(everything(&server.root()), [""; 0]);
}

/// A keepalive is sent during the upload, whether the server answers it at once or when all is over.
#[rstest]
#[case::of_rclone(true)]
#[case::of_pyftpdlib(false)]
#[tokio::test]
async fn a_long_upload_keeps_the_control_connection_alive(#[case] of_rclone: bool) {
    let rclone = of_rclone.then(|| Rclone::start(Protocol::Ftp, &[]).unwrap());
    let python = (!of_rclone).then(|| Ftpd::start(&[]).unwrap());
    let port = rclone
        .as_ref()
        .map_or_else(|| python.as_ref().unwrap().port(), Rclone::port);
    let patience = Patience {
        idle: Duration::from_millis(400),
        ..short()
    };
    let ftp = Ftp::with_patience(&place(port), Some(&Secret::new(PASSWORD)), patience).unwrap();
    let mut writer = ftp.create(&path("a/b"), None, &token()).await.unwrap();
    for _ in 0..12 {
        writer.write(Bytes::from(vec![1; 100_000])).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(writer.finish(1_200_000).await.unwrap().len, 1_200_000);
    assert_eq!(get(&ftp, "a/b").await.unwrap().len(), 1_200_000);
    if let Some(server) = python {
        assert!(count(&server, "NOOP") >= 3, "{}", server.log());
    }
}
