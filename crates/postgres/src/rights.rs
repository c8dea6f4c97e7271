//! What a dump would read but the role may not, before the dump finds out at night: every table, sequence, schema and
//! large object, and every table whose rows row-level security would hide. Reads system catalogues only, changes nothing.
//!
//! What pg_dump 13 to 18 asks for (tried out, see the tests that compare this check with pg_dump): `LOCK TABLE … IN
//! ACCESS SHARE MODE` and, where rows are read, `COPY` of every ordinary table and partition; the state of every
//! sequence; every large object. It reads no rows of views, materialized views and foreign tables.

use std::time::Duration;

use howdah_domain::{Failure, FailureCode, Selection};
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::connect::{ServerVersion, Session};
use crate::scope::{CTES, Scope};

/// Names listed of each kind; the count is always of all.
pub const LISTED: usize = 100;

/// A kind of object, or of right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeniedKind {
    /// A schema with relations that the dump reads, without USAGE.
    Schema,
    /// A table without SELECT.
    Table,
    /// A sequence without SELECT (USAGE does not do).
    Sequence,
    /// A large object without SELECT.
    LargeObject,
    /// A table whose row-level security applies to the role: pg_dump would end with an error.
    RowSecurity,
}

impl DeniedKind {
    /// `1 table`, `3 sequences`.
    fn count(self, total: u64) -> String {
        let (one, many) = match self {
            Self::Schema => ("schema", "schemas"),
            Self::Table => ("table", "tables"),
            Self::Sequence => ("sequence", "sequences"),
            Self::LargeObject => ("large object", "large objects"),
            Self::RowSecurity => ("table with row-level security", "tables with row-level security"),
        };
        format!("{total} {}", if total == 1 { one } else { many })
    }
}

/// Objects of one kind that the role may not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// Which kind.
    pub kind: DeniedKind,
    /// How many.
    pub total: u64,
    /// The first [`LISTED`] of them in order, as SQL writes them: `shop.orders`, `"My schema"`; a large object's OID.
    pub names: Vec<String>,
}

/// What was found about a role's rights to dump a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    /// The role that is logged in.
    pub role: String,
    /// Whether it is a superuser.
    pub superuser: bool,
    /// Whether row-level security never applies to it.
    pub bypass_rls: bool,
    /// What the dump would read and the role may not; empty when a dump would work.
    pub denied: Vec<Denied>,
    /// What pg_dump would leave out with no more than a warning, or none, as sentences.
    pub left_out: Vec<String>,
    /// What the SQL for a backup role depends on.
    pub facts: Facts,
}

/// What the SQL for a backup role depends on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// The database's name.
    pub database: String,
    /// The schemas that hold what the dump reads.
    pub schemas: Vec<String>,
    /// Owner and schema of every table and sequence that the dump reads, each pair once.
    pub owners: Vec<(String, String)>,
    /// Whether a table that the dump reads has row-level security.
    pub row_security: bool,
    /// Whether there are large objects that the dump reads.
    pub large_objects: bool,
    /// The owners of those, the first [`LISTED`].
    pub large_object_owners: Vec<String>,
    /// Whether rights on large objects are passed over for this role (`lo_compat_privileges`).
    pub lo_compat_privileges: bool,
    /// Whether the dump is of the whole database, also of schemas to come.
    pub whole: bool,
}

impl Rights {
    /// Whether a dump would read everything.
    pub fn complete(&self) -> bool {
        self.denied.is_empty()
    }

    /// What is missing in words; none where nothing is.
    pub fn failure(&self) -> Option<Failure> {
        if self.complete() {
            return None;
        }
        let only_rows = self
            .denied
            .iter()
            .all(|denied| denied.kind == DeniedKind::RowSecurity);
        let code = if only_rows {
            FailureCode::RowSecurity
        } else {
            FailureCode::PermissionDenied
        };
        let counts: Vec<String> = self
            .denied
            .iter()
            .map(|denied| denied.kind.count(denied.total))
            .collect();
        let message = format!(
            "Role {} may not read {}, so a backup would fail.",
            self.role,
            enumeration(&counts)
        );
        let hint = if only_rows {
            "Rows would be hidden from this role. Give it BYPASSRLS, or use a role that has it or owns the tables."
        } else {
            "Run the SQL shown, or let somebody run it who may, or use another role."
        };
        let details: Vec<String> = self.denied.iter().map(listing).collect();
        Some(Failure::new(code, message).hint(hint).details(details.join("\n")))
    }
}

fn listing(denied: &Denied) -> String {
    let mut line = format!("{}: {}", denied.kind.count(denied.total), denied.names.join(", "));
    let more = denied.total.saturating_sub(denied.names.len() as u64);
    if more > 0 {
        line.push_str(&format!(", and {more} more"));
    }
    line
}

/// `a`, `a and b`, `a, b and c`.
pub(crate) fn enumeration(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [only] => only.clone(),
        [front @ .., last] => format!("{} and {last}", front.join(", ")),
    }
}

/// Begins a read-only transaction in which catalogue queries mean what they say. Ends with `ROLLBACK`, or with the
/// session. `SET LOCAL`, because behind a pooler a plain SET would stay behind for somebody else.
///
/// # Errors
/// As [`Session::run`].
pub async fn begin(session: &Session, timeout: Duration, cancel: &CancellationToken) -> Result<(), Error> {
    let milliseconds = timeout.as_millis().max(1);
    let sql = format!(
        "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;
         SET LOCAL search_path = pg_catalog;
         SET LOCAL statement_timeout = {milliseconds};
         SET LOCAL lock_timeout = {milliseconds};
         SET LOCAL standard_conforming_strings = on"
    );
    session
        .run(
            "looking into the database",
            timeout,
            cancel,
            session.client.batch_execute(&sql),
        )
        .await
}

/// Finds out what a dump of `selection` would read and the session's role may not, in the database it is connected to.
/// Call it within [`begin`].
///
/// # Errors
/// As [`Session::run`], for each query.
pub async fn check(
    session: &Session,
    selection: &Selection,
    timeout: Duration,
    cancel: &CancellationToken,
) -> Result<Rights, Error> {
    let version = &session.server_version;
    let scope = Scope::new(selection, version);
    let query = Query {
        session,
        timeout,
        cancel,
    };

    let row = query
        .rows(
            "reading the role's attributes",
            "SELECT current_user::text, rolsuper, rolsuper OR rolbypassrls, current_database()::text,
                coalesce(current_setting('lo_compat_privileges', true), 'off') = 'on'
             FROM pg_roles WHERE rolname = current_user",
            &[],
        )
        .await?;
    let row = row.first().ok_or_else(|| {
        Error::new(
            FailureCode::PoolerUnsuitable,
            "The session's role is not listed in pg_roles.",
        )
    })?;
    let mut rights = Rights {
        role: row.get(0),
        superuser: row.get(1),
        bypass_rls: row.get(2),
        denied: Vec::new(),
        left_out: Vec::new(),
        facts: Facts {
            database: row.get(3),
            lo_compat_privileges: row.get(4),
            whole: !scope.partial,
            ..Facts::default()
        },
    };

    for (kind, sql) in relation_checks(version) {
        let what = "checking the role's rights";
        let rows = query
            .rows(what, &format!("{CTES}{sql}"), &scope.parameters())
            .await?;
        rights.denied.extend(denied(kind, &rows));
    }
    if scope.large_objects {
        let rows = query
            .rows("checking the large objects", &large_objects(version), &[])
            .await?;
        if let Some(row) = rows.first() {
            rights.facts.large_objects = row.get(2);
            rights.facts.large_object_owners = row.get::<_, Option<Vec<String>>>(3).unwrap_or_default();
        }
        if !rights.facts.lo_compat_privileges {
            rights.denied.extend(denied(DeniedKind::LargeObject, &rows));
        }
    }
    rights.denied.sort_by_key(|denied| denied.kind);

    let rows = query
        .rows("listing owners", &format!("{CTES}{OWNERS}"), &scope.parameters())
        .await?;
    for row in &rows {
        let (owner, schema): (String, String) = (row.get(0), row.get(1));
        rights.facts.row_security |= row.get::<_, bool>(2);
        if !rights.facts.schemas.contains(&schema) {
            rights.facts.schemas.push(schema.clone());
        }
        rights.facts.owners.push((owner, schema));
    }
    if !rights.superuser && !scope.partial {
        rights.left_out = left_out(&query).await?;
    }
    Ok(rights)
}

/// Catalogue queries of one check, each within the same limits.
pub(crate) struct Query<'a> {
    pub(crate) session: &'a Session,
    pub(crate) timeout: Duration,
    pub(crate) cancel: &'a CancellationToken,
}

impl Query<'_> {
    pub(crate) async fn rows(
        &self,
        what: &str,
        sql: &str,
        parameters: &[(
            &(dyn tokio_postgres::types::ToSql + Sync),
            tokio_postgres::types::Type,
        )],
    ) -> Result<Vec<tokio_postgres::Row>, Error> {
        let statement = self.session.client.query_typed(sql, parameters);
        self.session.run(what, self.timeout, self.cancel, statement).await
    }
}

fn denied(kind: DeniedKind, rows: &[tokio_postgres::Row]) -> Option<Denied> {
    let row = rows.first()?;
    let total = u64::try_from(row.get::<_, i64>(0)).unwrap_or(0);
    (total > 0).then(|| Denied {
        kind,
        total,
        names: row.get::<_, Option<Vec<String>>>(1).unwrap_or_default(),
    })
}

fn relation_checks(version: &ServerVersion) -> [(DeniedKind, String); 4] {
    // LOCK TABLE … ACCESS SHARE takes any of these from 16 on; before, SELECT alone.
    let to_lock = match version.major {
        ..16 => "SELECT",
        16 => "SELECT, UPDATE, DELETE, TRUNCATE",
        17.. => "SELECT, UPDATE, DELETE, TRUNCATE, MAINTAIN",
    };
    // From 18 on pg_dump reads sequences by OID, which takes no right on the schema.
    let by_name = if version.major >= 18 {
        "d.relkind IN ('r', 'p')"
    } else {
        "d.relkind IN ('r', 'p', 'S')"
    };
    [
        (
            DeniedKind::Schema,
            listed(
                "SELECT DISTINCT format('%I', s.nspname) AS name FROM dumped d
                 JOIN schemas s ON s.oid = d.relnamespace",
                &format!(
                    "{by_name} AND (d.reads OR NOT d.configuration) AND NOT has_schema_privilege(s.oid, 'USAGE')"
                ),
            ),
        ),
        (
            DeniedKind::Table,
            listed(
                "SELECT format('%I.%I', s.nspname, d.relname) AS name FROM dumped d
                 JOIN schemas s ON s.oid = d.relnamespace",
                &format!(
                    "CASE WHEN d.reads THEN NOT has_table_privilege(d.oid, 'SELECT')
                          WHEN d.relkind IN ('r', 'p') AND NOT d.configuration
                              THEN NOT has_table_privilege(d.oid, '{to_lock}')
                          ELSE false END"
                ),
            ),
        ),
        (
            DeniedKind::Sequence,
            listed(
                "SELECT format('%I.%I', s.nspname, d.relname) AS name FROM dumped d
                 JOIN schemas s ON s.oid = d.relnamespace",
                "CASE WHEN d.relkind = 'S' THEN NOT has_sequence_privilege(d.oid, 'SELECT') ELSE false END",
            ),
        ),
        (
            DeniedKind::RowSecurity,
            listed(
                "SELECT format('%I.%I', s.nspname, d.relname) AS name FROM dumped d
                 JOIN schemas s ON s.oid = d.relnamespace",
                "CASE WHEN d.reads THEN row_security_active(d.oid) ELSE false END",
            ),
        ),
    ]
}

/// The count of all, and the first names in order.
fn listed(select: &str, condition: &str) -> String {
    format!(
        "SELECT count(*), (array_agg(name ORDER BY name COLLATE \"C\"))[1:{LISTED}]::text[]
         FROM ({select} WHERE {condition}) AS found"
    )
}

/// Large objects without SELECT: count, first OIDs, and whether there are any at all. `has_largeobject_privilege` came
/// with 18; before, their access lists are read (a null one means the owner alone).
fn large_objects(version: &ServerVersion) -> String {
    let readable = if version.major >= 18 {
        "has_largeobject_privilege(l.oid, 'SELECT')".to_owned()
    } else {
        "(pg_has_role(l.lomowner, 'USAGE') OR EXISTS (
            SELECT FROM aclexplode(l.lomacl) AS a
            WHERE a.privilege_type = 'SELECT' AND (a.grantee = 0 OR pg_has_role(a.grantee, 'USAGE'))))"
            .to_owned()
    };
    format!(
        "SELECT count(*) FILTER (WHERE NOT readable),
             (array_agg(oid::text ORDER BY oid) FILTER (WHERE NOT readable))[1:{LISTED}], count(*) > 0,
             (array_agg(DISTINCT pg_get_userbyid(owner)::text))[1:{LISTED}]
         FROM (SELECT l.oid, l.lomowner AS owner, {readable} AS readable FROM pg_largeobject_metadata l) AS found"
    )
}

const OWNERS: &str = "
SELECT pg_get_userbyid(c.relowner)::text, s.nspname::text, bool_or(c.relrowsecurity AND d.reads)
FROM dumped d JOIN pg_class c USING (oid) JOIN schemas s ON s.oid = d.relnamespace
WHERE d.relkind IN ('r', 'p', 'S') AND (d.reads OR NOT d.configuration)
GROUP BY 1, 2 ORDER BY 2, 1";

/// What pg_dump leaves out for a role that is not a superuser.
async fn left_out(query: &Query<'_>) -> Result<Vec<String>, Error> {
    let rows = query
        .rows(
            "counting subscriptions and user mappings",
            "SELECT (SELECT count(*) FROM pg_subscription
                     WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())),
                    (SELECT count(*) FROM pg_user_mappings WHERE umoptions IS NULL)",
            &[],
        )
        .await?;
    let Some(row) = rows.first() else {
        return Ok(Vec::new());
    };
    let mut sentences = Vec::new();
    let (subscriptions, mappings): (i64, i64) = (row.get(0), row.get(1));
    if subscriptions > 0 {
        sentences.push(format!(
            "{subscriptions} logical replication subscription(s) are left out: only a superuser may dump them."
        ));
    }
    if mappings > 0 {
        sentences.push(format!(
            "{mappings} user mapping(s) of foreign servers are saved without their options (passwords): this role may not see them."
        ));
    }
    Ok(sentences)
}
