//! An upload session: Google's protocol for content that comes in chunks and goes on after a cut.
//!
//! Source: <https://developers.google.com/workspace/drive/api/guides/manage-uploads#resumable>. Chunks are multiples of 256 KiB,
//! except for the last, which tells the total; until then that is `*`. After each, Google answers 308 and how much it has
//! (`Range: bytes=0-N`, or no such header for nothing), which may be less than was sent. After any trouble it is asked
//! (`bytes */*`), and what it does not have is sent again. The last chunk is answered with the file. A session's address is all
//! that is needed to write to it, so it is treated as a secret. A session that is left alone is seen by nobody, and Google drops it
//! after a week.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use google_drive3::api::File;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, LOCATION, RANGE};
use tokio::sync::watch;

use super::api::{Api, FIELDS, Item, answer};
use super::endpoints::Patience;
use super::trouble::Trouble;

/// Chunks, except for the last, are multiples of this.
pub(super) const QUANTUM: usize = 256 * 1024;

/// What is handed to the connection at once; each counts as a sign of life.
const PIECE: usize = 64 * 1024;

const CONTENT: &str = "application/octet-stream";

/// An upload session. Shows nothing of its address.
pub(super) struct Session {
    uri: String,
}

/// How far a session has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// Google has this many bytes, and waits for more.
    Has(u64),
    /// The file is there.
    Done(Item),
}

impl Session {
    /// Opens a session for a file with this id and name in this folder.
    pub(super) async fn open(api: &Api, id: &str, folder: &str, name: &str) -> Result<Self, Trouble> {
        let url = format!(
            "{}files?uploadType=resumable&fields={FIELDS}",
            api.endpoints.upload
        );
        let file = serde_json::json!({ "id": id, "name": name, "parents": [folder], "mimeType": CONTENT });
        let mut tries = api.tries();
        loop {
            let attempt = async {
                let token = api.tokens.access().await?;
                let request = api
                    .http
                    .post(&url)
                    .bearer_auth(token.expose())
                    .header("X-Upload-Content-Type", CONTENT)
                    .json(&file)
                    .timeout(api.patience.idle);
                let response = request.send().await.map_err(Trouble::from_reqwest)?;
                if !response.status().is_success() {
                    return Err(answer(response).await);
                }
                let uri = response.headers().get(LOCATION).and_then(|uri| uri.to_str().ok());
                // The access token goes there with every chunk: never without TLS.
                match uri {
                    Some(uri) if uri.starts_with("https://") || url.starts_with("http://") => {
                        Ok(Self { uri: uri.to_owned() })
                    }
                    _ => Err(Trouble::Broken(
                        "Google opened an upload and did not say where".into(),
                    )),
                }
            };
            match attempt.await {
                Ok(session) => return Ok(session),
                Err(trouble) => tries.again(trouble).await?,
            }
        }
    }

    /// Sends one chunk that begins at `offset`, once. `total` is the length of the file, with the last chunk.
    pub(super) async fn send(
        &self,
        api: &Api,
        offset: u64,
        chunk: Bytes,
        total: Option<u64>,
    ) -> Result<State, Trouble> {
        let token = api.tokens.access().await?;
        let mut request = api
            .http
            .put(&self.uri)
            .bearer_auth(token.expose())
            .header(CONTENT_TYPE, CONTENT)
            .header(CONTENT_LENGTH, chunk.len());
        let of = total.map_or_else(|| "*".to_owned(), |total| total.to_string());
        if !chunk.is_empty() {
            let end = offset + chunk.len() as u64 - 1;
            request = request.header(CONTENT_RANGE, format!("bytes {offset}-{end}/{of}"));
        } else if total != Some(0) {
            // All has arrived, and only the end is to be told. An empty file has no range that could be named.
            request = request.header(CONTENT_RANGE, format!("bytes */{of}"));
        }
        let (body, moved) = watched(chunk);
        let answer = request.body(body).send();
        let response = tokio::select! {
            response = answer => response.map_err(Trouble::from_reqwest)?,
            () = silence(moved, api.patience.idle) => return Err(Trouble::silence(api.patience)),
        };
        state(response, api.patience).await
    }

    /// Asks how far it has come, once.
    pub(super) async fn ask(&self, api: &Api) -> Result<State, Trouble> {
        let token = api.tokens.access().await?;
        let request = api
            .http
            .put(&self.uri)
            .bearer_auth(token.expose())
            .header(CONTENT_LENGTH, 0)
            .header(CONTENT_RANGE, "bytes */*")
            .timeout(api.patience.idle);
        let response = request.send().await.map_err(Trouble::from_reqwest)?;
        state(response, api.patience).await
    }

    /// Gives it up. Google answers 499 where that worked; whatever it answers, there is nothing more to be done.
    pub(super) async fn give_up(&self, api: &Api) {
        if let Ok(token) = api.tokens.access().await {
            let request = api
                .http
                .delete(&self.uri)
                .bearer_auth(token.expose())
                .header(CONTENT_LENGTH, 0)
                .timeout(api.patience.idle);
            drop(request.send().await);
        }
    }
}

/// Reads what a session answers.
async fn state(response: reqwest::Response, patience: Patience) -> Result<State, Trouble> {
    match response.status().as_u16() {
        308 => {
            let range = response.headers().get(RANGE).map(|range| {
                let range = range.to_str().ok()?;
                let range = range.strip_prefix("bytes=").or(range.strip_prefix("bytes "))?;
                range.strip_prefix("0-")?.parse::<u64>().ok()?.checked_add(1)
            });
            match range {
                None => Ok(State::Has(0)),
                Some(Some(has)) => Ok(State::Has(has)),
                Some(None) => Err(Trouble::Broken(
                    "Google does not say how much of the upload it has".into(),
                )),
            }
        }
        200 | 201 => {
            let body = tokio::time::timeout(patience.idle, response.bytes())
                .await
                .map_err(|_| Trouble::silence(patience))?
                .map_err(Trouble::from_reqwest)?;
            serde_json::from_slice::<File>(&body)
                .ok()
                .and_then(Item::from_answer)
                .map(State::Done)
                .ok_or_else(|| Trouble::Broken("the answer to the end of the upload is not whole".into()))
        }
        _ => Err(answer(response).await),
    }
}

/// A body in pieces, and what tells each time that one was taken.
fn watched(chunk: Bytes) -> (reqwest::Body, watch::Receiver<()>) {
    let (taken, moved) = watch::channel(());
    let pieces = stream::unfold((chunk, taken), |(mut left, taken)| async move {
        if left.is_empty() {
            return None;
        }
        let piece = left.split_to(left.len().min(PIECE));
        taken.send_replace(());
        Some((Ok::<_, std::convert::Infallible>(piece), (left, taken)))
    });
    (reqwest::Body::wrap_stream(pieces), moved)
}

/// Returns when nothing was taken for a while. A slow line is no silence: only how long nothing moves counts.
async fn silence(mut moved: watch::Receiver<()>, idle: Duration) {
    loop {
        match tokio::time::timeout(idle, moved.changed()).await {
            Ok(Ok(())) => {}
            Err(_) => return,
            // All was taken; now the answer has as long.
            Ok(Err(_)) => {
                tokio::time::sleep(idle).await;
                return;
            }
        }
    }
}
