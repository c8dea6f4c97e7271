//! What a drill asks besides rows, and that each of it can fail: definitions that differ, an index or a table that is broken.

#![allow(clippy::unwrap_used)]

mod support;

use howdah_domain::drill::Difference;
use howdah_postgres::checks;
use howdah_postgres::definitions::Definitions;
use howdah_testkit::Cluster;
use rstest::rstest;
use tokio_util::sync::CancellationToken;

use support::*;

const SHOP: &str = "CREATE TABLE orders (id int PRIMARY KEY, note text DEFAULT 'none');
    CREATE INDEX notes ON orders (note); CREATE VIEW recent AS SELECT id FROM orders;
    CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql AS 'SELECT n * 2';
    GRANT SELECT ON orders TO reader;";

async fn defined(cluster: &Cluster, database: &str) -> Definitions {
    restored(&Definitions::default(), cluster, 17, database).await
}

/// What is in a database, to be compared with a backup's definitions.
async fn restored(ours: &Definitions, cluster: &Cluster, major: u16, database: &str) -> Definitions {
    ours.of_restored(
        &client(major),
        &cluster.connection(database),
        Some(&cluster.password()),
        "UTF8",
        &CancellationToken::new(),
    )
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_that_is_lost_changed_or_new_is_named() {
    let cluster = Cluster::start(17).await.unwrap();
    cluster.sql("postgres", "CREATE ROLE reader").await.unwrap();
    for database in ["ours", "theirs"] {
        cluster.create_database(database).await.unwrap();
        cluster.sql(database, SHOP).await.unwrap();
    }
    let ours = defined(&cluster, "ours").await;
    assert_eq!(ours.differences(&defined(&cluster, "theirs").await), []);
    cluster
        .sql(
            "theirs",
            "DROP INDEX notes; ALTER TABLE orders ALTER note SET DEFAULT 'some'; CREATE SEQUENCE more;
             CREATE OR REPLACE FUNCTION twice(n int) RETURNS int LANGUAGE sql AS 'SELECT n * 3';
             ALTER VIEW recent OWNER TO reader; REVOKE SELECT ON orders FROM reader;",
        )
        .await
        .unwrap();
    let mut found: Vec<(String, String, Difference)> = ours
        .differences(&defined(&cluster, "theirs").await)
        .into_iter()
        .map(|one| (one.kind, one.name, one.difference))
        .collect();
    found.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
    let of = |kind: &str, name: &str, difference| (kind.to_owned(), name.to_owned(), difference);
    assert_eq!(
        found,
        [
            of("ACL", "public.TABLE orders", Difference::Missing),
            of("FUNCTION", "public.twice(integer)", Difference::Changed),
            of("INDEX", "public.notes", Difference::Missing),
            of("SEQUENCE", "public.more", Difference::Unexpected),
            of("TABLE", "public.orders", Difference::Changed),
            of("VIEW", "public.recent", Difference::Changed),
        ]
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn owners_privileges_and_comments_of_large_objects_are_compared(
    #[values(13, 14, 15, 16, 17, 18)] major: u16,
) {
    let cluster = Cluster::start(major).await.unwrap();
    cluster
        .sql(
            "postgres",
            "CREATE ROLE reader;
             SELECT lo_create(100), lo_create(200), lo_create(300), lo_create(400), lo_from_bytea(500, 'five');
             ALTER LARGE OBJECT 200 OWNER TO reader; GRANT SELECT ON LARGE OBJECT 300 TO reader;
             COMMENT ON LARGE OBJECT 400 IS 'four';",
        )
        .await
        .unwrap();
    let secret = cluster.password();
    let backup = back_up_all(major, &cluster.connection("postgres"), &secret).await;
    let ours = Definitions::read(backup.archive()).unwrap();
    let target = cluster.connection("copy");
    stream(&restore(major, target, secret.clone(), create()), &backup)
        .await
        .unwrap();
    let there = restored(&ours, &cluster, major, "copy").await;
    assert_eq!(ours.differences(&there), []);
    for change in [
        "ALTER LARGE OBJECT 100 OWNER TO reader",
        "REVOKE ALL ON LARGE OBJECT 300 FROM reader",
        "COMMENT ON LARGE OBJECT 400 IS 'fore'",
        "SELECT lo_unlink(500)",
    ] {
        cluster.sql("copy", change).await.unwrap();
        let changed = restored(&ours, &cluster, major, "copy").await;
        assert_ne!(ours.differences(&changed), [], "{change}");
        // Each by itself.
        cluster.sql("postgres", "DROP DATABASE copy").await.unwrap();
        stream(
            &restore(major, cluster.connection("copy"), secret.clone(), create()),
            &backup,
        )
        .await
        .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_index_is_named() {
    let cluster = Cluster::start(17).await.unwrap();
    cluster
        .sql(
            "postgres",
            "CREATE FUNCTION compared(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT btint4cmp($1, $2)';
             CREATE OPERATOR CLASS odd FOR TYPE int USING btree AS
                 OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 compared(int, int);
             CREATE TABLE orders AS SELECT n FROM generate_series(1, 1000) n;
             CREATE INDEX by_n ON orders (n odd); CREATE INDEX sound ON orders (n);",
        )
        .await
        .unwrap();
    let never = CancellationToken::new();
    let session = session(&cluster.connection("postgres"), &cluster.password()).await;
    let sound = checks::amcheck(&session, &never).await.unwrap().unwrap();
    assert_eq!(sound, Vec::<String>::new());
    cluster
        .sql(
            "postgres",
            "CREATE OR REPLACE FUNCTION compared(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT btint4cmp($2, $1)'",
        )
        .await
        .unwrap();
    let found = checks::amcheck(&session, &never).await.unwrap().unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("by_n"), "{found:?}");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_table_is_named_and_so_are_its_long_values(#[values(14, 17, 18)] major: u16) {
    use std::os::unix::fs::FileExt as _;

    let mut cluster = Cluster::start(major).await.unwrap();
    cluster
        .sql(
            "postgres",
            "CREATE TABLE orders AS SELECT n FROM generate_series(1, 1000) n;
             CREATE TABLE notes (note text); ALTER TABLE notes ALTER note SET STORAGE EXTERNAL;
             INSERT INTO notes SELECT repeat('x', 9000) FROM generate_series(1, 10);
             CREATE EXTENSION amcheck;",
        )
        .await
        .unwrap();
    let never = CancellationToken::new();
    let found = async |cluster: &Cluster| {
        let session = session(&cluster.connection("postgres"), &cluster.password()).await;
        checks::amcheck(&session, &never).await.unwrap().unwrap()
    };
    assert_eq!(found(&cluster).await, Vec::<String>::new());

    let path = "SELECT pg_relation_filepath('orders') UNION ALL
        SELECT pg_relation_filepath(reltoastrelid) FROM pg_class WHERE relname = 'notes'";
    let paths: Vec<String> = cluster
        .rows("postgres", path)
        .await
        .unwrap()
        .into_iter()
        .map(|mut row| row.remove(0).unwrap())
        .collect();
    cluster.stop().await.unwrap();
    for path in &paths {
        let file = std::fs::File::options()
            .write(true)
            .open(cluster.folder().join("data").join(path))
            .unwrap();
        // The first line pointer of the first page (bufpage.h, itemid.h): in use, and beyond the page's end.
        let pointer: u32 = 8000 | (1 << 15) | (1000 << 17);
        file.write_all_at(&pointer.to_le_bytes(), 24).unwrap();
    }
    cluster.start_again().await.unwrap();
    let found = found(&cluster).await;
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0].starts_with("public.notes (its long values): "),
        "{found:?}"
    );
    assert!(found[1].starts_with("public.orders: "), "{found:?}");
}
