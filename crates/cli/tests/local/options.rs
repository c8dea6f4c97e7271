//! `howdah restore` with its options.

use howdah_testkit::Cluster;
use serde_json::json;

use crate::support::Howdah;
use crate::{backed_up, instances, object, run};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_defined_comes_first_and_the_rows_after_it() {
    let howdah = Howdah::new();
    let (cluster, backup) = backed_up(&howdah, 17, 500).await;
    let path = backup["path"].as_str().unwrap();
    let url = cluster.url("copy");
    let made = object(
        &howdah,
        &["restore", path, "--url", &url, "--create", "--schema-only"],
    );
    assert!(made.get("proved").is_none(), "{made}");
    let count = "SELECT count(*) FROM orders";
    assert_eq!(cluster.one("copy", count).await.unwrap(), "0");
    let filled = object(&howdah, &["restore", path, "--url", &url, "--data-only"]);
    assert_eq!((&filled["proved"], &filled["rows"]), (&json!(true), &json!(1000)));
    let again = run(&howdah, &["restore", path, "--url", &url, "--data-only"]);
    assert_eq!(again.code, Some(1), "{again:?}");
    assert_eq!(again.failure_code(), "invalid_input");
    assert_eq!(cluster.one("copy", count).await.unwrap(), "500");
    for wrong in ["--local", "--create", "--clean", "--schema-only"] {
        let refused = run(&howdah, &["restore", path, "--data-only", wrong]);
        assert_eq!(refused.code, Some(2), "{wrong}: {refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_are_made_where_they_lack_and_the_first_error_can_end_it() {
    let howdah = Howdah::new();
    let source = Cluster::start(17).await.unwrap();
    source
        .sql(
            "postgres",
            "CREATE ROLE author; CREATE TABLE book AS SELECT 1 AS x; ALTER TABLE book OWNER TO author;
             CREATE TABLE tale AS SELECT 1 AS x; ALTER TABLE tale OWNER TO author",
        )
        .await
        .unwrap();
    let backups = howdah.backups();
    let url = source.url("postgres");
    let backup = object(&howdah, &["backup", "--url", &url, "--to", crate::text(&backups)]);
    let path = backup["path"].as_str().unwrap();
    let target = Cluster::start(17).await.unwrap();
    let url = target.url("library");
    let there = "SELECT count(*) FROM pg_database WHERE datname = 'library'";

    let ended = run(
        &howdah,
        &["restore", path, "--url", &url, "--create", "--exit-on-error"],
    );
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_eq!(ended.failure_code(), "restore_failed");
    assert!(
        ended.object()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("one thing"),
        "{ended:?}"
    );
    assert_eq!(target.one("postgres", there).await.unwrap(), "0");

    let made = object(
        &howdah,
        &[
            "restore",
            path,
            "--url",
            &url,
            "--create",
            "--exit-on-error",
            "--roles",
        ],
    );
    assert_eq!(made["proved"], true);
    let owner = "SELECT tableowner FROM pg_tables WHERE tablename = 'tale'";
    assert_eq!(target.one("library", owner).await.unwrap(), "author");
}

/// Rows that the table's own constraint refuses: a local instance that goes on without them is kept, and one that stops is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_local_restore_that_stops_at_an_error_leaves_no_instance() {
    let howdah = Howdah::new();
    let source = Cluster::start(17).await.unwrap();
    source
        .sql(
            "postgres",
            "CREATE FUNCTION fits(int) RETURNS bool LANGUAGE sql AS 'SELECT true';
             CREATE TABLE strict(x int CHECK (fits(x))); INSERT INTO strict VALUES (1);
             CREATE OR REPLACE FUNCTION fits(int) RETURNS bool LANGUAGE sql AS 'SELECT false'",
        )
        .await
        .unwrap();
    let backups = howdah.backups();
    let url = source.url("postgres");
    let backup = object(&howdah, &["backup", "--url", &url, "--to", crate::text(&backups)]);
    let path = backup["path"].as_str().unwrap();
    let stopped = run(&howdah, &["restore", path, "--local", "--exit-on-error"]);
    assert_eq!(stopped.failure_code(), "restore_failed");
    assert!(instances(&howdah).await.is_empty());
    let kept = run(&howdah, &["restore", path, "--local"]);
    assert_eq!(kept.failure_code(), "restore_failed");
    let one = instances(&howdah).await.remove(0);
    object(&howdah, &["instance", "delete", &one.name]);
}
