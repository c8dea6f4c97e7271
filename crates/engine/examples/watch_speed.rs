//! What watching costs: processor time of the whole engine while 200 databases are checked every 10 seconds, with and without password
//! and TLS. Fails where a limit is broken.
//!
//!     cargo run --release -p howdah-engine --example watch_speed [SECONDS]
#![allow(clippy::print_stdout, reason = "it is what this is for")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use howdah_domain::check::CheckRule;
use howdah_domain::{Connection, Environment, Schedule, Scope, Secret, SystemClock, Tls, TlsMode};
use howdah_engine::api::{ConnectionInput, Event, PlanDraft};
use howdah_engine::{Engine, Options, Role};
use howdah_machine::SilentMachine;
use howdah_postgres::network::SystemNetwork;
use howdah_postgres::programs::Programs;
use howdah_store::keychain::MemorySecrets;
use howdah_testkit::{Cluster, Encryption};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike as _};

/// Databases.
const DATABASES: usize = 200;

/// Seconds between two checks of each.
const INTERVAL: u32 = 10;

/// Percent of one core: without password and TLS, and with both.
const LIMITS: (f64, f64) = (2.0, 10.0);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let seconds = std::env::args().nth(1).map_or(Ok(40), |text| text.parse())?;
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let cluster = Cluster::builder(17)
        .encryption(Encryption::Offered)
        .hba("host all open 127.0.0.1/32 trust")
        .start()
        .await?;
    for number in 0..DATABASES {
        cluster.create_database(&name(number)).await?;
    }
    let password = cluster.create_role("open", "").await?;
    let files = cluster.certificates().context("the cluster has certificates")?;
    let bare = Connection {
        tls: Tls {
            mode: TlsMode::Disable,
            ..Tls::default()
        },
        ..cluster.connection_as("open", "postgres")
    };
    let guarded = Connection {
        tls: Tls {
            mode: TlsMode::VerifyFull,
            ca_file: Some(files.ca.clone()),
            ..Tls::default()
        },
        ..cluster.connection("postgres")
    };
    drop(password);
    let first = measure("without password and TLS", bare, None, seconds).await?;
    let second = measure(
        "with password and TLS",
        guarded,
        Some(cluster.password()),
        seconds,
    )
    .await?;
    if first > LIMITS.0 || second > LIMITS.1 {
        bail!("{:.1} % and {:.1} % are allowed", LIMITS.0, LIMITS.1);
    }
    Ok(())
}

fn name(number: usize) -> String {
    format!("shop_{number}")
}

/// Percent of one core that the engine takes.
async fn measure(
    what: &str,
    connection: Connection,
    password: Option<Secret>,
    seconds: u64,
) -> anyhow::Result<f64> {
    let dir = tempfile::tempdir()?;
    let engine = Engine::open(Options {
        data_dir: dir.path().join("data"),
        programs: Programs::locate(None)?,
        secrets: Arc::new(MemorySecrets::default()),
        clock: Arc::new(SystemClock),
        network: Arc::new(SystemNetwork),
        machine: Arc::new(SilentMachine::default()),
        desktop: None,
        role: Role::Owner,
    })
    .await?;
    let input = ConnectionInput::Form {
        connection,
        password,
        ssh_secret: None,
    };
    let server = engine.add_server(input, "shop", Environment::None).await?;
    for number in 0..DATABASES {
        let draft = PlanDraft {
            id: None,
            server_id: server.id.clone(),
            scope: Scope::Database { name: name(number) },
            selection: Default::default(),
            globals: false,
            schedule: Schedule::Manual,
            time_zone: "UTC".to_owned(),
            folder: Some(dir.path().join("backups")),
            destinations: Vec::new(),
            encryption: None,
            passphrase: None,
            retention: None,
            drill: None,
            conditions: None,
            enabled: true,
        };
        engine.save_plan(draft).await?;
    }
    for database in engine.overview().await?.databases {
        let rule = CheckRule {
            interval_seconds: INTERVAL,
            ..CheckRule::default()
        };
        engine.save_check_rule(&database.id, rule).await?;
    }
    // The first round opens files and spreads the checks.
    tokio::time::sleep(Duration::from_secs(u64::from(INTERVAL) * 2)).await;
    let mut events = engine.events();
    let (begun, used) = (Instant::now(), processor_time()?);
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let (took, used) = (begun.elapsed(), processor_time()?.saturating_sub(used));
    let mut checks = 0;
    while let Ok(event) = events.try_recv() {
        if let Event::Health { database_ids } = event {
            checks += database_ids.len();
        }
    }
    engine.shutdown(Duration::from_secs(10)).await;
    let expected = seconds * DATABASES as u64 / u64::from(INTERVAL);
    if (checks as u64) < expected * 9 / 10 {
        bail!("{checks} checks were made, and {expected} were due");
    }
    let percent = used.as_secs_f64() / took.as_secs_f64() * 100.0;
    println!("{DATABASES} databases every {INTERVAL} s, {what}: {percent:.2} % of a core, {checks} checks");
    Ok(percent)
}

fn processor_time() -> anyhow::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let micros = |time: TimeVal| u64::try_from(time.num_microseconds()).unwrap_or(0);
    Ok(Duration::from_micros(
        micros(usage.user_time()) + micros(usage.system_time()),
    ))
}
