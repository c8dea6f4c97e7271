//! One client's connection through the gate: request after request, each to the server on a connection of its own.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;

use super::message::{AnswerHead, Body, Incoming, Piece, RequestHead};
use super::{Answer, Shared, Trick};

/// How long what a client still sends is read after it was answered early. Closing at once would reset the connection, and the
/// answer could be lost with it.
const DRAIN: Duration = Duration::from_secs(2);
/// How long an answer is waited for when the server no longer takes the request.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Whether the client's connection goes on.
enum Next {
    KeepAlive,
    Close,
}

/// Serves a client until it or the server goes, or a trick ends it.
pub(super) async fn run(client: TcpStream, shared: Shared) {
    let _ = client.set_nodelay(true);
    let (from_client, mut to_client) = client.into_split();
    let mut from_client = Incoming::new(from_client);
    while let Ok(Some(head)) = from_client.head().await {
        let Ok(request) = RequestHead::parse(&head) else {
            return;
        };
        let trick = shared.book().enter(request.seen.clone());
        let _on_its_way = OnItsWay(&shared);
        let next = match trick {
            Some(Trick::Answer(answer)) => {
                answer_ourselves(request, &answer, &mut from_client, &mut to_client).await
            }
            trick => pass_on(&head, request, trick, &shared, &mut from_client, &mut to_client).await,
        };
        if !matches!(next, Ok(Next::KeepAlive)) {
            return;
        }
    }
}

/// A request between its arrival and the end of its answer.
struct OnItsWay<'a>(&'a Shared);

impl Drop for OnItsWay<'_> {
    fn drop(&mut self) {
        self.0.book().at_once -= 1;
    }
}

async fn answer_ourselves(
    mut request: RequestHead,
    answer: &Answer,
    from_client: &mut Incoming,
    to_client: &mut OwnedWriteHalf,
) -> io::Result<Next> {
    let at_once = answer.after.is_some() || request.waits;
    if request.waits && answer.after.is_some() {
        to_client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    let mut left = match answer.after {
        Some(after) => after,
        None if request.waits => 0,
        None => u64::MAX,
    };
    while left > 0 {
        match request.body.next(from_client).await? {
            Some(Piece::Payload(bytes)) => left = left.saturating_sub(bytes.len() as u64),
            Some(Piece::Framing(_)) => {}
            None => break,
        }
    }
    let keeps_alive = request.keeps_alive && !at_once;
    let mut text = format!(
        "HTTP/1.1 {} Misbehaving\r\nContent-Length: {}\r\nConnection: {}\r\n",
        answer.status,
        answer.body.len(),
        if keeps_alive { "keep-alive" } else { "close" }
    );
    for (name, value) in &answer.headers {
        let _ = write!(text, "{name}: {value}\r\n");
    }
    text.push_str("\r\n");
    to_client.write_all(text.as_bytes()).await?;
    if !request.seen.method.eq_ignore_ascii_case("HEAD") {
        to_client.write_all(&answer.body).await?;
    }
    if keeps_alive {
        return Ok(Next::KeepAlive);
    }
    drain(request.body, from_client).await;
    Ok(Next::Close)
}

async fn pass_on(
    head: &[u8],
    request: RequestHead,
    trick: Option<Trick>,
    shared: &Shared,
    from_client: &mut Incoming,
    to_client: &mut OwnedWriteHalf,
) -> io::Result<Next> {
    let server = TcpStream::connect(shared.server).await?;
    server.set_nodelay(true)?;
    let (from_server, mut to_server) = server.into_split();
    let mut from_server = Incoming::new(from_server);
    to_server.write_all(head).await?;

    let RequestHead {
        seen,
        mut body,
        keeps_alive,
        ..
    } = request;
    let mut on_request = Relay::on_request(trick.as_ref());
    let mut on_answer = Relay::on_answer(trick.as_ref());
    let heard = match trick {
        Some(Trick::LoseAnswer) => Heard::Cut,
        Some(Trick::StallAnswer) => Heard::Never,
        _ => Heard::All,
    };
    if matches!(trick, Some(Trick::StallRequest { .. })) {
        // Whatever the server may say to half a request, it is not passed on.
        on_request.pass(&mut body, from_client, &mut to_server).await?;
        return Ok(Next::Close);
    }

    let answer = answer_of_server(&seen.method, &mut from_server, to_client, &mut on_answer, heard);
    tokio::pin!(answer);
    let uploaded = {
        let upload = on_request.pass(&mut body, from_client, &mut to_server);
        tokio::pin!(upload);
        tokio::select! {
            // Answered early, as servers do that refuse.
            answered = &mut answer => Err(answered),
            uploaded = &mut upload => Ok(uploaded),
        }
    };
    match uploaded {
        Ok(Ok(Passed::Whole)) => {
            let alive = answer.await?;
            Ok(if keeps_alive && alive {
                Next::KeepAlive
            } else {
                Next::Close
            })
        }
        Ok(Ok(Passed::Cut)) => Ok(Next::Close),
        Ok(Err(error)) => {
            // The server takes no more: it may have said why.
            let _ = tokio::time::timeout(LAST_WORDS, answer).await;
            Err(error)
        }
        Err(answered) => {
            let alive = answered?;
            if alive && keeps_alive && matches!(body, Body::Length(0)) {
                return Ok(Next::KeepAlive);
            }
            drain(body, from_client).await;
            Ok(Next::Close)
        }
    }
}

/// What the client hears of an answer.
#[derive(Clone, Copy)]
enum Heard {
    All,
    Cut,
    Never,
}

/// Passes the answer on, after those that only say to go on. Tells whether the connection may be kept.
async fn answer_of_server(
    method: &str,
    from_server: &mut Incoming,
    to_client: &mut OwnedWriteHalf,
    relay: &mut Relay,
    heard: Heard,
) -> io::Result<bool> {
    loop {
        let head = from_server.head().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut answer = AnswerHead::parse(&head, method)?;
        let goes_on = matches!(answer.status, 100..=199);
        match heard {
            Heard::Cut if !goes_on => return Err(io::ErrorKind::ConnectionAborted.into()),
            Heard::Never if !goes_on => std::future::pending().await,
            _ => {}
        }
        to_client.write_all(&head).await?;
        if goes_on {
            continue;
        }
        return match relay.pass(&mut answer.body, from_server, to_client).await? {
            Passed::Whole => Ok(answer.keeps_alive),
            Passed::Cut => Err(io::ErrorKind::ConnectionAborted.into()),
        };
    }
}

/// Whether a body came through.
enum Passed {
    Whole,
    Cut,
}

/// What happens to a body on its way, and how far it is.
#[derive(Default)]
struct Relay {
    cut_after: Option<u64>,
    stall_after: Option<u64>,
    flip_at: Option<u64>,
    bytes_a_second: Option<u64>,
    passed: u64,
}

impl Relay {
    fn on_request(trick: Option<&Trick>) -> Self {
        let mut relay = Self::default();
        match trick {
            Some(Trick::CutRequest { after }) => relay.cut_after = Some(*after),
            Some(Trick::StallRequest { after }) => relay.stall_after = Some(*after),
            Some(Trick::FlipRequest { at }) => relay.flip_at = Some(*at),
            Some(Trick::SlowRequest { bytes_a_second }) => relay.bytes_a_second = Some(*bytes_a_second),
            _ => {}
        }
        relay
    }

    fn on_answer(trick: Option<&Trick>) -> Self {
        let mut relay = Self::default();
        match trick {
            Some(Trick::CutResponse { after }) => relay.cut_after = Some(*after),
            Some(Trick::StallResponse { after }) => relay.stall_after = Some(*after),
            Some(Trick::FlipResponse { at }) => relay.flip_at = Some(*at),
            _ => {}
        }
        relay
    }

    async fn pass(
        &mut self,
        body: &mut Body,
        from: &mut Incoming,
        to: &mut OwnedWriteHalf,
    ) -> io::Result<Passed> {
        loop {
            let limit = self.cut_after.or(self.stall_after);
            if limit.is_some_and(|limit| self.passed >= limit) {
                return self.strike().await;
            }
            match body.next(from).await? {
                Some(Piece::Framing(bytes)) => to.write_all(&bytes).await?,
                Some(Piece::Payload(bytes)) => {
                    let room = limit.map_or(u64::MAX, |limit| limit - self.passed);
                    let len = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
                    let bytes = self.flipped(bytes.slice(..len));
                    to.write_all(&bytes).await?;
                    self.passed += len as u64;
                    if let Some(pace) = self.bytes_a_second {
                        tokio::time::sleep(Duration::from_micros(len as u64 * 1_000_000 / pace.max(1))).await;
                    }
                }
                // A body shorter than the limit is struck at its end: the rule was meant for it.
                None if limit.is_some() => return self.strike().await,
                None => return Ok(Passed::Whole),
            }
        }
    }

    async fn strike(&self) -> io::Result<Passed> {
        if self.stall_after.is_some() {
            std::future::pending::<()>().await;
        }
        Ok(Passed::Cut)
    }

    fn flipped(&self, bytes: Bytes) -> Bytes {
        let Some(at) = self.flip_at.and_then(|at| at.checked_sub(self.passed)) else {
            return bytes;
        };
        let mut bytes = BytesMut::from(bytes);
        if let Some(byte) = usize::try_from(at).ok().and_then(|at| bytes.get_mut(at)) {
            *byte ^= 1;
        }
        bytes.freeze()
    }
}

/// Reads what is left of a body, and throws it away.
async fn drain(mut body: Body, from: &mut Incoming) {
    let all = async { while let Ok(Some(_)) = body.next(from).await {} };
    let _ = tokio::time::timeout(DRAIN, all).await;
}
