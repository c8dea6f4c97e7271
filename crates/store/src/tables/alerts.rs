//! What happened that people may want to hear of, and the outbox entries that go with it: one transaction, so that nothing that
//! happened is forgotten before it is told.

use howdah_domain::routing::About;
use howdah_domain::{AlertId, AlertKind, ChannelId, DatabaseId, Environment, Severity};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use rusqlite::{Connection, OptionalExtension, Row, named_params};
use serde::{Deserialize, Serialize};

use super::{channels, deliveries, found};
use crate::Result;
use crate::column::{Id, Json, Time, Word};

/// A database that an alert is about, with the names it had then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertDatabase {
    /// Its id.
    pub id: DatabaseId,
    /// Its name.
    pub name: String,
    /// Its server's name.
    pub server: String,
    /// What it is used for.
    pub environment: Environment,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAlert {
    /// Its id.
    pub id: AlertId,
    /// Its kind.
    pub kind: AlertKind,
    /// How grave it is.
    pub severity: Severity,
    /// What it is about, of one that lasts: while one of the same kind and subject is open, there is no other. None is a moment.
    pub subject: Option<String>,
    /// One line.
    pub title: String,
    /// What happened, why, and what to do.
    pub body: String,
    /// The technical text.
    pub details: Option<String>,
    /// The page that tells more.
    pub route: Option<String>,
    /// The databases concerned.
    pub databases: Vec<AlertDatabase>,
    /// When it happened.
    pub at: Timestamp,
    /// Nobody is told: it is muted.
    pub muted: bool,
    /// What this is the end of: whoever was told of that is told of this.
    pub ends: Option<AlertId>,
    /// The one channel that it is for; none is whoever takes it.
    pub only_for: Option<ChannelId>,
    /// It is not kept where no channel takes it.
    pub only_to_tell: bool,
}

/// Something that happened, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// The order of recording.
    pub number: i64,
    /// Its id.
    pub id: AlertId,
    /// Its kind.
    pub kind: AlertKind,
    /// How grave it is.
    pub severity: Severity,
    /// What it is about, of one that lasts.
    pub subject: Option<String>,
    /// One line.
    pub title: String,
    /// What happened, why, and what to do.
    pub body: String,
    /// The technical text.
    pub details: Option<String>,
    /// The page that tells more.
    pub route: Option<String>,
    /// The databases concerned.
    pub databases: Vec<AlertDatabase>,
    /// When it happened.
    pub at: Timestamp,
    /// When it was over, of one that lasts.
    pub ended_at: Option<Timestamp>,
    /// When somebody said that they know.
    pub acknowledged_at: Option<Timestamp>,
    /// Nobody was to be told.
    pub muted: bool,
}

pub(super) fn from_row(row: &Row<'_>) -> rusqlite::Result<Alert> {
    let time =
        |column: &str| Ok::<_, rusqlite::Error>(row.get::<_, Option<Time>>(column)?.map(|time| time.0));
    Ok(Alert {
        number: row.get("number")?,
        id: row.get::<_, Id<_>>("id")?.0,
        kind: row.get::<_, Word<_>>("kind")?.0,
        severity: row.get::<_, Word<_>>("severity")?.0,
        subject: row.get("subject")?,
        title: row.get("title")?,
        body: row.get("body")?,
        details: row.get("details")?,
        route: row.get("route")?,
        databases: row.get::<_, Json<_>>("databases")?.0,
        at: row.get::<_, Time>("at")?.0,
        ended_at: time("ended_at")?,
        acknowledged_at: time("acknowledged_at")?,
        muted: row.get("muted")?,
    })
}

/// Records what happened, and what is to be told of it. False where it lasts already, which is told only once.
pub fn raise(connection: &Connection, alert: &NewAlert, zone: &TimeZone) -> Result<bool> {
    let inserted = connection
        .prepare_cached(
            "INSERT INTO alerts (id, kind, severity, subject, title, body, details, route, databases, at, muted)
             VALUES (:id, :kind, :severity, :subject, :title, :body, :details, :route, :databases, :at, :muted)
             ON CONFLICT DO NOTHING",
        )?
        .execute(named_params! {
            ":id": Id(&alert.id),
            ":kind": Word(alert.kind),
            ":severity": Word(alert.severity),
            ":subject": alert.subject,
            ":title": alert.title,
            ":body": alert.body,
            ":details": alert.details,
            ":route": alert.route,
            ":databases": Json(&alert.databases),
            ":at": Time(alert.at),
            ":muted": alert.muted,
        })?;
    if inserted == 0 {
        return Ok(false);
    }
    if alert.muted {
        return Ok(true);
    }
    let databases: Vec<_> = alert
        .databases
        .iter()
        .map(|database| (database.id.clone(), database.environment))
        .collect();
    let about = About {
        kind: alert.kind,
        severity: alert.severity,
        databases: &databases,
    };
    let ended = match &alert.ends {
        Some(id) => get(connection, id)?,
        None => None,
    };
    let mut told = false;
    let addressed =
        |channel: &&channels::Channel| alert.only_for.as_ref().is_none_or(|only| *only == channel.id);
    for channel in channels::list(connection)?
        .iter()
        .filter(|channel| channel.enabled)
        .filter(addressed)
    {
        let heard_of_it = match &ended {
            Some(ended) => {
                !channel.rule.never.contains(&alert.kind)
                    && deliveries::was_told(connection, &ended.id, &channel.id)?
            }
            None => false,
        };
        if heard_of_it || channel.rule.takes(channel.address.kind(), &about) {
            // Whoever was woken by the one is not to lie awake for the other.
            let gravity = match &ended {
                Some(ended) if heard_of_it => alert.severity.max(ended.severity),
                _ => alert.severity,
            };
            let from = channel.rule.waits_until(gravity, alert.at, zone);
            deliveries::insert(connection, &alert.id, &channel.id, 0, alert.at, from)?;
            told = true;
        }
    }
    if alert.only_to_tell && !told {
        connection
            .prepare_cached("DELETE FROM alerts WHERE id = ?1")?
            .execute([Id(&alert.id)])?;
    }
    Ok(told || !alert.only_to_tell)
}

/// What of a kind and subject lasts.
pub fn lasting(connection: &Connection, kind: AlertKind, subject: &str) -> Result<Option<Alert>> {
    Ok(connection
        .prepare_cached("SELECT * FROM alerts WHERE kind = ?1 AND subject = ?2 AND ended_at IS NULL")?
        .query_row((Word(kind), subject), from_row)
        .optional()?)
}

/// Everything that lasts, oldest first.
pub fn all_lasting(connection: &Connection) -> Result<Vec<Alert>> {
    Ok(connection
        .prepare_cached(
            "SELECT * FROM alerts WHERE subject IS NOT NULL AND ended_at IS NULL ORDER BY number",
        )?
        .query_map([], from_row)?
        .collect::<rusqlite::Result<_>>()?)
}

/// It is over. False where it was already.
pub fn end(connection: &Connection, id: &AlertId, at: Timestamp) -> Result<bool> {
    let changed = connection
        .prepare_cached("UPDATE alerts SET ended_at = ?2 WHERE id = ?1 AND ended_at IS NULL")?
        .execute((Id(id), Time(at)))?;
    Ok(changed > 0)
}

/// Somebody knows: it is not told again.
///
/// # Errors
/// [`crate::Error::NotFound`].
pub fn acknowledge(connection: &Connection, id: &AlertId, at: Timestamp) -> Result<()> {
    let changed = connection
        .prepare_cached("UPDATE alerts SET acknowledged_at = coalesce(acknowledged_at, ?2) WHERE id = ?1")?
        .execute((Id(id), Time(at)))?;
    found(changed, "alert")
}

/// An alert.
pub fn get(connection: &Connection, id: &AlertId) -> Result<Option<Alert>> {
    Ok(connection
        .prepare_cached("SELECT * FROM alerts WHERE id = ?1")?
        .query_row([Id(id)], from_row)
        .optional()?)
}

/// The newest, newest first.
pub fn newest(connection: &Connection, limit: u32) -> Result<Vec<Alert>> {
    Ok(connection
        .prepare_cached("SELECT * FROM alerts ORDER BY number DESC LIMIT ?1")?
        .query_map([limit], from_row)?
        .collect::<rusqlite::Result<_>>()?)
}

/// Forgets what was over before that time, with its deliveries; at most 1,000 at once.
pub fn prune(connection: &Connection, before: Timestamp) -> Result<usize> {
    Ok(connection
        .prepare_cached(
            "DELETE FROM alerts WHERE number IN (
                SELECT number FROM alerts WHERE at < ?1 AND (subject IS NULL OR ended_at IS NOT NULL) ORDER BY at LIMIT 1000)",
        )?
        .execute([Time(before)])?)
}
