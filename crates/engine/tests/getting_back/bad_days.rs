//! Restores on bad days: rights that lack, rows that a constraint refuses, a server that is too old or dies, two at once.

use std::time::Duration;

use howdah_domain::{Environment, FailureCode, RestoreContent, RunState};
use howdah_engine::api::{
    ConnectionInput, PlanDraft, PreflightVerdict, RestoreOptions, RestoreTarget, RestoreWish, ServerChange,
};
use howdah_store::Store;
use howdah_store::tables::replacements;
use howdah_testkit::chance::Chance;

use crate::support::by_hand::{by_hand, folder_at};
use crate::{ORDERS, Shop};

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_not_create_databases_is_told_before_and_leaves_nothing() {
    let shop = Shop::backed_up(17, ORDERS).await;
    let engine = &shop.test.engine;
    let password = shop.cluster.create_role("clerk", "NOCREATEDB").await.unwrap();
    let input = ConnectionInput::Form {
        connection: shop.cluster.connection_as("clerk", "postgres"),
        password: Some(password),
        ssh_secret: None,
    };
    let server = engine.add_server(input, "as a clerk", Environment::None).await;
    let wish = RestoreWish {
        backup_id: shop.backup.id.clone(),
        to: RestoreTarget::Server {
            server_id: server.unwrap().id,
            database: "fresh".to_owned(),
            replace: false,
        },
        options: RestoreOptions::default(),
    };
    let before = shop.databases().await;
    let looked = engine.preflight(&wish).await.unwrap();
    assert!(
        looked
            .lines
            .iter()
            .any(|line| line.verdict == PreflightVerdict::Stops
                && line.text.contains("clerk may not create databases")),
        "{looked:#?}"
    );
    let run = shop.restored(wish).await;
    assert_eq!(run.state, RunState::Failed);
    let failure = run.failure.unwrap();
    assert_eq!(failure.code, FailureCode::PermissionDenied, "{failure:?}");
    assert_eq!(shop.databases().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_not_replaced_by_a_part_of_what_was_backed_up() {
    let shop = Shop::backed_up(17, ORDERS).await;
    let all = RestoreOptions::default();
    for options in [
        RestoreOptions {
            content: RestoreContent::Definitions,
            ..all.clone()
        },
        RestoreOptions {
            extensions: false,
            ..all.clone()
        },
        RestoreOptions {
            schemas: vec!["public".to_owned()],
            ..all.clone()
        },
    ] {
        let wish = RestoreWish {
            options,
            ..shop.onto_server("postgres", true)
        };
        let refused = shop.test.engine.restore_backup(wish.clone()).await.unwrap_err();
        assert_eq!(refused.code, FailureCode::InvalidInput);
        // As a new database it is welcome, and without rows nobody asks for their room.
        let fresh = RestoreWish {
            to: shop.onto_server("fresh", false).to,
            ..wish
        };
        let looked = shop.test.engine.preflight(&fresh).await.unwrap();
        let takes = looked
            .lines
            .iter()
            .any(|line| line.text.starts_with("It takes about"));
        assert_eq!(takes, fresh.options.content.has_rows(), "{looked:#?}");
        shop.restored_well(fresh.clone()).await;
        assert_eq!(
            shop.count("fresh").await,
            if fresh.options.content.has_rows() { 1000 } else { 0 }
        );
        shop.cluster.sql("postgres", "DROP DATABASE fresh").await.unwrap();
    }
}

/// Orders of which one has no customer, as when somebody loaded them with the triggers off.
const ORPHAN: &str = "CREATE TABLE customers (id int PRIMARY KEY);
    CREATE TABLE orders (id int PRIMARY KEY, customer int CONSTRAINT has_customer REFERENCES customers);
    INSERT INTO customers VALUES (1);
    SET session_replication_role = replica;
    INSERT INTO orders VALUES (1, 1), (2, 99);";

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_violate_a_constraint_come_back_and_the_constraint_is_named() {
    let shop = Shop::backed_up(17, ORPHAN).await;
    let run = shop.restored(shop.onto_server("fresh", false)).await;
    assert_eq!(run.state, RunState::Failed);
    let failure = run.failure.unwrap();
    assert_eq!(failure.code, FailureCode::RestoreFailed, "{failure:?}");
    let details = failure.details.unwrap();
    assert!(details.contains("has_customer"), "{details}");
    assert_eq!(shop.count("fresh").await, 2, "no row is lost over it");

    // A database is not replaced by one that is less than what was dumped.
    shop.cluster.create_database("live").await.unwrap();
    shop.cluster
        .sql(
            "live",
            "CREATE TABLE orders (id int); INSERT INTO orders VALUES (7)",
        )
        .await
        .unwrap();
    let before = shop.databases().await;
    let run = shop.restored(shop.onto_server("live", true)).await;
    assert_eq!(run.state, RunState::Failed);
    assert_eq!(run.failure.unwrap().code, FailureCode::RestoreFailed);
    assert_eq!(shop.count("live").await, 1);
    assert_eq!(shop.databases().await, before, "nothing is left beside it");
}

/// Two tables that refer to each other, one that refers to itself, and a type of another schema.
const CIRCLES: &str = "CREATE SCHEMA kinds;
    CREATE TYPE kinds.mood AS ENUM ('good', 'bad');
    CREATE DOMAIN kinds.moods AS kinds.mood[];
    CREATE TABLE orders (id int PRIMARY KEY, newest int, mood kinds.mood, moods kinds.moods);
    CREATE TABLE lines (id int PRIMARY KEY, of int NOT NULL REFERENCES orders, before int REFERENCES lines);
    INSERT INTO orders SELECT n, n * 2, 'good', '{bad,good}' FROM generate_series(1, 500) n;
    INSERT INTO lines SELECT n, (n + 1) / 2, 1001 - n FROM generate_series(1, 1000) n;
    ALTER TABLE orders ADD FOREIGN KEY (newest) REFERENCES lines DEFERRABLE INITIALLY DEFERRED;";

#[tokio::test(flavor = "multi_thread")]
async fn circular_keys_come_back_into_a_database_whose_name_needs_quoting() {
    let shop = Shop::backed_up(16, CIRCLES).await;
    for name in ["we\"ird d'b ü", "-\\c $HOME `id`", "%s; DROP TABLE orders --"] {
        shop.restored_well(shop.onto_server(name, false)).await;
        assert_eq!(shop.count(name).await, 500);
        shop.cluster
            .sql(name, "DELETE FROM lines WHERE id = 0")
            .await
            .unwrap();
        shop.restored_well(shop.onto_server(name, true)).await;
        let kept = shop.test.engine.list_replacements().await.unwrap().remove(0);
        assert_eq!(kept.database, name);
        assert_eq!(shop.count(&kept.kept).await, 500);
        shop.test.engine.put_back(&kept.id).await.unwrap();
        let keys = "SELECT count(*)::text FROM pg_constraint WHERE contype = 'f' AND convalidated";
        assert_eq!(shop.cluster.one(name, keys).await.unwrap(), "3");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_older_than_the_dump_takes_what_it_knows() {
    let shop = Shop::backed_up(18, ORDERS).await;
    let old = howdah_testkit::Cluster::start(13).await.unwrap();
    let server = crate::support::by_hand::server(&shop.test, &old, "old").await;
    let wish = RestoreWish {
        to: RestoreTarget::Server {
            server_id: server,
            database: "fresh".to_owned(),
            replace: false,
        },
        ..shop.onto_server("fresh", false)
    };
    let looked = shop.test.engine.preflight(&wish).await.unwrap();
    assert!(
        looked
            .lines
            .iter()
            .any(|line| line.verdict == PreflightVerdict::Warns && line.text.contains("older than the 18")),
        "{looked:#?}"
    );
    shop.restored_well(wish).await;
    assert_eq!(
        old.one("fresh", "SELECT count(*)::text FROM orders")
            .await
            .unwrap(),
        "1000"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_restores_at_once_do_not_spoil_each_other() {
    let shop = Shop::backed_up(17, ORDERS).await;
    let engine = &shop.test.engine;
    let mut runs = Vec::new();
    for name in ["one", "two", "one"] {
        runs.push(
            engine
                .restore_backup(shop.onto_server(name, false))
                .await
                .unwrap(),
        );
    }
    let mut ended = Vec::new();
    for run in &runs {
        ended.push(shop.test.ended(run).await);
    }
    assert_eq!(ended[1].state, RunState::Succeeded, "{:?}", ended[1].failure);
    let refused: Vec<_> = [&ended[0], &ended[2]]
        .into_iter()
        .filter_map(|run| run.failure.as_ref())
        .map(|failure| failure.code)
        .collect();
    assert_eq!(refused, [FailureCode::DatabaseExists], "one comes first");
    assert_eq!((shop.count("one").await, shop.count("two").await), (1000, 1000));

    let (first, second) = tokio::join!(
        engine.restore_backup(shop.onto_server("one", true)),
        engine.restore_backup(shop.onto_server("one", true)),
    );
    let mut replaced = 0;
    for run in [first.unwrap(), second.unwrap()] {
        let run = shop.test.ended(&run).await;
        replaced += usize::from(run.state == RunState::Succeeded);
    }
    assert!(replaced > 0);
    let kept = engine.list_replacements().await.unwrap();
    assert_eq!(kept.len(), replaced);
    let mut expected: Vec<String> = kept.into_iter().map(|each| each.kept).collect();
    expected.extend(["one", "postgres", "two"].map(str::to_owned));
    expected.sort();
    assert_eq!(shop.databases().await, expected, "nothing is orphaned");
    assert_eq!(shop.count("one").await, 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_that_died_keeps_beside_a_database_is_dropped_when_it_is_back() {
    let mut shop = Shop::backed_up(
        17,
        "CREATE TABLE orders AS SELECT n AS id, repeat(md5(n::text), 10) AS note FROM generate_series(1, 300000) n;
         CREATE INDEX ON orders (note);",
    )
    .await;
    shop.cluster.create_database("live").await.unwrap();
    shop.cluster
        .sql(
            "live",
            "CREATE TABLE orders (id int); INSERT INTO orders VALUES (7)",
        )
        .await
        .unwrap();
    let run = shop
        .test
        .engine
        .restore_backup(shop.onto_server("live", true))
        .await
        .unwrap();
    shop.sees(3).await;
    shop.cluster.kill();
    let ended = shop.test.ended(&run).await;
    assert_eq!(ended.state, RunState::Failed, "it is not tried again by itself");
    let hint = ended.failure.unwrap().hint.unwrap();
    assert!(hint.contains("live was not touched"), "{hint}");

    shop.cluster.start_again().await.unwrap();
    let change = ServerChange {
        connection: Some(shop.cluster.connection("postgres")),
        ..ServerChange::default()
    };
    let engine = &shop.test.engine;
    engine.change_server(&shop.server, change).await.unwrap();
    assert_eq!(
        shop.databases().await.len(),
        3,
        "what was restored is still there"
    );
    engine.look_after_things();
    let store = Store::open(shop.test.dir.path().join("data")).unwrap();
    for _ in 0..100 {
        if store.read(replacements::list).await.unwrap().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(shop.databases().await, ["live", "postgres"]);
    assert_eq!(shop.count("live").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_a_restore_never_drops_a_database_that_was_there_before() {
    let shop = Shop::backed_up(17, ORDERS).await;
    shop.cluster.create_database("live").await.unwrap();
    shop.cluster
        .sql(
            "live",
            "CREATE TABLE orders (id int); INSERT INTO orders VALUES (7)",
        )
        .await
        .unwrap();
    let engine = &shop.test.engine;
    let mut chance = Chance::for_test("cancelled restores over a database");
    let mut cancelled = 0;
    for _ in 0..20 {
        let run = engine
            .restore_backup(shop.onto_server("live", false))
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(chance.below(150))).await;
        engine.cancel_run(&run).await.unwrap();
        let ended = shop.test.ended(&run).await;
        cancelled += usize::from(ended.state == RunState::Cancelled);
        assert_eq!(shop.count("live").await, 1);
    }
    assert!(cancelled > 0, "none of twenty came before the end");

    // One that the restore made itself is dropped.
    let shop = Shop::backed_up(
        17,
        "CREATE TABLE orders AS SELECT n AS id, repeat(md5(n::text), 10) AS note FROM generate_series(1, 100000) n",
    )
    .await;
    let engine = &shop.test.engine;
    let run = engine
        .restore_backup(shop.onto_server("fresh", false))
        .await
        .unwrap();
    shop.sees(2).await;
    engine.cancel_run(&run).await.unwrap();
    assert_eq!(shop.test.ended(&run).await.state, RunState::Cancelled);
    assert_eq!(shop.databases().await, ["postgres"]);
    for _ in 0..20 {
        let run = engine
            .restore_backup(shop.onto_server("fresh", false))
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(chance.below(500))).await;
        engine.cancel_run(&run).await.unwrap();
        let ended = shop.test.ended(&run).await;
        let is_there = shop.databases().await.contains(&"fresh".to_owned());
        assert_eq!(is_there, ended.state == RunState::Succeeded, "{ended:?}");
        if is_there {
            shop.cluster.sql("postgres", "DROP DATABASE fresh").await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_rows_of_one_copy_are_damaged_a_new_database_comes_from_the_other() {
    let mut shop = Shop::backed_up(17, ORDERS).await;
    let engine = &shop.test.engine;
    let mut folders = vec![shop.test.folder()];
    folders.push(shop.test.dir.path().join("second"));
    std::fs::create_dir(&folders[1]).unwrap();
    let second = engine.add_destination(folder_at(&folders[1])).await.unwrap();
    let plan = engine.list_plans().await.unwrap().remove(0);
    let mut destinations = plan.destinations.clone();
    destinations.push(second.id);
    let draft = PlanDraft {
        id: Some(plan.id),
        ..by_hand(shop.server.clone(), destinations)
    };
    engine.save_plan(draft).await.unwrap();
    shop.backup = shop.test.backed_up().await;
    let engine = &shop.test.engine;
    // Whichever is read first: each is damaged once.
    for (number, folder) in folders.iter().enumerate() {
        let name = shop.backup.id.as_str();
        let dump = crate::support::files_below(folder)
            .into_iter()
            .find(|file| file.contains(name) && file.ends_with("dump.pgdump.zst"))
            .unwrap();
        let dump = folder.join(dump);
        let whole = std::fs::read(&dump).unwrap();
        let mut damaged = whole.clone();
        // The rows lie in the middle, behind the table of contents.
        let middle = damaged.len() / 2;
        damaged[middle] ^= 1;
        std::fs::write(&dump, damaged).unwrap();
        let fresh = format!("fresh{number}");
        let run = shop.restored_well(shop.onto_server(&fresh, false)).await;
        assert_eq!(shop.count(&fresh).await, 1000);
        let log = engine.run_page(&run.id).await.unwrap().log;
        if number == 0 {
            assert!(
                log.iter().any(|line| line.text.contains("Another one is tried")),
                "the first one is read first: {log:?}"
            );
        }
        std::fs::write(&dump, whole).unwrap();
    }
}
