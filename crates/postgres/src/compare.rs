//! A restored database against the index of the backup it came from: fingerprints recomputed on the server.
//!
//! Each table is read by `COPY … TO STDOUT` with the columns that the archive names, in a session set as pg_dump's was, so
//! that equal values are equal bytes. Definitions are not compared here, and the source is never asked: it has moved on.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt as _;
use howdah_archive::{Entry, Fingerprint, Index, RowSum};
use howdah_domain::TableName;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::connect::Session;
use crate::{Error, quote};

mod rest;

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A table's rows.
    Table,
    /// All large objects together.
    LargeObjects,
    /// A sequence's value.
    Sequence,
}

/// Something that is not as the backup has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// What it is.
    pub kind: Kind,
    /// Its schema; empty for large objects.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Rows (large objects; 1 for a sequence) in the backup.
    pub expected_rows: u64,
    /// The same found on the server; none where it could not be read.
    pub found_rows: Option<u64>,
    /// The backup's fingerprint, or a sequence's value, as text.
    pub expected: String,
    /// What was found instead.
    pub found: Option<String>,
    /// Why it could not be read, where it could not.
    pub why: Option<String>,
}

/// One thing compared: told as the comparison goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// The table, or what else.
    pub name: TableName,
    /// Rows read for it.
    pub rows: u64,
    /// Bytes read for it.
    pub bytes: u64,
    /// Whether it is as the backup has it.
    pub equal: bool,
    /// Tables compared so far, this one included.
    pub done: u64,
    /// Tables in all.
    pub total: u64,
}

/// What a comparison found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Comparison {
    /// What differs, by kind, schema and name. Empty means equal.
    pub mismatches: Vec<Mismatch>,
    /// Tables compared, each partition counted.
    pub tables: u64,
    /// Their rows, as found.
    pub rows: u64,
    /// What could be compared only in part, as sentences.
    pub remarks: Vec<String>,
}

/// Compares the database that `sessions` are connected to (all of them to the same) with `index`, as many tables at a
/// time as there are sessions. `on_table` is told after each.
///
/// A table that is missing or cannot be read is a mismatch, not an error.
///
/// # Errors
/// [`Error::Query`] where a connection breaks; [`Error::Cancelled`], after which the sessions are closed.
pub async fn compare(
    sessions: Vec<Session>,
    index: &Index,
    mut on_table: impl FnMut(&Compared),
    cancel: &CancellationToken,
) -> Result<Comparison, Error> {
    let Some(first) = sessions.first() else {
        return Err(Error::new(
            howdah_domain::FailureCode::Internal,
            "A comparison needs at least one session.",
        ));
    };
    let conditions = cancelled_or(cancel, extension_conditions(first)).await?;
    let (jobs, mut remarks) = jobs(index, &conditions);
    let total = jobs.iter().map(|job| job.copies.len() as u64).sum();
    let queue = Arc::new(Mutex::new(jobs));
    let (sender, mut results) = tokio::sync::mpsc::channel::<Done>(16);
    let settings = Arc::new(index.settings.clone());
    let mut workers = JoinSet::new();
    for session in sessions {
        let (queue, sender, settings) = (Arc::clone(&queue), sender.clone(), Arc::clone(&settings));
        workers.spawn(async move {
            let refused = prepare(&session, &settings).await?;
            loop {
                let job = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                let Some(job) = job else { break };
                if sender.send(run(&session, job).await?).await.is_err() {
                    break;
                }
            }
            Ok::<(Session, Vec<String>), Error>((session, refused))
        });
    }
    drop(sender);
    let mut comparison = Comparison::default();
    // Dropping the workers (on an error too) aborts them and closes their sessions.
    let mut listening = true;
    let mut session = None;
    while listening || !workers.is_empty() {
        tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(Error::Cancelled),
            done = results.recv(), if listening => match done {
                Some(done) => {
                    comparison.tables += done.tables;
                    comparison.rows += done.rows;
                    on_table(&Compared {
                        name: done.name,
                        rows: done.rows,
                        bytes: done.bytes,
                        equal: done.mismatches.is_empty(),
                        done: comparison.tables,
                        total,
                    });
                    comparison.mismatches.extend(done.mismatches);
                }
                None => listening = false,
            },
            ended = workers.join_next(), if !workers.is_empty() => match ended {
                Some(Ok(Ok((free, refused)))) => {
                    session = Some(free);
                    remarks.extend(refused);
                }
                Some(Ok(Err(error))) => return Err(error),
                Some(Err(panic)) => return Err(Error::io("comparing", std::io::Error::other(panic))),
                None => {}
            },
        }
    }
    if let Some(session) = session {
        let rest = async {
            let mut rest = rest::sequences(&session, index).await?;
            rest.extend(rest::large_objects(&session, index).await?);
            Ok(rest)
        };
        comparison.mismatches.extend(cancelled_or(cancel, rest).await?);
    }
    comparison
        .mismatches
        .sort_by(|a, b| (a.kind, &a.schema, &a.name).cmp(&(b.kind, &b.schema, &b.name)));
    remarks.sort();
    remarks.dedup();
    comparison.remarks = remarks;
    Ok(comparison)
}

async fn cancelled_or<T>(
    cancel: &CancellationToken,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Error::Cancelled),
        done = work => done,
    }
}

/// One comparison: a table, or the partitions whose rows went in through their root together.
struct Job {
    name: TableName,
    /// What to read.
    copies: Vec<Copy>,
    expected_rows: u64,
    expected: Fingerprint,
    /// Whether the fingerprints mean anything, or only the rows' number.
    only_count: bool,
}

struct Copy {
    statement: String,
}

struct Done {
    name: TableName,
    tables: u64,
    rows: u64,
    bytes: u64,
    mismatches: Vec<Mismatch>,
}

/// The jobs of an index, the largest first, and what cannot be compared whole.
fn jobs(index: &Index, conditions: &HashMap<TableName, String>) -> (VecDeque<Job>, Vec<String>) {
    let encoding = index.settings.get("encoding").map(String::as_str);
    let mut remarks = Vec::new();
    let mut single = Vec::new();
    let mut groups: BTreeMap<TableName, Vec<&Entry>> = BTreeMap::new();
    for entry in index.tables() {
        match &entry.copied_into {
            Some(root) => groups.entry(root.clone()).or_default().push(entry),
            None => single.push(entry),
        }
    }
    let mut jobs: Vec<(u64, Job)> = single
        .into_iter()
        .map(|entry| {
            let name = entry.table_name();
            let condition = conditions.get(&name).map(String::as_str);
            let statement = copy_statement(&name, &entry.columns, condition, encoding);
            let job = Job {
                name,
                copies: vec![Copy { statement }],
                expected_rows: entry.rows,
                expected: entry.fingerprint,
                only_count: false,
            };
            (entry.raw_len, job)
        })
        .collect();
    for (root, entries) in groups {
        // Rows may have moved to another partition, so only the sum over all is the same on both sides, and only if
        // every partition writes its columns in the same order.
        let columns = &entries[0].columns;
        let only_count = entries.iter().any(|entry| entry.columns != *columns);
        if only_count {
            remarks.push(format!(
                "The partitions of {}.{} have their columns in different orders and were loaded through it: only the number of rows was compared.",
                root.schema, root.name
            ));
        }
        let copies = entries
            .iter()
            .map(|entry| Copy {
                statement: copy_statement(&entry.table_name(), columns, None, encoding),
            })
            .collect();
        let job = Job {
            name: root,
            copies,
            expected_rows: entries.iter().map(|entry| entry.rows).sum(),
            expected: entries.iter().map(|entry| entry.fingerprint).sum(),
            only_count,
        };
        jobs.push((entries.iter().map(|entry| entry.raw_len).sum(), job));
    }
    jobs.sort_by_key(|(raw_len, _)| std::cmp::Reverse(*raw_len));
    (jobs.into_iter().map(|(_, job)| job).collect(), remarks)
}

/// The statement that reads a table as pg_dump did. The encoding is COPY's own option: the session's stays UTF8, which
/// the driver needs.
fn copy_statement(
    table: &TableName,
    columns: &[String],
    condition: Option<&str>,
    encoding: Option<&str>,
) -> String {
    let name = quote::qualified(&table.schema, &table.name);
    let list = quote::idents(columns);
    let options = encoding.map_or_else(String::new, |encoding| {
        format!(" WITH (ENCODING {})", quote::literal(encoding))
    });
    match condition {
        Some(condition) => format!("COPY (SELECT {list} FROM ONLY {name} {condition}) TO STDOUT{options}"),
        None if columns.is_empty() => format!("COPY {name} TO STDOUT{options}"),
        None => format!("COPY {name} ({list}) TO STDOUT{options}"),
    }
}

/// Which rows of an extension's configuration tables are dumped (`pg_extension.extcondition`).
async fn extension_conditions(session: &Session) -> Result<HashMap<TableName, String>, Error> {
    let rows = session
        .client
        .query_typed(
            "SELECT n.nspname::text, c.relname::text, config.condition
             FROM pg_catalog.pg_extension e,
                  unnest(e.extconfig, e.extcondition) AS config(oid, condition)
             JOIN pg_catalog.pg_class c ON c.oid = config.oid
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             WHERE config.condition <> ''",
            &[],
        )
        .await
        .map_err(|error| Error::query("reading the extensions' configuration tables", error))?;
    Ok(rows
        .iter()
        .map(|row| {
            let name = TableName {
                schema: row.get(0),
                name: row.get(1),
            };
            (name, row.get(2))
        })
        .collect())
}

/// Sets the session as pg_dump sets its own (`setup_connection`), and as the index says that the dump's was; says what
/// the server refuses of the latter.
async fn prepare(session: &Session, settings: &BTreeMap<String, String>) -> Result<Vec<String>, Error> {
    const WHAT: &str = "preparing a session for the comparison";
    session
        .client
        .batch_execute(
            "SET search_path = '';
             SET DateStyle = 'ISO';
             SET IntervalStyle = 'postgres';
             SET extra_float_digits = 3;
             SET quote_all_identifiers = off;
             SET row_security = off;
             SET statement_timeout = 0;
             SET lock_timeout = 0;
             SET idle_in_transaction_session_timeout = 0;
             SET TimeZone = 'UTC';
             SET bytea_output = 'hex';",
        )
        .await
        .map_err(|error| Error::query(WHAT, error))?;
    let mut refused = Vec::new();
    for name in [
        "TimeZone",
        "bytea_output",
        "lc_monetary",
        "lc_numeric",
        "xmlbinary",
    ] {
        let Some(value) = settings.get(name) else { continue };
        let set = format!("SET {name} = {}", quote::literal(value));
        match session.client.batch_execute(&set).await {
            Ok(()) => {}
            Err(error) if error.as_db_error().is_some() => refused.push(format!(
                "This server does not take the setting {name} = {value} that the dump was taken with; values that depend on it print differently."
            )),
            Err(error) => return Err(Error::query(WHAT, error)),
        }
    }
    Ok(refused)
}

async fn run(session: &Session, job: Job) -> Result<Done, Error> {
    let mut sum = RowSum::new();
    let (mut bytes, mut why) = (0, None);
    for copy in &job.copies {
        if let Err(error) = read(session, &copy.statement, &mut sum, &mut bytes).await {
            if error.as_db_error().is_none() || error.is_closed() {
                return Err(Error::query(
                    format!("reading {}.{}", job.name.schema, job.name.name),
                    error,
                ));
            }
            why = Some(crate::classify::server_text(&error));
            break;
        }
    }
    let (rows, fingerprint) = sum.finish();
    let equal = rows == job.expected_rows && (job.only_count || fingerprint == job.expected);
    let mismatches = if equal && why.is_none() {
        Vec::new()
    } else {
        vec![Mismatch {
            kind: Kind::Table,
            schema: job.name.schema.clone(),
            name: job.name.name.clone(),
            expected_rows: job.expected_rows,
            found_rows: why.is_none().then_some(rows),
            expected: job.expected.to_string(),
            found: why.is_none().then(|| fingerprint.to_string()),
            why,
        }]
    };
    Ok(Done {
        tables: job.copies.len() as u64,
        name: job.name,
        rows,
        bytes,
        mismatches,
    })
}

async fn read(
    session: &Session,
    statement: &str,
    sum: &mut RowSum,
    bytes: &mut u64,
) -> Result<(), tokio_postgres::Error> {
    let mut stream = pin!(session.client.copy_out(statement).await?);
    while let Some(piece) = stream.next().await {
        let piece = piece?;
        *bytes += piece.len() as u64;
        sum.push(&piece);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, columns: &[&str], root: Option<&str>, rows: u64) -> Entry {
        Entry {
            dump_id: 1,
            kind: Entry::TABLE_DATA.to_owned(),
            schema: "s".to_owned(),
            name: name.to_owned(),
            columns: columns.iter().map(|column| (*column).to_owned()).collect(),
            copied_into: root.map(|root| TableName {
                schema: "s".into(),
                name: root.into(),
            }),
            raw_offset: 0,
            raw_len: rows,
            data_len: rows,
            rows,
            fingerprint: Fingerprint::EMPTY,
        }
    }

    #[test]
    fn a_table_is_read_as_the_archive_names_it() {
        let table = TableName {
            schema: "My s".into(),
            name: "t\"".into(),
        };
        assert_eq!(
            copy_statement(&table, &["a".into(), "B".into()], None, Some("WIN1252")),
            r#"COPY "My s"."t""" ("a", "B") TO STDOUT WITH (ENCODING 'WIN1252')"#
        );
        assert_eq!(
            copy_statement(&table, &[], None, None),
            r#"COPY "My s"."t""" TO STDOUT"#
        );
        assert_eq!(
            copy_statement(&table, &["a".into()], Some("WHERE a > 9"), None),
            r#"COPY (SELECT "a" FROM ONLY "My s"."t""" WHERE a > 9) TO STDOUT"#
        );
    }

    #[test]
    fn partitions_loaded_through_their_root_are_one_job_and_the_largest_comes_first() {
        let index = Index {
            entries: vec![
                entry("plain", &["a"], None, 10),
                entry("p1", &["a"], Some("root"), 20),
                entry("p2", &["a"], Some("root"), 30),
                entry("q1", &["a", "b"], Some("mixed"), 1),
                entry("q2", &["b", "a"], Some("mixed"), 1),
            ],
            ..Index::default()
        };
        let (jobs, remarks) = jobs(&index, &HashMap::new());
        let names: Vec<_> = jobs
            .iter()
            .map(|job| {
                (
                    job.name.name.as_str(),
                    job.expected_rows,
                    job.copies.len(),
                    job.only_count,
                )
            })
            .collect();
        assert_eq!(
            names,
            [
                ("root", 50, 2, false),
                ("plain", 10, 1, false),
                ("mixed", 2, 2, true)
            ]
        );
        assert_eq!(remarks.len(), 1);
    }
}
