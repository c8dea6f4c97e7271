//! A plan's selection against a real pg_dump: names that look like patterns, partitions, what is gone.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod support;

use howdah_archive::Entry;
use howdah_domain::{FailureCode, Selection};
use howdah_postgres::contents::Contents;
use rstest::rstest;
use support::*;

/// Names that mean something else to pg_dump's patterns, to SQL, or to a command line.
const NAMES: [&str; 12] = [
    "plain",
    "UPPER case",
    "a.b",
    "*",
    "t?ble",
    "do$$ar",
    "quo\"te",
    "-t",
    "a=b",
    "elephant🐘",
    "back\\slash(|)[x]{2}^",
    "it's",
];

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_chosen_name_is_that_name_and_no_pattern(#[values(13, 15, 16, 18)] major: u16) {
    let mut sql = String::new();
    for name in NAMES {
        let quoted = howdah_postgres::quote::ident(name);
        sql.push_str(&format!("CREATE SCHEMA {quoted};"));
        for table in NAMES {
            sql.push_str(&format!(
                "CREATE TABLE {quoted}.{}(x int);",
                howdah_postgres::quote::ident(table)
            ));
        }
    }
    let cluster = cluster_with(major, &sql).await;
    for name in NAMES {
        let one = Selection {
            tables: vec![table(name, name)],
            ..Selection::default()
        };
        let backup = dump(&cluster, &one)
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let tables: Vec<_> = backup.index.tables().map(|entry| entry.table_name()).collect();
        assert_eq!(tables, [table(name, name)]);
    }
    let schemas = Selection {
        schemas: vec!["*".into(), "-t".into()],
        exclude_tables: NAMES[1..].iter().map(|name| table("-t", name)).collect(),
        exclude_data: NAMES[2..].iter().map(|name| table("*", name)).collect(),
        ..Selection::default()
    };
    let backup = dump(&cluster, &schemas).await.unwrap();
    let mut tables: Vec<_> = backup.index.tables().map(|entry| entry.table_name()).collect();
    tables.sort();
    assert_eq!(
        tables,
        [
            table("*", "UPPER case"),
            table("*", "plain"),
            table("-t", "plain")
        ]
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_partitioned_table_is_chosen_with_its_partitions(#[values(13, 17)] major: u16) {
    let cluster = cluster_with(
        major,
        "CREATE TABLE log(n int) PARTITION BY RANGE (n);
         CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM (0) TO (10) PARTITION BY LIST (n);
         CREATE SCHEMA other;
         CREATE TABLE other.log_1_1 PARTITION OF log_1 DEFAULT;
         INSERT INTO log VALUES (1), (2);
         CREATE TABLE rest(x int); INSERT INTO rest VALUES (1);",
    )
    .await;
    let only = Selection {
        tables: vec![table("public", "log")],
        ..Selection::default()
    };
    let backup = dump(&cluster, &only).await.unwrap();
    assert_eq!(backup.index.rows(), 2);
    let without = Selection {
        exclude_data: vec![table("public", "log")],
        ..Selection::default()
    };
    assert_eq!(dump(&cluster, &without).await.unwrap().index.rows(), 1);

    // A schema that is not in the dump although its tables are: made for them, and told.
    let target = cluster.connection("copy");
    let restore = restore(major, target.clone(), cluster.password(), create());
    let restored = stream(&restore, &backup)
        .await
        .unwrap_or_else(|error| panic!("{:#?}", error.to_failure()));
    assert!(
        restored
            .warnings
            .iter()
            .any(|warning| warning.contains("schema other")),
        "{restored:?}"
    );
    let comparison = compared(&target, &cluster.password(), &backup.index, 1).await;
    assert_eq!(comparison.mismatches, []);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_chosen_table_that_is_gone_is_named(#[values(13, 18)] major: u16) {
    let cluster = cluster_with(major, "CREATE TABLE here(x int)").await;
    let selection = Selection {
        tables: vec![table("public", "here"), table("public", "gone with")],
        ..Selection::default()
    };
    let failure = failure(dump(&cluster, &selection).await);
    assert_eq!(failure.code, FailureCode::NotFound);
    assert!(failure.message.contains("gone with"), "{}", failure.message);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_choice_of_schemas_leaves_extensions_and_large_objects_out_unless_they_are_kept(
    #[values(13, 14, 18)] major: u16,
    #[values(false, true)] kept: bool,
) {
    let cluster = cluster_with(
        major,
        "CREATE EXTENSION hstore; CREATE SCHEMA app; CREATE TABLE app.t(h hstore); INSERT INTO app.t VALUES ('a=>1');
         SELECT lo_from_bytea(4711, 'x')",
    )
    .await;
    let app = Selection {
        schemas: vec!["app".to_owned()],
        keep_extensions: kept,
        keep_large_objects: kept,
        ..Selection::default()
    };
    let backup = dump(&cluster, &app).await.unwrap();
    let contents = Contents::open(backup.archive()).unwrap().contents;
    let extensions = contents.items.iter().any(|item| item.kind == "EXTENSION");
    // 13 has no flag for them.
    assert_eq!(extensions, kept && major >= 14);
    let large_objects = backup
        .index
        .entries
        .iter()
        .filter(|entry| entry.kind == Entry::BLOBS);
    assert_eq!(
        large_objects.map(|entry| entry.rows).sum::<u64>(),
        u64::from(kept)
    );
    assert_eq!(backup.index.tables().count(), 1);
}
