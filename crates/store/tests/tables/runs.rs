//! Runs and their logs: states move by compare-and-set, so many at once and no more, logs are bounded.

use std::slice;

use howdah_domain::{
    DatabaseId, Failure, FailureCode, Phase, Progress, RunKind, RunState, SkipReason, WaitReason,
};
use howdah_store::tables::{
    backups, databases,
    run_logs::{self, LogLevel, LogLine},
    runs::{self, Outcome, Start, Transition},
};

use crate::common::{World, moment, random};
use crate::store;

#[tokio::test]
async fn a_run_goes_from_state_to_state_and_nobody_can_move_it_twice() {
    let (_dir, store) = store().await;
    let world = World::make(&store).await;
    let new = world.run(&store);
    let backup = world.backup(moment(3));
    store
        .write(move |c| {
            let run = runs::insert(c, &new)?;
            assert_eq!(run.state, RunState::Queued);
            assert_eq!((run.attempt, run.started_at, run.finished_at), (0, None, None));
            let id = &run.id;
            let running = |phase| RunState::Running { phase };
            let is_running = |state| matches!(state, RunState::Running { .. });
            let retry = RunState::Waiting {
                reason: WaitReason::Retry,
            };
            let none = Outcome::default();

            let Start::Started(run) = runs::try_start(c, id, 2, Phase::Connecting, moment(2))? else {
                panic!("not started");
            };
            assert_eq!((run.attempt, run.started_at), (1, Some(moment(2))));

            let progress = Progress {
                table: Some("public.orders".to_owned()),
                raw_bytes: u64::from(u32::MAX) * 2,
                ..Progress::default()
            };
            runs::save_progress(c, id, &progress)?;
            assert_eq!(runs::get(c, id)?.unwrap().progress, progress);

            let failure = Failure::new(FailureCode::ConnectionLost, "The connection broke.").hint("Wait.");
            let outcome = Outcome {
                failure: Some(failure.clone()),
                next_attempt_at: Some(moment(62)),
                ..Outcome::default()
            };
            let run = runs::transition(c, id, is_running, retry, moment(2), &outcome)?
                .done()
                .unwrap();
            assert_eq!(
                (run.next_attempt_at, run.failure),
                (Some(moment(62)), Some(failure))
            );

            let run = runs::transition(c, id, |s| s == retry, running(Phase::Dumping), moment(62), &none)?
                .done()
                .unwrap();
            assert_eq!(
                (run.attempt, run.started_at, run.next_attempt_at),
                (2, Some(moment(2)), None)
            );
            // A phase is no new attempt.
            let run = runs::transition(c, id, is_running, running(Phase::Finishing), moment(63), &none)?
                .done()
                .unwrap();
            assert_eq!(run.attempt, 2);
            assert_eq!(runs::active(c)?, slice::from_ref(&run));
            assert_eq!(runs::active_on(c, &world.database_id)?, [run]);

            let outcome = Outcome {
                backup_id: Some(backup.id.clone()),
                ..Outcome::default()
            };
            backups::insert(c, &backup)?;
            let run = runs::transition(c, id, is_running, RunState::Succeeded, moment(64), &outcome)?
                .done()
                .unwrap();
            assert_eq!((run.failure.clone(), run.finished_at), (None, Some(moment(64))));
            assert_eq!(runs::get(c, id)?, Some(run.clone()));

            // The user's cancel comes too late.
            let late = runs::transition(c, id, |s| !s.is_final(), RunState::Cancelled, moment(65), &none)?;
            assert_eq!(late, Transition::Refused(RunState::Succeeded));
            assert_eq!(
                runs::try_start(c, id, 2, Phase::Connecting, moment(65))?,
                Start::Refused(RunState::Succeeded)
            );
            runs::save_progress(c, id, &Progress::default())?;
            assert_eq!(runs::get(c, id)?.unwrap().progress, progress);
            assert!(runs::active(c)?.is_empty());
            assert_eq!(runs::ended(c, 5)?, slice::from_ref(&run));
            assert_eq!(runs::of_database(c, &world.database_id, 5)?, [run]);
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn every_state_is_read_back_as_it_was_written() {
    let (_dir, store) = store().await;
    let world = World::make(&store).await;
    let runs_to_make: Vec<_> = (0..20).map(|_| world.run(&store)).collect();
    store
        .write(move |c| {
            let reasons = [
                WaitReason::Slot,
                WaitReason::DatabaseBusy,
                WaitReason::Retry,
                WaitReason::Keyring,
            ]
            .map(|reason| RunState::Waiting { reason });
            let phases = [
                Phase::Connecting,
                Phase::Dumping,
                Phase::Finishing,
                Phase::Verifying,
                Phase::Restoring,
                Phase::Comparing,
            ]
            .map(|phase| RunState::Running { phase });
            let ends = [RunState::Failed, RunState::Cancelled, RunState::Interrupted];
            let skips = [
                SkipReason::StillRunning,
                SkipReason::DatabaseVanished,
                SkipReason::PlanDisabled,
            ]
            .map(|reason| RunState::Skipped { reason });
            let all: Vec<RunState> = [reasons.as_slice(), &phases, &ends, &skips].concat();
            for (state, new) in all.into_iter().zip(&runs_to_make) {
                runs::insert(c, new)?;
                runs::transition(c, &new.id, |_| true, state, moment(3), &Outcome::default())?
                    .done()
                    .unwrap();
                let run = runs::get(c, &new.id)?.unwrap();
                assert_eq!(run.state, state);
                assert_eq!(run.finished_at.is_some(), state.is_final());
            }
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn at_most_so_many_backups_start_and_one_per_database() {
    let (_dir, store) = store().await;
    let world = World::make(&store).await;
    let new = |database: &DatabaseId, kind| {
        let mut run = world.run(&store);
        run.database_id = Some(database.clone());
        run.kind = kind;
        run
    };
    let shop = world.database_id.clone();
    let others = [0, 1].map(|_| DatabaseId::from_random(random()));
    let first = new(&shop, RunKind::Backup);
    let same = new(&shop, RunKind::Backup);
    let verify = new(&shop, RunKind::Verify);
    let second = new(&others[0], RunKind::Backup);
    let third = new(&others[1], RunKind::Backup);
    let server_id = world.server.id.clone();
    store
        .write(move |c| {
            for (id, name) in others.iter().zip(["a", "b"]) {
                databases::ensure(c, id.clone(), &server_id, name, moment(0))?;
            }
            for run in [&first, &same, &verify, &second, &third] {
                runs::insert(c, run)?;
            }
            let start = |run: &runs::NewRun| runs::try_start(c, &run.id, 2, Phase::Connecting, moment(2));
            let waits = |start| match start {
                Start::Waits(run) => match run.state {
                    RunState::Waiting { reason } => reason,
                    other => panic!("{other:?}"),
                },
                other => panic!("{other:?}"),
            };
            assert!(matches!(start(&first)?, Start::Started(_)));
            assert_eq!(waits(start(&same)?), WaitReason::DatabaseBusy);
            assert!(
                matches!(start(&verify)?, Start::Started(_)),
                "a verify run takes no place"
            );
            assert!(matches!(start(&second)?, Start::Started(_)));
            assert_eq!(waits(start(&third)?), WaitReason::Slot);
            assert_eq!(waits(start(&third)?), WaitReason::Slot);
            runs::transition(
                c,
                &first.id,
                |_| true,
                RunState::Failed,
                moment(3),
                &Outcome::default(),
            )?;
            assert!(matches!(start(&same)?, Start::Started(_)));
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn a_log_is_bounded_and_loses_its_middle() {
    let (_dir, store) = store().await;
    let world = World::make(&store).await;
    let new = world.run(&store);
    let total = run_logs::HEAD + run_logs::TAIL + 4_000;
    store
        .write(move |c| {
            runs::insert(c, &new)?;
            let lines: Vec<LogLine> = (1..=total)
                .map(|number| LogLine {
                    at: moment(number),
                    level: LogLevel::Warning,
                    text: format!("line {number}"),
                })
                .collect();
            for chunk in lines.chunks(777) {
                run_logs::append(c, &new.id, chunk)?;
            }
            let log = run_logs::last(c, &new.id, 50_000)?;
            assert!(!log.shortened);
            let kept = usize::try_from(run_logs::HEAD + 1 + run_logs::TAIL).unwrap();
            assert_eq!(log.lines.len(), kept);
            let head = usize::try_from(run_logs::HEAD).unwrap();
            assert_eq!(log.lines[..head], lines[..head]);
            assert_eq!(log.lines[head].text, "… 4000 lines are left out here …");
            assert_eq!(log.lines[head + 1..], lines[lines.len() - (kept - head - 1)..]);

            let log = run_logs::last(c, &new.id, 3)?;
            assert!(log.shortened);
            assert_eq!(log.lines, lines[lines.len() - 3..]);

            runs::transition(
                c,
                &new.id,
                |_| true,
                RunState::Failed,
                moment(3),
                &Outcome::default(),
            )?;
            assert_eq!(run_logs::prune(c, moment(3))?, 0);
            assert_eq!(run_logs::prune(c, moment(4))?, kept);
            Ok(())
        })
        .await
        .unwrap();
}
