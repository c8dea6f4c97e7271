//! A server, a folder and a plan that is begun by hand, and its backups.

use std::path::Path;

use howdah_domain::{DestinationId, Environment, Place, RunState, Schedule, Scope, ServerId};
use howdah_engine::api::{
    BackupView, ChannelInput, ChannelView, ConnectionInput, DestinationInput, PlanDraft, RunView,
};
use howdah_testkit::Cluster;

use super::TestEngine;

/// The cluster as a server of that name.
pub async fn server(test: &TestEngine, cluster: &Cluster, name: &str) -> ServerId {
    server_in(test, cluster, name, Environment::None).await
}

/// As [`server`], marked as what it is used for.
pub async fn server_in(
    test: &TestEngine,
    cluster: &Cluster,
    name: &str,
    environment: Environment,
) -> ServerId {
    let input = ConnectionInput::Form {
        connection: cluster.connection("postgres"),
        password: Some(cluster.password()),
        ssh_secret: None,
    };
    let added = test.engine.add_server(input, name, environment).await;
    added.unwrap().id
}

/// A folder as a destination, without a name.
pub fn folder_at(path: &Path) -> DestinationInput {
    DestinationInput {
        id: None,
        name: None,
        place: Place::folder(path),
        secret: None,
        sign_in: None,
    }
}

/// A plan of the database `postgres`, to be begun by hand.
pub fn by_hand(server_id: ServerId, destinations: Vec<DestinationId>) -> PlanDraft {
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
        conditions: None,
        enabled: true,
    }
}

/// Saves a plan, and gives it back with its id.
pub async fn saved(test: &TestEngine, draft: PlanDraft) -> PlanDraft {
    let plan = test.engine.save_plan(draft.clone()).await.unwrap();
    PlanDraft {
        id: Some(plan.id),
        ..draft
    }
}

impl TestEngine {
    /// Saves a channel with another rule, or switches it.
    pub async fn save_channel(&self, channel: ChannelView) {
        let input = ChannelInput {
            id: Some(channel.id),
            name: channel.name,
            address: channel.address,
            secrets: Default::default(),
            rule: channel.rule,
            enabled: channel.enabled,
        };
        self.engine.save_channel(input).await.unwrap();
    }

    /// Backs up the only database, and waits for the end.
    pub async fn back_up_now(&self) -> RunView {
        let database = self.engine.overview().await.unwrap().databases.remove(0);
        let run = self.engine.back_up_now(&database.id).await.unwrap().remove(0);
        self.ended(&run).await
    }

    /// As [`Self::back_up_now`], with success.
    pub async fn backed_up(&self) -> BackupView {
        let run = self.back_up_now().await;
        assert_eq!(run.state, RunState::Succeeded, "{:?}", run.failure);
        let page = self.engine.backup_page(&run.backup_id.unwrap()).await;
        page.unwrap().backup
    }
}
