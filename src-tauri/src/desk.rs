//! What the shell's parts share: the engine, once it is open, or why it could not be opened.
//!
//! The window is there before the engine is: a command that comes early waits.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use howdah_domain::{Failure, SystemClock};
use howdah_engine::{Engine, Options, Role};
use howdah_notify::Desktop;
use howdah_postgres::programs::Programs;
use howdah_store::SecretService;
use tauri::AppHandle;
use tokio::sync::watch;

use crate::events;

/// What became of opening the engine; `None` while it is being opened.
type Opened = Option<Result<Engine, Failure>>;

/// The shell's state.
pub(crate) struct Desk {
    opened: watch::Sender<Opened>,
}

impl Desk {
    /// Nothing is opened yet.
    pub(crate) fn new() -> Self {
        Self {
            opened: watch::Sender::new(None),
        }
    }

    /// Opens the engine of a data directory. To be called once.
    pub(crate) async fn open(&self, app: &AppHandle, data_dir: PathBuf) {
        let opened = open(app, data_dir).await;
        if let Err(failure) = &opened {
            tracing::error!(code = ?failure.code, details = failure.details, "{failure}");
        }
        self.opened.send_replace(Some(opened));
    }

    /// The engine, as soon as it is open.
    ///
    /// # Errors
    /// Why it could not be opened.
    pub(crate) async fn engine(&self) -> Result<Engine, Failure> {
        let mut receiver = self.opened.subscribe();
        // The sender lives as long as `self`, so waiting ends with an answer.
        let opened = receiver
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|opened| opened.clone());
        opened.expect("BUG: the desk's own channel is closed")
    }

    /// Ends the engine, where it is open: what is at work is cancelled and recorded as interrupted. At most `deadline`.
    pub(crate) async fn shutdown(&self, deadline: Duration) {
        let opened = self.opened.borrow().clone();
        if let Some(Ok(engine)) = opened {
            engine.shutdown(deadline).await;
        }
    }
}

async fn open(app: &AppHandle, data_dir: PathBuf) -> Result<Engine, Failure> {
    let programs = Programs::locate(None).map_err(|error| error.to_failure())?;
    let clicked = app.clone();
    let desktop = Desktop::new(move |route| events::navigate(&clicked, route));
    Engine::open(Options {
        data_dir,
        programs,
        secrets: Arc::new(SecretService::new()),
        clock: Arc::new(SystemClock),
        channels: vec![Arc::new(desktop)],
        role: Role::Owner,
    })
    .await
}
