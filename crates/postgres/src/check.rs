//! One health check: a short connection that asks one question and goes. What its answer comes to, and when it is asked again, is
//! decided in `howdah_domain::check`; whether this machine can be at fault, in [`crate::network`].
//!
//! It is cheap, since it is called up to twenty times a second: no more round trips than it takes to log in and ask, no task of its
//! own, TLS settings that are made once ([`crate::tls`]), and no more read than an answer has.
//!
//! It leaves nothing behind, also beyond a pooler in transaction mode. The simple query protocol prepares nothing. A question of the
//! user's is sent as one message with `BEGIN READ ONLY; SET LOCAL statement_timeout …` before it and `ROLLBACK` after it: one round
//! trip, nothing written, no setting kept, and ended by the server too when its time is over.

use std::pin::pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use howdah_domain::{Connection, Failure, FailureCode, Secret};
use tokio_postgres::{Client, SimpleQueryMessage};
use tokio_util::sync::CancellationToken;

use crate::connect::{self, Driver, Stage};
use crate::{Error, classify, words};

mod facts;
mod said;
mod statement;

pub use facts::{Facts, Slots, facts};
use said::{in_short, shortened};

/// The name under which a check appears in `pg_stat_activity`.
pub const APPLICATION_NAME: &str = "howdah-check";

/// The most bytes that are read over one connection, login included.
const ROOM: u64 = 1 << 20;

/// Rows that are read beyond the first, so that a short answer ends by itself and not by a broken connection.
const MORE_ROWS: usize = 16;

/// How long is waited for the end of an answer whose first row is there, for a rolled back transaction, and for a goodbye to be sent.
const PARTING: Duration = Duration::from_millis(300);

/// What a database is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Question {
    /// One statement that only reads; without it, or where it is blank, `SELECT 1`.
    pub sql: Option<String>,
    /// What the first column of the first row must be, as PostgreSQL writes it; without it any answer will do, also none.
    pub expected: Option<String>,
}

/// How long a good answer took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered {
    /// From the first step, the resolving of the name, until the login was through.
    pub connect: Duration,
    /// From then until the first row, or until the end where there is no row.
    pub answer: Duration,
}

/// How far a check has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Connecting,
    LoggingIn,
    Asking,
}

/// A step that somebody outside sees.
#[derive(Debug)]
struct Steps(AtomicU8);

impl Steps {
    fn new() -> Self {
        Self(AtomicU8::new(0))
    }

    fn at(&self, step: Step) {
        self.0.store(step as u8, Ordering::Relaxed);
    }

    fn last(&self) -> Step {
        match self.0.load(Ordering::Relaxed) {
            0 => Step::Connecting,
            1 => Step::LoggingIn,
            _ => Step::Asking,
        }
    }
}

/// Connects, asks, and goes. A connection with a tunnel must be one of an open [`crate::Reach`].
///
/// `limit` is for everything together. When it is over the connection is closed, and the server ends a question of the user's at about
/// the same time; the same holds for a cancellation, but there the server may work on until `limit` would have been over.
///
/// # Errors
/// [`Error::Failed`]: [`FailureCode::Timeout`], whose details say what was being waited for; [`FailureCode::NotEqual`] for another
/// answer than the expected one, and for a question of the user's that is answered by an error without a code of its own;
/// [`FailureCode::InvalidInput`] for a question that cannot be asked (several statements, a name that does not exist, an answer of more
/// than a megabyte); any code for reaching a server. [`Error::Cancelled`]. Texts are of a few hundred characters, details of two
/// thousand at most.
pub async fn check(
    connection: &Connection,
    password: Option<&Secret>,
    question: &Question,
    limit: Duration,
    cancel: &CancellationToken,
) -> Result<Answered, Error> {
    let sql = question.sql.as_deref().filter(|sql| !sql.trim().is_empty());
    if let Some(sql) = sql {
        statement::is_one(sql)?;
    }
    let steps = Steps::new();
    let deadline = Instant::now() + limit;
    let asked = Box::pin(asked(connection, password, sql, deadline, &steps));
    let (answered, found) = within(connection, limit, cancel, &steps, asked).await?;
    if let Some(expected) = &question.expected {
        compare(&found, expected)?;
    }
    Ok(answered)
}

/// Waits within the limit, and says where it was when it is over.
async fn within<T>(
    connection: &Connection,
    limit: Duration,
    cancel: &CancellationToken,
    steps: &Steps,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Error::Cancelled),
        outcome = work => outcome.map_err(in_short),
        () = tokio::time::sleep(limit) => Err(out_of_time(connection, steps.last(), limit).into()),
    }
}

fn out_of_time(connection: &Connection, step: Step, limit: Duration) -> Failure {
    let seconds = limit.as_secs_f32();
    let place = words::place_first(connection);
    let (failure, waited_for) = match step {
        Step::Connecting => (
            words::connecting(FailureCode::Timeout, connection),
            "no answer to the connection",
        ),
        Step::LoggingIn => (
            Failure::new(FailureCode::Timeout, format!("{place} took the connection, but the login did not go on."))
                .hint("The server is stuck or under heavy load, something else listens there, or the far end of a tunnel or load balancer is down."),
            "connected, but the login did not go on",
        ),
        Step::Asking => (
            Failure::new(FailureCode::Timeout, format!("{place} let Howdah in, but did not answer the question in time."))
                .hint("The server is busy, the question takes long or waits for a lock, or a pooler has no session of the server left."),
            "logged in, but the question was not answered",
        ),
    };
    failure.details(format!("{waited_for}, within {seconds:.1} s"))
}

/// What the first row began with.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// Its first column.
    Value(String),
    Null,
    /// There was no row, or it had no column.
    Nothing,
}

async fn asked(
    connection: &Connection,
    password: Option<&Secret>,
    sql: Option<&str>,
    deadline: Instant,
    steps: &Steps,
) -> Result<(Answered, Found), Error> {
    let begun = Instant::now();
    let (client, driver) = logged_in(connection, password, begun, steps).await?;
    let connect = begun.elapsed();
    steps.at(Step::Asking);
    let mut driver = Some(driver);
    let told = match sql {
        None => driven(&mut driver, first_row(&client, "SELECT 1")).await,
        Some(sql) => {
            // A comment at the end of the question ends with its line. The server's clock starts a moment later than ours.
            let left = deadline
                .saturating_duration_since(Instant::now())
                .as_millis()
                .max(1);
            let sql = format!("BEGIN READ ONLY; SET LOCAL statement_timeout = {left}; {sql}\n; ROLLBACK");
            driven(&mut driver, first_row(&client, &sql)).await
        }
    };
    match told {
        Ok(told) => {
            if told.is_whole {
                part(client, driver).await;
            }
            let answer = told.at.saturating_duration_since(begun).saturating_sub(connect);
            Ok((Answered { connect, answer }, told.found))
        }
        Err(error) => {
            if sql.is_some() && error.as_db_error().is_some() && driver.is_some() {
                // Else a pooler would throw its session of the server away.
                let rollback = driven(&mut driver, client.batch_execute("ROLLBACK"));
                if let Ok(Ok(())) = tokio::time::timeout(PARTING, rollback).await {
                    part(client, driver).await;
                }
            }
            Err(refused(connection, sql.is_some(), deadline, &error))
        }
    }
}

/// What was made of the question by a server that had let us in.
fn refused(connection: &Connection, is_own: bool, deadline: Instant, error: &tokio_postgres::Error) -> Error {
    if classify::is_too_much(error) {
        return Failure::new(
            FailureCode::InvalidInput,
            "The answer to the check's question is longer than 1 MB.",
        )
        .hint("Ask for one small value.")
        .into();
    }
    let code = if is_own {
        classify::question_code(error)
    } else {
        classify::query_code(error)
    };
    let place = words::place_first(connection);
    let text = classify::server_text(error);
    if code == FailureCode::Timeout && Instant::now() + PARTING >= deadline {
        // The server ended it, just before we did.
        let failure = out_of_time(connection, Step::Asking, Duration::ZERO);
        return failure
            .details(format!("logged in, but the question was not answered\n{text}"))
            .into();
    }
    let first_line = shortened(text.lines().next().unwrap_or_default(), said::LINE);
    let failure = match code {
        FailureCode::ConnectionLost => Failure::new(
            code,
            format!("{place} broke off the connection while it was asked."),
        )
        .hint("If it lasts, look into the server's log, and check what stands between."),
        FailureCode::Timeout
        | FailureCode::LockTimeout
        | FailureCode::PermissionDenied
        | FailureCode::TooManyConnections
        | FailureCode::ServerStarting
        | FailureCode::DiskFull => words::statement(code, "asking the check's question"),
        FailureCode::InvalidInput => Failure::new(
            code,
            format!("The check's question cannot be asked: {first_line}"),
        )
        .hint("Correct the check's SQL, or look into whether what it names was dropped or renamed."),
        _ => Failure::new(
            code,
            format!("The check's question was answered by an error: {first_line}"),
        )
        .hint("See the details."),
    };
    failure.details(text).into()
}

fn compare(found: &Found, expected: &str) -> Result<(), Error> {
    let found = match found {
        Found::Value(value) if value == expected => return Ok(()),
        Found::Value(value) => format!("“{}”", shortened(value, said::VALUE)),
        Found::Null => "NULL".to_owned(),
        Found::Nothing => "no row".to_owned(),
    };
    let expected = shortened(expected, said::VALUE);
    Err(Failure::new(
        FailureCode::NotEqual,
        format!("The check expected “{expected}” and found {found}."),
    )
    .hint("The database answers; what it answers is not what the check's question should give.")
    .into())
}

/// Name, socket, TLS and login.
async fn logged_in(
    connection: &Connection,
    password: Option<&Secret>,
    begun: Instant,
    steps: &Steps,
) -> Result<(Client, Driver), Error> {
    let mut on_stage = |stage| {
        if let Stage::Reached(_) = stage {
            steps.at(Step::LoggingIn);
        }
    };
    let (wire, _) = connect::reach(connection, begun, &mut on_stage).await?;
    connect::log_in(connection, password, APPLICATION_NAME, wire.limited(ROOM)).await
}

/// What came of a question.
struct Told {
    found: Found,
    /// When the first row was there.
    at: Instant,
    /// Whether all of the answer was read.
    is_whole: bool,
}

async fn first_row(client: &Client, sql: &str) -> Result<Told, tokio_postgres::Error> {
    let mut messages = pin!(client.simple_query_raw(sql).await?);
    let found = loop {
        match messages.try_next().await? {
            Some(SimpleQueryMessage::Row(row)) => {
                break if row.is_empty() {
                    Found::Nothing
                } else {
                    row.get(0)
                        .map_or(Found::Null, |value| Found::Value(value.to_owned()))
                };
            }
            Some(_) => {}
            None => {
                return Ok(Told {
                    found: Found::Nothing,
                    at: Instant::now(),
                    is_whole: true,
                });
            }
        }
    };
    let at = Instant::now();
    let rest = async {
        let mut rows = 0;
        while let Some(message) = messages.try_next().await? {
            rows += usize::from(matches!(message, SimpleQueryMessage::Row(_)));
            if rows > MORE_ROWS {
                return Ok(false);
            }
        }
        Ok::<_, tokio_postgres::Error>(true)
    };
    let is_whole = match tokio::time::timeout(PARTING, rest).await {
        // More than is read, or the connection broke: the answer was there before.
        Ok(Err(error)) if error.is_closed() => false,
        Ok(outcome) => outcome?,
        Err(_) => false,
    };
    Ok(Told { found, at, is_whole })
}

/// Waits for what is asked while the connection is worked. A connection that ends is taken away, and what it had read before still counts: the
/// server's last words say more than that it hung up.
async fn driven<T>(
    driver: &mut Option<Driver>,
    asked: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, tokio_postgres::Error> {
    let mut asked = pin!(asked);
    if let Some(working) = driver.as_mut() {
        let ended = tokio::select! {
            biased;
            ended = working => ended,
            outcome = &mut asked => return outcome,
        };
        *driver = None;
        return match (asked.await, ended) {
            (Err(error), Err(cause)) if error.is_closed() => Err(cause),
            (outcome, _) => outcome,
        };
    }
    asked.await
}

/// Says goodbye: PostgreSQL's Terminate, and then the end of the stream. No answer is waited for.
async fn part(client: Client, driver: Option<Driver>) {
    drop(client);
    if let Some(driver) = driver {
        // What goes wrong now makes the answer no worse.
        let _ = tokio::time::timeout(PARTING, driver).await;
    }
}
