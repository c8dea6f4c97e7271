//! Sets right what a process left that ended in the middle of its work.
//!
//! Runs that are not final and belong to the dead become `interrupted`; what they were writing is handed to this process to be
//! removed; due times that were claimed without a run recorded are free again. To be called at the start, and now and
//! then after (a command beside the app may have been killed). Knows no destination: removing is the caller's.

use std::collections::HashSet;

use howdah_domain::{Failure, FailureCode, RunId, RunState};
use jiff::Timestamp;
use rusqlite::Connection;

use crate::{
    OwnerId, Result, Store,
    owner::Census,
    tables::{
        instances::{self, InstanceRow},
        ledger::{self, LedgerEntry},
        occurrences,
        runs::{self, Outcome},
    },
};

/// What was set right.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repair {
    /// Runs that are `interrupted` now.
    pub interrupted: Vec<RunId>,
    /// What the dead were writing. The entries are this process's now: remove the folder (or keep it, where its manifest is in
    /// place), then the entry ([`ledger::remove`]). What is not done by the time this process ends, the next repair hands out
    /// again.
    pub leavings: Vec<LedgerEntry>,
    /// Local instances that the dead were making, using or deleting. They are this process's now, to be removed.
    pub instances: Vec<InstanceRow>,
    /// Due times that were claimed and came to nothing; they can be claimed again.
    pub released: usize,
}

impl Store {
    /// The processes of this data directory that live, this one among them.
    ///
    /// # Errors
    /// Those of the lock files.
    pub async fn living_owners(&self) -> Result<HashSet<OwnerId>> {
        let dir = self.dir().to_owned();
        self.read(move |_| Ok(Census::take(&dir)?.living)).await
    }

    /// Finds owners that are dead and sets right what they left. Touches nothing of the living, this process included.
    ///
    /// # Errors
    /// SQLite's errors and those of the lock files; nothing is changed then.
    pub async fn repair(&self, now: Timestamp) -> Result<Repair> {
        let dir = self.dir().to_owned();
        let us = self.owner().clone();
        self.write(move |transaction| {
            let census = Census::take(&dir)?;
            let repair = set_right(transaction, &census.living, &us, now)?;
            // Should the commit fail, the dead are still dead without their files.
            census.clear();
            Ok(repair)
        })
        .await
    }
}

fn set_right(
    connection: &Connection,
    living: &HashSet<OwnerId>,
    us: &OwnerId,
    now: Timestamp,
) -> Result<Repair> {
    let failure = Failure::new(FailureCode::Interrupted, "Howdah ended before this run did.")
        .hint("What it had written is removed. The next run is not affected.");
    let mut repair = Repair::default();
    for run in runs::active(connection)? {
        if living.contains(&run.owner) {
            continue;
        }
        let outcome = Outcome {
            failure: Some(failure.clone()),
            ..Outcome::default()
        };
        runs::transition(
            connection,
            &run.id,
            |state| !state.is_final(),
            RunState::Interrupted,
            now,
            &outcome,
        )?;
        repair.interrupted.push(run.id);
    }
    for entry in ledger::list(connection)? {
        if living.contains(&entry.owner) {
            continue;
        }
        repair.leavings.push(ledger::adopt(connection, entry, us)?);
    }
    for mut row in instances::list(connection)? {
        if row.owner.as_ref().is_some_and(|owner| !living.contains(owner)) {
            instances::take_over(connection, &row.id, us)?;
            row.owner = Some(us.clone());
            repair.instances.push(row);
        }
    }
    repair.released = occurrences::release_unsettled(connection, |owner| !living.contains(owner))?;
    Ok(repair)
}
