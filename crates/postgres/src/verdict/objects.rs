//! Which objects a message and its statement name, as people would write them.

use super::one_line;

/// `table public.b` of "permission denied for table b" and a statement that names it with its schema.
pub(super) fn named_object(said: &str, command: Option<&str>) -> Option<String> {
    if let Some(rest) = said.strip_prefix("failed to get data for sequence ") {
        let name = quoted_name(rest)?;
        return Some(format!("sequence {}", qualified_in(command, name)));
    }
    let (_, object) = said.lines().next()?.split_once("permission denied for ")?;
    let (kind, name) = match object.strip_prefix("large object ") {
        Some(oid) => ("large object", oid),
        None => object.split_once(' ')?,
    };
    Some(format!("{kind} {}", qualified_in(command, name)))
}

/// The first text in double quotes.
pub(super) fn quoted_name(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once('"')?;
    let end = rest.rfind('"')?;
    Some(&rest[..end])
}

/// `schema.name` as the statement has it, where exactly one of its names ends in `name`; else `name`.
pub(super) fn qualified_in(command: Option<&str>, name: &str) -> String {
    let Some(command) = command else {
        return name.to_owned();
    };
    let plain = format!(".{name}");
    let quoted = format!(".{}", crate::quote::ident(name));
    let mut found: Vec<&str> = identifiers(command)
        .into_iter()
        .filter(|identifier| identifier.ends_with(&plain) || identifier.ends_with(&quoted))
        .collect();
    found.dedup();
    match found.as_slice() {
        [one] => (*one).to_owned(),
        _ => name.to_owned(),
    }
}

/// The words of a statement, dots and quoted parts included: `public."R x"`.
fn identifiers(command: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let (mut start, mut in_quotes) = (None, false);
    for (at, c) in command.char_indices() {
        if c == '"' {
            in_quotes = !in_quotes;
        }
        if in_quotes || c == '"' || c == '.' || c == '_' || c == '$' || c.is_alphanumeric() {
            start.get_or_insert(at);
        } else if let Some(from) = start.take() {
            words.push(&command[from..at]);
        }
    }
    if let Some(from) = start {
        words.push(&command[from..]);
    }
    words
}

/// The table of `LOCK TABLE public.a IN ACCESS SHARE MODE`; of several (16 and later lock all in one statement) only
/// that it is one of them.
pub(super) fn locked_tables(command: &str) -> Option<String> {
    let tables = command.strip_prefix("LOCK TABLE ")?;
    let tables = tables.rsplit_once(" IN ").map_or(tables, |(tables, _)| tables);
    let names = identifiers(tables);
    Some(match names.as_slice() {
        [_] => one_line(tables),
        [first, second] => format!("{first} or {second}"),
        [first, ..] => format!("one of {} tables ({first}, …)", names.len()),
        [] => return None,
    })
}
