//! What happens, as it happens.

use howdah_domain::TestStep;
use howdah_domain::{DatabaseId, Progress, RunId, RunState};
use serde::Serialize;
use ts_rs::TS;

use super::{LogLine, RunView, SchedulerView};

/// What happens, as it happens. One channel carries all.
#[derive(Debug, Clone, Serialize, TS)]
#[allow(clippy::large_enum_variant)] // most events are of the large kind
#[serde(tag = "type", rename_all = "snake_case")]
#[ts(export)]
pub enum Event {
    /// A run came, or its state changed.
    Run {
        /// The run.
        run: RunView,
    },
    /// A run got further. At most four times a second for a run.
    Progress {
        /// Which.
        run_id: RunId,
        /// In which state.
        state: RunState,
        /// How far.
        progress: Progress,
    },
    /// A run wrote into its log.
    Log {
        /// Which.
        run_id: RunId,
        /// The lines.
        lines: Vec<LogLine>,
    },
    /// Servers, databases or plans changed.
    Databases,
    /// Local instances came, went, started or stopped.
    Instances,
    /// Destinations changed.
    Destinations,
    /// Backups came or went.
    Backups {
        /// Of which database.
        database_id: DatabaseId,
    },
    /// Checks of these databases ended, or how they stand changed. At most once a second.
    Health {
        /// Which.
        database_ids: Vec<DatabaseId>,
    },
    /// Channels, alerts or deliveries changed.
    Notifications,
    /// The scheduler's state changed.
    Scheduler {
        /// Its state.
        scheduler: SchedulerView,
    },
    /// Settings changed, or the keyring was asked to open.
    Settings,
    /// A test got further.
    TestStep {
        /// The caller's name for the test.
        test_id: String,
        /// The line.
        step: TestStep,
    },
    /// A table of a backup is being written into a file. At most four times a second.
    Saving {
        /// The caller's name for it.
        look_id: String,
        /// Bytes of rows so far, uncompressed.
        bytes: u64,
        /// What they will come to.
        of: u64,
    },
    /// The window is to show a page (from the tray or a notification).
    Navigate {
        /// A route of the window, such as `/runs/abc`.
        to: String,
    },
    /// The listener was too slow and lost events: whatever it shows is to be asked for again.
    Missed,
}
