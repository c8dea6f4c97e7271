//! An FTP server and how to get in: connecting, logging in, and connections that are kept for the next call. It knows no
//! backup.

use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use howdah_domain::destination::{FtpPlace, FtpTls};
use howdah_domain::{Place, Secret};
use rustls::ClientConfig;
use socket2::{SockRef, TcpKeepalive};
use suppaftp::tokio::AsyncRustlsFtpStream;
use suppaftp::types::FileType;
use suppaftp::{Encoding, FtpError, FtpResult, Status};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::error::{Doing, Trouble, meaning};
use super::session::{Dialled, Session};
use super::tls::{self, Connector, Handshakes};
use crate::patience::{Patience, Silence};
use crate::{Error, MissingWhy};

/// Connections that are kept for the next call.
const KEPT: usize = 2;
/// One that was not used for so long is asked whether it still stands.
const STALE: Duration = Duration::from_secs(2);
/// How often the system makes sure of a silent connection: routers forget some after a few minutes.
const KEEPALIVE: Duration = Duration::from_secs(45);
/// What stands for the password until the command is put on the wire.
const VEIL: &str = "********";
/// What people without an account say (RFC 1635).
const ANONYMOUS: &str = "anonymous";

/// A folder on an FTP server.
pub(super) struct Server {
    /// The place as people know it.
    pub(super) name: String,
    host: String,
    port: u16,
    user: String,
    secret: Secret,
    path: String,
    encryption: FtpTls,
    config: ClientConfig,
    pub(super) patience: Patience,
    kept: Mutex<Vec<Session>>,
    lacks_epsv: AtomicBool,
    lacks_mlsd: AtomicBool,
}

impl Server {
    /// Reads the certificate file, and asks nobody.
    pub(super) fn new(place: &FtpPlace, secret: Option<&Secret>, patience: Patience) -> Result<Self, Error> {
        let user = place.user.clone().unwrap_or_else(|| ANONYMOUS.to_owned());
        let secret = match secret {
            Some(secret) => secret.clone(),
            None if user == ANONYMOUS => Secret::new("anonymous@"),
            None => Secret::new(""),
        };
        // A line break would begin another command.
        for (what, text) in [
            ("host", place.host.as_str()),
            ("user", &user),
            ("password", secret.expose()),
            ("folder", &place.path),
        ] {
            if text.chars().any(char::is_control) {
                return Err(Error::Misconfigured {
                    why: format!("The {what} of the FTP destination holds a control character."),
                });
            }
        }
        let usual_port = if place.tls == FtpTls::Implicit { 990 } else { 21 };
        Ok(Self {
            name: Place::Ftp(place.clone()).to_string(),
            host: place.host.clone(),
            port: place.port.unwrap_or(usual_port),
            user,
            secret,
            path: place.path.clone(),
            encryption: place.tls,
            config: tls::config(place.ca_file.as_deref())?,
            patience,
            kept: Mutex::default(),
            lacks_epsv: AtomicBool::new(false),
            lacks_mlsd: AtomicBool::new(false),
        })
    }

    pub(super) fn meaning(&self, doing: Doing, at: &str, trouble: Trouble) -> Error {
        meaning(&self.name, doing, at, trouble)
    }

    /// The folder is not there.
    pub(super) fn missing(&self) -> Error {
        Error::missing(&self.name, MissingWhy::NoFolder)
    }

    /// A connection in the destination's folder: one that was kept, or a new one.
    pub(super) async fn lease(self: &Arc<Self>) -> Result<Lease, Error> {
        loop {
            let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some(session) = kept else { break };
            let mut lease = self.lend(session);
            if lease.used.elapsed() < STALE || lease.is_alive().await {
                return Ok(lease);
            }
        }
        let mut lease = self.log_in().await?;
        if self.find_root(&mut lease).await? {
            Ok(lease)
        } else {
            Err(self.missing())
        }
    }

    fn lend(self: &Arc<Self>, session: Session) -> Lease {
        Lease {
            session: Some(session),
            server: Arc::clone(self),
        }
    }

    /// Goes into the destination's folder and learns its absolute path; `false` where it is not there.
    async fn find_root(&self, session: &mut Session) -> Result<bool, Error> {
        let fail = |trouble| self.meaning(Doing::LoggingIn, "", trouble);
        // An empty path, or `.`, is where the server puts us.
        if !matches!(self.path.as_str(), "" | ".") {
            let there = session
                .enter(self.path.trim_end_matches('/'))
                .await
                .map_err(fail)?;
            if !there {
                return Ok(false);
            }
        }
        let root = session.folder().await.map_err(fail)?;
        if root.chars().any(char::is_control) {
            return Err(self.missing());
        }
        session.root = Some(root.trim_end_matches('/').to_owned());
        Ok(true)
    }

    /// A new connection in the destination's folder, which is made where it is not there.
    pub(super) async fn prepare(self: &Arc<Self>) -> Result<Lease, Error> {
        let mut lease = self.log_in().await?;
        if self.find_root(&mut lease).await? {
            return Ok(lease);
        }
        let mut so_far = String::new();
        let mut refusal = None;
        for part in self.path.split('/') {
            if !part.is_empty() || so_far.is_empty() {
                so_far.push_str(part);
                // Most of them are there; what counts is whether the last one is, in the end.
                if !part.is_empty()
                    && let Err(trouble) = lease.make_folder(&so_far).await
                {
                    if trouble.code().is_none() {
                        return Err(self.meaning(Doing::MakingFolder, &so_far, trouble));
                    }
                    refusal = Some((so_far.clone(), trouble));
                }
                so_far.push('/');
            }
        }
        if self.find_root(&mut lease).await? {
            return Ok(lease);
        }
        Err(match refusal {
            Some((folder, trouble)) => self.meaning(Doing::MakingFolder, &folder, trouble),
            None => self.missing(),
        })
    }

    /// A new connection, where the server puts us.
    async fn log_in(self: &Arc<Self>) -> Result<Lease, Error> {
        let handshakes = Arc::new(Handshakes::default());
        let dialled = Arc::new(Dialled::default());
        let ftp = match timeout(self.patience.connect, self.connect(&handshakes, &dialled)).await {
            Ok(connected) => connected?,
            Err(_) => {
                let silence = Silence {
                    what: "no connection",
                    after: self.patience.connect,
                };
                return Err(self.meaning(Doing::LoggingIn, "", silence.into()));
            }
        };
        let mut session = Session::new(ftp, handshakes, dialled, self.patience.clone());
        session.has_epsv = !self.lacks_epsv.load(Ordering::Relaxed);
        session.has_mlsd = !self.lacks_mlsd.load(Ordering::Relaxed);
        self.authenticate(&mut session)
            .await
            .map_err(|trouble| self.without_secret(trouble))?;
        Ok(self.lend(session))
    }

    async fn connect(
        &self,
        handshakes: &Arc<Handshakes>,
        dialled: &Arc<Dialled>,
    ) -> Result<AsyncRustlsFtpStream, Error> {
        let fail = |error| self.meaning(Doing::LoggingIn, "", Trouble::from_library(error, handshakes));
        let connector = Connector::new(&self.config, Arc::clone(handshakes));
        let address = (self.host.as_str(), self.port);
        let mut ftp = if self.encryption == FtpTls::Implicit {
            AsyncRustlsFtpStream::connect_secure_implicit(address, connector, &self.host)
                .await
                .map_err(fail)?
        } else {
            let stream = TcpStream::connect(address)
                .await
                .map_err(|error| self.meaning(Doing::LoggingIn, "", Trouble::from_io(error)))?;
            let ftp = AsyncRustlsFtpStream::connect_with_stream(stream)
                .await
                .map_err(fail)?;
            if self.encryption == FtpTls::None {
                ftp
            } else {
                match ftp.into_secure(connector, &self.host).await {
                    Ok(ftp) => ftp,
                    Err(error @ FtpError::UnexpectedResponse(_)) => {
                        let refusal = Trouble::from_library(error, handshakes);
                        return Err(if refusal.code() == Some(421) {
                            self.meaning(Doing::LoggingIn, "", refusal)
                        } else {
                            self.no_tls(&refusal)
                        });
                    }
                    Err(error) => return Err(fail(error)),
                }
            }
        };
        keep_alive(&*ftp.get_ref().await);
        // Never the address that PASV answers with: it may be one behind a router, or somebody else's.
        ftp.set_passive_nat_workaround(true);
        let (patience, dialled) = (self.patience.connect, Arc::clone(dialled));
        Ok(ftp.passive_stream_builder(move |address| {
            let dialled = Arc::clone(&dialled);
            dialled.asked.store(true, Ordering::Relaxed);
            let dial = async move {
                let error = match timeout(patience, TcpStream::connect(address)).await {
                    Ok(Ok(stream)) => {
                        keep_alive(&stream);
                        return Ok(stream);
                    }
                    Ok(Err(error)) => error,
                    Err(_) => std::io::ErrorKind::TimedOut.into(),
                };
                dialled.failed.store(true, Ordering::Relaxed);
                Err(FtpError::ConnectionError(error))
            };
            Box::pin(dial) as Pin<Box<dyn Future<Output = FtpResult<TcpStream>> + Send + Sync>>
        }))
    }

    fn no_tls(&self, refusal: &Trouble) -> Error {
        Error::Misconfigured {
            why: format!(
                "{} does not encrypt as it is asked to ({refusal}). Allow TLS for commands and data on the server, or \
                 choose the other kind of TLS; without it the password and the backups can be read on the way.",
                self.name
            ),
        }
    }

    async fn authenticate(&self, session: &mut Session) -> Result<(), Error> {
        let fail = |trouble| self.meaning(Doing::LoggingIn, "", trouble);
        let patience = session.asking();
        let ftp = session.library();
        // The library writes every command into its log, where a password must not be.
        ftp.set_encoding(Unveiling(self.secret.clone())).await;
        let answer = timeout(patience, ftp.login(self.user.as_str(), VEIL)).await;
        ftp.set_encoding(suppaftp::Utf8Encoding).await;
        session.answered(answer).map_err(fail)?;
        if self.encryption == FtpTls::Implicit {
            // Some servers know no PBSZ where there is nothing to agree on. One that knows no PROT leaves the data in the clear.
            for (command, matters) in [("PBSZ 0", false), ("PROT P", true)] {
                match session.ask(command, &[Status::CommandOk]).await {
                    Err(trouble) if trouble.code().is_none_or(|code| code == 421) => {
                        return Err(fail(trouble));
                    }
                    Err(trouble) if matters => return Err(self.no_tls(&trouble)),
                    _ => {}
                }
            }
        }
        // Those that do not know it mostly take names as they are.
        match session
            .ask(
                "OPTS UTF8 ON",
                &[Status::CommandOk, Status::CommandNotImplemented],
            )
            .await
        {
            Err(trouble) if trouble.code().is_none_or(|code| code == 421) => return Err(fail(trouble)),
            _ => {}
        }
        let patience = session.asking();
        let answer = timeout(patience, session.library().transfer_type(FileType::Binary)).await;
        session.answered(answer).map_err(fail)
    }

    /// A server may repeat what it was told.
    fn without_secret(&self, error: Error) -> Error {
        match error {
            Error::Denied { place, what, source }
                if !self.secret.is_empty() && source.to_string().contains(self.secret.expose()) =>
            {
                Error::Denied {
                    place,
                    what,
                    source: source.to_string().replace(self.secret.expose(), VEIL).into(),
                }
            }
            error => error,
        }
    }
}

/// Lets the system make sure of a connection that is silent. Where it cannot, nothing is lost.
fn keep_alive(stream: &TcpStream) {
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE);
    let _ = SockRef::from(stream).set_tcp_keepalive(&keepalive);
}

/// Puts the password in when the command is put on the wire.
#[derive(Debug)]
struct Unveiling(Secret);

impl Encoding for Unveiling {
    fn decode(&self, bytes: &[u8]) -> String {
        String::from_utf8_lossy(bytes).into_owned()
    }

    fn encode(&self, text: &str) -> std::io::Result<Vec<u8>> {
        if text == format!("PASS {VEIL}\r\n") {
            return Ok(format!("PASS {}\r\n", self.0.expose()).into_bytes());
        }
        Ok(text.as_bytes().to_vec())
    }
}

/// A connection for one call; afterwards it is kept for the next, if it is in step.
pub(super) struct Lease {
    session: Option<Session>,
    server: Arc<Server>,
}

impl Deref for Lease {
    type Target = Session;

    fn deref(&self) -> &Session {
        self.session
            .as_ref()
            .expect("BUG: a lease has its session until it is dropped")
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut Session {
        self.session
            .as_mut()
            .expect("BUG: a lease has its session until it is dropped")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(session) = self.session.take() else {
            return;
        };
        self.server.lacks_epsv.store(!session.has_epsv, Ordering::Relaxed);
        self.server.lacks_mlsd.store(!session.has_mlsd, Ordering::Relaxed);
        // Without its folder it was on the way in only.
        let mut kept = self.server.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if session.is_in_step() && session.root.is_some() && kept.len() < KEPT {
            kept.push(session);
        }
    }
}

#[cfg(test)]
mod tests {
    use howdah_testkit::certificates::Certificates;
    use howdah_testkit::ftpd::Ftpd;
    use howdah_testkit::rclone::{PASSWORD, USER};

    use super::*;

    #[test]
    fn the_password_is_put_into_one_command_only() {
        let veiled = Unveiling(Secret::new("secret"));
        assert_eq!(veiled.encode("PASS ********\r\n").unwrap(), b"PASS secret\r\n");
        assert_eq!(veiled.encode("USER ********\r\n").unwrap(), b"USER ********\r\n");
        assert!(!format!("{veiled:?}").contains("secret"));
    }

    #[tokio::test]
    async fn data_connections_resume_the_tls_session_of_their_control_connection() {
        let directory = tempfile::tempdir().unwrap();
        let certificates = Certificates::make(directory.path(), USER).unwrap();
        let ftpd = Ftpd::with_tls(&certificates, &[]).unwrap();
        let place = FtpPlace {
            host: "localhost".to_owned(),
            port: Some(ftpd.port()),
            user: Some(USER.to_owned()),
            ca_file: Some(certificates.ca),
            ..FtpPlace::default()
        };
        let secret = Secret::new(PASSWORD);
        let server = Arc::new(Server::new(&place, Some(&secret), Patience::default()).unwrap());
        let mut lease = server.prepare().await.unwrap();
        assert_eq!(lease.resumed(), 0);
        for number in 1..4 {
            lease.list().await.unwrap();
            assert_eq!(lease.resumed(), number);
        }
        // Another connection has sessions of its own.
        assert_eq!(server.prepare().await.unwrap().resumed(), 0);
    }
}
