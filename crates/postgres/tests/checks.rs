//! What a drill asks besides rows, and that each of it can fail: definitions that differ, an index that is broken.

#![allow(clippy::unwrap_used)]

mod support;

use howdah_domain::drill::Difference;
use howdah_postgres::checks;
use howdah_postgres::definitions::Definitions;
use howdah_testkit::Cluster;
use tokio_util::sync::CancellationToken;

use support::*;

const SHOP: &str = "CREATE TABLE orders (id int PRIMARY KEY, note text DEFAULT 'none');
    CREATE INDEX notes ON orders (note); CREATE VIEW recent AS SELECT id FROM orders;
    CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql AS 'SELECT n * 2';
    GRANT SELECT ON orders TO reader;";

async fn defined(cluster: &Cluster, database: &str) -> Definitions {
    Definitions::of_database(
        &client(17),
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
    let sound = checks::check_indexes(&session, &never).await.unwrap().unwrap();
    assert_eq!(sound, Vec::<String>::new());
    cluster
        .sql(
            "postgres",
            "CREATE OR REPLACE FUNCTION compared(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT btint4cmp($2, $1)'",
        )
        .await
        .unwrap();
    let found = checks::check_indexes(&session, &never).await.unwrap().unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("by_n"), "{found:?}");
}
