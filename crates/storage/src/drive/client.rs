//! Who asks: the OAuth client (the program that Google knows), and what a sign-in leaves behind for the keyring.
//!
//! A client for desktop apps has a "secret" that Google's token endpoint demands, and that is none in truth: every copy of
//! the program holds it (RFC 8252, section 8.5). The user's own is kept in the keyring all the same.

use howdah_domain::Secret;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::Error;

/// An OAuth client of the type *Desktop app*.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuthClient {
    /// `1234-abc.apps.googleusercontent.com`.
    pub id: String,
    /// What Google calls the client's secret.
    pub secret: Secret,
}

/// The client that this build of Howdah has of its own; none where none was compiled in (`HOWDAH_GOOGLE_CLIENT_ID` and
/// `HOWDAH_GOOGLE_CLIENT_SECRET` in the environment of the compiler).
pub fn built_in_client() -> Option<OAuthClient> {
    match (
        option_env!("HOWDAH_GOOGLE_CLIENT_ID"),
        option_env!("HOWDAH_GOOGLE_CLIENT_SECRET"),
    ) {
        (Some(id), Some(secret)) if !id.is_empty() => Some(OAuthClient {
            id: id.to_owned(),
            secret: Secret::new(secret),
        }),
        _ => None,
    }
}

/// What the keyring holds of a sign-in, as one secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredGrant {
    /// What brings new access tokens, until the user withdraws it.
    pub refresh_token: Secret,
    /// The secret of the user's own client; none with the one that is built in.
    pub client_secret: Option<Secret>,
}

#[derive(Deserialize)]
struct Text {
    refresh_token: Secret,
    client_secret: Option<Secret>,
}

impl StoredGrant {
    /// As the keyring keeps it: a JSON object.
    pub fn to_secret(&self) -> Secret {
        let mut text = Zeroizing::new(String::from("{\"refresh_token\":"));
        text.push_str(&quoted(&self.refresh_token));
        if let Some(secret) = &self.client_secret {
            text.push_str(",\"client_secret\":");
            text.push_str(&quoted(secret));
        }
        text.push('}');
        Secret::new(text.as_str())
    }

    /// From what the keyring kept.
    ///
    /// # Errors
    /// [`Error::SignInNeeded`] where it is something else: it is of no use, and signing in again makes a new one.
    pub fn from_secret(secret: &Secret) -> Result<Self, Error> {
        // The error of the JSON reader could quote what it read.
        let text: Text = serde_json::from_str(secret.expose()).map_err(|_| Error::SignInNeeded {
            place: PLACE.to_owned(),
            source: "what the keyring holds of the sign-in cannot be read".into(),
        })?;
        Ok(Self {
            refresh_token: text.refresh_token,
            client_secret: text.client_secret,
        })
    }
}

/// Who is meant where it is not about one folder.
pub(super) const PLACE: &str = "Google Drive";

fn quoted(secret: &Secret) -> Zeroizing<String> {
    Zeroizing::new(serde_json::to_string(secret.expose()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_grant_comes_back_from_the_keyring_and_does_not_show_itself() {
        let grant = StoredGrant {
            refresh_token: Secret::new("1//refresh \"quoted\""),
            client_secret: Some(Secret::new("GOCSPX-secret")),
        };
        let secret = grant.to_secret();
        assert_eq!(StoredGrant::from_secret(&secret).unwrap(), grant);
        let without = StoredGrant {
            client_secret: None,
            ..grant.clone()
        };
        assert_eq!(StoredGrant::from_secret(&without.to_secret()).unwrap(), without);
        let shown = format!("{grant:?} {secret:?}");
        assert!(
            !shown.contains("refresh \"") && !shown.contains("GOCSPX"),
            "{shown}"
        );
    }

    #[test]
    fn a_keyring_entry_that_is_no_grant_asks_for_a_sign_in_and_is_not_quoted() {
        for text in [
            "",
            "hunter2",
            "{\"refresh_token\":17}",
            "{\"hunter2\":\"hunter2\"}",
        ] {
            let error = StoredGrant::from_secret(&Secret::new(text)).unwrap_err();
            assert!(matches!(error, Error::SignInNeeded { .. }), "{error:?}");
            assert!(!format!("{error:?}{}", error.to_failure().message).contains("hunter2"));
        }
    }
}
