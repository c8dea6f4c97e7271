//! Where Google is asked, and how patiently. Nobody can set either, except tests (feature `testing`), which put an
//! emulator on this machine in Google's place.

use std::time::Duration;

use crate::Error;

/// How long a connection may take to be made.
pub(super) const CONNECT: Duration = Duration::from_secs(15);

/// Google's addresses.
#[derive(Debug, Clone)]
pub struct Endpoints {
    /// The page that the browser is sent to.
    pub(super) auth: String,
    /// Where a code or a refresh token is given for an access token.
    pub(super) token: String,
    /// The API, with a slash at its end.
    pub(super) api: String,
    /// The API for content, with a slash at its end.
    pub(super) upload: String,
}

/// The emulator that stands in Google's place in this process.
#[cfg(feature = "testing")]
static EMULATOR: std::sync::OnceLock<String> = std::sync::OnceLock::new();

/// Puts an emulator (`http://127.0.0.1:1234`) in Google's place, for the rest of this process: for tests of what opens
/// destinations by their places alone.
#[cfg(feature = "testing")]
pub fn emulate_google(base: &str) {
    // Whoever comes second keeps the first one's: a test has one emulator.
    drop(EMULATOR.set(base.to_owned()));
}

impl Default for Endpoints {
    fn default() -> Self {
        #[cfg(feature = "testing")]
        if let Some(base) = EMULATOR.get() {
            return Self::below(base);
        }
        Self {
            auth: "https://accounts.google.com/o/oauth2/v2/auth".to_owned(),
            token: "https://oauth2.googleapis.com/token".to_owned(),
            api: "https://www.googleapis.com/drive/v3/".to_owned(),
            upload: "https://www.googleapis.com/upload/drive/v3/".to_owned(),
        }
    }
}

impl Endpoints {
    /// All of them below one address (`http://127.0.0.1:1234`), each with the path that it has at Google.
    #[cfg(feature = "testing")]
    pub fn below(base: &str) -> Self {
        let base = base.trim_end_matches('/');
        Self {
            auth: format!("{base}/o/oauth2/v2/auth"),
            token: format!("{base}/token"),
            api: format!("{base}/drive/v3/"),
            upload: format!("{base}/upload/drive/v3/"),
        }
    }
}

/// How long is waited.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// How long no byte may move until the connection counts as broken.
    pub idle: Duration,
    /// The pause before the second attempt; each further one is twice as long, up to [`Patience::longest_pause`].
    pub first_pause: Duration,
    /// The longest pause, also where Google asks for a longer one.
    pub longest_pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(60),
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(60),
        }
    }
}

/// Our own client for HTTP, for what the Drive crate cannot do.
pub(super) fn http(patience: Patience) -> Result<reqwest::Client, Error> {
    // 308 means "go on" in an upload session, never "go elsewhere".
    let redirects = reqwest::redirect::Policy::custom(|attempt| {
        let leaves_tls = attempt.url().scheme() != "https"
            && attempt
                .previous()
                .first()
                .is_some_and(|from| from.scheme() == "https");
        if attempt.status().as_u16() == 308 {
            attempt.stop()
        } else if leaves_tls || attempt.previous().len() > 5 {
            attempt.error("Google sends us to where we do not go")
        } else {
            attempt.follow()
        }
    });
    reqwest::Client::builder()
        .user_agent(AGENT)
        .connect_timeout(CONNECT)
        .pool_idle_timeout(patience.idle)
        .redirect(redirects)
        .build()
        .map_err(|error| Error::Failed {
            what: "preparing",
            at: "Google Drive".to_owned(),
            source: error.into(),
        })
}

/// What we call ourselves.
pub(super) const AGENT: &str = concat!("Howdah/", env!("CARGO_PKG_VERSION"));
