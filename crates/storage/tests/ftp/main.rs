//! FTP as a destination: the conformance suite on two real servers, encrypted and not, and the bad days of FTP.

#![allow(clippy::unwrap_used, reason = "helpers of tests may unwrap like the tests")]

#[path = "../common/mod.rs"]
mod common;
mod faults;
mod files;

use std::time::{Duration, Instant};

use howdah_domain::destination::{FtpPlace, FtpTls};
use howdah_domain::{FailureCode, Secret};
use howdah_storage::{Destination as _, Error, Ftp, MissingWhy, ObjectPath, Patience, conformance};
use howdah_testkit::certificates::Certificates;
use howdah_testkit::ftpd::Ftpd;
use howdah_testkit::rclone::{PASSWORD, Protocol, Rclone, USER};
use rstest::rstest;

use common::{everything, get, names, path, put, short, shown, token};

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

/// As rclone does: TLS for commands, and no way to ask for it for data.
#[tokio::test]
async fn a_server_that_leaves_the_data_in_the_clear_is_given_none() {
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
    for error in [
        ftp.prepare(&token()).await.unwrap_err(),
        put(&ftp, "a/b", b"x").await.unwrap_err(),
    ] {
        assert!(matches!(error, Error::Misconfigured { .. }), "{error:?}");
    }
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
            get(&ftp, "a/b").await.unwrap_err(),
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
