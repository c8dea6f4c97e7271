//! Measures what health checks cost to keep and to read: `cargo run --release -p howdah-store --example watching_speed [DAYS]`.
//!
//! A year of a check a minute of 20 databases (10.5 million, less those that fall into the machine's sleep) is written as it would come in,
//! and pruned as time goes. The file may have 100 MB then, the overview's bars may take 20 ms, and any chart 50 ms; a check of a batch of
//! 40 may cost 100 µs of processor time. Ends with an error where one of these does not hold.
#![allow(clippy::print_stdout)]

use std::{
    error::Error,
    hint::black_box,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use howdah_domain::{
    Connection, DatabaseId, Environment, FailureCode, Server, ServerId, Tls,
    availability::{Follower, State, Stretch},
    check::Blind,
};
use howdah_store::{
    Store,
    tables::{
        availability,
        checks::{self, Batch, Check},
        databases,
        servers::{self, ServerRow},
        watches::{self, WatchNumber},
    },
};
use jiff::{SignedDuration, Timestamp};
use nix::sys::resource::{UsageWho, getrusage};

type Outcome<T> = Result<T, Box<dyn Error>>;

const DATABASES: u64 = 20;
const MINUTE: SignedDuration = SignedDuration::from_mins(1);

const MOST_BYTES: f64 = 100e6;
const MOST_MS_BARS: f64 = 20.0;
const MOST_MS_CHART: f64 = 50.0;
const MOST_US_CHECK: f64 = 100.0;

fn main() -> ExitCode {
    match measure() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("watching: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Outcome<bool> {
    let days: i64 = std::env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(365);
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let dir = tempfile::tempdir()?;
    let end: Timestamp = "2026-11-22T12:00:00Z".parse()?;
    let mut well = true;

    let store = Store::open(dir.path())?;
    let watches = runtime.block_on(add_watches(&store, 0, DATABASES))?;
    runtime.block_on(live(&store, &watches, end, days))?;
    // The last one to close the file copies its log into it.
    drop(store);
    let bytes = size(dir.path())?;
    well &= bytes <= MOST_BYTES;
    println!(
        "watching, {DATABASES} databases, {days} days: {:.1} MB ({} may be)",
        bytes / 1e6,
        MOST_BYTES / 1e6
    );

    let store = Store::open(dir.path())?;
    well &= runtime.block_on(read(&store, &watches, end))?;
    let many = runtime.block_on(add_watches(&store, DATABASES, 200))?;
    well &= runtime.block_on(record_often(&store, &many, end))?;
    Ok(well)
}

/// Watches of databases on a server of their own.
async fn add_watches(store: &Store, first: u64, count: u64) -> Outcome<Vec<WatchNumber>> {
    let id = |number: u64| {
        let [a, b, c, d, e, f, g, h] = number.to_be_bytes();
        [0, 0, a, b, c, d, e, f, g, h]
    };
    let server = ServerRow {
        server: Server {
            id: ServerId::from_random(id(first)),
            name: format!("production {first}"),
            connection: Connection {
                host: "db.example.com".to_owned(),
                port: 5432,
                role: "backup".to_owned(),
                database: "shop".to_owned(),
                tls: Tls::default(),
                tunnel: None,
                forwarded: None,
            },
            environment: Environment::Production,
            created_at: Timestamp::UNIX_EPOCH,
        },
        secret_reference: None,
        tunnel_secret_reference: None,
    };
    let watches = store
        .write(move |c| {
            servers::insert(c, &server)?;
            (first..first + count)
                .map(|number| {
                    let database = databases::ensure(
                        c,
                        DatabaseId::from_random(id(number)),
                        &server.server.id,
                        &format!("shop {number}"),
                        Timestamp::UNIX_EPOCH,
                    )?;
                    Ok(watches::ensure(c, &database.id)?.number)
                })
                .collect()
        })
        .await?;
    Ok(watches)
}

/// A database as it might be: quicker or slower, with a busy time of day, single failures, and hours in which it is down.
struct Life {
    watch: WatchNumber,
    median_us: f64,
    follower: Follower,
    down_until: Timestamp,
}

impl Life {
    fn check(&mut self, at: Timestamp, chance: &mut Chance) -> Check {
        if chance.unit() < 1.0 / 20_000.0 {
            let minutes = 1.0 + chance.unit() * chance.unit() * 240.0;
            self.down_until = at + SignedDuration::from_secs_f64(minutes * 60.0);
        }
        if at < self.down_until || chance.unit() < 1.0 / 2_000.0 {
            let state = if at < self.down_until {
                State::Down
            } else {
                State::Failing
            };
            let text = "connection to server at \"db.example.com\", port 5432 failed: Connection refused";
            return Check {
                watch: self.watch,
                at,
                state,
                connect_us: None,
                answer_us: None,
                failure: Some((FailureCode::ConnectionRefused, text.to_owned())),
            };
        }
        let hour = f64::from(u32::try_from(at.as_second().rem_euclid(86_400)).unwrap_or(0)) / 3600.0;
        let busy = 1.0 + 0.6 * (-((hour - 14.0) / 4.0).powi(2)).exp();
        let took = self.median_us * busy * (0.35 * chance.normal()).exp();
        Check {
            watch: self.watch,
            at,
            state: State::Up,
            connect_us: Some(micros(took * 0.8)),
            answer_us: Some(micros(took * 0.2)),
            failure: None,
        }
    }
}

fn micros(micros: f64) -> u32 {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it saturates"
    )]
    let micros = micros as u32;
    micros
}

/// Lives through `days` up to `end`: a check a minute, written by the hour; from 02:30 to 03:10 the machine sleeps.
async fn live(store: &Store, watches: &[WatchNumber], end: Timestamp, days: i64) -> Outcome<()> {
    let mut chance = Chance(1);
    let mut lives: Vec<Life> = (0_i32..)
        .zip(watches)
        .map(|(number, watch)| Life {
            watch: *watch,
            median_us: 300.0 * 1.35_f64.powi(number),
            follower: Follower::default(),
            down_until: Timestamp::MIN,
        })
        .collect();
    let (mut written, mut cpu) = (0, Duration::ZERO);
    let begin = Instant::now();
    let mut hour = end - SignedDuration::from_hours(24 * days);
    while hour < end {
        let mut batch = Batch::default();
        for minute in 0..60 {
            let minute_begins = hour + MINUTE * minute;
            let of_day = minute_begins.as_second().rem_euclid(86_400) / 60;
            for life in &mut lives {
                if (150..190).contains(&of_day) {
                    if of_day == 150 {
                        let settled = life.follower.enter(State::NoData(Blind::Asleep), minute_begins);
                        batch
                            .stretches
                            .extend(settled.into_iter().map(|stretch| (life.watch, stretch)));
                    }
                    continue;
                }
                let at = minute_begins + SignedDuration::from_micros(micros(chance.unit() * 2e6).into());
                let check = life.check(at, &mut chance);
                let settled = life.follower.enter(check.state, at);
                batch
                    .stretches
                    .extend(settled.into_iter().map(|stretch| (life.watch, stretch)));
                batch.checks.push(check);
            }
        }
        written += batch.checks.len();
        hour += SignedDuration::from_hours(1);
        let before = cpu_time()?;
        store.write(move |c| checks::record(c, &batch)).await?;
        while store.write(move |c| checks::prune(c, hour)).await? {}
        cpu += cpu_time()? - before;
    }
    println!(
        "watching, {written} checks written by the hour and pruned: {:.1} µs of processor time each, {:.0} s in all",
        cpu.as_secs_f64() * 1e6 / f64::from(u32::try_from(written)?),
        begin.elapsed().as_secs_f64()
    );
    Ok(())
}

/// What the window reads.
async fn read(store: &Store, watches: &[WatchNumber], now: Timestamp) -> Outcome<bool> {
    let mut well = true;
    well &= limited(
        "bars of all databases, 48 × 30 min",
        MOST_MS_BARS,
        store,
        move |c| Ok(black_box(availability::bars(c, now, 1_800_000, 48)?).times.len()),
    )
    .await?;
    let watch = watches[watches.len() / 2];
    const MINUTE_MS: i64 = 60_000;
    const HOUR_MS: i64 = 60 * MINUTE_MS;
    for (name, hours_ago, hours, bucket_ms) in [
        ("24 h, 15 min each", 24, 24, 15 * MINUTE_MS),
        ("7 d, 1 h each", 7 * 24, 7 * 24, HOUR_MS),
        ("7 d, 5 min each", 7 * 24, 7 * 24, 5 * MINUTE_MS),
        ("30 d, 4 h each", 30 * 24, 30 * 24, 4 * HOUR_MS),
        ("30 d, 50 min each", 30 * 24, 30 * 24, 50 * MINUTE_MS),
        ("90 d, 12 h each", 90 * 24, 90 * 24, 12 * HOUR_MS),
        ("1 y, 1 d each", 365 * 24, 365 * 24, 24 * HOUR_MS),
        ("1 y, 5 h each", 365 * 24, 365 * 24, 5 * HOUR_MS),
        ("a zoom of 2 h, 1 min each", 30, 2, MINUTE_MS),
        (
            "a zoom of 1 d, 1 min each, half a year ago",
            180 * 24,
            24,
            MINUTE_MS,
        ),
    ] {
        // Half an hour off, so that nothing begins with an hour.
        let from = now - SignedDuration::from_mins(60 * hours_ago - 30);
        let to = (from + SignedDuration::from_hours(hours)).min(now);
        let name = format!("chart of {name}");
        well &= limited(&name, MOST_MS_CHART, store, move |c| {
            Ok(black_box(availability::availability(c, watch, from, to, bucket_ms, now)?).len())
        })
        .await?;
    }
    let aligned = now - SignedDuration::from_hours(365 * 24 + 1);
    well &= limited(
        "chart of 1 y, 1 d each of another zone",
        MOST_MS_CHART,
        store,
        move |c| {
            let sums = availability::availability(c, watch, aligned, now, 24 * HOUR_MS, now)?;
            Ok(black_box(sums).len())
        },
    )
    .await?;
    well &= limited("uptimes of 24 h to 365 d", MOST_MS_CHART, store, move |c| {
        Ok(black_box(availability::uptimes(c, watch, now)?).len())
    })
    .await?;
    limited("file of a year", f64::INFINITY, store, move |c| {
        let mut rows = 0;
        availability::export(c, watch, aligned, now, now, |row| {
            black_box(row);
            rows += 1;
            Ok(())
        })?;
        Ok(rows)
    })
    .await?;
    Ok(well)
}

/// Five tries: the best one counts, the first one is told besides.
async fn limited<F>(name: &str, most_ms: f64, store: &Store, work: F) -> Outcome<bool>
where
    F: Fn(&howdah_store::Connection) -> howdah_store::Result<usize> + Clone + Send + 'static,
{
    let (mut first, mut best, mut rows) = (None, f64::INFINITY, 0);
    for _ in 0..5 {
        let work = work.clone();
        let begin = Instant::now();
        rows = store.read(move |c| work(c)).await?;
        let took = begin.elapsed().as_secs_f64() * 1000.0;
        first.get_or_insert(took);
        best = best.min(took);
    }
    println!(
        "watching, {name}: {best:.2} ms ({rows} rows, {:.2} ms the first time)",
        first.unwrap_or(best)
    );
    Ok(best <= most_ms)
}

/// A check that was answered.
fn answer(watch: WatchNumber, at: Timestamp, chance: &mut Chance) -> Check {
    Check {
        watch,
        at,
        state: State::Up,
        connect_us: Some(micros(5_000.0 * (0.35 * chance.normal()).exp())),
        answer_us: Some(400),
        failure: None,
    }
}

/// 200 databases, each checked every 10 s, written every 2 s: 40 checks at once, and the stretches that they settle.
async fn record_often(store: &Store, watches: &[WatchNumber], begin: Timestamp) -> Outcome<bool> {
    let mut chance = Chance(2);
    for watch in watches.iter().copied() {
        // What a few days leave, so that each has pages of its own.
        let first = begin - SignedDuration::from_hours(100);
        let batch = Batch {
            checks: (0..400)
                .map(|number| answer(watch, first + SignedDuration::from_mins(15 * number), &mut chance))
                .collect(),
            stretches: vec![(
                watch,
                Stretch {
                    state: State::Up,
                    from: first.as_millisecond(),
                    to: begin.as_millisecond(),
                },
            )],
        };
        store.write(move |c| checks::record(c, &batch)).await?;
    }
    let mut followers = vec![Follower::default(); watches.len()];
    let (mut cpu, mut written) = (Duration::ZERO, 0_u32);
    let bytes = bytes_written();
    let mut at = begin;
    for batch_number in 0..1_000 {
        at += SignedDuration::from_secs(2);
        let mut batch = Batch::default();
        for number in 0..40 {
            let number = (batch_number % 5) * 40 + number;
            let watch = watches[number];
            let settled = followers[number].enter(State::Up, at);
            batch
                .stretches
                .extend(settled.into_iter().map(|stretch| (watch, stretch)));
            batch.checks.push(answer(watch, at, &mut chance));
            written += 1;
        }
        let before = cpu_time()?;
        store.write(move |c| checks::record(c, &batch)).await?;
        cpu += cpu_time()? - before;
    }
    let each = cpu.as_secs_f64() * 1e6 / f64::from(written);
    println!("watching, a batch of 40 checks of 40 databases: {each:.1} µs of processor time for each check");
    if let (Some(before), Some(after)) = (bytes, bytes_written()) {
        let each = (after - before) / u64::from(written);
        println!("watching, a batch of 40 checks of 40 databases: {each} bytes written for each check");
    }
    Ok(each <= MOST_US_CHECK)
}

/// Processor time of this process.
fn cpu_time() -> Outcome<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let of =
        |time: nix::sys::time::TimeVal| -> Outcome<Duration> {
            Ok(Duration::from_secs(time.tv_sec().try_into()?)
                + Duration::from_micros(time.tv_usec().try_into()?))
        };
    Ok(of(usage.user_time())? + of(usage.system_time())?)
}

/// Bytes that this process has written, where the system says so.
fn bytes_written() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/io").ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix("wchar: "))?
        .parse()
        .ok()
}

/// The size of all files of a directory, in bytes.
fn size(dir: &Path) -> Outcome<f64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir)? {
        let metadata = entry?.metadata()?;
        if metadata.is_file() {
            bytes += metadata.len();
        }
    }
    #[allow(clippy::cast_precision_loss)]
    Ok(bytes as f64)
}

/// Chance that is the same each time (SplitMix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// From 0 to below 1.
    #[allow(clippy::cast_precision_loss)]
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Normally distributed about 0, with a deviation of 1 (Box and Muller).
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}
