//! The process's life: one instance per data directory, the tray, the window, and the event loop.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use tauri::{AppHandle, Manager as _, RunEvent};

use crate::arguments::Arguments;
use crate::desk::Desk;
use crate::window::WebviewFolder;
use crate::{commands, events, quit, tray, window};

/// Runs until somebody quits.
pub(crate) fn run(arguments: &Arguments, data_dir: PathBuf) -> anyhow::Result<()> {
    #[allow(
        clippy::exit,
        reason = "it is the macro's own, on a thread that could not be made"
    )]
    let mut context: tauri::Context = tauri::generate_context!();
    let identifier = &mut context.config_mut().identifier;
    *identifier = identifier_for(identifier, &data_dir);
    let hidden = arguments.hidden;
    let app = tauri::Builder::default()
        .plugin(tauri_plugin_single_instance::init(|app, _arguments, _folder| {
            bring_forward(app);
        }))
        .manage(Desk::new())
        .manage(WebviewFolder(data_dir.join("webview")))
        .invoke_handler(commands::all())
        .setup(move |app| {
            tray::make(app.handle())?;
            if !hidden {
                window::show(app.handle(), None)?;
            }
            start(app.handle().clone(), data_dir);
            Ok(())
        })
        .build(context)?;
    app.run(|_app, event| {
        // Without a code nobody asked to leave: the last window closed, and the tray stays.
        if let RunEvent::ExitRequested { code: None, api, .. } = event {
            api.prevent_exit();
        }
    });
    Ok(())
}

/// Opens the engine and begins to listen, to it and to the session.
fn start(app: AppHandle, data_dir: PathBuf) {
    tauri::async_runtime::spawn({
        let app = app.clone();
        async move {
            if let Err(error) = quit::on_signals(app).await {
                tracing::warn!(%error, "signals cannot be heard; a kill ends the app without a farewell");
            }
        }
    });
    tauri::async_runtime::spawn(async move {
        let desk = app.state::<Desk>();
        desk.open(&app, data_dir).await;
        match desk.engine().await {
            Ok(engine) => events::bridge(app.clone(), engine).await,
            Err(failure) => tray::show_failure(&app, &failure),
        }
    });
}

fn bring_forward(app: &AppHandle) {
    if let Err(error) = window::show(app, None) {
        tracing::error!(%error, "the window could not be opened");
    }
}

/// The application's identifier for a data directory: an installation of its own is an application of its own, so that a
/// second start brings forward the window of the same installation and of no other.
fn identifier_for(identifier: &str, data_dir: &Path) -> String {
    let hash = Sha256::digest(data_dir.as_os_str().as_encoded_bytes());
    let mut text = format!("{identifier}.d");
    for byte in &hash[..6] {
        write!(text, "{byte:02x}").expect("BUG: writing to a String cannot fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_data_directory_has_an_identifier_of_its_own_that_a_bus_accepts() {
        let one = identifier_for("dev.howdah.desktop", Path::new("/home/a/.local/share/howdah"));
        let other = identifier_for("dev.howdah.desktop", Path::new("/home/a/other"));
        assert_ne!(one, other);
        assert_eq!(
            one,
            identifier_for("dev.howdah.desktop", Path::new("/home/a/.local/share/howdah"))
        );
        // D-Bus: no element of a name begins with a digit.
        assert!(
            one.split('.')
                .all(|element| element.starts_with(|c: char| c.is_ascii_alphabetic())),
            "{one}"
        );
    }
}
