//! Pictures of destinations and all that goes with them, looked at and not kept: copies in every state, what needs somebody, keys
//! and their kit, settings that move. Needs no past, so it is a test of its own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use howdah_testkit::Cluster;
use howdah_testkit::moto::Moto;
use howdah_testkit::rclone::{PASSWORD, USER};
use howdah_testkit::sshd::Sshd;
use serde_json::{Value, json};

use crate::forms::{self, PATIENCE, choose_in_menu, press_in_dialog, scroll_to, scroll_to_end};
use crate::more::{SIZES, folder};
use crate::studio::Studio;
use crate::support::app::binary;
use crate::support::{eventually, press};
use crate::{SHOP, what_comes};

/// A name as somebody gives it who has many of them.
const LONG_NAME: &str = "Second copy of everything, in the cellar of the house next door";

/// A folder on another machine.
fn on_machine(machine: &Sshd) -> Value {
    let login = json!({ "with": "key", "file": machine.key() });
    let ssh = json!({ "host": "127.0.0.1", "port": machine.port(), "user": Sshd::user(), "login": login });
    json!({ "kind": "sftp", "ssh": ssh, "path": machine.folder().join("backups") })
}

fn in_bucket(moto: &Moto, bucket: &str) -> Value {
    json!({ "kind": "s3", "bucket": bucket, "prefix": "laptop", "endpoint": format!("http://127.0.0.1:{}", moto.port()),
        "region": "us-east-1", "style": "auto", "storage_class": null, "server_side_encryption": null, "kms_key": null,
        "access_key_id": USER, "profile": null, "ca_file": null })
}

pub(crate) async fn add(studio: &Studio, name: &str, place: Value, secret: Option<&str>) -> String {
    let input = json!({ "id": null, "name": name, "place": place, "secret": secret });
    let report = studio
        .window
        .invoke("test_destination", json!({ "input": input }))
        .await;
    if report["steps"][0]["failure"]["code"] == "host_key_unknown" {
        let line = &report["steps"][0]["failure"]["details"];
        studio
            .window
            .invoke("accept_host_key", json!({ "line": line }))
            .await;
    }
    let added = studio
        .window
        .invoke("add_destination", json!({ "input": input }))
        .await;
    added["id"].as_str().unwrap().to_owned()
}

/// A plan for a database, and the id of what it looks after.
pub(crate) async fn plan(
    studio: &Studio,
    url: &str,
    name: &str,
    places: &[&str],
    encryption: Value,
) -> String {
    let servers = studio.window.invoke("settings_page", json!({})).await["servers"].take();
    let server = match servers.as_array().unwrap().first() {
        Some(known) => known["id"].clone(),
        None => {
            let input = json!({ "type": "text", "text": url, "password": null });
            let server = json!({ "input": input, "name": "db.example.com", "environment": "production" });
            studio.window.invoke("add_server", server).await["id"].clone()
        }
    };
    let question = json!({ "server_id": server, "database": name });
    let mut plan = studio.window.invoke("propose_plan", question).await;
    plan["id"] = json!(null);
    plan["server_id"] = server;
    plan["folder"] = json!(null);
    plan["destinations"] = json!(places);
    plan["encryption"] = encryption;
    plan["globals"] = json!(true);
    plan["enabled"] = json!(true);
    studio.window.invoke("save_plan", json!({ "plan": plan })).await;
    studio.database(name).await
}

pub(crate) async fn newest(studio: &Studio, database: &str) -> String {
    let question = json!({ "database_id": database });
    let backups = studio.window.invoke("list_backups", question).await;
    backups[0]["id"].as_str().unwrap().to_owned()
}

async fn command(data: &Path, arguments: &[&str]) {
    let output = tokio::process::Command::new(binary().with_file_name("howdah"))
        .args(arguments)
        .env("HOWDAH_DATA_DIR", data)
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

/// All files of this name below a folder.
fn files(below: &Path, name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(below).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path, name));
        } else if entry.file_name() == name {
            found.push(path);
        }
    }
    found
}

/// What pictures are taken of when everything is there.
struct Scene {
    shop: String,
    /// Of shop, oldest first: one that lacks nothing, one whose copy is being deleted, one with a copy that is owed.
    backups: [String; 3],
    /// A backup that is lost everywhere.
    lost: String,
    run: String,
    url: String,
}

async fn pages(studio: &Studio, scene: &Scene) {
    let Scene {
        shop,
        backups,
        lost,
        run,
        url,
    } = scene;
    let [whole, deleting, owed] = backups;
    for (path, name) in [
        ("/", "needs"),
        ("/destinations", "destinations"),
        (&*format!("/backups/{whole}"), "copies-whole"),
        (&*format!("/backups/{deleting}"), "copies-deleting"),
        (&*format!("/backups/{owed}"), "copies-owed"),
        (&*format!("/backups/{lost}"), "copies-lost"),
        (&*format!("/runs/{run}"), "run-owed"),
        ("/backups", "backups-states"),
        ("/runs", "activity-kinds"),
    ] {
        studio.visit(path, name).await;
    }
    studio.window.go(&format!("/backups/{owed}")).await;
    studio.window.press_button("Copy to…").await;
    studio.take("copy-to").await;
    press_in_dialog(studio, "Cancel").await;
    choose_in_menu(studio, &format!("More for the copy on {LONG_NAME}"), "Delete").await;
    studio.take("delete-copy").await;
    press("Escape").await;
    studio.window.go("/destinations").await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    choose_in_menu(studio, "More for Office", "Look for backups there").await;
    studio.window.see_within("Office", PATIENCE).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    studio.take("destinations-failing").await;
    choose_in_menu(studio, "More for Bucket", "Look for backups there").await;
    studio.window.see_within("backups on Bucket.", PATIENCE).await;
    studio.take("destinations-looked").await;
    choose_in_menu(studio, "More for Bucket", "Settings of other machines").await;
    studio.window.see_within("These machines did", PATIENCE).await;
    studio.take("stored").await;
    // The other colours were settings too, so that what is listed has been replaced.
    press_in_dialog(studio, "Close").await;
    choose_in_menu(studio, "More for Bucket", "Settings of other machines").await;
    press_in_dialog(studio, "Show").await;
    studio.window.see_within("Another machine", PATIENCE).await;
    studio.take("stored-shown").await;
    press_in_dialog(studio, "Take over").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    studio.take("stored-taken").await;
    press_in_dialog(studio, "Close").await;
    choose_in_menu(studio, "More for Bucket", "Edit").await;
    studio.take("form-edit").await;
    press_in_dialog(studio, "Leave as it is").await;
    choose_in_menu(studio, "More for Bucket", "Remove").await;
    press_in_dialog(studio, "Remove the destination").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    studio.take("remove-refused").await;
    press("Escape").await;
    forms::plan(studio, shop).await;
    studio
        .visit(&format!("/databases/{shop}"), "database-places")
        .await;
    for tab in ["Runs", "Connection"] {
        studio
            .window
            .click(&format!("//*[@role='tab'][normalize-space()='{tab}']"))
            .await;
        scroll_to_end(studio).await;
        studio.take(&format!("database-{}", tab.to_lowercase())).await;
    }
    studio.window.press_button("Test").await;
    studio.window.see_within("Roles and globals", PATIENCE).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    scroll_to_end(studio).await;
    studio.take("database-test").await;
    studio.window.go("/add").await;
    studio.window.type_into("//textarea", url).await;
    studio
        .window
        .click("//label[contains(normalize-space(), 'Reach it through an SSH server')]")
        .await;
    scroll_to_end(studio).await;
    studio.take("add-tunnel").await;
    studio
        .window
        .click("//label[contains(normalize-space(), 'Reach it through an SSH server')]")
        .await;
    studio.window.press_button("Test").await;
    studio.window.see_within("would work", PATIENCE).await;
    studio.window.click("//label[normalize-space()='To keys']").await;
    studio.window.see("age1").await;
    scroll_to_end(studio).await;
    studio.take("add-plan").await;
    // The keyboard's way: what has the focus must be seen.
    studio.window.go("/destinations").await;
    for (name, presses) in [("focus-1", 3), ("focus-2", 9)] {
        for _ in 0..presses {
            press("Tab").await;
        }
        studio.take(name).await;
    }
    studio.window.go("/").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a desktop and takes minutes: HOWDAH_SCREENSHOTS_MORE=DIR make screenshots"]
async fn the_pictures_of_places() {
    let Some(more) = std::env::var_os("HOWDAH_SCREENSHOTS_MORE").map(PathBuf::from) else {
        return;
    };
    let cluster = Cluster::start(17).await.unwrap();
    for database in ["shop", "billing"] {
        cluster.create_database(database).await.unwrap();
        cluster.sql(database, SHOP).await.unwrap();
        cluster.sql(database, &what_comes(0)).await.unwrap();
    }
    let moto = tokio::task::spawn_blocking(Moto::start).await.unwrap().unwrap();
    let (nas, mut office) = (Sshd::start().unwrap(), Sshd::start().unwrap());
    for machine in [&nas, &office] {
        std::fs::create_dir(machine.folder().join("backups")).unwrap();
    }
    let home = tempfile::tempdir_in(std::env::var("HOME").unwrap()).unwrap();
    let data = home.path().join("data");
    let mut studio = Studio::open(&data, &folder(&more, SIZES[0].0)).await;
    for (width, height) in SIZES {
        studio.window.resize(width, height).await;
        studio.folder = folder(&more, width);
        studio.visit("/destinations", "destinations-none").await;
    }

    // Everything is well at first.
    let here = |name: &str| json!({ "kind": "folder", "path": home.path().join(name) });
    let local = add(&studio, "", here("Howdah"), None).await;
    let disk = add(&studio, "", here("disk"), None).await;
    let bucket = add(&studio, "Bucket", in_bucket(&moto, "backups"), Some(PASSWORD)).await;
    let cellar = add(&studio, LONG_NAME, on_machine(&nas), None).await;
    let away = add(&studio, "Office", on_machine(&office), None).await;
    let url = cluster.url("shop");
    let key = studio.window.invoke("own_key", json!({})).await["recipient"].clone();
    let to_key = json!({ "with": "keys", "recipients": [key] });
    let shop = plan(&studio, &url, "shop", &[&local, &bucket, &cellar, &away], to_key).await;
    let billing = plan(
        &studio,
        &url,
        "billing",
        &[&local, &disk],
        json!({ "with": "none" }),
    )
    .await;
    let mut backups = Vec::new();
    for turn in 1..3 {
        cluster.sql("shop", &what_comes(turn)).await.unwrap();
        studio.back_up(&shop).await;
        backups.push(newest(&studio, &shop).await);
    }
    let check = json!({ "id": backups[0] });
    let run = studio.window.invoke("verify_backup", check).await;
    studio.ended(run.as_str().unwrap()).await;
    let pin = json!({ "id": backups[0], "pinned": true });
    studio.window.invoke("pin_backup", pin).await;

    // Then a machine goes away, and a disk and a folder lose what they held.
    let _stopped = office.stop();
    cluster.sql("shop", &what_comes(3)).await.unwrap();
    let owed = studio.back_up(&shop).await;
    backups.push(newest(&studio, &shop).await);
    let delete = json!({ "id": backups[1], "destination": away, "even_the_last": false });
    let run = studio.window.invoke("delete_copy", delete).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    drop(run);
    studio.back_up(&billing).await;
    let lost = newest(&studio, &billing).await;
    for path in files(&home.path().join("Howdah"), "dump.pgdump.zst") {
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 255;
        std::fs::write(&path, bytes).unwrap();
    }
    for path in files(&home.path().join("disk"), "dump.pgdump.zst") {
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }
    for _ in 0..2 {
        let run = studio.window.invoke("verify_backup", json!({ "id": lost })).await;
        studio.ended(run.as_str().unwrap()).await;
    }
    let scene = Scene {
        shop,
        backups: backups.try_into().unwrap(),
        lost,
        run: owed,
        url: cluster.url("billing"),
    };
    for (width, height) in SIZES {
        studio.window.resize(width, height).await;
        studio.folder = folder(&more, width);
        forms::keys_and_moving(&studio, "unsaved").await;
    }
    let kit = home.path().join("kit.txt");
    command(&data, &["key", "kit", kit.to_str().unwrap()]).await;
    eventually("the settings have been left in the bucket", PATIENCE, || async {
        let stored = studio
            .window
            .invoke("stored_exports", json!({ "id": bucket }))
            .await;
        (!stored.as_array()?.is_empty()).then_some(())
    })
    .await;
    for (width, height) in SIZES {
        studio.window.resize(width, height).await;
        studio.folder = folder(&more, width);
        pages(&studio, &scene).await;
        studio.window.go("/settings").await;
        tokio::time::sleep(Duration::from_millis(600)).await;
        scroll_to(&studio, "Keys").await;
        studio.take("keys-saved").await;
    }
    // The forms are as wide in any window: the small one shows all that there is to see.
    let stranger = Sshd::start().unwrap();
    forms::every_kind(&studio, &moto, &stranger).await;
    studio.window.end().await;
}
