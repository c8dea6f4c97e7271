//! Health checks and availability.

use std::path::Path;

use howdah_domain::check::CheckRule;
use howdah_domain::{DatabaseId, Failure, IncidentId, MaintenanceId};
use howdah_engine::api::{Availability, AvailabilityRequest, HealthView, MaintenanceView, WatchPage};
use jiff::Timestamp;
use tauri::{State, WebviewWindow};

use crate::desk::Desk;
use crate::files::tame_name;
use crate::picker::{self, Wanted};

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn watch_page(desk: State<'_, Desk>, id: DatabaseId) -> Result<WatchPage, Failure> {
    desk.engine().await?.watch_page(&id).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn availability(
    desk: State<'_, Desk>,
    request: AvailabilityRequest,
) -> Result<Availability, Failure> {
    desk.engine().await?.availability(request).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn check_now(desk: State<'_, Desk>, id: DatabaseId) -> Result<HealthView, Failure> {
    desk.engine().await?.check_now(&id).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn try_check(
    desk: State<'_, Desk>,
    id: DatabaseId,
    rule: CheckRule,
) -> Result<HealthView, Failure> {
    desk.engine().await?.try_check(&id, rule).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn save_check_rule(
    desk: State<'_, Desk>,
    id: DatabaseId,
    rule: CheckRule,
) -> Result<(), Failure> {
    desk.engine().await?.save_check_rule(&id, rule).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn mute(
    desk: State<'_, Desk>,
    id: DatabaseId,
    until: Option<Timestamp>,
) -> Result<(), Failure> {
    desk.engine().await?.mute(&id, until).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn save_maintenance(
    desk: State<'_, Desk>,
    window: MaintenanceView,
) -> Result<MaintenanceView, Failure> {
    desk.engine().await?.save_maintenance(window).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn remove_maintenance(desk: State<'_, Desk>, id: MaintenanceId) -> Result<(), Failure> {
    desk.engine().await?.remove_maintenance(&id).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn note_incident(
    desk: State<'_, Desk>,
    id: IncidentId,
    note: String,
) -> Result<(), Failure> {
    desk.engine().await?.note_incident(&id, &note).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn acknowledge_incident(desk: State<'_, Desk>, id: IncidentId) -> Result<(), Failure> {
    desk.engine().await?.acknowledge_incident(&id).await
}

/// Asks where to, and writes the checks there. `None` where no file was chosen.
#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn export_checks(
    window: WebviewWindow,
    desk: State<'_, Desk>,
    id: DatabaseId,
    from: Timestamp,
    to: Timestamp,
    title: String,
) -> Result<Option<String>, Failure> {
    let engine = desk.engine().await?;
    let name = engine.watch_page(&id).await?.name;
    let wanted = Wanted::NewFile {
        name: format!("{}-checks.csv", tame_name(&name)),
    };
    let Some(path) = picker::choose(&window, wanted, title, String::new()).await? else {
        return Ok(None);
    };
    engine.export_checks(&id, from, to, Path::new(&path)).await?;
    Ok(Some(path))
}
