//! E-mail, by SMTP (RFC 5321) with lettre.
//!
//! One conversation for each message, which reaches all recipients: they see each other in `To`, as a team does. Whom of
//! them the server refuses is told as a remark, while the others get it.
//!
//! An attempt whose end is not seen (the connection breaks after the last byte) may have arrived, and is made again. All
//! attempts at a message have the same `Message-ID`, by which many servers and mail programs show one of them.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use howdah_domain::Secret;
use howdah_domain::channel::{EmailAddress, MailMechanism, MailSecurity};
use lettre::message::Mailbox;
use lettre::transport::smtp::client::AsyncSmtpConnection;
use rustls_pki_types::ServerName;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::{Channel, Delivered, Error, Message};

mod answer;
mod letter;
mod mailbox;
mod session;
mod trust;
mod wire;

/// How long a connection may take to be made.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How long the whole may take.
const SEND_LIMIT: Duration = Duration::from_secs(60);
/// How long a server may take to say goodbye, after all is done.
const QUIT_LIMIT: Duration = Duration::from_secs(2);

/// Sends mails by one server, from one sender, to one or several mailboxes.
#[derive(Clone)]
pub struct Email {
    name: String,
    server: Server,
    from: Mailbox,
    to: Vec<Mailbox>,
    connect_limit: Duration,
    send_limit: Duration,
}

/// The mail server, and how it is spoken to.
#[derive(Clone)]
struct Server {
    /// Its name or address, in ASCII.
    host: String,
    port: u16,
    tls_name: ServerName<'static>,
    security: MailSecurity,
    login: Option<Login>,
    trusted: Option<trust::Fingerprint>,
}

#[derive(Clone)]
struct Login {
    user: String,
    secret: Secret,
    mechanism: MailMechanism,
}

impl Server {
    /// What it is called within a sentence.
    fn called(&self) -> String {
        format!("the mail server {}", self.host)
    }
}

impl Email {
    /// The channel. `password` is the access token where the mechanism is XOAUTH2; it is not used without a user.
    ///
    /// # Errors
    /// [`Error::Misconfigured`] when a part of the address cannot be one; it names which.
    pub fn new(
        name: impl Into<String>,
        address: &EmailAddress,
        password: Option<&Secret>,
    ) -> Result<Self, Error> {
        let (host, tls_name) = host(address.host.trim())?;
        let port = match (address.port, address.security) {
            (0, MailSecurity::StartTls) => 587,
            (0, MailSecurity::Tls) => 465,
            (0, MailSecurity::None) => 25,
            (port, _) => port,
        };
        let user = address
            .user
            .as_deref()
            .map(str::trim)
            .filter(|user| !user.is_empty());
        let login = match (user, password.filter(|password| !password.is_empty())) {
            (None, _) => None,
            (Some(user), Some(secret)) => Some(Login {
                user: user.to_owned(),
                secret: secret.clone(),
                mechanism: address.mechanism,
            }),
            (Some(user), None) => {
                return Err(misconfigured(
                    format!("There is no password for {user}."),
                    "Give the password, or leave the user empty if the server wants no login.",
                ));
            }
        };
        let trusted = match address.trusted_certificate.as_deref().map(str::trim) {
            None | Some("") => None,
            Some(text) => Some(trust::parse_fingerprint(text).ok_or_else(|| {
                misconfigured(
                    format!("{text:?} is not the SHA-256 of a certificate."),
                    "It has 64 hexadecimal digits.",
                )
            })?),
        };
        let from = mailbox::parse(&address.from, "The sender")?;
        let mut to: Vec<Mailbox> = Vec::new();
        for text in &address.to {
            let mailbox = mailbox::parse(text, "A recipient")?;
            if !to.iter().any(|known| known.email == mailbox.email) {
                to.push(mailbox);
            }
        }
        if to.is_empty() {
            return Err(misconfigured(
                "Nobody gets the mail.".to_owned(),
                "Give at least one e-mail address.",
            ));
        }
        Ok(Self {
            name: name.into(),
            server: Server {
                host,
                port,
                tls_name,
                security: address.security,
                login,
                trusted,
            },
            from,
            to,
            connect_limit: CONNECT_LIMIT,
            send_limit: SEND_LIMIT,
        })
    }

    /// Other limits than ten seconds to connect and a minute for the whole.
    #[must_use]
    pub fn limits(mut self, connect: Duration, whole: Duration) -> Self {
        self.connect_limit = connect;
        self.send_limit = whole;
        self
    }

    /// Delivers a message, and hands on the connection for the goodbye.
    async fn deliver(&self, message: &Message) -> (Result<Delivered, Error>, Option<AsyncSmtpConnection>) {
        let mut connection = match self.server.open(self.connect_limit).await {
            Ok(connection) => connection,
            Err(error) => return (Err(error), None),
        };
        let delivered = match self.server.log_in(&mut connection).await {
            Ok(()) => {
                self.server
                    .hand_over(&mut connection, message, &self.from, &self.to)
                    .await
            }
            Err(error) => Err(error),
        };
        (delivered, Some(connection))
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Email")
            .field("name", &self.name)
            .field("host", &self.server.host)
            .field("port", &self.server.port)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Channel for Email {
    fn name(&self) -> &str {
        &self.name
    }

    async fn send(&self, message: &Message, cancel: &CancellationToken) -> Result<Delivered, Error> {
        let conversation = timeout(self.send_limit, Box::pin(self.deliver(message)));
        let (delivered, connection) = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(Error::Cancelled),
            ended = conversation => ended.map_err(|_| Error::Timeout {
                service: self.server.called(),
                limit: self.send_limit,
            })?,
        };
        // What was decided stands, whatever becomes of the goodbye.
        if let Some(mut connection) = connection {
            tokio::select! {
                _ = timeout(QUIT_LIMIT, connection.quit()) => {}
                () = cancel.cancelled() => {}
            }
        }
        delivered
    }
}

/// A host as it is looked up, and as its certificate names it.
fn host(text: &str) -> Result<(String, ServerName<'static>), Error> {
    let known = match text
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>()
    {
        Ok(address) => Some((address.to_string(), ServerName::from(address))),
        Err(_) => mailbox::idna(text.trim_end_matches('.'))
            .and_then(|host| Some((host.clone(), ServerName::try_from(host).ok()?))),
    };
    known.ok_or_else(|| {
        misconfigured(
            if text.is_empty() {
                "The mail server has no host.".to_owned()
            } else {
                format!("{text:?} is not a host.")
            },
            "Give the mail server's name alone, like smtp.example.com; its port has a place of its own.",
        )
    })
}

fn misconfigured(message: String, hint: &str) -> Error {
    Error::Misconfigured {
        message,
        hint: hint.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn address() -> EmailAddress {
        EmailAddress {
            host: "smtp.example.com".to_owned(),
            from: "Howdah <howdah@example.com>".to_owned(),
            to: vec!["ada@example.com".to_owned()],
            ..EmailAddress::default()
        }
    }

    #[rstest]
    #[case::starttls(MailSecurity::StartTls, 0, 587)]
    #[case::tls(MailSecurity::Tls, 0, 465)]
    #[case::none(MailSecurity::None, 0, 25)]
    #[case::another(MailSecurity::Tls, 2465, 2465)]
    fn a_port_that_is_not_given_is_the_usual_one(
        #[case] security: MailSecurity,
        #[case] given: u16,
        #[case] used: u16,
    ) {
        let address = EmailAddress {
            security,
            port: given,
            ..address()
        };
        assert_eq!(Email::new("mail", &address, None).unwrap().server.port, used);
    }

    #[rstest]
    #[case::a_name("smtp.example.com", "smtp.example.com")]
    #[case::with_a_dot("smtp.example.com.", "smtp.example.com")]
    #[case::of_other_letters("post.bücher.example", "post.xn--bcher-kva.example")]
    #[case::an_address("192.0.2.1", "192.0.2.1")]
    #[case::a_long_address("2001:db8::1", "2001:db8::1")]
    #[case::a_long_address_in_brackets("[2001:db8::1]", "2001:db8::1")]
    fn a_host_is_a_name_or_an_address(#[case] given: &str, #[case] used: &str) {
        assert_eq!(host(given).unwrap().0, used);
    }

    #[rstest]
    #[case::no_host(|address: &mut EmailAddress| address.host.clear(), "host")]
    #[case::a_port_in_the_host(|address: &mut EmailAddress| address.host = "smtp.example.com:587".to_owned(), "smtp.example.com:587")]
    #[case::a_url(|address: &mut EmailAddress| address.host = "https://smtp.example.com".to_owned(), "https://")]
    #[case::a_sender_that_is_none(|address: &mut EmailAddress| address.from = "howdah".to_owned(), "The sender, \"howdah\"")]
    #[case::no_sender(|address: &mut EmailAddress| address.from.clear(), "The sender")]
    #[case::a_recipient_that_is_none(|address: &mut EmailAddress| address.to.push("bob".to_owned()), "A recipient, \"bob\"")]
    #[case::nobody(|address: &mut EmailAddress| address.to.clear(), "Nobody")]
    #[case::a_user_without_a_password(|address: &mut EmailAddress| address.user = Some("ada".to_owned()), "no password for ada")]
    #[case::a_fingerprint_that_is_none(|address: &mut EmailAddress| address.trusted_certificate = Some("abc".to_owned()), "\"abc\"")]
    fn what_cannot_work_is_named(#[case] spoil: fn(&mut EmailAddress), #[case] named: &str) {
        let mut address = address();
        spoil(&mut address);
        let error = Email::new("mail", &address, None).unwrap_err();
        let Error::Misconfigured { message, .. } = &error else {
            panic!("{error:?}");
        };
        assert!(message.contains(named), "{message}");
    }

    #[test]
    fn a_channel_shows_no_secret() {
        let address = EmailAddress {
            user: Some("ada".to_owned()),
            ..address()
        };
        let email = Email::new("mail", &address, Some(&Secret::new("hunter2-hunter2"))).unwrap();
        assert!(!format!("{email:?}").contains("hunter2"), "{email:?}");
        assert_eq!(email.name(), "mail");
    }

    #[test]
    fn a_mailbox_that_is_given_twice_gets_one_mail() {
        let mut address = address();
        address.to.push("Ada <ada@example.com>".to_owned());
        assert_eq!(Email::new("mail", &address, None).unwrap().to.len(), 1);
    }
}
