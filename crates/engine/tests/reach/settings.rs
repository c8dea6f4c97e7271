//! Settings that outlive the laptop: exported, found at a destination, taken over.

use howdah_domain::channel::WebhookAddress;
use howdah_domain::routing::{ChannelRule, Databases};
use howdah_domain::{Address, ChannelSecret, Encryption, FailureCode, Secret};
use howdah_engine::api::{ChannelInput, ChannelView, ExportRequest, PlanDraft, Settings};
use howdah_testkit::Cluster;

use crate::support::{TestEngine, files_below};
use crate::{ROWS, by_hand, folder, server, until};

/// A machine with a server, a folder, and a plan that encrypts to its own key; one backup is made.
async fn laptop(cluster: &Cluster) -> TestEngine {
    cluster.sql("postgres", ROWS).await.unwrap();
    let test = TestEngine::start().await;
    let kept = test.engine.add_destination(folder(&test, "kept")).await.unwrap();
    let shop = server(&test, cluster, "shop").await;
    let own = test.engine.own_key().await.unwrap();
    let draft = PlanDraft {
        encryption: Some(Encryption::Keys {
            recipients: vec![own.recipient],
        }),
        ..by_hand(shop, vec![kept.id])
    };
    test.engine.save_plan(draft).await.unwrap();
    let settings = Settings {
        stall_minutes: 33,
        ..test.engine.settings().await
    };
    test.engine.save_settings(settings).await.unwrap();
    let database = test.engine.overview().await.unwrap().databases.remove(0).id;
    let channel = ChannelInput {
        id: None,
        name: "team".to_owned(),
        address: Address::Webhook(WebhookAddress::default()),
        secrets: [(ChannelSecret::Url, Secret::new(HOOK))].into(),
        rule: ChannelRule {
            again_minutes: Some(30),
            databases: Databases::These { ids: vec![database] },
            ..ChannelRule::default()
        },
        enabled: true,
    };
    test.engine.save_channel(channel).await.unwrap();
    test.backed_up().await;
    test
}

/// Nobody listens there, and whoever knows it is let in.
const HOOK: &str = "http://127.0.0.1:9/in/a-path-that-lets-in";

async fn team(test: &TestEngine) -> ChannelView {
    let channels = test.engine.list_channels().await.unwrap();
    assert_eq!(channels.len(), 2, "the desktop and the team: {channels:?}");
    channels
        .into_iter()
        .find(|channel| channel.name == "team")
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_with_secrets_makes_another_machine_able_to_go_on() {
    let cluster = Cluster::start(18).await.unwrap();
    let test = laptop(&cluster).await;
    let export = test
        .engine
        .export_settings(ExportRequest {
            with_secrets: true,
            passphrase: Some(Secret::new("tortoise elephant world")),
        })
        .await
        .unwrap();
    let password = cluster.password();
    let shows = |needle: &str| {
        export
            .bytes
            .windows(needle.len())
            .any(|window| window == needle.as_bytes())
    };
    assert!(!shows(password.expose()) && !shows("shop"), "it is encrypted");

    let other = TestEngine::start().await;
    let read = async |passphrase: Option<&str>| {
        let passphrase = passphrase.map(Secret::new);
        other.engine.read_export(export.bytes.clone(), passphrase).await
    };
    let without = read(None).await.unwrap_err();
    assert_eq!(without.code, FailureCode::KeyMissing, "{without:?}");
    let wrong = read(Some("wrong")).await.unwrap_err();
    assert_eq!(wrong.code, FailureCode::KeyWrong, "{wrong:?}");
    let view = read(Some("tortoise elephant world")).await.unwrap();
    assert_eq!((view.servers.there, view.servers.new), (1, 1));
    assert_eq!((view.plans.there, view.plans.new), (1, 1));
    assert!(view.secrets >= 2, "{view:?}");
    assert!(
        other.engine.list_servers().await.unwrap().is_empty(),
        "a look changes nothing"
    );

    let report = other.engine.import_settings(&view.id).await.unwrap();
    assert_eq!(
        (report.servers, report.destinations, report.plans),
        (1, 1, 1),
        "{report:?}"
    );
    assert_eq!(report.channels, 1);
    let team = team(&other).await;
    assert!(team.enabled && team.secrets == [ChannelSecret::Url], "{team:?}");
    assert_eq!(team.rule.again_minutes, Some(30));
    assert_eq!(team.rule.databases, Databases::All);
    assert!(
        report
            .remarks
            .iter()
            .any(|remark| remark.starts_with("team was told of some databases only")),
        "{report:?}"
    );
    let report = other.engine.test_channel(as_it_is(team)).await.unwrap();
    let code = report.failure.unwrap().code;
    assert_eq!(
        code,
        FailureCode::Unreachable,
        "its URL came along, and nobody listens there"
    );
    assert_eq!(other.engine.settings().await.stall_minutes, 33);
    let plan = other.engine.list_plans().await.unwrap().remove(0);
    assert!(!plan.enabled, "the other machine may still run it");
    // It reads what the first one encrypted, and makes backups of its own.
    let destination = other.engine.list_destinations().await.unwrap().remove(0);
    assert_eq!(other.engine.attach(&destination.id).await.unwrap().added, 1);
    let backup = other.engine.list_backups(None).await.unwrap().remove(0);
    let page = other.engine.backup_page(&backup.id).await.unwrap();
    assert_eq!(page.failure, None);
    assert_eq!(page.tables.len(), 1);
    other.backed_up().await;

    // Once more adds nothing.
    let view = read(Some("tortoise elephant world")).await.unwrap();
    assert_eq!(
        (view.servers.new, view.destinations.new, view.plans.new),
        (0, 0, 0)
    );
    let report = other.engine.import_settings(&view.id).await.unwrap();
    assert_eq!(
        (report.servers, report.destinations, report.plans, report.channels),
        (0, 0, 0, 0)
    );
}

fn as_it_is(channel: ChannelView) -> ChannelInput {
    ChannelInput {
        id: Some(channel.id),
        name: channel.name,
        address: channel.address,
        secrets: Default::default(),
        rule: channel.rule,
        enabled: channel.enabled,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_laptop_with_the_kit_and_the_destination_finds_the_settings_there() {
    let cluster = Cluster::start(18).await.unwrap();
    let test = laptop(&cluster).await;
    let kept = test.dir.path().join("kept");
    let settings_in = || {
        let mut files = files_below(&kept);
        files.retain(|file| file.starts_with("howdah-settings/"));
        files
    };
    // It is written by itself, once what was added before has settled; and after a change anew, the one before it goes.
    let first = until("the settings are copied", async || {
        let files = settings_in();
        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        (files.len() == 1 && files == settings_in()).then_some(files)
    })
    .await;
    let changed = Settings {
        stall_minutes: 44,
        ..test.engine.settings().await
    };
    test.engine.save_settings(changed).await.unwrap();
    test.engine.look_after_things();
    until("the change is copied", async || {
        let files = settings_in();
        (files.len() == 1 && files != first).then_some(())
    })
    .await;
    for file in settings_in() {
        let bytes = std::fs::read(kept.join(file)).unwrap();
        assert!(bytes.starts_with(b"age-encryption.org/v1"));
    }
    let kit = test.engine.recovery_kit().await.unwrap();

    let other = TestEngine::start().await;
    let mut input = folder(&test, "kept");
    input.name = None;
    let destination = other.engine.add_destination(input).await.unwrap();
    let stored = other.engine.stored_exports(&destination.id).await.unwrap();
    assert_eq!(stored.len(), 1);
    let locked = other
        .engine
        .read_stored_export(&destination.id, &stored[0].path)
        .await
        .unwrap_err();
    assert_eq!(locked.code, FailureCode::KeyMissing, "{locked:?}");
    other.engine.import_kit(&kit.text).await.unwrap();
    let view = other
        .engine
        .read_stored_export(&destination.id, &stored[0].path)
        .await
        .unwrap();
    assert_eq!(
        view.secrets, 0,
        "passwords stay at home unless the user wants otherwise"
    );
    let report = other.engine.import_settings(&view.id).await.unwrap();
    assert_eq!(
        (report.servers, report.destinations, report.plans),
        (1, 0, 1),
        "{report:?}"
    );
    assert!(
        report
            .remarks
            .iter()
            .any(|remark| remark.starts_with("shop: enter its password")),
        "{report:?}"
    );
    assert_eq!(other.engine.settings().await.stall_minutes, 44);
    let team = team(&other).await;
    assert!(!team.enabled && team.secrets.is_empty(), "{team:?}");
    assert!(
        report
            .remarks
            .iter()
            .any(|remark| remark.starts_with("team: enter its URL")),
        "{report:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_goes_to_a_destination_of_plain_backups() {
    let cluster = Cluster::start(18).await.unwrap();
    let test = TestEngine::start().await;
    let kept = test.engine.add_destination(folder(&test, "kept")).await.unwrap();
    let shop = server(&test, &cluster, "shop").await;
    test.engine.save_plan(by_hand(shop, vec![kept.id])).await.unwrap();
    test.engine.look_after_things();
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    assert_eq!(files_below(&test.dir.path().join("kept")), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_removed_comes_back_with_its_backups_whichever_came_first() {
    let cluster = Cluster::start(18).await.unwrap();
    let test = laptop(&cluster).await;
    let export = test
        .engine
        .export_settings(ExportRequest {
            with_secrets: true,
            passphrase: Some(Secret::new("tortoise")),
        })
        .await
        .unwrap();
    let take_over = async |machine: &TestEngine| {
        let passphrase = Some(Secret::new("tortoise"));
        let view = machine
            .engine
            .read_export(export.bytes.clone(), passphrase)
            .await
            .unwrap();
        machine.engine.import_settings(&view.id).await.unwrap()
    };
    let shop = test.engine.find_server("shop").await.unwrap();
    test.engine.remove_server(&shop.id).await.unwrap();
    let report = take_over(&test).await;
    assert_eq!((report.servers, report.plans), (1, 1), "{report:?}");
    let database = test.engine.overview().await.unwrap().databases.remove(0);
    assert!(database.last_backup.is_some(), "its backups are its own again");

    // On another machine the backups are there before the server.
    let other = TestEngine::start().await;
    let mut input = folder(&test, "kept");
    input.name = None;
    let destination = other.engine.add_destination(input).await.unwrap();
    assert_eq!(other.engine.attach(&destination.id).await.unwrap().added, 1);
    take_over(&other).await;
    let database = other.engine.overview().await.unwrap().databases.remove(0);
    assert!(database.last_backup.is_some(), "{database:?}");

    // A server of the same name that is another one is not taken for it.
    let third = TestEngine::start().await;
    let elsewhere = Cluster::start(17).await.unwrap();
    server(&third, &elsewhere, "shop").await;
    let report = take_over(&third).await;
    assert_eq!(report.servers, 1, "{report:?}");
    let names: Vec<String> = third
        .engine
        .list_servers()
        .await
        .unwrap()
        .into_iter()
        .map(|server| server.name)
        .collect();
    assert_eq!(names, ["shop", "shop (2)"]);
}
