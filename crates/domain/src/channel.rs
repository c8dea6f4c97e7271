//! A channel's address: what kind it is, and who is reached through it. Secrets are not part of it.
//!
//! What opens a channel (a token, a password, the URL of a web hook, which is one too) is in the keyring, each under a name of its own:
//! [`Address::secrets`] says which a kind has, and which of them it cannot do without.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// Which kind of channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum ChannelKind {
    /// This desktop's own notifications.
    Desktop,
    /// E-mail.
    Email,
    /// Telegram, by a bot.
    Telegram,
    /// Discord, by a web hook.
    Discord,
    /// Slack, by a web hook or a bot.
    Slack,
    /// Microsoft Teams, by a Workflows web hook.
    Teams,
    /// Mattermost, by an incoming web hook.
    Mattermost,
    /// ntfy.
    Ntfy,
    /// Gotify.
    Gotify,
    /// Pushover.
    Pushover,
    /// Any web hook.
    Webhook,
    /// A dead man's switch (Healthchecks): it tells when Howdah falls silent.
    Ping,
}

/// Who is told, and how to reach them; without what is needed to get in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[ts(export)]
pub enum Address {
    /// This desktop.
    Desktop,
    /// One or several mailboxes.
    Email(EmailAddress),
    /// A chat, a group or a channel of Telegram.
    Telegram(TelegramAddress),
    /// A channel of Discord.
    Discord,
    /// A channel of Slack.
    Slack(SlackAddress),
    /// A chat or channel of Microsoft Teams.
    Teams,
    /// A channel of Mattermost.
    Mattermost(MattermostAddress),
    /// A topic of an ntfy server.
    Ntfy(NtfyAddress),
    /// An application of a Gotify server.
    Gotify(GotifyAddress),
    /// A user or group of Pushover.
    Pushover(PushoverAddress),
    /// Any web hook.
    Webhook(WebhookAddress),
    /// A dead man's switch.
    Ping,
}

/// How a mail server's connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum MailSecurity {
    /// STARTTLS, demanded: without it nothing is sent. Usually port 587.
    #[default]
    StartTls,
    /// TLS from the first byte. Usually port 465.
    Tls,
    /// None; for a server on this machine. Usually port 25.
    None,
}

/// How one logs in to a mail server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum MailMechanism {
    /// What the server offers of PLAIN and LOGIN.
    #[default]
    Password,
    /// PLAIN (RFC 4616).
    Plain,
    /// LOGIN, which old servers want.
    Login,
    /// XOAUTH2, with an access token in place of a password.
    Xoauth2,
}

/// Mailboxes, and the server that takes mail for them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, TS)]
#[serde(default)]
#[ts(export)]
pub struct EmailAddress {
    /// The mail server's host.
    pub host: String,
    /// Its port; 0 is the usual one of [`EmailAddress::security`].
    pub port: u16,
    /// How the connection is protected.
    pub security: MailSecurity,
    /// The user to log in as; none is without a login.
    pub user: Option<String>,
    /// How to log in.
    pub mechanism: MailMechanism,
    /// The sender: `Howdah <howdah@example.com>` or the address alone.
    pub from: String,
    /// Who gets it, one mailbox each.
    pub to: Vec<String>,
    /// The SHA-256 of the one certificate that is trusted besides the system's authorities, in lower-case hex: of a server that signed
    /// its own, which the user has looked at.
    pub trusted_certificate: Option<String>,
}

/// A chat of Telegram.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, TS)]
#[serde(default)]
#[ts(export)]
pub struct TelegramAddress {
    /// The chat's id (`-1001234567890`), or a public channel's `@name`.
    pub chat: String,
    /// The topic's id (`message_thread_id`), in a group that has topics.
    #[ts(type = "number | null")]
    pub topic: Option<i64>,
    /// A proxy to go through: `http://…` or `socks5://…`.
    pub proxy: Option<String>,
    /// A Bot API server of one's own; none is Telegram's.
    pub server: Option<String>,
}

/// A channel of Slack.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, TS)]
#[serde(default)]
#[ts(export)]
pub struct SlackAddress {
    /// With a bot's token: the channel's id or `#name`. Without: the web hook knows its channel.
    pub channel: Option<String>,
}

/// A channel of Mattermost.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, TS)]
#[serde(default)]
#[ts(export)]
pub struct MattermostAddress {
    /// Another channel than the web hook's own, where that is allowed: `alerts`, `@ada`.
    pub channel: Option<String>,
}

/// A topic of ntfy.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, TS)]
#[serde(default)]
#[ts(export)]
pub struct NtfyAddress {
    /// The server; empty is `https://ntfy.sh`.
    pub server: String,
    /// The topic. Whoever knows it reads it, on a server without accounts.
    pub topic: String,
    /// The user, with a password; none is with a token, or without a login.
    pub user: Option<String>,
}

/// A Gotify server.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, TS)]
#[serde(default)]
#[ts(export)]
pub struct GotifyAddress {
    /// The server's URL.
    pub server: String,
}

/// A user or group of Pushover.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, TS)]
#[serde(default)]
#[ts(export)]
pub struct PushoverAddress {
    /// The user's or group's key.
    pub user: String,
    /// One device's name; none is all.
    pub device: Option<String>,
}

/// The methods of a web hook's request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, TS)]
#[serde(rename_all = "UPPERCASE")]
#[ts(export)]
pub enum WebhookMethod {
    /// POST.
    #[default]
    Post,
    /// PUT.
    Put,
    /// PATCH.
    Patch,
}

/// Any web hook.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, TS)]
#[serde(default)]
#[ts(export)]
pub struct WebhookAddress {
    /// The request's method.
    pub method: WebhookMethod,
    /// The body: JSON in which `{{title}}` and the like stand for the message's parts; none is all of them as an object.
    pub template: Option<String>,
}

/// What a keyring entry of a channel holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum ChannelSecret {
    /// A password.
    Password,
    /// A token of a bot, an application or an account.
    Token,
    /// A URL that lets in whoever knows it.
    Url,
    /// The key that a web hook's body is signed with (HMAC-SHA256).
    SigningKey,
    /// Headers of a web hook's request, a line each: `Authorization: Bearer …`.
    Headers,
}

impl ChannelSecret {
    /// Its word in the keyring and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Token => "token",
            Self::Url => "url",
            Self::SigningKey => "signing_key",
            Self::Headers => "headers",
        }
    }

    /// What people call it, within a sentence.
    pub fn words(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Token => "token",
            Self::Url => "URL",
            Self::SigningKey => "signing key",
            Self::Headers => "headers",
        }
    }
}

impl Address {
    /// Its kind.
    pub fn kind(&self) -> ChannelKind {
        match self {
            Self::Desktop => ChannelKind::Desktop,
            Self::Email(_) => ChannelKind::Email,
            Self::Telegram(_) => ChannelKind::Telegram,
            Self::Discord => ChannelKind::Discord,
            Self::Slack(_) => ChannelKind::Slack,
            Self::Teams => ChannelKind::Teams,
            Self::Mattermost(_) => ChannelKind::Mattermost,
            Self::Ntfy(_) => ChannelKind::Ntfy,
            Self::Gotify(_) => ChannelKind::Gotify,
            Self::Pushover(_) => ChannelKind::Pushover,
            Self::Webhook(_) => ChannelKind::Webhook,
            Self::Ping => ChannelKind::Ping,
        }
    }

    /// The secrets it may have, and whether it cannot do without.
    pub fn secrets(&self) -> Vec<(ChannelSecret, bool)> {
        match self {
            Self::Desktop => Vec::new(),
            Self::Email(email) => vec![(ChannelSecret::Password, email.user.is_some())],
            Self::Telegram(_) | Self::Gotify(_) | Self::Pushover(_) => vec![(ChannelSecret::Token, true)],
            Self::Discord | Self::Teams | Self::Mattermost(_) | Self::Ping => {
                vec![(ChannelSecret::Url, true)]
            }
            Self::Slack(slack) if slack.channel.is_some() => vec![(ChannelSecret::Token, true)],
            Self::Slack(_) => vec![(ChannelSecret::Url, true)],
            Self::Ntfy(ntfy) if ntfy.user.is_some() => vec![(ChannelSecret::Password, true)],
            Self::Ntfy(_) => vec![(ChannelSecret::Token, false)],
            Self::Webhook(_) => vec![
                (ChannelSecret::Url, true),
                (ChannelSecret::Headers, false),
                (ChannelSecret::SigningKey, false),
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_demanded_where_nothing_works_without_it() {
        let mut email = EmailAddress::default();
        assert_eq!(
            Address::Email(email.clone()).secrets(),
            [(ChannelSecret::Password, false)]
        );
        email.user = Some("ada".to_owned());
        assert_eq!(Address::Email(email).secrets(), [(ChannelSecret::Password, true)]);
        let bot = SlackAddress {
            channel: Some("#alerts".to_owned()),
        };
        assert_eq!(Address::Slack(bot).secrets(), [(ChannelSecret::Token, true)]);
        assert_eq!(
            Address::Slack(SlackAddress::default()).secrets(),
            [(ChannelSecret::Url, true)]
        );
    }
}
