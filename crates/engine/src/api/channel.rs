//! Channels, what was told, and what became of it.

use howdah_domain::routing::ChannelRule;
use howdah_domain::{
    Address, AlertId, AlertKind, ChannelId, ChannelKind, ChannelSecret, DatabaseId, Failure, Secret, Severity,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use ts_rs::TS;

/// A channel.
#[derive(Debug, Clone, Serialize, TS)]
#[ts(export)]
pub struct ChannelView {
    /// Its id.
    pub id: ChannelId,
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: ChannelKind,
    /// Who is reached, and how.
    pub address: Address,
    /// In a few words: `ada@example.com and 2 more`.
    pub summary: String,
    /// What the keyring holds for it.
    pub secrets: Vec<ChannelSecret>,
    /// What it is told.
    pub rule: ChannelRule,
    /// Whether it is told anything.
    pub enabled: bool,
    /// The last message that it took.
    #[ts(type = "string | null")]
    pub delivered_at: Option<Timestamp>,
    /// Why the newest delivery failed, or waits; none where it went well.
    pub failure: Option<Failure>,
    /// Messages that wait for it.
    pub waiting: u32,
    /// When the first of them is tried again.
    #[ts(type = "string | null")]
    pub next_attempt_at: Option<Timestamp>,
}

/// A channel to be tried out, added or changed.
#[derive(Debug, Deserialize, TS)]
#[ts(export)]
pub struct ChannelInput {
    /// The channel that is being changed: its kept secrets are used where none is given.
    #[serde(default)]
    pub id: Option<ChannelId>,
    /// What it is to be called; empty is a name from the address.
    #[serde(default)]
    pub name: String,
    /// Who is reached, and how.
    pub address: Address,
    /// What opens it; what is not given stays, an empty text removes what is kept.
    #[serde(default)]
    #[ts(as = "BTreeMap<ChannelSecret, String>")]
    pub secrets: BTreeMap<ChannelSecret, Secret>,
    /// What it is told.
    #[serde(default)]
    pub rule: ChannelRule,
    /// Whether it is told anything.
    #[serde(default = "yes")]
    pub enabled: bool,
}

fn yes() -> bool {
    true
}

/// What a test of a channel found.
#[derive(Debug, Clone, Serialize, TS)]
#[ts(export)]
pub struct ChannelReport {
    /// Why the message did not go out.
    pub failure: Option<Failure>,
    /// What went wrong beside it: one of three mailboxes that does not exist.
    pub remark: Option<String>,
    /// The SHA-256 of a certificate that nobody trusts: it can be trusted on purpose.
    pub certificate: Option<String>,
}

/// A chat that a Telegram bot knows of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct TelegramChat {
    /// Its id.
    pub id: String,
    /// Its title, or the person's name.
    pub name: String,
    /// The topic in which the bot was last spoken to.
    #[ts(type = "number | null")]
    pub topic: Option<i64>,
}

/// What of a web hook's body is asked for, to look at before it is sent.
#[derive(Debug, Clone, Serialize, TS)]
#[ts(export)]
pub struct WebhookPreview {
    /// The body, of an example.
    pub body: String,
    /// Why there is none.
    pub failure: Option<Failure>,
}

/// The page of notifications.
#[derive(Debug, Clone, Serialize, TS)]
#[ts(export)]
pub struct NotificationsPage {
    /// Channels, by name; the desktop first.
    pub channels: Vec<ChannelView>,
    /// What happened, newest first; at most 100.
    pub alerts: Vec<AlertView>,
    /// Databases, to choose among.
    pub databases: Vec<NamedDatabase>,
}

/// A database to choose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct NamedDatabase {
    /// Its id.
    pub id: DatabaseId,
    /// Its name.
    pub name: String,
    /// Its server's name.
    pub server_name: String,
}

/// Something that people may want to hear of, and who did.
#[derive(Debug, Clone, Serialize, TS)]
#[ts(export)]
pub struct AlertView {
    /// Its id.
    pub id: AlertId,
    /// What happened.
    pub kind: AlertKind,
    /// How grave it is.
    pub severity: Severity,
    /// One line.
    pub title: String,
    /// What happened, why, and what to do.
    pub body: String,
    /// The technical text.
    pub details: Option<String>,
    /// The page that tells more.
    pub route: Option<String>,
    /// When it happened.
    #[ts(type = "string")]
    pub at: Timestamp,
    /// When it was over; none while it lasts, and of what has no length.
    #[ts(type = "string | null")]
    pub ended_at: Option<Timestamp>,
    /// Whether it is of the kind that lasts.
    pub lasts: bool,
    /// When somebody said that they know.
    #[ts(type = "string | null")]
    pub acknowledged_at: Option<Timestamp>,
    /// Who was told.
    pub deliveries: Vec<DeliveryView>,
}

/// What became of a message to a channel.
#[derive(Debug, Clone, Serialize, TS)]
#[ts(export)]
pub struct DeliveryView {
    /// The channel.
    pub channel_id: ChannelId,
    /// The channel's name.
    pub channel: String,
    /// Its state.
    pub state: DeliveryState,
    /// When it was taken.
    #[ts(type = "string | null")]
    pub delivered_at: Option<Timestamp>,
    /// When it is tried again.
    #[ts(type = "string | null")]
    pub next_attempt_at: Option<Timestamp>,
    /// Why it was not taken.
    pub failure: Option<Failure>,
    /// What went wrong beside it.
    pub remark: Option<String>,
}

/// The states of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum DeliveryState {
    /// It is to be sent.
    Waiting,
    /// The other side took it.
    Delivered,
    /// It was told as part of another message.
    Collapsed,
    /// It was given up.
    Failed,
}
