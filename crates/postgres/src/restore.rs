//! A backup's archive brought into a database: pg_restore at work, every error of it named.
//!
//! The archive comes as a stream, from its beginning to its end. Where it comes from is not known here; restoring with
//! several connections at once is `parallel.rs`, creating the database `database.rs`.

use std::collections::HashSet;
use std::io::{ErrorKind, Read, Write};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use howdah_archive::Entry;
use howdah_domain::{Connection, FailureCode, Secret};
use tokio_util::sync::CancellationToken;

use crate::choice::Part;
use crate::connect::{APPLICATION_NAME, Session, connect};
use crate::contents::{self, Contents, Item, Opened};
use crate::database::{self, Definition};
use crate::programs::Client;
use crate::running::{self, OnLine, Running};
use crate::tame::{LeftOut, Tamed};
use crate::verdict::RestoreError;
use crate::{Error, quote};

mod errors;
mod isolate;
mod options;
mod progress;
mod rows_alone;

pub(crate) use errors::Errors;
pub use options::Options;
pub(crate) use progress::Progress;
pub use progress::{OnProgress, RestoreProgress, Step};
pub use rows_alone::{Unfit, WhyUnfit, unfit};

/// How long a connection of our own may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// How long dropping a database may take.
const DROP_PATIENCE: Duration = Duration::from_secs(120);

/// Where a restore goes and how.
#[derive(Debug, Clone)]
pub struct Restore {
    /// The programs to restore with: of the target's major, or newer.
    pub client: Client,
    /// The target; its database is the one restored into.
    pub target: Connection,
    /// The password.
    pub secret: Option<Secret>,
    /// What else.
    pub options: Options,
}

/// What a restore that succeeded has to tell.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Restored {
    /// What was done otherwise than the archive has it, and what was left out, as sentences.
    pub warnings: Vec<String>,
    /// What of the archive was restored, where that was not all: only some tables were wanted, or some were left out.
    pub part: Option<Part>,
    /// What an isolated restore left out or altered.
    pub left_out: Vec<LeftOut>,
}

impl Restore {
    /// Restores an archive as it comes out of `archive` (read on a thread of its own), with one connection.
    ///
    /// pg_restore goes on after an error, unless it is to stop at the first; each is named, and any is a failure. What is in the target
    /// then stays there; the failure says so. Rows alone come in one transaction, which an error undoes. Where it does not come to its
    /// end (stopped or cancelled, the backup cannot be read, the connection lost, the server's disk full), a database that was created
    /// for this restore is dropped, and no other.
    ///
    /// # Errors
    /// [`FailureCode::RestoreFailed`] with each error in its details; [`FailureCode::DatabaseExists`]; the codes for
    /// reaching a server; [`FailureCode::BackupDamaged`] where the archive cannot be read; [`Error::Cancelled`].
    pub async fn stream<R: Read + Send + 'static>(
        &self,
        archive: R,
        on_line: OnLine,
        on_progress: OnProgress,
        cancel: &CancellationToken,
    ) -> Result<Restored, Error> {
        let created = AtomicBool::new(false);
        let outcome = self
            .streamed(archive, on_line, on_progress, &created, cancel)
            .await;
        self.undone(outcome, &created).await
    }

    /// Where a restore did not come to its end: without the database that was created for it. One that came to its end with errors
    /// leaves what it could restore, unless it was to stop at the first.
    pub(crate) async fn undone(
        &self,
        outcome: Result<Restored, Error>,
        created: &AtomicBool,
    ) -> Result<Restored, Error> {
        match outcome {
            Err(error)
                if created.load(Ordering::Relaxed)
                    && (self.options.exit_on_error || error.code() != FailureCode::RestoreFailed) =>
            {
                let Err(why) = self.drop_created().await else {
                    return Err(error);
                };
                let database = &self.target.database;
                Err(error
                    .to_failure()
                    .and_hint(format!(
                        "{database} is left on the server, incomplete: {}",
                        why.to_failure().message
                    ))
                    .into())
            }
            outcome => outcome,
        }
    }

    async fn drop_created(&self) -> Result<(), Error> {
        let never = CancellationToken::new();
        let session = self.maintenance_session(&never).await?;
        let drop = format!(
            "DROP DATABASE IF EXISTS {} WITH (FORCE)",
            quote::ident(&self.target.database)
        );
        let dropping = session.client.batch_execute(&drop);
        session
            .run("dropping what was restored", DROP_PATIENCE, &never, dropping)
            .await
    }

    async fn streamed<R: Read + Send + 'static>(
        &self,
        archive: R,
        on_line: OnLine,
        on_progress: OnProgress,
        created: &AtomicBool,
        cancel: &CancellationToken,
    ) -> Result<Restored, Error> {
        let opened = tokio::task::spawn_blocking(move || Contents::open(archive));
        let Opened {
            contents,
            mut archive,
        } = joined(opened.await)??;
        let prepared = self.prepare(&contents, created, cancel).await?;
        prepared.tamed.rewrite(archive.get_mut().0.get_mut())?;
        let tables = if self.options.content.has_rows() {
            prepared.tables(&contents)
        } else {
            0
        };
        let progress = Progress::new(tables, on_progress);
        let mut arguments = self.options.arguments();
        arguments.extend(prepared.flags.iter().map(|flag| (*flag).to_owned()));
        let list = prepared.list()?;
        if let Some(list) = &list {
            arguments.push(format!("--use-list={}", list.path().display()));
        }
        progress.step(Step::Data);
        let mut errors = self
            .feed(arguments, archive, progress.hearing(on_line), &progress, cancel)
            .await?;
        if !self.stops(&errors) {
            progress.step(Step::Finish);
            errors.take(self.finish(&prepared, cancel).await?);
        }
        errors.into_result(&self.options, &self.target.database, prepared)
    }

    /// Finds the entries of the wanted tables, creates the database where that is wanted, and the schemas that a partial dump
    /// or a partial restore takes for granted.
    pub(crate) async fn prepare(
        &self,
        contents: &Contents,
        created: &AtomicBool,
        cancel: &CancellationToken,
    ) -> Result<Prepared, Error> {
        self.options.check()?;
        let mut prepared = Prepared::default();
        prepared.part = self.options.part(contents, &mut prepared.warnings)?;
        if self.options.create {
            let session = self.maintenance_session(cancel).await?;
            self.check_server(&session)?;
            let mut definition = Definition::read(contents, &self.target.database, &session).await?;
            if !self.options.tablespaces {
                definition.options.retain(|(key, _)| key != "TABLESPACE");
            }
            if self.options.isolated {
                let name = &self.target.database;
                prepared.tamed.of_database(name, &mut definition.before);
                prepared.tamed.of_database(name, &mut definition.after);
            }
            let name = &self.target.database;
            let making = database::create_database(&session, name, &definition, created, cancel);
            prepared.warnings.extend(making.await?);
            prepared.definition = Some(definition);
        }
        let session = self.session(cancel).await?;
        self.check_server(&session)?;
        if !self.options.content.has_definitions() {
            self.ready_for_rows(contents, &session, &mut prepared, cancel)
                .await?;
            return Ok(prepared);
        }
        if self.options.isolated {
            self.isolate(contents, &session, &mut prepared, cancel).await?;
        }
        let part = prepared.part.as_ref();
        let created = self.missing_schemas(contents, part, &session, cancel).await?;
        prepared.warnings.extend(created);
        Ok(prepared)
    }

    fn check_server(&self, session: &Session) -> Result<(), Error> {
        let refused = self
            .options
            .refused_by(session.server_version.major, self.client.major);
        refused.map_or(Ok(()), |failure| Err(failure.into()))
    }

    /// Whether these errors end it.
    pub(crate) fn stops(&self, errors: &Errors) -> bool {
        self.options.stops_at_an_error() && errors.are_any()
    }

    /// Schemas that what is restored lies in without being restored themselves: a plan or a restore that chose tables
    /// leaves them out. They are created where they are missing.
    async fn missing_schemas(
        &self,
        contents: &Contents,
        part: Option<&Part>,
        session: &Session,
        cancel: &CancellationToken,
    ) -> Result<Vec<String>, Error> {
        let restored = |item: &&Item| part.is_none_or(|part| part.has(item.dump_id));
        let schemas: HashSet<&str> = contents
            .items
            .iter()
            .filter(restored)
            .filter(|item| item.kind == "SCHEMA")
            .map(|item| item.tag.as_str())
            .collect();
        let mut missing: Vec<&str> = contents
            .items
            .iter()
            .filter(restored)
            .filter_map(|item| item.schema.as_deref())
            .filter(|schema| !schemas.contains(schema) && !matches!(*schema, "public" | "pg_catalog"))
            .collect();
        missing.sort_unstable();
        missing.dedup();
        let mut warnings = Vec::new();
        for schema in missing {
            let there = session
                .ask(
                    "looking for the archive's schemas",
                    cancel,
                    "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1",
                    &[(&schema, tokio_postgres::types::Type::NAME)],
                )
                .await?;
            if !there.is_empty() {
                continue;
            }
            let create = format!("CREATE SCHEMA {}", quote::ident(schema));
            session
                .tell(&format!("creating the schema {schema}"), cancel, &create)
                .await?;
            warnings.push(format!(
                "Objects of schema {schema} are restored without the schema itself; it was created."
            ));
        }
        Ok(warnings)
    }

    /// What belongs to the database itself and comes last.
    pub(crate) async fn finish(
        &self,
        prepared: &Prepared,
        cancel: &CancellationToken,
    ) -> Result<Vec<RestoreError>, Error> {
        let Some(definition) = &prepared.definition else {
            return Ok(Vec::new());
        };
        let session = self.session(cancel).await?;
        let name = &self.target.database;
        database::finish_database(&session, name, definition, &self.options, cancel).await
    }

    /// A session on the target database.
    pub(crate) async fn session(&self, cancel: &CancellationToken) -> Result<Session, Error> {
        self.session_on(&self.target, cancel).await
    }

    async fn session_on(&self, to: &Connection, cancel: &CancellationToken) -> Result<Session, Error> {
        connect(
            to,
            self.secret.as_ref(),
            APPLICATION_NAME,
            CONNECT_TIMEOUT,
            cancel,
        )
        .await
    }

    /// A session on a database that every server has, to create another one from.
    async fn maintenance_session(&self, cancel: &CancellationToken) -> Result<Session, Error> {
        let mut last = None;
        for database in ["postgres", "template1"] {
            match self
                .session_on(&self.target.with_database(database), cancel)
                .await
            {
                Ok(session) => return Ok(session),
                Err(error)
                    if matches!(
                        error.code(),
                        FailureCode::DatabaseNotFound | FailureCode::NotAllowedByHba
                    ) =>
                {
                    last = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(last.expect("BUG: at least one database was tried"))
    }

    /// Runs pg_restore with an archive on its stdin, and gathers its errors.
    pub(crate) async fn feed<R: Read + Send + 'static>(
        &self,
        arguments: Vec<String>,
        archive: R,
        on_line: OnLine,
        progress: &Progress,
        cancel: &CancellationToken,
    ) -> Result<Errors, Error> {
        let mut running = self.start(arguments, None, on_line)?;
        let stdin = running.take_stdin().expect("BUG: stdin was asked for as a pipe");
        let progress = progress.clone();
        let killer = running.killer();
        let feeder = tokio::task::spawn_blocking(move || {
            let fed = pump(archive, stdin, &progress);
            if fed.is_err() {
                // What it has is not the whole archive: it must not think so.
                killer.kill_group();
            }
            fed
        });
        let ended = running.ended(cancel).await?;
        // pg_restore is gone, so the feeder's pipe is broken, unless it still reads from a slow source: then the read
        // ends by itself, and nobody waits for it after a cancellation.
        let fed = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(Error::Cancelled),
            fed = feeder => joined(fed)?,
        };
        fed.map_err(contents::reading)?;
        self.judge(&ended)
    }

    /// Starts pg_restore; without a `file` the archive is fed through its stdin.
    pub(crate) fn start(
        &self,
        arguments: Vec<String>,
        file: Option<&std::path::Path>,
        on_line: OnLine,
    ) -> Result<Running, Error> {
        let mut command = running::command(
            &self.client,
            &self.client.pg_restore,
            &self.target,
            self.secret.as_ref(),
        );
        // A materialized view is refreshed in the target's own time zone, as with a pg_restore by hand.
        command.env_remove("PGTZ");
        command
            .arg("--format=custom")
            .args(arguments)
            .arg(running::dbname(&self.target));
        command.stdout(Stdio::null());
        match file {
            Some(file) => command.stdin(Stdio::null()).arg(file),
            None => command.stdin(Stdio::piped()),
        };
        Running::start("pg_restore", command, &self.target, on_line)
    }
}

/// What [`Restore::prepare`] has done.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    pub(crate) definition: Option<Definition>,
    pub(crate) part: Option<Part>,
    pub(crate) warnings: Vec<String>,
    pub(crate) tamed: Tamed,
    /// What pg_restore is told besides the options.
    pub(crate) flags: Vec<&'static str>,
}

impl Prepared {
    /// Whether an entry is to be restored.
    pub(crate) fn wants(&self, dump_id: i32) -> bool {
        self.part.as_ref().is_none_or(|part| part.has(dump_id))
    }

    /// How many tables have rows to restore.
    fn tables(&self, contents: &Contents) -> usize {
        let data = contents
            .items
            .iter()
            .filter(|item| item.kind == Entry::TABLE_DATA);
        data.filter(|item| self.wants(item.dump_id)).count()
    }

    /// The list of entries for `--use-list`, where only some tables are wanted.
    pub(crate) fn list(&self) -> Result<Option<tempfile::NamedTempFile>, Error> {
        self.part
            .as_ref()
            .map(|part| list_file(part.entries.iter().copied()))
            .transpose()
    }
}

/// Copies an archive into pg_restore's stdin. A pipe that pg_restore has closed is no error: it has what it wants.
fn pump(mut archive: impl Read, mut stdin: impl Write, progress: &Progress) -> std::io::Result<()> {
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let read = match archive.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        match stdin.write_all(&buffer[..read]) {
            Ok(()) => progress.change(|now| now.raw_bytes += read as u64),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// A `--use-list` file: dump ids in the order of the archive (`SortTocFromFile` reads the number before the semicolon).
pub(crate) fn list_file(ids: impl IntoIterator<Item = i32>) -> Result<tempfile::NamedTempFile, Error> {
    let writing = |error| Error::io("writing the list of what is restored", error);
    let mut file = tempfile::NamedTempFile::new().map_err(writing)?;
    let mut text = String::new();
    for id in ids {
        text.push_str(&format!("{id};\n"));
    }
    file.write_all(text.as_bytes()).map_err(writing)?;
    file.flush().map_err(writing)?;
    Ok(file)
}

/// A blocking task's result; its panic is ours.
pub(crate) fn joined<T>(outcome: Result<T, tokio::task::JoinError>) -> Result<T, Error> {
    outcome.map_err(|error| Error::io("a thread of the restore", std::io::Error::other(error)))
}
