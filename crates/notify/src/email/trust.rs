//! Whose certificate is trusted: those that this system's authorities vouch for, and the one that the user looked at and
//! trusts by its SHA-256.

use std::sync::{Arc, Mutex, PoisonError};

use data_encoding::HEXLOWER;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use sha2::{Digest as _, Sha256};

/// The SHA-256 of a certificate's DER.
pub(super) type Fingerprint = [u8; 32];

/// A fingerprint as people have it before them: hexadecimal, in either case, with or without colons and spaces.
pub(super) fn parse_fingerprint(text: &str) -> Option<Fingerprint> {
    let digits: String = text
        .chars()
        .filter(|c| !matches!(c, ':' | ' '))
        .map(|c| c.to_ascii_lowercase())
        .collect();
    HEXLOWER.decode(digits.as_bytes()).ok()?.try_into().ok()
}

/// What verifies the certificate of one connection, and remembers which one it was.
#[derive(Debug)]
pub(super) struct Trust {
    provider: Arc<CryptoProvider>,
    pinned: Option<Fingerprint>,
    /// This system's authorities; a system may have none, and the pinned certificate is trusted all the same.
    system: Result<rustls_platform_verifier::Verifier, rustls::Error>,
    refused: Mutex<Option<Fingerprint>>,
}

impl Trust {
    /// Reads this system's authorities from its disk.
    pub(super) fn load(pinned: Option<Fingerprint>) -> Arc<Self> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        Arc::new(Self {
            pinned,
            system: rustls_platform_verifier::Verifier::new(Arc::clone(&provider)),
            provider,
            refused: Mutex::new(None),
        })
    }

    /// The configuration of a connection that is verified by this.
    pub(super) fn client_config(self: &Arc<Self>) -> Result<ClientConfig, rustls::Error> {
        Ok(ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(self) as Arc<dyn ServerCertVerifier>)
            .with_no_client_auth())
    }

    /// The certificate that was refused, in lower-case hex.
    pub(super) fn refused(&self) -> Option<String> {
        self.refused
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .map(|fingerprint| HEXLOWER.encode(&fingerprint))
    }

    /// Why it was refused.
    pub(super) fn explain(&self, error: &CertificateError) -> String {
        match self.pinned {
            Some(pinned) => format!(
                "it is another certificate than the one that was trusted (SHA-256 {}), and this system does not trust it: {error}",
                HEXLOWER.encode(&pinned)
            ),
            None => error.to_string(),
        }
    }
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let fingerprint: Fingerprint = Sha256::digest(end_entity).into();
        if self.pinned == Some(fingerprint) {
            // Neither its name, nor its age, nor who signed it is asked: the user looked at this one. That the server has its
            // key is proved by the signature below.
            return Ok(ServerCertVerified::assertion());
        }
        let verified = match &self.system {
            Ok(system) => {
                system.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            }
            Err(_) => Err(CertificateError::UnknownIssuer.into()),
        };
        if verified.is_err() {
            *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(fingerprint);
        }
        verified
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::plain("ab".repeat(32), true)]
    #[case::as_openssl_prints_it(vec!["AB"; 32].join(":"), true)]
    #[case::in_groups(vec!["abab"; 16].join(" "), true)]
    #[case::too_short("ab".repeat(31), false)]
    #[case::too_long("ab".repeat(33), false)]
    #[case::no_hex("xy".repeat(32), false)]
    #[case::empty(String::new(), false)]
    fn a_fingerprint_is_read_however_it_is_printed(#[case] text: String, #[case] good: bool) {
        assert_eq!(parse_fingerprint(&text), good.then_some([0xab; 32]));
    }
}
