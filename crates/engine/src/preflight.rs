//! What is looked at before a restore touches anything: the backup's needs against what is there. Nothing is changed.

use howdah_archive::Manifest;
use howdah_domain::units::{counted, size};
use howdah_domain::{Failure, RestoreContent, RunKind, RunState};
use howdah_postgres::contents::Contents;
use howdah_postgres::needs::{Needs, When, globals, needs};
use howdah_store::tables::backups::Backup;
use howdah_store::tables::runs::{self, Run};
use tokio_util::sync::CancellationToken;

use crate::api::{Preflight, RestoreTarget, RestoreWish};
use crate::copies::Copies;
use crate::drill::{free_space, major_of, room_for};
use crate::engine::{Engine, OrFailure};
use crate::restore::front;
use crate::runs::restore::rows_into_nothing;
use crate::stored::StoredBackup;

mod lines;
mod there;

use lines::{Lines, list, shortened};
use there::{Asked, look_there};

/// Earlier runs from which the time is told.
const EARLIER: u32 = 200;

/// What of a backup a look before its restore needs.
struct Looked {
    manifest: Manifest,
    /// Uncompressed bytes that are restored; none without rows.
    raw_bytes: u64,
    needs: Needs,
    contents: Contents,
    /// Roles that its globals would make.
    roles: Vec<String>,
}

impl Engine {
    /// Looks whether a restore would work, and what it would do. What cannot be asked is a line that says so.
    ///
    /// # Errors
    /// [`FailureCode::BackupNotFound`], [`FailureCode::NotFound`]; cancelled.
    pub async fn preflight(&self, wish: &RestoreWish) -> Result<Preflight, Failure> {
        let cancel = self.0.ending.child_token();
        let backup = self.known_backup(&wish.backup_id).await?;
        let mut lines = Lines::default();
        let looked = match self.look_into(&backup, &cancel).await {
            Ok(looked) if wish.options.content.has_rows() => looked,
            Ok(looked) => Looked {
                raw_bytes: 0,
                ..looked
            },
            Err(failure) if failure.is_cancelled() => return Err(failure),
            Err(failure) => {
                lines.failure(failure);
                return Ok(Preflight {
                    lines: lines.finish(),
                    expected_ms: None,
                });
            }
        };
        match &wish.to {
            RestoreTarget::NewInstance { .. } if wish.options.content == RestoreContent::Rows => {
                lines.failure(rows_into_nothing());
            }
            RestoreTarget::NewInstance { .. } => self.look_here(&looked, &mut lines),
            RestoreTarget::Instance {
                instance_id,
                database,
            } => match self.instance_connection(instance_id).await {
                Ok((connection, password)) => {
                    let asked = Asked {
                        database,
                        replace: false,
                        options: &wish.options,
                    };
                    look_there(&connection, Some(&password), &asked, &looked, &mut lines, &cancel).await?;
                }
                Err(failure) => lines.failure(failure),
            },
            RestoreTarget::Server {
                server_id,
                database,
                replace,
            } => {
                let row = self.server(server_id).await?;
                let asked = Asked {
                    database,
                    replace: *replace,
                    options: &wish.options,
                };
                let looking = self
                    .within_reach(&row, &cancel, async |connection, password| {
                        let mut there = Lines::default();
                        look_there(connection, password, &asked, &looked, &mut there, &cancel).await?;
                        Ok(there)
                    })
                    .await;
                match looking {
                    Ok(there) => lines.0.extend(there.0),
                    Err(failure) if failure.is_cancelled() => return Err(failure),
                    Err(failure) => lines.failure(failure),
                }
            }
        }
        if wish.options.content.has_definitions() {
            code(&looked.needs, &mut lines);
        }
        Ok(Preflight {
            lines: lines.finish(),
            expected_ms: match wish.options.content.has_rows() {
                true => self.expected_ms(&backup).await?,
                false => None,
            },
        })
    }

    /// Reads what is needed of a backup, from the first copy that can be read.
    async fn look_into(&self, backup: &Backup, cancel: &CancellationToken) -> Result<Looked, Failure> {
        let mut copies = Copies::of(backup);
        let mut last = None;
        while let Some(copy) = copies.next() {
            let looking = async {
                let stored = self.open_copy(&copy).await?;
                look_into(&stored, cancel).await
            };
            match looking.await {
                Ok(looked) => return Ok(looked),
                Err(failure) if failure.is_cancelled() => return Err(failure),
                Err(failure) => last = Some(failure),
            }
        }
        Err(last.unwrap_or_else(|| copies.none_left()))
    }

    /// A new PostgreSQL on this machine: its major, its extensions, room on the disk.
    fn look_here(&self, looked: &Looked, lines: &mut Lines) {
        let major = match major_of(&looked.manifest) {
            Ok(major) => major,
            Err(failure) => return lines.failure(failure),
        };
        let programs = match self.0.programs.server(major).or_failure() {
            Ok(programs) => programs,
            Err(failure) => return lines.failure(failure),
        };
        lines.passes(format!(
            "PostgreSQL {} is bundled, as the backup’s server was {}.",
            programs.version, looked.manifest.server.version
        ));
        let missing: Vec<&str> = looked
            .needs
            .extensions
            .iter()
            .map(|extension| extension.name.as_str())
            .filter(|name| !programs.has_extension(name))
            .collect();
        if !missing.is_empty() {
            lines.warns(
                format!(
                    "This machine has no {}.",
                    list("extension", "extensions", &missing)
                ),
                "What needs them is left out and named; everything else is restored.",
            );
        }
        if !looked.needs.lz4.is_empty() {
            lines.warns(
                format!(
                    "{} compressed with lz4, which the bundled PostgreSQL is built without.",
                    counted(looked.needs.lz4.len() as u64, "table is", "tables are")
                ),
                "They are restored without that compression; the rows are the same.",
            );
        }
        reaching_out(
            &looked.needs,
            lines,
            "are left out, so that nothing here reaches another server",
        );
        let needed = room_for(looked.raw_bytes);
        let place = howdah_postgres::account::Account::for_instances()
            .map(|account| account.place(&self.data_dir().join("instances/new")));
        match place.ok().as_deref().and_then(free_space) {
            Some(free) if free < needed => lines.stops(
                format!(
                    "It takes about {}; {} is free on this machine.",
                    size(needed),
                    size(free)
                ),
                "Make room, for one by deleting local instances that are no longer needed.",
            ),
            Some(free) => lines.passes(format!(
                "It takes about {}; {} is free on this machine.",
                size(needed),
                size(free)
            )),
            None => lines.warns(
                format!(
                    "It takes about {}; how much is free cannot be told.",
                    size(needed)
                ),
                "Look at the disk before you begin.",
            ),
        }
    }

    /// What earlier restores and drills of the same database took, for as many bytes.
    async fn expected_ms(&self, backup: &Backup) -> Result<Option<u64>, Failure> {
        let database_id = backup.database_id.clone();
        let runs = self
            .0
            .store
            .read(move |c| runs::of_database(c, &database_id, EARLIER))
            .await
            .or_failure()?;
        Ok(expected_ms(&runs, backup.raw_bytes))
    }
}

/// By the newest restore or drill that succeeded: as long, for as many bytes.
fn expected_ms(runs: &[Run], raw_bytes: u64) -> Option<u64> {
    let run = runs.iter().find(|run| {
        matches!(run.kind, RunKind::Restore | RunKind::Drill)
            && run.state == RunState::Succeeded
            && run.progress.raw_bytes_expected.is_some_and(|bytes| bytes > 0)
    })?;
    let took = run.finished_at?.duration_since(run.started_at?);
    let took = u64::try_from(took.as_millis()).ok()?;
    let bytes = run.progress.raw_bytes_expected?;
    u64::try_from(u128::from(took) * u128::from(raw_bytes) / u128::from(bytes)).ok()
}

async fn look_into(stored: &StoredBackup, cancel: &CancellationToken) -> Result<Looked, Failure> {
    let manifest = stored.manifest(cancel).await?;
    let index = stored.index(&manifest, cancel).await?;
    let (contents, _) = front(stored, &manifest, &index, cancel).await?;
    let roles = match stored.globals(&manifest, cancel).await? {
        Some(sql) => globals(&sql).roles,
        None => Vec::new(),
    };
    Ok(Looked {
        needs: needs(&contents),
        contents,
        raw_bytes: manifest.raw_bytes,
        manifest,
        roles,
    })
}

/// Restoring runs what the owner of the source wrote.
fn code(needs: &Needs, lines: &mut Lines) {
    let now = needs
        .code
        .iter()
        .filter(|code| code.when == When::Restoring)
        .count() as u64;
    let later = needs
        .code
        .iter()
        .filter(|code| code.when == When::Afterwards)
        .count() as u64;
    if now + later == 0 {
        return;
    }
    let names: Vec<&str> = needs.code.iter().map(|code| code.function.as_str()).collect();
    lines.warns(
        format!(
            "The backup brings code of its source: {} while it is restored, {} from then on ({}).",
            counted(now, "function runs", "functions run"),
            counted(later, "more runs", "more run"),
            shortened(&names)
        ),
        "Restore only backups of databases whose owners you trust.",
    );
}

fn reaching_out(needs: &Needs, lines: &mut Lines, done: &str) {
    let many = (needs.user_mappings.len() + needs.subscriptions.len()) as u64;
    if many > 0 {
        lines.warns(
            format!(
                "{} to other servers {done}.",
                counted(many, "login or subscription", "logins and subscriptions")
            ),
            "Foreign tables cannot be read there.",
        );
    }
}
