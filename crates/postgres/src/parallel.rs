//! A restore with several connections at once, straight from a backup's frames.
//!
//! First the definitions (pg_restore, fed with nothing but the table of contents), then the rows: each table by its own
//! COPY statement over one of several connections, large tables in several parts. Then what else counts as data (large
//! objects, sequences' values) and last indexes and constraints, by pg_restore's own workers. The sections' order is what
//! guarantees that no trigger and no foreign key sees a row too early.

use std::collections::HashMap;
use std::io::{Cursor, Read};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::SinkExt as _;
use howdah_archive::entry::{CopyRows, RawRange, starts};
use howdah_archive::source::RangeSource;
use howdah_archive::{Entry, Index};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::connect::Session;
use crate::contents::{Contents, Item, Section, reading};
use crate::restore::{Errors, OnProgress, Progress, Restore, Restored, Step, joined, list_file};
use crate::running::OnLine;
use crate::stderr::Severity;
use crate::verdict::RestoreError;
use crate::{Error, classify, quote};

/// A table of which more than this many raw bytes are to be restored may be divided among connections.
const PART: u64 = 64 << 20;
/// How much is handed to a connection at once.
const PIECE: usize = 256 * 1024;
/// The most connections.
pub const MOST_JOBS: usize = 16;

/// Hears the lines of several programs.
type SharedOnLine = Arc<Mutex<OnLine>>;

impl Restore {
    /// Restores from a stored dump that can be read at any place, with `jobs` connections (1 to [`MOST_JOBS`]).
    ///
    /// As [`Restore::stream`] in what it does and in its errors. Where the archive's statements cannot be sent as they are
    /// (names outside of ASCII in an encoding other than UTF8), or where `clean` is wanted, one connection is used.
    pub async fn parallel<S>(
        &self,
        source: S,
        index: &Index,
        jobs: usize,
        on_line: OnLine,
        on_progress: OnProgress,
        cancel: &CancellationToken,
    ) -> Result<Restored, Error>
    where
        S: RangeSource + Clone + Send + Sync + 'static,
    {
        let jobs = jobs.clamp(1, MOST_JOBS);
        let (front, contents) = self.front(source.clone(), index).await?;
        let Some(copies) = copies(&contents, index).filter(|_| jobs > 1 && !self.options.clean) else {
            let whole = RawRange::new(source, index, 0, index.raw_len());
            return self.stream(whole, on_line, on_progress, cancel).await;
        };
        let mut prepared = self.prepare(&contents, cancel).await?;
        let chosen = self.chosen(&contents, &mut prepared.warnings)?;
        let wanted = |dump_id: i32| chosen.as_ref().is_none_or(|chosen| chosen.contains(&dump_id));
        let progress = Progress::new(copies.keys().filter(|id| wanted(**id)).count(), on_progress);
        let on_line: SharedOnLine = Arc::new(Mutex::new(on_line));
        let mut errors = Errors::default();

        progress.step(Step::PreData);
        let list = chosen
            .as_ref()
            .map(|chosen| list_file(chosen.iter().copied()))
            .transpose()?;
        let with_list = |mut arguments: Vec<String>| {
            if let Some(list) = &list {
                arguments.push(format!("--use-list={}", list.path().display()));
            }
            arguments
        };
        let mut arguments = with_list(self.arguments());
        arguments.push("--section=pre-data".to_owned());
        let archive = Cursor::new(front.clone());
        errors.append(
            self.feed(arguments, archive, shared(&on_line), &progress, cancel)
                .await?,
        );

        progress.step(Step::Data);
        let tables: Vec<Part> = parts(index, jobs, wanted);
        let work = Work {
            source: source.clone(),
            index: Arc::new(index.clone()),
            copies: Arc::new(copies),
            queue: Arc::new(Mutex::new(tables)),
            left: Arc::new(Mutex::new(HashMap::new())),
            progress: progress.clone(),
            on_line: Arc::clone(&on_line),
        };
        errors.take(self.rows(work, jobs, cancel).await?);
        errors.append(
            self.other_data(
                source,
                index,
                &contents,
                front.clone(),
                wanted,
                &on_line,
                &progress,
                cancel,
            )
            .await?,
        );

        progress.step(Step::PostData);
        let mut arguments = with_list(self.arguments());
        arguments.extend(["--section=post-data".to_owned(), format!("--jobs={jobs}")]);
        errors.append(self.post_data(arguments, front, &on_line, cancel).await?);

        progress.step(Step::Finish);
        errors.take(self.finish(&prepared, cancel).await?);
        errors.into_result(&self.target.database, prepared.warnings)
    }

    /// The archive's header and table of contents, as bytes and as what they say.
    async fn front<S>(&self, source: S, index: &Index) -> Result<(Vec<u8>, Contents), Error>
    where
        S: RangeSource + Send + 'static,
    {
        let index = index.clone();
        let front = tokio::task::spawn_blocking(move || {
            let mut bytes = Vec::new();
            RawRange::header_and_toc(source, &index)
                .read_to_end(&mut bytes)
                .map_err(reading)?;
            let contents = Contents::open(bytes.as_slice())?.contents;
            Ok((bytes, contents))
        });
        joined(front.await)?
    }

    /// The entries of the chosen tables; none where everything is wanted.
    fn chosen(&self, contents: &Contents, warnings: &mut Vec<String>) -> Result<Option<Vec<i32>>, Error> {
        if self.options.tables.is_empty() {
            return Ok(None);
        }
        crate::choice::entries_of(contents, &self.options.tables, warnings).map(Some)
    }

    /// All tables' rows, over `jobs` connections.
    async fn rows<S>(
        &self,
        work: Work<S>,
        jobs: usize,
        cancel: &CancellationToken,
    ) -> Result<Vec<RestoreError>, Error>
    where
        S: RangeSource + Clone + Send + Sync + 'static,
    {
        let count = work.queue.lock().unwrap_or_else(PoisonError::into_inner).len();
        for part in work.queue.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let mut left = work.left.lock().unwrap_or_else(PoisonError::into_inner);
            *left.entry(part.dump_id).or_insert(0) += 1;
        }
        let mut workers = JoinSet::new();
        // A worker that fails stops the others; all of them are waited for, so that no session lingers.
        let stop = cancel.child_token();
        for _ in 0..jobs.min(count) {
            let session = self.session(cancel).await?;
            let (restore, work, stop) = (self.clone(), work.clone(), stop.clone());
            workers.spawn(async move {
                let done = tokio::select! {
                    biased;
                    () = stop.cancelled() => Err(Error::Cancelled),
                    done = worker(&restore, session, &work, &stop) => done,
                };
                if done.is_err() {
                    stop.cancel();
                }
                done
            });
        }
        let (mut errors, mut failed) = (Vec::new(), None);
        while let Some(ended) = workers.join_next().await {
            match joined(ended)? {
                Ok(more) => errors.extend(more),
                Err(error) if failed.is_none() || !error.is_cancelled() => failed = Some(error),
                Err(_) => {}
            }
        }
        failed.map_or(Ok(errors), Err)
    }

    /// Large objects and sequences' values: everything of the data section but tables' rows.
    #[allow(
        clippy::too_many_arguments,
        reason = "one step of one function, apart for its length"
    )]
    async fn other_data<S>(
        &self,
        source: S,
        index: &Index,
        contents: &Contents,
        front: Vec<u8>,
        wanted: impl Fn(i32) -> bool,
        on_line: &SharedOnLine,
        progress: &Progress,
        cancel: &CancellationToken,
    ) -> Result<Errors, Error>
    where
        S: RangeSource + Clone + Send + Sync + 'static,
    {
        // Large objects come from a pipe, so they are asked for in the order in which they lie in the file.
        let blobs: Vec<&Entry> = index
            .entries
            .iter()
            .filter(|entry| !entry.is_table() && wanted(entry.dump_id))
            .collect();
        let is_blob = |item: &Item| blobs.iter().any(|entry| entry.dump_id == item.dump_id);
        let (with_section, attached) = other_data_items(contents);
        // The first of a list decides in which section pg_restore takes those without one of their own to be.
        let ids: Vec<i32> = with_section
            .into_iter()
            .filter(|item| wanted(item.dump_id) && !is_blob(item))
            .map(|item| item.dump_id)
            .chain(blobs.iter().map(|entry| entry.dump_id))
            .chain(
                attached
                    .into_iter()
                    .map(|item| item.dump_id)
                    .filter(|id| wanted(*id)),
            )
            .collect();
        if ids.is_empty() {
            return Ok(Errors::default());
        }
        let list = list_file(ids)?;
        let mut arguments = self.arguments();
        arguments.extend([
            "--section=data".to_owned(),
            format!("--use-list={}", list.path().display()),
        ]);
        let ranges: Vec<(u64, u64)> = blobs
            .iter()
            .map(|entry| (entry.raw_offset, entry.raw_end()))
            .collect();
        let archive = Cursor::new(front).chain(Ranges {
            source,
            index: Arc::new(index.clone()),
            left: ranges.into(),
            now: None,
        });
        self.feed(arguments, archive, shared(on_line), progress, cancel)
            .await
    }

    /// Indexes, constraints, triggers: by pg_restore's own workers, which need a file, if only of the table of contents.
    async fn post_data(
        &self,
        arguments: Vec<String>,
        front: Vec<u8>,
        on_line: &SharedOnLine,
        cancel: &CancellationToken,
    ) -> Result<Errors, Error> {
        let writing = |error| Error::io("writing the table of contents to a temporary file", error);
        let file = tempfile::NamedTempFile::new().map_err(writing)?;
        tokio::fs::write(file.path(), front).await.map_err(writing)?;
        let mut running = self.start(arguments, Some(file.path()), shared(on_line))?;
        let ended = running.ended(cancel).await?;
        self.judge(&ended)
    }
}

/// The data section without tables' rows: entries with that section, and those that go with them (comments on and
/// privileges of large objects). An entry without a section is in that of the one before it (`ProcessArchiveRestoreOptions`
/// in pg_backup_archiver.c).
fn other_data_items(contents: &Contents) -> (Vec<&Item>, Vec<&Item>) {
    let (mut with_section, mut attached) = (Vec::new(), Vec::new());
    let mut section = Section::PreData;
    for item in &contents.items {
        match item.section {
            Section::None if section == Section::Data => attached.push(item),
            Section::None => {}
            own => {
                section = own;
                if own == Section::Data && item.kind != Entry::TABLE_DATA {
                    with_section.push(item);
                }
            }
        }
    }
    (with_section, attached)
}

fn shared(on_line: &SharedOnLine) -> OnLine {
    let on_line = Arc::clone(on_line);
    Box::new(move |severity, line| (on_line.lock().unwrap_or_else(PoisonError::into_inner))(severity, line))
}

/// What the connections work on together.
#[derive(Clone)]
struct Work<S> {
    source: S,
    index: Arc<Index>,
    /// The statement that loads an entry, by its dump id.
    copies: Arc<HashMap<i32, String>>,
    /// Largest last.
    queue: Arc<Mutex<Vec<Part>>>,
    /// How many parts of a table are not in yet.
    left: Arc<Mutex<HashMap<i32, usize>>>,
    progress: Progress,
    on_line: SharedOnLine,
}

/// Rows that one COPY brings in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Part {
    /// Which of the index's entries.
    entry: usize,
    dump_id: i32,
    /// From this raw offset (a start of the entry's) to before another; none means all of it.
    range: Option<(u64, Option<u64>)>,
    raw_len: u64,
}

/// The tables' rows in parts, the largest last.
fn parts(index: &Index, jobs: usize, wanted: impl Fn(i32) -> bool) -> Vec<Part> {
    let total: u64 = index.tables().map(|entry| entry.raw_len).sum();
    let part = PART.max(total / (jobs as u64 * 8).max(1));
    let mut parts = Vec::new();
    for (number, entry) in index.entries.iter().enumerate() {
        if !entry.is_table() || !wanted(entry.dump_id) {
            continue;
        }
        let whole = Part {
            entry: number,
            dump_id: entry.dump_id,
            range: None,
            raw_len: entry.raw_len,
        };
        if entry.raw_len < 2 * part {
            parts.push(whole);
            continue;
        }
        let mut cuts: Vec<u64> = Vec::new();
        for start in starts(index, entry) {
            if cuts.last().is_none_or(|last| start - last >= part) {
                cuts.push(start);
            }
        }
        for (at, start) in cuts.iter().enumerate() {
            let end = cuts.get(at + 1).copied();
            parts.push(Part {
                range: Some((*start, end)),
                raw_len: end.unwrap_or(entry.raw_end()) - start,
                ..whole
            });
        }
    }
    parts.sort_by_key(|part| part.raw_len);
    parts
}

/// Each data entry's COPY statement, as it can be sent; none where one of them cannot.
fn copies(contents: &Contents, index: &Index) -> Option<HashMap<i32, String>> {
    let encoding = contents.encoding();
    let by_id: HashMap<i32, &Item> = contents.items.iter().map(|item| (item.dump_id, item)).collect();
    let mut copies = HashMap::new();
    for entry in index.tables() {
        let statement = by_id.get(&entry.dump_id)?.copy_statement.as_ref()?;
        let statement = std::str::from_utf8(statement).ok()?;
        if encoding != "UTF8" && !statement.is_ascii() {
            return None;
        }
        let statement = statement.trim_end().strip_suffix(';')?;
        // COPY's own option, so that the session stays in UTF8, as the driver needs it.
        copies.insert(
            entry.dump_id,
            format!("{statement} WITH (ENCODING {})", quote::literal(&encoding)),
        );
    }
    Some(copies)
}

/// What pg_restore sets in its own sessions (`_doSetFixedOutputState`).
const SESSION: &str = "SET statement_timeout = 0;
    SET lock_timeout = 0;
    SET idle_in_transaction_session_timeout = 0;
    SET standard_conforming_strings = on;
    SET search_path = '';
    SET check_function_bodies = off;
    SET xmloption = content;
    SET client_min_messages = warning;
    SET row_security = off;";

async fn worker<S>(
    restore: &Restore,
    mut session: Session,
    work: &Work<S>,
    stop: &CancellationToken,
) -> Result<Vec<RestoreError>, Error>
where
    S: RangeSource + Clone + Send + Sync + 'static,
{
    prepare(&session).await?;
    let mut errors = Vec::new();
    loop {
        let part = work.queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let Some(part) = part else { return Ok(errors) };
        let entry = &work.index.entries[part.entry];
        let name = format!("{}.{}", entry.schema, entry.name);
        work.progress.change(|now| now.table = Some(name.clone()));
        match copy(&session, work, entry, part).await? {
            None => {
                let mut left = work.left.lock().unwrap_or_else(PoisonError::into_inner);
                let left = left.get_mut(&part.dump_id).map(|left| {
                    *left -= 1;
                    *left
                });
                if left == Some(0) {
                    work.progress.change(|now| now.tables_done += 1);
                }
            }
            Some(error) => {
                let line = error.to_string();
                (work.on_line.lock().unwrap_or_else(PoisonError::into_inner))(Severity::Error, &line);
                errors.push(error);
                // The driver loses count of the server's answers when a COPY is refused before it begins.
                session = restore.session(stop).await?;
                prepare(&session).await?;
            }
        }
    }
}

async fn prepare(session: &Session) -> Result<(), Error> {
    let preparing = |error| Error::query("preparing a connection of the restore", error);
    session.client.batch_execute(SESSION).await.map_err(preparing)?;
    if session.server_version.major >= 17 {
        let unlimited = "SET transaction_timeout = 0";
        session.client.batch_execute(unlimited).await.map_err(preparing)?;
    }
    Ok(())
}

/// Brings one part in; what the server refuses comes back, a broken connection or an unreadable backup is an error.
async fn copy<S>(
    session: &Session,
    work: &Work<S>,
    entry: &Entry,
    part: Part,
) -> Result<Option<RestoreError>, Error>
where
    S: RangeSource + Clone + Send + Sync + 'static,
{
    let label = format!("TABLE DATA {}.{}", entry.schema, entry.name);
    let statement = work.copies.get(&part.dump_id).map_or("", String::as_str);
    let refused = |error: tokio_postgres::Error| {
        if error.as_db_error().is_none() || error.is_closed() {
            return Err(Error::query(format!("restoring {label}"), error));
        }
        Ok(Some(RestoreError {
            object: label.clone(),
            error: classify::server_text(&error),
            command: Some(statement.to_owned()),
        }))
    };
    let (sender, mut pieces) = mpsc::channel::<std::io::Result<Bytes>>(4);
    let (source, index, entry) = (work.source.clone(), Arc::clone(&work.index), entry.clone());
    let reader = tokio::task::spawn_blocking(move || {
        let rows: Box<dyn Read> = match part.range {
            None => Box::new(CopyRows::new(source, &index, &entry)),
            Some((start, end)) => Box::new(CopyRows::part(source, &index, &entry, start, end)),
        };
        read_pieces(rows, &sender);
    });
    let sink = match session.client.copy_in::<_, Bytes>(statement).await {
        Ok(sink) => sink,
        Err(error) => return refused(error),
    };
    let mut sink = pin!(sink);
    while let Some(piece) = pieces.recv().await {
        // Dropping the sink unfinished makes the server forget this COPY.
        let piece = piece.map_err(reading)?;
        let len = piece.len() as u64;
        if let Err(error) = sink.send(piece).await {
            // Why the server gave up is what finishing tells.
            return refused(sink.as_mut().finish().await.err().unwrap_or(error));
        }
        work.progress.change(|now| now.raw_bytes += len);
    }
    joined(reader.await)?;
    match sink.finish().await {
        Ok(_) => Ok(None),
        Err(error) => refused(error),
    }
}

fn read_pieces(mut rows: impl Read, sender: &mpsc::Sender<std::io::Result<Bytes>>) {
    loop {
        let mut piece = vec![0; PIECE];
        let mut filled = 0;
        while filled < PIECE {
            match rows.read(&mut piece[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let _ = sender.blocking_send(Err(error));
                    return;
                }
            }
        }
        piece.truncate(filled);
        if filled == 0 || sender.blocking_send(Ok(piece.into())).is_err() {
            return;
        }
    }
}

/// Several stretches of an archive, one after the other.
struct Ranges<S> {
    source: S,
    index: Arc<Index>,
    left: std::collections::VecDeque<(u64, u64)>,
    now: Option<RawRange<S>>,
}

impl<S: RangeSource + Clone> Read for Ranges<S> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        loop {
            if let Some(now) = &mut self.now {
                let read = now.read(buffer)?;
                if read > 0 || buffer.is_empty() {
                    return Ok(read);
                }
            }
            let Some((start, end)) = self.left.pop_front() else {
                return Ok(0);
            };
            self.now = Some(RawRange::new(self.source.clone(), &self.index, start, end));
        }
    }
}
