//! `howdah prune`: what the plans' rules delete, shown or done.

use howdah_domain::units::{counted, size};
use howdah_domain::{Failure, PlanId, RunKind, RunState, Trigger};
use howdah_engine::Engine;
use howdah_engine::api::PrunePreview;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::output::Done;

pub(crate) async fn run(
    engine: &Engine,
    plan: Option<String>,
    dry_run: bool,
    cancel: &CancellationToken,
) -> Result<Done, Failure> {
    let plan = plan.map(PlanId::from_text);
    if dry_run {
        return Ok(tell(&engine.preview_prune(plan.as_ref()).await?, "Would delete"));
    }
    let mut events = engine.events();
    let preview = engine.prune(plan.as_ref(), Trigger::CommandLine).await?;
    // The runs belong to this process: it stays until they have ended.
    while engine
        .list_runs(100)
        .await?
        .iter()
        .any(|run| is_at_work(run.kind, run.state))
    {
        tokio::select! {
            () = cancel.cancelled() => break,
            // Whatever happened: the list of runs says whether it is over.
            _ = events.recv() => {}
        }
    }
    Ok(tell(&preview, "Deleted"))
}

fn is_at_work(kind: RunKind, state: RunState) -> bool {
    kind == RunKind::Prune && !state.is_final()
}

fn tell(preview: &PrunePreview, done: &str) -> Done {
    let mut lines: Vec<String> = preview
        .dropped
        .iter()
        .map(|dropped| {
            format!(
                "{}  {}, {}: {}",
                dropped.backup.id,
                dropped.database_name,
                size(dropped.backup.stored_bytes),
                dropped.why
            )
        })
        .collect();
    lines.push(if preview.dropped.is_empty() {
        format!(
            "Nothing to delete; {} stay.",
            counted(preview.kept, "backup", "backups")
        )
    } else {
        format!(
            "{done} {}, {}; {} stay.",
            counted(preview.dropped.len() as u64, "backup", "backups"),
            size(preview.bytes_freed),
            counted(preview.kept, "backup", "backups")
        )
    });
    Done::good(json!({ "prune": preview }), lines.join("\n"))
}
