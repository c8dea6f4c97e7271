//! Drills: what is proved, what is not, and that nothing of them stays.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod forge;
mod schedule;
#[path = "../support/mod.rs"]
mod support;
mod verdicts;

use std::sync::Arc;
use std::time::Duration;

use howdah_domain::drill::DrillReport;
use howdah_domain::{Assertion, Failure};
use howdah_engine::drill::DrillRequest;
use howdah_engine::oneoff::OneOffBackedUp;
use howdah_engine::work::Reporter;
use support::{Heard, TestEngine};
use tokio_util::sync::CancellationToken;

impl TestEngine {
    /// Proves a backup, or not; and nothing of the drill stays.
    async fn drilled(&self, made: &OneOffBackedUp, assertions: &[&str]) -> Result<DrillReport, Failure> {
        self.drilled_with(2, made, assertions).await
    }

    /// As [`Self::drilled`], with so many connections.
    async fn drilled_with(
        &self,
        jobs: usize,
        made: &OneOffBackedUp,
        assertions: &[&str],
    ) -> Result<DrillReport, Failure> {
        let request = DrillRequest {
            backup: made.stored.clone(),
            assertions: assertions
                .iter()
                .map(|sql| Assertion {
                    name: (*sql).to_owned(),
                    sql: (*sql).to_owned(),
                })
                .collect(),
            assertion_patience: Duration::from_secs(2),
            jobs,
        };
        let heard = Arc::new(Heard::default());
        let reporter: Arc<dyn Reporter> = heard.clone();
        let report = self
            .engine
            .drill_once(&request, reporter, &CancellationToken::new())
            .await;
        no_instance_is_left(self).await;
        report
    }
}

/// No row of an instance is left in the store. What lies in folders is looked at where the command is killed in mid-drill.
async fn no_instance_is_left(test: &TestEngine) {
    let store = howdah_store::Store::open(test.dir.path().join("data")).unwrap();
    let rows = store.read(howdah_store::tables::instances::list).await.unwrap();
    assert!(rows.is_empty(), "{rows:?}");
}
