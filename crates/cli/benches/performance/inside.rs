//! What looking into a backup costs: one table of ten megabytes out of a large backup on an object store.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use howdah_testkit::Cluster;
use howdah_testkit::rclone::{PASSWORD, Protocol, Rclone};
use howdah_testkit::tcp_gate::{TcpGate, Way};
use tokio::runtime::Runtime;

use crate::measure::{Taken, run};
use crate::{median, told, wide};

/// Ten megabytes of COPY data that compress to a little more than half.
const WANTED: &str = "CREATE TABLE wanted AS
    SELECT n AS id, md5(n::text) || md5((n + 1)::text) AS body FROM generate_series(1, 142000) n";

/// The most that it may take.
const LIMIT: Duration = Duration::from_secs(1);

/// A gate with threads of its own, since those of the benchmark wait for programs.
struct Counter {
    gate: TcpGate,
    runtime: Runtime,
}

impl Counter {
    fn before(port: u16) -> anyhow::Result<Self> {
        let opening = move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()?;
            let gate = runtime.block_on(TcpGate::before(port))?;
            anyhow::Ok(Self { gate, runtime })
        };
        std::thread::spawn(opening)
            .join()
            .ok()
            .context("the gate's thread ended")?
    }

    fn end(self) {
        drop(self.gate);
        self.runtime.shutdown_background();
    }
}

/// Backs the database `bench` of a cluster up to a bucket, with one more table in it, and takes that table out again.
pub(crate) async fn measure(cluster: &Cluster, folder: &Path, rounds: usize) -> anyhow::Result<()> {
    cluster.sql("bench", WANTED).await?;
    let s3 = Rclone::start(Protocol::S3, &[])?;
    let connection = cluster.connection("bench");
    let mut command = howdah(folder);
    command
        .args(["backup", "--json", "--quiet", "--url"])
        .arg(format!(
            "postgres://{}@{}:{}/{}",
            connection.role, connection.host, connection.port, connection.database
        ))
        .args(["--to", &wide::bucket(&s3, "inside")])
        .env("PGPASSWORD", cluster.password().expose());
    let output = folder.join("inside.json");
    run(command, &output)?;
    let files = s3.files()?;
    let below = files
        .iter()
        .find_map(|file| file.strip_suffix("/manifest.json"))
        .context("the backup is in the bucket")?
        .trim_start_matches("backups/");
    let counter = Counter::before(s3.port())?;
    let backup = wide::bucket(&s3, below).replace(&s3.port().to_string(), &counter.gate.port().to_string());
    let rows = folder.join("wanted.csv");
    let mut taken: Vec<Taken> = Vec::new();
    let (mut fetched, mut stored) = (0, 0);
    for round in 0..=rounds {
        let mut command = howdah(folder);
        command
            .args([
                "extract",
                "--json",
                "--quiet",
                &backup,
                "--table",
                "public.wanted",
            ])
            .args(["--format", "csv", "--to"])
            .arg(&rows);
        let before = counter.gate.passed(Way::Down);
        let this = run(command, &output)?;
        fetched = counter.gate.passed(Way::Down) - before;
        let told: serde_json::Value = serde_json::from_slice(&std::fs::read(&output)?)?;
        ensure!(told["rows"] == 142_000, "all rows come: {told}");
        stored = told["stored_bytes"]
            .as_u64()
            .context("howdah tells stored_bytes")?;
        // The first round is for the caches.
        if round > 0 {
            taken.push(this);
        }
    }
    counter.end();
    let wall = median(&taken, |taken| taken.wall);
    println!(
        "\na table of {:.1} MB from S3 in {:.2} s: {:.2} MB fetched, its frames are {:.2} MB",
        wide::megabytes(std::fs::metadata(&rows)?.len()),
        wall.as_secs_f64(),
        wide::megabytes(fetched),
        wide::megabytes(stored),
    );
    told(
        "extracting it, of 1 s",
        wall.as_secs_f64() / LIMIT.as_secs_f64(),
        1.0,
    );
    told(
        "fetched for it, of its frames",
        wide::megabytes(fetched) / wide::megabytes(stored),
        2.0,
    );
    Ok(())
}

fn howdah(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_howdah"));
    command
        .env("HOWDAH_DATA_DIR", folder.join("data"))
        .env("HOWDAH_DESTINATION_SECRET", PASSWORD);
    command
}
