//! What howdah says of wrong usage and bad servers: exit codes, one JSON object, no password anywhere.

#![allow(clippy::unwrap_used, reason = "helpers of tests may unwrap like the tests")]

mod support;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use howdah_testkit::Cluster;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rstest::rstest;

use support::{Howdah, end, files, text};

#[rstest]
#[case(&[])]
#[case(&["nonsense"])]
#[case(&["backup", "--to", "/x", "--level", "99"])]
#[case(&["backup", "--url", "postgres://h/d"])]
#[case(&["restore", "x", "--create", "--clean"])]
#[case(&["backup", "--to", "/x", "--table", "no_schema"])]
fn wrong_usage_exits_with_2(#[case] arguments: &[&str]) {
    let howdah = Howdah::new();
    let ended = howdah.run(arguments.iter().copied());
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stdout.is_empty(), "{ended:?}");
    assert!(!ended.stderr.is_empty());
    let ended = howdah.run(arguments.iter().copied().chain(["--json"]));
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert_eq!(ended.failure_code(), "invalid_input");
}

#[test]
fn help_and_version_are_no_errors() {
    let howdah = Howdah::new();
    for argument in ["--help", "--version", "help"] {
        let ended = howdah.run([argument]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.stdout.contains("howdah"), "{ended:?}");
    }
}

#[rstest]
#[case("postgres://u@127.0.0.1:1/d", "connection_refused")]
#[case("postgres://u@no-such-host.invalid/d", "host_not_found")]
#[case("mysql://u@h/d", "invalid_connection")]
fn a_server_that_cannot_be_reached_exits_with_1_and_leaves_nothing(#[case] url: &str, #[case] code: &str) {
    let howdah = Howdah::new();
    let ended = howdah.run(["backup", "--url", url, "--to", text(&howdah.backups()), "--json"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_eq!(ended.failure_code(), code);
    assert!(files(&howdah.backups()).is_empty());
}

#[test]
fn a_backup_that_is_not_there_is_told() {
    let howdah = Howdah::new();
    for command in ["verify", "show"] {
        for named in ["/nowhere/at/all", "20261122T040000Z-k3x9qa"] {
            let ended = howdah.run([command, named, "--json"]);
            assert_eq!(ended.code, Some(1), "{ended:?}");
            assert_eq!(ended.failure_code(), "backup_not_found");
        }
        let ended = howdah.run([command, text(howdah.place.path()), "--json"]);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert_eq!(ended.failure_code(), "backup_unreadable");
    }
}

/// A server on which a dump waits for a lock until it is told to go on.
struct Waiting {
    cluster: Cluster,
    locker: tokio_postgres::Client,
}

impl Waiting {
    async fn start() -> Self {
        let cluster = Cluster::start(17).await.unwrap();
        cluster.create_database("shop").await.unwrap();
        cluster
            .sql(
                "shop",
                "CREATE TABLE orders AS SELECT i, 'order ' || i FROM generate_series(1, 1000) AS i",
            )
            .await
            .unwrap();
        let locker = cluster.client("shop").await.unwrap();
        locker
            .batch_execute("BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
            .await
            .unwrap();
        Self { cluster, locker }
    }

    /// Waits until pg_dump waits.
    async fn until_it_waits(&self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let waiting = self
                .cluster
                .one("postgres", "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'LOCK%'")
                .await
                .unwrap();
            if waiting != "0" {
                return;
            }
            assert!(Instant::now() < deadline, "pg_dump never waited for the lock");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Whether a file under a folder holds a text.
fn holds(folder: &Path, text: &str) -> bool {
    files(folder).iter().any(|file| {
        let bytes = std::fs::read(file).unwrap();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

/// The command lines of every process of this machine.
fn command_lines() -> Vec<String> {
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|item| std::fs::read(item.ok()?.path().join("cmdline")).ok())
        .map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " "))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_password_is_in_arguments_output_or_files() {
    let waiting = Waiting::start().await;
    let howdah = Howdah::new();
    // A password of this test's own: clusters share the superuser's, which other tests put into URLs.
    let password = waiting.cluster.create_role("guarded", "SUPERUSER").await.unwrap();
    let connection = waiting.cluster.connection("shop");
    let url = format!("postgres://guarded@{}:{}/shop", connection.host, connection.port);
    let child = howdah
        .command(["backup", "--url", &url, "--to", text(&howdah.backups()), "--json"])
        .env("PGPASSWORD", password.expose())
        .env("HOWDAH_LOG", "trace")
        .spawn()
        .unwrap();
    waiting.until_it_waits().await;
    let lines = command_lines();
    assert!(
        lines.iter().any(|line| line.contains("pg_dump")),
        "pg_dump is at work"
    );
    assert!(lines.iter().all(|line| !line.contains(password.expose())));
    waiting.locker.batch_execute("ROLLBACK").await.unwrap();
    let ended = tokio::task::spawn_blocking(move || end(child)).await.unwrap();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.stdout.contains(password.expose()));
    assert!(!ended.stderr.contains(password.expose()));
    assert!(!files(&howdah.data_dir()).is_empty());
    assert!(!holds(howdah.place.path(), password.expose()));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_signal_cancels_and_leaves_nothing(#[values(Signal::SIGINT, Signal::SIGTERM)] signal: Signal) {
    let waiting = Waiting::start().await;
    let howdah = Howdah::new();
    let child = howdah
        .command([
            "backup",
            "--url",
            &waiting.cluster.url("shop"),
            "--to",
            text(&howdah.backups()),
            "--json",
        ])
        .spawn()
        .unwrap();
    waiting.until_it_waits().await;
    let began = Instant::now();
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
    let ended = tokio::task::spawn_blocking(move || end(child)).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_eq!(ended.failure_code(), "cancelled");
    assert!(
        files(&howdah.backups()).is_empty(),
        "{:?}",
        files(&howdah.backups())
    );
    let port = waiting.cluster.port().to_string();
    assert!(
        command_lines()
            .iter()
            .all(|line| !(line.contains("pg_dump") && line.contains(&port))),
        "no pg_dump is left"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_kill_left_is_removed_by_the_next_command() {
    let waiting = Waiting::start().await;
    let howdah = Howdah::new();
    let url = waiting.cluster.url("shop");
    let mut child = howdah
        .command(["backup", "--url", &url, "--to", text(&howdah.backups())])
        .spawn()
        .unwrap();
    waiting.until_it_waits().await;
    child.kill().unwrap();
    child.wait().unwrap();
    waiting.locker.batch_execute("ROLLBACK").await.unwrap();
    let backup = howdah.json(["backup", "--url", &url, "--to", text(&howdah.backups())]);
    let folder = Path::new(backup["path"].as_str().unwrap());
    assert!(
        files(&howdah.backups())
            .iter()
            .all(|file| file.starts_with(folder)),
        "{:?}",
        files(&howdah.backups())
    );
}

#[test]
fn the_demo_proves_its_backup_and_leaves_nothing() {
    let howdah = Howdah::new();
    let temporary = howdah.place.path().join("tmp");
    std::fs::create_dir(&temporary).unwrap();
    // The sample server may run as another account, which has to get there.
    for folder in [howdah.place.path(), &temporary] {
        let open = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
        std::fs::set_permissions(folder, open).unwrap();
    }
    let ended = end(howdah
        .command(["demo", "--json"])
        .env("TMPDIR", &temporary)
        .spawn()
        .unwrap());
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let object = ended.object();
    assert_eq!(object["proved"], true, "{object}");
    assert!(object["rows"].as_u64().unwrap() > 100_000, "{object}");
    assert_eq!(object["mismatches"].as_array().unwrap().len(), 0);
    let left: Vec<_> = std::fs::read_dir(&temporary).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(!howdah.data_dir().exists(), "the demo needs no data directory");
}

#[test]
fn an_interrupted_demo_leaves_nothing() {
    let howdah = Howdah::new();
    let temporary = howdah.place.path().join("tmp");
    std::fs::create_dir(&temporary).unwrap();
    for folder in [howdah.place.path(), &temporary] {
        let open = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
        std::fs::set_permissions(folder, open).unwrap();
    }
    let child = howdah
        .command(["demo"])
        .env("TMPDIR", &temporary)
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let started = || {
        command_lines()
            .iter()
            .any(|line| line.contains(text(&temporary)) && line.contains("postgres"))
    };
    while !started() {
        assert!(Instant::now() < deadline, "the sample server never came");
        std::thread::sleep(Duration::from_millis(20));
    }
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
    let ended = end(child);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let left: Vec<_> = std::fs::read_dir(&temporary).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(!started(), "no server is left");
}

#[test]
fn a_reader_that_has_gone_is_no_error() {
    let howdah = Howdah::new();
    let status = Command::new("sh")
        .args(["-c", r#""$0" programs | true"#, env!("CARGO_BIN_EXE_howdah")])
        .env("HOWDAH_DATA_DIR", howdah.data_dir())
        .status()
        .unwrap();
    assert!(status.success());
}
