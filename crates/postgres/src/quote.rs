//! Names and texts as SQL and as the PostgreSQL programs want them written.
//!
//! A plan's names are exact. SQL and pg_dump's patterns both give a meaning to case, quotes, dots, `*`, `?`, `$` and
//! more; quoted as here every name means itself alone. What a name stands for, and whether it exists, is not known here.

use howdah_domain::TableName;

/// A name as an SQL identifier, always in double quotes.
pub fn ident(name: &str) -> String {
    let mut quoted = String::with_capacity(name.len() + 2);
    quoted.push('"');
    for c in name.chars() {
        if c == '"' {
            quoted.push('"');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

/// A schema-qualified name as SQL: `"schema"."name"`.
pub fn qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", ident(schema), ident(name))
}

/// Names as an SQL list: `"a", "b"`.
pub fn idents<S: AsRef<str>>(names: &[S]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| ident(name.as_ref())).collect();
    quoted.join(", ")
}

/// A text as an SQL literal, whatever `standard_conforming_strings` is set to: one with a backslash becomes `E'…'`.
pub fn literal(text: &str) -> String {
    let escape = text.contains('\\');
    let mut quoted = String::with_capacity(text.len() + 3);
    if escape {
        // A space keeps the E from growing onto a word before it (as PQescapeLiteral does).
        quoted.push_str(" E");
    }
    quoted.push('\'');
    for c in text.chars() {
        if c == '\'' || c == '\\' {
            quoted.push(c);
        }
        quoted.push(c);
    }
    quoted.push('\'');
    quoted
}

/// A schema's name as a pattern of pg_dump's `--schema` and its kin (PostgreSQL manual, psql, "Patterns"): inside double
/// quotes every character stands for itself, and a double quote is written twice, exactly as in SQL.
pub fn schema_pattern(schema: &str) -> String {
    ident(schema)
}

/// A table's name as a pattern of pg_dump's `--table` and its kin.
pub fn table_pattern(table: &TableName) -> String {
    qualified(&table.schema, &table.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_quoted_and_its_quotes_are_doubled() {
        assert_eq!(ident("plain"), r#""plain""#);
        assert_eq!(ident(r#"a"b"#), r#""a""b""#);
        assert_eq!(qualified("My schema", "-t=🐘"), r#""My schema"."-t=🐘""#);
        assert_eq!(idents(&["a", "B"]), r#""a", "B""#);
    }

    #[test]
    fn a_literal_survives_quotes_and_backslashes() {
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal(r"C:\x'"), r" E'C:\\x'''");
    }

    #[test]
    fn a_table_pattern_quotes_both_of_its_parts() {
        let table = TableName {
            schema: "a.b".into(),
            name: "*?$\"".into(),
        };
        assert_eq!(table_pattern(&table), r#""a.b"."*?$""""#);
    }
}
