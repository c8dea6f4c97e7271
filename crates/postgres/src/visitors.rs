//! Who is connected to a database, and whether the session's role may end them. Nobody is ended here but where it is asked for by
//! name of the database's OID.

use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::connect::Session;

/// Whether the asking role may end session `a` whose role is `r` (PostgreSQL manual, "Server Signaling Functions"): a
/// superuser ends everybody, `pg_signal_backend` everybody but superusers, others those of roles whose rights they have.
/// Workers that the server starts itself (autovacuum) have no role, and leave by themselves.
const MAY_END: &str = "((SELECT own.rolsuper FROM pg_catalog.pg_roles own WHERE own.rolname = current_user)
    OR (r.oid IS NOT NULL AND NOT r.rolsuper
        AND (pg_catalog.pg_has_role(r.oid, 'USAGE') OR pg_catalog.pg_has_role('pg_signal_backend', 'USAGE'))))";

/// A session of somebody on a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visitor {
    /// Its server process.
    pub pid: i32,
    /// The database's OID.
    pub database: u32,
    /// Its role; none for the server's own workers.
    pub role: Option<String>,
    /// `application_name`; empty where it gave none.
    pub application: String,
    /// The client's address; none on a Unix socket, or where the asking role may not see it.
    pub client: Option<String>,
    /// Whether the asking role may end it.
    pub may_end: bool,
}

impl Visitor {
    /// For people: `app (rails, 10.0.0.7)`.
    pub fn label(&self) -> String {
        let role = self.role.as_deref().unwrap_or("a worker of the server");
        let about: Vec<&str> = [Some(self.application.as_str()), self.client.as_deref()]
            .into_iter()
            .flatten()
            .filter(|text| !text.is_empty())
            .collect();
        if about.is_empty() {
            role.to_owned()
        } else {
            format!("{role} ({})", about.join(", "))
        }
    }
}

/// The sessions on databases, by process number; the asking session and autovacuum's workers, which make way by themselves,
/// left aside.
///
/// # Errors
/// As [`Session::run`].
pub async fn visitors(
    session: &Session,
    databases: &[u32],
    cancel: &CancellationToken,
) -> Result<Vec<Visitor>, Error> {
    let query = format!(
        "SELECT a.pid, a.datid, r.rolname::text, coalesce(a.application_name, ''),
                pg_catalog.host(a.client_addr), coalesce({MAY_END}, false)
         FROM pg_catalog.pg_stat_activity a LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.usesysid
         WHERE a.datid = ANY ($1) AND a.pid <> pg_catalog.pg_backend_pid()
             AND a.backend_type IS DISTINCT FROM 'autovacuum worker'
         ORDER BY a.pid"
    );
    let databases = databases.to_vec();
    let rows = session
        .ask(
            "asking who is connected",
            cancel,
            &query,
            &[(&databases, Type::OID_ARRAY)],
        )
        .await?;
    Ok(rows
        .iter()
        .map(|row| Visitor {
            pid: row.get(0),
            database: row.get(1),
            role: row.get(2),
            application: row.get(3),
            client: row.get(4),
            may_end: row.get(5),
        })
        .collect())
}

/// Ends every session on these databases that the role may end; answers how many were told to go. They are gone a moment later.
///
/// # Errors
/// As [`Session::run`].
pub async fn end_all(session: &Session, databases: &[u32], cancel: &CancellationToken) -> Result<i64, Error> {
    let query = format!(
        "SELECT pg_catalog.count(*) FILTER (WHERE pg_catalog.pg_terminate_backend(a.pid))
         FROM pg_catalog.pg_stat_activity a LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.usesysid
         WHERE a.datid = ANY ($1) AND a.pid <> pg_catalog.pg_backend_pid() AND {MAY_END}"
    );
    let databases = databases.to_vec();
    let rows = session
        .ask(
            "ending the sessions on the database",
            cancel,
            &query,
            &[(&databases, Type::OID_ARRAY)],
        )
        .await?;
    Ok(rows.first().map_or(0, |row| row.get(0)))
}

/// Several sessions for people, each kind once: `app (rails) twice, and psql of ada`.
pub(crate) fn listing(visitors: &[Visitor]) -> String {
    let mut labels: Vec<(String, usize)> = Vec::new();
    for visitor in visitors {
        let label = visitor.label();
        match labels.iter_mut().find(|(known, _)| *known == label) {
            Some((_, count)) => *count += 1,
            None => labels.push((label, 1)),
        }
    }
    let shown: Vec<String> = labels
        .iter()
        .take(10)
        .map(|(label, count)| match count {
            1 => label.clone(),
            count => format!("{label}, {count} times"),
        })
        .collect();
    match labels.len().saturating_sub(shown.len()) {
        0 => shown.join("; "),
        more => format!("{}; and {more} more", shown.join("; ")),
    }
}
