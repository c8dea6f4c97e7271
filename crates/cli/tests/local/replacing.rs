//! `howdah restore --replace` and `howdah replaced`; and a command that is killed with -9 on the way, in the swap too: the database
//! is there under its name, as it was or as it was dumped, and what is left is seen to.

use std::time::{Duration, Instant};

use howdah_store::Store;
use howdah_store::tables::replacements::{self, ReplacementState};
use howdah_testkit::Cluster;
use howdah_testkit::chance::Chance;

use crate::support::{Howdah, text};
use crate::{backed_up, command, object, run};

/// Rows of the backup in each of its two tables.
const DUMPED: u32 = 40_000;

/// How often the command is killed at a random moment, and how often in the swap.
const KILLS: u32 = 12;
const KILLS_IN_THE_SWAP: u32 = 4;

/// A shop that is backed up and known, of which the orders were deleted since. Answers the backup's id.
async fn accident(howdah: &Howdah) -> (Cluster, String) {
    let (cluster, backup) = backed_up(howdah, 17, DUMPED).await;
    let backups = howdah.backups();
    object(howdah, &["destination", "add", text(&backups), "--name", "disk"]);
    object(howdah, &["destination", "attach", "disk"]);
    object(howdah, &["server", "add", &cluster.url("shop"), "--name", "shop"]);
    cluster.sql("shop", "DELETE FROM orders").await.unwrap();
    let manifest = std::fs::read(format!("{}/manifest.json", backup["path"].as_str().unwrap())).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    (cluster, manifest["id"].as_str().unwrap().to_owned())
}

async fn orders(cluster: &Cluster, database: &str) -> String {
    cluster
        .one(database, "SELECT count(*) FROM orders")
        .await
        .unwrap()
}

async fn databases(cluster: &Cluster) -> Vec<String> {
    let rows = cluster
        .rows(
            "postgres",
            "SELECT datname::text FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres' ORDER BY 1",
        )
        .await
        .unwrap();
    rows.into_iter().map(|mut row| row.remove(0).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_replaced_put_back_replaced_again_and_what_was_there_dropped() {
    let howdah = Howdah::new();
    let (cluster, id) = accident(&howdah).await;
    let replace = ["restore", &id, "--replace", "shop", "--server", "shop"];
    let replaced = object(&howdah, &replace);
    let kept = replaced["replaced"]["kept"].as_str().unwrap().to_owned();
    assert_eq!(orders(&cluster, "shop").await, DUMPED.to_string());
    assert_eq!(orders(&cluster, &kept).await, "0");

    let listed = object(&howdah, &["replaced", "list"]);
    assert_eq!(listed["replaced"][0]["kept"], kept.as_str());
    let back = object(&howdah, &["replaced", "put-back", "shop"]);
    assert_eq!(orders(&cluster, "shop").await, "0");
    let beside = back["restored"].as_str().unwrap();
    assert_eq!(orders(&cluster, beside).await, DUMPED.to_string());
    let nothing = run(&howdah, &["replaced", "put-back", "shop"]);
    assert_eq!(nothing.failure_code(), "not_found");

    let again = object(&howdah, &replace);
    let kept = again["replaced"]["kept"].as_str().unwrap();
    // What would be lost for good is named as it is called now.
    let unclear = run(&howdah, &["replaced", "drop", "shop"]);
    assert_eq!(unclear.failure_code(), "not_found");
    object(&howdah, &["replaced", "drop", kept]);
    assert_eq!(databases(&cluster).await, ["shop", beside]);
    assert_eq!(orders(&cluster, "shop").await, DUMPED.to_string());

    for (wrong, code) in [
        (
            ["restore", &id, "--replace", "nothing", "--server", "shop"],
            "invalid_input",
        ),
        (
            ["restore", &id, "--replace", "shop", "--server", "nobody"],
            "not_found",
        ),
    ] {
        let refused = run(&howdah, &wrong);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert_eq!(refused.failure_code(), code);
    }
    let alone = run(&howdah, &["restore", &id, "--replace", "shop"]);
    assert_eq!(alone.code, Some(2), "{alone:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_the_database_is_there_and_nothing_is_orphaned() {
    let mut chance = Chance::for_test("killed replacements");
    let howdah = Howdah::new();
    let (cluster, id) = accident(&howdah).await;
    let replace = ["restore", &id, "--replace", "shop", "--server", "shop"];
    let begun = Instant::now();
    object(&howdah, &replace);
    let whole = u64::try_from(begun.elapsed().as_millis()).unwrap();
    start_over(&howdah, &cluster).await;

    let (mut before, mut after) = (0, 0);
    for kill in 1..=KILLS {
        let mut child = command(&howdah, &replace).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(chance.below(whole * 11 / 10)));
        child.kill().unwrap();
        child.wait().unwrap();
        match settled(&howdah, &cluster, &format!("kill {kill}")).await.as_str() {
            "0" => before += 1,
            _ => after += 1,
        }
        start_over(&howdah, &cluster).await;
    }
    assert!(before > 0, "no kill came before the swap ({after} after it)");

    for kill in 1..=KILLS_IN_THE_SWAP {
        // Somebody is changing the database's row: the renaming has begun, and waits for that.
        let holder = cluster.client("postgres").await.unwrap();
        holder
            .batch_execute("BEGIN; ALTER DATABASE shop CONNECTION LIMIT 50")
            .await
            .unwrap();
        let mut child = command(&howdah, &replace).spawn().unwrap();
        let patience = Instant::now() + Duration::from_secs(60);
        let renaming =
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%RENAME TO%' AND pid <> pg_backend_pid()
            AND state = 'active'";
        while cluster.one("postgres", renaming).await.unwrap() == "0" {
            assert!(Instant::now() < patience, "the swap never began");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if kill % 2 == 0 {
            // Let go at the same moment: the swap may come to its end on the server when nobody is there to hear of it.
            holder.batch_execute("ROLLBACK").await.unwrap();
            std::thread::sleep(Duration::from_millis(chance.below(10)));
            child.kill().unwrap();
        } else {
            child.kill().unwrap();
            holder.batch_execute("ROLLBACK").await.unwrap();
        }
        child.wait().unwrap();
        settled(&howdah, &cluster, &format!("kill {kill} in the swap")).await;
        start_over(&howdah, &cluster).await;
    }
}

/// The database is there at once; and the next start of Howdah leaves of the rest only what is kept. Answers how many orders there are.
async fn settled(howdah: &Howdah, cluster: &Cluster, after: &str) -> String {
    let at_once = orders(cluster, "shop").await;
    let dumped = DUMPED.to_string();
    assert!(at_once == "0" || at_once == dumped, "after {after}: {at_once}");
    let mut running = command(howdah, &["run"]).spawn().unwrap();
    let patience = Instant::now() + Duration::from_secs(40);
    let kept = loop {
        let store = Store::open(howdah.data_dir()).unwrap();
        let rows = store.read(replacements::list).await.unwrap();
        let all_ended = rows.iter().all(|row| row.state == ReplacementState::Swapped);
        let names = databases(cluster).await;
        if all_ended && names.len() == 1 + rows.len() {
            break rows.len();
        }
        assert!(Instant::now() < patience, "after {after}: {names:?}, {rows:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    running.kill().unwrap();
    running.wait().unwrap();
    let found = orders(cluster, "shop").await;
    let expected = if kept == 0 { "0" } else { dumped.as_str() };
    assert_eq!(found, expected, "after {after}: {kept} are kept");
    found
}

/// Takes back what was replaced, and drops what is beside it.
async fn start_over(howdah: &Howdah, cluster: &Cluster) {
    if orders(cluster, "shop").await != "0" {
        let back = object(howdah, &["replaced", "put-back", "shop"]);
        let drop = format!("DROP DATABASE \"{}\"", back["restored"].as_str().unwrap());
        cluster.sql("postgres", &drop).await.unwrap();
    }
    assert_eq!(databases(cluster).await, ["shop"]);
}
