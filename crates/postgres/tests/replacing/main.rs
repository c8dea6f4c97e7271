//! A restored database swapped in for the one that is there, on real servers: whole or not at all, taken back, dropped; and what a
//! role may not do is told. Cut off at any moment: `cut.rs`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

#[path = "../support/mod.rs"]
mod support;

mod cut;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use howdah_domain::{FailureCode, Secret};
use howdah_postgres::account::Account;
use howdah_postgres::replace::{Place, Record, drop_kept, place, prepare, put_back, remarks, repair, swap};
use howdah_postgres::{Error, Session};
use howdah_testkit::Cluster;
use jiff::civil::{DateTime, date};
use rstest::rstest;
use support::*;
use tokio_util::sync::CancellationToken;

const NAME: &str = "shop";
const RESTORED: &str = "shop_restored";

fn at() -> DateTime {
    date(2026, 11, 27).at(15, 30, 0, 0)
}

fn never() -> CancellationToken {
    CancellationToken::new()
}

/// A server with an old database and a restored one beside it, each with a table that says which it is.
async fn two_databases(builder: howdah_testkit::ClusterBuilder, name: &str, restored: &str) -> Cluster {
    let cluster = builder.start().await.unwrap();
    for (database, what) in [(name, "old"), (restored, "new")] {
        cluster.create_database(database).await.unwrap();
        let sql = format!("CREATE TABLE which AS SELECT '{what}'::text AS which");
        cluster.sql(database, &sql).await.unwrap();
    }
    cluster
}

/// Which of the two has a name. Who waited for the lock of a swap that goes through is told once that the database was renamed.
async fn which(cluster: &Cluster, database: &str) -> String {
    let query = "SELECT which FROM which";
    match cluster.one(database, query).await {
        Ok(which) => which,
        Err(_) => cluster.one(database, query).await.unwrap(),
    }
}

async fn of(cluster: &Cluster) -> Session {
    session(&cluster.connection("postgres"), &cluster.password()).await
}

async fn prepared(cluster: &Cluster) -> Record {
    prepare(&of(cluster).await, NAME, RESTORED, at(), &never())
        .await
        .unwrap_or_else(|error| panic!("{:#?}", error.to_failure()))
}

async fn swapped(cluster: &Cluster, record: &Record, patience: Duration) -> Result<(), Error> {
    swap(of(cluster).await, of(cluster).await, record, patience, &never()).await
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_database_is_swapped_in_under_an_application_that_connects_all_the_time(
    #[values(13, 18)] major: u16,
) {
    let cluster = Arc::new(two_databases(Cluster::builder(major), NAME, RESTORED).await);
    let (stop, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let mut clients = Vec::new();
    for _ in 0..4 {
        let (cluster, stop, answers) = (cluster.clone(), stop.clone(), answers.clone());
        clients.push(tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                // As a pool does: it keeps its session until that is ended, and connects again at once.
                let Ok(client) = cluster.client(NAME).await else {
                    continue;
                };
                while client.query_one("SELECT which FROM which", &[]).await.is_ok() {
                    answers.fetch_add(1, Ordering::Relaxed);
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                }
            }
        }));
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let record = prepared(&cluster).await;
    assert_eq!(record.kept, "shop_before_2026_11_27_1530");
    swapped(&cluster, &record, PATIENCE)
        .await
        .unwrap_or_else(|error| panic!("{:#?}", error.to_failure()));
    assert_eq!(which(&cluster, NAME).await, "new");
    // Twice does nothing more.
    swapped(&cluster, &record, PATIENCE).await.unwrap();

    let back = put_back(
        of(&cluster).await,
        of(&cluster).await,
        &record,
        at(),
        PATIENCE,
        &never(),
    )
    .await;
    assert_eq!(back.unwrap(), RESTORED);
    assert_eq!(which(&cluster, NAME).await, "old");
    assert_eq!(which(&cluster, RESTORED).await, "new");
    swapped(&cluster, &record, PATIENCE).await.unwrap();
    let before = answers.load(Ordering::Relaxed);
    let since = Instant::now();
    while answers.load(Ordering::Relaxed) <= before {
        assert!(since.elapsed() < PATIENCE, "the application does not come back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(which(&cluster, NAME).await, "new");
    assert_eq!(which(&cluster, &record.kept).await, "old");
    // The sessions of this test end a moment after they are dropped.
    let mut dropped = drop_kept(&of(&cluster).await, &record, &never()).await;
    for _ in 0..20 {
        if dropped.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        dropped = drop_kept(&of(&cluster).await, &record, &never()).await;
    }
    dropped.unwrap();
    let left = "SELECT count(*) FROM pg_database WHERE datname LIKE 'shop%'";
    assert_eq!(cluster.one("postgres", left).await.unwrap(), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_need_quotes_and_are_as_long_as_names_can_be_are_swapped() {
    let name = format!("a\"b'c; DROP 🐘{}", "é".repeat(21));
    assert!(name.len() > 55, "{}", name.len());
    let restored = "Re\"stored = x";
    let cluster = two_databases(Cluster::builder(18), &name, restored).await;
    let session = of(&cluster).await;
    let record = prepare(&session, &name, restored, at(), &never()).await.unwrap();
    assert!(record.kept.len() <= 63 && record.kept.ends_with("_before_2026_11_27_1530"));
    swapped(&cluster, &record, PATIENCE).await.unwrap();
    assert_eq!(which(&cluster, &name).await, "new");
    assert_eq!(which(&cluster, &record.kept).await, "old");
    // The next one in the same minute gets a name of its own.
    cluster.create_database(restored).await.unwrap();
    let second = prepare(&session, &name, restored, at(), &never()).await.unwrap();
    assert_ne!(second.kept, record.kept);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn an_owner_who_may_create_databases_swaps_and_others_are_told_what_they_lack(
    #[values(13, 18)] major: u16,
) {
    let cluster = two_databases(Cluster::builder(major), NAME, RESTORED).await;
    let password = cluster.create_role("keeper", "NOSUPERUSER").await.unwrap();
    let guest = cluster.create_role("guest", "").await.unwrap();
    let keeper = async || session(&cluster.connection_as("keeper", "postgres"), &password).await;
    let refused = async || failure(prepare(&keeper().await, NAME, RESTORED, at(), &never()).await);
    let lacks = refused().await;
    assert_eq!(lacks.code, FailureCode::PermissionDenied);
    assert!(lacks.message.contains("CREATEDB"), "{lacks:?}");
    cluster
        .sql(
            "postgres",
            "ALTER ROLE keeper CREATEDB; ALTER DATABASE shop OWNER TO keeper",
        )
        .await
        .unwrap();
    let lacks = refused().await;
    assert!(
        lacks.message.contains("shop_restored: it belongs to postgres"),
        "{lacks:?}"
    );
    cluster
        .sql("postgres", "ALTER DATABASE shop_restored OWNER TO keeper")
        .await
        .unwrap();
    let record = prepare(&keeper().await, NAME, RESTORED, at(), &never())
        .await
        .unwrap();

    // Somebody whose session it may not end.
    let visitor = session(&cluster.connection_as("guest", NAME), &guest).await;
    let short = Duration::from_secs(1);
    let outcome = swap(keeper().await, keeper().await, &record, short, &never()).await;
    let stays = failure(outcome);
    assert_eq!(stays.code, FailureCode::PermissionDenied, "{stays:?}");
    assert!(stays.message.contains("guest (howdah-test"), "{stays:?}");
    assert!(stays.hint.unwrap().contains("pg_signal_backend"));
    assert_eq!(which(&cluster, NAME).await, "old");
    cluster
        .sql("postgres", "GRANT pg_signal_backend TO keeper")
        .await
        .unwrap();
    let outcome = swap(keeper().await, keeper().await, &record, PATIENCE, &never()).await;
    outcome.unwrap_or_else(|error| panic!("{:#?}", error.to_failure()));
    drop(visitor);
    assert_eq!(which(&cluster, NAME).await, "new");
}

#[tokio::test(flavor = "multi_thread")]
async fn prepared_transactions_and_sessions_on_the_database_itself_are_refused_beforehand() {
    let cluster = two_databases(
        Cluster::builder(16).set("max_prepared_transactions", "3"),
        NAME,
        RESTORED,
    )
    .await;
    let secret = cluster.password();
    let on_it = session(&cluster.connection(NAME), &secret).await;
    let refused = failure(prepare(&on_it, NAME, RESTORED, at(), &never()).await);
    assert_eq!(refused.code, FailureCode::InvalidInput);
    drop(on_it);
    let session = of(&cluster).await;
    let refused = failure(prepare(&session, NAME, "nothing", at(), &never()).await);
    assert_eq!(refused.code, FailureCode::DatabaseNotFound);
    let refused = failure(prepare(&session, NAME, NAME, at(), &never()).await);
    assert_eq!(refused.code, FailureCode::InvalidInput);
    let prepare_it = "BEGIN; INSERT INTO which VALUES ('x'); PREPARE TRANSACTION 'open'";
    cluster.sql(NAME, prepare_it).await.unwrap();
    let refused = failure(prepare(&session, NAME, RESTORED, at(), &never()).await);
    assert_eq!(refused.code, FailureCode::Busy);
    assert!(refused.hint.unwrap().contains("COMMIT PREPARED"));
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_standby_nothing_is_replaced() {
    let mut cluster = two_databases(Cluster::builder(17), NAME, RESTORED).await;
    cluster.stop().await.unwrap();
    // It waits for ever for a primary, and answers who reads.
    let signal = cluster.folder().join("data/standby.signal");
    std::fs::write(&signal, "").unwrap();
    Account::for_instances().unwrap().own(&signal).unwrap();
    cluster.start_again().await.unwrap();
    let refused = failure(prepare(&of(&cluster).await, NAME, RESTORED, at(), &never()).await);
    assert_eq!(refused.code, FailureCode::InvalidInput);
    assert!(refused.message.contains("standby"), "{}", refused.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_tied_to_the_old_database_is_told() {
    let builder = Cluster::builder(17)
        .set("wal_level", "logical")
        .hba("host shop nosy 127.0.0.1/32 reject");
    let cluster = two_databases(builder, NAME, RESTORED).await;
    cluster
        .sql(
            "postgres",
            "CREATE ROLE guest; ALTER DATABASE shop SET work_mem = '7MB'; ALTER ROLE guest IN DATABASE shop SET lock_timeout = '9s';
             GRANT CREATE ON DATABASE shop TO guest; ALTER DATABASE shop CONNECTION LIMIT 41; ALTER DATABASE shop_restored SET jit = off",
        )
        .await
        .unwrap();
    cluster
        .sql(
            NAME,
            "SELECT pg_create_logical_replication_slot('feed', 'pgoutput');
             CREATE SUBSCRIPTION from_afar CONNECTION 'host=192.0.2.1' PUBLICATION p WITH (connect = false)",
        )
        .await
        .unwrap();
    let record = prepared(&cluster).await;
    let told = remarks(&of(&cluster).await, &record, &never())
        .await
        .unwrap()
        .join("\n");
    for part in [
        "setting work_mem=7MB now",
        "setting for role guest lock_timeout=9s now",
        "privilege guest=C/postgres now",
        "connection limit of shop is 41 now",
        "has the setting jit=off",
        "replication slot feed",
        "pg_hba.conf names shop (line ",
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }
    // A subscription that is disabled fills nothing.
    assert!(!told.contains("from_afar"), "{told}");
    swapped(&cluster, &record, PATIENCE).await.unwrap();
    let held = failure(drop_kept(&of(&cluster).await, &record, &never()).await);
    assert_eq!(held.code, FailureCode::Busy, "{held:?}");
    assert!(
        held.message.contains("slot feed") && held.message.contains("subscription from_afar"),
        "{held:?}"
    );
    // The settings went with the database that has them.
    let settings = "SELECT setconfig::text FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase WHERE datname = 'shop'";
    assert_eq!(cluster.one("postgres", settings).await.unwrap(), "{jit=off}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_recorded_database_is_dropped() {
    let cluster = two_databases(Cluster::builder(15), NAME, RESTORED).await;
    let record = prepared(&cluster).await;
    let session = of(&cluster).await;
    let refused = failure(drop_kept(&session, &record, &never()).await);
    assert_eq!(
        refused.code,
        FailureCode::NotFound,
        "before the swap: {refused:?}"
    );
    swapped(&cluster, &record, PATIENCE).await.unwrap();
    // Somebody takes it away, and puts another one in its place.
    let sql = format!("ALTER DATABASE {} RENAME TO elsewhere", record.kept);
    cluster.sql("postgres", &sql).await.unwrap();
    cluster.create_database(&record.kept).await.unwrap();
    let refused = failure(drop_kept(&session, &record, &never()).await);
    assert_eq!(refused.code, FailureCode::NotFound);
    assert!(
        refused.message.contains("it is called elsewhere now"),
        "{refused:?}"
    );
    let names = "SELECT count(*) FROM pg_database WHERE datname IN ('elsewhere', 'shop', 'shop_before_2026_11_27_1530')";
    assert_eq!(cluster.one("postgres", names).await.unwrap(), "3");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_gives_the_name_back_and_opens_the_door() {
    let cluster = two_databases(Cluster::builder(14), NAME, RESTORED).await;
    let record = prepared(&cluster).await;
    let session = of(&cluster).await;
    cluster
        .sql(
            "postgres",
            "ALTER DATABASE shop RENAME TO somewhere; ALTER DATABASE somewhere ALLOW_CONNECTIONS false",
        )
        .await
        .unwrap();
    for _ in 0..2 {
        let now = repair(&session, &record, &never()).await.unwrap();
        assert_eq!(
            now,
            Place::Before {
                restored: Some(RESTORED.into())
            }
        );
        assert_eq!(which(&cluster, NAME).await, "old");
    }
    // A third database under the name is nobody's to touch.
    cluster
        .sql("postgres", "ALTER DATABASE shop RENAME TO somewhere")
        .await
        .unwrap();
    cluster.create_database(NAME).await.unwrap();
    let now = repair(&session, &record, &never()).await.unwrap();
    assert!(matches!(now, Place::Stranger(_)), "{now:?}");
    let refused = failure(swapped(&cluster, &record, PATIENCE).await);
    assert_eq!(refused.code, FailureCode::NotFound, "{refused:?}");
    // Another server is none of the record's.
    let elsewhere = Record {
        system_identifier: Some("1".into()),
        ..record
    };
    let now = place(&session, &elsewhere, &never()).await.unwrap();
    assert_eq!(now, Place::OtherServer);
}

pub(crate) fn secret_of(text: &str) -> Secret {
    Secret::new(text.to_owned())
}
