//! Destinations: listed, tried out, added, changed, removed, looked through. What opens them comes in and never goes out.

use howdah_domain::{DestinationId, Failure};
use howdah_engine::api::{
    AttachReport, DestinationChange, DestinationInput, DestinationReport, DestinationView,
};
use tauri::State;

use crate::desk::Desk;

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn list_destinations(desk: State<'_, Desk>) -> Result<Vec<DestinationView>, Failure> {
    desk.engine().await?.list_destinations().await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn test_destination(
    desk: State<'_, Desk>,
    input: DestinationInput,
) -> Result<DestinationReport, Failure> {
    desk.engine().await?.test_destination(input).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn add_destination(
    desk: State<'_, Desk>,
    input: DestinationInput,
) -> Result<DestinationView, Failure> {
    desk.engine().await?.add_destination(input).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn change_destination(
    desk: State<'_, Desk>,
    id: DestinationId,
    change: DestinationChange,
) -> Result<DestinationView, Failure> {
    desk.engine().await?.change_destination(&id, change).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn remove_destination(desk: State<'_, Desk>, id: DestinationId) -> Result<(), Failure> {
    desk.engine().await?.remove_destination(&id).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn attach(desk: State<'_, Desk>, id: DestinationId) -> Result<AttachReport, Failure> {
    desk.engine().await?.attach(&id).await
}
