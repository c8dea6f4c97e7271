//! Signing in to Google in the system's browser.
//!
//! OAuth 2.0 for native apps (RFC 8252): authorization code with PKCE (RFC 7636, S256) and `state`, and a redirect to a free port of
//! 127.0.0.1, where we wait. Google's page: <https://developers.google.com/identity/protocols/oauth2/native-app>. [`begin`] opens the
//! port and makes the address, the caller opens the browser, [`PendingSignIn::wait`] returns when the user is through. Nothing
//! is stored here.
//!
//! With an OAuth client of the user's own whose consent screen is "in testing", Google ends every grant after seven days; the
//! consent screen has to be set to "in production" (no review is needed for the scope `drive.file`).

mod loopback;

use std::fmt;
use std::io;
use std::time::Duration;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use howdah_domain::{Failure, FailureCode, Secret};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use url::Url;

use self::loopback::Redirect;
use super::api::Api;
use super::client::{OAuthClient, PLACE, StoredGrant};
use super::endpoints::{Endpoints, Patience, http};
use super::tokens::{TokenAnswer, ask};
use crate::Error;

/// What we ask for: to make files, and to see and change those that we made.
pub const SCOPE: &str = "https://www.googleapis.com/auth/drive.file";

/// Why a sign-in came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// The user, or the administrator of the user's organisation, refused.
    #[error("access to Google Drive was refused in the browser")]
    Refused,
    /// Google's page sent back another error than a refusal.
    #[error("Google's sign-in page answered “{code}”")]
    Page {
        /// Its code: `admin_policy_enforced`.
        code: String,
    },
    /// Signed in, but without the box for Google Drive ticked.
    #[error("the sign-in did not include the right to keep files in Google Drive")]
    NotGranted,
    /// Nobody came back from the browser.
    #[error("the browser did not come back within {} minutes", waited.as_secs().div_ceil(60))]
    TimedOut {
        /// How long was waited.
        waited: Duration,
    },
    /// No port of this machine could be opened for the browser to come back to.
    #[error("no port of this machine could be opened: {0}")]
    NoPort(#[source] io::Error),
    /// Google did not take what the browser brought, or could not be asked.
    #[error(transparent)]
    Google(#[from] Error),
    /// The caller cancelled.
    #[error("cancelled")]
    Cancelled,
}

impl SignInError {
    /// The failure as people see it.
    pub fn to_failure(&self) -> Failure {
        let failure = |message: &str| Failure::new(FailureCode::SignInNeeded, message);
        match self {
            Self::Refused => failure("Access to Google Drive was refused in the browser.")
                .hint("Sign in again and allow it, or choose another destination."),
            Self::Page { code } => failure(&format!("Google did not let you sign in: {code}."))
                .hint("If the account belongs to an organisation, its administrator may have to allow Howdah first."),
            Self::NotGranted => failure("Howdah was not given the right to keep files in Google Drive.")
                .hint("Sign in again, and tick the box about files in Google Drive on Google's page."),
            Self::TimedOut { .. } => failure("The sign-in was not finished in the browser in time.")
                .hint("Sign in again. If the browser shows an error page instead of Google's, copy the address from here into it."),
            Self::NoPort(source) => Failure::new(
                FailureCode::Internal,
                "Howdah could not open a port of this machine for the browser to come back to.",
            )
            .details(source.to_string()),
            Self::Google(error) => error.to_failure(),
            Self::Cancelled => Error::Cancelled.to_failure(),
        }
    }
}

/// What a sign-in gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// What brings access tokens from now on.
    pub refresh_token: Secret,
    /// Whose Drive it is, where Google tells.
    pub account: Option<String>,
}

impl Grant {
    /// As it is kept in the keyring, together with the client's secret where the client is the user's own.
    pub fn to_stored(&self, client_secret: Option<Secret>) -> StoredGrant {
        StoredGrant {
            refresh_token: self.refresh_token.clone(),
            client_secret,
        }
    }
}

/// A sign-in that waits for the browser. Dropped, it closes its port.
pub struct PendingSignIn {
    /// The page to open in the browser.
    pub url: Url,
    client: OAuthClient,
    endpoints: Endpoints,
    patience: Patience,
    redirect_uri: String,
    listener: TcpListener,
    state: String,
    verifier: Secret,
}

impl fmt::Debug for PendingSignIn {
    /// Neither the address, which holds `state`, nor the verifier.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingSignIn")
            .field("redirect_uri", &self.redirect_uri)
            .finish_non_exhaustive()
    }
}

/// Opens the port, and makes the page's address.
///
/// # Errors
/// [`SignInError::NoPort`].
pub async fn begin(client: &OAuthClient) -> Result<PendingSignIn, SignInError> {
    begin_with(client, Endpoints::default(), Patience::default()).await
}

/// As [`begin`], with an emulator in Google's place.
///
/// # Errors
/// As [`begin`].
#[cfg(feature = "testing")]
pub async fn begin_emulated(
    client: &OAuthClient,
    endpoints: Endpoints,
    patience: Patience,
) -> Result<PendingSignIn, SignInError> {
    begin_with(client, endpoints, patience).await
}

async fn begin_with(
    client: &OAuthClient,
    endpoints: Endpoints,
    patience: Patience,
) -> Result<PendingSignIn, SignInError> {
    let listener = TcpListener::bind(("127.0.0.1", 0))
        .await
        .map_err(SignInError::NoPort)?;
    let port = listener.local_addr().map_err(SignInError::NoPort)?.port();
    let redirect_uri = format!("http://127.0.0.1:{port}");
    let state = random()?;
    let verifier = random()?;
    let challenge = BASE64URL_NOPAD.encode(&Sha256::digest(verifier.as_bytes()));
    let url = Url::parse_with_params(
        &endpoints.auth,
        [
            ("client_id", client.id.as_str()),
            ("redirect_uri", &redirect_uri),
            ("response_type", "code"),
            ("scope", SCOPE),
            ("state", &state),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
            // Without these two, a second sign-in brings no refresh token.
            ("access_type", "offline"),
            ("prompt", "consent"),
        ],
    )
    .map_err(|error| failed("preparing", error))?;
    Ok(PendingSignIn {
        url,
        client: client.clone(),
        endpoints,
        patience,
        redirect_uri,
        listener,
        state,
        verifier: Secret::new(verifier),
    })
}

impl PendingSignIn {
    /// Waits until the browser comes back, and gets the grant for what it brings.
    ///
    /// # Errors
    /// See [`SignInError`]; in each case the port is closed and the code that the browser brought, if any, is spent.
    pub async fn wait(self, cancel: &CancellationToken, timeout: Duration) -> Result<Grant, SignInError> {
        let redirect = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(SignInError::Cancelled),
            redirect = loopback::wait(&self.listener, &self.state) => redirect,
            () = tokio::time::sleep(timeout) => return Err(SignInError::TimedOut { waited: timeout }),
        };
        // Nobody else is to be served: not the same address a second time, and nobody who guesses.
        let pending = Exchange {
            client: self.client,
            endpoints: self.endpoints,
            patience: self.patience,
            redirect_uri: self.redirect_uri,
            verifier: self.verifier,
        };
        drop(self.listener);
        let (result, browser) = match redirect {
            Redirect::Code { code, browser } => {
                let result = tokio::select! {
                    biased;
                    () = cancel.cancelled() => Err(SignInError::Cancelled),
                    result = pending.grant(&code) => result,
                };
                (result, browser)
            }
            Redirect::Error { code, browser } if code == "access_denied" => {
                (Err(SignInError::Refused), browser)
            }
            Redirect::Error { code, browser } => (Err(SignInError::Page { code: shown(&code) }), browser),
        };
        browser.tell(result.is_ok()).await;
        result
    }
}

/// What is needed to get a grant for a code.
struct Exchange {
    client: OAuthClient,
    endpoints: Endpoints,
    patience: Patience,
    redirect_uri: String,
    verifier: Secret,
}

impl Exchange {
    async fn grant(self, code: &Secret) -> Result<Grant, SignInError> {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code.expose()),
            ("code_verifier", self.verifier.expose()),
            ("redirect_uri", &self.redirect_uri),
            ("client_id", &self.client.id),
            ("client_secret", self.client.secret.expose()),
        ];
        let http = http(self.patience)?;
        let answer: TokenAnswer = ask(&http, &self.endpoints.token, &form, self.patience)
            .await
            .map_err(|trouble| trouble.into_error("signing in to", PLACE, PLACE))?;
        if !answer.scope.split_ascii_whitespace().any(|scope| scope == SCOPE) {
            return Err(SignInError::NotGranted);
        }
        let refresh_token = answer
            .refresh_token
            .ok_or_else(|| failed("signing in to", "Google gave no refresh token"))?;
        let api = Api::new(self.client, refresh_token.clone(), self.endpoints, self.patience)?;
        let about = api
            .about()
            .await
            .map_err(|trouble| trouble.into_error("asking", PLACE, PLACE))?;
        Ok(Grant {
            refresh_token,
            account: about.user.and_then(|user| user.email_address),
        })
    }
}

fn failed(what: &'static str, source: impl Into<crate::Cause>) -> Error {
    Error::Failed {
        what,
        at: PLACE.to_owned(),
        source: source.into(),
    }
}

/// 256 random bits, in letters that an address can hold: what RFC 7636 (section 4.1) recommends for a verifier.
fn random() -> Result<String, Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| failed("preparing", io::Error::other(error.to_string())))?;
    Ok(BASE64URL_NOPAD.encode(&bytes))
}

/// A code from the address, which anybody can have written, as it may be shown.
fn shown(code: &str) -> String {
    if !code.is_empty() && code.len() <= 60 && code.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        code.to_owned()
    } else {
        let hash = HEXLOWER.encode(&Sha256::digest(code.as_bytes())[..4]);
        format!("an unknown error ({hash})")
    }
}
