//! Servers: how each is reached, and under which name the keyring holds its password.

use howdah_domain::{Connection as ServerConnection, Server, ServerId};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::{found, name_taken};
use crate::{
    Result,
    column::{Id, Json, Time, Word},
};

/// A server and the name of its password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerRow {
    /// The server.
    pub server: Server,
    /// The password's name in the keyring; `None` where there is no password.
    pub secret_reference: Option<String>,
    /// The name in the keyring of what opens its SSH tunnel (a passphrase or a password); `None` where nothing is needed.
    pub tunnel_secret_reference: Option<String>,
}

const COLUMNS: &str = "id, name, host, port, role, database, tls, tunnel, environment, secret_reference, \
    tunnel_secret_reference, created_at";

fn from_row(row: &Row<'_>) -> rusqlite::Result<ServerRow> {
    Ok(ServerRow {
        server: Server {
            id: row.get::<_, Id<_>>("id")?.0,
            name: row.get("name")?,
            connection: ServerConnection {
                host: row.get("host")?,
                port: row.get("port")?,
                role: row.get("role")?,
                database: row.get("database")?,
                tls: row.get::<_, Json<_>>("tls")?.0,
                tunnel: row.get::<_, Option<Json<_>>>("tunnel")?.map(|tunnel| tunnel.0),
                forwarded: None,
            },
            environment: row.get::<_, Word<_>>("environment")?.0,
            created_at: row.get::<_, Time>("created_at")?.0,
        },
        secret_reference: row.get("secret_reference")?,
        tunnel_secret_reference: row.get("tunnel_secret_reference")?,
    })
}

/// Adds a server.
///
/// # Errors
/// [`Error::NameTaken`](crate::Error::NameTaken).
pub fn insert(connection: &Connection, row: &ServerRow) -> Result<()> {
    let ServerRow {
        server,
        secret_reference,
        tunnel_secret_reference,
    } = row;
    connection
        .prepare_cached(
            "INSERT INTO servers (id, name, host, port, role, database, tls, tunnel, environment, secret_reference,
                tunnel_secret_reference, created_at)
             VALUES (:id, :name, :host, :port, :role, :database, :tls, :tunnel, :environment, :secret_reference,
                :tunnel_secret_reference, :created_at)",
        )?
        .execute(named_params! {
            ":id": Id(&server.id),
            ":name": server.name,
            ":host": server.connection.host,
            ":port": server.connection.port,
            ":role": server.connection.role,
            ":database": server.connection.database,
            ":tls": Json(&server.connection.tls),
            ":tunnel": server.connection.tunnel.as_ref().map(Json),
            ":environment": Word(server.environment),
            ":secret_reference": secret_reference,
            ":tunnel_secret_reference": tunnel_secret_reference,
            ":created_at": Time(server.created_at),
        })
        .map_err(|error| name_taken(error, "server", &server.name))?;
    Ok(())
}

/// Writes a server's name, connection, environment and secret reference anew.
///
/// # Errors
/// [`Error::NotFound`](crate::Error::NotFound), [`Error::NameTaken`](crate::Error::NameTaken).
pub fn update(connection: &Connection, row: &ServerRow) -> Result<()> {
    let ServerRow {
        server,
        secret_reference,
        tunnel_secret_reference,
    } = row;
    let changed = connection
        .prepare_cached(
            "UPDATE servers SET name = :name, host = :host, port = :port, role = :role, database = :database, tls = :tls,
                tunnel = :tunnel, environment = :environment, secret_reference = :secret_reference,
                tunnel_secret_reference = :tunnel_secret_reference
             WHERE id = :id AND removed_at IS NULL",
        )?
        .execute(named_params! {
            ":id": Id(&server.id),
            ":name": server.name,
            ":host": server.connection.host,
            ":port": server.connection.port,
            ":role": server.connection.role,
            ":database": server.connection.database,
            ":tls": Json(&server.connection.tls),
            ":tunnel": server.connection.tunnel.as_ref().map(Json),
            ":environment": Word(server.environment),
            ":secret_reference": secret_reference,
            ":tunnel_secret_reference": tunnel_secret_reference,
        })
        .map_err(|error| name_taken(error, "server", &server.name))?;
    found(changed, "server")
}

/// A server that was not removed.
pub fn get(connection: &Connection, id: &ServerId) -> Result<Option<ServerRow>> {
    Ok(connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM servers WHERE id = ?1 AND removed_at IS NULL"
        ))?
        .query_row([Id(id)], from_row)
        .optional()?)
}

/// A server that was not removed, by its name.
pub fn by_name(connection: &Connection, name: &str) -> Result<Option<ServerRow>> {
    Ok(connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM servers WHERE name = ?1 AND removed_at IS NULL"
        ))?
        .query_row([name], from_row)
        .optional()?)
}

/// All servers that were not removed, by name.
pub fn list(connection: &Connection) -> Result<Vec<ServerRow>> {
    Ok(connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM servers WHERE removed_at IS NULL ORDER BY name COLLATE NOCASE, id"
        ))?
        .query_map([], from_row)?
        .collect::<rusqlite::Result<_>>()?)
}

/// The server of that name, for a backup that names it: one that is there, else one that was removed; else one is added as
/// removed, which is known by its backups only.
pub fn known_by_backups(
    connection: &Connection,
    name: &str,
    new: ServerId,
    now: Timestamp,
) -> Result<ServerId> {
    let known: Option<Id<ServerId>> = connection
        .prepare_cached(
            "SELECT id FROM servers WHERE name = ?1 ORDER BY removed_at IS NULL DESC, created_at DESC LIMIT 1",
        )?
        .query_row([name], |row| row.get(0))
        .optional()?;
    if let Some(Id(id)) = known {
        return Ok(id);
    }
    connection
        .prepare_cached(
            "INSERT INTO servers (id, name, host, port, role, database, tls, environment, created_at, removed_at)
             VALUES (?1, ?2, '', 0, '', '', '{}', 'none', ?3, ?3)",
        )?
        .execute((Id(&new), name, Time(now)))?;
    Ok(new)
}

/// Adds a server again that may have been removed, under its old id.
///
/// # Errors
/// [`Error::NameTaken`](crate::Error::NameTaken).
pub fn insert_again(connection: &Connection, row: &ServerRow) -> Result<()> {
    let changed = connection
        .prepare_cached("UPDATE servers SET removed_at = NULL WHERE id = ?1 AND removed_at IS NOT NULL")?
        .execute([Id(&row.server.id)])
        .map_err(|error| name_taken(error, "server", &row.server.name))?;
    if changed == 0 {
        insert(connection, row)
    } else {
        update(connection, row)
    }
}

/// Gives a server the databases, and so the backups, of the server of its name that was known by its backups only.
pub fn adopt(connection: &Connection, id: &ServerId, name: &str) -> Result<()> {
    connection
        .prepare_cached(
            "UPDATE OR IGNORE databases SET server_id = ?1 WHERE server_id IN (
                SELECT id FROM servers WHERE name = ?2 AND removed_at IS NOT NULL AND host = '' AND id <> ?1)",
        )?
        .execute((Id(id), name))?;
    Ok(())
}

/// Removes a server and its plans. Its databases and their backups stay in the catalogue, under the name it had; its own name is
/// free again. Returns the names of its secrets, for the keyring.
///
/// # Errors
/// [`Error::NotFound`](crate::Error::NotFound).
pub fn remove(connection: &Connection, id: &ServerId, now: Timestamp) -> Result<Vec<String>> {
    let references: Option<(Option<String>, Option<String>)> = connection
        .prepare_cached(
            "SELECT secret_reference, tunnel_secret_reference FROM servers WHERE id = ?1 AND removed_at IS NULL",
        )?
        .query_row([Id(id)], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((password, tunnel)) = references else {
        return Err(crate::Error::NotFound("server"));
    };
    connection
        .prepare_cached("DELETE FROM plans WHERE server_id = ?1")?
        .execute([Id(id)])?;
    connection
        .prepare_cached(
            "UPDATE servers SET removed_at = ?2, secret_reference = NULL, tunnel_secret_reference = NULL WHERE id = ?1",
        )?
        .execute((Id(id), Time(now)))?;
    Ok(password.into_iter().chain(tunnel).collect())
}
