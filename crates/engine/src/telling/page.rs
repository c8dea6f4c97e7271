//! The page of notifications: channels, what happened, and who was told.

use std::collections::HashMap;

use howdah_domain::{Address, AlertId, AlertKind, ChannelId, ChannelKind, Failure, FailureCode};
use howdah_store::tables::alerts::{self, Alert};
use howdah_store::tables::channels::{self, Channel};
use howdah_store::tables::deliveries::{self, Delivery};
use howdah_store::tables::{databases, servers};

use jiff::SignedDuration;

use crate::api::{
    AlertView, ChannelView, DeliveryState, DeliveryView, Event, NamedDatabase, NotificationsPage,
};
use crate::engine::{Engine, OrFailure};

/// Alerts on the page.
const SHOWN: u32 = 100;

impl Engine {
    /// The page of notifications.
    pub async fn notifications_page(&self) -> Result<NotificationsPage, Failure> {
        self.0
            .store
            .read(|c| {
                let channels = channels::list(c)?;
                let names: HashMap<ChannelId, String> = channels
                    .iter()
                    .map(|channel| (channel.id.clone(), channel.name.clone()))
                    .collect();
                let mut shown = Vec::new();
                for alert in alerts::newest(c, SHOWN)? {
                    let told = deliveries::of_alert(c, &alert.id)?;
                    shown.push(alert_view(alert, told, &names));
                }
                let servers: HashMap<_, _> = servers::list(c)?
                    .into_iter()
                    .map(|row| (row.server.id, row.server.name))
                    .collect();
                let mut named: Vec<NamedDatabase> = databases::list(c)?
                    .into_iter()
                    .filter_map(|database| {
                        Some(NamedDatabase {
                            server_name: servers.get(&database.server_id)?.clone(),
                            id: database.id,
                            name: database.name,
                        })
                    })
                    .collect();
                named.sort_by(|a, b| (&a.name, &a.server_name).cmp(&(&b.name, &b.server_name)));
                Ok(NotificationsPage {
                    channels: channel_views(c, channels)?,
                    alerts: shown,
                    databases: named,
                })
            })
            .await
            .or_failure()
    }

    /// All channels, the desktop first.
    pub async fn list_channels(&self) -> Result<Vec<ChannelView>, Failure> {
        self.0
            .store
            .read(|c| {
                let channels = channels::list(c)?;
                channel_views(c, channels)
            })
            .await
            .or_failure()
    }

    /// Somebody knows of it: it is not told again.
    pub async fn acknowledge_alert(&self, id: &AlertId) -> Result<(), Failure> {
        let (id, now) = (id.clone(), self.0.clock.now());
        self.0
            .store
            .write(move |tx| alerts::acknowledge(tx, &id, now))
            .await
            .or_failure()?;
        self.0.events.send(Event::Notifications);
        Ok(())
    }
}

/// How long *Mute* on a notification lasts.
const MUTED: SignedDuration = SignedDuration::from_hours(1);

impl Engine {
    /// Nobody is told of an alert's databases for an hour. The alert is named by the id of the message that told of it.
    pub async fn mute_alert(&self, message_id: &str) -> Result<(), Failure> {
        let until = self.0.clock.now().checked_add(MUTED).ok();
        for database in self.alert_of(message_id).await?.databases {
            self.mute(&database.id, until).await?;
        }
        Ok(())
    }

    /// Tries again what an alert says has failed: a backup, a drill, a copy.
    pub async fn retry_alert(&self, message_id: &str) -> Result<(), Failure> {
        let alert = self.alert_of(message_id).await?;
        match alert.kind {
            AlertKind::BackupFailed => {
                for database in &alert.databases {
                    self.back_up_now(&database.id).await?;
                }
            }
            AlertKind::DrillFailed => {
                for database in &alert.databases {
                    if let Some(newest) = self.list_backups(Some(database.id.clone())).await?.first() {
                        self.drill_backup(&newest.id).await?;
                    }
                }
            }
            _ => self.0.copies_changed.notify_one(),
        }
        Ok(())
    }

    async fn alert_of(&self, message_id: &str) -> Result<Alert, Failure> {
        let id = message_id.split('-').next().unwrap_or_default();
        let id = AlertId::from_text(id);
        self.0
            .store
            .read(move |c| alerts::get(c, &id))
            .await
            .or_failure()?
            .ok_or_else(|| Failure::new(FailureCode::NotFound, "Nothing is known of this alert any more."))
    }
}

fn channel_views(
    c: &howdah_store::Connection,
    channels: Vec<Channel>,
) -> howdah_store::Result<Vec<ChannelView>> {
    channels
        .into_iter()
        .map(|channel| {
            Ok(ChannelView {
                waiting: deliveries::count_waiting(c, &channel.id)?,
                next_attempt_at: deliveries::next_attempt(c, &channel.id)?,
                kind: channel.address.kind(),
                summary: summary(&channel.address),
                id: channel.id,
                name: channel.name,
                address: channel.address,
                secrets: channel.secrets,
                rule: channel.rule,
                enabled: channel.enabled,
                delivered_at: channel.delivered_at,
                failure: channel.failure,
            })
        })
        .collect()
}

fn alert_view(alert: Alert, told: Vec<Delivery>, names: &HashMap<ChannelId, String>) -> AlertView {
    AlertView {
        id: alert.id,
        kind: alert.kind,
        severity: alert.severity,
        title: alert.title,
        body: alert.body,
        details: alert.details,
        route: alert.route,
        at: alert.at,
        ended_at: alert.ended_at,
        lasts: alert.subject.is_some(),
        acknowledged_at: alert.acknowledged_at,
        deliveries: told
            .into_iter()
            .map(|delivery| DeliveryView {
                channel: names.get(&delivery.channel_id).cloned().unwrap_or_default(),
                channel_id: delivery.channel_id,
                state: delivery.state.into(),
                delivered_at: delivery.delivered_at,
                next_attempt_at: delivery.next_attempt_at,
                failure: delivery.failure,
                remark: delivery.remark,
            })
            .collect(),
    }
}

impl From<deliveries::State> for DeliveryState {
    fn from(state: deliveries::State) -> Self {
        match state {
            deliveries::State::Waiting => Self::Waiting,
            deliveries::State::Delivered => Self::Delivered,
            deliveries::State::Collapsed => Self::Collapsed,
            deliveries::State::Failed => Self::Failed,
        }
    }
}

/// A kind's name, as its makers write it.
pub(super) fn kind_name(kind: ChannelKind) -> &'static str {
    match kind {
        ChannelKind::Desktop => "This desktop",
        ChannelKind::Email => "E-mail",
        ChannelKind::Telegram => "Telegram",
        ChannelKind::Discord => "Discord",
        ChannelKind::Slack => "Slack",
        ChannelKind::Teams => "Microsoft Teams",
        ChannelKind::Mattermost => "Mattermost",
        ChannelKind::Ntfy => "ntfy",
        ChannelKind::Gotify => "Gotify",
        ChannelKind::Pushover => "Pushover",
        ChannelKind::Webhook => "Web hook",
        ChannelKind::Ping => "Dead man's switch",
    }
}

/// Who is reached, in a few words.
fn summary(address: &Address) -> String {
    match address {
        Address::Desktop => "Notifications on this desktop".to_owned(),
        Address::Email(email) => match email.to.as_slice() {
            [] => "nobody".to_owned(),
            [one] => one.clone(),
            [first, others @ ..] => format!("{first} and {} more", others.len()),
        },
        Address::Telegram(telegram) => match telegram.topic {
            Some(topic) => format!("chat {}, topic {topic}", telegram.chat),
            None => format!("chat {}", telegram.chat),
        },
        Address::Slack(slack) => match &slack.channel {
            Some(channel) => channel.clone(),
            None => "by web hook".to_owned(),
        },
        Address::Mattermost(mattermost) => match &mattermost.channel {
            Some(channel) => channel.clone(),
            None => "by web hook".to_owned(),
        },
        Address::Discord | Address::Teams => "by web hook".to_owned(),
        Address::Ntfy(ntfy) if ntfy.server.is_empty() => format!("{} at ntfy.sh", ntfy.topic),
        Address::Ntfy(ntfy) => format!("{} at {}", ntfy.topic, ntfy.server),
        Address::Gotify(gotify) => gotify.server.clone(),
        Address::Pushover(pushover) => match &pushover.device {
            Some(device) => device.clone(),
            None => "all devices".to_owned(),
        },
        Address::Webhook(webhook) => format!("{:?}", webhook.method).to_uppercase(),
        Address::Ping => "told of each backup's start and end".to_owned(),
    }
}
