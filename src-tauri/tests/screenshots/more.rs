//! Pictures that are looked at and not kept: every page in a large and a small window, empty pages, errors, dialogs, and names as
//! long as they can be.

use std::path::{Path, PathBuf};
use std::time::Duration;

use howdah_testkit::Cluster;
use serde_json::json;

use crate::host;
use crate::studio::Studio;

/// 63 bytes, the longest name that PostgreSQL keeps.
const LONG: &str = "customers_of_the_former_subsidiary_before_the_migration_of_2019";
const LONG_HOST: &str = "postgres-primary-0.eu-central-1.production.internal.example.com";

pub(crate) const SIZES: [(i64, i64); 2] = [(1280, 800), (900, 600)];

/// What is there to be pictured.
pub(crate) struct Seen {
    pub(crate) shop: String,
    pub(crate) backup: String,
    pub(crate) failed: String,
    pub(crate) production_url: String,
}

pub(crate) fn folder(more: &Path, width: i64) -> PathBuf {
    let folder = more.join(width.to_string());
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Pages with nothing on them, and connections that lead nowhere. The studio is as before afterwards.
pub(crate) async fn first_steps(studio: &mut Studio, more: &Path) {
    let before = studio.folder.clone();
    for (width, height) in SIZES {
        studio.window.resize(width, height).await;
        studio.folder = folder(more, width);
        for (path, name) in [
            ("/", "empty-overview"),
            ("/databases", "empty-databases"),
            ("/backups", "empty-backups"),
            ("/runs", "empty-activity"),
            ("/settings", "empty-settings"),
            ("/add", "empty-add"),
        ] {
            studio.visit(path, name).await;
        }
        for (text, name) in [
            ("mysql://root@localhost/shop", "add-not-understood"),
            ("postgres://howdah:x@db.nowhere.invalid/shop", "add-unknown-host"),
            ("postgres://howdah:x@localhost:9/shop", "add-refused"),
        ] {
            studio.window.go("/").await;
            studio.window.go("/add").await;
            studio.window.type_into("//textarea", text).await;
            tokio::time::sleep(Duration::from_millis(500)).await;
            if name != "add-not-understood" {
                studio.window.press_button("Test").await;
                studio
                    .window
                    .see_within("A backup would fail", Duration::from_secs(30))
                    .await;
            }
            studio.take(name).await;
        }
    }
    studio.window.resize(1280, 800).await;
    studio.folder = before;
    studio.window.go("/").await;
}

/// Every page and dialog.
pub(crate) async fn every_page(mut studio: Studio, production: &Cluster, seen: &Seen, more: &Path) {
    let shop = format!("/databases/{}", seen.shop);
    let wrong = seen.production_url.replace("howdah:", "howdah:not-the-password-");
    let sizes = |studio: &mut Studio, width| studio.folder = folder(more, width);
    for (width, height) in SIZES {
        studio.window.resize(width, height).await;
        sizes(&mut studio, width);
        for (path, name) in [
            ("/", "overview"),
            ("/databases", "databases"),
            (&*shop, "database"),
            ("/backups", "backups"),
            (&*format!("/backups/{}", seen.backup), "backup"),
            ("/runs", "activity"),
            (&*format!("/runs/{}", seen.failed), "run-failed"),
            (&*format!("/?run={}", seen.failed), "run-pane"),
            ("/settings", "settings"),
        ] {
            studio.visit(path, name).await;
        }
        studio.window.go("/settings").await;
        let script = "document.getElementById('content').scrollTo(0, 1e6)";
        studio.window.run(script, json!([])).await.unwrap();
        studio.take("settings-end").await;
        studio
            .visit(&format!("{shop}?edit=connection"), "dialog-connection")
            .await;
        studio.window.press_button("Leave as it is").await;
        studio.visit(&format!("{shop}?edit=plan"), "dialog-plan").await;
        studio.window.press_button("Leave as it is").await;
        studio.window.go("/add").await;
        studio.window.press_button("Fill in a form instead").await;
        studio.window.click("//summary").await;
        studio.take("add-form").await;
        studio.window.go("/").await;
        studio.window.go("/add").await;
        studio.window.type_into("//textarea", &wrong).await;
        studio.window.press_button("Test").await;
        studio
            .window
            .see_within("A backup would fail", Duration::from_secs(30))
            .await;
        studio.take("add-wrong-password").await;
    }

    // A server whose names are as long as they can be.
    production.create_database(LONG).await.unwrap();
    production
        .sql(
            LONG,
            &format!("CREATE TABLE {LONG} (id int); INSERT INTO {LONG} VALUES (1)"),
        )
        .await
        .unwrap();
    let url = seen
        .production_url
        .replace(host("db.example.com"), host(LONG_HOST))
        .replace("/shop", &format!("/{LONG}"));
    let input = json!({ "type": "text", "text": url, "password": null });
    let server = json!({ "input": input, "name": LONG_HOST, "environment": "production" });
    let server = studio.window.invoke("add_server", server).await["id"].clone();
    let question = json!({ "server_id": server, "database": LONG });
    let mut plan = studio.window.invoke("propose_plan", question).await;
    plan["id"] = json!(null);
    plan["server_id"] = server;
    plan["globals"] = json!(true);
    plan["enabled"] = json!(true);
    studio.window.invoke("save_plan", json!({ "plan": plan })).await;
    let database = studio.database(LONG).await;
    let run = studio.back_up(&database).await;
    let backups = studio
        .window
        .invoke("list_backups", json!({ "database_id": database }))
        .await;
    let backup = backups[0]["id"].as_str().unwrap();
    for (width, height) in SIZES {
        studio.window.resize(width, height).await;
        sizes(&mut studio, width);
        for (path, name) in [
            ("/", "long-overview"),
            ("/databases", "long-databases"),
            (&*format!("/databases/{database}"), "long-database"),
            ("/backups", "long-backups"),
            (&*format!("/backups/{backup}"), "long-backup"),
            (&*format!("/runs/{run}"), "long-run"),
            ("/settings", "long-settings"),
        ] {
            studio.visit(path, name).await;
        }
        studio.window.go("/add").await;
        studio.window.type_into("//textarea", &url).await;
        studio.window.press_button("Test").await;
        studio
            .window
            .see_within("A backup of this database would work.", Duration::from_secs(30))
            .await;
        studio.take("long-add").await;
        studio.window.go("/").await;
    }
    studio.window.end().await;
}
