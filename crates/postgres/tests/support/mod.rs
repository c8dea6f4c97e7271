//! What the tests of dumps and restores share: a backup taken into a temporary folder, and restored from there.
#![allow(dead_code, unreachable_pub, reason = "each test program uses a part")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use howdah_archive::{EncodeOptions, Encoded, Index, Meter, encode};
use howdah_domain::{Connection, Failure, Secret, Selection, TableName};
use howdah_postgres::compare::{Comparison, compare};
use howdah_postgres::dump::Dump;
use howdah_postgres::programs::{Client, Programs};
use howdah_postgres::restore::{OnProgress, Options, Restore, Restored};
use howdah_postgres::running::{OnLine, ignore_lines};
use howdah_postgres::selection::Chosen;
use howdah_postgres::{Error, Session, connect};
use howdah_testkit::Cluster;
use tokio_util::sync::CancellationToken;

pub const PATIENCE: Duration = Duration::from_secs(30);

pub fn client(major: u16) -> Client {
    Programs::locate(None).unwrap().client_for(major).unwrap()
}

pub async fn session(connection: &Connection, secret: &Secret) -> Session {
    connect(
        connection,
        Some(secret),
        "howdah-test",
        PATIENCE,
        &CancellationToken::new(),
    )
    .await
    .unwrap()
}

/// A dump in a temporary folder.
pub struct Backup {
    pub folder: tempfile::TempDir,
    pub encoded: Encoded,
    pub warnings: Vec<String>,
    pub index: Index,
}

impl Backup {
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("dump.pgdump.zst")
    }

    /// The archive as pg_dump wrote it.
    pub fn archive(&self) -> impl std::io::Read + Send + 'static {
        zstd::stream::read::Decoder::new(File::open(self.path()).unwrap()).unwrap()
    }
}

/// Dumps with the programs of `major`.
pub async fn back_up(
    major: u16,
    connection: &Connection,
    secret: &Secret,
    selection: &Selection,
    lock_wait: Duration,
    cancel: &CancellationToken,
) -> Result<Backup, Error> {
    let client = client(major);
    let session = connect(connection, Some(secret), "howdah-test", PATIENCE, cancel).await?;
    let chosen = Chosen::resolve(&session.client, selection, client.major).await?;
    drop(session);
    let dump = Dump {
        client: &client,
        connection,
        secret: Some(secret),
        chosen: &chosen,
        lock_wait,
        verbose: true,
    };
    let folder = tempfile::tempdir().unwrap();
    let mut running = dump.spawn(ignore_lines())?;
    let stdout = running.take_stdout().unwrap();
    let output = File::create(folder.path().join("dump.pgdump.zst")).unwrap();
    let encoding = tokio::task::spawn_blocking(move || {
        encode(stdout, output, &EncodeOptions::default(), &Meter::new(), &|| {
            false
        })
    });
    let ended = running.wait(cancel).await;
    let encoded = encoding.await.unwrap();
    let warnings = ended?;
    let encoded = encoded.unwrap();
    let mut index = encoded.index.clone();
    index.settings.extend(chosen.settings);
    Ok(Backup {
        folder,
        encoded,
        warnings,
        index,
    })
}

/// Everything of a database.
pub async fn back_up_all(major: u16, connection: &Connection, secret: &Secret) -> Backup {
    let cancel = CancellationToken::new();
    back_up(
        major,
        connection,
        secret,
        &Selection::default(),
        PATIENCE,
        &cancel,
    )
    .await
    .unwrap()
}

pub fn restore(major: u16, target: Connection, secret: Secret, options: Options) -> Restore {
    Restore {
        client: client(major),
        target,
        secret: Some(secret),
        options,
    }
}

pub fn create() -> Options {
    Options {
        create: true,
        ..Options::default()
    }
}

pub fn no_progress() -> OnProgress {
    Arc::new(|_| {})
}

pub async fn stream(restore: &Restore, backup: &Backup) -> Result<Restored, Error> {
    let cancel = CancellationToken::new();
    restore
        .stream(backup.archive(), ignore_lines(), no_progress(), &cancel)
        .await
}

/// Restores with `jobs` connections, from the stored frames.
pub async fn parallel(restore: &Restore, backup: &Backup, jobs: usize) -> Result<Restored, Error> {
    let cancel = CancellationToken::new();
    let source = Arc::new(File::open(backup.path()).unwrap());
    restore
        .parallel(
            source,
            &backup.index,
            jobs,
            ignore_lines(),
            no_progress(),
            &cancel,
        )
        .await
}

/// By one connection or by several, as the tests of both ways ask for it.
pub async fn by(jobs: usize, restore: &Restore, backup: &Backup) -> Result<Restored, Error> {
    match jobs {
        1 => stream(restore, backup).await,
        _ => parallel(restore, backup, jobs).await,
    }
}

pub async fn restored_by(jobs: usize, restore: &Restore, backup: &Backup) -> Restored {
    let outcome = by(jobs, restore, backup).await;
    outcome.unwrap_or_else(|error| panic!("{:#?}", error.to_failure()))
}

/// Compares with this many sessions at once.
pub async fn compared(target: &Connection, secret: &Secret, index: &Index, sessions: usize) -> Comparison {
    let mut open = Vec::new();
    for _ in 0..sessions {
        open.push(session(target, secret).await);
    }
    compare(open, index, |_| {}, &CancellationToken::new())
        .await
        .unwrap()
}

/// Keeps the lines that a program says.
pub fn listening() -> (OnLine, Arc<Mutex<Vec<String>>>) {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&lines);
    (
        Box::new(move |_, line| into.lock().unwrap().push(line.to_owned())),
        lines,
    )
}

pub fn table(schema: &str, name: &str) -> TableName {
    TableName {
        schema: schema.into(),
        name: name.into(),
    }
}

pub fn failure<T>(outcome: Result<T, Error>) -> Failure {
    match outcome {
        Ok(_) => panic!("it succeeded"),
        Err(error) => error.to_failure(),
    }
}

pub async fn cluster_with(major: u16, sql: &str) -> Cluster {
    let cluster = Cluster::start(major).await.unwrap();
    cluster.create_database("shop").await.unwrap();
    cluster.sql("shop", sql).await.unwrap();
    cluster
}

pub async fn dump(cluster: &Cluster, selection: &Selection) -> Result<Backup, Error> {
    let cancel = CancellationToken::new();
    let connection = cluster.connection("shop");
    back_up(
        cluster.major(),
        &connection,
        &cluster.password(),
        selection,
        PATIENCE,
        &cancel,
    )
    .await
}
