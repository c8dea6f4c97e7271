//! A conversation with a mail server, step by step: connect, encrypt, log in, hand over. Every step may last; whoever calls
//! limits the whole.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64;
use howdah_domain::channel::{MailMechanism, MailSecurity};
use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Auth, Data, Mail, Rcpt, Starttls};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};
use lettre::transport::smtp::response::Response;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::answer::{Phase, code};
use super::letter;
use super::trust::Trust;
use super::wire::Wire;
use super::{Login, Server};
use crate::{Delivered, Error, Message, shorten};

/// Characters of what is said of refused recipients.
const REMARK_LIMIT: usize = 2000;

impl Server {
    /// Connects, as securely as was asked for or not at all, and introduces itself.
    pub(super) async fn open(&self, connect_limit: Duration) -> Result<AsyncSmtpConnection, Error> {
        let trust = match self.security {
            MailSecurity::None => None,
            MailSecurity::StartTls | MailSecurity::Tls => Some(self.trust().await?),
        };
        let (stream, peer) = self.connect(connect_limit).await?;
        let hello = hello(&stream);
        match (self.security, trust) {
            (MailSecurity::Tls, Some(trust)) => {
                let stream = self.encrypt(stream, &trust).await?;
                self.greet(Wire::new(stream, peer), &hello).await
            }
            (MailSecurity::StartTls, Some(trust)) => {
                let wire = Wire::new(stream, peer);
                let handle = wire.share();
                let mut bare = self.greet(wire, &hello).await?;
                if !bare.server_info().supports_feature(Extension::StartTls) {
                    return Err(Error::Misconfigured {
                        message: format!(
                            "{} offers no STARTTLS, so nothing was sent.",
                            capital(&self.called())
                        ),
                        hint: "Choose TLS (usually port 465), or ask whoever runs the server.".to_owned(),
                    });
                }
                bare.command(Starttls)
                    .await
                    .map_err(|error| self.explain(&error, Phase::Mail))?;
                drop(bare);
                let stream = handle
                    .into_inner()
                    .ok_or_else(|| self.unreachable("the connection was lost"))?;
                let stream = self.encrypt(stream, &trust).await?;
                self.greet(Wire::greeted(stream, peer), &hello).await
            }
            (_, _) => self.greet(Wire::new(stream, peer), &hello).await,
        }
    }

    /// What verifies certificates; reading the system's takes a moment of the disk's time.
    async fn trust(&self) -> Result<Arc<Trust>, Error> {
        let pinned = self.trusted;
        tokio::task::spawn_blocking(move || Trust::load(pinned))
            .await
            .map_err(|error| self.unreachable(&error.to_string()))
    }

    async fn connect(&self, limit: Duration) -> Result<(TcpStream, SocketAddr), Error> {
        let too_late = || Error::Timeout {
            service: self.called(),
            limit,
        };
        let until = Instant::now() + limit;
        let addresses: Vec<SocketAddr> = timeout(limit, lookup_host((self.host.as_str(), self.port)))
            .await
            .map_err(|_| too_late())?
            .map_err(|error| self.unreachable(&error.to_string()))?
            .collect();
        let mut failure = self.unreachable("the name has no address");
        for (tried, address) in addresses.iter().enumerate() {
            // Each of them gets its share: one that swallows everything (a broken IPv6) must not take all the time.
            let shares = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
            let share = until.saturating_duration_since(Instant::now()) / shares;
            match timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok((stream, *address)),
                Ok(Err(error)) => failure = self.unreachable(&format!("{address}: {error}")),
                Err(_) => failure = too_late(),
            }
        }
        Err(failure)
    }

    async fn encrypt(&self, stream: TcpStream, trust: &Arc<Trust>) -> Result<TlsStream<TcpStream>, Error> {
        let config = trust
            .client_config()
            .map_err(|error| self.unreachable(&error.to_string()))?;
        TlsConnector::from(Arc::new(config))
            .connect(self.tls_name.clone(), stream)
            .await
            .map_err(|error| self.not_encrypted(&error, trust))
    }

    fn not_encrypted(&self, error: &io::Error, trust: &Trust) -> Error {
        let cause = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match cause {
            Some(rustls::Error::InvalidCertificate(reason)) => Error::Untrusted {
                service: self.called(),
                fingerprint: trust.refused(),
                details: trust.explain(reason),
            },
            Some(rustls::Error::InvalidMessage(_)) => Error::Misconfigured {
                message: format!("What answers on {}:{} does not speak TLS.", self.host, self.port),
                hint: "Choose STARTTLS (usually port 587), or the port for TLS (usually 465).".to_owned(),
            },
            Some(rustls::Error::PeerIncompatible(_) | rustls::Error::AlertReceived(_)) => {
                Error::Misconfigured {
                    message: format!(
                        "{} and Howdah have no TLS in common: {error}.",
                        capital(&self.called())
                    ),
                    hint: "The server must speak TLS 1.2 or newer.".to_owned(),
                }
            }
            _ => self.unreachable(&error.to_string()),
        }
    }

    /// Hears the server's greeting and introduces itself.
    async fn greet<S>(&self, wire: Wire<S>, hello: &ClientId) -> Result<AsyncSmtpConnection, Error>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let handle = wire.share();
        AsyncSmtpConnection::connect_with_transport(Box::new(wire), hello)
            .await
            .map_err(|error| {
                let ended = handle.has_ended();
                self.explain(&error, Phase::Greeting { ended })
            })
    }

    /// Logs in, where there is a login.
    pub(super) async fn log_in(&self, connection: &mut AsyncSmtpConnection) -> Result<(), Error> {
        let Some(login) = &self.login else { return Ok(()) };
        let wanted: &[Mechanism] = match login.mechanism {
            MailMechanism::Password => &[Mechanism::Plain, Mechanism::Login],
            MailMechanism::Plain => &[Mechanism::Plain],
            MailMechanism::Login => &[Mechanism::Login],
            MailMechanism::Xoauth2 => &[Mechanism::Xoauth2],
        };
        let Some(mechanism) = connection.server_info().get_auth_mechanism(wanted) else {
            return Err(self.no_way_in(login));
        };
        let secret = login.secret.expose();
        let credentials = Credentials::new(login.user.clone(), secret.to_owned());
        // What follows when the server asks (334). LOGIN's questions are worded in many ways, and always are these two. To
        // XOAUTH2's, which is an error in JSON, one answers nothing, and is then told no.
        let mut answers = match mechanism {
            Mechanism::Plain => Vec::new(),
            Mechanism::Login => vec![
                BASE64.encode(login.user.as_bytes()),
                BASE64.encode(secret.as_bytes()),
            ],
            Mechanism::Xoauth2 => vec![String::new()],
        }
        .into_iter();
        let denied = |error| self.explain(&error, Phase::Login);
        let first = Auth::new(mechanism, credentials, None).map_err(denied)?;
        let mut response = connection.command(first).await.map_err(denied)?;
        while response.has_code(334) {
            let Some(answer) = answers.next() else {
                return Err(self.no_way_in(login));
            };
            response = connection
                .command(format!("{answer}\r\n"))
                .await
                .map_err(denied)?;
        }
        Ok(())
    }

    fn no_way_in(&self, login: &Login) -> Error {
        let wanted = match login.mechanism {
            MailMechanism::Password => "neither PLAIN nor LOGIN",
            MailMechanism::Plain => "no PLAIN",
            MailMechanism::Login => "no LOGIN",
            MailMechanism::Xoauth2 => "no XOAUTH2",
        };
        let hint = match self.security {
            MailSecurity::None => "Most servers take logins only by TLS: choose STARTTLS or TLS.",
            _ => "Choose another way to log in, or leave the user empty if the server wants no login.",
        };
        Error::Misconfigured {
            message: format!("{} offers {wanted} to log in with.", capital(&self.called())),
            hint: hint.to_owned(),
        }
    }

    /// Hands a mail over for everybody whom the server takes.
    ///
    /// One attempt for all: whoever was refused for now (4xx) while others were taken is not tried again, since another
    /// attempt would reach those others twice. The remark says who did not get it. Only where nobody was taken, and somebody
    /// may be later, a later attempt makes sense.
    pub(super) async fn hand_over(
        &self,
        connection: &mut AsyncSmtpConnection,
        message: &Message,
        from: &Mailbox,
        to: &[Mailbox],
    ) -> Result<Delivered, Error> {
        let utf8 = connection.server_info().supports_feature(Extension::SmtpUtfEight);
        let mut turned_away = Refusals::default();
        let mut to = to.to_vec();
        if !utf8 {
            if !is_ascii(from) {
                return Err(Error::Refused {
                    service: self.called(),
                    details: format!("it takes no address with letters like those of {}", from.email),
                });
            }
            to.retain(|mailbox| {
                if !is_ascii(mailbox) {
                    turned_away.add(mailbox, "the server takes no address with such letters", false);
                }
                is_ascii(mailbox)
            });
        }
        let mut parameters = Vec::new();
        if !is_ascii(from) || !to.iter().all(is_ascii) {
            // Such an address stands in the mail's head too (RFC 6531, section 3.6).
            parameters.push(MailParameter::SmtpUtfEight);
            if connection.server_info().supports_feature(Extension::EightBitMime) {
                parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
            }
        }
        let refused = |error| self.explain(&error, Phase::Mail);
        if !to.is_empty() {
            connection
                .command(Mail::new(Some(from.email.clone()), parameters))
                .await
                .map_err(refused)?;
        }
        let mut taken = 0_usize;
        for mailbox in &to {
            match connection
                .command(Rcpt::new(mailbox.email.clone(), Vec::new()))
                .await
            {
                Ok(_) => taken += 1,
                Err(error) => match code(&error) {
                    // 421 is the end of the conversation, whatever it answers.
                    Some(code) if code != 421 => {
                        turned_away.add(mailbox, &self.words(&error), code < 500);
                    }
                    _ => return Err(refused(error)),
                },
            }
        }
        if taken == 0 {
            return Err(turned_away.of_all(self.called()));
        }
        let letter = letter::write(message, from, &to)?;
        let go_on = connection.command(Data).await.map_err(refused)?;
        if !go_on.has_code(354) {
            return Err(self.unexpected(&go_on));
        }
        let end = connection.message(&letter).await.map_err(refused)?;
        if u16::from(end.code()) / 100 != 2 {
            return Err(self.unexpected(&end));
        }
        Ok(Delivered {
            remark: turned_away.remark(),
        })
    }

    fn unexpected(&self, response: &Response) -> Error {
        self.unreachable(&format!("it answered {} out of turn", response.code()))
    }

    fn unreachable(&self, details: &str) -> Error {
        Error::Unreachable {
            service: self.called(),
            details: details.to_owned(),
        }
    }
}

/// Who does not get the mail.
#[derive(Debug, Default)]
struct Refusals {
    sentences: Vec<String>,
    for_now: bool,
}

impl Refusals {
    fn add(&mut self, mailbox: &Mailbox, words: &str, for_now: bool) {
        self.for_now |= for_now;
        self.sentences.push(if for_now {
            format!(
                "{} was refused for now, and is not tried again: {words}",
                mailbox.email
            )
        } else {
            format!("{} was refused: {words}", mailbox.email)
        });
    }

    fn remark(&self) -> Option<String> {
        (!self.sentences.is_empty()).then(|| shorten(&self.sentences.join("\n"), REMARK_LIMIT))
    }

    /// When nobody was taken.
    fn of_all(&self, service: String) -> Error {
        let details = self.remark().unwrap_or_default();
        if self.for_now {
            Error::Later {
                service,
                after: None,
                details: details.replace(
                    " was refused for now, and is not tried again: ",
                    " was refused for now: ",
                ),
            }
        } else {
            Error::Refused { service, details }
        }
    }
}

fn is_ascii(mailbox: &Mailbox) -> bool {
    AsRef::<str>::as_ref(&mailbox.email).is_ascii()
}

/// A laptop has no name that a mail server could look up, so it introduces itself by its address, as RFC 5321, section 4.1.4,
/// advises. Its own name is nobody's business.
fn hello(stream: &TcpStream) -> ClientId {
    match stream.local_addr() {
        Ok(SocketAddr::V4(address)) => ClientId::Ipv4(*address.ip()),
        Ok(SocketAddr::V6(address)) => ClientId::Ipv6(*address.ip()),
        Err(_) => ClientId::Ipv4(std::net::Ipv4Addr::LOCALHOST),
    }
}

/// The beginning of a sentence.
fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map(|first| first.to_uppercase().chain(chars).collect())
        .unwrap_or_default()
}
