//! Whether a destination does what Howdah needs, tried out: an object is written, read back, listed and deleted.

use bytes::Bytes;
use tokio::io::AsyncReadExt as _;
use tokio_util::sync::CancellationToken;

use crate::{Destination, Error, ObjectPath};

/// The folder in which a probe's object lies for some seconds.
const FOLDER: &str = "howdah-test";

/// What a probe does, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeStep {
    /// Is the place there, and are we let in?
    Reach,
    /// An object is written.
    Write,
    /// It is read back and compared, whole and in part.
    Read,
    /// It is in the list.
    List,
    /// It is deleted, and gone.
    Delete,
}

/// All steps, in their order.
pub const STEPS: [ProbeStep; 5] = [
    ProbeStep::Reach,
    ProbeStep::Write,
    ProbeStep::Read,
    ProbeStep::List,
    ProbeStep::Delete,
];

/// Tries a destination out. `name` is a random word that no other probe has; `on_step` hears each step as it ends well. What the
/// probe wrote is removed, also when a later step fails.
///
/// # Errors
/// The step that failed, and why.
pub async fn probe(
    destination: &dyn Destination,
    name: &str,
    on_step: &mut (dyn FnMut(ProbeStep) + Send),
    cancel: &CancellationToken,
) -> Result<(), (ProbeStep, Error)> {
    destination
        .prepare(cancel)
        .await
        .map_err(|error| (ProbeStep::Reach, error))?;
    on_step(ProbeStep::Reach);
    let folder = ObjectPath::new(format!("{FOLDER}/{name}")).map_err(|error| (ProbeStep::Write, error))?;
    let outcome = try_out(destination, &folder, on_step, cancel).await;
    if outcome.is_err() {
        // Its error would say nothing new; and the caller's patience may be over.
        let _ = destination
            .delete_folder(&folder, &CancellationToken::new())
            .await;
    }
    outcome
}

async fn try_out(
    destination: &dyn Destination,
    folder: &ObjectPath,
    on_step: &mut (dyn FnMut(ProbeStep) + Send),
    cancel: &CancellationToken,
) -> Result<(), (ProbeStep, Error)> {
    let at = |step: ProbeStep| move |error: Error| (step, error);
    let text = format!("Howdah tries whether backups can be kept here. {folder} can be deleted.\n");
    let bytes = Bytes::from(text);

    let path = folder.join("probe").map_err(at(ProbeStep::Write))?;
    let len = bytes.len() as u64;
    let mut writer = destination
        .create(&path, Some(len), cancel)
        .await
        .map_err(at(ProbeStep::Write))?;
    writer.write(bytes.clone()).await.map_err(at(ProbeStep::Write))?;
    writer.finish(len).await.map_err(at(ProbeStep::Write))?;
    on_step(ProbeStep::Write);

    for range in [0..len, 7..len / 2] {
        let wanted = &bytes[to_usize(range.start)..to_usize(range.end)];
        let mut object = destination
            .read(&path, Some(range), cancel)
            .await
            .map_err(at(ProbeStep::Read))?;
        let mut found = Vec::new();
        object
            .body
            .read_to_end(&mut found)
            .await
            .map_err(|source| Error::Failed {
                what: "reading",
                at: path.to_string(),
                source: source.into(),
            })
            .map_err(at(ProbeStep::Read))?;
        if found != wanted {
            let corrupted = Error::Corrupted {
                path: path.to_string(),
                detail: format!("{} bytes came back, and not those that were written", found.len()),
            };
            return Err((ProbeStep::Read, corrupted));
        }
    }
    on_step(ProbeStep::Read);

    let listed = destination
        .list(Some(folder), cancel)
        .await
        .map_err(at(ProbeStep::List))?;
    if !listed.iter().any(|entry| entry.path == path && entry.len == len) {
        let missing = Error::NotFound {
            path: path.to_string(),
        };
        return Err((ProbeStep::List, missing));
    }
    on_step(ProbeStep::List);

    destination
        .delete_folder(folder, cancel)
        .await
        .map_err(at(ProbeStep::Delete))?;
    let gone = destination
        .stat(&path, cancel)
        .await
        .map_err(at(ProbeStep::Delete))?;
    if gone.is_some() {
        let still_there = Error::Failed {
            what: "removing",
            at: path.to_string(),
            source: "it is still there".into(),
        };
        return Err((ProbeStep::Delete, still_there));
    }
    on_step(ProbeStep::Delete);
    Ok(())
}

fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
