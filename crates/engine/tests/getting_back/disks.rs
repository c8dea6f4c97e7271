//! Restores when a disk is full: the server's, this machine's, the one for temporary files.

use std::path::Path;

use howdah_domain::{FailureCode, RunState};
use howdah_engine::api::RestoreTarget;
use howdah_postgres::account::Account;
use howdah_testkit::SmallDisk;

use crate::support::{mount_over, small_disk};
use crate::{ORDERS, Shop};

/// Some 60 MB in the table, and as much again while its index is made.
const LARGE: &str = "CREATE TABLE orders AS SELECT n AS id, repeat(md5(n::text), 15) AS note FROM generate_series(1, 100000) n;
    CREATE INDEX ON orders (note)";

/// Databases made from now on lie on this disk.
async fn make_databases_on(shop: &Shop, disk: &SmallDisk) {
    Account::for_instances().unwrap().own(disk.path()).unwrap();
    let make = format!(
        "CREATE TABLESPACE small LOCATION '{}'; ALTER DATABASE template0 SET TABLESPACE small",
        disk.path().display()
    );
    for statement in make.split(';') {
        shop.cluster.sql("postgres", statement).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_servers_full_disk_is_named_and_gets_back_what_the_restore_took() {
    let Some(disk) = small_disk("48m") else { return };
    let shop = Shop::backed_up(17, LARGE).await;
    make_databases_on(&shop, &disk).await;
    let before = disk.free().unwrap();
    let run = shop.restored(shop.onto_server("fresh", false)).await;
    assert_eq!(run.state, RunState::Failed);
    let failure = run.failure.unwrap();
    assert_eq!(failure.code, FailureCode::DiskFull, "{failure:?}");
    assert!(failure.message.contains("disk space"), "{failure:?}");
    assert_eq!(shop.databases().await, ["postgres"]);
    assert!(
        disk.free().unwrap() + (1 << 20) > before,
        "what the restore took is free again"
    );

    // In place of one that is there: that one is not touched.
    shop.cluster.create_database("live").await.unwrap();
    let live = "CREATE TABLE orders (id int); INSERT INTO orders VALUES (7)";
    shop.cluster.sql("live", live).await.unwrap();
    let run = shop.restored(shop.onto_server("live", true)).await;
    let failure = run.failure.unwrap();
    assert_eq!(failure.code, FailureCode::DiskFull, "{failure:?}");
    assert!(failure.hint.unwrap().contains("live was not touched"));
    assert_eq!(shop.databases().await, ["live", "postgres"]);
    assert_eq!(shop.count("live").await, 1);
    shop.cluster.sql("postgres", "DROP DATABASE live").await.unwrap();
}

fn in_the_runtime(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(test);
}

fn here() -> RestoreTarget {
    RestoreTarget::NewInstance { name: None }
}

/// Where instances lie when they are run for root.
const INSTANCES: &str = "/var/lib/howdah/instances";

#[test]
fn this_machines_full_disk_is_named_before_a_restore_and_in_the_middle_of_one() {
    // Enough for the look before; the index takes what that does not count.
    if !mount_over(Path::new(INSTANCES), "260m") {
        return;
    }
    in_the_runtime(async {
        let shop = Shop::backed_up(17, LARGE).await;
        let engine = &shop.test.engine;
        let filler = Path::new(INSTANCES).join("filler");

        // Full before.
        std::fs::write(&filler, vec![0; 200 << 20]).unwrap();
        let looked = engine.preflight(&shop.wish(here())).await.unwrap();
        assert!(
            looked.lines[0].text.contains("is free on this machine"),
            "{looked:?}"
        );
        let run = shop.restored(shop.wish(here())).await;
        assert_eq!(run.failure.unwrap().code, FailureCode::DiskFull);
        assert!(engine.list_instances().await.unwrap().is_empty());

        // Full in the middle.
        std::fs::remove_file(&filler).unwrap();
        let run = engine.restore_backup(shop.wish(here())).await.unwrap();
        while engine.run_page(&run).await.unwrap().run.progress.raw_bytes == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        let mut full = std::fs::File::create(&filler).unwrap();
        let chunk = vec![0; 1 << 20];
        while std::io::Write::write_all(&mut full, &chunk).is_ok() {}
        let ended = shop.test.ended(&run).await;
        assert_eq!(ended.state, RunState::Failed);
        let failure = ended.failure.unwrap();
        assert_eq!(failure.code, FailureCode::DiskFull, "{failure:?}");
        assert!(engine.list_instances().await.unwrap().is_empty());
        let left: Vec<_> = std::fs::read_dir(INSTANCES).unwrap().flatten().collect();
        assert_eq!(left.len(), 1, "{left:?}");

        // With room again it goes well.
        drop(full);
        std::fs::remove_file(&filler).unwrap();
        shop.restored_well(shop.wish(here())).await;
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_folder_for_temporary_files_is_named_and_leaves_nothing() {
    let Some(disk) = small_disk("4m") else { return };
    let shop = Shop::backed_up(17, ORDERS).await;
    tempfile::env::override_temp_dir(disk.path()).unwrap();
    disk.fill().unwrap();
    for wish in [shop.wish(here()), shop.onto_server("fresh", false)] {
        let mut wish = wish;
        // A list of what is wanted is such a file.
        wish.options.tables = vec![howdah_domain::TableName {
            schema: "public".to_owned(),
            name: "orders".to_owned(),
        }];
        let run = shop.restored(wish.clone()).await;
        assert_eq!(run.state, RunState::Failed);
        let failure = run.failure.unwrap();
        assert_eq!(failure.code, FailureCode::DiskFull, "{failure:?}");
        assert_eq!(shop.databases().await, ["postgres"]);
        assert!(shop.test.engine.list_instances().await.unwrap().is_empty());
    }
    disk.make_room().unwrap();
    shop.restored_well(shop.onto_server("fresh", false)).await;
    shop.restored_well(shop.wish(here())).await;
}
