//! A backup made with parts of the test's choosing, without a run and without a ledger.

use std::sync::Arc;
use std::time::Duration;

use howdah_domain::{BackupId, Connection, Failure, Secret};
use howdah_engine::backup::{BackupRequest, Finished, Ledger, Target};
use howdah_engine::work::Reporter;
use howdah_storage::{Destination, ObjectPath};
use tokio_util::sync::CancellationToken;

use super::TestEngine;

/// What is backed up, where to, how patiently, and who listens.
pub struct Unrecorded {
    pub connection: Connection,
    pub secret: Secret,
    pub patience: Duration,
    pub destinations: Vec<Arc<dyn Destination>>,
    pub globals: bool,
    pub reporter: Arc<dyn Reporter>,
}

/// Remembers nothing.
struct NoLedger;

#[async_trait::async_trait]
impl Ledger for NoLedger {
    async fn begin(&self, _: &BackupId, _: &ObjectPath) -> Result<(), Failure> {
        Ok(())
    }

    async fn removed(&self, _: usize) -> Result<(), Failure> {
        Ok(())
    }

    fn keep(&self, _: usize) {}
}

impl Unrecorded {
    /// Makes the backup with the programs and the clock of the test's engine.
    pub async fn back_up(self, test: &TestEngine) -> Result<Finished, Failure> {
        let target = |destination: Arc<dyn Destination>| Target {
            name: destination.name(),
            destination,
        };
        let request = BackupRequest {
            server_name: "shop".to_owned(),
            connection: self.connection,
            secret: Some(self.secret),
            selection: Default::default(),
            globals: self.globals,
            encode: Default::default(),
            recipients: None,
            patience: self.patience,
            lock_wait: Duration::from_secs(60),
            expected_raw_bytes: None,
            targets: self.destinations.into_iter().map(target).collect(),
        };
        let never = CancellationToken::new();
        let programs = test.engine.programs();
        howdah_engine::backup::back_up(
            &request,
            programs,
            &NoLedger,
            &self.reporter,
            &*test.clock,
            &never,
        )
        .await
    }
}
