//! What lies beyond a database and a folder: tunnels, Google Drive, copies that are checked over time, two machines, settings that
//! outlive the laptop.

#![allow(clippy::unwrap_used)]

mod attaching;
mod checks;
mod drive;
mod machines;
mod rotation;
mod settings;
#[path = "../support/mod.rs"]
mod support;
mod tunnel;

use std::time::Duration;

use howdah_domain::destination::S3Place;
use howdah_domain::{DestinationId, Environment, Place, RunState, Schedule, Scope, Secret, ServerId};
use howdah_engine::api::{BackupView, ConnectionInput, DestinationInput, PlanDraft, RunView};
use howdah_testkit::Cluster;
use howdah_testkit::moto::Moto;
use howdah_testkit::rclone::{PASSWORD, USER};
use support::TestEngine;

/// A table with rows enough to be worth something.
const ROWS: &str = "CREATE TABLE t AS SELECT n, md5(n::text) AS text FROM generate_series(1, 20000) n";

/// A store of objects with the bucket `backups`.
async fn moto() -> Moto {
    tokio::task::spawn_blocking(Moto::start).await.unwrap().unwrap()
}

/// A bucket as a destination.
fn bucket(moto: &Moto) -> DestinationInput {
    DestinationInput {
        id: None,
        name: Some("bucket".to_owned()),
        place: Place::S3(S3Place {
            bucket: "backups".into(),
            endpoint: Some(format!("http://127.0.0.1:{}", moto.port())),
            region: Some("us-east-1".into()),
            access_key_id: Some(USER.into()),
            ..S3Place::default()
        }),
        secret: Some(Secret::new(PASSWORD)),
        sign_in: None,
    }
}

/// A folder of the test's as a destination.
fn folder(test: &TestEngine, name: &str) -> DestinationInput {
    DestinationInput {
        id: None,
        name: Some(name.to_owned()),
        place: Place::folder(test.dir.path().join(name)),
        secret: None,
        sign_in: None,
    }
}

/// The cluster as a server of that name.
async fn server(test: &TestEngine, cluster: &Cluster, name: &str) -> ServerId {
    let input = ConnectionInput::Form {
        connection: cluster.connection("postgres"),
        password: Some(cluster.password()),
        ssh_secret: None,
    };
    let added = test.engine.add_server(input, name, Environment::None).await;
    added.unwrap().id
}

/// A plan of the database `postgres`, to be begun by hand.
fn by_hand(server_id: ServerId, destinations: Vec<DestinationId>) -> PlanDraft {
    PlanDraft {
        id: None,
        server_id,
        scope: Scope::Database {
            name: "postgres".to_owned(),
        },
        selection: Default::default(),
        globals: true,
        schedule: Schedule::Manual,
        time_zone: "UTC".to_owned(),
        folder: None,
        destinations,
        encryption: None,
        passphrase: None,
        retention: None,
        drill: None,
        enabled: true,
    }
}

/// A server with rows, and a plan that keeps its backups in several folders.
struct Shop {
    test: TestEngine,
    destinations: Vec<DestinationId>,
    _cluster: Cluster,
}

impl Shop {
    /// Folders of these names, each a destination of the plan.
    async fn kept_in(folders: &[&str]) -> Self {
        let cluster = Cluster::start(18).await.unwrap();
        cluster.sql("postgres", ROWS).await.unwrap();
        let test = TestEngine::start().await;
        let mut destinations = Vec::new();
        for name in folders {
            let added = test.engine.add_destination(folder(&test, name)).await.unwrap();
            destinations.push(added.id);
        }
        let shop = server(&test, &cluster, "shop").await;
        test.engine
            .save_plan(by_hand(shop, destinations.clone()))
            .await
            .unwrap();
        Self {
            test,
            destinations,
            _cluster: cluster,
        }
    }
}

impl TestEngine {
    /// Backs up the only database, and waits for the end.
    async fn back_up_now(&self) -> RunView {
        let database = self.engine.overview().await.unwrap().databases.remove(0);
        let run = self.engine.back_up_now(&database.id).await.unwrap().remove(0);
        self.ended(&run).await
    }

    /// As [`Self::back_up_now`], with success.
    async fn backed_up(&self) -> BackupView {
        let run = self.back_up_now().await;
        assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
        let page = self.engine.backup_page(&run.backup_id.unwrap()).await;
        page.unwrap().backup
    }
}

/// Waits until something is so, at most half a minute.
async fn until<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    for _ in 0..300 {
        if let Some(found) = look().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("not so after half a minute: {what}");
}
