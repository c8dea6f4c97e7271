//! A database replaced by a backup, put back, and dropped when its week is over.

use howdah_domain::{FailureCode, ReplacementId, RunState};
use howdah_store::Store;
use howdah_store::tables::replacements::{self, Replacement, ReplacementState};
use howdah_testkit::chance::Chance;
use jiff::SignedDuration;
use rstest::rstest;
use std::time::Duration;

use crate::{ORDERS, Shop};

/// A shop whose backup is also restored as `live`, where the accident happens.
async fn accident(major: u16) -> Shop {
    let shop = Shop::backed_up(major, ORDERS).await;
    shop.restored_well(shop.onto_server("live", false)).await;
    assert_eq!(shop.count("live").await, 1000);
    shop.cluster
        .sql(
            "live",
            "DELETE FROM orders WHERE id > 350; CREATE TABLE newer (n int);",
        )
        .await
        .unwrap();
    shop
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_replaced_and_put_back(#[values(13, 18)] major: u16) {
    let shop = accident(major).await;
    let engine = &shop.test.engine;
    shop.restored_well(shop.onto_server("live", true)).await;
    assert_eq!(shop.count("live").await, 1000);
    let kept = engine.list_replacements().await.unwrap().remove(0);
    assert_eq!(kept.database, "live");
    assert_eq!(shop.count(&kept.kept).await, 350, "what was there is kept");

    let restored = engine.put_back(&kept.id).await.unwrap();
    assert_eq!(shop.count("live").await, 350);
    assert_eq!(shop.count(&restored).await, 1000);
    assert!(engine.list_replacements().await.unwrap().is_empty());
    let gone = engine.put_back(&kept.id).await.unwrap_err();
    assert_eq!(gone.code, FailureCode::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_replaced_is_dropped_after_a_week_and_not_before() {
    let shop = accident(17).await;
    let engine = &shop.test.engine;
    shop.restored_well(shop.onto_server("live", true)).await;
    let kept = engine.list_replacements().await.unwrap().remove(0).kept;
    for (hours, there) in [(24 * 6, true), (26, false)] {
        shop.test.clock.turn(SignedDuration::from_hours(hours));
        engine.look_after_things();
        for _ in 0..50 {
            if shop.databases().await.contains(&kept) == there && !there {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(
            shop.databases().await.contains(&kept),
            there,
            "after {hours} hours more"
        );
    }
    assert_eq!(shop.count("live").await, 1000);
    // Its row goes after it.
    for _ in 0..50 {
        if engine.list_replacements().await.unwrap().is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the replacement is not forgotten");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_is_let_go_when_somebody_dropped_it_and_keeps_its_server_until_then() {
    let shop = accident(17).await;
    let engine = &shop.test.engine;
    shop.restored_well(shop.onto_server("live", true)).await;
    let kept = engine.list_replacements().await.unwrap().remove(0);
    let refused = engine.remove_server(&shop.server).await.unwrap_err();
    assert_eq!(refused.code, FailureCode::Busy);
    assert!(refused.message.contains("was replaced"), "{refused:?}");

    shop.cluster
        .sql("postgres", &format!("DROP DATABASE \"{}\"", kept.kept))
        .await
        .unwrap();
    let gone = engine.drop_kept(&kept.id).await.unwrap_err();
    assert_eq!(gone.code, FailureCode::NotFound);
    assert!(engine.list_replacements().await.unwrap().is_empty());
    engine.remove_server(&shop.server).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_that_the_server_lacks_are_made_for_a_replacement_too() {
    let shop = Shop::backed_up(
        17,
        "CREATE ROLE author; CREATE TABLE orders (id int); ALTER TABLE orders OWNER TO author;",
    )
    .await;
    shop.cluster
        .sql("postgres", "DROP OWNED BY author; DROP ROLE author")
        .await
        .unwrap();
    shop.cluster.create_database("live").await.unwrap();
    let mut wish = shop.onto_server("live", true);
    let without = shop.restored(wish.clone()).await;
    assert_eq!(without.failure.unwrap().code, FailureCode::RestoreFailed);
    wish.options.roles = true;
    shop.restored_well(wish).await;
    let owner = "SELECT relowner::regrole::text FROM pg_class WHERE relname = 'orders'";
    assert_eq!(shop.cluster.one("live", owner).await.unwrap(), "author");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_database_takes_no_ones_place_and_one_that_is_missing_is_not_replaced() {
    let shop = accident(17).await;
    let before = shop.databases().await;
    let there = shop.restored(shop.onto_server("live", false)).await;
    assert_eq!(there.state, RunState::Failed);
    assert_eq!(there.failure.unwrap().code, FailureCode::DatabaseExists);
    assert_eq!(shop.count("live").await, 350, "it was not touched");
    let missing = shop.restored(shop.onto_server("nowhere", true)).await;
    assert_eq!(missing.failure.unwrap().code, FailureCode::DatabaseNotFound);
    assert_eq!(shop.databases().await, before, "nothing is left beside");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_that_is_cancelled_at_any_moment_leaves_one_database_or_the_other_whole() {
    let shop = accident(17).await;
    let engine = &shop.test.engine;
    let mut chance = Chance::for_test("cancelled replacements");
    let mut cancelled = 0;
    for _ in 0..10 {
        let run = engine
            .restore_backup(shop.onto_server("live", true))
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(chance.below(900))).await;
        engine.cancel_run(&run).await.unwrap();
        let ended = shop.test.ended(&run).await;
        match ended.state {
            RunState::Cancelled => {
                cancelled += 1;
                assert_eq!(shop.count("live").await, 350);
                assert_eq!(shop.databases().await, ["live", "postgres"]);
            }
            state => {
                assert_eq!(state, RunState::Succeeded, "{:?}", ended.failure);
                assert_eq!(shop.count("live").await, 1000);
                let kept = engine.list_replacements().await.unwrap().remove(0);
                let restored = engine.put_back(&kept.id).await.unwrap();
                shop.cluster
                    .sql("postgres", &format!("DROP DATABASE \"{restored}\""))
                    .await
                    .unwrap();
            }
        }
    }
    assert!(cancelled > 0, "none of ten came before the end");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_howdah_was_restoring_beside_a_database_is_dropped_by_the_next() {
    let shop = accident(17).await;
    shop.cluster
        .sql("postgres", "CREATE DATABASE live_restored_2026_11_27_1530")
        .await
        .unwrap();
    let dead = {
        let folder = tempfile::tempdir().unwrap();
        Store::open(folder.path()).unwrap().owner().clone()
    };
    let row = Replacement {
        id: ReplacementId::from_random([7; 10]),
        server_id: shop.server.clone(),
        database: "live".to_owned(),
        restored: "live_restored_2026_11_27_1530".to_owned(),
        backup_id: shop.backup.id.clone(),
        state: ReplacementState::Restoring,
        record: None,
        owner: Some(dead),
        created_at: shop.test.engine_now(),
        kept_until: None,
    };
    let store = Store::open(shop.test.dir.path().join("data")).unwrap();
    store.write(move |tx| replacements::put(tx, &row)).await.unwrap();
    shop.test.engine.look_after_things();
    for _ in 0..100 {
        if store.read(replacements::list).await.unwrap().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(shop.databases().await, ["live", "postgres"]);
    assert_eq!(shop.count("live").await, 350);
}
