//! Tables' rows over several connections: each table by its own COPY statement, large ones in parts, largest first.

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::SinkExt as _;
use howdah_archive::entry::{CopyRows, starts};
use howdah_archive::source::RangeSource;
use howdah_archive::{Entry, Index};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_postgres::error::SqlState;
use tokio_util::sync::CancellationToken;

use super::SharedOnLine;
use crate::connect::Session;
use crate::contents::{Contents, Item, reading};
use crate::restore::{Progress, Restore, joined};
use crate::stderr::Severity;
use crate::verdict::RestoreError;
use crate::{Error, classify, quote};

/// A table of which more than twice this many raw bytes are to be restored may be divided among connections.
const PART: u64 = 64 << 20;

impl Restore {
    /// The entries whose rows need not go through the write-ahead log (`wal_level = minimal`, as in a local instance while it is
    /// loaded): for that a table is emptied in the transaction that fills it, as `pg_restore --jobs` does it. Only a table that this
    /// restore made: one that an extension made may have come with rows.
    pub(super) async fn without_log(
        &self,
        contents: &Contents,
        index: &Index,
        wanted: impl Fn(i32) -> bool,
        cancel: &CancellationToken,
    ) -> Result<HashSet<i32>, Error> {
        if !self.options.create {
            return Ok(HashSet::new());
        }
        let session = self.session(cancel).await?;
        let rows = session
            .ask("asking for wal_level", cancel, "SHOW wal_level", &[])
            .await?;
        if rows.first().is_some_and(|row| row.get::<_, &str>(0) == "minimal") {
            // Rows that are loaded by way of a partitioned table's root.
            let elsewhere = index
                .tables()
                .filter(|entry| entry.copied_into.is_some())
                .map(|entry| entry.dump_id)
                .collect();
            return Ok(of_made_tables(&contents.items, &elsewhere, wanted));
        }
        Ok(HashSet::new())
    }

    /// All tables' rows, over `jobs` connections.
    pub(super) async fn rows<S>(
        &self,
        work: Work<S>,
        jobs: usize,
        cancel: &CancellationToken,
    ) -> Result<Vec<RestoreError>, Error>
    where
        S: RangeSource + Clone + Send + Sync + 'static,
    {
        let count = work.queue.lock().unwrap_or_else(PoisonError::into_inner).len();
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
}

/// What the connections work on together.
#[derive(Clone)]
pub(super) struct Work<S> {
    source: S,
    index: Arc<Index>,
    /// The statement that loads an entry, by its dump id.
    copies: Arc<HashMap<i32, String>>,
    /// Largest last.
    queue: Arc<Mutex<Vec<Part>>>,
    /// How many parts of a table are not in yet.
    left: Arc<Mutex<HashMap<i32, usize>>>,
    /// See [`Restore::without_log`].
    without_log: Arc<HashSet<i32>>,
    progress: Progress,
    on_line: SharedOnLine,
}

impl<S> Work<S> {
    /// The rows of the wanted entries of `index`, divided for `jobs` connections; `copies` has the statement of each.
    #[allow(clippy::too_many_arguments, reason = "what the connections share, each named")]
    pub(super) fn new(
        source: S,
        index: &Index,
        copies: HashMap<i32, String>,
        jobs: usize,
        wanted: impl Fn(i32) -> bool,
        without_log: HashSet<i32>,
        progress: Progress,
        on_line: SharedOnLine,
    ) -> Self {
        let queue = parts(index, jobs, &without_log, wanted);
        let mut left = HashMap::new();
        for part in &queue {
            *left.entry(part.dump_id).or_insert(0) += 1;
        }
        Self {
            source,
            index: Arc::new(index.clone()),
            copies: Arc::new(copies),
            queue: Arc::new(Mutex::new(queue)),
            left: Arc::new(Mutex::new(left)),
            without_log: Arc::new(without_log),
            progress,
            on_line,
        }
    }
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

/// The entries whose rows go into tables that the archive itself makes, without those whose rows go `elsewhere`.
fn of_made_tables(items: &[Item], elsewhere: &HashSet<i32>, wanted: impl Fn(i32) -> bool) -> HashSet<i32> {
    let made: HashSet<i32> = items
        .iter()
        .filter(|item| item.kind == "TABLE" && wanted(item.dump_id))
        .map(|item| item.dump_id)
        .collect();
    items
        .iter()
        .filter(|item| item.kind == Entry::TABLE_DATA && !elsewhere.contains(&item.dump_id))
        .filter(|item| item.dependencies.iter().any(|id| made.contains(id)))
        .map(|item| item.dump_id)
        .collect()
}

/// The tables' rows in parts, the largest last. Only a table that is whole can do without the log, so one of those is divided only where
/// the other connections would wait for it.
fn parts(index: &Index, jobs: usize, without_log: &HashSet<i32>, wanted: impl Fn(i32) -> bool) -> Vec<Part> {
    let total: u64 = index.tables().map(|entry| entry.raw_len).sum();
    let part = PART.max(total / (jobs as u64 * 8).max(1));
    // A connection's share, and what writing a table's log would take besides.
    let share = total / jobs.max(1) as u64 / 5 * 6;
    let whole_below = |dump_id: i32| match without_log.contains(&dump_id) {
        true => (2 * part).max(share),
        false => 2 * part,
    };
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
        if entry.raw_len < whole_below(entry.dump_id) {
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
                if restore.options.exit_on_error {
                    // The others find nothing left to do when they have what they are at.
                    work.queue.lock().unwrap_or_else(PoisonError::into_inner).clear();
                    return Ok(errors);
                }
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
        // A server without room has none for the other tables either.
        let is_full = error.code() == Some(&SqlState::DISK_FULL);
        if error.as_db_error().is_none() || error.is_closed() || is_full {
            return Err(Error::query(format!("restoring {label}"), error));
        }
        Ok(Some(RestoreError {
            object: label.clone(),
            error: classify::server_text(&error),
            command: Some(statement.to_owned()),
        }))
    };
    let without_log = part.range.is_none() && work.without_log.contains(&part.dump_id);
    let emptied = emptied_first(statement, &entry.schema, &entry.name).filter(|_| without_log);
    let (sender, mut pieces) = mpsc::channel::<std::io::Result<Bytes>>(4);
    let (source, index, entry) = (work.source.clone(), Arc::clone(&work.index), entry.clone());
    let reader = tokio::task::spawn_blocking(move || {
        let rows = match part.range {
            None => CopyRows::new(source, &index, &entry),
            Some((start, end)) => CopyRows::part(source, &index, &entry, start, end),
        };
        read_pieces(rows, &sender);
    });
    let statement = match &emptied {
        Some(emptied) => {
            if let Err(error) = session.client.batch_execute(&emptied.begin).await {
                return refused(error);
            }
            emptied.copy.as_str()
        }
        None => statement,
    };
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
    if let Err(error) = sink.as_mut().finish().await {
        return refused(error);
    }
    if emptied.is_some()
        && let Err(error) = session.client.batch_execute("COMMIT").await
    {
        return refused(error);
    }
    Ok(None)
}

/// How a table is filled in the transaction that empties it.
#[derive(Debug, PartialEq, Eq)]
struct Emptied {
    begin: String,
    /// The COPY statement; its rows are frozen, so that whoever reads them first need not write.
    copy: String,
}

fn emptied_first(statement: &str, schema: &str, name: &str) -> Option<Emptied> {
    Some(Emptied {
        begin: format!("BEGIN; TRUNCATE TABLE ONLY {}", quote::qualified(schema, name)),
        copy: format!("{}, FREEZE)", statement.strip_suffix(')')?),
    })
}

fn read_pieces<S: RangeSource>(mut rows: CopyRows<S>, sender: &mpsc::Sender<std::io::Result<Bytes>>) {
    while let Some(piece) = rows.next_piece().transpose() {
        let is_last = piece.is_err();
        if sender.blocking_send(piece.map(Bytes::from)).is_err() || is_last {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use howdah_archive::Frame;
    use howdah_archive::fingerprint::Fingerprint;

    use super::*;

    #[test]
    fn a_table_that_an_extension_made_or_that_was_not_chosen_is_not_emptied() {
        let items = [
            Item::of_test(1, "TABLE", "t", &[]),
            Item::of_test(2, "TABLE", "t", &[]),
            Item::of_test(3, "EXTENSION", "t", &[]),
            Item::of_test(4, "TABLE", "t", &[]),
            Item::of_test(11, Entry::TABLE_DATA, "t", &[1]),
            Item::of_test(12, Entry::TABLE_DATA, "t", &[2]),
            // What an extension declares as its users' (pg_extension_config_dump); its own rows are there already.
            Item::of_test(13, Entry::TABLE_DATA, "t", &[3]),
            Item::of_test(14, Entry::TABLE_DATA, "t", &[4]),
        ];
        let made = of_made_tables(&items, &HashSet::from([14]), |id| id != 2);
        assert_eq!(made, HashSet::from([11]));
    }

    /// An index of two tables of so many raw bytes, in frames of one megabyte.
    fn two_tables(first: u64, second: u64) -> Index {
        let entry = |dump_id, raw_offset, raw_len| Entry {
            dump_id,
            kind: Entry::TABLE_DATA.to_owned(),
            schema: "public".to_owned(),
            name: "t".to_owned(),
            columns: Vec::new(),
            copied_into: None,
            raw_offset,
            raw_len,
            data_len: raw_len,
            rows: 1,
            fingerprint: Fingerprint::default(),
        };
        let frame = |at: u64| Frame {
            raw_offset: at << 20,
            raw_len: 1 << 20,
            stored_offset: at,
            stored_len: 1,
            flags: 0,
        };
        Index {
            frames: (0..(first + second) >> 20).map(frame).collect(),
            entries: vec![entry(1, 0, first), entry(2, first, second)],
            ..Index::default()
        }
    }

    #[test]
    fn a_table_is_divided_where_its_log_costs_less_than_waiting_for_it() {
        let parts_of = |largest: u64, without_log: bool| {
            let index = two_tables(largest << 20, (1000 - largest) << 20);
            let without_log = HashSet::from_iter(without_log.then_some([1, 2]).into_iter().flatten());
            let parts = parts(&index, 2, &without_log, |_| true);
            assert_eq!(parts.iter().map(|part| part.raw_len).sum::<u64>(), 1000 << 20);
            parts.iter().filter(|part| part.dump_id == 1).count()
        };
        assert_eq!(parts_of(550, true), 1);
        assert!(parts_of(800, true) >= 4);
        assert!(parts_of(550, false) >= 4);
    }

    #[test]
    fn a_table_is_emptied_and_filled_with_frozen_rows() {
        let copy = "COPY public.\"My t\" (a, b) FROM stdin WITH (ENCODING 'UTF8')";
        let emptied = emptied_first(copy, "public", "My t").unwrap();
        assert_eq!(emptied.begin, "BEGIN; TRUNCATE TABLE ONLY \"public\".\"My t\"");
        assert_eq!(
            emptied.copy,
            "COPY public.\"My t\" (a, b) FROM stdin WITH (ENCODING 'UTF8', FREEZE)"
        );
    }
}
