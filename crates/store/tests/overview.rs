//! The first page: what it shows, in how many queries, and how long lists take to read.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // helpers of tests are tests

mod common;

use std::{sync::Mutex, time::Instant};

use common::{World, moment, random};
use howdah_domain::{DatabaseId, Failure, FailureCode, Phase, RunId, RunState};
use howdah_store::{
    Store,
    tables::{
        backups::{self, CopyState},
        databases, destinations,
        overview::{self, SIZES},
        run_logs::{self, LogLevel, LogLine},
        runs::{self, Outcome},
        servers,
    },
};
use rusqlite::trace::{TraceEvent, TraceEventCodes};
use tempfile::TempDir;

static STATEMENTS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The statements that `work` runs.
async fn statements(store: &Store, work: fn(&rusqlite::Connection)) -> Vec<String> {
    store
        .read(move |c| {
            STATEMENTS.lock().unwrap().clear();
            c.trace_v2(
                TraceEventCodes::SQLITE_TRACE_STMT,
                Some(|event| {
                    if let TraceEvent::Stmt(_, sql) = event {
                        STATEMENTS.lock().unwrap().push(sql.to_owned());
                    }
                }),
            );
            work(c);
            c.trace_v2(TraceEventCodes::empty(), None);
            Ok(STATEMENTS.lock().unwrap().clone())
        })
        .await
        .unwrap()
}

/// Databases beside the first one, each with so many backups and ended runs; one in five failed, one copy in fifty is damaged.
async fn fill(store: &Store, world: &World, databases_in_all: usize, each: i64) -> Vec<DatabaseId> {
    let world = world.clone();
    let owner = store.owner().clone();
    store
        .write(move |c| {
            let mut ids = vec![world.database_id.clone()];
            for number in 1..databases_in_all {
                let id = DatabaseId::from_random(random());
                databases::ensure(
                    c,
                    id.clone(),
                    &world.server.id,
                    &format!("db{number:03}"),
                    moment(0),
                )?;
                ids.push(id);
            }
            for number in 0..each {
                for id in &ids {
                    let at = moment(number * 3600);
                    let mut backup = world.backup(at);
                    backup.database_id = id.clone();
                    backup.stored_bytes = 1000 + u64::try_from(number).unwrap();
                    if number % 50 == 49 {
                        backup.copies[0].state = CopyState::Damaged;
                    }
                    backups::insert(c, &backup)?;
                    let run = runs::NewRun {
                        id: RunId::from_random(random()),
                        kind: howdah_domain::RunKind::Backup,
                        trigger: howdah_domain::Trigger::Schedule,
                        owner: owner.clone(),
                        plan_id: Some(world.plan.id.clone()),
                        occurrence_id: None,
                        database_id: Some(id.clone()),
                        database_name: "shop".to_owned(),
                        server_name: "production".to_owned(),
                        backup_id: None,
                        due_at: Some(at),
                        queued_at: at,
                    };
                    runs::insert(c, &run)?;
                    let failed = number % 5 == 4;
                    let (to, outcome) = if failed {
                        let failure = Failure::new(FailureCode::ConnectionRefused, "Nothing listens.");
                        let outcome = Outcome {
                            failure: Some(failure),
                            ..Outcome::default()
                        };
                        (RunState::Failed, outcome)
                    } else {
                        let running = RunState::Running {
                            phase: Phase::Dumping,
                        };
                        runs::transition(c, &run.id, |_| true, running, at, &Outcome::default())?;
                        let outcome = Outcome {
                            backup_id: Some(backup.id),
                            ..Outcome::default()
                        };
                        (RunState::Succeeded, outcome)
                    };
                    runs::transition(c, &run.id, |_| true, to, at, &outcome)?
                        .done()
                        .unwrap();
                }
            }
            Ok(ids)
        })
        .await
        .unwrap()
}

#[tokio::test]
async fn the_first_page_takes_as_many_queries_for_forty_databases_as_for_one() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let world = World::make(&store).await;
    let look = |c: &rusqlite::Connection| {
        overview::standings(c).unwrap();
    };
    let one = statements(&store, look).await;
    fill(&store, &world, 40, 3).await;
    let many = statements(&store, look).await;
    assert_eq!(one, many);
    assert_eq!(one.len(), 7, "{one:#?}");

    // None of them reads a table from end to end that grows with time.
    let plan = store
        .read(move |c| {
            let mut steps = Vec::new();
            for sql in one {
                let mut statement = c.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
                let lines = statement.query_map([], |row| row.get::<_, String>(3))?;
                steps.extend(lines.collect::<rusqlite::Result<Vec<_>>>()?);
            }
            Ok(steps)
        })
        .await
        .unwrap();
    assert!(plan.len() > 10, "{plan:?}");
    for step in plan {
        // Aliases: b and n are backups, r and e are runs, c is copies, p is drills. By the partial index on active runs, a scan is short.
        let scans = ["SCAN b", "SCAN n", "SCAN r", "SCAN e", "SCAN c", "SCAN p"]
            .iter()
            .any(|scan| step == *scan || step.starts_with(&format!("{scan} ")));
        assert!(!scans || step.contains("runs_active"), "{step}");
    }
}

#[tokio::test]
async fn the_first_page_shows_the_newest_good_backup_the_newest_run_and_what_is_active() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let world = World::make(&store).await;
    let ids = fill(&store, &world, 3, 50).await;
    let (waiting, quiet) = (world.run(&store), ids[2].clone());
    let active = waiting.id.clone();
    store
        .write(move |c| {
            runs::insert(c, &waiting)?;
            // A database that has nothing at all.
            databases::ensure(
                c,
                DatabaseId::from_random(random()),
                &world.server.id,
                "zzz",
                moment(0),
            )?;
            Ok(())
        })
        .await
        .unwrap();
    let standings = store.read(overview::standings).await.unwrap();
    let names: Vec<_> = standings
        .iter()
        .map(|standing| standing.database.name.as_str())
        .collect();
    assert_eq!(names, ["db001", "db002", "shop", "zzz"]);
    let shop = &standings[2];
    // The newest, number 49, is damaged and its run failed; number 48 is the newest good one.
    let last = shop.last_backup.as_ref().unwrap();
    assert_eq!(last.started_at, moment(48 * 3600));
    assert_eq!(last.copies.len(), 1);
    assert_eq!(shop.last_run.as_ref().unwrap().state, RunState::Failed);
    assert_eq!(shop.last_run.as_ref().unwrap().due_at, Some(moment(49 * 3600)));
    assert_eq!(
        shop.active_runs.iter().map(|run| &run.id).collect::<Vec<_>>(),
        [&active]
    );
    let expected: Vec<u64> = (0..u64::from(SIZES)).map(|number| 1019 + number).collect();
    assert_eq!(shop.sizes, expected);
    let other = standings
        .iter()
        .find(|standing| standing.database.id == quiet)
        .unwrap();
    assert!(other.active_runs.is_empty());
    let nothing = &standings[3];
    assert_eq!((&nothing.last_backup, &nothing.last_run), (&None, &None));
    assert!(nothing.sizes.is_empty());
}

/// Printed, not asserted: how long is long depends on the machine.
#[tokio::test]
async fn ten_thousand_runs_and_five_thousand_backups_are_listed() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let world = World::make(&store).await;
    let begin = Instant::now();
    let ids = fill(&store, &world, 20, 250).await;
    // As many runs again without a backup.
    let more: Vec<_> = (0..5_000)
        .map(|number| {
            let mut run = world.run(&store);
            run.database_id = Some(ids[number % ids.len()].clone());
            run
        })
        .collect();
    store
        .write(move |c| {
            for run in &more {
                runs::insert(c, run)?;
                runs::transition(
                    c,
                    &run.id,
                    |_| true,
                    RunState::Failed,
                    moment(9),
                    &Outcome::default(),
                )?;
            }
            let line = LogLine {
                at: moment(9),
                level: LogLevel::Info,
                text: "pg_dump: dumping contents of table \"public.orders\"".to_owned(),
            };
            for run in more.iter().take(100) {
                run_logs::append(c, &run.id, &vec![line.clone(); 200])?;
            }
            Ok(())
        })
        .await
        .unwrap();
    println!("written in {:?}", begin.elapsed());

    type Look = fn(&rusqlite::Connection, &DatabaseId) -> usize;
    let looks: [(&str, Look); 8] = [
        ("standings of 20 databases", |c, _| {
            overview::standings(c).unwrap().len()
        }),
        ("totals", |c, _| {
            usize::try_from(backups::totals(c).unwrap().backups).unwrap()
        }),
        ("usage of destinations", |c, _| {
            destinations::usage(c).unwrap().len()
        }),
        ("10,000 runs", |c, _| runs::list(c, 10_000).unwrap().len()),
        ("newest 50 runs of a database", |c, id| {
            runs::of_database(c, id, 50).unwrap().len()
        }),
        ("newest 10 ended runs", |c, _| runs::ended(c, 10).unwrap().len()),
        ("5,000 backups", |c, _| {
            backups::list(c, None, 5_000).unwrap().len()
        }),
        ("newest 200 backups of a database", |c, id| {
            backups::list(c, Some(id), 200).unwrap().len()
        }),
    ];
    for (name, look) in looks {
        let id = ids[7].clone();
        let (rows, took) = store
            .read(move |c| {
                look(c, &id); // statements prepared, pages read
                let begin = Instant::now();
                Ok((look(c, &id), begin.elapsed()))
            })
            .await
            .unwrap();
        println!("{name}: {rows} in {took:?}");
        assert!(rows > 0, "{name}");
    }
    let size = std::fs::metadata(dir.path().join("howdah.db")).unwrap().len();
    println!("howdah.db: {size} bytes");
    let servers = store.read(servers::list).await.unwrap();
    assert_eq!(servers.len(), 1);
}
