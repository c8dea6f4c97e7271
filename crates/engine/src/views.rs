//! The store's rows as the doors see them.

use howdah_domain::Encryption;
use howdah_store::tables::backups::{self, Backup, BackupCopy};
use howdah_store::tables::drills::Proof;
use howdah_store::tables::run_logs;
use howdah_store::tables::runs::Run;

use crate::api::{BackupView, CopyState, CopyView, LogLevel, LogLine, ProofView, RunView};

/// A run.
pub(crate) fn run(run: &Run) -> RunView {
    RunView {
        id: run.id.clone(),
        kind: run.kind,
        state: run.state,
        trigger: run.trigger,
        database_id: run.database_id.clone(),
        database_name: run.database_name.clone(),
        server_name: run.server_name.clone(),
        plan_id: run.plan_id.clone(),
        due_at: run.due_at,
        queued_at: run.queued_at,
        started_at: run.started_at,
        finished_at: run.finished_at,
        next_attempt_at: run.next_attempt_at,
        attempt: run.attempt,
        progress: run.progress.clone(),
        failure: run.failure.clone(),
        backup_id: run.backup_id.clone(),
    }
}

/// A backup.
pub(crate) fn backup(backup: &Backup) -> BackupView {
    BackupView {
        id: backup.id.clone(),
        database_id: backup.database_id.clone(),
        database_name: backup.database_name.clone(),
        server_name: backup.server_name.clone(),
        run_id: backup.run_id.clone(),
        started_at: backup.started_at,
        finished_at: backup.finished_at,
        raw_bytes: backup.raw_bytes,
        stored_bytes: backup.stored_bytes,
        tables: backup.tables,
        rows: backup.rows,
        server_version: backup.server_version.clone(),
        client_version: backup.client_version.clone(),
        copies: backup.copies.iter().map(copy).collect(),
        verified_at: backup.verified_at(),
        proof: backup.proof.as_ref().map(proof),
        pinned: backup.pinned,
        encryption: match &backup.encryption {
            None => Encryption::None,
            Some(encryption) if encryption.age_passphrase => Encryption::Passphrase,
            Some(encryption) => Encryption::Keys {
                recipients: encryption.age_recipients.clone(),
            },
        },
    }
}

/// What a drill found.
pub(crate) fn proof(proof: &Proof) -> ProofView {
    ProofView {
        proved: proof.proved,
        at: proof.finished_at,
        run_id: proof.run_id.clone(),
    }
}

fn copy(copy: &BackupCopy) -> CopyView {
    CopyView {
        destination_id: copy.destination_id.clone(),
        destination_name: copy.destination_name.clone(),
        path: copy_name(copy),
        state: match copy.state {
            backups::CopyState::Wanted => CopyState::Wanted,
            backups::CopyState::Present => CopyState::Present,
            backups::CopyState::Missing => CopyState::Missing,
            backups::CopyState::Damaged => CopyState::Damaged,
            backups::CopyState::Deleting => CopyState::Deleting,
        },
        present: copy.is_there(),
        verified_at: copy.verified_at,
        failure: copy.failure.clone(),
        next_attempt_at: match copy.state {
            backups::CopyState::Wanted | backups::CopyState::Deleting => copy.next_attempt_at,
            _ => None,
        },
    }
}

/// Where a copy lies, for people.
fn copy_name(copy: &BackupCopy) -> String {
    match copy.place.as_folder() {
        Some(root) => root.join(&copy.path).display().to_string(),
        None => format!("{} · {}", copy.place, copy.path),
    }
}

/// A line of a log.
pub(crate) fn log_line(line: run_logs::LogLine) -> LogLine {
    LogLine {
        at: line.at,
        level: match line.level {
            run_logs::LogLevel::Info => LogLevel::Info,
            run_logs::LogLevel::Warning => LogLevel::Warning,
            run_logs::LogLevel::Error => LogLevel::Error,
        },
        text: line.text,
    }
}
