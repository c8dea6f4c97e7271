//! Connection URLs (PostgreSQL manual, "Connection URIs"), read as libpq reads them, and a little more forgiving where
//! people paste passwords that nobody has percent-encoded.

use super::fields::Fields;
use super::{invalid, strip_prefix_ignoring_case};
use crate::Error;

/// What PostgreSQL URLs begin with, before `://` or a driver's name (`postgresql+asyncpg://`).
const SCHEMES: &[&str] = &["postgresql", "postgres", "postgis"];

/// Whether the text begins as a PostgreSQL URL does.
pub(crate) fn is_url(text: &str) -> bool {
    after_scheme(text).is_some()
}

/// The part after `postgresql://`.
fn after_scheme(text: &str) -> Option<&str> {
    SCHEMES.iter().find_map(|scheme| {
        let rest = strip_prefix_ignoring_case(text, scheme)?;
        if let Some(rest) = rest.strip_prefix("://") {
            return Some(rest);
        }
        let (driver, rest) = rest.strip_prefix('+')?.split_once("://")?;
        driver
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_')
            .then_some(rest)
    })
}

/// A URL somewhere in a text: in a `.env` line, in YAML, in JSON, in code.
pub(crate) fn find(text: &str) -> Option<&str> {
    let lower = text.to_ascii_lowercase();
    let start = SCHEMES
        .iter()
        .flat_map(|scheme| lower.match_indices(scheme))
        .map(|(start, _)| start)
        .filter(|start| text.get(*start..).is_some_and(is_url))
        // Not in the middle of a word: `xpostgres://`.
        .filter(|start| !text[..*start].ends_with(|c: char| c.is_ascii_alphanumeric()))
        .min()?;
    let rest = &text[start..];
    let quote = text[..start]
        .chars()
        .next_back()
        .filter(|c| matches!(c, '"' | '\'' | '`'));
    let end = match quote {
        Some(quote) => rest.find(quote),
        None => rest.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`')),
    };
    Some(rest[..end.unwrap_or(rest.len())].trim_end_matches([';', ',']))
}

/// Reads a URL.
pub(crate) fn parse(text: &str) -> Result<Fields, Error> {
    let rest = after_scheme(text)
        .ok_or_else(|| invalid("This is not a PostgreSQL URL.", "It begins with postgresql://."))?;
    let mut fields = Fields::default();
    let (userinfo, rest) = split_userinfo(rest, &mut fields);
    if let Some(userinfo) = userinfo {
        let (user, password) = match userinfo.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (userinfo, None),
        };
        let user = decoded(user, &mut fields)?;
        fields.set("user", &user);
        if let Some(password) = password {
            let password = decoded(password, &mut fields)?;
            fields.set_password(&password);
        }
    }
    let (address, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    hosts(address, &mut fields)?;
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (rest, None),
    };
    if let Some(database) = path.strip_prefix('/').filter(|database| !database.is_empty()) {
        let database = decoded(database, &mut fields)?;
        fields.set("dbname", &database);
    }
    for parameter in query
        .unwrap_or_default()
        .split('&')
        .filter(|text| !text.is_empty())
    {
        let Some((name, value)) = parameter.split_once('=') else {
            return Err(invalid(
                "A parameter of the URL has no value.",
                "Parameters after the ? are written name=value, with & between them.",
            ));
        };
        let name = decoded(name, &mut fields)?;
        let value = decoded(value, &mut fields)?;
        fields.set(&name, &value);
    }
    Ok(fields)
}

/// Parts off `user:password@`. libpq ends it at the first `@`; people have unescaped ones in their passwords, so here the
/// last one before the host counts, and it is told.
fn split_userinfo<'a>(rest: &'a str, fields: &mut Fields) -> (Option<&'a str>, &'a str) {
    let slash = rest.find('/').unwrap_or(rest.len());
    let first_at = rest.find('@').filter(|at| *at < slash);
    let question = match first_at {
        Some(at) => rest[at..].find('?').map(|offset| at + offset),
        None => rest.find('?'),
    };
    let end = slash.min(question.unwrap_or(rest.len()));
    let mut split = rest[..end].rfind('@');
    let mut unescaped = split != first_at;
    if split.is_none() && !looks_like_hosts(&rest[..end]) {
        // user:pa/ss@host/db: the slash belongs to the password.
        let query = rest[end..].find('?').map_or(rest.len(), |offset| end + offset);
        split = rest[..query].rfind('@').or_else(|| rest.rfind('@'));
        unescaped = split.is_some();
    }
    if unescaped {
        fields.warn("The password holds characters that a URL wants percent-encoded (@ is %40, / is %2F); it was understood all the same.");
    }
    match split {
        Some(at) => (Some(&rest[..at]), &rest[at + 1..]),
        None => (None, rest),
    }
}

/// Whether every `host:port` of the text has a port that is a number.
fn looks_like_hosts(text: &str) -> bool {
    text.split(',').all(|part| {
        let after_bracket = part.rsplit(']').next().unwrap_or(part);
        match after_bracket.rsplit_once(':') {
            Some((_, port)) => port.chars().all(|c| c.is_ascii_digit()),
            None => true,
        }
    })
}

fn hosts(address: &str, fields: &mut Fields) -> Result<(), Error> {
    let mut parts = address.split(',');
    let first = parts.next().unwrap_or_default();
    if parts.next().is_some() {
        fields.warn("Several hosts are given; the first is used.");
    }
    let (host, port) = if let Some(bracketed) = first.strip_prefix('[') {
        let Some((host, after)) = bracketed.split_once(']') else {
            return Err(invalid(
                "The bracket of the IPv6 address is not closed.",
                "Write [::1]:5432.",
            ));
        };
        match after.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if after.is_empty() => (host, None),
            None => {
                return Err(invalid(
                    "After an IPv6 address in brackets only a port may follow.",
                    "Write [::1]:5432.",
                ));
            }
        }
    } else if first.matches(':').count() > 1 {
        // An IPv6 address without brackets: no telling where a port would begin.
        (first, None)
    } else {
        match first.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (first, None),
        }
    };
    let host = decoded(host, fields)?;
    if !host.is_empty() {
        fields.set("host", &host);
    }
    if let Some(port) = port.filter(|port| !port.is_empty()) {
        fields.set("port", port);
    }
    Ok(())
}

/// Percent-decodes. A percent sign that begins no code stays, and is told (libpq refuses it).
fn decoded(text: &str, fields: &mut Fields) -> Result<String, Error> {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let code = (*byte == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match code {
            Some(0) => return Err(invalid("The URL holds a zero byte (%00).", "Take it out.")),
            Some(code) => {
                plain.push(code);
                at += 3;
            }
            None => {
                if *byte == b'%' {
                    fields.warn("A percent sign in the URL is not the beginning of a code; it was taken as it stands (%25 would be right).");
                }
                plain.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8(plain).map_err(|_| {
        invalid(
            "A part of the URL is not UTF-8 after percent-decoding.",
            "Write letters beyond ASCII as they are, or as the percent codes of their UTF-8 bytes.",
        )
    })
}
