//! Which copies are checked when: over weeks every one has its turn, and none has another's.

use std::collections::BTreeSet;
use std::time::Duration;

use howdah_domain::{BackupId, RunKind, Trigger};
use howdah_engine::api::{CopyState, RunView, Settings};
use jiff::SignedDuration;

use crate::checks::dump_in;
use crate::support::TestEngine;
use crate::{Shop, until};

/// The checks that the schedule began since the clock was turned, once that many have ended; a while later there are no more.
async fn checks_of_this_week(test: &TestEngine, expected: usize) -> BTreeSet<BackupId> {
    let checks = async || {
        let runs = test.engine.list_runs(200).await.unwrap();
        let lately = |run: &RunView| {
            run.kind == RunKind::Verify && run.trigger == Trigger::Schedule && test.clock_is_near(run)
        };
        runs.into_iter().filter(lately).collect::<Vec<_>>()
    };
    until("the checks have ended", async || {
        let ended = checks().await.iter().filter(|run| run.state.is_final()).count();
        (ended >= expected).then_some(())
    })
    .await;
    test.engine.look_after_things();
    tokio::time::sleep(Duration::from_millis(700)).await;
    let ids: Vec<BackupId> = checks()
        .await
        .into_iter()
        .filter_map(|run| run.backup_id)
        .collect();
    assert_eq!(ids.len(), expected, "none twice, and no other: {ids:?}");
    ids.into_iter().collect()
}

async fn backups(test: &TestEngine, many: usize) -> Vec<BackupId> {
    let mut made = Vec::new();
    for _ in 0..many {
        made.push(test.backed_up().await.id);
    }
    made
}

fn a_week_goes_by(test: &TestEngine) {
    test.clock.turn(SignedDuration::from_hours(24 * 8));
    test.engine.look_after_things();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_sample_the_newest_is_looked_at_each_week_and_the_others_in_turn() {
    let shop = Shop::kept_in(&["only"]).await;
    let test = &shop.test;
    let made = backups(test, 4).await;
    for older in [0, 1, 2, 0] {
        a_week_goes_by(test);
        let looked_at = checks_of_this_week(test, 2).await;
        assert_eq!(looked_at, BTreeSet::from([made[3].clone(), made[older].clone()]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_are_looked_at_each_week_where_that_is_wished_and_a_damaged_one_stops_none() {
    let shop = Shop::kept_in(&["only"]).await;
    let test = &shop.test;
    let damaged = test.backed_up().await;
    std::fs::write(dump_in(&test.dir.path().join("only")), "no longer a dump").unwrap();
    let mut made = backups(test, 4).await;
    made.push(damaged.id.clone());
    let settings = Settings {
        verify_all: true,
        ..test.engine.settings().await
    };
    test.engine.save_settings(settings).await.unwrap();
    for _ in 0..2 {
        a_week_goes_by(test);
        let looked_at = checks_of_this_week(test, 5).await;
        assert_eq!(looked_at, made.iter().cloned().collect());
    }
    assert_eq!(test.copy(&damaged, "only").await.state, CopyState::Damaged);
}
