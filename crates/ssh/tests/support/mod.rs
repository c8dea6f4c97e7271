//! What the tests of sessions share: an echo to forward to, and configuration files.
#![allow(dead_code, unreachable_pub, reason = "each test program uses a part")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use howdah_domain::Secret;
use howdah_domain::destination::{SshLogin, SshTarget};
use howdah_ssh::{Error, Far, Options, Route, Session};
use howdah_testkit::sshd::Sshd;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Options that know this server, read no configuration of the user's, and wait briefly.
pub fn options(sshd: &Sshd) -> Options {
    Options {
        known_hosts: Some(sshd.known_hosts()),
        config: Some(config(sshd.folder(), "")),
        connect_timeout: Duration::from_secs(10),
        keepalive: Duration::from_secs(1),
    }
}

/// A configuration file with this text, in which no key, agent or file of the user's has a part.
pub fn config(folder: &Path, text: &str) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let file = folder.join(format!("ssh_config_{}", NEXT.fetch_add(1, Ordering::Relaxed)));
    let end = "\nHost *\n  UserKnownHostsFile none\n  GlobalKnownHostsFile none\n  IdentityAgent none\n  IdentityFile none\n";
    std::fs::write(&file, format!("{text}{end}")).unwrap();
    file
}

pub fn with(sshd: &Sshd, login: SshLogin) -> SshTarget {
    SshTarget {
        login,
        ..sshd.target()
    }
}

pub async fn open(target: &SshTarget, secret: Option<&str>, options: &Options) -> Result<Session, Error> {
    let cancel = CancellationToken::new();
    let secret = secret.map(Secret::new);
    let route = Route::resolve(target, secret.as_ref(), options, &cancel).await?;
    route.open(&cancel).await
}

/// What the test expects not to come about.
pub fn refusal<T>(result: Result<T, Error>) -> Error {
    match result {
        Ok(_) => panic!("it went well"),
        Err(error) => error,
    }
}

/// Sends back whatever it gets.
pub async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                tokio::io::copy(&mut read, &mut write).await
            });
        }
    });
    address
}

pub fn far(address: SocketAddr) -> Far {
    Far::Tcp {
        host: address.ip().to_string(),
        port: address.port(),
    }
}

/// Sends bytes and hears them again.
pub async fn speaks(mut stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin) {
    stream.write_all(b"is anybody there?").await.unwrap();
    let mut answer = [0; 17];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"is anybody there?");
}
