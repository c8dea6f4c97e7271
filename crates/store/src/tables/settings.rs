//! Settings: one JSON value per key; and until when the schedule is paused.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension};
use serde::{Serialize, de::DeserializeOwned};

use crate::{Result, column::Json};

const PAUSED_UNTIL: &str = "paused_until";

/// The value of a key.
///
/// # Errors
/// [`Error::Unreadable`](crate::Error::Unreadable) where it is not of that type.
pub fn get<T: DeserializeOwned>(connection: &Connection, key: &str) -> Result<Option<T>> {
    Ok(connection
        .prepare_cached("SELECT value FROM settings WHERE key = ?1")?
        .query_row([key], |row| row.get::<_, Json<T>>(0))
        .optional()?
        .map(|json| json.0))
}

/// Gives a key a value.
pub fn set<T: Serialize>(connection: &Connection, key: &str, value: &T) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO settings (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        )?
        .execute((key, Json(value)))?;
    Ok(())
}

/// Removes a key, where it is there.
pub fn remove(connection: &Connection, key: &str) -> Result<()> {
    connection
        .prepare_cached("DELETE FROM settings WHERE key = ?1")?
        .execute([key])?;
    Ok(())
}

/// Until when the schedule is paused; `None` where it is not. The caller compares it with the present time.
pub fn paused_until(connection: &Connection) -> Result<Option<Timestamp>> {
    get(connection, PAUSED_UNTIL)
}

/// Pauses the schedule until then; `None` ends the pause.
pub fn set_paused_until(connection: &Connection, until: Option<Timestamp>) -> Result<()> {
    match until {
        Some(until) => set(connection, PAUSED_UNTIL, &until),
        None => remove(connection, PAUSED_UNTIL),
    }
}
