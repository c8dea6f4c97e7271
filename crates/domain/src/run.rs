//! A run: one execution of work, with a state, a progress and an outcome.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// What kind of work a run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum RunKind {
    /// Dump a database into a backup.
    Backup,
    /// Bring a backup back into a server.
    Restore,
    /// Read a backup again and check every byte.
    Verify,
    /// Restore a backup into a throw-away PostgreSQL and compare it, row for row, with what was dumped.
    Drill,
    /// Make a missing copy of a backup from another one.
    Copy,
    /// Delete copies: those that a rule drops, and those that somebody wants gone.
    Prune,
}

/// Who asked for a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum Trigger {
    /// The plan's schedule.
    Schedule,
    /// A person, in the window or the tray.
    Manual,
    /// The `howdah` command.
    CommandLine,
}

/// Why a run that could start does not yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum WaitReason {
    /// As many backups as allowed are running.
    Slot,
    /// Another run works on the same database.
    DatabaseBusy,
    /// A transient failure; tried again at the run's `next_attempt_at`.
    Retry,
    /// The keyring is locked or absent.
    Keyring,
    /// The machine lives on its battery, and the plan wants mains power, or a fuller one.
    Power,
    /// The network is paid by the byte, and the plan does not want that.
    Metered,
    /// It is outside the hours in which the plan's backups may begin.
    Hours,
}

/// Why a run did nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum SkipReason {
    /// The occurrence before it was still at work.
    StillRunning,
    /// The database is no longer on the server.
    DatabaseVanished,
    /// The plan was removed or disabled before the run began.
    PlanDisabled,
    /// Another machine with the same plan and destination makes this backup.
    OtherMachine,
    /// Its time was missed, and the plan makes up for none, or the next one is near.
    Missed,
}

/// What a running run is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum Phase {
    /// Reaching the server, choosing the client.
    Connecting,
    /// pg_dump writes, Howdah compresses and stores.
    Dumping,
    /// Checking, listing, writing the manifest.
    Finishing,
    /// Reading a backup back.
    Verifying,
    /// pg_restore works.
    Restoring,
    /// Fingerprints are recomputed on a server.
    Comparing,
    /// A PostgreSQL is set up and started on this machine.
    Starting,
    /// Assertions, statistics and indexes are checked in a restored database.
    Asserting,
    /// A backup's files go from one destination to another.
    Copying,
    /// Copies are deleted.
    Deleting,
}

/// The state of a run. `queued → waiting(reason) → running(phase) → succeeded | failed | cancelled | interrupted | skipped(reason)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(tag = "state", rename_all = "snake_case")]
#[ts(export)]
pub enum RunState {
    /// Recorded, not looked at yet.
    Queued,
    /// Held back, and why.
    Waiting {
        /// The reason.
        reason: WaitReason,
    },
    /// At work.
    Running {
        /// At what.
        phase: Phase,
    },
    /// Done, and checked.
    Succeeded,
    /// Ended by an error.
    Failed,
    /// Ended by the user.
    Cancelled,
    /// Howdah ended before the run did.
    Interrupted,
    /// Nothing was done.
    Skipped {
        /// Why.
        reason: SkipReason,
    },
}

impl RunState {
    /// Whether nothing can follow.
    pub fn is_final(self) -> bool {
        matches!(
            self,
            Self::Succeeded | Self::Failed | Self::Cancelled | Self::Interrupted | Self::Skipped { .. }
        )
    }

    /// Whether a run in this state may enter `next`.
    pub fn may_become(self, next: Self) -> bool {
        match (self, next) {
            (from, _) if from.is_final() => false,
            (_, Self::Queued) => false,
            (_, Self::Interrupted | Self::Cancelled | Self::Failed) => true,
            (
                Self::Queued | Self::Waiting { .. },
                Self::Waiting { .. } | Self::Running { .. } | Self::Skipped { .. },
            ) => true,
            // That another machine is at it shows at the destination, when the work has begun.
            (
                Self::Running { .. },
                Self::Skipped {
                    reason: SkipReason::OtherMachine,
                },
            ) => true,
            // A transient failure sends a running run back to wait for its next attempt.
            (
                Self::Running { .. },
                Self::Waiting {
                    reason: WaitReason::Retry,
                },
            ) => true,
            (Self::Running { .. }, Self::Running { .. } | Self::Succeeded) => true,
            _ => false,
        }
    }
}

/// How far a run is. Sizes in bytes; totals are absent where they are not known.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, TS)]
#[serde(default)]
#[ts(export)]
pub struct Progress {
    /// The table at work, `schema.name` for people.
    pub table: Option<String>,
    /// Tables begun so far.
    pub tables_done: u32,
    /// Tables in all.
    pub tables_total: Option<u32>,
    /// Rows so far.
    pub rows: u64,
    /// Bytes of the dump so far, uncompressed.
    pub raw_bytes: u64,
    /// What `raw_bytes` is expected to become, from the last backup or the database's size.
    pub raw_bytes_expected: Option<u64>,
    /// Bytes stored so far.
    pub stored_bytes: u64,
    /// Raw bytes per second over the last seconds.
    pub bytes_per_second: u64,
    /// Milliseconds since the run began to work.
    pub elapsed_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_final_state_is_never_left() {
        let all = [
            RunState::Queued,
            RunState::Waiting {
                reason: WaitReason::Slot,
            },
            RunState::Running {
                phase: Phase::Dumping,
            },
            RunState::Succeeded,
            RunState::Failed,
            RunState::Cancelled,
            RunState::Interrupted,
            RunState::Skipped {
                reason: SkipReason::StillRunning,
            },
        ];
        for from in all.iter().filter(|state| state.is_final()) {
            for to in all {
                assert!(!from.may_become(to), "{from:?} → {to:?}");
            }
        }
    }

    #[test]
    fn success_comes_only_from_work() {
        assert!(!RunState::Queued.may_become(RunState::Succeeded));
        assert!(
            RunState::Running {
                phase: Phase::Finishing
            }
            .may_become(RunState::Succeeded)
        );
    }

    #[test]
    fn a_transient_failure_sends_a_run_back_to_wait() {
        let running = RunState::Running {
            phase: Phase::Dumping,
        };
        assert!(running.may_become(RunState::Waiting {
            reason: WaitReason::Retry
        }));
        assert!(!running.may_become(RunState::Waiting {
            reason: WaitReason::Slot
        }));
    }
}
