//! Restores on real servers: what goes wrong is named, what belongs to the database comes along; parts of a backup are in
//! `tables.rs`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod loading;
mod rows_alone;
mod stopping;
#[path = "../support/mod.rs"]
mod support;
mod tables;

use std::time::{Duration, Instant};

use howdah_domain::{FailureCode, Selection};
use howdah_postgres::restore::Options;
use howdah_testkit::Cluster;
use rstest::rstest;
use support::*;
use tokio_util::sync::CancellationToken;

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn each_error_of_a_restore_is_named(#[values(13, 17)] major: u16, #[values(1, 2)] jobs: usize) {
    let cluster = cluster_with(
        major,
        "CREATE TABLE taken(x int); INSERT INTO taken VALUES (1), (2); CREATE TABLE fine(y text PRIMARY KEY);
         INSERT INTO fine VALUES ('a'); CREATE TABLE strict(z int); INSERT INTO strict SELECT generate_series(1, 200000)",
    )
    .await;
    let backup = dump(&cluster, &Selection::default()).await.unwrap();
    cluster.create_database("half").await.unwrap();
    cluster
        .sql(
            "half",
            "CREATE TABLE taken(other text); CREATE TABLE strict(z int CHECK (z < 150000))",
        )
        .await
        .unwrap();
    let target = cluster.connection("half");
    let restore = restore(major, target.clone(), cluster.password(), Options::default());
    let outcome = match jobs {
        1 => stream(&restore, &backup).await,
        _ => parallel(&restore, &backup, jobs).await,
    };
    let failure = failure(outcome);
    assert_eq!(failure.code, FailureCode::RestoreFailed, "{failure:?}");
    assert!(failure.message.contains("4 things"), "{}", failure.message);
    let details = failure.details.unwrap();
    for part in [
        "relation \"taken\" already exists",
        "relation \"strict\" already exists",
        "column \"x\" of relation \"taken\" does not exist",
        "violates check constraint",
    ] {
        assert!(details.contains(part), "{part} in {details}");
    }
    // What had no error is there.
    assert_eq!(cluster.one("half", "SELECT y FROM fine").await.unwrap(), "a");
    assert_eq!(
        cluster
            .one(
                "half",
                "SELECT count(*) FROM pg_indexes WHERE indexname = 'fine_pkey'"
            )
            .await
            .unwrap(),
        "1"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_exists_is_not_created_over() {
    let cluster = cluster_with(16, "CREATE TABLE precious(x int)").await;
    let backup = dump(&cluster, &Selection::default()).await.unwrap();
    let restore = restore(16, cluster.connection("shop"), cluster.password(), create());
    let failure = failure(stream(&restore, &backup).await);
    assert_eq!(failure.code, FailureCode::DatabaseExists);
    assert!(failure.message.contains("shop"));
    cluster.sql("shop", "SELECT * FROM precious").await.unwrap();
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_the_database_itself_comes_along_under_another_name(
    #[values(13, 14, 15, 16, 17, 18)] major: u16,
) {
    let cluster = cluster_with(major, "CREATE TABLE t(x int); INSERT INTO t VALUES (1)").await;
    cluster
        .sql(
            "postgres",
            "CREATE ROLE \"the owner\"; CREATE ROLE guest;
             ALTER DATABASE shop SET work_mem = '7MB';
             ALTER DATABASE shop SET default_transaction_read_only = on;
             ALTER ROLE guest IN DATABASE shop SET search_path = 'a b', public;
             ALTER DATABASE shop CONNECTION LIMIT 17;
             COMMENT ON DATABASE shop IS 'the shop; DATABASE shop';
             REVOKE CONNECT ON DATABASE shop FROM PUBLIC; GRANT CONNECT, TEMPORARY ON DATABASE shop TO guest;
             ALTER DATABASE shop OWNER TO \"the owner\"",
        )
        .await
        .unwrap();
    let backup = dump(&cluster, &Selection::default()).await.unwrap();
    let of = |name: &str| {
        format!(
            "SELECT pg_get_userbyid(datdba), datconnlimit, (SELECT array_agg(acl::text ORDER BY acl::text) FROM unnest(datacl) acl), shobj_description(d.oid, 'pg_database'), encoding, datcollate,
                    (SELECT array_agg((setrole::regrole, setconfig) ORDER BY setrole) FROM pg_db_role_setting WHERE setdatabase = d.oid)
             FROM pg_database d WHERE datname = '{name}'"
        )
    };
    let original = cluster.rows("postgres", &of("shop")).await.unwrap();
    assert!(format!("{original:?}").contains("7MB"));
    for (jobs, name) in [(1, "my \"copy\""), (2, "second copy")] {
        let restore = restore(major, cluster.connection(name), cluster.password(), create());
        let restored = match jobs {
            1 => stream(&restore, &backup).await,
            _ => parallel(&restore, &backup, jobs).await,
        };
        let restored = restored.unwrap_or_else(|error| panic!("{:#?}", error.to_failure()));
        assert_eq!(restored.warnings, Vec::<String>::new());
        assert_eq!(cluster.rows("postgres", &of(name)).await.unwrap(), original);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_role_is_named_and_owners_can_be_left_out() {
    let cluster = cluster_with(
        17,
        "CREATE ROLE somebody; CREATE TABLE t(x int); ALTER TABLE t OWNER TO somebody",
    )
    .await;
    let backup = dump(&cluster, &Selection::default()).await.unwrap();
    let other = Cluster::start(17).await.unwrap();
    let named = failure(
        stream(
            &restore(17, other.connection("a"), other.password(), create()),
            &backup,
        )
        .await,
    );
    assert_eq!(named.code, FailureCode::RestoreFailed);
    assert!(
        named.message.contains("role \"somebody\" does not exist"),
        "{}",
        named.message
    );
    assert!(named.message.contains("TABLE"), "{}", named.message);
    let without = Options {
        owners: false,
        privileges: false,
        ..create()
    };
    stream(
        &restore(17, other.connection("b"), other.password(), without),
        &backup,
    )
    .await
    .unwrap();
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_locale_that_the_target_lacks_is_replaced_and_told(#[values(13, 15, 17)] major: u16) {
    // A locale's name in the archive that no machine has: put there by hand, of the same length.
    let cluster = cluster_with(major, "CREATE TABLE t(x text); INSERT INTO t VALUES ('ä')").await;
    let backup = dump(&cluster, &Selection::default()).await.unwrap();
    let mut archive = Vec::new();
    std::io::Read::read_to_end(&mut backup.archive(), &mut archive).unwrap();
    let collate = cluster
        .one(
            "shop",
            "SELECT datcollate FROM pg_database WHERE datname = 'shop'",
        )
        .await
        .unwrap();
    let (from, to) = (format!("'{collate}'"), format!("'{}'", "x".repeat(collate.len())));
    let text = archive.clone();
    let mut replaced = 0;
    for at in 0..text.len() - from.len() {
        if &text[at..at + from.len()] == from.as_bytes() {
            archive[at..at + from.len()].copy_from_slice(to.as_bytes());
            replaced += 1;
        }
    }
    assert!(replaced > 0);
    let restore = restore(major, cluster.connection("copy"), cluster.password(), create());
    let restored = restore
        .stream(
            std::io::Cursor::new(archive),
            howdah_postgres::running::ignore_lines(),
            no_progress(),
            &CancellationToken::new(),
        )
        .await
        .unwrap_or_else(|error| panic!("{:#?}", error.to_failure()));
    assert!(
        restored
            .warnings
            .iter()
            .any(|warning| warning.contains("C.UTF-8")),
        "{restored:?}"
    );
    assert_eq!(cluster.one("copy", "SELECT x FROM t").await.unwrap(), "ä");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_ends_too_early_or_cannot_be_read_fails_the_restore() {
    let cluster = cluster_with(
        17,
        "CREATE TABLE t AS SELECT g, md5(g::text) FROM generate_series(1, 100000) g",
    )
    .await;
    let backup = dump(&cluster, &Selection::default()).await.unwrap();
    let mut archive = Vec::new();
    std::io::Read::read_to_end(&mut backup.archive(), &mut archive).unwrap();

    struct Broken(std::io::Cursor<Vec<u8>>);
    impl std::io::Read for Broken {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            match self.0.read(buffer)? {
                0 => Err(std::io::Error::other("the destination is gone")),
                read => Ok(read),
            }
        }
    }
    let half = archive[..archive.len() / 2].to_vec();
    let restore_of = |name: &str| restore(17, cluster.connection(name), cluster.password(), create());
    let cancel = CancellationToken::new();
    let lines = howdah_postgres::running::ignore_lines;
    let outcome = restore_of("a")
        .stream(
            Broken(std::io::Cursor::new(half.clone())),
            lines(),
            no_progress(),
            &cancel,
        )
        .await;
    let broken = failure(outcome);
    assert!(broken.message.contains("the destination is gone"), "{broken:?}");
    let outcome = restore_of("b")
        .stream(std::io::Cursor::new(half), lines(), no_progress(), &cancel)
        .await;
    let truncated = failure(outcome);
    assert_ne!(truncated.code, FailureCode::Cancelled, "{truncated:?}");
    assert!(
        truncated
            .details
            .as_deref()
            .unwrap_or_default()
            .contains("end of file"),
        "{truncated:?}"
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_restore_ends_at_once(#[values(1, 2)] jobs: usize) {
    let cluster = cluster_with(
        17,
        "CREATE TABLE a AS SELECT g, md5(g::text) FROM generate_series(1, 300000) g;
         CREATE TABLE b AS SELECT g, md5(g::text) FROM generate_series(1, 300000) g",
    )
    .await;
    let backup = dump(&cluster, &Selection::default()).await.unwrap();
    let cancel = CancellationToken::new();
    let progress = {
        let cancel = cancel.clone();
        std::sync::Arc::new(move |now: &howdah_postgres::restore::RestoreProgress| {
            if now.raw_bytes > 4 << 20 {
                cancel.cancel();
            }
        })
    };
    let restore = restore(17, cluster.connection("copy"), cluster.password(), create());
    let lines = howdah_postgres::running::ignore_lines();
    let begun = Instant::now();
    let outcome = match jobs {
        1 => restore.stream(backup.archive(), lines, progress, &cancel).await,
        _ => {
            let source = std::sync::Arc::new(std::fs::File::open(backup.path()).unwrap());
            restore
                .parallel(source, &backup.index, jobs, lines, progress, &cancel)
                .await
        }
    };
    assert!(outcome.unwrap_err().is_cancelled());
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    let gone = Instant::now();
    while cluster
        .one(
            "postgres",
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'howdah'",
        )
        .await
        .unwrap()
        != "0"
    {
        assert!(gone.elapsed() < Duration::from_secs(5), "its sessions stay");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn clean_replaces_what_is_there(#[values(14, 18)] major: u16, #[values(1, 2)] jobs: usize) {
    let cluster = cluster_with(
        major,
        "CREATE TABLE a(id int PRIMARY KEY); CREATE TABLE b(a int REFERENCES a); INSERT INTO a VALUES (1); INSERT INTO b VALUES (1)",
    )
    .await;
    let backup = dump(&cluster, &Selection::default()).await.unwrap();
    cluster
        .sql("shop", "INSERT INTO a VALUES (2); DELETE FROM b")
        .await
        .unwrap();
    let options = Options {
        clean: true,
        ..Options::default()
    };
    let restore = restore(major, cluster.connection("shop"), cluster.password(), options);
    let restored = match jobs {
        1 => stream(&restore, &backup).await,
        _ => parallel(&restore, &backup, jobs).await,
    };
    restored.unwrap_or_else(|error| panic!("{:#?}", error.to_failure()));
    let comparison = compared(&cluster.connection("shop"), &cluster.password(), &backup.index, 1).await;
    assert_eq!(comparison.mismatches, []);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_database_in_another_encoding_keeps_its_bytes_and_names(
    #[values(13, 18)] major: u16,
    #[values(1, 2)] jobs: usize,
) {
    let cluster = Cluster::start(major).await.unwrap();
    cluster
        .sql(
            "postgres",
            "CREATE DATABASE shop TEMPLATE template0 ENCODING 'WIN1252' LC_COLLATE 'C' LC_CTYPE 'C'",
        )
        .await
        .unwrap();
    cluster
        .sql(
            "shop",
            "CREATE SCHEMA \"Käse\"; CREATE TABLE \"Käse\".\"größe\"(\"é\" text); INSERT INTO \"Käse\".\"größe\" VALUES ('10 € œuf');
             CREATE TABLE plain(x text); INSERT INTO plain VALUES ('naïve “quote”'); COMMENT ON DATABASE shop IS 'für Käse'",
        )
        .await
        .unwrap();
    let chosen = Selection {
        tables: vec![table("Käse", "größe"), table("public", "plain")],
        ..Selection::default()
    };
    let backup = dump(&cluster, &chosen).await.unwrap();
    assert_eq!(backup.index.rows(), 2);
    let backup = dump(&cluster, &Selection::default()).await.unwrap();
    let target = cluster.connection("copy");
    let restore = restore(major, target.clone(), cluster.password(), create());
    let restored = match jobs {
        1 => stream(&restore, &backup).await,
        _ => parallel(&restore, &backup, jobs).await,
    };
    restored.unwrap_or_else(|error| panic!("{:#?}", error.to_failure()));
    assert_eq!(
        cluster
            .one("copy", "SELECT \"é\" FROM \"Käse\".\"größe\"")
            .await
            .unwrap(),
        "10 € œuf"
    );
    assert_eq!(
        cluster
            .one(
                "copy",
                "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = 'copy'"
            )
            .await
            .unwrap(),
        "für Käse"
    );
    let comparison = compared(&target, &cluster.password(), &backup.index, 1).await;
    assert_eq!(comparison.mismatches, []);
}
