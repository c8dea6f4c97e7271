//! An authority of the test's own, a server certificate for `localhost` and 127.0.0.1, and a client certificate.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

/// PEM files in one folder.
#[derive(Debug, Clone)]
pub struct Certificates {
    /// The authority's certificate.
    pub ca: PathBuf,
    /// An authority that signed nothing here: who trusts only this one must refuse the server.
    pub stranger_ca: PathBuf,
    /// The server's certificate, for `localhost` and 127.0.0.1.
    pub server_certificate: PathBuf,
    /// Its key.
    pub server_key: PathBuf,
    /// A client's certificate.
    pub client_certificate: PathBuf,
    /// Its key.
    pub client_key: PathBuf,
}

impl Certificates {
    /// Makes them all in `folder`; `role` is the client certificate's common name.
    pub fn make(folder: &Path, role: &str) -> anyhow::Result<Self> {
        let (ca_pem, ca) = authority("Howdah test authority")?;
        let (stranger_pem, _) = authority("Howdah test stranger")?;

        let server_key = KeyPair::generate()?;
        let mut server = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        server.distinguished_name.push(DnType::CommonName, "localhost");
        server
            .extended_key_usages
            .push(ExtendedKeyUsagePurpose::ServerAuth);
        let server = server.signed_by(&server_key, &ca)?;

        let client_key = KeyPair::generate()?;
        let mut client = CertificateParams::new(Vec::new())?;
        client.distinguished_name.push(DnType::CommonName, role);
        client
            .extended_key_usages
            .push(ExtendedKeyUsagePurpose::ClientAuth);
        let client = client.signed_by(&client_key, &ca)?;

        let write = |name: &str, text: &str| -> anyhow::Result<PathBuf> {
            let path = folder.join(name);
            fs::write(&path, text)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
            Ok(path)
        };
        Ok(Self {
            ca: write("ca.pem", &ca_pem)?,
            stranger_ca: write("stranger.pem", &stranger_pem)?,
            server_certificate: write("server.pem", &server.pem())?,
            server_key: write("server.key", &server_key.serialize_pem())?,
            client_certificate: write("client.pem", &client.pem())?,
            client_key: write("client.key", &client_key.serialize_pem())?,
        })
    }
}

fn authority(name: &str) -> anyhow::Result<(String, Issuer<'static, KeyPair>)> {
    let key = KeyPair::generate()?;
    let mut parameters = CertificateParams::new(Vec::new())?;
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = parameters.self_signed(&key)?;
    Ok((certificate.pem(), Issuer::new(parameters, key)))
}
