//! `howdah demo`: the main job on a server of its own. A sample shop is made, backed up, verified, restored into a second
//! database and compared; then everything is removed. It touches no data directory and no server of the user's.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use howdah_archive::EncodeOptions;
use howdah_domain::units::{count, counted, duration, size};
use howdah_domain::{BackupId, Connection, Failure, FailureCode, Secret, Selection, SystemClock};
use howdah_engine::backup::{BackupRequest, Finished, Ledger, Target, back_up};
use howdah_engine::restore::{RestoreRequest, compare_with, restore};
use howdah_engine::stored::StoredBackup;
use howdah_engine::verify::verify;
use howdah_engine::work::Reporter;
use howdah_postgres::Error;
use howdah_postgres::account::Account;
use howdah_postgres::compare::Comparison;
use howdah_postgres::instance::{self, Instance, Setup, Stop};
use howdah_postgres::programs::{Programs, ServerPrograms};
use howdah_postgres::restore::Options;
use howdah_storage::{Destination as _, Folder, ObjectPath};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::commands::{mismatch_line, mismatch_object};
use crate::output::{Done, End, Output};
use crate::progress::Teller;

const SHOP: &str = include_str!("shop.sql");
const DATABASE: &str = "shop";
const COPY: &str = "shop_restored";
/// How long any one statement of the demo's own may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs the demo; whatever happens, nothing of it stays.
pub(crate) async fn run(output: Output, cancel: &CancellationToken) -> Result<Done, Failure> {
    let began = Instant::now();
    let programs = Programs::locate(None).map_err(|error| error.to_failure())?;
    let server = programs.newest_server().map_err(|error| error.to_failure())?;
    let teller = Arc::new(Teller::new(output));
    // Both are removed when they go, on errors too; the server before its folder.
    let place = temporary("howdah-demo-server-")?;
    let backups = temporary("howdah-demo-backups-")?;
    teller.doing(&format!(
        "Starting PostgreSQL {} with a sample shop",
        server.version
    ));
    let instance = start(&server, place.path(), cancel)
        .await
        .map_err(|error| error.to_failure())?;
    let demo = Demo {
        programs: &programs,
        instance: &instance,
        backups: backups.path(),
        teller: &teller,
        cancel,
    };
    let report = Box::pin(demo.run(began)).await;
    teller.doing("Removing everything");
    let stopped = instance
        .stop(
            Stop::Immediate,
            Duration::from_secs(10),
            &CancellationToken::new(),
        )
        .await;
    if let Err(error) = stopped {
        tracing::warn!(%error, "the sample server had to be killed");
    }
    teller.finish();
    for folder in [place, backups] {
        let path = folder.path().to_owned();
        if let Err(error) = folder.close() {
            output.warn(&format!("{} could not be removed: {error}", path.display()));
        }
    }
    Ok(report?.tell(began.elapsed()))
}

fn temporary(prefix: &str) -> Result<tempfile::TempDir, Failure> {
    tempfile::Builder::new()
        .prefix(prefix)
        .tempdir()
        .map_err(|error| {
            Failure::new(FailureCode::DiskFull, "A temporary folder could not be made.")
                .details(error.to_string())
        })
}

/// A server for some seconds: nothing of it need survive a power cut.
async fn start(
    server: &ServerPrograms,
    folder: &Path,
    cancel: &CancellationToken,
) -> Result<Instance, Error> {
    Account::for_instances()?.make_folder(folder)?;
    let setup = Setup {
        durable: false,
        ..Setup::default()
    };
    instance::create(server, folder, &setup, cancel).await?;
    let options = instance::Options {
        tcp: false,
        ..instance::Options::for_setup(&setup)
    }
    .set("fsync", "off")
    .set("synchronous_commit", "off")
    .set("full_page_writes", "off")
    .set("autovacuum", "off");
    Instance::start(server, folder, &options, cancel).await
}

struct Demo<'a> {
    programs: &'a Programs,
    instance: &'a Instance,
    backups: &'a Path,
    teller: &'a Arc<Teller>,
    cancel: &'a CancellationToken,
}

/// What the demo shows.
struct Report {
    server_version: String,
    filled: Duration,
    backed_up: Duration,
    verified: Duration,
    restored: Duration,
    compared: Duration,
    finished: Finished,
    comparison: Comparison,
}

impl Demo<'_> {
    async fn run(&self, began: Instant) -> Result<Report, Failure> {
        self.statements("postgres", &format!("CREATE DATABASE {DATABASE}"))
            .await?;
        self.statements(DATABASE, SHOP).await?;
        let filled = began.elapsed();

        let step = Instant::now();
        self.teller.doing("Backing it up");
        let finished = self.back_up().await?;
        let backed_up = step.elapsed();

        let step = Instant::now();
        self.teller.doing("Reading the backup again");
        let stored = StoredBackup::in_folder(&self.backups.join(finished.folder.as_str()))?;
        let reporter: Arc<dyn Reporter> = Arc::clone(self.teller) as _;
        let verdict = verify(&stored, &reporter, self.cancel).await?;
        if let Some(failure) = verdict.to_failure() {
            return Err(failure);
        }
        let verified = step.elapsed();

        let step = Instant::now();
        self.teller.doing("Restoring it into a second database");
        let request = RestoreRequest {
            backup: stored.clone(),
            target: self.connection(COPY),
            secret: Some(self.password()),
            options: Options {
                create: true,
                ..Options::default()
            },
            jobs: 2,
        };
        Box::pin(restore(&request, self.programs, &reporter, self.cancel)).await?;
        let restored = step.elapsed();

        let step = Instant::now();
        self.teller.doing("Comparing every row");
        let secret = self.password();
        let target = self.connection(COPY);
        let comparison =
            compare_with(&stored, None, &target, Some(&secret), 2, &reporter, self.cancel).await?;
        Ok(Report {
            server_version: finished.manifest.server.version.clone(),
            filled,
            backed_up,
            verified,
            restored,
            compared: step.elapsed(),
            finished,
            comparison,
        })
    }

    async fn back_up(&self) -> Result<Finished, Failure> {
        let destination = Folder::new(self.backups);
        destination
            .prepare(self.cancel)
            .await
            .map_err(|error| error.to_failure())?;
        let request = BackupRequest {
            server_name: "demo".to_owned(),
            connection: self.connection(DATABASE),
            secret: Some(self.password()),
            selection: Selection::default(),
            globals: true,
            encode: EncodeOptions::default(),
            recipients: None,
            patience: PATIENCE,
            lock_wait: PATIENCE,
            expected_raw_bytes: None,
            targets: vec![Target {
                name: destination.name(),
                destination: Arc::new(destination),
            }],
        };
        let reporter: Arc<dyn Reporter> = Arc::clone(self.teller) as _;
        Box::pin(back_up(
            &request,
            self.programs,
            &NoLedger,
            &reporter,
            &SystemClock,
            self.cancel,
        ))
        .await
    }

    fn connection(&self, database: &str) -> Connection {
        self.instance.connection().with_database(database)
    }

    fn password(&self) -> Secret {
        self.instance.password().clone()
    }

    async fn statements(&self, database: &str, statements: &str) -> Result<(), Failure> {
        let connection = self.connection(database);
        let password = self.password();
        let work = async {
            let session =
                howdah_postgres::connect(&connection, Some(&password), "howdah demo", PATIENCE, self.cancel)
                    .await?;
            session
                .run(
                    "making the sample shop",
                    PATIENCE,
                    self.cancel,
                    session.client.batch_execute(statements),
                )
                .await
        };
        work.await.map_err(|error: Error| error.to_failure())
    }
}

/// The whole folder goes at the end: there is nothing to remember.
struct NoLedger;

#[async_trait]
impl Ledger for NoLedger {
    async fn begin(&self, _: &BackupId, _: &ObjectPath) -> Result<(), Failure> {
        Ok(())
    }

    async fn removed(&self, _: usize) -> Result<(), Failure> {
        Ok(())
    }

    fn keep(&self, _: usize) {}
}

impl Report {
    fn tell(&self, took: Duration) -> Done {
        let manifest = &self.finished.manifest;
        let equal = self.comparison.mismatches.is_empty();
        let json = json!({
            "proved": equal,
            "tables": self.comparison.tables,
            "rows": self.comparison.rows,
            "mismatches": self.comparison.mismatches.iter().map(mismatch_object).collect::<Vec<_>>(),
            "raw_bytes": manifest.raw_bytes,
            "stored_bytes": self.finished.stored_bytes,
            "server_version": manifest.server.version,
            "client_version": manifest.client.version,
            "seconds": took.as_secs_f64(),
            "steps": {
                "filled": self.filled.as_secs_f64(),
                "backed_up": self.backed_up.as_secs_f64(),
                "verified": self.verified.as_secs_f64(),
                "restored": self.restored.as_secs_f64(),
                "compared": self.compared.as_secs_f64(),
            },
        });
        let mut text = self.table();
        if equal {
            text.push_str(&format!(
                "\nProved: all {} and {} rows came back exactly as they were. {} in all; nothing was left behind.",
                counted(self.comparison.tables, "table", "tables"),
                count(self.comparison.rows),
                duration(took)
            ));
            return Done::good(json, text);
        }
        text.push_str("\nNot proved. What differs:\n");
        text.push_str(
            &self
                .comparison
                .mismatches
                .iter()
                .map(mismatch_line)
                .collect::<Vec<_>>()
                .join("\n"),
        );
        Done {
            json,
            text,
            end: End::NotEqual,
        }
    }

    fn table(&self) -> String {
        let manifest = &self.finished.manifest;
        let (raw, stored) = (size(manifest.raw_bytes), size(self.finished.stored_bytes));
        let rows = [
            (
                "Sample shop",
                self.filled,
                format!("PostgreSQL {}, started for this", self.server_version),
            ),
            (
                "Backup",
                self.backed_up,
                format!(
                    "{}, {} rows, {raw} as {stored}",
                    counted(manifest.tables, "table", "tables"),
                    count(manifest.rows)
                ),
            ),
            (
                "Verify",
                self.verified,
                "every checksum, every frame, the index against the content".to_owned(),
            ),
            (
                "Restore",
                self.restored,
                format!(
                    "into a second database, with pg_restore {}",
                    manifest.client.version
                ),
            ),
            (
                "Compare",
                self.compared,
                format!(
                    "{} of {} equal",
                    manifest.tables.saturating_sub(self.different_tables()),
                    counted(manifest.tables, "table", "tables")
                ),
            ),
        ];
        let mut text = String::from("Howdah demo\n\n");
        for (what, took, how) in rows {
            let mark = if what == "Compare" && !self.comparison.mismatches.is_empty() {
                "✗"
            } else {
                "✓"
            };
            text.push_str(&format!("  {mark} {what:<12} {:>7}   {how}\n", duration(took)));
        }
        text
    }

    fn different_tables(&self) -> u64 {
        self.comparison
            .mismatches
            .iter()
            .filter(|mismatch| mismatch.kind == howdah_postgres::compare::Kind::Table)
            .count() as u64
    }
}
