//! The ways to a server that a dump takes: IPv6, a Unix socket, TLS with and without a client certificate; the programs of a
//! newer major; two servers on one host.

use std::sync::Arc;

use howdah_domain::{Connection, FailureCode, Tls, TlsMode};
use howdah_postgres::programs::Programs;
use howdah_testkit::{Cluster, Encryption, forward};
use rstest::rstest;

use crate::support::{Heard, TestEngine, failure};

/// A cluster with a table of ten rows.
async fn with_ten_rows(major: u16, encryption: Encryption) -> Cluster {
    let cluster = Cluster::builder(major)
        .encryption(encryption)
        .start()
        .await
        .unwrap();
    cluster
        .sql("postgres", "CREATE TABLE t AS SELECT generate_series(1, 10) AS n")
        .await
        .unwrap();
    cluster
}

/// Backs up by one way and restores by the same.
async fn there_and_back(cluster: &Cluster, by: Connection) {
    let test = TestEngine::start().await;
    let wanted = test.one_off(by.clone(), cluster.password());
    let made = test.back_up(&wanted).await.unwrap();
    assert_eq!(made.manifest.rows, 10);
    for jobs in [1, 2] {
        let target = by.with_database(format!("restored by {jobs}"));
        test.comes_back_equal(&made, target, cluster.password(), jobs)
            .await;
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn ipv6(#[values(13, 18)] major: u16) {
    let cluster = with_ten_rows(major, Encryption::None).await;
    let forward = forward("[::1]:0", cluster.port()).await.unwrap();
    let by = Connection {
        host: "::1".to_owned(),
        port: forward.port(),
        ..cluster.connection("postgres")
    };
    there_and_back(&cluster, by).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket(#[values(13, 18)] major: u16) {
    let cluster = with_ten_rows(major, Encryption::None).await;
    there_and_back(&cluster, cluster.socket_connection("postgres")).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate(#[values(13, 18)] major: u16) {
    let cluster = with_ten_rows(major, Encryption::ClientCertificate).await;
    let files = cluster.certificates().unwrap().clone();
    let by = Connection {
        host: "localhost".to_owned(),
        tls: Tls {
            mode: TlsMode::VerifyFull,
            ca_file: Some(files.ca),
            certificate_file: Some(files.client_certificate),
            key_file: Some(files.client_key),
        },
        ..cluster.connection("postgres")
    };
    there_and_back(&cluster, by).await;
}

/// The bundle without the client of 13, as on systems for which there is none.
fn without_client_13(folder: &std::path::Path) -> Programs {
    let bundled = Programs::locate(None).unwrap();
    std::fs::create_dir(folder.join("13")).unwrap();
    let stamp = std::fs::read(bundled.root().join("13/stamp.json")).unwrap();
    let mut stamp: serde_json::Value = serde_json::from_slice(&stamp).unwrap();
    stamp["client"] = serde_json::Value::Null;
    std::fs::write(folder.join("13/stamp.json"), stamp.to_string()).unwrap();
    for shared in ["14", "shared"] {
        std::os::unix::fs::symlink(bundled.root().join(shared), folder.join(shared)).unwrap();
    }
    Programs::at(folder).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_newer_client_where_the_servers_own_is_missing_and_it_says_so() {
    let cluster = with_ten_rows(13, Encryption::None).await;
    let programs = tempfile::tempdir().unwrap();
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let data_dir = dir.path().join("data");
    let programs = without_client_13(programs.path());
    let test = TestEngine::open(dir, data_dir, Arc::default(), Arc::default(), programs).await;
    let heard = Arc::new(Heard::default());
    let wanted = test.one_off(cluster.connection("postgres"), cluster.password());
    let made = test.back_up_heard(&wanted, &heard).await.unwrap();
    let client = &made.manifest.client;
    assert_eq!((client.major, client.newer_than_server), (14, true));
    assert!(
        heard
            .text()
            .contains("pg_dump 13 is not bundled here; pg_dump 14."),
        "{}",
        heard.text()
    );
    test.comes_back_equal(&made, cluster.connection("restored"), cluster.password(), 2)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_on_one_host_have_folders_of_their_own() {
    let test = TestEngine::start().await;
    let clusters = [
        with_ten_rows(16, Encryption::None).await,
        with_ten_rows(17, Encryption::None).await,
    ];
    let mut folders = Vec::new();
    for cluster in &clusters {
        let wanted = test.one_off(cluster.connection("postgres"), cluster.password());
        let made = test.back_up(&wanted).await.unwrap();
        assert_eq!(made.manifest.server.name, format!("127.0.0.1:{}", cluster.port()));
        folders.push(made.stored.local().unwrap().parent().unwrap().to_owned());
    }
    assert_ne!(folders[0], folders[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_demands_tls_gets_it() {
    let cluster = Cluster::builder(17)
        .encryption(Encryption::Forced)
        .start()
        .await
        .unwrap();
    let test = TestEngine::start().await;
    let mut encrypted = cluster.connection("postgres");
    encrypted.tls.mode = TlsMode::Require;
    test.back_up(&test.one_off(encrypted, cluster.password()))
        .await
        .unwrap();
    let mut plain = cluster.connection("postgres");
    plain.tls.mode = TlsMode::Disable;
    let refused = failure(
        test.back_up(&test.one_off(plain, cluster.password()))
            .await
            .map(|made| made.stored),
    );
    assert!(
        matches!(
            refused.code,
            FailureCode::TlsRequired | FailureCode::NotAllowedByHba
        ),
        "{refused:?}"
    );
    let mut verified = cluster.connection("postgres");
    verified.tls.mode = TlsMode::VerifyFull;
    verified.tls.ca_file = None;
    let untrusted = failure(
        test.back_up(&test.one_off(verified, cluster.password()))
            .await
            .map(|made| made.stored),
    );
    assert_eq!(untrusted.code, FailureCode::TlsUntrusted, "{untrusted:?}");
}
