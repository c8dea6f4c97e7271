//! Servers: understanding, testing, adding and changing them. Passwords come in and never go out.

use howdah_domain::{Environment, Failure, Secret, ServerId, TestReport};
use howdah_engine::api::{ConnectionInput, ParsedConnection, ServerChange, ServerView, TestRequest};
use tauri::State;

use crate::desk::Desk;

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn parse_connection(
    desk: State<'_, Desk>,
    text: Secret,
) -> Result<ParsedConnection, Failure> {
    desk.engine().await?.parse_connection(text.expose())
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn test_connection(
    desk: State<'_, Desk>,
    request: TestRequest,
) -> Result<TestReport, Failure> {
    desk.engine().await?.test_connection(request).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn cancel_test(desk: State<'_, Desk>, test_id: String) -> Result<(), Failure> {
    desk.engine().await?.cancel_test(&test_id);
    Ok(())
}

/// Accepts an SSH server's key: `line` is the details of the failure that showed it.
#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn accept_host_key(desk: State<'_, Desk>, line: String) -> Result<(), Failure> {
    desk.engine().await?.accept_host_key(line).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn add_server(
    desk: State<'_, Desk>,
    input: ConnectionInput,
    name: String,
    environment: Environment,
) -> Result<ServerView, Failure> {
    desk.engine().await?.add_server(input, &name, environment).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn change_server(
    desk: State<'_, Desk>,
    id: ServerId,
    change: ServerChange,
) -> Result<ServerView, Failure> {
    desk.engine().await?.change_server(&id, change).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn remove_server(desk: State<'_, Desk>, id: ServerId) -> Result<(), Failure> {
    desk.engine().await?.remove_server(&id).await
}
