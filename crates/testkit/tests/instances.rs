//! Instances as Howdah itself runs them: set up with initdb, closed properly, restarted after a bad end.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use howdah_domain::{Connection, FailureCode, Secret};
use howdah_postgres::account::Account;
use howdah_postgres::connect;
use howdah_postgres::instance::{self, Instance, Login, Options, Setup, Stop};
use howdah_postgres::programs::{Programs, ServerPrograms};
use tokio_util::sync::CancellationToken;

/// A folder for an instance that the account of instances can reach, and the programs of a major.
fn place(major: u16) -> anyhow::Result<(tempfile::TempDir, PathBuf, ServerPrograms)> {
    let above = tempfile::tempdir()?;
    fs::set_permissions(above.path(), fs::Permissions::from_mode(0o755))?;
    let folder = above.path().join("instance");
    Ok((above, folder, Programs::locate(None)?.server(major)?))
}

fn quick() -> Setup {
    Setup {
        durable: false,
        ..Setup::default()
    }
}

async fn ask(connection: &Connection, password: Option<&Secret>, query: &str) -> anyhow::Result<String> {
    let patience = Duration::from_secs(5);
    let session = connect(
        connection,
        password,
        "testkit",
        patience,
        &CancellationToken::new(),
    )
    .await?;
    let messages = session.client.simple_query(query).await?;
    let value = messages.iter().find_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    Ok(value.unwrap_or_default())
}

#[tokio::test]
async fn a_new_instance_keeps_its_password_to_itself_and_its_data_over_a_stop() -> anyhow::Result<()> {
    let (_above, folder, programs) = place(17)?;
    let (never, setup) = (CancellationToken::new(), quick());
    instance::create(&programs, &folder, &setup, &never).await?;
    let left: Vec<_> = fs::read_dir(&folder)?
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    assert_eq!(left, ["data"], "the password's file must be gone");

    let options = Options::for_setup(&setup);
    let running = Instance::start(&programs, &folder, &options, &never).await?;
    let arguments = fs::read_to_string(format!("/proc/{}/cmdline", running.pid()))?;
    assert!(!arguments.contains(setup.password.expose()));
    let (tcp, socket) = (running.connection(), running.socket_connection());
    assert_eq!(tcp.host, "127.0.0.1");
    assert!(ask(&socket, None, "SELECT 1").await.is_err());
    assert!(ask(&tcp, Some(&Secret::new("wrong")), "SELECT 1").await.is_err());
    let encoding = "SELECT pg_encoding_to_char(encoding) || ' ' || datcollate FROM pg_database WHERE datname = 'postgres'";
    assert_eq!(ask(&tcp, Some(&setup.password), encoding).await?, "UTF8 C.UTF-8");
    ask(&tcp, Some(&setup.password), "CREATE TABLE kept AS SELECT 42 AS n").await?;
    running.stop(Stop::Fast, Duration::from_secs(20), &never).await?;
    assert!(!folder.join("data/postmaster.pid").exists());

    let again = Instance::start(&programs, &folder, &options, &never).await?;
    assert!(
        again.log().contains("database system was shut down"),
        "{}",
        again.log()
    );
    assert_eq!(
        ask(&again.connection(), Some(&setup.password), "SELECT n FROM kept").await?,
        "42"
    );
    Ok(())
}

#[tokio::test]
async fn dropping_an_instance_closes_its_cluster_properly() -> anyhow::Result<()> {
    let (_above, folder, programs) = place(16)?;
    let (never, setup) = (CancellationToken::new(), quick());
    instance::create(&programs, &folder, &setup, &never).await?;
    let running = Instance::start(&programs, &folder, &Options::for_setup(&setup), &never).await?;
    let pid = running.pid();
    drop(running);
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
    assert!(!folder.join("data/postmaster.pid").exists());
    Ok(())
}

#[tokio::test]
async fn an_instance_without_tcp_in_a_deep_folder_has_a_short_socket() -> anyhow::Result<()> {
    let (above, _, programs) = place(18)?;
    let folder = above.path().join("d".repeat(60)).join("e".repeat(60));
    let (never, setup) = (CancellationToken::new(), quick());
    fs::create_dir_all(&folder)?;
    instance::create(&programs, &folder, &setup, &never).await?;
    let options = Options {
        tcp: false,
        login: Login::TrustOnSocket,
        ..Options::for_setup(&setup)
    };
    let running = Instance::start(&programs, &folder, &options, &never).await?;
    let connection = running.connection();
    assert!(
        connection.is_socket() && connection.host.len() < 60,
        "{connection:?}"
    );
    assert_eq!(ask(&connection, None, "SHOW listen_addresses").await?, "");
    let tcp = Connection {
        host: "127.0.0.1".into(),
        ..connection
    };
    assert!(ask(&tcp, Some(&setup.password), "SELECT 1").await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_lock_left_by_a_dead_postmaster_does_not_stop_the_next() -> anyhow::Result<()> {
    let (_above, folder, programs) = place(14)?;
    let (never, setup) = (CancellationToken::new(), quick());
    instance::create(&programs, &folder, &setup, &never).await?;
    let options = Options::for_setup(&setup);
    let running = Instance::start(&programs, &folder, &options, &never).await?;
    let lock = folder.join("data/postmaster.pid");
    let text = fs::read_to_string(&lock)?;
    running.stop(Stop::Fast, Duration::from_secs(20), &never).await?;

    // As if the machine had started anew and this very test had been given the number.
    let (_, rest) = text.split_once('\n').expect("it has lines");
    fs::write(&lock, format!("{}\n{rest}", std::process::id()))?;
    Account::for_instances()?.own(&lock)?;
    let again = Instance::start(&programs, &folder, &options, &never).await?;
    assert!(!again.has_ended());

    // One that is alive and works there is not pushed aside.
    let hurried = Options {
        patience: Duration::from_millis(300),
        ..options
    };
    let refused = Instance::start(&programs, &folder, &hurried, &never).await;
    assert_eq!(refused.expect_err("two at once").code(), FailureCode::Busy);
    assert!(!again.has_ended());
    Ok(())
}

#[tokio::test]
async fn an_instance_that_cannot_start_says_what_its_log_says() -> anyhow::Result<()> {
    let (_above, folder, programs) = place(15)?;
    let (never, setup) = (CancellationToken::new(), quick());
    instance::create(&programs, &folder, &setup, &never).await?;
    let options = Options::for_setup(&setup).set("shared_buffers", "not a size");
    let failed = Instance::start(&programs, &folder, &options, &never).await;
    let failure = failed.expect_err("it must not start").to_failure();
    assert_eq!(failure.code, FailureCode::ProgramFailed);
    assert!(failure.details.unwrap_or_default().contains("shared_buffers"));
    Ok(())
}

#[tokio::test]
async fn cancelling_initdb_leaves_no_cluster() -> anyhow::Result<()> {
    let (_above, folder, programs) = place(13)?;
    let cancel = CancellationToken::new();
    let soon = cancel.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(120)).await;
        soon.cancel();
    });
    let began = Instant::now();
    let error = instance::create(&programs, &folder, &Setup::default(), &cancel)
        .await
        .expect_err("cancelled");
    assert!(error.is_cancelled());
    assert!(began.elapsed() < Duration::from_secs(5));
    assert!(!folder.join("data").exists());
    Ok(())
}
