//! What a person pastes to say where their database is, understood: a URL, a libpq keyword string, a `psql …` line, a
//! line of a `.env` file, a JDBC or ADO.NET string. Connects to nothing and reads no file.
//!
//! Texts may hold a password anywhere, also where none belongs (an unescaped `@` shifts everything). So no error and no
//! warning quotes the text: parameters are named only when they are known by name.

mod command;
pub(crate) mod fields;
mod keywords;
mod url;

use howdah_domain::{Connection, Failure, FailureCode, Secret, Tls};

use crate::Error;
use fields::Fields;

/// What holds where the text is silent.
#[derive(Debug, Clone)]
pub struct Defaults {
    /// The host or socket directory.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The role.
    pub role: String,
    /// The database; none means the one named as the role, as libpq has it.
    pub database: Option<String>,
    /// TLS settings.
    pub tls: Tls,
}

impl Default for Defaults {
    /// `postgres@localhost:5432/postgres`.
    fn default() -> Self {
        Self {
            host: "localhost".to_owned(),
            port: Connection::DEFAULT_PORT,
            role: "postgres".to_owned(),
            database: None,
            tls: Tls::default(),
        }
    }
}

/// What was understood of a text.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// The connection, with defaults where the text is silent.
    pub connection: Connection,
    /// The password that the text holds, if any.
    pub password: Option<Secret>,
    /// What was left aside or is unwise, as sentences. They quote nothing of the text but known names.
    pub warnings: Vec<String>,
}

/// The longest text that is looked at, in bytes.
const LONGEST: usize = 16 * 1024;

/// Understands a pasted connection.
///
/// # Errors
/// [`FailureCode::InvalidConnection`], saying what was wrong, never quoting the text.
pub fn parse_connection(text: &str, defaults: &Defaults) -> Result<Parsed, Error> {
    if text.len() > LONGEST {
        return Err(invalid("The text is too long for a connection.", FORMS));
    }
    if text.contains('\0') {
        return Err(invalid("The text holds a zero byte.", FORMS));
    }
    let text = unwrap(text);
    if text.is_empty() {
        return Err(invalid("There is nothing to connect to yet.", FORMS));
    }
    understand(text)?.finish(defaults)
}

const FORMS: &str = "Paste a URL (postgresql://role@host:5432/database), a psql command, a DATABASE_URL=… line, \
    or host=… user=… dbname=….";

pub(crate) fn invalid(message: impl Into<String>, hint: &str) -> Error {
    Failure::new(FailureCode::InvalidConnection, message)
        .hint(hint)
        .into()
}

fn understand(text: &str) -> Result<Fields, Error> {
    if let Some(rest) = strip_prefix_ignoring_case(text, "jdbc:") {
        return understand_jdbc(rest);
    }
    if url::is_url(text) {
        // A URL that a mail or a terminal has wrapped.
        return url::parse(&joined_lines(text));
    }
    let in_one_line = text.replace("\\\r\n", " ").replace("\\\n", " ");
    if let Some(fields) = command::parse(&in_one_line)? {
        return Ok(fields);
    }
    if let Some(found) = url::find(text) {
        return url::parse(found);
    }
    if let Some(fields) = command::parse_assignments(text)? {
        return Ok(fields);
    }
    if let Some((scheme, _)) = text.split_once("://")
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    {
        return Err(invalid(
            "This is the URL of something else than PostgreSQL.",
            FORMS,
        ));
    }
    if keywords::looks_like_ado(text) {
        return keywords::parse_ado(text);
    }
    if text.contains('=') {
        return keywords::parse(text);
    }
    if text.starts_with('/') && !text.contains(char::is_whitespace) {
        let mut fields = Fields::default();
        fields.set("host", text);
        return Ok(fields);
    }
    // host, host:port/database, role@host
    if !text.contains(char::is_whitespace) && text.contains(['.', ':', '/', '@']) || text == "localhost" {
        return url::parse(&format!("postgresql://{text}"));
    }
    Err(invalid(
        "This is not a connection that Howdah understands.",
        FORMS,
    ))
}

/// `jdbc:postgresql://host/db?user=…` and `jdbc:postgresql:db`.
fn understand_jdbc(rest: &str) -> Result<Fields, Error> {
    let rest = joined_lines(rest);
    if url::is_url(&rest) {
        return url::parse(&rest);
    }
    match strip_prefix_ignoring_case(&rest, "postgresql:") {
        Some(path) => url::parse(&format!("postgresql:///{}", path.trim_start_matches('/'))),
        None => Err(invalid(
            "This is the JDBC URL of something else than PostgreSQL.",
            FORMS,
        )),
    }
}

/// Takes away what surrounds a pasted text: spaces, a prompt, quotes, backticks, trailing semicolons and commas.
fn unwrap(text: &str) -> &str {
    let mut text = text.trim_start_matches('\u{feff}').trim();
    for prompt in ["$ ", "# ", "> ", "% "] {
        text = text.strip_prefix(prompt).unwrap_or(text).trim_start();
    }
    loop {
        let before = text;
        text = text.trim_end_matches([';', ',']).trim();
        for quote in ['"', '\'', '`'] {
            if let Some(inner) = text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote))
                && !inner.contains(quote)
            {
                text = inner.trim();
            }
        }
        if let Some(inner) = text.strip_prefix('<').and_then(|text| text.strip_suffix('>')) {
            text = inner.trim();
        }
        if text == before {
            return text;
        }
    }
}

fn joined_lines(text: &str) -> String {
    text.lines().map(str::trim).collect()
}

pub(crate) fn strip_prefix_ignoring_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
}

#[cfg(test)]
mod tests;
