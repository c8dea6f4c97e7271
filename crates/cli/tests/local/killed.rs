//! Killed with -9 in the middle of a drill or a restore: no PostgreSQL outlives it, and the next command removes what it left.

use std::time::{Duration, Instant};

use howdah_store::Store;
use howdah_store::tables::runs;
use howdah_testkit::chance::Chance;
use rstest::rstest;

use crate::support::Howdah;
use crate::{backed_up, command, instances, object, psql, run, runs_in};

/// How often each is killed.
const KILLS: u32 = 10;

#[rstest]
#[case::a_drill(&["drill"])]
#[case::a_restore(&["restore", "--local"])]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_killed_leaves_no_postgres_and_the_next_command_removes_the_rest(#[case] what: &[&str]) {
    let mut chance = Chance::for_test(what[0]);
    let howdah = Howdah::new();
    let (_cluster, backup) = backed_up(&howdah, 17, 60_000).await;
    let path = backup["path"].as_str().unwrap();
    let arguments: Vec<&str> = what.iter().copied().chain([path]).collect();
    let begun = Instant::now();
    let first = run(&howdah, &arguments);
    assert_eq!(first.code, Some(0), "{first:?}");
    let whole = u64::try_from(begun.elapsed().as_millis()).unwrap();
    for row in instances(&howdah).await {
        delete(&howdah, &row.name);
    }

    let (mut cut_short, mut found_in_the_making) = (0, 0);
    for kill in 1..=KILLS {
        let mut child = command(&howdah, &arguments).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(chance.below(whole)));
        child.kill().unwrap();
        let ended_well = child.wait().unwrap().success();
        cut_short += u32::from(!ended_well);
        let left = instances(&howdah).await;
        let in_the_making: Vec<_> = left.iter().filter(|row| row.owner.is_some()).collect();
        found_in_the_making += in_the_making.len();
        for row in &in_the_making {
            let patience = Instant::now() + Duration::from_secs(10);
            while runs_in(&row.folder) {
                assert!(
                    Instant::now() < patience,
                    "a postgres outlived kill {kill} in {}",
                    row.folder.display()
                );
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        let tidied = run(&howdah, &["instance", "list"]);
        assert_eq!(tidied.code, Some(0), "after kill {kill}: {tidied:?}");
        for row in &in_the_making {
            assert!(
                !row.folder.exists(),
                "after kill {kill}: {}",
                row.folder.display()
            );
        }
        let now = instances(&howdah).await;
        assert!(
            now.iter().all(|row| row.owner.is_none()),
            "after kill {kill}: {now:?}"
        );
        let store = Store::open(howdah.data_dir()).unwrap();
        let active = store.read(runs::active).await.unwrap();
        assert_eq!(active, [], "after kill {kill}");
        drop(store);
        // One that was the user's already when the kill came is whole.
        for row in now {
            let started = object(&howdah, &["instance", "start", &row.name]);
            let url = started["url"].as_str().unwrap();
            let found = "SELECT (SELECT count(*) FROM orders), (SELECT count(*) FROM lines)";
            assert_eq!(psql(&howdah, url, found), "60000|60000", "after kill {kill}");
            delete(&howdah, &row.name);
        }
    }
    assert!(
        found_in_the_making > 0,
        "no kill came while there was something to remove"
    );
    assert!(
        cut_short > KILLS / 2,
        "only {cut_short} of {KILLS} kills came before the end"
    );
    let last = run(&howdah, &arguments);
    assert_eq!(last.code, Some(0), "{last:?}");
    for row in instances(&howdah).await {
        delete(&howdah, &row.name);
    }
}

fn delete(howdah: &Howdah, name: &str) {
    object(howdah, &["instance", "delete", name]);
}
