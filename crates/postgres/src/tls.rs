//! TLS as libpq's `sslmode` means it, on rustls with aws-lc-rs: what is verified in which mode, own authorities,
//! client certificates, and what was agreed on. Knows nothing of PostgreSQL's protocol before or after the handshake.
//!
//! Where webpki is stricter than the OpenSSL under libpq (a self-signed certificate given as its own authority, a
//! certificate with a common name only), libpq's reading holds, so that a test and the pg_dump after it agree.

use std::path::Path;
use std::sync::Arc;

use howdah_domain::{Connection, Failure, FailureCode, Tls, TlsMode};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use serde::Serialize;
use sha2::{Digest, Sha256, Sha384, Sha512};
use x509_cert::Certificate;
use x509_cert::der::asn1::{PrintableStringRef, Utf8StringRef};
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::{Decode, Encode};

use crate::{Error, words};

/// What was verified of the server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verified {
    /// Nothing: not encrypted, or encrypted in a mode that verifies nothing.
    Nothing,
    /// That a trusted authority signed it.
    Authority,
    /// That a trusted authority signed it, and that it names the host.
    AuthorityAndName,
}

/// What was agreed on with the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TlsState {
    /// The mode that was asked for.
    pub mode: TlsMode,
    /// Whether the connection is encrypted.
    pub encrypted: bool,
    /// `TLS 1.3`, where encrypted.
    pub protocol: Option<String>,
    /// The cipher suite by its IANA name, such as `TLS_AES_256_GCM_SHA384`, where encrypted.
    pub cipher: Option<String>,
    /// What was verified of the server's certificate.
    pub verified: Verified,
    /// Whether the way is a Unix socket, on which libpq uses no TLS whatever the mode.
    pub socket: bool,
}

impl TlsState {
    /// A connection without encryption.
    pub fn plain(connection: &Connection) -> Self {
        Self {
            mode: connection.tls.mode,
            encrypted: false,
            protocol: None,
            cipher: None,
            verified: Verified::Nothing,
            socket: connection.is_socket(),
        }
    }

    /// In a few words: `TLS 1.3, certificate and host name verified`.
    pub fn describe(&self) -> String {
        if self.socket {
            return "Unix socket, no TLS needed".to_owned();
        }
        if !self.encrypted {
            return format!("not encrypted (mode {})", self.mode.as_libpq());
        }
        let verified = match self.verified {
            Verified::Nothing => "certificate not verified",
            Verified::Authority => "certificate verified",
            Verified::AuthorityAndName => "certificate and host name verified",
        };
        let protocol = self.protocol.as_deref().unwrap_or("TLS");
        format!("{protocol}, {verified} (mode {})", self.mode.as_libpq())
    }
}

/// What a mode verifies: libpq's rule that `require` with an authority's file is `verify-ca`
/// (PostgreSQL manual, "Protection Provided in Different Modes").
pub fn verified_by(tls: &Tls) -> Verified {
    match tls.mode {
        TlsMode::Disable | TlsMode::Prefer => Verified::Nothing,
        TlsMode::Require if tls.ca_file.is_none() => Verified::Nothing,
        TlsMode::Require | TlsMode::VerifyCa => Verified::Authority,
        TlsMode::VerifyFull => Verified::AuthorityAndName,
    }
}

/// A rustls configuration for these settings.
///
/// # Errors
/// [`FailureCode::InvalidConnection`] when a file that the settings name cannot be read or holds no PEM of its kind.
pub fn client_config(tls: &Tls) -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = verifier(tls, &provider)?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| internal(&error))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    match (&tls.certificate_file, &tls.key_file) {
        (None, None) => Ok(builder.with_no_client_auth()),
        (Some(certificate), Some(key_file)) => {
            let chain = certificates(certificate, "client certificate")?;
            let key = PrivateKeyDer::from_pem_file(key_file).map_err(|error| {
                unusable(key_file, "client key", &error.to_string()).hint(
                    "It must be a PEM file with an unencrypted private key (PKCS #8, PKCS #1 or SEC1). \
                     Remove a passphrase with: openssl pkey -in KEY -out NEW",
                )
            })?;
            builder.with_client_auth_cert(chain, key).map_err(|error| {
                unusable(certificate, "client certificate", &error.to_string())
                    .hint("The certificate and the key must belong together.")
                    .into()
            })
        }
        (Some(_), None) => Err(half("certificate", "key")),
        (None, Some(_)) => Err(half("key", "certificate")),
    }
}

fn half(given: &str, missing: &str) -> Error {
    Failure::new(
        FailureCode::InvalidConnection,
        format!("A client {given} is given, but not its {missing}."),
    )
    .hint(format!(
        "Choose the file of the client {missing} as well, or neither."
    ))
    .into()
}

fn internal(error: &rustls::Error) -> Error {
    Failure::new(FailureCode::Internal, "TLS could not be set up.")
        .details(error.to_string())
        .into()
}

fn unusable(path: &Path, what: &str, why: &str) -> Failure {
    let path = path.display();
    Failure::new(
        FailureCode::InvalidConnection,
        format!("The {what} {path} cannot be used: {why}."),
    )
    .hint("Check the path, the file's permissions, and that it is a PEM file.")
}

fn certificates(path: &Path, what: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unusable(path, what, &error.to_string()))?;
    if found.is_empty() {
        return Err(unusable(path, what, "it holds no certificate").into());
    }
    Ok(found)
}

fn verifier(tls: &Tls, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, Error> {
    let algorithms = provider.signature_verification_algorithms;
    let verified = verified_by(tls);
    if verified == Verified::Nothing {
        return Ok(Arc::new(Verifier {
            algorithms,
            trust: None,
            name: false,
        }));
    }
    let mut roots = RootCertStore::empty();
    let mut pinned = Vec::new();
    if let Some(path) = &tls.ca_file {
        pinned = certificates(path, "CA file")?;
        let (added, _) = roots.add_parsable_certificates(pinned.iter().cloned());
        if added == 0 {
            // A file of X.509 v1 certificates only: none can be an anchor, but a server's own may be among them.
            tracing::debug!(path = %path.display(), "no certificate of the CA file can be a trust anchor");
        }
    } else {
        let system = rustls_native_certs::load_native_certs();
        let (added, _) = roots.add_parsable_certificates(system.certs);
        if added == 0 {
            return Err(Failure::new(
                FailureCode::TlsUntrusted,
                "This machine has no list of trusted certificate authorities.",
            )
            .hint("Install the package ca-certificates, or give the server's authority as CA file.")
            .into());
        }
    }
    let name = verified == Verified::AuthorityAndName;
    Ok(Arc::new(Verifier {
        algorithms,
        trust: Some(Trust {
            roots: Arc::new(roots),
            pinned,
        }),
        name,
    }))
}

/// What is trusted.
#[derive(Debug)]
struct Trust {
    roots: Arc<RootCertStore>,
    /// The certificates of the user's own CA file: one that the server presents as its own is trusted as it stands.
    pinned: Vec<CertificateDer<'static>>,
}

/// Verifies as much of a server's certificate as the mode asks for.
#[derive(Debug)]
struct Verifier {
    algorithms: WebPkiSupportedAlgorithms,
    /// None: whatever is presented is taken (prefer, require), as libpq does.
    trust: Option<Trust>,
    /// Whether the certificate must name the host.
    name: bool,
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
        if trust.pinned.iter().any(|own| own.as_ref() == end_entity.as_ref()) {
            // Self-signed and given as its own authority: OpenSSL takes it, webpki would call it a CA used as a leaf.
            within_validity(end_entity, now)?;
        } else {
            let certificate = ParsedCertificate::try_from(end_entity)?;
            rustls::client::verify_server_cert_signed_by_trust_anchor(
                &certificate,
                &trust.roots,
                intermediates,
                now,
                self.algorithms.all,
            )?;
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

/// The name to verify and to send as SNI. A host that is neither a DNS name nor an address gets one that matches
/// nothing: modes that do not look at the name still work with it.
pub fn server_name(host: &str) -> ServerName<'static> {
    ServerName::try_from(host.to_owned())
        .or_else(|_| ServerName::try_from("host.invalid"))
        .expect("BUG: a constant name does not parse")
}

/// A failed handshake in words.
pub fn handshake_failure(connection: &Connection, error: &std::io::Error) -> Failure {
    let details = error.to_string();
    let Some(cause) = error
        .get_ref()
        .and_then(|cause| cause.downcast_ref::<rustls::Error>())
    else {
        let code = match error.kind() {
            std::io::ErrorKind::UnexpectedEof
            | std::io::ErrorKind::ConnectionReset
            | std::io::ErrorKind::BrokenPipe => FailureCode::ConnectionLost,
            _ => FailureCode::TlsUnavailable,
        };
        return words::connecting(code, connection).details(format!("TLS handshake: {details}"));
    };
    let host = &connection.host;
    let place = words::capitalised(&words::place(connection));
    let failure = match cause {
        rustls::Error::InvalidCertificate(certificate) => untrusted(connection, certificate),
        rustls::Error::NoCertificatesPresented => words::connecting(FailureCode::TlsUntrusted, connection),
        rustls::Error::AlertReceived(alert) => Failure::new(
            FailureCode::TlsUnavailable,
            format!("{place} broke off the TLS handshake ({alert:?})."),
        )
        .hint("If the server asks for a client certificate, give one; Howdah speaks TLS 1.2 and 1.3."),
        rustls::Error::InvalidMessage(_) => words::connecting(FailureCode::NotPostgres, connection),
        _ => Failure::new(
            FailureCode::TlsUnavailable,
            format!("Howdah and {host} could not agree on TLS."),
        )
        .hint("Howdah speaks TLS 1.2 and 1.3."),
    };
    failure.details(format!("TLS handshake: {details}"))
}

fn untrusted(connection: &Connection, certificate: &CertificateError) -> Failure {
    let host = &connection.host;
    let code = FailureCode::TlsUntrusted;
    match certificate {
        CertificateError::UnknownIssuer => {
            let (list, hint) = if connection.tls.ca_file.is_some() {
                ("the CA file", "Check that it is the CA file of this server (a managed service has one per region).")
            } else {
                (
                    "this machine's trusted authorities",
                    "Give the authority's certificate as CA file; managed services offer it for download.",
                )
            };
            Failure::new(
                code,
                format!("The certificate of {host} is not signed by any authority in {list}."),
            )
            .hint(hint)
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            Failure::new(code, format!("The certificate of {host} has expired."))
                .hint("Renew it at the server, and check this machine's clock.")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            Failure::new(code, format!("The certificate of {host} is not valid yet."))
                .hint("Check this machine's clock.")
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            Failure::new(code, format!("The server's certificate does not name {host}.")).hint(
                "Use the host name that the certificate names, or TLS mode verify-ca if the authority signs for nobody else.",
            )
        }
        CertificateError::BadEncoding => Failure::new(
            code,
            format!("The certificate of {host} cannot be read; X.509 version 1 certificates cannot be verified."),
        )
        .hint("Have the server's certificate made anew with extensions (X.509 v3), or use TLS mode require."),
        _ => words::connecting(code, connection),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

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

    #[rstest]
    #[case(TlsMode::Disable, None, Verified::Nothing)]
    #[case(TlsMode::Prefer, None, Verified::Nothing)]
    #[case(TlsMode::Prefer, Some("/ca.pem"), Verified::Nothing)]
    #[case(TlsMode::Require, None, Verified::Nothing)]
    #[case(TlsMode::Require, Some("/ca.pem"), Verified::Authority)]
    #[case(TlsMode::VerifyCa, None, Verified::Authority)]
    #[case(TlsMode::VerifyFull, None, Verified::AuthorityAndName)]
    fn a_mode_verifies_what_libpq_verifies(
        #[case] mode: TlsMode,
        #[case] ca_file: Option<&str>,
        #[case] expected: Verified,
    ) {
        let tls = Tls {
            mode,
            ca_file: ca_file.map(Into::into),
            ..Tls::default()
        };
        assert_eq!(verified_by(&tls), expected);
    }

    #[test]
    fn any_host_has_a_name_to_send() {
        assert_eq!(server_name("db.example.com").to_str(), "db.example.com");
        assert!(matches!(server_name("::1"), ServerName::IpAddress(_)));
        assert_eq!(server_name("not a name").to_str(), "host.invalid");
    }
}
