//! Roles, memberships and tablespaces: what belongs to the whole server and is in no database's dump.
//!
//! They come from `pg_dumpall --globals-only` as SQL for psql. Only a superuser can read password hashes; for others they
//! are left out, which is told. A role that may not read even the rest gets a reason, not a failure.

use howdah_domain::{Connection, Secret};
use tokio_postgres::Client as Sql;

use crate::programs::Client;
use crate::running::{self, OnLine, Running};
use crate::{Error, libpq};

/// What the role may read of the globals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readable {
    /// Everything.
    Everything,
    /// All but the password hashes (`pg_authid` is the superuser's), and why.
    WithoutPasswords(String),
    /// Nothing, and why.
    Nothing(String),
}

/// Asks what the role of this session may read of the globals.
///
/// # Errors
/// A statement's error ([`Error::Query`]).
pub async fn readable(sql: &Sql) -> Result<Readable, Error> {
    const WHAT: &str = "asking which globals the role may read";
    let rows = sql
        .query_typed(
            "SELECT pg_catalog.has_table_privilege('pg_catalog.pg_authid', 'SELECT'),
                    pg_catalog.has_table_privilege('pg_catalog.pg_roles', 'SELECT')
                    AND pg_catalog.has_table_privilege('pg_catalog.pg_auth_members', 'SELECT')
                    AND pg_catalog.has_table_privilege('pg_catalog.pg_tablespace', 'SELECT')
                    AND pg_catalog.has_table_privilege('pg_catalog.pg_db_role_setting', 'SELECT'),
                    current_user::text",
            &[],
        )
        .await
        .map_err(|error| Error::query(WHAT, error))?;
    let Some(row) = rows.first() else {
        return Ok(Readable::Nothing(
            "the server told nothing about this role's rights".to_owned(),
        ));
    };
    let (all, most, role): (bool, bool, String) = (row.get(0), row.get(1), row.get(2));
    Ok(match (all, most) {
        (true, _) => Readable::Everything,
        (false, true) => Readable::WithoutPasswords(format!(
            "Role {role} may not read the roles' password hashes (only a superuser may): the globals are saved without passwords."
        )),
        (false, false) => Readable::Nothing(format!(
            "Role {role} may not read the server's roles, so the globals are left out."
        )),
    })
}

/// Globals to be taken.
#[derive(Debug, Clone, Copy)]
pub struct Globals<'a> {
    /// The programs to take them with.
    pub client: &'a Client,
    /// Where; its database is the one connected to.
    pub connection: &'a Connection,
    /// The password.
    pub secret: Option<&'a Secret>,
    /// Whether the password hashes go along (see [`readable`]).
    pub passwords: bool,
}

impl Globals<'_> {
    /// Starts pg_dumpall. Its stdout is SQL for psql, some kilobytes; see [`Running`] for how to end it.
    ///
    /// # Errors
    /// As [`crate::dump::Dump::spawn`].
    pub fn spawn(&self, on_line: OnLine) -> Result<Running, Error> {
        let mut command =
            running::command(self.client, &self.client.pg_dumpall, self.connection, self.secret);
        let conninfo = libpq::conninfo(self.connection);
        command
            .arg("--globals-only")
            .arg(format!("--database={conninfo}"));
        if !self.passwords {
            command.arg("--no-role-passwords");
        }
        Running::start("pg_dumpall", command, self.connection, on_line)
    }
}
