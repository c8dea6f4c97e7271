//! The emulator's service account: its key, and the tokens that are had with it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use serde_json::{Value, json};

use super::http::pairs;

/// The account's name.
const EMAIL: &str = "howdah@tests.iam.gserviceaccount.com";
/// The grant that is asked for (RFC 7523).
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// The scope that the JSON API wants for changes.
const SCOPE: &str = "https://www.googleapis.com/auth/devstorage.read_write";

/// The account, and what was handed out.
#[derive(Debug)]
pub(super) struct Tokens {
    key: KeyPair,
    uri: String,
    valid: Vec<(String, Instant)>,
    /// How long a token holds.
    pub(super) life: Duration,
    /// How many there were.
    pub(super) granted: usize,
}

impl Tokens {
    pub(super) fn new(endpoint: &str) -> anyhow::Result<Self> {
        Ok(Self {
            key: KeyPair::generate(KeySize::Rsa2048).context("an RSA key can be made")?,
            uri: format!("{endpoint}/token"),
            valid: Vec::new(),
            life: Duration::from_secs(3600),
            granted: 0,
        })
    }

    pub(super) fn account_key(&self) -> String {
        file(&self.key, &self.uri)
    }

    pub(super) fn wrong_account_key(&self) -> anyhow::Result<String> {
        Ok(file(&KeyPair::generate(KeySize::Rsa2048)?, &self.uri))
    }

    pub(super) fn expire(&mut self) {
        self.valid.clear();
    }

    /// Whether what a request shows is a token of ours that still holds.
    pub(super) fn accepts(&self, authorization: &str) -> bool {
        authorization.strip_prefix("Bearer ").is_some_and(|shown| {
            self.valid
                .iter()
                .any(|(token, until)| token == shown && Instant::now() < *until)
        })
    }

    /// The answer to a form: status and JSON.
    pub(super) fn grant(&mut self, form: &[u8]) -> (u16, Value) {
        let form = pairs(&String::from_utf8_lossy(form));
        let field = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value);
        if field("grant_type").map(String::as_str) != Some(GRANT) {
            return refuse("unsupported_grant_type", "Invalid grant_type.");
        }
        let problem = match field("assertion") {
            Some(assertion) => self.problem_with(assertion),
            None => Some("No assertion."),
        };
        if let Some(problem) = problem {
            return refuse("invalid_grant", problem);
        }
        self.granted += 1;
        let token = format!("ya29.emulated-{}-{:p}", self.granted, self);
        self.valid.push((token.clone(), Instant::now() + self.life));
        let answer =
            json!({"access_token": token, "expires_in": self.life.as_secs(), "token_type": "Bearer"});
        (200, answer)
    }

    fn problem_with(&self, assertion: &str) -> Option<&'static str> {
        let Some((signed, signature)) = assertion.rsplit_once('.') else {
            return Some("Not a JWT.");
        };
        let Ok(signature) = BASE64URL_NOPAD.decode(signature.as_bytes()) else {
            return Some("Not a JWT.");
        };
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, self.key.public_key().as_ref());
        if public.verify(signed.as_bytes(), &signature).is_err() {
            return Some("Invalid JWT Signature.");
        }
        let part = |index| -> Option<Value> {
            let text = BASE64URL_NOPAD.decode(signed.split('.').nth(index)?.as_bytes());
            serde_json::from_slice(&text.ok()?).ok()
        };
        let (Some(header), Some(claims)) = (part(0), part(1)) else {
            return Some("Not a JWT.");
        };
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        let seconds = |name: &str| claims[name].as_u64().unwrap_or_default();
        let (from, until) = (seconds("iat"), seconds("exp"));
        if header["alg"] != "RS256" {
            Some("Invalid algorithm.")
        } else if claims["iss"] != EMAIL {
            Some("Invalid grant: account not found")
        } else if claims["aud"] != self.uri.as_str() {
            Some("Invalid JWT: wrong audience.")
        } else if claims["scope"] != SCOPE {
            Some("Invalid scope.")
        } else if from > now + 60 || until < now || until > from + 3600 {
            Some("Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe.")
        } else {
            None
        }
    }
}

fn refuse(code: &str, words: &str) -> (u16, Value) {
    (400, json!({"error": code, "error_description": words}))
}

/// The file that Google's console hands out, with the fields that it has.
fn file(key: &KeyPair, token_uri: &str) -> String {
    let der = AsDer::<Pkcs8V1Der<'_>>::as_der(key).map(|der| BASE64.encode(der.as_ref()));
    let lines: Vec<_> = der
        .as_deref()
        .unwrap_or_default()
        .as_bytes()
        .chunks(64)
        .map(String::from_utf8_lossy)
        .collect();
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        lines.join("\n")
    );
    json!({
        "type": "service_account",
        "project_id": "tests",
        "private_key_id": "0123456789abcdef",
        "private_key": pem,
        "client_email": EMAIL,
        "client_id": "100000000000000000000",
        "token_uri": token_uri,
    })
    .to_string()
}
