//! Channels, and what was told.

use howdah_domain::channel::WebhookAddress;
use howdah_domain::{AlertId, ChannelId, Failure, FailureCode};
use howdah_engine::api::{
    ChannelInput, ChannelReport, ChannelView, NotificationsPage, TelegramChat, WebhookPreview,
};
use tauri::State;

use crate::desk::Desk;

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn notifications_page(desk: State<'_, Desk>) -> Result<NotificationsPage, Failure> {
    desk.engine().await?.notifications_page().await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn test_channel(
    desk: State<'_, Desk>,
    input: ChannelInput,
) -> Result<ChannelReport, Failure> {
    desk.engine().await?.test_channel(input).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn save_channel(desk: State<'_, Desk>, input: ChannelInput) -> Result<ChannelView, Failure> {
    desk.engine().await?.save_channel(input).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn remove_channel(desk: State<'_, Desk>, id: ChannelId) -> Result<(), Failure> {
    desk.engine().await?.remove_channel(&id).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn find_telegram_chats(
    desk: State<'_, Desk>,
    input: ChannelInput,
) -> Result<Vec<TelegramChat>, Failure> {
    desk.engine().await?.find_telegram_chats(input).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn preview_webhook(
    desk: State<'_, Desk>,
    address: WebhookAddress,
) -> Result<WebhookPreview, Failure> {
    Ok(desk.engine().await?.preview_webhook(&address))
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn acknowledge_alert(desk: State<'_, Desk>, id: AlertId) -> Result<(), Failure> {
    desk.engine().await?.acknowledge_alert(&id).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn retry_deliveries(desk: State<'_, Desk>, id: ChannelId) -> Result<(), Failure> {
    desk.engine().await?.retry_deliveries(&id).await
}

/// Opens one of the pages that say how to get a token; nothing else.
#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn open_link(url: String) -> Result<(), Failure> {
    if !crate::links::ALLOWED.contains(&url.as_str()) {
        return Err(Failure::new(
            FailureCode::InvalidInput,
            "Howdah opens only the pages that it names itself.",
        ));
    }
    open::that_detached(&url).map_err(|error| {
        Failure::new(
            FailureCode::Internal,
            format!("No browser could be opened for {url}."),
        )
        .hint("Open the address by hand.")
        .details(error.to_string())
    })
}
