//! The process's life: one instance per data directory, the tray, the window, and the event loop.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use tauri::{RunEvent, WindowEvent};

use crate::arguments::Arguments;
use crate::{tray, window};

/// Runs until somebody quits.
pub(crate) fn run(arguments: &Arguments, data_dir: PathBuf) -> anyhow::Result<()> {
    let mut context = tauri::generate_context!();
    let identifier = &mut context.config_mut().identifier;
    *identifier = identifier_for(identifier, &data_dir);
    let hidden = arguments.hidden;
    let app = tauri::Builder::default()
        .plugin(tauri_plugin_single_instance::init(|app, _arguments, _folder| {
            if let Err(error) = window::show(app, None) {
                tracing::error!(%error, "the window could not be opened");
            }
        }))
        .setup(move |app| {
            tray::make(app.handle())?;
            if !hidden {
                window::show(app.handle(), None)?;
            }
            Ok(())
        })
        .build(context)?;
    app.run(|_app, event| match event {
        RunEvent::WindowEvent {
            label,
            event: WindowEvent::Destroyed,
            ..
        } => {
            tracing::info!(label, "window closed");
        }
        // Without a code nobody asked to leave: the last window closed, and the tray stays.
        RunEvent::ExitRequested { code: None, api, .. } => api.prevent_exit(),
        _ => {}
    });
    Ok(())
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
