//! Brings howdah.db to the newest version, and refuses one that is newer than this program.

use rusqlite::Connection;
use rusqlite_migration::{M, Migrations};

use crate::{Error, Result};

/// All migrations, oldest first. A released one is never changed; a new one is added at the end.
const STEPS: &[M<'static>] = &[M::up(include_str!("../migrations/0001_begin.sql"))];

const MIGRATIONS: Migrations<'static> = Migrations::from_slice(STEPS);

/// The newest version this program knows (SQLite's `user_version`).
pub(crate) const NEWEST: usize = STEPS.len();

/// Refuses a file that a newer Howdah wrote. Reads only.
///
/// # Errors
/// [`Error::Newer`]; [`Error::Corrupt`] where the file is no database.
pub(crate) fn refuse_newer(connection: &Connection) -> Result<()> {
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let known = i64::try_from(NEWEST).unwrap_or(i64::MAX);
    if found > known {
        return Err(Error::Newer { found, known });
    }
    Ok(())
}

/// Runs the migrations that are missing. The caller keeps other processes out meanwhile.
pub(crate) fn migrate(connection: &mut Connection) -> Result<()> {
    MIGRATIONS.to_latest(connection).map_err(|error| match error {
        rusqlite_migration::Error::RusqliteError { err, .. } => err.into(),
        other => Error::Unreadable(other.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_migration_is_valid_sql() {
        MIGRATIONS.validate().unwrap();
    }

    #[test]
    fn a_newer_file_is_refused_with_both_versions() {
        let connection = Connection::open_in_memory().unwrap();
        connection.pragma_update(None, "user_version", 99).unwrap();
        let error = refuse_newer(&connection).unwrap_err();
        assert!(matches!(error, Error::Newer { found: 99, .. }), "{error}");
    }
}
