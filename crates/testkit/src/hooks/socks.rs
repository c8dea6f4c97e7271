//! A SOCKS5 proxy with a user and a password (RFC 1928, RFC 1929), which leads every connection to one place, whatever name it was
//! asked for.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::ensure;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// The user and the password that it asks for.
const LOGIN: (&str, &str) = ("ada", "socks-password-secret");

/// A running proxy on 127.0.0.1; dropping it ends it.
#[derive(Debug)]
pub struct SocksProxy {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
    server: JoinHandle<()>,
}

impl SocksProxy {
    /// Starts one that leads to a port of this machine.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start(to: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let names = Arc::clone(&asked);
        let server = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let names = Arc::clone(&names);
                connections.spawn(async move {
                    let _ = lead(stream, to, &names).await;
                });
            }
        });
        Ok(Self { port, asked, server })
    }

    /// Its URL, with user and password.
    pub fn url(&self) -> String {
        format!("socks5://{}:{}@127.0.0.1:{}", LOGIN.0, LOGIN.1, self.port)
    }

    /// Its password.
    pub fn password(&self) -> &'static str {
        LOGIN.1
    }

    /// The names that it was asked for, each with a port; addresses are not among them.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for SocksProxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn lead(mut client: TcpStream, to: u16, asked: &Mutex<Vec<String>>) -> anyhow::Result<()> {
    let version = client.read_u8().await?;
    let methods = pascal(&mut client).await?;
    ensure!(
        version == 5 && methods.contains(&2),
        "no SOCKS5 with a user and a password"
    );
    client.write_all(&[5, 2]).await?;
    ensure!(client.read_u8().await? == 1, "no login");
    let (user, password) = (pascal(&mut client).await?, pascal(&mut client).await?);
    let good = user == LOGIN.0.as_bytes() && password == LOGIN.1.as_bytes();
    client.write_all(&[1, u8::from(!good)]).await?;
    ensure!(good, "a wrong login");
    let mut head = [0; 4];
    client.read_exact(&mut head).await?;
    ensure!(head[..2] == [5, 1], "no CONNECT");
    match head[3] {
        1 => {
            client.read_exact(&mut [0; 4]).await?;
            client.read_u16().await?;
        }
        3 => {
            let name = String::from_utf8(pascal(&mut client).await?)?;
            let port = client.read_u16().await?;
            asked
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(format!("{name}:{port}"));
        }
        _ => anyhow::bail!("an address of another kind"),
    }
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, to)).await?;
    client.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 0]).await?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

/// A text behind a byte with its length.
async fn pascal(stream: &mut TcpStream) -> anyhow::Result<Vec<u8>> {
    let mut text = vec![0; usize::from(stream.read_u8().await?)];
    stream.read_exact(&mut text).await?;
    Ok(text)
}
