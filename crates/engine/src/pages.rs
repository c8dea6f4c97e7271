//! Answers for the pages of the window, each from one moment of the store.

use howdah_domain::{BackupId, DatabaseId, Failure, FailureCode, Place, Plan, RunId, RunKind, RunState};
use howdah_store::tables::backups::CopyState;
use howdah_store::tables::overview::{self, Standing};
use howdah_store::tables::{
    backups, channels, destinations, drills, identities, incidents, plans, run_logs, runs, servers, troubles,
};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::api::{
    BackupPage, BackupView, DatabasePage, DatabaseStatus, DatabaseSummary, DestinationView, DrillView, Need,
    Overview, ProgramsView, RestoreTarget, RestoredTo, RunPage, RunView, Settings, SettingsPage,
    StorageTotals,
};
use crate::decide::is_overdue;
use crate::engine::{Engine, OrFailure};
use crate::plans::{PREVIEW, plan_of, system_zone};
use crate::runs::restore::Asked;
use crate::settings::with_tilde;
use crate::stored::StoredBackup;
use crate::{catalog, needs, scheduler, views, watch};

/// Lines of a log that a page shows.
const LOG_LINES: u32 = 2_000;

impl Engine {
    /// The first page.
    pub async fn overview(&self) -> Result<Overview, Failure> {
        let now = self.0.clock.now();
        let live = self.0.watch.live();
        let (
            standings,
            plans,
            recent,
            totals,
            (destinations, identities, troubled, (mut health, down, channels)),
        ) = self
            .0
            .store
            .read(move |c| {
                Ok((
                    overview::standings(c)?,
                    plans::list(c)?,
                    runs::ended(c, 10)?,
                    backups::totals(c)?,
                    (
                        destinations::list(c)?,
                        identities::list(c)?,
                        troubles::list(c, needs::ATTEMPTS)?,
                        (
                            watch::all(c, &live, now)?,
                            incidents::list_open(c)?,
                            channels::list(c)?,
                        ),
                    ),
                ))
            })
            .await
            .or_failure()?;
        let databases: Vec<DatabaseSummary> = standings
            .iter()
            .map(|standing| {
                let (health, day) = health.remove(&standing.database.id).unzip();
                DatabaseSummary {
                    health,
                    day: day.flatten(),
                    ..summary(standing, &plans, now)
                }
            })
            .collect();
        let active_runs: Vec<RunView> = standings
            .iter()
            .flat_map(|standing| &standing.active_runs)
            .map(views::run)
            .collect();
        let mut all: Vec<Need> = databases
            .iter()
            .filter_map(|database| needs::of_database(database, now))
            .collect();
        all.extend(
            databases
                .iter()
                .filter_map(|database| needs::of_proofs(database, now)),
        );
        all.extend(down.iter().filter_map(needs::of_incident));
        all.extend(channels.iter().filter_map(needs::of_channel));
        all.extend(self.keyring_need(&active_runs).await);
        all.extend(destinations.iter().filter_map(needs::of_destination));
        all.extend(troubled.into_iter().map(needs::of_copies));
        all.extend(needs::of_kit(&identities, &plans));
        all.sort_by_key(|need| need.kind);
        Ok(Overview {
            needs: all,
            databases,
            active_runs,
            recent_runs: recent.iter().map(views::run).collect(),
            storage: StorageTotals {
                backups: totals.backups,
                bytes: totals.bytes,
                destinations: u32::try_from(totals.destinations).unwrap_or(u32::MAX),
            },
            scheduler: self.scheduler().await?,
        })
    }

    /// A database's own page.
    pub async fn database_page(&self, id: &DatabaseId) -> Result<DatabasePage, Failure> {
        let wanted = id.clone();
        let (now, live) = (self.0.clock.now(), self.0.watch.live());
        let (standing, plans, server, backups, (runs, health)) = self
            .0
            .store
            .read(move |c| {
                let standing = overview::standings(c)?
                    .into_iter()
                    .find(|standing| standing.database.id == wanted);
                let server = match &standing {
                    Some(standing) => servers::get(c, &standing.server.id)?,
                    None => None,
                };
                Ok((
                    standing,
                    plans::list(c)?,
                    server,
                    backups::list(c, Some(&wanted), 200)?,
                    (
                        runs::of_database(c, &wanted, 50)?,
                        watch::all(c, &live, now)?.remove(&wanted),
                    ),
                ))
            })
            .await
            .or_failure()?;
        let (Some(standing), Some(server)) = (standing, server) else {
            return Err(Failure::new(
                FailureCode::NotFound,
                "Howdah does not look after this database any more.",
            ));
        };
        let (health, day) = health.unzip();
        let database = DatabaseSummary {
            health,
            day: day.flatten(),
            ..summary(&standing, &plans, now)
        };
        let next_runs = match &database.plan {
            Some(plan) if plan.enabled => {
                scheduler::next_due(&plan.schedule, &plan.time_zone, now, PREVIEW).unwrap_or_default()
            }
            _ => Vec::new(),
        };
        Ok(DatabasePage {
            database,
            server: crate::servers::view(&server),
            next_runs,
            backups: backups.iter().map(views::backup).collect(),
            runs: runs.iter().map(views::run).collect(),
        })
    }

    /// A backup's own page: what the catalogue knows, and its tables from the index of a copy that can be read.
    pub async fn backup_page(&self, id: &BackupId) -> Result<BackupPage, Failure> {
        let known = self.known_backup(id).await?;
        let backup = views::backup(&known);
        let cancel = self.0.ending.child_token();
        let mut page = BackupPage {
            tables: Vec::new(),
            failure: None,
            restore_by_hand: String::new(),
            encoding: String::new(),
            extensions: Vec::new(),
            backup,
        };
        let mut copies: Vec<_> = known.copies.iter().filter(|copy| copy.is_there()).collect();
        copies.sort_by_key(|copy| (copy.state != CopyState::Present, !copy.place.is_local()));
        for copy in copies {
            let read = async { read_copy(&self.open_copy(copy).await?, &cancel).await };
            match read.await {
                Ok((manifest, tables)) => {
                    page.tables = tables;
                    page.failure = None;
                    page.restore_by_hand = manifest.restore_by_hand;
                    page.encoding = manifest.encoding;
                    page.extensions = manifest.extensions;
                    break;
                }
                Err(failure) => page.failure = Some(failure),
            }
        }
        Ok(page)
    }

    /// A run's own page.
    pub async fn run_page(&self, id: &RunId) -> Result<RunPage, Failure> {
        let wanted = id.clone();
        let (run, log, backup, earlier, (drill, asked)) = self
            .0
            .store
            .read(move |c| {
                let Some(run) = runs::get(c, &wanted)? else {
                    let nothing = (None, None);
                    return Ok((None, run_logs::LogTail::default(), None, Vec::new(), nothing));
                };
                let log = run_logs::last(c, &wanted, LOG_LINES)?;
                let backup = match &run.backup_id {
                    Some(id) => backups::get(c, id)?,
                    None => None,
                };
                let before = backup.as_ref().map_or(run.queued_at, |backup| backup.started_at);
                let earlier = match &run.database_id {
                    Some(id) => backups::good_before(c, id, before, 5)?,
                    None => Vec::new(),
                };
                let drill = match run.kind {
                    RunKind::Drill => drills::of_run(c, &run.id)?,
                    _ => None,
                };
                let asked: Option<Asked> = match run.kind {
                    RunKind::Restore => runs::request(c, &run.id)?,
                    _ => None,
                };
                Ok((Some(run), log, backup, earlier, (drill, asked)))
            })
            .await
            .or_failure()?;
        let run = run.ok_or_else(|| Failure::new(FailureCode::NotFound, "There is no such run."))?;
        let instance = match asked.as_ref().and_then(|asked| asked.instance_id.as_ref()) {
            Some(id) => self.instance_view(id).await.ok(),
            None => None,
        };
        let restored_to = match asked {
            Some(asked) => self.restored_to(asked.wish.to).await,
            None => None,
        };
        Ok(RunPage {
            run: views::run(&run),
            drill: drill.map(|report| DrillView {
                proved: report.is_proved(),
                verdict: report.verdict(),
                report,
            }),
            instance,
            restored_to,
            log: log.lines.into_iter().map(views::log_line).collect(),
            log_shortened: log.shortened,
            backup: backup.as_ref().map(views::backup),
            earlier: earlier.iter().map(views::backup).collect(),
        })
    }

    /// The database that a restore goes into; none where that is a new PostgreSQL's.
    async fn restored_to(&self, to: RestoreTarget) -> Option<RestoredTo> {
        match to {
            RestoreTarget::NewInstance { .. } => None,
            RestoreTarget::Instance {
                instance_id,
                database,
            } => Some(RestoredTo {
                place: self.instance_view(&instance_id).await.ok().map(|one| one.name),
                server_id: None,
                database,
                replaces: false,
            }),
            RestoreTarget::Server {
                server_id,
                database,
                replace,
            } => Some(RestoredTo {
                place: self.server(&server_id).await.ok().map(|row| row.server.name),
                server_id: Some(server_id),
                database,
                replaces: replace,
            }),
        }
    }

    /// Backups of one database or of all, newest first; at most 1,000.
    pub async fn list_backups(&self, database_id: Option<DatabaseId>) -> Result<Vec<BackupView>, Failure> {
        let rows = self
            .0
            .store
            .read(move |c| backups::list(c, database_id.as_ref(), 1_000))
            .await
            .or_failure()?;
        Ok(rows.iter().map(views::backup).collect())
    }

    /// The newest runs, newest first; at most 1,000.
    pub async fn list_runs(&self, limit: u32) -> Result<Vec<RunView>, Failure> {
        let rows = self
            .0
            .store
            .read(move |c| runs::list(c, limit.min(1_000)))
            .await
            .or_failure()?;
        Ok(rows.iter().map(views::run).collect())
    }

    /// The settings page.
    pub async fn settings_page(&self) -> Result<SettingsPage, Failure> {
        Ok(SettingsPage {
            settings: self.shown_settings().await,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            data_dir: self.data_dir().to_owned(),
            programs: self.programs_view(),
            keyring: self.keyring().await,
            time_zone: system_zone(),
            time_zones: jiff::tz::db().available().map(|name| name.to_string()).collect(),
            destinations: self.list_destinations().await?,
            servers: self.list_servers().await?,
        })
    }

    /// The settings as the page shows them.
    async fn shown_settings(&self) -> Settings {
        let settings = self.settings().await;
        Settings {
            default_folder: with_tilde(&settings.default_folder),
            ..settings
        }
    }

    /// The destinations and what they hold.
    pub async fn list_destinations(&self) -> Result<Vec<DestinationView>, Failure> {
        let (destinations, usage) = self
            .0
            .store
            .read(|c| Ok((destinations::list(c)?, destinations::usage(c)?)))
            .await
            .or_failure()?;
        let mut views = Vec::with_capacity(destinations.len());
        for destination in destinations {
            let usage = usage.iter().find(|usage| usage.destination_id == destination.id);
            views.push(DestinationView {
                free_bytes: free_bytes(&destination.place).await,
                id: destination.id,
                name: destination.name,
                location: destination.place.to_string(),
                kind: destination.place.kind(),
                place: destination.place,
                has_secret: destination.secret_reference.is_some(),
                failure: destination.failure,
                backups: usage.map_or(0, |usage| usage.backups),
                bytes: usage.map_or(0, |usage| usage.bytes),
            });
        }
        Ok(views)
    }

    fn programs_view(&self) -> Vec<ProgramsView> {
        let listed = self.0.programs.all();
        let mut majors: Vec<u16> = listed.iter().map(|program| program.major).collect();
        majors.dedup();
        let version = |major: u16, name: &str| {
            listed
                .iter()
                .find(|program| program.major == major && program.name == name)
                .map(|program| program.version.clone())
        };
        majors
            .into_iter()
            .map(|major| ProgramsView {
                major,
                client_version: version(major, "pg_dump"),
                server_version: version(major, "postgres"),
                path: self.0.programs.root().join(major.to_string()),
            })
            .collect()
    }
}

async fn read_copy(
    stored: &StoredBackup,
    cancel: &CancellationToken,
) -> Result<(howdah_archive::Manifest, Vec<crate::api::TableView>), Failure> {
    let manifest = stored.manifest(cancel).await?;
    let index = stored.index(&manifest, cancel).await?;
    Ok((manifest, catalog::tables(&index)))
}

/// Bytes free in a folder; none where it does not answer within a moment (a share that is away), and for places elsewhere.
async fn free_bytes(place: &Place) -> Option<u64> {
    use howdah_storage::{Destination as _, Folder};
    let cancel = CancellationToken::new();
    let folder = Folder::new(place.as_folder()?);
    tokio::time::timeout(std::time::Duration::from_secs(2), folder.free_space(&cancel))
        .await
        .ok()?
        .ok()?
}

/// A database as lists show it.
pub(crate) fn summary(standing: &Standing, plans: &[Plan], now: Timestamp) -> DatabaseSummary {
    let plan = plan_of(plans, &standing.database);
    let next_run = plan
        .filter(|plan| plan.enabled && standing.database.vanished_at.is_none())
        .and_then(|plan| {
            let zone = scheduler::zone(plan)?;
            plan.schedule.next_after(now, &zone)
        });
    DatabaseSummary {
        id: standing.database.id.clone(),
        name: standing.database.name.clone(),
        server_id: standing.server.id.clone(),
        server_name: standing.server.name.clone(),
        environment: standing
            .database
            .environment
            .unwrap_or(standing.server.environment),
        status: status(standing, plan, now),
        last_backup: standing.last_backup.as_ref().map(views::backup),
        proof: standing
            .drills
            .as_ref()
            .map(|drills| views::proof(&drills.newest)),
        proved_at: standing.drills.as_ref().and_then(|drills| drills.proved_at),
        last_run: standing.last_run.as_ref().map(views::run),
        active_run: standing
            .active_runs
            .iter()
            .find(|run| run.kind == RunKind::Backup)
            .map(views::run),
        next_run,
        plan: plan.cloned(),
        health: None,
        day: None,
        sizes: standing.sizes.clone(),
    }
}

/// A database's state in one word; the gravest that is true, but work under way comes first.
fn status(standing: &Standing, plan: Option<&Plan>, now: Timestamp) -> DatabaseStatus {
    // A drill, a check or a deletion that waits says nothing of whether the database is backed up.
    let mut backups = standing
        .active_runs
        .iter()
        .filter(|run| run.kind == RunKind::Backup);
    if backups
        .clone()
        .any(|run| matches!(run.state, RunState::Running { .. }))
    {
        return DatabaseStatus::Running;
    }
    if backups.next().is_some() {
        return DatabaseStatus::Waiting;
    }
    if standing.database.vanished_at.is_some() {
        return DatabaseStatus::Vanished;
    }
    let Some(plan) = plan.filter(|plan| plan.enabled) else {
        return DatabaseStatus::Paused;
    };
    let newest = standing.last_run.as_ref().map(|run| run.state);
    if matches!(newest, Some(RunState::Failed | RunState::Interrupted)) {
        return DatabaseStatus::Failed;
    }
    let since = standing
        .last_backup
        .as_ref()
        .map_or(plan.created_at, |backup| backup.finished_at);
    if plan
        .schedule
        .period()
        .is_some_and(|period| is_overdue(since, period, now))
    {
        return DatabaseStatus::Overdue;
    }
    if standing.last_backup.is_none() {
        DatabaseStatus::Never
    } else {
        DatabaseStatus::Good
    }
}
