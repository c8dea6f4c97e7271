//! What is looked at before a restore, and that nothing is changed by it.

use howdah_domain::{BackupId, FailureCode};
use howdah_engine::api::{Preflight, PreflightVerdict, RestoreTarget, RestoreWish};

use crate::{ORDERS, Shop};

fn has(preflight: &Preflight, verdict: PreflightVerdict, text: &str) -> bool {
    preflight
        .lines
        .iter()
        .any(|line| line.verdict == verdict && line.text.contains(text))
}

fn stopped(preflight: &Preflight) -> bool {
    preflight
        .lines
        .iter()
        .any(|line| line.verdict == PreflightVerdict::Stops)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_onto_this_machine_is_looked_at_with_its_room_and_the_code_that_it_brings() {
    let shop = Shop::backed_up(18, ORDERS).await;
    let wish = shop.wish(RestoreTarget::NewInstance { name: None });
    let engine = &shop.test.engine;
    let first = engine.preflight(&wish).await.unwrap();
    assert!(!stopped(&first), "{first:#?}");
    assert!(
        has(&first, PreflightVerdict::Passes, "PostgreSQL 18"),
        "{first:#?}"
    );
    assert!(
        has(&first, PreflightVerdict::Passes, "is free on this machine"),
        "{first:#?}"
    );
    assert!(
        has(&first, PreflightVerdict::Warns, "code of its source"),
        "{first:#?}"
    );
    assert_eq!(first.expected_ms, None, "nobody has restored it yet");
    assert!(engine.list_instances().await.unwrap().is_empty());

    shop.restored_well(wish.clone()).await;
    let second = engine.preflight(&wish).await.unwrap();
    assert!(second.expected_ms.is_some_and(|ms| ms > 100), "{second:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_onto_a_server_is_looked_at_with_what_is_there_and_what_is_in_the_way() {
    let shop = Shop::backed_up(17, ORDERS).await;
    let engine = &shop.test.engine;
    let before = shop.databases().await;
    let new = engine.preflight(&shop.onto_server("fresh", false)).await.unwrap();
    assert!(!stopped(&new), "{new:#?}");
    assert!(
        has(&new, PreflightVerdict::Passes, "no database fresh yet"),
        "{new:#?}"
    );
    let missing = engine.preflight(&shop.onto_server("fresh", true)).await.unwrap();
    assert!(
        has(&missing, PreflightVerdict::Stops, "to replace"),
        "{missing:#?}"
    );
    let taken = engine
        .preflight(&shop.onto_server("postgres", false))
        .await
        .unwrap();
    assert!(has(&taken, PreflightVerdict::Stops, "already"), "{taken:#?}");

    shop.cluster.create_database("live").await.unwrap();
    let visitor = shop.cluster.client("live").await.unwrap();
    let replaced = engine.preflight(&shop.onto_server("live", true)).await.unwrap();
    assert!(!stopped(&replaced), "{replaced:#?}");
    assert!(
        has(&replaced, PreflightVerdict::Warns, "is replaced"),
        "{replaced:#?}"
    );
    assert!(
        has(&replaced, PreflightVerdict::Warns, "1 session is"),
        "{replaced:#?}"
    );
    drop(visitor);
    let mut after = shop.databases().await;
    after.retain(|name| name != "live");
    assert_eq!(after, before, "nothing was changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_and_a_backup_that_is_damaged_stop_it_in_words() {
    let mut shop = Shop::backed_up(17, ORDERS).await;
    let wish = shop.onto_server("fresh", false);
    let dump = crate::support::files_below(&shop.test.folder())
        .into_iter()
        .find(|file| file.ends_with("index.json.zst"))
        .unwrap();
    let dump = shop.test.folder().join(dump);
    let bytes = std::fs::read(&dump).unwrap();
    std::fs::write(&dump, "no index").unwrap();
    let damaged = shop.test.engine.preflight(&wish).await.unwrap();
    assert!(stopped(&damaged), "{damaged:#?}");
    std::fs::write(&dump, bytes).unwrap();
    shop.cluster = howdah_testkit::Cluster::start(17).await.unwrap();
    let away = shop.test.engine.preflight(&wish).await.unwrap();
    assert!(stopped(&away), "{away:#?}");

    let unknown = RestoreWish {
        backup_id: BackupId::new(shop.test.engine_now(), [9; 10]),
        ..wish
    };
    let failure = shop.test.engine.preflight(&unknown).await.unwrap_err();
    assert_eq!(failure.code, FailureCode::BackupNotFound);
}
