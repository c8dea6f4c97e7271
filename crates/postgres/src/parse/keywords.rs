//! Keyword strings: libpq's `host=… dbname='…'` (PostgreSQL manual, "Keyword/Value Connection Strings") and ADO.NET's
//! `Host=…;Username=…`.

use super::fields::Fields;
use super::invalid;
use crate::Error;

const HINT: &str = "Write host=… port=… user=… dbname=…, with single quotes around values that hold spaces.";

/// Reads a libpq keyword string.
pub(crate) fn parse(text: &str) -> Result<Fields, Error> {
    let mut fields = Fields::default();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| c == '=' || c.is_whitespace())
            .unwrap_or(rest.len());
        let name = &rest[..end];
        rest = rest[end..].trim_start();
        let Some(after) = rest.strip_prefix('=') else {
            return Err(invalid(
                "A word of the connection string is followed by no = sign.",
                HINT,
            ));
        };
        if name.is_empty() {
            return Err(invalid(
                "An = sign of the connection string has no name before it.",
                HINT,
            ));
        }
        rest = after.trim_start();
        let (value, remaining) = value(rest)?;
        fields.set(name, &value);
        rest = remaining.trim_start();
    }
    Ok(fields)
}

/// One value and what follows it: in single quotes, or up to the next space; a backslash takes the next letter as it is.
fn value(text: &str) -> Result<(String, &str), Error> {
    let quoted = text.starts_with('\'');
    let mut letters = text.char_indices().skip(usize::from(quoted));
    let mut value = String::new();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some((_, escaped)) => value.push(escaped),
                None => break,
            },
            '\'' if quoted => return Ok((value, &text[at + 1..])),
            letter if !quoted && letter.is_whitespace() => return Ok((value, &text[at..])),
            letter => value.push(letter),
        }
    }
    if quoted {
        return Err(invalid("A quote in the connection string is not closed.", HINT));
    }
    Ok((value, ""))
}

/// Whether the text is of ADO.NET's kind: `Host=db;Username=…`.
pub(crate) fn looks_like_ado(text: &str) -> bool {
    text.split(';')
        .next()
        .and_then(|first| first.split_once('='))
        .is_some_and(|(name, value)| {
            ado_name(name).is_some() && text.contains(';') && !value.contains(" user=")
        })
}

/// libpq's name for one of ADO.NET's; none for what it does not know.
fn ado_name(name: &str) -> Option<&'static str> {
    let plain: String = name.chars().filter(|c| !c.is_whitespace()).collect();
    Some(match plain.to_ascii_lowercase().as_str() {
        "host" | "server" => "host",
        "port" => "port",
        "username" | "userid" | "user" | "uid" => "user",
        "password" | "pwd" => "password",
        "database" | "db" => "dbname",
        "sslmode" => "sslmode",
        "rootcertificate" => "sslrootcert",
        "sslcertificate" => "sslcert",
        "sslkey" => "sslkey",
        "trustservercertificate" => "trustservercertificate",
        "searchpath" => "searchpath",
        "pooling" | "timeout" | "commandtimeout" | "applicationname" | "keepalive" => "timeout",
        _ => return None,
    })
}

/// Reads an ADO.NET string. A value may stand in single or double quotes.
pub(crate) fn parse_ado(text: &str) -> Result<Fields, Error> {
    let mut fields = Fields::default();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let Some((name, after)) = rest.split_once('=') else {
            return Err(invalid(
                "A part of the connection string has no = sign.",
                "Write Host=…;Username=…;Database=….",
            ));
        };
        let after = after.trim_start();
        let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''));
        let (value, remaining) = match quote {
            Some(quote) => {
                let Some((value, remaining)) = after[1..].split_once(quote) else {
                    return Err(invalid(
                        "A quote in the connection string is not closed.",
                        "Close it.",
                    ));
                };
                (value, remaining.split_once(';').map_or("", |(_, rest)| rest))
            }
            None => after.split_once(';').unwrap_or((after, "")),
        };
        fields.set(ado_name(name).unwrap_or("?"), value.trim());
        rest = remaining.trim_start();
    }
    Ok(fields)
}
