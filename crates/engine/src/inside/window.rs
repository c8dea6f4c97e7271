//! Looking into a backup from the window: pages of rows, one value, a table saved as a file.
//!
//! An answer stands for itself: it says where the next one begins. What was opened for it is kept for a while all the same, so that scrolling
//! on reads no index and no frame again. Copies are tried one after the other, that of this machine first: one that is away or damaged
//! keeps nobody from the rows.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use howdah_archive::search::Search;
use howdah_domain::{BackupId, Failure, FailureCode, TableName};
use howdah_store::tables::backups::{Backup, BackupCopy};
use tokio_util::sync::CancellationToken;

use super::look::Scan;
use super::save::{SaveMeter, Target, save};
use super::{Inside, Table, cancelled, in_words};
use crate::api::{
    Event, RowPlace, RowsPage, RowsRequest, SaveTableRequest, SavedTable, ValueRequest, ValueView,
};
use crate::copies::Copies;
use crate::engine::{Engine, internal, lock};
use crate::work::TICK;

/// An answer comes after at most this, but for what one read takes.
const SLICE: Duration = Duration::from_millis(300);

/// The most rows of one answer.
const MOST_ROWS: u32 = 1_000;

/// So many backups are kept open,
const KEPT: usize = 2;
/// for so long after they were looked into.
const KEPT_FOR: Duration = Duration::from_secs(120);

/// What is kept between two looks into backups.
#[derive(Default)]
pub(crate) struct Looks {
    opened: Mutex<Vec<Opened>>,
    at_work: Mutex<AtWork>,
}

/// Looks that are at work.
#[derive(Default)]
struct AtWork {
    /// How many there have been.
    count: u64,
    /// By their callers' names; with a number each, since a new one takes the place of an old one.
    looks: HashMap<String, (u64, CancellationToken)>,
}

/// A copy of a backup that was looked into.
struct Opened {
    backup: BackupId,
    /// Which copy: its place and folder.
    copy: String,
    inside: Inside,
    /// Where the last look ended, and of which table.
    scan: Option<(TableName, RowPlace, Scan)>,
    used: Instant,
}

/// A look at work; it is over when this is dropped.
struct Look<'a> {
    looks: &'a Looks,
    id: String,
    number: u64,
    cancel: CancellationToken,
}

impl Drop for Look<'_> {
    fn drop(&mut self) {
        let mut at_work = lock(&self.looks.at_work);
        if at_work
            .looks
            .get(&self.id)
            .is_some_and(|(number, _)| *number == self.number)
        {
            at_work.looks.remove(&self.id);
        }
        // What threads still do for it ends too.
        self.cancel.cancel();
    }
}

impl Engine {
    /// Rows of a table in a backup: the next ones from a place on, or those that hold a text. Answers in a moment, found or not.
    ///
    /// # Errors
    /// [`FailureCode::NotFound`] where the backup has no rows of the table; what is wrong with the first copy where none can be read;
    /// cancelled.
    pub async fn rows(&self, request: RowsRequest) -> Result<RowsPage, Failure> {
        let look = self.begin_look(&request.look_id);
        let cancel = look.cancel.clone();
        let looking = async {
            let known = self.known_backup(&request.backup_id).await?;
            self.of_some_copy(&known, |copy| {
                let (known, request, cancel) = (&known, &request, &cancel);
                async move { self.rows_of(known, &copy, request, cancel).await }
            })
            .await
        };
        until(&cancel, looking).await
    }

    /// One value whole, or its first megabyte.
    ///
    /// # Errors
    /// As [`Engine::rows`]; [`FailureCode::NotFound`] where there is no such value.
    pub async fn row_value(&self, request: ValueRequest) -> Result<ValueView, Failure> {
        let look = self.begin_look(&request.look_id);
        let cancel = look.cancel.clone();
        let looking = async {
            let known = self.known_backup(&request.backup_id).await?;
            self.of_some_copy(&known, |copy| {
                let (request, cancel) = (&request, &cancel);
                async move {
                    let table = self
                        .opened(&request.backup_id, &copy)
                        .await?
                        .table(&request.table)?;
                    let (place, column, stop) = (request.place, request.column, cancel.clone());
                    let reading = move || Scan::new(&table, Some(place), false)?.value(column, &stop);
                    self.reading(reading).await?.ok_or_else(|| {
                        Failure::new(
                            FailureCode::NotFound,
                            format!("There is no such value in {}.", in_words(&request.table)),
                        )
                    })
                }
            })
            .await
        };
        until(&cancel, looking).await
    }

    /// Writes a table of a backup into a file. How far it is comes as [`Event::Saving`].
    ///
    /// # Errors
    /// As [`Engine::rows`]; where the file cannot be written. No file is there or changed then.
    pub async fn save_table(&self, request: SaveTableRequest, path: PathBuf) -> Result<SavedTable, Failure> {
        let look = self.begin_look(&request.look_id);
        let cancel = look.cancel.clone();
        let known = self.known_backup(&request.backup_id).await?;
        let saving = self.of_some_copy(&known, |copy| {
            let (request, path, cancel) = (&request, &path, &cancel);
            async move {
                let inside = Inside::open(&self.open_copy(&copy).await?, cancel).await?;
                let table = inside.table(&request.table)?;
                let saved = self.save_told(&table, request, path, cancel).await?;
                Ok(SavedTable {
                    path: path.clone(),
                    rows: table.rows(),
                    bytes: saved,
                    encoding: table.encoding().to_owned(),
                })
            }
        });
        // The engine's end waits for it, so that no half file stays.
        self.0.tasks.track_future(saving).await
    }

    /// Ends a look that is at work, where there is one of that name.
    pub fn cancel_look(&self, look_id: &str) {
        if let Some((_, cancel)) = lock(&self.0.looks.at_work).looks.get(look_id) {
            cancel.cancel();
        }
    }

    fn begin_look(&self, id: &str) -> Look<'_> {
        let cancel = self.0.ending.child_token();
        let mut at_work = lock(&self.0.looks.at_work);
        at_work.count += 1;
        let number = at_work.count;
        if let Some((_, before)) = at_work.looks.insert(id.to_owned(), (number, cancel.clone())) {
            before.cancel();
        }
        Look {
            looks: &self.0.looks,
            id: id.to_owned(),
            number,
            cancel,
        }
    }

    /// Does it with the copies that are there, until it succeeds with one. The first failure is told: it is that of the copy which is best read.
    async fn of_some_copy<T, F: Future<Output = Result<T, Failure>>>(
        &self,
        known: &Backup,
        mut act: impl FnMut(BackupCopy) -> F,
    ) -> Result<T, Failure> {
        let mut copies = Copies::of(known);
        let mut first = None;
        while let Some(copy) = copies.next() {
            match act(copy).await {
                Ok(done) => return Ok(done),
                // Another copy would say the same.
                Err(failure) if is_of_request(&failure) => return Err(failure),
                Err(failure) => first = first.or(Some(failure)),
            }
        }
        Err(first.unwrap_or_else(|| copies.none_left()))
    }

    async fn rows_of(
        &self,
        known: &Backup,
        copy: &BackupCopy,
        request: &RowsRequest,
        cancel: &CancellationToken,
    ) -> Result<RowsPage, Failure> {
        let table = self
            .opened(&request.backup_id, copy)
            .await?
            .table(&request.table)?;
        let search = Search::new(&request.search, table.charset());
        let kept = request
            .from
            .and_then(|from| self.take_scan(&request.backup_id, copy, &request.table, from));
        let (limit, from) = (request.limit.min(MOST_ROWS) as usize, request.from);
        let (of, stop) = (table.clone(), cancel.clone());
        let reading = move || {
            let mut scan = match kept {
                Some(scan) => scan,
                None => Scan::new(&of, from, search.is_some())?,
            };
            let (rows, all_text) = scan.page(search, limit, Instant::now() + SLICE, &stop)?;
            Ok((scan, rows, all_text))
        };
        let (scan, rows, all_text) = self.reading(reading).await?;
        let page = RowsPage {
            database_name: known.database_name.clone(),
            started_at: known.started_at,
            columns: table.columns().to_vec(),
            rows,
            total_rows: table.rows(),
            raw_bytes: table.raw_bytes(),
            looked_at: scan.looked_at(),
            next: scan.place(),
            encoding: table.encoding().to_owned(),
            all_text,
        };
        self.keep_scan(&request.backup_id, copy, &request.table, scan);
        Ok(page)
    }

    /// Does blocking work that the engine's end waits for.
    async fn reading<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let thread = self.0.tasks.spawn_blocking(work);
        thread
            .await
            .map_err(|error| internal("Reading the backup's rows died.", &error))?
    }

    /// A copy that is open to be looked into.
    async fn opened(&self, id: &BackupId, copy: &BackupCopy) -> Result<Inside, Failure> {
        let key = key_of(copy);
        let known = {
            let mut opened = lock(&self.0.looks.opened);
            opened
                .iter_mut()
                .find(|opened| opened.backup == *id && opened.copy == key)
                .map(|opened| {
                    opened.used = Instant::now();
                    opened.inside.clone()
                })
        };
        if let Some(inside) = known {
            return Ok(inside);
        }
        // It outlives the look that it is opened for, so that only the engine's end ends its reads; whoever looks stops waiting.
        let stored = self.open_copy(copy).await?;
        let inside = Inside::open(&stored, &self.0.ending.child_token()).await?;
        {
            let mut opened = lock(&self.0.looks.opened);
            opened.retain(|other| other.backup != *id || other.copy != key);
            while opened.len() >= KEPT {
                opened.remove(0);
            }
            opened.push(Opened {
                backup: id.clone(),
                copy: key,
                inside: inside.clone(),
                scan: None,
                used: Instant::now(),
            });
        }
        let engine = self.clone();
        self.spawn(async move { engine.forget_looks().await });
        Ok(inside)
    }

    /// Closes what nobody looked into for a while; ends when nothing is open.
    async fn forget_looks(self) {
        loop {
            tokio::select! {
                () = self.0.ending.cancelled() => return,
                () = tokio::time::sleep(KEPT_FOR / 2) => {}
            }
            let mut opened = lock(&self.0.looks.opened);
            opened.retain(|opened| opened.used.elapsed() < KEPT_FOR);
            if opened.is_empty() {
                return;
            }
        }
    }

    fn take_scan(&self, id: &BackupId, copy: &BackupCopy, table: &TableName, at: RowPlace) -> Option<Scan> {
        let key = key_of(copy);
        let mut opened = lock(&self.0.looks.opened);
        let opened = opened
            .iter_mut()
            .find(|opened| opened.backup == *id && opened.copy == key)?;
        let stands_there = |(of, place, _): &(TableName, RowPlace, Scan)| of == table && *place == at;
        if !opened.scan.as_ref().is_some_and(stands_there) {
            return None;
        }
        opened.scan.take().map(|(_, _, scan)| scan)
    }

    fn keep_scan(&self, id: &BackupId, copy: &BackupCopy, table: &TableName, scan: Scan) {
        let key = key_of(copy);
        let mut opened = lock(&self.0.looks.opened);
        let opened = opened
            .iter_mut()
            .find(|opened| opened.backup == *id && opened.copy == key);
        if let Some(opened) = opened {
            opened.scan = scan.place().map(|place| (table.clone(), place, scan));
        }
    }

    /// Saves, and tells how far it is. Answers the file's length.
    async fn save_told(
        &self,
        table: &Table,
        request: &SaveTableRequest,
        path: &std::path::Path,
        cancel: &CancellationToken,
    ) -> Result<u64, Failure> {
        let meter = SaveMeter::default();
        let saving = save(
            table,
            request.format,
            Target::File(path.to_owned()),
            &meter,
            cancel,
        );
        let mut saving = std::pin::pin!(saving);
        let mut ticks = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                biased;
                saved = &mut saving => return saved.map(|saved| saved.bytes),
                _ = ticks.tick() => self.0.events.send(Event::Saving {
                    look_id: request.look_id.clone(),
                    bytes: meter.read(),
                    of: table.raw_bytes(),
                }),
            }
        }
    }
}

/// Whether a failure is about what was asked, and not about the copy that was read.
fn is_of_request(failure: &Failure) -> bool {
    matches!(
        failure.code,
        FailureCode::Cancelled | FailureCode::NotFound | FailureCode::InvalidInput | FailureCode::DiskFull
    )
}

fn key_of(copy: &BackupCopy) -> String {
    format!("{}\n{}", copy.destination_id, copy.path)
}

async fn until<T>(
    cancel: &CancellationToken,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(cancelled()),
        done = work => done,
    }
}
