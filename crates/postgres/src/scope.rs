//! Which relations a dump of a [`Selection`] takes, as SQL over the system catalogues: pg_dump's own rules, so that
//! what is checked before a dump is what the dump then does. Decides nothing about rights.
//!
//! The rules (checked against pg_dump 13 to 18): a choice of tables overrides a choice of schemas; a partitioned or
//! inherited table stands for its children too; sequences follow the table that owns them, and an identity column's is
//! left out with its table; members of extensions are not dumped, but the rows of their configuration tables are, where
//! the extension is, or the table or its schema was chosen.

use howdah_domain::{Selection, TableName};
use tokio_postgres::types::{ToSql, Type};

use crate::connect::ServerVersion;

/// Parameters of every query that begins with [`CTES`].
pub(crate) struct Scope {
    schemas: Vec<String>,
    exclude_schemas: Vec<String>,
    tables: [Vec<String>; 2],
    exclude_tables: [Vec<String>; 2],
    exclude_data: [Vec<String>; 2],
    /// Whether the dump contains extensions.
    pub(crate) extensions: bool,
    /// Whether the dump contains large objects.
    pub(crate) large_objects: bool,
    /// Whether the dump is of chosen schemas or tables only.
    pub(crate) partial: bool,
}

impl Scope {
    pub(crate) fn new(selection: &Selection, version: &ServerVersion) -> Self {
        let partial = selection.is_partial();
        Self {
            schemas: selection.schemas.clone(),
            exclude_schemas: selection.exclude_schemas.clone(),
            tables: columns(&selection.tables),
            exclude_tables: columns(&selection.exclude_tables),
            exclude_data: columns(&selection.exclude_data),
            // pg_dump 13 has no --extension.
            extensions: !partial || (selection.keep_extensions && version.major >= 14),
            large_objects: !partial || selection.keep_large_objects,
            partial,
        }
    }

    /// The parameters, with their types: unnamed statements work behind any pooler.
    pub(crate) fn parameters(&self) -> [(&(dyn ToSql + Sync), Type); 9] {
        [
            (&self.schemas, Type::TEXT_ARRAY),
            (&self.exclude_schemas, Type::TEXT_ARRAY),
            (&self.tables[0], Type::TEXT_ARRAY),
            (&self.tables[1], Type::TEXT_ARRAY),
            (&self.exclude_tables[0], Type::TEXT_ARRAY),
            (&self.exclude_tables[1], Type::TEXT_ARRAY),
            (&self.exclude_data[0], Type::TEXT_ARRAY),
            (&self.exclude_data[1], Type::TEXT_ARRAY),
            (&self.extensions, Type::BOOL),
        ]
    }
}

fn columns(tables: &[TableName]) -> [Vec<String>; 2] {
    [
        tables.iter().map(|table| table.schema.clone()).collect(),
        tables.iter().map(|table| table.name.clone()).collect(),
    ]
}

/// Begins a query with `WITH`: the relations `dumped(oid, relkind, relnamespace, relname, reads)`, where `reads` says
/// whether rows are read from it; and `schemas(oid, nspname, dumped)`. Run it with `search_path = pg_catalog`.
pub(crate) const CTES: &str = "
WITH RECURSIVE
chosen(oid) AS (
    SELECT c.oid FROM unnest($3::text[], $4::text[]) AS t(s, r)
    JOIN pg_namespace n ON n.nspname = t.s JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.r
    UNION SELECT i.inhrelid FROM pg_inherits i JOIN chosen ON i.inhparent = chosen.oid
),
excluded(oid) AS (
    SELECT c.oid FROM unnest($5::text[], $6::text[]) AS t(s, r)
    JOIN pg_namespace n ON n.nspname = t.s JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.r
    UNION SELECT i.inhrelid FROM pg_inherits i JOIN excluded ON i.inhparent = excluded.oid
),
without_data(oid) AS (
    SELECT c.oid FROM unnest($7::text[], $8::text[]) AS t(s, r)
    JOIN pg_namespace n ON n.nspname = t.s JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.r
    UNION SELECT i.inhrelid FROM pg_inherits i JOIN without_data ON i.inhparent = without_data.oid
),
schemas AS (
    SELECT n.oid, n.nspname,
        n.nspname LIKE 'pg\\_%' OR n.nspname = 'information_schema' AS system,
        cardinality($3::text[]) = 0
            AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
            AND (cardinality($1::text[]) = 0 OR n.nspname = ANY ($1::text[]))
            AND NOT n.nspname = ANY ($2::text[]) AS dumped
    FROM pg_namespace n
),
members(oid) AS (
    SELECT objid FROM pg_depend
    WHERE classid = 'pg_class'::regclass AND refclassid = 'pg_extension'::regclass AND deptype = 'e'
),
owned(sequence, owner, identity) AS (
    SELECT d.objid, d.refobjid, d.deptype = 'i' FROM pg_depend d JOIN pg_class c ON c.oid = d.objid AND c.relkind = 'S'
    WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0
        AND d.deptype IN ('a', 'i')
),
base AS (
    SELECT c.oid, c.relkind FROM pg_class c JOIN schemas s ON s.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
        AND CASE WHEN cardinality($3::text[]) > 0 THEN c.oid IN (SELECT oid FROM chosen) ELSE s.dumped END
        AND c.oid NOT IN (SELECT oid FROM excluded) AND c.oid NOT IN (SELECT oid FROM members)
),
taken(oid) AS (
    SELECT b.oid FROM base b
    WHERE NOT EXISTS (
        SELECT FROM owned o WHERE o.sequence = b.oid AND o.identity AND o.owner NOT IN (SELECT oid FROM base))
    UNION
    SELECT o.sequence FROM owned o JOIN base b ON b.oid = o.owner WHERE o.sequence NOT IN (SELECT oid FROM members)
),
configuration(oid) AS (
    SELECT c.oid FROM pg_extension e CROSS JOIN unnest(e.extconfig) AS x(relation)
    JOIN pg_class c ON c.oid = x.relation JOIN schemas s ON s.oid = c.relnamespace
    WHERE ($9::bool OR c.oid IN (SELECT oid FROM chosen) OR s.dumped)
        AND c.oid NOT IN (SELECT oid FROM excluded) AND NOT s.nspname = ANY ($2::text[])
),
dumped AS (
    SELECT c.oid, c.relkind, c.relnamespace, c.relname, false AS configuration,
        c.relkind = 'r' AND c.oid NOT IN (SELECT oid FROM without_data)
            AND NOT (c.relpersistence = 'u' AND pg_is_in_recovery()) AS reads
    FROM pg_class c JOIN taken USING (oid)
    UNION ALL
    SELECT c.oid, c.relkind, c.relnamespace, c.relname, true,
        c.relkind = 'r' AND c.oid NOT IN (SELECT oid FROM without_data)
    FROM pg_class c JOIN configuration USING (oid) WHERE c.relkind IN ('r', 'S')
)
";
