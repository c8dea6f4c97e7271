//! Brings a backup into a server, and compares what is there with what was dumped.
//!
//! The backup's own manifest and index say what it is; no plan and no configuration is asked.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use howdah_archive::decode::Decoder;
use howdah_archive::entry::RawRange;
use howdah_archive::{Index, Manifest};
use howdah_domain::{Connection, Failure, FailureCode, Phase, Progress, Secret};
use howdah_postgres::choice::Part;
use howdah_postgres::compare::{Comparison, compare};
use howdah_postgres::connect::{APPLICATION_NAME, Session, connect};
use howdah_postgres::contents::Contents;
use howdah_postgres::definitions::Definitions;
use howdah_postgres::globals;
use howdah_postgres::programs::{Client, Programs};
use howdah_postgres::restore::{OnProgress, Options, Restore, Restored};
use howdah_postgres::tls::refused_by_client;
use tokio_util::sync::CancellationToken;

use crate::backup::{CONNECT_TIMEOUT, log_lines};
use crate::engine::{OrFailure, internal, lock};
use crate::stored::{Sequential, StoredBackup};
use crate::work::{Rate, Reporter, TICK};

/// Threads that decompress ahead of pg_restore.
const DECODERS: usize = 2;

/// What is to be restored, and where to.
#[derive(Debug, Clone)]
pub struct RestoreRequest {
    /// The backup.
    pub backup: StoredBackup,
    /// The target; its database is the one restored into.
    pub target: Connection,
    /// The password.
    pub secret: Option<Secret>,
    /// What else.
    pub options: Options,
    /// Connections that load rows at once; 1 streams through one pg_restore.
    pub jobs: usize,
}

/// Restores a backup. Any error of the target's is a failure that names it.
///
/// # Errors
/// The backup cannot be read; the target cannot be reached, or refused something; cancelled.
pub async fn restore(
    request: &RestoreRequest,
    programs: &Programs,
    reporter: &Arc<dyn Reporter>,
    cancel: &CancellationToken,
) -> Result<Restored, Failure> {
    reporter.phase(Phase::Connecting);
    let manifest = request.backup.manifest(cancel).await?;
    let index = request.backup.index(&manifest, cancel).await?;
    let client = client_for(request, &manifest, programs, cancel).await?;
    reporter.info(format!(
        "Restoring {} as of {} with pg_restore {}.",
        manifest.database, manifest.started_at, client.version
    ));
    reporter.phase(Phase::Restoring);
    let restore = Restore {
        client,
        target: request.target.clone(),
        secret: request.secret.clone(),
        options: request.options.clone(),
    };
    let on_progress = told(reporter, manifest.raw_bytes);
    let on_line = log_lines(reporter);
    let dump = request.backup.dump(&manifest, cancel).await?;
    let restored = if request.jobs > 1 {
        restore
            .parallel(dump, &index, request.jobs, on_line, on_progress, cancel)
            .await
    } else {
        let archive = Decoder::new(Sequential::new(dump), &index, DECODERS).or_failure()?;
        restore.stream(archive, on_line, on_progress, cancel).await
    }
    .or_failure()?;
    for warning in &restored.warnings {
        reporter.warn(warning);
    }
    for left in &restored.left_out {
        reporter.warn(left.sentence());
    }
    Ok(restored)
}

/// Makes the roles of a backup's globals that the target's server lacks.
///
/// # Errors
/// The backup cannot be read; the target cannot be reached; cancelled.
pub async fn bring_roles(
    backup: &StoredBackup,
    target: &Connection,
    secret: Option<&Secret>,
    reporter: &Arc<dyn Reporter>,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    let manifest = backup.manifest(cancel).await?;
    let Some(sql) = backup.globals(&manifest, cancel).await? else {
        reporter.warn("The backup has no globals to make roles from.");
        return Ok(());
    };
    let session = maintenance_session(target, secret, cancel).await?;
    let refused = globals::bring_back(&session, &sql, cancel).await.or_failure()?;
    for line in refused {
        reporter.warn(line);
    }
    Ok(())
}

/// Compares a database with a backup: the rows and the fingerprint of every table; or with the `part` of it that was restored.
///
/// # Errors
/// The backup's index cannot be read; the target cannot be reached; cancelled.
pub async fn compare_with(
    backup: &StoredBackup,
    part: Option<&Part>,
    target: &Connection,
    secret: Option<&Secret>,
    jobs: usize,
    reporter: &Arc<dyn Reporter>,
    cancel: &CancellationToken,
) -> Result<Comparison, Failure> {
    reporter.phase(Phase::Comparing);
    let manifest = backup.manifest(cancel).await?;
    let whole = backup.index(&manifest, cancel).await?;
    let index = match part {
        Some(part) => part.index(&whole),
        None => whole,
    };
    let expected: u64 = index.tables().map(|entry| entry.data_len).sum();
    let mut sessions = Vec::new();
    for _ in 0..jobs.max(1) {
        sessions.push(session(target, secret, cancel).await?);
    }
    let mut rate = Rate::new(Instant::now());
    let (mut rows, mut bytes) = (0, 0);
    let comparison = compare(
        sessions,
        &index,
        |compared| {
            rows += compared.rows;
            bytes += compared.bytes;
            let (bytes_per_second, elapsed_ms) = rate.sample(Instant::now(), bytes);
            reporter.progress(Progress {
                table: Some(format!("{}.{}", compared.name.schema, compared.name.name)),
                tables_done: count(compared.done),
                tables_total: Some(count(compared.total)),
                rows,
                raw_bytes: bytes,
                raw_bytes_expected: Some(expected.max(bytes)),
                stored_bytes: 0,
                bytes_per_second,
                elapsed_ms,
            });
        },
        cancel,
    )
    .await
    .or_failure()?;
    for remark in &comparison.remarks {
        reporter.warn(remark);
    }
    Ok(comparison)
}

/// The client programs of the target's major; of the dump's own where those are newer, since an older pg_restore cannot
/// read a newer archive.
async fn client_for(
    request: &RestoreRequest,
    manifest: &Manifest,
    programs: &Programs,
    cancel: &CancellationToken,
) -> Result<Client, Failure> {
    let session = any_session(request, cancel).await?;
    if let Some(failure) = session.server_version.unsupported() {
        return Err(failure);
    }
    let client = programs
        .client_for(session.server_version.major.max(manifest.client.major))
        .or_failure()?;
    match refused_by_client(&request.target, &session.tls, client.major) {
        Some(failure) => Err(failure),
        None => Ok(client),
    }
}

/// A session on the target, whether its database is there already or not.
async fn any_session(request: &RestoreRequest, cancel: &CancellationToken) -> Result<Session, Failure> {
    let secret = request.secret.as_ref();
    if request.options.create {
        maintenance_session(&request.target, secret, cancel).await
    } else {
        session(&request.target, secret, cancel).await
    }
}

/// A session on a database that every server has.
pub(crate) async fn maintenance_session(
    server: &Connection,
    secret: Option<&Secret>,
    cancel: &CancellationToken,
) -> Result<Session, Failure> {
    match session(&server.with_database("postgres"), secret, cancel).await {
        Err(failure) if failure.code == FailureCode::DatabaseNotFound => {
            session(&server.with_database("template1"), secret, cancel).await
        }
        answer => answer,
    }
}

/// The archive's table of contents: what a restore needs of it, and its definitions.
///
/// # Errors
/// The backup cannot be read.
pub(crate) async fn front(
    backup: &StoredBackup,
    manifest: &Manifest,
    index: &Index,
    cancel: &CancellationToken,
) -> Result<(Contents, Definitions), Failure> {
    let dump = backup.dump(manifest, cancel).await?;
    let index = index.clone();
    tokio::task::spawn_blocking(move || {
        let front = || RawRange::header_and_toc(dump.clone(), &index);
        Ok((Contents::open(front())?.contents, Definitions::read(front())?))
    })
    .await
    .map_err(|error| internal("Reading the table of contents died.", &error))?
    .map_err(|error: howdah_postgres::Error| error.to_failure())
}

pub(crate) async fn session(
    target: &Connection,
    secret: Option<&Secret>,
    cancel: &CancellationToken,
) -> Result<Session, Failure> {
    connect(target, secret, APPLICATION_NAME, CONNECT_TIMEOUT, cancel)
        .await
        .or_failure()
}

/// Tells a restore's progress, at most once a tick.
fn told(reporter: &Arc<dyn Reporter>, expected: u64) -> OnProgress {
    let reporter = Arc::clone(reporter);
    let state = Mutex::new((Rate::new(Instant::now()), None::<Instant>));
    Arc::new(move |step| {
        let now = Instant::now();
        let mut state = lock(&state);
        if state.1.is_some_and(|last| now - last < TICK) && step.tables_done < step.tables_total {
            return;
        }
        state.1 = Some(now);
        let (bytes_per_second, elapsed_ms) = state.0.sample(now, step.raw_bytes);
        reporter.progress(Progress {
            table: step.table.clone(),
            tables_done: count(step.tables_done),
            tables_total: Some(count(step.tables_total)),
            rows: 0,
            raw_bytes: step.raw_bytes,
            raw_bytes_expected: Some(expected.max(step.raw_bytes)),
            stored_bytes: 0,
            bytes_per_second,
            elapsed_ms,
        });
    })
}

fn count(number: impl TryInto<u32>) -> u32 {
    number.try_into().unwrap_or(u32::MAX)
}
