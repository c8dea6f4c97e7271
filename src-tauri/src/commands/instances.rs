//! Local instances, restores and drills. A password goes to the clipboard or into a terminal's environment, never to the page.

use howdah_domain::{BackupId, Failure, FailureCode, InstanceId, ReplacementId, RunId};
use howdah_engine::api::{InstanceView, Preflight, ReplacementView, RestoreWish};
use howdah_engine::{Parting, drill_page};
use tauri::{State, WebviewWindow};

use crate::clipboard;
use crate::desk::Desk;
use crate::files::{self, off_the_runtime};
use crate::picker::{self, Wanted};
use crate::terminal;

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn list_instances(desk: State<'_, Desk>) -> Result<Vec<InstanceView>, Failure> {
    desk.engine().await?.list_instances().await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn start_instance(desk: State<'_, Desk>, id: InstanceId) -> Result<InstanceView, Failure> {
    let engine = desk.engine().await?;
    engine.start_instance(&id, Parting::Interrupt).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn stop_instance(desk: State<'_, Desk>, id: InstanceId) -> Result<InstanceView, Failure> {
    desk.engine().await?.stop_instance(&id).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn rename_instance(
    desk: State<'_, Desk>,
    id: InstanceId,
    name: String,
) -> Result<InstanceView, Failure> {
    desk.engine().await?.rename_instance(&id, &name).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn delete_instance(desk: State<'_, Desk>, id: InstanceId) -> Result<(), Failure> {
    desk.engine().await?.delete_instance(&id).await
}

/// Puts a running instance's URL, password included, on the clipboard; as a psql command where that is wished for.
#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn copy_instance_url(
    window: WebviewWindow,
    desk: State<'_, Desk>,
    id: InstanceId,
    psql: bool,
) -> Result<(), Failure> {
    let url = desk.engine().await?.instance_url(&id).await?;
    let text = if psql {
        format!("psql '{}'", url.expose())
    } else {
        url.expose().to_owned()
    };
    clipboard::put(&window, text)
}

/// Opens psql on a running instance in the desktop's terminal.
#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn open_instance(desk: State<'_, Desk>, id: InstanceId) -> Result<(), Failure> {
    let engine = desk.engine().await?;
    let (connection, password) = engine.instance_connection(&id).await?;
    let client = engine
        .programs()
        .client_for(18)
        .map_err(|error| error.to_failure())?;
    off_the_runtime(move || terminal::psql(&client, &connection, &password)).await?
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn restore_backup(desk: State<'_, Desk>, wish: RestoreWish) -> Result<RunId, Failure> {
    desk.engine().await?.restore_backup(wish).await
}

/// Looks whether a restore would work, and changes nothing.
#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn preflight(desk: State<'_, Desk>, wish: RestoreWish) -> Result<Preflight, Failure> {
    desk.engine().await?.preflight(&wish).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn list_replacements(desk: State<'_, Desk>) -> Result<Vec<ReplacementView>, Failure> {
    desk.engine().await?.list_replacements().await
}

/// Gives a replaced database its name back; answers the name under which the restored one is kept.
#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn put_back(desk: State<'_, Desk>, id: ReplacementId) -> Result<String, Failure> {
    desk.engine().await?.put_back(&id).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn drop_kept(desk: State<'_, Desk>, id: ReplacementId) -> Result<(), Failure> {
    desk.engine().await?.drop_kept(&id).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn drill_backup(desk: State<'_, Desk>, id: BackupId) -> Result<RunId, Failure> {
    desk.engine().await?.drill_backup(&id).await
}

/// Asks for a file, and writes a drill's report there as a page that stands on its own. `None` where none was chosen.
#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn save_drill_report(
    window: WebviewWindow,
    desk: State<'_, Desk>,
    id: RunId,
    title: String,
) -> Result<Option<String>, Failure> {
    let page = desk.engine().await?.run_page(&id).await?;
    let report = page
        .drill
        .ok_or_else(|| Failure::new(FailureCode::NotFound, "This run has no report."))?
        .report;
    let name = format!(
        "drill-{}-{}.html",
        report.database.replace(['/', '\\'], "-"),
        report.finished_at.strftime("%Y-%m-%d")
    );
    let Some(path) = picker::choose(&window, Wanted::NewFile { name }, title, String::new()).await? else {
        return Ok(None);
    };
    let (file, text) = (std::path::PathBuf::from(&path), drill_page(&report));
    off_the_runtime(move || files::write(&file, text.as_bytes()))
        .await?
        .map_err(|error| files::not_written("The report", &path, &error))?;
    Ok(Some(path))
}
