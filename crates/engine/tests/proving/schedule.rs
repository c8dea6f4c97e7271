//! Drills that the plan's rule begins, and what the pages say of them.

use howdah_domain::drill::{DrillRule, DrillWhen};
use howdah_domain::{Assertion, RunKind, RunState, Trigger};
use howdah_engine::api::{NeedKind, PlanDraft, RunView};
use howdah_testkit::Cluster;
use jiff::SignedDuration;

use crate::support::TestEngine;
use crate::support::by_hand::{by_hand, folder_at, saved, server};

/// A database with a plan by hand, whose backups are proved by this rule.
async fn kept(test: &TestEngine, cluster: &Cluster, drill: DrillRule) -> PlanDraft {
    cluster
        .sql(
            "postgres",
            "CREATE TABLE t AS SELECT n FROM generate_series(1, 100) n",
        )
        .await
        .unwrap();
    let destination = test
        .engine
        .add_destination(folder_at(&test.folder()))
        .await
        .unwrap();
    let server = server(test, cluster, "shop").await;
    let draft = PlanDraft {
        drill: Some(drill),
        ..by_hand(server, vec![destination.id])
    };
    saved(test, draft).await
}

impl TestEngine {
    async fn drills(&self) -> Vec<RunView> {
        let mut runs = self.engine.list_runs(50).await.unwrap();
        runs.retain(|run| run.kind == RunKind::Drill);
        runs
    }

    /// Waits for that many drills to have ended.
    async fn after_drills(&self, many: usize) -> Vec<RunView> {
        for _ in 0..600 {
            let drills = self.drills().await;
            if drills.len() >= many && drills.iter().all(|run| run.state.is_final()) {
                return drills;
            }
            self.engine.look_after_things();
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        panic!("no {many} drills after a minute: {:?}", self.drills().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_backup_is_proved_when_it_is_made_and_the_pages_say_so() {
    let cluster = Cluster::start(18).await.unwrap();
    let test = TestEngine::start().await;
    let rule = DrillRule {
        when: DrillWhen::EachBackup,
        assertions: vec![Assertion {
            name: "all are there".to_owned(),
            sql: "SELECT count(*) = 100 FROM t".to_owned(),
        }],
    };
    kept(&test, &cluster, rule).await;
    let made = test.backed_up().await;
    let drill = test.after_drills(1).await.remove(0);
    assert_eq!(drill.state, RunState::Succeeded, "{:?}", drill.failure);
    assert_eq!(
        (drill.trigger, drill.backup_id.as_ref()),
        (Trigger::Schedule, Some(&made.id))
    );
    let found = test.engine.run_page(&drill.id).await.unwrap().drill.unwrap();
    assert!(found.proved);
    assert_eq!(found.report.assertions[0].held, Some(true));
    let page = test.engine.backup_page(&made.id).await.unwrap();
    assert!(page.backup.proof.unwrap().proved);
    let overview = test.engine.overview().await.unwrap();
    assert!(overview.databases[0].proved_at.is_some());
    assert!(overview.needs.is_empty(), "{:?}", overview.needs);

    // Not twice for the same backup, but again for the next.
    test.engine.look_after_things();
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(test.drills().await.len(), 1);
    test.backed_up().await;
    test.after_drills(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_left_out_within_a_week_is_made_up_for_newest_first() {
    let cluster = Cluster::start(18).await.unwrap();
    let test = TestEngine::start().await;
    let draft = kept(&test, &cluster, DrillRule::default()).await;
    let mut made = Vec::new();
    // In the end they are eight, five and four days old.
    for days in [3, 1, 4] {
        made.push(test.backed_up().await.id);
        test.clock.turn(SignedDuration::from_hours(24 * days));
    }
    let changed = PlanDraft {
        drill: Some(DrillRule {
            when: DrillWhen::EachBackup,
            assertions: Vec::new(),
        }),
        ..draft
    };
    test.engine.save_plan(changed).await.unwrap();
    let proved: Vec<_> = test
        .after_drills(2)
        .await
        .into_iter()
        .map(|run| run.backup_id.unwrap())
        .collect();
    // Runs are listed newest first.
    assert_eq!(proved, [made[1].clone(), made[2].clone()]);
    test.engine.look_after_things();
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(test.drills().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_weekly_drill_comes_once_a_week() {
    let cluster = Cluster::start(18).await.unwrap();
    let test = TestEngine::start().await;
    let rule = DrillRule {
        when: DrillWhen::Weekly,
        assertions: Vec::new(),
    };
    kept(&test, &cluster, rule).await;
    test.backed_up().await;
    test.after_drills(1).await;
    for (days, expected) in [(1, 1), (5, 1), (1, 2)] {
        test.clock.turn(SignedDuration::from_hours(24 * days));
        test.backed_up().await;
        test.after_drills(expected).await;
        test.engine.look_after_things();
        tokio::time::sleep(std::time::Duration::from_millis(700)).await;
        assert_eq!(test.drills().await.len(), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_proved_or_was_not_for_ninety_days_is_reported() {
    let cluster = Cluster::start(18).await.unwrap();
    let test = TestEngine::start().await;
    let draft = kept(&test, &cluster, DrillRule::default()).await;
    let made = test.backed_up().await;
    let kinds = async || {
        let needs = test.engine.overview().await.unwrap().needs;
        needs.into_iter().map(|need| need.kind).collect::<Vec<_>>()
    };
    assert_eq!(kinds().await, []);
    test.clock.turn(SignedDuration::from_hours(24 * 91));
    assert_eq!(kinds().await, [NeedKind::Unproved]);

    let id = made.id;
    let run = test.engine.drill_backup(&id).await.unwrap();
    assert_eq!(test.ended(&run).await.state, RunState::Succeeded);
    assert_eq!(kinds().await, []);

    let rule = DrillRule {
        when: DrillWhen::Never,
        assertions: vec![Assertion {
            name: "more than there are".to_owned(),
            sql: "SELECT count(*) > 100 FROM t".to_owned(),
        }],
    };
    let changed = PlanDraft {
        drill: Some(rule),
        ..draft
    };
    test.engine.save_plan(changed).await.unwrap();
    let run = test.engine.drill_backup(&id).await.unwrap();
    let ended = test.ended(&run).await;
    assert_eq!(ended.state, RunState::Failed);
    assert!(ended.failure.unwrap().message.contains("more than there are"));
    assert_eq!(kinds().await, [NeedKind::NotProved]);
    // It is told by a task of its own.
    let told = || {
        test.caught
            .titles()
            .iter()
            .any(|title| title.contains("not proved"))
    };
    for _ in 0..100 {
        if told() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(told(), "{:?}", test.caught.titles());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_that_finds_nothing_out_is_tried_again_the_next_day_and_not_before() {
    let cluster = Cluster::start(18).await.unwrap();
    let test = TestEngine::start().await;
    let rule = DrillRule {
        when: DrillWhen::EachBackup,
        assertions: Vec::new(),
    };
    // Nothing is proved while the plan is made, so that the backup can be damaged first.
    let draft = kept(&test, &cluster, DrillRule::default()).await;
    test.backed_up().await;
    let dump = crate::support::files_below(&test.folder())
        .into_iter()
        .find(|file| file.ends_with("dump.pgdump.zst"))
        .unwrap();
    std::fs::write(test.folder().join(dump), "no longer a dump").unwrap();
    let changed = PlanDraft {
        drill: Some(rule),
        ..draft
    };
    test.engine.save_plan(changed).await.unwrap();
    let failed = test.after_drills(1).await.remove(0);
    assert_eq!(failed.state, RunState::Failed);
    for _ in 0..5 {
        test.engine.look_after_things();
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    assert_eq!(test.drills().await.len(), 1);
    test.clock.turn(SignedDuration::from_hours(25));
    test.after_drills(2).await;
}
