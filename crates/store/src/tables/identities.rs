//! The age identities that open backups. The secret keys are in the keyring; here are their public halves and names.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::found;
use crate::{
    Result,
    column::{Time, time},
};

/// An identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its public key, `age1…`.
    pub recipient: String,
    /// The secret key's name in the keyring.
    pub secret_reference: String,
    /// Whether it is this machine's own, to which new plans encrypt.
    pub own: bool,
    /// When it was made or brought in.
    pub created_at: Timestamp,
    /// When its recovery kit was saved.
    pub kit_saved_at: Option<Timestamp>,
    /// When a saved kit was read back and found right.
    pub kit_tested_at: Option<Timestamp>,
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Identity> {
    Ok(Identity {
        recipient: row.get("recipient")?,
        secret_reference: row.get("secret_reference")?,
        own: row.get("own")?,
        created_at: row.get::<_, Time>("created_at")?.0,
        kit_saved_at: row.get::<_, Option<Time>>("kit_saved_at")?.map(|time| time.0),
        kit_tested_at: row.get::<_, Option<Time>>("kit_tested_at")?.map(|time| time.0),
    })
}

/// Adds an identity, or writes one that is known anew.
pub fn put(connection: &Connection, identity: &Identity) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO identities (recipient, secret_reference, own, created_at, kit_saved_at, kit_tested_at)
             VALUES (:recipient, :secret_reference, :own, :created_at, :kit_saved_at, :kit_tested_at)
             ON CONFLICT (recipient) DO UPDATE SET secret_reference = excluded.secret_reference, own = excluded.own,
                kit_saved_at = excluded.kit_saved_at, kit_tested_at = excluded.kit_tested_at",
        )?
        .execute(named_params! {
            ":recipient": identity.recipient,
            ":secret_reference": identity.secret_reference,
            ":own": identity.own,
            ":created_at": Time(identity.created_at),
            ":kit_saved_at": time(identity.kit_saved_at),
            ":kit_tested_at": time(identity.kit_tested_at),
        })?;
    Ok(())
}

/// All identities, this machine's own first, then the oldest.
pub fn list(connection: &Connection) -> Result<Vec<Identity>> {
    Ok(connection
        .prepare_cached("SELECT * FROM identities ORDER BY own DESC, created_at, recipient")?
        .query_map([], from_row)?
        .collect::<rusqlite::Result<_>>()?)
}

/// The identity with that public key.
pub fn get(connection: &Connection, recipient: &str) -> Result<Option<Identity>> {
    Ok(connection
        .prepare_cached("SELECT * FROM identities WHERE recipient = ?1")?
        .query_row([recipient], from_row)
        .optional()?)
}

/// Forgets an identity. Its secret key in the keyring is the caller's.
///
/// # Errors
/// [`Error::NotFound`](crate::Error::NotFound).
pub fn remove(connection: &Connection, recipient: &str) -> Result<()> {
    let changed = connection
        .prepare_cached("DELETE FROM identities WHERE recipient = ?1")?
        .execute([recipient])?;
    found(changed, "identity")
}
