//! Servers that are not what they seem: one that accepts and never answers, one that speaks another protocol, one that is
//! a PostgreSQL of a version nobody supports.

use std::net::{Ipv4Addr, SocketAddr};

use howdah_domain::{Connection, Tls, TlsMode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Something that listens on a port of 127.0.0.1 until it is dropped.
#[derive(Debug)]
pub struct Impostor {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Impostor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Impostor {
    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// How one would reach it, if it were a PostgreSQL.
    pub fn connection(&self) -> Connection {
        Connection {
            host: Ipv4Addr::LOCALHOST.to_string(),
            port: self.port(),
            role: "postgres".into(),
            database: "postgres".into(),
            tls: Tls {
                mode: TlsMode::Prefer,
                ..Tls::default()
            },
            tunnel: None,
            forwarded: None,
        }
    }

    async fn serving<F, S>(serve: S) -> std::io::Result<Self>
    where
        S: Fn(TcpStream) -> F + Send + 'static,
        F: Future<Output = std::io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            let mut sessions = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                // They end with this task, which owns the set.
                sessions.spawn(serve(stream));
            }
        });
        Ok(Self { address, task })
    }
}

/// Accepts, reads whatever comes, and never answers.
///
/// # Errors
/// When there is no free port.
pub async fn stuck_listener() -> std::io::Result<Impostor> {
    Impostor::serving(|mut stream| async move {
        let mut void = [0; 1024];
        while stream.read(&mut void).await? > 0 {}
        Ok(())
    })
    .await
}

/// Answers anything with an HTTP error, as a web server does.
///
/// # Errors
/// When there is no free port.
pub async fn web_server() -> std::io::Result<Impostor> {
    not_postgres(
        b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n400 Bad Request\n",
    )
    .await
}

/// Waits for the first bytes, answers with these, and closes.
///
/// # Errors
/// When there is no free port.
pub async fn not_postgres(answer: &'static [u8]) -> std::io::Result<Impostor> {
    Impostor::serving(move |mut stream| async move {
        let mut first = [0; 1024];
        let _ = stream.read(&mut first).await?;
        stream.write_all(answer).await
    })
    .await
}

/// Speaks first, as an SSH or mail server does, and then hangs on.
///
/// # Errors
/// When there is no free port.
pub async fn banner_server(banner: &'static [u8]) -> std::io::Result<Impostor> {
    Impostor::serving(move |mut stream| async move {
        stream.write_all(banner).await?;
        let mut void = [0; 1024];
        while stream.read(&mut void).await? > 0 {}
        Ok(())
    })
    .await
}

/// A PostgreSQL that lets everybody in and says it is of this version (`"12.22"`, `"19.0"`). It knows no statement but
/// `SHOW server_version` and `SHOW server_version_num`; TLS it has none.
///
/// # Errors
/// When there is no free port.
pub async fn postgres_of_version(version: &'static str) -> std::io::Result<Impostor> {
    Impostor::serving(move |stream| pretend(stream, version)).await
}

/// PostgreSQL manual, "Message Formats".
const SSL_REQUEST: i32 = 80_877_103;
const GSS_REQUEST: i32 = 80_877_104;

async fn pretend(mut stream: TcpStream, version: &str) -> std::io::Result<()> {
    loop {
        let length = stream.read_i32().await?;
        let code = stream.read_i32().await?;
        let mut rest = vec![0; usize::try_from(length).unwrap_or(8).saturating_sub(8).min(10_000)];
        stream.read_exact(&mut rest).await?;
        match code {
            SSL_REQUEST | GSS_REQUEST => stream.write_all(b"N").await?,
            _ => break,
        }
    }
    let mut hello = message(b'R', &0_i32.to_be_bytes());
    for (name, value) in [
        ("server_version", version),
        ("server_encoding", "UTF8"),
        ("client_encoding", "UTF8"),
        ("standard_conforming_strings", "on"),
        ("DateStyle", "ISO, MDY"),
        ("integer_datetimes", "on"),
    ] {
        hello.extend(message(b'S', format!("{name}\0{value}\0").as_bytes()));
    }
    hello.extend(message(b'K', &[0, 0, 0, 1, 0, 0, 0, 2]));
    hello.extend(message(b'Z', b"I"));
    stream.write_all(&hello).await?;

    loop {
        let kind = stream.read_u8().await?;
        let length = stream.read_i32().await?;
        let mut body = vec![
            0;
            usize::try_from(length)
                .unwrap_or(4)
                .saturating_sub(4)
                .min(1_000_000)
        ];
        stream.read_exact(&mut body).await?;
        let mut answer = match kind {
            b'X' => return Ok(()),
            b'Q' => {
                let statement = String::from_utf8_lossy(&body).to_ascii_lowercase();
                match statement.trim_end_matches(['\0', ';', ' ']) {
                    "show server_version" => value("server_version", version),
                    "show server_version_num" => value("server_version_num", &number(version)),
                    _ => unknown(),
                }
            }
            // The extended protocol: everything up to Sync is answered by one error.
            b'S' => unknown(),
            _ => continue,
        };
        answer.extend(message(b'Z', b"I"));
        stream.write_all(&answer).await?;
    }
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut message = vec![kind];
    message.extend(i32::try_from(body.len() + 4).unwrap_or(i32::MAX).to_be_bytes());
    message.extend(body);
    message
}

/// RowDescription, one DataRow, CommandComplete.
fn value(name: &str, value: &str) -> Vec<u8> {
    let mut description = vec![0, 1];
    description.extend(name.as_bytes());
    // No table, no column, type text (25), any length, no modifier, text format.
    description.extend([
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 25, 255, 255, 255, 255, 255, 255, 0, 0,
    ]);
    let mut row = vec![0, 1];
    row.extend(i32::try_from(value.len()).unwrap_or(0).to_be_bytes());
    row.extend(value.as_bytes());
    let mut all = message(b'T', &description);
    all.extend(message(b'D', &row));
    all.extend(message(b'C', b"SHOW\0"));
    all
}

fn unknown() -> Vec<u8> {
    message(b'E', b"SERROR\0VERROR\0C0A000\0Mthis server only pretends\0\0")
}

/// `12.22` as `120022`.
fn number(version: &str) -> String {
    let (major, minor) = version.split_once('.').unwrap_or((version, "0"));
    format!("{major}{:04}", minor.parse::<u32>().unwrap_or(0))
}
