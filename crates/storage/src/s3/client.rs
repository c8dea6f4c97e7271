//! From a place to a client of Amazon's SDK: where requests go, who we say we are, whom we trust, how long we wait.
//!
//! The SDK's own repeating and its protection against stalled streams are off: [`super::request`] does both, and knows more.

use std::path::Path;
use std::time::Duration;

use aws_config::environment::{EnvironmentVariableCredentialsProvider, EnvironmentVariableRegionProvider};
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Credentials, Region, SharedHttpClient, StalledStreamProtectionConfig,
};
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use howdah_domain::destination::{BucketStyle, S3Place};
use howdah_domain::{Place, Secret};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::Error;

/// The region that is named where nobody names one. Stores that are not Amazon take any.
const USUAL_REGION: &str = "us-east-1";

/// What is known of the client before it is made.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    place: S3Place,
    secret: Option<Secret>,
    /// The authorities' certificates, PEM.
    authorities: Option<Vec<u8>>,
}

impl Settings {
    /// Reads the certificate file; touches nothing else.
    pub(super) fn read(place: &S3Place, secret: Option<&Secret>) -> Result<Self, Error> {
        if let Some(why) = problem(place, secret) {
            return Err(Error::Misconfigured { why });
        }
        Ok(Self {
            place: place.clone(),
            secret: secret.cloned(),
            authorities: place.ca_file.as_deref().map(authorities).transpose()?,
        })
    }

    /// Makes the client. Reads the environment and `~/.aws`, where they count; asks nobody.
    pub(super) async fn client(&self, connect: Duration) -> Client {
        let place = &self.place;
        let mut config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(self.region().await)
            .force_path_style(match place.style {
                BucketStyle::Auto => place.endpoint.is_some(),
                BucketStyle::Path => true,
                BucketStyle::VirtualHost => false,
            })
            .retry_config(RetryConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .timeout_config(TimeoutConfig::builder().connect_timeout(connect).build());
        if let Some(endpoint) = &place.endpoint {
            config = config.endpoint_url(endpoint);
        }
        if let Some(authorities) = &self.authorities {
            config = config.http_client(trusting(authorities.clone()));
        }
        config = match (&place.access_key_id, &self.secret, &place.profile) {
            (Some(id), Some(secret), _) => {
                config.credentials_provider(Credentials::new(id, secret.expose(), None, None, "howdah"))
            }
            (_, _, Some(profile)) => config.credentials_provider(
                ProfileFileCredentialsProvider::builder()
                    .profile_name(profile)
                    .build(),
            ),
            // Not the SDK's own chain: at its end it asks addresses on the network that nobody has configured.
            _ => config.credentials_provider(
                CredentialsProviderChain::first_try(
                    "Environment",
                    EnvironmentVariableCredentialsProvider::new(),
                )
                .or_else("Profile", ProfileFileCredentialsProvider::builder().build()),
            ),
        };
        Client::from_conf(config.build())
    }

    /// The place's region, else the environment's, else the profile's.
    async fn region(&self) -> Region {
        let profile = match &self.place.profile {
            Some(name) => ProfileFileRegionProvider::builder().profile_name(name).build(),
            None => ProfileFileRegionProvider::new(),
        };
        RegionProviderChain::first_try(self.place.region.clone().map(Region::new))
            .or_else(EnvironmentVariableRegionProvider::new())
            .or_else(profile)
            .or_else(Region::from_static(USUAL_REGION))
            .region()
            .await
            .unwrap_or_else(|| Region::from_static(USUAL_REGION))
    }
}

/// What in a place cannot work, in a sentence.
fn problem(place: &S3Place, secret: Option<&Secret>) -> Option<String> {
    if let Some(problem) = Place::S3(place.clone()).problem() {
        return Some(problem);
    }
    if place.access_key_id.is_some() && secret.is_none_or(Secret::is_empty) {
        return Some(format!(
            "The secret access key of s3://{} is missing. Enter it on the destination's page.",
            place.bucket
        ));
    }
    let encrypts_by_kms = place
        .server_side_encryption
        .as_deref()
        .is_some_and(|kind| kind.starts_with("aws:kms"));
    if place.kms_key.is_some() && !encrypts_by_kms {
        return Some(
            "A KMS key is used with the encryption aws:kms only. Choose that, or remove the key.".to_owned(),
        );
    }
    None
}

/// The certificates of a file, once it is clear that they are some.
fn authorities(file: &Path) -> Result<Vec<u8>, Error> {
    let misconfigured = |why: String| Error::Misconfigured {
        why: format!("The certificate file {} {why}", file.display()),
    };
    let pem = std::fs::read(file).map_err(|error| misconfigured(format!("cannot be read: {error}.")))?;
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| misconfigured(format!("is damaged: {error}.")))?;
        roots
            .add(certificate)
            .map_err(|error| misconfigured(format!("holds a certificate that cannot be used: {error}.")))?;
    }
    if roots.is_empty() {
        return Err(misconfigured(
            "holds no certificate in PEM form (it begins with -----BEGIN CERTIFICATE-----).".to_owned(),
        ));
    }
    Ok(pem)
}

/// A client that trusts these authorities besides the system's.
fn trusting(authorities: Vec<u8>) -> SharedHttpClient {
    let store = TrustStore::default().with_pem_certificate(authorities);
    let context = TlsContext::builder()
        .with_trust_store(store)
        .build()
        .expect("BUG: a trust store is all that it takes");
    aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .tls_context(context)
        .build_https()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn place() -> S3Place {
        S3Place {
            bucket: "backups".into(),
            ..S3Place::default()
        }
    }

    fn refused(place: &S3Place, secret: Option<&Secret>) -> String {
        match Settings::read(place, secret).unwrap_err() {
            Error::Misconfigured { why } => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_key_id_without_its_secret_is_refused_at_once() {
        let place = S3Place {
            access_key_id: Some("AKIA".into()),
            ..place()
        };
        assert!(refused(&place, None).contains("secret access key"));
        assert!(refused(&place, Some(&Secret::new(""))).contains("secret access key"));
        assert!(Settings::read(&place, Some(&Secret::new("x"))).is_ok());
    }

    #[test]
    fn a_kms_key_without_its_encryption_is_refused_at_once() {
        let place = S3Place {
            kms_key: Some("alias/backups".into()),
            ..place()
        };
        assert!(refused(&place, None).contains("aws:kms"));
        for kind in ["aws:kms", "aws:kms:dsse"] {
            let place = S3Place {
                server_side_encryption: Some(kind.into()),
                ..place.clone()
            };
            assert!(Settings::read(&place, None).is_ok(), "{kind}");
        }
    }

    #[rstest]
    #[case("", "holds no certificate")]
    #[case(
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "cannot be used"
    )]
    #[case("-----BEGIN CERTIFICATE-----\nAAAA\n", "is damaged")]
    fn a_certificate_file_that_is_none_is_refused_at_once(#[case] text: &str, #[case] why: &str) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, text).unwrap();
        let with_file = S3Place {
            ca_file: Some(file),
            ..place()
        };
        let said = refused(&with_file, None);
        assert!(said.contains(why) && said.contains("ca.pem"), "{said}");
        let missing = S3Place {
            ca_file: Some(folder.path().join("none.pem")),
            ..place()
        };
        assert!(refused(&missing, None).contains("cannot be read"));
    }

    #[tokio::test]
    async fn a_region_that_the_place_names_counts_before_all_others() {
        let place = S3Place {
            region: Some("eu-central-1".into()),
            ..place()
        };
        let settings = Settings::read(&place, None).unwrap();
        assert_eq!(settings.region().await.as_ref(), "eu-central-1");
    }
}
