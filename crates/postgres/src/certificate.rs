//! What is verified of a server's certificate, and the hash that binds a login to it. Which mode verifies what is decided
//! in [`crate::tls`].
//!
//! Webpki does the work. Where it is stricter than the OpenSSL under libpq (a self-signed certificate given as its own
//! authority, one with a common name only, X.509 version 1), libpq's reading holds, so that a test and the pg_dump after
//! it agree.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::{
    CertificateDer, ServerName, SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer, UnixTime,
};
use sha2::{Digest, Sha256, Sha384, Sha512};
use x509_cert::Certificate;
use x509_cert::certificate::Version;
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::BasicConstraints;
use x509_cert::spki::AlgorithmIdentifierOwned;

mod names;
#[cfg(test)]
pub(crate) mod pem;

pub(crate) use names::names_for_old_libpq;
use names::names_host;

/// What is trusted.
#[derive(Debug)]
pub(crate) struct Trust {
    /// Anchors for webpki.
    pub(crate) roots: RootCertStore,
    /// The certificates of the user's own CA file: one that the server presents as its own is trusted as it stands.
    pub(crate) own: Vec<CertificateDer<'static>>,
}

impl Trust {
    /// Whether a certificate of X.509 version 1 is valid now and signed by an authority of the user's own CA file. Webpki
    /// knows no version 1, but the recipe in PostgreSQL's manual ("Creating Certificates") makes such ones with OpenSSL
    /// before 3.2. There is no path to build: they name no constraints, and their issuer must be in the file itself.
    fn signed_version_1(
        &self,
        end_entity: &CertificateDer<'_>,
        now: UnixTime,
        algorithms: &[&dyn SignatureVerificationAlgorithm],
    ) -> bool {
        let Ok(certificate) = Certificate::from_der(end_entity) else {
            return false;
        };
        if certificate.tbs_certificate.version != Version::V1 || within_validity(end_entity, now).is_err() {
            return false;
        }
        self.own.iter().any(|authority| {
            within_validity(authority, now).is_ok()
                && signed_by(&certificate, authority, algorithms) == Some(true)
        })
    }
}

const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const NAME_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.30");

/// Whether `authority` may sign certificates, is the issuer that `certificate` names, and has signed it.
fn signed_by(
    certificate: &Certificate,
    authority: &CertificateDer<'_>,
    algorithms: &[&dyn SignatureVerificationAlgorithm],
) -> Option<bool> {
    let authority = Certificate::from_der(authority).ok()?.tbs_certificate;
    let extension = |id| {
        authority
            .extensions
            .iter()
            .flatten()
            .find(move |extension| extension.extn_id == id)
    };
    let may_sign = match extension(BASIC_CONSTRAINTS) {
        Some(constraints) => {
            BasicConstraints::from_der(constraints.extn_value.as_bytes())
                .ok()?
                .ca
        }
        // Version 1 has no extensions.
        None => authority.version == Version::V1,
    };
    if !may_sign
        || extension(NAME_CONSTRAINTS).is_some()
        || authority.subject != certificate.tbs_certificate.issuer
        || certificate.tbs_certificate.signature != certificate.signature_algorithm
    {
        return Some(false);
    }
    let signed = certificate.tbs_certificate.to_der().ok()?;
    let signature = certificate.signature.as_bytes()?;
    let key = &authority.subject_public_key_info;
    let (of_key, of_signature) = (
        contents(&key.algorithm)?,
        contents(&certificate.signature_algorithm)?,
    );
    let key = key.subject_public_key.as_bytes()?;
    Some(algorithms.iter().any(|algorithm| {
        algorithm.public_key_alg_id().as_ref() == of_key
            && algorithm.signature_alg_id().as_ref() == of_signature
            && algorithm.verify_signature(key, &signed, signature).is_ok()
    }))
}

/// An algorithm's DER without the head of its sequence, as rustls compares them. Algorithms are short: their length is
/// one byte.
fn contents(algorithm: &AlgorithmIdentifierOwned) -> Option<Vec<u8>> {
    algorithm.to_der().ok()?.get(2..).map(<[u8]>::to_vec)
}

/// Verifies as much of a server's certificate as the mode asks for.
#[derive(Debug)]
pub(crate) struct Verifier {
    /// How signatures are checked.
    pub(crate) algorithms: WebPkiSupportedAlgorithms,
    /// None: whatever is presented is taken (prefer, require), as libpq does.
    pub(crate) trust: Option<Trust>,
    /// Whether the certificate must name the host.
    pub(crate) name: bool,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(trust) = &self.trust else {
            return Ok(ServerCertVerified::assertion());
        };
        if trust.own.iter().any(|own| own.as_ref() == end_entity.as_ref()) {
            // Self-signed and given as its own authority: OpenSSL takes it, webpki would call it a CA used as a leaf.
            within_validity(end_entity, now)?;
        } else {
            match ParsedCertificate::try_from(end_entity) {
                Ok(certificate) => rustls::client::verify_server_cert_signed_by_trust_anchor(
                    &certificate,
                    &trust.roots,
                    intermediates,
                    now,
                    self.algorithms.all,
                )?,
                Err(error) => {
                    if !trust.signed_version_1(end_entity, now, self.algorithms.all) {
                        return Err(error);
                    }
                }
            }
        }
        if self.name {
            names_host(end_entity, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.algorithms)
            .or_else(|error| self.accept_unparsable(cert, error))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.algorithms).or_else(|error| {
            match public_key(cert) {
                // An X.509 v1 certificate, which webpki does not parse: its key can still be checked against.
                Some(key) if ParsedCertificate::try_from(cert).is_err() => {
                    rustls::crypto::verify_tls13_signature_with_raw_key(message, &key, dss, &self.algorithms)
                }
                _ => Err(error),
            }
        })
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl Verifier {
    /// In a mode that verifies nothing anyway, a certificate that webpki cannot parse (X.509 v1) is no obstacle.
    fn accept_unparsable(
        &self,
        cert: &CertificateDer<'_>,
        error: rustls::Error,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if self.trust.is_none() && ParsedCertificate::try_from(cert).is_err() {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(error)
        }
    }
}

fn bad_encoding() -> rustls::Error {
    CertificateError::BadEncoding.into()
}

fn public_key(cert: &CertificateDer<'_>) -> Option<SubjectPublicKeyInfoDer<'static>> {
    let certificate = Certificate::from_der(cert).ok()?;
    let key = certificate
        .tbs_certificate
        .subject_public_key_info
        .to_der()
        .ok()?;
    Some(SubjectPublicKeyInfoDer::from(key))
}

fn within_validity(cert: &CertificateDer<'_>, now: UnixTime) -> Result<(), rustls::Error> {
    let certificate = Certificate::from_der(cert).map_err(|_| bad_encoding())?;
    let validity = certificate.tbs_certificate.validity;
    if now.as_secs() < validity.not_before.to_unix_duration().as_secs() {
        return Err(CertificateError::NotValidYet.into());
    }
    if now.as_secs() > validity.not_after.to_unix_duration().as_secs() {
        return Err(CertificateError::Expired.into());
    }
    Ok(())
}

/// The last moment at which a certificate is valid (RFC 5280, `notAfter`). None where it cannot be read.
pub fn expires(cert: &CertificateDer<'_>) -> Option<jiff::Timestamp> {
    let certificate = Certificate::from_der(cert).ok()?;
    let seconds = certificate
        .tbs_certificate
        .validity
        .not_after
        .to_unix_duration()
        .as_secs();
    jiff::Timestamp::from_second(i64::try_from(seconds).ok()?).ok()
}

/// The data that binds a SCRAM login to this TLS session (RFC 5929, `tls-server-end-point`): a hash of the server's
/// certificate by the algorithm that signed it, SHA-256 where that was MD5 or SHA-1. None where no hash is defined.
pub fn server_end_point(cert: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let certificate = Certificate::from_der(cert).ok()?;
    match certificate.signature_algorithm.oid.to_string().as_str() {
        // md5, sha1, sha256 WithRSAEncryption; ecdsa-with-SHA1, -SHA256.
        "1.2.840.113549.1.1.4"
        | "1.2.840.113549.1.1.5"
        | "1.2.840.113549.1.1.11"
        | "1.2.840.10045.4.1"
        | "1.2.840.10045.4.3.2" => Some(Sha256::digest(cert).to_vec()),
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => Some(Sha384::digest(cert).to_vec()),
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => Some(Sha512::digest(cert).to_vec()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rstest::rstest;
    use rustls_pki_types::pem::PemObject as _;

    use super::pem::*;
    use super::*;

    /// January 2030.
    const NOW: u64 = 1_893_456_000;
    /// January 2040.
    const TOO_LATE: u64 = 2_208_988_800;
    /// January 2020.
    const TOO_EARLY: u64 = 1_577_836_800;

    fn verified(own: &str, presented: &str, host: Option<&str>, now: u64) -> Result<(), rustls::Error> {
        let own = vec![CertificateDer::from_pem_slice(own.as_bytes()).unwrap()];
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(own.iter().cloned());
        let verifier = Verifier {
            algorithms: rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms,
            trust: Some(Trust { roots, own }),
            name: host.is_some(),
        };
        let presented = CertificateDer::from_pem_slice(presented.as_bytes()).unwrap();
        let name = ServerName::try_from(host.unwrap_or("any").to_owned()).unwrap();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
        verifier
            .verify_server_cert(&presented, &[], &name, &[], now)
            .map(drop)
    }

    #[rstest]
    #[case(AUTHORITY, VERSION_1, None)]
    #[case(AUTHORITY, VERSION_1, Some("db.example.com"))]
    #[case(VERSION_1, VERSION_1, Some("db.example.com"))]
    #[case(SELF_SIGNED, SELF_SIGNED, None)]
    #[case(SELF_SIGNED, SELF_SIGNED, Some("db.example.com"))]
    #[case(AUTHORITY, ALTERNATIVE, None)]
    #[case(AUTHORITY, ALTERNATIVE, Some("other.example.com"))]
    fn what_libpq_trusts_is_trusted(#[case] own: &str, #[case] presented: &str, #[case] host: Option<&str>) {
        assert_eq!(verified(own, presented, host, NOW), Ok(()));
    }

    #[rstest]
    #[case(NAMESAKE, VERSION_1, None, NOW)]
    #[case(NAMESAKE, ALTERNATIVE, None, NOW)]
    #[case(NAMESAKE, SELF_SIGNED, None, NOW)]
    // Signed by a certificate that is no authority.
    #[case(VERSION_1, ALTERNATIVE, None, NOW)]
    #[case(AUTHORITY, VERSION_1, Some("other.example.com"), NOW)]
    #[case(SELF_SIGNED, SELF_SIGNED, Some("other.example.com"), NOW)]
    // Where there are alternative names the common name does not count.
    #[case(AUTHORITY, ALTERNATIVE, Some("db.example.com"), NOW)]
    #[case(AUTHORITY, VERSION_1, None, TOO_LATE)]
    #[case(AUTHORITY, ALTERNATIVE, None, TOO_LATE)]
    #[case(SELF_SIGNED, SELF_SIGNED, None, TOO_LATE)]
    #[case(SELF_SIGNED, SELF_SIGNED, None, TOO_EARLY)]
    fn what_libpq_refuses_is_refused(
        #[case] own: &str,
        #[case] presented: &str,
        #[case] host: Option<&str>,
        #[case] now: u64,
    ) {
        assert!(verified(own, presented, host, now).is_err());
    }

    #[test]
    fn an_altered_certificate_is_refused() {
        let own = CertificateDer::from_pem_slice(AUTHORITY.as_bytes()).unwrap();
        let whole = CertificateDer::from_pem_slice(VERSION_1.as_bytes()).unwrap();
        let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
        let trust = Trust {
            roots: RootCertStore::empty(),
            own: vec![own],
        };
        let now = UnixTime::since_unix_epoch(Duration::from_secs(NOW));
        assert!(trust.signed_version_1(&whole, now, algorithms.all));
        for at in 0..whole.len() {
            let mut altered = whole.to_vec();
            altered[at] ^= 1;
            let altered = CertificateDer::from(altered);
            assert!(
                !trust.signed_version_1(&altered, now, algorithms.all),
                "byte {at}"
            );
        }
    }

    #[test]
    fn a_certificate_says_until_when_it_is_valid() {
        let certificate = CertificateDer::from_pem_slice(AUTHORITY.as_bytes()).unwrap();
        let expected: jiff::Timestamp = "2036-11-20T19:18:11Z".parse().unwrap();
        assert_eq!(expires(&certificate), Some(expected));
        assert_eq!(expires(&CertificateDer::from(vec![1, 2, 3])), None);
    }

    #[test]
    fn a_login_can_be_bound_to_a_certificate_of_any_common_kind() {
        let certificate = CertificateDer::from_pem_slice(VERSION_1.as_bytes()).unwrap();
        assert_eq!(server_end_point(&certificate).map(|hash| hash.len()), Some(32));
        assert_eq!(server_end_point(&CertificateDer::from(vec![1, 2, 3])), None);
    }
}
