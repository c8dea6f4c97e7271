//! What people may want to hear of the end of a run.

use howdah_domain::units::{counted, size};
use howdah_domain::{AlertKind, Failure, FailureCode, RunKind, RunState, Severity};
use howdah_notify::{BackedUp, Message};
use howdah_store::Connection;
use howdah_store::tables::alerts;
use howdah_store::tables::backups::{self, Backup};
use howdah_store::tables::runs::Run;
use jiff::Timestamp;

use super::verify::says_damaged;
use crate::decide::{Size, shrunk};
use crate::telling::News;

/// What the subjects of attempts begin with: they are over when an attempt succeeds, and by nothing else.
pub(crate) const TRY: &str = "try/";

/// Backups that a new one is compared with.
const COMPARED: u32 = 10;

/// What is to be told of a run that ended, in the transaction in which it ends.
pub(super) fn of_end(
    c: &Connection,
    run: &Run,
    backup: Option<&Backup>,
    now: Timestamp,
) -> howdah_store::Result<Vec<News>> {
    match (run.state, run.kind, &run.failure) {
        (RunState::Succeeded, RunKind::Backup, _) => match backup {
            Some(backup) => backed_up(c, run, backup, now),
            None => Ok(Vec::new()),
        },
        (RunState::Succeeded, RunKind::Drill, _) => {
            if let Some(database) = &run.database_id
                && let Some(open) = alerts::lasting(c, AlertKind::DrillFailed, &format!("{TRY}{database}"))?
            {
                alerts::end(c, &open.id, now)?;
            }
            Ok(Vec::new())
        }
        (RunState::Succeeded, RunKind::Restore, _) => {
            let message = Message::new(
                AlertKind::RestoreSucceeded,
                now,
                format!("{} is restored", run.database_name),
                "The run's page says where it is, and what was left out.",
            );
            Ok(vec![of_run(message, run)])
        }
        (RunState::Failed, RunKind::Backup, Some(failure)) => Ok(vec![backup_failed(run, failure, now)]),
        (RunState::Failed, RunKind::Verify, Some(failure)) => {
            let (kind, title) = if says_damaged(failure) {
                (
                    AlertKind::CopyLost,
                    format!("A backup of {} is damaged", run.database_name),
                )
            } else {
                let title = format!("A backup of {} could not be checked", run.database_name);
                (AlertKind::DestinationUnreachable, title)
            };
            // Whether it can be made anew from another copy is seen to next; what cannot is told as lost.
            let message = Message::failed(kind, now, title, failure);
            Ok(vec![of_run(message, run).severity(Severity::Warning)])
        }
        (RunState::Failed, RunKind::Drill, Some(failure)) => Ok(vec![drill_failed(run, failure, now)]),
        (RunState::Failed, RunKind::Restore, Some(failure)) => {
            let title = format!("The restore of {} failed", run.database_name);
            let message = Message::failed(AlertKind::RestoreFailed, now, title, failure);
            Ok(vec![of_run(message, run)])
        }
        _ => Ok(Vec::new()),
    }
}

/// A dead man's switch is told that a backup began.
pub(crate) fn of_start(run: &Run, now: Timestamp) -> Option<News> {
    if run.kind != RunKind::Backup {
        return None;
    }
    let title = format!("The backup of {} has begun", run.database_name);
    Some(News {
        only_to_tell: true,
        ..of_run(Message::new(AlertKind::BackupStarted, now, title, ""), run)
    })
}

/// Backups of a database fail, since this run.
pub(crate) fn backup_failed(run: &Run, failure: &Failure, now: Timestamp) -> News {
    let message = Message::failed(
        AlertKind::BackupFailed,
        run.finished_at.unwrap_or(now),
        format!("{} was not backed up", run.database_name),
        failure,
    );
    lasting(of_run(message, run), run, "")
}

fn drill_failed(run: &Run, failure: &Failure, now: Timestamp) -> News {
    if failure.code == FailureCode::NotEqual {
        let title = format!("A backup of {} is not proved", run.database_name);
        let message = Message::failed(AlertKind::DrillFailed, now, title, failure);
        return lasting(of_run(message, run), run, "");
    }
    let title = format!("The drill of {} could not be made", run.database_name);
    let message = Message::failed(AlertKind::DrillFailed, now, title, failure);
    lasting(of_run(message, run), run, TRY).severity(Severity::Warning)
}

fn backed_up(c: &Connection, run: &Run, backup: &Backup, now: Timestamp) -> howdah_store::Result<Vec<News>> {
    let took = backup.finished_at.duration_since(backup.started_at);
    let mut message = Message::backed_up(
        now,
        &BackedUp {
            database: &run.database_name,
            tables: backup.tables,
            raw_bytes: backup.raw_bytes,
            stored_bytes: backup.stored_bytes,
            took: took.unsigned_abs(),
        },
    );
    let mut ended = None;
    if let Some(database) = &run.database_id {
        for kind in [AlertKind::BackupOverdue, AlertKind::BackupFailed] {
            if let Some(open) = alerts::lasting(c, kind, database.as_str())? {
                alerts::end(c, &open.id, now)?;
                ended = Some(open.id);
            }
        }
    }
    if ended.is_some() {
        message.title = format!("{} is backed up again", run.database_name);
    }
    let mut news = vec![News {
        ends: ended,
        ..of_run(message, run)
    }];
    let earlier: Vec<Size> = backups::good_before(c, &backup.database_id, backup.started_at, COMPARED)?
        .iter()
        .map(size_of)
        .collect();
    if let Some(usual) = shrunk(&earlier, size_of(backup)) {
        let message = Message::new(
            AlertKind::BackupShrunk,
            now,
            format!("The backup of {} is much smaller than usual", run.database_name),
            format!(
                "{} and {}, where the last {} had {} and {}. Rows may have been deleted, or the role no longer sees them. \
                 The backups before it are kept as the plan says: pin one, if it holds what is missing now.",
                size(backup.raw_bytes),
                counted(backup.rows, "row", "rows"),
                earlier.len(),
                size(usual.bytes),
                counted(usual.rows, "row", "rows"),
            ),
        );
        news.push(of_run(message, run));
    }
    Ok(news)
}

fn size_of(backup: &Backup) -> Size {
    Size {
        bytes: backup.raw_bytes,
        rows: backup.rows,
    }
}

fn of_run(message: Message, run: &Run) -> News {
    News::new(message.route(format!("/runs/{}", run.id))).about(run.database_id.as_ref())
}

/// A streak lasts for as long as its database; a run of none is a moment.
fn lasting(news: News, run: &Run, prefix: &str) -> News {
    match &run.database_id {
        Some(database) => news.lasting(format!("{prefix}{database}")),
        None => news,
    }
}
