//! `make bench`: howdah against the bundled pg_dump, in one run on one machine.
//!
//! A database is generated; then everything is run in turn, several times over, and medians are compared. What counts are
//! ratios: seconds belong to the machine. Limits are told beside them; a missed one does not fail the run.

#![allow(clippy::print_stdout, reason = "its report is its purpose")]

mod back;
mod database;
mod inside;
mod measure;
mod text;
mod wide;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Parser;
use howdah_postgres::programs::{Client, Programs};
use howdah_testkit::Cluster;

use crate::database::Mix;
use crate::measure::{Taken, run};

#[derive(Debug, Parser)]
struct Arguments {
    /// Megabytes of COPY data in the database
    #[arg(long, default_value_t = 1000)]
    size: u64,
    /// What the bytes are
    #[arg(long, value_enum, default_value_t = Mix::Content)]
    mix: Mix,
    /// How often each is run; the median counts
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// PostgreSQL majors
    #[arg(long, value_delimiter = ',', default_value = "17,15")]
    majors: Vec<u16>,
    /// Only howdah: for its memory on larger databases
    #[arg(long)]
    only_howdah: bool,
    /// More of howdah's levels, beside its default
    #[arg(long, value_delimiter = ',')]
    levels: Vec<i32>,
    /// Destinations, encryption and rules too
    #[arg(long)]
    wide: bool,
    /// Getting backups back too
    #[arg(long)]
    back: bool,
    /// Where backups and dumps are written; without it, a temporary folder
    #[arg(long)]
    folder: Option<PathBuf>,
    /// What cargo adds
    #[arg(long, hide = true)]
    bench: bool,
}

/// One thing that is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Contender {
    /// `pg_dump -Fc -Z…`; its output goes to a file, or nowhere.
    PgDump { compress: &'static str, kept: bool },
    /// `howdah backup`, at its default level or another one.
    Howdah { level: Option<i32> },
}

const FLOOR: Contender = Contender::PgDump {
    compress: "0",
    kept: false,
};
const ZSTD_1: Contender = Contender::PgDump {
    compress: "zstd:1",
    kept: true,
};
const ZSTD_3: Contender = Contender::PgDump {
    compress: "zstd:3",
    kept: true,
};
const GZIP: Contender = Contender::PgDump {
    compress: "6",
    kept: true,
};
const HOWDAH: Contender = Contender::Howdah { level: None };

impl Contender {
    fn name(&self) -> String {
        match self {
            Self::PgDump { kept: false, .. } => "pg_dump -Fc -Z0 > /dev/null".to_owned(),
            Self::PgDump { compress: "6", .. } => "pg_dump -Fc".to_owned(),
            Self::PgDump { compress, .. } => format!("pg_dump -Fc -Z {compress}"),
            Self::Howdah { level: None } => "howdah backup".to_owned(),
            Self::Howdah { level: Some(level) } => format!("howdah backup --level {level}"),
        }
    }
}

/// What the rounds of one contender came to.
struct Result {
    contender: Contender,
    wall: Duration,
    cpu: Duration,
    peak_memory: u64,
    stored: Option<u64>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let programs = Programs::locate(None)?;
    println!(
        "{} MB ({:?}), {} rounds, {} processors, {}",
        arguments.size,
        arguments.mix,
        arguments.rounds,
        std::thread::available_parallelism()?,
        processor()
    );
    for major in &arguments.majors {
        runtime.block_on(compare(&arguments, &programs, *major))?;
    }
    Ok(())
}

/// The processor's name, as Linux tells it.
fn processor() -> String {
    std::fs::read_to_string("/proc/cpuinfo")
        .ok()
        .and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("model name"))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        })
        .unwrap_or_else(|| "an unknown processor".to_owned())
}

async fn compare(arguments: &Arguments, programs: &Programs, major: u16) -> anyhow::Result<()> {
    let cluster = Cluster::builder(major)
        .set("shared_buffers", "256MB")
        .set("max_wal_size", "8GB")
        .set("autovacuum", "off")
        .start()
        .await?;
    cluster.create_database("bench").await?;
    let began = Instant::now();
    let filler = cluster.client("bench").await?;
    let filling = database::fill(&filler, arguments.size * 1_000_000, arguments.mix);
    filling.await?;
    let client = programs.client_for(major)?;
    println!(
        "\nPostgreSQL {} with pg_dump {}; the database was filled in {:.0} s",
        cluster.version(),
        client.version,
        began.elapsed().as_secs_f64()
    );
    let temporary = tempfile::tempdir()?;
    // A server of ours lies in it, which as root runs under another account.
    std::fs::set_permissions(temporary.path(), std::fs::Permissions::from_mode(0o755))?;
    let folder = arguments.folder.as_deref().unwrap_or_else(|| temporary.path());

    let bench = Bench {
        cluster: &cluster,
        client: &client,
        folder,
    };
    let mut contenders = vec![HOWDAH];
    if !arguments.only_howdah {
        contenders.push(FLOOR);
        if major >= 16 {
            contenders.extend([ZSTD_1, ZSTD_3]);
        }
        contenders.push(GZIP);
    }
    contenders.extend(
        arguments
            .levels
            .iter()
            .map(|level| Contender::Howdah { level: Some(*level) }),
    );
    // Once for the caches; then in turn, so that a slow minute of the machine meets all alike.
    bench.run(&contenders[0])?;
    let raw = bench.raw_size()?;
    let mut taken: Vec<Vec<(Taken, Option<u64>)>> = vec![Vec::new(); contenders.len()];
    for _ in 0..arguments.rounds {
        for (contender, taken) in contenders.iter().zip(&mut taken) {
            taken.push(bench.run(contender)?);
        }
    }
    let results: Vec<Result> = contenders
        .into_iter()
        .zip(taken)
        .map(|(contender, taken)| summarize(contender, &taken))
        .collect();
    report(&results, raw);
    if arguments.wide {
        wide::measure(&cluster, folder, arguments.rounds)?;
        inside::measure(&cluster, folder, arguments.rounds).await?;
    }
    if arguments.wide || arguments.back {
        back::measure(&cluster, &client, folder, arguments.rounds).await?;
    }
    Ok(())
}

struct Bench<'a> {
    cluster: &'a Cluster,
    client: &'a Client,
    folder: &'a Path,
}

impl Bench<'_> {
    /// Runs a contender once; answers what it took, and the bytes it stored. What it wrote is removed.
    fn run(&self, contender: &Contender) -> anyhow::Result<(Taken, Option<u64>)> {
        match contender {
            Contender::PgDump { compress, kept } => {
                let output = if *kept {
                    self.folder.join("pg_dump.out")
                } else {
                    "/dev/null".into()
                };
                let taken = run(self.pg_dump(compress), &output)?;
                if !kept {
                    return Ok((taken, None));
                }
                let stored = std::fs::metadata(&output)?.len();
                std::fs::remove_file(&output)?;
                Ok((taken, Some(stored)))
            }
            Contender::Howdah { level } => {
                let to = self.folder.join("backups");
                let output = self.folder.join("howdah.json");
                let taken = run(self.howdah(&to, *level), &output)?;
                let told: serde_json::Value = serde_json::from_slice(&std::fs::read(&output)?)?;
                let stored = told["stored_bytes"]
                    .as_u64()
                    .context("howdah tells stored_bytes")?;
                ensure!(
                    told["tables"].as_array().is_some_and(|tables| tables.len() > 200),
                    "all tables are in the backup"
                );
                std::fs::remove_dir_all(&to)?;
                Ok((taken, Some(stored)))
            }
        }
    }

    fn pg_dump(&self, compress: &str) -> Command {
        let connection = self.cluster.connection("bench");
        let mut command = self.client.command(&self.client.pg_dump);
        command
            .args(["-Fc", "-Z", compress, "-h", &connection.host, "-p"])
            .arg(connection.port.to_string())
            .args(["-U", &connection.role, "-d", &connection.database])
            .env("PGPASSWORD", self.cluster.password().expose());
        command
    }

    fn howdah(&self, to: &Path, level: Option<i32>) -> Command {
        let connection = self.cluster.connection("bench");
        let mut command = Command::new(env!("CARGO_BIN_EXE_howdah"));
        command
            .args(["backup", "--json", "--quiet", "--url"])
            .arg(format!(
                "postgres://{}@{}:{}/{}",
                connection.role, connection.host, connection.port, connection.database
            ))
            .arg("--to")
            .arg(to)
            .env("HOWDAH_DATA_DIR", self.folder.join("data"))
            .env("PGPASSWORD", self.cluster.password().expose());
        if let Some(level) = level {
            command.arg("--level").arg(level.to_string());
        }
        command
    }

    /// Bytes of the uncompressed dump.
    fn raw_size(&self) -> anyhow::Result<u64> {
        let output = self.folder.join("raw");
        run(self.pg_dump("0"), &output)?;
        let size = std::fs::metadata(&output)?.len();
        std::fs::remove_file(&output)?;
        Ok(size)
    }
}

/// The middle one of what the rounds took.
fn median(taken: &[Taken], of: fn(&Taken) -> Duration) -> Duration {
    let mut all: Vec<Duration> = taken.iter().map(of).collect();
    all.sort();
    all[all.len() / 2]
}

fn summarize(contender: Contender, taken: &[(Taken, Option<u64>)]) -> Result {
    let runs: Vec<Taken> = taken.iter().map(|(taken, _)| *taken).collect();
    Result {
        contender,
        wall: median(&runs, |taken| taken.wall),
        cpu: median(&runs, |taken| taken.cpu),
        peak_memory: taken
            .iter()
            .map(|(taken, _)| taken.peak_memory)
            .max()
            .unwrap_or_default(),
        stored: taken.last().and_then(|(_, stored)| *stored),
    }
}

#[allow(clippy::cast_precision_loss, reason = "sizes are shown with three digits")]
fn report(results: &[Result], raw: u64) {
    let gigabytes = raw as f64 / 1e9;
    println!("raw dump: {:.0} MB\n", raw as f64 / 1e6);
    println!("| | wall, median | CPU s/GB (client side) | peak memory | stored |");
    println!("|---|---:|---:|---:|---:|");
    for result in results {
        println!(
            "| `{}` | {:.2} s | {:.2} | {:.0} MB | {} |",
            result.contender.name(),
            result.wall.as_secs_f64(),
            result.cpu.as_secs_f64() / gigabytes,
            result.peak_memory as f64 / 1e6,
            result.stored.map_or_else(
                || "–".to_owned(),
                |stored| format!("{:.1} MB", stored as f64 / 1e6)
            ),
        );
    }
    println!();
    let find = |contender: &Contender| results.iter().find(|result| result.contender == *contender);
    let Some(howdah) = find(&HOWDAH) else { return };
    let limits = [(&FLOOR, 1.5), (&ZSTD_3, 0.8), (&GZIP, 0.3)];
    for (other, limit) in limits {
        if let Some(other) = find(other) {
            let ratio = howdah.wall.as_secs_f64() / other.wall.as_secs_f64();
            told(&format!("wall, of {}", other.contender.name()), ratio, limit);
        }
    }
    if let (Some(ours), Some(theirs)) = (howdah.stored, find(&ZSTD_3).and_then(|result| result.stored)) {
        told(
            &format!("stored, of {}", ZSTD_3.name()),
            ours as f64 / theirs as f64,
            1.02,
        );
    }
    told("peak memory, of 120 MB", howdah.peak_memory as f64 / 120e6, 1.0);
}

fn told(what: &str, ratio: f64, limit: f64) {
    let verdict = if ratio <= limit { "kept" } else { "MISSED" };
    println!("{what}: {ratio:.3} (limit {limit}) {verdict}");
}
