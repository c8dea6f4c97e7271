//! Restores that stop at the first error: what was made for them is gone, what was there stays.

use howdah_domain::{FailureCode, Selection};
use howdah_postgres::restore::Options;
use howdah_testkit::Cluster;
use rstest::rstest;

use crate::support::*;

/// A table whose rows its own constraint refuses by now, and an index that comes after them.
const REFUSED: &str = "CREATE FUNCTION fits(int) RETURNS bool LANGUAGE sql AS 'SELECT true';
    CREATE TABLE strict(x int CHECK (fits(x))); INSERT INTO strict SELECT generate_series(1, 1000);
    CREATE OR REPLACE FUNCTION fits(int) RETURNS bool LANGUAGE sql AS 'SELECT $1 < 500';
    CREATE TABLE other(y int PRIMARY KEY); INSERT INTO other VALUES (1)";

/// What belongs to a role that another server does not have: refused among the definitions.
const OWNED: &str = "CREATE ROLE author; CREATE TABLE book(x int); ALTER TABLE book OWNER TO author;
    CREATE TABLE tale(x int); ALTER TABLE tale OWNER TO author";

/// Rows of which one refers to nothing: refused when all rows are in.
const ORPHAN: &str = "CREATE TABLE customers(id int PRIMARY KEY);
    CREATE TABLE orders(customer int CONSTRAINT of REFERENCES customers);
    ALTER TABLE orders DISABLE TRIGGER ALL; INSERT INTO orders VALUES (1); ALTER TABLE orders ENABLE TRIGGER ALL";

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_first_error_ends_it_and_what_was_made_is_dropped(
    #[values(13, 18)] major: u16,
    #[values(1, 2)] jobs: usize,
    #[values(REFUSED, OWNED, ORPHAN)] sql: &str,
) {
    let source = cluster_with(major, sql).await;
    let backup = dump(&source, &Selection::default()).await.unwrap();
    let target = Cluster::start(major).await.unwrap();
    let stopping = Options {
        exit_on_error: true,
        ..create()
    };
    let made = "SELECT count(*) FROM pg_database WHERE datname = 'part'";
    let wanted = restore(major, target.connection("part"), target.password(), stopping);
    let failure_of_it = failure(by(jobs, &wanted, &backup).await);
    assert_eq!(
        failure_of_it.code,
        FailureCode::RestoreFailed,
        "{failure_of_it:?}"
    );
    assert!(
        failure_of_it.message.contains("could not do one thing"),
        "{failure_of_it:?}"
    );
    assert!(failure_of_it.hint.unwrap().contains("part is not kept"));
    assert_eq!(target.one("postgres", made).await.unwrap(), "0");
    // Without it, the restore goes on, and what could be restored is there.
    let goes_on = restore(major, target.connection("part"), target.password(), create());
    let went_on = failure(by(jobs, &goes_on, &backup).await);
    assert_eq!(went_on.code, FailureCode::RestoreFailed);
    assert_eq!(target.one("postgres", made).await.unwrap(), "1");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn one_that_meets_no_error_is_whole(#[values(13, 18)] major: u16, #[values(1, 2)] jobs: usize) {
    let cluster = cluster_with(
        major,
        "CREATE TABLE fine(x int PRIMARY KEY); INSERT INTO fine VALUES (1)",
    )
    .await;
    let backup = dump(&cluster, &Selection::default()).await.unwrap();
    let options = Options {
        exit_on_error: true,
        ..create()
    };
    let target = cluster.connection("part");
    restored_by(
        jobs,
        &restore(major, target.clone(), cluster.password(), options),
        &backup,
    )
    .await;
    assert_eq!(
        compared(&target, &cluster.password(), &backup.index, 1)
            .await
            .mismatches,
        []
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_database_that_was_there_what_came_before_the_error_stays_and_is_told() {
    let source = cluster_with(17, REFUSED).await;
    let backup = dump(&source, &Selection::default()).await.unwrap();
    let target = Cluster::start(17).await.unwrap();
    target.create_database("mine").await.unwrap();
    let options = Options {
        exit_on_error: true,
        ..Options::default()
    };
    let wanted = restore(17, target.connection("mine"), target.password(), options);
    let failure = failure(parallel(&wanted, &backup, 2).await);
    assert_eq!(failure.code, FailureCode::RestoreFailed, "{failure:?}");
    assert!(
        failure
            .hint
            .unwrap()
            .contains("Database mine holds a part of the backup"),
    );
    target.sql("mine", "SELECT * FROM strict").await.unwrap();
    let keys = "SELECT count(*) FROM pg_indexes WHERE tablename = 'other'";
    assert_eq!(target.one("mine", keys).await.unwrap(), "0");
}
