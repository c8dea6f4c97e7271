//! Two machines with the same plan and the same bucket.

use howdah_domain::schedule::TimeOfDay;
use howdah_domain::{RunKind, RunState, Schedule, SkipReason, Trigger};
use howdah_engine::api::{PlanDraft, RunView};
use howdah_testkit::Cluster;
use howdah_testkit::moto::Moto;
use jiff::{SignedDuration, Timestamp};

use crate::support::TestEngine;
use crate::support::by_hand::saved;
use crate::{ROWS, bucket, by_hand, moto, server, until};

/// A machine with a plan for every night into the bucket.
async fn machine(cluster: &Cluster, moto: &Moto) -> (TestEngine, PlanDraft) {
    let test = TestEngine::start().await;
    let kept = test.engine.add_destination(bucket(moto)).await.unwrap();
    let shop = server(&test, cluster, "shop").await;
    let draft = PlanDraft {
        schedule: Schedule::Daily {
            at: TimeOfDay { hour: 4, minute: 0 },
        },
        ..by_hand(shop, vec![kept.id])
    };
    let draft = saved(&test, draft).await;
    (test, draft)
}

/// Lets it be that time on a machine, and waits for what the schedule brings.
async fn at(test: &TestEngine, draft: &PlanDraft, time: Timestamp) -> RunView {
    test.clock.set(time);
    test.engine.save_plan(draft.clone()).await.unwrap();
    let run = until("a run is recorded", async || {
        let runs = test.engine.list_runs(50).await.unwrap();
        runs.into_iter().find(|run| {
            run.kind == RunKind::Backup
                && run.trigger == Trigger::Schedule
                && run.due_at <= Some(time)
                && run.due_at > time.checked_sub(SignedDuration::from_hours(12)).ok()
        })
    })
    .await;
    test.ended(&run.id).await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_machines_one_makes_the_backup_that_is_due_and_the_other_comes_to_know_it() {
    let cluster = Cluster::start(18).await.unwrap();
    cluster.sql("postgres", ROWS).await.unwrap();
    let moto = moto().await;
    let (one, plan_of_one) = machine(&cluster, &moto).await;
    let (other, plan_of_other) = machine(&cluster, &moto).await;
    let due = one.engine.scheduler().await.unwrap().next.unwrap().at;
    let then = due + SignedDuration::from_secs(1);
    let (a, b) = tokio::join!(at(&one, &plan_of_one, then), at(&other, &plan_of_other, then));
    let left = RunState::Skipped {
        reason: SkipReason::OtherMachine,
    };
    let mut states = [a.state, b.state];
    states.sort_by_key(|state| *state == left);
    assert_eq!(states, [RunState::Succeeded, left], "{a:?}\n{b:?}");
    let (maker, watcher) = if a.state == left {
        (&other, &one)
    } else {
        (&one, &other)
    };
    assert_eq!(maker.engine.list_backups(None).await.unwrap().len(), 1);
    // It looks for the other's backup by itself.
    let known = until("the other's backup is listed", async || {
        let known = watcher.engine.list_backups(None).await.unwrap();
        (known.len() == 1).then_some(known)
    })
    .await;
    assert_eq!(known[0].server_name, "shop");

    // A manual backup is nobody else's business.
    watcher.backed_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_took_a_backup_and_died_is_not_waited_for_all_night() {
    let cluster = Cluster::start(18).await.unwrap();
    cluster.sql("postgres", ROWS).await.unwrap();
    let moto = moto().await;
    let (one, plan_of_one) = machine(&cluster, &moto).await;
    let (other, plan_of_other) = machine(&cluster, &moto).await;
    let due = one.engine.scheduler().await.unwrap().next.unwrap().at;
    let made = at(&one, &plan_of_one, due + SignedDuration::from_secs(1)).await;
    assert_eq!(made.state, RunState::Succeeded, "{:?}", made.failure);
    // As if it had died after it took the backup: its claim is there, the backup is not.
    let backup = one.engine.list_backups(None).await.unwrap().remove(0);
    let destination = backup.copies[0].destination_id.clone();
    let run = one
        .engine
        .delete_copy(&backup.id, &destination, true)
        .await
        .unwrap();
    assert_eq!(one.ended(&run).await.state, RunState::Succeeded);

    // The other one slept until noon.
    let late = at(&other, &plan_of_other, due + SignedDuration::from_hours(8)).await;
    assert_eq!(late.state, RunState::Succeeded, "{:?}", late.failure);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_cannot_be_asked_keeps_nobody_from_trying() {
    let cluster = Cluster::start(18).await.unwrap();
    cluster.sql("postgres", ROWS).await.unwrap();
    let moto = moto().await;
    let (test, draft) = machine(&cluster, &moto).await;
    let folder = test
        .engine
        .add_destination(crate::folder(&test, "beside"))
        .await
        .unwrap();
    let mut destinations = draft.destinations.clone();
    destinations.push(folder.id);
    let draft = PlanDraft {
        destinations,
        ..draft
    };
    test.engine.save_plan(draft.clone()).await.unwrap();
    let due = test.engine.scheduler().await.unwrap().next.unwrap().at;
    drop(moto);
    let run = at(&test, &draft, due + SignedDuration::from_secs(1)).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_of_one_name_are_two() {
    let (mine, theirs) = (
        Cluster::start(18).await.unwrap(),
        Cluster::start(18).await.unwrap(),
    );
    for cluster in [&mine, &theirs] {
        cluster.sql("postgres", ROWS).await.unwrap();
    }
    let moto = moto().await;
    let (one, plan_of_one) = machine(&mine, &moto).await;
    let (other, plan_of_other) = machine(&theirs, &moto).await;
    let then = one.engine.scheduler().await.unwrap().next.unwrap().at + SignedDuration::from_secs(1);
    let first = at(&one, &plan_of_one, then).await;
    assert_eq!(first.state, RunState::Succeeded, "{:?}", first.failure);
    let second = at(&other, &plan_of_other, then).await;
    assert_eq!(second.state, RunState::Succeeded, "{:?}", second.failure);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_fails_on_the_machine_that_took_it_is_made_by_the_other() {
    let cluster = Cluster::start(18).await.unwrap();
    cluster.sql("postgres", ROWS).await.unwrap();
    let moto = moto().await;
    let (one, plan_of_one) = machine(&cluster, &moto).await;
    let (other, plan_of_other) = machine(&cluster, &moto).await;
    // The first one may not read everything: pg_dump fails, after it was taken.
    cluster
        .sql(
            "postgres",
            "CREATE ROLE half LOGIN PASSWORD 'half'; REVOKE ALL ON t FROM PUBLIC",
        )
        .await
        .unwrap();
    let server_id = plan_of_one.server_id.clone();
    let half = howdah_engine::api::ServerChange {
        name: None,
        connection: Some(howdah_domain::Connection {
            role: "half".to_owned(),
            ..cluster.connection("postgres")
        }),
        password: Some(howdah_domain::Secret::new("half")),
        ssh_secret: None,
        environment: None,
    };
    one.engine.change_server(&server_id, half).await.unwrap();
    let then = one.engine.scheduler().await.unwrap().next.unwrap().at + SignedDuration::from_secs(1);
    let failed = at(&one, &plan_of_one, then).await;
    assert_eq!(failed.state, RunState::Failed, "{:?}", failed.failure);
    let made = at(&other, &plan_of_other, then).await;
    assert_eq!(made.state, RunState::Succeeded, "{:?}", made.failure);
}
