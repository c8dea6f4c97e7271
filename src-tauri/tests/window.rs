//! The main job in the real window, on a desktop without a screen: from a pasted connection to a backup, its notification,
//! the tray and back. Run by `make test-window`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is a test, helpers included; it prints its figures"
)]

mod support;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use howdah_testkit::Cluster;
use serde_json::json;
use support::app::{App, binary, family};
use support::eyes::{Eyes, files_with};
use support::notifications::Heard;
use support::tray::Panel;
use support::webdriver::WebDriver;
use support::{eventually, press, type_text};

/// How long a small backup may take on a machine that builds something else at the same time.
const A_BACKUP: Duration = Duration::from_secs(90);

fn home() -> PathBuf {
    PathBuf::from(std::env::var_os("HOME").expect("scripts/desktop.sh sets HOME"))
}

/// A database with a few tables, and a role that may read them.
async fn shop(cluster: &Cluster) -> String {
    cluster.create_database("shop").await.unwrap();
    cluster
        .sql(
            "shop",
            "CREATE TABLE customers (id bigint PRIMARY KEY, email text NOT NULL);
             INSERT INTO customers SELECT n, 'customer' || n || '@example.com' FROM generate_series(1, 20000) n;
             CREATE TABLE orders (id bigint PRIMARY KEY, customer bigint REFERENCES customers, note text);
             INSERT INTO orders SELECT n, 1 + n % 20000, repeat('order ' || n || ' ', 8) FROM generate_series(1, 50000) n;",
        )
        .await
        .unwrap();
    let password = cluster
        .create_role("keeper", "IN ROLE pg_read_all_data")
        .await
        .unwrap();
    cluster.url_for("keeper", &password, "shop")
}

/// The manifests of finished backups below a folder.
fn manifests(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else if entry.file_name() == "manifest.json" {
                found.push(entry.path());
            }
        }
    }
    found
}

async fn output(program: &str, arguments: &[&str]) -> String {
    let output = tokio::process::Command::new(program)
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .await
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Waits until the app's window is there, or is not.
async fn window_is_there(there: bool) {
    support::window_is_there("^Howdah$", there).await;
}

/// Pastes a connection into the first step of adding a database, and tests it.
async fn paste_and_test(window: &WebDriver, url: &str) {
    window.go("/add").await;
    window.type_into("//textarea", url).await;
    // What was understood comes in above the button, and moves it.
    window.see("Reach it through an SSH server").await;
    window.press_button("Test").await;
    window
        .see_within("A backup of this database would work.", Duration::from_secs(30))
        .await;
}

/// Has new plans put their backups below a folder of the test's own.
async fn keep_backups_in(window: &WebDriver, folder: &Path) {
    let mut settings = window.invoke("settings_page", json!({})).await["settings"].take();
    settings["default_folder"] = json!(folder.join("backups"));
    window
        .invoke("save_settings", json!({ "settings": settings }))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a desktop: make test-window"]
async fn a_database_is_added_backed_up_and_told_of_and_its_password_is_in_the_keyring_alone() {
    let cluster = Cluster::start(17).await.unwrap();
    let url = shop(&cluster).await;
    let secret = url
        .split(':')
        .nth(2)
        .unwrap()
        .split('@')
        .next()
        .unwrap()
        .to_owned();
    assert!(
        secret.len() >= 8,
        "a password that could stand anywhere by chance proves nothing"
    );
    let data_dir = home().join("data");
    let folder = home().join("Howdah");
    // What a first try left: the newest notification is to be this one's.
    for left in [&data_dir, &folder] {
        drop(std::fs::remove_dir_all(left));
    }
    output("dunstctl", &["close-all"]).await;
    let panel = Panel::start().await;
    let heard = Heard::start().await;
    let eyes = Eyes::open(&secret);
    let window = WebDriver::start(binary(), &[], &[("HOWDAH_DATA_DIR", &data_dir)]).await;

    // Paste, test, accept the plan.
    window.see("Nothing is being backed up yet").await;
    let idle = panel.icon().await;
    window
        .click("(//a|//button)[contains(normalize-space(), 'Add a database')]")
        .await;
    paste_and_test(&window, &url).await;
    window.press_button("Start, and back up now").await;

    // The run ends well, and the backup is listed in the window and lies in its folder.
    window.see_within("Done", A_BACKUP).await;
    assert_eq!(
        manifests(&folder).len(),
        1,
        "one finished backup below {}",
        folder.display()
    );
    window
        .click("//nav//a[contains(normalize-space(), 'Backups')]")
        .await;
    window.find("//table//tr[contains(., 'shop')]").await;

    // Its notification was on the bus.
    heard
        .wait("the notification of the backup", Duration::from_secs(10), |one| {
            one.summary == "shop is backed up"
        })
        .await;

    // The password is in the real keyring, and was nowhere else: not in a process's arguments, not in a file.
    let kept = output(
        "secret-tool",
        &["search", "--all", "--unlock", "service", "howdah"],
    )
    .await;
    assert!(kept.contains(&secret), "the keyring holds the password");
    let seen = eyes.close();
    assert!(
        seen.leaks.is_empty(),
        "the password was in arguments: {:?}",
        seen.leaks
    );
    for program in ["howdah-desktop", "pg_dump"] {
        assert!(
            seen.programs.contains(program),
            "the eyes missed {program}: {:?}",
            seen.programs
        );
    }
    assert!(
        data_dir.join("howdah.db").is_file(),
        "SQLite is among the files looked into"
    );
    // The keyring's own file is the one place.
    for folder in [
        home(),
        PathBuf::from(std::env::var_os("XDG_RUNTIME_DIR").unwrap()),
    ] {
        let (leaks, read) = files_with(&folder, &secret, &["keyrings"]);
        assert!(leaks.is_empty(), "the password is in {leaks:?}");
        assert!(read > 0, "nothing was read in {}", folder.display());
    }

    // Closed to the tray, it goes on: the menu starts a backup, whose end is told.
    support::close_window("^Howdah$").await;
    panel.click("shop").await;
    eventually("the backup from the tray's menu", A_BACKUP, || async {
        (manifests(&folder).len() == 2).then_some(())
    })
    .await;

    // It comes back by the tray's menu, and by a second start.
    panel.click("Open Howdah").await;
    window_is_there(true).await;
    window.turn_to_window().await;
    window.see("backed up").await;
    support::close_window("^Howdah$").await;
    support::app::start_again(&data_dir).await;
    window_is_there(true).await;
    window.turn_to_window().await;
    support::close_window("^Howdah$").await;

    // A failure shows in the tray and is told; a click on what is told opens the run.
    eventually(
        "the tray shows that all is well",
        Duration::from_secs(10),
        || async { (panel.icon().await == idle).then_some(()) },
    )
    .await;
    cluster
        .sql("postgres", "ALTER ROLE keeper PASSWORD 'changed behind our back'")
        .await
        .unwrap();
    panel.click("shop").await;
    let told = heard
        .wait("the notification of the failure", A_BACKUP, |one| {
            one.summary == "shop was not backed up"
        })
        .await;
    assert!(!told.actions.is_empty(), "a click leads somewhere: {told:?}");
    eventually("the tray shows the failure", Duration::from_secs(10), || async {
        (panel.icon().await != idle).then_some(())
    })
    .await;
    output("dunstctl", &["action", "0"]).await;
    window_is_there(true).await;
    window.turn_to_window().await;
    eventually("the run's page", Duration::from_secs(20), || async {
        window.path().await.starts_with("/runs/").then_some(())
    })
    .await;
    window.see("password").await;

    panel.click("Quit").await;
    window_is_there(false).await;
    window.end().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a desktop: make test-window"]
async fn a_hidden_start_is_brought_forward_by_a_second_start_and_quit_leaves_nothing_behind() {
    let data = tempfile::tempdir().unwrap();
    let panel = Panel::start().await;
    let mut app = App::start(data.path(), &["--hidden"]);
    eventually(
        "the tray knows how things are",
        Duration::from_secs(20),
        || async {
            panel
                .menu()
                .await
                .all()
                .iter()
                .any(|line| line.label == "No database yet")
                .then_some(())
        },
    )
    .await;
    window_is_there(false).await;
    app.start_again().await;
    window_is_there(true).await;

    let below = family(app.pid());
    assert!(below.len() > 1, "the webview has processes of its own");
    panel.click("Quit").await;
    assert!(app.ended(Duration::from_secs(15)).await.success());
    eventually(
        "every process of the app has ended",
        Duration::from_secs(10),
        || async {
            below
                .iter()
                .all(|pid| !Path::new(&format!("/proc/{pid}")).exists())
                .then_some(())
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a desktop: make test-window"]
async fn closing_the_window_ends_its_webview_and_a_signal_ends_the_app() {
    let data = tempfile::tempdir().unwrap();
    let _panel = Panel::start().await;
    let mut app = App::start(data.path(), &[]);
    let pages = || {
        let pids = family(app.pid());
        support::app::private_dirty(&pids)
            .into_iter()
            .filter(|(name, _)| name.starts_with("WebKitWeb"))
            .count()
    };
    eventually("the window has a webview", Duration::from_secs(20), || async {
        (pages() == 1).then_some(())
    })
    .await;
    window_is_there(true).await;
    press("alt+F4").await;
    eventually("the webview has ended", Duration::from_secs(10), || async {
        (pages() == 0).then_some(())
    })
    .await;
    output("kill", &[&app.pid().to_string()]).await;
    assert!(
        app.ended(Duration::from_secs(15)).await.success(),
        "a signal ends it in good order"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a desktop: make test-window"]
async fn a_data_directory_of_a_newer_howdah_is_left_alone_and_the_window_says_why() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("howdah.db");
    let newer = rusqlite::Connection::open(&file).unwrap();
    newer
        .execute_batch("CREATE TABLE of_the_future (x); PRAGMA user_version = 9999;")
        .unwrap();
    drop(newer);
    let before = std::fs::read(&file).unwrap();
    let panel = Panel::start().await;
    let window = WebDriver::start(binary(), &[], &[("HOWDAH_DATA_DIR", data.path())]).await;
    window
        .see("The data directory was written by a newer Howdah.")
        .await;
    eventually("the tray says so too", Duration::from_secs(10), || async {
        panel
            .menu()
            .await
            .all()
            .iter()
            .any(|line| line.label.contains("could not start"))
            .then_some(())
    })
    .await;
    assert_eq!(std::fs::read(&file).unwrap(), before);
    panel.click("Quit").await;
    window_is_there(false).await;
    window.end().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a desktop: make test-window"]
async fn a_folder_is_chosen_in_the_desktops_own_dialog_with_the_keyboard_alone() {
    const DIALOG: &str = "^Choose a folder$";
    let data = tempfile::tempdir().unwrap();
    let chosen = home().join("Safe place");
    std::fs::create_dir_all(&chosen).unwrap();
    let window = WebDriver::start(binary(), &[], &[("HOWDAH_DATA_DIR", data.path())]).await;
    window.see("Nothing is being backed up yet").await;
    window.go("/settings").await;
    let folder = || async {
        let page = window.invoke("settings_page", json!({})).await;
        page["settings"]["default_folder"].as_str().unwrap().to_owned()
    };
    assert_eq!(folder().await, "~/Howdah");

    // Left without a choice, it changes nothing, and the keyboard is where it was.
    window.focus("//button[@aria-label='Choose a folder']").await;
    press("Return").await;
    support::window_is_there(DIALOG, true).await;
    press("Escape").await;
    support::window_is_there(DIALOG, false).await;
    assert_eq!(folder().await, "~/Howdah");

    press("Return").await;
    support::window_is_there(DIALOG, true).await;
    // A slash opens the dialog's own line for paths.
    type_text(chosen.to_str().unwrap()).await;
    press("Return").await;
    support::window_is_there(DIALOG, false).await;
    eventually("the chosen folder is kept", Duration::from_secs(10), || async {
        (folder().await == "~/Safe place").then_some(())
    })
    .await;
    window.end().await;
}

/// Locks the login keyring, as a desktop does when it is told to.
async fn lock_keyring() {
    let bus = zbus::Connection::session().await.unwrap();
    let collection = zbus::OwnedObjectPath::try_from("/org/freedesktop/secrets/aliases/default").unwrap();
    bus.call_method(
        Some("org.freedesktop.secrets"),
        "/org/freedesktop/secrets",
        Some("org.freedesktop.Secret.Service"),
        "Lock",
        &(vec![collection],),
    )
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a desktop: make test-window"]
async fn a_locked_keyring_is_unlocked_from_the_window_and_what_waited_for_it_goes_on() {
    const DIALOG: &str = "^Unlock Login Keyring$";
    let cluster = Cluster::start(17).await.unwrap();
    let url = shop(&cluster).await;
    let data = tempfile::tempdir().unwrap();
    let window = WebDriver::start(binary(), &[], &[("HOWDAH_DATA_DIR", data.path())]).await;
    window.see("Nothing is being backed up yet").await;
    keep_backups_in(&window, data.path()).await;
    let unlock = |answer: &'static str| {
        let window = &window;
        async move {
            window.press_button("Unlock the keyring").await;
            support::window_is_there(DIALOG, true).await;
            type_text(answer).await;
            press(if answer.is_empty() { "Escape" } else { "Return" }).await;
            support::window_is_there(DIALOG, false).await;
        }
    };

    // A database is being added: its password cannot be kept, and nothing is half added.
    paste_and_test(&window, &url).await;
    lock_keyring().await;
    window.press_button("Start, and back up now").await;
    window.see("The keyring is locked.").await;
    let overview = window.invoke("overview", json!({})).await;
    assert!(overview["databases"].as_array().unwrap().is_empty(), "{overview}");
    unlock("").await;
    window.see("It is still locked.").await;
    // The password that `scripts/desktop.sh` gave it.
    unlock("desktop").await;
    window.see_within("Done", A_BACKUP).await;

    // A backup begins while it is locked: it waits, and the overview says so.
    lock_keyring().await;
    let overview = window.invoke("overview", json!({})).await;
    let database = overview["databases"][0]["id"].clone();
    window
        .invoke("back_up_now", json!({ "database_id": database }))
        .await;
    window.go("/").await;
    window.see("Howdah cannot read the passwords").await;
    unlock("desktop").await;
    eventually("the second backup", A_BACKUP, || async {
        (manifests(data.path()).len() == 2).then_some(())
    })
    .await;
    window.see("shop is backed up").await;
    window.end().await;
}

/// Presses Tab until the keyboard is at the control of that name. Each control on the way shows that it has the focus.
async fn tab_to(window: &WebDriver, name: &str) {
    const LOOK: &str = "const at = document.activeElement; \
        const outlined = (element) => element && getComputedStyle(element).outlineStyle !== 'none'; \
        return [at.getAttribute('aria-label') || at.textContent.trim(), \
          outlined(at) || outlined(at.parentElement)]";
    let mut passed = Vec::new();
    for _ in 0..40 {
        press("Tab").await;
        let at = window.run(LOOK, json!([])).await.unwrap();
        assert_eq!(at[1], true, "the focus is not seen at {at}");
        if at[0] == name {
            return;
        }
        passed.push(at[0].clone());
    }
    panic!("Tab does not lead to {name:?}, but to {passed:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a desktop: make test-window"]
async fn a_database_is_added_with_the_keyboard_alone() {
    let cluster = Cluster::start(17).await.unwrap();
    let url = shop(&cluster).await;
    let data = tempfile::tempdir().unwrap();
    let window = WebDriver::start(binary(), &[], &[("HOWDAH_DATA_DIR", data.path())]).await;
    window.see("Nothing is being backed up yet").await;
    keep_backups_in(&window, data.path()).await;
    tab_to(&window, "Add a database").await;
    press("Return").await;
    window.see("A URL, a keyword string").await;
    // The page begins at its first field, and Return tests what stands there.
    type_text(&url).await;
    window.see("goes to the system’s keyring").await;
    press("Return").await;
    window
        .see_within("A backup of this database would work.", Duration::from_secs(30))
        .await;
    tab_to(&window, "Start, and back up now").await;
    press("Return").await;
    window.see_within("Done", A_BACKUP).await;
    window.end().await;
}
