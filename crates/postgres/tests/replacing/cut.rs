//! A swap that is cut off at any moment: the process killed, a session ended, the caller's cancellation. One of the two databases has
//! the name and takes connections, at once and after a repair.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use howdah_domain::{Connection, FailureCode};
use howdah_postgres::replace::{Place, Record, place, put_back, repair, swap};
use howdah_testkit::Cluster;
use howdah_testkit::chance::Chance;
use rstest::rstest;
use tokio_util::sync::CancellationToken;

use super::{NAME, RESTORED, at, never, of, prepared, secret_of, two_databases, which};
use crate::support::*;

/// What the process to be killed is told in its environment.
const TOLD: &str = "HOWDAH_TEST_SWAP";

/// How often each major is cut.
const CUTS: u32 = 14;

/// The databases are one or the other way round, and can be connected to; answers whether they are swapped.
async fn is_swapped(cluster: &Cluster, record: &Record, cut: &str) -> bool {
    let session = of(cluster).await;
    // The name is there at any moment, before anybody repairs anything.
    let found = which(cluster, NAME).await;
    assert!(found == "old" || found == "new", "{cut}: {found}");
    let now = repair(&session, record, &never())
        .await
        .unwrap_or_else(|error| panic!("{cut}: {:#?}", error.to_failure()));
    assert_eq!(now, repair(&session, record, &never()).await.unwrap(), "{cut}");
    let (holder, beside, other) = match now {
        Place::Swapped => ("new", record.kept.as_str(), "old"),
        _ => ("old", RESTORED, "new"),
    };
    assert_eq!(which(cluster, NAME).await, holder, "{cut}");
    assert_eq!(which(cluster, beside).await, other, "{cut}");
    now == Place::Swapped
}

/// The same, and then as before, for the next cut.
async fn all_is_well(cluster: &Cluster, record: &Record, cut: &str) -> bool {
    let was_swapped = is_swapped(cluster, record, cut).await;
    if was_swapped {
        put_back(
            of(cluster).await,
            of(cluster).await,
            record,
            at(),
            PATIENCE,
            &never(),
        )
        .await
        .unwrap_or_else(|error| panic!("{cut}: {:#?}", error.to_failure()));
    }
    let before = Place::Before {
        restored: Some(RESTORED.into()),
    };
    let now = place(&of(cluster).await, record, &never()).await.unwrap();
    assert_eq!(now, before, "{cut}");
    was_swapped
}

/// A session that has to be ended first, so that the renaming has to wait.
async fn visitor(cluster: &Cluster) -> tokio_postgres::Client {
    cluster.client(NAME).await.unwrap()
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_process_killed_at_any_moment_leaves_one_of_the_two_under_the_name(#[values(13, 18)] major: u16) {
    let mut chance = Chance::for_test(&format!("swap_killed_{major}"));
    let cluster = two_databases(Cluster::builder(major), NAME, RESTORED).await;
    let record = prepared(&cluster).await;
    let told = serde_json::json!({
        "connection": cluster.connection("postgres"),
        "password": cluster.password().expose(),
        "record": record,
    });
    let start = || {
        Command::new(std::env::current_exe().unwrap())
            .args(["cut::a_process_that_swaps", "--exact", "--ignored"])
            .env(TOLD, told.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    let begun = Instant::now();
    let someone = visitor(&cluster).await;
    assert!(start().wait().unwrap().success());
    let whole = u64::try_from(begun.elapsed().as_millis()).unwrap();
    drop(someone);
    let mut swapped = is_swapped(&cluster, &record, "not cut").await;
    assert!(swapped);
    let mut through = 0;
    for cut in 1..=CUTS {
        let someone = visitor(&cluster).await;
        let mut child = start();
        let moment = chance.below(whole * 11 / 10);
        tokio::time::sleep(Duration::from_millis(moment)).await;
        child.kill().unwrap();
        child.wait().unwrap();
        drop(someone);
        let cut = format!("cut {cut} after {moment} of {whole} ms, swapped before: {swapped}");
        let now = is_swapped(&cluster, &record, &cut).await;
        through += u32::from(now != swapped);
        swapped = now;
    }
    println!("{through} of {CUTS} were through");
    assert!(through < CUTS, "none was cut off");
}

#[tokio::test]
#[ignore = "another test runs it, as a process of its own, to kill it"]
async fn a_process_that_swaps() {
    let Ok(told) = std::env::var(TOLD) else { return };
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    let connection: Connection = serde_json::from_value(told["connection"].clone()).unwrap();
    let record: Record = serde_json::from_value(told["record"].clone()).unwrap();
    let secret = secret_of(told["password"].as_str().unwrap());
    let (one, other) = (
        session(&connection, &secret).await,
        session(&connection, &secret).await,
    );
    match place(&one, &record, &never()).await.unwrap() {
        Place::Swapped => put_back(one, other, &record, at(), PATIENCE, &never())
            .await
            .map(drop),
        _ => swap(one, other, &record, PATIENCE, &never()).await,
    }
    .unwrap();
}

/// Lets every COMMIT wait for this standby's answer; for none with `''`.
async fn wait_for_standby(cluster: &Cluster, name: &str) {
    let set = format!("ALTER SYSTEM SET synchronous_standby_names = {name}");
    cluster.sql("postgres", &set).await.unwrap();
    cluster.sql("postgres", "SELECT pg_reload_conf()").await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_break_at_any_step_leave_one_of_the_two_under_the_name(#[values(13, 18)] major: u16) {
    let mut chance = Chance::for_test(&format!("swap_broken_{major}"));
    let cluster = two_databases(Cluster::builder(major), NAME, RESTORED).await;
    let record = prepared(&cluster).await;
    let cutter = cluster.client("postgres").await.unwrap();
    // What a session's last statement is, as the server has it: a cut for each, and some at random.
    let steps = [
        Some("%pg_backend_pid%"),
        Some("%lock_timeout%"),
        Some("%shop\" RENAME TO \"shop_before%"),
        Some("%shop_restored\" RENAME TO%"),
        Some("COMMIT"),
        Some("%pg_terminate_backend%"),
        None,
        None,
        None,
        None,
    ];
    for (number, step) in steps.iter().enumerate() {
        let someone = visitor(&cluster).await;
        let (one, other) = (of(&cluster).await, of(&cluster).await);
        // What is over too soon to be hit is held up: by a lock on the restored database, by a standby that never answers.
        let blocker = cluster.client("postgres").await.unwrap();
        let held = step.is_some_and(|step| step.contains("shop_restored"));
        if held {
            let hold = "BEGIN; COMMENT ON DATABASE shop_restored IS 'held'";
            blocker.batch_execute(hold).await.unwrap();
        }
        let waits = *step == Some("COMMIT");
        if waits {
            wait_for_standby(&cluster, "'nobody'").await;
        }
        let (running, quick) = (record.clone(), Duration::from_secs(4));
        let work = tokio::spawn(async move { swap(one, other, &running, quick, &never()).await });
        let moment = chance.below(300);
        let until = Instant::now() + Duration::from_secs(2);
        if step.is_none() {
            tokio::time::sleep(Duration::from_millis(moment)).await;
        }
        let mut hit = false;
        while !hit && !work.is_finished() && Instant::now() < until {
            let rows = cutter
                .query(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                     WHERE application_name = 'howdah-test' AND query LIKE $1",
                    &[&step.unwrap_or("%")],
                )
                .await
                .unwrap();
            hit = !rows.is_empty();
        }
        drop(blocker);
        let outcome = work.await.unwrap();
        drop(someone);
        if waits {
            wait_for_standby(&cluster, "''").await;
        }
        assert!(hit || !(held || waits), "{step:?} was not cut");
        let cut = format!(
            "cut {number} at {step:?} after {moment} ms (hit: {hit}): {:?}",
            outcome.is_ok()
        );
        let was_swapped = all_is_well(&cluster, &record, &cut).await;
        println!("{cut}; swapped: {was_swapped}");
        match outcome {
            Ok(()) => assert!(was_swapped, "{cut}"),
            // Only this code leaves it open.
            Err(error) if was_swapped => assert_eq!(error.code(), FailureCode::ConnectionLost, "{cut}"),
            Err(_) => {}
        }
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_swap_that_is_cancelled_lets_go_at_once(#[values(13, 18)] major: u16) {
    let mut chance = Chance::for_test(&format!("swap_cancelled_{major}"));
    let cluster = two_databases(Cluster::builder(major), NAME, RESTORED).await;
    let record = prepared(&cluster).await;
    for cut in 0..8 {
        let someone = visitor(&cluster).await;
        let (one, other, cancel) = (of(&cluster).await, of(&cluster).await, CancellationToken::new());
        let (running, token) = (record.clone(), cancel.clone());
        let work = tokio::spawn(async move { swap(one, other, &running, PATIENCE, &token).await });
        let moment = chance.below(150);
        tokio::time::sleep(Duration::from_millis(moment)).await;
        cancel.cancel();
        let since = Instant::now();
        let outcome = work.await.unwrap();
        // Nobody has to wait for a lock that is left behind.
        let found = which(&cluster, NAME).await;
        assert!(since.elapsed() < Duration::from_secs(3), "{:?}", since.elapsed());
        drop(someone);
        let expected = match &outcome {
            Ok(()) => "new",
            Err(error) => {
                assert!(error.is_cancelled(), "{:?}", error.to_failure());
                "old"
            }
        };
        assert_eq!(found, expected, "cut {cut} after {moment} ms");
        all_is_well(&cluster, &record, &format!("cut {cut} after {moment} ms")).await;
    }
}
