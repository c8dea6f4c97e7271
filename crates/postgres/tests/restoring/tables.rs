//! Some tables of a backup: whole, equal, with what they stand on where the database is new; what stays out is told.

use howdah_domain::{FailureCode, RestoreContent, Selection};
use howdah_postgres::restore::Options;
use howdah_testkit::{Cluster, sample};
use rstest::rstest;

use crate::support::*;

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn some_tables_come_back_whole(#[values(13, 17)] major: u16, #[values(1, 2)] jobs: usize) {
    let cluster = cluster_with(
        major,
        "CREATE SCHEMA \"My s\";
         CREATE TABLE customers(id int PRIMARY KEY);
         CREATE TABLE \"My s\".\"Orders\"(id serial PRIMARY KEY, n int GENERATED ALWAYS AS IDENTITY, c int REFERENCES customers, note text);
         CREATE INDEX notes ON \"My s\".\"Orders\"(note);
         COMMENT ON INDEX \"My s\".notes IS 'for searching';
         INSERT INTO customers VALUES (1); INSERT INTO \"My s\".\"Orders\"(c, note) VALUES (1, 'a'), (1, 'b');
         CREATE TABLE big AS SELECT generate_series(1, 1000) g",
    )
    .await;
    let backup = dump(&cluster, &Selection::default()).await.unwrap();
    cluster.create_database("part").await.unwrap();
    let options = Options {
        tables: vec![table("My s", "Orders")],
        ..Options::default()
    };
    let restore = restore(major, cluster.connection("part"), cluster.password(), options);
    let restored = restored_by(jobs, &restore, &backup).await;
    for told in ["fkey was left out", "schema My s"] {
        assert!(
            restored.warnings.iter().any(|warning| warning.contains(told)),
            "{told}: {restored:?}"
        );
    }
    let tables = cluster
        .rows(
            "part",
            "SELECT tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')",
        )
        .await
        .unwrap();
    assert_eq!(tables, [[Some("Orders".to_owned())]]);
    cluster
        .sql("part", "INSERT INTO \"My s\".\"Orders\"(note) VALUES ('c')")
        .await
        .unwrap();
    assert_eq!(
        cluster
            .one(
                "part",
                "SELECT string_agg(id || ':' || n || note, ',' ORDER BY id) FROM \"My s\".\"Orders\""
            )
            .await
            .unwrap(),
        "1:1a,2:2b,3:3c"
    );
    assert_eq!(
        cluster
            .one("part", "SELECT obj_description('\"My s\".notes'::regclass)")
            .await
            .unwrap(),
        "for searching"
    );
}

/// Tables of the sample that stand on types, collations, extensions, functions and partitions, and need another table.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn some_tables_come_with_what_they_stand_on_into_a_new_database(
    #[values(13, 14, 15, 16, 17, 18)] major: u16,
    #[values(1, 2)] jobs: usize,
) {
    let cluster = Cluster::start(major).await.unwrap();
    sample::every_kind(&cluster, "source").await.unwrap();
    let secret = cluster.password();
    let backup = back_up_all(major, &cluster.connection("source"), &secret).await;
    let options = Options {
        tables: vec![
            table("app", "customer"),
            table("app", "triggered"),
            table("app", "by_mood"),
            table("app", "event"),
            table("My schema", "My table"),
        ],
        ..create()
    };
    let target = cluster.connection("part");
    let restore = restore(major, target.clone(), secret.clone(), options);
    let restored = restored_by(jobs, &restore, &backup).await;
    assert!(
        restored
            .warnings
            .iter()
            .any(|warning| warning.contains("customer_favourite_fkey was left out")),
        "{restored:?}"
    );
    let index = restored.part.unwrap().index(&backup.index);
    let comparison = compared(&target, &secret, &index, 2).await;
    assert_eq!(comparison.mismatches, [], "{:?}", comparison.remarks);
    assert_eq!(comparison.rows, index.rows());
    // Three of by_mood, five of event.
    assert_eq!(index.tables().count(), 3 + 3 + 5);
    let names = |kind: &str| {
        format!(
            "SELECT string_agg(relname, ',' ORDER BY relname) FROM pg_class WHERE relkind = '{kind}'
             AND relnamespace::regnamespace::text !~ '^(pg_|information_schema)'"
        )
    };
    assert_eq!(
        cluster.one("part", &names("p")).await.unwrap(),
        "by_mood,event,event_2024"
    );
    let indexes = cluster.one("part", &names("i")).await.unwrap();
    for index in [
        "customer_trigram",
        "customer_name",
        "customer_pkey",
        "event_2023_kind_idx",
    ] {
        assert!(indexes.contains(index), "{index} in {indexes}");
    }
    let triggers = "SELECT string_agg(tgname, ',' ORDER BY tgname) FROM pg_trigger WHERE NOT tgisinternal";
    assert_eq!(
        cluster.one("part", triggers).await.unwrap(),
        "after all,count_changes,late"
    );
    // And nothing that was not asked for.
    assert_eq!(
        cluster
            .one(
                "part",
                "SELECT to_regclass('app.orders') IS NULL AND to_regclass('app.secret') IS NULL"
            )
            .await
            .unwrap(),
        "t"
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_not_in_the_backup_is_named_before_a_database_is_made(#[values(1, 2)] jobs: usize) {
    let cluster = cluster_with(17, "CREATE TABLE here(x int)").await;
    let backup = dump(&cluster, &Selection::default()).await.unwrap();
    let options = Options {
        tables: vec![table("public", "here"), table("public", "Gone")],
        ..create()
    };
    let restore = restore(17, cluster.connection("part"), cluster.password(), options);
    let failure = failure(match jobs {
        1 => stream(&restore, &backup).await,
        _ => parallel(&restore, &backup, jobs).await,
    });
    assert_eq!(failure.code, FailureCode::NotFound);
    assert!(failure.message.contains("public.Gone"), "{failure:?}");
    let made = "SELECT count(*) FROM pg_database WHERE datname = 'part'";
    assert_eq!(cluster.one("postgres", made).await.unwrap(), "0");
}

/// What is defined comes back whole, and not a row, large object or sequence's value with it; and owners and privileges can be left
/// out one by one.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_defined_comes_back_without_rows(#[values(13, 18)] major: u16, #[values(1, 2)] jobs: usize) {
    let cluster = cluster_with(
        major,
        "CREATE ROLE reader; CREATE ROLE author;
         CREATE TABLE orders(id serial PRIMARY KEY, note text);
         INSERT INTO orders(note) SELECT 'n' FROM generate_series(1, 100);
         CREATE MATERIALIZED VIEW summary AS SELECT count(*) FROM orders;
         CREATE INDEX notes ON orders(note);
         ALTER TABLE orders OWNER TO author; GRANT SELECT ON orders TO reader;
         SELECT lo_from_bytea(4711, 'large')",
    )
    .await;
    let backup = dump(&cluster, &Selection::default()).await.unwrap();
    for (database, owners, privileges) in [("a", true, false), ("b", false, true)] {
        let options = Options {
            owners,
            privileges,
            content: RestoreContent::Definitions,
            ..create()
        };
        let restore = restore(major, cluster.connection(database), cluster.password(), options);
        restored_by(jobs, &restore, &backup).await;
        let found = cluster
            .one(
                database,
                "SELECT format('%s rows, next %s, %s large objects, filled %s, index %s, owner %s, reader %s',
                    (SELECT count(*) FROM orders), nextval('orders_id_seq'), (SELECT count(*) FROM pg_largeobject_metadata),
                    (SELECT relispopulated FROM pg_class WHERE relname = 'summary'), to_regclass('notes'),
                    (SELECT relowner::regrole FROM pg_class WHERE relname = 'orders'),
                    has_table_privilege('reader', 'orders', 'SELECT'))",
            )
            .await
            .unwrap();
        let owner = if owners { "author" } else { "postgres" };
        let reader = if privileges { "t" } else { "f" };
        assert_eq!(
            found,
            format!("0 rows, next 1, 0 large objects, filled f, index notes, owner {owner}, reader {reader}")
        );
    }
}

/// A schema with everything in it, what it stands on elsewhere, and nothing else; extensions only where they are wanted.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_schema_comes_with_all_that_lies_in_it(#[values(13, 18)] major: u16, #[values(1, 2)] jobs: usize) {
    let cluster = cluster_with(
        major,
        "CREATE EXTENSION hstore; CREATE SCHEMA \"My s\"; CREATE SCHEMA other;
         CREATE TYPE other.mood AS ENUM ('good', 'bad');
         CREATE TABLE other.customers(id int PRIMARY KEY); INSERT INTO other.customers VALUES (1);
         CREATE TABLE \"My s\".orders(id serial PRIMARY KEY, mood other.mood, c int CONSTRAINT of REFERENCES other.customers);
         INSERT INTO \"My s\".orders(mood, c) VALUES ('good', 1), ('bad', 1);
         CREATE FUNCTION \"My s\".twice(n int) RETURNS int LANGUAGE sql AS 'SELECT n * 2';
         CREATE VIEW \"My s\".doubled AS SELECT \"My s\".twice(id) FROM \"My s\".orders;
         COMMENT ON SCHEMA \"My s\" IS 'ours'; CREATE TABLE unwanted()",
    )
    .await;
    let backup = dump(&cluster, &Selection::default()).await.unwrap();
    let options = Options {
        schemas: vec!["My s".to_owned()],
        ..create()
    };
    let wanted = restore(
        major,
        cluster.connection("a"),
        cluster.password(),
        options.clone(),
    );
    let restored = restored_by(jobs, &wanted, &backup).await;
    assert!(
        restored
            .warnings
            .iter()
            .any(|warning| warning.contains("of was left out")),
        "{restored:?}"
    );
    let found = "SELECT concat_ws(' ', (SELECT string_agg(twice::text, '' ORDER BY twice) FROM \"My s\".doubled),
            obj_description('\"My s\"'::regnamespace), to_regtype('other.mood'), to_regclass('other.customers'),
            to_regclass('unwanted'), (SELECT count(*) FROM pg_extension WHERE extname = 'hstore'))";
    assert_eq!(cluster.one("a", found).await.unwrap(), "24 ours other.mood 0");
    let nothing = Options {
        schemas: vec!["nowhere".to_owned()],
        ..create()
    };
    let nothing = restore(major, cluster.connection("b"), cluster.password(), nothing);
    let refused = failure(stream(&nothing, &backup).await);
    assert_eq!(refused.code, FailureCode::NotFound);

    for (database, extensions) in [("c", true), ("d", false)] {
        let options = Options {
            extensions,
            ..create()
        };
        let all = restore(major, cluster.connection(database), cluster.password(), options);
        restored_by(jobs, &all, &backup).await;
        let made = "SELECT (SELECT count(*) FROM pg_extension WHERE extname = 'hstore') || ' ' || count(*) FROM \"My s\".orders";
        assert_eq!(
            cluster.one(database, made).await.unwrap(),
            format!("{} 2", i32::from(extensions))
        );
    }
}
