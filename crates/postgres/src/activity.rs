//! What is our pg_dump waiting for? Asked on another connection, when nothing has come out of it for too long.
//!
//! The answer is a sentence for a person: who holds the lock, since when, and what they are doing. Whether to wait on or to
//! give up is not decided here.

use std::time::Duration;

use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::connect::{APPLICATION_NAME, Session};

/// How long the question itself may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A session of pg_dump's on the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activity {
    /// Its backend's process number on the server.
    pub pid: i32,
    /// `active`, `idle in transaction`, …
    pub state: Option<String>,
    /// What it waits for: `Lock/relation`, `Client/ClientWrite`, `IO/DataFileRead`.
    pub wait: Option<String>,
    /// The statement, shortened.
    pub query: String,
    /// Seconds since the statement began.
    pub seconds: i64,
    /// The relations on which it waits for a lock, `schema.name`.
    pub locked: Vec<String>,
    /// Who stands in the way.
    pub blockers: Vec<Blocker>,
}

/// A session that holds what ours waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocker {
    /// Its process number.
    pub pid: i32,
    /// Its role.
    pub role: Option<String>,
    /// Its program.
    pub application: Option<String>,
    /// Its state.
    pub state: Option<String>,
    /// What it does, or did last, shortened. Empty where our role may not see it.
    pub query: String,
    /// Seconds since its transaction began.
    pub seconds: Option<i64>,
}

impl Activity {
    /// One sentence.
    pub fn sentence(&self) -> String {
        let waiting = match self.locked.as_slice() {
            [] => None,
            locked => Some(format!("a lock on {}", locked.join(", "))),
        };
        let Some(blocker) = self.blockers.first() else {
            return match (waiting, self.wait.as_deref()) {
                (Some(lock), _) => format!("pg_dump waits for {lock}."),
                (None, Some("Client/ClientWrite")) => {
                    "The server waits for pg_dump to take what it sends: the network, this machine or the destination is slow."
                        .to_owned()
                }
                (None, Some("Client/ClientRead")) => {
                    "The server waits for pg_dump's next statement: pg_dump itself is busy, or the way to it is broken."
                        .to_owned()
                }
                (None, Some(wait)) => format!(
                    "The server has been at work for {} ({wait}) on: {}.",
                    time(self.seconds),
                    self.query
                ),
                (None, None) => format!(
                    "The server has been computing for {} on: {}.",
                    time(self.seconds),
                    self.query
                ),
            };
        };
        let lock = waiting.unwrap_or_else(|| "a lock".to_owned());
        let who = match (&blocker.role, blocker.application.as_deref()) {
            (Some(role), Some(application)) if !application.is_empty() => format!("{role} ({application})"),
            (Some(role), _) => role.clone(),
            (None, _) => "another session".to_owned(),
        };
        let since = blocker
            .seconds
            .map_or_else(String::new, |seconds| format!(" for {}", time(seconds)));
        let doing = match (blocker.query.as_str(), blocker.state.as_deref()) {
            ("", _) => String::new(),
            (query, Some(state)) if state.starts_with("idle in transaction") => {
                format!("; its transaction is open and idle, its last statement was: {query}")
            }
            (query, _) => format!("; it is doing: {query}"),
        };
        let more = match self.blockers.len() {
            1 => String::new(),
            n => format!(" {} more stand in the way.", n - 1),
        };
        format!(
            "pg_dump waits for {lock}, held by {who}, process {}{since}{doing}.{more}",
            blocker.pid
        )
    }
}

/// `95 s`, `12 min`, `3 h`.
fn time(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3_600),
    }
}

/// Howdah's own sessions on the database of `session` (other than `session` itself), the longest at work first: those
/// that say `application_name = howdah` and belong to the same role.
///
/// # Errors
/// [`Error::Query`]; `Timeout` after ten seconds; [`Error::Cancelled`].
pub async fn look(session: &Session, cancel: &CancellationToken) -> Result<Vec<Activity>, Error> {
    const WHAT: &str = "asking the server what pg_dump waits for";
    let ours = session.client.query_typed(
        "SELECT pid, state, wait_event_type || '/' || wait_event,
                pg_catalog.left(pg_catalog.regexp_replace(query, '\\s+', ' ', 'g'), 200),
                pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() - query_start)::int8,
                pg_catalog.pg_blocking_pids(pid),
                ARRAY(SELECT n.nspname || '.' || c.relname
                      FROM pg_catalog.pg_locks l
                      JOIN pg_catalog.pg_class c ON c.oid = l.relation
                      JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                      WHERE l.pid = a.pid AND NOT l.granted AND l.locktype = 'relation'
                        AND l.database = a.datid)::text[]
         FROM pg_catalog.pg_stat_activity a
         WHERE application_name = $1 AND datname = pg_catalog.current_database() AND usename = current_user
           AND pid <> pg_catalog.pg_backend_pid() AND backend_type = 'client backend'
         ORDER BY query_start",
        &[(&APPLICATION_NAME, Type::TEXT)],
    );
    let rows = session.run(WHAT, PATIENCE, cancel, ours).await?;
    let mut activities = Vec::new();
    for row in rows {
        let pids: Vec<i32> = row.get(5);
        activities.push(Activity {
            pid: row.get(0),
            state: row.get(1),
            wait: row.get(2),
            query: row.get::<_, Option<String>>(3).unwrap_or_default(),
            seconds: row.get::<_, Option<i64>>(4).unwrap_or_default(),
            locked: row.get(6),
            blockers: if pids.is_empty() {
                Vec::new()
            } else {
                blockers(session, &pids, cancel).await?
            },
        });
    }
    Ok(activities)
}

async fn blockers(
    session: &Session,
    pids: &[i32],
    cancel: &CancellationToken,
) -> Result<Vec<Blocker>, Error> {
    const WHAT: &str = "asking the server who holds the lock";
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 1] = [(&pids, Type::INT4_ARRAY)];
    let theirs = session.client.query_typed(
        "SELECT pid, usename::text, application_name, state,
                pg_catalog.left(pg_catalog.regexp_replace(query, '\\s+', ' ', 'g'), 120),
                pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() - xact_start)::int8
         FROM pg_catalog.pg_stat_activity WHERE pid = ANY ($1) ORDER BY xact_start",
        &parameters,
    );
    let rows = session.run(WHAT, PATIENCE, cancel, theirs).await?;
    Ok(rows
        .iter()
        .map(|row| {
            let query: String = row.get::<_, Option<String>>(4).unwrap_or_default();
            // What a role without pg_read_all_stats is shown instead of a stranger's statement.
            let hidden = query.starts_with("<insufficient privilege>");
            Blocker {
                pid: row.get(0),
                role: row.get(1),
                application: row.get(2),
                state: row.get(3),
                query: if hidden { String::new() } else { query },
                seconds: row.get(5),
            }
        })
        .collect())
}

/// What a run that stalled is told about it, in one sentence: what the server says of our pg_dump there.
///
/// # Errors
/// As [`look`].
pub async fn explain(session: &Session, cancel: &CancellationToken) -> Result<String, Error> {
    let activities = look(session, cancel).await?;
    let blocked = activities.iter().find(|activity| !activity.blockers.is_empty());
    Ok(match blocked.or(activities.first()) {
        Some(activity) => activity.sentence(),
        None => {
            "The server knows no session of pg_dump's any more: the connection is lost, or a pooler hides it."
                .to_owned()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn activity() -> Activity {
        Activity {
            pid: 7,
            state: Some("active".into()),
            wait: Some("Lock/relation".into()),
            query: "LOCK TABLE public.orders IN ACCESS SHARE MODE".into(),
            seconds: 61,
            locked: vec!["public.orders".into()],
            blockers: vec![Blocker {
                pid: 4711,
                role: Some("shop".into()),
                application: Some("psql".into()),
                state: Some("idle in transaction".into()),
                query: "ALTER TABLE orders ADD note text".into(),
                seconds: Some(3_900),
            }],
        }
    }

    #[test]
    fn the_sentence_says_who_holds_what_and_since_when() {
        assert_eq!(
            activity().sentence(),
            "pg_dump waits for a lock on public.orders, held by shop (psql), process 4711 for 65 min; \
             its transaction is open and idle, its last statement was: ALTER TABLE orders ADD note text."
        );
    }

    #[test]
    fn without_a_blocker_the_sentence_says_what_the_server_does() {
        let mut busy = activity();
        busy.blockers.clear();
        busy.locked.clear();
        busy.wait = None;
        assert!(
            busy.sentence().contains("computing for 61 s"),
            "{}",
            busy.sentence()
        );
        busy.wait = Some("Client/ClientWrite".into());
        assert!(
            busy.sentence().contains("waits for pg_dump to take"),
            "{}",
            busy.sentence()
        );
    }
}
