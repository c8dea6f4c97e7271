//! The certificate file of a place: the authorities that vouch for a server where the system's do not. It knows no TLS client.

use std::fmt;
use std::path::Path;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::Error;

/// The certificates of a PEM file, of which there is at least one.
///
/// # Errors
/// [`Error::Misconfigured`] where the file cannot be read, is no PEM, or holds none.
pub(crate) fn read(file: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let pem = std::fs::read(file).map_err(|error| unusable(file, error))?;
    let found = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unusable(file, error))?;
    if found.is_empty() {
        return Err(unusable(file, "it holds no certificate"));
    }
    Ok(found)
}

/// A file whose certificates are of no use.
pub(crate) fn unusable(file: &Path, why: impl fmt::Display) -> Error {
    Error::Misconfigured {
        why: format!(
            "The certificate file {} cannot be used: {why}. It must be a PEM file with the authority's certificate.",
            file.display()
        ),
    }
}
