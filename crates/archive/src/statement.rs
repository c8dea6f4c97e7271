//! Reads the few SQL statements of an archive that say something about its data: COPY, SET, setval, CREATE DATABASE.
//!
//! pg_dump writes them in a fixed form; what has another form is answered with `None` and no more. Nothing here talks
//! to a server.

use howdah_domain::TableName;

/// What a COPY statement names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CopyTarget {
    pub(crate) table: TableName,
    pub(crate) columns: Vec<String>,
}

/// An identifier, quoted or not, at the front of a text; and what follows.
fn identifier(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text
            .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$' || !c.is_ascii()))
            .unwrap_or(text.len());
        return (end > 0).then(|| (text[..end].to_owned(), &text[end..]));
    };
    let mut name = String::new();
    let mut rest = quoted;
    loop {
        let (before, after) = rest.split_once('"')?;
        name.push_str(before);
        match after.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return Some((name, after)),
        }
    }
}

/// `COPY schema.table (column, …) FROM stdin;`
pub(crate) fn copy_target(statement: &str) -> Option<CopyTarget> {
    let rest = statement.strip_prefix("COPY ")?;
    let (schema, rest) = identifier(rest)?;
    let (name, rest) = identifier(rest.strip_prefix('.')?)?;
    let mut rest = rest.trim_start();
    let mut columns = Vec::new();
    if let Some(list) = rest.strip_prefix('(') {
        rest = list;
        loop {
            let (column, after) = identifier(rest.trim_start())?;
            columns.push(column);
            match after.trim_start().split_at_checked(1)? {
                (",", more) => rest = more,
                (")", more) => {
                    rest = more;
                    break;
                }
                _ => return None,
            }
        }
    }
    rest.trim_start().starts_with("FROM stdin").then_some(CopyTarget {
        table: TableName { schema, name },
        columns,
    })
}

/// A string literal, `'…'` or `E'…'`, at the front of a text.
fn literal(text: &str) -> Option<String> {
    let (escapes, text) = match text.strip_prefix('E') {
        Some(text) => (true, text),
        None => (false, text),
    };
    let mut chars = text.strip_prefix('\'')?.chars().peekable();
    let mut value = String::new();
    loop {
        match chars.next()? {
            '\'' if chars.peek() == Some(&'\'') => {
                chars.next();
                value.push('\'');
            }
            '\'' => return Some(value),
            '\\' if escapes => value.push(chars.next()?),
            other => value.push(other),
        }
    }
}

/// `SET name = 'value';` and `SELECT pg_catalog.set_config('name', 'value', false);`, by the name.
pub(crate) fn setting(statement: &str, name: &str) -> Option<String> {
    if let Some(rest) = statement.strip_prefix("SET ") {
        return literal(rest.strip_prefix(name)?.strip_prefix(" = ")?);
    }
    let rest = statement.strip_prefix("SELECT pg_catalog.set_config('")?;
    literal(rest.strip_prefix(name)?.strip_prefix("', ")?)
}

/// `SELECT pg_catalog.setval('schema.sequence', 42, true);`: the value, and whether it was called. The name is taken
/// from the entry, where it needs no parsing.
pub(crate) fn sequence_value(statement: &str) -> Option<(i64, bool)> {
    let end = statement.trim_end().strip_suffix(");")?;
    let (rest, called) = end.rsplit_once(", ")?;
    let (_, value) = rest.rsplit_once(", ")?;
    Some((value.parse().ok()?, called.parse().ok()?))
}

/// The collation in `CREATE DATABASE … LC_COLLATE = 'x' …` (or `LOCALE = 'x'`).
pub(crate) fn collation(statement: &str) -> Option<String> {
    [" LC_COLLATE = ", " LOCALE = "].iter().find_map(|key| {
        statement
            .find(key)
            .and_then(|at| literal(&statement[at + key.len()..]))
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("COPY public.users (id, email) FROM stdin;\n", "public", "users", &["id", "email"])]
    #[case("COPY public.empty  FROM stdin;\n", "public", "empty", &[])]
    #[case(
        "COPY \"My schema\".\"a \"\"b\"\", (c)\" (\"x, y\", \"FROM stdin;\", \"😀\") FROM stdin;\n",
        "My schema",
        "a \"b\", (c)",
        &["x, y", "FROM stdin;", "😀"]
    )]
    #[case("COPY öffentlich.\"-größe\" (maß) FROM stdin;\n", "öffentlich", "-größe", &["maß"])]
    fn a_copy_statement_names_table_and_columns(
        #[case] statement: &str,
        #[case] schema: &str,
        #[case] name: &str,
        #[case] columns: &[&str],
    ) {
        let target = copy_target(statement).unwrap();
        assert_eq!(
            target.table,
            TableName {
                schema: schema.to_owned(),
                name: name.to_owned()
            }
        );
        assert_eq!(target.columns, columns);
    }

    #[rstest]
    #[case("")]
    #[case("COPY users (id) FROM stdin;")]
    #[case("COPY public.users (id")]
    #[case("COPY public.\"users (id) FROM stdin;")]
    #[case("COPY public.users (id, ) FROM stdin;")]
    #[case("INSERT INTO public.users VALUES (1);")]
    fn another_statement_names_nothing(#[case] statement: &str) {
        assert_eq!(copy_target(statement), None);
    }

    #[test]
    fn settings_sequences_and_collation_are_read() {
        assert_eq!(
            setting("SET client_encoding = 'UTF8';\n", "client_encoding").as_deref(),
            Some("UTF8")
        );
        assert_eq!(
            setting(
                "SELECT pg_catalog.set_config('search_path', '', false);\n",
                "search_path"
            )
            .as_deref(),
            Some("")
        );
        assert_eq!(setting("SET client_encoding = 'UTF8';\n", "search_path"), None);
        assert_eq!(
            sequence_value("SELECT pg_catalog.setval('public.s', 42, true);\n"),
            Some((42, true))
        );
        let odd = "SELECT pg_catalog.setval('\"a, b\".\"c'', 9, false);\"', -9223372036854775808, false);\n";
        assert_eq!(sequence_value(odd), Some((i64::MIN, false)));
        let old = "CREATE DATABASE x WITH ENCODING = 'UTF8' LC_COLLATE = 'de_DE.UTF-8' LC_CTYPE = 'C';\n";
        assert_eq!(collation(old).as_deref(), Some("de_DE.UTF-8"));
        let new = "CREATE DATABASE x WITH ENCODING = 'UTF8' LOCALE_PROVIDER = libc LOCALE = 'C.UTF-8';\n";
        assert_eq!(collation(new).as_deref(), Some("C.UTF-8"));
    }
}
