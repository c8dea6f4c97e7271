//! Ports forwarded through a real `sshd`: many bytes, many connections, far ends that are not there, tunnels that break.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod support;

use std::time::{Duration, Instant};

use howdah_domain::FailureCode;
use howdah_ssh::{Error, Far, Forwarder, Route};
use howdah_testkit::sshd::Sshd;
use support::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio_util::sync::CancellationToken;

async fn forward(sshd: &Sshd, far: Far) -> Result<Forwarder, Error> {
    let cancel = CancellationToken::new();
    let route = Route::resolve(&sshd.target(), None, &options(sshd), &cancel).await?;
    Forwarder::open(route, far, &cancel).await
}

async fn connect(forwarder: &Forwarder) -> TcpStream {
    TcpStream::connect(forwarder.address()).await.unwrap()
}

#[tokio::test]
async fn bytes_come_through_unchanged_in_both_directions() {
    let sshd = Sshd::start().unwrap();
    let forwarder = forward(&sshd, far(echo().await)).await.unwrap();
    assert!(forwarder.address().ip().is_loopback());
    let (mut read, mut write) = connect(&forwarder).await.into_split();
    let sent: Vec<u8> = (0..20_000_003_u32)
        .map(|i| u8::try_from(i % 251).unwrap())
        .collect();
    let expected = sent.clone();
    let sending = tokio::spawn(async move {
        write.write_all(&sent).await.unwrap();
        write.shutdown().await.unwrap();
    });
    let mut found = Vec::new();
    read.read_to_end(&mut found).await.unwrap();
    sending.await.unwrap();
    assert!(found == expected, "20 MB come back unchanged, and then the end");
    assert!(forwarder.trouble().is_none());
}

#[tokio::test]
async fn one_connection_after_another_uses_the_same_session() {
    let sshd = Sshd::start().unwrap();
    let forwarder = forward(&sshd, far(echo().await)).await.unwrap();
    for _ in 0..5 {
        let stream = connect(&forwarder).await;
        speaks(stream).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(
        sshd.log().matches("Accepted publickey").count(),
        1,
        "{}",
        sshd.log()
    );
}

#[tokio::test]
async fn a_connection_that_nobody_empties_stops_no_other() {
    let sshd = Sshd::start().unwrap();
    // A far end that says more than all buffers between hold to who says x, and answers others.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                if stream.read_u8().await? == b'x' {
                    loop {
                        stream.write_all(&[7; 65536]).await?;
                    }
                }
                stream.write_all(b"yes").await
            });
        }
    });
    let forwarder = forward(&sshd, far(address)).await.unwrap();
    let mut stuck = connect(&forwarder).await;
    stuck.write_all(b"x").await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let answer = async {
        let mut other = connect(&forwarder).await;
        other.write_all(b"o").await.unwrap();
        let mut answer = [0; 3];
        other.read_exact(&mut answer).await.unwrap();
        answer
    };
    let answer = tokio::time::timeout(Duration::from_secs(5), answer).await;
    assert_eq!(&answer.expect("the other connection is answered"), b"yes");
    // Longer than three keepalives: a connection that stands still is no session that is lost.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(forwarder.trouble().is_none(), "{:?}", forwarder.trouble());
    let mut some = vec![0; 1_000_000];
    stuck.read_exact(&mut some).await.unwrap();
}

#[tokio::test]
async fn a_socket_of_the_far_side_can_be_reached() {
    let sshd = Sshd::start().unwrap();
    let path = sshd.folder().join("far.sock");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                tokio::io::copy(&mut read, &mut write).await
            });
        }
    });
    let path = path.display().to_string();
    let forwarder = forward(&sshd, Far::Socket { path }).await.unwrap();
    speaks(connect(&forwarder).await).await;
}

#[tokio::test]
async fn a_far_end_that_is_not_there_is_told_when_the_forwarder_is_opened() {
    let sshd = Sshd::start().unwrap();
    let nobody = Far::Tcp {
        host: "127.0.0.1".into(),
        port: 1,
    };
    let error = refusal(forward(&sshd, nobody).await);
    assert!(
        matches!(
            error,
            Error::Refused {
                nobody_there: true,
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(error.to_failure().code, FailureCode::ConnectionRefused);
    assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
}

#[tokio::test]
async fn a_server_that_forwards_nothing_is_told_as_such() {
    let sshd = Sshd::builder().line("AllowTcpForwarding no").start().unwrap();
    let error = refusal(forward(&sshd, far(echo().await)).await);
    assert!(
        matches!(
            error,
            Error::Refused {
                nobody_there: false,
                ..
            }
        ),
        "{error:?}"
    );
    let failure = error.to_failure();
    assert_eq!(failure.code, FailureCode::TunnelFailed);
    assert!(failure.hint.unwrap().contains("AllowTcpForwarding"));
}

#[tokio::test]
async fn a_session_that_is_killed_is_lost_and_the_connection_is_closed() {
    let sshd = Sshd::start().unwrap();
    let forwarder = forward(&sshd, far(echo().await)).await.unwrap();
    let mut stream = connect(&forwarder).await;
    stream.write_all(b"x").await.unwrap();
    stream.read_u8().await.unwrap();
    let begun = Instant::now();
    sshd.kill_sessions();
    let lost = forwarder.lost().await;
    assert!(
        matches!(lost, Error::Lost { .. }) && lost.is_retryable(),
        "{lost:?}"
    );
    assert_eq!(lost.to_failure().code, FailureCode::TunnelLost);
    // Whatever way it hears it, the near end hears that it is over.
    assert!(matches!(stream.read(&mut [0; 8]).await, Ok(0) | Err(_)));
    assert!(begun.elapsed() < Duration::from_secs(3));
    // The next one finds a way again.
    speaks(connect(&forwarder).await).await;
}

#[tokio::test]
async fn a_server_that_no_longer_answers_is_lost_after_three_signs_of_life() {
    let sshd = Sshd::start().unwrap();
    let forwarder = forward(&sshd, far(echo().await)).await.unwrap();
    let mut stream = connect(&forwarder).await;
    stream.write_all(b"x").await.unwrap();
    stream.read_u8().await.unwrap();
    sshd.freeze_sessions();
    // A keepalive a second here.
    let lost = tokio::time::timeout(Duration::from_secs(10), forwarder.lost())
        .await
        .unwrap();
    assert!(lost.to_string().contains("no longer answers"), "{lost}");
}

#[tokio::test]
async fn an_idle_session_that_breaks_hurts_nobody() {
    let sshd = Sshd::start().unwrap();
    let forwarder = forward(&sshd, far(echo().await)).await.unwrap();
    sshd.kill_sessions();
    tokio::time::sleep(Duration::from_millis(200)).await;
    speaks(connect(&forwarder).await).await;
    assert!(forwarder.trouble().is_none(), "{:?}", forwarder.trouble());
}

#[tokio::test]
async fn a_server_that_went_away_is_told_by_the_next_connection() {
    let mut sshd = Sshd::start().unwrap();
    let forwarder = forward(&sshd, far(echo().await)).await.unwrap();
    let stopped = sshd.stop();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut stream = connect(&forwarder).await;
    assert!(matches!(stream.read(&mut [0; 8]).await, Ok(0) | Err(_)));
    assert!(
        matches!(forwarder.trouble(), Some(Error::Unreachable { .. })),
        "{:?}",
        forwarder.trouble()
    );
    sshd.start_again(stopped).unwrap();
    speaks(connect(&forwarder).await).await;
    assert!(forwarder.trouble().is_none(), "{:?}", forwarder.trouble());
}

#[tokio::test]
async fn a_forwarder_that_is_dropped_closes_everything() {
    let sshd = Sshd::start().unwrap();
    let forwarder = forward(&sshd, far(echo().await)).await.unwrap();
    let address = forwarder.address();
    let mut stream = connect(&forwarder).await;
    stream.write_all(b"x").await.unwrap();
    stream.read_u8().await.unwrap();
    drop(forwarder);
    assert!(matches!(stream.read(&mut [0; 8]).await, Ok(0) | Err(_)));
    let begun = Instant::now();
    while !sshd.sessions().is_empty() || TcpStream::connect(address).await.is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(5), "something is left");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
