//! What the command does with PostgreSQLs of its own: drills, restores onto this machine, instances that go on.

#![allow(clippy::unwrap_used, reason = "helpers of tests may unwrap like the tests")]

mod drills;
mod instances;
mod killed;
mod options;
mod replacing;
#[path = "../support/mod.rs"]
mod support;

use howdah_store::Store;
use howdah_store::tables::instances::InstanceRow;
use howdah_testkit::Cluster;
use serde_json::Value;
use support::{Ended, Howdah, end, text};

/// A server with a shop, backed up.
async fn backed_up(howdah: &Howdah, major: u16, rows: u32) -> (Cluster, Value) {
    let cluster = Cluster::start(major).await.unwrap();
    cluster.create_database("shop").await.unwrap();
    cluster
        .sql(
            "shop",
            &format!(
                "CREATE TABLE orders (id int PRIMARY KEY, note text);
                 INSERT INTO orders SELECT n, repeat(md5(n::text), 4) FROM generate_series(1, {rows}) n;
                 CREATE TABLE lines AS SELECT id, note FROM orders;
                 CREATE INDEX ON lines (note);"
            ),
        )
        .await
        .unwrap();
    let backups = howdah.backups();
    let backup = howdah.json(["backup", "--url", &cluster.url("shop"), "--to", text(&backups)]);
    (cluster, backup)
}

/// A command that may open the file which a passphrase encrypts, in place of a keyring.
fn command(howdah: &Howdah, arguments: &[&str]) -> std::process::Command {
    let mut command = howdah.command(arguments.iter().copied());
    command
        .arg("--json")
        .env("HOWDAH_PASSPHRASE", "correct horse battery staple");
    command
}

/// Runs it to its end.
fn run(howdah: &Howdah, arguments: &[&str]) -> Ended {
    end(command(howdah, arguments).spawn().unwrap())
}

/// Runs it, and demands that it ends well.
fn object(howdah: &Howdah, arguments: &[&str]) -> Value {
    let ended = run(howdah, arguments);
    assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:?}");
    ended.object()
}

/// Every instance that the data directory knows, drills' ones too.
async fn instances(howdah: &Howdah) -> Vec<InstanceRow> {
    let store = Store::open(howdah.data_dir()).unwrap();
    store.read(howdah_store::tables::instances::list).await.unwrap()
}

/// Whether a process works in an instance's folder.
fn runs_in(folder: &std::path::Path) -> bool {
    let data = folder.join("data");
    std::fs::read_dir("/proc").unwrap().flatten().any(|process| {
        std::fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| {
            // The kernel marks a folder that is gone.
            cwd == data
                || cwd
                    .to_string_lossy()
                    .starts_with(&format!("{} (deleted)", data.display()))
        })
    })
}

/// What a statement answers, by the bundled psql.
fn psql(howdah: &Howdah, url: &str, sql: &str) -> String {
    let programs = howdah.json(["programs"]);
    let psql = programs["programs"]
        .as_array()
        .unwrap()
        .iter()
        .find(|program| program["name"] == "psql" && program["version"].as_str().unwrap().starts_with("17"))
        .unwrap()["path"]
        .as_str()
        .unwrap()
        .to_owned();
    let output = std::process::Command::new(psql)
        .args(["-X", "-A", "-t", "-c", sql, url])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
