//! The database itself, as an archive has it: created under whatever name, with its encoding, locale, settings,
//! privileges and comment.
//!
//! pg_dump keeps these in entries that pg_restore only runs with `--create`, under the old name. Here they are taken
//! apart and rewritten to the new one. What is inside the database is not this module's.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use howdah_domain::{Failure, FailureCode};
use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;

use crate::connect::Session;
use crate::contents::Contents;
use crate::restore::Options;
use crate::script::{statements, tokens};
use crate::verdict::RestoreError;
use crate::{Error, classify, quote};

/// How long a cancelled restore waits to hear whether its database was made.
const PATIENCE_WHEN_CANCELLED: Duration = Duration::from_secs(30);

/// How a database is made, and what is done to it before and after its content is restored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Definition {
    /// `CREATE DATABASE`'s options, keys in capitals: `ENCODING`, `LC_COLLATE`, `LOCALE_PROVIDER`, `TABLESPACE`.
    pub options: Vec<(String, String)>,
    /// The owner it had.
    pub owner: Option<String>,
    /// Statements to run before the content is restored, since they may decide how it is read (`lc_monetary`).
    pub before: Vec<String>,
    /// Statements to run after it: privileges, comment, and what would stand in the restore's way
    /// (`default_transaction_read_only`, `CONNECTION LIMIT`).
    pub after: Vec<String>,
}

impl Definition {
    /// Reads it from an archive, its statements rewritten to `name`. `session` (any database of the target) decodes
    /// texts that are not UTF-8.
    ///
    /// # Errors
    /// A statement's error ([`Error::Query`]).
    pub async fn read(contents: &Contents, name: &str, session: &Session) -> Result<Self, Error> {
        let encoding = contents.encoding();
        let mut definition = Self::default();
        for item in contents.items.iter().filter(|item| item.is_of_database()) {
            let sql = decode(session, &encoding, &item.definition).await?;
            definition.take(&item.kind, item.owner.as_deref(), &sql, name);
        }
        if definition.option("ENCODING").is_none() {
            definition.options.push(("ENCODING".to_owned(), encoding));
        }
        Ok(definition)
    }

    fn take(&mut self, kind: &str, owner: Option<&str>, sql: &str, name: &str) {
        if kind == "DATABASE" {
            self.options = create_options(sql);
            self.owner = owner.map(str::to_owned);
            return;
        }
        for statement in statements(sql) {
            let rewritten = rewrite(statement, name);
            if kind == "DATABASE PROPERTIES" && !stands_in_the_way(statement) {
                self.before.push(rewritten);
            } else {
                self.after.push(rewritten);
            }
        }
    }

    fn option(&self, key: &str) -> Option<&str> {
        let mut options = self.options.iter();
        options
            .find(|(found, _)| found == key)
            .map(|(_, value)| value.as_str())
    }

    /// `CREATE DATABASE` statements to try in turn, each with what it gives up.
    fn attempts(&self, name: &str, server_major: u16) -> Vec<(String, Vec<String>)> {
        let encoding = self.option("ENCODING").unwrap_or("UTF8");
        let base = format!(
            "CREATE DATABASE {} WITH TEMPLATE template0 ENCODING {}",
            quote::ident(name),
            quote::literal(encoding)
        );
        let libc = if server_major >= 15 {
            " LOCALE_PROVIDER libc"
        } else {
            ""
        };
        let mut locales = vec![(self.locale_clauses(libc), None)];
        for locale in ["C.UTF-8", "C"] {
            // C.UTF-8 goes with UTF8 only, C with every encoding.
            if locale == "C" || encoding == "UTF8" {
                locales.push((
                    format!("{libc} LC_COLLATE '{locale}' LC_CTYPE '{locale}'"),
                    Some(format!(
                        "The target lacks the locale {}: the database was made with {locale} instead, so texts sort differently.",
                        self.locale_for_people()
                    )),
                ));
            }
        }
        let mut tablespaces = vec![(String::new(), None)];
        if let Some(tablespace) = self.option("TABLESPACE").filter(|name| *name != "pg_default") {
            tablespaces[0].1 = Some(format!(
                "The target lacks the tablespace {tablespace}: the database lies in the default one."
            ));
            tablespaces.insert(0, (format!(" TABLESPACE {}", quote::ident(tablespace)), None));
        }
        let mut attempts = Vec::new();
        for (tablespace, no_tablespace) in &tablespaces {
            for (locale, no_locale) in &locales {
                let warnings = no_locale.iter().chain(no_tablespace).cloned().collect();
                attempts.push((format!("{base}{locale}{tablespace}"), warnings));
            }
        }
        attempts
    }

    /// The locale exactly as it was. `libc` is said where the archive does not name a provider (13 and 14) and the
    /// server knows the word: its template0 may have another one.
    fn locale_clauses(&self, libc: &str) -> String {
        let mut clauses = match self.option("LOCALE_PROVIDER") {
            None | Some("libc") => libc.to_owned(),
            Some(provider) => format!(" LOCALE_PROVIDER {}", quote::ident(provider)),
        };
        for key in [
            "LOCALE",
            "LC_COLLATE",
            "LC_CTYPE",
            "ICU_LOCALE",
            "ICU_RULES",
            "BUILTIN_LOCALE",
        ] {
            if let Some(value) = self.option(key) {
                clauses.push_str(&format!(" {key} {}", quote::literal(value)));
            }
        }
        clauses
    }

    fn locale_for_people(&self) -> String {
        let mut names: Vec<&str> = ["LOCALE", "LC_COLLATE", "LC_CTYPE", "ICU_LOCALE", "BUILTIN_LOCALE"]
            .iter()
            .filter_map(|key| self.option(key))
            .collect();
        names.dedup();
        let provider = match self.option("LOCALE_PROVIDER") {
            Some(provider) if provider != "libc" => format!(" (provider {provider})"),
            _ => String::new(),
        };
        format!("{}{provider}", names.join(", "))
    }
}

/// Creates a database as `definition` says; where the target lacks its locale, with the nearest one, which is told in
/// what comes back. `session` is on any other database of the target. Runs `definition.before`, not `after`. `is_created` is set as
/// soon as the database is there, whatever happens then.
///
/// # Errors
/// [`FailureCode::DatabaseExists`]; [`FailureCode::PermissionDenied`]; [`Error::Query`]; [`Error::Cancelled`].
pub async fn create_database(
    session: &Session,
    name: &str,
    definition: &Definition,
    is_created: &AtomicBool,
    cancel: &CancellationToken,
) -> Result<Vec<String>, Error> {
    const WHAT: &str = "creating the database";
    let mut patience = 10;
    let attempts = definition.attempts(name, session.server_version.major);
    let mut attempts = attempts.into_iter().peekable();
    while let Some((statement, warnings)) = attempts.peek().cloned() {
        if cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        // The server goes on making it whoever cancels; whether it did has to be known, so that is waited for a little.
        let given_up = async {
            cancel.cancelled().await;
            tokio::time::sleep(PATIENCE_WHEN_CANCELLED).await;
        };
        let created = tokio::select! {
            biased;
            created = session.client.batch_execute(&statement) => created,
            () = given_up => {
                return Err(Failure::new(
                    FailureCode::Timeout,
                    format!("It was cancelled, and the server does not say whether it has made the database {name}."),
                )
                .hint(format!("Look whether {name} is there, and drop it."))
                .into());
            }
        };
        let Err(error) = created else {
            is_created.store(true, Ordering::Relaxed);
            return Ok([
                warnings,
                run(session, &definition.before, cancel)
                    .await?
                    .iter()
                    .map(|error| format!("A setting of the database could not be made: {error}"))
                    .collect(),
            ]
            .concat());
        };
        let state = error.as_db_error().map(|db| db.code().code().to_owned());
        match state.as_deref() {
            // The second is what somebody hears who makes the same one at the same moment.
            Some("42P04" | "23505") => {
                return Err(Failure::new(
                    FailureCode::DatabaseExists,
                    format!("There is a database {name} on the target already."),
                )
                .hint("Give another name, or leave out --create to restore into it.")
                .into());
            }
            // Somebody is connected to template0: usually for a moment.
            Some("55006") if patience > 0 => {
                patience -= 1;
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
            // No such locale, provider, option or tablespace; or a locale that does not go with the encoding.
            Some("42809" | "22023" | "0A000" | "42601" | "42704" | "42P17") => {
                attempts.next();
                if attempts.peek().is_none() {
                    return Err(Error::query(WHAT, error));
                }
            }
            _ => return Err(Error::query(WHAT, error)),
        }
    }
    Err(Error::new(
        FailureCode::Internal,
        "There was no way left to create the database.",
    ))
}

/// Runs what is done to the database after its content is there, its owner last. What fails is named in what comes back.
///
/// # Errors
/// [`Error::Query`] where the connection breaks; [`Error::Cancelled`].
pub async fn finish_database(
    session: &Session,
    name: &str,
    definition: &Definition,
    keep: &Options,
    cancel: &CancellationToken,
) -> Result<Vec<RestoreError>, Error> {
    let is_privilege = |statement: &String| statement.starts_with("GRANT") || statement.starts_with("REVOKE");
    let mut after: Vec<String> = definition
        .after
        .iter()
        .filter(|statement| keep.privileges || !is_privilege(statement))
        .cloned()
        .collect();
    if let Some(owner) = definition.owner.as_ref().filter(|_| keep.owners) {
        after.push(format!(
            "ALTER DATABASE {} OWNER TO {}",
            quote::ident(name),
            quote::ident(owner)
        ));
    }
    run(session, &after, cancel).await
}

/// Runs statements one by one; those that the server refuses come back.
async fn run(
    session: &Session,
    statements: &[String],
    cancel: &CancellationToken,
) -> Result<Vec<RestoreError>, Error> {
    let mut errors = Vec::new();
    for statement in statements {
        let done = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(Error::Cancelled),
            done = session.client.batch_execute(statement) => done,
        };
        match done {
            Ok(()) => {}
            Err(error) if error.as_db_error().is_some() && !error.is_closed() => errors.push(RestoreError {
                object: "DATABASE".to_owned(),
                error: classify::server_text(&error),
                command: Some(statement.clone()),
            }),
            Err(error) => return Err(Error::query("setting up the database", error)),
        }
    }
    Ok(errors)
}

/// A text of the archive as UTF-8: the server converts, since it knows all of its encodings.
pub(crate) async fn decode(session: &Session, encoding: &str, text: &[u8]) -> Result<String, Error> {
    match std::str::from_utf8(text) {
        Ok(text) if text.is_ascii() || encoding == "UTF8" => return Ok(text.to_owned()),
        _ if matches!(encoding, "UTF8" | "SQL_ASCII") => {
            return Ok(String::from_utf8_lossy(text).into_owned());
        }
        _ => {}
    }
    let rows = session
        .client
        .query_typed(
            "SELECT pg_catalog.convert_from($1, $2::pg_catalog.text::pg_catalog.name)",
            &[(&text, Type::BYTEA), (&encoding, Type::TEXT)],
        )
        .await
        .map_err(|error| Error::query("decoding the archive's texts", error))?;
    Ok(rows.first().map_or_else(String::new, |row| row.get(0)))
}

/// The options of a `CREATE DATABASE name WITH KEY = value …;` as pg_dump writes it.
pub(crate) fn create_options(sql: &str) -> Vec<(String, String)> {
    let tokens = tokens(sql);
    let Some(with) = tokens.iter().position(|token| token.is_word("WITH")) else {
        return Vec::new();
    };
    let (mut options, mut key) = (Vec::new(), String::new());
    let mut rest = tokens[with + 1..].iter();
    while let Some(token) = rest.next() {
        match token.text {
            ";" => break,
            "=" => {
                if let Some(value) = rest.next() {
                    options.push((std::mem::take(&mut key), value.value()));
                }
            }
            word => {
                if !key.is_empty() {
                    key.push(' ');
                }
                key.push_str(&word.to_uppercase());
            }
        }
    }
    options
}

/// Whether a database's property would keep its own content from being restored, or our sessions out.
fn stands_in_the_way(statement: &str) -> bool {
    tokens(statement).iter().any(|token| {
        [
            "default_transaction_read_only",
            "role",
            "CONNECTION",
            "IS_TEMPLATE",
            "ALLOW_CONNECTIONS",
        ]
        .iter()
        .any(|word| token.is_word(word))
            || token.text == "\"role\""
    }) && tokens(statement)
        .first()
        .is_some_and(|token| token.is_word("ALTER"))
        && !tokens(statement)
            .get(1)
            .is_some_and(|token| token.is_word("ROLE"))
}

/// The statement with the database's name exchanged: the name after `ALTER DATABASE`, `IN DATABASE` or `ON DATABASE`.
fn rewrite(statement: &str, name: &str) -> String {
    let tokens = tokens(statement);
    for (at, token) in tokens.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|before| tokens.get(before));
        let named = token.is_word("DATABASE")
            && before.is_some_and(|before| {
                (at == 1 && before.is_word("ALTER")) || before.is_word("IN") || before.is_word("ON")
            });
        if let (true, Some(old)) = (named, tokens.get(at + 1)) {
            let end = old.at + old.text.len();
            return format!(
                "{}{}{}",
                &statement[..old.at],
                quote::ident(name),
                &statement[end..]
            );
        }
    }
    statement.to_owned()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn options(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn create_database_s_options_are_read_as_pg_dump_writes_them() {
        assert_eq!(
            create_options(
                "CREATE DATABASE \"a;b WITH\" WITH TEMPLATE = template0 ENCODING = 'UTF8' LOCALE_PROVIDER = icu \
                 LOCALE = 'en_US.UTF-8' ICU_LOCALE = 'de-u-co-phonebk' TABLESPACE = \"fast disk\";\n"
            ),
            options(&[
                ("TEMPLATE", "template0"),
                ("ENCODING", "UTF8"),
                ("LOCALE_PROVIDER", "icu"),
                ("LOCALE", "en_US.UTF-8"),
                ("ICU_LOCALE", "de-u-co-phonebk"),
                ("TABLESPACE", "fast disk"),
            ])
        );
    }

    #[rstest]
    #[case(
        "ALTER DATABASE shop SET work_mem TO '4MB'",
        "ALTER DATABASE \"n\"\"ew\" SET work_mem TO '4MB'"
    )]
    #[case(
        "ALTER ROLE database IN DATABASE \"my shop\" SET search_path TO 'a', 'IN DATABASE x'",
        "ALTER ROLE database IN DATABASE \"n\"\"ew\" SET search_path TO 'a', 'IN DATABASE x'"
    )]
    #[case(
        "GRANT CONNECT ON DATABASE shop TO shop",
        "GRANT CONNECT ON DATABASE \"n\"\"ew\" TO shop"
    )]
    #[case(
        "COMMENT ON DATABASE shop IS 'the shop'",
        "COMMENT ON DATABASE \"n\"\"ew\" IS 'the shop'"
    )]
    #[case(
        "REVOKE ALL ON DATABASE \"a\"\"b\" FROM PUBLIC",
        "REVOKE ALL ON DATABASE \"n\"\"ew\" FROM PUBLIC"
    )]
    #[case(
        "SECURITY LABEL FOR x ON DATABASE shop IS 'y'",
        "SECURITY LABEL FOR x ON DATABASE \"n\"\"ew\" IS 'y'"
    )]
    fn only_the_database_s_name_is_exchanged(#[case] statement: &str, #[case] rewritten: &str) {
        assert_eq!(rewrite(statement, "n\"ew"), rewritten);
    }

    #[test]
    fn settings_that_would_block_the_restore_come_after_it() {
        let mut definition = Definition::default();
        definition.take(
            "DATABASE PROPERTIES",
            None,
            "ALTER DATABASE a CONNECTION LIMIT = 3;\nALTER DATABASE a SET default_transaction_read_only TO 'on';\n\
             ALTER DATABASE a SET lc_monetary TO 'de_DE.UTF-8';\nALTER ROLE r IN DATABASE a SET work_mem TO '1MB';\n",
            "a",
        );
        assert_eq!(definition.before.len(), 2, "{definition:?}");
        assert_eq!(definition.after.len(), 2, "{definition:?}");
        assert!(definition.before[0].contains("lc_monetary"));
    }

    #[test]
    fn a_locale_that_the_target_lacks_becomes_c_utf8_and_then_c() {
        let definition = Definition {
            options: options(&[
                ("ENCODING", "UTF8"),
                ("LC_COLLATE", "en_US.UTF-8"),
                ("LC_CTYPE", "en_US.UTF-8"),
            ]),
            ..Definition::default()
        };
        let attempts = definition.attempts("x", 14);
        let locales: Vec<bool> = attempts.iter().map(|(_, warnings)| warnings.is_empty()).collect();
        assert_eq!(locales, [true, false, false]);
        assert!(attempts[0].0.contains("'en_US.UTF-8'") && !attempts[0].0.contains("PROVIDER"));
        assert!(attempts[1].0.contains("'C.UTF-8'") && attempts[2].0.contains("'C'"));
        // The word is said from 15 on: template0 there may have another provider.
        assert!(definition.attempts("x", 17)[0].0.contains("LOCALE_PROVIDER libc"));
    }

    #[test]
    fn c_utf8_is_not_tried_with_another_encoding() {
        let definition = Definition {
            options: options(&[("ENCODING", "WIN1252"), ("LOCALE", "de_DE.cp1252")]),
            ..Definition::default()
        };
        assert!(
            !definition
                .attempts("x", 17)
                .iter()
                .any(|(sql, _)| sql.contains("C.UTF-8"))
        );
    }
}
