//! The user's settings.

use howdah_domain::Failure;
use howdah_engine::api::{KeyringState, Settings, SettingsPage};
use tauri::State;

use crate::desk::Desk;

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn settings_page(desk: State<'_, Desk>) -> Result<SettingsPage, Failure> {
    desk.engine().await?.settings_page().await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn save_settings(desk: State<'_, Desk>, settings: Settings) -> Result<Settings, Failure> {
    desk.engine().await?.save_settings(settings).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn unlock_keyring(desk: State<'_, Desk>) -> Result<KeyringState, Failure> {
    desk.engine().await?.unlock_keyring().await
}
