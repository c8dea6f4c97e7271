//! Emulators of services that carry messages to people, as far as a program that tells of backups uses them; written from their public
//! references, and strict where those are: limits, required fields, content types, what is not markup.
//!
//! - Telegram: <https://core.telegram.org/bots/api> (sendMessage, getUpdates, HTML style, ResponseParameters).
//! - Discord: <https://docs.discord.com/developers/resources/webhook#execute-webhook>, `resources/message` (embed limits), `topics/rate-limits`.
//! - Slack: <https://docs.slack.dev/reference/block-kit/blocks>, `messaging/sending-messages-using-incoming-webhooks`, `reference/methods/chat.postMessage`.
//! - Microsoft Teams: <https://learn.microsoft.com/connectors/teams/>, <https://learn.microsoft.com/adaptive-cards/schema-explorer/>.
//! - Mattermost: <https://developers.mattermost.com/integrate/webhooks/incoming/>, the server's `model/post.go` and `app/webhook.go`.
//! - ntfy: <https://docs.ntfy.sh/publish/>, the server's `config.go` and `errors.go`.
//! - Gotify: <https://gotify.net/api-docs>; Pushover: <https://pushover.net/api>; Healthchecks: <https://healthchecks.io/docs/http_api/>.
//!
//! Beyond the references they refuse fields that they do not know, so that a typing error shows, and tell what a person would see
//! ([`Shown`]): text after its markup is read, without the zero-width spaces that break it, and whether anybody was called by it.

mod cards;
mod chat;
mod http;
mod markup;
mod plain;
mod push;
mod slack;
mod socks;

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use socks::SocksProxy;

/// Which service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Telegram's Bot API.
    Telegram,
    /// Discord's web hooks.
    Discord,
    /// Slack's web hooks.
    SlackHook,
    /// Slack's Web API.
    SlackBot,
    /// Workflows web hooks of Microsoft Teams.
    Teams,
    /// Mattermost's incoming web hooks.
    Mattermost,
    /// ntfy.
    Ntfy,
    /// Gotify.
    Gotify,
    /// Pushover.
    Pushover,
    /// Somebody's own web hook, which checks a header and, with [`SIGNING_KEY`], a signature.
    Webhook,
    /// Healthchecks.
    Ping,
}

impl Kind {
    /// The token that lets in; or, for web hooks, the path with its query that does.
    pub fn secret(self) -> &'static str {
        match self {
            Self::Telegram => "987654321:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsawX",
            Self::Discord => "/api/webhooks/112233445566778899/dIsCoRd-S3cret_Token-of-68",
            Self::SlackHook => "/services/T0SECRET1/B0SECRET2/sLackHookSecret24letters",
            Self::SlackBot => "xoxb-1234567890-slackBotSecret",
            Self::Teams => {
                "/workflows/abc123def456/triggers/manual/paths/invoke?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=t3amsS1gnatureSecret"
            }
            Self::Mattermost => "/hooks/mmhooksecretxxxxxxxxxxxx12",
            Self::Ntfy => "tk_ntfysecrettoken0123456789ab",
            Self::Gotify => "AGotify.Secret1",
            Self::Pushover => "azGDORePK8gMaC0QOYAMyEEuzJnyUi",
            Self::Webhook => "/in/webhookSecretPath1?key=querySecret22",
            Self::Ping => "/5bf66975-d4c7-4bf5-bcc8-b8d8a82ea278",
        }
    }

    /// What must not show anywhere: the secret and the parts of it that let in by themselves.
    pub fn confidential(self) -> Vec<&'static str> {
        let mut texts = vec![self.secret()];
        texts.extend(match self {
            Self::Telegram => vec!["AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsawX"],
            Self::Discord => vec!["dIsCoRd-S3cret_Token-of-68"],
            Self::SlackHook => vec!["sLackHookSecret24letters"],
            Self::Teams => vec!["t3amsS1gnatureSecret"],
            Self::Mattermost => vec!["mmhooksecretxxxxxxxxxxxx12"],
            Self::Webhook => vec!["webhookSecretPath1", "querySecret22", HEADER_SECRET, SIGNING_KEY],
            Self::Ping => vec!["5bf66975-d4c7-4bf5-bcc8-b8d8a82ea278"],
            _ => Vec::new(),
        });
        texts
    }
}

/// The chat that Telegram's bot may write to; it has the topic 12.
pub const TELEGRAM_CHAT: i64 = -1_001_234_567_890;
/// The topic of ntfy.
pub const NTFY_TOPIC: &str = "howdah-alerts";
/// The user and the password of ntfy, beside its token.
pub const NTFY_USER: (&str, &str) = ("ada", "ntfy-password-secret");
/// The user of Pushover.
pub const PUSHOVER_USER: &str = "uQiRzpo4DXghDmr9QzzfQu27cmVRsG";
/// What the `Authorization` of a request to the web hook must hold.
pub const HEADER_SECRET: &str = "webhook-header-secret";
/// The key of the web hook's signatures.
pub const SIGNING_KEY: &str = "signing-key-secret-1";

/// What goes wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Too many requests, told as the service tells it, with the seconds to wait where there are some.
    Limited(Option<u32>),
    /// An answer without a body.
    Status(u16),
    /// An answer with these headers, and without a body.
    Headers(u16, Vec<(&'static str, String)>),
    /// An answer whose body repeats the secret and the request's path.
    Echo(u16),
    /// The login page of a network.
    LoginPage,
    /// A redirect.
    Redirect(u16, String),
    /// Nothing is answered.
    Silence,
    /// The head of an answer, and nothing more.
    HalfAnswer,
    /// The connection closes.
    HangUp,
    /// The message is taken, and the connection closes before the answer.
    LoseAnswer,
    /// An answer of success that does not end.
    Endless,
}

/// A message as it was taken, and as a person sees it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Shown {
    /// The title, as text.
    pub title: String,
    /// Everything else, as text, code included.
    pub text: String,
    /// The part that is shown as code.
    pub code: Option<String>,
    /// Whether somebody or everybody was called by a mention.
    pub calls: bool,
    /// Whether some of the text was taken for markup.
    pub formatted: bool,
    /// The body of the request.
    pub body: String,
    /// The body as JSON; null where it is none.
    pub json: Value,
    /// The path of the request, with its query.
    pub path: String,
    /// The headers of the request, names in lower case.
    pub headers: Vec<(String, String)>,
}

/// A running emulator on 127.0.0.1; dropping it ends it.
#[derive(Debug)]
pub struct HookEmulator {
    world: Arc<Shared>,
    port: u16,
    server: JoinHandle<()>,
}

/// What all connections share.
#[derive(Debug)]
struct Shared(Mutex<World>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an emulator knows.
#[derive(Debug)]
struct World {
    kind: Kind,
    revoked: bool,
    /// Telegram's group has become a supergroup with this id.
    migrated: Option<i64>,
    /// What waits for Telegram's bot.
    updates: Vec<Value>,
    /// Healthchecks keeps so many bytes of a body.
    body_limit: usize,
    /// Healthchecks says 200 of checks that are not there.
    polite: bool,
    faults: VecDeque<Fault>,
    delivered: Vec<Shown>,
    requests: u32,
    through_proxy: u32,
}

impl HookEmulator {
    /// Starts one. Needs a tokio runtime, which it ends with.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start(kind: Kind) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let world = Arc::new(Shared(Mutex::new(World {
            kind,
            revoked: false,
            migrated: None,
            updates: Vec::new(),
            body_limit: 100_000,
            polite: false,
            faults: VecDeque::new(),
            delivered: Vec::new(),
            requests: 0,
            through_proxy: 0,
        })));
        let server = tokio::spawn(http::serve(listener, Arc::clone(&world)));
        Ok(Self { world, port, server })
    }

    /// Its address, below which everything has the path that it has at the service.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of its web hook, for services that have one.
    pub fn hook_url(&self) -> String {
        let kind = self.world.lock().kind;
        format!("{}{}", self.url(), kind.secret())
    }

    /// The next request goes wrong; called again, the one after it too.
    pub fn fail(&self, fault: Fault) {
        self.world.lock().faults.push_back(fault);
    }

    /// The token is revoked, or the web hook deleted.
    pub fn revoke(&self) {
        self.world.lock().revoked = true;
    }

    /// Healthchecks says `OK (not found)` of a check that is not there, as it does for URLs with a UUID, in place of 404.
    pub fn be_polite(&self) {
        self.world.lock().polite = true;
    }

    /// Healthchecks keeps so many bytes of a body, and says so.
    pub fn body_limit(&self, bytes: usize) {
        self.world.lock().body_limit = bytes;
    }

    /// Telegram's group becomes a supergroup with another id.
    pub fn migrate(&self, id: i64) {
        self.world.lock().migrated = Some(id);
    }

    /// Something that waits for Telegram's bot.
    pub fn update(&self, update: Value) {
        self.world.lock().updates.push(update);
    }

    /// The messages that were taken, in order. In ntfy, one that took another's place is where that was.
    pub fn delivered(&self) -> Vec<Shown> {
        self.world.lock().delivered.clone()
    }

    /// How many requests there were.
    pub fn requests(&self) -> u32 {
        self.world.lock().requests
    }

    /// How many of them were made as to an HTTP proxy.
    pub fn through_proxy(&self) -> u32 {
        self.world.lock().through_proxy
    }
}

impl Drop for HookEmulator {
    fn drop(&mut self) {
        self.server.abort();
    }
}
