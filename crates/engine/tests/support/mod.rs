//! An engine for a test: data directory of its own, secrets in memory, a clock that can be turned, messages caught.

#![allow(clippy::unwrap_used, dead_code, unreachable_pub)] // each test file uses what it needs

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use howdah_archive::EncodeOptions;
use howdah_domain::{Clock, Connection, Failure, Place, Progress, RunId, RunState, Secret, Selection};
use howdah_engine::api::{Event, LogLevel, RunView};
use howdah_engine::oneoff::OneOffBackup;
use howdah_engine::work::Reporter;
use howdah_engine::{Engine, Options, Role};
use howdah_notify::{Channel, Message};
use howdah_postgres::programs::Programs;
use howdah_store::keychain::MemorySecrets;
use jiff::{SignedDuration, Timestamp};
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
pub struct Caught(Mutex<Vec<Message>>);

impl Caught {
    pub fn titles(&self) -> Vec<String> {
        self.0
            .lock()
            .unwrap()
            .iter()
            .map(|message| message.title.clone())
            .collect()
    }
}

#[async_trait::async_trait]
impl Channel for Caught {
    fn name(&self) -> &str {
        "caught"
    }

    async fn send(&self, message: &Message, _: &CancellationToken) -> Result<(), howdah_notify::Error> {
        self.0.lock().unwrap().push(message.clone());
        Ok(())
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

/// An engine with all that a test wants to look at.
pub struct TestEngine {
    pub engine: Engine,
    pub clock: Arc<TestClock>,
    pub secrets: Arc<MemorySecrets>,
    pub caught: Arc<Caught>,
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
        let caught = Arc::new(Caught::default());
        let engine = Engine::open(Options {
            data_dir: dir.path().join("data"),
            programs: Programs::locate(None).unwrap(),
            secrets: secrets.clone(),
            clock: clock.clone(),
            channels: vec![caught.clone()],
            role: Role::Owner,
        })
        .await
        .unwrap();
        Self {
            engine,
            clock,
            secrets,
            caught,
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
            place: Place::folder(self.folder()),
            place_secret: None,
            encode: EncodeOptions::default(),
        }
    }

    /// Waits until a run has ended, at most half a minute.
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
        match tokio::time::timeout(Duration::from_secs(30), look).await {
            Ok(run) => run,
            Err(_) => panic!("not so after 30 s: {:?}", self.engine.run_page(id).await),
        }
    }
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
