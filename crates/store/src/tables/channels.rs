//! Channels: who is told, by which rule. Their secrets are in the keyring.

use howdah_domain::routing::ChannelRule;
use howdah_domain::{Address, ChannelId, ChannelSecret, Failure};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::{found, name_taken};
use crate::Result;
use crate::column::{Id, Json, Time};

/// The id of the channel that is this desktop. It is always there.
pub const DESKTOP: &str = "desktop";

/// A channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// Its id.
    pub id: ChannelId,
    /// What the user calls it.
    pub name: String,
    /// Who is reached, and how.
    pub address: Address,
    /// What the keyring holds for it.
    pub secrets: Vec<ChannelSecret>,
    /// What it is told.
    pub rule: ChannelRule,
    /// Whether it is told anything.
    pub enabled: bool,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it last took a message.
    pub delivered_at: Option<Timestamp>,
    /// Why the newest try failed.
    pub failure: Option<Failure>,
    /// The due time of its last summary.
    pub summed_up_at: Option<Timestamp>,
}

impl Channel {
    /// Where the keyring has one of its secrets.
    pub fn secret_reference(id: &ChannelId, secret: ChannelSecret) -> String {
        format!("channel/{id}/{}", secret.as_str())
    }
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Channel> {
    let time =
        |column: &str| Ok::<_, rusqlite::Error>(row.get::<_, Option<Time>>(column)?.map(|time| time.0));
    Ok(Channel {
        id: row.get::<_, Id<_>>("id")?.0,
        name: row.get("name")?,
        address: row.get::<_, Json<_>>("address")?.0,
        secrets: row.get::<_, Json<_>>("secrets")?.0,
        rule: row.get::<_, Json<_>>("rule")?.0,
        enabled: row.get("enabled")?,
        created_at: row.get::<_, Time>("created_at")?.0,
        delivered_at: time("delivered_at")?,
        failure: row.get::<_, Option<Json<_>>>("failure")?.map(|json| json.0),
        summed_up_at: time("summed_up_at")?,
    })
}

/// Adds a channel, or changes what the user says of one that is there.
///
/// # Errors
/// [`crate::Error::NameTaken`].
pub fn save(connection: &Connection, channel: &Channel) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO channels (id, name, address, secrets, rule, enabled, created_at)
             VALUES (:id, :name, :address, :secrets, :rule, :enabled, :created_at)
             ON CONFLICT (id) DO UPDATE SET name = excluded.name, address = excluded.address, secrets = excluded.secrets,
                rule = excluded.rule, enabled = excluded.enabled, failure = NULL",
        )?
        .execute(named_params! {
            ":id": Id(&channel.id),
            ":name": channel.name,
            ":address": Json(&channel.address),
            ":secrets": Json(&channel.secrets),
            ":rule": Json(&channel.rule),
            ":enabled": channel.enabled,
            ":created_at": Time(channel.created_at),
        })
        .map_err(|error| name_taken(error, "channel", &channel.name))?;
    Ok(())
}

/// A channel.
pub fn get(connection: &Connection, id: &ChannelId) -> Result<Option<Channel>> {
    Ok(connection
        .prepare_cached("SELECT * FROM channels WHERE id = ?1")?
        .query_row([Id(id)], from_row)
        .optional()?)
}

/// The channel of that name.
pub fn by_name(connection: &Connection, name: &str) -> Result<Option<Channel>> {
    Ok(connection
        .prepare_cached("SELECT * FROM channels WHERE name = ?1")?
        .query_row([name], from_row)
        .optional()?)
}

/// All channels: the desktop first, then by name.
pub fn list(connection: &Connection) -> Result<Vec<Channel>> {
    Ok(connection
        .prepare_cached("SELECT * FROM channels ORDER BY id <> 'desktop', name, id")?
        .query_map([], from_row)?
        .collect::<rusqlite::Result<_>>()?)
}

/// Forgets a channel, and what waits for it.
///
/// # Errors
/// [`crate::Error::NotFound`].
pub fn remove(connection: &Connection, id: &ChannelId) -> Result<()> {
    let changed = connection
        .prepare_cached("DELETE FROM channels WHERE id = ?1")?
        .execute([Id(id)])?;
    found(changed, "channel")
}

/// What became of the newest try: none is that it was taken.
pub fn tried(
    connection: &Connection,
    id: &ChannelId,
    failure: Option<&Failure>,
    at: Timestamp,
) -> Result<()> {
    connection
        .prepare_cached(
            "UPDATE channels SET failure = ?2, delivered_at = CASE WHEN ?2 IS NULL THEN ?3 ELSE delivered_at END WHERE id = ?1",
        )?
        .execute((Id(id), failure.map(Json), Time(at)))?;
    Ok(())
}

/// Its summary that was due at that time is in the outbox. False where another process was first.
pub fn summed_up(connection: &Connection, id: &ChannelId, due: Timestamp) -> Result<bool> {
    let changed = connection
        .prepare_cached(
            "UPDATE channels SET summed_up_at = ?2 WHERE id = ?1 AND (summed_up_at IS NULL OR summed_up_at < ?2)",
        )?
        .execute((Id(id), Time(due)))?;
    Ok(changed > 0)
}
