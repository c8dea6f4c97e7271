//! FTP through a gate that misbehaves on purpose.

use std::io;
use std::time::{Duration, Instant};

use bytes::Bytes;
use howdah_domain::Secret;
use howdah_domain::destination::{FtpPlace, FtpTls};
use howdah_storage::{Destination as _, Error, Ftp, Patience};
use howdah_testkit::certificates::Certificates;
use howdah_testkit::chance::Chance;
use howdah_testkit::ftpd::Ftpd;
use howdah_testkit::rclone::{PASSWORD, USER};
use howdah_testkit::tcp_gate::{Mischief, TcpGate, TcpRule, Way};
use tokio::io::AsyncReadExt as _;

use crate::common::{eventually, everything, get, get_part, names, path, put, short, token};
use crate::{at, place};

const LARGE: usize = 20_000_000;

async fn gated() -> (Ftpd, TcpGate, Ftp) {
    let server = Ftpd::start(&[]).unwrap();
    let gate = TcpGate::before_ftp(server.port()).await.unwrap();
    let ftp = at(&place(gate.port()));
    (server, gate, ftp)
}

/// Where the server takes the end of the connection for the end of the file, the size shows it.
#[tokio::test]
async fn a_data_connection_that_is_cut_at_any_byte_is_noticed_and_leaves_nothing() {
    let (server, gate, ftp) = gated().await;
    let mut chance = Chance::for_test("cut uploads");
    for _ in 0..6 {
        let after = chance.below(LARGE as u64);
        gate.rule(TcpRule::new(Way::Up, Mischief::Cut { after }).on_data());
        let error = put(&ftp, "shop/x/dump", &vec![1; LARGE]).await.unwrap_err();
        assert!(
            matches!(error, Error::Unreachable { .. } | Error::WrongSize { .. }),
            "{after}: {error:?}"
        );
        assert_eq!(everything(&server.root()), [""; 0], "{after}");
        gate.behave();
    }
    put(&ftp, "shop/x/dump", &vec![1; LARGE]).await.unwrap();
}

#[tokio::test]
async fn a_control_connection_that_is_cut_in_mid_upload_is_told_and_leaves_nothing() {
    let (server, gate, ftp) = gated().await;
    let mut writer = ftp.create(&path("shop/x/dump"), None, &token()).await.unwrap();
    writer.write(Bytes::from(vec![1; 1_000_000])).await.unwrap();
    gate.cut_all();
    let mut result = Ok(());
    for _ in 0..20 {
        result = writer.write(Bytes::from(vec![1; 1_000_000])).await;
        if result.is_err() {
            break;
        }
    }
    let error = match result {
        Err(error) => error,
        Ok(()) => writer.finish(21_000_000).await.unwrap_err(),
    };
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    eventually("nothing is left", || everything(&server.root()).is_empty()).await;
    // Connections that were kept are as dead, and nobody notices.
    put(&ftp, "a/b", b"x").await.unwrap();
    gate.cut_all();
    assert_eq!(names(&ftp).await, ["a/b"]);
    gate.cut_all();
    assert_eq!(get(&ftp, "a/b").await.unwrap(), b"x");
}

#[tokio::test]
async fn a_connection_that_is_cut_at_any_byte_of_the_talk_is_made_again() {
    let (_server, gate, ftp) = gated().await;
    put(&ftp, "a/b", b"x").await.unwrap();
    let mut chance = Chance::for_test("cut talks");
    for _ in 0..10 {
        gate.cut_all();
        let after = chance.below(700);
        gate.rule(TcpRule::new(Way::Down, Mischief::Cut { after }));
        assert_eq!(names(&ftp).await, ["a/b"], "{after}");
        gate.behave();
    }
}

#[tokio::test]
async fn a_server_that_stops_reading_or_answering_is_given_up_and_nothing_is_left() {
    let server = Ftpd::start(&[]).unwrap();
    let gate = TcpGate::before_ftp(server.port()).await.unwrap();
    let patience = Patience {
        idle: Duration::from_millis(700),
        settle: Duration::from_millis(900),
        pauses: vec![Duration::from_millis(20)],
        ..short()
    };
    let ftp = Ftp::with_patience(&place(gate.port()), Some(&Secret::new(PASSWORD)), patience).unwrap();
    let stalls = [
        TcpRule::new(Way::Up, Mischief::Stall { after: 5_000_000 }).on_data(),
        TcpRule::new(Way::Down, Mischief::Stall { after: 400 }),
    ];
    for rule in stalls {
        gate.cut_all();
        gate.rule(rule);
        let begin = Instant::now();
        let error = put(&ftp, "shop/x/dump", &vec![1; LARGE]).await.unwrap_err();
        assert!(matches!(error, Error::Unreachable { .. }), "{rule:?}: {error:?}");
        assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
        gate.behave();
        gate.cut_all();
        ftp.delete_folder(&path("shop"), &token()).await.unwrap();
        assert_eq!(everything(&server.root()), [""; 0]);
    }
}

#[tokio::test]
async fn a_body_that_is_cut_or_stops_is_an_error_and_never_a_short_read() {
    let server = Ftpd::start(&[]).unwrap();
    let gate = TcpGate::before_ftp(server.port()).await.unwrap();
    let patience = Patience {
        idle: Duration::from_secs(3),
        ..short()
    };
    let ftp = Ftp::with_patience(&place(gate.port()), Some(&Secret::new(PASSWORD)), patience).unwrap();
    put(&ftp, "a/b", &[7; 3_000_000]).await.unwrap();
    let mut chance = Chance::for_test("cut downloads");
    let (cut, stall) = (chance.below(3_000_000), chance.below(3_000_000));
    for (mischief, kind) in [
        (Mischief::Cut { after: cut }, io::ErrorKind::UnexpectedEof),
        (Mischief::Stall { after: stall }, io::ErrorKind::TimedOut),
    ] {
        gate.behave();
        gate.rule(TcpRule::new(Way::Down, mischief).on_data());
        let mut object = ftp.read(&path("a/b"), None, &token()).await.unwrap();
        assert_eq!(object.len, 3_000_000);
        let mut bytes = Vec::new();
        let error = object.body.read_to_end(&mut bytes).await.unwrap_err();
        assert!(bytes.len() < 3_000_000);
        assert!(
            error.kind() == kind || error.kind() == io::ErrorKind::ConnectionReset,
            "{mischief:?}: {error:?}"
        );
    }
    gate.behave();
    assert_eq!(get(&ftp, "a/b").await.unwrap().len(), 3_000_000);
}

#[tokio::test]
async fn a_reader_that_has_enough_gives_its_connection_back() {
    let (_server, gate, ftp) = gated().await;
    put(&ftp, "a/b", &[7; 3_000_000]).await.unwrap();
    for number in 0..10 {
        let bytes = get_part(&ftp, "a/b", number..number + 10).await.unwrap();
        assert_eq!(bytes, [7; 10]);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Some servers fall out of step when a transfer is cut; this one does not.
    assert!(gate.connections() <= 3, "{} connections", gate.connections());
}

/// TLS is what protects the bytes on their way: one that is altered ends the connection.
#[tokio::test]
async fn a_byte_that_is_altered_on_its_way_never_arrives_through_tls() {
    let directory = tempfile::tempdir().unwrap();
    let certificates = Certificates::make(directory.path(), USER).unwrap();
    let server = Ftpd::with_tls(&certificates, &["--implicit"]).unwrap();
    let gate = TcpGate::before(server.port()).await.unwrap();
    let ftp = at(&FtpPlace {
        tls: FtpTls::Implicit,
        ca_file: Some(certificates.ca),
        ..place(gate.port())
    });
    let mut chance = Chance::for_test("altered bytes");
    for _ in 0..5 {
        gate.cut_all();
        let at = chance.below(2000);
        gate.rule(TcpRule::new(Way::Down, Mischief::Flip { at }));
        let stored = put(&ftp, "a/b", b"precious").await;
        gate.behave();
        match stored {
            Ok(_) => {}
            // The login itself was hit, which is not tried again: nothing was begun.
            Err(Error::Unreachable { .. }) => {
                put(&ftp, "a/b", b"precious").await.unwrap();
            }
            Err(error) => panic!("{error:?}"),
        }
        assert_eq!(get(&ftp, "a/b").await.unwrap(), b"precious");
        ftp.delete_folder(&path("a"), &token()).await.unwrap();
    }
    assert_eq!(everything(&server.root()), [""; 0]);
}
