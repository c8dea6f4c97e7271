//! Plans: proposed, looked at, saved, removed.

use howdah_domain::{Failure, Plan, PlanId, ServerId};
use howdah_engine::api::{PlanDraft, PlanProposal, ScheduleQuestion};
use jiff::Timestamp;
use tauri::State;

use crate::desk::Desk;

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn propose_plan(
    desk: State<'_, Desk>,
    server_id: ServerId,
    database: String,
) -> Result<PlanProposal, Failure> {
    desk.engine().await?.propose_plan(&server_id, &database).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn next_runs(
    desk: State<'_, Desk>,
    question: ScheduleQuestion,
) -> Result<Vec<Timestamp>, Failure> {
    desk.engine().await?.next_runs(&question)
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn save_plan(desk: State<'_, Desk>, plan: PlanDraft) -> Result<Plan, Failure> {
    desk.engine().await?.save_plan(plan).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn remove_plan(desk: State<'_, Desk>, id: PlanId) -> Result<(), Failure> {
    desk.engine().await?.remove_plan(&id).await
}
