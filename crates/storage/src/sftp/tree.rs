//! Folders of an SFTP server: making the destination's own, listing, and removing with all that is inside.

use std::collections::VecDeque;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use russh_sftp::protocol::StatusCode;

use super::Shared;
use super::connection::{Connection, Item, Kind};
use super::errors::{Trouble, no_folder};
use crate::destination::{Entry, MANIFEST};
use crate::{Error, ObjectPath};

/// Folders that are read at the same time: each takes some round trips, and there may be thousands.
const AT_ONCE: usize = 16;

/// Makes the destination's folder, and makes sure that it is one.
pub(super) async fn prepare(shared: &Shared, connection: &Connection) -> Result<(), Error> {
    let root = connection.root();
    let looked = connection.stat(root).await;
    match looked.map_err(|trouble| trouble.reading(&shared.place, root))? {
        Some((Kind::Folder, _)) => return Ok(()),
        Some(_) => return Err(no_folder(&shared.place)),
        None => {}
    }
    // From the top down. Those that are there already are not to be touched, and perhaps may not even be looked at.
    let ends = root.match_indices('/').map(|(at, _)| at).filter(|&at| at > 0);
    for end in ends.chain([root.len()]) {
        let folder = &root[..end];
        match connection.make_folder(folder).await {
            Ok(()) => {}
            Err(Trouble::Said(_)) if end < root.len() => {}
            Err(trouble) if trouble.is(StatusCode::NoSuchFile) => return Err(no_folder(&shared.place)),
            Err(trouble) => return Err(shared.write_error(connection, &trouble, folder, 0).await),
        }
    }
    shared.demand_root(connection).await
}

/// Every finished object below a folder, in order. Names that are no object paths are somebody else's; links are not followed.
pub(super) async fn list(
    shared: &Shared,
    connection: &Connection,
    folder: Option<&ObjectPath>,
) -> Result<Vec<Entry>, Error> {
    let mut entries = Vec::new();
    let mut waiting = VecDeque::from([folder.cloned()]);
    let mut reading = FuturesUnordered::new();
    loop {
        while reading.len() < AT_ONCE
            && let Some(folder) = waiting.pop_front()
        {
            reading.push(async move {
                let items = connection.items(&connection.at(folder.as_ref())).await;
                (folder, items)
            });
        }
        let Some((read, items)) = reading.next().await else {
            break;
        };
        let items = match items {
            Ok(items) => items,
            Err(trouble) => {
                if !is_absent(connection, &trouble, read.as_ref()).await {
                    return Err(trouble.reading(&shared.place, &connection.at(read.as_ref())));
                }
                if read.as_ref() == folder {
                    shared.demand_root(connection).await?;
                }
                continue;
            }
        };
        for item in items {
            let Some(path) = object(read.as_ref(), &item) else {
                continue;
            };
            match item.kind {
                Kind::Folder => waiting.push_back(Some(path)),
                Kind::File => entries.push(Entry { path, len: item.len }),
                Kind::Other => {}
            }
        }
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(entries)
}

/// Whether a folder could not be read because it is not there, or is none.
async fn is_absent(connection: &Connection, trouble: &Trouble, folder: Option<&ObjectPath>) -> bool {
    if trouble.is(StatusCode::NoSuchFile) {
        return true;
    }
    // "It is no folder" has no code of its own.
    trouble.is(StatusCode::Failure)
        && matches!(
            connection.stat(&connection.at(folder)).await,
            Ok(None | Some((Kind::File | Kind::Other, _)))
        )
}

/// The path of an item, where it can be an object's or its folder's. The library writes U+FFFD for bytes that are no UTF-8;
/// such a name would not lead back to its file.
fn object(folder: Option<&ObjectPath>, item: &Item) -> Option<ObjectPath> {
    if item.name.contains(char::REPLACEMENT_CHARACTER) {
        return None;
    }
    let path = folder.map_or_else(
        || ObjectPath::new(item.name.as_str()),
        |folder| folder.join(&item.name),
    );
    path.ok()
}

/// Removes a folder with all that is in it: the manifest first, unfinished files too, then the folders above that are empty.
pub(super) async fn delete_folder(
    shared: &Shared,
    connection: &Connection,
    folder: &ObjectPath,
) -> Result<(), Error> {
    shared.demand_root(connection).await?;
    let at = connection.at(Some(folder));
    let removed = async {
        match connection.stat(&at).await? {
            Some((Kind::Folder, _)) => {}
            _ => return Ok(()),
        }
        connection.remove(&format!("{at}/{MANIFEST}")).await?;
        remove_all(connection, &at).await?;
        connection.remove_empty_folders(folder.parent()).await
    };
    let removed = removed.await;
    removed.map_err(|trouble: Trouble| trouble.changing("removing", &shared.place, &at))
}

/// Removes what is in a folder, from the bottom up, and the folder.
async fn remove_all(connection: &Connection, root: &str) -> Result<(), Trouble> {
    // Folders in the order in which they were found: each after the one that holds it.
    let mut folders = vec![root.to_owned()];
    let mut next = 0;
    while let Some(folder) = folders.get(next).cloned() {
        next += 1;
        let items = match connection.items(&folder).await {
            Ok(items) => items,
            Err(trouble) if trouble.is(StatusCode::NoSuchFile) => continue,
            Err(trouble) => return Err(trouble),
        };
        for item in items {
            let at = format!("{folder}/{}", item.name);
            match item.kind {
                Kind::Folder => folders.push(at),
                Kind::File | Kind::Other => connection.remove(&at).await?,
            }
        }
    }
    for folder in folders.iter().rev() {
        connection.remove_folder(folder).await?;
    }
    Ok(())
}
