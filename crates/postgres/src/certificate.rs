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
use x509_cert::der::asn1::{PrintableStringRef, Utf8StringRef};
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::BasicConstraints;
use x509_cert::spki::AlgorithmIdentifierOwned;

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

/// Whether the certificate names the host: by its subject alternative names, or, where it has none, by its common name
/// (PostgreSQL manual, "Client Verification of Server Certificates").
fn names_host(cert: &CertificateDer<'_>, server_name: &ServerName<'_>) -> Result<(), rustls::Error> {
    let by_names = ParsedCertificate::try_from(cert)
        .and_then(|parsed| rustls::client::verify_server_name(&parsed, server_name));
    let Err(error) = by_names else {
        return Ok(());
    };
    match common_name_without_alternatives(cert) {
        Some(name) if name_matches(&name, &server_name.to_str()) => Ok(()),
        _ => Err(error),
    }
}

const SUBJECT_ALTERNATIVE_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

fn common_name_without_alternatives(cert: &CertificateDer<'_>) -> Option<String> {
    let certificate = Certificate::from_der(cert).ok()?.tbs_certificate;
    let alternatives = certificate
        .extensions
        .iter()
        .flatten()
        .any(|extension| extension.extn_id == SUBJECT_ALTERNATIVE_NAME);
    if alternatives {
        return None;
    }
    let attribute = certificate
        .subject
        .0
        .iter()
        .flat_map(|part| part.0.iter())
        .find(|attribute| attribute.oid == COMMON_NAME)?;
    let value = &attribute.value;
    if let Ok(text) = value.decode_as::<Utf8StringRef<'_>>() {
        return Some(text.as_str().to_owned());
    }
    value
        .decode_as::<PrintableStringRef<'_>>()
        .ok()
        .map(|text| text.as_str().to_owned())
}

/// libpq's wildcard rule: a star stands for the whole first label and matches no dot.
fn name_matches(pattern: &str, host: &str) -> bool {
    let pattern = pattern.to_ascii_lowercase();
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    match pattern.strip_prefix("*.") {
        Some(rest) => host
            .split_once('.')
            .is_some_and(|(label, tail)| !label.is_empty() && tail == rest && rest.contains('.')),
        None => pattern == host,
    }
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

    use super::*;

    #[rstest]
    #[case("db.example.com", "db.example.com", true)]
    #[case("DB.example.com", "db.EXAMPLE.com", true)]
    #[case("db.example.com", "db.example.com.", true)]
    #[case("*.example.com", "db.example.com", true)]
    #[case("*.example.com", "a.db.example.com", false)]
    #[case("*.example.com", "example.com", false)]
    #[case("*.com", "example.com", false)]
    #[case("*", "localhost", false)]
    #[case("db.example.com", "other.example.com", false)]
    fn a_common_name_matches_as_libpq_has_it(
        #[case] pattern: &str,
        #[case] host: &str,
        #[case] expected: bool,
    ) {
        assert_eq!(name_matches(pattern, host), expected);
    }

    // Made with OpenSSL 3.0, P-256, valid from November 2026 for ten years.
    /// An authority.
    const AUTHORITY: &str = "-----BEGIN CERTIFICATE-----
MIIBlDCCATugAwIBAgIUWe5DNXQA7wt5awNQMAHlzPHlaAUwCgYIKoZIzj0EAwIw
IDEeMBwGA1UEAwwVSG93ZGFoIHRlc3QgYXV0aG9yaXR5MB4XDTI2MTEyMzE5MTgx
MVoXDTM2MTEyMDE5MTgxMVowIDEeMBwGA1UEAwwVSG93ZGFoIHRlc3QgYXV0aG9y
aXR5MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEzK73Gcb2Q+FsbAQ3yd5ar0v1
WExUNcbPcFlmP2GJ0rFgbGFsWzmkHGXuPiUMprTGOkLNXweW3Tw76xzNEvE2hqNT
MFEwHQYDVR0OBBYEFEW/OsOOAJaefJFMdFICCc7zt7lOMB8GA1UdIwQYMBaAFEW/
OsOOAJaefJFMdFICCc7zt7lOMA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwID
RwAwRAIgEUivc/2+e/PVxOawD9+0kG9Is+vKOd+WFcKkNyrchBoCIBRoAjvmHB6m
s2+4jd5w/eATmRtrzzjBGQMCu1jodEeg
-----END CERTIFICATE-----";
    /// Another one of the same name.
    const NAMESAKE: &str = "-----BEGIN CERTIFICATE-----
MIIBljCCATugAwIBAgIUHpSpC7kDgbMWkfeGS0S+6rL81O8wCgYIKoZIzj0EAwIw
IDEeMBwGA1UEAwwVSG93ZGFoIHRlc3QgYXV0aG9yaXR5MB4XDTI2MTEyMzE5MTgx
MVoXDTM2MTEyMDE5MTgxMVowIDEeMBwGA1UEAwwVSG93ZGFoIHRlc3QgYXV0aG9y
aXR5MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEItgqTjT/k96ZzF8N38FWsIKm
2te8tyKH5zV5PrWb3HdSq8ZF8GENxm6EuWBrj3kxtJjem4mX9Fuex5wr0Cfnm6NT
MFEwHQYDVR0OBBYEFNGeqifsYUQGJ9aSbQC7xdRoelq4MB8GA1UdIwQYMBaAFNGe
qifsYUQGJ9aSbQC7xdRoelq4MA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwID
SQAwRgIhAKrtVmEqC7hRsohxyOfavoKW07UoyiMtWY3fmw9FshwvAiEA0kpn0oEs
BFMyteQi5V7j9AjxnhB2yyWD99tQg+DcSWA=
-----END CERTIFICATE-----";
    /// Of the authority, for db.example.com, X.509 version 1, by the recipe in PostgreSQL's manual.
    const VERSION_1: &str = "-----BEGIN CERTIFICATE-----
MIIBNDCB2gIUI6l4OhcTSDfsvfKRFSOb61c3b5UwCgYIKoZIzj0EAwIwIDEeMBwG
A1UEAwwVSG93ZGFoIHRlc3QgYXV0aG9yaXR5MB4XDTI2MTEyMzE5MTgxMVoXDTM2
MTEyMDE5MTgxMVowGTEXMBUGA1UEAwwOZGIuZXhhbXBsZS5jb20wWTATBgcqhkjO
PQIBBggqhkjOPQMBBwNCAARb6hHpo3iWBXLd1Bgbw6XaM3ToDgLgjKlWQFQGwiwg
ZZrmKM/Ec5X7hJdwnbhlfDgEjpMmDBvZ/k3XZ/Xlfb7QMAoGCCqGSM49BAMCA0kA
MEYCIQDCTj4pQTA8pMUU/A1nTwZOCVze6CnvmA8uox3tDvOvBQIhAIOdpV30bkgF
+Cfk7fFGa3/9ChdsNhfzQ3MxjcmSBio5
-----END CERTIFICATE-----";
    /// Self-signed for db.example.com by common name, marked as an authority.
    const SELF_SIGNED: &str = "-----BEGIN CERTIFICATE-----
MIIBhzCCAS2gAwIBAgIUWGOeT5ZFut1kx/+69JoPFwuwhkQwCgYIKoZIzj0EAwIw
GTEXMBUGA1UEAwwOZGIuZXhhbXBsZS5jb20wHhcNMjYxMTIzMTkxODExWhcNMzYx
MTIwMTkxODExWjAZMRcwFQYDVQQDDA5kYi5leGFtcGxlLmNvbTBZMBMGByqGSM49
AgEGCCqGSM49AwEHA0IABFvqEemjeJYFct3UGBvDpdozdOgOAuCMqVZAVAbCLCBl
muYoz8RzlfuEl3CduGV8OASOkyYMG9n+Tddn9eV9vtCjUzBRMB0GA1UdDgQWBBRI
JS383E2lSPj5DxgjeRL9qLGNpDAfBgNVHSMEGDAWgBRIJS383E2lSPj5DxgjeRL9
qLGNpDAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0gAMEUCIQDCZ10YZtIC
TUqIiqqXEREK/DPc4Pmtr/M/Ffgybw0tZAIgbT4IfUep0k3/Edu3umkxAja4PGi8
vEFc7u1mh7CoH/s=
-----END CERTIFICATE-----";
    /// Of the authority, common name db.example.com, alternative name other.example.com.
    const ALTERNATIVE: &str = "-----BEGIN CERTIFICATE-----
MIIBmzCCAUGgAwIBAgIUI6l4OhcTSDfsvfKRFSOb61c3b5YwCgYIKoZIzj0EAwIw
IDEeMBwGA1UEAwwVSG93ZGFoIHRlc3QgYXV0aG9yaXR5MB4XDTI2MTEyMzE5MTgx
MVoXDTM2MTEyMDE5MTgxMVowGTEXMBUGA1UEAwwOZGIuZXhhbXBsZS5jb20wWTAT
BgcqhkjOPQIBBggqhkjOPQMBBwNCAARb6hHpo3iWBXLd1Bgbw6XaM3ToDgLgjKlW
QFQGwiwgZZrmKM/Ec5X7hJdwnbhlfDgEjpMmDBvZ/k3XZ/Xlfb7Qo2AwXjAcBgNV
HREEFTATghFvdGhlci5leGFtcGxlLmNvbTAdBgNVHQ4EFgQUSCUt/NxNpUj4+Q8Y
I3kS/aixjaQwHwYDVR0jBBgwFoAURb86w44Alp58kUx0UgIJzvO3uU4wCgYIKoZI
zj0EAwIDSAAwRQIhAMyWRbA2ZBjbF3HJbNo5KVSywgKJ23jDZGUpJAbJ+wjpAiBG
LyW5QbSyN30T9Wl8mqPjj2FvF/vsZAWjy2qbBzrNpg==
-----END CERTIFICATE-----";

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
    fn a_login_can_be_bound_to_a_certificate_of_any_common_kind() {
        let certificate = CertificateDer::from_pem_slice(VERSION_1.as_bytes()).unwrap();
        assert_eq!(server_end_point(&certificate).map(|hash| hash.len()), Some(32));
        assert_eq!(server_end_point(&CertificateDer::from(vec![1, 2, 3])), None);
    }
}
