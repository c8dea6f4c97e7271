//! Some tables of a backup: whole, equal, with what they stand on where the database is new; what stays out is told.

use howdah_domain::{FailureCode, Selection};
use howdah_postgres::restore::Options;
use howdah_testkit::{Cluster, sample};
use rstest::rstest;

use crate::support::*;

async fn restored_by(
    jobs: usize,
    restore: &howdah_postgres::restore::Restore,
    backup: &Backup,
) -> howdah_postgres::restore::Restored {
    let outcome = match jobs {
        1 => stream(restore, backup).await,
        _ => parallel(restore, backup, jobs).await,
    };
    outcome.unwrap_or_else(|error| panic!("{:#?}", error.to_failure()))
}

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
