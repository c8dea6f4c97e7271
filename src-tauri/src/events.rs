//! The bridge from the engine's events to the window and the tray. One channel for the window, of the engine's own types.

use howdah_engine::Engine;
use howdah_engine::api::Event;
use tauri::{AppHandle, Emitter as _, Manager as _};
use tokio::sync::broadcast::error::RecvError;

use crate::{tray, window};

/// The channel on which the window hears events.
const CHANNEL: &str = "howdah://event";

/// Hands every event on until the engine ends.
pub(crate) async fn bridge(app: AppHandle, engine: Engine) {
    let mut events = engine.events();
    let tray = tray::Keeper::start(app.clone(), engine.clone());
    dress(&app, &engine).await;
    loop {
        let event = match events.recv().await {
            Ok(event) => event,
            Err(RecvError::Lagged(lost)) => {
                tracing::warn!(lost, "the bridge was too slow for the engine's events");
                Event::Missed
            }
            Err(RecvError::Closed) => return,
        };
        if changes_tray(&event) {
            tray.look_again();
        }
        if matches!(event, Event::Settings | Event::Missed) {
            dress(&app, &engine).await;
        }
        match &event {
            Event::Navigate { to } => navigate(&app, to),
            _ => send(&app, &event),
        }
    }
}

/// Shows the window on a route: a new window opens there, an open one is led there.
pub(crate) fn navigate(app: &AppHandle, route: &str) {
    match window::show(app, Some(route)) {
        Ok(true) => {}
        Ok(false) => send(app, &Event::Navigate { to: route.to_owned() }),
        Err(error) => tracing::error!(%error, route, "the window could not be opened"),
    }
}

fn send(app: &AppHandle, event: &Event) {
    if app.get_webview_window(window::LABEL).is_some()
        && let Err(error) = app.emit(CHANNEL, event)
    {
        tracing::warn!(%error, "an event could not be handed to the window");
    }
}

/// Gives the window's frame the colours that the settings ask for.
async fn dress(app: &AppHandle, engine: &Engine) {
    window::dress(app, engine.settings().await.theme);
}

/// Whether an event can change what the tray shows. Progress, logs and checks, the frequent ones, cannot: what is down is told besides.
fn changes_tray(event: &Event) -> bool {
    !matches!(
        event,
        Event::Progress { .. }
            | Event::Log { .. }
            | Event::Health { .. }
            | Event::TestStep { .. }
            | Event::Navigate { .. }
    )
}
