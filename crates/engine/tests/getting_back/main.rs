//! Backups brought back: onto this machine, into a new database, in the place of one that is there.

#![allow(clippy::unwrap_used)]

mod bad_days;
mod disks;
mod fat_rows;
mod instances;
mod preflight;
mod replacing;
#[path = "../support/mod.rs"]
mod support;

use howdah_domain::{Environment, RunState, ServerId};
use howdah_engine::api::{BackupView, RestoreOptions, RestoreTarget, RestoreWish, RunView};
use howdah_testkit::Cluster;
use support::TestEngine;
use support::by_hand::{by_hand, folder_at, server_in};

/// A server with a shop in its database `postgres`, a plan by hand, and one backup.
struct Shop {
    test: TestEngine,
    cluster: Cluster,
    server: ServerId,
    backup: BackupView,
}

impl Shop {
    async fn backed_up(major: u16, sql: &str) -> Self {
        let cluster = Cluster::start(major).await.unwrap();
        cluster.sql("postgres", sql).await.unwrap();
        let test = TestEngine::start().await;
        let destination = test
            .engine
            .add_destination(folder_at(&test.folder()))
            .await
            .unwrap();
        let server = server_in(&test, &cluster, "shop", Environment::None).await;
        test.engine
            .save_plan(by_hand(server.clone(), vec![destination.id]))
            .await
            .unwrap();
        let backup = test.backed_up().await;
        Self {
            test,
            cluster,
            server,
            backup,
        }
    }

    fn wish(&self, to: RestoreTarget) -> RestoreWish {
        RestoreWish {
            backup_id: self.backup.id.clone(),
            to,
            options: RestoreOptions::default(),
        }
    }

    fn onto_server(&self, database: &str, replace: bool) -> RestoreWish {
        self.wish(RestoreTarget::Server {
            server_id: self.server.clone(),
            database: database.to_owned(),
            replace,
        })
    }

    async fn restored(&self, wish: RestoreWish) -> RunView {
        let run = self.test.engine.restore_backup(wish).await.unwrap();
        self.test.ended(&run).await
    }

    async fn restored_well(&self, wish: RestoreWish) -> RunView {
        let run = self.restored(wish).await;
        assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
        run
    }

    /// The databases on the server, without the templates.
    async fn databases(&self) -> Vec<String> {
        let rows = self
            .cluster
            .rows(
                "postgres",
                "SELECT datname::text FROM pg_database WHERE NOT datistemplate ORDER BY 1",
            )
            .await
            .unwrap();
        rows.into_iter().map(|mut row| row.remove(0).unwrap()).collect()
    }

    /// Waits until there are so many databases.
    async fn sees(&self, many: usize) {
        for _ in 0..1000 {
            if self.databases().await.len() >= many {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("there are never {many} databases");
    }

    async fn count(&self, database: &str) -> i64 {
        let rows = self
            .cluster
            .rows(database, "SELECT count(*) FROM orders")
            .await
            .unwrap();
        rows[0][0].as_deref().unwrap().parse().unwrap()
    }
}

/// A thousand orders.
const ORDERS: &str =
    "CREATE TABLE orders AS SELECT n AS id, md5(n::text) AS note FROM generate_series(1, 1000) n;
    CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE TRIGGER stamped BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION stamp();";
