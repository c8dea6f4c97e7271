//! Roles, memberships and tablespaces: what belongs to the whole server and is in no database's dump.
//!
//! They come from `pg_dumpall --globals-only` as SQL for psql. Only a superuser can read password hashes; for others they
//! are left out, which is told. A role that may not read even the rest gets a reason, not a failure. Brought back they are roles
//! and memberships only: a tablespace is a folder of another machine.

use std::collections::BTreeSet;
use std::time::Duration;

use howdah_domain::{Connection, Secret};
use tokio_postgres::Client as Sql;
use tokio_postgres::error::SqlState;
use tokio_util::sync::CancellationToken;

use crate::connect::Session;
use crate::programs::Client;
use crate::running::{self, OnLine, Running};
use crate::script::{statements, tokens};
use crate::{Error, libpq, quote};

/// How long one statement about a role may take.
const PATIENCE: Duration = Duration::from_secs(30);

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

/// Makes the roles of `sql` (what [`Globals::spawn`] wrote) that a server lacks, and their memberships. A role that is there already,
/// this session's own among them, is left exactly as it is: its password, rights and settings are somebody's. Tablespaces are left
/// out. Answers what the server refused, as sentences.
///
/// # Errors
/// The connection breaks; [`Error::Cancelled`].
pub async fn bring_back(
    session: &Session,
    sql: &str,
    cancel: &CancellationToken,
) -> Result<Vec<String>, Error> {
    const WHAT: &str = "listing the roles";
    let listed = session
        .client
        .query_typed("SELECT rolname::text FROM pg_catalog.pg_roles", &[]);
    let rows = session.run(WHAT, PATIENCE, cancel, listed).await?;
    let there: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
    let sql = without_comments(sql);
    let mut refused = Vec::new();
    for statement in statements(&sql) {
        if !is_wanted(statement, &there) {
            continue;
        }
        if let Some(why) = attempt(session, statement, cancel).await? {
            refused.push(format!("{}: {why}", shown(statement)));
        }
    }
    Ok(refused)
}

/// Makes those of `roles` that a server lacks, without any rights. Answers what it refused, as sentences.
///
/// # Errors
/// As [`bring_back`].
pub async fn ensure_roles(
    session: &Session,
    roles: &BTreeSet<String>,
    cancel: &CancellationToken,
) -> Result<Vec<String>, Error> {
    let names: Vec<&str> = roles.iter().map(String::as_str).collect();
    let missing = session
        .client
        .query_typed(
            "SELECT name FROM unnest($1) AS name
             WHERE name NOT IN (SELECT rolname::text FROM pg_catalog.pg_roles)
               AND name !~ '^pg_' AND name <> 'public'",
            &[(&names, tokio_postgres::types::Type::TEXT_ARRAY)],
        )
        .await
        .map_err(|error| Error::query("looking for roles", error))?;
    let mut refused = Vec::new();
    for row in missing {
        let name: String = row.get(0);
        let create = format!("CREATE ROLE {}", quote::ident(&name));
        if let Some(why) = attempt(session, &create, cancel).await? {
            refused.push(format!("The role {name} could not be made: {why}"));
        }
    }
    Ok(refused)
}

/// Runs a statement; the server's refusal is an answer, unless it is that the thing is there already.
async fn attempt(
    session: &Session,
    statement: &str,
    cancel: &CancellationToken,
) -> Result<Option<String>, Error> {
    let run = session.client.batch_execute(statement);
    match session.run("bringing roles back", PATIENCE, cancel, run).await {
        Ok(()) => Ok(None),
        Err(Error::Query { source, .. }) if source.code() == Some(&SqlState::DUPLICATE_OBJECT) => Ok(None),
        Err(Error::Query { source, .. }) if source.code().is_some() => Ok(Some(
            source
                .as_db_error()
                .map_or_else(|| source.to_string(), |error| error.message().to_owned()),
        )),
        Err(error) => Err(error),
    }
}

/// The beginning of a statement, without what may be a password.
fn shown(statement: &str) -> String {
    let words: Vec<&str> = statement.split_whitespace().take(4).collect();
    words.join(" ")
}

/// Whether a statement is about a role that is not there yet.
fn is_wanted(statement: &str, there: &BTreeSet<String>) -> bool {
    let tokens = tokens(statement);
    let word = |at: usize, word: &str| tokens.get(at).is_some_and(|token| token.is_word(word));
    let new = |at: usize| {
        tokens
            .get(at)
            .is_some_and(|token| !there.contains(&token.value()))
    };
    if word(0, "CREATE") || word(0, "ALTER") {
        return word(1, "ROLE") && new(2);
    }
    if word(0, "COMMENT") {
        return word(1, "ON") && word(2, "ROLE") && new(3);
    }
    // Memberships: `GRANT a TO b`. Rights on tablespaces and parameters are not.
    word(0, "GRANT") && word(2, "TO") && (new(1) || new(3))
}

/// pg_dumpall's text without its comments and psql's own commands: lines that begin with `--` or a backslash outside of quotes.
fn without_comments(sql: &str) -> String {
    let mut kept = String::with_capacity(sql.len());
    // Which quote is open, and whether a backslash escapes in it.
    let mut open: Option<(char, bool)> = None;
    for line in sql.split_inclusive('\n') {
        if open.is_none() && (line.starts_with("--") || line.starts_with('\\')) {
            continue;
        }
        let (mut before, mut escaped) = (' ', false);
        for c in line.chars() {
            match open {
                Some((_, true)) if escaped => escaped = false,
                Some((_, true)) if c == '\\' => escaped = true,
                Some((quote, _)) if c == quote => open = None,
                None if c == '\'' => open = Some((c, matches!(before, 'E' | 'e'))),
                None if c == '"' => open = Some((c, false)),
                _ => {}
            }
            before = c;
        }
        kept.push_str(line);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMPED: &str = r#"--
-- PostgreSQL database cluster dump
--

\restrict K4PvNbgYRUuQ

SET default_transaction_read_only = off;

--
-- Roles
--

CREATE ROLE "o'hara";
ALTER ROLE "o'hara" WITH NOSUPERUSER LOGIN PASSWORD 'SCRAM-SHA-256$4096:x$y:z';
COMMENT ON ROLE "o'hara" IS 'reads;
-- and writes';
CREATE ROLE postgres;
ALTER ROLE postgres WITH SUPERUSER PASSWORD 'SCRAM-SHA-256$4096:a$b:c';

--
-- User Config "o'hara"
--

ALTER ROLE "o'hara" SET search_path TO 'a', E'b\\';
GRANT "o'hara" TO app WITH INHERIT TRUE GRANTED BY postgres;
ALTER ROLE app WITH SUPERUSER PASSWORD 'SCRAM-SHA-256$4096:old$old:old';
GRANT reader TO app;
CREATE TABLESPACE fast OWNER postgres LOCATION '/mnt/ssd';
GRANT CREATE ON TABLESPACE fast TO app;

\unrestrict K4PvNbgYRUuQ
"#;

    #[test]
    fn only_roles_that_are_not_there_are_taken_from_globals_and_their_memberships() {
        let sql = without_comments(DUMPED);
        let there = ["postgres", "app", "reader"].map(str::to_owned).into();
        let wanted: Vec<&str> = statements(&sql)
            .into_iter()
            .filter(|statement| is_wanted(statement, &there))
            .collect();
        assert_eq!(
            wanted,
            [
                r#"CREATE ROLE "o'hara""#,
                r#"ALTER ROLE "o'hara" WITH NOSUPERUSER LOGIN PASSWORD 'SCRAM-SHA-256$4096:x$y:z'"#,
                "COMMENT ON ROLE \"o'hara\" IS 'reads;\n-- and writes'",
                r#"ALTER ROLE "o'hara" SET search_path TO 'a', E'b\\'"#,
                r#"GRANT "o'hara" TO app WITH INHERIT TRUE GRANTED BY postgres"#,
            ]
        );
    }

    #[test]
    fn what_is_told_of_a_statement_holds_no_password() {
        let told = shown("ALTER ROLE app WITH PASSWORD 'hunter2'");
        assert_eq!(told, "ALTER ROLE app WITH");
    }
}
