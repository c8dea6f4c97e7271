//! Howdah killed with -9 at any moment: the data directory stays whole, no run stays *running*, no partial file stays, and
//! the next backup works.

#![allow(clippy::unwrap_used, reason = "helpers of tests may unwrap like the tests")]

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use howdah_store::Store;
use howdah_store::tables::{ledger, runs};
use howdah_testkit::Cluster;
use howdah_testkit::chance::Chance;
use support::{Howdah, files, text};

/// How often it is killed.
const KILLS: u32 = 50;

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_fifty_random_moments_it_leaves_nothing_that_the_next_start_does_not_set_right() {
    let mut chance = Chance::for_test("killed");
    let cluster = Cluster::start(17).await.unwrap();
    cluster
        .sql(
            "postgres",
            "CREATE TABLE words AS SELECT n, repeat(md5(n::text), 8) AS text FROM generate_series(1, 120000) n;
             CREATE TABLE small AS SELECT n FROM generate_series(1, 10) n",
        )
        .await
        .unwrap();
    let howdah = Howdah::new();
    let url = cluster.url("postgres");
    let folder = howdah.backups();
    let arguments = ["backup", "--url", &url, "--to", text(&folder), "--json"];

    // How long a backup takes here, so that the moments fall all over it and a little beyond.
    let begun = Instant::now();
    let first = howdah.run(arguments);
    assert_eq!(first.code, Some(0), "{first:?}");
    let whole = u64::try_from(begun.elapsed().as_millis()).unwrap() * 11 / 10;

    let mut cut_short = 0;
    for kill in 1..=KILLS {
        let mut child = howdah.command(arguments).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(chance.below(whole)));
        child.kill().unwrap();
        if !child.wait().unwrap().success() {
            cut_short += 1;
        }
        no_pg_dump_outlives(&cluster, kill);
        // Any command sets right what the dead left.
        let status = howdah.run(["status", "--json"]);
        assert!(
            matches!(status.code, Some(0 | 1)),
            "after kill {kill}: {status:?}"
        );
        all_is_well(&howdah, kill).await;
    }
    assert!(
        cut_short > KILLS / 4,
        "only {cut_short} of {KILLS} kills came before the end"
    );

    let last = howdah.run(arguments);
    assert_eq!(last.code, Some(0), "{last:?}");
    let listed = howdah.json(["list", text(&folder)]);
    for backup in listed["backups"].as_array().unwrap() {
        let path = backup["path"].as_str().unwrap();
        let verified = howdah.run(["verify", path, "--json"]);
        assert_eq!(verified.code, Some(0), "{path}: {verified:?}");
    }
}

/// Every file below the destination belongs to a backup that has its manifest; the data directory is whole.
async fn all_is_well(howdah: &Howdah, kill: u32) {
    let files = files(&howdah.backups());
    for file in files
        .iter()
        .filter(|file| file.file_name().is_some_and(|name| name != ".howdah-destination"))
    {
        assert!(
            file.extension().is_none_or(|end| end != "part"),
            "after kill {kill}: {}",
            file.display()
        );
        let manifest = file.parent().unwrap().join("manifest.json");
        assert!(
            manifest.exists(),
            "after kill {kill}: {} has no manifest",
            file.display()
        );
    }
    let store = Store::open(howdah.data_dir()).unwrap();
    assert_eq!(
        store.integrity_check().await.unwrap(),
        Vec::<String>::new(),
        "after kill {kill}"
    );
    let (active, open) = store
        .read(|c| Ok((runs::active(c)?, ledger::list(c)?)))
        .await
        .unwrap();
    assert_eq!(active, [], "after kill {kill}");
    assert_eq!(open, [], "after kill {kill}");
}

/// The child dies with its parent, even a parent that could do nothing about it.
fn no_pg_dump_outlives(cluster: &Cluster, kill: u32) {
    let port = cluster.port().to_string();
    let patience = Instant::now() + Duration::from_secs(5);
    while pg_dump_of(&port) {
        assert!(Instant::now() < patience, "a pg_dump outlived kill {kill}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a pg_dump runs whose environment names that port.
fn pg_dump_of(port: &str) -> bool {
    let wanted = format!("PGPORT={port}");
    std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let is_pg_dump =
            std::fs::read_to_string(entry.path().join("comm")).is_ok_and(|name| name.trim() == "pg_dump");
        is_pg_dump && environment_has(&entry.path(), &wanted)
    })
}

fn environment_has(process: &Path, wanted: &str) -> bool {
    std::fs::read(process.join("environ")).is_ok_and(|environment| {
        environment
            .split(|byte| *byte == 0)
            .any(|entry| entry == wanted.as_bytes())
    })
}
