//! Which hosts a certificate names: as libpq from 15 on has it, and as it was before.

use rustls::server::ParsedCertificate;
use rustls_pki_types::{CertificateDer, ServerName};
use x509_cert::der::Decode;
use x509_cert::der::asn1::{PrintableStringRef, Utf8StringRef};
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::{Certificate, TbsCertificate};

use crate::tls::Names;

/// Whether the certificate names the host: by its subject alternative names, or, where it has none, by its common name
/// (PostgreSQL manual, "Client Verification of Server Certificates").
pub(super) fn names_host(
    cert: &CertificateDer<'_>,
    server_name: &ServerName<'_>,
) -> Result<(), rustls::Error> {
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
    common_name(&certificate)
}

/// A certificate's names as libpq before 15 compares them with `host`; none where the certificate cannot be read.
pub(crate) fn names_for_old_libpq(cert: &CertificateDer<'_>, host: &str) -> Option<Names> {
    let certificate = Certificate::from_der(cert).ok()?.tbs_certificate;
    let mut names = Vec::new();
    for extension in certificate.extensions.iter().flatten() {
        if extension.extn_id == SUBJECT_ALTERNATIVE_NAME {
            let alternatives = SubjectAltName::from_der(extension.extn_value.as_bytes()).ok()?;
            names.extend(alternatives.0.iter().filter_map(|name| match name {
                GeneralName::DnsName(name) => Some(name.to_string()),
                _ => None,
            }));
        }
    }
    if names.is_empty() {
        names.extend(common_name(&certificate));
    }
    let have_host = names.iter().any(|name| name_matches(name, host));
    Some(Names { names, have_host })
}

fn common_name(certificate: &TbsCertificate) -> Option<String> {
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

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use rustls_pki_types::pem::PemObject as _;

    use super::super::pem::*;
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
    #[case(VERSION_1, "db.example.com", &["db.example.com"], true)]
    #[case(VERSION_1, "10.0.0.5", &["db.example.com"], false)]
    #[case(ALTERNATIVE, "other.example.com", &["other.example.com"], true)]
    #[case(ALTERNATIVE, "db.example.com", &["other.example.com"], false)]
    fn old_libpq_looks_at_dns_names_or_else_at_the_common_name(
        #[case] presented: &str,
        #[case] host: &str,
        #[case] names: &[&str],
        #[case] have_host: bool,
    ) {
        let presented = CertificateDer::from_pem_slice(presented.as_bytes()).unwrap();
        let found = names_for_old_libpq(&presented, host).unwrap();
        assert_eq!(found.names, names);
        assert_eq!(found.have_host, have_host);
    }
}
