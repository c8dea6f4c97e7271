//! Pictures of what brings backups back, looked at and not kept: the sheet for a restore, local instances, what drills found, the rows
//! inside a backup, a database that was replaced.

use std::path::PathBuf;

use howdah_testkit::Cluster;
use serde_json::json;

use crate::forms::{PATIENCE, press_in_dialog, scroll_to_end};
use crate::more::{SIZES, folder};
use crate::places::{add, newest, plan};
use crate::studio::Studio;
use crate::{SHOP, what_comes};

/// The page of an assertion that is not true, beside one that is.
const ASSERTIONS: [(&str, &str); 2] = [
    ("There are customers", "SELECT count(*) > 0 FROM customers"),
    (
        "Nobody ordered for nothing",
        "SELECT count(*) = 0 FROM orders WHERE total = 0",
    ),
];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a desktop and takes minutes: HOWDAH_SCREENSHOTS_MORE=DIR make screenshots"]
async fn the_pictures_of_restores() {
    let Some(more) = std::env::var_os("HOWDAH_SCREENSHOTS_MORE").map(PathBuf::from) else {
        return;
    };
    let cluster = Cluster::start(17).await.unwrap();
    cluster.create_database("shop").await.unwrap();
    cluster.sql("shop", SHOP).await.unwrap();
    cluster.sql("shop", &what_comes(0)).await.unwrap();
    let home = tempfile::tempdir_in(std::env::var("HOME").unwrap()).unwrap();
    let mut studio = Studio::open(&home.path().join("data"), &folder(&more, SIZES[0].0)).await;
    for (width, height) in SIZES {
        studio.window.resize(width, height).await;
        studio.folder = folder(&more, width);
        studio.visit("/instances", "instances-none").await;
    }
    let here = json!({ "kind": "folder", "path": home.path().join("Howdah") });
    let local = add(&studio, "", here, None).await;
    let shop = plan(
        &studio,
        &cluster.url("shop"),
        "shop",
        &[&local],
        json!({ "with": "none" }),
    )
    .await;
    studio.back_up(&shop).await;
    let backup = newest(&studio, &shop).await;
    let drill = async || {
        let run = studio
            .window
            .invoke("drill_backup", json!({ "id": backup }))
            .await;
        let run = run.as_str().unwrap().to_owned();
        studio.ended(&run).await;
        run
    };
    let proved = drill().await;
    let mut changed =
        studio.window.invoke("database_page", json!({ "id": shop })).await["database"]["plan"].take();
    changed["drill"] = json!({ "when": "weekly", "assertions": ASSERTIONS.map(|(name, sql)| json!({ "name": name, "sql": sql })) });
    studio
        .window
        .invoke("save_plan", json!({ "plan": changed }))
        .await;
    let refuted = drill().await;
    for name in [
        None,
        Some("The shop as it was on the Friday night when everything was overwritten"),
    ] {
        let wish = json!({ "backup_id": backup, "to": { "kind": "new_instance", "name": name.map(|name| &name[..60]) },
            "options": { "tables": [], "owners": true, "roles": false } });
        let run = studio
            .window
            .invoke("restore_backup", json!({ "wish": wish }))
            .await;
        studio.ended(run.as_str().unwrap()).await;
    }
    let all = studio.window.invoke("list_instances", json!({})).await;
    studio
        .window
        .invoke("stop_instance", json!({ "id": all[1]["id"] }))
        .await;
    let server = changed["server_id"].clone();
    let wish = json!({ "backup_id": backup, "to": { "kind": "server", "server_id": server, "database": "shop", "replace": true },
        "options": { "tables": [], "owners": true, "roles": false } });
    let replaced = studio
        .window
        .invoke("restore_backup", json!({ "wish": wish }))
        .await;
    let replaced = replaced.as_str().unwrap().to_owned();
    studio.ended(&replaced).await;

    for (width, height) in SIZES {
        studio.window.resize(width, height).await;
        studio.folder = folder(&more, width);
        for (path, name) in [
            ("/", "overview-not-proved"),
            ("/instances", "instances"),
            (&*format!("/backups/{backup}"), "backup-not-proved"),
            (&*format!("/runs/{proved}"), "run-drill"),
            (&*format!("/runs/{refuted}"), "run-drill-refuted"),
            (&*format!("/runs/{replaced}"), "run-replaced"),
            (&*format!("/databases/{shop}"), "database-replaced"),
        ] {
            studio.visit(path, name).await;
        }
        studio.window.press_button("Edit the plan").await;
        scroll_to_end(&studio).await;
        studio.take("plan-proof").await;
        press_in_dialog(&studio, "Leave as it is").await;
        studio.window.go(&format!("/backups/{backup}")).await;
        studio.window.press_button("Restore…").await;
        studio
            .window
            .see_within("is free on this machine", PATIENCE)
            .await;
        studio.take("restore-here").await;
        studio.window.click("//label[normalize-space()='A server']").await;
        studio
            .window
            .see_within("The server is PostgreSQL", PATIENCE)
            .await;
        studio.take("restore-server").await;
        studio
            .window
            .click("//label[normalize-space()='In place of the one that is there']")
            .await;
        studio.window.see_within("is replaced.", PATIENCE).await;
        studio.take("restore-replace").await;
        scroll_to_end(&studio).await;
        studio.take("restore-replace-end").await;
        press_in_dialog(&studio, "Close").await;
    }
}
