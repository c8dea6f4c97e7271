//! Brings howdah.db to the newest version, and refuses one that is newer than this program.

use rusqlite::Connection;
use rusqlite_migration::{M, Migrations};

use crate::{Error, Result};

/// All migrations, oldest first. A released one is never changed; a new one is added at the end.
const STEPS: &[M<'static>] = &[
    M::up(include_str!("../migrations/0001_begin.sql")),
    M::up(include_str!("../migrations/0002_places.sql")).foreign_key_check(),
    M::up(include_str!("../migrations/0003_getting_back.sql")),
    M::up(include_str!("../migrations/0004_watching.sql")),
    M::up(include_str!("../migrations/0005_telling.sql")),
    M::up(include_str!("../migrations/0006_muted.sql")),
    M::up(include_str!("../migrations/0007_conditions.sql")),
];

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

/// Runs the migrations that are missing. The caller keeps other processes out meanwhile. Foreign keys rest meanwhile: a table
/// that is made anew would otherwise take with it what refers to it (sqlite.org/lang_altertable.html, section 7).
pub(crate) fn migrate(connection: &mut Connection) -> Result<()> {
    connection.pragma_update(None, "foreign_keys", false)?;
    let migrated = MIGRATIONS.to_latest(connection);
    connection.pragma_update(None, "foreign_keys", true)?;
    migrated.map_err(|error| match error {
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
    fn what_the_first_version_wrote_is_kept_by_the_migrations_after_it() {
        let mut connection = Connection::open_in_memory().unwrap();
        Migrations::from_slice(&STEPS[..1])
            .to_latest(&mut connection)
            .unwrap();
        connection
            .execute_batch(
                "PRAGMA foreign_keys = ON;
                 INSERT INTO servers VALUES ('s', 'shop', 'h', 5432, 'r', 'd', '{}', 'none', NULL, 1, NULL);
                 INSERT INTO databases VALUES ('b', 's', 'shop', NULL, 1, NULL);
                 INSERT INTO destinations VALUES ('d', 'disk', 'folder', '/mnt/my \"disk\"', 1, 2);
                 INSERT INTO plans VALUES ('p', 's', '{}', '{}', 1, '{}', 'UTC', 3, 1, 1);
                 INSERT INTO plan_destinations VALUES ('p', 0, 'd');
                 INSERT INTO backups VALUES ('20261122T040000Z-abcdef', 'b', NULL, 'shop', 'shop', 1, 2, 3, 4, 5, 6, '17', '17');
                 INSERT INTO copies VALUES ('20261122T040000Z-abcdef', 'd', 'shop/shop/x', 'present', 7, NULL);",
            )
            .unwrap();
        migrate(&mut connection).unwrap();
        let (path, location): (String, String) = connection
            .query_row(
                "SELECT json_extract(place, '$.path'), location FROM destinations",
                [],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .unwrap();
        assert_eq!(
            (path.as_str(), location.as_str()),
            ("/mnt/my \"disk\"", "/mnt/my \"disk\"")
        );
        let kept: (i64, i64, i64) = connection
            .query_row(
                "SELECT (SELECT count(*) FROM copies WHERE state = 'present' AND verified_at = 7),
                        (SELECT count(*) FROM plan_destinations), (SELECT count(*) FROM backups)",
                [],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )
            .unwrap();
        assert_eq!(kept, (1, 1, 1));
        let on: bool = connection
            .query_row("PRAGMA foreign_keys", [], |row| row.get(0))
            .unwrap();
        assert!(on, "foreign keys are back on");
    }

    #[test]
    fn watching_is_added_to_what_a_version_without_it_wrote() {
        let mut connection = Connection::open_in_memory().unwrap();
        Migrations::from_slice(&STEPS[..3])
            .to_latest(&mut connection)
            .unwrap();
        connection
            .execute_batch(
                "INSERT INTO servers VALUES ('s', 'shop', 'h', 5432, 'r', 'd', '{}', 'none', NULL, 1, NULL, NULL, NULL);
                 INSERT INTO databases VALUES ('b', 's', 'shop', NULL, 1, NULL);
                 INSERT INTO drills VALUES (1, NULL, 'b', 'x', 5, 1, NULL);",
            )
            .unwrap();
        migrate(&mut connection).unwrap();
        connection
            .execute_batch("INSERT INTO watches (database_id) SELECT id FROM databases")
            .unwrap();
        let kept: (i64, i64, i64) = connection
            .query_row(
                "SELECT (SELECT count(*) FROM servers), (SELECT count(*) FROM drills), (SELECT count(*) FROM watches)",
                [],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )
            .unwrap();
        assert_eq!(kept, (1, 1, 1));
    }

    #[test]
    fn a_newer_file_is_refused_with_both_versions() {
        let connection = Connection::open_in_memory().unwrap();
        connection.pragma_update(None, "user_version", 99).unwrap();
        let error = refuse_newer(&connection).unwrap_err();
        assert!(matches!(error, Error::Newer { found: 99, .. }), "{error}");
    }
}
