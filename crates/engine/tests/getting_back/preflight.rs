//! What is looked at before a restore, and that nothing is changed by it.

use howdah_domain::{BackupId, FailureCode, RestoreContent};
use howdah_engine::api::{Preflight, PreflightVerdict, RestoreOptions, RestoreTarget, RestoreWish};

use crate::{ORDERS, Shop};

fn has(preflight: &Preflight, verdict: PreflightVerdict, text: &str) -> bool {
    preflight
        .lines
        .iter()
        .any(|line| line.verdict == verdict && line.text.contains(text))
}

fn stopped(preflight: &Preflight) -> bool {
    !stops(preflight).is_empty()
}

/// The lines that stop a restore.
fn stops(preflight: &Preflight) -> Vec<&str> {
    let stop = preflight
        .lines
        .iter()
        .filter(|line| line.verdict == PreflightVerdict::Stops);
    stop.map(|line| line.text.as_str()).collect()
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

#[tokio::test(flavor = "multi_thread")]
async fn rows_alone_need_tables_that_are_there_and_empty() {
    let shop = Shop::backed_up(17, ORDERS).await;
    let engine = &shop.test.engine;
    let rows = RestoreOptions {
        content: RestoreContent::Rows,
        ..RestoreOptions::default()
    };
    let into = |database: &str| RestoreWish {
        options: rows.clone(),
        ..shop.onto_server(database, false)
    };
    let missing = engine.preflight(&into("nowhere")).await.unwrap();
    assert_eq!(stops(&missing), ["There is no database nowhere."]);
    let filled = engine.preflight(&into("postgres")).await.unwrap();
    assert_eq!(stops(&filled), ["These tables hold rows: public.orders."]);
    shop.cluster.create_database("bare").await.unwrap();
    let bare = engine.preflight(&into("bare")).await.unwrap();
    assert_eq!(stops(&bare), ["These tables are not there: public.orders."]);

    let definitions = RestoreWish {
        options: RestoreOptions {
            content: RestoreContent::Definitions,
            ..RestoreOptions::default()
        },
        ..shop.onto_server("fresh", false)
    };
    shop.restored_well(definitions).await;
    let looked = engine.preflight(&into("fresh")).await.unwrap();
    assert_eq!(stops(&looked), Vec::<&str>::new(), "{looked:?}");
    shop.restored_well(into("fresh")).await;
    assert_eq!(shop.count("fresh").await, 1000);

    // A new PostgreSQL has no tables.
    let here = RestoreWish {
        options: rows.clone(),
        ..shop.wish(RestoreTarget::NewInstance { name: None })
    };
    let looked = engine.preflight(&here).await.unwrap();
    assert_eq!(stops(&looked).len(), 1, "{looked:?}");
    let refused = engine.restore_backup(here).await.unwrap_err();
    assert_eq!(refused.code, FailureCode::InvalidInput);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_server_cannot_be_told_to_stop_at_the_first_error() {
    let shop = Shop::backed_up(17, ORDERS).await;
    let old = howdah_testkit::Cluster::start(16).await.unwrap();
    let server = crate::support::by_hand::server(&shop.test, &old, "old").await;
    let wish = RestoreWish {
        to: RestoreTarget::Server {
            server_id: server,
            database: "fresh".to_owned(),
            replace: false,
        },
        options: RestoreOptions {
            exit_on_error: true,
            ..RestoreOptions::default()
        },
        ..shop.onto_server("fresh", false)
    };
    let looked = shop.test.engine.preflight(&wish).await.unwrap();
    assert!(stops(&looked)[0].contains("PostgreSQL 16"), "{looked:?}");
    let run = shop.restored(wish).await;
    assert_eq!(run.failure.unwrap().code, FailureCode::InvalidInput);
}
