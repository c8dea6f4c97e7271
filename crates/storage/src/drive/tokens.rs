//! The access token: had for the refresh token, kept until shortly before it expires, had anew when Google refuses it.
//!
//! Source: <https://developers.google.com/identity/protocols/oauth2/native-app>, "Refreshing an access token". The refresh
//! token ends when the user withdraws it, after half a year without use, and after seven days where the OAuth client's
//! consent screen is still "in testing": then the answer is `invalid_grant`, and only signing in again helps.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use google_drive3::common::GetToken;
use howdah_domain::Secret;
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::client::{OAuthClient, PLACE};
use super::endpoints::Patience;
use super::trouble::{Answer, Tries, Trouble, retry_after};
use crate::Error;

/// An access token that lives no longer than this is not used any more: the request has to get there.
const MARGIN: Duration = Duration::from_secs(60);

/// Hands out access tokens. Clones share one.
#[derive(Clone)]
pub(super) struct Tokens {
    inner: Arc<Inner>,
}

struct Inner {
    http: reqwest::Client,
    url: String,
    client: OAuthClient,
    refresh_token: Secret,
    patience: Patience,
    /// Held while one is fetched, so that many requests at once fetch one.
    access: Mutex<Option<Access>>,
}

struct Access {
    token: Secret,
    until: Instant,
}

/// What the token endpoint answers, for a code and for a refresh token.
#[derive(Debug, Deserialize)]
pub(super) struct TokenAnswer {
    /// The access token.
    pub access_token: Secret,
    /// Seconds that it is valid.
    #[serde(default)]
    pub expires_in: u64,
    /// With a code only.
    pub refresh_token: Option<Secret>,
    /// What was granted, separated by blanks.
    #[serde(default)]
    pub scope: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Refusal {
    error: String,
    error_description: String,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens")
            .field("client", &self.inner.client.id)
            .finish_non_exhaustive()
    }
}

impl Tokens {
    pub(super) fn new(
        http: reqwest::Client,
        url: String,
        client: OAuthClient,
        refresh_token: Secret,
        patience: Patience,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                http,
                url,
                client,
                refresh_token,
                patience,
                access: Mutex::new(None),
            }),
        }
    }

    /// A token that is valid for a while.
    pub(super) async fn access(&self) -> Result<Secret, Trouble> {
        let mut access = self.inner.access.lock().await;
        if let Some(access) = &*access
            && access.until > Instant::now()
        {
            return Ok(access.token.clone());
        }
        let fetched = self.fetch().await?;
        let token = fetched.token.clone();
        *access = Some(fetched);
        Ok(token)
    }

    /// Google refused the token: the next one is a new one.
    pub(super) async fn forget(&self) {
        *self.inner.access.lock().await = None;
    }

    /// Asks Google for a new token, whether or not the old one would do: so it shows whether the grant still holds.
    pub(super) async fn renew(&self) -> Result<(), Trouble> {
        let mut access = self.inner.access.lock().await;
        *access = Some(self.fetch().await?);
        Ok(())
    }

    async fn fetch(&self) -> Result<Access, Trouble> {
        let inner = &*self.inner;
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", inner.refresh_token.expose()),
            ("client_id", &inner.client.id),
            ("client_secret", inner.client.secret.expose()),
        ];
        let answer = ask(&inner.http, &inner.url, &form, inner.patience).await?;
        let lifetime = Duration::from_secs(answer.expires_in);
        Ok(Access {
            token: answer.access_token,
            // One that lives shorter than the margin is used half its life, or every request would fetch one.
            until: Instant::now() + lifetime.saturating_sub(MARGIN).max(lifetime / 2),
        })
    }
}

impl GetToken for Tokens {
    fn get_token<'a>(
        &'a self,
        _: &'a [&str],
    ) -> Pin<
        Box<
            dyn Future<Output = Result<Option<String>, Box<dyn std::error::Error + Send + Sync>>> + Send + 'a,
        >,
    > {
        Box::pin(async {
            match self.access().await {
                Ok(token) => Ok(Some(token.expose().to_owned())),
                Err(trouble) => Err(Box::new(NoToken(trouble)) as _),
            }
        })
    }
}

/// Carries a trouble through the Drive crate.
#[derive(Debug, thiserror::Error)]
#[error("there is no access token")]
pub(super) struct NoToken(pub(super) Trouble);

/// Asks the token endpoint, a few times where it has trouble.
pub(super) async fn ask(
    http: &reqwest::Client,
    url: &str,
    form: &[(&str, &str)],
    patience: Patience,
) -> Result<TokenAnswer, Trouble> {
    let mut tries = Tries::without_token(patience);
    loop {
        match ask_once(http, url, form, patience).await {
            // What was tried often enough here is not tried again by whoever needs the token.
            Err(trouble) => tries
                .again(trouble)
                .await
                .map_err(|trouble| Trouble::Told(trouble.into_error("signing in to", PLACE, PLACE)))?,
            answer => return answer,
        }
    }
}

async fn ask_once(
    http: &reqwest::Client,
    url: &str,
    form: &[(&str, &str)],
    patience: Patience,
) -> Result<TokenAnswer, Trouble> {
    let request = http.post(url).form(form).timeout(patience.idle);
    let response = request.send().await.map_err(Trouble::from_reqwest)?;
    let status = response.status().as_u16();
    let pause = retry_after(
        response
            .headers()
            .get(reqwest::header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()),
    );
    let body = response.bytes().await.map_err(Trouble::from_reqwest)?;
    if status == 200 {
        // The error of the JSON reader could quote the token.
        return serde_json::from_slice(&body)
            .map_err(|_| Trouble::Broken("the answer to the request for a token is not whole".into()));
    }
    let refusal: Refusal = serde_json::from_slice(&body).unwrap_or_default();
    let words = || format!("{}: {}", refusal.error, refusal.error_description).into();
    Err(match refusal.error.as_str() {
        "invalid_grant" => Trouble::Told(Error::SignInNeeded {
            place: PLACE.to_owned(),
            source: words(),
        }),
        "invalid_client" | "unauthorized_client" | "deleted_client" => Trouble::Told(Error::Denied {
            place: PLACE.to_owned(),
            what: "OAuth client",
            source: words(),
        }),
        _ => Trouble::Answer(Answer {
            status,
            reason: refusal.error,
            message: refusal.error_description,
            retry_after: pause,
        }),
    })
}
