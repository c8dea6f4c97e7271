//! `howdah channel`, with secrets in a file that a passphrase encrypts; and what becomes of messages when `howdah run` is killed.

#![allow(clippy::unwrap_used, reason = "helpers of tests may unwrap like the tests")]

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use howdah_testkit::Cluster;
use howdah_testkit::hooks::{Fault, HEADER_SECRET, HookEmulator, Kind, TELEGRAM_CHAT};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use support::{Ended, Howdah, end, text};

fn command(howdah: &Howdah, arguments: &[&str], secrets: &[(&str, &str)]) -> Command {
    let mut command = howdah.command(arguments.iter().copied());
    command
        .env("HOWDAH_PASSPHRASE", "a passphrase of the test's own")
        .envs(secrets.iter().copied());
    command
}

/// Runs a command beside the emulator, which needs this thread's runtime.
async fn run(howdah: &Howdah, arguments: &[&str], secrets: &[(&str, &str)]) -> Ended {
    let child = command(howdah, &[arguments, &["--json"]].concat(), secrets)
        .spawn()
        .unwrap();
    tokio::task::spawn_blocking(move || end(child)).await.unwrap()
}

async fn json(howdah: &Howdah, arguments: &[&str], secrets: &[(&str, &str)]) -> Value {
    let ended = run(howdah, arguments, secrets).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended.object()
}

fn holds(folder: &Path, secret: &str) -> bool {
    support::files(folder).iter().any(|file| {
        let content = std::fs::read(file).unwrap();
        content
            .windows(secret.len())
            .any(|part| part == secret.as_bytes())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_is_added_tested_listed_switched_and_removed_and_what_opens_it_is_shown_nowhere() {
    let telegram = HookEmulator::start(Kind::Telegram).await.unwrap();
    let howdah = Howdah::new();
    let (chat, server) = (TELEGRAM_CHAT.to_string(), telegram.url());
    let add = [
        "channel", "add", "telegram", "--chat", &chat, "--server", &server, "--name", "phone",
    ];
    let token = [("HOWDAH_CHANNEL_TOKEN", Kind::Telegram.secret())];
    let wrong = [(
        "HOWDAH_CHANNEL_TOKEN",
        "987654321:AAHwrongwrongwrongwrongwrongwrongwr",
    )];

    let refused = run(&howdah, &add, &wrong).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let hint = refused.object()["error"]["hint"].as_str().unwrap().to_owned();
    assert!(hint.contains("--no-test"), "{hint}");
    assert!(!format!("{refused:?}").contains("AAHwrong"), "{refused:?}");
    let channels = json(&howdah, &["channel", "list"], &[]).await;
    let names = |channels: &Value| -> Vec<String> {
        let channels = channels["channels"].as_array().unwrap();
        channels
            .iter()
            .map(|channel| channel["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert!(!names(&channels).contains(&"phone".to_owned()), "{channels}");

    let added = json(&howdah, &add, &token).await;
    assert_eq!(added["channel"]["name"], "phone");
    assert_eq!(telegram.delivered().len(), 1, "the test message came first");
    let tested = json(&howdah, &["channel", "test", "phone"], &[]).await;
    assert_eq!(telegram.delivered().len(), 2);
    let off = json(&howdah, &["channel", "off", "phone"], &[]).await;
    assert_eq!(off["channel"]["enabled"], false);
    let on = json(&howdah, &["channel", "on", "phone"], &[]).await;
    assert_eq!(on["channel"]["enabled"], true);
    let retried = json(&howdah, &["channel", "retry", "phone"], &[]).await;
    let listed = json(&howdah, &["channel", "list"], &[]).await;
    assert!(names(&listed).contains(&"phone".to_owned()), "{listed}");
    json(&howdah, &["channel", "test", "phone"], &[]).await;
    assert_eq!(
        telegram.delivered().len(),
        3,
        "switching it off and on keeps what opens it"
    );

    telegram.revoke();
    let revoked = run(&howdah, &["channel", "test", "phone"], &[]).await;
    assert_eq!(revoked.code, Some(1), "{revoked:?}");
    for part in Kind::Telegram.confidential() {
        let said = format!("{added}{tested}{off}{on}{retried}{listed}{revoked:?}");
        assert!(!said.contains(part), "{said}");
        assert!(!holds(howdah.place.path(), part), "a file holds {part}");
    }
    json(&howdah, &["channel", "remove", "phone"], &[]).await;
    let gone = run(&howdah, &["channel", "test", "phone"], &[]).await;
    assert_eq!((gone.code, gone.failure_code().as_str()), (Some(1), "not_found"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_was_on_its_way_when_howdah_was_killed_goes_out_after_the_next_start() {
    let cluster = Cluster::start(17).await.unwrap();
    let hook = HookEmulator::start(Kind::Webhook).await.unwrap();
    let howdah = Howdah::new();
    let secrets = [
        ("HOWDAH_CHANNEL_URL", hook.hook_url()),
        (
            "HOWDAH_CHANNEL_HEADERS",
            format!("Authorization: Bearer {HEADER_SECRET}"),
        ),
    ];
    let secrets = secrets.each_ref().map(|(name, value)| (*name, value.as_str()));
    let add = ["channel", "add", "webhook", "--least", "info", "--no-test"];
    json(&howdah, &add, &secrets).await;
    let url = cluster.url("postgres");
    json(&howdah, &["server", "add", &url, "--name", "shop"], &[]).await;
    let backups = howdah.backups();
    let plan = [
        "plan",
        "add",
        "shop",
        "--to",
        text(&backups),
        "--schedule",
        "* * * * *",
    ];
    json(&howdah, &plan, &[]).await;

    // Once the request is lost before anybody took it, and once after: then it is told again, under the same id.
    let mut ids = Vec::new();
    for (fault, taken) in [(Fault::Silence, 0), (Fault::LoseAnswer, 1)] {
        let (requests, delivered) = (hook.requests(), hook.delivered().len());
        hook.fail(fault);
        let mut first = command(&howdah, &["run"], &[]).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(100);
        while hook.requests() == requests {
            assert!(Instant::now() < deadline, "nothing was told");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        first.kill().unwrap();
        first.wait().unwrap();
        assert_eq!(hook.delivered().len(), delivered + taken);
        let mut second = command(&howdah, &["run"], &[]).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        while hook.delivered().len() == delivered + taken {
            assert!(Instant::now() < deadline, "it is lost");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // Politely: killed, it might not have written down that the message was taken, and it would go out once more.
        let pid = Pid::from_raw(i32::try_from(second.id()).unwrap());
        kill(pid, Signal::SIGTERM).unwrap();
        second.wait().unwrap();
        let told: Vec<String> = hook.delivered()[delivered..]
            .iter()
            .map(|shown| shown.json["id"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(hook.delivered()[delivered].title, "postgres is backed up");
        assert_eq!(
            told.iter().filter(|id| **id == told[0]).count(),
            1 + taken,
            "{told:?}"
        );
        ids.push(told[0].clone());
    }
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 2, "{ids:?}");
}
