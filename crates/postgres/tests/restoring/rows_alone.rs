//! Rows without what is defined: into tables that are there and empty, all of them or none.

use howdah_domain::{FailureCode, RestoreContent, Selection};
use howdah_postgres::restore::{Options, Restore};
use howdah_testkit::Cluster;
use rstest::rstest;
use tokio_util::sync::CancellationToken;

use crate::support::*;

/// A table that sorts before the one it refers to, a trigger that counts, a sequence, a large object, a name to quote.
const SHOP: &str = "CREATE TABLE customers(id int PRIMARY KEY);
    CREATE TABLE a_orders(id serial PRIMARY KEY, customer int NOT NULL REFERENCES customers, note text);
    CREATE TABLE \"Odd name\"(x int); CREATE TABLE heard(n int);
    CREATE FUNCTION hear() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.heard VALUES (1); RETURN NEW; END';
    INSERT INTO customers SELECT generate_series(1, 1000);
    INSERT INTO a_orders(customer, note) SELECT n, repeat('o', 100) FROM generate_series(1, 1000) n;
    INSERT INTO \"Odd name\" VALUES (7);
    CREATE TRIGGER hearing AFTER INSERT ON a_orders FOR EACH ROW EXECUTE FUNCTION hear();
    SELECT lo_from_bytea(4711, 'large')";

const COUNTS: &str = "SELECT concat_ws(' ', (SELECT count(*) FROM a_orders), (SELECT count(*) FROM customers),
    (SELECT count(*) FROM \"Odd name\"), (SELECT count(*) FROM heard), (SELECT count(*) FROM pg_largeobject_metadata))";

fn rows() -> Options {
    Options {
        content: RestoreContent::Rows,
        ..Options::default()
    }
}

/// A cluster with the shop, its backup, and a database `there` that has what is defined in it.
async fn shop_and_there(major: u16) -> (Cluster, Backup) {
    let cluster = cluster_with(major, SHOP).await;
    let backup = dump(&cluster, &Selection::default()).await.unwrap();
    let definitions = Options {
        content: RestoreContent::Definitions,
        ..create()
    };
    restored_by(1, &into(&cluster, major, definitions), &backup).await;
    (cluster, backup)
}

fn into(cluster: &Cluster, major: u16, options: Options) -> Restore {
    restore(major, cluster.connection("there"), cluster.password(), options)
}

async fn counts(cluster: &Cluster) -> String {
    cluster.one("there", COUNTS).await.unwrap()
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn rows_come_back_into_tables_that_are_there(
    #[values(13, 14, 15, 16, 17, 18)] major: u16,
    #[values(1, 2)] jobs: usize,
) {
    let (cluster, backup) = shop_and_there(major).await;
    let restored = restored_by(jobs, &into(&cluster, major, rows()), &backup).await;
    assert_eq!(restored.warnings, Vec::<String>::new());
    // The trigger was silent, and the foreign key did not mind the order.
    assert_eq!(counts(&cluster).await, "1000 1000 1 0 1");
    let target = cluster.connection("there");
    let comparison = compared(&target, &cluster.password(), &backup.index, 2).await;
    assert_eq!(comparison.mismatches, []);
    let next = "SELECT nextval('a_orders_id_seq')";
    assert_eq!(cluster.one("there", next).await.unwrap(), "1001");
    // Both are at work again.
    let refused = cluster
        .sql("there", "INSERT INTO a_orders(customer) VALUES (0)")
        .await;
    assert!(refused.is_err());
    cluster
        .sql("there", "INSERT INTO a_orders(customer) VALUES (1)")
        .await
        .unwrap();
    assert_eq!(counts(&cluster).await, "1001 1000 1 1 1");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_rows_of_chosen_tables_come_and_the_others_are_not_asked_about() {
    let (cluster, backup) = shop_and_there(17).await;
    cluster
        .sql("there", "INSERT INTO customers VALUES (2000)")
        .await
        .unwrap();
    let options = Options {
        tables: vec![table("public", "Odd name")],
        ..rows()
    };
    restored_by(2, &into(&cluster, 17, options), &backup).await;
    assert_eq!(counts(&cluster).await, "0 1 1 0 0");
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_hold_rows_or_are_not_there_are_named_and_nothing_changes() {
    let (cluster, backup) = shop_and_there(17).await;
    let restore = into(&cluster, 17, rows());
    cluster
        .sql("there", "INSERT INTO \"Odd name\" VALUES (1)")
        .await
        .unwrap();
    let filled = failure(parallel(&restore, &backup, 2).await);
    assert_eq!(filled.code, FailureCode::InvalidInput, "{filled:?}");
    assert!(
        filled.message.contains("rows in public.Odd name of"),
        "{filled:?}"
    );
    cluster.sql("there", "DROP TABLE \"Odd name\"").await.unwrap();
    let missing = failure(parallel(&restore, &backup, 2).await);
    assert_eq!(missing.code, FailureCode::NotFound, "{missing:?}");
    assert!(missing.message.contains("has no public.Odd name"), "{missing:?}");
    assert_eq!(
        cluster
            .one("there", "SELECT count(*) FROM customers")
            .await
            .unwrap(),
        "0"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_refused_takes_all_of_them_back() {
    let (cluster, backup) = shop_and_there(17).await;
    // The last table in the archive's order refuses; the others were in by then.
    cluster
        .sql("there", "ALTER TABLE customers ADD CHECK (id < 1000)")
        .await
        .unwrap();
    let failure = failure(stream(&into(&cluster, 17, rows()), &backup).await);
    assert_eq!(failure.code, FailureCode::RestoreFailed, "{failure:?}");
    assert!(failure.message.contains("customers"), "{failure:?}");
    assert!(failure.hint.unwrap().contains("Nothing was changed in there"));
    assert_eq!(counts(&cluster).await, "0 0 0 0 0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_without_rights_over_triggers_is_told_what_that_means() {
    let (cluster, backup) = shop_and_there(17).await;
    cluster
        .sql(
            "there",
            "CREATE ROLE clerk LOGIN PASSWORD 'clerk'; GRANT ALL ON ALL TABLES IN SCHEMA public TO clerk;
             GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO clerk",
        )
        .await
        .unwrap();
    let mut restore = into(&cluster, 17, rows());
    restore.target.role = "clerk".to_owned();
    restore.secret = Some(howdah_domain::Secret::new("clerk"));
    // Orders come first, and their customers are not there yet.
    let refused = failure(stream(&restore, &backup).await);
    assert_eq!(refused.code, FailureCode::RestoreFailed, "{refused:?}");
    assert!(refused.message.contains("foreign key"), "{refused:?}");
    assert_eq!(counts(&cluster).await, "0 0 0 0 0");
    restore.options.tables = vec![table("public", "customers")];
    let restored = restored_by(1, &restore, &backup).await;
    assert!(
        restored.warnings[0].contains("clerk is no superuser"),
        "{restored:?}"
    );
    assert_eq!(counts(&cluster).await, "0 1000 0 0 0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_restore_of_rows_leaves_the_tables_empty() {
    let cluster = cluster_with(
        17,
        "CREATE TABLE big AS SELECT g, repeat('x', 200) AS t FROM generate_series(1, 300000) g",
    )
    .await;
    let backup = dump(&cluster, &Selection::default()).await.unwrap();
    cluster.create_database("there").await.unwrap();
    cluster
        .sql("there", "CREATE TABLE big(g int, t text)")
        .await
        .unwrap();
    let cancel = CancellationToken::new();
    let stop = cancel.clone();
    // At the first bytes on their way.
    let on_progress: howdah_postgres::restore::OnProgress = std::sync::Arc::new(move |now| {
        if now.raw_bytes > 1_000_000 {
            stop.cancel();
        }
    });
    let restore = into(&cluster, 17, rows());
    let outcome = restore
        .stream(backup.archive(), Box::new(|_, _| {}), on_progress, &cancel)
        .await;
    assert!(outcome.unwrap_err().is_cancelled());
    let found = "SELECT count(*) FROM big";
    assert_eq!(cluster.one("there", found).await.unwrap(), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_alone_do_not_go_with_a_database_that_is_made_for_them_or_to_a_server_that_is_too_old() {
    let (cluster, backup) = shop_and_there(17).await;
    for options in [
        Options {
            create: true,
            ..rows()
        },
        Options {
            clean: true,
            ..rows()
        },
    ] {
        let refused = failure(stream(&into(&cluster, 17, options), &backup).await);
        assert_eq!(refused.code, FailureCode::InvalidInput, "{refused:?}");
    }
    let old = Cluster::start(16).await.unwrap();
    old.create_database("there").await.unwrap();
    let refused = failure(stream(&into(&old, 17, rows()), &backup).await);
    assert_eq!(refused.code, FailureCode::InvalidInput, "{refused:?}");
    assert!(refused.message.contains("PostgreSQL 16"), "{refused:?}");
}
