//! What the shell itself does for the window.

use std::path::{Path, PathBuf};

use howdah_domain::{Failure, FailureCode};
use tauri::{AppHandle, WebviewWindow};

use crate::picker::{self, Wanted};
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

/// Asks the person for a folder, and answers it as people write it: below the home directory with a tilde.
#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn choose_folder(
    window: WebviewWindow,
    title: String,
    typed: String,
) -> Result<Option<String>, Failure> {
    let chosen = picker::choose(&window, Wanted::Folder, title, typed).await?;
    Ok(chosen.map(|folder| {
        howdah_engine::with_tilde(Path::new(&folder))
            .display()
            .to_string()
    }))
}

/// Asks the person for a file, and answers its whole path, as PostgreSQL's own programs take it.
#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn choose_file(
    window: WebviewWindow,
    title: String,
    typed: String,
) -> Result<Option<String>, Failure> {
    picker::choose(&window, Wanted::File, title, typed).await
}

/// Closes the window to the tray.
#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn hide_window(app: AppHandle) {
    window::close(&app);
}
