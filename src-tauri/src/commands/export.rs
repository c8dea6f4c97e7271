//! All settings as one encrypted file: written where the person chose, read back, taken over.

use std::path::PathBuf;

use howdah_domain::{DestinationId, Failure, Secret};
use howdah_engine::LONGEST_EXPORT;
use howdah_engine::api::{ExportRequest, ExportView, ImportReport, StoredExport};
use tauri::{State, WebviewWindow};

use crate::desk::Desk;
use crate::files::{self, off_the_runtime};
use crate::picker::{self, Wanted};

/// What the files are called in what goes wrong with them.
const WHAT: &str = "The file of settings";

/// Asks where to, and writes the settings there. Answers the path; `None` where none was chosen.
#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn export_settings(
    window: WebviewWindow,
    desk: State<'_, Desk>,
    title: String,
    request: ExportRequest,
) -> Result<Option<String>, Failure> {
    let export = desk.engine().await?.export_settings(request).await?;
    let wanted = Wanted::NewFile {
        name: export.file_name,
    };
    let Some(path) = picker::choose(&window, wanted, title, String::new()).await? else {
        return Ok(None);
    };
    let (file, bytes) = (PathBuf::from(&path), export.bytes);
    off_the_runtime(move || files::write(&file, &bytes))
        .await?
        .map_err(|error| files::not_written(WHAT, &path, &error))?;
    Ok(Some(path))
}

/// Asks for a file of settings, and says what it holds. `None` where none was chosen.
#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn read_export(
    window: WebviewWindow,
    desk: State<'_, Desk>,
    title: String,
    passphrase: Option<Secret>,
) -> Result<Option<ExportView>, Failure> {
    let engine = desk.engine().await?;
    let Some(path) = picker::choose(&window, Wanted::File, title, String::new()).await? else {
        return Ok(None);
    };
    let file = PathBuf::from(&path);
    let bytes = off_the_runtime(move || files::read(&file, LONGEST_EXPORT))
        .await?
        .map_err(|error| files::not_read(&path, &error))?;
    engine.read_export(bytes, passphrase).await.map(Some)
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn stored_exports(
    desk: State<'_, Desk>,
    id: DestinationId,
) -> Result<Vec<StoredExport>, Failure> {
    desk.engine().await?.stored_exports(&id).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn read_stored_export(
    desk: State<'_, Desk>,
    id: DestinationId,
    path: String,
) -> Result<ExportView, Failure> {
    desk.engine().await?.read_stored_export(&id, &path).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn import_settings(desk: State<'_, Desk>, id: String) -> Result<ImportReport, Failure> {
    desk.engine().await?.import_settings(&id).await
}
