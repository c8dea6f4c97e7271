//! Command lines as people copy them out of a terminal or a provider's page: `PGPASSWORD=… psql -h …`, `sudo -u postgres
//! psql shop`, `export DATABASE_URL="…"`. Words are split as a POSIX shell does; nothing is expanded and nothing is run.

use howdah_domain::Secret;

use super::fields::Fields;
use super::{invalid, keywords, url};
use crate::Error;

/// Programs that take connection options as psql does.
const PROGRAMS: &[&str] = &[
    "psql",
    "pgcli",
    "pg_dump",
    "pg_dumpall",
    "pg_restore",
    "pg_isready",
    "createdb",
    "vacuumdb",
    "pgbench",
];

/// psql's short options that take a value (those of pg_dump that psql has as flags, such as `-t`, are told apart by the
/// program's name).
const SHORT_WITH_VALUE: &str = "cdfFhLopPRTUv";
const SHORT_WITH_VALUE_PG_DUMP: &str = "defEFhjnNpStTUZ";
/// Long options that take a value and are not about the connection.
const LONG_WITH_VALUE: &[&str] = &[
    "command",
    "file",
    "set",
    "variable",
    "output",
    "log-file",
    "pset",
    "field-separator",
    "record-separator",
    "table-attr",
    "schema",
    "table",
    "exclude-schema",
    "exclude-table",
    "format",
    "jobs",
    "compress",
    "encoding",
];

/// Reads a command line; none if the text is not one.
pub(crate) fn parse(text: &str) -> Result<Option<Fields>, Error> {
    let Some(words) = split(text) else {
        // An open quote: an error only where it is a command at all.
        return if begins_with_program(text) {
            Err(invalid(
                "A quote in the command is not closed.",
                "Close it, or paste the whole line.",
            ))
        } else {
            Ok(None)
        };
    };
    let Some(position) = words.iter().position(|word| program(word.expose()).is_some()) else {
        return Ok(None);
    };
    let (before, after) = words.split_at(position);
    if before.iter().any(|word| word.expose().contains("://")) && !before.iter().all(is_assignment) {
        return Ok(None);
    }
    let mut fields = Fields::default();
    let variables = assignments(before);
    for (name, value) in &variables {
        set_variable(&mut fields, name, value.expose());
    }
    let mut options = Fields::default();
    let as_user = sudo_user(before);
    let Some((name, arguments)) = after.split_first() else {
        return Ok(None);
    };
    read_options(name.expose(), arguments, &variables, &mut options)?;
    fields.overlay(options);
    if let Some(user) = as_user {
        fields.warn("sudo logs in over the Unix socket as another user of the system, which Howdah cannot do: the role may need a password.");
        fields.default_host("/var/run/postgresql");
        fields.default_user(&user);
    }
    Ok(Some(fields))
}

fn begins_with_program(text: &str) -> bool {
    text.split_whitespace()
        .take(8)
        .any(|word| program(word).is_some())
}

/// The program's name, where the word is one: a path before it and `.exe` after it do not matter.
fn program(word: &str) -> Option<&'static str> {
    let base = word.rsplit(['/', '\\']).next().unwrap_or(word);
    let base = base.strip_suffix(".exe").unwrap_or(base);
    PROGRAMS.iter().find(|program| **program == base).copied()
}

fn read_options(
    name: &str,
    arguments: &[Secret],
    variables: &[(String, Secret)],
    fields: &mut Fields,
) -> Result<(), Error> {
    let with_value = if program(name).is_some_and(|name| name.starts_with("pg_")) {
        SHORT_WITH_VALUE_PG_DUMP
    } else {
        SHORT_WITH_VALUE
    };
    let mut positional = 0;
    let mut words = arguments.iter().map(Secret::expose);
    let mut only_positional = false;
    while let Some(word) = words.next() {
        if matches!(word, "|" | "<" | ">" | ">>" | "&&" | "||" | ";" | "<<<") || word.starts_with('>') {
            break;
        }
        if !only_positional && word == "--" {
            only_positional = true;
            continue;
        }
        if !only_positional && let Some(long) = word.strip_prefix("--") {
            let (option, value) = match long.split_once('=') {
                Some((option, value)) => (option, Some(value)),
                None => (long, None),
            };
            let parameter = match option {
                "host" => Some("host"),
                "port" => Some("port"),
                "username" => Some("user"),
                "dbname" => Some("dbname"),
                _ => None,
            };
            let takes_value = parameter.is_some() || LONG_WITH_VALUE.contains(&option);
            let value = match value {
                Some(value) => Some(value),
                None if takes_value => Some(words.next().ok_or_else(|| missing_value(option))?),
                None => None,
            };
            if let (Some(parameter), Some(value)) = (parameter, value) {
                set_option(fields, parameter, value, variables)?;
            }
            continue;
        }
        let short = word
            .strip_prefix('-')
            .filter(|short| !short.is_empty() && !only_positional);
        if let Some(short) = short {
            for (at, letter) in short.char_indices() {
                if !with_value.contains(letter) {
                    continue;
                }
                let attached = &short[at + letter.len_utf8()..];
                let value = if attached.is_empty() {
                    words.next().ok_or_else(|| missing_value(&letter.to_string()))?
                } else {
                    attached
                };
                let parameter = match letter {
                    'h' => "host",
                    'p' => "port",
                    'U' => "user",
                    'd' => "dbname",
                    _ => break,
                };
                set_option(fields, parameter, value, variables)?;
                break;
            }
            continue;
        }
        positional += 1;
        match positional {
            1 => set_option(fields, "dbname", word, variables)?,
            2 => fields.set("user", word),
            _ => {}
        }
    }
    Ok(())
}

fn missing_value(option: &str) -> Error {
    // Options are named only where they are psql's own.
    let named = matches!(
        option,
        "host" | "port" | "username" | "dbname" | "h" | "p" | "U" | "d"
    );
    let message = if named {
        format!("The option {option} has no value after it.")
    } else {
        "The last option has no value after it.".to_owned()
    };
    invalid(message, "Paste the whole command.")
}

/// Sets a parameter; a database may be a whole connection string or URL, and wins then over what stood before it.
fn set_option(
    fields: &mut Fields,
    parameter: &str,
    value: &str,
    variables: &[(String, Secret)],
) -> Result<(), Error> {
    let value = match value.strip_prefix('$') {
        Some(variable) => {
            let name = variable.trim_matches(['{', '}']);
            let known = variables.iter().find(|(known, _)| known == name);
            known.map(|(_, value)| value.expose()).ok_or_else(|| {
                invalid(
                    "The command takes the connection from a variable whose value is not part of the text.",
                    "Paste the variable's value: echo it in your shell.",
                )
            })?
        }
        None => value,
    };
    if parameter == "dbname" && url::is_url(value) {
        fields.overlay(url::parse(value)?);
    } else if parameter == "dbname" && value.contains('=') {
        fields.overlay(keywords::parse(value)?);
    } else {
        fields.set(parameter, value);
    }
    Ok(())
}

/// The user that sudo or su is told to become.
fn sudo_user(before: &[Secret]) -> Option<String> {
    let words: Vec<&str> = before.iter().map(Secret::expose).collect();
    let sudo = words.iter().position(|word| *word == "sudo" || *word == "su")?;
    let mut rest = words[sudo + 1..].iter();
    while let Some(word) = rest.next() {
        if let Some(user) = word.strip_prefix("--user=") {
            return Some(user.to_owned());
        }
        if matches!(*word, "-u" | "--user") || (words[sudo] == "su" && *word == "-") {
            return rest.next().map(|user| (*user).to_owned());
        }
        if let Some(user) = word.strip_prefix("-u").filter(|user| !user.is_empty()) {
            return Some(user.to_owned());
        }
    }
    Some("root".to_owned())
}

fn is_assignment(word: &Secret) -> bool {
    assignment(word.expose()).is_some()
}

fn assignment(word: &str) -> Option<(&str, &str)> {
    let (name, value) = word.split_once('=')?;
    let fits = !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    fits.then_some((name, value))
}

fn assignments(words: &[Secret]) -> Vec<(String, Secret)> {
    words
        .iter()
        .filter_map(|word| assignment(word.expose()))
        .map(|(name, value)| (name.to_owned(), Secret::new(value)))
        .collect()
}

fn set_variable(fields: &mut Fields, name: &str, value: &str) -> bool {
    let parameter = match name {
        "PGHOST" => "host",
        "PGHOSTADDR" => "hostaddr",
        "PGPORT" => "port",
        "PGUSER" => "user",
        "PGPASSWORD" => "password",
        "PGDATABASE" => "dbname",
        "PGSSLMODE" => "sslmode",
        "PGSSLROOTCERT" => "sslrootcert",
        "PGSSLCERT" => "sslcert",
        "PGSSLKEY" => "sslkey",
        "PGSERVICE" => "service",
        _ => return false,
    };
    fields.set(parameter, value);
    true
}

/// Reads lines of assignments (`PGHOST=…`, `export PGUSER=…`, the usual names of a `.env` file); none if there are none.
pub(crate) fn parse_assignments(text: &str) -> Result<Option<Fields>, Error> {
    let Some(words) = split(text) else {
        return Ok(None);
    };
    let mut fields = Fields::default();
    let mut found = false;
    for (name, value) in assignments(&words) {
        let value = value.expose().trim_end_matches(';');
        if set_variable(&mut fields, &name, value) {
            found = true;
            continue;
        }
        let parameter = match name.as_str() {
            "DB_HOST" | "DATABASE_HOST" | "POSTGRES_HOST" => "host",
            "DB_PORT" | "DATABASE_PORT" | "POSTGRES_PORT" => "port",
            "DB_USER" | "DB_USERNAME" | "DATABASE_USER" | "POSTGRES_USER" => "user",
            "DB_PASSWORD" | "DATABASE_PASSWORD" | "POSTGRES_PASSWORD" => "password",
            "DB_NAME" | "DB_DATABASE" | "DATABASE_NAME" | "POSTGRES_DB" | "POSTGRES_DATABASE" => "dbname",
            _ => continue,
        };
        fields.set(parameter, value);
        found = true;
    }
    Ok(found.then_some(fields))
}

/// Splits a line into words as a POSIX shell does, without expansion; none where a quote is not closed.
fn split(text: &str) -> Option<Vec<Secret>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next()? {
                        '\'' => break,
                        letter => word.push(letter),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next()? {
                        '"' => break,
                        '\\' => match letters.next()? {
                            escaped @ ('"' | '\\' | '$' | '`') => word.push(escaped),
                            other => {
                                word.push('\\');
                                word.push(other);
                            }
                        },
                        letter => word.push(letter),
                    }
                }
            }
            '\\' => {
                let word = word.get_or_insert_default();
                match letters.next() {
                    Some('\n') | None => {}
                    Some(escaped) => word.push(escaped),
                }
            }
            letter if letter.is_whitespace() => words.extend(word.take().map(Secret::new)),
            letter => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word.take().map(Secret::new));
    Some(words)
}
