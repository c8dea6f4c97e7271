//! Channels: tried out, added, changed, removed. What opens them goes to the keyring and nowhere else.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use howdah_domain::{
    Address, AlertKind, ChannelId, ChannelKind, ChannelSecret, Failure, FailureCode, Secret,
};
use howdah_notify::{Message, Secrets, Subject};
use howdah_store::tables::channels::{self, Channel};
use howdah_store::tables::deliveries;
use jiff::SignedDuration;

use crate::api::{ChannelInput, ChannelReport, ChannelView, Event, TelegramChat, WebhookPreview};
use crate::engine::{Engine, OrFailure};
use crate::random;

/// A test ends after this, whatever the other side does.
const TEST_LIMIT: Duration = Duration::from_secs(90);

/// Messages that were given up so long ago are sent again on demand.
const RETRY_SINCE: SignedDuration = SignedDuration::from_hours(48);

impl Engine {
    /// Sends a message through a channel that need not be saved.
    pub async fn test_channel(&self, input: ChannelInput) -> Result<ChannelReport, Failure> {
        let name = input.name.trim().to_owned();
        let (address, secrets) = self.resolve_channel(input).await?;
        let mut message = Message::new(
            AlertKind::Test,
            self.0.clock.now(),
            "Howdah can reach you here",
            "This is a test. Alerts about backups and databases will arrive like this.",
        );
        message.id = howdah_domain::id::random_suffix(random::bytes(), 16);
        let opened = self.channel_at(&name, &address, &secrets);
        let sent = match opened {
            Ok(channel) => {
                let sending = channel.send(&message, &self.0.ending);
                match tokio::time::timeout(TEST_LIMIT, sending).await {
                    Ok(sent) => sent,
                    Err(_) => Err(howdah_notify::Error::Timeout {
                        service: "the other side".to_owned(),
                        limit: TEST_LIMIT,
                    }),
                }
            }
            Err(error) => Err(error),
        };
        Ok(match sent {
            Ok(delivered) => ChannelReport {
                failure: None,
                remark: delivered.remark,
                certificate: None,
            },
            Err(error) => ChannelReport {
                certificate: match &error {
                    howdah_notify::Error::Untrusted { fingerprint, .. } => fingerprint.clone(),
                    _ => None,
                },
                failure: Some(error.to_failure()),
                remark: None,
            },
        })
    }

    /// Adds a channel, or changes one. What opens it goes to the keyring first: a channel whose secret could not be kept is not
    /// saved.
    pub async fn save_channel(&self, input: ChannelInput) -> Result<ChannelView, Failure> {
        let kept = match &input.id {
            Some(id) => Some(self.channel(id).await?),
            None => None,
        };
        if let Some(kept) = &kept
            && (kept.address.kind() == ChannelKind::Desktop) != (input.address.kind() == ChannelKind::Desktop)
        {
            return Err(refused(
                "A channel stays of its kind.",
                "Add another one instead.",
            ));
        }
        if kept.is_none() && input.address.kind() == ChannelKind::Desktop {
            return Err(refused(
                "This desktop is a channel already.",
                "Turn it on instead of adding it.",
            ));
        }
        validate(&input)?;
        let id = kept
            .as_ref()
            .map_or_else(|| ChannelId::from_random(random::bytes()), |kept| kept.id.clone());
        let name = match input.name.trim() {
            "" => self.free_channel_name(&input.address, &id).await?,
            name => name.to_owned(),
        };
        let used: Vec<ChannelSecret> = input
            .address
            .secrets()
            .into_iter()
            .map(|(secret, _)| secret)
            .collect();
        let mut held: Vec<ChannelSecret> = kept.as_ref().map(|kept| kept.secrets.clone()).unwrap_or_default();
        let mut unneeded: Vec<ChannelSecret> = held
            .iter()
            .copied()
            .filter(|secret| !used.contains(secret))
            .collect();
        if let Some(kept) = &kept
            && asks_elsewhere(&kept.address, &input.address)
            && let Some(secret) = held
                .iter()
                .find(|secret| used.contains(secret) && !input.secrets.contains_key(secret))
        {
            return Err(enter_again(*secret));
        }
        for (secret, value) in &input.secrets {
            if value.is_empty() || !used.contains(secret) {
                unneeded.extend(held.contains(secret).then_some(*secret));
                continue;
            }
            self.keep(
                Channel::secret_reference(&id, *secret),
                format!("Howdah: {name} ({})", secret.words()),
                value,
            )
            .await?;
            held.push(*secret);
        }
        held.sort_unstable();
        held.dedup();
        held.retain(|secret| !unneeded.contains(secret));
        if let Some((missing, _)) = input
            .address
            .secrets()
            .into_iter()
            .find(|(secret, demanded)| *demanded && !held.contains(secret))
        {
            return Err(missing_secret(missing));
        }
        let row = Channel {
            id: id.clone(),
            name,
            address: input.address,
            secrets: held,
            rule: input.rule,
            enabled: input.enabled,
            created_at: self.0.clock.now(),
            delivered_at: None,
            failure: None,
            summed_up_at: None,
        };
        self.0
            .store
            .write(move |tx| {
                channels::save(tx, &row)?;
                if row.enabled {
                    // It may be reached now.
                    return deliveries::hurry_failed(tx, &row.id);
                }
                // Switched on again in a month, it would be told of what is long over.
                let why = Failure::new(
                    FailureCode::Cancelled,
                    "The channel was switched off before this was told.",
                );
                deliveries::give_up(tx, &row.id, &why)
            })
            .await
            .or_failure()?;
        for secret in unneeded {
            self.0
                .secrets
                .delete(&Channel::secret_reference(&id, secret))
                .await
                .or_failure()?;
        }
        self.told();
        self.look_after_things();
        self.channel_view(&id).await
    }

    /// Removes a channel, and what waits for it. The desktop stays.
    pub async fn remove_channel(&self, id: &ChannelId) -> Result<(), Failure> {
        let row = self.channel(id).await?;
        if row.address.kind() == ChannelKind::Desktop {
            return Err(refused("This desktop cannot be removed.", "Turn it off instead."));
        }
        let removed = id.clone();
        self.0
            .store
            .write(move |tx| channels::remove(tx, &removed))
            .await
            .or_failure()?;
        self.0.events.send(Event::Notifications);
        self.look_after_things();
        for secret in row.secrets {
            self.0
                .secrets
                .delete(&Channel::secret_reference(id, secret))
                .await
                .or_failure()?;
        }
        Ok(())
    }

    /// Tries a channel's messages again now: those that wait, and those that were given up in the last two days.
    pub async fn retry_deliveries(&self, id: &ChannelId) -> Result<(), Failure> {
        let now = self.0.clock.now();
        let since = now.checked_sub(RETRY_SINCE).unwrap_or(jiff::Timestamp::MIN);
        let id = id.clone();
        self.0
            .store
            .write(move |tx| deliveries::retry(tx, &id, since, now))
            .await
            .or_failure()?;
        self.told();
        Ok(())
    }

    /// The channel of that name or id.
    pub async fn find_channel(&self, name_or_id: &str) -> Result<ChannelView, Failure> {
        let text = name_or_id.to_owned();
        let row = self
            .0
            .store
            .read(move |c| match channels::by_name(c, &text)? {
                Some(row) => Ok(Some(row)),
                None => channels::get(c, &ChannelId::from_text(text)),
            })
            .await
            .or_failure()?;
        match row {
            Some(row) => self.channel_view(&row.id).await,
            None => Err(Failure::new(
                FailureCode::NotFound,
                format!("There is no channel called {name_or_id}."),
            )
            .hint("`howdah channel list` shows the channels.")),
        }
    }

    /// The chats that a Telegram bot was spoken to in lately.
    pub async fn find_telegram_chats(&self, input: ChannelInput) -> Result<Vec<TelegramChat>, Failure> {
        let (address, secrets) = self.resolve_channel(input).await?;
        let Address::Telegram(telegram) = address else {
            return Err(refused(
                "Only Telegram has chats to be found.",
                "Choose Telegram.",
            ));
        };
        let token = secrets
            .get(ChannelSecret::Token)
            .ok_or_else(|| missing_secret(ChannelSecret::Token))?;
        let found = howdah_notify::find_chats(&telegram, token, &self.0.ending)
            .await
            .or_failure()?;
        Ok(found
            .into_iter()
            .map(|chat| TelegramChat {
                id: chat.id,
                name: chat.name,
                topic: chat.topic,
            })
            .collect())
    }

    /// What a web hook's body would be, of an example.
    pub fn preview_webhook(&self, address: &howdah_domain::channel::WebhookAddress) -> WebhookPreview {
        let mut example = Message::new(
            AlertKind::BackupFailed,
            self.0.clock.now(),
            "shop was not backed up",
            "The role howdah may not read table audit.log.",
        )
        .route("/runs/abc");
        example.id = "k3v9x2m7q4t8w6z5-0".to_owned();
        example.details =
            Some("pg_dump: error: query failed: ERROR:  permission denied for table log".to_owned());
        example.databases.push(Subject {
            database: "shop".to_owned(),
            server: "db.example.com".to_owned(),
            environment: howdah_domain::Environment::Production,
        });
        match howdah_notify::preview(address.template.as_deref(), &example) {
            Ok(body) => WebhookPreview { body, failure: None },
            Err(error) => WebhookPreview {
                body: String::new(),
                failure: Some(error.to_failure()),
            },
        }
    }

    /// A channel of the outbox, ready to be sent through.
    pub(super) async fn open_channel(
        &self,
        row: &Channel,
    ) -> Result<Arc<dyn howdah_notify::Channel>, Failure> {
        let mut secrets = BTreeMap::new();
        for secret in &row.secrets {
            let reference = Channel::secret_reference(&row.id, *secret);
            let held = self.0.secrets.get(&reference).await.or_failure()?;
            let held = held.ok_or_else(|| {
                Failure::new(
                    FailureCode::PasswordRequired,
                    format!("The keyring no longer holds what opens {}.", row.name),
                )
                .hint("Enter it again on the page Notifications.")
            })?;
            secrets.insert(*secret, held);
        }
        self.channel_at(&row.name, &row.address, &as_secrets(&secrets))
            .map_err(|error| error.to_failure())
    }

    fn channel_at(
        &self,
        name: &str,
        address: &Address,
        secrets: &Secrets,
    ) -> Result<Arc<dyn howdah_notify::Channel>, howdah_notify::Error> {
        match (address, &self.0.desktop) {
            (Address::Desktop, Some(desktop)) => Ok(Arc::clone(desktop)),
            (Address::Desktop, None) => Err(howdah_notify::Error::NoService {
                details: "this process has no desktop".to_owned(),
            }),
            _ => howdah_notify::open(name, address, secrets),
        }
    }

    /// The address that is meant, and what opens it: given now, or kept for the channel that is being changed.
    async fn resolve_channel(&self, input: ChannelInput) -> Result<(Address, Secrets), Failure> {
        validate(&input)?;
        let mut secrets: BTreeMap<ChannelSecret, Secret> = BTreeMap::new();
        if let Some(id) = &input.id {
            let row = self.channel(id).await?;
            for secret in row.secrets {
                if input.secrets.contains_key(&secret) {
                    continue;
                }
                if asks_elsewhere(&row.address, &input.address) {
                    return Err(enter_again(secret));
                }
                let reference = Channel::secret_reference(id, secret);
                if let Some(held) = self.0.secrets.get(&reference).await.or_failure()? {
                    secrets.insert(secret, held);
                }
            }
        }
        secrets.extend(input.secrets.into_iter().filter(|(_, value)| !value.is_empty()));
        for (secret, demanded) in input.address.secrets() {
            if demanded && !secrets.contains_key(&secret) {
                return Err(missing_secret(secret));
            }
        }
        Ok((input.address, as_secrets(&secrets)))
    }

    async fn channel(&self, id: &ChannelId) -> Result<Channel, Failure> {
        let id = id.clone();
        self.0
            .store
            .read(move |c| channels::get(c, &id))
            .await
            .or_failure()?
            .ok_or_else(|| Failure::new(FailureCode::NotFound, "This channel was removed."))
    }

    async fn channel_view(&self, id: &ChannelId) -> Result<ChannelView, Failure> {
        self.list_channels()
            .await?
            .into_iter()
            .find(|view| view.id == *id)
            .ok_or_else(|| Failure::new(FailureCode::NotFound, "This channel was removed."))
    }

    async fn free_channel_name(&self, address: &Address, id: &ChannelId) -> Result<String, Failure> {
        let (base, id) = (super::page::kind_name(address.kind()).to_owned(), id.clone());
        self.0
            .store
            .read(move |c| {
                let mut name = base.clone();
                let mut number = 2;
                while channels::by_name(c, &name)?.is_some_and(|other| other.id != id) {
                    name = format!("{base} {number}");
                    number += 1;
                }
                Ok(name)
            })
            .await
            .or_failure()
    }
}

fn as_secrets(held: &BTreeMap<ChannelSecret, Secret>) -> Secrets {
    held.iter().fold(Secrets::new(), |secrets, (kind, secret)| {
        secrets.with(*kind, secret)
    })
}

/// Whether a kept secret would be shown to somebody whom it was not given for.
fn asks_elsewhere(kept: &Address, wanted: &Address) -> bool {
    match (kept, wanted) {
        (Address::Email(kept), Address::Email(wanted)) => {
            (&kept.host, kept.port, &kept.user) != (&wanted.host, wanted.port, &wanted.user)
        }
        (Address::Telegram(kept), Address::Telegram(wanted)) => {
            (&kept.server, &kept.proxy) != (&wanted.server, &wanted.proxy)
        }
        (Address::Ntfy(kept), Address::Ntfy(wanted)) => kept.server != wanted.server,
        (Address::Gotify(kept), Address::Gotify(wanted)) => kept.server != wanted.server,
        _ => kept.kind() != wanted.kind(),
    }
}

fn validate(input: &ChannelInput) -> Result<(), Failure> {
    let rule = &input.rule;
    if rule
        .again_minutes
        .is_some_and(|minutes| !(1..=10_080).contains(&minutes))
    {
        return Err(refused(
            "What lasts can be told again after 1 minute to 7 days (10,080 minutes).",
            "Choose another number of minutes.",
        ));
    }
    if let Some(quiet) = rule.quiet {
        quiet.from.validate()?;
        quiet.to.validate()?;
    }
    if let Some(summary) = rule.summary {
        summary.at.validate()?;
    }
    if input.name.chars().count() > 200 {
        return Err(refused(
            "A channel's name has at most 200 characters.",
            "Choose a shorter one.",
        ));
    }
    Ok(())
}

fn refused(what: &str, what_to_do: &str) -> Failure {
    Failure::new(FailureCode::InvalidInput, what).hint(what_to_do)
}

fn missing_secret(secret: ChannelSecret) -> Failure {
    refused(
        &format!("The {} is missing.", secret.words()),
        "Enter it; it is kept in the keyring.",
    )
}

fn enter_again(secret: ChannelSecret) -> Failure {
    refused(
        &format!("The address was changed: enter the {} again.", secret.words()),
        "What is kept in the keyring was given for the address as it was, and might go to somebody else.",
    )
}
