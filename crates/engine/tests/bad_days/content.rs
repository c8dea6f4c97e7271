//! Databases that are empty, have odd names, very many tables or very large values: each comes back equal.

use howdah_testkit::Cluster;
use rstest::rstest;

use crate::support::TestEngine;

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_database_is_a_backup_too() {
    let cluster = Cluster::start(18).await.unwrap();
    let test = TestEngine::start().await;
    let made = test
        .back_up(&test.one_off(cluster.connection("postgres"), cluster.password()))
        .await
        .unwrap();
    assert_eq!((made.manifest.tables, made.manifest.rows), (0, 0));
    test.comes_back_equal(&made, cluster.connection("restored"), cluster.password(), 1)
        .await;
}

#[rstest]
#[case::spaces("my shop")]
#[case::quotes(r#"o'clock "x""#)]
#[case::emoji("🐘 größe")]
#[case::a_leading_dash("-d")]
#[case::an_equals_sign("host=evil dbname=x")]
#[case::a_url("postgres://evil/x")]
#[case::sixty_three_bytes("abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijk")]
#[case::backslash(r"a\b%d$(x)")]
#[tokio::test(flavor = "multi_thread")]
async fn a_database_with_a_name_of(#[case] name: &str) {
    let cluster = Cluster::start(16).await.unwrap();
    cluster.create_database(name).await.unwrap();
    cluster
        .sql(name, "CREATE TABLE t AS SELECT 1 AS a")
        .await
        .unwrap();
    let test = TestEngine::start().await;
    let made = test
        .back_up(&test.one_off(cluster.connection(name), cluster.password()))
        .await
        .unwrap();
    assert_eq!(made.manifest.database, name);
    assert_eq!(made.manifest.rows, 1);
    cluster
        .sql(
            "postgres",
            &format!("DROP DATABASE {}", howdah_postgres::quote::ident(name)),
        )
        .await
        .unwrap();
    test.comes_back_equal(&made, cluster.connection(name), cluster.password(), 2)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_tables() {
    let cluster = Cluster::builder(17)
        .set("max_locks_per_transaction", "256")
        .start()
        .await
        .unwrap();
    for batch in 0..10 {
        cluster
            .sql(
                "postgres",
                &format!(
                    "DO $$ BEGIN FOR n IN 1..1000 LOOP
                       EXECUTE format('CREATE TABLE t_{batch}_%s AS SELECT %s AS a', n, n); END LOOP; END $$"
                ),
            )
            .await
            .unwrap();
    }
    let test = TestEngine::start().await;
    let made = test
        .back_up(&test.one_off(cluster.connection("postgres"), cluster.password()))
        .await
        .unwrap();
    assert_eq!((made.manifest.tables, made.manifest.rows), (10_000, 10_000));
    assert!(
        made.index.frames.len() < 100,
        "small tables share frames: {}",
        made.index.frames.len()
    );
    test.comes_back_equal(&made, cluster.connection("restored"), cluster.password(), 2)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_of_two_hundred_megabytes() {
    let cluster = Cluster::start(17).await.unwrap();
    cluster
        .sql(
            "postgres",
            "CREATE TABLE huge AS SELECT 1 AS n, repeat('0123456789', 20000000) AS text",
        )
        .await
        .unwrap();
    let test = TestEngine::start().await;
    let made = test
        .back_up(&test.one_off(cluster.connection("postgres"), cluster.password()))
        .await
        .unwrap();
    assert!(made.manifest.raw_bytes > 200_000_000);
    assert!(made.index.frames.iter().all(|frame| frame.raw_len <= 8 << 20));
    assert!(
        made.index
            .frames
            .iter()
            .filter(|frame| !frame.begins_at_row())
            .count()
            > 20
    );
    for (jobs, name) in [(1, "one"), (2, "two")] {
        test.comes_back_equal(&made, cluster.connection(name), cluster.password(), jobs)
            .await;
    }
}
