//! `howdah run`: the schedule in the foreground, for a machine without a screen. Ends on SIGINT or SIGTERM.

use howdah_domain::{Failure, FailureCode, RunKind, RunState};
use howdah_engine::Engine;
use howdah_engine::api::Event;
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use crate::output::{Done, Output, say};

pub(crate) async fn run(
    engine: &Engine,
    output: Output,
    cancel: &CancellationToken,
) -> Result<Done, Failure> {
    if !engine.owns_schedule() {
        return Err(Failure::new(
            FailureCode::Busy,
            "Another Howdah, the app or a `howdah run`, already runs the schedule of this data folder.",
        )
        .hint("End that one, or leave the schedule to it."));
    }
    let mut events = engine.events();
    output.note(&format!(
        "Howdah runs the schedule of {}. Ctrl-C ends it.",
        engine.data_dir().display()
    ));
    let mut ended = 0_u64;
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            () = cancel.cancelled() => break,
        };
        match event {
            Ok(Event::Run { run }) => {
                if run.state.is_final() {
                    ended += 1;
                }
                let state = state_words(run.state);
                let line = format!(
                    "{}  {}{} on {}: {state}",
                    jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%SZ"),
                    kind_words(run.kind),
                    run.database_name,
                    run.server_name
                );
                match &run.failure {
                    Some(failure) if run.state == RunState::Failed => {
                        say(&format!("{line}: {}", failure.message));
                    }
                    _ => output.note(&line),
                }
            }
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => break,
        }
    }
    Ok(Done::good(json!({ "ended_runs": ended }), String::new()))
}

/// What a run is, where it is no backup.
fn kind_words(kind: RunKind) -> &'static str {
    match kind {
        RunKind::Backup => "",
        RunKind::Drill => "drill of ",
        RunKind::Restore => "restore of ",
        RunKind::Verify => "check of ",
        RunKind::Prune => "pruning of ",
        RunKind::Copy => "copy of ",
    }
}

fn state_words(state: RunState) -> String {
    match state {
        RunState::Queued => "queued".to_owned(),
        RunState::Waiting { reason } => format!("waiting ({reason:?})").to_lowercase(),
        RunState::Running { phase } => format!("{phase:?}").to_lowercase(),
        RunState::Succeeded => "succeeded".to_owned(),
        RunState::Failed => "failed".to_owned(),
        RunState::Cancelled => "cancelled".to_owned(),
        RunState::Interrupted => "interrupted".to_owned(),
        RunState::Skipped { reason } => format!("skipped ({reason:?})").to_lowercase(),
    }
}
