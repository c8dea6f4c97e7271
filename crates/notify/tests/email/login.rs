//! Getting in, and what is told when that fails.

use data_encoding::BASE64;
use howdah_domain::Secret;
use howdah_domain::channel::{EmailAddress, MailMechanism};
use howdah_notify::{Channel as _, Delivered, Email, Error};
use howdah_testkit::MailServer;
use howdah_testkit::mail::{PASSWORD, TOKEN, USER};
use rstest::rstest;
use tokio_util::sync::CancellationToken;

use super::{address, message};

async fn send_as(server: &MailServer, mechanism: MailMechanism, secret: &str) -> Result<Delivered, Error> {
    let address = EmailAddress {
        user: Some(USER.to_owned()),
        mechanism,
        ..address(server)
    };
    let email = Email::new("mail", &address, Some(&Secret::new(secret))).unwrap();
    email.send(&message(), &CancellationToken::new()).await
}

#[rstest]
#[case::what_is_offered(MailMechanism::Password, &["PLAIN", "LOGIN", "XOAUTH2"], PASSWORD, "PLAIN")]
#[case::what_is_offered_of_two(MailMechanism::Password, &["XOAUTH2", "LOGIN", "CRAM-MD5"], PASSWORD, "LOGIN")]
#[case::plain(MailMechanism::Plain, &["LOGIN", "PLAIN"], PASSWORD, "PLAIN")]
#[case::login(MailMechanism::Login, &["PLAIN", "LOGIN"], PASSWORD, "LOGIN")]
#[case::a_token(MailMechanism::Xoauth2, &["PLAIN", "XOAUTH2"], TOKEN, "XOAUTH2")]
#[tokio::test]
async fn one_logs_in_by_what_was_chosen(
    #[case] mechanism: MailMechanism,
    #[case] offered: &[&str],
    #[case] secret: &str,
    #[case] used: &str,
) {
    let server = MailServer::builder().login(offered).start().unwrap();
    send_as(&server, mechanism, secret).await.unwrap();
    let mails = server.mails().unwrap();
    assert_eq!(mails[0].method.as_deref(), Some(used));
}

#[rstest]
#[case::plain(MailMechanism::Plain, "app password")]
#[case::login(MailMechanism::Login, "app password")]
#[case::a_token(MailMechanism::Xoauth2, "access token")]
#[tokio::test]
async fn who_is_not_let_in_is_told_what_to_do(#[case] mechanism: MailMechanism, #[case] hint: &str) {
    let server = MailServer::builder()
        .login(&["PLAIN", "LOGIN", "XOAUTH2"])
        .start()
        .unwrap();
    let error = send_as(&server, mechanism, "wrong").await.unwrap_err();
    let Error::Denied {
        service,
        hint: told,
        details,
    } = &error
    else {
        panic!("{error:?}");
    };
    assert_eq!(service, "the mail server 127.0.0.1");
    assert!(told.contains(hint), "{told}");
    assert!(details.starts_with("535"), "{details}");
    assert!(!error.is_retryable());
    assert!(server.mails().unwrap().is_empty());
}

#[rstest]
#[case::neither_of_two(MailMechanism::Password, &["XOAUTH2", "CRAM-MD5"], "neither PLAIN nor LOGIN")]
#[case::not_this_one(MailMechanism::Plain, &["LOGIN"], "no PLAIN")]
#[case::no_tokens(MailMechanism::Xoauth2, &["PLAIN"], "no XOAUTH2")]
#[tokio::test]
async fn a_way_in_that_is_not_offered_is_not_tried(
    #[case] mechanism: MailMechanism,
    #[case] offered: &[&str],
    #[case] told: &str,
) {
    let server = MailServer::builder().login(offered).start().unwrap();
    let error = send_as(&server, mechanism, PASSWORD).await.unwrap_err();
    let Error::Misconfigured { message, .. } = &error else {
        panic!("{error:?}");
    };
    assert!(message.contains(told), "{message}");
    assert!(
        !server.log().to_uppercase().contains("C: AUTH"),
        "{}",
        server.log()
    );
}

#[tokio::test]
async fn a_server_that_cannot_ask_now_who_it_is_is_asked_again() {
    let server = MailServer::builder()
        .login(&["PLAIN"])
        .refuse_login(454, "4.7.0 Temporary authentication failure")
        .start()
        .unwrap();
    let error = send_as(&server, MailMechanism::Password, PASSWORD)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Later { .. }), "{error:?}");
    assert!(error.is_retryable());
}

#[tokio::test]
async fn a_server_that_wants_a_login_says_so() {
    let server = MailServer::builder().login(&["PLAIN"]).start().unwrap();
    let error = super::send(&address(&server), &message()).await.unwrap_err();
    let Error::Denied { hint, .. } = &error else {
        panic!("{error:?}");
    };
    assert!(hint.contains("give a user"), "{hint}");
}

/// Every way in which an error may be shown.
fn shown(error: &Error) -> String {
    let failure = error.to_failure();
    format!("{error} {error:?} {error:#?} {failure:?} {:?}", failure.details)
}

/// No seven characters in a row of what must not be seen.
fn assert_hidden(text: &str, secret: &str) {
    let spellings = [
        secret.to_owned(),
        BASE64.encode(secret.as_bytes()),
        BASE64.encode(format!("\0{USER}\0{secret}").as_bytes()),
        BASE64.encode(format!("user={USER}\x01auth=Bearer {secret}\x01\x01").as_bytes()),
    ];
    for spelling in spellings {
        let characters: Vec<char> = spelling.chars().collect();
        for window in characters.windows(7) {
            let window: String = window.iter().collect();
            assert!(!text.contains(&window), "{window} in {text}");
        }
    }
}

#[rstest]
#[case::plain(MailMechanism::Plain, PASSWORD)]
#[case::login(MailMechanism::Login, PASSWORD)]
#[case::a_token(MailMechanism::Xoauth2, TOKEN)]
#[tokio::test]
async fn what_a_server_repeats_of_a_login_is_not_told(
    #[case] mechanism: MailMechanism,
    #[case] secret: &str,
) {
    let server = MailServer::builder()
        .login(&["PLAIN", "LOGIN", "XOAUTH2"])
        .echo_login()
        .start()
        .unwrap();
    let error = send_as(&server, mechanism, secret).await.unwrap_err();
    let told = shown(&error);
    assert!(told.contains("535 refused: AUTH"), "{told}");
    assert_hidden(&told, secret);
}

#[tokio::test]
async fn what_a_server_repeats_later_is_not_told_either() {
    let server = MailServer::builder()
        .login(&["PLAIN"])
        .refuse(
            "bob@example.com",
            550,
            &format!("no such user; by the way: {PASSWORD}"),
        )
        .start()
        .unwrap();
    let address = EmailAddress {
        user: Some(USER.to_owned()),
        to: vec!["ada@example.com".to_owned(), "bob@example.com".to_owned()],
        ..address(&server)
    };
    let email = Email::new("mail", &address, Some(&Secret::new(PASSWORD))).unwrap();
    let delivered = email.send(&message(), &CancellationToken::new()).await.unwrap();
    let remark = delivered.remark.unwrap();
    assert!(remark.contains("no such user; by the way: …"), "{remark}");
    assert_hidden(&remark, PASSWORD);
    assert_hidden(&format!("{email:?} {email:#?}"), PASSWORD);
}
