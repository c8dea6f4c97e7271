//! Encrypted backups from the plan to the new laptop: only the key opens them, and the key with the destination is enough.

#![allow(clippy::unwrap_used)]

mod support;

use std::process::Command;
use std::sync::Arc;

use howdah_archive::encryption::{Identity, Keys};
use howdah_domain::{Encryption, FailureCode, Secret};
use howdah_engine::api::{BackupView, PlanDraft};
use howdah_engine::restore::{RestoreRequest, compare_with};
use howdah_engine::stored::StoredBackup;
use howdah_engine::verify::verify;
use howdah_engine::work::Reporter;
use howdah_postgres::restore::Options;
use howdah_testkit::Cluster;
use support::by_hand::{by_hand, folder_at, server};
use support::{Heard, TestEngine, files_below};
use tokio_util::sync::CancellationToken;

/// A backup of a small table by a plan that encrypts.
async fn encrypted(test: &TestEngine, cluster: &Cluster, encryption: Encryption) -> BackupView {
    let sql =
        "CREATE TABLE secrets AS SELECT n, 'salary of person ' || n AS text FROM generate_series(1, 5000) n";
    cluster.sql("postgres", sql).await.unwrap();
    let server = server(test, cluster, "shop").await;
    let draft = PlanDraft {
        folder: Some(test.folder()),
        encryption: Some(encryption),
        ..by_hand(server, Vec::new())
    };
    test.engine.save_plan(draft).await.unwrap();
    test.backed_up().await
}

/// A new engine that knows nothing, with the destination of `test` attached.
async fn new_laptop(test: &TestEngine) -> TestEngine {
    let other = TestEngine::start().await;
    let added = other.engine.add_destination(folder_at(&test.folder())).await;
    let destination = added.unwrap();
    let report = other.engine.attach(&destination.id).await.unwrap();
    assert_eq!(report.added, 1, "{report:?}");
    other
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_laptop_with_the_recovery_kit_and_the_destination_has_everything_back() {
    let cluster = Cluster::start(17).await.unwrap();
    let test = TestEngine::start().await;
    let key = test.engine.own_key().await.unwrap();
    let again = test.engine.own_key().await.unwrap();
    assert_eq!(again.recipient, key.recipient, "it is made once");
    let encryption = Encryption::Keys {
        recipients: vec![key.recipient.clone()],
    };
    let backup = encrypted(&test, &cluster, encryption).await;
    let kit = test.engine.recovery_kit().await.unwrap();
    test.engine.kit_saved().await.unwrap();
    let report = test.engine.test_kit(&kit.text).await.unwrap();
    assert!(report.right, "{report:?}");
    assert!(test.engine.own_key().await.unwrap().kit_tested_at.is_some());

    // Nothing of the content can be read from the files, names of tables neither.
    for file in files_below(&test.folder()) {
        // The settings are copied there by themselves, perhaps at this moment.
        let Ok(bytes) = std::fs::read(test.folder().join(&file)) else {
            continue;
        };
        let file = file.trim_end_matches(".part");
        let plain = file.ends_with("manifest.json") || file.ends_with("manifest.sha256");
        assert_eq!(plain, !file.ends_with(".age"), "{file}");
        assert!(!bytes.windows(7).any(|window| window == b"secrets"), "{file}");
    }

    let laptop = new_laptop(&test).await;
    let page = laptop.engine.backup_page(&backup.id).await.unwrap();
    assert_eq!(page.failure.unwrap().code, FailureCode::KeyMissing);

    let report = laptop.engine.import_kit(&kit.text).await.unwrap();
    assert!(report.right, "a machine without a key takes it as its own");
    assert_eq!(report.destinations, [test.folder().display().to_string()]);
    let page = laptop.engine.backup_page(&backup.id).await.unwrap();
    assert_eq!(page.failure, None);
    assert!(page.tables.iter().any(|table| table.name == "secrets"));

    let stored = laptop.engine.locate(&backup.id).await.unwrap();
    let never = CancellationToken::new();
    let reporter: Arc<dyn Reporter> = Arc::new(Heard::default());
    let verified = verify(&stored, &reporter, &never).await.unwrap();
    assert!(verified.is_whole() && verified.content_checked, "{verified:?}");
    for (database, jobs) in [("one", 1), ("two", 2)] {
        let request = RestoreRequest {
            backup: stored.clone(),
            target: cluster.connection(database),
            secret: Some(cluster.password()),
            options: Options {
                create: true,
                ..Options::default()
            },
            jobs,
        };
        laptop
            .engine
            .restore_once(&request, reporter.clone(), &never)
            .await
            .unwrap();
        let secret = cluster.password();
        let compared = compare_with(
            &stored,
            None,
            &request.target,
            Some(&secret),
            1,
            &reporter,
            &never,
        )
        .await
        .unwrap();
        assert_eq!(compared.mismatches, []);
        assert_eq!(compared.rows, backup.rows);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_standard_programs_read_it_with_the_kit_as_their_key_file() {
    let cluster = Cluster::start(17).await.unwrap();
    let test = TestEngine::start().await;
    let key = test.engine.own_key().await.unwrap();
    let encryption = Encryption::Keys {
        recipients: vec![key.recipient],
    };
    let backup = encrypted(&test, &cluster, encryption).await;
    let kit = test.dir.path().join("kit.txt");
    std::fs::write(&kit, test.engine.recovery_kit().await.unwrap().text.expose()).unwrap();
    let folder = std::path::PathBuf::from(&backup.copies[0].path);
    let client = test.engine.programs().client_for(17).unwrap();
    let script = format!(
        "age -d -i '{kit}' '{dump}' | zstd -dc | '{pg_restore}' --list",
        kit = kit.display(),
        dump = folder.join("dump.pgdump.zst.age").display(),
        pg_restore = client.pg_restore.display(),
    );
    let listed = Command::new("bash").arg("-c").arg(script).output().unwrap();
    let text = String::from_utf8_lossy(&listed.stdout);
    assert!(listed.status.success(), "{listed:?}");
    assert!(text.contains("TABLE DATA public secrets"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_laptop_with_only_the_public_key_backs_up_and_cannot_read() {
    let cluster = Cluster::start(17).await.unwrap();
    let test = TestEngine::start().await;
    let colleague = Identity::generate();
    let encryption = Encryption::Keys {
        recipients: vec![colleague.recipient().to_string()],
    };
    let backup = encrypted(&test, &cluster, encryption).await;
    let page = test.engine.backup_page(&backup.id).await.unwrap();
    assert_eq!(page.failure.unwrap().code, FailureCode::KeyMissing);

    // A verification looks at every checksum, and says what it could not look into.
    let reporter = Arc::new(Heard::default());
    let telling: Arc<dyn Reporter> = reporter.clone();
    let never = CancellationToken::new();
    let stored = StoredBackup::in_folder(std::path::Path::new(&backup.copies[0].path)).unwrap();
    let report = verify(&stored, &telling, &never).await.unwrap();
    assert!(report.is_whole() && !report.content_checked, "{report:?}");
    assert!(reporter.text().contains("not looked into"), "{}", reporter.text());

    let wrong = stored
        .clone()
        .with_keys(Keys::none().and_identity(Identity::generate()));
    let manifest = wrong.manifest(&never).await.unwrap();
    let failure = wrong.index(&manifest, &never).await.unwrap_err();
    assert_eq!(failure.code, FailureCode::KeyWrong, "{failure:?}");
    let right = stored.with_keys(Keys::none().and_identity(colleague));
    assert!(right.index(&manifest, &never).await.unwrap().tables().count() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_secret_key_is_in_the_keyring_alone() {
    let cluster = Cluster::start(17).await.unwrap();
    let test = TestEngine::start().await;
    let key = test.engine.own_key().await.unwrap();
    let encryption = Encryption::Keys {
        recipients: vec![key.recipient],
    };
    encrypted(&test, &cluster, encryption).await;
    let kit = test.engine.recovery_kit().await.unwrap().text;
    let secret = kit
        .expose()
        .lines()
        .find(|line| line.starts_with("AGE-SECRET-KEY-"))
        .unwrap()
        .to_owned();
    for file in files_below(test.dir.path()) {
        let bytes = std::fs::read(test.dir.path().join(&file)).unwrap();
        assert!(
            !bytes
                .windows(secret.len())
                .any(|window| window == secret.as_bytes()),
            "{file} holds the key"
        );
    }
    assert!(!format!("{:?}", Secret::new(secret.clone())).contains(&secret));
}
