//! Watching and telling, in the real window: a server that is killed and comes back, told once on each channel.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    dead_code,
    reason = "this is a test, helpers included; other tests use the rest of them"
)]

mod support;

use std::path::Path;
use std::time::Duration;

use howdah_testkit::Cluster;
use howdah_testkit::hooks::{HookEmulator, Kind, TELEGRAM_CHAT};
use howdah_testkit::mail::MailServer;
use jiff::{SignedDuration, Timestamp};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use support::app::binary;
use support::eventually;
use support::far::{ADDRESS, Far};
use support::notifications::Heard;
use support::steps::set_up;
use support::webdriver::WebDriver;

/// How long anything may take on a machine that builds something else at the same time.
const PATIENCE: Duration = Duration::from_secs(60);

/// Seconds between two checks of this test's database, and how often in a row it must fail.
const INTERVAL: u64 = 10;
const FAILURES: u64 = 2;

fn channel(name: &str, address: &Value, secrets: &Value) -> Value {
    json!({ "input": {
        "id": null,
        "name": name,
        "address": address,
        "secrets": secrets,
        "rule": { "least": "warning", "also": [], "never": [], "databases": { "which": "all" }, "quiet": null, "again_minutes": null, "summary": null },
        "enabled": true,
    } })
}

async fn state(window: &WebDriver, id: &str) -> String {
    let page = window.invoke("watch_page", json!({ "id": id })).await;
    page["health"]["state"]["is"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

async fn state_becomes(window: &WebDriver, id: &str, wanted: &str) {
    eventually(&format!("the database is {wanted}"), PATIENCE, async || {
        (state(window, id).await == wanted).then_some(())
    })
    .await;
}

/// Has the database checked every ten seconds, and waits until it answers. Its id.
async fn watch(window: &WebDriver, failures: u64) -> String {
    let overview = window.invoke("overview", json!({})).await;
    let id = overview["databases"][0]["id"].as_str().unwrap().to_owned();
    let rule = json!({ "enabled": true, "interval_seconds": INTERVAL, "timeout_seconds": 5, "failures": failures, "sql": null, "expected": null, "slow_after_ms": null });
    window
        .invoke("save_check_rule", json!({ "id": id, "rule": rule }))
        .await;
    state_becomes(window, &id, "up").await;
    id
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a desktop: make test-window"]
async fn a_server_that_is_killed_is_told_once_on_every_channel_and_so_is_its_return() {
    let mut cluster = Cluster::start(17).await.unwrap();
    cluster.create_database("shop").await.unwrap();
    let heard = Heard::start().await;
    let mail = MailServer::builder().start().unwrap();
    let telegram = HookEmulator::start(Kind::Telegram).await.unwrap();
    let discord = HookEmulator::start(Kind::Discord).await.unwrap();
    let slack = HookEmulator::start(Kind::SlackHook).await.unwrap();
    let laptop = tempfile::tempdir().unwrap();
    let data = laptop.path().join("data");
    set_up(&data, &cluster.url("shop"), &[]).await;

    let window = WebDriver::start(binary(), &[], &[("HOWDAH_DATA_DIR", &data)]).await;
    window.resize(1280, 800).await;
    window.see("Activity").await;
    for input in [
        channel(
            "Mail",
            &json!({ "kind": "email", "host": "127.0.0.1", "port": mail.port(), "security": "none", "user": null,
                "mechanism": "password", "from": "howdah@example.com", "to": ["ada@example.com"], "trusted_certificate": null }),
            &json!({}),
        ),
        channel(
            "Telegram",
            &json!({ "kind": "telegram", "chat": TELEGRAM_CHAT.to_string(), "topic": null, "proxy": null, "server": telegram.url() }),
            &json!({ "token": Kind::Telegram.secret() }),
        ),
        channel(
            "Discord",
            &json!({ "kind": "discord" }),
            &json!({ "url": discord.hook_url() }),
        ),
        channel(
            "Slack",
            &json!({ "kind": "slack", "channel": null }),
            &json!({ "url": slack.hook_url() }),
        ),
    ] {
        let report = window.invoke("test_channel", input.clone()).await;
        assert_eq!(report["failure"], Value::Null, "{report}");
        window.invoke("save_channel", input).await;
    }
    let tests = (
        mail.mails().unwrap().len(),
        telegram.delivered().len(),
        discord.delivered().len(),
        slack.delivered().len(),
    );
    assert_eq!(tests, (1, 1, 1, 1));
    let id = watch(&window, FAILURES).await;
    window.go(&format!("/databases/{id}/availability")).await;
    window.see("Up").await;

    cluster.kill();
    let killed = Timestamp::now();
    state_becomes(&window, &id, "down").await;
    let page = window.invoke("notifications_page", json!({})).await;
    let down = page["alerts"]
        .as_array()
        .unwrap()
        .iter()
        .find(|alert| alert["kind"] == "database_down")
        .unwrap();
    let found: Timestamp = down["at"].as_str().unwrap().parse().unwrap();
    let took = found.duration_since(killed);
    // What is asked again after a failure is asked every ten seconds.
    let latest = SignedDuration::from_secs(i64::try_from(INTERVAL + (FAILURES - 1) * 10 + 1).unwrap());
    println!("a killed server was found after {:.1} s", took.as_secs_f64());
    assert!(
        took <= latest,
        "down was found after {took:?}, which should be {latest:?} at the latest"
    );
    window.see("Down").await;
    let seen = async || {
        (
            mail.mails().unwrap().len() - 1,
            telegram.delivered().len() - 1,
            discord.delivered().len() - 1,
            slack.delivered().len() - 1,
            heard
                .all()
                .iter()
                .filter(|one| one.summary.contains("shop"))
                .count(),
        )
    };
    eventually("everybody is told", PATIENCE, async || {
        (seen().await == (1, 1, 1, 1, 1)).then_some(())
    })
    .await;
    let page = window.invoke("watch_page", json!({ "id": id })).await;
    assert!(
        page["incident"]["ended_at"].is_null() && page["incident"].is_object(),
        "{page}"
    );

    cluster.start_again().await.unwrap();
    state_becomes(&window, &id, "up").await;
    eventually("everybody is told of its return", PATIENCE, async || {
        (seen().await == (2, 2, 2, 2, 2)).then_some(())
    })
    .await;
    let text = telegram.delivered()[2].text.clone() + &telegram.delivered()[2].title;
    assert!(
        text.contains("answers again") && text.contains("down for"),
        "{text}"
    );
    window.see("Up").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(seen().await, (2, 2, 2, 2, 2), "each once");
    window.go("/notifications").await;
    window.see("shop answers again").await;
    let words = window.page_text().await;
    for secret in [
        cluster.password().expose(),
        Kind::Telegram.secret(),
        "dIsCoRd-S3cret_Token-of-68",
    ] {
        assert!(!words.contains(secret));
    }
    window.end().await;
}

/// Without a runtime of its own at first: its threads must all be in the network that is made for this test.
#[test]
#[ignore = "needs a desktop: make test-window"]
fn a_machine_that_was_offline_and_one_that_slept_raise_nothing() {
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let outside = runtime();
    let cluster = outside.block_on(async {
        let cluster = Cluster::start(17).await.unwrap();
        cluster.create_database("shop").await.unwrap();
        cluster
    });
    let port = cluster.port();
    let socket = Path::new(&cluster.socket_connection("shop").host).join(format!(".s.PGSQL.{port}"));
    let Some(cable) = Far::connect(socket) else {
        return;
    };
    let url = cluster
        .url("shop")
        .replace(&format!("127.0.0.1:{port}"), &format!("{ADDRESS}:5432"));
    assert!(url.contains(ADDRESS), "the server is somewhere else");
    runtime().block_on(offline_and_asleep(&cluster, &cable, &url));
}

async fn offline_and_asleep(cluster: &Cluster, cable: &Far, url: &str) {
    let heard = Heard::start().await;
    let telegram = HookEmulator::start(Kind::Telegram).await.unwrap();
    let laptop = tempfile::tempdir().unwrap();
    let data = laptop.path().join("data");
    set_up(&data, url, &[]).await;
    // By the command line, into the keyring that the window reads.
    let (chat, server) = (TELEGRAM_CHAT.to_string(), telegram.url());
    let program = binary().with_file_name("howdah");
    let added = tokio::process::Command::new(program)
        .args(["channel", "add", "telegram", "--chat", &chat, "--server", &server])
        .env("HOWDAH_DATA_DIR", &data)
        .env("HOWDAH_CHANNEL_TOKEN", Kind::Telegram.secret())
        .output()
        .await
        .unwrap();
    assert!(added.status.success(), "{added:?}");
    assert_eq!(telegram.delivered().len(), 1, "its test message");

    let window = WebDriver::start(binary(), &[], &[("HOWDAH_DATA_DIR", &data)]).await;
    window.resize(1280, 800).await;
    window.see("Activity").await;
    let page = window.invoke("notifications_page", json!({})).await;
    let ours = page["channels"]
        .as_array()
        .unwrap()
        .iter()
        .find(|channel| channel["address"]["kind"] == "telegram")
        .unwrap();
    let input = json!({ "input": {
        "id": ours["id"], "name": ours["name"], "address": ours["address"], "secrets": {}, "rule": ours["rule"], "enabled": true,
    } });
    let report = window.invoke("test_channel", input).await;
    assert_eq!(
        report["failure"],
        Value::Null,
        "the keyring opens for both: {report}"
    );
    let id = watch(&window, 1).await;
    window.go(&format!("/databases/{id}/availability")).await;
    window.see("Up").await;

    // Offline.
    cable.pull();
    state_becomes(&window, &id, "no_data").await;
    window.see("offline").await;
    tokio::time::sleep(Duration::from_secs(15)).await;
    cable.plug();
    state_becomes(&window, &id, "up").await;

    // Asleep; and its server is away meanwhile, with a check under way more often than not.
    cluster.freeze();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let app = Pid::from_raw(i32::try_from(window.app()).unwrap());
    kill(app, Signal::SIGSTOP).unwrap();
    tokio::time::sleep(Duration::from_secs(33)).await;
    cluster.thaw();
    kill(app, Signal::SIGCONT).unwrap();
    let woken = Timestamp::now();
    eventually("it is asked again after the sleep", PATIENCE, async || {
        let page = window.invoke("watch_page", json!({ "id": id })).await;
        let at: Timestamp = page["health"]["checked_at"].as_str()?.parse().ok()?;
        (at > woken && page["health"]["state"]["is"] == "up").then_some(())
    })
    .await;

    let to = Timestamp::now();
    let request = json!({ "request": { "database_id": id, "from": (to - SignedDuration::from_hours(1)).to_string(), "to": to.to_string(), "points": 500 } });
    let seen = window.invoke("availability", request).await;
    let spent = |state: &str| seen["total"][state].as_u64().unwrap();
    assert_eq!(
        (
            spent("down"),
            spent("failing"),
            seen["incidents"].as_array().unwrap().len()
        ),
        (0, 0, 0),
        "{}",
        seen["total"]
    );
    assert!(
        spent("offline") > 10_000 && spent("asleep") > 28_000,
        "{}",
        seen["total"]
    );
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(telegram.delivered().len(), 2, "the two tests, and nothing else");
    let told: Vec<String> = heard.all().iter().map(|one| one.summary.clone()).collect();
    assert!(told.iter().all(|summary| !summary.contains("shop")), "{told:?}");
    window.end().await;
}
