//! An engine for a test: data directory of its own, secrets in memory, a clock that can be turned, messages caught. And the
//! steps that several tests take: a backup that must fail so, one that must come back equal, a table held locked.

#![allow(clippy::unwrap_used, clippy::print_stdout, dead_code, unreachable_pub)] // each test file uses what it needs

pub mod by_hand;
pub mod nightly;
pub mod unrecorded;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use howdah_archive::EncodeOptions;
use howdah_domain::{
    Clock, Connection, Failure, FailureCode, Place, Progress, RunId, RunState, Secret, Selection,
};
use howdah_engine::api::{Event, LogLevel, RunView};
use howdah_engine::oneoff::{OneOffBackedUp, OneOffBackup, OneOffPlace};
use howdah_engine::restore::{RestoreRequest, compare_with};
use howdah_engine::work::Reporter;
use howdah_engine::{Engine, Options, Role};
use howdah_machine::{Hold, Machine, Moment};
use howdah_notify::{Channel, Delivered, Message};
use howdah_postgres::compare::Comparison;
use howdah_postgres::network::{Network, Outlook};
use howdah_postgres::programs::Programs;
use howdah_postgres::restore;
use howdah_store::keychain::MemorySecrets;
use howdah_testkit::{Cluster, SmallDisk};
use jiff::{SignedDuration, Timestamp};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use tokio_util::sync::CancellationToken;

/// A clock that a test can turn; it also runs.
#[derive(Debug, Default)]
pub struct TestClock(Mutex<SignedDuration>);

impl TestClock {
    /// Turns the clock by so much, back where it is negative.
    pub fn turn(&self, by: SignedDuration) {
        *self.0.lock().unwrap() += by;
    }

    /// Turns the clock to then.
    pub fn set(&self, to: Timestamp) {
        *self.0.lock().unwrap() = to.duration_since(Timestamp::now());
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::now() + *self.0.lock().unwrap()
    }
}

/// Keeps what people would have been told.
#[derive(Debug, Default)]
pub struct Caught {
    messages: Mutex<Vec<Message>>,
    /// Whether the way to people is broken.
    pub away: AtomicBool,
    tries: AtomicU32,
}

impl Caught {
    pub fn titles(&self) -> Vec<String> {
        self.messages
            .lock()
            .unwrap()
            .iter()
            .map(|message| message.title.clone())
            .collect()
    }

    /// What was told.
    pub fn messages(&self) -> Vec<Message> {
        self.messages.lock().unwrap().clone()
    }

    /// How often telling was tried.
    pub fn tries(&self) -> u32 {
        self.tries.load(Ordering::Relaxed)
    }

    /// The titles, once there are so many: messages go out by a task of their own.
    pub async fn told(&self, count: usize) -> Vec<String> {
        for _ in 0..200 {
            if self.titles().len() >= count {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.titles()
    }
}

#[async_trait::async_trait]
impl Channel for Caught {
    fn name(&self) -> &str {
        "caught"
    }

    async fn send(
        &self,
        message: &Message,
        _: &CancellationToken,
    ) -> Result<Delivered, howdah_notify::Error> {
        self.tries.fetch_add(1, Ordering::Relaxed);
        if self.away.load(Ordering::Relaxed) {
            return Err(howdah_notify::Error::Unreachable {
                service: "the test".to_owned(),
                details: "it is away".to_owned(),
            });
        }
        self.messages.lock().unwrap().push(message.clone());
        Ok(Delivered::default())
    }
}

/// This machine's network, as the test has it.
#[derive(Debug, Default)]
pub struct TestNetwork {
    /// Whether it is away.
    pub offline: AtomicBool,
}

#[async_trait::async_trait]
impl Network for TestNetwork {
    async fn look(&self, _: &str, _: u16, _: &Failure, _: &CancellationToken) -> Outlook {
        if self.offline.load(Ordering::Relaxed) {
            return Outlook::Offline {
                why: "the test took it away".to_owned(),
            };
        }
        Outlook::Online
    }
}

/// Keeps what a piece of work says.
#[derive(Debug, Default)]
pub struct Heard(Mutex<Vec<(LogLevel, String)>>);

impl Heard {
    pub fn text(&self) -> String {
        self.0
            .lock()
            .unwrap()
            .iter()
            .map(|(_, text)| format!("{text}\n"))
            .collect()
    }
}

impl Reporter for Heard {
    fn phase(&self, _: howdah_domain::Phase) {}
    fn log(&self, level: LogLevel, text: &str) {
        self.0.lock().unwrap().push((level, text.to_owned()));
    }
    fn progress(&self, _: Progress) {}
}

/// This machine, as the test has it.
#[derive(Debug, Default)]
pub struct TestMachine {
    /// What it says of itself.
    pub state: tokio::sync::watch::Sender<howdah_machine::State>,
    moments: Mutex<Option<tokio::sync::broadcast::Sender<Moment>>>,
    /// Whoever keeps it awake has one of these.
    holds: Arc<()>,
}

impl TestMachine {
    /// Tells of a moment.
    pub fn tell(&self, moment: Moment) {
        drop(self.sender().send(moment));
    }

    /// How many keep it awake.
    pub fn holds(&self) -> usize {
        Arc::strong_count(&self.holds) - 1
    }

    fn sender(&self) -> tokio::sync::broadcast::Sender<Moment> {
        let mut moments = self.moments.lock().unwrap();
        moments
            .get_or_insert_with(|| tokio::sync::broadcast::Sender::new(16))
            .clone()
    }
}

#[async_trait::async_trait]
impl Machine for TestMachine {
    fn state(&self) -> tokio::sync::watch::Receiver<howdah_machine::State> {
        self.state.subscribe()
    }

    fn moments(&self) -> tokio::sync::broadcast::Receiver<Moment> {
        self.sender().subscribe()
    }

    async fn hold(&self, _: &str) -> Hold {
        Hold::new(self.holds.clone())
    }
}

/// An engine with all that a test wants to look at.
pub struct TestEngine {
    pub engine: Engine,
    pub clock: Arc<TestClock>,
    pub secrets: Arc<MemorySecrets>,
    pub caught: Arc<Caught>,
    pub network: Arc<TestNetwork>,
    pub machine: Arc<TestMachine>,
    pub dir: Arc<tempfile::TempDir>,
}

impl TestEngine {
    /// A new data directory.
    pub async fn start() -> Self {
        Self::start_in(Arc::new(tempfile::tempdir().unwrap()), Arc::default()).await
    }

    /// A data directory that may have been used before.
    pub async fn start_in(dir: Arc<tempfile::TempDir>, clock: Arc<TestClock>) -> Self {
        Self::start_with(dir, clock, Arc::default()).await
    }

    /// As [`Self::start_in`], with a keyring that may have been used before.
    pub async fn start_with(
        dir: Arc<tempfile::TempDir>,
        clock: Arc<TestClock>,
        secrets: Arc<MemorySecrets>,
    ) -> Self {
        let data_dir = dir.path().join("data");
        Self::open(dir, data_dir, clock, secrets, Programs::locate(None).unwrap()).await
    }

    /// An engine with a data directory at a place of the test's choosing, or with other programs than the bundled ones.
    pub async fn open(
        dir: Arc<tempfile::TempDir>,
        data_dir: PathBuf,
        clock: Arc<TestClock>,
        secrets: Arc<MemorySecrets>,
        programs: Programs,
    ) -> Self {
        let caught = Arc::new(Caught::default());
        let network = Arc::new(TestNetwork::default());
        let machine = Arc::new(TestMachine::default());
        let engine = Engine::open(Options {
            data_dir,
            programs,
            secrets: secrets.clone(),
            clock: clock.clone(),
            network: network.clone(),
            machine: machine.clone(),
            desktop: Some(caught.clone()),
            role: Role::Owner,
        })
        .await
        .unwrap();
        Self {
            engine,
            clock,
            secrets,
            caught,
            network,
            machine,
            dir,
        }
    }

    /// The engine's present time.
    pub fn engine_now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A folder for backups.
    pub fn folder(&self) -> PathBuf {
        self.dir.path().join("backups")
    }

    /// A backup of everything in a database into [`Self::folder`].
    pub fn one_off(&self, connection: Connection, secret: Secret) -> OneOffBackup {
        OneOffBackup {
            connection,
            secret: Some(secret),
            selection: Selection::default(),
            globals: true,
            to: vec![OneOffPlace {
                place: Place::folder(self.folder()),
                secret: None,
            }],
            encode: EncodeOptions::default(),
            recipients: None,
        }
    }

    /// Makes a backup, whose words are heard by nobody.
    pub async fn back_up(&self, wanted: &OneOffBackup) -> Result<OneOffBackedUp, Failure> {
        self.back_up_heard(wanted, &Arc::default()).await
    }

    /// Makes a backup, listened to.
    pub async fn back_up_heard(
        &self,
        wanted: &OneOffBackup,
        heard: &Arc<Heard>,
    ) -> Result<OneOffBackedUp, Failure> {
        let reporter: Arc<dyn Reporter> = heard.clone();
        self.engine
            .back_up_once(wanted, reporter, &CancellationToken::new())
            .await
    }

    /// The backup fails with this code, leaves no file, and its run is recorded as failed.
    pub async fn fails_with(&self, wanted: &OneOffBackup, code: FailureCode) -> Failure {
        let failure = failure(self.back_up(wanted).await.map(|made| made.stored));
        assert_eq!(failure.code, code, "{failure:?}");
        assert!(failure.message.len() > 20, "{failure:?}");
        assert_eq!(files_below(&self.folder()), Vec::<String>::new());
        let run = self.engine.list_runs(1).await.unwrap().remove(0);
        assert_eq!(
            (run.state, run.failure.as_ref()),
            (RunState::Failed, Some(&failure))
        );
        failure
    }

    /// Verifies a backup, restores it into a new database, and compares that with it.
    pub async fn restored(
        &self,
        made: &OneOffBackedUp,
        target: Connection,
        secret: Secret,
        jobs: usize,
    ) -> Comparison {
        let heard = Arc::new(Heard::default());
        let reporter: Arc<dyn Reporter> = heard.clone();
        let cancel = CancellationToken::new();
        let report = self
            .engine
            .verify_once(&made.stored, reporter.clone(), &cancel)
            .await
            .unwrap();
        assert!(report.is_whole() && report.content_checked, "{report:?}");
        assert_eq!(report.rows, made.manifest.rows);
        let request = RestoreRequest {
            backup: made.stored.clone(),
            target,
            secret: Some(secret),
            options: restore::Options {
                create: true,
                ..restore::Options::default()
            },
            jobs,
        };
        self.engine
            .restore_once(&request, reporter, &cancel)
            .await
            .unwrap_or_else(|failure| panic!("{failure:?}\n{}", heard.text()));
        compared(made, &request.target, request.secret.as_ref()).await
    }

    /// As [`Self::restored`], and finds it equal.
    pub async fn comes_back_equal(
        &self,
        made: &OneOffBackedUp,
        target: Connection,
        secret: Secret,
        jobs: usize,
    ) {
        let comparison = self.restored(made, target, secret, jobs).await;
        assert_eq!(comparison.mismatches, [], "{:?}", comparison.remarks);
        assert_eq!(comparison.rows, made.manifest.rows);
    }

    /// Waits until a run has ended, at most two minutes: a drill of 200 MB beside other tests takes one.
    pub async fn ended(&self, id: &RunId) -> RunView {
        self.until(id, RunState::is_final).await
    }

    /// Waits until a run's state is as wished.
    pub async fn until(&self, id: &RunId, wish: impl Fn(RunState) -> bool) -> RunView {
        let mut events = self.engine.events();
        let look = async {
            loop {
                let run = self.engine.run(id).await.unwrap();
                if wish(run.state) {
                    return run;
                }
                while !matches!(events.recv().await, Ok(Event::Run { .. }) | Err(_)) {}
            }
        };
        match tokio::time::timeout(Duration::from_secs(120), look).await {
            Ok(run) => run,
            Err(_) => panic!("not so after two minutes: {:?}", self.engine.run_page(id).await),
        }
    }
}

/// What of a database is not as a backup has it.
pub async fn compared(made: &OneOffBackedUp, target: &Connection, secret: Option<&Secret>) -> Comparison {
    let reporter: Arc<dyn Reporter> = Arc::new(Heard::default());
    let never = CancellationToken::new();
    compare_with(&made.stored, None, target, secret, 2, &reporter, &never)
        .await
        .unwrap()
}

/// A disk of that size; says what is left out where there is none to be had.
pub fn small_disk(size: &str) -> Option<SmallDisk> {
    let disk = SmallDisk::mount(size).unwrap();
    if disk.is_none() {
        println!("left out: no right to mount a file system");
    }
    disk
}

/// A file system of this test's process alone, in the place of a folder; the threads that are made later see it. Answers whether that
/// is allowed here.
pub fn mount_over(folder: &std::path::Path, size: &str) -> bool {
    if !nix::unistd::geteuid().is_root() {
        println!("left out: no right to mount a file system");
        return false;
    }
    std::fs::create_dir_all(folder).unwrap();
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
    let size = format!("size={size},mode=755");
    mount(
        Some("tmpfs"),
        folder,
        Some("tmpfs"),
        MsFlags::empty(),
        Some(size.as_str()),
    )
    .unwrap();
    true
}

/// Makes a table and holds it locked, so that a dump waits, until what comes back is dropped.
pub async fn hold_a_table(cluster: &Cluster, database: &str) -> impl Sized + use<> {
    cluster.sql(database, "CREATE TABLE held (a int)").await.unwrap();
    let holder = cluster.client(database).await.unwrap();
    holder
        .batch_execute("BEGIN; LOCK TABLE held IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    holder
}

/// The files below a folder, relative to it.
pub fn files_below(folder: &std::path::Path) -> Vec<String> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&next) else {
            continue;
        };
        for entry in entries.flatten() {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                files.push(entry.path().strip_prefix(folder).unwrap().display().to_string());
            }
        }
    }
    files.retain(|file| file != ".howdah-destination");
    files.sort();
    files
}

/// The failure of something that must fail.
pub fn failure<T: std::fmt::Debug>(result: Result<T, Failure>) -> Failure {
    result.expect_err("this should have failed")
}
