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
use howdah_domain::{DestinationId, Place, Secret};
use howdah_engine::api::DestinationInput;
use howdah_testkit::Cluster;
use howdah_testkit::moto::Moto;
use howdah_testkit::rclone::{PASSWORD, USER};
use support::TestEngine;
use support::by_hand::{by_hand, folder_at, server};

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
        name: Some(name.to_owned()),
        ..folder_at(&test.dir.path().join(name))
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
