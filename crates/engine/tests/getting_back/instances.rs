//! Local instances as the app has them.

use howdah_domain::{FailureCode, RunState};
use howdah_engine::Parting;
use howdah_engine::api::{InstanceState, RestoreTarget};
use howdah_testkit::chance::Chance;
use std::time::Duration;

use crate::{ORDERS, Shop};

fn here() -> RestoreTarget {
    RestoreTarget::NewInstance { name: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_restored_onto_this_machine_by_one_wish_and_ends_with_howdah() {
    let shop = Shop::backed_up(18, ORDERS).await;
    let run = shop.restored_well(shop.wish(here())).await;
    let engine = &shop.test.engine;
    let page = engine.run_page(&run.id).await.unwrap();
    let instance = page.instance.unwrap();
    assert_eq!(instance.state, InstanceState::Running);
    assert_eq!(instance.major, 18);
    assert!(instance.name.starts_with("postgres 20"), "{}", instance.name);
    let (connection, password) = engine.instance_connection(&instance.id).await.unwrap();
    assert_eq!(connection.host, "127.0.0.1");
    let client = howdah_postgres::connect(
        &connection,
        Some(&password),
        "test",
        Duration::from_secs(10),
        &tokio_util::sync::CancellationToken::new(),
    )
    .await
    .unwrap();
    let rows = client
        .client
        .query("SELECT count(*) FROM orders", &[])
        .await
        .unwrap();
    assert_eq!(rows[0].get::<_, i64>(0), 1000);
    drop(client);

    // A second one of the same backup has a name and a port of its own.
    shop.restored_well(shop.wish(here())).await;
    let both = engine.list_instances().await.unwrap();
    assert_eq!(both.len(), 2);
    assert_ne!(both[0].name, both[1].name);
    assert_ne!(both[0].port, both[1].port);
    engine.delete_instance(&both[0].id).await.unwrap();

    let left = engine.list_instances().await.unwrap().remove(0);
    engine.shutdown(Duration::from_secs(20)).await;
    assert!(
        !left.folder.join("data/postmaster.pid").exists(),
        "it was closed properly"
    );
    assert!(
        left.folder.join("data/PG_VERSION").is_file(),
        "and is still there"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_is_cancelled_at_any_moment_leaves_no_instance() {
    let shop = Shop::backed_up(
        17,
        "CREATE TABLE orders AS SELECT n AS id, repeat(md5(n::text), 10) AS note FROM generate_series(1, 60000) n;
         CREATE INDEX ON orders (note);",
    )
    .await;
    let mut chance = Chance::for_test("cancelled restores");
    let begun = std::time::Instant::now();
    shop.restored_well(shop.wish(here())).await;
    let whole = u64::try_from(begun.elapsed().as_millis()).unwrap();
    let engine = &shop.test.engine;
    let first = engine.list_instances().await.unwrap().remove(0);
    engine.delete_instance(&first.id).await.unwrap();
    let mut cancelled = 0;
    for _ in 0..20 {
        let run = engine.restore_backup(shop.wish(here())).await.unwrap();
        tokio::time::sleep(Duration::from_millis(chance.below(whole))).await;
        engine.cancel_run(&run).await.unwrap();
        let ended = shop.test.ended(&run).await;
        let left = engine.list_instances().await.unwrap();
        if ended.state == RunState::Cancelled {
            cancelled += 1;
            assert!(left.is_empty(), "{left:?}");
        } else {
            assert_eq!(ended.state, RunState::Succeeded, "{:?}", ended.failure);
            engine.delete_instance(&left[0].id).await.unwrap();
        }
    }
    assert!(cancelled > 10, "only {cancelled} of 20 came before the end");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_being_made_is_not_stopped_started_or_deleted_by_hand() {
    let shop = Shop::backed_up(
        17,
        "CREATE TABLE orders AS SELECT n AS id, repeat(md5(n::text), 10) AS note FROM generate_series(1, 200000) n;",
    )
    .await;
    let engine = &shop.test.engine;
    let run = engine.restore_backup(shop.wish(here())).await.unwrap();
    let making = loop {
        if let Some(one) = engine.list_instances().await.unwrap().pop() {
            break one;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(making.state, InstanceState::Making);
    for refused in [
        engine.delete_instance(&making.id).await.err(),
        engine.stop_instance(&making.id).await.err(),
        engine.start_instance(&making.id, Parting::Interrupt).await.err(),
    ] {
        assert_eq!(refused.unwrap().code, FailureCode::Busy);
    }
    engine.cancel_run(&run).await.unwrap();
    shop.test.ended(&run).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_whose_port_somebody_took_meanwhile_gets_another() {
    let shop = Shop::backed_up(17, ORDERS).await;
    shop.restored_well(shop.wish(here())).await;
    let engine = &shop.test.engine;
    let first = engine.list_instances().await.unwrap().remove(0);
    engine.stop_instance(&first.id).await.unwrap();
    let port = first.port.unwrap();
    let taken = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let again = engine
        .start_instance(&first.id, Parting::Interrupt)
        .await
        .unwrap();
    assert_eq!(again.state, InstanceState::Running);
    assert_ne!(again.port, Some(port));
    let (connection, password) = engine.instance_connection(&first.id).await.unwrap();
    assert_eq!(Some(connection.port), again.port);
    let session = howdah_postgres::connect(
        &connection,
        Some(&password),
        "test",
        Duration::from_secs(10),
        &tokio_util::sync::CancellationToken::new(),
    )
    .await;
    assert!(session.is_ok());
    drop(taken);
}
