//! What the command does with PostgreSQLs of its own: drills, restores onto this machine, instances that go on.

#![allow(clippy::unwrap_used, reason = "helpers of tests may unwrap like the tests")]

mod drills;
mod instances;
mod killed;
#[path = "../support/mod.rs"]
mod support;

use howdah_store::Store;
use howdah_store::tables::instances::InstanceRow;
use howdah_testkit::Cluster;
use serde_json::Value;
use support::{Howdah, text};

/// A server with a shop, backed up.
async fn backed_up(howdah: &Howdah, major: u16, rows: u32) -> (Cluster, Value) {
    let cluster = Cluster::start(major).await.unwrap();
    cluster.create_database("shop").await.unwrap();
    cluster
        .sql(
            "shop",
            &format!(
                "CREATE TABLE orders (id int PRIMARY KEY, note text);
                 INSERT INTO orders SELECT n, repeat(md5(n::text), 4) FROM generate_series(1, {rows}) n;
                 CREATE TABLE lines AS SELECT id, note FROM orders;
                 CREATE INDEX ON lines (note);"
            ),
        )
        .await
        .unwrap();
    let backups = howdah.backups();
    let backup = howdah.json(["backup", "--url", &cluster.url("shop"), "--to", text(&backups)]);
    (cluster, backup)
}

/// Every instance that the data directory knows, drills' ones too.
async fn instances(howdah: &Howdah) -> Vec<InstanceRow> {
    let store = Store::open(howdah.data_dir()).unwrap();
    store.read(howdah_store::tables::instances::list).await.unwrap()
}

/// Whether a process works in an instance's folder.
fn runs_in(folder: &std::path::Path) -> bool {
    let data = folder.join("data");
    std::fs::read_dir("/proc").unwrap().flatten().any(|process| {
        std::fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| {
            // The kernel marks a folder that is gone.
            cwd == data
                || cwd
                    .to_string_lossy()
                    .starts_with(&format!("{} (deleted)", data.display()))
        })
    })
}
