//! One backup, from the first connection to the manifest.
//!
//! The order is the promise: the ledger before the first byte; the dump, scanned to its announced end while pg_dump exits
//! 0; globals and index; `manifest.sha256`; `manifest.json` last. Whatever ends it earlier, what was written is removed,
//! and where even that fails the ledger's entry stays for the next start. Knows no run, no plan and no SQLite.

pub(crate) mod files;
mod globals;
mod lanes;
mod pump;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use howdah_archive::encryption::{Recipients, stored_name};
use howdah_archive::index::INDEX_FILE;
use howdah_archive::manifest::{
    BackupOptions, CHECKSUM_FILE, ClientInfo, DUMP_FILE, FORMAT, FileEntry, Globals, MANIFEST_FILE,
    ServerInfo, checksum_text, restore_by_hand,
};
use howdah_archive::{EncodeOptions, Encoded, Index, Manifest};
use howdah_domain::{BackupId, Clock, Connection, Failure, FailureCode, Phase, Secret, Selection};
use howdah_postgres::connect::{APPLICATION_NAME, connect};
use howdah_postgres::dump::Dump;
use howdah_postgres::pooler::shares_sessions;
use howdah_postgres::programs::{Client, Programs};
use howdah_postgres::running::Running;
use howdah_postgres::selection::Chosen;
use howdah_postgres::stderr::Severity;
use howdah_postgres::tls::refused_by_client;
use howdah_storage::{Destination, ObjectPath};
use tokio_util::sync::CancellationToken;

pub use self::lanes::Checksums;
use self::lanes::Lanes;
use self::pump::{Pump, Stop};
use crate::catalog::folder_of;
use crate::engine::{OrFailure, internal};
use crate::random;
use crate::work::Reporter;

/// How long connecting may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a server may take to answer the few questions that come before a dump.
const PREPARE_TIMEOUT: Duration = Duration::from_secs(90);

/// How long pg_dump may take to exit once its output has ended.
const EXIT_PATIENCE: Duration = Duration::from_secs(30);

/// How long the leavings of a failed backup are tried to be removed before the next start has to.
const CLEANUP_PATIENCE: Duration = Duration::from_secs(30);

/// What is to be backed up, with what, to where.
#[derive(Clone)]
pub struct BackupRequest {
    /// What the user calls the server; its slug is the first folder.
    pub server_name: String,
    /// How to reach it, and which database.
    pub connection: Connection,
    /// The password.
    pub secret: Option<Secret>,
    /// What of the database.
    pub selection: Selection,
    /// Whether roles and other globals are saved too.
    pub globals: bool,
    /// How to encode.
    pub encode: EncodeOptions,
    /// Who can read it; none is everybody who gets at the files.
    pub recipients: Option<Recipients>,
    /// How long nothing may move before the run is ended.
    pub patience: Duration,
    /// How long pg_dump waits for a lock.
    pub lock_wait: Duration,
    /// Bytes that the dump had last time.
    pub expected_raw_bytes: Option<u64>,
    /// Where to, all in one pass.
    pub targets: Vec<Target>,
}

/// A destination of a backup.
#[derive(Debug, Clone)]
pub struct Target {
    /// What people call it.
    pub name: String,
    /// The destination.
    pub destination: Arc<dyn Destination>,
}

/// Remembers what is being written where, so that a crash leaves nothing behind. Targets are named by their number in
/// [`BackupRequest::targets`].
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Before the first byte: `folder` is about to be written at every target.
    async fn begin(&self, id: &BackupId, folder: &ObjectPath) -> Result<(), Failure>;
    /// After what was written at a target has been removed again.
    async fn removed(&self, target: usize) -> Result<(), Failure>;
    /// What was written at a target could not be removed now: its entry stays until somebody can.
    fn keep(&self, target: usize);
}

/// A backup that is in place. The caller lists it and closes the ledger's entries in one step.
#[derive(Debug, Clone)]
pub struct Finished {
    /// Its folder in the destination.
    pub folder: ObjectPath,
    /// What it is.
    pub manifest: Manifest,
    /// What is where in it.
    pub index: Index,
    /// Bytes of all its files, the manifest and its checksum included.
    pub stored_bytes: u64,
    /// What became of each target, in their order: what the destination said of the files, or why it has no copy. At least one
    /// has it.
    pub copies: Vec<Result<Checksums, Failure>>,
}

/// Makes one backup.
///
/// # Errors
/// A failure with its code; nothing of the backup is left then, or the ledger still names it. Cancelled, it ends at once.
pub async fn back_up(
    request: &BackupRequest,
    programs: &Programs,
    ledger: &dyn Ledger,
    reporter: &Arc<dyn Reporter>,
    clock: &dyn Clock,
    cancel: &CancellationToken,
) -> Result<Finished, Failure> {
    reporter.phase(Phase::Connecting);
    let started_at = clock.now();
    let prepared = tokio::select! {
        biased;
        () = cancel.cancelled() => return Err(Stop::Cancelled.to_failure()),
        prepared = tokio::time::timeout(PREPARE_TIMEOUT, prepare(request, programs, reporter, cancel)) => prepared,
    };
    let Prepared {
        server_version,
        client,
        chosen,
        expected,
        globals: globals_readable,
    } = match prepared {
        Ok(prepared) => prepared?,
        Err(_) => {
            return Err(Failure::new(
                FailureCode::Timeout,
                "The server took the connection and then did not answer simple questions about the database.",
            )
            .hint("It may be overloaded. Howdah tries again."));
        }
    };

    let id = BackupId::new(started_at, random::bytes());
    let folder = folder_of(&request.server_name, &request.connection.database, &id)?;
    ledger.begin(&id, &folder).await?;

    let mut work = Work {
        request,
        client: &client,
        chosen: &chosen,
        reporter,
        cancel,
        lanes: Lanes::new(&request.targets, &folder, &**reporter, cancel, request.patience),
        expected,
    };
    let outcome = async {
        let (encoded, dump_file) = work.dump().await?;
        reporter.phase(Phase::Finishing);
        let (globals, globals_file) = work.globals(globals_readable).await?;
        let index_file = work.index(&encoded.index).await?;
        let files: Vec<FileEntry> = [Some(dump_file), globals_file, Some(index_file)]
            .into_iter()
            .flatten()
            .collect();
        let encryption = request.recipients.as_ref().map(Recipients::to_manifest);
        let manifest = Manifest {
            format: FORMAT,
            id: id.clone(),
            howdah: env!("CARGO_PKG_VERSION").to_owned(),
            server: ServerInfo {
                name: request.server_name.clone(),
                version: server_version,
            },
            database: request.connection.database.clone(),
            encoding: chosen.encoding.clone(),
            collation: encoded.collation.clone(),
            extensions: encoded.extensions.clone(),
            started_at,
            finished_at: clock.now(),
            client: ClientInfo {
                version: client.version.clone(),
                major: client.major,
                newer_than_server: client.newer_than_server,
            },
            options: BackupOptions {
                level: request.encode.level,
                partial: request.selection != Selection::default(),
                selection: (request.selection != Selection::default()).then(|| request.selection.clone()),
                globals,
            },
            raw_bytes: encoded.raw_bytes,
            tables: encoded.index.tables().count() as u64,
            rows: encoded.index.tables().map(|entry| entry.rows).sum(),
            restore_by_hand: restore_by_hand(&files, encryption.as_ref()),
            files,
            encryption,
        };
        let manifest_bytes = work.manifest(&manifest).await?;
        Ok((manifest, encoded.index, manifest_bytes))
    }
    .await;
    let lost = match &outcome {
        Ok(_) => work.lanes.lost(),
        Err(_) => (0..request.targets.len()).collect(),
    };
    let copies = work.lanes.outcomes();
    for target in lost {
        clean_up(&request.targets[target], target, &folder, ledger, reporter).await;
    }
    outcome.map(|(manifest, index, manifest_bytes)| Finished {
        stored_bytes: manifest.stored_bytes() + manifest_bytes,
        folder,
        manifest,
        index,
        copies,
    })
}

/// What is known before the dump begins.
struct Prepared {
    server_version: String,
    client: Client,
    chosen: Chosen,
    expected: Option<u64>,
    globals: Option<globals::Readable>,
}

/// Connects, checks the version, chooses the client, resolves the selection. The session is closed again: an idle connection
/// held for hours would cost the server a slot, and a pooler its patience.
async fn prepare(
    request: &BackupRequest,
    programs: &Programs,
    reporter: &Arc<dyn Reporter>,
    cancel: &CancellationToken,
) -> Result<Prepared, Failure> {
    let secret = request.secret.as_ref();
    let session = connect(
        &request.connection,
        secret,
        APPLICATION_NAME,
        CONNECT_TIMEOUT,
        cancel,
    )
    .await
    .or_failure()?;
    reporter.info(format!(
        "Connected to {}: PostgreSQL {}, {}.",
        request.connection.display(),
        session.server_version.text,
        session.tls.describe()
    ));
    if let Some(failure) = session.server_version.unsupported() {
        return Err(failure);
    }
    // pg_dump's session settings would land in other people's sessions, and theirs in the dump's.
    let pooled = shares_sessions(&session, &request.connection, secret, CONNECT_TIMEOUT, cancel);
    if pooled.await.or_failure()? == Some(true) {
        return Err(howdah_postgres::pooler::failure(&request.connection));
    }
    let client = programs.client_for(session.server_version.major).or_failure()?;
    if let Some(failure) = refused_by_client(&request.connection, &session.tls, client.major) {
        return Err(failure);
    }
    if client.newer_than_server {
        reporter.warn(format!(
            "pg_dump {} is not bundled here; pg_dump {} takes its place, as PostgreSQL supports.",
            session.server_version.major, client.version
        ));
    } else {
        reporter.info(format!("Dumping with pg_dump {}.", client.version));
    }
    let chosen = Chosen::resolve(&session.client, &request.selection, client.major)
        .await
        .or_failure()?;
    for warning in &chosen.warnings {
        reporter.warn(warning);
    }
    let expected = match request.expected_raw_bytes {
        Some(bytes) => Some(bytes),
        None => howdah_postgres::size::table_bytes(&session.client)
            .await
            .ok()
            .filter(|bytes| *bytes > 0),
    };
    Ok(Prepared {
        globals: globals::readable(request, &session, reporter).await?,
        server_version: session.server_version.text.clone(),
        client,
        chosen,
        expected,
    })
}

/// Removes what a failed backup wrote at a target. The ledger forgets it only when it is gone.
async fn clean_up(
    target: &Target,
    number: usize,
    folder: &ObjectPath,
    ledger: &dyn Ledger,
    reporter: &Arc<dyn Reporter>,
) {
    // Not the run's own token: that one may be cancelled already, and the leavings must go all the same.
    let token = CancellationToken::new();
    let removal = target.destination.delete_folder(folder, &token);
    let result = match tokio::time::timeout(CLEANUP_PATIENCE, removal).await {
        Ok(Ok(())) => ledger.removed(number).await,
        Ok(Err(error)) => Err(error.to_failure()),
        Err(_) => Err(Failure::new(
            FailureCode::Timeout,
            "The destination did not answer in time.",
        )),
    };
    if let Err(failure) = result {
        ledger.keep(number);
        reporter.warn(format!(
            "What this backup had written at {} could not be removed yet: {} Howdah tries again.",
            target.name, failure.message
        ));
    }
}

/// What the steps of one backup share.
struct Work<'a> {
    request: &'a BackupRequest,
    client: &'a Client,
    chosen: &'a Chosen,
    reporter: &'a Arc<dyn Reporter>,
    cancel: &'a CancellationToken,
    lanes: Lanes<'a>,
    expected: Option<u64>,
}

impl Work<'_> {
    /// Runs pg_dump through the encoder into the destinations.
    async fn dump(&mut self) -> Result<(Encoded, FileEntry), Failure> {
        let name = self.stored_name(DUMP_FILE);
        let fan = self.lanes.create(&name, self.expected).await?;
        self.reporter.phase(Phase::Dumping);
        let mut dump = Dump {
            client: self.client,
            connection: &self.request.connection,
            secret: self.request.secret.as_ref(),
            chosen: self.chosen,
            lock_wait: self.request.lock_wait,
            verbose: false,
        }
        .spawn(log_lines(self.reporter))
        .or_failure()?;
        let stdout = dump
            .take_stdout()
            .ok_or_else(|| Failure::new(FailureCode::Internal, "pg_dump was started without an output."))?;
        let pump = Pump {
            encode: self.request.encode,
            recipients: self.request.recipients.as_ref(),
            patience: self.request.patience,
            expected: self.expected,
            reporter: &**self.reporter,
            cancel: self.cancel,
        };
        match pump.run(stdout, fan, &mut self.lanes).await {
            Ok((mut encoded, fan)) => {
                self.exit_of(&mut dump).await?;
                // What the archive does not say, and equal values may print differently by.
                encoded.index.settings.extend(self.chosen.settings.clone());
                self.lanes.finish(fan, encoded.stored_bytes).await?;
                if self.request.recipients.is_some() && self.request.selection != Selection::default() {
                    // The manifest of an encrypted backup names no table.
                    encoded.index.selection = Some(self.request.selection.clone());
                }
                let file = FileEntry::new(name, encoded.stored_bytes, encoded.sha256);
                Ok((encoded, file))
            }
            Err(stop) => Err(self.why(stop, &mut dump).await),
        }
    }

    /// pg_dump's output has ended; it must now exit, and with 0.
    async fn exit_of(&self, dump: &mut Running) -> Result<(), Failure> {
        match tokio::time::timeout(EXIT_PATIENCE, dump.wait(self.cancel)).await {
            Ok(Ok(_warnings)) => Ok(()),
            Ok(Err(error)) => Err(error.to_failure()),
            Err(_) => {
                dump.killer().kill_group();
                Err(Failure::new(
                    FailureCode::Stalled,
                    "pg_dump closed its output and then did not end.",
                ))
            }
        }
    }

    /// Why the bytes stopped. pg_dump's own words come before what the scanner made of the torn archive.
    async fn why(&self, stop: Stop, dump: &mut Running) -> Failure {
        match stop {
            Stop::Encoder(
                ref error @ (howdah_archive::Error::Truncated { .. } | howdah_archive::Error::Read { .. }),
            ) => match self.exit_of(dump).await {
                Ok(()) => error.to_failure(),
                Err(failure) => failure,
            },
            Stop::Silent(_) => {
                let waits_for = self.what_pg_dump_waits_for().await;
                dump.killer().kill_group();
                let failure = stop.to_failure();
                match waits_for {
                    Some(words) => Failure {
                        message: format!("{} {words}", failure.message),
                        ..failure
                    },
                    None => failure,
                }
            }
            _ => {
                dump.killer().kill_group();
                stop.to_failure()
            }
        }
    }

    /// Asks the server, on a connection of its own, what our pg_dump is waiting for.
    async fn what_pg_dump_waits_for(&self) -> Option<String> {
        let secret = self.request.secret.as_ref();
        let session = connect(
            &self.request.connection,
            secret,
            APPLICATION_NAME,
            CONNECT_TIMEOUT,
            self.cancel,
        )
        .await
        .ok()?;
        howdah_postgres::activity::explain(&session, self.cancel)
            .await
            .ok()
    }

    async fn globals(
        &mut self,
        readable: Option<globals::Readable>,
    ) -> Result<(Globals, Option<FileEntry>), Failure> {
        globals::save(self, readable).await
    }

    async fn index(&mut self, index: &Index) -> Result<FileEntry, Failure> {
        let index = index.clone();
        let bytes = tokio::task::spawn_blocking(move || index.to_bytes())
            .await
            .map_err(|error| {
                Failure::new(FailureCode::Internal, "Writing the index failed.").details(error.to_string())
            })?
            .or_failure()?;
        self.put_sealed(INDEX_FILE, bytes).await
    }

    /// The checksum, then the manifest. From then on the folder is a backup. Answers their bytes.
    async fn manifest(&mut self, manifest: &Manifest) -> Result<u64, Failure> {
        let bytes = manifest.to_bytes();
        let checksum = checksum_text(&bytes).into_bytes();
        let total = (bytes.len() + checksum.len()) as u64;
        self.put(CHECKSUM_FILE, checksum).await?;
        self.put(MANIFEST_FILE, bytes).await?;
        Ok(total)
    }

    /// What a file is called as it is stored.
    fn stored_name(&self, name: &str) -> String {
        stored_name(name, self.request.recipients.is_some())
    }

    /// Puts a file that only the recipients can read, where there are any.
    async fn put_sealed(&mut self, name: &str, bytes: Vec<u8>) -> Result<FileEntry, Failure> {
        let name = self.stored_name(name);
        let bytes = match self.request.recipients.clone() {
            None => bytes,
            // A passphrase is stretched on purpose: work for a thread that may block.
            Some(recipients) => tokio::task::spawn_blocking(move || recipients.encrypt(&bytes))
                .await
                .map_err(|error| internal("Encrypting died.", &error))?
                .or_failure()?,
        };
        self.put(&name, bytes).await
    }

    async fn put(&mut self, name: &str, bytes: Vec<u8>) -> Result<FileEntry, Failure> {
        self.lanes.put(name, bytes).await
    }
}

/// Each line that a program says goes into the log.
pub(crate) fn log_lines(reporter: &Arc<dyn Reporter>) -> howdah_postgres::running::OnLine {
    let reporter = Arc::clone(reporter);
    Box::new(move |severity, line| match severity {
        Severity::Error => reporter.error(line),
        Severity::Warning => reporter.warn(line),
        _ => reporter.info(line),
    })
}
