//! Several processes on one data directory: who runs what, and what is left when one is killed.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // helpers of tests are tests

mod common;

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use common::{World, child, moment, random, role};
use howdah_domain::{FailureCode, OccurrenceId, Phase, Place, Progress, RunState};
use howdah_store::{
    Store,
    tables::{
        backups, databases, destinations, ledger, occurrences, plans,
        run_logs::{self, LogLevel, LogLine},
        runs::{self, Outcome, Start},
        servers,
    },
};
use howdah_testkit::chance::Chance;
use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;

const DUE_TIMES: i64 = 150;

/// What the other tests run as a process of its own.
#[tokio::test]
#[ignore = "run by other tests, as a child process"]
async fn child_process() {
    let (role, dir) = role().expect("a role");
    let store = Store::open(&dir).unwrap();
    match role.as_str() {
        "claim" => claim_all(&store, &dir).await,
        "work" => work_until_killed(&store).await,
        "own the schedule" => {
            let guard = store.try_own_schedule().unwrap();
            println!("owned: {}", guard.is_some());
            std::thread::sleep(Duration::from_secs(60));
        }
        other => panic!("no role {other}"),
    }
}

fn spawn(role: &str, dir: &Path) -> Child {
    let mut command = child(role, dir);
    command.stdout(Stdio::piped()).spawn().unwrap()
}

/// The lines that a child prints with a word in front, up to the first that ends the wait.
fn wait_for(child: &mut Child, word: &str) -> String {
    let reader = BufReader::new(child.stdout.as_mut().unwrap());
    for line in reader.lines() {
        let line = line.unwrap();
        if let Some(rest) = line.split_once(word) {
            return rest.1.to_owned();
        }
    }
    panic!("the child ended without “{word}”");
}

/// The world that another process made.
async fn known_world(store: &Store) -> World {
    store
        .read(|c| {
            let plan = plans::list(c)?.remove(0);
            Ok(World {
                server: servers::list(c)?.remove(0).server,
                database_id: databases::list(c)?.remove(0).id,
                destination: destinations::list(c)?.remove(0),
                plan,
            })
        })
        .await
        .unwrap()
}

async fn claim_all(store: &Store, dir: &Path) {
    let world = known_world(store).await;
    let owner = store.owner().clone();
    println!("ready:");
    while !dir.join("go").exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut won = 0;
    for number in 0..DUE_TIMES {
        let (plan_id, owner) = (world.plan.id.clone(), owner.clone());
        let mine = store
            .write(move |c| {
                let id = OccurrenceId::from_random(random());
                occurrences::claim(c, &id, &plan_id, moment(number), &owner, moment(number))
            })
            .await
            .unwrap();
        won += i64::from(mine);
    }
    println!("won: {won}");
}

#[tokio::test]
async fn of_two_processes_that_claim_the_same_due_times_one_wins_each() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path()).unwrap();
    World::make(&store).await;
    let mut children = [spawn("claim", dir.path()), spawn("claim", dir.path())];
    for child in &mut children {
        wait_for(child, "ready:");
    }
    std::fs::write(dir.path().join("go"), "").unwrap();
    let won = children.each_mut().map(|child| {
        let won: i64 = wait_for(child, "won: ").trim().parse().unwrap();
        assert!(child.wait().unwrap().success());
        won
    });
    println!("won: {won:?}");
    assert_eq!(won[0] + won[1], DUE_TIMES);
}

/// What an engine does to a store, over and over: claim, record, start, write into the ledger, make progress, end.
async fn work_until_killed(store: &Store) {
    let world = known_world(store).await;
    store.repair(Timestamp::now()).await.unwrap();
    println!("ready:");
    loop {
        let new = world.run(store);
        let (id, owner) = (new.id.clone(), store.owner().clone());
        let plan_id = world.plan.id.clone();
        let due = Timestamp::now();
        let occurrence = OccurrenceId::from_random(random());
        // First the claim alone, as for a plan that has to ask its server first.
        let (claimed, claimer) = (occurrence.clone(), owner.clone());
        let claimed_now = store
            .write(move |c| occurrences::claim(c, &claimed, &plan_id, due, &claimer, due))
            .await
            .unwrap();
        let mut new = new;
        new.occurrence_id = claimed_now.then(|| occurrence.clone());
        store
            .write(move |c| {
                runs::insert(c, &new)?;
                if claimed_now {
                    occurrences::settle(c, &occurrence, due)?;
                }
                Ok(())
            })
            .await
            .unwrap();
        let starting = id.clone();
        let start = store
            .write(move |c| runs::try_start(c, &starting, 8, Phase::Dumping, due))
            .await
            .unwrap();
        let end = if let Start::Started(_) = start {
            let backup = world.backup(due);
            let (run_id, path, place) = (
                id.clone(),
                backup.copies[0].path.clone(),
                world.destination.place.clone(),
            );
            let entry = store
                .write(move |c| ledger::begin(c, &owner, Some(&run_id), &place, &path, due))
                .await
                .unwrap();
            for rows in 0..5 {
                let run_id = id.clone();
                store
                    .write(move |c| {
                        let progress = Progress {
                            rows,
                            ..Progress::default()
                        };
                        runs::save_progress(c, &run_id, &progress)?;
                        let line = LogLine {
                            at: due,
                            level: LogLevel::Info,
                            text: format!("{rows} rows"),
                        };
                        run_logs::append(c, &run_id, &[line])
                    })
                    .await
                    .unwrap();
            }
            Some((backup, entry))
        } else {
            None
        };
        store
            .write(move |c| {
                let mut outcome = Outcome::default();
                let to = match end {
                    Some((mut backup, entry)) => {
                        backup.run_id = Some(id.clone());
                        outcome.backup_id = Some(backup.id.clone());
                        backups::insert(c, &backup)?;
                        ledger::remove(c, entry.number)?;
                        RunState::Succeeded
                    }
                    None => RunState::Cancelled,
                };
                runs::transition(c, &id, |_| true, to, due, &outcome)?
                    .done()
                    .unwrap();
                Ok(())
            })
            .await
            .unwrap();
    }
}

/// What holds after any repair with nobody else alive.
async fn assert_nothing_is_stale(store: &Store, told: &str) {
    assert_eq!(
        store.integrity_check().await.unwrap(),
        Vec::<String>::new(),
        "{told}"
    );
    let told = told.to_owned();
    store
        .read(move |c| {
            assert_eq!(runs::active(c)?, [], "{told}");
            let succeeded: BTreeSet<_> = runs::list(c, 100_000)?
                .into_iter()
                .filter(|run| run.state == RunState::Succeeded)
                .map(|run| run.id)
                .collect();
            let backed_up: BTreeSet<_> = backups::list(c, None, 100_000)?
                .into_iter()
                .filter_map(|backup| backup.run_id)
                .collect();
            assert_eq!(succeeded, backed_up, "{told}");
            for run in runs::list(c, 100_000)? {
                if run.state == RunState::Interrupted {
                    assert_eq!(run.failure.unwrap().code, FailureCode::Interrupted);
                    assert!(run.finished_at.is_some());
                }
            }
            let unsettled: i64 = c.query_row(
                "SELECT count(*) FROM occurrences WHERE settled_at IS NULL",
                [],
                |row| row.get(0),
            )?;
            assert_eq!(unsettled, 0, "{told}");
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn killed_at_fifty_random_moments_nothing_is_left_running_or_unknown() {
    let dir = TempDir::new().unwrap();
    let mut chance = Chance::for_test("killed at random moments");
    let mut store = Some(Store::open(dir.path()).unwrap());
    World::make(store.as_ref().unwrap()).await;
    let (mut interrupted, mut leavings, mut released) = (0, 0, 0);
    for round in 0..25 {
        // Every other time nobody else has the database open: then its log is recovered when it is opened.
        if round % 2 == 0 {
            store = None;
        }
        let mut children = [spawn("work", dir.path()), spawn("work", dir.path())];
        for child in &mut children {
            wait_for(child, "ready:");
        }
        for child in &mut children {
            std::thread::sleep(Duration::from_micros(chance.below(60_000)));
            child.kill().unwrap(); // SIGKILL
            child.wait().unwrap();
        }
        let store = store.get_or_insert_with(|| Store::open(dir.path()).unwrap());
        let repair = store.repair(moment(1)).await.unwrap();
        interrupted += repair.interrupted.len();
        leavings += repair.leavings.len();
        released += repair.released;
        for entry in repair.leavings {
            assert_eq!(&entry.owner, store.owner());
            let run_id = entry.run_id.clone().unwrap();
            let run = store.read(move |c| runs::get(c, &run_id)).await.unwrap().unwrap();
            assert_eq!(run.state, RunState::Interrupted, "round {round}: {entry:?}");
            store
                .write(move |c| ledger::remove(c, entry.number))
                .await
                .unwrap();
        }
        assert_nothing_is_stale(store, &format!("round {round}")).await;
        assert_eq!(
            std::fs::read_dir(dir.path().join("owners")).unwrap().count(),
            1,
            "locks of the dead are removed"
        );
        let again = store.repair(moment(1)).await.unwrap();
        assert_eq!(again, howdah_store::Repair::default());
    }
    println!("interrupted {interrupted}, leavings {leavings}, released {released}");
    assert!(
        interrupted > 5 && leavings > 5,
        "the kills hit work: {interrupted}, {leavings}"
    );
}

#[tokio::test]
async fn a_repair_leaves_the_living_alone() {
    let dir = TempDir::new().unwrap();
    let app = Store::open(dir.path()).unwrap();
    let guest = Store::open(dir.path()).unwrap();
    let world = World::make(&app).await;
    for store in [&app, &guest] {
        let run = world.run(store);
        let owner = store.owner().clone();
        store
            .write(move |c| {
                runs::insert(c, &run)?;
                ledger::begin(
                    c,
                    &owner,
                    Some(&run.id),
                    &Place::folder("/backups"),
                    "a/b/c",
                    moment(1),
                )?;
                Ok(())
            })
            .await
            .unwrap();
    }
    assert_eq!(
        app.repair(moment(2)).await.unwrap(),
        howdah_store::Repair::default()
    );
    assert_eq!(
        guest.repair(moment(2)).await.unwrap(),
        howdah_store::Repair::default()
    );

    let guests = guest.owner().clone();
    drop(guest);
    let repair = app.repair(moment(3)).await.unwrap();
    assert_eq!(repair.interrupted.len(), 1);
    assert_eq!(repair.leavings.len(), 1);
    let run_id = repair.interrupted[0].clone();
    let run = app.read(move |c| runs::get(c, &run_id)).await.unwrap().unwrap();
    assert_eq!(
        (run.owner, run.state, run.finished_at),
        (guests, RunState::Interrupted, Some(moment(3)))
    );
    assert_eq!(app.read(runs::active).await.unwrap().len(), 1);
    // What is not removed by the one who was told is told to the next.
    drop(app);
    let next = Store::open(dir.path()).unwrap();
    assert_eq!(next.repair(moment(4)).await.unwrap().leavings.len(), 2);
}

#[tokio::test]
async fn a_retry_that_waited_when_howdah_ended_is_interrupted_as_well() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let world = World::make(&store).await;
    let run = world.run(&store);
    let id = run.id.clone();
    store
        .write(move |c| {
            runs::insert(c, &run)?;
            runs::try_start(c, &run.id, 1, Phase::Connecting, moment(1))?;
            let outcome = Outcome {
                next_attempt_at: Some(moment(61)),
                ..Outcome::default()
            };
            let retry = RunState::Waiting {
                reason: howdah_domain::WaitReason::Retry,
            };
            runs::transition(c, &run.id, |_| true, retry, moment(1), &outcome)?
                .done()
                .unwrap();
            Ok(())
        })
        .await
        .unwrap();
    drop(store);
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.repair(moment(2)).await.unwrap().interrupted, [id]);
}

#[test]
fn one_process_owns_the_schedule_until_it_dies() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let mut engine = spawn("own the schedule", dir.path());
    assert_eq!(wait_for(&mut engine, "owned: "), "true");
    assert!(store.try_own_schedule().unwrap().is_none());
    engine.kill().unwrap();
    engine.wait().unwrap();
    let begin = Instant::now();
    let guard = loop {
        if let Some(guard) = store.try_own_schedule().unwrap() {
            break guard;
        }
        assert!(
            begin.elapsed() < Duration::from_secs(5),
            "the lock outlived its process"
        );
    };
    assert!(
        store.try_own_schedule().unwrap().is_none(),
        "not twice in one process either"
    );
    drop(guard);
    assert!(store.try_own_schedule().unwrap().is_some());
}

#[tokio::test]
async fn a_clock_set_back_confuses_neither_runs_nor_order() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let world = World::make(&store).await;
    let (first, second) = (world.run(&store), world.run(&store));
    store
        .write(move |c| {
            let running = RunState::Running {
                phase: Phase::Dumping,
            };
            let end = |id, at, state| runs::transition(c, id, |_| true, state, at, &Outcome::default());
            runs::insert(c, &first)?;
            end(&first.id, moment(100), running)?;
            end(&first.id, moment(200), RunState::Failed)?;
            // An hour back.
            let back = SignedDuration::from_hours(-1);
            let mut second = second;
            second.queued_at += back;
            runs::insert(c, &second)?;
            end(&second.id, moment(300) + back, running)?;
            end(&second.id, moment(310) + back, RunState::Succeeded)?;
            let newest: Vec<_> = runs::ended(c, 5)?.into_iter().map(|run| run.id).collect();
            assert_eq!(newest, [second.id, first.id], "the order of recording counts");
            Ok(())
        })
        .await
        .unwrap();
}
