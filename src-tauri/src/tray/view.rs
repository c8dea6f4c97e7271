//! What the tray shows, decided from the overview alone. Knows no icon and no menu library.

use howdah_domain::{DatabaseId, Failure, RunKind, RunState};
use howdah_engine::api::{DatabaseStatus, NeedKind, Overview, RunView};

/// The icon's four states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// All is well.
    Idle,
    /// A run is at work.
    Running,
    /// Something needs somebody.
    Warning,
    /// The newest backup of some database failed.
    Failed,
}

/// What the tray shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct View {
    /// Which icon.
    pub(crate) state: State,
    /// Shown where the desktop shows tooltips.
    pub(crate) tooltip: String,
    /// The menu's first line: how things are.
    pub(crate) verdict: String,
    /// The databases that can be backed up now, by name.
    pub(crate) databases: Vec<(DatabaseId, String)>,
    /// Whether the schedule is paused.
    pub(crate) paused: bool,
    /// Whether this process runs the schedule, so that it can be paused here.
    pub(crate) owned: bool,
    /// The line that leaves: it says what would be stopped.
    pub(crate) quit: String,
}

impl View {
    /// Before anything is known.
    pub(crate) fn starting() -> Self {
        Self {
            state: State::Idle,
            tooltip: "Howdah".to_owned(),
            verdict: "Starting…".to_owned(),
            databases: Vec::new(),
            paused: false,
            owned: false,
            quit: "Quit".to_owned(),
        }
    }

    /// When the engine could not be opened.
    pub(crate) fn broken(failure: &Failure) -> Self {
        Self {
            state: State::Failed,
            tooltip: format!("Howdah: {failure}"),
            verdict: "Howdah could not start: open it to see why".to_owned(),
            ..Self::starting()
        }
    }

    /// How things are.
    pub(crate) fn of(overview: &Overview) -> Self {
        let running: Vec<&RunView> = overview
            .active_runs
            .iter()
            .filter(|run| matches!(run.state, RunState::Running { .. }))
            .collect();
        let at_work = running.len();
        let failed = overview
            .needs
            .iter()
            .any(|need| need.kind == NeedKind::BackupFailed);
        let state = if at_work > 0 {
            State::Running
        } else if failed {
            State::Failed
        } else if overview.needs.is_empty() {
            State::Idle
        } else {
            State::Warning
        };
        let paused = overview.scheduler.paused_until.is_some();
        let verdict = verdict(overview, &running);
        Self {
            state,
            tooltip: if paused {
                format!("Howdah (paused): {verdict}")
            } else {
                format!("Howdah: {verdict}")
            },
            verdict,
            databases: names(overview),
            paused,
            owned: overview.scheduler.owned,
            quit: match at_work {
                0 => "Quit".to_owned(),
                1 => "Quit, and stop the run at work".to_owned(),
                many => format!("Quit, and stop {many} runs at work"),
            },
        }
    }
}

fn verdict(overview: &Overview, running: &[&RunView]) -> String {
    if let [run] = running {
        let doing = match run.kind {
            RunKind::Backup => "Backing up",
            RunKind::Restore => "Restoring",
            RunKind::Drill => "Proving",
            RunKind::Verify => "Verifying",
            RunKind::Copy => "Copying a backup of",
            RunKind::Prune => "Deleting backups of",
        };
        return format!("{doing} {}", run.database_name);
    }
    match (running.len(), overview.needs.len(), overview.databases.len()) {
        (0, 0, 0) => "No database yet".to_owned(),
        (0, 0, 1) => "The database is backed up".to_owned(),
        (0, 0, many) => format!("All {many} databases are backed up"),
        (0, 1, _) => "1 thing needs you".to_owned(),
        (0, many, _) => format!("{many} things need you"),
        (many, ..) => format!("{many} runs are at work"),
    }
}

/// The databases that are still on their servers; where two have one name, with the server's.
fn names(overview: &Overview) -> Vec<(DatabaseId, String)> {
    let there = || {
        overview
            .databases
            .iter()
            .filter(|database| database.status != DatabaseStatus::Vanished)
    };
    there()
        .map(|database| {
            let twins = there().filter(|other| other.name == database.name).count();
            let name = if twins > 1 {
                format!("{} on {}", database.name, database.server_name)
            } else {
                database.name.clone()
            };
            (database.id.clone(), name)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use howdah_domain::{FailureCode, Phase, RunId, ServerId, Trigger};
    use howdah_engine::api::{DatabaseSummary, Need, SchedulerView, StorageTotals};
    use jiff::Timestamp;

    use super::*;

    fn overview() -> Overview {
        Overview {
            needs: Vec::new(),
            databases: vec![database("shop", "vps"), database("billing", "vps")],
            active_runs: Vec::new(),
            recent_runs: Vec::new(),
            storage: StorageTotals::default(),
            scheduler: SchedulerView {
                owned: true,
                paused_until: None,
                next: None,
                running: 0,
            },
        }
    }

    fn database(name: &str, server: &str) -> DatabaseSummary {
        DatabaseSummary {
            health: None,
            day: None,
            id: DatabaseId::from_text(format!("{name}-{server}")),
            name: name.to_owned(),
            server_id: ServerId::from_text(server),
            server_name: server.to_owned(),
            environment: howdah_domain::Environment::None,
            status: DatabaseStatus::Good,
            last_backup: None,
            proof: None,
            proved_at: None,
            last_run: None,
            active_run: None,
            next_run: None,
            plan: None,
            sizes: Vec::new(),
        }
    }

    fn need(kind: NeedKind) -> Need {
        Need {
            kind,
            database_id: None,
            database_name: None,
            destination_id: None,
            destination_name: None,
            backup_id: None,
            run_id: None,
            failure: None,
            since: None,
        }
    }

    fn run(state: RunState) -> RunView {
        RunView {
            id: RunId::from_text("r"),
            kind: RunKind::Backup,
            state,
            trigger: Trigger::Manual,
            database_id: None,
            database_name: "shop".to_owned(),
            server_name: "vps".to_owned(),
            plan_id: None,
            due_at: None,
            queued_at: Timestamp::UNIX_EPOCH,
            started_at: None,
            finished_at: None,
            next_attempt_at: None,
            attempt: 1,
            progress: howdah_domain::Progress::default(),
            failure: None,
            backup_id: None,
        }
    }

    #[test]
    fn all_well_is_idle_and_says_so() {
        let view = View::of(&overview());
        assert_eq!(
            (view.state, view.verdict.as_str()),
            (State::Idle, "All 2 databases are backed up")
        );
        assert_eq!(view.quit, "Quit");
    }

    #[test]
    fn a_failed_backup_is_graver_than_a_warning() {
        let mut overview = overview();
        overview.needs = vec![need(NeedKind::Overdue)];
        assert_eq!(View::of(&overview).state, State::Warning);
        overview.needs.push(need(NeedKind::BackupFailed));
        let view = View::of(&overview);
        assert_eq!(
            (view.state, view.verdict.as_str()),
            (State::Failed, "2 things need you")
        );
    }

    #[test]
    fn a_run_at_work_shows_and_quitting_says_what_it_stops() {
        let mut overview = overview();
        overview.active_runs = vec![run(RunState::Queued)];
        assert_eq!(
            View::of(&overview).state,
            State::Idle,
            "a queued run is not at work"
        );
        overview.active_runs.push(run(RunState::Running {
            phase: Phase::Dumping,
        }));
        let view = View::of(&overview);
        assert_eq!(
            (view.state, view.verdict.as_str()),
            (State::Running, "Backing up shop")
        );
        assert_eq!(view.quit, "Quit, and stop the run at work");
    }

    #[test]
    fn two_databases_of_one_name_are_told_apart_and_a_vanished_one_is_left_out() {
        let mut overview = overview();
        overview.databases.push(database("shop", "staging"));
        let mut gone = database("old", "vps");
        gone.status = DatabaseStatus::Vanished;
        overview.databases.push(gone);
        let names: Vec<String> = View::of(&overview)
            .databases
            .into_iter()
            .map(|(_, name)| name)
            .collect();
        assert_eq!(names, ["shop on vps", "billing", "shop on staging"]);
    }

    #[test]
    fn a_pause_is_in_the_tooltip_and_can_be_ended() {
        let mut overview = overview();
        overview.scheduler.paused_until = Some(Timestamp::UNIX_EPOCH);
        let view = View::of(&overview);
        assert!(
            view.paused && view.tooltip.contains("(paused)"),
            "{}",
            view.tooltip
        );
    }

    #[test]
    fn an_engine_that_does_not_open_is_a_failure_with_its_reason() {
        let failure = Failure::new(
            FailureCode::DataDirNewer,
            "The data directory is a newer Howdah's.",
        );
        let view = View::broken(&failure);
        assert_eq!(view.state, State::Failed);
        assert!(view.tooltip.contains("newer Howdah"), "{}", view.tooltip);
    }
}
