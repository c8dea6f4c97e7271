//! A backup of every kind of object, on every major: readable by the standard tools, whole, and equal when restored.

#![allow(clippy::unwrap_used)]

mod support;

use std::process::{Command, Stdio};

use howdah_postgres::quote::qualified;
use howdah_testkit::{Cluster, sample};
use rstest::rstest;
use support::{TestEngine, compared};

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_every_kind_of_object_restores_equal(
    #[values(13, 14, 15, 16, 17, 18)] major: u16,
    #[values(1, 2)] jobs: usize,
) {
    let cluster = Cluster::start(major).await.unwrap();
    sample::every_kind(&cluster, "every kind").await.unwrap();
    let test = TestEngine::start().await;
    let wanted = test.one_off(cluster.connection("every kind"), cluster.password());
    let made = test.back_up(&wanted).await.unwrap();
    assert!(
        made.manifest.tables > 20 && made.manifest.rows > 100,
        "{:?}",
        made.manifest
    );
    assert_eq!(made.manifest.client.major, major);
    assert!(!made.manifest.client.newer_than_server);

    the_standard_tools_list(
        made.stored.local().unwrap(),
        &test.engine.programs().client_for(major).unwrap(),
    );

    let target = cluster.connection("restored");
    test.comes_back_equal(&made, target.clone(), cluster.password(), jobs)
        .await;

    // The comparison itself can fail: one row less in one table, and it names that table.
    let table = made
        .index
        .tables()
        .find(|entry| entry.rows > 0 && entry.copied_into.is_none())
        .unwrap();
    let name = qualified(&table.schema, &table.name);
    let lose_a_row = format!(
        "SET session_replication_role = replica; DELETE FROM ONLY {name} WHERE ctid = (SELECT min(ctid) FROM ONLY {name})"
    );
    cluster.sql("restored", &lose_a_row).await.unwrap();
    let comparison = compared(&made, &target, Some(&cluster.password())).await;
    let [mismatch] = comparison.mismatches.as_slice() else {
        panic!("{:?}", comparison.mismatches)
    };
    assert_eq!((&mismatch.schema, &mismatch.name), (&table.schema, &table.name));
    assert_eq!(mismatch.found_rows, Some(table.rows - 1));
}

/// `zstd -dc … | pg_restore --list`, the sentence that stands in every manifest.
fn the_standard_tools_list(backup: &std::path::Path, client: &howdah_postgres::programs::Client) {
    let mut zstd = Command::new("zstd")
        .arg("-dc")
        .arg(backup.join("dump.pgdump.zst"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let listed = client
        .command(&client.pg_restore)
        .arg("--list")
        .stdin(zstd.stdout.take().unwrap())
        .output()
        .unwrap();
    assert!(
        listed.status.success(),
        "{}",
        String::from_utf8_lossy(&listed.stderr)
    );
    assert!(String::from_utf8_lossy(&listed.stdout).contains("TABLE DATA"));
    // pg_restore --list closes the pipe when it has what it wants.
    zstd.wait().unwrap();
    let whole = Command::new("zstd")
        .arg("-tq")
        .arg(backup.join("dump.pgdump.zst"))
        .status()
        .unwrap();
    assert!(whole.success());
}
