//! What of a database is dumped, as pg_dump's flags.
//!
//! A [`Selection`] holds exact names. Three things stand between it and pg_dump's command line: patterns (every name is
//! quoted), the database's own encoding (pg_dump matches names in the encoding that it dumps in), and partitions (a
//! choice of a partitioned table means its partitions too, which pg_dump understands from 16 on).

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

use howdah_domain::{Selection, TableName};
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use crate::Error;
use crate::quote;

/// The first major whose pg_dump has the `…-and-children` flags.
const AND_CHILDREN: u16 = 16;
/// The first major whose pg_dump has `--extension`.
const EXTENSION: u16 = 14;

/// A selection resolved against a database: flags for one major's pg_dump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// The database's encoding, PostgreSQL's name for it: `UTF8`, `WIN1252`, `SQL_ASCII`.
    pub encoding: String,
    /// pg_dump's flags: `--schema="public"` and so on.
    pub flags: Vec<OsString>,
    /// The settings of the session that decide how values are printed and that pg_dump leaves as they are: for the
    /// index, so that a comparison can set the same. `TimeZone`, `bytea_output`, `lc_monetary`, `xmlbinary`.
    pub settings: BTreeMap<String, String>,
    /// What the programs of this major cannot do, as sentences.
    pub warnings: Vec<String>,
}

impl Chosen {
    /// Resolves `selection` on the database that `client` is connected to, for a pg_dump of `client_major`.
    ///
    /// Where both schemas and tables are chosen, the tables decide (pg_dump's rule). A schema or table that is chosen
    /// and not there makes pg_dump fail (`--strict-names`) instead of leaving it out in silence.
    ///
    /// # Errors
    /// A statement's error ([`Error::Query`]).
    pub async fn resolve(client: &Client, selection: &Selection, client_major: u16) -> Result<Self, Error> {
        let rows = client
            .query_typed(
                "SELECT pg_catalog.pg_encoding_to_char(encoding)::text,
                        pg_catalog.current_setting('bytea_output'),
                        pg_catalog.current_setting('lc_monetary'),
                        pg_catalog.current_setting('xmlbinary')
                 FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()",
                &[],
            )
            .await
            .map_err(|error| Error::query("reading the database's encoding and settings", error))?;
        let text = |column: usize| rows.first().map_or_else(String::new, |row| row.get(column));
        let encoding = text(0);
        let settings = BTreeMap::from([
            // pg_dump runs with PGTZ=UTC.
            ("TimeZone".to_owned(), "UTC".to_owned()),
            ("bytea_output".to_owned(), text(1)),
            ("lc_monetary".to_owned(), text(2)),
            ("xmlbinary".to_owned(), text(3)),
        ]);
        let mut selection = selection.clone();
        if client_major < AND_CHILDREN {
            for tables in [
                &mut selection.tables,
                &mut selection.exclude_tables,
                &mut selection.exclude_data,
            ] {
                if !tables.is_empty() {
                    *tables = with_children(client, tables).await?;
                }
            }
        }
        let mut flags = Vec::new();
        for flag in flags_of(&selection, client_major) {
            flags.push(in_encoding(client, &encoding, flag).await?);
        }
        let mut warnings = Vec::new();
        if selection.keep_extensions && selection.is_partial() && client_major < EXTENSION {
            warnings.push(
                "pg_dump 13 leaves extensions out where only a part of the database is chosen, and cannot be told otherwise."
                    .to_owned(),
            );
        }
        Ok(Self {
            encoding,
            flags,
            settings,
            warnings,
        })
    }
}

/// The flags of a selection, in UTF-8. Every name is a pattern that matches it alone.
fn flags_of(selection: &Selection, client_major: u16) -> Vec<String> {
    let mut flags = Vec::new();
    let and_children = if client_major >= AND_CHILDREN {
        "-and-children"
    } else {
        ""
    };
    for schema in &selection.schemas {
        flags.push(format!("--schema={}", quote::schema_pattern(schema)));
    }
    for schema in &selection.exclude_schemas {
        flags.push(format!("--exclude-schema={}", quote::schema_pattern(schema)));
    }
    let mut tables = |flag: &str, tables: &[TableName]| {
        for table in tables {
            flags.push(format!("--{flag}{and_children}={}", quote::table_pattern(table)));
        }
    };
    tables("table", &selection.tables);
    tables("exclude-table", &selection.exclude_tables);
    tables("exclude-table-data", &selection.exclude_data);
    if selection.is_partial() {
        flags.push("--strict-names".to_owned());
        if selection.keep_extensions && client_major >= EXTENSION {
            flags.push("--extension=*".to_owned());
        }
        if selection.keep_large_objects {
            flags.push("-b".to_owned());
        }
    }
    flags
}

/// The tables with their partitions and inheritance children, however deep; those that are not there stay as they are.
async fn with_children(client: &Client, tables: &[TableName]) -> Result<Vec<TableName>, Error> {
    let schemas: Vec<&str> = tables.iter().map(|table| table.schema.as_str()).collect();
    let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
    let rows = client
        .query_typed(
            "WITH RECURSIVE tree(oid) AS (
                 SELECT c.oid FROM unnest($1::text[], $2::text[]) AS chosen(schema, name)
                 JOIN pg_catalog.pg_namespace n ON n.nspname = chosen.schema
                 JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = chosen.name
                 WHERE c.relkind IN ('r', 'p', 'f')
                 UNION
                 SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN tree ON i.inhparent = tree.oid
             )
             SELECT n.nspname::text, c.relname::text FROM tree
             JOIN pg_catalog.pg_class c USING (oid) JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace",
            &[(&schemas, Type::TEXT_ARRAY), (&names, Type::TEXT_ARRAY)],
        )
        .await
        .map_err(|error| Error::query("looking for partitions of the chosen tables", error))?;
    let mut all: BTreeSet<TableName> = tables.iter().cloned().collect();
    all.extend(rows.iter().map(|row| TableName {
        schema: row.get(0),
        name: row.get(1),
    }));
    Ok(all.into_iter().collect())
}

/// The flag's bytes in the database's encoding: the server converts, since it knows all of its encodings.
async fn in_encoding(client: &Client, encoding: &str, flag: String) -> Result<OsString, Error> {
    if flag.is_ascii() || matches!(encoding, "UTF8" | "SQL_ASCII") {
        return Ok(flag.into());
    }
    let rows = client
        .query_typed(
            "SELECT pg_catalog.convert_to($1, $2::pg_catalog.text::pg_catalog.name)",
            &[(&flag, Type::TEXT), (&encoding, Type::TEXT)],
        )
        .await
        .map_err(|error| Error::query("writing the plan's names in the database's encoding", error))?;
    os_string(rows.first().map_or_else(Vec::new, |row| row.get(0)))
}

#[cfg(unix)]
fn os_string(bytes: Vec<u8>) -> Result<OsString, Error> {
    use std::os::unix::ffi::OsStringExt;
    Ok(OsString::from_vec(bytes))
}

#[cfg(not(unix))]
fn os_string(bytes: Vec<u8>) -> Result<OsString, Error> {
    String::from_utf8(bytes).map(OsString::from).map_err(|_| {
        Error::new(
            howdah_domain::FailureCode::InvalidInput,
            "This system cannot pass a name in the database's encoding to pg_dump. Choose by schema, or back up the whole database.",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(schema: &str, name: &str) -> TableName {
        TableName {
            schema: schema.into(),
            name: name.into(),
        }
    }

    #[test]
    fn an_empty_selection_has_no_flags() {
        assert_eq!(flags_of(&Selection::default(), 17), Vec::<String>::new());
    }

    #[test]
    fn names_become_exact_patterns_and_a_part_is_strict() {
        let selection = Selection {
            schemas: vec!["My *schema".into()],
            exclude_tables: vec![table("s", "a\"b")],
            keep_extensions: true,
            keep_large_objects: true,
            ..Selection::default()
        };
        assert_eq!(
            flags_of(&selection, 17),
            [
                r#"--schema="My *schema""#,
                r#"--exclude-table-and-children="s"."a""b""#,
                "--strict-names",
                "--extension=*",
                "-b"
            ]
        );
        assert!(
            !flags_of(&selection, 13)
                .iter()
                .any(|flag| flag.starts_with("--extension"))
        );
        assert!(flags_of(&selection, 15).contains(&r#"--exclude-table="s"."a""b""#.to_owned()));
    }

    #[test]
    fn leaving_things_out_is_no_choice_of_a_part() {
        let selection = Selection {
            exclude_schemas: vec!["log".into()],
            exclude_data: vec![table("public", "events")],
            keep_extensions: true,
            ..Selection::default()
        };
        assert_eq!(
            flags_of(&selection, 15),
            [
                r#"--exclude-schema="log""#,
                r#"--exclude-table-data="public"."events""#
            ]
        );
    }
}
