//! Each way in which a server can be out of reach, against the real thing, by its code and its words. TLS is in `tls.rs`, the
//! ways in which one is reached in `ways_in.rs`.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod tls;
mod ways_in;

use std::time::{Duration, Instant};

use howdah_domain::{Connection, Failure, FailureCode, Secret, Tls, TlsMode};
use howdah_postgres::connect::{self, ServerVersion, Session};
use howdah_postgres::{Error, libpq};
use howdah_testkit::{Cluster, impostor};
use rstest::rstest;
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
    tokio::pin!(watch);
    // A standby counts as started, whether or not it lets anybody in.
    let error = tokio::select! {
        outcome = cluster.start_again() => {
            outcome.unwrap();
            watch.await
        }
        error = &mut watch => error,
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
