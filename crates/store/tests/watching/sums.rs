//! Sums against what one gets by adding up everything again, and where they are read from.

use std::collections::BTreeMap;

use howdah_domain::{
    FailureCode,
    availability::{Follower, State, Stretch, TimeIn},
    check::Blind,
};
use howdah_store::{
    Connection, Store,
    tables::{
        availability::{self, Exported, Sum},
        checks::{self, Batch, Check},
        watches::WatchNumber,
    },
};
use howdah_testkit::chance::Chance;
use jiff::{SignedDuration, Timestamp};
use rstest::rstest;

use super::{at, seconds, stretch, watched};

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

const STATES: [State; 9] = [
    State::Up,
    State::Slow,
    State::Failing,
    State::Down,
    State::Maintenance,
    State::NoData(Blind::Asleep),
    State::NoData(Blind::Offline),
    State::NoData(Blind::Paused),
    State::NoData(Blind::KeyringLocked),
];

fn ms(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap()
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap()
}

/// All that was written, in the order it was: the simplest thing that can be asked.
#[derive(Default)]
struct Naive {
    stretches: Vec<(WatchNumber, Stretch)>,
    checks: BTreeMap<(WatchNumber, i64), Check>,
}

impl Naive {
    fn write(&mut self, batch: &Batch) {
        self.stretches.extend(&batch.stretches);
        for check in &batch.checks {
            self.checks
                .entry((check.watch, check.at.as_microsecond()))
                .or_insert_with(|| check.clone());
        }
    }

    /// Between two borders of whatever was written, all is one: the first that covers it says what it is.
    fn sum(&self, watch: WatchNumber, from: i64, to: i64) -> Sum {
        let ours = || {
            self.stretches
                .iter()
                .filter(|(of, _)| *of == watch)
                .map(|(_, stretch)| stretch)
        };
        let mut borders: Vec<i64> = ours()
            .flat_map(|stretch| [stretch.from, stretch.to])
            .filter(|border| (from..to).contains(border))
            .chain([from, to])
            .collect();
        borders.sort_unstable();
        let mut sum = Sum::default();
        for pair in borders.windows(2) {
            let first = ours().find(|stretch| stretch.from <= pair[0] && pair[1] <= stretch.to);
            if let Some(first) = first.filter(|_| pair[0] < pair[1]) {
                let millis = u64::try_from(pair[1] - pair[0]).unwrap();
                sum.time.add(&TimeIn::of(first.state, millis));
            }
        }
        for check in self
            .checks
            .range((watch, from * 1000)..(watch, to * 1000))
            .map(|(_, check)| check)
        {
            if matches!(check.state, State::NoData(_)) {
                continue;
            }
            sum.checks += 1;
            match &check.failure {
                Some(_) => sum.failures += 1,
                None => sum
                    .latencies
                    .count(check.connect_us.unwrap() + check.answer_us.unwrap()),
            }
        }
        sum
    }

    fn sums(&self, watch: WatchNumber, from: i64, to: i64, bucket: i64) -> Vec<Sum> {
        let mut sums = Vec::new();
        let mut begin = from;
        while begin < to {
            sums.push(self.sum(watch, begin, (begin + bucket).min(to)));
            begin += bucket;
        }
        sums
    }
}

/// What a database goes through in three days, in batches: flapping, gaps, a clock that is set back, stretches that come late or twice.
fn life(watch: WatchNumber, begin: i64, chance: &mut Chance) -> Vec<Batch> {
    let mut follower = Follower::default();
    let mut now = begin;
    let mut batches = vec![Batch::default()];
    while now < begin + 3 * DAY {
        let step = match chance.below(20) {
            0 => whole(chance.below(9)) * HOUR,
            1..6 => 10 * SECOND,
            6 => -whole(chance.below(400)) * SECOND,
            _ => whole(chance.below(2_000_000)) + 1,
        };
        now += step;
        let state = STATES[usize::try_from(chance.below(9)).unwrap()];
        let mut batch = Batch {
            stretches: follower
                .enter(state, ms(now))
                .into_iter()
                .map(|stretch| (watch, stretch))
                .collect(),
            ..Batch::default()
        };
        if chance.below(30) == 0 {
            let from = now - whole(chance.below(20 * 3_600_000));
            let late = Stretch {
                state,
                from,
                to: from + whole(chance.below(5 * 3_600_000)),
            };
            batch.stretches.push((watch, late));
        }
        let failed = matches!(state, State::Failing | State::Down);
        batch.checks.push(Check {
            watch,
            at: ms(now) + SignedDuration::from_micros(whole(chance.below(1000))),
            state,
            connect_us: (!failed).then(|| 200 + u32::try_from(chance.below(50_000)).unwrap()),
            answer_us: (!failed).then(|| u32::try_from(chance.below(5_000)).unwrap()),
            failure: failed.then(|| (FailureCode::Timeout, "no answer within 10 s".to_owned())),
        });
        match batches.last_mut() {
            Some(last) if chance.below(4) > 0 => {
                last.checks.append(&mut batch.checks);
                last.stretches.append(&mut batch.stretches);
            }
            _ => batches.push(batch),
        }
    }
    batches
}

/// Every row of `stretches`, `hours` and `days`, against each other.
fn check_rows(connection: &Connection) {
    let count = |sql: &str| -> i64 { connection.query_row(sql, [], |row| row.get(0)).unwrap() };
    for (what, sql) in [
        (
            "stretches that overlap, or touch in one state",
            "SELECT count(*) FROM stretches a JOIN stretches b ON a.watch = b.watch AND a.began < b.began
             WHERE b.began < a.ended OR (b.began = a.ended AND b.state = a.state)",
        ),
        (
            "stretches of no length",
            "SELECT count(*) FROM stretches WHERE began >= ended",
        ),
        (
            "hours longer than an hour",
            "SELECT count(*) FROM hours
             WHERE up + slow + failing + down + maintenance + asleep + offline + paused + locked > 3600000",
        ),
        (
            "days that are not their hours",
            "SELECT count(*) FROM days d WHERE (d.up, d.down, d.failing, d.asleep, d.checks, d.failures) IS NOT (
                SELECT sum(h.up), sum(h.down), sum(h.failing), sum(h.asleep), sum(h.checks), sum(h.failures) FROM hours h
                WHERE h.watch = d.watch AND (h.number + 2400000) / 24 - 100000 = d.number)",
        ),
        (
            "milliseconds of stretches that are not in the days",
            "SELECT (SELECT sum(ended - began) FROM stretches)
                - (SELECT sum(up + slow + failing + down + maintenance + asleep + offline + paused + locked) FROM days)",
        ),
    ] {
        assert_eq!(count(sql), 0, "{what}");
    }
}

/// Begins before the turn of a year, the changes of Berlin's clock, a leap day, and 1970.
#[rstest]
#[case::year("2025-12-30T13:17:00Z")]
#[case::spring("2026-03-28T00:00:00Z")]
#[case::autumn("2026-10-24T05:59:59Z")]
#[case::leap_day("2028-02-28T11:11:11Z")]
#[case::before_1970("1969-12-31T01:02:03Z")]
#[tokio::test]
async fn sums_equal_what_one_gets_by_adding_up_everything(#[case] begin: &str) {
    let (_dir, store, numbers) = watched(3).await;
    let mut chance = Chance::for_test("sums");
    let begin = at(begin).as_millisecond();
    let mut naive = Naive::default();
    let lives: Vec<Vec<Batch>> = numbers
        .iter()
        .map(|watch| life(*watch, begin, &mut chance))
        .collect();
    for step in 0..lives.iter().map(Vec::len).max().unwrap() {
        let mut batch = Batch::default();
        for part in lives.iter().filter_map(|life| life.get(step)) {
            batch.checks.extend(part.checks.iter().cloned());
            batch.stretches.extend(&part.stretches);
        }
        naive.write(&batch);
        store.write(move |c| checks::record(c, &batch)).await.unwrap();
    }
    let end = begin + 3 * DAY + 10 * HOUR;
    store
        .read(move |c| {
            check_rows(c);
            let compare = |from: i64, to: i64, bucket: i64, now: Timestamp| {
                for watch in &numbers {
                    let told = availability::availability(c, *watch, ms(from), ms(to), bucket, now)?;
                    assert_eq!(
                        told,
                        naive.sums(*watch, from, to, bucket),
                        "{from} to {to} by {bucket} at {now}"
                    );
                }
                Ok::<_, howdah_store::Error>(())
            };
            for _ in 0..12 {
                let from = begin - HOUR + whole(chance.below(2 * 86_400_000));
                let to = from + 1 + whole(chance.below(2 * 86_400_000));
                // Odd borders, anywhere.
                compare(from, to, 1 + (to - from) / (1 + whole(chance.below(90))), ms(end))?;
                // A week later only whole hours are exact, and a year later whole days.
                let hours = from.div_euclid(HOUR) * HOUR;
                let bucket = HOUR * (1 + whole(chance.below(30)));
                compare(hours, hours + 3 * bucket, bucket, ms(end + 40 * DAY))?;
                let days = from.div_euclid(DAY) * DAY;
                let bucket = DAY * (1 + whole(chance.below(2)));
                compare(days, days + 2 * bucket, bucket, ms(end + 4000 * DAY))?;
            }
            compare(begin - DAY, end, 3 * DAY + 17, ms(end))
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn a_failing_stretch_that_turns_out_to_be_down_reaches_into_the_hour_before() {
    let (_dir, store, watches) = watched(1).await;
    let watch = watches[0];
    let begin = at("2026-11-28T09:00:00Z");
    let mut follower = Follower::default();
    let (first, later) = (begin + 3595 * seconds(1), begin + 3615 * seconds(1));
    let mut batches = Vec::new();
    for (state, time) in [
        (State::Up, begin),
        (State::Failing, first),
        (State::Failing, begin + 3605 * seconds(1)),
        (State::Down, later),
        (State::Up, begin + 3660 * seconds(1)),
    ] {
        batches.push(Batch {
            stretches: follower
                .enter(state, time)
                .into_iter()
                .map(|stretch| (watch, stretch))
                .collect(),
            ..Batch::default()
        });
    }
    for batch in batches {
        store.write(move |c| checks::record(c, &batch)).await.unwrap();
    }
    let sums = store
        .read(move |c| {
            check_rows(c);
            availability::availability(c, watch, begin, begin + 7200 * seconds(1), HOUR, later)
        })
        .await
        .unwrap();
    let times: Vec<_> = sums.iter().map(|sum| (sum.time.up, sum.time.down)).collect();
    assert_eq!(times, [(3_595_000, 5_000), (0, 60_000)]);
}

#[tokio::test]
async fn a_quiet_database_has_one_stretch_for_days_and_a_batch_that_comes_twice_changes_nothing() {
    let (_dir, store, watches) = watched(1).await;
    let watch = watches[0];
    let begin = at("2026-11-25T00:00:00Z").as_millisecond();
    for _ in 0..2 {
        for hour in 0..72 {
            let from = begin + hour * HOUR;
            let batch = Batch {
                checks: vec![good(watch, ms(from), 5_000)],
                stretches: vec![stretch(watch, State::Up, from, from + HOUR)],
            };
            store.write(move |c| checks::record(c, &batch)).await.unwrap();
        }
    }
    let (rows, sums) = store
        .read(move |c| {
            let rows: i64 = c.query_row("SELECT count(*) FROM stretches", [], |row| row.get(0))?;
            let sums = availability::availability(
                c,
                watch,
                ms(begin),
                ms(begin + 3 * DAY),
                DAY,
                ms(begin + 3 * DAY),
            )?;
            Ok((rows, sums))
        })
        .await
        .unwrap();
    assert_eq!(rows, 1);
    for sum in sums {
        assert_eq!(
            (sum.time.up, sum.checks, sum.latencies.total()),
            (86_400_000, 24, 24)
        );
    }
}

fn good(watch: WatchNumber, at: Timestamp, micros: u32) -> Check {
    Check {
        watch,
        at,
        state: State::Up,
        connect_us: Some(micros),
        answer_us: Some(0),
        failure: None,
    }
}

/// Four hours of a morning, of which the second has 20 minutes down at its end.
async fn morning(store: &Store, watch: WatchNumber, begin: i64) {
    let mut batch = Batch::default();
    for minute in 0..240 {
        batch.checks.push(good(
            watch,
            ms(begin + minute * MINUTE),
            1_000 + u32::try_from(minute).unwrap(),
        ));
    }
    let down = begin + 100 * MINUTE;
    batch.stretches = vec![
        stretch(watch, State::Up, begin, down),
        stretch(watch, State::Down, down, down + 20 * MINUTE),
        stretch(watch, State::Up, down + 20 * MINUTE, begin + 4 * HOUR),
    ];
    store.write(move |c| checks::record(c, &batch)).await.unwrap();
}

#[tokio::test]
async fn what_is_not_kept_any_more_is_a_share_of_its_hour_and_no_millisecond_is_lost() {
    let (_dir, store, watches) = watched(1).await;
    let watch = watches[0];
    let begin = at("2026-03-28T23:00:00Z").as_millisecond();
    morning(&store, watch, begin).await;
    let now = ms(begin + 30 * DAY);
    while store.write(move |c| checks::prune(c, now)).await.unwrap() {}
    let sums = store
        .read(move |c| {
            let left: i64 = c.query_row(
                "SELECT (SELECT count(*) FROM checks) + (SELECT count(*) FROM stretches)",
                [],
                |row| row.get(0),
            )?;
            assert_eq!(left, 0);
            availability::availability(c, watch, ms(begin), ms(begin + 4 * HOUR), 30 * MINUTE, now)
        })
        .await
        .unwrap();
    let down: Vec<u64> = sums.iter().map(|sum| sum.time.down).collect();
    assert_eq!(down, [0, 0, 600_000, 600_000, 0, 0, 0, 0]);
    let up: u64 = sums.iter().map(|sum| sum.time.up).sum();
    assert_eq!(up, 220 * 60_000);
    assert!(sums.iter().all(|sum| sum.latencies.percentile(0.5).is_some()));
}

#[tokio::test]
async fn bars_and_uptimes_are_the_same_sums() {
    let (_dir, store, watches) = watched(3).await;
    let end = at("2026-11-28T12:00:00Z").as_millisecond();
    for (number, watch) in (1..).zip(&watches[..2]) {
        morning(&store, *watch, end - number * 5 * HOUR).await;
    }
    let now = ms(end + 12 * MINUTE);
    store
        .read(move |c| {
            for (bucket, count) in [(30 * MINUTE, 48), (7 * MINUTE, 300), (6 * HOUR, 120)] {
                let bars = availability::bars(c, now, bucket, count)?;
                let from = bars.from.as_millisecond();
                let spanned = bucket * i64::try_from(count).unwrap();
                assert_eq!(from % bucket, 0);
                assert!((from + spanned - bucket..from + spanned).contains(&now.as_millisecond()));
                assert_eq!(bars.times.len(), 2, "the third was never watched");
                let mut told: Vec<Vec<TimeIn>> = bars.times.into_values().collect();
                let mut summed: Vec<Vec<TimeIn>> = Vec::new();
                for watch in &watches[..2] {
                    let to = ms(from + spanned);
                    let sums = availability::availability(c, *watch, bars.from, to, bucket, now)?;
                    summed.push(sums.iter().map(|sum| sum.time).collect());
                }
                let order = |times: &Vec<TimeIn>| times.iter().map(|time| time.up).collect::<Vec<_>>();
                told.sort_by_key(order);
                summed.sort_by_key(order);
                assert_eq!(told, summed, "{bucket}");
            }
            let uptimes = availability::uptimes(c, watches[0], now)?;
            for time in uptimes {
                assert_eq!((time.up, time.down), (220 * 60_000, 20 * 60_000));
            }
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn a_file_has_days_then_hours_then_checks_and_ends_when_nobody_wants_more() {
    let (_dir, store, watches) = watched(1).await;
    let watch = watches[0];
    let now = at("2026-11-28T12:00:00Z").as_millisecond();
    let last = now - 5 * HOUR;
    for begin in [last - 500 * DAY, last - 30 * DAY, last] {
        morning(&store, watch, begin).await;
    }
    while store.write(move |c| checks::prune(c, ms(now))).await.unwrap() {}
    store
        .read(move |c| {
            let (from, to) = (ms(now - 1000 * DAY), ms(now));
            let mut rows = Vec::new();
            availability::export(c, watch, from, to, ms(now), |row| {
                rows.push(match row {
                    Exported::Check(check) => (check.at, 0, 1),
                    Exported::Sum { from, length_ms, sum } => (from, length_ms, sum.checks),
                });
                Ok(())
            })?;
            assert!(rows.is_sorted_by_key(|row| row.0));
            let of = |length: i64| rows.iter().filter(move |row| row.1 == length);
            assert_eq!((of(DAY).count(), of(HOUR).count(), of(0).count()), (1, 4, 240));
            assert_eq!(
                rows.iter().map(|row| row.2).sum::<u64>(),
                720,
                "each check is told once"
            );
            let mut told = 0;
            let stopped = availability::export(c, watch, from, to, ms(now), |_| {
                told += 1;
                Err(howdah_store::Error::Cancelled)
            });
            assert!(stopped.is_err() && told == 1);
            let newest = checks::raw(c, watch, from, to, 3)?;
            let times: Vec<i64> = newest
                .iter()
                .map(|check| (check.at.as_millisecond() - last) / MINUTE)
                .collect();
            assert_eq!(times, [239, 238, 237]);
            Ok(())
        })
        .await
        .unwrap();
}

#[rstest]
#[case::backwards(10, 0, 1)]
#[case::nothing(0, 0, 1)]
#[case::no_bucket(0, 10, 0)]
#[case::less_than_that(0, 10, i64::MIN)]
#[tokio::test]
async fn where_there_is_no_time_or_no_bucket_there_is_nothing(
    #[case] from: i64,
    #[case] to: i64,
    #[case] bucket: i64,
) {
    let (_dir, store, watches) = watched(1).await;
    let sums = store
        .read(move |c| availability::availability(c, watches[0], ms(from), ms(to), bucket, ms(to)))
        .await
        .unwrap();
    assert_eq!(sums, []);
}

#[tokio::test]
async fn the_ends_of_time_are_no_trouble() {
    let (_dir, store, watches) = watched(1).await;
    let watch = watches[0];
    let batch = Batch {
        checks: vec![
            good(watch, Timestamp::MIN, 1),
            good(watch, Timestamp::MAX, u32::MAX),
            good(WatchNumber(-7), at("2026-11-28T12:00:00Z"), 1),
        ],
        stretches: vec![
            stretch(watch, State::Up, i64::MIN, i64::MIN + 10),
            stretch(watch, State::Up, i64::MIN, i64::MAX),
            stretch(watch, State::Down, 10, 0),
            stretch(WatchNumber(99), State::Down, 0, 10),
        ],
    };
    store.write(move |c| checks::record(c, &batch)).await.unwrap();
    store
        .read(move |c| {
            for now in [Timestamp::MIN, Timestamp::UNIX_EPOCH, Timestamp::MAX] {
                for bucket in [1, HOUR, i64::MAX] {
                    let sums =
                        availability::availability(c, watch, Timestamp::MIN, Timestamp::MAX, bucket, now)?;
                    assert!(sums.len() <= availability::MOST_BUCKETS);
                    availability::bars(c, now, bucket, usize::MAX)?;
                }
                availability::uptimes(c, watch, now)?;
                availability::export(c, watch, Timestamp::MIN, Timestamp::MAX, now, |_| Ok(()))?;
            }
            Ok(())
        })
        .await
        .unwrap();
    store
        .write(|c| {
            checks::prune(c, Timestamp::MIN)?;
            checks::prune(c, Timestamp::MAX)
        })
        .await
        .unwrap();
}
