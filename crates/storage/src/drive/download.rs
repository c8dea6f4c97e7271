//! The content of a file, or a part of it. A body that ends before its time is an error, and so is one that falls silent.

use std::io;
use std::ops::Range;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use reqwest::StatusCode;
use reqwest::header::{CONTENT_RANGE, RANGE};
use tokio_util::io::StreamReader;
use tokio_util::sync::CancellationToken;

use super::api::{Api, Item, answer};
use super::endpoints::Patience;
use super::trouble::Trouble;
use crate::destination::Object;

/// Opens the bytes `range` of a file.
pub(super) async fn open(
    api: &Api,
    item: &Item,
    range: Range<u64>,
    cancel: &CancellationToken,
) -> Result<Object, Trouble> {
    let len = range.end.saturating_sub(range.start);
    if len == 0 {
        return Ok(Object {
            len: 0,
            body: Box::new(tokio::io::empty()),
        });
    }
    let url = format!("{}files/{}?alt=media", api.endpoints.api, item.id);
    let mut tries = api.tries();
    let response = loop {
        match ask(api, &url, &range, item.len).await {
            Ok(response) => break response,
            Err(trouble) => tries.again(trouble).await?,
        }
    };
    let pieces = counted(response.bytes_stream(), len, api.patience, cancel.clone());
    Ok(Object {
        len,
        body: Box::new(StreamReader::new(Box::pin(pieces))),
    })
}

async fn ask(api: &Api, url: &str, range: &Range<u64>, len: u64) -> Result<reqwest::Response, Trouble> {
    let token = api.tokens.access().await?;
    let request = api
        .http
        .get(url)
        .bearer_auth(token.expose())
        .header(RANGE, format!("bytes={}-{}", range.start, range.end - 1));
    let response = tokio::time::timeout(api.patience.idle, request.send())
        .await
        .map_err(|_| Trouble::silence(api.patience))?
        .map_err(Trouble::from_reqwest)?;
    let whole = *range == (0..len);
    match response.status() {
        StatusCode::PARTIAL_CONTENT => {
            let told = response
                .headers()
                .get(CONTENT_RANGE)
                .and_then(|told| told.to_str().ok());
            let expected = format!("bytes {}-{}/{len}", range.start, range.end - 1);
            if told == Some(expected.as_str()) {
                Ok(response)
            } else {
                Err(Trouble::Broken(
                    format!("Google sends another part ({told:?}) than it was asked for ({expected})").into(),
                ))
            }
        }
        StatusCode::OK if whole => Ok(response),
        StatusCode::OK => Err(Trouble::Broken(
            "Google sends the whole file instead of a part".into(),
        )),
        _ => Err(answer(response).await),
    }
}

/// The pieces of a body, as long as they are neither too few nor too many nor too late.
fn counted(
    pieces: impl Stream<Item = reqwest::Result<Bytes>> + Send + Unpin + 'static,
    len: u64,
    patience: Patience,
    cancel: CancellationToken,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::try_unfold(
        (pieces, len, cancel),
        move |(mut pieces, left, cancel)| async move {
            let next = tokio::select! {
                biased;
                () = cancel.cancelled() => return Err(io::Error::other(Cancelled)),
                next = tokio::time::timeout(patience.idle, pieces.next()) => next,
            };
            match next {
                Err(_) => Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "Google Drive has stopped sending",
                )),
                Ok(Some(Err(error))) => Err(io::Error::new(
                    io::ErrorKind::ConnectionReset,
                    error.without_url(),
                )),
                Ok(Some(Ok(piece))) => match left.checked_sub(piece.len() as u64) {
                    Some(left) => Ok(Some((piece, (pieces, left, cancel)))),
                    None => Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "Google Drive sends more than the file has",
                    )),
                },
                Ok(None) if left == 0 => Ok(None),
                Ok(None) => Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    format!("Google Drive has stopped {left} bytes before the end"),
                )),
            }
        },
    )
}

/// The reader's token was cancelled.
#[derive(Debug, thiserror::Error)]
#[error("cancelled")]
struct Cancelled;
