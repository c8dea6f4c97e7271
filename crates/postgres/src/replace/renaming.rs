//! One transaction of renamings, tried again until nobody is in the way: the session that renames, and the usher who ends the
//! sessions of others while it waits.

use std::time::{Duration, Instant};

use howdah_domain::{Failure, FailureCode};
use tokio_util::sync::CancellationToken;

use super::{Place, Record, place};
use crate::connect::Session;
use crate::visitors::{Visitor, end_all, listing, visitors};
use crate::{Error, classify, words};

/// Between two looks at who is on the databases.
const ROUND: Duration = Duration::from_millis(100);

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(300);

/// How long an attempt may take; the server's own limits are shorter.
const ANSWER: Duration = Duration::from_secs(120);

/// How long the transaction's end may take to be told.
const COMMIT: Duration = Duration::from_secs(60);

/// What one attempt came to.
enum Attempt {
    /// All is renamed and the transaction is open.
    Ready,
    /// Somebody is in the way; the transaction is undone.
    InTheWay(tokio_postgres::Error),
}

/// Runs `steps` in one transaction. An error means that nothing has changed, but [`FailureCode::ConnectionLost`].
pub(super) async fn carry_out(
    session: Session,
    usher: &Session,
    record: &Record,
    steps: &[String],
    patience: Duration,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    let pid = session
        .run(
            "asking for the session's number",
            COMMIT,
            cancel,
            session
                .client
                .query_typed("SELECT pg_catalog.pg_backend_pid()", &[]),
        )
        .await?
        .first()
        .map_or(0, |row| row.get::<_, i32>(0));
    let databases = [record.old.oid, record.new.oid];
    let until = Instant::now() + patience;
    loop {
        let attempt = tokio::select! {
            biased;
            () = cancel.cancelled() => Err(Error::Cancelled),
            attempt = attempt(&session, steps) => attempt,
            never = show_out(usher, &databases) => never,
            () = tokio::time::sleep(ANSWER) => Err(words::statement(FailureCode::Timeout, "renaming the databases").into()),
        };
        match attempt {
            Ok(Attempt::Ready) => return commit(session, usher, pid).await,
            Ok(Attempt::InTheWay(_)) if Instant::now() < until => {}
            Ok(Attempt::InTheWay(error)) => return Err(in_the_way(usher, record, &error, cancel).await),
            Err(error) => {
                // COMMIT has not been said: with its session the transaction goes. The usher sees to it at once, or others would
                // wait for the lock until the server notices that we are gone.
                end(usher, pid).await;
                return Err(error);
            }
        }
        tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(Error::Cancelled),
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// Begins the transaction and renames. The limits are this transaction's own: a short wait for a lock, since others who want to
/// connect queue up behind us.
async fn attempt(session: &Session, steps: &[String]) -> Result<Attempt, Error> {
    let client = &session.client;
    client
        .batch_execute(
            "BEGIN; SET LOCAL lock_timeout = '2s'; SET LOCAL statement_timeout = '30s';
             SET LOCAL idle_in_transaction_session_timeout = 0",
        )
        .await
        .map_err(|error| Error::query("beginning the swap", error))?;
    for step in steps {
        let Err(error) = client.batch_execute(step).await else {
            continue;
        };
        let state = error.as_db_error().map(|db| db.code().code().to_owned());
        // In use; no lock in time; deadlock; out of time.
        if !matches!(state.as_deref(), Some("55006" | "55P03" | "40P01" | "57014")) {
            return Err(refused(error));
        }
        client
            .batch_execute("ROLLBACK")
            .await
            .map_err(|error| Error::query("taking back the swap", error))?;
        return Ok(Attempt::InTheWay(error));
    }
    Ok(Attempt::Ready)
}

/// Ends the sessions of others as long as it is polled. A usher who fails is one who does not help: the renaming then says who stays.
async fn show_out<T>(usher: &Session, databases: &[u32]) -> T {
    let never = CancellationToken::new();
    loop {
        if let Err(error) = end_all(usher, databases, &never).await {
            tracing::warn!(%error, "sessions on a database that is to be renamed could not be ended");
        }
        tokio::time::sleep(ROUND).await;
    }
}

/// Says COMMIT, which nothing cancels any more. Where its answer is lost, the usher waits until the session is gone: then it is decided.
async fn commit(session: Session, usher: &Session, pid: i32) -> Result<(), Error> {
    let said = tokio::time::timeout(COMMIT, session.client.batch_execute("COMMIT")).await;
    if let Ok(Ok(())) = said {
        return Ok(());
    }
    drop(session);
    let since = Instant::now();
    while since.elapsed() < COMMIT {
        let query = format!("SELECT 1 FROM pg_catalog.pg_stat_activity WHERE pid = {pid}");
        let gone = usher
            .ask(
                "waiting for the swap's end",
                &CancellationToken::new(),
                &query,
                &[],
            )
            .await;
        match gone {
            // What became of it is what the caller looks at next.
            Ok(rows) if rows.is_empty() => return Ok(()),
            Ok(_) => end(usher, pid).await,
            Err(_) => break,
        }
        tokio::time::sleep(ROUND).await;
    }
    Err(undecided(String::new()))
}

/// What holds after the transaction's end. Nothing cancels this any more: who is told *cancelled* believes that nothing has changed.
pub(super) async fn outcome(usher: &Session, record: &Record) -> Result<Place, Error> {
    let place = place(usher, record, &CancellationToken::new()).await;
    place.map_err(|error| undecided(error.to_string()))
}

/// The transaction's end was not heard of, and it came to nothing.
pub(super) fn undone() -> Error {
    Failure::new(
        FailureCode::ConnectionLost,
        "The connection broke before the databases had their new names; nothing has changed.",
    )
    .hint("Try again.")
    .into()
}

fn undecided(details: String) -> Error {
    let failure = Failure::new(
        FailureCode::ConnectionLost,
        "The connection broke at the moment of the swap: either both databases have their new names, or neither has.",
    )
    .hint("Howdah finds out which as soon as the server can be reached.");
    if details.is_empty() {
        failure.into()
    } else {
        failure.details(details).into()
    }
}

async fn end(usher: &Session, pid: i32) {
    let query = format!("SELECT pg_catalog.pg_terminate_backend({pid})");
    let ended = usher.client.batch_execute(&query);
    let ended = tokio::time::timeout(Duration::from_secs(5), ended).await;
    if let Ok(Err(error)) = ended {
        tracing::warn!(error = %classify::server_text(&error), "the session that renames could not be ended");
    }
}

/// Why nobody could be made way for.
async fn in_the_way(
    usher: &Session,
    record: &Record,
    error: &tokio_postgres::Error,
    cancel: &CancellationToken,
) -> Error {
    let name = &record.name;
    let text = classify::server_text(error);
    let there = match visitors(usher, &[record.old.oid, record.new.oid], cancel).await {
        Ok(there) => there,
        Err(error) => return error,
    };
    let (mine, others): (Vec<Visitor>, Vec<Visitor>) = there.into_iter().partition(|visitor| visitor.may_end);
    if !others.is_empty() {
        return Failure::new(
            FailureCode::PermissionDenied,
            format!(
                "Database {name} was not swapped: sessions are on it that this role may not end: {}.",
                listing(&others)
            ),
        )
        .hint("Stop what is connected, or let a superuser run: GRANT pg_signal_backend TO the role (a superuser's sessions only a superuser ends).")
        .details(text)
        .into();
    }
    if error.as_db_error().map(|db| db.code().code()) == Some("55P03") {
        return Failure::new(
            FailureCode::LockTimeout,
            format!("Database {name} was not swapped: a lock on it was not to be had in time."),
        )
        .hint("Somebody copies it (CREATE DATABASE … TEMPLATE) or changes it at this moment.")
        .details(text)
        .into();
    }
    let who = if mine.is_empty() {
        String::new()
    } else {
        format!(": {}", listing(&mine))
    };
    Failure::new(
        FailureCode::Busy,
        format!(
            "Database {name} was not swapped: others stayed on it although their sessions were ended{who}."
        ),
    )
    .hint("Stop the application for a moment, and look at pg_prepared_xacts.")
    .details(text)
    .into()
}

/// What the server says against a renaming, in words.
fn refused(error: tokio_postgres::Error) -> Error {
    let Some(db) = error.as_db_error() else {
        return Error::query("renaming the databases", error);
    };
    let failure = match db.code().code() {
        "42501" => Failure::new(
            FailureCode::PermissionDenied,
            format!("The databases were not swapped: {}.", db.message()),
        )
        .hint("To rename a database, a role must own it and have CREATEDB."),
        "3D000" | "42P04" => Failure::new(
            FailureCode::NotFound,
            format!("The databases were not swapped: {}.", db.message()),
        )
        .hint("Somebody has renamed, dropped or created one of them meanwhile. Begin again."),
        _ => return Error::query("renaming the databases", error),
    };
    failure.details(classify::server_text(&error)).into()
}
