//! What a server has of what a backup needs: facts for a preflight, read from catalogues in read-only queries. Nothing is changed,
//! nothing is tried out, and what the server does not tell is *unknown*, not guessed. What follows from the facts is the caller's.

use std::collections::BTreeMap;

use howdah_domain::Connection;
use serde::Serialize;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::connect::{ServerVersion, Session};
use crate::needs::{DatabaseNeeds, Needs};
use crate::visitors::{Visitor, visitors};

/// Whether something can be had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Answer {
    /// It can.
    Yes,
    /// It cannot, and why, as a sentence.
    No(String),
    /// The server does not tell, and what is known, as a sentence.
    Unknown(String),
}

/// The role that is logged in.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// It may do everything.
    pub superuser: bool,
    /// It may create databases.
    pub create_databases: bool,
    /// It may create roles.
    pub create_roles: bool,
    /// It may end the sessions of others (`pg_signal_backend`), superusers' left aside.
    pub end_sessions: bool,
}

/// The database of the wanted name, where there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Existing {
    /// `pg_database.oid`.
    pub oid: u32,
    /// Its owner.
    pub owner: String,
    /// Whether the session's role has the owner's rights.
    pub mine: bool,
    /// Bytes on disk; none where the role may not ask.
    pub bytes: Option<u64>,
    /// Its tables' number and their rows as last counted; none unless the session is on it.
    pub estimate: Option<(u64, u64)>,
    /// Its encoding.
    pub encoding: String,
    /// `LC_COLLATE`.
    pub collate: String,
    /// Whether it takes connections.
    pub allow_connections: bool,
    /// Who is on it.
    pub visitors: Vec<Visitor>,
}

/// An extension that the backup needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExtensionFact {
    /// Its name.
    pub name: String,
    /// The version that the backup asks for, where it does.
    pub wanted: Option<String>,
    /// The version that would be created; none where the server does not have the extension.
    pub available: Option<String>,
    /// Whether the wanted version is among those that the server has; true where none is asked for.
    pub version_fits: bool,
}

/// Room for connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Slots {
    /// `max_connections`.
    pub most: u32,
    /// Kept free for superusers.
    pub reserved: u32,
    /// In use by clients, this session included.
    pub used: u32,
}

/// What is known of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Its version.
    pub version: ServerVersion,
    /// The role that is logged in.
    pub role: Role,
    /// Whether it is a standby: nothing can be restored into one.
    pub standby: bool,
    /// The database of the wanted name.
    pub database: Option<Existing>,
    /// The extensions that the backup needs.
    pub extensions: Vec<ExtensionFact>,
    /// Roles that the backup names and the server does not have.
    pub missing_roles: Vec<String>,
    /// Tablespaces likewise.
    pub missing_tablespaces: Vec<String>,
    /// The server's own collations that the backup names, and the session's database does not have.
    pub missing_collations: Vec<String>,
    /// Whether a database of the backup's encoding can be made.
    pub encoding: Answer,
    /// Whether one with its locale can.
    pub locale: Answer,
    /// Whether columns can be compressed with lz4; asked only where the backup has such.
    pub lz4: Option<Answer>,
    /// Where its data lies on its machine; none where the role may not see it.
    pub data_directory: Option<String>,
    /// Room for connections.
    pub slots: Slots,
    /// `wal_level`.
    pub wal_level: String,
    /// What else is worth knowing before a restore, as sentences.
    pub remarks: Vec<String>,
}

impl Facts {
    /// The free bytes of the data directory's file system; none where they are not known: only a server that is reached by its
    /// Unix socket is surely on this machine, and even then its folder may be out of reach.
    pub fn free_bytes(&self, connection: &Connection) -> Option<u64> {
        if !connection.is_socket() || connection.tunnel.is_some() {
            return None;
        }
        let space = nix::sys::statvfs::statvfs(self.data_directory.as_deref()?).ok()?;
        Some(space.blocks_available().saturating_mul(space.fragment_size()))
    }
}

/// Reads the facts about `database` on the session's server (the session may be on it or on another one of the server), as far as a
/// backup with these `needs` asks for them. `from_globals` are roles that would be made first (see [`crate::needs::globals`]).
///
/// # Errors
/// As [`Session::run`].
pub async fn facts(
    session: &Session,
    database: &str,
    needs: &Needs,
    from_globals: &[String],
    cancel: &CancellationToken,
) -> Result<Facts, Error> {
    let server = session
        .ask("asking about the server", cancel, SERVER, &[])
        .await?;
    let Some(server) = server.first() else {
        return Err(Error::new(
            howdah_domain::FailureCode::Internal,
            "The server told nothing about itself.",
        ));
    };
    let wanted: Vec<String> = needs
        .roles
        .iter()
        .map(|role| role.name.clone())
        .filter(|name| !from_globals.contains(name))
        .collect();
    let number = |at: usize| u32::try_from(server.get::<_, i64>(at)).unwrap_or(0);
    let mut facts = Facts {
        version: session.server_version.clone(),
        role: Role {
            name: server.get(0),
            superuser: server.get(1),
            create_databases: server.get(2),
            create_roles: server.get(3),
            end_sessions: server.get(4),
        },
        standby: server.get(5),
        database: existing(session, database, cancel).await?,
        extensions: extensions(session, needs, cancel).await?,
        missing_roles: missing(session, ROLES, &wanted, cancel).await?,
        missing_tablespaces: missing(session, TABLESPACES, &needs.tablespaces, cancel).await?,
        missing_collations: missing(session, COLLATIONS, &needs.system_collations, cancel).await?,
        encoding: encoding(&server.get::<_, Vec<String>>(12), &needs.database.encoding),
        locale: Answer::Yes,
        lz4: None,
        data_directory: server.get(6),
        slots: Slots {
            most: number(7),
            reserved: number(8),
            used: number(9),
        },
        wal_level: server.get(10),
        remarks: Vec::new(),
    };
    facts.locale = locale(session, &needs.database, cancel).await?;
    if !needs.lz4.is_empty() {
        facts.lz4 = Some(if server.get(11) {
            Answer::Yes
        } else if facts.version.major < 14 {
            Answer::No("Compression with lz4 came with PostgreSQL 14.".to_owned())
        } else {
            Answer::No("This server's PostgreSQL is built without lz4.".to_owned())
        });
    }
    remark(&mut facts, needs);
    Ok(facts)
}

const SERVER: &str = "SELECT r.rolname::text, r.rolsuper, r.rolsuper OR r.rolcreatedb, r.rolsuper OR r.rolcreaterole,
        r.rolsuper OR pg_catalog.pg_has_role('pg_signal_backend', 'USAGE'),
        pg_catalog.pg_is_in_recovery(),
        (SELECT s.setting FROM pg_catalog.pg_settings s WHERE s.name = 'data_directory'),
        pg_catalog.current_setting('max_connections')::bigint,
        pg_catalog.current_setting('superuser_reserved_connections')::bigint
            + coalesce(pg_catalog.current_setting('reserved_connections', true), '0')::bigint,
        (SELECT pg_catalog.sum(n.numbackends)::bigint FROM pg_catalog.pg_stat_database n),
        pg_catalog.current_setting('wal_level'),
        EXISTS (SELECT FROM pg_catalog.pg_settings s WHERE s.name = 'default_toast_compression' AND 'lz4' = ANY (s.enumvals)),
        (SELECT pg_catalog.array_agg(pg_catalog.pg_encoding_to_char(e)::text) FROM pg_catalog.generate_series(0, 34) e)
    FROM pg_catalog.pg_roles r WHERE r.rolname = current_user";

const ROLES: &str = "SELECT w.name FROM unnest($1) w(name)
    WHERE NOT EXISTS (SELECT 1 FROM pg_catalog.pg_roles r WHERE r.rolname::text = w.name) ORDER BY 1";

const TABLESPACES: &str = "SELECT w.name FROM unnest($1) w(name)
    WHERE NOT EXISTS (SELECT 1 FROM pg_catalog.pg_tablespace t WHERE t.spcname::text = w.name) ORDER BY 1";

const COLLATIONS: &str = "SELECT w.name FROM unnest($1) w(name)
    WHERE NOT EXISTS (SELECT 1 FROM pg_catalog.pg_collation c
                      WHERE c.collname::text = w.name AND c.collnamespace = 'pg_catalog'::pg_catalog.regnamespace) ORDER BY 1";

async fn missing(
    session: &Session,
    query: &str,
    wanted: &[String],
    cancel: &CancellationToken,
) -> Result<Vec<String>, Error> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let rows = session
        .ask(
            "looking for what the backup names",
            cancel,
            query,
            &[(&wanted, Type::TEXT_ARRAY)],
        )
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

async fn existing(
    session: &Session,
    name: &str,
    cancel: &CancellationToken,
) -> Result<Option<Existing>, Error> {
    let rows = session
        .ask(
            "looking for the database",
            cancel,
            "SELECT d.oid, pg_catalog.pg_get_userbyid(d.datdba)::text, pg_catalog.pg_has_role(d.datdba, 'USAGE'),
                    CASE WHEN pg_catalog.has_database_privilege(d.oid, 'CONNECT')
                              OR pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE')
                         THEN pg_catalog.pg_database_size(d.oid) END,
                    pg_catalog.pg_encoding_to_char(d.encoding)::text, d.datcollate::text, d.datallowconn,
                    d.datname = pg_catalog.current_database()
             FROM pg_catalog.pg_database d WHERE d.datname::text = $1",
            &[(&name, Type::TEXT)],
        )
        .await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let oid: u32 = row.get(0);
    let bytes: Option<i64> = row.get(3);
    let estimate = if row.get(7) {
        let rows = session
            .ask(
                "counting the database's tables",
                cancel,
                "SELECT pg_catalog.count(*), coalesce(pg_catalog.sum(greatest(c.reltuples, 0)), 0)::bigint
                 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                 WHERE c.relkind = 'r' AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'",
                &[],
            )
            .await?;
        let positive = |row: &Row, at: usize| u64::try_from(row.get::<_, i64>(at)).unwrap_or(0);
        rows.first().map(|row| (positive(row, 0), positive(row, 1)))
    } else {
        None
    };
    Ok(Some(Existing {
        oid,
        owner: row.get(1),
        mine: row.get(2),
        bytes: bytes.and_then(|bytes| u64::try_from(bytes).ok()),
        estimate,
        encoding: row.get(4),
        collate: row.get(5),
        allow_connections: row.get(6),
        visitors: visitors(session, &[oid], cancel).await?,
    }))
}

async fn extensions(
    session: &Session,
    needs: &Needs,
    cancel: &CancellationToken,
) -> Result<Vec<ExtensionFact>, Error> {
    if needs.extensions.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<String> = needs
        .extensions
        .iter()
        .map(|wanted| wanted.name.clone())
        .collect();
    let rows = session
        .ask(
            "listing the extensions",
            cancel,
            "SELECT e.name::text, e.default_version,
                    ARRAY(SELECT v.version FROM pg_catalog.pg_available_extension_versions v WHERE v.name = e.name)
             FROM pg_catalog.pg_available_extensions e WHERE e.name::text = ANY ($1)",
            &[(&names, Type::TEXT_ARRAY)],
        )
        .await?;
    let found: BTreeMap<String, (Option<String>, Vec<String>)> = rows
        .iter()
        .map(|row| (row.get(0), (row.get(1), row.get(2))))
        .collect();
    Ok(needs
        .extensions
        .iter()
        .map(|wanted| {
            let there = found.get(&wanted.name);
            let fits = |version: &String| there.is_some_and(|(_, versions)| versions.contains(version));
            ExtensionFact {
                name: wanted.name.clone(),
                wanted: wanted.version.clone(),
                available: there.map(|(default, _)| default.clone().unwrap_or_default()),
                version_fits: there.is_some() && wanted.version.as_ref().is_none_or(fits),
            }
        })
        .collect())
}

/// Encodings 0 to 34 are those that a database can have (`PG_ENCODING_BE_LAST` in pg_wchar.h); others are clients' only.
fn encoding(known: &[String], wanted: &str) -> Answer {
    if wanted.is_empty() || known.iter().any(|name| name.eq_ignore_ascii_case(wanted)) {
        return Answer::Yes;
    }
    Answer::No(format!(
        "A database of this server cannot have the encoding {wanted}."
    ))
}

/// Whether the server can make a database with the locale, as far as its collations tell: they are those that its system had when
/// the cluster was made.
async fn locale(
    session: &Session,
    wanted: &DatabaseNeeds,
    cancel: &CancellationToken,
) -> Result<Answer, Error> {
    let major = session.server_version.major;
    let provider = wanted.provider.as_deref().unwrap_or("libc");
    let own = wanted.locale.as_deref().unwrap_or_default();
    match provider {
        "icu" if major < 15 => {
            return Ok(Answer::No(
                "A database with an ICU locale needs PostgreSQL 15 or newer.".to_owned(),
            ));
        }
        "builtin" if major < 17 || (own == "PG_UNICODE_FAST" && major < 18) => {
            return Ok(Answer::No(format!(
                "This server's PostgreSQL is too old for the built-in locale {own}."
            )));
        }
        "libc" | "icu" | "builtin" => {}
        other => {
            return Ok(Answer::Unknown(format!(
                "The backup's locale is of a kind that Howdah does not know ({other})."
            )));
        }
    }
    let rows = session
        .ask(
            "asking for locales",
            cancel,
            "SELECT (SELECT pg_catalog.array_agg(DISTINCT l.name) FROM (
                         SELECT c.collcollate::text FROM pg_catalog.pg_collation c WHERE c.collprovider = 'c'
                         UNION SELECT d.datcollate::text FROM pg_catalog.pg_database d
                         UNION SELECT d.datctype::text FROM pg_catalog.pg_database d) l(name) WHERE l.name IS NOT NULL),
                    EXISTS (SELECT FROM pg_catalog.pg_collation c WHERE c.collprovider = 'i')",
            &[],
        )
        .await?;
    let Some(row) = rows.first() else {
        return Ok(Answer::Unknown(
            "The server told nothing about its locales.".to_owned(),
        ));
    };
    let known: Vec<String> = row.get::<_, Option<Vec<String>>>(0).unwrap_or_default();
    if provider == "icu" && !row.get::<_, bool>(1) {
        return Ok(Answer::Unknown(
            "This server has no ICU collations, so it may be built without ICU.".to_owned(),
        ));
    }
    for name in [&wanted.collate, &wanted.ctype].into_iter().flatten() {
        let there = matches!(name.as_str(), "" | "C" | "POSIX")
            || known.iter().any(|known| normalised(known) == normalised(name));
        if !there {
            return Ok(Answer::Unknown(format!(
                "The server's machine did not have the locale {name} when its PostgreSQL was set up. Unless it was added since, the database would get another one."
            )));
        }
    }
    Ok(Answer::Yes)
}

/// A system's locale as systems take it for the same: `en_US.UTF-8` and `en_US.utf8`.
fn normalised(name: &str) -> String {
    match name.split_once('.') {
        Some((language, codeset)) => {
            let codeset: String = codeset.chars().filter(char::is_ascii_alphanumeric).collect();
            format!("{language}.{}", codeset.to_lowercase())
        }
        None => name.to_owned(),
    }
}

fn remark(facts: &mut Facts, needs: &Needs) {
    let free = facts
        .slots
        .most
        .saturating_sub(facts.slots.reserved)
        .saturating_sub(facts.slots.used);
    if free < 4 {
        facts.remarks.push(format!(
            "{} of the server's {} connections are taken: restore with one connection.",
            facts.slots.used, facts.slots.most
        ));
    }
    if !needs.publications.is_empty() && facts.wal_level != "logical" {
        facts.remarks.push(format!(
            "The backup has publications, and the server's wal_level is {}: nobody can subscribe to them until it is logical.",
            facts.wal_level
        ));
    }
    if let Some(major) = needs.server_major
        && major > facts.version.major
    {
        facts.remarks.push(format!(
            "The backup is of PostgreSQL {major}, this server is {}: what is newer than the server cannot be restored.",
            facts.version.major
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locale_is_the_same_however_its_codeset_is_written() {
        assert_eq!(normalised("en_US.UTF-8"), normalised("en_US.utf8"));
        assert_ne!(normalised("en_US.UTF-8"), normalised("en_GB.UTF-8"));
        assert_ne!(normalised("de_DE@euro"), normalised("de_DE"));
    }
}
