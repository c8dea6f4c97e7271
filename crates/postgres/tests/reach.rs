//! Each way in which a server can be out of reach, against the real thing, by its code and its words.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::time::{Duration, Instant};

use howdah_domain::{Connection, Failure, FailureCode, Secret, Tls, TlsMode};
use howdah_postgres::connect::{self, ServerVersion, Session};
use howdah_postgres::{Error, libpq};
use howdah_testkit::{Cluster, Encryption, impostor};
use rstest::rstest;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(20);

async fn connect(connection: &Connection, secret: Option<&Secret>) -> Result<Session, Error> {
    connect::connect(
        connection,
        secret,
        "howdah-test",
        PATIENCE,
        &CancellationToken::new(),
    )
    .await
}

/// The failure to connect, which must be of this code, explain itself, and hold no password.
async fn failure(connection: &Connection, secret: Option<&Secret>, code: FailureCode) -> Failure {
    let failure = match connect(connection, secret).await {
        Ok(_) => panic!("connected to {}", connection.display()),
        Err(error) => error.to_failure(),
    };
    assert_eq!(failure.code, code, "{failure:#?}");
    assert!(failure.message.ends_with('.'), "{failure:#?}");
    assert!(
        failure.hint.as_ref().is_some_and(|hint| !hint.is_empty()),
        "{failure:#?}"
    );
    if let Some(secret) = secret.filter(|secret| !secret.is_empty()) {
        assert!(!format!("{failure:?}").contains(secret.expose()), "{failure:#?}");
    }
    failure
}

async fn value(session: &Session, sql: &str) -> String {
    let row = session.client.query_typed(sql, &[]).await.unwrap();
    row[0].get(0)
}

fn with_tls(connection: &Connection, tls: Tls) -> Connection {
    Connection {
        tls,
        ..connection.clone()
    }
}

fn mode(mode: TlsMode) -> Tls {
    Tls {
        mode,
        ..Tls::default()
    }
}

#[rstest]
#[tokio::test]
async fn a_session_tells_the_servers_version_and_its_own_name(#[values(13, 14, 15, 16, 17, 18)] major: u16) {
    let cluster = Cluster::start(major).await.unwrap();
    let secret = cluster.password();
    for connection in [
        cluster.connection("postgres"),
        cluster.socket_connection("postgres"),
    ] {
        let session = connect(&connection, Some(&secret)).await.unwrap();
        assert_eq!(session.server_version.major, major);
        assert_eq!(session.server_version.text, cluster.version());
        assert!(session.server_version.is_supported());
        assert!(!session.tls.encrypted);
        let name = value(&session, "SELECT current_setting('application_name')").await;
        assert_eq!(name, "howdah-test");
    }
}

#[tokio::test]
async fn a_dropped_session_is_gone_from_the_server() {
    let cluster = Cluster::start(18).await.unwrap();
    let secret = cluster.password();
    let session = connect(&cluster.connection("postgres"), Some(&secret))
        .await
        .unwrap();
    // It is at work when it is dropped.
    let sleeping = tokio::time::timeout(
        Duration::from_millis(200),
        session.client.simple_query("SELECT pg_sleep(0.5)"),
    );
    assert!(sleeping.await.is_err());
    drop(session);
    let began = Instant::now();
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'howdah-test'";
    while cluster.one("postgres", sql).await.unwrap() != "0" {
        assert!(began.elapsed() < PATIENCE, "the session stays");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[rstest]
#[tokio::test]
async fn a_wrong_password_is_an_authentication_failure(#[values(13, 18)] major: u16) {
    let cluster = Cluster::start(major).await.unwrap();
    let secret = Secret::new("Kr0kodil");
    let found = failure(
        &cluster.connection("postgres"),
        Some(&secret),
        FailureCode::AuthenticationFailed,
    )
    .await;
    assert!(found.details.unwrap().contains("28P01"));
    let nobody = cluster.connection_as("nobody", "postgres");
    failure(&nobody, Some(&secret), FailureCode::AuthenticationFailed).await;
    failure(
        &cluster.connection("postgres"),
        None,
        FailureCode::PasswordRequired,
    )
    .await;
    failure(
        &cluster.connection("postgres"),
        Some(&Secret::new("")),
        FailureCode::PasswordRequired,
    )
    .await;
}

#[tokio::test]
async fn a_missing_database_or_role_is_named() {
    let cluster = Cluster::builder(17)
        .hba("host all nobody 127.0.0.1/32 trust")
        .start()
        .await
        .unwrap();
    let secret = cluster.password();
    cluster.create_database("shop").await.unwrap();
    assert!(connect(&cluster.connection("shop"), Some(&secret)).await.is_ok());
    cluster.sql("postgres", "DROP DATABASE shop").await.unwrap();
    let found = failure(
        &cluster.connection("shop"),
        Some(&secret),
        FailureCode::DatabaseNotFound,
    )
    .await;
    assert!(found.message.contains("shop"), "{}", found.message);
    let found = failure(
        &cluster.connection_as("nobody", "postgres"),
        None,
        FailureCode::RoleNotFound,
    )
    .await;
    assert!(found.message.contains("nobody"), "{}", found.message);
}

#[tokio::test]
async fn a_role_that_pg_hba_turns_away_is_told_so() {
    let cluster = Cluster::builder(16)
        .hba("host all nosy 127.0.0.1/32 reject")
        .start()
        .await
        .unwrap();
    let secret = cluster.create_role("nosy", "").await.unwrap();
    let found = failure(
        &cluster.connection_as("nosy", "postgres"),
        Some(&secret),
        FailureCode::NotAllowedByHba,
    )
    .await;
    assert!(found.message.contains("pg_hba.conf"), "{}", found.message);
}

#[tokio::test]
async fn a_full_server_is_too_many_connections() {
    let cluster = Cluster::builder(15)
        .set("max_connections", "6")
        .set("superuser_reserved_connections", "3")
        .start()
        .await
        .unwrap();
    let secret = cluster.create_role("plain", "").await.unwrap();
    let connection = cluster.connection_as("plain", "postgres");
    let mut sessions = Vec::new();
    let error = loop {
        match connect(&connection, Some(&secret)).await {
            Ok(session) => sessions.push(session),
            Err(error) => break error,
        }
        assert!(sessions.len() < 10);
    };
    assert_eq!(error.code(), FailureCode::TooManyConnections, "{error}");
    assert!(error.is_retryable());
    assert!(!sessions.is_empty());
    // A role's own limit is the same to people.
    let limited = cluster
        .create_role("limited", "CONNECTION LIMIT 0")
        .await
        .unwrap();
    drop(sessions);
    let connection = cluster.connection_as("limited", "postgres");
    failure(&connection, Some(&limited), FailureCode::TooManyConnections).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_starting_up_is_told_from_one_that_is_not_there() {
    let mut cluster = Cluster::start(14).await.unwrap();
    let secret = cluster.password();
    cluster.stop().await.unwrap();
    let data = cluster.folder().join("data");
    // A standby without a primary and without hot_standby stays so for ever.
    std::fs::write(data.join("standby.signal"), "").unwrap();
    let auto = data.join("postgresql.auto.conf");
    let before = std::fs::read_to_string(&auto).unwrap();
    std::fs::write(&auto, format!("{before}\nhot_standby = off\n")).unwrap();
    let pid_file = data.join("postmaster.pid");
    let watch = async {
        loop {
            let port = std::fs::read_to_string(&pid_file)
                .ok()
                .and_then(|text| text.lines().nth(3).and_then(|line| line.parse::<u16>().ok()));
            if let Some(port) = port {
                let connection = Connection {
                    host: "127.0.0.1".to_owned(),
                    port,
                    role: "postgres".to_owned(),
                    database: "postgres".to_owned(),
                    tls: Tls::default(),
                    tunnel: None,
                    forwarded: None,
                };
                match connect(&connection, Some(&secret)).await {
                    Err(error) if error.code() == FailureCode::ConnectionRefused => {}
                    Err(error) => return error,
                    Ok(_) => panic!("the standby lets somebody in"),
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let error = tokio::select! {
        outcome = cluster.start_again() => panic!("it started: {outcome:?}"),
        error = watch => error,
    };
    assert_eq!(error.code(), FailureCode::ServerStarting, "{error}");
    assert!(error.is_retryable());
}

fn nowhere(host: &str, port: u16) -> Connection {
    Connection {
        host: host.to_owned(),
        port,
        role: "u".to_owned(),
        database: "db".to_owned(),
        tls: Tls::default(),
        tunnel: None,
        forwarded: None,
    }
}

#[tokio::test]
async fn an_unknown_host_does_not_resolve() {
    let found = failure(&nowhere("db.invalid", 5432), None, FailureCode::HostNotFound).await;
    assert_eq!(
        found.message,
        "Howdah could not reach db.invalid: the name does not resolve."
    );
}

#[tokio::test]
async fn a_closed_port_refuses() {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let found = failure(&nowhere("127.0.0.1", port), None, FailureCode::ConnectionRefused).await;
    assert!(found.message.contains(&port.to_string()), "{}", found.message);
}

#[tokio::test]
async fn a_missing_socket_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let connection = nowhere(folder.path().to_str().unwrap(), 5432);
    let found = failure(&connection, None, FailureCode::ConnectionRefused).await;
    assert!(found.message.contains(".s.PGSQL.5432"), "{}", found.message);
}

#[rstest]
#[tokio::test]
async fn a_port_that_accepts_and_says_nothing_is_a_timeout(
    #[values(TlsMode::Disable, TlsMode::Prefer, TlsMode::Require)] tls: TlsMode,
) {
    let silent = impostor::stuck_listener().await.unwrap();
    let connection = with_tls(&silent.connection(), mode(tls));
    let limit = Duration::from_millis(600);
    let began = Instant::now();
    let error = connect::connect(&connection, None, "howdah-test", limit, &CancellationToken::new())
        .await
        .unwrap_err();
    assert_eq!(error.code(), FailureCode::Timeout);
    assert!(error.to_failure().message.contains("said nothing"), "{error}");
    assert!(began.elapsed() < limit + Duration::from_secs(2));
}

#[tokio::test]
async fn connecting_ends_at_once_when_it_is_cancelled() {
    let silent = impostor::stuck_listener().await.unwrap();
    let cancel = CancellationToken::new();
    let connection = silent.connection();
    let attempt = connect::connect(&connection, None, "howdah-test", PATIENCE, &cancel);
    let began = Instant::now();
    let (outcome, ()) = tokio::join!(attempt, async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        cancel.cancel();
    });
    assert!(outcome.unwrap_err().is_cancelled());
    assert!(began.elapsed() < Duration::from_secs(2));
}

#[rstest]
#[tokio::test]
async fn what_is_not_postgresql_is_told_so(
    #[values(TlsMode::Disable, TlsMode::Prefer, TlsMode::Require)] tls: TlsMode,
    #[values("http", "ssh", "mysql", "redis", "smtp", "noise")] kind: &str,
) {
    let server = match kind {
        "http" => impostor::web_server().await,
        "ssh" => impostor::banner_server(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n").await,
        "mysql" => impostor::banner_server(b"J\0\0\0\n8.0.36\0\x08\0\0\0abcdefgh\0\xff\xff").await,
        "redis" => impostor::not_postgres(b"-ERR Protocol error\r\n").await,
        "smtp" => impostor::banner_server(b"220 mail.example.com ESMTP\r\n").await,
        _ => impostor::not_postgres(&[0x00, 0x01, 0x02, 0x03, 0xff]).await,
    };
    let server = server.unwrap();
    let connection = with_tls(&server.connection(), mode(tls));
    failure(
        &connection,
        Some(&Secret::new("Kr0kodil")),
        FailureCode::NotPostgres,
    )
    .await;
}

#[tokio::test]
async fn a_port_that_hangs_up_lost_the_connection() {
    let server = impostor::not_postgres(b"").await.unwrap();
    for tls in [TlsMode::Disable, TlsMode::Prefer] {
        failure(
            &with_tls(&server.connection(), mode(tls)),
            None,
            FailureCode::ConnectionLost,
        )
        .await;
    }
}

#[rstest]
#[case("12.22")]
#[case("19.0")]
#[tokio::test]
async fn a_version_that_cannot_be_dumped_is_known_after_the_login(#[case] version: &'static str) {
    let server = impostor::postgres_of_version(version).await.unwrap();
    let session = connect(&server.connection(), None).await.unwrap();
    let failure = session.server_version.unsupported().unwrap();
    assert_eq!(failure.code, FailureCode::UnsupportedVersion);
    assert!(failure.message.contains(version), "{}", failure.message);
}

#[rstest]
#[case("16.4 (Debian 16.4-1.pgdg120+1)", 16, "16.4")]
#[case("9.6.24", 9, "9.6.24")]
#[case("19beta1", 19, "19beta1")]
#[case("18devel", 18, "18devel")]
fn a_version_is_read_as_servers_report_it(#[case] report: &str, #[case] major: u16, #[case] text: &str) {
    let version = ServerVersion::parse(report).unwrap();
    assert_eq!((version.major, version.text.as_str()), (major, text));
}

#[test]
fn what_is_no_version_is_none() {
    assert_eq!(ServerVersion::parse("CockroachDB"), None);
    assert_eq!(ServerVersion::parse(""), None);
}

// TLS.

#[rstest]
#[tokio::test]
async fn every_tls_mode_does_what_libpq_does(#[values(13, 18)] major: u16) {
    let cluster = Cluster::builder(major)
        .encryption(Encryption::Offered)
        .start()
        .await
        .unwrap();
    let secret = cluster.password();
    let files = cluster.certificates().unwrap().clone();
    let connection = cluster.connection("postgres");
    let own = |mode, ca: &std::path::Path| Tls {
        mode,
        ca_file: Some(ca.to_owned()),
        ..Tls::default()
    };
    let local = Connection {
        host: "localhost".to_owned(),
        ..connection.clone()
    };
    let cases = [
        (
            &connection,
            mode(TlsMode::Disable),
            "not encrypted (mode disable)",
        ),
        (
            &connection,
            mode(TlsMode::Prefer),
            "TLS 1.3, certificate not verified (mode prefer)",
        ),
        (
            &connection,
            mode(TlsMode::Require),
            "TLS 1.3, certificate not verified (mode require)",
        ),
        (
            &connection,
            own(TlsMode::Require, &files.ca),
            "TLS 1.3, certificate verified (mode require)",
        ),
        (
            &connection,
            own(TlsMode::VerifyCa, &files.ca),
            "TLS 1.3, certificate verified (mode verify-ca)",
        ),
        (
            &connection,
            own(TlsMode::VerifyFull, &files.ca),
            "TLS 1.3, certificate and host name verified (mode verify-full)",
        ),
        (
            &local,
            own(TlsMode::VerifyFull, &files.ca),
            "TLS 1.3, certificate and host name verified (mode verify-full)",
        ),
        // The server's own certificate, given as its own authority.
        (
            &local,
            own(TlsMode::VerifyFull, &files.server_certificate),
            "TLS 1.3, certificate and host name verified (mode verify-full)",
        ),
    ];
    for (connection, tls, expected) in cases {
        let session = connect(&with_tls(connection, tls.clone()), Some(&secret)).await;
        let session = session.unwrap_or_else(|error| panic!("{tls:?}: {:#?}", error.to_failure()));
        assert_eq!(session.tls.describe(), expected);
        let seen = value(
            &session,
            "SELECT coalesce(version || ' ' || cipher, 'plain') FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
        )
        .await;
        let cipher = session.tls.cipher.clone().unwrap_or_default();
        if session.tls.encrypted {
            assert_eq!(seen, format!("TLSv1.3 {cipher}"));
        } else {
            assert_eq!(seen, "plain");
        }
    }
    // The same by the client programs: psql agrees with each.
    for (connection, tls, _) in [
        (&connection, mode(TlsMode::Disable), ()),
        (&connection, mode(TlsMode::Require), ()),
        (&local, own(TlsMode::VerifyFull, &files.ca), ()),
    ] {
        let connection = with_tls(connection, tls);
        let (ok, text) = psql(
            &connection,
            Some(&secret),
            major,
            "SELECT ssl::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
        );
        assert!(ok, "{text}");
        let encrypted = connection.tls.mode != TlsMode::Disable;
        assert_eq!(text.trim(), encrypted.to_string(), "{connection:?}");
    }
}

#[tokio::test]
async fn an_unknown_authority_is_not_trusted() {
    let cluster = Cluster::builder(17)
        .encryption(Encryption::Offered)
        .start()
        .await
        .unwrap();
    let secret = cluster.password();
    let files = cluster.certificates().unwrap().clone();
    let connection = cluster.connection("postgres");
    // The system's authorities do not know it.
    for tls in [TlsMode::VerifyCa, TlsMode::VerifyFull] {
        let connection = with_tls(&connection, mode(tls));
        let found = failure(&connection, Some(&secret), FailureCode::TlsUntrusted).await;
        assert!(
            found.message.contains("not signed by any authority"),
            "{found:#?}"
        );
        let (ok, text) = psql(&connection, Some(&secret), 17, "SELECT 1");
        assert!(
            !ok && howdah_postgres::classify::classify_libpq(&text) == Some(FailureCode::TlsUntrusted),
            "{text}"
        );
    }
    let stranger = |mode| Tls {
        mode,
        ca_file: Some(files.stranger_ca.clone()),
        ..Tls::default()
    };
    for tls in [TlsMode::Require, TlsMode::VerifyCa, TlsMode::VerifyFull] {
        failure(
            &with_tls(&connection, stranger(tls)),
            Some(&secret),
            FailureCode::TlsUntrusted,
        )
        .await;
    }
}

#[tokio::test]
async fn a_certificate_for_another_host_is_refused_in_verify_full_only() {
    let cluster = Cluster::builder(16)
        .encryption(Encryption::Offered)
        .start()
        .await
        .unwrap();
    let secret = cluster.password();
    let files = cluster.certificates().unwrap().clone();
    let port = forward("127.0.0.2:0", cluster.port()).await;
    let own = |mode| Tls {
        mode,
        ca_file: Some(files.ca.clone()),
        ..Tls::default()
    };
    let elsewhere = Connection {
        host: "127.0.0.2".to_owned(),
        port,
        ..cluster.connection("postgres")
    };
    let session = connect(&with_tls(&elsewhere, own(TlsMode::VerifyCa)), Some(&secret)).await;
    assert!(session.is_ok(), "{session:?}");
    let found = failure(
        &with_tls(&elsewhere, own(TlsMode::VerifyFull)),
        Some(&secret),
        FailureCode::TlsUntrusted,
    )
    .await;
    assert!(
        found.message.contains("does not name 127.0.0.2"),
        "{}",
        found.message
    );
}

#[tokio::test]
async fn a_server_without_tls_is_plain_with_prefer_and_refused_from_require_on() {
    let cluster = Cluster::start(16).await.unwrap();
    let secret = cluster.password();
    let connection = cluster.connection("postgres");
    let session = connect(&with_tls(&connection, mode(TlsMode::Prefer)), Some(&secret))
        .await
        .unwrap();
    assert!(!session.tls.encrypted);
    for tls in [TlsMode::Require, TlsMode::VerifyCa, TlsMode::VerifyFull] {
        failure(
            &with_tls(&connection, mode(tls)),
            Some(&secret),
            FailureCode::TlsUnavailable,
        )
        .await;
    }
}

#[rstest]
#[tokio::test]
async fn a_server_that_demands_tls_says_so(#[values(13, 18)] major: u16) {
    let cluster = Cluster::builder(major)
        .encryption(Encryption::Forced)
        .start()
        .await
        .unwrap();
    let secret = cluster.password();
    let connection = cluster.connection("postgres");
    let found = failure(
        &with_tls(&connection, mode(TlsMode::Disable)),
        Some(&secret),
        FailureCode::TlsRequired,
    )
    .await;
    assert!(found.hint.unwrap().contains("require"));
    assert!(
        connect(&with_tls(&connection, mode(TlsMode::Require)), Some(&secret))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_client_certificate_is_given_where_the_server_asks_for_it() {
    let cluster = Cluster::builder(18)
        .encryption(Encryption::ClientCertificate)
        .start()
        .await
        .unwrap();
    let secret = cluster.password();
    let files = cluster.certificates().unwrap().clone();
    let connection = cluster.connection("postgres");
    failure(
        &with_tls(&connection, mode(TlsMode::Require)),
        Some(&secret),
        FailureCode::TlsRequired,
    )
    .await;
    let full = Tls {
        mode: TlsMode::VerifyFull,
        ca_file: Some(files.ca.clone()),
        certificate_file: Some(files.client_certificate.clone()),
        key_file: Some(files.client_key.clone()),
    };
    let session = connect(&with_tls(&connection, full.clone()), Some(&secret))
        .await
        .unwrap();
    assert!(session.tls.encrypted);
    let (ok, text) = psql(
        &with_tls(&connection, full.clone()),
        Some(&secret),
        18,
        "SELECT 1",
    );
    assert!(ok, "{text}");

    let half = Tls {
        key_file: None,
        ..full.clone()
    };
    failure(
        &with_tls(&connection, half),
        Some(&secret),
        FailureCode::InvalidConnection,
    )
    .await;
    let swapped = Tls {
        key_file: full.certificate_file.clone(),
        ..full.clone()
    };
    failure(
        &with_tls(&connection, swapped),
        Some(&secret),
        FailureCode::InvalidConnection,
    )
    .await;
    let missing = Tls {
        ca_file: Some("/nonexistent/ca.pem".into()),
        ..full
    };
    let found = failure(
        &with_tls(&connection, missing),
        Some(&secret),
        FailureCode::InvalidConnection,
    )
    .await;
    assert!(found.message.contains("/nonexistent/ca.pem"), "{}", found.message);
}

#[tokio::test]
async fn a_login_is_bound_to_its_tls_session() {
    // SCRAM with channel binding is what the server offers over TLS; it must accept our hash of its certificate.
    let cluster = Cluster::builder(18)
        .encryption(Encryption::Forced)
        .start()
        .await
        .unwrap();
    let secret = cluster.password();
    let connection = with_tls(&cluster.connection("postgres"), mode(TlsMode::Require));
    let session = connect(&connection, Some(&secret)).await.unwrap();
    assert!(session.tls.encrypted);
    let file = &cluster.certificates().unwrap().server_certificate;
    let certificate = CertificateDer::from_pem_file(file).unwrap();
    assert!(howdah_postgres::certificate::server_end_point(&certificate).is_some());
}

// Ways in.

#[tokio::test]
async fn ipv6_and_names_with_several_addresses_work() {
    let cluster = Cluster::start(17).await.unwrap();
    let secret = cluster.password();
    let port = forward("[::1]:0", cluster.port()).await;
    let six = Connection {
        host: "::1".to_owned(),
        port,
        ..cluster.connection("postgres")
    };
    assert!(connect(&six, Some(&secret)).await.is_ok());
    assert_eq!(six.display(), format!("postgres@[::1]:{port}/postgres"));
    // The server itself listens on 127.0.0.1 only, whatever else localhost may be.
    let name = Connection {
        host: "localhost".to_owned(),
        ..cluster.connection("postgres")
    };
    assert!(connect(&name, Some(&secret)).await.is_ok());
}

#[tokio::test]
async fn names_of_databases_may_be_anything() {
    let cluster = Cluster::start(13).await.unwrap();
    let secret = cluster.password();
    let long = "x".repeat(63);
    for name in [
        "-t",
        "a=b",
        "my db",
        "o'clock \\ \"q\"",
        "🐘",
        "dbname=other",
        "postgres://h/x",
        long.as_str(),
    ] {
        cluster.create_database(name).await.unwrap();
        for connection in [cluster.connection(name), cluster.socket_connection(name)] {
            let session = connect(&connection, Some(&secret)).await.unwrap();
            assert_eq!(value(&session, "SELECT current_database()::text").await, name);
            let (ok, text) = psql(&connection, Some(&secret), 13, "SELECT current_database()");
            assert!(ok, "{text}");
            assert_eq!(text.trim(), name);
        }
    }
}

#[tokio::test]
async fn a_client_program_is_not_led_astray_by_the_environment() {
    let cluster = Cluster::start(18).await.unwrap();
    let secret = cluster.password();
    let variables = libpq::libpq_environment(&cluster.connection("postgres"), Some(&secret), 18);
    assert!(
        variables
            .iter()
            .any(|(name, value)| name == "PGTZ" && value == "UTC")
    );
    let (ok, text) = psql(
        &cluster.connection("postgres"),
        Some(&secret),
        18,
        "SHOW TimeZone",
    );
    assert!(ok && text.trim() == "UTC", "{text}");
    let (ok, text) = psql(
        &cluster.connection("postgres"),
        Some(&Secret::new("wrong")),
        18,
        "SELECT 1",
    );
    assert!(!ok);
    assert_eq!(
        howdah_postgres::classify::classify_libpq(&text),
        Some(FailureCode::AuthenticationFailed),
        "{text}"
    );
    let (ok, text) = psql(&cluster.connection("nothing"), Some(&secret), 18, "SELECT 1");
    assert!(!ok);
    assert_eq!(
        howdah_postgres::classify::classify_libpq(&text),
        Some(FailureCode::DatabaseNotFound),
        "{text}"
    );
    let (ok, text) = psql(&cluster.connection("postgres"), None, 18, "SELECT 1");
    assert!(!ok);
    assert_eq!(
        howdah_postgres::classify::classify_libpq(&text),
        Some(FailureCode::PasswordRequired),
        "{text}"
    );
}

/// Runs psql as Howdah runs client programs: whether it succeeded, and what it wrote.
fn psql(connection: &Connection, secret: Option<&Secret>, major: u16, sql: &str) -> (bool, String) {
    let client = howdah_postgres::programs::Programs::locate(None)
        .unwrap()
        .client_for(major)
        .unwrap();
    let mut command = client.command(&client.psql);
    for name in libpq::inherited_variables() {
        command.env_remove(name);
    }
    let output = command
        .envs(libpq::libpq_environment(connection, secret, client.major))
        .env("LC_ALL", "C")
        .args(["-X", "-A", "-t", "-w", "-c", sql, "-d"])
        .arg(libpq::conninfo(connection))
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

/// Passes connections at another address on to a port of 127.0.0.1, for as long as the test lasts.
async fn forward(address: &str, to: u16) -> u16 {
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut far = tokio::net::TcpStream::connect(("127.0.0.1", to)).await?;
                tokio::io::copy_bidirectional(&mut near, &mut far).await
            });
        }
    });
    port
}
