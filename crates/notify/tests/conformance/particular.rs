//! What only one of the channels can do, or only one of the services does.

use howdah_domain::channel::{
    MattermostAddress, NtfyAddress, PushoverAddress, SlackAddress, TelegramAddress, WebhookAddress,
    WebhookMethod,
};
use howdah_domain::{Address, AlertKind, ChannelSecret, Secret};
use howdah_notify::testing::{Wiring, find_chats_with, open_with};
use howdah_notify::{Error, Message, Secrets};
use howdah_testkit::hooks::{
    Fault, HEADER_SECRET, HookEmulator, Kind, NTFY_TOPIC, NTFY_USER, PUSHOVER_USER, SocksProxy, TELEGRAM_CHAT,
};
use rstest::rstest;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::rig::{AT, Rig, failed, message, secrets, texts, wiring};

fn telegram() -> TelegramAddress {
    TelegramAddress {
        chat: TELEGRAM_CHAT.to_string(),
        ..TelegramAddress::default()
    }
}

#[tokio::test]
async fn telegram_writes_into_a_topic_and_to_a_public_name() {
    let rig = Rig::start(Kind::Telegram)
        .await
        .at(Address::Telegram(TelegramAddress {
            chat: "@howdah_alerts".to_owned(),
            topic: Some(12),
            ..TelegramAddress::default()
        }));
    rig.send(&failed()).await.unwrap();
    let shown = rig.only();
    assert_eq!(shown.json["message_thread_id"], 12);
    assert_eq!(shown.json["chat_id"], "@howdah_alerts");
    assert_eq!(shown.json["disable_notification"], false);
}

#[tokio::test]
async fn telegram_says_where_a_group_went_that_became_a_supergroup() {
    let rig = Rig::start(Kind::Telegram).await;
    rig.emulator.migrate(-1_009_999);
    let error = rig.failure().await;
    assert!(matches!(error, Error::Misconfigured { .. }), "{error:?}");
    assert!(error.to_string().contains("-1009999"), "{error}");
}

#[rstest]
#[case(TelegramAddress { chat: "-5".to_owned(), ..telegram() }, "no chat -5")]
#[case(TelegramAddress { topic: Some(13), ..telegram() }, "topic is not there")]
#[tokio::test]
async fn telegram_tells_a_chat_or_topic_that_is_not_there(
    #[case] address: TelegramAddress,
    #[case] told: &str,
) {
    let rig = Rig::start(Kind::Telegram).await.at(Address::Telegram(address));
    let error = rig.failure().await;
    assert!(
        matches!(&error, Error::Misconfigured { message, .. } if message.contains(told)),
        "{error:?}"
    );
}

#[tokio::test]
async fn telegram_is_reached_through_a_socks_proxy_which_looks_up_its_name() {
    let rig = Rig::start(Kind::Telegram).await;
    let proxy = SocksProxy::start(rig.emulator.port()).await.unwrap();
    let address = TelegramAddress {
        proxy: Some(proxy.url()),
        server: Some("http://telegram.example".to_owned()),
        ..telegram()
    };
    let rig = rig.at(Address::Telegram(address.clone()));
    rig.send(&failed()).await.unwrap();
    assert_eq!(proxy.asked(), ["telegram.example:80"]);
    let password = proxy.password();
    assert!(!format!("{:?}", rig.channel).contains(password));
    // A wrong password.
    let wrong = TelegramAddress {
        proxy: Some(proxy.url().replace(password, "wrong-socks-password")),
        ..address
    };
    let error = rig.at(Address::Telegram(wrong)).failure().await;
    assert!(error.is_retryable(), "{error:?}");
    for text in texts(&error) {
        assert!(!text.contains("wrong-socks-password"), "{text}");
    }
}

#[tokio::test]
async fn telegram_is_reached_through_an_http_proxy() {
    let rig = Rig::start(Kind::Telegram).await;
    let rig = rig_with_proxy(rig);
    rig.send(&failed()).await.unwrap();
    assert_eq!(rig.emulator.through_proxy(), 1);
}

fn rig_with_proxy(rig: Rig) -> Rig {
    let address = TelegramAddress {
        proxy: Some(rig.emulator.url()),
        server: Some("http://telegram.example".to_owned()),
        ..telegram()
    };
    rig.at(Address::Telegram(address))
}

#[tokio::test]
async fn telegram_finds_the_chats_of_a_bot() {
    let emulator = HookEmulator::start(Kind::Telegram).await.unwrap();
    for id in 0..150 {
        emulator.update(
            json!({ "update_id": id, "message": { "chat": { "id": id % 3, "first_name": "Ada", "last_name": id % 3 } } }),
        );
    }
    emulator.update(
        json!({ "update_id": 200, "my_chat_member": { "chat": { "id": -7, "title": "Ops\u{202e}" } } }),
    );
    let wiring = wiring(&emulator.url());
    let find = async |token: &str| {
        let cancel = CancellationToken::new();
        find_chats_with(&TelegramAddress::default(), &Secret::new(token), &wiring, &cancel).await
    };
    let chats = find(Kind::Telegram.secret()).await.unwrap();
    let ids: Vec<&str> = chats.iter().map(|chat| chat.id.as_str()).collect();
    assert_eq!(ids, ["-7", "2", "1", "0"]);
    assert_eq!(chats[0].name, "Ops[U+202E]");
    let error = find("123456789:AAHwrongwrongwrong").await.unwrap_err();
    assert!(matches!(error, Error::Denied { .. }), "{error:?}");
}

#[tokio::test]
async fn discord_keeps_what_else_stands_in_a_web_hooks_url() {
    let rig = Rig::start(Kind::Discord).await;
    let url = format!("{}?thread_id=42&wait=false", rig.emulator.hook_url());
    let rig = rig.with(Secrets::new().with(ChannelSecret::Url, &Secret::new(url)));
    rig.send(&failed()).await.unwrap();
    assert_eq!(rig.emulator.delivered().len(), 1);
}

#[tokio::test]
async fn slack_says_that_a_bot_must_be_invited() {
    let rig = Rig::start(Kind::SlackBot).await;
    let rig = rig.at(Address::Slack(SlackAddress {
        channel: Some("#elsewhere".to_owned()),
    }));
    let error = rig.failure().await;
    assert!(
        matches!(&error, Error::Denied { hint, .. } if hint.contains("/invite")),
        "{error:?}"
    );
}

#[rstest]
#[case(Some("#alerts"), true)]
#[case(Some("@ada"), true)]
#[case(Some("elsewhere"), false)]
#[tokio::test]
async fn mattermost_writes_to_another_channel_where_that_is_allowed(
    #[case] channel: Option<&str>,
    #[case] good: bool,
) {
    let rig = Rig::start(Kind::Mattermost)
        .await
        .at(Address::Mattermost(MattermostAddress {
            channel: channel.map(str::to_owned),
        }));
    let sent = rig.send(&failed()).await;
    assert_eq!(sent.is_ok(), good, "{sent:?}");
    assert!(good || matches!(sent, Err(Error::Denied { .. })));
}

#[rstest]
#[case(NTFY_USER.1, true)]
#[case("wrong", false)]
#[tokio::test]
async fn ntfy_takes_a_user_with_a_password_and_a_server_of_ones_own(
    #[case] password: &str,
    #[case] good: bool,
) {
    let rig = Rig::start(Kind::Ntfy).await;
    let address = Address::Ntfy(NtfyAddress {
        server: rig.emulator.url(),
        topic: NTFY_TOPIC.to_owned(),
        user: Some(NTFY_USER.0.to_owned()),
    });
    let rig = rig.with(
        Secrets::new()
            .with(ChannelSecret::Password, &Secret::new(password))
            .with(ChannelSecret::Token, &Secret::new("unused")),
    );
    let rig = rig.at(address);
    let sent = rig.send(&failed()).await;
    assert_eq!(sent.is_ok(), good, "{sent:?}");
}

#[tokio::test]
async fn a_topic_of_ntfy_that_is_none_is_told() {
    let address = Address::Ntfy(NtfyAddress {
        topic: "https://ntfy.sh/x".to_owned(),
        ..NtfyAddress::default()
    });
    let error = open_with("n", &address, &Secrets::new(), &Wiring::default()).unwrap_err();
    assert!(matches!(error, Error::Misconfigured { .. }));
}

#[tokio::test]
async fn pushover_says_when_the_months_messages_are_used_up() {
    let rig = Rig::start(Kind::Pushover).await;
    let reset = jiff::Timestamp::now().as_second() + 86_400;
    rig.emulator.fail(Fault::Headers(
        429,
        vec![("X-Limit-App-Reset", reset.to_string())],
    ));
    let after = rig.failure().await.retry_after().unwrap().as_secs();
    assert!((86_000..=86_400).contains(&after), "{after}");
}

#[tokio::test]
async fn pushover_tells_a_wrong_user_from_a_wrong_token() {
    let rig = Rig::start(Kind::Pushover).await;
    let rig = rig.at(Address::Pushover(PushoverAddress {
        user: PUSHOVER_USER.to_lowercase(),
        device: None,
    }));
    let error = rig.failure().await;
    assert!(
        matches!(&error, Error::Misconfigured { message, .. } if message.contains("no such user")),
        "{error:?}"
    );
}

#[rstest]
#[case(WebhookMethod::Post)]
#[case(WebhookMethod::Put)]
#[case(WebhookMethod::Patch)]
#[tokio::test]
async fn a_web_hook_is_signed_and_has_its_headers(#[case] method: WebhookMethod) {
    let rig = Rig::start(Kind::Webhook)
        .await
        .at(Address::Webhook(WebhookAddress {
            method,
            template: Some(r#"{"title":"{{title}}","body":"{{body}}","details":"{{severity}}"}"#.to_owned()),
        }));
    let mut message = message("a \"name\"", "two\nlines");
    message.id = "m1".to_owned();
    rig.send(&message).await.unwrap();
    let shown = rig.only();
    assert_eq!(
        shown.json,
        json!({ "title": "a \"name\"", "body": "two\nlines", "details": "critical" })
    );
    let header = |name: &str| {
        let found = shown.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    };
    assert_eq!(header("x-team"), Some("ops"));
    assert_eq!(header("x-howdah-id"), Some("m1"));
    assert!(header("x-howdah-signature").unwrap().starts_with("sha256="));
    assert!(header("x-howdah-timestamp").is_some());
}

#[tokio::test]
async fn a_web_hook_with_another_key_is_denied_and_one_without_is_not_signed() {
    let rig = Rig::start(Kind::Webhook).await;
    let url = rig.emulator.url();
    let wrong = secrets(Kind::Webhook, &url).with(ChannelSecret::SigningKey, &Secret::new("another-key"));
    let rig = rig.with(wrong);
    let error = rig.failure().await;
    assert!(matches!(error, Error::Denied { .. }), "{error:?}");
    let unsigned = Secrets::new()
        .with(ChannelSecret::Url, &Secret::new(rig.emulator.hook_url()))
        .with(
            ChannelSecret::Headers,
            &Secret::new(format!("authorization: Bearer {HEADER_SECRET}")),
        );
    let rig = rig.with(unsigned);
    rig.send(&failed()).await.unwrap();
    let headers = rig.only().headers;
    assert!(!headers.iter().any(|(key, _)| key == "x-howdah-signature"));
}

#[rstest]
#[case(AlertKind::BackupStarted, Some("/start"))]
#[case(AlertKind::BackupSucceeded, Some(""))]
#[case(AlertKind::Test, Some(""))]
#[case(AlertKind::BackupFailed, Some("/fail"))]
#[case(AlertKind::DatabaseDown, None)]
#[case(AlertKind::Summary, None)]
#[tokio::test]
async fn a_dead_mans_switch_hears_of_backups_alone(#[case] kind: AlertKind, #[case] signal: Option<&str>) {
    let rig = Rig::start(Kind::Ping).await;
    rig.send(&Message::new(kind, AT, "t", "b")).await.unwrap();
    let paths: Vec<String> = rig
        .emulator
        .delivered()
        .into_iter()
        .map(|shown| shown.path)
        .collect();
    let expected: Vec<String> = signal
        .iter()
        .map(|signal| format!("{}{signal}", Kind::Ping.secret()))
        .collect();
    assert_eq!(paths, expected);
    assert_eq!(rig.emulator.requests() as usize, expected.len());
}

#[tokio::test]
async fn a_dead_mans_switch_that_keeps_less_gets_less_with_the_end() {
    let rig = Rig::start(Kind::Ping).await;
    rig.emulator.body_limit(10_000);
    rig.send(&Message::new(AlertKind::BackupStarted, AT, "t", "b"))
        .await
        .unwrap();
    let long = format!("{}\nERROR: the end", "noise\n".repeat(20_000));
    rig.send(&message("t", &long)).await.unwrap();
    let shown = rig.emulator.delivered().remove(1);
    assert!(shown.text.ends_with("ERROR: the end"), "{}", shown.text);
    assert!(shown.body.len() <= 10_000);
}

#[tokio::test]
async fn a_dead_mans_switch_that_says_ok_of_a_check_that_is_gone_is_not_believed() {
    let rig = Rig::start(Kind::Ping).await;
    rig.emulator.be_polite();
    rig.emulator.revoke();
    let error = rig.failure().await;
    assert!(matches!(error, Error::Denied { .. }), "{error:?}");
}
