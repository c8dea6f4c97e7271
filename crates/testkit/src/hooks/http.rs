//! Connections, and what goes wrong with them. Heads, bodies and answers are read and written as the emulator of Google Drive does.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{Fault, Kind, Shared, Shown, World, cards, chat, plain, push, slack};
use crate::drive::http::{Body, Content, Reply, Request, head, send};

/// What becomes of a request: it is taken and answered, or refused.
pub(super) type Outcome = Result<(Shown, Reply), Reply>;

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

async fn connection(stream: TcpStream, shared: &Shared) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    while let Some(mut request) = head(&mut stream).await? {
        let mut body = Body {
            left: request.len.unwrap_or_default(),
            stream: &mut stream,
        };
        let body = body.all().await?;
        let fault = {
            let mut world = shared.lock();
            world.requests += 1;
            // A proxy is asked for a whole URL.
            if let Some(rest) = request.path.strip_prefix("http://") {
                world.through_proxy += 1;
                request.path = rest
                    .find('/')
                    .map_or_else(|| "/".to_owned(), |at| rest[at..].to_owned());
            }
            world.faults.pop_front()
        };
        let reply = match fault {
            Some(Fault::Silence) => return rest_forever().await,
            Some(Fault::HangUp) => return Ok(()),
            Some(Fault::HalfAnswer) => {
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
                    .await?;
                stream.flush().await?;
                return rest_forever().await;
            }
            Some(Fault::Endless) => {
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
                    .await?;
                let piece = vec![b'a'; 16 * 1024];
                loop {
                    stream.write_all(&piece).await?;
                }
            }
            Some(Fault::Limited(after)) => limited(shared.lock().kind, after),
            Some(Fault::Status(status)) => Reply::empty(status),
            Some(Fault::Headers(status, headers)) => Reply {
                headers,
                ..Reply::empty(status)
            },
            Some(Fault::Redirect(status, to)) => Reply::empty(status).header("Location", to),
            Some(Fault::Echo(status)) => {
                let world = shared.lock();
                let query: String = request
                    .query
                    .iter()
                    .map(|(key, value)| format!("{key}={value}&"))
                    .collect();
                words(
                    status,
                    &format!(
                        "no: {} {}?{query} {:?} {}",
                        request.path,
                        world.kind.secret(),
                        request.headers,
                        String::from_utf8_lossy(&body)
                    ),
                )
            }
            Some(Fault::LoginPage) => words(200, "<!DOCTYPE html><title>Welcome to the hotel</title>"),
            Some(Fault::LoseAnswer) => {
                answer(&mut shared.lock(), &request, &body);
                return Ok(());
            }
            None => answer(&mut shared.lock(), &request, &body),
        };
        send(&mut stream, reply, None).await?;
    }
    Ok(())
}

async fn rest_forever() -> anyhow::Result<()> {
    tokio::time::sleep(Duration::from_secs(3600)).await;
    Ok(())
}

fn answer(world: &mut World, request: &Request, body: &[u8]) -> Reply {
    let outcome = match world.kind {
        Kind::Telegram => chat::telegram(world, request, body),
        Kind::Discord => chat::discord(world, request, body),
        Kind::Mattermost => chat::mattermost(world, request, body),
        Kind::SlackHook => slack::hook(world, request, body),
        Kind::SlackBot => slack::bot(world, request, body),
        Kind::Teams => cards::teams(world, request, body),
        Kind::Ntfy => push::ntfy(world, request, body),
        Kind::Gotify => push::gotify(world, request, body),
        Kind::Pushover => push::pushover(world, request, body),
        Kind::Webhook => plain::webhook(world, request, body),
        Kind::Ping => plain::ping(world, request, body),
    };
    match outcome {
        Ok((mut shown, reply)) => {
            for text in [Some(&mut shown.title), Some(&mut shown.text), shown.code.as_mut()]
                .into_iter()
                .flatten()
            {
                *text = text.replace('\u{200b}', "");
            }
            shown.body = String::from_utf8_lossy(body).into_owned();
            shown.json = serde_json::from_slice(body).unwrap_or_default();
            shown.path.clone_from(&request.path);
            shown.headers.clone_from(&request.headers);
            // In ntfy a message takes the place of one with the same sequence.
            let sequence = &shown.json["sequence_id"];
            let twin = world.delivered.iter_mut().find(|other| {
                world.kind == Kind::Ntfy && !sequence.is_null() && other.json["sequence_id"] == *sequence
            });
            match twin {
                Some(twin) => *twin = shown,
                None => world.delivered.push(shown),
            }
            reply
        }
        Err(reply) => reply,
    }
}

/// Too many requests, as each service says it.
fn limited(kind: Kind, after: Option<u32>) -> Reply {
    let mut reply = match (kind, after) {
        (Kind::Telegram, Some(after)) => {
            return Reply::json(
                429,
                &json!({ "ok": false, "error_code": 429, "description": format!("Too Many Requests: retry after {after}"),
                    "parameters": { "retry_after": after } }),
            );
        }
        (Kind::Telegram, None) => Reply::json(
            429,
            &json!({ "ok": false, "error_code": 429, "description": "Too Many Requests" }),
        ),
        (Kind::Discord, Some(after)) => Reply::json(
            429,
            &json!({ "message": "You are being rate limited.", "retry_after": f64::from(after), "global": false }),
        ),
        (Kind::Discord, None) => Reply::json(
            429,
            &json!({ "message": "You are being rate limited.", "global": false }),
        ),
        (Kind::SlackBot, _) => Reply::json(429, &json!({ "ok": false, "error": "ratelimited" })),
        (Kind::Ntfy, _) => Reply::json(
            429,
            &json!({ "code": 42901, "http": 429, "error": "limit reached: too many requests" }),
        ),
        _ => words(429, "rate_limited"),
    };
    if let Some(after) = after {
        reply = reply.header("Retry-After", after.to_string());
    }
    reply
}

/// An answer in plain text.
pub(super) fn words(status: u16, text: &str) -> Reply {
    Reply {
        status,
        headers: vec![("Content-Type", "text/plain; charset=utf-8".to_owned())],
        body: Content::Bytes(text.as_bytes().to_vec()),
    }
}

/// Whether the body is announced as JSON.
pub(super) fn is_json(request: &Request) -> bool {
    request
        .header("content-type")
        .is_some_and(|kind| kind.split(';').next() == Some("application/json"))
}

/// A field that is in an object and is not among those that there may be.
pub(super) fn unknown(object: &serde_json::Value, known: &[&str]) -> Option<String> {
    let object = object.as_object()?;
    object.keys().find(|key| !known.contains(&key.as_str())).cloned()
}

/// Whether the request goes to the web hook's path, with its query.
pub(super) fn is_hook(kind: Kind, request: &Request) -> bool {
    let (path, query) = kind.secret().split_once('?').unwrap_or((kind.secret(), ""));
    request.path == path
        && url::form_urlencoded::parse(query.as_bytes())
            .all(|(key, value)| request.parameter(&key) == Some(value.as_ref()))
}
