//! TLS as libpq's `sslmode` means it, on rustls with aws-lc-rs: what is verified in which mode, own authorities,
//! client certificates, and what was agreed on. Knows nothing of PostgreSQL's protocol before or after the handshake.
//!
//! How a certificate is verified stands in [`crate::certificate`].

use std::path::Path;
use std::sync::Arc;

use howdah_domain::{Connection, Failure, FailureCode, Tls, TlsMode};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde::Serialize;

mod shared;

pub(crate) use shared::shared_config;

use crate::certificate::{Trust, Verifier};
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
    /// The names in the server's certificate as libpq before 15 reads them, where it was verified that it names the host.
    pub names: Option<Names>,
}

/// A certificate's names as libpq before 15 compares them with the host: DNS names or, where there is none, the common
/// name; never an address (`pgtls_verify_peer_name_matches_certificate_guts` in fe-secure-openssl.c of 13 and 14).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Names {
    /// The names.
    pub names: Vec<String>,
    /// Whether one of them is the host.
    pub have_host: bool,
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
            names: None,
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

/// The first major whose libpq looks for the host's address among a certificate's addresses.
const KNOWS_ADDRESSES: u16 = 15;

/// Why the programs of `client_major` would refuse a certificate that Howdah itself accepts, if they would: those of 13 and
/// 14 do not find an address in it.
pub fn refused_by_client(connection: &Connection, state: &TlsState, client_major: u16) -> Option<Failure> {
    let names = state.names.as_ref()?;
    if client_major >= KNOWS_ADDRESSES || names.have_host {
        return None;
    }
    let host = &connection.host;
    let instead = match names.names.as_slice() {
        [] => "Have the certificate name a host and use that name".to_owned(),
        names => format!(
            "Connect by a host name that the certificate names ({}); where it does not resolve, a line in /etc/hosts does",
            names.join(", ")
        ),
    };
    Some(
        Failure::new(
            FailureCode::TlsUntrusted,
            format!(
                "The certificate names {host} as an address only, and PostgreSQL {client_major}'s own programs look for names: pg_dump would refuse the connection."
            ),
        )
        .hint(format!("{instead}. Or use TLS mode verify-ca, if the authority signs for nobody else.")),
    )
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
    let verifier = Verifier {
        algorithms: provider.signature_verification_algorithms,
        trust: trust(tls)?,
        name: verified_by(tls) == Verified::AuthorityAndName,
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| internal(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    match (&tls.certificate_file, &tls.key_file) {
        (None, None) => Ok(builder.with_no_client_auth()),
        (Some(certificate), Some(key_file)) => {
            let chain = certificates(certificate, "client certificate")?;
            closed_to_others(key_file)?;
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

/// Refuses a key that others may read, as libpq does (13 to 18): the pg_dump that follows would.
#[cfg(unix)]
fn closed_to_others(key_file: &Path) -> Result<(), Error> {
    use std::os::unix::fs::MetadataExt as _;
    // Where it cannot be looked at, reading it says why.
    let Ok(found) = std::fs::metadata(key_file) else {
        return Ok(());
    };
    // A key of root's may be read by its group, so that services can share it.
    let forbidden = if found.uid() == 0 { 0o037 } else { 0o077 };
    if found.mode() & forbidden == 0 {
        return Ok(());
    }
    Err(
        unusable(key_file, "client key", "other users of this machine can read it")
            .hint(format!(
                "pg_dump refuses such a key. Close it: chmod 600 {}",
                key_file.display()
            ))
            .into(),
    )
}

#[cfg(not(unix))]
fn closed_to_others(_key_file: &Path) -> Result<(), Error> {
    Ok(())
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

/// What the mode trusts; none where it takes whatever is presented.
fn trust(tls: &Tls) -> Result<Option<Trust>, Error> {
    if verified_by(tls) == Verified::Nothing {
        return Ok(None);
    }
    let mut roots = RootCertStore::empty();
    let Some(path) = &tls.ca_file else {
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
        return Ok(Some(Trust {
            roots,
            own: Vec::new(),
        }));
    };
    let own = certificates(path, "CA file")?;
    // Those that webpki cannot take as anchors (X.509 version 1) are looked at one by one.
    roots.add_parsable_certificates(own.iter().cloned());
    Ok(Some(Trust { roots, own }))
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
    let place = words::place_first(connection);
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

/// Webpki's word for it has no name in rustls.
fn is_version_1(certificate: &CertificateError) -> bool {
    matches!(certificate, CertificateError::BadEncoding)
        || format!("{certificate:?}").contains("UnsupportedCertVersion")
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
        certificate if is_version_1(certificate) => Failure::new(
            code,
            format!("The certificate of {host} is of X.509 version 1, and no authority in the CA file has signed it."),
        )
        .hint("Give the CA file of the authority that signed it, or have it made anew with extensions (X.509 v3)."),
        _ => words::connecting(code, connection),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

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
