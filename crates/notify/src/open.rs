//! Opens a channel: from its address and its secrets to something that sends.
//!
//! Nothing is sent and nobody is asked; what cannot work for its form alone is told as [`Error::Misconfigured`].

use std::sync::Arc;

use howdah_domain::channel::TelegramAddress;
use howdah_domain::{Address, ChannelSecret, Secret};
use tokio_util::sync::CancellationToken;

use crate::discord::Discord;
use crate::gotify::Gotify;
use crate::http::Limits;
use crate::mattermost::Mattermost;
use crate::ntfy::Ntfy;
use crate::ping::Ping;
use crate::pushover::Pushover;
use crate::slack::Slack;
use crate::teams::Teams;
use crate::telegram::{self, Chat, Telegram};
use crate::webhook::Webhook;
use crate::{Channel, Email, Error, Secrets};

/// Where hosted services are reached. Nobody can set it, except tests (feature `testing`), which put an emulator on this machine in their
/// place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bases {
    /// Telegram's Bot API.
    pub telegram: String,
    /// Slack's Web API.
    pub slack: String,
    /// Pushover's API.
    pub pushover: String,
    /// The ntfy server of those who enter none.
    pub ntfy: String,
}

impl Default for Bases {
    fn default() -> Self {
        Self {
            telegram: "https://api.telegram.org".to_owned(),
            slack: "https://slack.com/api".to_owned(),
            pushover: "https://api.pushover.net".to_owned(),
            ntfy: "https://ntfy.sh".to_owned(),
        }
    }
}

/// What is around a channel that speaks HTTP: where hosted services are, and how long they may take.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wiring {
    /// Where hosted services are.
    pub bases: Bases,
    /// How long a service may take.
    pub limits: Limits,
}

/// Opens a channel. `name` is what people call it.
///
/// # Errors
/// [`Error::Misconfigured`] where a secret is missing, or an address or a secret has not the form that it must have.
pub fn open(name: &str, address: &Address, secrets: &Secrets) -> Result<Arc<dyn Channel>, Error> {
    open_with(name, address, secrets, &Wiring::default())
}

/// The same with other places and limits.
///
/// # Errors
/// As [`open`].
pub fn open_with(
    name: &str,
    address: &Address,
    secrets: &Secrets,
    wiring: &Wiring,
) -> Result<Arc<dyn Channel>, Error> {
    Ok(match address {
        // What a click on a notification means is its owner's to say: see `Desktop::new`.
        Address::Desktop => {
            return Err(Error::Misconfigured {
                message: "The desktop's notifications are not opened by their address.".to_owned(),
                hint: "Choose another kind of channel.".to_owned(),
            });
        }
        Address::Email(address) => Arc::new(Email::new(name, address, secrets.get(ChannelSecret::Password))?),
        Address::Telegram(address) => Arc::new(Telegram::new(name, address, secrets, wiring)?),
        Address::Discord => Arc::new(Discord::new(name, secrets, wiring)?),
        Address::Slack(address) => Arc::new(Slack::new(name, address, secrets, wiring)?),
        Address::Teams => Arc::new(Teams::new(name, secrets, wiring)?),
        Address::Mattermost(address) => Arc::new(Mattermost::new(name, address, secrets, wiring)?),
        Address::Ntfy(address) => Arc::new(Ntfy::new(name, address, secrets, wiring)?),
        Address::Gotify(address) => Arc::new(Gotify::new(name, address, secrets, wiring)?),
        Address::Pushover(address) => Arc::new(Pushover::new(name, address, secrets, wiring)?),
        Address::Webhook(address) => Arc::new(Webhook::new(name, address, secrets, wiring)?),
        Address::Ping => Arc::new(Ping::new(name, secrets, wiring)?),
    })
}

/// Looks for the chats that a bot has heard of in the last day, the latest first: for people who do not know their chat's id. Of the address,
/// proxy and server count.
///
/// # Errors
/// As sending has; [`Error::Misconfigured`] too where another program receives what is written to the bot.
pub async fn find_chats(
    address: &TelegramAddress,
    token: &Secret,
    cancel: &CancellationToken,
) -> Result<Vec<Chat>, Error> {
    find_chats_with(address, token, &Wiring::default(), cancel).await
}

/// The same with other places and limits.
///
/// # Errors
/// As [`find_chats`].
pub async fn find_chats_with(
    address: &TelegramAddress,
    token: &Secret,
    wiring: &Wiring,
    cancel: &CancellationToken,
) -> Result<Vec<Chat>, Error> {
    let token = Secret::new(token.expose().trim());
    telegram::find(address, &token, wiring, cancel).await
}
