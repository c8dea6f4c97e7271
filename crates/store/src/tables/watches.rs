//! Databases that are watched: how they are checked, and what is remembered of their checks over a restart.

use howdah_domain::{
    DatabaseId, Failure,
    check::{CheckRule, Standing},
};
use jiff::Timestamp;
use rusqlite::{
    Connection, OptionalExtension, Row, named_params,
    types::{FromSql, FromSqlResult, ToSql, ToSqlOutput, ValueRef},
};

use super::found;
use crate::{
    Result,
    column::{Id, Json, Time, time},
};

/// A watch's short name in the large tables. It is its database's for as long as that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WatchNumber(pub i64);

impl ToSql for WatchNumber {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.0.to_sql()
    }
}

impl FromSql for WatchNumber {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_i64().map(Self)
    }
}

/// A database's checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// Its short name.
    pub number: WatchNumber,
    /// The database.
    pub database_id: DatabaseId,
    /// How it is checked; none is the default.
    pub rule: Option<CheckRule>,
    /// Nobody is told of it until then.
    pub muted_until: Option<Timestamp>,
    /// Its first check.
    pub watched_since: Option<Timestamp>,
    /// How it stood when that was last written.
    pub standing: Option<Standing>,
    /// The last check that was written.
    pub last: Option<LastCheck>,
}

/// What the last check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastCheck {
    /// When it ended.
    pub at: Timestamp,
    /// Microseconds until the login was through.
    pub connect_us: Option<u32>,
    /// Microseconds from then until the answer.
    pub answer_us: Option<u32>,
    /// Why there was no answer, or not the one expected.
    pub failure: Option<Failure>,
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Watch> {
    let last = match row.get::<_, Option<Time>>("checked_at")? {
        Some(at) => Some(LastCheck {
            at: at.0,
            connect_us: row.get("connect")?,
            answer_us: row.get("answer")?,
            failure: row.get::<_, Option<Json<_>>>("failure")?.map(|json| json.0),
        }),
        None => None,
    };
    Ok(Watch {
        number: row.get("number")?,
        database_id: row.get::<_, Id<_>>("database_id")?.0,
        rule: row.get::<_, Option<Json<_>>>("rule")?.map(|json| json.0),
        muted_until: row.get::<_, Option<Time>>("muted_until")?.map(|time| time.0),
        watched_since: row.get::<_, Option<Time>>("watched_since")?.map(|time| time.0),
        standing: row.get::<_, Option<Json<_>>>("standing")?.map(|json| json.0),
        last,
    })
}

/// A database's watch; made with the default rule where there is none yet.
///
/// # Errors
/// SQLite's, where there is no such database.
pub fn ensure(connection: &Connection, database_id: &DatabaseId) -> Result<Watch> {
    if let Some(watch) = get(connection, database_id)? {
        return Ok(watch);
    }
    connection
        .prepare_cached("INSERT INTO watches (database_id) VALUES (?1)")?
        .execute([Id(database_id)])?;
    Ok(Watch {
        number: WatchNumber(connection.last_insert_rowid()),
        database_id: database_id.clone(),
        rule: None,
        muted_until: None,
        watched_since: None,
        standing: None,
        last: None,
    })
}

/// Whether nobody is to be told of these databases: each is muted. Of none, somebody is.
pub fn all_muted<'a>(
    connection: &Connection,
    databases: impl IntoIterator<Item = &'a DatabaseId>,
    now: Timestamp,
) -> Result<bool> {
    let mut any = false;
    for id in databases {
        any = true;
        let muted = get(connection, id)?.and_then(|watch| watch.muted_until);
        if muted.is_none_or(|until| until <= now) {
            return Ok(false);
        }
    }
    Ok(any)
}

/// A database's watch.
pub fn get(connection: &Connection, database_id: &DatabaseId) -> Result<Option<Watch>> {
    Ok(connection
        .prepare_cached("SELECT * FROM watches WHERE database_id = ?1")?
        .query_row([Id(database_id)], from_row)
        .optional()?)
}

/// All watches, in the order they were made; also of databases that vanished, or whose servers were removed.
pub fn list(connection: &Connection) -> Result<Vec<Watch>> {
    Ok(connection
        .prepare_cached("SELECT * FROM watches ORDER BY number")?
        .query_map([], from_row)?
        .collect::<rusqlite::Result<_>>()?)
}

/// Sets how a database is checked; none is the default.
///
/// # Errors
/// [`Error::NotFound`](crate::Error::NotFound) where it has no watch.
pub fn set_rule(connection: &Connection, database_id: &DatabaseId, rule: Option<&CheckRule>) -> Result<()> {
    let changed = connection
        .prepare_cached("UPDATE watches SET rule = ?2 WHERE database_id = ?1")?
        .execute((Id(database_id), rule.map(Json)))?;
    found(changed, "watch")
}

/// Lets nobody be told of a database until then; none lets everybody be.
///
/// # Errors
/// [`Error::NotFound`](crate::Error::NotFound) where it has no watch.
pub fn mute(connection: &Connection, database_id: &DatabaseId, until: Option<Timestamp>) -> Result<()> {
    let changed = connection
        .prepare_cached("UPDATE watches SET muted_until = ?2 WHERE database_id = ?1")?
        .execute((Id(database_id), time(until)))?;
    found(changed, "watch")
}

/// Writes down how a database stands, and its last check where there was one. It is watched since the first that is written.
///
/// # Errors
/// [`Error::NotFound`](crate::Error::NotFound): it was removed meanwhile.
pub fn remember(
    connection: &Connection,
    watch: WatchNumber,
    standing: &Standing,
    last: Option<&LastCheck>,
) -> Result<()> {
    let Some(last) = last else {
        let changed = connection
            .prepare_cached("UPDATE watches SET standing = ?2 WHERE number = ?1")?
            .execute((watch, Json(standing)))?;
        return found(changed, "watch");
    };
    let changed = connection
        .prepare_cached(
            "UPDATE watches SET standing = :standing, watched_since = coalesce(watched_since, :at), checked_at = :at,
                connect = :connect, answer = :answer, failure = :failure WHERE number = :number",
        )?
        .execute(named_params! {
            ":number": watch,
            ":standing": Json(standing),
            ":at": Time(last.at),
            ":connect": last.connect_us,
            ":answer": last.answer_us,
            ":failure": last.failure.as_ref().map(Json),
        })?;
    found(changed, "watch")
}
