//! Each way in which a check can fail before its question is asked, by its code and by what was being waited for.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use howdah_domain::{Connection, FailureCode, Secret, Tls, TlsMode};
use howdah_postgres::check::{Question, check};
use howdah_testkit::tcp_gate::{Mischief, TcpGate, TcpRule, Way};
use howdah_testkit::{Cluster, Encryption, impostor};
use rstest::rstest;
use socket2::{Domain, Socket, Type};
use tokio_util::sync::CancellationToken;

use crate::{LIMIT, asking, failing, gone, good};

const SHORT: Duration = Duration::from_millis(700);

fn at_port(connection: &Connection, port: u16) -> Connection {
    Connection {
        port,
        ..connection.clone()
    }
}

#[tokio::test]
async fn a_server_that_was_killed_refuses() {
    let mut cluster = Cluster::start(17).await.unwrap();
    let (connection, secret) = (cluster.connection("postgres"), cluster.password());
    let by_socket = cluster.socket_connection("postgres");
    good(&connection, &secret, &Question::default()).await;
    cluster.kill();
    let refused = async |connection: &Connection| loop {
        // Its port is closed a moment after the signal.
        tokio::time::sleep(Duration::from_millis(100)).await;
        if std::net::TcpStream::connect((connection.host.as_str(), connection.port)).is_err() {
            break;
        }
    };
    refused(&connection).await;
    failing(
        &connection,
        &secret,
        &Question::default(),
        LIMIT,
        FailureCode::ConnectionRefused,
    )
    .await;
    failing(
        &by_socket,
        &secret,
        &Question::default(),
        LIMIT,
        FailureCode::ConnectionRefused,
    )
    .await;
}

#[rstest]
#[case(TlsMode::Disable)]
#[case(TlsMode::Prefer)]
#[tokio::test]
async fn a_frozen_server_takes_the_connection_and_lets_nobody_in(#[case] mode: TlsMode) {
    let cluster = Cluster::start(18).await.unwrap();
    let secret = cluster.password();
    let mut connection = cluster.connection("postgres");
    connection.tls.mode = mode;
    cluster.freeze();
    let found = failing(
        &connection,
        &secret,
        &Question::default(),
        SHORT,
        FailureCode::Timeout,
    )
    .await;
    let details = found.details.unwrap();
    assert!(
        details.contains("connected, but the login did not go on"),
        "{details}"
    );
    cluster.thaw();
    good(&connection, &secret, &Question::default()).await;
    gone(&cluster, Duration::from_secs(5)).await;
}

/// Listens, and has no room for another connection: what comes is dropped, as a firewall does it.
fn full_port() -> (Socket, Vec<TcpStream>, u16) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener
        .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        waiting.push(stream);
    }
    (listener, waiting, address.port())
}

#[tokio::test]
async fn a_port_that_drops_everything_gives_no_answer() {
    let (_listener, _waiting, port) = full_port();
    let connection = at_port(&impostor::stuck_listener().await.unwrap().connection(), port);
    let found = failing(
        &connection,
        &Secret::new("Kr0kodil"),
        &Question::default(),
        SHORT,
        FailureCode::Timeout,
    )
    .await;
    let details = found.details.unwrap();
    assert!(details.contains("no answer to the connection"), "{details}");
}

#[tokio::test]
async fn a_port_that_resets_has_closed_the_connection() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let resetting = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            socket2::SockRef::from(&stream)
                .set_linger(Some(Duration::ZERO))
                .unwrap();
        }
    });
    let mut connection = at_port(&impostor::stuck_listener().await.unwrap().connection(), port);
    for mode in [TlsMode::Disable, TlsMode::Prefer, TlsMode::Require] {
        connection.tls.mode = mode;
        let secret = Secret::new("Kr0kodil");
        failing(
            &connection,
            &secret,
            &Question::default(),
            LIMIT,
            FailureCode::ConnectionLost,
        )
        .await;
    }
    resetting.abort();
}

#[rstest]
#[tokio::test]
async fn a_server_without_a_free_slot_says_so(#[values(13, 18)] major: u16) {
    let cluster = Cluster::builder(major)
        .set("max_connections", "8")
        .set("superuser_reserved_connections", "3")
        .set("max_wal_senders", "0")
        .start()
        .await
        .unwrap();
    let secret = cluster.create_role("app", "").await.unwrap();
    let connection = cluster.connection_as("app", "postgres");
    good(&connection, &secret, &Question::default()).await;
    let mut taken = Vec::new();
    for _ in 0..5 {
        taken.push(cluster.client("postgres").await.unwrap());
    }
    failing(
        &connection,
        &secret,
        &Question::default(),
        LIMIT,
        FailureCode::TooManyConnections,
    )
    .await;
    drop(taken);
}

#[rstest]
#[tokio::test]
async fn what_the_login_refuses_is_told_by_its_name(#[values(13, 18)] major: u16) {
    let cluster = Cluster::start(major).await.unwrap();
    cluster.create_database("shop").await.unwrap();
    let secret = cluster.create_role("app", "").await.unwrap();
    let connection = cluster.connection_as("app", "shop");
    good(&connection, &secret, &Question::default()).await;
    cluster
        .sql("postgres", "ALTER ROLE app PASSWORD 'An0ther'")
        .await
        .unwrap();
    failing(
        &connection,
        &secret,
        &Question::default(),
        LIMIT,
        FailureCode::AuthenticationFailed,
    )
    .await;
    cluster.sql("postgres", "DROP DATABASE shop").await.unwrap();
    let secret = Secret::new("An0ther");
    failing(
        &connection,
        &secret,
        &Question::default(),
        LIMIT,
        FailureCode::DatabaseNotFound,
    )
    .await;
    let without = check(
        &connection,
        None,
        &Question::default(),
        LIMIT,
        &CancellationToken::new(),
    )
    .await;
    assert_eq!(without.unwrap_err().code(), FailureCode::PasswordRequired);
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_told() {
    let connection = Connection {
        host: "db.invalid".to_owned(),
        ..impostor::stuck_listener().await.unwrap().connection()
    };
    let secret = Secret::new("Kr0kodil");
    failing(
        &connection,
        &secret,
        &Question::default(),
        LIMIT,
        FailureCode::HostNotFound,
    )
    .await;
}

#[rstest]
#[case(Encryption::Forced)]
#[case(Encryption::ClientCertificate)]
#[tokio::test]
async fn a_server_with_tls_is_checked_as_its_mode_says(#[case] encryption: Encryption) {
    let cluster = Cluster::builder(18).encryption(encryption).start().await.unwrap();
    let secret = cluster.password();
    let files = cluster.certificates().unwrap().clone();
    let mut connection = Connection {
        host: "localhost".to_owned(),
        ..cluster.connection("postgres")
    };
    connection.tls = Tls {
        mode: TlsMode::VerifyFull,
        ca_file: Some(files.ca.clone()),
        certificate_file: Some(files.client_certificate.clone()),
        key_file: Some(files.client_key.clone()),
    };
    let version = "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    // Twice: settings are read once.
    for _ in 0..2 {
        good(&connection, &secret, &asking(version, Some("TLSv1.3"))).await;
    }
    gone(&cluster, Duration::from_secs(5)).await;
    connection.tls.ca_file = Some(files.stranger_ca.clone());
    failing(
        &connection,
        &secret,
        &Question::default(),
        LIMIT,
        FailureCode::TlsUntrusted,
    )
    .await;
    connection.tls.ca_file = Some(files.ca.with_file_name("gone.pem"));
    failing(
        &connection,
        &secret,
        &Question::default(),
        LIMIT,
        FailureCode::InvalidConnection,
    )
    .await;
}

#[tokio::test]
async fn something_else_that_listens_there_is_no_postgresql() {
    let web = impostor::web_server().await.unwrap();
    let secret = Secret::new("Kr0kodil");
    failing(
        &web.connection(),
        &secret,
        &Question::default(),
        LIMIT,
        FailureCode::NotPostgres,
    )
    .await;
    let stuck = impostor::stuck_listener().await.unwrap();
    let found = failing(
        &stuck.connection(),
        &secret,
        &Question::default(),
        SHORT,
        FailureCode::Timeout,
    )
    .await;
    assert!(found.details.unwrap().contains("the login did not go on"));
}

#[rstest]
#[case(Encryption::None)]
#[case(Encryption::Forced)]
#[tokio::test]
async fn a_connection_that_breaks_or_hangs_anywhere_is_told_in_time(#[case] encryption: Encryption) {
    let cluster = Cluster::builder(18).encryption(encryption).start().await.unwrap();
    let secret = cluster.password();
    let gate = TcpGate::before(cluster.port()).await.unwrap();
    let mut connection = at_port(&cluster.connection("postgres"), gate.port());
    connection.tls.mode = if encryption == Encryption::None {
        TlsMode::Disable
    } else {
        TlsMode::Require
    };
    let question = asking("SELECT 'the end'", Some("the end"));
    good(&connection, &secret, &question).await;
    let passed = gate.passed(Way::Down);
    for after in (0..passed).step_by(usize::try_from(passed / 12).unwrap()) {
        for mischief in [Mischief::Cut { after }, Mischief::Stall { after }] {
            gate.rule(TcpRule::new(Way::Down, mischief));
            // A busy machine may take long to log in.
            let limit = match mischief {
                Mischief::Stall { .. } => SHORT,
                _ => LIMIT,
            };
            let outcome = check(
                &connection,
                Some(&secret),
                &question,
                limit,
                &CancellationToken::new(),
            )
            .await;
            // The last bytes are the goodbye of TLS: without them the answer is as good.
            let Err(error) = outcome else {
                assert!(after > passed / 2, "{mischief:?} of {passed}");
                continue;
            };
            let code = error.code();
            let expected = match mischief {
                Mischief::Stall { .. } => [FailureCode::Timeout, FailureCode::Timeout],
                _ => [FailureCode::ConnectionLost, FailureCode::TlsUnavailable],
            };
            assert!(
                expected.contains(&code),
                "{mischief:?} of {passed}: {:#?}",
                error.to_failure()
            );
        }
    }
    good(&connection, &secret, &question).await;
    gone(&cluster, Duration::from_secs(5)).await;
}
