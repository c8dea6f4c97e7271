//! The engine itself: what everything shares, how it starts, how it ends.
//!
//! One [`Engine`] per process and data directory. The first process to open a data directory as [`Role::Owner`] runs its
//! schedule; others are guests, who can look, change settings and run work of their own. Every task belongs to the
//! engine's tracker: shutdown cancels them all, waits with a deadline, and children die with their handles.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use howdah_domain::{Clock, DatabaseId, DestinationId, Failure, FailureCode, ReplacementId, RunId};
use howdah_machine::Machine;
use howdah_notify::Channel;
use howdah_postgres::network::Network;
use howdah_postgres::programs::Programs;
use howdah_store::{Guard, SecretStore, Store};
use jiff::Timestamp;
use tokio::sync::{Notify, Semaphore, broadcast};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::Event;
use crate::drive::SignIns;
use crate::events::Events;
use crate::export::ReadExports;
use crate::inside::Looks;
use crate::instances::Started;
use crate::recovery;

/// The file in the data directory that holds the keys of SSH servers that the user has accepted.
pub const KNOWN_HOSTS_FILE: &str = "known_hosts";

/// Disks that are looked at beside each other for how full they are.
const DISK_LOOKS: usize = 4;

/// How long a process that goes takes to send what it has to tell, where no other one does that.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// Whether this process runs the schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It does, unless another one already does.
    Owner,
    /// It leaves the schedule alone.
    Guest,
}

/// What an engine is made of.
pub struct Options {
    /// The data directory; made where it is missing.
    pub data_dir: PathBuf,
    /// The bundled PostgreSQL programs.
    pub programs: Programs,
    /// Where passwords are.
    pub secrets: Arc<dyn SecretStore>,
    /// What tells the time.
    pub clock: Arc<dyn Clock>,
    /// How this machine's own network is looked at.
    pub network: Arc<dyn Network>,
    /// What this machine says of itself: sleep, power, what its network costs.
    pub machine: Arc<dyn Machine>,
    /// This desktop's notifications; none where this process has no desktop.
    pub desktop: Option<Arc<dyn Channel>>,
    /// Whether this process runs the schedule.
    pub role: Role,
}

/// A handle on the engine. Cheap to clone.
#[derive(Clone)]
pub struct Engine(pub(crate) Arc<Shared>);

/// What all parts of the engine share.
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) programs: Programs,
    pub(crate) secrets: Arc<dyn SecretStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) desktop: Option<Arc<dyn Channel>>,
    pub(crate) network: Arc<dyn Network>,
    pub(crate) machine: Arc<dyn Machine>,
    /// When this engine was opened.
    pub(crate) started_at: Timestamp,
    pub(crate) events: Events,
    /// Cancelled when the engine ends; every run's token is a child of it.
    pub(crate) ending: CancellationToken,
    pub(crate) tasks: TaskTracker,
    /// A run may have become able to start.
    pub(crate) runs_changed: Notify,
    /// A run has begun to work here, or does no longer.
    pub(crate) active_changed: Notify,
    /// A plan or the pause changed, so the next due time may have.
    pub(crate) schedule_changed: Notify,
    /// A copy may have become due to be made or deleted.
    pub(crate) copies_changed: Notify,
    /// Something of what is seen to from time to time may be due.
    pub(crate) upkeep_changed: Notify,
    /// What lasts may have begun or ended.
    pub(crate) conditions_changed: Notify,
    /// Health checks.
    pub(crate) watch: crate::watch::Watch,
    /// Whether this process has put something into the outbox.
    pub(crate) has_told: AtomicBool,
    /// Looks at disks that are under way: one at a share that hangs never ends.
    pub(crate) disk_looks: Arc<Semaphore>,
    /// Something is in the outbox.
    pub(crate) outbox_changed: Notify,
    /// Sign-ins to Google Drive that have begun.
    pub(crate) sign_ins: Mutex<SignIns>,
    /// Databases whose backups another machine makes, and that are looked for at a destination.
    pub(crate) learning: Mutex<HashSet<(DestinationId, DatabaseId)>>,
    /// Exports of settings that were read.
    pub(crate) read_exports: Mutex<ReadExports>,
    /// Local instances that this process started.
    pub(crate) instances: Started,
    /// Backups that the window looks into.
    pub(crate) looks: Looks,
    /// Replacements that runs of this process work on.
    pub(crate) replacing: Mutex<HashSet<ReplacementId>>,
    active: Mutex<HashMap<RunId, Active>>,
    pub(crate) tests: Mutex<HashMap<String, CancellationToken>>,
    schedule: Mutex<Option<Guard>>,
}

/// A run at work in this process.
#[derive(Debug, Clone)]
pub(crate) struct Active {
    pub(crate) cancel: CancellationToken,
}

impl Engine {
    /// Opens the data directory, sets right what dead processes left, and, as the owner, begins to run the schedule.
    ///
    /// # Errors
    /// The data directory cannot be used, or is a newer Howdah's.
    pub async fn open(options: Options) -> Result<Self, Failure> {
        let dir = options.data_dir.clone();
        let store = tokio::task::spawn_blocking(move || Store::open(dir))
            .await
            .map_err(|error| internal("Opening the data directory died.", &error))?
            .map_err(|error| error.to_failure())?;
        let schedule = match options.role {
            Role::Owner => store.try_own_schedule().map_err(|error| error.to_failure())?,
            Role::Guest => None,
        };
        let owns = schedule.is_some();
        let started_at = options.clock.now();
        let engine = Self(Arc::new(Shared {
            store,
            programs: options.programs,
            secrets: options.secrets,
            clock: options.clock,
            network: options.network,
            machine: options.machine,
            conditions_changed: Notify::new(),
            watch: crate::watch::Watch::default(),
            desktop: options.desktop,
            started_at,
            events: Events::new(),
            ending: CancellationToken::new(),
            tasks: TaskTracker::new(),
            runs_changed: Notify::new(),
            active_changed: Notify::new(),
            schedule_changed: Notify::new(),
            copies_changed: Notify::new(),
            upkeep_changed: Notify::new(),
            has_told: AtomicBool::new(false),
            disk_looks: Arc::new(Semaphore::new(DISK_LOOKS)),
            outbox_changed: Notify::new(),
            sign_ins: Mutex::default(),
            learning: Mutex::default(),
            read_exports: Mutex::default(),
            instances: Started::default(),
            looks: Looks::default(),
            replacing: Mutex::default(),
            active: Mutex::default(),
            tests: Mutex::default(),
            schedule: Mutex::new(schedule),
        }));
        recovery::set_right(&engine).await?;
        if owns {
            recovery::make_up_for_quitting(&engine).await?;
        }
        engine.spawn(crate::dispatcher::run(engine.clone()));
        engine.spawn(crate::awake::run(engine.clone()));
        if owns {
            engine.spawn(crate::scheduler::run(engine.clone()));
            engine.spawn(crate::runs::copies::see_to_what_is_owed(engine.clone()));
            engine.spawn(crate::upkeep::run(engine.clone()));
            engine.spawn(crate::metrics::run(engine.clone()));
            engine.spawn(crate::watch::run(engine.clone()));
            engine.spawn(crate::watch::look_into_servers(engine.clone()));
            engine.spawn(crate::telling::outbox::run(engine.clone()));
            engine.spawn(crate::telling::conditions::run(engine.clone()));
            engine.spawn(crate::telling::summary::run(engine.clone()));
        }
        Ok(engine)
    }

    /// Ends everything: no new work, what is at work is cancelled as *interrupted*, children are gone, local instances that this
    /// process started close themselves. Waits at most `deadline` for the work; what has not ended by then ends with the process, and the next start sets it right.
    pub async fn shutdown(&self, deadline: Duration) {
        if !self.owns_schedule() && self.0.has_told.load(Ordering::Relaxed) {
            self.empty_outbox(LAST_WORDS.min(deadline)).await;
        }
        self.0.ending.cancel();
        self.0.tasks.close();
        if tokio::time::timeout(deadline, self.0.tasks.wait()).await.is_err() {
            tracing::warn!("some work did not end in time; the next start sets it right");
        }
        self.farewell_to_instances().await;
        lock(&self.0.schedule).take();
    }

    /// What happens from now on.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.0.events.subscribe()
    }

    /// Whether this process runs the schedule.
    pub fn owns_schedule(&self) -> bool {
        lock(&self.0.schedule).is_some()
    }

    /// Howdah's own file of SSH servers' keys that the user has accepted; it need not exist.
    pub(crate) fn known_hosts(&self) -> PathBuf {
        self.data_dir().join(KNOWN_HOSTS_FILE)
    }

    /// The data directory.
    pub fn data_dir(&self) -> &Path {
        self.0.store.dir()
    }

    /// The bundled programs.
    pub fn programs(&self) -> &Programs {
        &self.0.programs
    }

    /// Starts a task that the engine waits for at its end. It has to heed `ending`.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.tasks.spawn(task);
    }

    pub(crate) fn active(&self) -> MutexGuard<'_, HashMap<RunId, Active>> {
        lock(&self.0.active)
    }
}

/// A mutex's content, also after a panic elsewhere: what these hold is whole after every statement.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A fault of ours.
pub(crate) fn internal(what: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(FailureCode::Internal, what).details(error.to_string())
}

/// Turns the store's errors into failures, so that `?` needs no words.
pub(crate) trait OrFailure<T> {
    /// The value, or the error as people see it.
    fn or_failure(self) -> Result<T, Failure>;
}

macro_rules! or_failure {
    ($($error:ty),+) => {$(
        impl<T> OrFailure<T> for Result<T, $error> {
            fn or_failure(self) -> Result<T, Failure> {
                self.map_err(|error| error.to_failure())
            }
        }
    )+};
}

or_failure!(
    howdah_store::Error,
    howdah_storage::Error,
    howdah_notify::Error,
    howdah_postgres::Error,
    howdah_archive::Error
);
