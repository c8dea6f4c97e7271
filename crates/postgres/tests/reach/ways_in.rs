//! The ways in: TCP over IPv4 and IPv6, a Unix socket, names of any kind, the client programs beside our own connection.

use howdah_domain::{Connection, FailureCode, Secret};
use howdah_postgres::libpq;
use howdah_testkit::{Cluster, forward};
use rstest::rstest;

use crate::{connect, psql, value};

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
async fn ipv6_and_names_with_several_addresses_work() {
    let cluster = Cluster::start(17).await.unwrap();
    let secret = cluster.password();
    let forward = forward("[::1]:0", cluster.port()).await.unwrap();
    let six = Connection {
        host: "::1".to_owned(),
        port: forward.port(),
        ..cluster.connection("postgres")
    };
    assert!(connect(&six, Some(&secret)).await.is_ok());
    assert_eq!(
        six.display(),
        format!("postgres@[::1]:{}/postgres", forward.port())
    );
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
