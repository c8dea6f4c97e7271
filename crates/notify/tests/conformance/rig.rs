//! A channel of a kind, with the emulator that it speaks to.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64;
use howdah_domain::channel::{
    GotifyAddress, MattermostAddress, NtfyAddress, PushoverAddress, SlackAddress, TelegramAddress,
    WebhookAddress,
};
use howdah_domain::{Address, AlertKind, ChannelSecret, Secret};
use howdah_notify::testing::{Bases, Limits, Wiring, open_with};
use howdah_notify::{Channel, Delivered, Error, Message, Secrets};
use howdah_testkit::hooks::{
    HEADER_SECRET, HookEmulator, Kind, NTFY_TOPIC, NTFY_USER, PUSHOVER_USER, SIGNING_KEY, Shown,
    TELEGRAM_CHAT,
};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

pub(crate) const AT: Timestamp = Timestamp::UNIX_EPOCH;

pub(crate) struct Rig {
    pub(crate) kind: Kind,
    pub(crate) emulator: HookEmulator,
    pub(crate) channel: Arc<dyn Channel>,
    pub(crate) address: Address,
    pub(crate) secrets: Secrets,
    pub(crate) wiring: Wiring,
}

impl Rig {
    pub(crate) async fn start(kind: Kind) -> Self {
        let emulator = HookEmulator::start(kind).await.unwrap();
        let url = emulator.url();
        Self::open(
            kind,
            emulator,
            address(kind, &url),
            secrets(kind, &url),
            wiring(&url),
        )
        .unwrap()
    }

    pub(crate) fn open(
        kind: Kind,
        emulator: HookEmulator,
        address: Address,
        secrets: Secrets,
        wiring: Wiring,
    ) -> Result<Self, Error> {
        Ok(Self {
            kind,
            emulator,
            channel: open_with("mine", &address, &secrets, &wiring)?,
            address,
            secrets,
            wiring,
        })
    }

    /// The same with another address.
    pub(crate) fn at(self, address: Address) -> Self {
        Self::open(self.kind, self.emulator, address, self.secrets, self.wiring).unwrap()
    }

    /// The same with other secrets.
    pub(crate) fn with(self, secrets: Secrets) -> Self {
        Self::open(self.kind, self.emulator, self.address, secrets, self.wiring).unwrap()
    }

    /// The same with little patience.
    pub(crate) fn impatient(mut self) -> Self {
        self.wiring.limits = Limits {
            connect: Duration::from_millis(500),
            total: Duration::from_millis(500),
        };
        Self::open(self.kind, self.emulator, self.address, self.secrets, self.wiring).unwrap()
    }

    /// The same where nobody listens.
    pub(crate) fn without_server(self) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let kind = self.kind;
        Self::open(
            kind,
            self.emulator,
            address(kind, &url),
            secrets(kind, &url),
            wiring(&url),
        )
        .unwrap()
    }

    pub(crate) fn open_without_secrets(&self) -> Result<Arc<dyn Channel>, Error> {
        open_with("mine", &self.address, &Secrets::new(), &self.wiring)
    }

    pub(crate) async fn send(&self, message: &Message) -> Result<Delivered, Error> {
        assert_eq!(self.channel.name(), "mine");
        self.channel.send(message, &CancellationToken::new()).await
    }

    /// What becomes of a message that cannot be delivered.
    pub(crate) async fn failure(&self) -> Error {
        self.send(&failed()).await.unwrap_err()
    }

    /// The one message that was delivered.
    pub(crate) fn only(&self) -> Shown {
        let mut delivered = self.emulator.delivered();
        assert_eq!(delivered.len(), 1, "{delivered:?}");
        delivered.remove(0)
    }

    /// Whether details are shown as code.
    pub(crate) fn shows_code(&self) -> bool {
        !matches!(self.kind, Kind::Ntfy | Kind::Pushover | Kind::Ping)
    }

    /// Whether a URL is its secret.
    pub(crate) fn has_hook(&self) -> bool {
        self.kind.secret().starts_with('/')
    }

    /// What must not show, the login's other forms too.
    pub(crate) fn confidential(&self) -> Vec<String> {
        let mut texts: Vec<String> = self.kind.confidential().into_iter().map(str::to_owned).collect();
        texts.push(NTFY_USER.1.to_owned());
        texts.push(BASE64.encode(format!("{}:{}", NTFY_USER.0, NTFY_USER.1).as_bytes()));
        texts
    }
}

/// A message of a backup that failed.
pub(crate) fn message(title: &str, body: &str) -> Message {
    Message::new(AlertKind::BackupFailed, AT, title, body)
}

pub(crate) fn failed() -> Message {
    message("shop was not backed up", "Nothing listens there.")
}

/// Every text of an error that somebody may see.
pub(crate) fn texts(error: &Error) -> Vec<String> {
    let failure = error.to_failure();
    vec![
        error.to_string(),
        format!("{error:?}"),
        format!("{error:#?}"),
        format!("{failure:?}"),
        failure.message.clone(),
        failure.hint.clone().unwrap_or_default(),
        failure.details.unwrap_or_default(),
    ]
}

/// All hosted services are the emulator.
pub(crate) fn wiring(url: &str) -> Wiring {
    Wiring {
        bases: Bases {
            telegram: url.to_owned(),
            slack: url.to_owned(),
            pushover: url.to_owned(),
            ntfy: url.to_owned(),
        },
        limits: Limits::default(),
    }
}

pub(crate) fn address(kind: Kind, url: &str) -> Address {
    match kind {
        Kind::Telegram => Address::Telegram(TelegramAddress {
            chat: TELEGRAM_CHAT.to_string(),
            ..TelegramAddress::default()
        }),
        Kind::Discord => Address::Discord,
        Kind::SlackHook => Address::Slack(SlackAddress::default()),
        Kind::SlackBot => Address::Slack(SlackAddress {
            channel: Some("#alerts".to_owned()),
        }),
        Kind::Teams => Address::Teams,
        Kind::Mattermost => Address::Mattermost(MattermostAddress::default()),
        Kind::Ntfy => Address::Ntfy(NtfyAddress {
            topic: NTFY_TOPIC.to_owned(),
            ..NtfyAddress::default()
        }),
        Kind::Gotify => Address::Gotify(GotifyAddress {
            server: url.to_owned(),
        }),
        Kind::Pushover => Address::Pushover(PushoverAddress {
            user: PUSHOVER_USER.to_owned(),
            device: None,
        }),
        Kind::Webhook => Address::Webhook(WebhookAddress::default()),
        Kind::Ping => Address::Ping,
    }
}

pub(crate) fn secrets(kind: Kind, url: &str) -> Secrets {
    let secret = Secret::new(kind.secret());
    let hook = Secret::new(format!("{url}{}\n", kind.secret()));
    match kind {
        Kind::Telegram | Kind::SlackBot | Kind::Ntfy | Kind::Gotify | Kind::Pushover => {
            Secrets::new().with(ChannelSecret::Token, &secret)
        }
        Kind::Webhook => Secrets::new()
            .with(ChannelSecret::Url, &hook)
            .with(
                ChannelSecret::Headers,
                &Secret::new(format!("Authorization: Bearer {HEADER_SECRET}\nX-Team: ops")),
            )
            .with(ChannelSecret::SigningKey, &Secret::new(SIGNING_KEY)),
        _ => Secrets::new().with(ChannelSecret::Url, &hook),
    }
}
