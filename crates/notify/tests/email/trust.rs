//! Whose certificate is trusted, and that nothing is sent without TLS where TLS was asked for.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use data_encoding::{BASE64_MIME_PERMISSIVE, HEXLOWER};
use howdah_domain::Secret;
use howdah_domain::channel::{EmailAddress, MailSecurity};
use howdah_notify::{Channel as _, Email, Error};
use howdah_testkit::MailServer;
use howdah_testkit::certificates::Certificates;
use howdah_testkit::mail::{PASSWORD, USER};
use rstest::rstest;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::{address, at_port, message, send};

/// Set in the second process of a test, whose system trusts the test's authority.
const INNER: &str = "HOWDAH_NOTIFY_TRUST";

fn certificates(folder: &Path, name: &str) -> Certificates {
    let folder = folder.join(name);
    std::fs::create_dir_all(&folder).unwrap();
    Certificates::make(&folder, "ada").unwrap()
}

/// A certificate's SHA-256, as `openssl x509 -fingerprint -sha256` has it.
fn fingerprint(certificate: &Path) -> String {
    let pem = std::fs::read_to_string(certificate).unwrap();
    let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    HEXLOWER.encode(&Sha256::digest(
        BASE64_MIME_PERMISSIVE.decode(base64.as_bytes()).unwrap(),
    ))
}

fn start(certificates: &Certificates, security: MailSecurity) -> MailServer {
    let mut server = MailServer::builder().certificate(certificates);
    if security == MailSecurity::Tls {
        server = server.implicit_tls();
    }
    server.start().unwrap()
}

#[rstest]
#[case::starttls(MailSecurity::StartTls)]
#[case::tls(MailSecurity::Tls)]
#[tokio::test]
async fn one_certificate_is_trusted_on_purpose_and_no_other(#[case] security: MailSecurity) {
    let folder = tempfile::tempdir().unwrap();
    let first = certificates(folder.path(), "first");
    let server = start(&first, security);
    let mut address = EmailAddress {
        security,
        ..address(&server)
    };

    // A stranger's is refused, and told by its fingerprint.
    let error = send(&address, &message()).await.unwrap_err();
    let Error::Untrusted {
        fingerprint: Some(seen),
        details,
        ..
    } = &error
    else {
        panic!("{error:?}");
    };
    assert_eq!(*seen, fingerprint(&first.server_certificate));
    assert!(!details.contains("another certificate"), "{details}");
    assert!(!error.is_retryable());
    assert!(server.mails().unwrap().is_empty());

    // The same one, looked at and trusted.
    address.trusted_certificate = Some(seen.clone());
    send(&address, &message()).await.unwrap();
    let mails = server.mails().unwrap();
    assert!(mails[0].encrypted);

    // One for the same names that took its place.
    let second = certificates(folder.path(), "second");
    let server = start(&second, security);
    address.port = server.port();
    let error = send(&address, &message()).await.unwrap_err();
    let Error::Untrusted {
        fingerprint: Some(seen),
        details,
        ..
    } = &error
    else {
        panic!("{error:?}");
    };
    assert_eq!(*seen, fingerprint(&second.server_certificate));
    assert!(
        details.contains("another certificate than the one that was trusted"),
        "{details}"
    );
    assert!(server.mails().unwrap().is_empty());
}

#[rstest]
#[case::starttls(MailSecurity::StartTls)]
#[case::tls(MailSecurity::Tls)]
#[tokio::test]
async fn a_login_goes_through_tls(#[case] security: MailSecurity) {
    let folder = tempfile::tempdir().unwrap();
    let certificates = certificates(folder.path(), "only");
    let mut server = MailServer::builder().certificate(&certificates).login(&["PLAIN"]);
    if security == MailSecurity::Tls {
        server = server.implicit_tls();
    }
    let server = server.start().unwrap();
    let address = EmailAddress {
        security,
        user: Some(USER.to_owned()),
        trusted_certificate: Some(fingerprint(&certificates.server_certificate)),
        ..address(&server)
    };
    let email = Email::new("mail", &address, Some(&Secret::new(PASSWORD))).unwrap();
    email.send(&message(), &CancellationToken::new()).await.unwrap();
    let mails = server.mails().unwrap();
    assert!(mails[0].encrypted);
    assert_eq!(mails[0].method.as_deref(), Some("PLAIN"));
}

#[tokio::test]
async fn without_starttls_nothing_is_said_to_a_server_that_was_to_have_it() {
    let server = MailServer::builder()
        .without_starttls()
        .login(&["PLAIN"])
        .start()
        .unwrap();
    let address = EmailAddress {
        security: MailSecurity::StartTls,
        user: Some(USER.to_owned()),
        ..address(&server)
    };
    let email = Email::new("mail", &address, Some(&Secret::new(PASSWORD))).unwrap();
    let error = email
        .send(&message(), &CancellationToken::new())
        .await
        .unwrap_err();
    let Error::Misconfigured { message, .. } = &error else {
        panic!("{error:?}");
    };
    assert!(message.contains("no STARTTLS"), "{message}");
    let log = server.log().to_uppercase();
    assert!(!log.contains("C: AUTH") && !log.contains("C: MAIL"), "{log}");
}

/// A server with STARTTLS in front of which somebody adds to its answer, in the clear: after TLS, it seems to take logins.
/// It does not.
async fn server_with_a_man_in_the_middle(certificates: &Certificates) -> (u16, JoinHandle<String>) {
    let chain = CertificateDer::pem_file_iter(&certificates.server_certificate)
        .unwrap()
        .collect::<Result<Vec<_>, _>>()
        .unwrap();
    let key = PrivateKeyDer::from_pem_file(&certificates.server_key).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut bare = BufReader::new(stream);
        bare.write_all(b"220 mail\r\n").await.unwrap();
        let mut line = String::new();
        bare.read_line(&mut line).await.unwrap();
        bare.write_all(b"250-mail\r\n250 STARTTLS\r\n").await.unwrap();
        bare.read_line(&mut line).await.unwrap();
        bare.write_all(b"220 go on\r\n250-mail\r\n250 AUTH PLAIN LOGIN\r\n")
            .await
            .unwrap();
        let encrypted = TlsAcceptor::from(Arc::new(config))
            .accept(bare.into_inner())
            .await
            .unwrap();
        let mut encrypted = BufReader::new(encrypted);
        let mut heard = String::new();
        encrypted.read_line(&mut heard).await.unwrap();
        encrypted.write_all(b"250 mail\r\n").await.unwrap();
        let _ = encrypted.read_to_string(&mut heard).await;
        heard
    });
    (port, server)
}

#[tokio::test]
async fn what_somebody_added_before_tls_is_not_believed_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let certificates = certificates(folder.path(), "only");
    let (port, server) = server_with_a_man_in_the_middle(&certificates).await;
    let address = EmailAddress {
        security: MailSecurity::StartTls,
        user: Some(USER.to_owned()),
        trusted_certificate: Some(fingerprint(&certificates.server_certificate)),
        ..at_port(port)
    };
    let email = Email::new("mail", &address, Some(&Secret::new(PASSWORD))).unwrap();
    let error = email
        .send(&message(), &CancellationToken::new())
        .await
        .unwrap_err();
    let Error::Misconfigured { message, .. } = &error else {
        panic!("{error:?}");
    };
    assert!(message.contains("neither PLAIN nor LOGIN"), "{message}");
    let heard = server.await.unwrap();
    assert!(heard.starts_with("EHLO") && !heard.contains("AUTH"), "{heard}");
}

#[tokio::test]
async fn tls_to_a_port_without_it_is_explained() {
    let server = MailServer::builder().start().unwrap();
    let address = EmailAddress {
        security: MailSecurity::Tls,
        ..address(&server)
    };
    let error = send(&address, &message()).await.unwrap_err();
    let Error::Misconfigured { message, hint } = &error else {
        panic!("{error:?}");
    };
    assert!(message.contains("does not speak TLS"), "{message}");
    assert!(hint.contains("STARTTLS"), "{hint}");
}

/// Runs `test` of this binary again on a system that trusts one authority alone. `true` in the second process.
fn where_trusted(test: &str) -> bool {
    if std::env::var_os(INNER).is_some() {
        return true;
    }
    let folder = tempfile::tempdir().unwrap();
    let certificates = certificates(folder.path(), "known");
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INNER, folder.path())
        .env("SSL_CERT_FILE", &certificates.ca)
        .env_remove("SSL_CERT_DIR")
        .status()
        .unwrap();
    assert!(status.success());
    false
}

#[tokio::test]
async fn a_certificate_that_the_system_trusts_needs_no_more_and_must_name_the_host() {
    if !where_trusted("trust::a_certificate_that_the_system_trusts_needs_no_more_and_must_name_the_host") {
        return;
    }
    let folder = std::env::var_os(INNER).unwrap();
    let known = Path::new(&folder).join("known");
    let known = Certificates {
        ca: known.join("ca.pem"),
        stranger_ca: known.join("stranger.pem"),
        server_certificate: known.join("server.pem"),
        server_key: known.join("server.key"),
        client_certificate: known.join("client.pem"),
        client_key: known.join("client.key"),
    };
    for security in [MailSecurity::StartTls, MailSecurity::Tls] {
        for host in ["127.0.0.1", "localhost"] {
            let server = start(&known, security);
            let mut address = EmailAddress {
                security,
                host: host.to_owned(),
                ..address(&server)
            };
            send(&address, &message()).await.unwrap();
            // With another one trusted besides, it is trusted still: a renewed certificate of an authority is no surprise.
            address.trusted_certificate = Some("ab".repeat(32));
            send(&address, &message()).await.unwrap();
            assert!(server.mails().unwrap().iter().all(|mail| mail.encrypted));
        }
        // Of the same authority, for no host at all.
        let nameless = Certificates {
            server_certificate: known.client_certificate.clone(),
            server_key: known.client_key.clone(),
            ..known.clone()
        };
        let server = start(&nameless, security);
        let address = EmailAddress {
            security,
            ..address(&server)
        };
        let error = send(&address, &message()).await.unwrap_err();
        assert!(matches!(error, Error::Untrusted { .. }), "{error:?}");
        assert!(server.mails().unwrap().is_empty());
    }
}
