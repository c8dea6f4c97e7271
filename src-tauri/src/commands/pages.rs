//! What pages show.

use howdah_domain::{BackupId, DatabaseId, Failure, RunId};
use howdah_engine::api::{BackupPage, BackupView, DatabasePage, Overview, RunPage, RunView};
use tauri::State;

use crate::desk::Desk;

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn overview(desk: State<'_, Desk>) -> Result<Overview, Failure> {
    desk.engine().await?.overview().await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn database_page(desk: State<'_, Desk>, id: DatabaseId) -> Result<DatabasePage, Failure> {
    desk.engine().await?.database_page(&id).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn backup_page(desk: State<'_, Desk>, id: BackupId) -> Result<BackupPage, Failure> {
    desk.engine().await?.backup_page(&id).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn run_page(desk: State<'_, Desk>, id: RunId) -> Result<RunPage, Failure> {
    desk.engine().await?.run_page(&id).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn list_backups(
    desk: State<'_, Desk>,
    database_id: Option<DatabaseId>,
) -> Result<Vec<BackupView>, Failure> {
    desk.engine().await?.list_backups(database_id).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn list_runs(desk: State<'_, Desk>, limit: u32) -> Result<Vec<RunView>, Failure> {
    desk.engine().await?.list_runs(limit).await
}
