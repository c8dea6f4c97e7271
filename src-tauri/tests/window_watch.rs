//! Watching and telling, in the real window: a server that is killed and comes back, told once on each channel.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    dead_code,
    reason = "this is a test, helpers included; other tests use the rest of them"
)]

mod support;

use std::time::{Duration, Instant};

use howdah_testkit::Cluster;
use howdah_testkit::hooks::{HookEmulator, Kind, TELEGRAM_CHAT};
use howdah_testkit::mail::MailServer;
use serde_json::{Value, json};
use support::app::binary;
use support::eventually;
use support::notifications::Heard;
use support::steps::howdah;
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
    let add = ["server", "add", &cluster.url("shop"), "--name", "vps"];
    assert!(howdah(&data, &add, None).await.status.success());
    let backups = laptop.path().join("backups");
    let plan = [
        "plan",
        "add",
        "vps",
        "--schedule",
        "manual",
        "--to",
        backups.to_str().unwrap(),
    ];
    assert!(howdah(&data, &plan, None).await.status.success());

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
    let overview = window.invoke("overview", json!({})).await;
    let id = overview["databases"][0]["id"].as_str().unwrap().to_owned();
    let rule = json!({ "enabled": true, "interval_seconds": INTERVAL, "timeout_seconds": 5, "failures": FAILURES, "sql": null, "expected": null, "slow_after_ms": null });
    window
        .invoke("save_check_rule", json!({ "id": id, "rule": rule }))
        .await;
    state_becomes(&window, &id, "up").await;
    window.go(&format!("/databases/{id}/availability")).await;
    window.see("Up").await;

    cluster.kill();
    let killed = Instant::now();
    state_becomes(&window, &id, "down").await;
    let took = killed.elapsed();
    let latest = Duration::from_secs(INTERVAL + (FAILURES - 1) * INTERVAL + 2);
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
