//! How a restore loads its rows: over several connections, and without the write-ahead log where it can.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use howdah_domain::Selection;
use howdah_testkit::Cluster;
use rstest::rstest;
use tokio_util::sync::CancellationToken;

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_large_table_comes_in_over_several_connections_at_once() {
    let cluster = cluster_with(
        17,
        "CREATE UNLOGGED TABLE large AS SELECT g, repeat(md5(g::text), 32) FROM generate_series(1, 260000) g",
    )
    .await;
    let backup = dump(&cluster, &Selection::default()).await.unwrap();
    assert!(backup.index.raw_len() > 256 << 20);
    let target = cluster.connection("copy");
    let most = Arc::new(AtomicU32::new(0));
    let watching = {
        let (most, stop) = (most.clone(), CancellationToken::new());
        let client = cluster.client("postgres").await.unwrap();
        let ended = stop.clone();
        let task = tokio::spawn(async move {
            while !stop.is_cancelled() {
                let sql = "SELECT count(*)::int FROM pg_stat_activity WHERE query LIKE 'COPY public.large%' AND state = 'active'";
                let count: i32 = client.query_one(sql, &[]).await.unwrap().get(0);
                most.fetch_max(count.unsigned_abs(), Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        (task, ended)
    };
    parallel(
        &restore(17, target.clone(), cluster.password(), create()),
        &backup,
        2,
    )
    .await
    .unwrap_or_else(|error| panic!("{:#?}", error.to_failure()));
    watching.1.cancel();
    watching.0.await.unwrap();
    assert_eq!(most.load(Ordering::Relaxed), 2);
    assert_eq!(
        compared(&target, &cluster.password(), &backup.index, 1)
            .await
            .mismatches,
        []
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn rows_do_without_the_log_where_nobody_else_reads_it(#[values(13, 14, 15, 16, 17, 18)] major: u16) {
    let cluster = cluster_with(
        major,
        "CREATE TABLE one AS SELECT g, repeat(md5(g::text), 8) AS rest FROM generate_series(1, 60000) g;
         CREATE TABLE other AS SELECT * FROM one",
    )
    .await;
    let backup = dump(&cluster, &Selection::default()).await.unwrap();
    let rows = backup.index.raw_len();
    assert!(rows > 30 << 20);
    // How much goes through the log, a new database's own pages included: first as a local instance is while it is loaded, then as any other server is.
    for (wal_level, logged) in [("minimal", 0..rows / 3), ("replica", rows / 2..rows * 4)] {
        let target = Cluster::builder(major)
            .set("wal_level", wal_level)
            .set("max_wal_senders", "0")
            .start()
            .await
            .unwrap();
        let position = "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint";
        let before: u64 = target.one("postgres", position).await.unwrap().parse().unwrap();
        let to = target.connection("copy");
        parallel(
            &restore(major, to.clone(), target.password(), create()),
            &backup,
            2,
        )
        .await
        .unwrap_or_else(|error| panic!("{:#?}", error.to_failure()));
        let after: u64 = target.one("postgres", position).await.unwrap().parse().unwrap();
        assert!(
            logged.contains(&(after - before)),
            "{wal_level}: {} of {rows}, not within {logged:?}",
            after - before
        );
        let comparison = compared(&to, &target.password(), &backup.index, 1).await;
        assert_eq!(comparison.mismatches, []);
        // Since 14 rows that come frozen make the map that says so.
        if major >= 14 {
            let frozen = "SELECT pg_relation_size('other', 'vm') > 0";
            let expected = if wal_level == "minimal" { "t" } else { "f" };
            assert_eq!(target.one("copy", frozen).await.unwrap(), expected);
        }
    }
}
