//! E-mail against a real mail server on 127.0.0.1.

#![allow(clippy::unwrap_used, reason = "helpers of tests may unwrap like the tests")]

use howdah_domain::AlertKind;
use howdah_domain::channel::{EmailAddress, MailSecurity};
use howdah_notify::{Channel as _, Delivered, Email, Error, Message};
use howdah_testkit::MailServer;
use tokio_util::sync::CancellationToken;

mod content;
mod login;
mod refusals;
mod trust;

/// A mailbox of Ada's at this server, without a login and without TLS.
fn address(server: &MailServer) -> EmailAddress {
    at_port(server.port())
}

fn at_port(port: u16) -> EmailAddress {
    EmailAddress {
        host: "127.0.0.1".to_owned(),
        port,
        security: MailSecurity::None,
        from: "Howdah <howdah@example.com>".to_owned(),
        to: vec!["ada@example.com".to_owned()],
        ..EmailAddress::default()
    }
}

fn message() -> Message {
    Message {
        id: "m-1".to_owned(),
        details: Some(
            "pg_dump: error: connection to server failed\nFATAL: the database system is down".to_owned(),
        ),
        ..Message::new(
            AlertKind::BackupFailed,
            "2026-03-04T05:06:07Z".parse().unwrap(),
            "shop was not backed up",
            "The server is shutting down.\nWait until it is there again.",
        )
    }
}

async fn send(address: &EmailAddress, message: &Message) -> Result<Delivered, Error> {
    let email = Email::new("mail", address, None).unwrap();
    email.send(message, &CancellationToken::new()).await
}
