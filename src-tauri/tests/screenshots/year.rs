//! A year of checks in the store, as they would have been: a laptop that sleeps at night, a busy time of day, a few incidents, a day
//! without a network. Always the same.

use std::path::Path;

use howdah_domain::availability::{Follower, State};
use howdah_domain::check::{Blind, Standing};
use howdah_domain::{DatabaseId, Failure, FailureCode, IncidentId};
use howdah_store::Store;
use howdah_store::tables::checks::{self, Batch, Check};
use howdah_store::tables::watches::{LastCheck, WatchNumber};
use howdah_store::tables::{databases, incidents, watches};
use jiff::{SignedDuration, Timestamp};

/// Hours of a year, and of what is kept check by check.
const YEAR: i64 = 365 * 24;
const FINE: i64 = 8 * 24;

/// When the databases were down, in hours before now, and for how many minutes.
const DOWN: [(i64, i64); 6] = [(31, 14), (190, 6), (700, 48), (2200, 9), (4100, 130), (6900, 21)];

/// This machine had no network for a day.
const OFFLINE: std::ops::Range<i64> = 420..444;

/// Fills the store of a data directory that no process has open.
pub(crate) async fn fill(data_dir: &Path) {
    let store = Store::open(data_dir).unwrap();
    let now = Timestamp::now();
    let known = store
        .write(|tx| {
            databases::list(tx)?
                .into_iter()
                .map(|database| Ok((database.id.clone(), watches::ensure(tx, &database.id)?.number)))
                .collect::<howdah_store::Result<Vec<_>>>()
        })
        .await
        .unwrap();
    for (turn, (id, watch)) in known.into_iter().enumerate() {
        live(&store, &id, watch, turn, now).await;
    }
}

async fn live(store: &Store, id: &DatabaseId, watch: WatchNumber, turn: usize, now: Timestamp) {
    let mut follower = Follower::default();
    let shift = i64::try_from(turn).unwrap() * 37;
    let mut batch = Batch::default();
    let end = now - SignedDuration::from_mins(10);
    let first = end - SignedDuration::from_hours(YEAR);
    let check = LastCheck {
        at: first,
        connect_us: Some(latency(first, turn)),
        answer_us: Some(700),
        failure: None,
    };
    store
        .write(move |tx| watches::remember(tx, watch, &Standing::new(first), Some(&check)))
        .await
        .unwrap();
    for hour in (0..YEAR).rev() {
        let begin = end - SignedDuration::from_hours(hour + 1);
        let checks = if hour < FINE { 12 } else { 4 };
        for check in 0..checks {
            let at = begin + SignedDuration::from_secs(3600 / checks * check);
            let state = state(at, hour, check * 60 / checks, shift);
            let settled = follower.enter(state, at);
            batch
                .stretches
                .extend(settled.into_iter().map(|stretch| (watch, stretch)));
            if matches!(state, State::NoData(_)) {
                continue;
            }
            let down = state == State::Down;
            batch.checks.push(Check {
                watch,
                at,
                state,
                connect_us: (!down).then(|| latency(at, turn)),
                answer_us: (!down).then_some(700),
                failure: down.then(|| (FailureCode::ConnectionRefused, "connection refused".to_owned())),
            });
        }
        if batch.checks.len() > 500 || hour == 0 {
            let batch = std::mem::take(&mut batch);
            store.write(move |tx| checks::record(tx, &batch)).await.unwrap();
        }
    }
    let last = follower.settle(end);
    let batch = Batch {
        checks: Vec::new(),
        stretches: last.into_iter().map(|stretch| (watch, stretch)).collect(),
    };
    let id = id.clone();
    store
        .write(move |tx| {
            checks::record(tx, &batch)?;
            let cause = Failure::new(
                FailureCode::ConnectionRefused,
                "Nothing listens on db.example.com:5432.",
            )
            .hint("Start the server, or check host and port.")
            .details("connection refused (os error 111)");
            for (ago, minutes) in DOWN {
                let began = end - SignedDuration::from_hours(ago + shift + 1);
                let incident = IncidentId::from_text(format!("year-{id}-{ago}"));
                incidents::open(tx, &incident, &format!("database:{id}"), began, &cause)?;
                incidents::join(tx, &incident, &id, began)?;
                incidents::leave(tx, &incident, &id, began + SignedDuration::from_mins(minutes))?;
            }
            Ok(())
        })
        .await
        .unwrap();
}

fn state(at: Timestamp, hours_ago: i64, minute: i64, shift: i64) -> State {
    let hour_of_day = at.as_second().div_euclid(3600).rem_euclid(24);
    if (0..6).contains(&hour_of_day) {
        return State::NoData(Blind::Asleep);
    }
    if OFFLINE.contains(&hours_ago) {
        return State::NoData(Blind::Offline);
    }
    let down = DOWN.into_iter().any(|(ago, minutes)| {
        let since = (ago + shift - hours_ago) * 60 + minute;
        (0..minutes.max(10)).contains(&since)
    });
    if down { State::Down } else { State::Up }
}

/// Microseconds until the login: more at noon, with a little noise and a slow hour now and then.
fn latency(at: Timestamp, turn: usize) -> u32 {
    let hour = at.as_second().div_euclid(3600).rem_euclid(24);
    let noon = 12 - (hour - 12).abs();
    let mixed = (at.as_second() / 60).wrapping_mul(2_654_435_761).rem_euclid(1000);
    let burst = if mixed > 985 { 60_000 } else { 0 };
    u32::try_from(9_000 + noon * 900 + mixed * 6 + burst).unwrap() + u32::try_from(turn).unwrap() * 4_000
}
