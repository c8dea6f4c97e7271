//! Reach and keep, in the real window: a database behind SSH, backed up to a bucket and another machine at once, encrypted; one of them
//! goes away in the middle; and a laptop that is lost, with everything back from the bucket and the recovery kit.
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
use howdah_testkit::moto::Moto;
use howdah_testkit::rclone::{PASSWORD, USER};
use howdah_testkit::sshd::Sshd;
use serde_json::Value;
use support::app::binary;
use support::steps::{choose, dialog_is_gone, fill, howdah, press_in_dialog, told};
use support::webdriver::WebDriver;
use support::{eventually, press, type_text};

/// The title of the dialog that opens a recovery kit.
const KITS: &str = "^Open a kit$";

/// How long a small backup may take on a machine that builds something else at the same time.
const A_BACKUP: Duration = Duration::from_secs(90);

/// Adds a bucket as a destination, tried out first.
async fn add_bucket(window: &WebDriver, moto: &Moto) {
    window.go("/destinations").await;
    window.press_button("Add a destination").await;
    choose(window, "Kind", "S3").await;
    fill(window, "Bucket", "backups").await;
    fill(window, "Endpoint", &format!("http://127.0.0.1:{}", moto.port())).await;
    fill(window, "Region", "us-east-1").await;
    fill(window, "Access key id", USER).await;
    fill(window, "Secret access key", PASSWORD).await;
    fill(window, "Name", "bucket").await;
    press_in_dialog(window, "Test").await;
    window.see_within("Backups can be kept here.", A_BACKUP).await;
    press_in_dialog(window, "Save").await;
    dialog_is_gone(window).await;
}

/// Fills in an SSH login with the server's key.
async fn fill_ssh(window: &WebDriver, sshd: &Sshd) {
    fill(window, "Host or alias", "127.0.0.1").await;
    fill(window, "SSH port", &sshd.port().to_string()).await;
    fill(window, "User", &Sshd::user()).await;
    choose(window, "Login", "With a key file").await;
    fill(window, "Private key", sshd.key().to_str().unwrap()).await;
}

/// Adds a folder on another machine as a destination; its key is shown, and accepted.
async fn add_sftp(window: &WebDriver, sshd: &Sshd, folder: &Path) {
    window.go("/destinations").await;
    window.press_button("Add a destination").await;
    choose(window, "Kind", "SFTP").await;
    fill_ssh(window, sshd).await;
    fill(window, "Folder there", folder.to_str().unwrap()).await;
    fill(window, "Name", "other machine").await;
    press_in_dialog(window, "Test").await;
    window.see_within("SHA256:", A_BACKUP).await;
    press_in_dialog(window, "Accept this key").await;
    window.see_within("Backups can be kept here.", A_BACKUP).await;
    press_in_dialog(window, "Save").await;
    dialog_is_gone(window).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a desktop: make test-window"]
async fn a_database_behind_ssh_is_kept_in_two_places_encrypted_and_a_lost_laptop_takes_nothing_along() {
    let cluster = Cluster::start(17).await.unwrap();
    cluster.create_database("shop").await.unwrap();
    cluster
        .sql(
            "shop",
            "CREATE TABLE orders AS SELECT n AS id, md5(n::text) AS note FROM generate_series(1, 30000) n;
             CREATE TABLE gate (a int);",
        )
        .await
        .unwrap();
    let password = cluster.password();
    let moto = tokio::task::spawn_blocking(Moto::start).await.unwrap().unwrap();
    let bastion = Sshd::start().unwrap();
    let mut other = Sshd::start().unwrap();
    let there = other.folder().join("backups");
    std::fs::create_dir(&there).unwrap();
    let laptop = tempfile::tempdir().unwrap();
    let data = laptop.path().join("data");
    let window = WebDriver::start(binary(), &[], &[("HOWDAH_DATA_DIR", &data)]).await;
    window.see("Nothing is being backed up yet").await;
    window.resize(1100, 900).await;

    add_bucket(&window, &moto).await;
    add_sftp(&window, &other, &there).await;

    // The database is behind another SSH server, whose key nobody has accepted either.
    window.go("/add").await;
    window.type_into("//textarea", &cluster.url("shop")).await;
    window
        .click("//label[contains(normalize-space(), 'Reach it through an SSH server')]")
        .await;
    fill_ssh(&window, &bastion).await;
    window.press_button("Test").await;
    window.see_within("SHA256:", A_BACKUP).await;
    window.press_button("Accept this key").await;
    window
        .see_within("A backup of this database would work.", A_BACKUP)
        .await;
    for name in ["bucket", "other machine", "another folder"] {
        window
            .click(&format!(
                "//fieldset[legend[normalize-space()='Into']]//label[normalize-space()='{name}']"
            ))
            .await;
    }
    window.click("//label[normalize-space()='To keys']").await;
    window.see("age1").await;

    // In the middle, the other machine goes away: the run finishes on the bucket.
    let holder = cluster.client("shop").await.unwrap();
    holder
        .batch_execute("BEGIN; LOCK TABLE gate IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    eventually("the backup is begun", A_BACKUP, || async {
        // The page may still be on its way when the button is pressed: what it asks for comes in above it.
        if window.path().await == "/add" {
            window.press_button("Start, and back up now").await;
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        (window.path().await != "/add").then_some(())
    })
    .await;
    eventually("pg_dump waits in the middle", A_BACKUP, || async {
        let query =
            "SELECT 1 FROM pg_stat_activity WHERE application_name = 'howdah' AND wait_event_type = 'Lock'";
        let waiting = cluster.rows("postgres", query).await.unwrap();
        (!waiting.is_empty()).then_some(())
    })
    .await;
    let stopped = other.stop();
    holder.batch_execute("ROLLBACK").await.unwrap();
    window.see_within("Done", A_BACKUP).await;
    let listed = told(&howdah(&data, &["--json", "list"], None).await);
    let backup = listed["backups"][0].clone();
    let id = backup["id"].as_str().unwrap().to_owned();
    let copies = |backup: &Value| -> Vec<(String, String)> {
        let word = |copy: &Value, key: &str| copy[key].as_str().unwrap().to_owned();
        let mut copies: Vec<_> = backup["copies"]
            .as_array()
            .unwrap()
            .iter()
            .map(|copy| (word(copy, "destination_name"), word(copy, "state")))
            .collect();
        copies.sort();
        copies
    };
    let pair = |name: &str, state: &str| (name.to_owned(), state.to_owned());
    assert_eq!(
        copies(&backup),
        [pair("bucket", "present"), pair("other machine", "wanted")]
    );

    // It comes back, and the missing copy is made from the bucket's: asked for on the backup's page, since nobody waits for an hour.
    other.start_again(stopped).unwrap();
    window.go(&format!("/backups/{id}")).await;
    window.see("other machine").await;
    window.press_button("Copy to…").await;
    choose(&window, "Destination", "other machine").await;
    press_in_dialog(&window, "Copy").await;
    eventually("the copy is made", A_BACKUP, || async {
        let listed = told(&howdah(&data, &["--json", "list"], None).await);
        let now = copies(&listed["backups"][0]);
        (now == [pair("bucket", "present"), pair("other machine", "present")]).then_some(())
    })
    .await;

    // What lies there is read by age, zstd and pg_restore, fetched without Howdah.
    let kit = laptop.path().join("kit.txt");
    let saved = howdah(&data, &["key", "kit", kit.to_str().unwrap()], None).await;
    assert!(saved.status.success(), "{saved:?}");
    let stored = find(&there, "dump.pgdump.zst.age").expect("the copy on the other machine");
    let dump = laptop.path().join("fetched.age");
    let fetched = tokio::process::Command::new("scp")
        .args([
            "-q",
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "UserKnownHostsFile=/dev/null",
            "-P",
        ])
        .arg(other.port().to_string())
        .arg("-i")
        .arg(other.key())
        .arg(format!("{}@127.0.0.1:{}", Sshd::user(), stored.display()))
        .arg(&dump)
        .output()
        .await
        .unwrap();
    assert!(fetched.status.success(), "{fetched:?}");
    let pg_restore = Programs::locate(None).unwrap().client_for(17).unwrap().pg_restore;
    let list = format!(
        "age -d -i '{}' '{}' | zstd -dc | '{}' --list",
        kit.display(),
        dump.display(),
        pg_restore.display()
    );
    let listed = tokio::process::Command::new("bash")
        .args(["-c", &list])
        .output()
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(
        listed.status.success() && text.contains("orders"),
        "{text}{listed:?}"
    );

    // The laptop is lost. A new one has the kit, and attaches the bucket.
    window.end().await;
    std::fs::remove_dir_all(&data).unwrap();
    let window = WebDriver::start(binary(), &[], &[("HOWDAH_DATA_DIR", &data)]).await;
    window.see("Nothing is being backed up yet").await;
    window.resize(1100, 900).await;
    window.go("/settings").await;
    window.press_button("Open a kit").await;
    support::window_is_there(KITS, true).await;
    // A slash opens the dialog's own line for paths. The first Return may only take what that proposes.
    type_text(kit.to_str().unwrap()).await;
    press("Return").await;
    let closed = support::window_is_there(KITS, false);
    if tokio::time::timeout(Duration::from_secs(2), closed)
        .await
        .is_err()
    {
        press("Return").await;
    }
    window
        .see_within("can be read here from now on", Duration::from_secs(30))
        .await;
    add_bucket(&window, &moto).await;
    window.click("//button[@aria-label='More for bucket']").await;
    window
        .click("//*[@role='menuitem'][contains(normalize-space(), 'Look for backups there')]")
        .await;
    window.see_within("There is 1 backup on bucket.", A_BACKUP).await;
    window.go(&format!("/backups/{id}")).await;
    window.see("orders").await;

    let connection = cluster.connection("shop_again");
    let target = format!(
        "postgres://{}@{}:{}/shop_again",
        connection.role, connection.host, connection.port
    );
    let arguments = ["--json", "restore", &id, "--url", &target, "--create"];
    let restored = howdah(&data, &arguments, Some(password.expose())).await;
    assert!(restored.status.success(), "{restored:?}");
    let restored = told(&restored);
    assert_eq!(restored["proved"], true, "{restored}");
    assert_eq!(restored["rows"], 30_000, "{restored}");
    window.end().await;
}

/// The file of that name below a folder.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    for entry in std::fs::read_dir(folder).ok()?.flatten() {
        let path = entry.path();
        if path.is_dir() {
            if let Some(found) = find(&path, name) {
                return Some(found);
            }
        } else if entry.file_name() == name {
            return Some(path);
        }
    }
    None
}
