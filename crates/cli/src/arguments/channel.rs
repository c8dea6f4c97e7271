//! What `howdah channel` takes.

use clap::{Args, Subcommand, ValueEnum};
use howdah_domain::Severity;
use howdah_domain::channel::{MailMechanism, MailSecurity, WebhookMethod};

#[derive(Debug, Subcommand)]
pub(crate) enum Channel {
    /// Add a channel; what opens it goes to the system's keyring
    Add {
        #[command(subcommand)]
        kind: Kind,
    },
    /// List the channels, and what became of their newest messages
    List,
    /// Send a test message
    Test {
        /// The channel's name or id
        channel: String,
    },
    /// Try a channel's messages again now
    Retry {
        /// The channel's name or id
        channel: String,
    },
    /// Tell a channel nothing, and keep it
    Off {
        /// The channel's name or id
        channel: String,
    },
    /// Tell a channel again
    On {
        /// The channel's name or id
        channel: String,
    },
    /// Forget a channel, and what waits for it
    Remove {
        /// The channel's name or id
        channel: String,
    },
}

/// What every new channel takes.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// What to call it; without it, after its kind
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// From which severity on it is told
    #[arg(long, value_enum, default_value_t = Least::Warning)]
    pub(crate) least: Least,
    /// Do not send a test message first
    #[arg(long)]
    pub(crate) no_test: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Least {
    /// Everything, successes too
    Info,
    /// What needs somebody, soon or now
    Warning,
    /// What needs somebody now
    Critical,
}

impl From<Least> for Severity {
    fn from(least: Least) -> Self {
        match least {
            Least::Info => Self::Info,
            Least::Warning => Self::Warning,
            Least::Critical => Self::Critical,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Kind {
    /// E-mail; the password is taken from HOWDAH_CHANNEL_PASSWORD
    Email {
        /// The mail server: host, or host:port
        #[arg(long)]
        server: String,
        /// How the connection is protected
        #[arg(long, value_enum, default_value_t = Security::Starttls)]
        security: Security,
        /// The user to log in as
        #[arg(long)]
        user: Option<String>,
        /// How to log in
        #[arg(long, value_enum, default_value_t = Mechanism::Password)]
        mechanism: Mechanism,
        /// The sender
        #[arg(long)]
        from: String,
        /// Who gets it; repeatable
        #[arg(long, required = true)]
        to: Vec<String>,
        /// Trust the one certificate with this SHA-256, in hex
        #[arg(long, value_name = "SHA256")]
        trust_certificate: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Telegram; the bot's token is taken from HOWDAH_CHANNEL_TOKEN
    Telegram {
        /// The chat's id, or a public channel's @name
        #[arg(long, allow_hyphen_values = true)]
        chat: String,
        /// The topic's id, in a group that has topics
        #[arg(long)]
        topic: Option<i64>,
        /// A proxy: http://… or socks5://…
        #[arg(long)]
        proxy: Option<String>,
        /// A Bot API server of one's own
        #[arg(long)]
        server: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Discord; the web hook's URL is taken from HOWDAH_CHANNEL_URL
    Discord {
        #[command(flatten)]
        common: Common,
    },
    /// Slack; by the web hook's URL in HOWDAH_CHANNEL_URL, or with --channel by the bot's token in HOWDAH_CHANNEL_TOKEN
    Slack {
        /// The channel's id or #name, for a bot
        #[arg(long)]
        channel: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Microsoft Teams; the URL of a Workflows web hook is taken from HOWDAH_CHANNEL_URL
    Teams {
        #[command(flatten)]
        common: Common,
    },
    /// Mattermost; the web hook's URL is taken from HOWDAH_CHANNEL_URL
    Mattermost {
        /// Another channel than the web hook's own
        #[arg(long)]
        channel: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// ntfy; a token is taken from HOWDAH_CHANNEL_TOKEN, or a password from HOWDAH_CHANNEL_PASSWORD
    Ntfy {
        /// The topic
        #[arg(long)]
        topic: String,
        /// The server; without it, https://ntfy.sh
        #[arg(long, default_value = "")]
        server: String,
        /// The user, with a password
        #[arg(long)]
        user: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Gotify; the application's token is taken from HOWDAH_CHANNEL_TOKEN
    Gotify {
        /// The server's URL
        #[arg(long)]
        server: String,
        #[command(flatten)]
        common: Common,
    },
    /// Pushover; the application's token is taken from HOWDAH_CHANNEL_TOKEN
    Pushover {
        /// The user's or group's key
        #[arg(long)]
        user: String,
        /// One device's name
        #[arg(long)]
        device: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Any web hook; its URL is taken from HOWDAH_CHANNEL_URL, headers and signing key from HOWDAH_CHANNEL_HEADERS and _SIGNING_KEY
    Webhook {
        /// The request's method
        #[arg(long, value_enum, default_value_t = Method::Post)]
        method: Method,
        /// The body: JSON in which {{title}}, {{body}}, {{database}} and the like are replaced
        #[arg(long)]
        template: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// A dead man's switch (Healthchecks style) that is told of each backup's start and end; its URL is taken from HOWDAH_CHANNEL_URL
    Ping {
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Security {
    /// STARTTLS, usually on port 587
    Starttls,
    /// TLS from the first byte, usually on port 465
    Tls,
    /// None
    None,
}

impl From<Security> for MailSecurity {
    fn from(security: Security) -> Self {
        match security {
            Security::Starttls => Self::StartTls,
            Security::Tls => Self::Tls,
            Security::None => Self::None,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Mechanism {
    /// What the server offers of PLAIN and LOGIN
    Password,
    /// PLAIN
    Plain,
    /// LOGIN
    Login,
    /// XOAUTH2, with an access token in place of the password
    Xoauth2,
}

impl From<Mechanism> for MailMechanism {
    fn from(mechanism: Mechanism) -> Self {
        match mechanism {
            Mechanism::Password => Self::Password,
            Mechanism::Plain => Self::Plain,
            Mechanism::Login => Self::Login,
            Mechanism::Xoauth2 => Self::Xoauth2,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Method {
    /// POST
    Post,
    /// PUT
    Put,
    /// PATCH
    Patch,
}

impl From<Method> for WebhookMethod {
    fn from(method: Method) -> Self {
        match method {
            Method::Post => Self::Post,
            Method::Put => Self::Put,
            Method::Patch => Self::Patch,
        }
    }
}
