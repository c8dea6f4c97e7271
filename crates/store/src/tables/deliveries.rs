//! The outbox: what is to be told to which channel, and what became of it.

use howdah_domain::{AlertId, ChannelId, Failure};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, named_params};
use serde::{Deserialize, Serialize};

use super::alerts::{self, Alert};
use crate::Result;
use crate::column::{Id, Json, Time, Word};

/// The states of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is to be sent.
    Waiting,
    /// The other side took it.
    Delivered,
    /// It was told as part of another message.
    Collapsed,
    /// It was given up.
    Failed,
}

/// A message to a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its place in the channel's order.
    pub number: i64,
    /// What it tells.
    pub alert_id: AlertId,
    /// To whom.
    pub channel_id: ChannelId,
    /// How often it was told again before.
    pub round: u32,
    /// Its state.
    pub state: State,
    /// Tries that failed.
    pub attempts: u32,
    /// Since when it has been in the outbox.
    pub created_at: Timestamp,
    /// Not before then.
    pub next_attempt_at: Option<Timestamp>,
    /// When it was taken.
    pub delivered_at: Option<Timestamp>,
    /// Why the last try failed.
    pub failure: Option<Failure>,
    /// What went wrong beside it.
    pub remark: Option<String>,
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Delivery> {
    let time =
        |column: &str| Ok::<_, rusqlite::Error>(row.get::<_, Option<Time>>(column)?.map(|time| time.0));
    Ok(Delivery {
        number: row.get("number")?,
        alert_id: row.get::<_, Id<_>>("alert_id")?.0,
        channel_id: row.get::<_, Id<_>>("channel_id")?.0,
        round: row.get("round")?,
        state: row.get::<_, Word<_>>("state")?.0,
        attempts: row.get("attempts")?,
        created_at: row.get::<_, Time>("created_at")?.0,
        next_attempt_at: time("next_attempt_at")?,
        delivered_at: time("delivered_at")?,
        failure: row.get::<_, Option<Json<_>>>("failure")?.map(|json| json.0),
        remark: row.get("remark")?,
    })
}

/// Puts a message into the outbox, not to be sent before `from`. One that is there already stays as it is.
pub fn insert(
    connection: &Connection,
    alert: &AlertId,
    channel: &ChannelId,
    round: u32,
    at: Timestamp,
    from: Option<Timestamp>,
) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO deliveries (alert_id, channel_id, round, state, created_at, next_attempt_at)
             VALUES (:alert, :channel, :round, 'waiting', :at, :from) ON CONFLICT DO NOTHING",
        )?
        .execute(named_params! {
            ":alert": Id(alert),
            ":channel": Id(channel),
            ":round": round,
            ":at": Time(at),
            ":from": from.map(Time),
        })?;
    Ok(())
}

/// Whether a channel was told of something, or is to be.
pub fn was_told(connection: &Connection, alert: &AlertId, channel: &ChannelId) -> Result<bool> {
    Ok(connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM deliveries WHERE alert_id = ?1 AND channel_id = ?2)")?
        .query_row((Id(alert), Id(channel)), |row| row.get(0))?)
}

/// What waits for a channel, in its order, at most `limit`.
pub fn waiting(connection: &Connection, channel: &ChannelId, limit: u32) -> Result<Vec<(Delivery, Alert)>> {
    let mut statement = connection.prepare_cached(
        "SELECT * FROM deliveries WHERE channel_id = ?1 AND state = 'waiting' ORDER BY number LIMIT ?2",
    )?;
    let rows = statement
        .query_map((Id(channel), limit), from_row)?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let mut waiting = Vec::with_capacity(rows.len());
    for delivery in rows {
        if let Some(alert) = alerts::get(connection, &delivery.alert_id)? {
            waiting.push((delivery, alert));
        }
    }
    Ok(waiting)
}

/// How many messages wait for a channel.
pub fn count_waiting(connection: &Connection, channel: &ChannelId) -> Result<u32> {
    Ok(connection
        .prepare_cached("SELECT count(*) FROM deliveries WHERE channel_id = ?1 AND state = 'waiting'")?
        .query_row([Id(channel)], |row| row.get(0))?)
}

/// When the first message that waits for a channel is tried again; none where nothing waits, or it is tried now.
pub fn next_attempt(connection: &Connection, channel: &ChannelId) -> Result<Option<Timestamp>> {
    Ok(connection
        .prepare_cached(
            "SELECT next_attempt_at FROM deliveries WHERE channel_id = ?1 AND state = 'waiting' ORDER BY number LIMIT 1",
        )?
        .query_row([Id(channel)], |row| row.get::<_, Option<Time>>(0))
        .optional()?
        .flatten()
        .map(|time| time.0))
}

/// Whether anything waits for any channel.
pub fn any_waiting(connection: &Connection) -> Result<bool> {
    Ok(connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM deliveries WHERE state = 'waiting')")?
        .query_row([], |row| row.get(0))?)
}

/// The channel took it: the first of `numbers`, and with it the others, whose place it took.
pub fn delivered(
    connection: &Connection,
    numbers: &[i64],
    remark: Option<&str>,
    at: Timestamp,
) -> Result<()> {
    for (place, number) in numbers.iter().enumerate() {
        let state = if place == 0 {
            State::Delivered
        } else {
            State::Collapsed
        };
        connection
            .prepare_cached(
                "UPDATE deliveries SET state = ?2, delivered_at = ?3, remark = ?4, failure = NULL, next_attempt_at = NULL
                 WHERE number = ?1 AND state = 'waiting'",
            )?
            .execute((number, Word(state), Time(at), remark.filter(|_| place == 0)))?;
    }
    Ok(())
}

/// Trying failed; the next try is then, or never.
pub fn failed(
    connection: &Connection,
    numbers: &[i64],
    failure: &Failure,
    next: Option<Timestamp>,
) -> Result<()> {
    for number in numbers {
        connection
            .prepare_cached(
                "UPDATE deliveries SET attempts = attempts + 1, failure = ?2, next_attempt_at = ?3,
                    state = CASE WHEN ?3 IS NULL THEN 'failed' ELSE state END
                 WHERE number = ?1 AND state = 'waiting'",
            )?
            .execute((number, Json(failure), next.map(Time)))?;
    }
    Ok(())
}

/// Gives up whatever waits for a channel.
pub fn give_up(connection: &Connection, channel: &ChannelId, why: &Failure) -> Result<()> {
    connection
        .prepare_cached(
            "UPDATE deliveries SET state = 'failed', failure = ?2, next_attempt_at = NULL WHERE channel_id = ?1 AND state = 'waiting'",
        )?
        .execute((Id(channel), Json(why)))?;
    Ok(())
}

/// Lets it go untold: what it tells is of no use any more.
pub fn drop_stale(connection: &Connection, numbers: &[i64]) -> Result<()> {
    for number in numbers {
        connection
            .prepare_cached(
                "UPDATE deliveries SET state = 'collapsed', next_attempt_at = NULL WHERE number = ?1",
            )?
            .execute([number])?;
    }
    Ok(())
}

/// Tries a channel's messages again now: those that wait, and those that were given up since `since`.
pub fn retry(connection: &Connection, channel: &ChannelId, since: Timestamp, now: Timestamp) -> Result<()> {
    connection
        .prepare_cached(
            "UPDATE deliveries SET state = 'waiting', next_attempt_at = NULL, created_at = ?3
             WHERE channel_id = ?1 AND state = 'failed' AND created_at >= ?2",
        )?
        .execute((Id(channel), Time(since), Time(now)))?;
    hurry(connection, channel)
}

/// Tries now what failed and waits for its next try. What quiet hours hold back stays.
pub fn hurry_failed(connection: &Connection, channel: &ChannelId) -> Result<()> {
    connection
        .prepare_cached(
            "UPDATE deliveries SET next_attempt_at = NULL WHERE channel_id = ?1 AND state = 'waiting' AND attempts > 0",
        )?
        .execute([Id(channel)])?;
    Ok(())
}

/// A message of the outbox.
pub fn get(connection: &Connection, number: i64) -> Result<Option<Delivery>> {
    Ok(connection
        .prepare_cached("SELECT * FROM deliveries WHERE number = ?1")?
        .query_row([number], from_row)
        .optional()?)
}

/// Tries now what waits for the channel.
pub fn hurry(connection: &Connection, channel: &ChannelId) -> Result<()> {
    connection
        .prepare_cached(
            "UPDATE deliveries SET next_attempt_at = NULL WHERE channel_id = ?1 AND state = 'waiting'",
        )?
        .execute([Id(channel)])?;
    Ok(())
}

/// What became of telling something.
pub fn of_alert(connection: &Connection, alert: &AlertId) -> Result<Vec<Delivery>> {
    Ok(connection
        .prepare_cached("SELECT * FROM deliveries WHERE alert_id = ?1 ORDER BY number")?
        .query_map([Id(alert)], from_row)?
        .collect::<rusqlite::Result<_>>()?)
}

/// The newest message to a channel about something.
pub fn newest(connection: &Connection, alert: &AlertId, channel: &ChannelId) -> Result<Option<Delivery>> {
    Ok(of_alert(connection, alert)?
        .into_iter()
        .rfind(|delivery| delivery.channel_id == *channel))
}
