//! One session with one SSH server: its beginning, what can be opened in it, and how it ended.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use howdah_domain::Secret;
use howdah_domain::destination::SshLogin;
use russh::client::{self, DisconnectReason, Handle, Msg};
use russh::keys::{PublicKey, PublicKeyOrCertificate};
use russh::{Channel, ChannelId, ChannelMsg, ChannelOpenFailure};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::config::Settings;
use crate::cut::Cut;
use crate::known_hosts::Known;
use crate::login::Login;
use crate::route::Options;
use crate::{ChannelStream, Error, Far};

/// How long a login may take: an agent may ask its user, PAM may be slow.
const LOGIN_PATIENCE: Duration = Duration::from_secs(60);
/// How long the server may take to reach the far end of a forwarded connection, or to start a program.
const CHANNEL_PATIENCE: Duration = Duration::from_secs(30);
/// Between the starts of attempts at a name's addresses (RFC 8305).
const STAGGER: Duration = Duration::from_millis(250);
/// How long a session that has ended is waited for to say why.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A session. Dropping it closes the connection.
pub struct Session {
    handle: Handle<Visitor>,
    host: String,
    fate: Arc<Fate>,
    _cut: DropGuard,
    /// The session that this one's bytes travel through.
    _below: Option<Box<Session>>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("host", &self.host)
            .field("is_over", &self.is_over())
            .finish_non_exhaustive()
    }
}

/// What is heard of a session while it lasts.
#[derive(Debug, Default)]
struct Fate {
    /// Cancelled when the session has ended.
    over: CancellationToken,
    /// How it ended.
    why: OnceLock<Error>,
    /// The server's words about the newest channel that it did not open.
    refusal: Mutex<String>,
}

/// Listens to the library.
pub(crate) struct Visitor {
    host: String,
    known: Known,
    fate: Arc<Fate>,
    _over: DropGuard,
}

impl client::Handler for Visitor {
    type Error = Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Error> {
        let key: &PublicKey = match shown {
            PublicKeyOrCertificate::PublicKey { key, .. } => key,
            // None was asked for.
            PublicKeyOrCertificate::Certificate(_) => return Ok(false),
        };
        self.known.check(key)?;
        Ok(true)
    }

    async fn channel_open_failure(
        &mut self,
        _: ChannelId,
        _: ChannelOpenFailure,
        description: &str,
        _: &str,
        _: &mut client::Session,
    ) -> Result<(), Error> {
        let plain = description
            .chars()
            .filter(|c| !c.is_control())
            .take(200)
            .collect();
        *self.fate.refusal.lock().unwrap_or_else(PoisonError::into_inner) = plain;
        Ok(())
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Error>) -> Result<(), Error> {
        let error = match reason {
            DisconnectReason::ReceivedDisconnect(said) => Error::Lost {
                host: self.host.clone(),
                why: format!("the server ended it: {}", said.message),
            },
            DisconnectReason::Error(error) => error.at(&self.host),
        };
        // The first word counts.
        let _ = self.fate.why.set(error.clone());
        Err(error)
    }
}

impl Error {
    /// Fills in the host of an error that came out of the library.
    fn at(self, name: &str) -> Self {
        match self {
            Self::Lost { host, why } if host.is_empty() => Self::Lost {
                host: name.to_owned(),
                why,
            },
            Self::Protocol { host, why } if host.is_empty() => Self::Protocol {
                host: name.to_owned(),
                why,
            },
            other => other,
        }
    }
}

/// What a session is begun with.
pub(crate) struct Beginning<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) login: &'a SshLogin,
    pub(crate) secret: Option<&'a Secret>,
    pub(crate) options: &'a Options,
}

impl Beginning<'_> {
    /// Connects, through `below` where there is one, checks the host's key and logs in.
    pub(crate) async fn session(self, below: Option<Session>) -> Result<Session, Error> {
        let Self {
            settings,
            login,
            secret,
            options,
        } = self;
        let host = settings.display();
        let patience = options.connect_timeout;
        let cut = CancellationToken::new();
        // From here on whatever ends this future ends the library's task, too.
        let guard = cut.clone().drop_guard();
        let fate = Arc::new(Fate::default());
        let connecting = async {
            let stream: Pin<Box<dyn Stream>> = match &below {
                None => Box::pin(dial(settings).await?),
                Some(below) => {
                    let far = Far::Tcp {
                        host: settings.host.clone(),
                        port: settings.port,
                    };
                    Box::pin(below.open(&far).await?)
                }
            };
            let known = known(settings, options).await?;
            let config = client::Config {
                preferred: russh::Preferred {
                    key: known.preferred().into(),
                    ..russh::Preferred::DEFAULT
                },
                keepalive_interval: Some(options.keepalive),
                keepalive_max: 3,
                ..client::Config::default()
            };
            let visitor = Visitor {
                host: host.clone(),
                known,
                fate: Arc::clone(&fate),
                _over: fate.over.clone().drop_guard(),
            };
            client::connect_stream(Arc::new(config), Cut::new(stream, &cut), visitor)
                .await
                .map_err(|error| not_ssh(error.at(&host)))
        };
        let connecting = tokio::time::timeout(patience, Box::pin(connecting));
        let mut handle = connecting.await.map_err(|_| Error::Timeout {
            host: host.clone(),
            after: patience,
        })??;
        let login = Box::pin(Login::new(&mut handle, settings).run(login, secret));
        tokio::time::timeout(LOGIN_PATIENCE, login)
            .await
            .map_err(|_| Error::Timeout {
                host: host.clone(),
                after: LOGIN_PATIENCE,
            })??;
        Ok(Session {
            handle,
            host,
            fate,
            _cut: guard,
            _below: below.map(Box::new),
        })
    }
}

/// A stream that ends before it has said that it is SSH is not an SSH server's.
fn not_ssh(error: Error) -> Error {
    match error {
        Error::Lost { host, why } => Error::Lost {
            host,
            why: format!("while the session was being made, {why}"),
        },
        other => other,
    }
}

/// What a session can be held over.
trait Stream: AsyncRead + AsyncWrite + Send {}
impl<S: AsyncRead + AsyncWrite + Send> Stream for S {}

async fn known(settings: &Settings, options: &Options) -> Result<Known, Error> {
    let host = settings.host_key_alias.clone();
    // With an alias ssh leaves the port out.
    let (host, port) = host.map_or((settings.host.clone(), settings.port), |alias| {
        (alias, crate::config::DEFAULT_PORT)
    });
    let files: Vec<_> = options
        .known_hosts
        .iter()
        .chain(&settings.known_hosts)
        .cloned()
        .collect();
    let reading = tokio::task::spawn_blocking(move || Known::read(&host, port, &files));
    reading.await.expect("BUG: reading known_hosts does not panic")
}

/// Opens a connection to whichever of the host's addresses answers first.
async fn dial(settings: &Settings) -> Result<TcpStream, Error> {
    let host = settings.host.as_str();
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host((host, settings.port))
        .await
        .map_err(|source| Error::HostNotFound {
            host: host.to_owned(),
            source: Arc::new(source),
        })?
        .take(16)
        .collect();
    let mut attempts = JoinSet::new();
    for (begins, address) in (0_u32..).zip(addresses) {
        attempts.spawn(async move {
            tokio::time::sleep(STAGGER * begins).await;
            TcpStream::connect(address).await
        });
    }
    let mut refusal = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
    while let Some(attempt) = attempts.join_next().await {
        match attempt {
            Ok(Ok(stream)) => {
                let kept = stream.set_nodelay(true).and_then(|()| {
                    let keepalive = socket2::TcpKeepalive::new().with_time(Duration::from_secs(30));
                    socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive)
                });
                if let Err(error) = kept {
                    tracing::debug!(%error, "a connection's options were not set");
                }
                return Ok(stream);
            }
            Ok(Err(error)) => refusal = error,
            Err(_) => {}
        }
    }
    Err(Error::Unreachable {
        host: settings.display(),
        source: Arc::new(refusal),
    })
}

impl Session {
    /// The server, `host` or `host:port`, for messages.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whether the session has ended.
    pub fn is_over(&self) -> bool {
        self.fate.over.is_cancelled() || self.handle.is_closed()
    }

    /// Waits until the session has ended, and says how.
    pub async fn over(&self) -> Error {
        self.fate.over.cancelled().await;
        self.why()
    }

    fn why(&self) -> Error {
        self.fate.why.get().cloned().unwrap_or_else(|| Error::Lost {
            host: self.host.clone(),
            why: "the server closed it".to_owned(),
        })
    }

    /// Opens a connection to something that the server can reach.
    ///
    /// # Errors
    /// [`Error::Refused`] where the server does not; [`Error::Lost`] where the session has ended.
    pub async fn open(&self, far: &Far) -> Result<ChannelStream, Error> {
        let what = format!("connect to {far}");
        let opening = async {
            match far {
                Far::Tcp { host, port } => {
                    let port = u32::from(*port);
                    self.handle
                        .channel_open_direct_tcpip(host.as_str(), port, "127.0.0.1", 0)
                        .await
                }
                Far::Socket { path } => self.handle.channel_open_direct_streamlocal(path.as_str()).await,
            }
        };
        Ok(self.opened(&what, opening).await?.into_stream())
    }

    /// Starts a subsystem of the server, `sftp`.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub async fn subsystem(&self, name: &str) -> Result<ChannelStream, Error> {
        let what = format!("start {name}");
        let mut channel = self.opened(&what, self.handle.channel_open_session()).await?;
        let started = async {
            channel.request_subsystem(true, name).await.ok()?;
            loop {
                match channel.wait().await? {
                    ChannelMsg::Success => return Some(true),
                    ChannelMsg::Failure | ChannelMsg::Close | ChannelMsg::Eof => return Some(false),
                    _ => {}
                }
            }
        };
        match tokio::time::timeout(CHANNEL_PATIENCE, started).await {
            Ok(Some(true)) => Ok(channel.into_stream()),
            Ok(Some(false)) => Err(self.refused(what, "it has no such subsystem".to_owned(), false)),
            Ok(None) => Err(self.last_words().await),
            Err(_) => Err(self.refused(what, "it does not answer".to_owned(), true)),
        }
    }

    async fn opened(
        &self,
        what: &str,
        opening: impl Future<Output = Result<Channel<Msg>, russh::Error>>,
    ) -> Result<Channel<Msg>, Error> {
        let opened = tokio::time::timeout(CHANNEL_PATIENCE, opening).await;
        let failure = match opened {
            Ok(Ok(channel)) => return Ok(channel),
            Ok(Err(russh::Error::ChannelOpenFailure(failure))) => failure,
            Ok(Err(_)) => return Err(self.last_words().await),
            Err(_) => return Err(self.refused(what.to_owned(), "it does not answer".to_owned(), true)),
        };
        let said = self
            .fate
            .refusal
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let with = |words: &str| {
            if said.is_empty() {
                words.to_owned()
            } else {
                format!("{words} ({said})")
            }
        };
        let (why, nobody_there) = match failure {
            ChannelOpenFailure::ConnectFailed => (with("nobody answers there"), true),
            ChannelOpenFailure::AdministrativelyProhibited => (with("it is not permitted"), false),
            ChannelOpenFailure::ResourceShortage => (with("it has no room for it now"), true),
            ChannelOpenFailure::UnknownChannelType => (with("it does not know how"), false),
            ChannelOpenFailure::Other { reason, .. } => (with(&reason), false),
        };
        Err(self.refused(what.to_owned(), why, nobody_there))
    }

    fn refused(&self, what: String, why: String, nobody_there: bool) -> Error {
        Error::Refused {
            host: self.host.clone(),
            what,
            why,
            nobody_there,
        }
    }

    /// How the session ended, which is known a moment after its channels are closed.
    pub(crate) async fn last_words(&self) -> Error {
        // It has ended or is about to; what it says meanwhile is what there is.
        let _ = tokio::time::timeout(LAST_WORDS, self.fate.over.cancelled()).await;
        self.why()
    }
}
