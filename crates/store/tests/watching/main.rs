//! Watches, checks, incidents and maintenance windows, as they are kept; what checks add up to is in `sums.rs`.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

#[path = "../common/mod.rs"]
mod common;
mod sums;

use std::slice;

use common::{World, moment, random};
use howdah_domain::{
    DatabaseId, Failure, FailureCode, IncidentId, MaintenanceId, MaintenanceTime,
    availability::{State, Stretch},
    check::{Blind, CheckRule, Health, Standing},
    schedule::{TimeOfDay, Weekday},
};
use howdah_store::{
    Error, Store,
    tables::{
        availability,
        checks::{self, Batch, Check},
        databases,
        incidents::{self, Left},
        maintenance::{self, Maintenance},
        watches::{self, LastCheck, WatchNumber},
    },
};
use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;

fn at(text: &str) -> Timestamp {
    common::time(text)
}

fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

fn stretch(watch: WatchNumber, state: State, from: i64, to: i64) -> (WatchNumber, Stretch) {
    (watch, Stretch { state, from, to })
}

/// A store with that many databases.
async fn with_databases(count: usize) -> (TempDir, Store, Vec<DatabaseId>) {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let world = World::make(&store).await;
    let ids = store
        .write(move |c| {
            (0..count)
                .map(|number| {
                    let id = DatabaseId::from_random(random());
                    let name = format!("db {number}");
                    Ok(databases::ensure(c, id, &world.server.id, &name, moment(0))?.id)
                })
                .collect()
        })
        .await
        .unwrap();
    (dir, store, ids)
}

/// A store with watches of that many databases.
async fn watched(count: usize) -> (TempDir, Store, Vec<WatchNumber>) {
    let (dir, store, ids) = with_databases(count).await;
    let numbers = store
        .write(move |c| ids.iter().map(|id| Ok(watches::ensure(c, id)?.number)).collect())
        .await
        .unwrap();
    (dir, store, numbers)
}

fn refused() -> Failure {
    Failure::new(FailureCode::ConnectionRefused, "Nothing listens there.").hint("Start it.")
}

#[tokio::test]
async fn a_watch_is_read_back_with_what_is_remembered_of_it() {
    let (_dir, store, ids) = with_databases(2).await;
    store
        .write(move |c| {
            assert_eq!(watches::get(c, &ids[0])?, None);
            let mut watch = watches::ensure(c, &ids[0])?;
            assert_eq!(watches::ensure(c, &ids[0])?, watch);
            assert_eq!(watches::get(c, &ids[0])?, Some(watch.clone()));

            let rule = CheckRule {
                interval_seconds: 10,
                sql: Some("SELECT count(*) FROM \"näm'e\"".to_owned()),
                ..CheckRule::default()
            };
            watches::set_rule(c, &ids[0], Some(&rule))?;
            watches::mute(c, &ids[0], Some(moment(60)))?;
            let standing = Standing {
                health: Health::Failing { times: 2, of: 3 },
                since: moment(20),
                down_since: None,
            };
            let last = LastCheck {
                at: moment(30),
                connect_us: None,
                answer_us: None,
                failure: Some(refused()),
            };
            watches::remember(c, watch.number, &standing, Some(&last))?;
            watch.rule = Some(rule);
            watch.muted_until = Some(moment(60));
            watch.standing = Some(standing);
            watch.watched_since = Some(moment(30));
            watch.last = Some(last);
            assert_eq!(watches::get(c, &ids[0])?, Some(watch.clone()));

            let good = LastCheck {
                at: moment(40),
                connect_us: Some(312),
                answer_us: Some(u32::MAX),
                failure: None,
            };
            let asleep = Standing {
                health: Health::NoData { why: Blind::Asleep },
                since: moment(50),
                down_since: Some(moment(20)),
            };
            watches::remember(c, watch.number, &standing, Some(&good))?;
            watches::remember(c, watch.number, &asleep, None)?;
            watches::set_rule(c, &ids[0], None)?;
            watches::mute(c, &ids[0], None)?;
            (watch.rule, watch.muted_until) = (None, None);
            (watch.standing, watch.last) = (Some(asleep), Some(good));
            assert_eq!(watches::list(c)?, [watch]);

            for gone in [
                watches::set_rule(c, &ids[1], None),
                watches::mute(c, &ids[1], None),
                watches::remember(c, WatchNumber(99), &asleep, None),
            ] {
                assert!(matches!(gone.unwrap_err(), Error::NotFound("watch")));
            }
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn with_a_database_goes_all_that_its_checks_found() {
    let (_dir, store, ids) = with_databases(2).await;
    store
        .write(move |c| {
            let id = IncidentId::from_random(random());
            incidents::open(c, &id, "host:db.example.com:5432", moment(0), &refused())?;
            for database in &ids {
                let watch = watches::ensure(c, database)?.number;
                let batch = Batch {
                    checks: vec![check(watch, moment(1))],
                    stretches: vec![stretch(watch, State::Up, 0, 10)],
                };
                checks::record(c, &batch)?;
                incidents::join(c, &id, database, moment(2))?;
            }
            c.execute("DELETE FROM databases WHERE id = ?1", [ids[0].as_str()])?;
            for table in ["watches", "checks", "stretches", "incident_databases"] {
                let rows: i64 =
                    c.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))?;
                assert_eq!(rows, 1, "{table}");
            }
            // A batch that was on its way meanwhile is about nobody.
            let late = Batch {
                checks: vec![check(WatchNumber(1), moment(2))],
                stretches: vec![stretch(WatchNumber(1), State::Up, 10, 20)],
            };
            checks::record(c, &late)?;

            assert_eq!(incidents::end_deserted(c, moment(3))?, []);
            c.execute("DELETE FROM databases WHERE id = ?1", [ids[1].as_str()])?;
            assert_eq!(incidents::end_deserted(c, moment(3))?, slice::from_ref(&id));
            assert_eq!(incidents::get(c, &id)?.unwrap().ended_at, Some(moment(3)));
            Ok(())
        })
        .await
        .unwrap();
}

fn check(watch: WatchNumber, at: Timestamp) -> Check {
    Check {
        watch,
        at,
        state: State::Up,
        connect_us: Some(300),
        answer_us: Some(40),
        failure: None,
    }
}

#[tokio::test]
async fn checks_are_read_back_and_long_texts_are_shortened() {
    let (_dir, store, watches) = watched(1).await;
    let watch = watches[0];
    let states = [
        State::Up,
        State::Slow,
        State::Failing,
        State::Down,
        State::Maintenance,
        State::NoData(Blind::Asleep),
        State::NoData(Blind::Offline),
        State::NoData(Blind::Paused),
        State::NoData(Blind::KeyringLocked),
        State::NoData(Blind::NotRunning),
    ];
    let mut written: Vec<Check> = (0..)
        .zip(states)
        .map(|(second, state)| Check {
            state,
            ..check(watch, moment(second))
        })
        .collect();
    written[3] = Check {
        state: State::Down,
        connect_us: Some(1),
        answer_us: None,
        failure: Some((FailureCode::Timeout, "é".repeat(2000))),
        ..check(watch, moment(3))
    };
    store
        .write(move |c| {
            let batch = Batch {
                checks: written.clone(),
                stretches: Vec::new(),
            };
            checks::record(c, &batch)?;
            let mut read = checks::raw(c, watch, moment(0), moment(100), 100)?;
            read.reverse();
            written[3].failure = Some((FailureCode::Timeout, "é".repeat(1024)));
            assert_eq!(read, written);
            let now = moment(3600);
            let sums = availability::availability(c, watch, moment(0), now, 3_600_000, now)?;
            assert_eq!((sums[0].checks, sums[0].failures), (5, 1), "no data is no check");
            assert_eq!(sums[0].latencies.total(), 4);
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn what_is_old_is_removed_in_portions() {
    let (_dir, store, watches) = watched(2).await;
    let now = at("2026-11-28T12:00:00Z");
    let filling = watches.clone();
    store
        .write(move |c| {
            for watch in filling {
                let from = now - SignedDuration::from_hours(24 * 10);
                let batch = Batch {
                    checks: (0..14_400)
                        .map(|minute| check(watch, from + seconds(60 * minute)))
                        .collect(),
                    stretches: vec![stretch(
                        watch,
                        State::Up,
                        from.as_millisecond(),
                        now.as_millisecond(),
                    )],
                };
                checks::record(c, &batch)?;
                let old = (now - SignedDuration::from_hours(24 * 400)).as_millisecond();
                let batch = Batch {
                    checks: Vec::new(),
                    stretches: vec![stretch(watch, State::Down, old, old + 7_200_000)],
                };
                checks::record(c, &batch)?;
            }
            Ok(())
        })
        .await
        .unwrap();
    let rows = || {
        store.read(|c| {
            let count = |table: &str| {
                c.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| {
                    row.get::<_, i64>(0)
                })
            };
            Ok([
                count("checks")?,
                count("stretches")?,
                count("hours")?,
                count("days")?,
            ])
        })
    };
    let portion = i64::try_from(checks::PRUNED_AT_ONCE).unwrap();
    let before = rows().await.unwrap();
    assert_eq!(before, [28_800, 4, 2 * 242, 2 * 12]);
    let (mut calls, mut more, mut last) = (0, true, before);
    while more {
        more = store.write(move |c| checks::prune(c, now)).await.unwrap();
        let left = rows().await.unwrap();
        assert!(last[0] - left[0] <= portion);
        (calls, last) = (calls + 1, left);
    }
    assert_eq!(calls, 1, "3 days of both are fewer than a portion");
    assert_eq!(last, [2 * 7 * 1440, 2, 2 * 240, 2 * 12]);
    let later = now + SignedDuration::from_hours(24 * 30);
    assert!(store.write(move |c| checks::prune(c, later)).await.unwrap());
    assert_eq!(rows().await.unwrap()[0], 2 * 7 * 1440 - portion);
    while store.write(move |c| checks::prune(c, later)).await.unwrap() {}
    assert_eq!(rows().await.unwrap(), [0, 0, 2 * 240, 2 * 12]);
}

#[tokio::test]
async fn two_threads_write_the_same_hour_and_nothing_is_lost() {
    let (dir, store, watches) = watched(1).await;
    let watch = watches[0];
    let begin = at("2026-11-28T11:00:00Z");
    let other = Store::open(dir.path()).unwrap();
    let work = |store: Store, half: i64| async move {
        for second in 0..150 {
            let time = begin + seconds(2 * second + half);
            let from = time.as_millisecond();
            let batch = Batch {
                checks: vec![check(watch, time)],
                stretches: vec![stretch(watch, State::Up, from, from + 1000)],
            };
            store.write(move |c| checks::record(c, &batch)).await.unwrap();
        }
    };
    let reading = store.clone();
    let reads = tokio::spawn(async move {
        for _ in 0..50 {
            let told = reading
                .read(move |c| {
                    let (to, now) = (begin + seconds(3600), begin + seconds(3600));
                    let whole = availability::availability(c, watch, begin, to, 3_600_000, now)?;
                    let parts = availability::availability(c, watch, begin, to, 600_000, now)?;
                    Ok((whole[0].time.up, parts.iter().map(|sum| sum.time.up).sum::<u64>()))
                })
                .await
                .unwrap();
            assert_eq!(told.0, told.1, "hours and stretches are of one moment");
        }
    });
    let (one, two) = (tokio::spawn(work(store.clone(), 0)), tokio::spawn(work(other, 1)));
    one.await.unwrap();
    two.await.unwrap();
    reads.await.unwrap();
    let sum = store
        .read(move |c| {
            let now = begin + seconds(3600);
            Ok(availability::availability(c, watch, begin, now, 3_600_000, now)?.remove(0))
        })
        .await
        .unwrap();
    assert_eq!(
        (sum.time.up, sum.checks, sum.latencies.total()),
        (300_000, 300, 300)
    );
    assert_eq!(store.integrity_check().await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn an_incident_lasts_until_the_last_database_left_it_also_over_an_end_of_the_process() {
    let (dir, store, ids) = with_databases(3).await;
    let id = IncidentId::from_random(random());
    let key = "host:db.example.com:5432";
    let (opened, joining) = (id.clone(), ids.clone());
    store
        .write(move |c| {
            incidents::open(c, &opened, key, moment(10), &refused())?;
            incidents::join(c, &opened, &joining[0], moment(10))?;
            // Another one of the same key is the same one; an earlier failure began it.
            let again = incidents::open(c, &IncidentId::from_random(random()), key, moment(11), &refused())?;
            assert_eq!(again.id, opened);
            incidents::join(c, &opened, &joining[1], moment(8))
        })
        .await
        .unwrap();
    drop(store);

    let store = Store::open(dir.path()).unwrap();
    store
        .write(move |c| {
            let incident = incidents::open_by_key(c, key)?.unwrap();
            assert_eq!((&incident.id, incident.began_at), (&id, moment(8)));
            assert_eq!(incident.cause, refused());
            let names: Vec<&str> = incident
                .databases
                .iter()
                .map(|member| member.name.as_str())
                .collect();
            assert_eq!(names, ["db 1", "db 0"]);
            assert_eq!(incidents::open_of_database(c, &ids[0])?, Some(incident.clone()));
            assert_eq!(incidents::open_of_database(c, &ids[2])?, None);
            assert_eq!(incidents::list_open(c)?, [incident]);

            assert_eq!(incidents::leave(c, &id, &ids[2], moment(20))?, Left::WasNotIn);
            assert_eq!(incidents::leave(c, &id, &ids[0], moment(20))?, Left::GoesOn);
            assert_eq!(incidents::leave(c, &id, &ids[0], moment(21))?, Left::WasNotIn);
            incidents::join(c, &id, &ids[0], moment(25))?;
            assert_eq!(incidents::leave(c, &id, &ids[1], moment(30))?, Left::GoesOn);
            assert_eq!(incidents::leave(c, &id, &ids[0], moment(40))?, Left::Ended);
            incidents::set_note(c, &id, Some("The disk was full."))?;
            incidents::acknowledge(c, &id, Some(moment(15)))?;

            let incident = incidents::get(c, &id)?.unwrap();
            assert_eq!(incident.ended_at, Some(moment(40)));
            assert_eq!(incident.note.as_deref(), Some("The disk was full."));
            assert_eq!(incident.acknowledged_at, Some(moment(15)));
            let times: Vec<_> = incident
                .databases
                .iter()
                .map(|member| (member.joined_at, member.left_at))
                .collect();
            assert_eq!(
                times,
                [(moment(8), Some(moment(30))), (moment(10), Some(moment(40)))]
            );
            assert_eq!(incidents::open_by_key(c, key)?, None);
            // The next one of this key is another one.
            let next = IncidentId::from_random(random());
            assert_eq!(incidents::open(c, &next, key, moment(50), &refused())?.id, next);
            for gone in [
                incidents::set_note(c, &IncidentId::from_text("x"), None),
                incidents::acknowledge(c, &IncidentId::from_text("x"), None),
            ] {
                assert!(matches!(gone.unwrap_err(), Error::NotFound("incident")));
            }
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn incidents_are_listed_newest_first_by_the_time_in_which_they_lasted() {
    let (_dir, store, ids) = with_databases(2).await;
    store
        .write(move |c| {
            let mut made = Vec::new();
            for number in 0..10 {
                let id = IncidentId::from_random(random());
                let key = format!("database:{number}");
                let begin = moment(100 * number);
                incidents::open(c, &id, &key, begin, &refused())?;
                incidents::join(c, &id, &ids[0], begin)?;
                if number % 2 == 0 {
                    incidents::join(c, &id, &ids[1], begin + seconds(5))?;
                    incidents::leave(c, &id, &ids[1], begin + seconds(10))?;
                }
                if number < 9 {
                    incidents::leave(c, &id, &ids[0], begin + seconds(50))?;
                }
                made.push(id);
            }
            let listed = |database: Option<usize>, from: i64, to: i64, limit: u32| {
                let list = incidents::list(
                    c,
                    database.map(|number| &ids[number]),
                    moment(from),
                    moment(to),
                    limit,
                )?;
                Ok::<_, Error>(
                    list.iter()
                        .map(|incident| made.iter().position(|id| *id == incident.id).unwrap())
                        .collect::<Vec<_>>(),
                )
            };
            assert_eq!(listed(None, 0, 1000, 200)?, [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
            assert_eq!(listed(None, 0, 1000, 3)?, [9, 8, 7]);
            assert_eq!(listed(Some(1), 0, 1000, 200)?, [8, 6, 4, 2, 0]);
            assert_eq!(listed(Some(0), 149, 201, 200)?, [2, 1], "they touch it");
            assert_eq!(listed(Some(0), 150, 200, 200)?, [] as [usize; 0]);
            assert_eq!(listed(Some(1), 211, 290, 200)?, [] as [usize; 0], "it had left");
            assert_eq!(listed(None, 5000, 6000, 200)?, [9], "it lasts still");
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn a_maintenance_window_is_read_back_changed_and_removed() {
    let (_dir, store, ids) = with_databases(1).await;
    store
        .write(move |c| {
            let mut window = Maintenance {
                id: MaintenanceId::from_random(random()),
                databases: Vec::new(),
                when: MaintenanceTime::Never {
                    from: moment(0),
                    to: moment(3600),
                },
                note: "New disks".to_owned(),
                created_at: moment(1),
            };
            maintenance::put(c, &window)?;
            assert_eq!(maintenance::get(c, &window.id)?, Some(window.clone()));
            window.databases = ids;
            window.when = MaintenanceTime::Weekly {
                days: vec![Weekday::Sunday],
                at: TimeOfDay { hour: 2, minute: 30 },
                minutes: 90,
                time_zone: "Europe/Berlin".to_owned(),
            };
            maintenance::put(c, &window)?;
            assert_eq!(maintenance::list(c)?, [window.clone()]);
            let text: String = c.query_row("SELECT time FROM maintenance", [], |row| row.get(0))?;
            assert_eq!(
                text,
                r#"{"repeats":"weekly","days":["sunday"],"at":{"hour":2,"minute":30},"minutes":90,"time_zone":"Europe/Berlin"}"#
            );
            maintenance::remove(c, &window.id)?;
            let gone = maintenance::remove(c, &window.id).unwrap_err();
            assert!(matches!(gone, Error::NotFound("maintenance window")));
            assert_eq!(maintenance::list(c)?, []);
            Ok(())
        })
        .await
        .unwrap();
}
