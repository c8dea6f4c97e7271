//! Killed with -9 in the middle of a drill or a restore: no PostgreSQL outlives it, and the next command removes what it left.

use std::time::{Duration, Instant};

use howdah_store::Store;
use howdah_store::tables::runs;
use howdah_testkit::chance::Chance;
use rstest::rstest;

use crate::support::{Howdah, end};
use crate::{backed_up, instances, runs_in};

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
    let command = || {
        let mut command = howdah.command(what.iter().copied().chain([path, "--json"]));
        command.env("HOWDAH_PASSPHRASE", "correct horse battery staple");
        command
    };
    let tidy = || {
        let mut command = howdah.command(["instance", "list", "--json"]);
        command.env("HOWDAH_PASSPHRASE", "correct horse battery staple");
        end(command.spawn().unwrap())
    };
    let begun = Instant::now();
    let first = end(command().spawn().unwrap());
    assert_eq!(first.code, Some(0), "{first:?}");
    let whole = u64::try_from(begun.elapsed().as_millis()).unwrap();
    for row in instances(&howdah).await {
        delete(&howdah, &row.name);
    }

    let mut cut_short = 0;
    for kill in 1..=KILLS {
        let mut child = command().spawn().unwrap();
        std::thread::sleep(Duration::from_millis(chance.below(whole)));
        child.kill().unwrap();
        let ended_well = child.wait().unwrap().success();
        cut_short += u32::from(!ended_well);
        let left = instances(&howdah).await;
        let in_the_making: Vec<_> = left.iter().filter(|row| row.owner.is_some()).collect();
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
        let tidied = tidy();
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
            delete(&howdah, &row.name);
        }
    }
    assert!(
        cut_short > KILLS / 2,
        "only {cut_short} of {KILLS} kills came before the end"
    );
    let last = end(command().spawn().unwrap());
    assert_eq!(last.code, Some(0), "{last:?}");
    for row in instances(&howdah).await {
        delete(&howdah, &row.name);
    }
}

fn delete(howdah: &Howdah, name: &str) {
    let mut command = howdah.command(["instance", "delete", name, "--json"]);
    command.env("HOWDAH_PASSPHRASE", "correct horse battery staple");
    let deleted = end(command.spawn().unwrap());
    assert_eq!(deleted.code, Some(0), "{deleted:?}");
}
