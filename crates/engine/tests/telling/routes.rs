//! Who hears of what, on services that are there and not always well.

use std::time::Duration;

use howdah_domain::channel::WebhookAddress;
use howdah_domain::routing::{ChannelRule, Databases};
use howdah_domain::{Address, ChannelSecret, Environment, FailureCode, RunState, Secret};
use howdah_engine::api::{ChannelInput, ChannelView, ConnectionInput, PlanDraft};
use howdah_testkit::Cluster;
use howdah_testkit::hooks::{Fault, HEADER_SECRET, HookEmulator, Kind};
use jiff::SignedDuration;

use super::support::TestEngine;
use super::support::by_hand::{by_hand, saved, server};

/// A channel to an emulator, told of databases of these environments; of none is of all.
async fn hooked(
    test: &TestEngine,
    name: &str,
    hook: &HookEmulator,
    environments: &[Environment],
) -> ChannelView {
    let databases = match environments {
        [] => Databases::All,
        some => Databases::Environments {
            environments: some.to_vec(),
        },
    };
    let input = ChannelInput {
        id: None,
        name: name.to_owned(),
        address: Address::Webhook(WebhookAddress::default()),
        secrets: [
            (ChannelSecret::Url, Secret::new(hook.hook_url())),
            (
                ChannelSecret::Headers,
                Secret::new(format!("Authorization: Bearer {HEADER_SECRET}")),
            ),
        ]
        .into(),
        rule: ChannelRule {
            databases,
            ..ChannelRule::default()
        },
        enabled: true,
    };
    test.engine.save_channel(input).await.unwrap()
}

/// Waits until an emulator has taken so many messages.
async fn taken(hook: &HookEmulator, count: usize) {
    for _ in 0..400 {
        if hook.delivered().len() >= count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{count} were not delivered: {:?}", hook.delivered());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_hears_of_the_environments_that_it_is_for_and_of_no_others() {
    let cluster = Cluster::start(17).await.unwrap();
    let password = cluster.create_role("reader", "").await.unwrap();
    cluster
        .sql("postgres", "CREATE TABLE secrets (id int)")
        .await
        .unwrap();
    let test = TestEngine::start().await;
    let (ops, play) = (
        HookEmulator::start(Kind::Webhook).await.unwrap(),
        HookEmulator::start(Kind::Webhook).await.unwrap(),
    );
    hooked(&test, "ops", &ops, &[Environment::Production]).await;
    hooked(
        &test,
        "play",
        &play,
        &[Environment::Staging, Environment::Development],
    )
    .await;
    let input = ConnectionInput::Form {
        connection: cluster.connection_as("reader", "postgres"),
        password: Some(password.clone()),
        ssh_secret: None,
    };
    let server = test
        .engine
        .add_server(input, "shop", Environment::Production)
        .await
        .unwrap();
    let draft = PlanDraft {
        folder: Some(test.folder()),
        ..by_hand(server.id, Vec::new())
    };
    saved(&test, draft).await;
    assert_eq!(test.back_up_now().await.state, RunState::Failed);
    taken(&ops, 1).await;
    let told = ops.delivered().remove(0);
    assert_eq!(told.title, "postgres was not backed up");
    let last = told.json["details"]
        .as_str()
        .unwrap()
        .lines()
        .next_back()
        .unwrap()
        .to_owned();
    assert!(last.contains("secrets"), "the last line is pg_dump's own: {last}");
    assert_eq!(told.json["severity"], "critical");
    assert!(!told.body.contains(password.expose()));
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!((ops.requests(), play.requests()), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_ill_for_an_hour_gets_the_message_once_it_is_well() {
    let cluster = Cluster::start(17).await.unwrap();
    let test = TestEngine::start().await;
    let hook = HookEmulator::start(Kind::Webhook).await.unwrap();
    for _ in 0..4 {
        hook.fail(Fault::Status(500));
    }
    let channel = hooked(&test, "ops", &hook, &[]).await;
    let shop = server(&test, &cluster, "shop").await;
    let draft = PlanDraft {
        folder: Some(test.folder()),
        ..by_hand(shop, Vec::new())
    };
    saved(&test, draft).await;
    cluster
        .sql("postgres", "ALTER ROLE postgres PASSWORD 'another'")
        .await
        .unwrap();
    assert_eq!(test.back_up_now().await.state, RunState::Failed);
    for requests in 1..=4 {
        for _ in 0..400 {
            if hook.requests() == requests {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(hook.requests(), requests, "one try at a time");
        let seen = test.engine.find_channel(channel.id.as_str()).await.unwrap();
        assert_eq!(seen.waiting, 1, "it is kept");
        test.clock.turn(SignedDuration::from_mins(20));
    }
    taken(&hook, 1).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(hook.requests(), 5);
    assert_eq!(hook.delivered()[0].title, "postgres was not backed up");
    let seen = test.engine.find_channel("ops").await.unwrap();
    assert_eq!((seen.waiting, seen.failure), (0, None));
    // A token that was revoked is told at once, and nothing is tried for a day.
    hook.revoke();
    let report = test
        .engine
        .test_channel(ChannelInput {
            id: Some(seen.id),
            name: seen.name,
            address: seen.address,
            secrets: Default::default(),
            rule: seen.rule,
            enabled: true,
        })
        .await
        .unwrap();
    assert_eq!(report.failure.unwrap().code, FailureCode::AuthenticationFailed);
}
