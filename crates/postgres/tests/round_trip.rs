//! Dump, restore, compare, on real servers of every major.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod support;

use std::collections::BTreeSet;

use howdah_testkit::{Cluster, sample};
use rstest::rstest;
use support::*;

/// Beside the sample: what only this crate's tests look at.
const MORE: &str = r#"
    CREATE SCHEMA "more"; SET search_path = "more", public;
    CREATE TABLE nothing();
    INSERT INTO nothing DEFAULT VALUES;
    INSERT INTO nothing DEFAULT VALUES;
    CREATE TABLE "Ta*b?le. $'""x🐘"("Col""umn" text, "-x=" int);
    INSERT INTO "Ta*b?le. $'""x🐘" VALUES (E'tab\t nl\n bs\\ end', 1), (NULL, 2);
    CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
    CREATE TABLE moods(m mood, n int) PARTITION BY HASH (m);
    CREATE TABLE moods_0 PARTITION OF moods FOR VALUES WITH (MODULUS 2, REMAINDER 0);
    CREATE TABLE moods_1 PARTITION OF moods FOR VALUES WITH (MODULUS 2, REMAINDER 1);
    INSERT INTO moods SELECT (enum_range(NULL::mood))[1 + n % 3], n FROM generate_series(1, 300) n;
    CREATE TABLE money_and_time(m money, b bytea, i interval, t timestamptz, f float8, r regclass);
    INSERT INTO money_and_time VALUES (1234.5, '\xdeadbeef', '1 mon -3 days', '2024-02-29 12:00+05', 0.1, 'pg_class');
    SELECT lo_from_bytea(0, decode(repeat('00ff', 700000), 'hex'));
    SELECT lo_from_bytea(0, '');
    CREATE SEQUENCE counted; SELECT nextval('counted'), nextval('counted');
    CREATE SEQUENCE untouched START 7;
"#;

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_restored_is_equal_row_for_row(#[values(13, 14, 15, 16, 17, 18)] major: u16) {
    let cluster = Cluster::start(major).await.unwrap();
    sample::every_kind(&cluster, "source").await.unwrap();
    cluster.sql("source", MORE).await.unwrap();
    let secret = cluster.password();
    let backup = back_up_all(major, &cluster.connection("source"), &secret).await;

    let target = cluster.connection("tar=get \"x\"");
    let restored = stream(&restore(major, target.clone(), secret.clone(), create()), &backup)
        .await
        .unwrap_or_else(|error| panic!("{:#?}", error.to_failure()));
    assert_eq!(restored.warnings, Vec::<String>::new());
    let comparison = compared(&target, &secret, &backup.index, 2).await;
    assert_eq!(comparison.mismatches, [], "{:?}", comparison.remarks);
    assert_eq!(comparison.tables, backup.index.tables().count() as u64);
    assert!(comparison.tables > 5, "{comparison:?}");
    assert_eq!(comparison.rows, backup.index.rows());

    // The comparison sees what it must see.
    cluster
        .sql(
            "tar=get \"x\"",
            "SET search_path = more; INSERT INTO moods VALUES ('ok', 999); SELECT setval('counted', 77); SELECT lo_create(0); DROP TABLE nothing",
        )
        .await
        .unwrap();
    let comparison = compared(&target, &secret, &backup.index, 1).await;
    let names: Vec<&str> = comparison
        .mismatches
        .iter()
        .map(|mismatch| mismatch.name.as_str())
        .collect();
    assert_eq!(
        names,
        ["moods", "nothing", "large objects", "counted"],
        "{comparison:?}"
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn two_connections_restore_the_same(#[values(13, 14, 15, 16, 17, 18)] major: u16) {
    let cluster = Cluster::start(major).await.unwrap();
    sample::every_kind(&cluster, "source").await.unwrap();
    cluster.sql("source", MORE).await.unwrap();
    let secret = cluster.password();
    let backup = back_up_all(major, &cluster.connection("source"), &secret).await;

    let target = cluster.connection("copy");
    let restored = parallel(
        &restore(major, target.clone(), secret.clone(), create()),
        &backup,
        2,
    )
    .await
    .unwrap_or_else(|error| panic!("{:#?}", error.to_failure()));
    assert_eq!(restored.warnings, Vec::<String>::new());
    let comparison = compared(&target, &secret, &backup.index, 2).await;
    assert_eq!(comparison.mismatches, []);
    assert_eq!(comparison.rows, backup.index.rows());
    // Definitions are the same as well: what pg_dump says of both differs in nothing.
    let again = back_up_all(major, &target, &secret).await;
    let (before, after) = (definitions(&cluster, &backup), definitions(&cluster, &again));
    let lost: Vec<_> = before.difference(&after).collect();
    let new: Vec<_> = after.difference(&before).collect();
    assert!(
        lost.is_empty() && new.is_empty(),
        "lost: {lost:#?}\nnew: {new:#?}"
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_restores_into_the_next_major(#[values(13, 14, 15, 16, 17)] major: u16) {
    let (cluster, newer) = (
        Cluster::start(major).await.unwrap(),
        Cluster::start(major + 1).await.unwrap(),
    );
    sample::every_kind(&cluster, "source").await.unwrap();
    // For its roles.
    sample::every_kind(&newer, "unused").await.unwrap();
    cluster.sql("source", MORE).await.unwrap();
    let backup = back_up_all(major, &cluster.connection("source"), &cluster.password()).await;

    let target = newer.connection("source");
    let restore = restore(major + 1, target.clone(), newer.password(), create());
    parallel(&restore, &backup, 2)
        .await
        .unwrap_or_else(|error| panic!("{:#?}", error.to_failure()));
    let comparison = compared(&target, &newer.password(), &backup.index, 2).await;
    assert_eq!(comparison.mismatches, []);
}

/// The archive's definitions as lines of SQL.
fn definitions(cluster: &Cluster, backup: &Backup) -> BTreeSet<String> {
    let client = client(cluster.major());
    let plain = backup.folder.path().join("dump.pgdump");
    std::io::copy(&mut backup.archive(), &mut std::fs::File::create(&plain).unwrap()).unwrap();
    let mut command = client.command(&client.pg_restore);
    let output = command
        .args(["--schema-only", "--file=-"])
        .arg(&plain)
        .output()
        .unwrap();
    assert!(output.status.success());
    let sql = String::from_utf8(output.stdout).unwrap();
    // `\restrict` has a random key.
    sql.lines()
        .filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"))
        .map(str::to_owned)
        .collect()
}
