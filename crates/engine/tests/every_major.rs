//! A backup of every kind of object, on every major: readable by the standard tools, whole, and equal when restored.

#![allow(clippy::unwrap_used)]

mod support;

use std::process::{Command, Stdio};
use std::sync::Arc;

use howdah_engine::restore::{RestoreRequest, compare_with};
use howdah_engine::work::Reporter;
use howdah_postgres::quote::qualified;
use howdah_postgres::restore::Options;
use howdah_testkit::{Cluster, sample};
use rstest::rstest;
use support::{Heard, TestEngine};
use tokio_util::sync::CancellationToken;

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_every_kind_of_object_restores_equal(
    #[values(13, 14, 15, 16, 17, 18)] major: u16,
    #[values(1, 2)] jobs: usize,
) {
    let cluster = Cluster::start(major).await.unwrap();
    sample::every_kind(&cluster, "every kind").await.unwrap();
    let test = TestEngine::start().await;
    let heard = Arc::new(Heard::default());
    let reporter: Arc<dyn Reporter> = heard.clone();
    let cancel = CancellationToken::new();

    let wanted = test.one_off(cluster.connection("every kind"), cluster.password());
    let made = test
        .engine
        .back_up_once(&wanted, reporter.clone(), &cancel)
        .await
        .unwrap();
    assert!(
        made.manifest.tables > 20 && made.manifest.rows > 100,
        "{:?}",
        made.manifest
    );
    assert_eq!(made.manifest.client.major, major);

    the_standard_tools_list(
        made.stored.local().unwrap(),
        &test.engine.programs().client_for(major).unwrap(),
    );

    let report = test
        .engine
        .verify_once(&made.stored, reporter.clone(), &cancel)
        .await
        .unwrap();
    assert!(report.is_whole() && report.content_checked, "{report:?}");
    assert_eq!(report.rows, made.manifest.rows);

    let request = RestoreRequest {
        backup: made.stored.clone(),
        target: cluster.connection("restored"),
        secret: Some(cluster.password()),
        options: Options {
            create: true,
            ..Options::default()
        },
        jobs,
    };
    test.engine
        .restore_once(&request, reporter.clone(), &cancel)
        .await
        .unwrap_or_else(|failure| {
            panic!("{failure}\n{:?}\n{}", failure.details, heard.text());
        });
    let comparison = compare_with(
        &made.stored,
        &request.target,
        request.secret.as_ref(),
        2,
        &reporter,
        &cancel,
    )
    .await
    .unwrap();
    assert_eq!(comparison.mismatches, [], "{:?}", comparison.remarks);
    assert_eq!(comparison.rows, made.manifest.rows);

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
    let comparison = compare_with(
        &made.stored,
        &request.target,
        request.secret.as_ref(),
        1,
        &reporter,
        &cancel,
    )
    .await
    .unwrap();
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
