//! Access tokens: had for an assertion that the service account's key has signed, kept until shortly before they end.
//!
//! The protocol is RFC 7523, section 2.1, as [Google speaks it](https://developers.google.com/identity/protocols/oauth2/service-account#httprest).
//! opendal's own (by reqsign) asks Google whatever the key's `token_uri` says, and its errors do not say what was wrong.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use data_encoding::BASE64URL_NOPAD;
use http::{HeaderValue, Request, StatusCode, header};
use opendal::Buffer;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::account::Account;
use crate::cloud::Door;
use crate::cloud::trouble::{Meaning, Trouble};
use crate::cloud::wire::retry_after;

/// What we ask to be allowed.
const SCOPE: &str = "https://www.googleapis.com/auth/devstorage.read_write";
/// How long an assertion holds; the most that Google takes.
const ASSERTION_LIFE: Duration = Duration::from_secs(3600);
/// A token is not used when it ends sooner than this.
const HEADROOM: Duration = Duration::from_secs(60);

/// The tokens of an account.
pub(super) struct Tokens {
    account: Account,
    current: Mutex<Option<Token>>,
}

struct Token {
    bearer: HeaderValue,
    good_until: Instant,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens")
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

/// The answer to a good assertion.
#[derive(Deserialize)]
struct Granted {
    access_token: Zeroizing<String>,
    #[serde(default)]
    expires_in: u64,
}

/// The answer to another one.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Refused {
    error: String,
    error_description: String,
}

impl Tokens {
    pub(super) fn new(account: Account) -> Self {
        Self {
            account,
            current: Mutex::default(),
        }
    }

    /// What goes into the header `Authorization`. Asks for a token where there is none that holds.
    pub(super) async fn bearer(&self, door: &Door) -> Result<HeaderValue, Trouble> {
        let mut current = self.current.lock().await;
        if let Some(token) = &*current
            && Instant::now() < token.good_until
        {
            return Ok(token.bearer.clone());
        }
        let token = self.ask(door).await?;
        let bearer = token.bearer.clone();
        *current = Some(token);
        Ok(bearer)
    }

    /// Forgets the token: the server does not take it. False where there was none.
    pub(super) async fn forget(&self) -> bool {
        self.current.lock().await.take().is_some()
    }

    async fn ask(&self, door: &Door) -> Result<Token, Trouble> {
        let assertion = self.assertion(SystemTime::now())?;
        let body = format!(
            "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={}",
            *assertion
        );
        let (head, ()) = Request::post(&self.account.token_uri)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(())
            .map_err(|_| Trouble::Unsendable("the key's token_uri is no URL".to_owned()))?
            .into_parts();
        let asked = Instant::now();
        let answer = door.send(head, Buffer::from(body)).await?;
        let status = answer.status();
        let wait = retry_after(answer.headers());
        let body = Zeroizing::new(door.collect(answer).await?.to_vec());
        if !status.is_success() {
            return Err(refused(status, wait, &body));
        }
        let granted: Granted = serde_json::from_slice(&body).map_err(|_| {
            Trouble::Unreachable("the answer to the request for a token makes no sense".to_owned())
        })?;
        let life = Duration::from_secs(granted.expires_in);
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", *granted.access_token))
            .map_err(|_| Trouble::Unreachable("the token holds signs that no token has".to_owned()))?;
        bearer.set_sensitive(true);
        Ok(Token {
            bearer,
            // A token of a very short life is used for half of it.
            good_until: asked + life.saturating_sub(HEADROOM).max(life / 2),
        })
    }

    /// A JWT, signed.
    fn assertion(&self, now: SystemTime) -> Result<Zeroizing<String>, Trouble> {
        let account = &self.account;
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut header = json!({"alg": "RS256", "typ": "JWT"});
        if let Some(id) = &account.key_id {
            header["kid"] = id.as_str().into();
        }
        let claims = json!({
            "iss": account.email,
            "scope": SCOPE,
            "aud": account.token_uri,
            "iat": now,
            "exp": now + ASSERTION_LIFE.as_secs(),
        });
        let mut jwt = Zeroizing::new(format!("{}.{}", base64(&header), base64(&claims)));
        let mut signature = vec![0; account.key.public_modulus_len()];
        account
            .key
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                jwt.as_bytes(),
                &mut signature,
            )
            .map_err(|_| Trouble::Unsendable("the account's key cannot sign".to_owned()))?;
        jwt.push('.');
        jwt.push_str(&BASE64URL_NOPAD.encode(&signature));
        Ok(jwt)
    }
}

fn base64(value: &serde_json::Value) -> String {
    BASE64URL_NOPAD.encode(value.to_string().as_bytes())
}

/// RFC 6749, section 5.2: what is wrong with an assertion is told with 400, or 401 for an account that is not known.
fn refused(status: StatusCode, retry_after: Option<Duration>, body: &[u8]) -> Trouble {
    let words: Refused = serde_json::from_slice(body).unwrap_or_default();
    Trouble::Refused {
        status: status.as_u16(),
        meaning: match status.as_u16() {
            400 | 401 | 403 => Meaning::Denied,
            408 | 429 | 500.. => Meaning::Busy,
            _ => Meaning::Other,
        },
        code: words.error,
        message: words.error_description.chars().take(300).collect(),
        retry_after,
    }
}
