//! Two processes on two data directories, as two machines are: one plan, one bucket, and each due time served once.

#![allow(clippy::unwrap_used)]

mod support;

use std::process::Child;
use std::time::{Duration, Instant};

use howdah_testkit::Cluster;
use howdah_testkit::moto::Moto;
use howdah_testkit::rclone::{PASSWORD, USER};
use support::Howdah;

/// A process that is ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A command with a keyring in a file and the bucket's key.
fn command(machine: &Howdah, all: &[&str]) -> std::process::Command {
    let mut command = machine.command(all.iter().copied());
    command
        .env("HOWDAH_PASSPHRASE", "a keyring in a file")
        .env("HOWDAH_DESTINATION_SECRET", PASSWORD);
    command
}

fn good(machine: &Howdah, all: &[&str]) -> serde_json::Value {
    let ended = support::end(command(machine, all).spawn().unwrap());
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended.object()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_serve_each_due_time_once() {
    let cluster = Cluster::start(18).await.unwrap();
    cluster
        .sql("postgres", "CREATE TABLE t AS SELECT generate_series(1, 10) n")
        .await
        .unwrap();
    let moto = tokio::task::spawn_blocking(Moto::start).await.unwrap().unwrap();
    let bucket = format!(
        "s3://backups/laptops?endpoint=http://127.0.0.1:{}&region=us-east-1&key-id={USER}",
        moto.port()
    );
    let url = cluster.url("postgres");
    let machines = [Howdah::new(), Howdah::new()];
    for machine in &machines {
        good(machine, &["server", "add", &url, "--name", "shop", "--json"]);
        let plan = [
            "plan",
            "add",
            "shop",
            "--schedule",
            "* * * * *",
            "--to",
            &bucket,
            "--json",
        ];
        good(machine, &plan);
    }
    let running: Vec<Running> = machines
        .iter()
        .map(|machine| Running(command(machine, &["run", "--quiet"]).spawn().unwrap()))
        .collect();
    // Each has served a due time, by a backup or by leaving it to the other.
    let served = |machine: &Howdah| good(machine, &["status", "--json"])["databases"][0]["last_run"].clone();
    let begun = Instant::now();
    let ended = loop {
        let runs: Vec<serde_json::Value> = machines.iter().map(served).collect();
        if runs.iter().all(|run| run["finished_at"].is_string()) {
            break runs;
        }
        assert!(begun.elapsed() < Duration::from_secs(150), "{runs:?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    drop(running);
    let mut states: Vec<&str> = ended
        .iter()
        .map(|run| {
            run["state"]["state"]
                .as_str()
                .or(run["state"]["type"].as_str())
                .unwrap_or_default()
        })
        .collect();
    states.sort_unstable();
    assert_eq!(states, ["skipped", "succeeded"], "{ended:?}");
    let listed = good(&machines[0], &["list", &bucket, "--json"]);
    let due: std::collections::BTreeSet<&str> =
        ended.iter().map(|run| run["due_at"].as_str().unwrap()).collect();
    let backups = listed["backups"].as_array().unwrap().len();
    assert_eq!(due.len(), 1, "both served the same due time: {ended:?}");
    assert_eq!(backups, 1, "{listed}");
}

/// Rows that do not compress, enough for several parts of an upload.
const MUCH: &str =
    "CREATE TABLE a_much AS SELECT n, gen_random_uuid() a, gen_random_uuid() b, gen_random_uuid() c
     FROM generate_series(1, 600000) n";

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_process_had_begun_in_a_bucket_is_gone_after_the_next_start() {
    let cluster = Cluster::start(18).await.unwrap();
    cluster.sql("postgres", MUCH).await.unwrap();
    let moto = tokio::task::spawn_blocking(Moto::start).await.unwrap().unwrap();
    let bucket = format!(
        "s3://backups?endpoint=http://127.0.0.1:{}&region=us-east-1&key-id={USER}",
        moto.port()
    );
    let machine = Howdah::new();
    let url = cluster.url("postgres");
    good(&machine, &["server", "add", &url, "--name", "shop", "--json"]);
    good(
        &machine,
        &[
            "plan",
            "add",
            "shop",
            "--schedule",
            "* * * * *",
            "--to",
            &bucket,
            "--json",
        ],
    );
    let mut running = Running(command(&machine, &["run", "--quiet"]).spawn().unwrap());
    let uploads = || {
        moto.ask("GET", "/backups?uploads")
            .unwrap()
            .matches("<UploadId>")
            .count()
    };
    let begun = Instant::now();
    while uploads() == 0 {
        assert!(begun.elapsed() < Duration::from_secs(120), "an upload is begun");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    running.0.kill().unwrap();
    running.0.wait().unwrap();
    good(&machine, &["status", "--json"]);
    assert_eq!(uploads(), 0);
    let listed = good(&machine, &["list", &bucket, "--json"]);
    assert_eq!(listed["backups"].as_array().unwrap().len(), 0, "{listed}");
}
