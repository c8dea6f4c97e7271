//! The keyring, against a real gnome-keyring on a bus of the test's own.
//!
//! Each test runs itself once more inside `dbus-run-session`, with a home of its own and a bus that starts no services: which
//! keyring is there, and in which state, is the test's choice.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // helpers of tests are tests

mod common;

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use common::{World, child, role, server};
use howdah_domain::{FailureCode, Secret};
use howdah_store::{Error, KeyringState, SecretService, SecretStore, Store, tables::servers};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rstest::rstest;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// A bus without service directories: nothing is started on demand.
const BUS: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:tmpdir=/tmp</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>"#;

#[rstest]
#[case::set_get_delete("a secret is set, found, changed and deleted")]
#[case::restart("a restarted daemon is found again")]
#[case::later("a keyring that was not there at first is found later")]
#[case::locked("a locked keyring says so and shows no dialog")]
#[case::fresh("a keyring without a default collection counts as locked")]
#[case::absent("no keyring says so at once")]
#[case::silent("a keyring that hangs does not hang Howdah")]
#[case::sqlite("the password is nowhere in the data directory")]
fn on_a_bus_of_its_own(#[case] story: &str) {
    let dir = TempDir::new().unwrap();
    let config = dir.path().join("bus.conf");
    fs::write(&config, BUS).unwrap();
    let runtime = dir.path().join("runtime");
    fs::create_dir(&runtime).unwrap();
    fs::set_permissions(&runtime, fs::Permissions::from_mode(0o700)).unwrap();

    let told = child(story, dir.path());
    let output = Command::new("dbus-run-session")
        .arg("--config-file")
        .arg(&config)
        .arg("--")
        .arg(told.get_program())
        .args(told.get_args())
        .envs(told.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .env_remove("DBUS_SESSION_BUS_ADDRESS")
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY")
        .env_remove("GNOME_KEYRING_CONTROL")
        .env("HOME", dir.path())
        .env("XDG_DATA_HOME", dir.path().join("share"))
        .env("XDG_RUNTIME_DIR", &runtime)
        .stdin(Stdio::null())
        .output()
        .expect("dbus-run-session: install the package dbus");
    assert_told(&output, story);
}

/// The child's one test was run and passed.
fn assert_told(output: &Output, story: &str) {
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    println!("{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{story}");
}

#[test]
fn without_a_bus_there_is_no_keyring() {
    let dir = TempDir::new().unwrap();
    let told = child("no keyring says so at once", dir.path());
    let output = Command::new(told.get_program())
        .args(told.get_args())
        .envs(told.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .env(
            "DBUS_SESSION_BUS_ADDRESS",
            format!("unix:path={}/nothing", dir.path().display()),
        )
        .env("XDG_RUNTIME_DIR", dir.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// What runs on the bus.
#[tokio::test]
#[ignore = "run by other tests, as a child process"]
async fn child_process() {
    let (story, dir) = role().expect("a role");
    match story.as_str() {
        "a secret is set, found, changed and deleted" => set_get_delete().await,
        "a restarted daemon is found again" => restart().await,
        "a keyring that was not there at first is found later" => later().await,
        "a locked keyring says so and shows no dialog" => locked().await,
        "a keyring without a default collection counts as locked" => fresh().await,
        "no keyring says so at once" => absent().await,
        "a keyring that hangs does not hang Howdah" => silent().await,
        "the password is nowhere in the data directory" => nowhere_in_sqlite(&dir).await,
        other => panic!("no story {other}"),
    }
}

/// A gnome-keyring of the test's own; killed when dropped.
struct Daemon(Child);

impl Daemon {
    /// Starts one whose login keyring is unlocked, and made where it is missing.
    async fn unlocked() -> Self {
        let mut daemon = Command::new("gnome-keyring-daemon")
            .args(["--foreground", "--unlock", "--components=secrets"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("gnome-keyring-daemon: install the package gnome-keyring");
        daemon.stdin.take().unwrap().write_all(b"login password").unwrap();
        Self(daemon).answering(KeyringState::Open).await
    }

    /// Starts one that was not given the password.
    async fn locked() -> Self {
        let daemon = Command::new("gnome-keyring-daemon")
            .args(["--foreground", "--start", "--components=secrets"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self(daemon).answering(KeyringState::Locked).await
    }

    async fn answering(self, expected: KeyringState) -> Self {
        let begin = Instant::now();
        loop {
            let state = SecretService::new().state().await;
            if state == expected {
                return self;
            }
            assert!(
                begin.elapsed() < Duration::from_secs(20),
                "the keyring is {state:?}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id().try_into().unwrap()), signal).unwrap();
    }

    fn end(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn secret() -> Secret {
    Secret::new("correct horse “battery” stáple")
}

async fn set_get_delete() {
    let _daemon = Daemon::unlocked().await;
    let keyring = SecretService::new();
    assert_eq!(keyring.state().await, KeyringState::Open);
    assert_eq!(keyring.get("server/a").await.unwrap(), None);
    keyring.set("server/a", "production", &secret()).await.unwrap();
    keyring
        .set("server/b", "staging", &Secret::new("other"))
        .await
        .unwrap();
    assert_eq!(keyring.get("server/a").await.unwrap(), Some(secret()));
    assert_eq!(
        item("server/a"),
        ("Howdah: production".to_owned(), secret().expose().to_owned())
    );

    // The server was renamed and has a new password; another Howdah reads it.
    keyring
        .set("server/a", "renamed", &Secret::new("changed"))
        .await
        .unwrap();
    assert_eq!(
        item("server/a"),
        ("Howdah: renamed".to_owned(), "changed".to_owned())
    );
    assert_eq!(
        SecretService::new().get("server/a").await.unwrap(),
        Some(Secret::new("changed"))
    );

    // Two items of the same name, by whatever accident, are one again after the next change.
    let status = Command::new("secret-tool")
        .args([
            "store",
            "--label=stray",
            "service",
            "howdah",
            "username",
            "server/b",
            "more",
            "attributes",
        ])
        .stdin(Stdio::piped())
        .spawn();
    if let Ok(mut storing) = status {
        storing.stdin.take().unwrap().write_all(b"stray").unwrap();
        assert!(storing.wait().unwrap().success());
        assert!(keyring.get("server/b").await.unwrap().is_some());
        keyring
            .set("server/b", "staging", &Secret::new("one"))
            .await
            .unwrap();
        assert_eq!(keyring.get("server/b").await.unwrap(), Some(Secret::new("one")));
    }

    keyring.delete("server/a").await.unwrap();
    assert_eq!(keyring.get("server/a").await.unwrap(), None);
    keyring.delete("server/a").await.unwrap();
    assert!(keyring.get("server/b").await.unwrap().is_some());
}

/// Label and secret of an item as another program sees it.
fn item(reference: &str) -> (String, String) {
    use secret_service::{EncryptionType, blocking::SecretService};
    let reference = reference.to_owned();
    std::thread::spawn(move || {
        let service = SecretService::connect(EncryptionType::Plain).unwrap();
        let collection = service.get_default_collection().unwrap();
        let items = collection
            .search_items([("service", "howdah"), ("username", &reference)].into())
            .unwrap();
        assert_eq!(items.len(), 1);
        (
            items[0].get_label().unwrap(),
            String::from_utf8(items[0].get_secret().unwrap()).unwrap(),
        )
    })
    .join()
    .unwrap()
}

async fn restart() {
    let daemon = Daemon::unlocked().await;
    let keyring = SecretService::new();
    keyring.set("server/a", "production", &secret()).await.unwrap();
    daemon.end();
    let error = keyring.get("server/a").await.unwrap_err();
    assert!(matches!(error, Error::KeyringAbsent(_)), "{error}");
    let _daemon = Daemon::unlocked().await;
    assert_eq!(keyring.get("server/a").await.unwrap(), Some(secret()));
    keyring
        .set("server/a", "production", &Secret::new("new"))
        .await
        .unwrap();
}

async fn later() {
    let keyring = SecretService::new();
    assert_eq!(keyring.state().await, KeyringState::Absent);
    let error = keyring
        .set("server/a", "production", &secret())
        .await
        .unwrap_err();
    assert_eq!(error.to_failure().code, FailureCode::KeyringAbsent);
    let _daemon = Daemon::unlocked().await;
    keyring.set("server/a", "production", &secret()).await.unwrap();
    assert_eq!(keyring.get("server/a").await.unwrap(), Some(secret()));
}

async fn locked() {
    let daemon = Daemon::unlocked().await;
    let keyring = SecretService::new();
    keyring.set("server/a", "production", &secret()).await.unwrap();
    daemon.end();
    let _daemon = Daemon::locked().await;
    let begin = Instant::now();
    assert_eq!(keyring.state().await, KeyringState::Locked);
    let answers = [
        keyring.get("server/a").await.map(|_| ()),
        keyring.set("server/a", "production", &secret()).await,
        keyring.delete("server/a").await,
    ];
    for answer in answers {
        let error = answer.unwrap_err();
        assert!(matches!(error, Error::KeyringLocked), "{error}");
        let failure = error.to_failure();
        assert_eq!(failure.code, FailureCode::KeyringLocked);
        assert!(failure.hint.is_some());
    }
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());

    // Asked to, it shows a dialog. Nobody can answer one here: it stays locked, or the caller loses patience.
    let cancel = CancellationToken::new();
    let patience = cancel.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(2)).await;
        patience.cancel();
    });
    let begin = Instant::now();
    let answer = keyring.unlock(&cancel).await;
    println!("unlock: {answer:?} after {:?}", begin.elapsed());
    assert!(
        matches!(answer, Ok(KeyringState::Locked) | Err(Error::Cancelled)),
        "{answer:?}"
    );
    assert!(begin.elapsed() < Duration::from_secs(5));
}

async fn fresh() {
    let _daemon = Daemon::locked().await;
    let error = SecretService::new()
        .set("server/a", "production", &secret())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::KeyringLocked), "{error}");
}

async fn absent() {
    let keyring = SecretService::new();
    let begin = Instant::now();
    assert_eq!(keyring.state().await, KeyringState::Absent);
    let error = keyring.get("server/a").await.unwrap_err();
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    assert!(matches!(error, Error::KeyringAbsent(_)), "{error}");
    let failure = error.to_failure();
    assert_eq!(failure.code, FailureCode::KeyringAbsent);
    assert!(failure.hint.unwrap().contains("HOWDAH_PASSPHRASE"));
}

async fn silent() {
    let daemon = Daemon::unlocked().await;
    let keyring = SecretService::new();
    keyring.set("server/a", "production", &secret()).await.unwrap();
    daemon.signal(Signal::SIGSTOP);
    let begin = Instant::now();
    let error = keyring.get("server/a").await.unwrap_err();
    assert!(matches!(error, Error::KeyringSilent { .. }), "{error}");
    assert!(error.is_retryable());
    assert!(begin.elapsed() < Duration::from_secs(12), "{:?}", begin.elapsed());
    // A call that still waits for an answer does not keep a program from ending.
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let asking = SecretService::new();
            let given_up = tokio::time::timeout(Duration::from_millis(200), asking.get("server/a"));
            assert!(given_up.await.is_err());
        });
        let begin = Instant::now();
        drop(runtime);
        assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    })
    .join()
    .unwrap();
    daemon.signal(Signal::SIGCONT);
    assert_eq!(keyring.get("server/a").await.unwrap(), Some(secret()));
}

async fn nowhere_in_sqlite(dir: &Path) {
    let _daemon = Daemon::unlocked().await;
    let data = dir.join("data");
    let store = Store::open(&data).unwrap();
    World::make(&store).await;
    let keyring = SecretService::new();
    keyring
        .set("server/secret-one", "production", &secret())
        .await
        .unwrap();
    let mut row = server("with a password");
    row.secret_reference = Some("server/secret-one".to_owned());
    let id = row.server.id.clone();
    store.write(move |c| servers::insert(c, &row)).await.unwrap();
    let row = store.read(move |c| servers::get(c, &id)).await.unwrap().unwrap();
    let kept = keyring.get(&row.secret_reference.unwrap()).await.unwrap();
    assert_eq!(kept, Some(secret()));
    // Once with the write-ahead log beside it, once folded into one file.
    let mut references = 0;
    let mut look = || {
        for file in files(&data) {
            let content = fs::read(&file).unwrap();
            let has = |needle: &str| {
                content
                    .windows(needle.len())
                    .any(|window| window == needle.as_bytes())
            };
            assert!(
                !has("correct horse") && !has("battery staple"),
                "the secret is in {}",
                file.display()
            );
            references += u32::from(has("server/secret-one"));
        }
    };
    look();
    drop(store);
    look();
    assert!(references >= 2, "the search finds what is there: {references}");
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}
