//! Signing in to Google Drive: the page opens in the system's browser, and what it gives stays in the engine.

use howdah_domain::Failure;
use howdah_engine::api::{DriveOffer, DriveSignInPage, DriveSignInRequest, DriveSignedIn};
use tauri::State;

use crate::desk::Desk;

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn drive_offer(desk: State<'_, Desk>) -> Result<DriveOffer, Failure> {
    Ok(desk.engine().await?.drive_offer())
}

/// Opens the page in the browser too. Where no browser opens, the window has the address to copy.
#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn begin_drive_sign_in(
    desk: State<'_, Desk>,
    request: DriveSignInRequest,
) -> Result<DriveSignInPage, Failure> {
    let page = desk.engine().await?.begin_drive_sign_in(request).await?;
    if let Err(error) = open::that_detached(&page.url) {
        tracing::warn!(%error, "no browser could be opened for signing in");
    }
    Ok(page)
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn finish_drive_sign_in(
    desk: State<'_, Desk>,
    id: String,
) -> Result<DriveSignedIn, Failure> {
    desk.engine().await?.finish_drive_sign_in(&id).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn cancel_drive_sign_in(desk: State<'_, Desk>, id: String) -> Result<(), Failure> {
    desk.engine().await?.cancel_drive_sign_in(&id);
    Ok(())
}
