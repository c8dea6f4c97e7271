//! What the shell itself does for the window.

use std::path::PathBuf;

use howdah_domain::{Failure, FailureCode};
use tauri::AppHandle;

use crate::window;

/// Shows a folder in the desktop's file manager. Files are not opened: what a backup holds is not for a double click.
#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn open_folder(path: PathBuf) -> Result<(), Failure> {
    let shown = path.display().to_string();
    match tokio::fs::metadata(&path).await {
        Ok(metadata) if metadata.is_dir() => {}
        _ => {
            return Err(
                Failure::new(FailureCode::NotFound, format!("The folder {shown} is not there."))
                    .hint("If it lies on a drive or a share, connect that first."),
            );
        }
    }
    open::that_detached(&path).map_err(|error| {
        Failure::new(
            FailureCode::Internal,
            format!("No file manager could be opened for {shown}."),
        )
        .hint("Open the folder by hand.")
        .details(error.to_string())
    })
}

/// Closes the window to the tray.
#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn hide_window(app: AppHandle) {
    window::close(&app);
}
