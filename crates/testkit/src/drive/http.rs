//! HTTP/1.1 as far as the emulator needs it: heads, bodies of a known length, answers, connections that are kept, and
//! everything that can go wrong with them. Other emulators read and answer with it too.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::faults::{Fault, On};
use super::{Shared, files, oauth, upload};

/// Serves connections until it is aborted, and they with it.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    let shared = Arc::clone(&shared);
                    connections.spawn(async move {
                        // A client that goes away in the middle is no error of the emulator's.
                        let _ = connection(stream, &shared).await;
                    });
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// The head of a request.
#[derive(Debug)]
pub(crate) struct Request {
    pub method: String,
    pub path: String,
    pub query: Vec<(String, String)>,
    pub headers: Vec<(String, String)>,
    /// Bytes of the body; none where it was not told.
    pub len: Option<u64>,
}

impl Request {
    /// A header, by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// A parameter of the address.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// The body of a request, which is read piece by piece.
pub(crate) struct Body<'a> {
    pub(crate) stream: &'a mut BufReader<TcpStream>,
    pub(crate) left: u64,
}

impl Body<'_> {
    /// The next bytes; none at the end.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        if self.left == 0 {
            return Ok(None);
        }
        let mut piece = vec![0; usize::try_from(self.left.min(64 * 1024)).unwrap_or(64 * 1024)];
        let read = self.stream.read(&mut piece).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        piece.truncate(read);
        self.left -= read as u64;
        Ok(Some(piece))
    }

    /// All of it.
    pub(crate) async fn all(&mut self) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(piece) = self.next().await? {
            all.extend_from_slice(&piece);
        }
        Ok(all)
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Content,
}

/// The body of an answer.
#[derive(Debug)]
pub(crate) enum Content {
    Bytes(Vec<u8>),
    /// `len` bytes of a file of this machine, from `start` on.
    File {
        path: std::path::PathBuf,
        start: u64,
        len: u64,
    },
}

impl Reply {
    pub(crate) fn empty(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Content::Bytes(Vec::new()),
        }
    }

    pub(crate) fn json(status: u16, value: &Value) -> Self {
        Self {
            status,
            headers: vec![("Content-Type", "application/json; charset=UTF-8".to_owned())],
            body: Content::Bytes(value.to_string().into_bytes()),
        }
    }

    /// An error as the Drive API writes them.
    pub(super) fn error(status: u16, reason: &str, message: &str) -> Self {
        Self::json(
            status,
            &json!({ "error": {
                "code": status,
                "message": message,
                "errors": [{ "domain": "global", "reason": reason, "message": message }],
            }}),
        )
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// What becomes of a request.
pub(super) enum Outcome {
    /// It is answered.
    Reply(Reply),
    /// The connection breaks.
    Break,
}

async fn connection(stream: TcpStream, shared: &Arc<Shared>) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    while let Some(request) = head(&mut stream).await? {
        let on = kind(&request);
        let fault = on.and_then(|on| shared.lock().faults.strike(on));
        let mut body = Body {
            left: request.len.unwrap_or_default(),
            stream: &mut stream,
        };
        let outcome = match &fault {
            Some(Fault::Answer {
                status,
                reason,
                retry_after,
            }) => {
                body.all().await?;
                let reply = Reply::error(*status, reason, "it fails on purpose");
                Outcome::Reply(match retry_after {
                    Some(seconds) => reply.header("Retry-After", seconds.to_string()),
                    None => reply,
                })
            }
            Some(Fault::StopReading) => {
                tokio::time::sleep(Duration::from_secs(3600)).await;
                Outcome::Break
            }
            _ => {
                if fault == Some(Fault::ExpireTokens) {
                    shared.lock().tokens.clear();
                }
                route(shared, &request, &mut body, fault.as_ref()).await?
            }
        };
        // What an answer came before is not of interest to anybody.
        let unread = body.left > 0;
        let Outcome::Reply(reply) = outcome else {
            return Ok(());
        };
        match fault {
            Some(Fault::LoseAnswer) => return Ok(()),
            Some(Fault::Silence) => {
                tokio::time::sleep(Duration::from_secs(3600)).await;
                return Ok(());
            }
            Some(Fault::CutAnswer(after)) => {
                send(&mut stream, reply, Some(after)).await?;
                return Ok(());
            }
            _ => send(&mut stream, reply, None).await?,
        }
        if unread {
            return Ok(());
        }
    }
    Ok(())
}

/// Which kind of request it is; none for those that never go wrong.
fn kind(request: &Request) -> Option<On> {
    let below = request.path.strip_prefix("/drive/v3/");
    Some(match (request.method.as_str(), request.path.as_str(), below) {
        ("POST", "/token", _) => On::Token,
        ("GET", _, Some("about")) => On::About,
        ("GET", _, Some("files/generateIds")) => On::Ids,
        ("GET", _, Some("files")) => On::List,
        ("POST", _, Some("files")) => On::Create,
        ("GET", _, Some(_)) if request.parameter("alt") == Some("media") => On::Download,
        ("GET", _, Some(_)) => On::Get,
        ("PATCH", _, Some(_)) => On::Update,
        ("DELETE", _, Some(_)) => On::Delete,
        ("POST", "/upload/drive/v3/files", _) => On::Open,
        ("DELETE", "/upload/drive/v3/files", _) => On::GiveUp,
        ("PUT", "/upload/drive/v3/files", _) => match request.header("content-range") {
            Some(range) if range.starts_with("bytes */") => On::Progress,
            Some(range) if range.ends_with("/*") => On::Chunk,
            _ => On::LastChunk,
        },
        _ => return None,
    })
}

async fn route(
    shared: &Arc<Shared>,
    request: &Request,
    body: &mut Body<'_>,
    fault: Option<&Fault>,
) -> anyhow::Result<Outcome> {
    if request.path == "/upload/drive/v3/files" {
        return upload::answer(shared, request, body, fault).await;
    }
    if let Some(Fault::CutRequest(_)) = fault {
        return Ok(Outcome::Break);
    }
    let content = body.all().await?;
    let reply = match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/o/oauth2/v2/auth") => oauth::page(&mut shared.lock(), request),
        ("POST", "/token") => oauth::token(&mut shared.lock(), &content),
        (_, path) => match path.strip_prefix("/drive/v3/") {
            Some(path) => files::answer(shared, request, path, &content),
            None => Reply::error(404, "notFound", "There is no such address."),
        },
    };
    Ok(Outcome::Reply(reply))
}

/// Reads the head of the next request; none where the client has closed the connection.
pub(crate) async fn head(stream: &mut BufReader<TcpStream>) -> anyhow::Result<Option<Request>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) if head.is_empty() => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        ensure!(head.len() < 64 * 1024, "the head of a request is too long");
    }
    let head = String::from_utf8(head)?;
    let mut lines = head.lines();
    let mut first = lines.next().context("a request has no first line")?.split(' ');
    let (Some(method), Some(target)) = (first.next(), first.next()) else {
        bail!("{head} is no request");
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(key, value)| (key.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let len = headers
        .iter()
        .find(|(key, _)| key == "content-length")
        .map(|(_, value)| value.parse())
        .transpose()?;
    // Google asks for Content-Length wherever content is sent.
    ensure!(
        !headers.iter().any(|(key, _)| key == "transfer-encoding"),
        "a request's body has no length"
    );
    Ok(Some(Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: url::form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect(),
        headers,
        len,
    }))
}

pub(crate) async fn send(
    stream: &mut BufReader<TcpStream>,
    reply: Reply,
    cut: Option<u64>,
) -> anyhow::Result<()> {
    let len = match &reply.body {
        Content::Bytes(bytes) => bytes.len() as u64,
        Content::File { len, .. } => *len,
    };
    let mut head = format!("HTTP/1.1 {} Whatever\r\n", reply.status);
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if reply.status != 204 {
        head.push_str(&format!("Content-Length: {len}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).await?;
    let mut left = len.min(cut.unwrap_or(u64::MAX));
    match reply.body {
        Content::Bytes(bytes) => {
            stream
                .write_all(&bytes[..usize::try_from(left).unwrap_or(bytes.len())])
                .await?;
        }
        Content::File { path, start, .. } => {
            let mut file = File::open(path).await?;
            file.seek(io::SeekFrom::Start(start)).await?;
            let mut piece = vec![0; 64 * 1024];
            while left > 0 {
                let want = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
                file.read_exact(&mut piece[..want]).await?;
                stream.write_all(&piece[..want]).await?;
                left -= want as u64;
            }
        }
    }
    stream.flush().await?;
    Ok(())
}
