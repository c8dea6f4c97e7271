//! A restore into a throw-away instance reaches nobody, and what the machine cannot have is told apart from what failed: on real
//! servers, with a second one that would be logged in on.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod support;

use std::fs::File;
use std::io::Read as _;

use howdah_archive::{EncodeOptions, Meter, encode};
use howdah_postgres::restore::{Options, Restored};
use howdah_postgres::tame::{LeftOut, Why};
use howdah_testkit::{Cluster, sample};
use rstest::rstest;
use support::*;

fn isolated() -> Options {
    Options {
        create: true,
        isolated: true,
        ..Options::default()
    }
}

async fn restored(cluster: &Cluster, name: &str, backup: &Backup, jobs: usize) -> Restored {
    let restore = restore(
        cluster.major(),
        cluster.connection(name),
        cluster.password(),
        isolated(),
    );
    let outcome = match jobs {
        1 => stream(&restore, backup).await,
        _ => parallel(&restore, backup, jobs).await,
    };
    outcome.unwrap_or_else(|error| panic!("{:#?}", error.to_failure()))
}

/// What was left out, as sentences, and whether all the rest is as the backup has it.
async fn proved(cluster: &Cluster, name: &str, backup: &Backup, restored: &Restored) -> String {
    let index = match &restored.part {
        Some(part) => part.index(&backup.index),
        None => backup.index.clone(),
    };
    let comparison = compared(&cluster.connection(name), &cluster.password(), &index, 1).await;
    assert_eq!(comparison.mismatches, [], "{restored:?}");
    let sentences: Vec<String> = restored.left_out.iter().map(LeftOut::sentence).collect();
    sentences.join("\n")
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_object_is_proved_where_nothing_of_it_may_reach_out(
    #[values(13, 16, 18)] major: u16,
    #[values(1, 2)] jobs: usize,
) {
    let cluster = Cluster::start(major).await.unwrap();
    sample::every_kind(&cluster, "source").await.unwrap();
    let sql = "CREATE SUBSCRIPTION sub CONNECTION 'host=192.0.2.1 password=secret' PUBLICATION p WITH (connect = false);
               COMMENT ON SUBSCRIPTION sub IS 'far'";
    cluster.sql("source", sql).await.unwrap();
    let secret = cluster.password();
    let backup = back_up_all(major, &cluster.connection("source"), &secret).await;

    // A machine that has none of the backup's roles.
    let instance = Cluster::start(major).await.unwrap();
    let restored = restored(&instance, "drill", &backup, jobs).await;
    let told = proved(&instance, "drill", &backup, &restored).await;
    for part in [
        "USER MAPPING public SERVER elsewhere was left out",
        "SUBSCRIPTION sub was left out",
        "SERVER elsewhere was altered",
        "EVENT TRIGGER note_ddl was altered",
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }
    assert!(
        restored.left_out.iter().all(|left| left.table().is_none()),
        "{told}"
    );
    assert!(
        restored.warnings.iter().any(|warning| warning.contains("reader")),
        "{restored:?}"
    );
    let left = "SELECT (SELECT count(*) FROM pg_user_mapping) + (SELECT count(*) FROM pg_subscription)
                + (SELECT count(*) FROM pg_event_trigger WHERE evtenabled <> 'D')
                + (SELECT count(*) FROM pg_foreign_data_wrapper w JOIN pg_foreign_server s ON s.srvfdw = w.oid WHERE w.fdwhandler <> 0)";
    assert_eq!(instance.one("drill", left).await.unwrap(), "0");
    let kept = "SELECT count(*) FROM pg_foreign_server WHERE 'host=192.0.2.1' = ANY (srvoptions)";
    assert_eq!(instance.one("drill", kept).await.unwrap(), "1");
}

/// Logins of the role that only the restored database's user mapping knows.
fn logins(far: &Cluster) -> usize {
    far.log()
        .lines()
        .filter(|line| line.contains("connection authorized: user=far_reader"))
        .count()
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn an_isolated_restore_does_not_log_in_on_the_server_that_a_plain_one_does(
    #[values(13, 16, 18)] major: u16,
    #[values(1, 2)] jobs: usize,
) {
    let far = Cluster::builder(major)
        .set("log_connections", "on")
        .start()
        .await
        .unwrap();
    let password = far.create_role("far_reader", "").await.unwrap();
    far.create_database("far").await.unwrap();
    far.sql(
        "far",
        "CREATE TABLE rows AS SELECT 7 AS a; GRANT SELECT ON rows TO far_reader",
    )
    .await
    .unwrap();
    let sql = format!(
        "CREATE EXTENSION postgres_fdw; CREATE EXTENSION dblink; CREATE TABLE here(a int); INSERT INTO here VALUES (1), (2);
         CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '{port}', dbname 'far');
         CREATE USER MAPPING FOR CURRENT_USER SERVER far OPTIONS (user 'far_reader', password '{password}');
         CREATE FOREIGN TABLE far_rows (a int) SERVER far OPTIONS (table_name 'rows');
         CREATE VIEW seen AS SELECT a FROM far_rows;
         CREATE FUNCTION hidden() RETURNS SETOF int LANGUAGE plpgsql AS 'BEGIN RETURN QUERY SELECT f.a FROM public.far_rows f; END';
         CREATE MATERIALIZED VIEW plain AS SELECT a FROM seen;
         CREATE MATERIALIZED VIEW by_code AS SELECT a FROM hidden() a;
         CREATE MATERIALIZED VIEW on_top AS SELECT count(*) FROM plain;
         CREATE MATERIALIZED VIEW by_link AS SELECT a FROM dblink('host=127.0.0.1 port={port} dbname=far user=far_reader password={password}', 'SELECT a FROM rows') AS t(a int);
         CREATE FUNCTION hidden_link() RETURNS SETOF int LANGUAGE plpgsql AS $f$BEGIN
             RETURN QUERY SELECT t.a FROM public.dblink('host=127.0.0.1 port={port} dbname=far user=far_reader password={password}', 'SELECT a FROM rows') AS t(a int); END$f$;
         CREATE MATERIALIZED VIEW by_hidden_link AS SELECT a FROM hidden_link() a;
         CREATE MATERIALIZED VIEW local AS SELECT sum(a) FROM here",
        port = far.port(),
        password = password.expose(),
    );
    let cluster = cluster_with(major, &sql).await;
    let backup = back_up_all(major, &cluster.connection("shop"), &cluster.password()).await;
    let before = logins(&far);
    assert!(before > 0, "{}", far.log());

    let restored = restored(&cluster, "drill", &backup, jobs).await;
    let told = proved(&cluster, "drill", &backup, &restored).await;
    assert_eq!(logins(&far), before, "{}", far.log());
    for part in [
        "USER MAPPING postgres SERVER far was left out",
        "MATERIALIZED VIEW DATA public.plain was left out: it would be filled from another server, through FOREIGN TABLE public.far_rows",
        "MATERIALIZED VIEW DATA public.on_top was left out",
        "by_code postgres was left out: it could not be filled without reaching out",
        "EXTENSION dblink was left out: the extension dblink opens connections to elsewhere",
        "MATERIALIZED VIEW public.by_link was left out",
        "by_hidden_link postgres was left out",
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }
    assert!(
        restored.left_out.iter().all(|left| left.why == Why::ReachesOut),
        "{told}"
    );
    assert_eq!(cluster.one("drill", "SELECT sum FROM local").await.unwrap(), "3");
    assert_eq!(logins(&far), before);

    // Without it, the very same backup does log in.
    let plain = restore(major, cluster.connection("plain"), cluster.password(), create());
    let outcome = match jobs {
        1 => stream(&plain, &backup).await,
        _ => parallel(&plain, &backup, jobs).await,
    };
    outcome.unwrap_or_else(|error| panic!("{:#?}", error.to_failure()));
    assert!(logins(&far) > before, "{}", far.log());
}

/// A backup with some of its bytes exchanged for as many others: what a server of another build would have dumped.
fn altered(backup: &Backup, changes: &[(&str, &str)]) -> Backup {
    let mut archive = Vec::new();
    backup.archive().read_to_end(&mut archive).unwrap();
    for (from, to) in changes {
        assert_eq!(from.len(), to.len());
        let places: Vec<usize> = archive
            .windows(from.len())
            .enumerate()
            .filter(|(_, window)| *window == from.as_bytes())
            .map(|(at, _)| at)
            .collect();
        assert!(!places.is_empty(), "{from}");
        for at in places {
            archive[at..at + to.len()].copy_from_slice(to.as_bytes());
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let output = File::create(folder.path().join("dump.pgdump.zst")).unwrap();
    let options = EncodeOptions::default();
    let encoded = encode(archive.as_slice(), output, &options, &Meter::new(), &|| false).unwrap();
    let mut index = encoded.index.clone();
    index.settings.clone_from(&backup.index.settings);
    Backup {
        folder,
        encoded,
        warnings: Vec::new(),
        index,
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_this_machine_cannot_have_does_not_fail_the_rest(
    #[values(14, 16, 18)] major: u16,
    #[values(1, 2)] jobs: usize,
) {
    let cluster = cluster_with(
        major,
        "CREATE EXTENSION ltree; CREATE COLLATION mine FROM \"C\";
         CREATE TABLE packed(a int PRIMARY KEY, body text COMPRESSION pglz, more text COMPRESSION pglz DEFAULT 'SET COMPRESSION lz4;');
         INSERT INTO packed SELECT n, repeat('x', 5000) FROM generate_series(1, 50) n;
         CREATE MATERIALIZED VIEW packed_view AS SELECT body FROM packed; ALTER MATERIALIZED VIEW packed_view ALTER body SET COMPRESSION pglz;
         CREATE TABLE paths(id serial PRIMARY KEY, path ltree); INSERT INTO paths(path) VALUES ('a.b');
         CREATE TABLE points_to(path int REFERENCES paths); INSERT INTO points_to VALUES (1);
         CREATE VIEW path_view AS SELECT path FROM paths;
         CREATE TABLE sorted(a text COLLATE mine, b text COLLATE \"POSIX\"); INSERT INTO sorted VALUES ('ä', 'b'), ('a', 'B');
         CREATE INDEX sorting ON sorted(a, b)",
    )
    .await;
    let here = back_up_all(major, &cluster.connection("shop"), &cluster.password()).await;
    let elsewhere = altered(
        &here,
        &[
            ("SET COMPRESSION pglz;\n", "SET COMPRESSION lz4;\n\n"),
            ("ltree", "lxree"),
            ("locale = 'C'", "locale = 'Q'"),
            ("COLLATE pg_catalog.\"POSIX\"", "COLLATE pg_catalog.\"xx_XX\""),
        ],
    );
    let restored = restored(&cluster, "drill", &elsewhere, jobs).await;
    let told = proved(&cluster, "drill", &elsewhere, &restored).await;
    for part in [
        "TABLE public.packed was altered: this machine's PostgreSQL is built without lz4",
        "MATERIALIZED VIEW public.packed_view was altered",
        "EXTENSION lxree was left out: the extension lxree is not on this machine",
        "TABLE DATA public.paths was left out: it needs something else: the extension lxree",
        "FK CONSTRAINT public.points_to points_to_path_fkey was left out",
        "VIEW public.path_view was left out",
        "COLLATION public.mine was altered",
        "COLLATION pg_catalog.xx_XX was altered",
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }
    assert!(
        restored.left_out.iter().all(|left| left.why == Why::Lacks),
        "{told}"
    );
    let tables: Vec<_> = restored.left_out.iter().filter_map(LeftOut::table).collect();
    assert_eq!(tables, [table("public", "paths")]);
    let rows = "SELECT (SELECT count(*) FROM packed) || ' ' || (SELECT count(*) FROM sorted) || ' ' || (SELECT count(*) FROM points_to)
                || ' ' || (SELECT count(*) FROM packed_view)";
    assert_eq!(cluster.one("drill", rows).await.unwrap(), "50 2 1 50");
    let default = "SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = 'packed'::regclass";
    assert_eq!(
        cluster.one("drill", default).await.unwrap(),
        "'SET COMPRESSION lz4;'::text"
    );

    // What is wrong with a backup fails an isolated restore like any other.
    cluster.create_database("taken").await.unwrap();
    cluster.sql("taken", "CREATE TABLE sorted(x int)").await.unwrap();
    let options = Options {
        create: false,
        ..isolated()
    };
    let into_taken = restore(major, cluster.connection("taken"), cluster.password(), options);
    let outcome = match jobs {
        1 => stream(&into_taken, &elsewhere).await,
        _ => parallel(&into_taken, &elsewhere, jobs).await,
    };
    let failed = failure(outcome);
    assert!(failed.details.unwrap().contains("\"sorted\" already exists"));
}
