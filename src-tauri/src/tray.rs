//! The tray's icon and menu. Linux sends no clicks on the icon, so everything is in the menu.

mod view;

use std::sync::Arc;
use std::time::Duration;

use howdah_domain::{DatabaseId, Failure};
use howdah_engine::Engine;
use jiff::{Timestamp, ToSpan as _, ZonedDateTime};
use tauri::menu::{Menu, MenuItem, PredefinedMenuItem, Submenu};
use tauri::tray::TrayIconBuilder;
use tauri::{AppHandle, Manager as _, Wry, include_image};
use tokio::sync::Notify;

use self::view::{State, View};
use crate::desk::Desk;
use crate::{events, quit, window};

const ID: &str = "howdah";

/// Events come in swarms; the tray looks once after this long.
const SETTLE: Duration = Duration::from_millis(200);

/// A database becomes overdue without an event, so the tray looks by itself too.
const LOOK: Duration = Duration::from_secs(300);

/// The lines of the menu that change. They are changed where they are: lines made anew would leave whoever has the menu open
/// with some that do nothing.
struct Lines {
    verdict: MenuItem<Wry>,
    back_up: Submenu<Wry>,
    schedule: Submenu<Wry>,
    resume: MenuItem<Wry>,
    quit: MenuItem<Wry>,
}

/// Makes the tray icon, before anything is known.
pub(crate) fn make(app: &AppHandle) -> tauri::Result<()> {
    let view = View::starting();
    let (menu, lines) = menu(app, &view)?;
    app.manage(lines);
    TrayIconBuilder::with_id(ID)
        .icon(icon(view.state))
        .tooltip(&view.tooltip)
        .menu(&menu)
        .on_menu_event(|app, event| chosen(app, event.id().as_ref()))
        .build(app)?;
    Ok(())
}

/// Shows that the engine could not be opened; *Open* shows why.
pub(crate) fn show_failure(app: &AppHandle, failure: &Failure) {
    draw(app, &View::broken(failure), None);
}

/// Keeps the tray's picture and menu true.
pub(crate) struct Keeper(Arc<Notify>);

impl Keeper {
    /// Begins to keep; looks at once.
    pub(crate) fn start(app: AppHandle, engine: Engine) -> Self {
        let again = Arc::new(Notify::new());
        again.notify_one();
        let notified = again.clone();
        tauri::async_runtime::spawn(async move {
            let mut shown = None;
            loop {
                // Woken by an event or by time, whichever comes first.
                drop(tokio::time::timeout(LOOK, notified.notified()).await);
                match engine.overview().await {
                    Ok(overview) => {
                        let view = View::of(&overview);
                        if shown.as_ref() != Some(&view) {
                            draw(&app, &view, shown.as_ref());
                            shown = Some(view);
                        }
                    }
                    Err(failure) => tracing::warn!(%failure, "the tray cannot see how things are"),
                }
                tokio::time::sleep(SETTLE).await;
            }
        });
        Self(again)
    }

    /// Something may have changed.
    pub(crate) fn look_again(&self) {
        self.0.notify_one();
    }
}

/// Shows a view; `before` is what is shown already.
fn draw(app: &AppHandle, view: &View, before: Option<&View>) {
    let (app, view, before) = (app.clone(), view.clone(), before.cloned());
    let drawn = app.clone().run_on_main_thread(move || {
        let Some(tray) = app.tray_by_id(ID) else { return };
        let same = |part: fn(&View, &View) -> bool| before.as_ref().is_some_and(|before| part(before, &view));
        let mut outcome = Ok(());
        if !same(|a, b| a.state == b.state) {
            outcome = outcome.and(tray.set_icon(Some(icon(view.state))));
        }
        if !same(|a, b| a.tooltip == b.tooltip) {
            outcome = outcome.and(tray.set_tooltip(Some(&view.tooltip)));
        }
        let lines = app.state::<Lines>();
        if !same(|a, b| a.verdict == b.verdict) {
            outcome = outcome.and(lines.verdict.set_text(escape(&view.verdict)));
        }
        if !same(|a, b| a.databases == b.databases) {
            outcome = outcome.and(list(&app, &lines.back_up, &view.databases));
        }
        if !same(|a, b| (a.owned, a.paused) == (b.owned, b.paused)) {
            outcome = outcome
                .and(lines.schedule.set_enabled(view.owned))
                .and(lines.resume.set_enabled(view.paused));
        }
        if !same(|a, b| a.quit == b.quit) {
            outcome = outcome.and(lines.quit.set_text(escape(&view.quit)));
        }
        if let Err(error) = outcome {
            tracing::warn!(%error, "the tray could not be drawn");
        }
    });
    if let Err(error) = drawn {
        tracing::warn!(%error, "the tray could not be drawn");
    }
}

fn icon(state: State) -> tauri::image::Image<'static> {
    match state {
        State::Idle => include_image!("../icons/tray/idle.png"),
        State::Running => include_image!("../icons/tray/running.png"),
        State::Warning => include_image!("../icons/tray/warning.png"),
        State::Failed => include_image!("../icons/tray/failed.png"),
    }
}

fn line(app: &AppHandle, id: &str, text: &str, enabled: bool) -> tauri::Result<MenuItem<Wry>> {
    MenuItem::with_id(app, id, escape(text), enabled, None::<&str>)
}

fn menu(app: &AppHandle, view: &View) -> tauri::Result<(Menu<Wry>, Lines)> {
    let rule = || PredefinedMenuItem::separator(app);
    let resume = line(app, "pause:off", "Resume", view.paused)?;
    let lines = Lines {
        verdict: line(app, "verdict", &view.verdict, true)?,
        back_up: Submenu::new(app, "Back up now", false)?,
        schedule: Submenu::with_items(
            app,
            "Schedule",
            view.owned,
            &[
                &line(app, "pause:hour", "Pause for an hour", true)?,
                &line(app, "pause:morning", "Pause until tomorrow morning", true)?,
                &resume,
            ],
        )?,
        resume,
        quit: line(app, "quit", &view.quit, true)?,
    };
    list(app, &lines.back_up, &view.databases)?;
    let menu = Menu::with_items(
        app,
        &[
            &lines.verdict,
            &rule()?,
            &line(app, "open", "Open Howdah", true)?,
            &lines.back_up,
            &lines.schedule,
            &rule()?,
            &lines.quit,
        ],
    )?;
    Ok((menu, lines))
}

/// Lists the databases that can be backed up.
fn list(app: &AppHandle, back_up: &Submenu<Wry>, databases: &[(DatabaseId, String)]) -> tauri::Result<()> {
    while back_up.remove_at(0)?.is_some() {}
    for (id, name) in databases {
        back_up.append(&line(app, &format!("back-up:{id}"), name, true)?)?;
    }
    back_up.set_enabled(!databases.is_empty())
}

/// A menu takes `&` for the mark of a key; a name's own is doubled.
fn escape(text: &str) -> String {
    text.replace('&', "&&")
}

/// A line of the menu was chosen.
fn chosen(app: &AppHandle, id: &str) {
    match id {
        "open" => {
            if let Err(error) = window::show(app, None) {
                tracing::error!(%error, "the window could not be opened");
            }
        }
        "verdict" => events::navigate(app, "/"),
        "quit" => quit::quit(app),
        "pause:hour" => pause(app, Some(Timestamp::now() + 1.hour())),
        "pause:morning" => pause(app, tomorrow_morning()),
        "pause:off" => pause(app, None),
        _ => {
            if let Some(database) = id.strip_prefix("back-up:") {
                back_up(app, DatabaseId::from_text(database));
            }
        }
    }
}

fn back_up(app: &AppHandle, database: DatabaseId) {
    let app = app.clone();
    tauri::async_runtime::spawn(async move {
        let outcome = async { app.state::<Desk>().engine().await?.back_up_now(&database).await }.await;
        match outcome {
            Ok(runs) => tracing::info!(%database, runs = runs.len(), "a backup was asked for in the tray"),
            Err(failure) => {
                // Whoever asked in the menu looks at the window for the answer.
                tracing::warn!(%database, %failure, "a backup could not be started from the tray");
                events::navigate(&app, &format!("/databases/{database}"));
            }
        }
    });
}

fn pause(app: &AppHandle, until: Option<Timestamp>) {
    let app = app.clone();
    tauri::async_runtime::spawn(async move {
        let outcome = async { app.state::<Desk>().engine().await?.pause(until).await }.await;
        if let Err(failure) = outcome {
            tracing::warn!(%failure, "the schedule could not be paused or resumed");
        }
    });
}

/// Eight o'clock of the next day, on this machine's wall clock.
fn tomorrow_morning() -> Option<Timestamp> {
    let tomorrow = ZonedDateTime::now().tomorrow().ok()?;
    Some(
        tomorrow
            .with()
            .hour(8)
            .minute(0)
            .second(0)
            .subsec_nanosecond(0)
            .build()
            .ok()?
            .timestamp(),
    )
}
