//! Whether a connection pooler stands between and hands every transaction to another session of the server. pg_dump
//! cannot work so: it sets `search_path` and more for its session before its transaction begins. Tried with PgBouncer
//! 1.18 under load: applications that got the session next failed with `relation "…" does not exist`, and the dump, taken
//! in a session without those settings, named tables without their schemas. Its exit code was 0.

use std::time::Duration;

use howdah_domain::{Connection, Failure, FailureCode, Secret};
use tokio_postgres::SimpleQueryMessage;
use tokio_util::sync::CancellationToken;

use crate::connect::{APPLICATION_NAME, Session, connect};
use crate::{Error, words};

/// Finds out by asking two sessions which process of the server serves them: one that holds a transaction has its process
/// to itself, so that the other, were it in session mode, could not be served by the same, nor be moved to a third.
/// Leaves nothing behind. A pooler that happens to move nobody in this moment is not noticed; `None` says that
/// nothing could be found out (no second connection to be had).
///
/// # Errors
/// [`Error::Cancelled`]; other failures are no finding.
pub async fn shares_sessions(
    session: &Session,
    connection: &Connection,
    password: Option<&Secret>,
    timeout: Duration,
    cancel: &CancellationToken,
) -> Result<Option<bool>, Error> {
    let question = async {
        let sql_alone = "SELECT pg_catalog.pg_backend_pid()";
        let before = process(session, sql_alone, timeout, cancel).await?;
        let other = connect(connection, password, APPLICATION_NAME, timeout, cancel).await?;
        let sql = "BEGIN; SELECT pg_catalog.pg_backend_pid()";
        let held = process(&other, sql, timeout, cancel).await?;
        let mut moved = held == before;
        // Behind a busy pooler the same process may serve twice in a row, but hardly four times.
        for _ in 0..3 {
            moved |= process(session, sql_alone, timeout, cancel).await? != before;
        }
        let end = other.client.batch_execute("ROLLBACK");
        other.run("ending a transaction", timeout, cancel, end).await?;
        Ok::<_, Error>(moved)
    };
    match question.await {
        Ok(shares) => Ok(Some(shares)),
        Err(error) if error.is_cancelled() => Err(error),
        // A pooler in statement mode refuses BEGIN.
        Err(error) if error.code() == FailureCode::PoolerUnsuitable => Ok(Some(true)),
        Err(error) => {
            tracing::debug!(%error, "could not find out about a pooler");
            Ok(None)
        }
    }
}

async fn process(
    session: &Session,
    sql: &str,
    timeout: Duration,
    cancel: &CancellationToken,
) -> Result<String, Error> {
    let query = session.client.simple_query(sql);
    let messages = session
        .run("asking for the server's process", timeout, cancel, query)
        .await?;
    let pid = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    pid.ok_or_else(|| {
        Error::new(
            FailureCode::Internal,
            "The server did not tell its process number.",
        )
    })
}

/// What is said about a pooler that shares sessions.
pub fn failure(connection: &Connection) -> Failure {
    words::connecting(FailureCode::PoolerUnsuitable, connection)
        .details("the server's process changed between two statements: transaction pooling")
}
