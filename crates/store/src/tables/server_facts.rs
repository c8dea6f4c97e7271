//! What the newest look into each server found, beside its answering.

use howdah_domain::ServerId;
use howdah_domain::check::ServerFacts;
use rusqlite::{Connection, OptionalExtension};

use crate::Result;
use crate::column::{Id, Json, Time};

/// Keeps what a look found, in place of what the one before it did.
pub fn set(connection: &Connection, server: &ServerId, facts: &ServerFacts) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO server_facts (server_id, at, facts) VALUES (?1, ?2, ?3)
             ON CONFLICT (server_id) DO UPDATE SET at = excluded.at, facts = excluded.facts",
        )?
        .execute((Id(server), Time(facts.at), Json(facts)))?;
    Ok(())
}

/// What the newest look into a server found.
pub fn get(connection: &Connection, server: &ServerId) -> Result<Option<ServerFacts>> {
    Ok(connection
        .prepare_cached("SELECT facts FROM server_facts WHERE server_id = ?1")?
        .query_row([Id(server)], |row| Ok(row.get::<_, Json<_>>(0)?.0))
        .optional()?)
}
