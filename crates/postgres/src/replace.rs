//! A restored database swapped in for the one that is there.
//!
//! The restored one lies beside it under a name of its own. The swap is one transaction on a third database: the old one gets
//! a name under which it is kept, the restored one gets the old one's name. Nothing else is changed, so that whatever breaks,
//! on this side or on the server's, leaves either both as they were or both as they shall be:
//!
//! - `ALTER DATABASE … RENAME` locks the database exclusively, waits up to five seconds until no session is on it, and keeps the
//!   lock to the transaction's end. Who connects meanwhile waits for that lock (`InitPostgres`), and is then told that the
//!   database was renamed. So nobody has to be forbidden to connect beforehand, which a crash would leave forbidden.
//! - Sessions are ended by a second session (the *usher*) while the first one waits, those that slipped in before the lock, too.
//! - A transaction that has not been told to commit is undone by the server when its session ends.
//!
//! What a later start needs to find out what became of it is a [`Record`], which the caller keeps before the swap.

use std::time::Duration;

use howdah_domain::{Failure, FailureCode};
use jiff::civil::DateTime;
use serde::{Deserialize, Serialize};
use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;

use crate::connect::Session;
use crate::{Error, databases, quote};

mod remarks;
mod renaming;
mod repair;

pub use remarks::remarks;
pub use repair::{Place, drop_kept, place, repair};

/// What a swap is about: kept by the caller before [`swap`], needed by all that comes after. Databases are known by their OIDs,
/// which no renaming changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The name in question: `shop`.
    pub name: String,
    /// The name under which the restored database lies before the swap: `shop_restored_2026_11_27_1530`.
    pub restored: String,
    /// The name under which the old database is kept after it: `shop_before_2026_11_27_1530`.
    pub kept: String,
    /// The database that is there.
    pub old: Was,
    /// The restored one.
    pub new: Was,
    /// What tells the server from others (`pg_control_system`), where it says so.
    pub system_identifier: Option<String>,
}

/// A database as it was before the swap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Was {
    /// `pg_database.oid`.
    pub oid: u32,
    /// `pg_database.datallowconn`.
    pub allow_connections: bool,
}

/// A name for a database that lies beside `name`: `shop_before_2026_11_27_1530` with `word` = `before`. At most `most` bytes (63
/// on a usual server), of which `name` gives what is too long, by whole characters; unlike all that are `taken`.
pub fn name_beside(name: &str, word: &str, at: DateTime, most: usize, taken: &[String]) -> String {
    let stamp = at.strftime("%Y_%m_%d_%H%M");
    let mut number = 1_u32;
    loop {
        let tail = match number {
            1 => format!("_{word}_{stamp}"),
            more => format!("_{word}_{stamp}_{more}"),
        };
        let mut end = name.len().min(most.saturating_sub(tail.len()));
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        let found = format!("{}{tail}", &name[..end]);
        if !taken.contains(&found) {
            return found;
        }
        number += 1;
    }
}

/// As [`name_beside`], unlike all databases on the session's server.
///
/// # Errors
/// As [`Session::run`].
pub async fn free_name(
    session: &Session,
    name: &str,
    word: &str,
    at: DateTime,
    cancel: &CancellationToken,
) -> Result<String, Error> {
    let rows = session.ask("listing the databases", cancel, "SELECT pg_catalog.current_setting('max_identifier_length')::int, d.datname::text FROM pg_catalog.pg_database d",
        &[]).await?;
    let most = rows.first().map_or(63, |row| row.get::<_, i32>(0));
    let taken: Vec<String> = rows.iter().map(|row| row.get(1)).collect();
    let most = usize::try_from(most).unwrap_or(63).min(63);
    Ok(name_beside(name, word, at, most, &taken))
}

/// A database as a swap looks at it.
#[derive(Debug)]
struct Known {
    oid: u32,
    allow_connections: bool,
    /// An interrupted DROP DATABASE has left it unusable (`datconnlimit` −2).
    invalid: bool,
    mine: bool,
    owner: String,
    prepared: i64,
}

/// Looks at both databases and says what a swap would do, changing nothing. `session` is on a third database of the server
/// (`postgres`), as a role that owns both and may create databases, or a superuser. `at` is for the kept one's name.
///
/// # Errors
/// [`FailureCode::DatabaseNotFound`]; [`FailureCode::PermissionDenied`] with the right that is missing; [`FailureCode::Busy`] for
/// prepared transactions, which no ended session takes along; [`FailureCode::InvalidInput`] for a standby, for a session on one of the
/// two, and for two equal names; as [`Session::run`].
pub async fn prepare(
    session: &Session,
    name: &str,
    restored: &str,
    at: DateTime,
    cancel: &CancellationToken,
) -> Result<Record, Error> {
    let rows = session.ask("asking for the role's rights", cancel, "SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.current_database()::text, current_user::text,
                (SELECT r.rolsuper OR r.rolcreatedb FROM pg_catalog.pg_roles r WHERE r.rolname = current_user)",
        &[]).await?;
    let Some(row) = rows.first() else {
        return Err(Error::new(
            FailureCode::Internal,
            "The server told nothing about the role.",
        ));
    };
    let (standby, here, role): (bool, String, String) = (row.get(0), row.get(1), row.get(2));
    let may_rename: Option<bool> = row.get(3);
    if standby {
        return Err(Failure::new(
            FailureCode::InvalidInput,
            "This server is a standby: nothing can be changed on it.",
        )
        .hint("Connect to its primary server.")
        .into());
    }
    if name == restored || here == name || here == restored {
        let what = if name == restored {
            "A database cannot be swapped in for itself.".to_owned()
        } else {
            format!("A database cannot be renamed over a session on itself ({here}).")
        };
        return Err(Failure::new(FailureCode::InvalidInput, what)
            .hint("Connect to another database of the server, such as postgres.")
            .into());
    }
    let (old, new) = (
        known(session, name, cancel).await?,
        known(session, restored, cancel).await?,
    );
    if may_rename != Some(true) {
        return Err(Failure::new(
            FailureCode::PermissionDenied,
            format!("Role {role} may not rename databases: it lacks CREATEDB."),
        )
        .hint(format!(
            "Let a superuser run: ALTER ROLE {} CREATEDB; or use another role.",
            quote::ident(&role)
        ))
        .into());
    }
    for (database, known) in [(name, &old), (restored, &new)] {
        if !known.mine {
            return Err(Failure::new(
                FailureCode::PermissionDenied,
                format!(
                    "Role {role} may not rename database {database}: it belongs to {}.",
                    known.owner
                ),
            )
            .hint(format!(
                "Use the role {0}, or let a superuser run: GRANT {1} TO {2};",
                known.owner,
                quote::ident(&known.owner),
                quote::ident(&role)
            ))
            .into());
        }
        if known.invalid {
            return Err(Failure::new(
                FailureCode::InvalidInput,
                format!("Database {database} is left over from a DROP DATABASE that was interrupted."),
            )
            .hint("Nobody can connect to it. Drop it again.")
            .into());
        }
        if known.prepared > 0 {
            return Err(Failure::new(
                FailureCode::Busy,
                format!(
                    "Database {database} has {} prepared transactions, and cannot be renamed while they are open.",
                    known.prepared
                ),
            )
            .hint("pg_prepared_xacts lists them. End each with COMMIT PREPARED or ROLLBACK PREPARED.")
            .into());
        }
    }
    let was = |known: &Known| Was {
        oid: known.oid,
        allow_connections: known.allow_connections,
    };
    Ok(Record {
        name: name.to_owned(),
        restored: restored.to_owned(),
        kept: free_name(session, name, "before", at, cancel).await?,
        old: was(&old),
        new: was(&new),
        system_identifier: databases::system_identifier(session).await,
    })
}

async fn known(session: &Session, name: &str, cancel: &CancellationToken) -> Result<Known, Error> {
    let rows = session.ask("looking for the database", cancel, "SELECT d.oid, d.datallowconn, d.datconnlimit = -2, pg_catalog.pg_has_role(d.datdba, 'USAGE'),
                        pg_catalog.pg_get_userbyid(d.datdba)::text,
                        (SELECT pg_catalog.count(*) FROM pg_catalog.pg_prepared_xacts x WHERE x.database = d.datname)
                 FROM pg_catalog.pg_database d WHERE d.datname::text = $1",
                &[(&name, Type::TEXT)]).await?;
    let Some(row) = rows.first() else {
        return Err(Failure::new(
            FailureCode::DatabaseNotFound,
            format!("There is no database {name} on the server."),
        )
        .hint("Where nothing is to be replaced, restore under the name itself.")
        .into());
    };
    Ok(Known {
        oid: row.get(0),
        allow_connections: row.get(1),
        invalid: row.get(2),
        mine: row.get(3),
        owner: row.get(4),
        prepared: row.get(5),
    })
}

/// Swaps the restored database in. Both sessions are on a third database of the server, of the same role, and closed at the end:
/// `session` renames, `usher` ends the sessions that are on the two. Tries again for `patience` where somebody stays or holds a lock.
///
/// A database that was to be connected to stays so under its name; the kept one is left as it was.
///
/// # Errors
/// Nothing has changed then: [`FailureCode::Busy`] naming who stays on it; [`FailureCode::PermissionDenied`] where that is because
/// the role may not end them; [`FailureCode::LockTimeout`]; [`FailureCode::NotFound`] where the databases are not those of the record
/// any more; [`Error::Cancelled`]. Only [`FailureCode::ConnectionLost`] may leave it open which of the two states holds: [`repair`] tells.
pub async fn swap(
    session: Session,
    usher: Session,
    record: &Record,
    patience: Duration,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    match place(&usher, record, cancel).await? {
        Place::Swapped => return Ok(()),
        Place::Before { restored: Some(name) } if name == record.restored => {}
        other => return Err(other.unexpected(record)),
    }
    let mut steps = vec![
        rename(&record.name, &record.kept),
        rename(&record.restored, &record.name),
    ];
    if record.old.allow_connections && !record.new.allow_connections {
        steps.push(allow_connections(&record.name));
    }
    renaming::carry_out(session, &usher, record, &steps, patience, cancel).await?;
    match renaming::outcome(&usher, record).await? {
        Place::Swapped => Ok(()),
        Place::Before { restored: Some(name) } if name == record.restored => Err(renaming::undone()),
        other => Err(other.unexpected(record)),
    }
}

/// Takes a swap back: the old database gets its name again, the restored one is kept beside it, under its former name or, where that
/// is taken, under a new one; that name comes back. Sessions and errors as in [`swap`]; `at` is for the new name.
///
/// # Errors
/// As [`swap`].
pub async fn put_back(
    session: Session,
    usher: Session,
    record: &Record,
    at: DateTime,
    patience: Duration,
    cancel: &CancellationToken,
) -> Result<String, Error> {
    match place(&usher, record, cancel).await? {
        Place::Swapped => {}
        Place::Before { restored: Some(name) } => return Ok(name),
        other => return Err(other.unexpected(record)),
    }
    let Some(kept) = repair::name_of(&usher, record.old.oid, cancel).await? else {
        return Err(Failure::new(
            FailureCode::NotFound,
            format!("The former database {} is not there any more.", record.name),
        )
        .hint("It was dropped. The restored one stays.")
        .into());
    };
    let taken = usher
        .ask(
            "looking for a name",
            cancel,
            "SELECT 1 FROM pg_catalog.pg_database WHERE datname::text = $1",
            &[(&record.restored, Type::TEXT)],
        )
        .await?;
    let beside = if taken.is_empty() {
        record.restored.clone()
    } else {
        free_name(&usher, &record.name, "restored", at, cancel).await?
    };
    let steps = [rename(&record.name, &beside), rename(&kept, &record.name)];
    renaming::carry_out(session, &usher, record, &steps, patience, cancel).await?;
    match renaming::outcome(&usher, record).await? {
        Place::Before { restored: Some(name) } => Ok(name),
        Place::Swapped => Err(renaming::undone()),
        other => Err(other.unexpected(record)),
    }
}

fn rename(from: &str, to: &str) -> String {
    format!(
        "ALTER DATABASE {} RENAME TO {}",
        quote::ident(from),
        quote::ident(to)
    )
}

fn allow_connections(name: &str) -> String {
    format!(
        "ALTER DATABASE {} WITH ALLOW_CONNECTIONS true",
        quote::ident(name)
    )
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn beside(name: &str, taken: &[&str]) -> String {
        let taken: Vec<String> = taken.iter().map(|name| (*name).to_owned()).collect();
        name_beside(name, "before", date(2026, 11, 27).at(15, 30, 0, 0), 63, &taken)
    }

    #[test]
    fn a_kept_database_is_named_after_its_name_and_the_time() {
        assert_eq!(beside("shop", &[]), "shop_before_2026_11_27_1530");
    }

    #[test]
    fn a_name_that_is_taken_gets_a_number() {
        let taken = ["shop_before_2026_11_27_1530", "shop_before_2026_11_27_1530_2"];
        assert_eq!(beside("shop", &taken), "shop_before_2026_11_27_1530_3");
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        for name in [
            "a".repeat(63),
            "é".repeat(31),
            "🐘".repeat(15),
            format!("x{}", "🐘".repeat(15)),
        ] {
            let first = beside(&name, &[]);
            let second = beside(&name, &[&first]);
            for found in [&first, &second] {
                assert!(found.len() <= 63, "{found} has {} bytes", found.len());
                assert!(found.starts_with(name.chars().next().unwrap()));
            }
            assert!(first.ends_with("_before_2026_11_27_1530") && second.ends_with("1530_2"));
        }
    }
}
