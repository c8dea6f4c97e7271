//! Azure Blob Storage: containers, block blobs, account keys and SAS tokens.
//!
//! The facts are from the REST reference of the Blob service: [Put Block] (at most 50,000 blocks; blocks that are not
//! committed are invisible, and expire a week after the last request on the blob), [Put Block List], [List Blobs] (`include=uncommittedblobs`),
//! [Shared Key] and the [error codes].
//!
//! [Put Block]: https://learn.microsoft.com/rest/api/storageservices/put-block
//! [Put Block List]: https://learn.microsoft.com/rest/api/storageservices/put-block-list
//! [List Blobs]: https://learn.microsoft.com/rest/api/storageservices/list-blobs
//! [Shared Key]: https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key
//! [error codes]: https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes

mod answers;
mod unfinished;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use data_encoding::BASE64;
use howdah_domain::Secret;
use howdah_domain::destination::{AzblobPlace, Place};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use md5::{Digest as _, Md5};
use opendal::raw::Operation;
use opendal::{Buffer, Operator, services};
use reqsign_azure_storage::{Credential, RequestSigner, StaticCredentialProvider};
use reqsign_core::{Context, Signer};

use crate::Error;
use crate::cloud::service::{Cut, Md5 as Digest, Reading, Service};
use crate::cloud::trouble::Trouble;
use crate::cloud::wire::Wire;
use crate::cloud::{Cloud, Door, Patience};

/// Blocks that a blob can have.
const BLOCKS: u64 = 50_000;
/// Bytes of a block where the blob is known to fit into [`BLOCKS`] of them: 400 GB.
const SMALLEST_BLOCK: u64 = 8 << 20;
/// Bytes of a block where nothing is known of the blob's size: 1.6 TB.
const USUAL_BLOCK: u64 = 32 << 20;
/// Bytes of a block that still fit into memory. Azure would take 4,000 MiB.
const LARGEST_BLOCK: u64 = 256 << 20;

impl Cloud {
    /// The container at a place, with the account's key or a SAS token. Touches no network.
    ///
    /// # Errors
    /// [`Error::Misconfigured`] where the secret is neither, or the place cannot be one.
    pub fn azblob(place: &AzblobPlace, secret: Option<&Secret>, patience: Patience) -> Result<Self, Error> {
        let key = Key::read(secret)?;
        let endpoint = match &place.endpoint {
            Some(endpoint) => endpoint.trim_end_matches('/').to_owned(),
            None => format!("https://{}.blob.core.windows.net", place.account),
        };
        let builder = services::Azblob::default()
            .root("/")
            .endpoint(&endpoint)
            .account_name(&place.account)
            .container(&place.container)
            .skip_signature();
        let operator = Operator::new(builder).map_err(|error| Error::Misconfigured {
            why: format!(
                "{} is no container that can be used ({}).",
                place.container,
                error.kind()
            ),
        })?;
        let name = Place::Azblob(AzblobPlace {
            endpoint: None,
            ..place.clone()
        });
        let service = Azure::new(format!("{endpoint}/{}", place.container), &place.account, &key);
        Self::new(
            name.to_string(),
            &place.prefix,
            operator,
            Arc::new(service),
            patience,
        )
    }
}

/// The secret, by its form.
enum Key {
    /// The account's key: base64.
    Account(Secret),
    /// A shared access signature: a query with `sig`.
    Sas(Secret),
}

impl Key {
    fn read(secret: Option<&Secret>) -> Result<Self, Error> {
        let text = secret.map(|secret| secret.expose().trim()).unwrap_or_default();
        if text.is_empty() {
            return Err(misconfigured("An account key or a SAS token is needed."));
        }
        // A whole SAS URL is what the portal offers to copy, beside the token.
        let query = text.split_once('?').map_or(text, |(_, query)| query);
        if query.split('&').any(|pair| pair.starts_with("sig=")) {
            return match format!("/?{query}").parse::<http::Uri>() {
                Ok(_) => Ok(Self::Sas(Secret::new(query))),
                Err(_) => Err(misconfigured(
                    "The SAS token holds signs that no SAS token has. Copy it again, whole and without blanks.",
                )),
            };
        }
        match BASE64.decode(text.as_bytes()) {
            Ok(_) => Ok(Self::Account(Secret::new(text))),
            Err(_) => Err(misconfigured(
                "This is neither an account key, which is base64, nor a SAS token, which has a part sig=.",
            )),
        }
    }
}

fn misconfigured(why: &str) -> Error {
    Error::Misconfigured { why: why.to_owned() }
}

/// The Blob service, and what lets us in.
struct Azure {
    /// The container's URL.
    container: String,
    secret: &'static str,
    signer: Signer<Credential>,
}

impl fmt::Debug for Azure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Azure")
            .field("container", &self.container)
            .field("secret", &self.secret)
            .finish_non_exhaustive()
    }
}

impl Azure {
    fn new(container: String, account: &str, key: &Key) -> Self {
        let (secret, credential) = match key {
            Key::Account(key) => (
                "account key",
                StaticCredentialProvider::new_shared_key(account, key.expose()),
            ),
            Key::Sas(token) => (
                "SAS token",
                StaticCredentialProvider::new_sas_token(token.expose()),
            ),
        };
        Self {
            container,
            secret,
            signer: Signer::new(Context::new(), credential, RequestSigner::new()),
        }
    }
}

#[async_trait]
impl Service for Azure {
    fn secret(&self) -> &'static str {
        self.secret
    }

    fn cut(&self, estimate: Option<u64>) -> Result<Cut, u64> {
        let block = match estimate {
            None => USUAL_BLOCK,
            Some(bytes) => {
                // Some more than the estimate, and whole MiB.
                let needed = (bytes + bytes / 8).div_ceil(BLOCKS);
                needed.next_multiple_of(1 << 20).max(SMALLEST_BLOCK)
            }
        };
        if estimate.is_some_and(|bytes| bytes > BLOCKS * LARGEST_BLOCK) {
            return Err(BLOCKS * LARGEST_BLOCK);
        }
        let block = block.min(LARGEST_BLOCK);
        Ok(Cut {
            part: usize::try_from(block).ok(),
            most: block * BLOCKS,
        })
    }

    fn knows_whole_md5(&self) -> bool {
        // Each block has a checksum of its own, and a list of blocks has none.
        false
    }

    fn add_checksum(&self, request: &mut Parts, body: &Buffer, _: Option<&Digest>) {
        if request.extensions.get::<Operation>() != Some(&Operation::Write) || body.is_empty() {
            return;
        }
        let mut md5 = Md5::new();
        for piece in body.clone() {
            md5.update(&piece);
        }
        if let Ok(value) = HeaderValue::from_str(&BASE64.encode(&md5.finalize())) {
            request.headers.insert("content-md5", value);
        }
    }

    async fn sign(&self, _: &Door, request: &mut Parts) -> Result<(), Trouble> {
        // Its words may repeat the address, to which a SAS token has been added: only its kind is told.
        self.signer.sign(request, None).await.map_err(|error| {
            Trouble::Unsendable(format!("the request cannot be signed ({:?})", error.kind()))
        })
    }

    fn read_refusal(&self, request: &Parts, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Reading {
        answers::read(request, status, headers, body)
    }

    async fn unfinished(&self, wire: &Wire, prefix: &str) -> Result<Vec<String>, Trouble> {
        unfinished::list(wire, &self.container, prefix).await
    }

    fn keeps_unfinished(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use howdah_domain::units::size;
    use rstest::rstest;

    use super::*;

    fn read(text: &str) -> Result<&'static str, Error> {
        Key::read(Some(&Secret::new(text))).map(|key| match key {
            Key::Account(_) => "key",
            Key::Sas(_) => "SAS",
        })
    }

    #[rstest]
    #[case("c2VjcmV0", "key")]
    #[case(
        " c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0Cg==\n",
        "key"
    )]
    #[case("sv=2022-11-02&ss=b&sig=a%2Bb", "SAS")]
    #[case("?sv=2022-11-02&sig=a%2Bb&se=2030-01-01", "SAS")]
    #[case("https://a.blob.core.windows.net/c?sv=2022-11-02&sig=a%2Bb", "SAS")]
    fn a_key_and_a_sas_token_are_told_apart_by_their_form(#[case] text: &str, #[case] is: &str) {
        assert_eq!(read(text).unwrap(), is);
    }

    #[rstest]
    #[case("", "needed")]
    #[case("correct horse", "neither")]
    #[case("sv=2022 11&sig=a", "no SAS token has")]
    fn what_is_neither_is_refused_without_being_repeated(#[case] text: &str, #[case] part: &str) {
        let error = read(text).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
        assert!(text.is_empty() || !error.contains(text), "{error}");
    }

    #[test]
    fn blocks_grow_with_the_estimate_and_never_are_too_many() {
        let azure = Azure::new("c".into(), "a", &Key::Account(Secret::new("c2VjcmV0")));
        let cut = |estimate| azure.cut(estimate).unwrap();
        assert_eq!(cut(Some(0)).part, Some(8 << 20));
        assert_eq!(cut(Some(100 << 30)).part, Some(8 << 20));
        assert_eq!(cut(None).most, 50_000 * (32 << 20));
        for bytes in [1 << 38, 1 << 40, 3 << 40, 13_000_000_000_000] {
            let cut = cut(Some(bytes));
            assert!(cut.most >= bytes, "{} fit {}", size(cut.most), size(bytes));
            assert!(cut.part.unwrap() <= 256 << 20);
        }
        assert_eq!(azure.cut(Some(14_000_000_000_000)), Err(50_000 * (256 << 20)));
    }

    #[test]
    fn the_debug_output_has_no_secret() {
        for key in [
            Key::Account(Secret::new("c2VjcmV0")),
            Key::Sas(Secret::new("sig=c2VjcmV0")),
        ] {
            let azure = Azure::new("https://c".into(), "a", &key);
            assert!(!format!("{azure:?} {azure:#?}").contains("c2VjcmV0"));
        }
    }
}
