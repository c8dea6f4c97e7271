//! What a restored database is asked besides its rows: statistics, whether its tables and indexes are sound, whether the user's assertions hold.

use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _};
use howdah_domain::drill::{Assertion, AssertionOutcome};
use howdah_domain::{Failure, FailureCode};
use tokio_postgres::types::{ToSql, Type};
use tokio_util::sync::CancellationToken;

use crate::connect::Session;
use crate::{Error, quote, words};

/// How long the statistics of a whole database may take, and the check of one table or index.
const PATIENCE: Duration = Duration::from_secs(6 * 3600);

/// What of amcheck's findings is told; a broken collation breaks every index of text.
const MOST_ERRORS: usize = 50;

/// Gathers a database's statistics, as any database needs them that queries run on.
///
/// # Errors
/// The server's; [`Error::Cancelled`].
pub async fn analyze(session: &Session, cancel: &CancellationToken) -> Result<(), Error> {
    let analyze = session.client.batch_execute("ANALYZE");
    session
        .run("gathering statistics", PATIENCE, cancel, analyze)
        .await
}

/// Checks every table (since 14) and every B-tree index with the extension `amcheck`, as the program `pg_amcheck` does; it is made where it
/// is not there. Answers what is wrong, as sentences; none where the server has no such extension.
///
/// # Errors
/// The connection breaks; [`Error::Cancelled`].
pub async fn amcheck(session: &Session, cancel: &CancellationToken) -> Result<Option<Vec<String>>, Error> {
    let Some(schema) = amcheck_schema(session, cancel).await? else {
        return Ok(None);
    };
    let schema = quote::ident(&schema);
    let mut wrong = Vec::new();
    if session.server_version.major >= 14 {
        // Beside each table the one with its long values; 0 where there is none.
        let tables = "SELECT i.oid, n.nspname::text, c.relname::text || i.what
             FROM pg_catalog.pg_class c
             JOIN pg_catalog.pg_am a ON a.oid = c.relam
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             CROSS JOIN LATERAL (VALUES (c.oid, ''), (c.reltoastrelid, ' (its long values)')) i(oid, what)
             WHERE a.amname = 'heap' AND c.relkind IN ('r', 'm') AND i.oid <> 0
               AND c.relpersistence <> 't' AND n.nspname !~ '^pg_'
             ORDER BY 2, 3";
        let check = format!(
            "SELECT 'block ' || blkno || coalesce(', row ' || offnum, '') || ': ' || msg
             FROM {schema}.verify_heapam($1::oid::regclass) LIMIT 5"
        );
        check_each(session, tables, &check, &mut wrong, cancel).await?;
    }
    let indexes = "SELECT i.indexrelid, n.nspname::text, c.relname::text
         FROM pg_catalog.pg_index i
         JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
         JOIN pg_catalog.pg_am a ON a.oid = c.relam
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE a.amname = 'btree' AND c.relkind = 'i' AND i.indisvalid AND i.indisready
           AND c.relpersistence <> 't' AND n.nspname !~ '^pg_'
         ORDER BY 2, 3";
    // It refuses, or answers one row that says nothing.
    let check = format!("SELECT NULL::text FROM {schema}.bt_index_check($1::oid::regclass) OFFSET 1");
    check_each(session, indexes, &check, &mut wrong, cancel).await?;
    if wrong.len() > MOST_ERRORS {
        wrong.truncate(MOST_ERRORS);
        wrong.push("and more.".to_owned());
    }
    Ok(Some(wrong))
}

/// Runs a check on each of the relations that a query lists with OID, schema and name. Adds what it answers or is refused with, up to one
/// more than will be told.
async fn check_each(
    session: &Session,
    relations: &str,
    check: &str,
    wrong: &mut Vec<String>,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    const WHAT: &str = "checking tables and indexes";
    let listed = session.client.query_typed(relations, &[]);
    for row in session.run(WHAT, PATIENCE, cancel, listed).await? {
        if wrong.len() > MOST_ERRORS {
            break;
        }
        let (oid, schema, name): (u32, String, String) = (row.get(0), row.get(1), row.get(2));
        let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&oid, Type::OID)];
        let checked = session.client.query_typed(check, &parameters);
        match session.run(WHAT, PATIENCE, cancel, checked).await {
            Ok(found) => wrong.extend(found.iter().map(|row| {
                let said: String = row.get(0);
                format!("{schema}.{name}: {said}")
            })),
            Err(Error::Query { source, .. }) if source.as_db_error().is_some() => {
                let said = source.as_db_error().map_or("", |error| error.message());
                wrong.push(format!("{schema}.{name}: {said}"));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The schema that `amcheck` is in, once it is made; none where it cannot be had.
async fn amcheck_schema(session: &Session, cancel: &CancellationToken) -> Result<Option<String>, Error> {
    const WHAT: &str = "looking for the extension amcheck";
    let found = async || {
        let asked = session.client.query_typed(
            "SELECT n.nspname::text FROM pg_catalog.pg_extension e
             JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'amcheck'",
            &[],
        );
        let rows = session.run(WHAT, PATIENCE, cancel, asked).await?;
        Ok::<_, Error>(rows.first().map(|row| row.get::<_, String>(0)))
    };
    if let Some(schema) = found().await? {
        return Ok(Some(schema));
    }
    let make = session.client.batch_execute(
        "CREATE SCHEMA IF NOT EXISTS howdah_check; CREATE EXTENSION amcheck SCHEMA howdah_check",
    );
    match session.run(WHAT, PATIENCE, cancel, make).await {
        Ok(()) => found().await,
        Err(Error::Query { source, .. }) if source.as_db_error().is_some() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Asks whether each assertion holds, each in a transaction that writes nothing and takes at most `patience`.
///
/// # Errors
/// The connection breaks; [`Error::Cancelled`]. What is wrong with an assertion is its outcome.
pub async fn ask_assertions(
    session: &Session,
    assertions: &[Assertion],
    patience: Duration,
    cancel: &CancellationToken,
) -> Result<Vec<AssertionOutcome>, Error> {
    let mut outcomes = Vec::new();
    for assertion in assertions {
        let asked = ask(session, assertion, patience, cancel).await;
        let outcome = |held, failure| AssertionOutcome {
            assertion: assertion.clone(),
            held,
            failure,
        };
        outcomes.push(match asked {
            Ok(held) => outcome(Some(held), None),
            Err(Error::Query { source, what }) if source.is_closed() => {
                return Err(Error::Query { what, source });
            }
            Err(Error::Cancelled) => return Err(Error::Cancelled),
            Err(error) => outcome(None, Some(error.to_failure())),
        });
        let end = session.client.batch_execute("ROLLBACK");
        session.run("ending an assertion", PATIENCE, cancel, end).await?;
    }
    Ok(outcomes)
}

async fn ask(
    session: &Session,
    assertion: &Assertion,
    patience: Duration,
    cancel: &CancellationToken,
) -> Result<bool, Error> {
    let what = format!("asking whether “{}” is true", assertion.name);
    let begin = format!(
        "BEGIN READ ONLY; SET LOCAL statement_timeout = {}",
        patience.as_millis().max(1)
    );
    let begun = session.client.batch_execute(&begin);
    session.run(&what, PATIENCE, cancel, begun).await?;
    let query = as_query(&assertion.sql);
    // Two rows are enough to know that it is not one: an answer may be a whole table.
    let asked = async {
        let rows = session
            .client
            .query_typed_raw(&query, Vec::<(String, Type)>::new())
            .await?;
        rows.take(2).try_collect::<Vec<_>>().await
    };
    // The server ends it by itself; this is for one that does not answer at all.
    let rows = session
        .run(&what, patience * 2 + Duration::from_secs(5), cancel, asked)
        .await;
    let rows = match rows {
        Err(Error::Query { source, .. })
            if source.code() == Some(&tokio_postgres::error::SqlState::QUERY_CANCELED) =>
        {
            return Err(words::statement(FailureCode::Timeout, &what).into());
        }
        other => other?,
    };
    let [row] = rows.as_slice() else {
        return Err(no_boolean(if rows.is_empty() {
            "it answers no row"
        } else {
            "it answers several rows"
        }));
    };
    if row.len() != 1 || *row.columns()[0].type_() != Type::BOOL {
        let types: Vec<&str> = row.columns().iter().map(|column| column.type_().name()).collect();
        return Err(no_boolean(&format!("it answers {}", types.join(", "))));
    }
    row.get::<_, Option<bool>>(0)
        .ok_or_else(|| no_boolean("it answers NULL"))
}

fn no_boolean(why: &str) -> Error {
    Failure::new(
        FailureCode::InvalidInput,
        format!("An assertion answers one boolean; {why}."),
    )
    .hint("Write an expression that is true or false, or a query that answers one: SELECT count(*) > 0 FROM orders.")
    .into()
}

/// A query as it is; an expression as a query.
fn as_query(sql: &str) -> String {
    let sql = sql.trim().trim_end_matches(';').trim_end();
    let first = sql
        .trim_start_matches('(')
        .split(|c: char| !c.is_alphabetic())
        .next()
        .unwrap_or_default();
    let is_query = ["SELECT", "WITH", "VALUES", "TABLE"]
        .iter()
        .any(|word| first.eq_ignore_ascii_case(word));
    if is_query && !sql.starts_with('(') {
        sql.to_owned()
    } else {
        format!("SELECT ({sql}\n)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_becomes_a_query_and_a_query_stays_one() {
        assert_eq!(as_query("SELECT true;"), "SELECT true");
        assert_eq!(
            as_query("with x as (select 1) select true"),
            "with x as (select 1) select true"
        );
        assert_eq!(
            as_query("(SELECT count(*) FROM t) > 3 -- enough"),
            "SELECT ((SELECT count(*) FROM t) > 3 -- enough\n)"
        );
        assert_eq!(as_query("selected.is_good()"), "SELECT (selected.is_good()\n)");
    }
}
