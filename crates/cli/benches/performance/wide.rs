//! What destinations, encryption and rules cost: a backup to an object store, to three destinations at once, encrypted; the list of ten
//! thousand backups; a rule over a hundred thousand.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use howdah_domain::BackupId;
use howdah_domain::retention::{Candidate, RetentionRule, decide};
use howdah_testkit::Cluster;
use howdah_testkit::rclone::{PASSWORD, Protocol, Rclone, USER};
use jiff::{SignedDuration, Timestamp};

use crate::measure::{Taken, run};
use crate::{median, told};

/// Backups in the list.
const LISTED: usize = 10_000;

/// Backups that a rule looks at.
const RULED: u32 = 100_000;

/// Where backups go.
struct Way {
    name: &'static str,
    to: Vec<String>,
    encrypted: bool,
    /// How much longer than to a folder it may take.
    limit: f64,
    /// Destinations that are not this machine's.
    remote: u32,
}

/// Measures all of it with the database `bench` of a cluster.
pub(crate) fn measure(cluster: &Cluster, folder: &Path, rounds: usize) -> anyhow::Result<()> {
    let s3 = Rclone::start(Protocol::S3, &[])?;
    let webdav = Rclone::start(Protocol::Webdav, &[])?;
    let local = folder.join("wide").display().to_string();
    let collection = format!("webdav://{USER}@127.0.0.1:{}/", webdav.port());
    let ways = [
        Way {
            name: "a folder",
            to: vec![local.clone()],
            encrypted: false,
            limit: 1.0,
            remote: 0,
        },
        Way {
            name: "S3",
            to: vec![bucket(&s3, "one")],
            encrypted: false,
            limit: 1.15,
            remote: 1,
        },
        Way {
            name: "a folder, S3 and WebDAV",
            to: vec![local.clone(), bucket(&s3, "three"), collection],
            encrypted: false,
            limit: 1.3,
            remote: 2,
        },
        Way {
            name: "a folder, encrypted",
            to: vec![local],
            encrypted: true,
            limit: 1.1,
            remote: 0,
        },
    ];
    let key = howdah_archive::encryption::Identity::generate();
    let recipient = key.recipient().to_string();
    let mut taken: Vec<Vec<Taken>> = vec![Vec::new(); ways.len()];
    for round in 0..=rounds {
        for (way, taken) in ways.iter().zip(&mut taken) {
            let this = back_up(cluster, folder, way, &recipient)
                .with_context(|| format!("backing up to {}", way.name))?;
            // The first round is for the caches.
            if round > 0 {
                taken.push(this);
            }
            for root in [folder.join("wide"), s3.root().join("backups"), webdav.root()] {
                empty(&root)?;
            }
        }
    }
    println!("\n| backup to | wall, median | CPU s (client side) | peak memory |");
    println!("|---|---:|---:|---:|");
    let walls: Vec<Duration> = taken
        .iter()
        .map(|taken| median(taken, |taken| taken.wall))
        .collect();
    for ((way, taken), wall) in ways.iter().zip(&taken).zip(&walls) {
        println!(
            "| {} | {:.2} s | {:.2} | {:.0} MB |",
            way.name,
            wall.as_secs_f64(),
            median(taken, |taken| taken.cpu).as_secs_f64(),
            megabytes(peak(taken)),
        );
    }
    println!();
    for ((way, taken), wall) in ways.iter().zip(&taken).zip(&walls).skip(1) {
        let ratio = wall.as_secs_f64() / walls[0].as_secs_f64();
        told(&format!("wall to {}, of a folder's", way.name), ratio, way.limit);
        let allowed = 120.0 + f64::from(way.remote) * 3.0 * 16.8;
        let what = format!("peak memory to {}, of {allowed:.0} MB", way.name);
        told(&what, megabytes(peak(taken)) / allowed, 1.0);
    }
    list_many(cluster, folder)?;
    rule_many()
}

/// A place in the store's bucket, as a URL.
pub(crate) fn bucket(s3: &Rclone, prefix: &str) -> String {
    format!(
        "s3://backups/{prefix}?endpoint=http://127.0.0.1:{}&region=us-east-1&key-id={USER}&style=path",
        s3.port()
    )
}

fn back_up(cluster: &Cluster, folder: &Path, way: &Way, recipient: &str) -> anyhow::Result<Taken> {
    let connection = cluster.connection("bench");
    let mut command = Command::new(env!("CARGO_BIN_EXE_howdah"));
    command
        .args(["backup", "--json", "--quiet", "--url"])
        .arg(format!(
            "postgres://{}@{}:{}/{}",
            connection.role, connection.host, connection.port, connection.database
        ))
        .env("HOWDAH_DATA_DIR", folder.join("data"))
        .env("HOWDAH_DESTINATION_SECRET_2", PASSWORD)
        .env("HOWDAH_DESTINATION_SECRET_3", PASSWORD)
        .env("PGPASSWORD", cluster.password().expose());
    if way.to.len() == 1 {
        command.env("HOWDAH_DESTINATION_SECRET", PASSWORD);
    }
    for to in &way.to {
        command.arg("--to").arg(to);
    }
    if way.encrypted {
        command.arg("--encrypt-to").arg(recipient);
    }
    let output = folder.join("wide.json");
    let taken = run(command, &output)?;
    let told: serde_json::Value = serde_json::from_slice(&std::fs::read(&output)?)?;
    let copies = told["copies"].as_array().map_or(0, Vec::len);
    ensure!(copies == way.to.len(), "a copy at each destination: {told}");
    Ok(taken)
}

/// Removes what is in a folder, and leaves the folder.
fn empty(root: &Path) -> anyhow::Result<()> {
    let Ok(entries) = std::fs::read_dir(root) else {
        return Ok(());
    };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            std::fs::remove_dir_all(path)?;
        } else {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Lists ten thousand backups of a bucket: one that was made, under as many ids, written into the store's folder.
fn list_many(cluster: &Cluster, folder: &Path) -> anyhow::Result<()> {
    // One that has looked at nothing yet: rclone remembers what it saw.
    let s3 = Rclone::start(Protocol::S3, &[])?;
    let bucket = bucket(&s3, "");
    let made = folder.join("one");
    let connection = cluster.connection("postgres");
    let mut command = Command::new(env!("CARGO_BIN_EXE_howdah"));
    command
        .args(["backup", "--json", "--quiet", "--url"])
        .arg(format!(
            "postgres://{}@{}:{}/postgres",
            connection.role, connection.host, connection.port
        ))
        .arg("--to")
        .arg(&made)
        .env("HOWDAH_DATA_DIR", folder.join("data"))
        .env("PGPASSWORD", cluster.password().expose());
    let output = folder.join("one.json");
    run(command, &output)?;
    let answer: serde_json::Value = serde_json::from_slice(&std::fs::read(&output)?)?;
    let one = Path::new(answer["path"].as_str().context("howdah tells the path")?);
    let mut manifest: serde_json::Value = serde_json::from_slice(&std::fs::read(one.join("manifest.json"))?)?;
    let database = s3.root().join("backups/server/database");
    let start = Timestamp::from_second(1_700_000_000)?;
    for number in 0..LISTED {
        let at = start + SignedDuration::from_hours(i64::try_from(number)?);
        let mut random = [0; 10];
        random[..8].copy_from_slice(&(number as u64).to_le_bytes());
        let id = BackupId::new(at, random);
        let into = database.join(id.as_str());
        std::fs::create_dir_all(&into)?;
        for file in std::fs::read_dir(one)? {
            let file = file?;
            std::fs::hard_link(file.path(), into.join(file.file_name()))?;
        }
        manifest["id"] = serde_json::json!(id);
        manifest["started_at"] = serde_json::json!(at);
        let bytes = serde_json::to_vec_pretty(&manifest)?;
        let sum = howdah_archive::manifest::to_hex(&<sha2::Sha256 as sha2::Digest>::digest(&bytes));
        for (name, content) in [
            ("manifest.json", bytes),
            ("manifest.sha256", format!("{sum}  manifest.json\n").into_bytes()),
        ] {
            std::fs::remove_file(into.join(name))?;
            std::fs::write(into.join(name), content)?;
        }
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_howdah"));
    command
        .args(["list", "--json", "--quiet", &bucket])
        .env("HOWDAH_DATA_DIR", folder.join("data"))
        .env("HOWDAH_DESTINATION_SECRET", PASSWORD);
    let output = folder.join("list.json");
    let taken = run(command, &output)?;
    let listed: serde_json::Value = serde_json::from_slice(&std::fs::read(&output)?)?;
    let readable = listed["backups"].as_array().map_or(0, |all| {
        all.iter().filter(|backup| backup["error"].is_null()).count()
    });
    ensure!(readable == LISTED, "{readable} of {LISTED} are listed");
    println!(
        "\n{LISTED} backups listed on S3 in {:.2} s, {:.2} s of it our processor time, {:.0} MB",
        taken.wall.as_secs_f64(),
        taken.cpu.as_secs_f64(),
        megabytes(taken.peak_memory)
    );
    told("listing, of 5 s", taken.wall.as_secs_f64() / 5.0, 1.0);
    Ok(())
}

/// Decides what a rule keeps of a hundred thousand backups.
fn rule_many() -> anyhow::Result<()> {
    let now = Timestamp::from_second(1_780_000_000)?;
    let candidates: Vec<Candidate> = (0..RULED)
        .map(|number| {
            let mut random = [0; 10];
            random[..4].copy_from_slice(&number.to_le_bytes());
            let taken_at = now - SignedDuration::from_mins(i64::from(number) * 20);
            Candidate {
                id: BackupId::new(taken_at, random),
                taken_at,
                stored_bytes: 1_000_000,
                good: number % 97 != 0,
                pinned: number % 9973 == 0,
            }
        })
        .collect();
    let rule = RetentionRule {
        keep_last: Some(10),
        daily: Some(14),
        weekly: Some(8),
        monthly: Some(24),
        yearly: Some(10),
        ..RetentionRule::default()
    };
    let zone = jiff::tz::TimeZone::get("Europe/Berlin")?;
    let began = Instant::now();
    let decision = decide(&rule, &candidates, false, &zone, now);
    let took = began.elapsed();
    ensure!(
        !decision.dropped.is_empty() && !decision.kept.is_empty(),
        "it decides something"
    );
    println!(
        "{RULED} backups decided on in {:.1} ms",
        took.as_secs_f64() * 1000.0
    );
    told("the decision, of 100 ms", took.as_secs_f64() / 0.1, 1.0);
    Ok(())
}

fn peak(taken: &[Taken]) -> u64 {
    taken
        .iter()
        .map(|taken| taken.peak_memory)
        .max()
        .unwrap_or_default()
}

#[allow(clippy::cast_precision_loss, reason = "sizes are shown with three digits")]
pub(crate) fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
