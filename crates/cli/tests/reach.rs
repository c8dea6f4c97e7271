//! The command line beyond one database and one folder: through SSH, to several places, with all settings to another machine.

#![allow(clippy::unwrap_used)]

mod support;

use howdah_testkit::Cluster;
use howdah_testkit::sshd::Sshd;
use support::Howdah;

/// A backup through an SSH server into folders.
fn arguments<'a>(url: &'a str, tunnel: &'a str, to: &'a [String]) -> Vec<&'a str> {
    let mut all = vec!["backup", "--json", "--url", url, "--tunnel", tunnel];
    for to in to {
        all.extend(["--to", to]);
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_goes_through_a_tunnel_once_the_servers_key_is_accepted() {
    let cluster = Cluster::start(18).await.unwrap();
    cluster
        .sql("postgres", "CREATE TABLE t AS SELECT generate_series(1, 10) n")
        .await
        .unwrap();
    let sshd = Sshd::start().unwrap();
    let howdah = Howdah::new();
    let url = cluster.url("postgres");
    let tunnel = format!(
        "ssh://{}@127.0.0.1:{}?key={}",
        Sshd::user(),
        sshd.port(),
        sshd.key().display()
    );
    let to = [howdah.backups().display().to_string()];
    let run = |more: &[&str]| {
        let mut all = arguments(&url, &tunnel, &to);
        all.extend(more);
        howdah.run(all)
    };

    // Nobody is there to be asked.
    let refused = run(&[]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let error = &refused.object()["error"];
    assert_eq!(error["code"], "host_key_unknown", "{refused:?}");
    assert!(
        error["hint"].as_str().unwrap().contains("--accept-host-key"),
        "{error}"
    );
    let message = error["message"].as_str().unwrap();
    let fingerprint = message
        .split_whitespace()
        .find(|word| word.starts_with("SHA256:"))
        .unwrap()
        .trim_end_matches('.');

    let wrong = run(&[
        "--accept-host-key",
        "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    ]);
    assert_eq!(wrong.object()["error"]["code"], "host_key_unknown");
    let made = run(&["--accept-host-key", fingerprint]);
    assert_eq!(made.code, Some(0), "{made:?}");
    assert_eq!(made.object()["rows"], 10);
    // It is known from then on.
    let again = run(&[]);
    assert_eq!(again.code, Some(0), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_places_each_is_told_and_one_that_is_away_keeps_the_others_from_nothing() {
    let cluster = Cluster::start(18).await.unwrap();
    cluster
        .sql("postgres", "CREATE TABLE t AS SELECT generate_series(1, 10) n")
        .await
        .unwrap();
    let howdah = Howdah::new();
    let url = cluster.url("postgres");
    let (one, other) = (howdah.place.path().join("one"), howdah.place.path().join("other"));
    let folder = |path: &std::path::Path| path.display().to_string();
    let (one_text, other_text) = (folder(&one), folder(&other));
    let both = [
        "backup",
        "--json",
        "--url",
        &url,
        "--to",
        &one_text,
        "--to",
        &other_text,
    ];
    let made = howdah.run(both);
    assert_eq!(made.code, Some(0), "{made:?}");
    let object = made.object();
    let paths: Vec<&str> = (0..2)
        .map(|number| object["copies"][number]["path"].as_str().unwrap())
        .collect();
    assert!(
        paths[0].starts_with(&one_text) && paths[1].starts_with(&other_text),
        "{paths:?}"
    );

    std::fs::remove_dir_all(&one).unwrap();
    std::fs::write(&one, "a file in its place").unwrap();
    let half = howdah.run(both);
    assert_eq!(half.code, Some(1), "a script hears of it: {half:?}");
    let object = half.object();
    assert!(object["copies"][0]["error"]["code"].is_string(), "{object}");
    assert!(object["copies"][1]["path"].is_string(), "{object}");

    let same = folder(&other.join("..").join("other"));
    let twice = [
        "backup",
        "--json",
        "--url",
        &url,
        "--to",
        &other_text,
        "--to",
        &same,
    ];
    let twice = howdah.run(twice);
    assert_eq!(twice.object()["error"]["code"], "invalid_input", "{twice:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_opens_one_place_is_not_shown_to_another() {
    let howdah = Howdah::new();
    let all = [
        "backup",
        "--json",
        "--url",
        "postgres://u@127.0.0.1:1/db",
        "--to",
        "webdav://ada@127.0.0.1:1/a",
        "--to",
        "ftps://ada@127.0.0.1:1/b",
    ];
    let child = howdah
        .command(all)
        .env("HOWDAH_DESTINATION_SECRET", "hunter2 and more")
        .spawn()
        .unwrap();
    let ended = support::end(child);
    let error = &ended.object()["error"];
    assert_eq!(error["code"], "invalid_input", "{ended:?}");
    assert!(
        error["hint"]
            .as_str()
            .unwrap()
            .contains("HOWDAH_DESTINATION_SECRET_1")
    );
    assert!(!format!("{ended:?}").contains("hunter2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_settings_go_to_another_machine_by_a_file() {
    let cluster = Cluster::start(18).await.unwrap();
    let machine = Howdah::new();
    let with_keyring = |howdah: &Howdah, all: &[&str]| {
        let child = howdah
            .command(all.iter().copied())
            .env("HOWDAH_PASSPHRASE", "a keyring in a file")
            .env("HOWDAH_EXPORT_PASSPHRASE", "tortoise elephant world")
            .spawn()
            .unwrap();
        let ended = support::end(child);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended
    };
    let url = cluster.url("postgres");
    with_keyring(&machine, &["server", "add", &url, "--name", "shop", "--json"]);
    let to = machine.backups().display().to_string();
    with_keyring(&machine, &["plan", "add", "shop", "--to", &to, "--json"]);
    let file = machine.place.path().join("settings.json.age");
    let file_text = file.display().to_string();
    with_keyring(
        &machine,
        &["settings", "export", &file_text, "--with-secrets", "--passphrase"],
    );
    let bytes = std::fs::read(&file).unwrap();
    assert!(bytes.starts_with(b"age-encryption.org/v1"));
    #[cfg(unix)]
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions()) & 0o777,
        0o600
    );

    let other = Howdah::new();
    let imported = with_keyring(&other, &["settings", "import", &file_text, "--json"]).object();
    assert_eq!(imported["imported"]["servers"], 1, "{imported}");
    assert_eq!(imported["imported"]["plans"], 1, "{imported}");
    let tested = with_keyring(&other, &["server", "test", "shop", "--json"]).object();
    assert_eq!(tested["ok"], true, "{tested}");
}
