//! What a health check costs this machine: processor time of the client per check (getrusage, user and system), against a local PostgreSQL.
//!
//!     cargo run --release -p howdah-postgres --example check_speed [CHECKS]
#![allow(clippy::print_stdout, reason = "it is what this is for")]

use std::time::{Duration, Instant};

use howdah_domain::{Connection, Secret, Tls, TlsMode};
use howdah_postgres::check::{Question, check};
use howdah_testkit::{Cluster, Encryption};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike as _};
use tokio_util::sync::CancellationToken;

fn processor_time() -> anyhow::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let micros = |time: TimeVal| u64::try_from(time.num_microseconds()).unwrap_or(0);
    Ok(Duration::from_micros(
        micros(usage.user_time()) + micros(usage.system_time()),
    ))
}

async fn measure(
    name: &str,
    connection: &Connection,
    secret: Option<&Secret>,
    question: &Question,
    checks: u32,
) -> anyhow::Result<()> {
    let never = CancellationToken::new();
    let limit = Duration::from_secs(10);
    // The first one reads files and fills caches.
    for _ in 0..5 {
        check(connection, secret, question, limit, &never).await?;
    }
    let (begun, used) = (Instant::now(), processor_time()?);
    let (mut connect, mut answer) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..checks {
        let answered = check(connection, secret, question, limit, &never).await?;
        connect += answered.connect;
        answer += answered.answer;
    }
    let (took, used) = (begun.elapsed(), processor_time()? - used);
    println!(
        "{name:<44} {:>6} µs of processor, {:>6} µs in all (login {:>6}, answer {:>5}): {:.2} % of a core at 20/s",
        (used / checks).as_micros(),
        (took / checks).as_micros(),
        (connect / checks).as_micros(),
        (answer / checks).as_micros(),
        (used / checks).as_secs_f64() * 20.0 * 100.0
    );
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let checks = std::env::args().nth(1).map_or(Ok(300), |text| text.parse())?;
    let cluster = Cluster::builder(18)
        .encryption(Encryption::Offered)
        .hba("host all open 127.0.0.1/32 trust")
        .hba("local all open trust")
        .start()
        .await?;
    let secret = cluster.create_role("open", "").await?;
    let files = cluster
        .certificates()
        .ok_or_else(|| anyhow::anyhow!("no certificates"))?;
    let password = cluster.connection("postgres");
    let open = cluster.connection_as("open", "postgres");
    let verified = Tls {
        mode: TlsMode::VerifyFull,
        ca_file: Some(files.ca.clone()),
        ..Tls::default()
    };
    let plain = Tls {
        mode: TlsMode::Disable,
        ..Tls::default()
    };
    let with = |connection: &Connection, tls: &Tls| Connection {
        tls: tls.clone(),
        ..connection.clone()
    };
    let by_name = Connection {
        host: "localhost".to_owned(),
        ..with(&open, &plain)
    };
    let by_socket = Connection {
        role: "open".to_owned(),
        ..cluster.socket_connection("postgres")
    };
    let (default, own) = (
        Question::default(),
        Question {
            sql: Some("SELECT count(*) FROM pg_class WHERE relkind = 'x'".to_owned()),
            expected: Some("0".to_owned()),
        },
    );
    drop(secret);
    let secret = cluster.password();
    measure("Unix socket, trust", &by_socket, None, &default, checks).await?;
    measure("TCP, trust", &with(&open, &plain), None, &default, checks).await?;
    measure("TCP, trust, own SQL", &with(&open, &plain), None, &own, checks).await?;
    measure("TCP, trust, host by name", &by_name, None, &default, checks).await?;
    measure(
        "TCP, SCRAM",
        &with(&password, &plain),
        Some(&secret),
        &default,
        checks,
    )
    .await?;
    measure(
        "TLS verify-full, trust",
        &with(&open, &verified),
        None,
        &default,
        checks,
    )
    .await?;
    measure(
        "TLS verify-full, SCRAM",
        &with(&password, &verified),
        Some(&secret),
        &default,
        checks,
    )
    .await?;
    Ok(())
}
