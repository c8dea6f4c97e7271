//! What the shell's parts share: the engine, once it is open, or why it could not be opened.
//!
//! The window is there before the engine is: a command that comes early waits.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use howdah_domain::{Failure, SystemClock};
use howdah_engine::{Engine, Options, Role};
use howdah_notify::{Action, Desktop};
use howdah_postgres::network::SystemNetwork;
use howdah_postgres::programs::Programs;
use howdah_store::SecretService;
use tauri::{AppHandle, Manager as _};
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

/// Does what was chosen on a notification.
async fn act(app: &AppHandle, action: Action, message_id: &str) {
    let desk = app.state::<Desk>();
    let done = match desk.engine().await {
        Ok(engine) if action == Action::Mute => engine.mute_alert(message_id).await,
        Ok(engine) => engine.retry_alert(message_id).await,
        Err(failure) => Err(failure),
    };
    if let Err(failure) = done {
        tracing::warn!(%failure, ?action, "what was chosen on a notification could not be done");
    }
}

async fn open(app: &AppHandle, data_dir: PathBuf) -> Result<Engine, Failure> {
    let programs = Programs::locate(None).map_err(|error| error.to_failure())?;
    let clicked = app.clone();
    let desktop = Desktop::new(move |action, message| match action {
        Action::Open => {
            if let Some(route) = message.route.as_deref() {
                events::navigate(&clicked, route);
            }
        }
        Action::Retry | Action::Mute => {
            let (app, id) = (clicked.clone(), message.id.clone());
            tauri::async_runtime::spawn(async move { act(&app, action, &id).await });
        }
    });
    Engine::open(Options {
        data_dir,
        programs,
        secrets: Arc::new(SecretService::new()),
        clock: Arc::new(SystemClock),
        network: Arc::new(SystemNetwork),
        machine: howdah_machine::this(true),
        desktop: Some(Arc::new(desktop)),
        role: Role::Owner,
    })
    .await
}
