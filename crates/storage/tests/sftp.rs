//! A folder over SSH as a destination: the conformance suite on OpenSSH's and on rclone's server, and the bad days.
//!
//! One test starts this very test binary again as another process, to kill it; the variable [`INNER`] then says where the
//! server is.

#![allow(clippy::unwrap_used, reason = "helpers of tests may unwrap like the tests")]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use howdah_domain::destination::{SftpPlace, SshLogin, SshTarget};
use howdah_domain::{FailureCode, Secret};
use howdah_ssh::{Options, accept_host_key};
use howdah_storage::{Destination, Error, MANIFEST, MissingWhy, ObjectPath, Sftp, conformance};
use howdah_testkit::chance::Chance;
use howdah_testkit::rclone::{self, Protocol, Rclone};
use howdah_testkit::sshd::{PASSPHRASE, Sshd};
use tokio::io::AsyncReadExt as _;
use tokio_util::sync::CancellationToken;

const INNER: &str = "HOWDAH_SFTP_INNER";

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

fn token() -> CancellationToken {
    CancellationToken::new()
}

fn path(text: &str) -> ObjectPath {
    ObjectPath::new(text).unwrap()
}

/// No configuration of the user's has a part in it.
fn options(folder: &Path, known_hosts: PathBuf) -> Options {
    let config = folder.join("ssh_config");
    fs::write(
        &config,
        "Host *\n  UserKnownHostsFile none\n  GlobalKnownHostsFile none\n  IdentityAgent none\n  IdentityFile none\n",
    )
    .unwrap();
    Options {
        known_hosts: Some(known_hosts),
        config: Some(config),
        connect_timeout: Duration::from_secs(10),
        keepalive: Duration::from_secs(15),
    }
}

fn place(ssh: SshTarget, folder: &Path) -> SftpPlace {
    SftpPlace {
        ssh,
        path: folder.display().to_string(),
    }
}

/// The destination in a folder of the server's; nothing moving for two seconds counts as dead.
fn sftp(sshd: &Sshd, folder: &Path) -> Sftp {
    let options = options(sshd.folder(), sshd.known_hosts());
    Sftp::with_options(
        &place(sshd.target(), folder),
        None,
        options,
        Duration::from_secs(2),
    )
}

async fn prepared(sshd: &Sshd) -> (PathBuf, Sftp) {
    let root = sshd.folder().join("backups");
    let sftp = sftp(sshd, &root);
    sftp.prepare(&token()).await.unwrap();
    (root, sftp)
}

/// Every file and folder below, relative, sorted.
fn everything(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for item in fs::read_dir(folder).unwrap() {
            let item = item.unwrap().path();
            if item.is_dir() && !item.is_symlink() {
                folders.push(item.clone());
            }
            found.push(item.strip_prefix(root).unwrap().to_string_lossy().into_owned());
        }
    }
    found.sort();
    found
}

async fn put(destination: &dyn Destination, at: &str, bytes: &[u8]) -> Result<(), Error> {
    let mut writer = destination.create(&path(at), None, &token()).await?;
    for piece in bytes.chunks(1_000_000) {
        writer.write(Bytes::copy_from_slice(piece)).await?;
    }
    writer.finish(bytes.len() as u64).await.map(drop)
}

async fn get(destination: &dyn Destination, at: &str) -> Vec<u8> {
    let mut object = destination.read(&path(at), None, &token()).await.unwrap();
    let mut bytes = Vec::new();
    object.body.read_to_end(&mut bytes).await.unwrap();
    bytes
}

/// Bytes that repeat with no power of two.
fn sample(len: usize) -> Vec<u8> {
    (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect()
}

/// Waits for what a dropped writer still does.
async fn settled(root: &Path) -> Vec<String> {
    let begun = Instant::now();
    loop {
        let found = everything(root);
        if found.is_empty() || begun.elapsed() > Duration::from_secs(10) {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

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

/// A destination at rclone's server, whose key is accepted as the user would; the path is meant from where it puts the user.
async fn at_rclone(rclone: &Rclone, folder: &str, password: &str) -> Sftp {
    let home = rclone.root().parent().unwrap().to_owned();
    let known_hosts = home.join("known_hosts");
    let place = SftpPlace {
        ssh: SshTarget {
            host: "127.0.0.1".into(),
            port: Some(rclone.port()),
            user: Some(rclone::USER.into()),
            login: SshLogin::Password,
        },
        path: folder.into(),
    };
    let secret = Secret::new(password);
    let options = options(&home, known_hosts.clone());
    let sftp = Sftp::with_options(&place, Some(&secret), options, Duration::from_secs(10));
    if let Err(Error::UnknownHostKey { key }) = sftp.stat(&path("x"), &token()).await {
        accept_host_key(&known_hosts, &key.known_hosts_line()).unwrap();
    }
    sftp
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_denied_and_never_shown() {
    let rclone = Rclone::start(Protocol::Sftp, &[]).unwrap();
    let sftp = at_rclone(&rclone, "backups", "wrong horse").await;
    let error = sftp.prepare(&token()).await.unwrap_err();
    assert!(matches!(error, Error::Denied { .. }), "{error:?}");
    let failure = error.to_failure();
    assert_eq!(failure.code, FailureCode::DestinationDenied);
    let shown = format!("{error:?} {error} {failure:?} {sftp:?} {}", sftp.name());
    assert!(!shown.contains("horse"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_with_a_wrong_passphrase_is_denied() {
    let sshd = Sshd::start().unwrap();
    let target = SshTarget {
        login: SshLogin::Key {
            file: sshd.locked_key(),
        },
        ..sshd.target()
    };
    let place = place(target, &sshd.folder().join("backups"));
    for (secret, works) in [(PASSPHRASE, true), ("wrong horse", false)] {
        let options = options(sshd.folder(), sshd.known_hosts());
        let sftp = Sftp::with_options(
            &place,
            Some(&Secret::new(secret)),
            options,
            Duration::from_secs(2),
        );
        match sftp.prepare(&token()).await {
            Ok(()) => assert!(works),
            Err(error) => assert!(
                !works && matches!(error, Error::Denied { what: "key", .. }),
                "{error:?}"
            ),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_and_a_changed_host_key_are_told() {
    let mut sshd = Sshd::start().unwrap();
    let known_hosts = sshd.folder().join("own");
    let place = place(sshd.target(), &sshd.folder().join("backups"));
    let sftp = Sftp::with_options(
        &place,
        None,
        options(sshd.folder(), known_hosts.clone()),
        Duration::from_secs(2),
    );
    let error = sftp.prepare(&token()).await.unwrap_err();
    let Error::UnknownHostKey { key } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(error.to_failure().code, FailureCode::HostKeyUnknown);
    accept_host_key(&known_hosts, &key.known_hosts_line()).unwrap();
    sftp.prepare(&token()).await.unwrap();

    let stopped = sshd.stop();
    stopped.change_host_key().unwrap();
    sshd.start_again(stopped).unwrap();
    let error = sftp.prepare(&token()).await.unwrap_err();
    assert!(
        matches!(&error, Error::ChangedHostKey { known_in, .. } if known_in.ends_with("own line 1")),
        "{error:?}"
    );
    assert_eq!(error.to_failure().code, FailureCode::HostKeyChanged);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_and_no_such_name_are_unreachable() {
    let mut sshd = Sshd::start().unwrap();
    let (_, sftp) = prepared(&sshd).await;
    let stopped = sshd.stop();
    let error = sftp.list(None, &token()).await.unwrap_err();
    assert!(
        matches!(error, Error::Unreachable { .. }) && error.is_retryable(),
        "{error:?}"
    );
    // It goes on as soon as the server is there again.
    sshd.start_again(stopped).unwrap();
    assert!(sftp.list(None, &token()).await.unwrap().is_empty());

    let target = SshTarget {
        host: "no-such-host.invalid".into(),
        ..sshd.target()
    };
    let options = options(sshd.folder(), sshd.known_hosts());
    let nowhere = Sftp::with_options(
        &place(target, Path::new("/x")),
        None,
        options,
        Duration::from_secs(2),
    );
    let error = nowhere.list(None, &token()).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
}

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
    assert_eq!(get(&sftp, "there").await, b"already");
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
async fn a_server_without_sftp_is_told_as_such() {
    let sshd = Sshd::builder()
        .line("Subsystem sftp /nonexistent/sftp-server")
        .start();
    // sshd takes the first of two lines, or none of them.
    let Ok(sshd) = sshd else { return };
    let error = sftp(&sshd, Path::new("/tmp"))
        .list(None, &token())
        .await
        .unwrap_err();
    assert!(!error.is_cancelled());
    assert!(
        matches!(error, Error::Failed { .. } | Error::Unreachable { .. }),
        "{error:?}"
    );
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
    assert_eq!(get(&sftp, "long").await.len(), 30_000_000);
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
            get(&sftp, entry.path.as_str()).await,
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
    assert_eq!(get(&one, "shop/dump").await, b"first");
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

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_leaves_what_the_next_one_removes() {
    if let Some(inner) = std::env::var_os(INNER) {
        let inner = PathBuf::from(inner);
        let port = fs::read_to_string(inner.join("port")).unwrap().parse().unwrap();
        let target = SshTarget {
            host: "127.0.0.1".into(),
            port: Some(port),
            user: Some(Sshd::user()),
            login: SshLogin::Key {
                file: inner.join("key"),
            },
        };
        let options = options(&inner, inner.join("known_hosts"));
        let sftp = Sftp::with_options(
            &place(target, &inner.join("backups")),
            None,
            options,
            Duration::from_secs(5),
        );
        put(&sftp, "shop/x/index", b"finished").await.unwrap();
        let mut writer = sftp.create(&path("shop/x/dump"), None, &token()).await.unwrap();
        writer.write(sample(20_000_000).into()).await.unwrap();
        println!("\nwritten");
        std::io::stdout().flush().unwrap();
        std::future::pending::<()>().await;
    }
    let sshd = Sshd::start().unwrap();
    let (root, sftp) = prepared(&sshd).await;
    fs::write(sshd.folder().join("port"), sshd.port().to_string()).unwrap();
    let _ = sshd.known_hosts();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "a_process_that_is_killed_leaves_what_the_next_one_removes",
            "--nocapture",
        ])
        .env(INNER, sshd.folder())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let told = lines.map_while(Result::ok).any(|line| line == "written");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(told, "the other process wrote");
    assert_eq!(
        everything(&root),
        ["shop", "shop/x", "shop/x/dump.part", "shop/x/index"]
    );
    let listed = sftp.list(None, &token()).await.unwrap();
    assert_eq!(listed.len(), 1, "what is unfinished is not listed: {listed:?}");
    sftp.delete_folder(&path("shop/x"), &token()).await.unwrap();
    assert_eq!(everything(&root), [""; 0]);
}
