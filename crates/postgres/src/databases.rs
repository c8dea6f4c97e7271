//! What a server holds, by name: its databases and a database's schemas.

use std::time::Duration;

use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::types::{ToSql, Type};
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::connect::Session;

/// A database on a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// Its name.
    pub name: String,
    /// Whether the session's role may connect to it.
    pub can_connect: bool,
}

/// The server's databases that allow connections and are no template, in order of their names. Those in which managed
/// services keep their own affairs, and let nobody in, are left out.
///
/// # Errors
/// As [`Session::run`].
pub async fn list(
    session: &Session,
    timeout: Duration,
    cancel: &CancellationToken,
) -> Result<Vec<Database>, Error> {
    let query = session.client.query_typed(
        "SELECT d.datname::text, pg_catalog.has_database_privilege(d.oid, 'CONNECT')
         FROM pg_catalog.pg_database d
         WHERE d.datallowconn AND NOT d.datistemplate
             AND d.datname NOT IN ('rdsadmin', 'cloudsqladmin', 'azure_maintenance', 'azure_sys')
         ORDER BY d.datname::text COLLATE \"C\"",
        &[],
    );
    let rows = session
        .run("listing the databases", timeout, cancel, query)
        .await?;
    Ok(rows
        .iter()
        .map(|row| Database {
            name: row.get(0),
            can_connect: row.get(1),
        })
        .collect())
}

/// The schemas of the database that the session is connected to, in order of their names, without the system's own.
///
/// # Errors
/// As [`Session::run`].
pub async fn schemas(
    session: &Session,
    timeout: Duration,
    cancel: &CancellationToken,
) -> Result<Vec<String>, Error> {
    let query = session.client.query_typed(
        "SELECT n.nspname::text FROM pg_catalog.pg_namespace n
         WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
         ORDER BY n.nspname::text COLLATE \"C\"",
        &[],
    );
    let rows = session.run("listing the schemas", timeout, cancel, query).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Whether a server has a database of that name.
///
/// # Errors
/// As [`Session::run`].
pub async fn exists(
    session: &Session,
    name: &str,
    timeout: Duration,
    cancel: &CancellationToken,
) -> Result<bool, Error> {
    let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&name, Type::TEXT)];
    let asked = session.client.query_typed(
        "SELECT 1 FROM pg_catalog.pg_database WHERE datname::text = $1",
        &parameters,
    );
    let rows = session
        .run("looking for the database", timeout, cancel, asked)
        .await?;
    Ok(!rows.is_empty())
}

/// What tells a cluster from every other one, its standbys left aside: the number that it was given when it was made. None where the
/// server does not tell (PostgreSQL manual, "Control Data Functions").
pub async fn system_identifier(session: &Session) -> Option<String> {
    let rows = session
        .client
        .simple_query("SELECT system_identifier FROM pg_control_system()")
        .await
        .ok()?;
    rows.into_iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    })
}
