//! TLS of FTP connections: what is trusted, and that data connections resume the session of their control connection, which
//! some servers demand (so that nobody else can take the data's place). It knows no command.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use rustls::client::Resumption;
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use rustls_pki_types::ServerName;
use suppaftp::tokio::{AsyncRustlsStream, AsyncTlsConnector};
use suppaftp::{FtpError, FtpResult};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::{Error, authorities};

/// Sessions that a control connection remembers.
const SESSIONS: usize = 8;

/// A configuration that trusts the system's authorities and those of a PEM file.
pub(super) fn config(ca_file: Option<&Path>) -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(file) = ca_file {
        let (added, _) = roots.add_parsable_certificates(authorities::read(file)?);
        if added == 0 {
            return Err(authorities::unusable(file, "it holds no certificate"));
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Misconfigured {
            why: format!("TLS cannot be set up: {error}."),
        })?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

/// What is known of the handshakes of one control connection and its data connections.
#[derive(Debug, Default)]
pub(super) struct Handshakes {
    /// How the last one failed. The FTP library hands on its words only, and we must know its kind.
    failure: Mutex<Option<io::Error>>,
    /// How many resumed an earlier session.
    resumed: AtomicU32,
}

impl Handshakes {
    /// How the last handshake failed, if it did.
    pub(super) fn take_failure(&self) -> Option<io::Error> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// How many resumed an earlier session.
    #[cfg(test)]
    pub(super) fn resumed(&self) -> u32 {
        self.resumed.load(Ordering::Relaxed)
    }
}

/// Makes the TLS of one control connection and of its data connections.
pub(super) struct Connector {
    tls: TlsConnector,
    handshakes: Arc<Handshakes>,
}

impl Connector {
    /// One that remembers its own sessions only: a server that demands resumption wants the session of the very connection
    /// that the transfer was asked for on.
    pub(super) fn new(config: &ClientConfig, handshakes: Arc<Handshakes>) -> Self {
        let mut config = config.clone();
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        Self {
            tls: TlsConnector::from(Arc::new(config)),
            handshakes,
        }
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

#[async_trait]
impl AsyncTlsConnector for Connector {
    type Stream = AsyncRustlsStream;

    async fn connect(&self, domain: &str, stream: TcpStream) -> FtpResult<AsyncRustlsStream> {
        let name = ServerName::try_from(domain.to_owned())
            .map_err(|error| FtpError::SecureError(error.to_string()))?;
        match self.tls.connect(name, stream).await {
            Ok(stream) => {
                if stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed) {
                    self.handshakes.resumed.fetch_add(1, Ordering::Relaxed);
                }
                Ok(stream.into())
            }
            Err(error) => {
                let words = error.to_string();
                *self
                    .handshakes
                    .failure
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner) = Some(error);
                Err(FtpError::SecureError(words))
            }
        }
    }
}
