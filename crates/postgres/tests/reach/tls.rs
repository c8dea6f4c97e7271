//! TLS: what each mode verifies, as libpq does, and what is said where it cannot be had.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use howdah_domain::{Connection, FailureCode, Tls, TlsMode};
use howdah_testkit::certificates::Certificates;
use howdah_testkit::{Cluster, Encryption, forward};
use rstest::rstest;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::{connect, failure, mode, psql, value, with_tls};

#[rstest]
#[tokio::test]
async fn every_tls_mode_does_what_libpq_does(#[values(13, 18)] major: u16) {
    let cluster = Cluster::builder(major)
        .encryption(Encryption::Offered)
        .start()
        .await
        .unwrap();
    let secret = cluster.password();
    let files = cluster.certificates().unwrap().clone();
    let connection = cluster.connection("postgres");
    let own = |mode, ca: &std::path::Path| Tls {
        mode,
        ca_file: Some(ca.to_owned()),
        ..Tls::default()
    };
    let local = Connection {
        host: "localhost".to_owned(),
        ..connection.clone()
    };
    let cases = [
        (
            &connection,
            mode(TlsMode::Disable),
            "not encrypted (mode disable)",
        ),
        (
            &connection,
            mode(TlsMode::Prefer),
            "TLS 1.3, certificate not verified (mode prefer)",
        ),
        (
            &connection,
            mode(TlsMode::Require),
            "TLS 1.3, certificate not verified (mode require)",
        ),
        (
            &connection,
            own(TlsMode::Require, &files.ca),
            "TLS 1.3, certificate verified (mode require)",
        ),
        (
            &connection,
            own(TlsMode::VerifyCa, &files.ca),
            "TLS 1.3, certificate verified (mode verify-ca)",
        ),
        (
            &connection,
            own(TlsMode::VerifyFull, &files.ca),
            "TLS 1.3, certificate and host name verified (mode verify-full)",
        ),
        (
            &local,
            own(TlsMode::VerifyFull, &files.ca),
            "TLS 1.3, certificate and host name verified (mode verify-full)",
        ),
        // The server's own certificate, given as its own authority.
        (
            &local,
            own(TlsMode::VerifyFull, &files.server_certificate),
            "TLS 1.3, certificate and host name verified (mode verify-full)",
        ),
    ];
    for (connection, tls, expected) in cases {
        let session = connect(&with_tls(connection, tls.clone()), Some(&secret)).await;
        let session = session.unwrap_or_else(|error| panic!("{tls:?}: {:#?}", error.to_failure()));
        assert_eq!(session.tls.describe(), expected);
        let seen = value(
            &session,
            "SELECT coalesce(version || ' ' || cipher, 'plain') FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
        )
        .await;
        let cipher = session.tls.cipher.clone().unwrap_or_default();
        if session.tls.encrypted {
            assert_eq!(seen, format!("TLSv1.3 {cipher}"));
        } else {
            assert_eq!(seen, "plain");
        }
    }
    // The same by the client programs: psql agrees with each.
    for (connection, tls, _) in [
        (&connection, mode(TlsMode::Disable), ()),
        (&connection, mode(TlsMode::Require), ()),
        (&local, own(TlsMode::VerifyFull, &files.ca), ()),
    ] {
        let connection = with_tls(connection, tls);
        let (ok, text) = psql(
            &connection,
            Some(&secret),
            major,
            "SELECT ssl::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
        );
        assert!(ok, "{text}");
        let encrypted = connection.tls.mode != TlsMode::Disable;
        assert_eq!(text.trim(), encrypted.to_string(), "{connection:?}");
    }
}

#[tokio::test]
async fn an_unknown_authority_is_not_trusted() {
    let cluster = Cluster::builder(17)
        .encryption(Encryption::Offered)
        .start()
        .await
        .unwrap();
    let secret = cluster.password();
    let files = cluster.certificates().unwrap().clone();
    let connection = cluster.connection("postgres");
    // The system's authorities do not know it.
    for tls in [TlsMode::VerifyCa, TlsMode::VerifyFull] {
        let connection = with_tls(&connection, mode(tls));
        let found = failure(&connection, Some(&secret), FailureCode::TlsUntrusted).await;
        assert!(
            found.message.contains("not signed by any authority"),
            "{found:#?}"
        );
        let (ok, text) = psql(&connection, Some(&secret), 17, "SELECT 1");
        assert!(
            !ok && howdah_postgres::classify::classify_libpq(&text) == Some(FailureCode::TlsUntrusted),
            "{text}"
        );
    }
    let stranger = |mode| Tls {
        mode,
        ca_file: Some(files.stranger_ca.clone()),
        ..Tls::default()
    };
    for tls in [TlsMode::Require, TlsMode::VerifyCa, TlsMode::VerifyFull] {
        failure(
            &with_tls(&connection, stranger(tls)),
            Some(&secret),
            FailureCode::TlsUntrusted,
        )
        .await;
    }
}

#[tokio::test]
async fn a_certificate_for_another_host_is_refused_in_verify_full_only() {
    let cluster = Cluster::builder(16)
        .encryption(Encryption::Offered)
        .start()
        .await
        .unwrap();
    let secret = cluster.password();
    let files = cluster.certificates().unwrap().clone();
    let forward = forward("127.0.0.2:0", cluster.port()).await.unwrap();
    let own = |mode| Tls {
        mode,
        ca_file: Some(files.ca.clone()),
        ..Tls::default()
    };
    let elsewhere = Connection {
        host: "127.0.0.2".to_owned(),
        port: forward.port(),
        ..cluster.connection("postgres")
    };
    let session = connect(&with_tls(&elsewhere, own(TlsMode::VerifyCa)), Some(&secret)).await;
    assert!(session.is_ok(), "{session:?}");
    let found = failure(
        &with_tls(&elsewhere, own(TlsMode::VerifyFull)),
        Some(&secret),
        FailureCode::TlsUntrusted,
    )
    .await;
    assert!(
        found.message.contains("does not name 127.0.0.2"),
        "{}",
        found.message
    );
}

#[tokio::test]
async fn a_server_without_tls_is_plain_with_prefer_and_refused_from_require_on() {
    let cluster = Cluster::start(16).await.unwrap();
    let secret = cluster.password();
    let connection = cluster.connection("postgres");
    let session = connect(&with_tls(&connection, mode(TlsMode::Prefer)), Some(&secret))
        .await
        .unwrap();
    assert!(!session.tls.encrypted);
    for tls in [TlsMode::Require, TlsMode::VerifyCa, TlsMode::VerifyFull] {
        failure(
            &with_tls(&connection, mode(tls)),
            Some(&secret),
            FailureCode::TlsUnavailable,
        )
        .await;
    }
}

#[rstest]
#[tokio::test]
async fn a_server_that_demands_tls_says_so(#[values(13, 18)] major: u16) {
    let cluster = Cluster::builder(major)
        .encryption(Encryption::Forced)
        .start()
        .await
        .unwrap();
    let secret = cluster.password();
    let connection = cluster.connection("postgres");
    let found = failure(
        &with_tls(&connection, mode(TlsMode::Disable)),
        Some(&secret),
        FailureCode::TlsRequired,
    )
    .await;
    assert!(found.hint.unwrap().contains("require"));
    assert!(
        connect(&with_tls(&connection, mode(TlsMode::Require)), Some(&secret))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_client_certificate_is_given_where_the_server_asks_for_it() {
    let cluster = Cluster::builder(18)
        .encryption(Encryption::ClientCertificate)
        .start()
        .await
        .unwrap();
    let secret = cluster.password();
    let files = cluster.certificates().unwrap().clone();
    let connection = cluster.connection("postgres");
    failure(
        &with_tls(&connection, mode(TlsMode::Require)),
        Some(&secret),
        FailureCode::TlsRequired,
    )
    .await;
    let full = Tls {
        mode: TlsMode::VerifyFull,
        ca_file: Some(files.ca.clone()),
        certificate_file: Some(files.client_certificate.clone()),
        key_file: Some(files.client_key.clone()),
    };
    let session = connect(&with_tls(&connection, full.clone()), Some(&secret))
        .await
        .unwrap();
    assert!(session.tls.encrypted);
    let (ok, text) = psql(
        &with_tls(&connection, full.clone()),
        Some(&secret),
        18,
        "SELECT 1",
    );
    assert!(ok, "{text}");

    let half = Tls {
        key_file: None,
        ..full.clone()
    };
    failure(
        &with_tls(&connection, half),
        Some(&secret),
        FailureCode::InvalidConnection,
    )
    .await;
    let swapped = Tls {
        key_file: full.certificate_file.clone(),
        ..full.clone()
    };
    failure(
        &with_tls(&connection, swapped),
        Some(&secret),
        FailureCode::InvalidConnection,
    )
    .await;
    let missing = Tls {
        ca_file: Some("/nonexistent/ca.pem".into()),
        ..full
    };
    let found = failure(
        &with_tls(&connection, missing),
        Some(&secret),
        FailureCode::InvalidConnection,
    )
    .await;
    assert!(found.message.contains("/nonexistent/ca.pem"), "{}", found.message);
}

/// libpq refuses a client key that others may read: so must we, or a test would pass and the pg_dump after it fail.
#[rstest]
#[tokio::test]
async fn a_client_key_that_others_may_read_is_refused_as_libpq_refuses_it(#[values(13, 18)] major: u16) {
    let cluster = Cluster::builder(major)
        .encryption(Encryption::ClientCertificate)
        .start()
        .await
        .unwrap();
    let secret = cluster.password();
    let files = cluster.certificates().unwrap().clone();
    let connection = with_tls(
        &Connection {
            host: "localhost".to_owned(),
            ..cluster.connection("postgres")
        },
        Tls {
            mode: TlsMode::VerifyFull,
            ca_file: Some(files.ca.clone()),
            certificate_file: Some(files.client_certificate.clone()),
            key_file: Some(files.client_key.clone()),
        },
    );
    // Root's own may be read by its group.
    let group = nix::unistd::geteuid().is_root();
    for (bits, accepted) in [(0o600, true), (0o640, group), (0o644, false), (0o660, false)] {
        std::fs::set_permissions(&files.client_key, std::fs::Permissions::from_mode(bits)).unwrap();
        let (ok, text) = psql(&connection, Some(&secret), major, "SELECT 1");
        assert_eq!(ok, accepted, "psql with {bits:o}: {text}");
        if accepted {
            assert!(connect(&connection, Some(&secret)).await.is_ok(), "{bits:o}");
            continue;
        }
        assert_eq!(
            howdah_postgres::classify::classify_libpq(&text),
            Some(FailureCode::InvalidConnection),
            "{text}"
        );
        let found = failure(&connection, Some(&secret), FailureCode::InvalidConnection).await;
        assert!(found.hint.unwrap().contains("chmod 600"), "{bits:o}");
    }
}

/// Ends TLS with a certificate of its own and speaks TLS with the server: what channel binding is against. Lasts as long as
/// the test.
async fn in_the_middle(files: &Certificates, server: u16) -> std::io::Result<u16> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivateKeyDer::from_pem_file(&files.client_key).unwrap();
    let chain = vec![CertificateDer::from_pem_file(&files.client_certificate).unwrap()];
    let near_end = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(&files.ca).unwrap())
        .unwrap();
    let far_end = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (acceptor, connector) = (
        TlsAcceptor::from(Arc::new(near_end)),
        TlsConnector::from(Arc::new(far_end)),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let (acceptor, connector) = (acceptor.clone(), connector.clone());
            tokio::spawn(async move {
                let mut far = TcpStream::connect(("127.0.0.1", server)).await?;
                let (mut request, mut answer) = ([0; 8], [0; 1]);
                near.read_exact(&mut request).await?;
                far.write_all(&request).await?;
                far.read_exact(&mut answer).await?;
                near.write_all(&answer).await?;
                let localhost = ServerName::try_from("localhost").unwrap();
                let (mut near, mut far) =
                    tokio::try_join!(acceptor.accept(near), connector.connect(localhost, far))?;
                tokio::io::copy_bidirectional(&mut near, &mut far).await
            });
        }
    });
    Ok(port)
}

/// A mode that verifies no certificate sees nobody in the middle; the login does, since it is bound to the certificate.
#[rstest]
#[tokio::test]
async fn a_login_is_bound_to_its_tls_session(#[values(13, 18)] major: u16) {
    let cluster = Cluster::builder(major)
        .encryption(Encryption::Forced)
        .start()
        .await
        .unwrap();
    let secret = cluster.password();
    let connection = with_tls(&cluster.connection("postgres"), mode(TlsMode::Require));
    let session = connect(&connection, Some(&secret)).await.unwrap();
    assert!(session.tls.encrypted);
    let overheard = Connection {
        port: in_the_middle(cluster.certificates().unwrap(), cluster.port())
            .await
            .unwrap(),
        ..connection
    };
    let found = failure(&overheard, Some(&secret), FailureCode::AuthenticationFailed).await;
    assert!(found.details.unwrap().contains("channel binding"), "{major}");
}
