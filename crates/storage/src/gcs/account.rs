//! The key of a service account: the JSON file that Google's console hands out.

use std::fmt;

use aws_lc_rs::rsa::KeyPair;
use howdah_domain::Secret;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;

use crate::Error;

/// Where tokens are had when the key does not say.
const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";

/// A service account that we can speak for.
pub(super) struct Account {
    /// Its name, an address.
    pub(super) email: String,
    /// The key's own id.
    pub(super) key_id: Option<String>,
    /// Where its tokens are had.
    pub(super) token_uri: String,
    /// What shows that we are it.
    pub(super) key: KeyPair,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("email", &self.email)
            .field("token_uri", &self.token_uri)
            .finish_non_exhaustive()
    }
}

/// The file.
#[derive(Deserialize)]
struct File {
    #[serde(rename = "type")]
    kind: String,
    client_email: Option<String>,
    private_key: Option<Secret>,
    private_key_id: Option<String>,
    token_uri: Option<String>,
}

impl Account {
    /// Reads the key. Its words are never repeated.
    pub(super) fn read(secret: Option<&Secret>) -> Result<Self, Error> {
        let text = secret.map(|secret| secret.expose().trim()).unwrap_or_default();
        if text.is_empty() {
            return Err(misconfigured(
                "The key of a service account is needed: the JSON file that Google's console hands out.",
            ));
        }
        // A file's name is what people paste by mistake; what serde says of it would repeat parts.
        let file: File = serde_json::from_str(text).map_err(|_| {
            misconfigured(
                "This is not the key of a service account: it must be the whole content of the JSON file, not its name.",
            )
        })?;
        if file.kind != "service_account" {
            return Err(misconfigured(
                "This JSON is not the key of a service account: its \"type\" must be \"service_account\".",
            ));
        }
        let (Some(email), Some(private_key)) = (file.client_email, file.private_key) else {
            return Err(misconfigured(
                "The key of the service account lacks its \"client_email\" or \"private_key\".",
            ));
        };
        let token_uri = file.token_uri.unwrap_or_else(|| TOKEN_URI.to_owned());
        if token_uri.parse::<http::Uri>().is_err() {
            return Err(misconfigured(
                "The \"token_uri\" in the key of the service account is no URL.",
            ));
        }
        Ok(Self {
            email,
            key_id: file.private_key_id,
            token_uri,
            key: read_private_key(&private_key)?,
        })
    }

    /// One that exists nowhere.
    #[cfg(test)]
    pub(super) fn for_tests() -> Self {
        Self {
            email: "howdah@example.iam.gserviceaccount.com".to_owned(),
            key_id: None,
            token_uri: TOKEN_URI.to_owned(),
            key: KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).expect("a key"),
        }
    }
}

fn read_private_key(pem: &Secret) -> Result<KeyPair, Error> {
    let key = match PrivateKeyDer::from_pem_slice(pem.expose().as_bytes()) {
        Ok(PrivateKeyDer::Pkcs8(der)) => KeyPair::from_pkcs8(der.secret_pkcs8_der()).ok(),
        Ok(PrivateKeyDer::Pkcs1(der)) => KeyPair::from_der(der.secret_pkcs1_der()).ok(),
        _ => None,
    };
    key.ok_or_else(|| {
        misconfigured("The \"private_key\" in the key of the service account is no RSA key that can be used.")
    })
}

fn misconfigured(why: &str) -> Error {
    Error::Misconfigured { why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("", "is needed")]
    #[case("/home/ada/key.json", "not its name")]
    #[case(r#"{"type": "authorized_user"}"#, "must be \"service_account\"")]
    #[case(r#"{"type": "service_account", "client_email": "a@b"}"#, "lacks")]
    #[case(
        r#"{"type": "service_account", "client_email": "a@b", "private_key": "-----BEGIN PRIVATE KEY-----\nSECRET\n-----END PRIVATE KEY-----\n"}"#,
        "no RSA key"
    )]
    fn what_is_no_key_is_refused_without_being_repeated(#[case] text: &str, #[case] part: &str) {
        let error = Account::read(Some(&Secret::new(text))).unwrap_err();
        let Error::Misconfigured { why } = &error else {
            panic!("{error:?}")
        };
        assert!(why.contains(part), "{why}");
        assert!(!format!("{error:?}").contains("SECRET"));
    }
}
