//! FTP as a destination: the conformance suite on two real servers, encrypted and not, and the bad days of FTP.
//!
//! One test starts this very test binary again as another process, to kill it; the variable [`INNER`] then holds the port.

#![allow(clippy::unwrap_used, reason = "helpers of tests may unwrap like the tests")]

mod faults;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use howdah_domain::destination::{FtpPlace, FtpTls};
use howdah_domain::{FailureCode, Secret};
use howdah_storage::{Destination, Error, Ftp, MissingWhy, ObjectPath, Patience, conformance};
use howdah_testkit::certificates::Certificates;
use howdah_testkit::chance::Chance;
use howdah_testkit::ftpd::Ftpd;
use howdah_testkit::rclone::{PASSWORD, Protocol, Rclone, USER};
use rstest::rstest;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt as _;
use tokio_util::sync::CancellationToken;

const INNER: &str = "HOWDAH_FTP_INNER";

fn token() -> CancellationToken {
    CancellationToken::new()
}

fn path(text: &str) -> ObjectPath {
    ObjectPath::new(text).unwrap()
}

fn short() -> Patience {
    Patience {
        connect: Duration::from_secs(10),
        idle: Duration::from_secs(20),
        settle: Duration::from_secs(30),
        pauses: [20, 40, 80].map(Duration::from_millis).to_vec(),
    }
}

fn place(port: u16) -> FtpPlace {
    FtpPlace {
        host: "127.0.0.1".to_owned(),
        port: Some(port),
        user: Some(USER.to_owned()),
        path: String::new(),
        tls: FtpTls::None,
        ca_file: None,
    }
}

fn at(place: &FtpPlace) -> Ftp {
    Ftp::with_patience(place, Some(&Secret::new(PASSWORD)), short()).unwrap()
}

async fn served(arguments: &[&str]) -> (Ftpd, Ftp) {
    let server = Ftpd::start(arguments).unwrap();
    let ftp = at(&place(server.port()));
    ftp.prepare(&token()).await.unwrap();
    (server, ftp)
}

async fn put(destination: &dyn Destination, at: &str, bytes: &[u8]) -> Result<(), Error> {
    let mut writer = destination.create(&path(at), None, &token()).await?;
    for piece in bytes.chunks(100_000) {
        writer.write(Bytes::copy_from_slice(piece)).await?;
    }
    writer.finish(bytes.len() as u64).await.map(drop)
}

async fn names(destination: &dyn Destination) -> Vec<String> {
    let entries = destination.list(None, &token()).await.unwrap();
    entries.into_iter().map(|entry| entry.path.to_string()).collect()
}

async fn get(destination: &dyn Destination, at: &str, range: Option<(u64, u64)>) -> Result<Vec<u8>, Error> {
    let range = range.map(|(begin, end)| begin..end);
    let mut object = destination.read(&path(at), range, &token()).await?;
    let mut bytes = Vec::new();
    object.body.read_to_end(&mut bytes).await.unwrap();
    Ok(bytes)
}

/// Everything that people and logs could see of an error.
fn shown(error: &Error) -> String {
    let failure = serde_json::to_string(&error.to_failure()).unwrap();
    format!("{error} {error:?} {failure}")
}

/// Every file and folder below, relative, in order.
fn everything(root: &std::path::Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for item in std::fs::read_dir(folder).unwrap() {
            let item = item.unwrap().path();
            if item.is_dir() {
                folders.push(item.clone());
            }
            found.push(item.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
        }
    }
    found.sort();
    found
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < until, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// How often the server was given a command.
fn count(server: &Ftpd, command: &str) -> usize {
    server
        .log()
        .lines()
        .filter(|line| line.contains(&format!("<- {command}")))
        .count()
}

#[tokio::test]
async fn rclones_ftp_server_conforms() {
    let server = Rclone::start(Protocol::Ftp, &[]).unwrap();
    let ftp = at(&place(server.port()));
    ftp.prepare(&token()).await.unwrap();
    conformance::run(&ftp).await;
    assert_eq!(everything(&server.root()), [""; 0]);
}

#[rstest]
#[case::as_it_is("")]
#[case::without_machine_lists("MLSD,MLST")]
#[case::without_extended_passive_mode("EPSV")]
#[case::without_sizes("SIZE")]
#[case::without_beginning_in_the_middle("REST")]
#[case::as_in_1985("MLSD,MLST,EPSV,SIZE,REST,OPTS,FEAT")]
#[tokio::test]
async fn an_ftp_server_conforms_whatever_it_lacks(#[case] without: &str) {
    let server = Ftpd::start(&[&format!("--without={without}")]).unwrap();
    let mut place = place(server.port());
    place.path = "/backups of Ada/here".to_owned();
    let ftp = at(&place);
    ftp.prepare(&token()).await.unwrap();
    conformance::run(&ftp).await;
    assert_eq!(
        everything(&server.root()),
        ["backups of Ada", "backups of Ada/here"]
    );
}

#[rstest]
#[case::explicit(FtpTls::Explicit)]
#[case::implicit(FtpTls::Implicit)]
#[tokio::test]
async fn an_ftp_server_conforms_over_tls(#[case] tls: FtpTls) {
    let directory = tempfile::tempdir().unwrap();
    let certificates = Certificates::make(directory.path(), USER).unwrap();
    let arguments: &[&str] = if tls == FtpTls::Implicit {
        &["--implicit"]
    } else {
        &[]
    };
    let server = Ftpd::with_tls(&certificates, arguments).unwrap();
    let mut place = FtpPlace {
        host: "localhost".to_owned(),
        tls,
        ca_file: Some(certificates.ca.clone()),
        ..place(server.port())
    };
    let ftp = at(&place);
    ftp.prepare(&token()).await.unwrap();
    conformance::run(&ftp).await;
    assert_eq!(everything(&server.root()), [""; 0]);

    // The system's authorities, and one that signed nothing, do not vouch for it.
    for ca_file in [None, Some(certificates.stranger_ca)] {
        place.ca_file = ca_file;
        let error = at(&place).list(None, &token()).await.unwrap_err();
        assert!(matches!(error, Error::Untrusted { .. }), "{error:?}");
        assert_eq!(error.to_failure().code, FailureCode::TlsUntrusted);
    }
}

#[tokio::test]
async fn rclones_ftp_server_conforms_over_tls() {
    // It has implicit TLS only.
    let directory = tempfile::tempdir().unwrap();
    let certificates = Certificates::make(directory.path(), USER).unwrap();
    let certificate = format!("--cert={}", certificates.server_certificate.display());
    let key = format!("--key={}", certificates.server_key.display());
    let server = Rclone::start(Protocol::Ftp, &[&certificate, &key]).unwrap();
    let ftp = at(&FtpPlace {
        host: "localhost".to_owned(),
        tls: FtpTls::Implicit,
        ca_file: Some(certificates.ca),
        ..place(server.port())
    });
    ftp.prepare(&token()).await.unwrap();
    conformance::run(&ftp).await;
    assert_eq!(everything(&server.root()), [""; 0]);
}

#[tokio::test]
async fn a_server_without_tls_is_never_given_the_password() {
    let server = Ftpd::start(&[]).unwrap();
    let ftp = at(&FtpPlace {
        tls: FtpTls::Explicit,
        ..place(server.port())
    });
    let error = ftp.prepare(&token()).await.unwrap_err();
    assert!(matches!(error, Error::Misconfigured { .. }), "{error:?}");
    assert_eq!(
        count(&server, "USER") + count(&server, "PASS"),
        0,
        "{}",
        server.log()
    );
}

#[tokio::test]
async fn a_wrong_password_is_told_as_such_and_never_shown() {
    let server = Ftpd::start(&[]).unwrap();
    let wrong = "hunter2-hunter2";
    let ftp = Ftp::with_patience(&place(server.port()), Some(&Secret::new(wrong)), short()).unwrap();
    assert!(!format!("{ftp:?} {}", ftp.name()).contains(wrong));
    for error in [
        ftp.prepare(&token()).await.unwrap_err(),
        ftp.list(None, &token()).await.unwrap_err(),
    ] {
        assert!(matches!(error, Error::Denied { .. }), "{error:?}");
        assert!(!error.is_retryable());
        assert!(!shown(&error).contains(wrong), "{}", shown(&error));
    }
}

/// Keeps what the FTP library writes into its log.
struct Kept(std::sync::Mutex<String>);

impl log::Log for Kept {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let mut kept = self.0.lock().unwrap();
        kept.push_str(&record.args().to_string());
        kept.push('\n');
    }

    fn flush(&self) {}
}

static KEPT: Kept = Kept(std::sync::Mutex::new(String::new()));

#[tokio::test]
async fn the_password_is_in_no_log_however_much_is_logged() {
    log::set_logger(&KEPT).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    let (_server, ftp) = served(&[]).await;
    put(&ftp, "a/b", b"x").await.unwrap();
    let kept = KEPT.0.lock().unwrap().clone();
    assert!(kept.contains("PASS ***"), "the library logs its commands: {kept}");
    assert!(!kept.contains(PASSWORD), "{kept}");
}

#[tokio::test]
async fn what_could_begin_another_command_never_reaches_the_server() {
    let server = Ftpd::start(&[]).unwrap();
    let there = place(server.port());
    let smuggled = "x\r\nDELE precious";
    let bad = [
        (
            FtpPlace {
                path: smuggled.to_owned(),
                ..there.clone()
            },
            PASSWORD,
        ),
        (
            FtpPlace {
                user: Some(smuggled.to_owned()),
                ..there.clone()
            },
            PASSWORD,
        ),
        (
            FtpPlace {
                host: smuggled.to_owned(),
                ..there.clone()
            },
            PASSWORD,
        ),
        (there, smuggled),
    ];
    for (place, secret) in bad {
        let error = Ftp::new(&place, Some(&Secret::new(secret))).unwrap_err();
        assert!(matches!(error, Error::Misconfigured { .. }), "{error:?}");
        assert!(!shown(&error).contains("precious"));
    }
    assert!(ObjectPath::new("a\r\nDELE b").is_err());
}

#[tokio::test]
async fn a_folder_that_is_gone_is_missing_and_comes_back_only_when_prepared() {
    let server = Ftpd::start(&[]).unwrap();
    let ftp = at(&FtpPlace {
        path: "deep/er".to_owned(),
        ..place(server.port())
    });
    let there = path("a/b");
    for gone in ["never there", "removed"] {
        let errors = [
            put(&ftp, "a/b", b"x").await.unwrap_err(),
            put(&ftp, "b", b"x").await.unwrap_err(),
            ftp.list(None, &token()).await.unwrap_err(),
            ftp.list(Some(&there), &token()).await.unwrap_err(),
            ftp.stat(&there, &token()).await.unwrap_err(),
            get(&ftp, "a/b", None).await.unwrap_err(),
            ftp.delete(&there, &token()).await.unwrap_err(),
            ftp.delete_folder(&there, &token()).await.unwrap_err(),
            ftp.free_space(&token()).await.unwrap_err(),
        ];
        for (number, error) in errors.into_iter().enumerate() {
            let is_missing = matches!(
                error,
                Error::Missing {
                    why: MissingWhy::NoFolder,
                    ..
                }
            );
            assert!(is_missing, "{gone}, {number}: {error:?}");
        }
        assert!(!server.root().join("deep/er").exists());
        ftp.prepare(&token()).await.unwrap();
        put(&ftp, "a/b", b"x").await.unwrap();
        ftp.prepare(&token()).await.unwrap();
        assert_eq!(names(&ftp).await, ["a/b"]);
        // While a connection is kept that was in it.
        std::fs::remove_dir_all(server.root().join("deep")).unwrap();
    }
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let port = howdah_testkit::tools::free_port().unwrap();
    let nobody = place(port);
    let no_host = FtpPlace {
        host: "no-such-host.invalid".to_owned(),
        ..place(21)
    };
    for place in [nobody, no_host] {
        let ftp = at(&place);
        for error in [
            ftp.list(None, &token()).await.unwrap_err(),
            put(&ftp, "a/b", b"x").await.unwrap_err(),
        ] {
            assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
            assert!(error.is_retryable());
        }
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_is_not_waited_for_without_end() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ftp = Ftp::with_patience(
        &place(listener.local_addr().unwrap().port()),
        None,
        Patience {
            connect: Duration::from_millis(200),
            pauses: Vec::new(),
            ..short()
        },
    )
    .unwrap();
    let begin = Instant::now();
    let error = ftp.list(None, &token()).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert!(begin.elapsed() < Duration::from_secs(2));

    // And who cancels does not wait at all.
    let ftp = at(&place(listener.local_addr().unwrap().port()));
    let cancel = token();
    let (result, ()) = tokio::join!(ftp.list(None, &cancel), async { cancel.cancel() });
    assert!(result.unwrap_err().is_cancelled());
}

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
            assert_eq!(get(&ftp, name, None).await.unwrap(), name.as_bytes());
            assert!(server.root().join(name).is_file(), "{name}");
            ftp.delete(&path(name), &token()).await.unwrap();
        }
        assert_eq!(everything(&server.root()), [""; 0]);
    }
}

#[rstest]
#[case::plain(FtpTls::None)]
#[case::encrypted(FtpTls::Implicit)]
#[tokio::test]
async fn a_large_object_streams_through_and_its_parts_can_be_read(#[case] tls: FtpTls) {
    let directory = tempfile::tempdir().unwrap();
    let certificates = Certificates::make(directory.path(), USER).unwrap();
    let certificate = format!("--cert={}", certificates.server_certificate.display());
    let key = format!("--key={}", certificates.server_key.display());
    let arguments: &[&str] = if tls == FtpTls::None {
        &[]
    } else {
        &[&certificate, &key]
    };
    let server = Rclone::start(Protocol::Ftp, arguments).unwrap();
    let ftp = at(&FtpPlace {
        tls,
        ca_file: Some(certificates.ca),
        ..place(server.port())
    });
    let at = path("shop/orders/dump");
    let mut chance = Chance::from_seed(1);
    let piece: Vec<u8> = (0..1_000_003).map(|_| chance.bits().to_le_bytes()[0]).collect();
    let pieces = 200;
    let mut writer = ftp.create(&at, None, &token()).await.unwrap();
    let mut digest = Sha256::new();
    for _ in 0..pieces {
        digest.update(&piece);
        writer.write(Bytes::copy_from_slice(&piece)).await.unwrap();
    }
    let len = pieces * piece.len() as u64;
    assert_eq!(writer.finish(len).await.unwrap().len, len);
    assert_eq!(server.files().unwrap(), ["shop/orders/dump"]);

    let mut object = ftp.read(&at, None, &token()).await.unwrap();
    let mut found = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match object.body.read(&mut buffer).await.unwrap() {
            0 => break,
            n => found.update(&buffer[..n]),
        }
    }
    assert_eq!(found.finalize(), digest.finalize());

    for number in [1, 60, 199] {
        let begin = number * piece.len() as u64 + 17;
        let bytes = get(&ftp, "shop/orders/dump", Some((begin, begin + 1000)))
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
        assert_eq!(
            get(&ftp, &format!("a/{number}"), None).await.unwrap().len(),
            100_000
        );
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
    assert_eq!(get(&ftp, "a/b", None).await.unwrap(), b"there");
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
    assert_eq!(get(&ftp, "a/2", None).await.unwrap(), b"second");
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
    let mut inner = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "a_process_that_is_killed_in_mid_upload_leaves_nothing_that_removing_the_folder_does_not_take",
        ])
        .env(INNER, server.port().to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
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
    assert_eq!(get(&ftp, "a/b", None).await.unwrap().len(), 1_200_000);
    if let Some(server) = python {
        assert!(count(&server, "NOOP") >= 3, "{}", server.log());
    }
}
