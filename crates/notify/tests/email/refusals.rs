//! Recipients who are refused, servers that have no time, and servers that fall silent.

use std::time::{Duration, Instant};

use howdah_domain::channel::{EmailAddress, MailSecurity};
use howdah_notify::{Channel as _, Email, Error};
use howdah_testkit::mail::{MailServerBuilder, Stage};
use howdah_testkit::{MailServer, impostor, tools};
use rstest::rstest;
use tokio_util::sync::CancellationToken;

use super::{address, at_port, message, send};

/// Ada, Bob and Eve.
fn three(server: &MailServer) -> EmailAddress {
    EmailAddress {
        to: ["ada", "bob", "eve"]
            .map(|name| format!("{name}@example.com"))
            .to_vec(),
        ..address(server)
    }
}

#[tokio::test]
async fn one_of_three_that_is_refused_is_told_and_the_others_get_it() {
    let server = MailServer::builder()
        .refuse("bob@example.com", 550, "5.1.1 no such user here")
        .start()
        .unwrap();
    let delivered = send(&three(&server), &message()).await.unwrap();
    assert_eq!(
        delivered.remark.as_deref(),
        Some("bob@example.com was refused: 550 5.1.1 no such user here")
    );
    let mails = server.mails().unwrap();
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].to, ["ada@example.com", "eve@example.com"]);
}

#[tokio::test]
async fn one_of_three_that_is_refused_for_now_is_told_and_the_others_get_it_once() {
    let server = MailServer::builder().greylist("bob@example.com").start().unwrap();
    let delivered = send(&three(&server), &message()).await.unwrap();
    let remark = delivered.remark.unwrap();
    assert!(
        remark.starts_with("bob@example.com was refused for now, and is not tried again: 450"),
        "{remark}"
    );
    let mails = server.mails().unwrap();
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].to, ["ada@example.com", "eve@example.com"]);
}

#[tokio::test]
async fn a_mail_that_everybody_refuses_is_refused() {
    let mut server = MailServer::builder();
    for name in ["ada", "bob", "eve"] {
        server = server.refuse(
            &format!("{name}@example.com"),
            550,
            &format!("5.1.1 no {name} here"),
        );
    }
    let server = server.start().unwrap();
    let error = send(&three(&server), &message()).await.unwrap_err();
    let Error::Refused { details, .. } = &error else {
        panic!("{error:?}");
    };
    for name in ["ada", "bob", "eve"] {
        assert!(
            details.contains(&format!("550 5.1.1 no {name} here")),
            "{details}"
        );
    }
    assert!(!error.is_retryable());
    assert!(server.mails().unwrap().is_empty());
}

#[tokio::test]
async fn a_greylisted_mail_is_delivered_by_the_second_attempt() {
    let mut server = MailServer::builder();
    for name in ["ada", "bob", "eve"] {
        server = server.greylist(&format!("{name}@example.com"));
    }
    let server = server.start().unwrap();
    let error = send(&three(&server), &message()).await.unwrap_err();
    assert!(matches!(error, Error::Later { .. }), "{error:?}");
    assert!(error.is_retryable());
    assert!(server.mails().unwrap().is_empty());

    let delivered = send(&three(&server), &message()).await.unwrap();
    assert_eq!(delivered.remark, None);
    assert_eq!(server.mails().unwrap()[0].to.len(), 3);
}

#[tokio::test]
async fn where_nobody_is_taken_and_somebody_may_be_later_it_is_tried_again() {
    let server = MailServer::builder()
        .refuse("ada@example.com", 550, "no")
        .refuse("bob@example.com", 550, "no")
        .greylist("eve@example.com")
        .start()
        .unwrap();
    let error = send(&three(&server), &message()).await.unwrap_err();
    assert!(matches!(error, Error::Later { .. }), "{error:?}");
    let delivered = send(&three(&server), &message()).await.unwrap();
    assert_eq!(delivered.remark.unwrap().lines().count(), 2);
    assert_eq!(server.mails().unwrap()[0].to, ["eve@example.com"]);
}

/// What an error is.
#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Later,
    Denied,
    Refused,
    Unreachable,
    Timeout,
    Misconfigured,
    Other,
}

fn kind(error: &Error) -> Kind {
    match error {
        Error::Later { .. } => Kind::Later,
        Error::Denied { .. } => Kind::Denied,
        Error::Refused { .. } => Kind::Refused,
        Error::Unreachable { .. } => Kind::Unreachable,
        Error::Timeout { .. } => Kind::Timeout,
        Error::Misconfigured { .. } => Kind::Misconfigured,
        _ => Kind::Other,
    }
}

#[rstest]
#[case::busy(MailServer::builder().busy(), Kind::Later, "421")]
#[case::sender_refused(MailServer::builder().refuse_sender(553, "not yours"), Kind::Refused, "553 not yours")]
#[case::sender_refused_for_now(MailServer::builder().refuse_sender(451, "local error"), Kind::Later, "451 local error")]
#[case::login_wanted(MailServer::builder().refuse_sender(530, "log in first"), Kind::Denied, "530 log in first")]
#[case::recipient_and_gone(MailServer::builder().refuse("ada@example.com", 421, "too many"), Kind::Later, "421 too many")]
#[case::mail_refused(MailServer::builder().refuse_data(554, "spam"), Kind::Refused, "554 spam")]
#[case::mail_refused_for_now(MailServer::builder().refuse_data(452, "disk full"), Kind::Later, "452 disk full")]
#[tokio::test]
async fn an_answer_means_what_it_says(
    #[case] server: MailServerBuilder,
    #[case] expected: Kind,
    #[case] words: &str,
) {
    let server = server.start().unwrap();
    let error = send(&address(&server), &message()).await.unwrap_err();
    assert_eq!(kind(&error), expected, "{error:?}");
    let details = error.to_failure().details.unwrap();
    assert!(details.contains(words), "{details}");
    assert!(server.mails().unwrap().is_empty());
}

#[rstest]
#[case::at_the_greeting(Stage::Greeting)]
#[case::at_the_sender(Stage::Sender)]
#[case::at_the_recipient(Stage::Recipient)]
#[case::at_the_end(Stage::Data)]
#[tokio::test]
async fn a_server_that_hangs_up_is_tried_again(#[case] stage: Stage) {
    let server = MailServer::builder().close_at(stage).start().unwrap();
    let error = send(&address(&server), &message()).await.unwrap_err();
    assert_eq!(kind(&error), Kind::Unreachable, "{error:?}");
    assert!(error.is_retryable());
}

#[rstest]
#[case::at_the_greeting(Stage::Greeting)]
#[case::at_the_sender(Stage::Sender)]
#[case::at_the_recipient(Stage::Recipient)]
#[case::at_the_end(Stage::Data)]
#[tokio::test]
async fn a_server_that_falls_silent_is_waited_for_so_long_and_no_longer_than_wanted(#[case] stage: Stage) {
    let server = MailServer::builder().hang_at(stage).start().unwrap();
    let email = Email::new("mail", &address(&server), None).unwrap();

    let limit = Duration::from_secs(1);
    let impatient = email.clone().limits(limit, limit);
    let began = Instant::now();
    let error = impatient
        .send(&message(), &CancellationToken::new())
        .await
        .unwrap_err();
    assert_eq!(kind(&error), Kind::Timeout, "{error:?}");
    assert!(error.is_retryable());
    assert!(began.elapsed() >= limit && began.elapsed() < Duration::from_secs(10));

    let cancel = CancellationToken::new();
    let began = Instant::now();
    let told = message();
    let (sent, ()) = tokio::join!(email.send(&told, &cancel), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        cancel.cancel();
    });
    assert!(sent.unwrap_err().is_cancelled());
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn what_was_cancelled_before_reaches_nobody() {
    let server = MailServer::builder().start().unwrap();
    let cancel = CancellationToken::new();
    cancel.cancel();
    let email = Email::new("mail", &address(&server), None).unwrap();
    assert!(email.send(&message(), &cancel).await.unwrap_err().is_cancelled());
    assert!(server.mails().unwrap().is_empty());
}

#[tokio::test]
async fn where_nothing_listens_it_is_tried_again() {
    let port = tools::free_port().unwrap();
    let error = send(&at_port(port), &message()).await.unwrap_err();
    assert_eq!(kind(&error), Kind::Unreachable, "{error:?}");
    assert!(error.is_retryable());
}

#[rstest]
#[case::ssh(b"SSH-2.0-OpenSSH_9.2\r\n")]
#[case::a_web_server(b"HTTP/1.1 400 Bad Request\r\n\r\n")]
#[tokio::test]
async fn what_is_no_mail_server_is_called_that(#[case] banner: &'static [u8]) {
    let server = impostor::banner_server(banner).await.unwrap();
    let error = send(&at_port(server.port()), &message()).await.unwrap_err();
    assert_eq!(kind(&error), Kind::Misconfigured, "{error:?}");
    assert!(error.to_string().contains("not a mail server"), "{error}");
}

#[rstest]
#[case::starttls(MailSecurity::StartTls, Kind::Timeout)]
#[case::tls(MailSecurity::Tls, Kind::Timeout)]
#[tokio::test]
async fn what_never_answers_is_not_waited_for_long(#[case] security: MailSecurity, #[case] expected: Kind) {
    let server = impostor::stuck_listener().await.unwrap();
    let address = EmailAddress {
        security,
        ..at_port(server.port())
    };
    let limit = Duration::from_millis(500);
    let email = Email::new("mail", &address, None).unwrap().limits(limit, limit);
    let error = email
        .send(&message(), &CancellationToken::new())
        .await
        .unwrap_err();
    assert_eq!(kind(&error), expected, "{error:?}");
}
