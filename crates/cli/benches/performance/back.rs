//! What getting a backup back costs: onto this machine, and a drill, against the bundled pg_restore into a server with the same
//! settings.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use howdah_postgres::programs::Client;
use howdah_testkit::Cluster;

use crate::measure::{Taken, run};
use crate::{median, told};

/// What a restore of howdah's tunes its own server to.
const LOADING: [(&str, &str); 9] = [
    ("fsync", "off"),
    ("synchronous_commit", "off"),
    ("full_page_writes", "off"),
    ("autovacuum", "off"),
    ("wal_level", "minimal"),
    ("max_wal_senders", "0"),
    ("max_wal_size", "8GB"),
    ("shared_buffers", "256MB"),
    ("maintenance_work_mem", "512MB"),
];

/// How long a local instance may take from the click, with a backup that holds next to nothing.
const READY: Duration = Duration::from_secs(3);

/// Restores a backup of the database `bench` of a cluster, in all ways in turn.
pub(crate) async fn measure(
    cluster: &Cluster,
    client: &Client,
    folder: &Path,
    rounds: usize,
) -> anyhow::Result<()> {
    let backup = back_up(cluster, "bench", folder)?;
    cluster.create_database("tiny").await?;
    cluster.sql("tiny", "CREATE TABLE one AS SELECT 1 AS n").await?;
    let tiny = back_up(cluster, "tiny", folder)?;
    // On the same disk as what howdah restores into.
    let mut builder = Cluster::builder(client.major).within(folder);
    for (name, value) in LOADING {
        builder = builder.set(name, value);
    }
    let target = builder.start().await?;
    let plain = folder.join("plain.pgdump");
    let unpacked = Command::new("zstd")
        .args(["-dqf", "-o"])
        .arg(&plain)
        .arg(Path::new(&backup).join("dump.pgdump.zst"))
        .status()?;
    ensure!(unpacked.success(), "zstd unpacks the dump");

    let (mut local, mut drill, mut piped, mut parallel, mut ready) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..=rounds {
        let taken = [
            restore_here(&backup, folder)?,
            run(
                howdah(folder, &["drill", &backup, "--json", "--quiet"]),
                &folder.join("drill.json"),
            )?,
            pg_restore(
                &target,
                client,
                &format!(
                    "zstd -dc '{backup}/dump.pgdump.zst' | '{}' -d target",
                    client.pg_restore.display()
                ),
                folder,
            )
            .await?,
            pg_restore(
                &target,
                client,
                &format!(
                    "'{}' -j2 -d target '{}'",
                    client.pg_restore.display(),
                    plain.display()
                ),
                folder,
            )
            .await?,
            restore_here(&tiny, folder)?,
        ];
        // The first round is for the caches.
        if round > 0 {
            let lists = [&mut local, &mut drill, &mut piped, &mut parallel, &mut ready];
            for (list, taken) in lists.into_iter().zip(taken) {
                list.push(taken);
            }
        }
    }
    let wall = |taken: &[Taken]| median(taken, |taken| taken.wall).as_secs_f64();
    println!("\n| getting back | wall, median | peak memory |\n|---|---:|---:|");
    for (name, taken) in [
        ("howdah restore --local", &local),
        ("howdah drill", &drill),
        ("zstd -dc \\| pg_restore", &piped),
        ("pg_restore -j2 of an unpacked file", &parallel),
        ("howdah restore --local, one row", &ready),
    ] {
        let peak = taken.iter().map(|taken| taken.peak_memory).max().unwrap_or(0);
        println!("| {name} | {:.2} s | {} MB |", wall(taken), peak / 1_000_000);
    }
    println!();
    let peak = local.iter().chain(&drill).map(|taken| taken.peak_memory).max();
    told(
        "restore here, of zstd -dc | pg_restore",
        wall(&local) / wall(&piped),
        0.85,
    );
    told(
        "restore here, of pg_restore -j2",
        wall(&local) / wall(&parallel),
        1.0,
    );
    told("drill, of the restore", wall(&drill) / wall(&local), 1.4);
    told("ready, of 3 s", wall(&ready) / READY.as_secs_f64(), 1.0);
    #[allow(clippy::cast_precision_loss, reason = "megabytes are shown with two digits")]
    told("peak memory, of 200 MB", peak.unwrap_or(0) as f64 / 200e6, 1.0);
    Ok(())
}

fn howdah(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_howdah"));
    command
        .args(arguments)
        .env("HOWDAH_DATA_DIR", folder.join("data"))
        .env("HOWDAH_PASSPHRASE", "of the benchmark");
    command
}

fn back_up(cluster: &Cluster, database: &str, folder: &Path) -> anyhow::Result<String> {
    let to = folder.join("back");
    let mut command = howdah(folder, &["backup", "--json", "--quiet", "--url"]);
    command.arg(cluster.url(database)).arg("--to").arg(&to);
    let output = folder.join("back.json");
    run(command, &output)?;
    let told: serde_json::Value = serde_json::from_slice(&std::fs::read(&output)?)?;
    Ok(told["path"].as_str().context("howdah tells the path")?.to_owned())
}

/// Restores onto this machine, and deletes that again, which is not measured.
fn restore_here(backup: &str, folder: &Path) -> anyhow::Result<Taken> {
    let output = folder.join("here.json");
    let taken = run(
        howdah(
            folder,
            &["restore", backup, "--local", "--no-compare", "--json", "--quiet"],
        ),
        &output,
    )?;
    let told: serde_json::Value = serde_json::from_slice(&std::fs::read(&output)?)?;
    let id = told["instance"]["id"]
        .as_str()
        .context("howdah tells the instance")?;
    run(howdah(folder, &["instance", "delete", id, "--json"]), &output)?;
    Ok(taken)
}

/// Restores into a new database of a server, by a line of a shell.
async fn pg_restore(target: &Cluster, client: &Client, line: &str, folder: &Path) -> anyhow::Result<Taken> {
    target.sql("postgres", "DROP DATABASE IF EXISTS target").await?;
    target
        .sql("postgres", "CREATE DATABASE target TEMPLATE template0")
        .await?;
    let connection = target.connection("target");
    let mut command = client.command(Path::new("bash"));
    command
        .args(["-o", "pipefail", "-c", line])
        .env("PGHOST", &connection.host)
        .env("PGPORT", connection.port.to_string())
        .env("PGUSER", &connection.role)
        .env("PGPASSWORD", target.password().expose());
    run(command, &folder.join("pg_restore.out"))
}
