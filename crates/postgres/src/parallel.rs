//! A restore with several connections at once, straight from a backup's frames.
//!
//! First the definitions (pg_restore, fed with nothing but the table of contents), then the rows: each table by its own
//! COPY statement over one of several connections, large tables in several parts. Then what else counts as data (large
//! objects, sequences' values) and last indexes and constraints, by pg_restore's own workers. The sections' order is what
//! guarantees that no trigger and no foreign key sees a row too early.

use std::collections::HashMap;
use std::io::{Cursor, Read};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use howdah_archive::entry::RawRange;
use howdah_archive::source::RangeSource;
use howdah_archive::{Entry, Index};
use tokio_util::sync::CancellationToken;

use crate::contents::{Contents, Item, Section, reading};
use crate::restore::{Errors, OnProgress, Progress, Restore, Restored, Step, joined, list_file};
use crate::running::OnLine;
use crate::{Error, quote};

mod rows;

use rows::Work;

/// The most connections.
pub const MOST_JOBS: usize = 16;

/// Hears the lines of several programs.
type SharedOnLine = Arc<Mutex<OnLine>>;

impl Restore {
    /// Restores from a stored dump that can be read at any place, with `jobs` connections (1 to [`MOST_JOBS`]).
    ///
    /// As [`Restore::stream`] in what it does and in its errors. Where the archive's statements cannot be sent as they are
    /// (names outside of ASCII in an encoding other than UTF8), or where `clean` or rows alone are wanted, one connection is used.
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
        let created = AtomicBool::new(false);
        let outcome = self
            .in_parallel(source, index, jobs, on_line, on_progress, &created, cancel)
            .await;
        self.undone(outcome, &created).await
    }

    #[allow(clippy::too_many_arguments, reason = "the one above, and what it has created")]
    async fn in_parallel<S>(
        &self,
        source: S,
        index: &Index,
        jobs: usize,
        on_line: OnLine,
        on_progress: OnProgress,
        created: &AtomicBool,
        cancel: &CancellationToken,
    ) -> Result<Restored, Error>
    where
        S: RangeSource + Clone + Send + Sync + 'static,
    {
        let jobs = jobs.clamp(1, MOST_JOBS);
        let (mut front, contents) = self.front(source.clone(), index).await?;
        // Rows alone are one transaction.
        let at_once = jobs > 1 && !self.options.clean && self.options.content.has_definitions();
        let Some(copies) = copies(&contents, index).filter(|_| at_once) else {
            let whole = RawRange::new(source, index, 0, index.raw_len());
            return self.stream(whole, on_line, on_progress, cancel).await;
        };
        let prepared = self.prepare(&contents, created, cancel).await?;
        prepared.tamed.rewrite(&mut front)?;
        let wanted = |dump_id: i32| prepared.wants(dump_id);
        let with_rows = self.options.content.has_rows();
        let rows = copies.keys().filter(|id| with_rows && wanted(**id));
        let progress = Progress::new(rows.count(), on_progress);
        let on_line: SharedOnLine = Arc::new(Mutex::new(on_line));
        let mut errors = Errors::default();

        progress.step(Step::PreData);
        let list = prepared.list()?;
        let with_list = |mut arguments: Vec<String>| {
            if let Some(list) = &list {
                arguments.push(format!("--use-list={}", list.path().display()));
            }
            arguments
        };
        let mut arguments = with_list(self.options.arguments());
        arguments.push("--section=pre-data".to_owned());
        let archive = Cursor::new(front.clone());
        errors.append(
            self.feed(arguments, archive, shared(&on_line), &progress, cancel)
                .await?,
        );

        if with_rows && !self.stops(&errors) {
            progress.step(Step::Data);
            let work = Work::new(
                source.clone(),
                index,
                copies,
                jobs,
                wanted,
                self.without_log(&contents, index, wanted, cancel).await?,
                progress.clone(),
                Arc::clone(&on_line),
            );
            errors.take(self.rows(work, jobs, cancel).await?);
        }
        if with_rows && !self.stops(&errors) {
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
        }
        if self.stops(&errors) {
            return errors.into_result(&self.options, &self.target.database, prepared);
        }

        progress.step(Step::PostData);
        let mut arguments = with_list(self.options.arguments());
        arguments.extend(["--section=post-data".to_owned(), format!("--jobs={jobs}")]);
        errors.append(self.post_data(arguments, front, &on_line, cancel).await?);

        if !self.stops(&errors) {
            progress.step(Step::Finish);
            errors.take(self.finish(&prepared, cancel).await?);
        }
        errors.into_result(&self.options, &self.target.database, prepared)
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
        let mut arguments = self.options.arguments();
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
