//! Backups' copies: made, deleted; what is kept from every rule, and what a rule would delete.

use howdah_domain::{BackupId, DestinationId, Failure, RunId};
use howdah_engine::api::{PrunePreview, RetentionQuestion};
use tauri::State;

use crate::desk::Desk;

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn copy_to(
    desk: State<'_, Desk>,
    id: BackupId,
    destination: DestinationId,
) -> Result<RunId, Failure> {
    desk.engine().await?.copy_to(&id, &destination).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn delete_copy(
    desk: State<'_, Desk>,
    id: BackupId,
    destination: DestinationId,
    even_the_last: bool,
) -> Result<RunId, Failure> {
    let engine = desk.engine().await?;
    engine.delete_copy(&id, &destination, even_the_last).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn pin_backup(desk: State<'_, Desk>, id: BackupId, pinned: bool) -> Result<(), Failure> {
    desk.engine().await?.pin_backup(&id, pinned).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn preview_retention(
    desk: State<'_, Desk>,
    question: RetentionQuestion,
) -> Result<PrunePreview, Failure> {
    desk.engine().await?.preview_retention(question).await
}
