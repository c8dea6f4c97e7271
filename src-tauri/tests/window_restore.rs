//! Getting back, in the real window: a backup that the schedule proves, restored with one click, reached by the URL that was copied; and
//! a restore that is cancelled in the middle.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    dead_code,
    reason = "this is a test, helpers included; other tests use the rest of them"
)]

mod support;

use std::path::{Path, PathBuf};
use std::time::Duration;

use howdah_postgres::programs::Programs;
use howdah_testkit::Cluster;
use serde_json::Value;
use support::app::binary;
use support::eventually;
use support::steps::{fill, howdah, press_in_dialog, set_up, told};
use support::webdriver::WebDriver;

/// How long a backup, a drill or a restore may take on a machine that builds something else at the same time.
const PATIENCE: Duration = Duration::from_secs(120);

/// A server with a shop; the app on a data directory of its own, with a plan that proves each backup.
struct Desk {
    cluster: Cluster,
    laptop: tempfile::TempDir,
    window: WebDriver,
}

impl Desk {
    async fn with_rows(rows: u32) -> Self {
        let cluster = Cluster::start(17).await.unwrap();
        cluster.create_database("shop").await.unwrap();
        cluster
            .sql(
                "shop",
                &format!(
                    "CREATE TABLE orders AS SELECT n AS id, md5(n::text) AS note FROM generate_series(1, {rows}) n;
                     CREATE INDEX ON orders (note); CREATE INDEX ON orders (id);"
                ),
            )
            .await
            .unwrap();
        let laptop = tempfile::tempdir().unwrap();
        let data = laptop.path().join("data");
        set_up(&data, &cluster.url("shop"), &["--prove", "each"]).await;
        let window = WebDriver::start(binary(), &[], &[("HOWDAH_DATA_DIR", &data)]).await;
        window.resize(1100, 900).await;
        Self {
            cluster,
            laptop,
            window,
        }
    }

    fn data(&self) -> PathBuf {
        self.laptop.path().join("data")
    }

    async fn ask(&self, arguments: &[&str]) -> Value {
        let arguments: Vec<&str> = ["--json"].iter().chain(arguments).copied().collect();
        told(&howdah(&self.data(), &arguments, None).await)
    }

    async fn database(&self) -> String {
        self.ask(&["status"]).await["databases"][0]["id"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Backs the shop up on its page, and answers the backup's id.
    async fn back_up(&self) -> String {
        let database = self.database().await;
        self.window.go(&format!("/databases/{database}")).await;
        self.window.press_button("Back up now").await;
        eventually("the backup is listed", PATIENCE, || async {
            let listed = self.ask(&["list"]).await;
            listed["backups"][0]["id"].as_str().map(str::to_owned)
        })
        .await
    }

    async fn instances(&self) -> Vec<Value> {
        let listed = self.ask(&["instance", "list"]).await;
        listed["instances"].as_array().unwrap().clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a desktop: make test-window"]
async fn a_backup_is_proved_by_the_schedule_and_restored_with_one_click() {
    let desk = Desk::with_rows(20_000).await;
    let window = &desk.window;
    let id = desk.back_up().await;
    window.go(&format!("/backups/{id}")).await;
    window
        .see_within("Restored and compared, row by row", PATIENCE)
        .await;
    // Its report says which tables.
    window.click("//a[normalize-space()='its report']").await;
    window
        .see_within(
            "The one table and 20,000 rows came back exactly as they were dumped.",
            PATIENCE,
        )
        .await;
    window.see("public.orders").await;

    window.go(&format!("/backups/{id}")).await;
    window.press_button("Restore…").await;
    window.see_within("is free on this machine", PATIENCE).await;
    press_in_dialog(window, "Restore 1 table into a new local PostgreSQL 17").await;
    window.see_within("Done", PATIENCE).await;
    window.go("/instances").await;
    window.see_within("Running on port", PATIENCE).await;
    window.press_button("Copy the URL").await;
    window.see("Copied").await;
    let url = clipboard().await;
    assert!(url.starts_with("postgresql://postgres:"), "{url}");
    assert_eq!(psql(&url, "SELECT count(*) FROM orders").await, "20000");
    // The page itself never had it.
    let password = url.split_once("postgres:").unwrap().1.split_once('@').unwrap().0;
    assert!(!window.page_text().await.contains(password));

    window.press_button("Stop").await;
    window.see_within("Stopped", PATIENCE).await;
    window.press_button("Start").await;
    window.see_within("Running on port", PATIENCE).await;
    assert_eq!(psql(&url, "SELECT max(id) FROM orders").await, "20000");

    // Howdah is quit: nothing goes on.
    let folder = desk.instances().await[0]["folder"].as_str().unwrap().to_owned();
    desk.window.end().await;
    eventually("PostgreSQL has ended", PATIENCE, || async {
        (!Path::new(&folder).join("data/postmaster.pid").exists()).then_some(())
    })
    .await;
    assert!(Path::new(&folder).join("data/PG_VERSION").is_file(), "it is kept");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a desktop: make test-window"]
async fn a_database_is_replaced_by_its_backup_and_put_back() {
    let desk = Desk::with_rows(5000).await;
    let window = &desk.window;
    let id = desk.back_up().await;
    let count = async || {
        let rows = desk
            .cluster
            .rows("shop", "SELECT count(*) FROM orders")
            .await
            .unwrap();
        rows[0][0].clone().unwrap()
    };
    // Friday night.
    desk.cluster
        .sql("shop", "DELETE FROM orders WHERE id > 3")
        .await
        .unwrap();
    window.go(&format!("/backups/{id}")).await;
    window.press_button("Restore…").await;
    window.click("//label[normalize-space()='A server']").await;
    window
        .click("//label[normalize-space()='In place of the one that is there']")
        .await;
    window.see_within("is replaced.", PATIENCE).await;
    assert_eq!(count().await, "3");
    fill(window, "Type shop to confirm", "shop").await;
    press_in_dialog(window, "Replace shop").await;
    window.see_within("Done", PATIENCE).await;
    assert_eq!(count().await, "5000");

    let database = desk.database().await;
    window.go(&format!("/databases/{database}")).await;
    window.see("shop was replaced by a backup.").await;
    window.press_button("Put back").await;
    press_in_dialog(window, "Put back").await;
    window.see_within("shop is what it was.", PATIENCE).await;
    assert_eq!(count().await, "3");
    desk.window.end().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a desktop: make test-window"]
async fn a_restore_that_is_cancelled_in_the_middle_leaves_nothing() {
    let desk = Desk::with_rows(1_500_000).await;
    let window = &desk.window;
    let id = desk.back_up().await;
    window.go(&format!("/backups/{id}")).await;
    window
        .see_within("Restored and compared, row by row", PATIENCE)
        .await;
    window.press_button("Restore…").await;
    window.see_within("is free on this machine", PATIENCE).await;
    press_in_dialog(window, "Restore 1 table into a new local PostgreSQL 17").await;
    eventually("rows are being restored", PATIENCE, || async {
        let made = desk.instances().await;
        let making = made.iter().any(|one| one["state"] == "making");
        (making && window.page_text().await.contains("Restoring")).then_some(())
    })
    .await;
    let folder = desk.instances().await[0]["folder"].as_str().unwrap().to_owned();
    window.press_button("Cancel").await;
    window.press_button("Cancel the restore").await;
    window.see_within("Cancelled by you.", PATIENCE).await;
    assert!(desk.instances().await.is_empty());
    assert!(!Path::new(&folder).exists());
    desk.window.end().await;
}

/// What is on the clipboard.
async fn clipboard() -> String {
    eventually("a URL is on the clipboard", Duration::from_secs(10), || async {
        let output = tokio::process::Command::new("xclip")
            .args(["-selection", "clipboard", "-o"])
            .output()
            .await
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.starts_with("postgresql:").then_some(text)
    })
    .await
}

async fn psql(url: &str, sql: &str) -> String {
    let psql = Programs::locate(None).unwrap().client_for(17).unwrap().psql;
    let output = tokio::process::Command::new(psql)
        .args(["-X", "-A", "-t", "-c", sql, url])
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
