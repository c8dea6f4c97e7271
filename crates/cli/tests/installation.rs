//! `howdah server`, `plan`, `status` and `run` on a data directory, with passwords in a file that a passphrase encrypts.

#![allow(clippy::unwrap_used, reason = "helpers of tests may unwrap like the tests")]

mod support;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStderr, Command};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use howdah_testkit::Cluster;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use support::{Ended, Howdah, end, text};

async fn shop() -> Cluster {
    let cluster = Cluster::start(17).await.unwrap();
    cluster.create_database("shop").await.unwrap();
    cluster
        .sql(
            "shop",
            "CREATE TABLE orders AS SELECT generate_series(1, 10) AS id",
        )
        .await
        .unwrap();
    cluster
}

fn command(howdah: &Howdah, arguments: &[&str]) -> Command {
    let mut command = howdah.command(arguments.iter().copied());
    command.env("HOWDAH_PASSPHRASE", "a passphrase of the test's own");
    command
}

fn run(howdah: &Howdah, arguments: &[&str]) -> Ended {
    end(command(howdah, arguments).spawn().unwrap())
}

fn json(howdah: &Howdah, arguments: &[&str]) -> Value {
    let ended = run(howdah, &[arguments, &["--json"]].concat());
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended.object()
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_and_plans_are_added_tested_listed_and_removed() {
    let cluster = shop().await;
    let howdah = Howdah::new();
    let added = json(
        &howdah,
        &[
            "server",
            "add",
            &cluster.url("shop"),
            "--name",
            "shop",
            "--environment",
            "production",
        ],
    );
    assert_eq!(added["server"]["name"], "shop");
    assert_eq!(added["server"]["has_password"], true);
    assert!(!added.to_string().contains(cluster.password().expose()));

    let tested = json(&howdah, &["server", "test", "shop"]);
    assert_eq!(tested["ok"], true, "{tested}");

    let backups = howdah.backups();
    let plan = json(
        &howdah,
        &[
            "plan",
            "add",
            "shop",
            "--to",
            text(&backups),
            "--schedule",
            "weekly mon,thu 04:00",
            "--time-zone",
            "Europe/Prague",
        ],
    );
    assert_eq!(plan["plan"]["scope"]["name"], "shop");
    assert_eq!(
        plan["plan"]["schedule"]["days"],
        serde_json::json!(["monday", "thursday"])
    );
    assert_eq!(plan["next_runs"].as_array().unwrap().len(), 5);

    assert_eq!(
        json(&howdah, &["plan", "list"])["plans"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        json(&howdah, &["server", "list"])["servers"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let status = json(&howdah, &["status"]);
    assert_eq!(status["databases"][0]["name"], "shop");
    assert_eq!(status["databases"][0]["status"], "never");
    let words = run(&howdah, &["status"]);
    assert!(words.stdout.contains("1 thing needs you"), "{words:?}");

    let id = plan["plan"]["id"].as_str().unwrap();
    json(&howdah, &["plan", "remove", id]);
    json(&howdah, &["server", "remove", "shop"]);
    assert_eq!(
        json(&howdah, &["server", "list"])["servers"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
    let gone = run(&howdah, &["server", "remove", "shop", "--json"]);
    assert_eq!(gone.code, Some(1));
    assert_eq!(gone.failure_code(), "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_would_not_do_fails_its_test() {
    let cluster = shop().await;
    let howdah = Howdah::new();
    let role = cluster.create_role("nosy", "").await.unwrap();
    let url = cluster.url_for("nosy", &role, "shop");
    json(&howdah, &["server", "add", &url, "--name", "shop"]);
    let tested = run(&howdah, &["server", "test", "shop", "--json"]);
    assert_eq!(tested.code, Some(1), "{tested:?}");
    assert_eq!(tested.failure_code(), "permission_denied");
    assert_eq!(tested.object()["ok"], false);
    let words = run(&howdah, &["server", "test", "shop"]);
    assert!(words.stdout.contains("FAILED"), "{words:?}");
}

/// Waits until something is so, at most half a minute.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Gathers what a process says on standard error.
fn listen(stderr: ChildStderr) -> Arc<Mutex<String>> {
    let said = Arc::new(Mutex::new(String::new()));
    std::thread::spawn({
        let said = Arc::clone(&said);
        move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                said.lock().unwrap().push_str(&(line + "\n"));
            }
        }
    });
    said
}

fn terminate(child: Child) -> Ended {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGTERM).unwrap();
    end(child)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schedule_runs_in_the_foreground_once_per_data_directory() {
    let cluster = shop().await;
    let howdah = Howdah::new();
    json(
        &howdah,
        &["server", "add", &cluster.url("shop"), "--name", "shop"],
    );
    let backups = howdah.backups();
    json(
        &howdah,
        &[
            "plan",
            "add",
            "shop",
            "--to",
            text(&backups),
            "--schedule",
            "* * * * *",
        ],
    );

    let mut first = command(&howdah, &["run"]).spawn().unwrap();
    let said = listen(first.stderr.take().unwrap());
    until("the schedule has an owner", || {
        said.lock().unwrap().contains("runs the schedule")
    });
    let second = run(&howdah, &["run", "--json"]);
    assert_eq!(second.code, Some(1), "{second:?}");
    assert_eq!(second.failure_code(), "busy");
    let deadline = Instant::now() + Duration::from_secs(90);
    let made = loop {
        let known = json(&howdah, &["list"]);
        if known["backups"].as_array().unwrap().len() == 1 {
            break known;
        }
        assert!(
            Instant::now() < deadline,
            "the schedule made no backup within a minute and a half"
        );
        std::thread::sleep(Duration::from_millis(500));
    };
    // An id that the data directory knows is as good as a folder.
    let id = made["backups"][0]["id"].as_str().unwrap();
    assert_eq!(json(&howdah, &["verify", id])["whole"], true);
    let ended = terminate(first);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let said = said.lock().unwrap();
    assert!(said.contains("shop on shop: succeeded"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_of_a_newer_howdah_is_left_alone_and_does_not_keep_a_restore_from_being_made() {
    let cluster = shop().await;
    let howdah = Howdah::new();
    let backups = howdah.backups();
    let backup = json(
        &howdah,
        &["backup", "--url", &cluster.url("shop"), "--to", text(&backups)],
    );
    let file = howdah.data_dir().join("howdah.db");
    let database = howdah_store::Connection::open(&file).unwrap();
    database.pragma_update(None, "user_version", 9999).unwrap();
    drop(database);
    let before = std::fs::read(&file).unwrap();

    for arguments in [
        &["status", "--json"][..],
        &["server", "list", "--json"],
        &[
            "backup",
            "--url",
            &cluster.url("shop"),
            "--to",
            text(&backups),
            "--json",
        ],
    ] {
        let ended = run(&howdah, arguments);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert_eq!(ended.failure_code(), "data_dir_newer");
    }
    let path = backup["path"].as_str().unwrap();
    let restored = run(
        &howdah,
        &[
            "restore",
            path,
            "--url",
            &cluster.url("again"),
            "--create",
            "--json",
        ],
    );
    assert_eq!(restored.code, Some(0), "{restored:?}");
    assert_eq!(restored.object()["proved"], true);
    assert!(
        restored.stderr.contains("this restore is not recorded"),
        "{restored:?}"
    );
    assert_eq!(std::fs::read(&file).unwrap(), before);
}
