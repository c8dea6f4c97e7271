//! What is looked at before a restore touches anything: the backup's needs against what is there. Nothing is changed.

use howdah_archive::Manifest;
use howdah_domain::units::{count, counted, size};
use howdah_domain::{Connection, Failure, RunKind, RunState, Secret};
use howdah_postgres::needs::{Needs, When, globals, needs};
use howdah_postgres::target::{Answer, Facts, facts};
use howdah_store::tables::backups::Backup;
use howdah_store::tables::runs::{self, Run};
use tokio_util::sync::CancellationToken;

use crate::api::{Preflight, PreflightLine, PreflightVerdict, RestoreTarget, RestoreWish};
use crate::drill::{free_space, major_of, room_for};
use crate::engine::{Engine, OrFailure};
use crate::restore::{front, maintenance_session};
use crate::runs::restore::Copies;
use crate::stored::StoredBackup;

/// Earlier runs from which the time is told.
const EARLIER: u32 = 200;

/// Names that a line lists.
const NAMED: usize = 5;

/// The lines in the making.
#[derive(Default)]
struct Lines(Vec<PreflightLine>);

impl Lines {
    fn add(&mut self, verdict: PreflightVerdict, text: impl Into<String>, hint: Option<String>) {
        self.0.push(PreflightLine {
            verdict,
            text: text.into(),
            hint,
        });
    }

    fn passes(&mut self, text: impl Into<String>) {
        self.add(PreflightVerdict::Passes, text, None);
    }

    fn warns(&mut self, text: impl Into<String>, hint: impl Into<String>) {
        self.add(PreflightVerdict::Warns, text, Some(hint.into()));
    }

    fn stops(&mut self, text: impl Into<String>, hint: impl Into<String>) {
        self.add(PreflightVerdict::Stops, text, Some(hint.into()));
    }

    fn failure(&mut self, failure: Failure) {
        self.add(PreflightVerdict::Stops, failure.message, failure.hint);
    }

    fn finish(mut self) -> Vec<PreflightLine> {
        self.0.sort_by_key(|line| line.verdict);
        self.0
    }
}

/// What of a backup a look before its restore needs.
struct Looked {
    manifest: Manifest,
    needs: Needs,
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
            Ok(looked) => looked,
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
            RestoreTarget::NewInstance { .. } => self.look_here(&looked, &mut lines),
            RestoreTarget::Instance {
                instance_id,
                database,
            } => match self.instance_connection(instance_id).await {
                Ok((connection, password)) => {
                    let asked = Asked {
                        database,
                        replace: false,
                        roles: wish.options.roles,
                        owners: wish.options.owners,
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
                    roles: wish.options.roles,
                    owners: wish.options.owners,
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
        code(&looked.needs, &mut lines);
        Ok(Preflight {
            lines: lines.finish(),
            expected_ms: self.expected_ms(&backup).await?,
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
        let needed = room_for(looked.manifest.raw_bytes);
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
        manifest,
        roles,
    })
}

/// What is asked of a server that is there.
struct Asked<'a> {
    database: &'a str,
    replace: bool,
    roles: bool,
    owners: bool,
}

/// A server that is there. What it does not let us ask is a line; that it cannot be reached, too.
async fn look_there(
    connection: &Connection,
    password: Option<&Secret>,
    asked: &Asked<'_>,
    looked: &Looked,
    lines: &mut Lines,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    let session = match maintenance_session(connection, password, cancel).await {
        Ok(session) => session,
        Err(failure) if failure.is_cancelled() => return Err(failure),
        Err(failure) => {
            lines.failure(failure);
            return Ok(());
        }
    };
    let from_globals: &[String] = if asked.roles { &looked.roles } else { &[] };
    let found = facts(&session, asked.database, &looked.needs, from_globals, cancel).await;
    let found = match found {
        Ok(found) => found,
        Err(error) if error.is_cancelled() => return Err(error.to_failure()),
        Err(error) => {
            lines.failure(error.to_failure());
            return Ok(());
        }
    };
    server(&found, looked, lines);
    database(&found, asked, lines);
    what_it_has(&found, asked, lines);
    let needed = looked
        .manifest
        .raw_bytes
        .saturating_add(looked.manifest.raw_bytes / 2);
    match found.free_bytes(connection) {
        Some(free) if free < needed => lines.stops(
            format!("It takes about {} there; {} is free.", size(needed), size(free)),
            "Make room on the server’s disk.",
        ),
        Some(free) => lines.passes(format!(
            "It takes about {} there; {} is free.",
            size(needed),
            size(free)
        )),
        None => lines.warns(
            format!(
                "It takes about {} there; how much is free cannot be told from here.",
                size(needed)
            ),
            "Look at the server’s disk before you begin.",
        ),
    }
    Ok(())
}

fn server(found: &Facts, looked: &Looked, lines: &mut Lines) {
    let version = &found.version;
    if let Some(failure) = version.unsupported() {
        return lines.failure(failure);
    }
    if found.standby {
        return lines.stops(
            "The server is a standby: nothing can be restored into it.",
            "Choose its primary server.",
        );
    }
    match looked.needs.server_major {
        Some(major) if version.major < major => lines.warns(
            format!(
                "The server is PostgreSQL {}, older than the {major} that was dumped.",
                version.text
            ),
            "What the older one does not know fails, each thing named. A server of the same major or a newer one takes all of it.",
        ),
        _ => lines.passes(format!("The server is PostgreSQL {}.", version.text)),
    }
    if !found.role.superuser && !found.role.create_databases {
        lines.stops(
            format!("The role {} may not create databases.", found.role.name),
            format!(
                "Let a superuser run: ALTER ROLE {} CREATEDB;",
                howdah_postgres::quote::ident(&found.role.name)
            ),
        );
    }
    for remark in &found.remarks {
        lines.warns(remark, "Nothing has to be done about it.");
    }
}

fn database(found: &Facts, asked: &Asked<'_>, lines: &mut Lines) {
    let name = asked.database;
    match (&found.database, asked.replace) {
        (None, false) => lines.passes(format!("There is no database {name} yet; it is created.")),
        (None, true) => lines.stops(
            format!("There is no database {name} to replace."),
            "Restore it as a new database.",
        ),
        (Some(_), false) => lines.stops(
            format!("There is a database {name} already."),
            "Choose another name, or replace it.",
        ),
        (Some(there), true) => {
            let bytes = there
                .bytes
                .map_or_else(String::new, |bytes| format!(", {}", size(bytes)));
            lines.warns(
                format!("The database {name}{bytes} is replaced."),
                "It is kept beside the new one for seven days, and can be put back.",
            );
            if !there.mine {
                lines.stops(
                    format!("The role {} does not own {name}.", found.role.name),
                    format!("Use the role {}, which does.", there.owner),
                );
            }
            if !there.visitors.is_empty() {
                let labels: Vec<String> = there.visitors.iter().map(|visitor| visitor.label()).collect();
                let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
                let stuck = there.visitors.iter().any(|visitor| !visitor.may_end);
                lines.add(
                    if stuck { PreflightVerdict::Stops } else { PreflightVerdict::Warns },
                    format!("{} on it.", list("session is", "sessions are", &labels)),
                    Some(if stuck {
                        "The role may not end them all: end them yourself, or let a superuser GRANT pg_signal_backend.".to_owned()
                    } else {
                        "They are ended at the moment of the swap, and reconnect to the new database.".to_owned()
                    }),
                );
            }
        }
    }
}

fn what_it_has(found: &Facts, asked: &Asked<'_>, lines: &mut Lines) {
    let lacking: Vec<&str> = found
        .extensions
        .iter()
        .filter(|extension| extension.available.is_none())
        .map(|extension| extension.name.as_str())
        .collect();
    if !lacking.is_empty() {
        lines.stops(
            format!("The server has no {}.", list("extension", "extensions", &lacking)),
            "Install them there, or restore onto this machine, where what needs them is left out.",
        );
    }
    let roles: Vec<&str> = found.missing_roles.iter().map(String::as_str).collect();
    if asked.owners && !roles.is_empty() {
        lines.warns(
            format!("The server has no {}.", list("role", "roles", &roles)),
            "Make them there, let them be made from the backup’s globals, or leave owners and privileges out. Else each is an error.",
        );
    }
    let tablespaces: Vec<&str> = found.missing_tablespaces.iter().map(String::as_str).collect();
    if !tablespaces.is_empty() {
        lines.warns(
            format!(
                "The server has no {}.",
                list("tablespace", "tablespaces", &tablespaces)
            ),
            "What lies there is an error each; make them first.",
        );
    }
    let collations: Vec<&str> = found.missing_collations.iter().map(String::as_str).collect();
    if !collations.is_empty() {
        lines.stops(
            format!(
                "The server has no {}.",
                list("collation", "collations", &collations)
            ),
            "Columns that use them could not be made. Install the locales there.",
        );
    }
    for (what, answer) in [
        ("encoding", Some(&found.encoding)),
        ("locale", Some(&found.locale)),
        ("lz4 compression", found.lz4.as_ref()),
    ] {
        match answer {
            None => {}
            Some(Answer::Yes) if what == "lz4 compression" => {}
            Some(Answer::Yes) => lines.passes(format!("The server has the backup’s {what}.")),
            Some(Answer::No(why)) => lines.stops(
                why,
                format!("Without the {what} the database cannot be made as it was."),
            ),
            Some(Answer::Unknown(why)) => {
                lines.warns(why, "It shows when the database is made, before anything else.")
            }
        }
    }
    let free = found
        .slots
        .most
        .saturating_sub(found.slots.reserved)
        .saturating_sub(found.slots.used);
    if free < 4 {
        lines.warns(
            format!("Only {free} of {} connections are free there.", found.slots.most),
            "The restore takes some of them; the application may find none meanwhile.",
        );
    }
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

/// `2 roles (app, reader)`.
fn list(one: &str, many: &str, names: &[&str]) -> String {
    format!(
        "{} ({})",
        counted(names.len() as u64, one, many),
        shortened(names)
    )
}

fn shortened(names: &[&str]) -> String {
    let shown = names.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => shown,
        more => format!("{shown} and {} more", count(more as u64)),
    }
}
