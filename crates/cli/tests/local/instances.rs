//! `howdah restore --local` and `howdah instance`.

use crate::support::Howdah;
use crate::{backed_up, instances, psql, run, runs_in};

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_becomes_a_postgresql_that_goes_on_until_it_is_stopped_and_comes_back_on_its_port() {
    let howdah = Howdah::new();
    let (cluster, backup) = backed_up(&howdah, 17, 2000).await;
    drop(cluster);
    let path = backup["path"].as_str().unwrap();
    let with_secrets = |arguments: &[&str]| run(&howdah, arguments);
    let restored = with_secrets(&["restore", path, "--local", "--name", "shop of friday"]);
    assert_eq!(restored.code, Some(0), "{restored:?}");
    let restored = restored.object();
    let url = restored["url"].as_str().unwrap().to_owned();
    assert_eq!(restored["database"], "shop");
    assert_eq!(
        (&restored["proved"], &restored["rows"]),
        (&true.into(), &4000.into())
    );

    // The command has ended, and anybody with the URL finds the rows.
    let rows = psql(&howdah, &url, "SELECT count(*) FROM orders");
    assert_eq!(rows, "2000");
    assert_eq!(psql(&howdah, &url, "SHOW fsync"), "on", "it is durable");
    assert_eq!(psql(&howdah, &url, "SHOW autovacuum"), "on");
    assert_eq!(psql(&howdah, &url, "SHOW listen_addresses"), "127.0.0.1");
    let known = instances(&howdah).await;
    assert_eq!(known.len(), 1);
    assert!(runs_in(&known[0].folder));

    let listed = with_secrets(&["instance", "list"]).object();
    let one = &listed["instances"][0];
    assert_eq!(
        (&one["name"], &one["state"]),
        (&"shop of friday".into(), &"running".into())
    );
    assert!(one["disk_bytes"].as_u64().unwrap() > 20_000_000, "{one}");
    assert!(
        !listed.to_string().contains(password_of(&url)),
        "no password in a list"
    );

    let stopped = with_secrets(&["instance", "stop", "shop of friday"]);
    assert_eq!(stopped.code, Some(0), "{stopped:?}");
    assert!(!runs_in(&known[0].folder));
    let refused = with_secrets(&["instance", "url", "shop of friday"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");

    let started = with_secrets(&["instance", "start", "shop of friday"]).object();
    assert_eq!(
        started["url"],
        url.as_str(),
        "the same port and password as before"
    );
    assert_eq!(psql(&howdah, &url, "SELECT max(id) FROM orders"), "2000");

    let deleted = with_secrets(&["instance", "delete", "shop of friday"]);
    assert_eq!(deleted.code, Some(0), "{deleted:?}");
    assert!(!runs_in(&known[0].folder));
    assert!(!known[0].folder.exists());
    assert!(instances(&howdah).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_keyring_a_drill_works_and_a_restore_that_stays_says_what_it_needs() {
    let howdah = Howdah::new();
    let (_cluster, backup) = backed_up(&howdah, 17, 10).await;
    let path = backup["path"].as_str().unwrap();
    assert_eq!(howdah.json(["drill", path])["proved"], true);
    let refused = howdah.run(["restore", path, "--local", "--json"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert_eq!(refused.failure_code(), "keyring_absent");
    assert!(instances(&howdah).await.is_empty());
}

fn password_of(url: &str) -> &str {
    let (_, rest) = url.split_once("postgres:").unwrap();
    rest.split_once('@').unwrap().0
}
