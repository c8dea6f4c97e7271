//! A drill: a backup restored into a PostgreSQL of its own, compared with what was dumped, and removed again.
//!
//! Nothing of the source is asked, and nothing is reached: the PostgreSQL has no network where the system allows that. What a drill
//! found is a [`DrillReport`]; only what kept it from finding anything is a failure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use howdah_archive::{Fingerprint, Index, Manifest};
use howdah_domain::drill::{
    Assertion, DefinitionDifference, DrillReport, DrillStep, DrillTiming, ProofKind, TableProof,
};
use howdah_domain::units::size;
use howdah_domain::{Failure, FailureCode, InstanceId, Phase, TableName};
use howdah_postgres::ServerVersion;
use howdah_postgres::checks::{amcheck, analyze, ask_assertions};
use howdah_postgres::compare::{self, Comparison};
use howdah_postgres::contents::Contents;
use howdah_postgres::globals;
use howdah_postgres::restore::{Options, Restored};
use howdah_postgres::tame::LeftOut;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::engine::{Engine, OrFailure};
use crate::instances::{Making, NewInstance, Purpose};
use crate::random;
use crate::restore::{RestoreRequest, compare_with, front, restore, session};
use crate::stored::StoredBackup;
use crate::work::Reporter;

/// How long one assertion may take.
pub const ASSERTION_PATIENCE: Duration = Duration::from_secs(5 * 60);

/// What a drill is to do.
#[derive(Debug, Clone)]
pub struct DrillRequest {
    /// The backup.
    pub backup: StoredBackup,
    /// What must be true in it.
    pub assertions: Vec<Assertion>,
    /// How long one assertion may take.
    pub assertion_patience: Duration,
    /// Connections that load and compare at once.
    pub jobs: usize,
}

/// When each step began.
struct Clockwork {
    began: Instant,
    timings: Vec<DrillTiming>,
}

impl Clockwork {
    fn ended(&mut self, step: DrillStep) {
        let now = Instant::now();
        let ms = u64::try_from((now - self.began).as_millis()).unwrap_or(u64::MAX);
        self.timings.push(DrillTiming { step, ms });
        self.began = now;
    }
}

impl Engine {
    /// Proves a backup, or finds what differs.
    ///
    /// # Errors
    /// The backup cannot be read, the local PostgreSQL cannot be started, there is no room; cancelled. Nothing is left of it then.
    pub(crate) async fn drill(
        &self,
        request: &DrillRequest,
        reporter: &Arc<dyn Reporter>,
        cancel: &CancellationToken,
    ) -> Result<DrillReport, Failure> {
        let started_at = self.0.clock.now();
        let mut clockwork = Clockwork {
            began: Instant::now(),
            timings: Vec::new(),
        };
        reporter.phase(Phase::Starting);
        let manifest = request.backup.manifest(cancel).await?;
        let index = request.backup.index(&manifest, cancel).await?;
        let major = major_of(&manifest)?;
        self.demand_room(&manifest.database, manifest.raw_bytes)?;
        let id = InstanceId::from_random(random::bytes());
        let new = NewInstance {
            name: format!("drill of {} {id}", manifest.database),
            id,
            major,
            backup_id: Some(manifest.id.clone()),
            purpose: Purpose::ThrowAway,
        };
        let making = self.make_instance(new, cancel).await?;
        reporter.info(format!(
            "PostgreSQL {} runs on this machine for the drill{}.",
            making.version(),
            if making.instance.is_isolated() {
                ", without a network"
            } else {
                ""
            }
        ));
        clockwork.ended(DrillStep::Start);
        let prover = Prover {
            engine: self,
            request,
            manifest: &manifest,
            index: &index,
            making: &making,
            reporter,
            cancel,
        };
        let proved = Box::pin(prover.prove(started_at, clockwork)).await;
        let removed = self.give_up(making).await;
        // What was found is not lost over what could not be removed.
        if let Err(failure) = removed {
            reporter.warn(format!(
                "The drill's PostgreSQL is removed by the next start: {}",
                failure.message
            ));
        }
        let report = proved?;
        match report.verdict() {
            None => reporter.info("The backup is proved."),
            Some(verdict) => reporter.error(verdict),
        }
        Ok(report)
    }

    /// There must be room for what is restored: rows as they are dumped, and half as much again for indexes and pages.
    pub(crate) fn demand_room(&self, database: &str, raw_bytes: u64) -> Result<(), Failure> {
        let needed = room_for(raw_bytes);
        let place = howdah_postgres::account::Account::for_instances()
            .or_failure()?
            .place(&self.data_dir().join("instances/new"));
        let Some(free) = free_space(&place) else {
            return Ok(());
        };
        if free >= needed {
            return Ok(());
        }
        Err(Failure::new(
            FailureCode::DiskFull,
            format!(
                "Restoring {database} on this machine takes about {}; {} is free at {}.",
                size(needed),
                size(free),
                place.parent().unwrap_or(&place).display()
            ),
        )
        .hint("Make room there, for one by deleting local instances that are no longer needed."))
    }
}

/// About how much disk a restored database takes.
pub(crate) fn room_for(raw_bytes: u64) -> u64 {
    // A new cluster itself takes some 40 MB.
    (64 << 20) + raw_bytes.saturating_add(raw_bytes / 2)
}

/// Free bytes of the disk that a path is on, or would be.
pub(crate) fn free_space(path: &std::path::Path) -> Option<u64> {
    let there = path.ancestors().find(|path| path.exists())?;
    let disk = nix::sys::statvfs::statvfs(there).ok()?;
    Some(disk.blocks_available() as u64 * disk.fragment_size() as u64)
}

/// The major version of the server that a backup is of.
pub(crate) fn major_of(manifest: &Manifest) -> Result<u16, Failure> {
    let version = ServerVersion::parse(&manifest.server.version).ok_or_else(|| {
        Failure::new(
            FailureCode::BackupUnreadable,
            format!(
                "The manifest names the server's version as “{}”, which is none.",
                manifest.server.version
            ),
        )
    })?;
    version.unsupported().map_or(Ok(version.major), Err)
}

/// A drill at work in its PostgreSQL.
struct Prover<'a> {
    engine: &'a Engine,
    request: &'a DrillRequest,
    manifest: &'a Manifest,
    index: &'a Index,
    making: &'a Making,
    reporter: &'a Arc<dyn Reporter>,
    cancel: &'a CancellationToken,
}

impl Prover<'_> {
    async fn prove(&self, started_at: Timestamp, mut clockwork: Clockwork) -> Result<DrillReport, Failure> {
        let (contents, definitions) =
            front(&self.request.backup, self.manifest, self.index, self.cancel).await?;
        let mut left_out = self
            .engine
            .bring_roles(
                self.making,
                &self.request.backup,
                self.manifest,
                &contents,
                self.cancel,
            )
            .await?;
        let target = self.making.connection(&free_database(&self.manifest.database));
        let restored = RestoreRequest {
            backup: self.request.backup.clone(),
            target: target.clone(),
            secret: Some(self.making.password().clone()),
            options: Options {
                create: true,
                tablespaces: false,
                isolated: true,
                ..Options::default()
            },
            jobs: self.request.jobs,
        };
        let outcome = Box::pin(restore(
            &restored,
            &self.engine.0.programs,
            self.reporter,
            self.cancel,
        ))
        .await;
        let mut excused = Restored::default();
        let restore_errors = match outcome {
            Ok(restored) => {
                left_out.extend(restored.warnings.iter().cloned());
                left_out.extend(restored.left_out.iter().map(LeftOut::sentence));
                excused = restored;
                Vec::new()
            }
            // What it could not restore shows in what differs; each error is told beside that.
            Err(failure) if failure.code == FailureCode::RestoreFailed => {
                self.reporter.error(&failure.message);
                vec![failure.details.unwrap_or(failure.message)]
            }
            Err(failure) => return Err(failure),
        };
        clockwork.ended(DrillStep::Restore);

        let secret = restored.secret.as_ref();
        let comparison = compare_with(
            &self.request.backup,
            excused.part.as_ref(),
            &target,
            secret,
            self.request.jobs,
            self.reporter,
            self.cancel,
        )
        .await?;
        clockwork.ended(DrillStep::Compare);

        let client = self
            .engine
            .0
            .programs
            .client_for(self.manifest.client.major)
            .or_failure()?;
        let restored = definitions
            .of_restored(&client, &target, secret, &self.manifest.encoding, self.cancel)
            .await
            .or_failure()?;
        let mut definitions = definitions.differences(&restored);
        definitions.retain(|one| !excused.left_out.iter().any(|left| is_of(left, one)));
        clockwork.ended(DrillStep::Definitions);

        self.reporter.phase(Phase::Asserting);
        let session = session(&target, secret, self.cancel).await?;
        analyze(&session, self.cancel).await.or_failure()?;
        let amcheck_errors = amcheck(&session, self.cancel).await.or_failure()?;
        clockwork.ended(DrillStep::Check);

        let assertions = ask_assertions(
            &session,
            &self.request.assertions,
            self.request.assertion_patience,
            self.cancel,
        )
        .await
        .or_failure()?;
        clockwork.ended(DrillStep::Assertions);
        drop(session);

        Ok(DrillReport {
            backup_id: self.manifest.id.clone(),
            database: self.manifest.database.clone(),
            backup_started_at: self.manifest.started_at,
            started_at,
            finished_at: self.engine.0.clock.now(),
            server_version: self.making.version().to_owned(),
            tables: match &excused.part {
                Some(part) => proofs(&part.index(self.index), &comparison),
                None => proofs(self.index, &comparison),
            },
            rows: comparison.rows,
            restore_errors,
            definitions,
            assertions,
            amcheck_errors,
            left_out,
            remarks: comparison.remarks,
            timings: clockwork.timings,
        })
    }
}

impl Engine {
    /// Makes the roles that a backup's objects belong to, from its globals where it has them. Answers what could not be had, as
    /// sentences.
    pub(crate) async fn bring_roles(
        &self,
        making: &Making,
        backup: &StoredBackup,
        manifest: &Manifest,
        contents: &Contents,
        cancel: &CancellationToken,
    ) -> Result<Vec<String>, Failure> {
        let secret = Some(making.password());
        let session = session(&making.connection("postgres"), secret, cancel).await?;
        let mut told = Vec::new();
        if let Some(sql) = backup.globals(manifest, cancel).await? {
            told = globals::bring_back(&session, &sql, cancel).await.or_failure()?;
        }
        let owners: BTreeSet<String> = contents
            .items
            .iter()
            .filter_map(|item| item.owner.clone())
            .collect();
        told.extend(
            globals::ensure_roles(&session, &owners, cancel)
                .await
                .or_failure()?,
        );
        Ok(told)
    }
}

/// The name that a database is restored under in a new cluster, which has some of its own.
pub(crate) fn free_database(name: &str) -> String {
    match name {
        "postgres" | "template0" | "template1" => format!("{name}_restored"),
        name => name.to_owned(),
    }
}

/// Whether a definition is one that an isolated restore left out or altered, which is told by itself.
fn is_of(left: &LeftOut, difference: &DefinitionDifference) -> bool {
    let name = match &left.schema {
        Some(schema) => format!("{schema}.{}", left.name),
        None => left.name.clone(),
    };
    left.kind == difference.kind && name == difference.name
}

/// Every table of the index with what was found, and what else differs.
fn proofs(index: &Index, comparison: &Comparison) -> Vec<TableProof> {
    let mut expected: BTreeMap<TableName, (u64, Fingerprint)> = BTreeMap::new();
    for entry in index.tables() {
        let name = entry.copied_into.clone().unwrap_or_else(|| entry.table_name());
        let sum = expected.entry(name).or_default();
        sum.0 += entry.rows;
        sum.1 = [sum.1, entry.fingerprint].into_iter().sum();
    }
    let mut proofs = Vec::new();
    for mismatch in &comparison.mismatches {
        let kind = match mismatch.kind {
            compare::Kind::Table => ProofKind::Table,
            compare::Kind::LargeObjects => ProofKind::LargeObjects,
            compare::Kind::Sequence => ProofKind::Sequence,
        };
        if kind == ProofKind::Table {
            expected.remove(&TableName {
                schema: mismatch.schema.clone(),
                name: mismatch.name.clone(),
            });
        }
        proofs.push(TableProof {
            kind,
            schema: mismatch.schema.clone(),
            name: mismatch.name.clone(),
            expected_rows: mismatch.expected_rows,
            found_rows: mismatch.found_rows,
            expected: mismatch.expected.clone(),
            found: mismatch.found.clone(),
            equal: false,
            why: mismatch.why.clone(),
        });
    }
    proofs.extend(
        expected
            .into_iter()
            .map(|(name, (rows, fingerprint))| TableProof {
                kind: ProofKind::Table,
                schema: name.schema,
                name: name.name,
                expected_rows: rows,
                found_rows: Some(rows),
                expected: fingerprint.to_string(),
                found: Some(fingerprint.to_string()),
                equal: true,
                why: None,
            }),
    );
    proofs
}
