//! Every major starts, does what a test needs of it, and leaves nothing behind.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use howdah_domain::{Connection, FailureCode, Secret, Tls, TlsMode};
use howdah_postgres::children::{self, Parting};
use howdah_postgres::connect;
use howdah_testkit::{Cluster, Encryption, PgBouncer, PoolMode, impostor};
use rstest::rstest;
use tokio_util::sync::CancellationToken;

/// What Howdah's own connecting makes of a server: the server's version, or the failure's code.
async fn reach(connection: &Connection, password: &Secret) -> Result<u16, FailureCode> {
    let patience = Duration::from_secs(3);
    let session = connect(
        connection,
        Some(password),
        "testkit",
        patience,
        &CancellationToken::new(),
    )
    .await;
    session
        .map(|session| session.server_version.major)
        .map_err(|error| error.code())
}

fn is_there(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[rstest]
#[tokio::test]
async fn a_cluster_of_every_major_starts_and_leaves_no_process(
    #[values(13, 14, 15, 16, 17, 18)] major: u16,
) -> anyhow::Result<()> {
    let cluster = Cluster::start(major).await?;
    let version: u32 = cluster
        .one("postgres", "SHOW server_version_num")
        .await?
        .parse()?;
    assert_eq!(version / 10_000, u32::from(major));
    let (pid, folder) = (cluster.pid(), cluster.folder().to_path_buf());
    let backends = format!("/proc/{pid}/task/{pid}/children");
    let children: Vec<u32> = std::fs::read_to_string(backends)?
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect();
    assert!(folder.is_dir() && children.len() > 2);
    drop(cluster);
    assert!(!is_there(pid) && !children.iter().any(|pid| is_there(*pid)));
    assert!(!folder.exists());
    Ok(())
}

#[tokio::test]
async fn passwords_are_asked_for_and_roles_have_their_own() -> anyhow::Result<()> {
    let cluster = Cluster::start(17).await?;
    let ada = cluster.create_role("Ada \"L\"", "NOSUPERUSER").await?;
    let connection = cluster.connection_as("Ada \"L\"", "postgres");
    assert_eq!(reach(&connection, &ada).await, Ok(17));
    assert_eq!(
        reach(&connection, &cluster.password()).await,
        Err(FailureCode::AuthenticationFailed)
    );
    assert_eq!(
        reach(&cluster.socket_connection("postgres"), &cluster.password()).await,
        Ok(17)
    );
    assert_eq!(
        reach(&cluster.connection("nowhere"), &cluster.password()).await,
        Err(FailureCode::DatabaseNotFound)
    );
    let url = url::Url::parse(&cluster.url_for("Ada \"L\"", &ada, "my db"))?;
    assert_eq!((url.path(), url.username()), ("/my%20db", "Ada%20%22L%22"));
    Ok(())
}

#[rstest]
#[case::none_refuses_those_who_demand_it(
    Encryption::None,
    TlsMode::Require,
    Err(FailureCode::TlsUnavailable)
)]
#[case::offered_serves_those_without(Encryption::Offered, TlsMode::Disable, Ok(16))]
#[case::offered_serves_those_who_verify(Encryption::Offered, TlsMode::VerifyFull, Ok(16))]
#[case::forced_turns_away_those_without(Encryption::Forced, TlsMode::Disable, Err(FailureCode::TlsRequired))]
#[case::forced_serves_the_rest(Encryption::Forced, TlsMode::Prefer, Ok(16))]
#[tokio::test]
async fn tls_is_as_the_test_wants_it(
    #[case] encryption: Encryption,
    #[case] mode: TlsMode,
    #[case] expected: Result<u16, FailureCode>,
) -> anyhow::Result<()> {
    let cluster = Cluster::builder(16).encryption(encryption).start().await?;
    let mut connection = cluster.connection("postgres");
    connection.tls.mode = mode;
    connection.tls.ca_file = cluster.certificates().map(|files| files.ca.clone());
    assert_eq!(reach(&connection, &cluster.password()).await, expected);
    Ok(())
}

#[tokio::test]
async fn a_stranger_is_not_trusted_and_a_client_certificate_can_be_demanded() -> anyhow::Result<()> {
    let cluster = Cluster::builder(18)
        .encryption(Encryption::ClientCertificate)
        .start()
        .await?;
    let files = cluster.certificates().expect("TLS was asked for").clone();
    let with = |ca: &Path, own: bool| Connection {
        tls: Tls {
            mode: TlsMode::VerifyFull,
            ca_file: Some(ca.to_path_buf()),
            certificate_file: own.then(|| files.client_certificate.clone()),
            key_file: own.then(|| files.client_key.clone()),
        },
        ..cluster.connection("postgres")
    };
    let password = cluster.password();
    assert_eq!(
        reach(&with(&files.stranger_ca, true), &password).await,
        Err(FailureCode::TlsUntrusted)
    );
    assert_eq!(
        reach(&with(&files.ca, false), &password).await,
        Err(FailureCode::TlsRequired)
    );
    assert_eq!(reach(&with(&files.ca, true), &password).await, Ok(18));
    Ok(())
}

#[tokio::test]
async fn settings_and_access_rules_are_the_tests_own() -> anyhow::Result<()> {
    let cluster = Cluster::builder(15)
        .set("max_connections", "7")
        .set("shared_preload_libraries", "pg_stat_statements")
        .hba("host all nosy 127.0.0.1/32 reject")
        .start()
        .await?;
    assert_eq!(cluster.one("postgres", "SHOW max_connections").await?, "7");
    cluster
        .sql(
            "postgres",
            "CREATE EXTENSION pg_stat_statements; SELECT * FROM pg_stat_statements",
        )
        .await?;
    let password = cluster.create_role("nosy", "").await?;
    let nosy = cluster.connection_as("nosy", "postgres");
    assert_eq!(reach(&nosy, &password).await, Err(FailureCode::NotAllowedByHba));
    Ok(())
}

#[tokio::test]
async fn a_killed_cluster_comes_back_with_what_was_committed() -> anyhow::Result<()> {
    let mut cluster = Cluster::start(14).await?;
    cluster
        .sql("postgres", "CREATE TABLE t AS SELECT 1 AS a; CHECKPOINT")
        .await?;
    let pid = cluster.pid();
    cluster.kill();
    cluster.start_again().await?;
    assert_ne!(cluster.pid(), pid);
    assert_eq!(cluster.one("postgres", "SELECT a FROM t").await?, "1");
    cluster.stop().await?;
    cluster.start_again().await?;
    assert_eq!(cluster.one("postgres", "SELECT a FROM t").await?, "1");
    Ok(())
}

#[tokio::test]
async fn a_frozen_cluster_answers_nobody_until_it_is_thawed() -> anyhow::Result<()> {
    let cluster = Cluster::start(13).await?;
    let client = cluster.client("postgres").await?;
    cluster.freeze();
    let asked = tokio::time::timeout(Duration::from_millis(300), client.simple_query("SELECT 1")).await;
    assert!(asked.is_err());
    assert_eq!(
        reach(&cluster.connection("postgres"), &cluster.password()).await,
        Err(FailureCode::Timeout)
    );
    cluster.thaw();
    client.simple_query("SELECT 1").await?;
    // One that is still frozen at its end must not outlive the test.
    cluster.freeze();
    let pid = cluster.pid();
    drop(cluster);
    assert!(!is_there(pid));
    Ok(())
}

#[rstest]
#[case::session(PoolMode::Session, "1")]
#[case::transaction(PoolMode::Transaction, "0")]
#[tokio::test]
async fn pgbouncer_serves_the_superuser_and_the_roles_it_was_told(
    #[case] mode: PoolMode,
    #[case] kept: &str,
) -> anyhow::Result<()> {
    let cluster = Cluster::start(17).await?;
    let ada = cluster.create_role("ada", "").await?;
    let pooler = PgBouncer::start(&cluster, mode, &[("ada", &ada)])?;
    assert_ne!(pooler.port(), cluster.port());
    assert_eq!(
        reach(
            &pooler.connection(&cluster.connection("postgres")),
            &cluster.password()
        )
        .await,
        Ok(17)
    );

    // Two clients at once: in transaction mode the second takes over the session of the first between transactions.
    let mut config = tokio_postgres::Config::new();
    config
        .host("127.0.0.1")
        .port(pooler.port())
        .user("ada")
        .password(ada.expose())
        .dbname("postgres");
    let (first, connection) = config.connect(tokio_postgres::NoTls).await?;
    tokio::spawn(connection);
    let (second, connection) = config.connect(tokio_postgres::NoTls).await?;
    tokio::spawn(connection);
    let pid = "SELECT pg_backend_pid()";
    let of = |messages: Vec<tokio_postgres::SimpleQueryMessage>| {
        messages.into_iter().find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        })
    };
    let (one, two) = (
        of(first.simple_query(pid).await?),
        of(second.simple_query(pid).await?),
    );
    assert!(one.is_some());
    assert_eq!(if one == two { "0" } else { "1" }, kept);
    Ok(())
}

#[tokio::test]
async fn impostors_are_told_apart() -> anyhow::Result<()> {
    let password = Secret::new("any");
    let stuck = impostor::stuck_listener().await?;
    assert_eq!(
        reach(&stuck.connection(), &password).await,
        Err(FailureCode::Timeout)
    );
    let web = impostor::web_server().await?;
    assert_eq!(
        reach(&web.connection(), &password).await,
        Err(FailureCode::NotPostgres)
    );
    let ssh = impostor::banner_server(b"SSH-2.0-OpenSSH_9.2p1\r\n").await?;
    assert_eq!(
        reach(&ssh.connection(), &password).await,
        Err(FailureCode::NotPostgres)
    );
    let old = impostor::postgres_of_version("12.22").await?;
    let answered = reach(&old.connection(), &password).await;
    assert!(
        matches!(answered, Ok(12) | Err(FailureCode::UnsupportedVersion)),
        "{answered:?}"
    );
    Ok(())
}

/// The other half of the test below: starts a cluster, tells its process numbers, and waits to be killed.
#[tokio::test]
async fn start_a_cluster_and_wait_when_told_to() -> anyhow::Result<()> {
    let Ok(file) = std::env::var("HOWDAH_TEST_CLUSTER_NUMBER") else {
        return Ok(());
    };
    let cluster = Cluster::start(18).await?;
    let _busy = cluster.client("postgres").await?;
    let line = format!("{} {}", cluster.pid(), cluster.folder().display());
    let unfinished = format!("{file}.new");
    std::fs::write(&unfinished, line)?;
    std::fs::rename(&unfinished, &file)?;
    tokio::time::sleep(Duration::from_secs(60)).await;
    Ok(())
}

#[tokio::test]
async fn no_postgres_outlives_a_process_that_is_killed_with_9() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("number");
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["--exact", "start_a_cluster_and_wait_when_told_to"])
        .env("HOWDAH_TEST_CLUSTER_NUMBER", &file);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut parent = children::spawn(command, Parting::Kill)?;
    let within = async |what: &str, mut holds: Box<dyn FnMut() -> bool>| {
        for _ in 0..1500 {
            if holds() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{what} did not happen");
    };
    let told = file.clone();
    within("the start of the cluster", Box::new(move || told.exists())).await;
    let line = std::fs::read_to_string(&file)?;
    let (pid, left) = line.split_once(' ').expect("a number and a folder");
    let pid: u32 = pid.parse()?;
    assert!(is_there(pid));
    parent.kill_group();
    parent.wait(&CancellationToken::new()).await?;
    within("the end of postgres", Box::new(move || !is_there(pid))).await;
    // Its folder goes when the next cluster starts, here or in a test beside this one.
    let _next = Cluster::start(18).await?;
    assert!(!Path::new(left).exists());
    Ok(())
}
