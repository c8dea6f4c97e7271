//! WebDAV as a destination: the conformance suite on a real server, with and without TLS, and the bad days of WebDAV.
//!
//! One test starts this very test binary again as another process, to kill it; the variable [`INNER`] then holds the address.

#![allow(clippy::unwrap_used, reason = "helpers of tests may unwrap like the tests")]

#[path = "../common/mod.rs"]
mod common;
mod faults;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use howdah_domain::destination::WebdavPlace;
use howdah_domain::{FailureCode, Secret};
use howdah_storage::{Destination as _, Error, MANIFEST, MissingWhy, ObjectPath, Webdav, conformance};
use howdah_testkit::certificates::Certificates;
use howdah_testkit::chance::Chance;
use howdah_testkit::rclone::{PASSWORD, Protocol, Rclone, USER};
use sha2::{Digest as _, Sha256};

use common::{another_process, eventually, get, get_part, names, path, put, sha256, short, shown, token};

const INNER: &str = "HOWDAH_WEBDAV_INNER";

fn place(url: &str) -> WebdavPlace {
    WebdavPlace {
        url: url.to_owned(),
        user: Some(USER.to_owned()),
        ca_file: None,
    }
}

fn at(url: &str) -> Webdav {
    Webdav::with_patience(&place(url), Some(&Secret::new(PASSWORD)), short()).unwrap()
}

fn serve(arguments: &[&str]) -> Rclone {
    Rclone::start(Protocol::Webdav, arguments).unwrap()
}

fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

async fn served() -> (Rclone, Webdav) {
    let server = serve(&[]);
    let webdav = at(&url(server.port()));
    webdav.prepare(&token()).await.unwrap();
    (server, webdav)
}

#[tokio::test]
async fn a_webdav_server_conforms() {
    let (server, webdav) = served().await;
    conformance::run(&webdav).await;
    assert!(server.files().unwrap().is_empty());
    let left = std::fs::read_dir(server.root()).unwrap().count();
    assert_eq!(left, 0, "no folder is left either");
}

#[tokio::test]
async fn a_webdav_server_conforms_over_tls_and_below_a_path() {
    let directory = tempfile::tempdir().unwrap();
    let certificates = Certificates::make(directory.path(), USER).unwrap();
    let certificate = format!("--cert={}", certificates.server_certificate.display());
    let key = format!("--key={}", certificates.server_key.display());
    let server = serve(&[&certificate, &key, "--baseurl=/remote.php/dav"]);
    let mut place = place(&format!(
        "https://localhost:{}/remote.php/dav/Ada's%20files/backups",
        server.port()
    ));
    place.ca_file = Some(certificates.ca.clone());
    let webdav = Webdav::with_patience(&place, Some(&Secret::new(PASSWORD)), short()).unwrap();
    webdav.prepare(&token()).await.unwrap();
    conformance::run(&webdav).await;
    assert!(server.root().join("Ada's files/backups").is_dir());

    // The system's authorities, and one that signed nothing, do not vouch for it.
    for ca_file in [None, Some(certificates.stranger_ca)] {
        place.ca_file = ca_file;
        let stranger = Webdav::with_patience(&place, Some(&Secret::new(PASSWORD)), short()).unwrap();
        let error = stranger.list(None, &token()).await.unwrap_err();
        assert!(matches!(error, Error::Untrusted { .. }), "{error:?}");
        assert_eq!(error.to_failure().code, FailureCode::TlsUntrusted);
    }
}

#[tokio::test]
async fn a_certificate_file_that_is_none_is_told_before_anybody_is_asked() {
    let directory = tempfile::tempdir().unwrap();
    let no_certificate = directory.path().join("ca.pem");
    std::fs::write(&no_certificate, "not one").unwrap();
    for file in [no_certificate, directory.path().join("nothing.pem")] {
        let mut place = place("https://localhost:1");
        place.ca_file = Some(file);
        let error = Webdav::new(&place, None).unwrap_err();
        assert!(matches!(error, Error::Misconfigured { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_wrong_password_is_told_as_such_and_never_shown() {
    let server = serve(&[]);
    let wrong = "hunter2-hunter2";
    let webdav =
        Webdav::with_patience(&place(&url(server.port())), Some(&Secret::new(wrong)), short()).unwrap();
    assert!(!format!("{webdav:?} {}", webdav.name()).contains(wrong));
    let errors = [
        webdav.prepare(&token()).await.unwrap_err(),
        webdav.list(None, &token()).await.unwrap_err(),
        put(&webdav, "a/b", b"x").await.unwrap_err(),
        get(&webdav, "a/b").await.unwrap_err(),
        webdav.delete_folder(&path("a"), &token()).await.unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, Error::Denied { .. }), "{error:?}");
        assert!(!error.is_retryable());
        assert!(!shown(&error).contains(wrong), "{}", shown(&error));
    }
}

#[tokio::test]
async fn a_collection_that_is_gone_is_missing_and_comes_back_only_when_prepared() {
    let server = serve(&[]);
    let webdav = at(&format!("{}/deep/er", url(server.port())));
    let there = path("a/b");
    let errors = [
        put(&webdav, "a/b", b"x").await.unwrap_err(),
        put(&webdav, "b", b"x").await.unwrap_err(),
        webdav.list(None, &token()).await.unwrap_err(),
        webdav.list(Some(&there), &token()).await.unwrap_err(),
        webdav.stat(&there, &token()).await.unwrap_err(),
        get(&webdav, "a/b").await.unwrap_err(),
        webdav.delete(&there, &token()).await.unwrap_err(),
        webdav.delete_folder(&there, &token()).await.unwrap_err(),
        webdav.free_space(&token()).await.unwrap_err(),
    ];
    for error in errors {
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
    }
    assert!(!server.root().join("deep").exists());
    webdav.prepare(&token()).await.unwrap();
    put(&webdav, "a/b", b"x").await.unwrap();
    webdav.prepare(&token()).await.unwrap();
    assert_eq!(names(&webdav).await, ["a/b"]);
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let port = howdah_testkit::tools::free_port().unwrap();
    for url in [url(port), "http://no-such-host.invalid".to_owned()] {
        let webdav = at(&url);
        for error in [
            webdav.list(None, &token()).await.unwrap_err(),
            put(&webdav, "a/b", b"x").await.unwrap_err(),
        ] {
            assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
            assert!(error.is_retryable());
        }
    }
}

#[tokio::test]
async fn names_are_kept_whatever_is_in_them() {
    let (server, webdav) = served().await;
    let wanted = [
        "#1/%41 & co/a+b;c=d",
        "Größe/日本語/🐘.zst",
        "a b/c'd\"e/?",
        "a/.../~",
    ];
    for name in wanted {
        put(&webdav, name, name.as_bytes()).await.unwrap();
    }
    assert_eq!(names(&webdav).await, wanted);
    for name in wanted {
        assert_eq!(get(&webdav, name).await.unwrap(), name.as_bytes());
        assert!(server.root().join(name).is_file(), "{name}");
        webdav.delete(&path(name), &token()).await.unwrap();
    }
    assert_eq!(std::fs::read_dir(server.root()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_large_object_streams_through_and_its_parts_can_be_read() {
    let (server, webdav) = served().await;
    let at = path("shop/orders/dump");
    let mut chance = Chance::from_seed(1);
    let piece: Vec<u8> = (0..1_000_003).map(|_| chance.bits().to_le_bytes()[0]).collect();
    let pieces = 300;
    let mut writer = webdav.create(&at, None, &token()).await.unwrap();
    let mut digest = Sha256::new();
    for _ in 0..pieces {
        digest.update(&piece);
        writer.write(Bytes::copy_from_slice(&piece)).await.unwrap();
        assert!(!server.root().join(at.as_str()).exists());
    }
    let len = pieces * piece.len() as u64;
    assert_eq!(writer.finish(len).await.unwrap().len, len);
    assert_eq!(server.files().unwrap(), ["shop/orders/dump"]);

    let object = webdav.read(&at, None, &token()).await.unwrap();
    assert_eq!(sha256(object).await, digest.finalize());

    let begin = 123 * piece.len() as u64 + 17;
    let part = get_part(&webdav, at.as_str(), begin..begin + 1000).await.unwrap();
    assert_eq!(part, &piece[17..1017]);
}

#[tokio::test]
async fn other_peoples_files_are_left_alone() {
    let server = serve(&[]);
    let webdav = at(&url(server.port()));
    // Before the server has looked, for it remembers what it saw.
    let root = server.root();
    std::fs::create_dir(root.join("shop")).unwrap();
    std::fs::write(root.join("shop/notes.txt"), b"mine").unwrap();
    std::fs::write(root.join("shop/odd:name"), b"mine").unwrap();
    std::fs::write(root.join("shop/back\\slash"), b"mine").unwrap();
    std::fs::write(root.join("shop/dump.unfinished"), b"half").unwrap();
    put(&webdav, "shop/orders/x/manifest.json", b"{}").await.unwrap();
    assert_eq!(
        names(&webdav).await,
        ["shop/notes.txt", "shop/orders/x/manifest.json"]
    );
    webdav
        .delete_folder(&path("shop/orders/x"), &token())
        .await
        .unwrap();
    assert_eq!(
        server.files().unwrap(),
        [
            "shop/back\\slash",
            "shop/dump.unfinished",
            "shop/notes.txt",
            "shop/odd:name"
        ]
    );
    assert!(!root.join("shop/orders").exists());
    let error = webdav
        .create(&path("shop/dump.unfinished"), None, &token())
        .await
        .err()
        .unwrap();
    assert!(matches!(error, Error::InvalidPath { .. }), "{error:?}");
}

#[tokio::test]
async fn a_server_that_was_away_is_used_again() {
    let (server, webdav) = served().await;
    put(&webdav, "a/1", b"first").await.unwrap();
    let mut writer = webdav.create(&path("a/2"), None, &token()).await.unwrap();
    writer.write(Bytes::from(vec![7; 20_000_000])).await.unwrap();
    let stopped = server.stop();
    let error = writer.finish(20_000_000).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    let error = webdav.list(None, &token()).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    let server = stopped.start().unwrap();
    assert_eq!(names(&webdav).await, ["a/1"]);
    put(&webdav, "a/2", b"second").await.unwrap();
    assert_eq!(get(&webdav, "a/2").await.unwrap(), b"second");
    webdav.delete_folder(&path("a"), &token()).await.unwrap();
    assert!(server.files().unwrap().is_empty());
}

#[tokio::test]
async fn what_is_cancelled_leaves_nothing_in_any_phase() {
    let (server, webdav) = served().await;
    for (name, len) in [("small", 100_000), ("large", 40_000_000)] {
        for phase in ["created", "written", "finishing"] {
            let cancel = token();
            let at = path(&format!("shop/{name}/{phase}"));
            let mut writer = webdav.create(&at, None, &cancel).await.unwrap();
            if phase != "created" {
                writer.write(Bytes::from(vec![1; len])).await.unwrap();
            }
            match phase {
                "finishing" => {
                    let canceller = tokio::spawn({
                        let cancel = cancel.clone();
                        async move {
                            tokio::time::sleep(Duration::from_millis(3)).await;
                            cancel.cancel();
                        }
                    });
                    // It may have been finished before.
                    if writer.finish(len as u64).await.is_ok() {
                        webdav.delete(&at, &token()).await.unwrap();
                    }
                    canceller.await.unwrap();
                }
                _ => {
                    cancel.cancel();
                    let error = writer.write(Bytes::from_static(b"x")).await.unwrap_err();
                    assert!(error.is_cancelled(), "{error:?}");
                }
            }
            let files = server.files().unwrap();
            assert!(files.is_empty(), "{name}, {phase}: {files:?}");
        }
    }
    assert_eq!(std::fs::read_dir(server.root()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_writer_that_is_dropped_cleans_up_behind_itself() {
    let (server, webdav) = served().await;
    let mut writer = webdav.create(&path("shop/x/dump"), None, &token()).await.unwrap();
    writer.write(Bytes::from(vec![1; 30_000_000])).await.unwrap();
    drop(writer);
    eventually("nothing is left", || {
        std::fs::read_dir(server.root()).unwrap().count() == 0
    })
    .await;
}

#[tokio::test]
async fn a_process_that_is_killed_in_mid_upload_leaves_nothing_that_removing_the_folder_does_not_take() {
    if let Ok(address) = std::env::var(INNER) {
        let webdav = at(&address);
        put(&webdav, "shop/orders/x/index", b"{}").await.unwrap();
        let mut writer = webdav
            .create(&path("shop/orders/x/dump"), None, &token())
            .await
            .unwrap();
        loop {
            writer.write(Bytes::from(vec![1; 1_000_000])).await.unwrap();
        }
    }
    let (server, webdav) = served().await;
    let mut inner = another_process(
        "a_process_that_is_killed_in_mid_upload_leaves_nothing_that_removing_the_folder_does_not_take",
    )
    .env(INNER, url(server.port()))
    .spawn()
    .unwrap();
    let unfinished = server.root().join("shop/orders/x/dump.unfinished");
    eventually("the upload is under way", || {
        unfinished.metadata().is_ok_and(|file| file.len() > 5_000_000)
    })
    .await;
    inner.kill().unwrap();
    inner.wait().unwrap();
    assert_eq!(names(&webdav).await, ["shop/orders/x/index"]);
    webdav
        .delete_folder(&path("shop/orders/x"), &token())
        .await
        .unwrap();
    eventually("nothing is left", || server.files().unwrap().is_empty()).await;
    assert_eq!(std::fs::read_dir(server.root()).unwrap().count(), 0);
}

/// DELETE takes a folder with all that is in it; the folders above a backup are shared with other plans.
#[tokio::test]
async fn removing_the_last_backup_of_a_server_never_takes_the_first_one_of_another_plan() {
    let (server, webdav) = served().await;
    let webdav = Arc::new(webdav);
    let rounds = 60;
    let removing = tokio::spawn({
        let webdav = Arc::clone(&webdav);
        async move {
            for round in 0..rounds {
                let folder = format!("shop/old/{round}");
                // The other one may move the folder aside in the middle of it, as this one does: then it is tried again.
                for _ in 0..20 {
                    if put(&*webdav, &format!("{folder}/{MANIFEST}"), b"{}")
                        .await
                        .is_ok()
                    {
                        break;
                    }
                }
                remove_in_the_end(&webdav, &path(&folder)).await;
            }
        }
    });
    let mut kept = Vec::new();
    let mut written = 0;
    for round in 0..rounds {
        let name = format!("shop/new/{round}/dump");
        if put(&*webdav, &name, b"precious").await.is_ok() {
            kept.push(name);
            written += 1;
        }
        if round % 3 == 0 {
            // Now and then there is nothing else in it.
            for name in kept.drain(..) {
                assert_eq!(found_in_the_end(&webdav, &name).await, b"precious");
                remove_in_the_end(&webdav, &path(&name).parent().unwrap()).await;
            }
        }
    }
    removing.await.unwrap();
    let found = server.files().unwrap();
    for name in &kept {
        assert!(found.contains(name), "{name} is gone: {found:?}");
    }
    assert!(written > 10, "hardly one could be written: {written}");
}

/// A folder that is moved aside comes back.
async fn found_in_the_end(webdav: &Webdav, name: &str) -> Vec<u8> {
    for _ in 0..50 {
        match get(webdav, name).await {
            Err(Error::NotFound { .. }) => tokio::time::sleep(Duration::from_millis(20)).await,
            result => return result.unwrap(),
        }
    }
    panic!("{name} is gone");
}

/// The server locks what somebody else works on.
async fn remove_in_the_end(webdav: &Webdav, folder: &ObjectPath) {
    for _ in 0..50 {
        match webdav.delete_folder(folder, &token()).await {
            Err(Error::Busy { .. }) => tokio::time::sleep(Duration::from_millis(20)).await,
            result => return result.unwrap(),
        }
    }
    panic!("{folder} stays locked");
}
