//! Upload sessions: opening, chunks, how far one has come, giving up.
//!
//! Source: <https://developers.google.com/workspace/drive/api/guides/manage-uploads#resumable>.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use super::Shared;
use super::faults::Fault;
use super::files::{file_reply, new_row, not_found};
use super::http::{Body, Outcome, Reply, Request};
use super::oauth::client_of;
use super::world::Session;

/// Chunks are multiples of this, and so is what is kept of one that is cut off.
const QUANTUM: u64 = 256 * 1024;

/// What a chunk says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    first: u64,
    len: u64,
    total: Option<u64>,
}

/// Answers a request to `/upload/drive/v3/files`.
pub(super) async fn answer(
    shared: &Arc<Shared>,
    request: &Request,
    body: &mut Body<'_>,
    fault: Option<&Fault>,
) -> anyhow::Result<Outcome> {
    let client = client_of(&shared.lock(), request);
    let client = match client {
        Ok(client) => client,
        Err(reply) => {
            // Google, too, reads what is sent before it says no.
            body.all().await?;
            return Ok(Outcome::Reply(reply));
        }
    };
    if request.parameter("uploadType") != Some("resumable") {
        return Ok(bad("Only resumable uploads are emulated."));
    }
    if request.method == "POST" {
        let content = body.all().await?;
        if let Some(Fault::CutRequest(_)) = fault {
            return Ok(Outcome::Break);
        }
        return Ok(Outcome::Reply(open(shared, request, &client, &content)));
    }
    let upload = request.parameter("upload_id").unwrap_or_default().to_owned();
    if fault == Some(&Fault::DropSession) {
        shared.lock().sessions.remove(&upload);
    }
    let received = shared
        .lock()
        .sessions
        .get(&upload)
        .filter(|session| session.row.client == client)
        .map(|session| session.received);
    let Some(received) = received else {
        body.all().await?;
        return Ok(Outcome::Reply(after_the_end(shared, request, &upload)));
    };
    if request.method == "DELETE" {
        shared.lock().sessions.remove(&upload);
        drop(fs::remove_file(shared.content(&upload)));
        return Ok(Outcome::Reply(Reply::empty(499)));
    }
    let Some(len) = request.len else {
        return Ok(Outcome::Reply(Reply::error(
            411,
            "lengthRequired",
            "Content-Length is missing.",
        )));
    };
    match request.header("content-range") {
        Some(range) if range.starts_with("bytes */") => {
            Ok(Outcome::Reply(progress(shared, &upload, range, len, fault)))
        }
        range => match chunk(range, len, received) {
            Err(message) => {
                body.all().await?;
                Ok(bad(message))
            }
            Ok(range) => take(shared, &upload, range, body, fault).await,
        },
    }
}

fn bad(message: &str) -> Outcome {
    Outcome::Reply(Reply::error(400, "badRequest", message))
}

fn open(shared: &Shared, request: &Request, client: &str, body: &[u8]) -> Reply {
    let mut world = shared.lock();
    let row = match new_row(&mut world, client, body) {
        Ok(row) => row,
        Err(reply) => return reply,
    };
    let upload = world.random("AEnB2U");
    if File::create(shared.content(&upload)).is_err() {
        return Reply::error(500, "backendError", "There is no room for the content.");
    }
    world.sessions.insert(
        upload.clone(),
        Session {
            row,
            received: 0,
            fields: request.parameter("fields").map(str::to_owned),
        },
    );
    // To where the client came in, which may be a gate before us.
    let host = request.header("host").unwrap_or_default();
    Reply::empty(200).header(
        "Location",
        format!("http://{host}/upload/drive/v3/files?uploadType=resumable&upload_id={upload}"),
    )
}

/// A session that is no more: the file that it made, where it made one and that is asked for.
fn after_the_end(shared: &Shared, request: &Request, upload: &str) -> Reply {
    let world = shared.lock();
    match world.finished.get(upload) {
        Some((id, fields)) if request.method == "PUT" => file_reply(&world, id, fields.as_deref()),
        _ => not_found(""),
    }
}

/// What a chunk's header says, if it makes sense.
fn chunk(header: Option<&str>, len: u64, received: u64) -> Result<Range, &'static str> {
    let Some(header) = header else {
        // The whole file in one request.
        return if received == 0 {
            Ok(Range {
                first: 0,
                len,
                total: Some(len),
            })
        } else {
            Err("Content-Range is missing.")
        };
    };
    let parsed = header
        .strip_prefix("bytes ")
        .and_then(|rest| rest.split_once('/'))
        .and_then(|(range, total)| {
            let (first, last) = range.split_once('-')?;
            let total = if total == "*" {
                None
            } else {
                Some(total.parse().ok()?)
            };
            Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()?, total))
        });
    let Some((first, last, total)) = parsed else {
        return Err("Failed to parse Content-Range header.");
    };
    if last.checked_sub(first).map(|less| less + 1) != Some(len) {
        return Err("Content-Range and Content-Length do not agree.");
    }
    if first != received {
        return Err("The chunk does not begin where the last one ended.");
    }
    match total {
        Some(total) if last >= total => return Err("The chunk goes beyond the file's end."),
        Some(total) if last + 1 == total => {}
        _ if !len.is_multiple_of(QUANTUM) => return Err("A chunk must be a multiple of 256 KiB."),
        _ => {}
    }
    Ok(Range { first, len, total })
}

/// Takes a chunk's bytes.
async fn take(
    shared: &Shared,
    upload: &str,
    range: Range,
    body: &mut Body<'_>,
    fault: Option<&Fault>,
) -> anyhow::Result<Outcome> {
    let full = {
        let world = shared.lock();
        let limit = world.quota.unwrap_or(u64::MAX);
        world.usage() + range.first + range.len > limit
    };
    if full {
        body.all().await?;
        return Ok(Outcome::Reply(Reply::error(
            403,
            "storageQuotaExceeded",
            "The user's Drive storage quota has been exceeded.",
        )));
    }
    let mut file = OpenOptions::new().write(true).open(shared.content(upload))?;
    file.seek(SeekFrom::Start(range.first))?;
    let cut = match fault {
        Some(Fault::CutRequest(after)) => *after,
        _ => u64::MAX,
    };
    let mut arrived = 0;
    let mut alter = fault == Some(&Fault::Alter);
    while arrived < cut {
        // A client that goes away leaves what has arrived.
        let Ok(Some(mut piece)) = body.next().await else {
            break;
        };
        piece.truncate(usize::try_from(cut - arrived).unwrap_or(usize::MAX));
        if std::mem::take(&mut alter) {
            piece[0] ^= 1;
        }
        file.write_all(&piece)?;
        arrived += piece.len() as u64;
    }
    drop(file);
    let whole = arrived == range.len;
    let kept = match fault {
        Some(Fault::Keep(bytes)) => *bytes.min(&arrived),
        _ if whole => arrived,
        // Whole quanta of the file are kept.
        _ => ((range.first + arrived) / QUANTUM * QUANTUM).saturating_sub(range.first),
    };
    let received = range.first + kept;
    {
        let mut world = shared.lock();
        // It was given up meanwhile.
        let Some(session) = world.sessions.get_mut(upload) else {
            return Ok(Outcome::Break);
        };
        session.received = received;
    }
    if range.total == Some(received) {
        let reply = finish(shared, upload)?;
        return Ok(if whole {
            Outcome::Reply(reply)
        } else {
            Outcome::Break
        });
    }
    Ok(if whole {
        Outcome::Reply(incomplete(received))
    } else {
        Outcome::Break
    })
}

fn incomplete(received: u64) -> Reply {
    match received.checked_sub(1) {
        None => Reply::empty(308),
        Some(last) => Reply::empty(308).header("Range", format!("bytes=0-{last}")),
    }
}

/// How far a session has come; one whose end is told by the question is finished by it.
fn progress(shared: &Shared, upload: &str, range: &str, len: u64, fault: Option<&Fault>) -> Reply {
    if len != 0 {
        return Reply::error(400, "badRequest", "The question has a body.");
    }
    let received = {
        let mut world = shared.lock();
        let Some(session) = world.sessions.get_mut(upload) else {
            return not_found("");
        };
        if let Some(Fault::Forget(bytes)) = fault {
            session.received = *bytes;
        }
        session.received
    };
    let total = range
        .strip_prefix("bytes */")
        .and_then(|total| total.parse().ok());
    if received > 0 && total == Some(received) {
        return finish(shared, upload)
            .unwrap_or_else(|_| Reply::error(500, "backendError", "The content cannot be read."));
    }
    incomplete(received)
}

/// All is there: the file appears.
fn finish(shared: &Shared, upload: &str) -> anyhow::Result<Reply> {
    let Some(session) = shared.lock().sessions.remove(upload) else {
        return Ok(not_found(""));
    };
    let content = shared.content(upload);
    OpenOptions::new()
        .write(true)
        .open(&content)?
        .set_len(session.received)?;
    let sha256 = sha256_of(&content)?;
    let mut world = shared.lock();
    let mut row = session.row;
    if !world.is_folder_of(&row.parent, &row.client) {
        return Ok(not_found(&row.parent));
    }
    if world.row(&row.id).is_some() {
        return Ok(Reply::error(
            409,
            "fileIdInUse",
            "A file already exists with the provided ID.",
        ));
    }
    let id = row.id.clone();
    row.len = session.received;
    row.sha256 = Some(sha256);
    row.content = Some(upload.to_owned());
    world.insert(row);
    let reply = file_reply(&world, &id, session.fields.as_deref());
    world.finished.insert(upload.to_owned(), (id, session.fields));
    Ok(reply)
}

fn sha256_of(path: &Path) -> anyhow::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut piece = vec![0; 1024 * 1024];
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            return Ok(HEXLOWER.encode(&hash.finalize()));
        }
        hash.update(&piece[..read]);
    }
}
