//! Runs: started, cancelled; the scheduler: seen, paused.

use howdah_domain::{BackupId, DatabaseId, Failure, RunId};
use howdah_engine::api::SchedulerView;
use jiff::Timestamp;
use tauri::State;

use crate::desk::Desk;

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn back_up_now(
    desk: State<'_, Desk>,
    database_id: DatabaseId,
) -> Result<Vec<RunId>, Failure> {
    desk.engine().await?.back_up_now(&database_id).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn cancel_run(desk: State<'_, Desk>, id: RunId) -> Result<(), Failure> {
    desk.engine().await?.cancel_run(&id).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn verify_backup(desk: State<'_, Desk>, id: BackupId) -> Result<RunId, Failure> {
    desk.engine().await?.verify_backup(&id).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn scheduler(desk: State<'_, Desk>) -> Result<SchedulerView, Failure> {
    desk.engine().await?.scheduler().await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn pause(desk: State<'_, Desk>, until: Option<Timestamp>) -> Result<SchedulerView, Failure> {
    desk.engine().await?.pause(until).await
}
