//! What a selection leaves outside the dump although something inside it needs it: a foreign key's table, a type, a
//! function, an extension in another schema. Such a dump succeeds; its restore into an empty database does not, or not
//! wholly. Found in `pg_depend`; what a function's body mentions is not recorded there, and not found.

use std::time::Duration;

use howdah_domain::{Failure, FailureCode, Selection};
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::connect::Session;
use crate::rights::{LISTED, Query};
use crate::scope::{CTES, Scope};

/// Something needed that is outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needed {
    /// What it is, as PostgreSQL identifies it: `table shop.customers`, `type shop.colour`, `extension citext`.
    pub object: String,
    /// One of those that need it: `table constraint orders_customer_fkey on app.orders`.
    pub by: String,
    /// How many need it.
    pub times: u64,
}

/// What a selection leaves outside.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outside {
    /// Chosen schemas and tables that are not there; pg_dump would fail.
    pub missing: Vec<String>,
    /// What is needed, in order of its name; at most [`LISTED`].
    pub needed: Vec<Needed>,
    /// How many are needed in all.
    pub total: u64,
    /// Large objects in the database, where they are left outside.
    pub large_objects: u64,
}

impl Outside {
    /// Whether nothing is missing and nothing needed is outside.
    pub fn is_clean(&self) -> bool {
        self.missing.is_empty() && self.total == 0 && self.large_objects == 0
    }

    /// What is outside in words; none where nothing is. [`FailureCode::NotFound`] when the dump itself would fail.
    pub fn failure(&self) -> Option<Failure> {
        if self.is_clean() {
            return None;
        }
        if !self.missing.is_empty() {
            return Some(
                Failure::new(
                    FailureCode::NotFound,
                    format!(
                        "What was chosen is not in the database: {}.",
                        self.missing.join(", ")
                    ),
                )
                .hint("It may have been renamed or dropped. Choose anew."),
            );
        }
        let mut parts = Vec::new();
        if self.total > 0 {
            parts.push(format!("{} object(s) that the chosen part needs", self.total));
        }
        if self.large_objects > 0 {
            parts.push(format!("{} large object(s)", self.large_objects));
        }
        let mut lines: Vec<String> = self
            .needed
            .iter()
            .map(|needed| match needed.times {
                0 | 1 => format!("{}, needed by {}", needed.object, needed.by),
                times => format!(
                    "{}, needed by {} and {} more",
                    needed.object,
                    needed.by,
                    times - 1
                ),
            })
            .collect();
        let more = self.total.saturating_sub(self.needed.len() as u64);
        if more > 0 {
            lines.push(format!("and {more} more"));
        }
        Some(
            Failure::new(
                FailureCode::InvalidInput,
                format!("The choice leaves out {}.", crate::rights::enumeration(&parts)),
            )
            .hint("The backup works, but restoring it into an empty database will not be complete. Choose those too, or keep extensions and large objects.")
            .details(lines.join("\n")),
        )
    }
}

/// Finds what `selection` leaves outside. Call it within [`crate::rights::begin`].
///
/// # Errors
/// As [`Session::run`], for each query.
pub async fn find(
    session: &Session,
    selection: &Selection,
    timeout: Duration,
    cancel: &CancellationToken,
) -> Result<Outside, Error> {
    let whole = !selection.is_partial()
        && selection.exclude_schemas.is_empty()
        && selection.exclude_tables.is_empty();
    if whole {
        return Ok(Outside::default());
    }
    let scope = Scope::new(selection, &session.server_version);
    let query = Query {
        session,
        timeout,
        cancel,
    };
    let what = "looking for what the choice leaves out";
    let mut outside = Outside::default();

    let rows = query
        .rows(what, &format!("{CTES}{MISSING}"), &scope.parameters())
        .await?;
    outside.missing = rows.iter().map(|row| row.get(0)).collect();

    let sql = format!("{CTES}{}", needed_sql(scope.partial));
    let rows = query.rows(what, &sql, &scope.parameters()).await?;
    for row in &rows {
        let times: i64 = row.get(2);
        let total: i64 = row.get(3);
        outside.total = u64::try_from(total).unwrap_or(0);
        outside.needed.push(Needed {
            object: row.get(0),
            by: row.get(1),
            times: u64::try_from(times).unwrap_or(0),
        });
    }
    if !scope.large_objects {
        let rows = query
            .rows(what, "SELECT count(*) FROM pg_largeobject_metadata", &[])
            .await?;
        outside.large_objects = rows
            .first()
            .and_then(|row| u64::try_from(row.get::<_, i64>(0)).ok())
            .unwrap_or(0);
    }
    Ok(outside)
}

const MISSING: &str = "
SELECT format('schema %I', s) FROM unnest($1::text[]) AS s WHERE s NOT IN (SELECT nspname FROM schemas)
UNION ALL
SELECT format('table %I.%I', t.s, t.r) FROM unnest($3::text[], $4::text[]) AS t(s, r)
WHERE NOT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = t.s AND c.relname = t.r AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S'))
LIMIT 20";

/// Kinds of objects that live in a schema of their own, besides relations and types: catalogue and namespace column.
const IN_SCHEMAS: &[(&str, &str)] = &[
    ("pg_proc", "pronamespace"),
    ("pg_operator", "oprnamespace"),
    ("pg_opclass", "opcnamespace"),
    ("pg_opfamily", "opfnamespace"),
    ("pg_collation", "collnamespace"),
    ("pg_conversion", "connamespace"),
    ("pg_ts_config", "cfgnamespace"),
    ("pg_ts_dict", "dictnamespace"),
    ("pg_ts_parser", "prsnamespace"),
    ("pg_ts_template", "tmplnamespace"),
];

/// Kinds of objects that belong to a relation and go where it goes: catalogue and relation column.
const OF_RELATIONS: &[(&str, &str)] = &[
    ("pg_constraint", "conrelid"),
    ("pg_attrdef", "adrelid"),
    ("pg_trigger", "tgrelid"),
    ("pg_rewrite", "ev_class"),
    ("pg_policy", "polrelid"),
    ("pg_statistic_ext", "stxrelid"),
];

fn needed_sql(partial: bool) -> String {
    let mut homes = String::new();
    for (catalogue, column) in IN_SCHEMAS {
        homes.push_str(&format!(
            "UNION ALL SELECT '{catalogue}'::regclass::oid, o.oid, NULL::oid, o.{column} FROM {catalogue} o\n"
        ));
    }
    for (catalogue, column) in OF_RELATIONS {
        // The triggers behind a foreign key are made with it.
        let condition = if *catalogue == "pg_trigger" {
            " AND NOT o.tgisinternal"
        } else {
            ""
        };
        homes.push_str(&format!(
            "UNION ALL SELECT '{catalogue}'::regclass::oid, o.oid, o.{column}, NULL::oid FROM {catalogue} o WHERE o.{column} <> 0{condition}\n"
        ));
    }
    // A part of a database leaves out what lies in no schema: servers, wrappers, languages, and CREATE SCHEMA itself
    // where tables were chosen.
    let global = if partial {
        "OR (h.objid IS NULL AND d.refobjid >= 16384 AND d.refclassid IN ('pg_foreign_server'::regclass,
                 'pg_foreign_data_wrapper'::regclass, 'pg_language'::regclass))
         OR (d.refclassid = 'pg_namespace'::regclass AND cardinality($3::text[]) > 0 AND d.refobjid >= 16384)"
    } else {
        ""
    };
    format!(
        ",
home(classid, objid, relation, schema) AS (
    SELECT 'pg_class'::regclass::oid, c.oid, coalesce(i.indrelid, c.oid), NULL::oid FROM pg_class c
        LEFT JOIN pg_index i ON i.indexrelid = c.oid WHERE c.relkind NOT IN ('t', 'c')
    UNION ALL
    SELECT 'pg_class'::regclass::oid, c.oid, NULL, c.relnamespace FROM pg_class c WHERE c.relkind = 'c'
    UNION ALL
    SELECT 'pg_type'::regclass::oid, t.oid,
        CASE WHEN r.relkind <> 'c' THEN r.oid END, CASE WHEN r.relkind IS NULL OR r.relkind = 'c' THEN t.typnamespace END
        FROM pg_type t LEFT JOIN pg_type e ON e.oid = t.typelem AND e.typarray = t.oid
        LEFT JOIN pg_class r ON r.oid = coalesce(nullif(t.typrelid, 0), nullif(e.typrelid, 0))
    {homes}
),
extended(classid, objid, extension) AS (
    SELECT classid, objid, refobjid FROM pg_depend WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
),
inside(classid, objid) AS (
    SELECT h.classid, h.objid FROM home h LEFT JOIN schemas s ON s.oid = h.schema
    WHERE (h.relation IN (SELECT oid FROM taken) OR s.dumped)
        AND NOT EXISTS (SELECT FROM extended x WHERE x.classid = h.classid AND x.objid = h.objid)
),
outside(refclassid, refobjid, classid, objid) AS (
    -- An index or row type stands for its table, an array for its elements, a view's rule for the view.
    SELECT CASE WHEN x.extension IS NOT NULL THEN 'pg_extension'::regclass::oid
             WHEN h.relation IS NOT NULL THEN 'pg_class'::regclass::oid ELSE d.refclassid END,
        coalesce(x.extension, h.relation, a.typelem, d.refobjid),
        CASE WHEN w.oid IS NULL THEN d.classid ELSE 'pg_class'::regclass::oid END, coalesce(w.ev_class, d.objid)
    FROM inside i JOIN pg_depend d ON d.classid = i.classid AND d.objid = i.objid
    LEFT JOIN extended x ON x.classid = d.refclassid AND x.objid = d.refobjid
    LEFT JOIN home h ON h.classid = d.refclassid AND h.objid = d.refobjid
    LEFT JOIN pg_class r ON r.oid = h.relation
    LEFT JOIN pg_type a ON d.refclassid = 'pg_type'::regclass AND a.oid = d.refobjid AND a.typcategory = 'A'
        AND a.typelem <> 0
    LEFT JOIN pg_rewrite w ON d.classid = 'pg_rewrite'::regclass AND w.oid = d.objid
    LEFT JOIN schemas s ON s.oid = coalesce(h.schema, r.relnamespace)
    WHERE d.deptype NOT IN ('e', 'x') AND (
        -- Every new database has plpgsql.
        (NOT $9::bool AND x.extension IN (SELECT oid FROM pg_extension WHERE extname <> 'plpgsql'))
        OR (x.extension IS NULL AND h.relation IS NOT NULL AND NOT s.system
            AND h.relation NOT IN (SELECT oid FROM taken))
        OR (x.extension IS NULL AND h.schema IS NOT NULL AND NOT s.system AND NOT s.dumped)
        {global})
    UNION ALL
    SELECT 'pg_class'::regclass, p.inhrelid, 'pg_class'::regclass, p.inhparent
    FROM pg_inherits p JOIN pg_class c ON c.oid = p.inhrelid AND c.relispartition AND c.relkind IN ('r', 'p', 'f')
    WHERE p.inhparent IN (SELECT oid FROM taken) AND p.inhrelid NOT IN (SELECT oid FROM taken)
        AND p.inhrelid NOT IN (SELECT oid FROM excluded)
)
SELECT t.type || ' ' || t.identity, min(b.type || ' ' || b.identity), count(DISTINCT (o.classid, o.objid)),
    count(*) OVER ()
FROM outside o CROSS JOIN LATERAL pg_identify_object(o.refclassid, o.refobjid, 0) t
CROSS JOIN LATERAL pg_identify_object(o.classid, o.objid, 0) b
GROUP BY 1 ORDER BY 1 LIMIT {LISTED}"
    )
}
