//! From paths to Drive's ids, and back when all is listed.
//!
//! Drive knows no paths: a file has a name and the id of a folder, and names need not be unique. Where a folder's name occurs
//! twice (two machines made it at the same moment), both count when something is looked for, and the oldest one when something
//! is made; so nothing is out of sight, and everybody chooses alike. Names are compared here once more, since Drive's `name =`
//! does not care about upper and lower case.

use std::collections::HashMap;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::sync::Mutex;

use super::api::{Api, FOLDER, Item};
use super::trouble::{Trouble, no_folder};
use crate::{Entry, Error, ObjectPath};

/// Requests at once.
const AT_ONCE: usize = 6;

/// From this many folders on one level, a list is taken of all that we can see at once instead of folder by folder.
const SCAN_FROM: usize = 24;

/// Drive's name for the folder that holds all others.
const MY_DRIVE: &str = "root";

/// The folders of one place.
#[derive(Debug)]
pub(super) struct Tree {
    /// Below *My Drive*.
    root: Vec<String>,
    /// The place, for messages.
    place: String,
    /// Ids of folders that were there, oldest first, by their path below the root (`""` is the root itself).
    known: Mutex<HashMap<String, Vec<String>>>,
    /// Held while folders are made or removed, so that none is removed between being found and being used.
    pub(super) change: Mutex<()>,
}

/// What is below a folder.
#[derive(Debug, Default)]
pub(super) struct Below {
    /// Finished files, with their paths below the root; those whose names are no paths have none.
    pub files: Vec<(Option<ObjectPath>, Item)>,
}

impl Tree {
    /// The tree below a folder (`Howdah/laptop`) of *My Drive*.
    pub(super) fn new(folder: &str, place: String) -> Self {
        Self {
            root: folder
                .split('/')
                .filter(|part| !part.is_empty())
                .map(str::to_owned)
                .collect(),
            place,
            known: Mutex::new(HashMap::new()),
            change: Mutex::new(()),
        }
    }

    fn told(&self, trouble: Trouble, what: &'static str, at: &str) -> Error {
        trouble.into_error(what, &self.place, at)
    }

    /// The ids of the place's own folder; [`Error::Missing`] where it is not there.
    async fn root_ids(&self, api: &Api) -> Result<Vec<String>, Error> {
        let mut ids = vec![MY_DRIVE.to_owned()];
        for part in &self.root {
            ids = folders_named(api, &ids, part)
                .await
                .map_err(|trouble| self.told(trouble, "finding", part))?;
        }
        if ids.is_empty() || self.root.is_empty() {
            return Err(no_folder(&self.place));
        }
        Ok(ids)
    }

    /// The ids of a folder (none: the place's own), oldest first; empty where it is not there. Ids that are known from earlier
    /// are looked at again: somebody may have removed the folder or put it into the bin, where it would go on taking files.
    pub(super) async fn folder_ids(
        &self,
        api: &Api,
        folder: Option<&ObjectPath>,
    ) -> Result<Vec<String>, Error> {
        let path = folder.map_or("", ObjectPath::as_str);
        let known = self.known.lock().await.get(path).cloned().unwrap_or_default();
        let mut all_there = !known.is_empty();
        for id in &known {
            let item = api
                .get(id)
                .await
                .map_err(|trouble| self.told(trouble, "finding", path))?;
            all_there &= item.is_some_and(|item| !item.trashed);
        }
        if all_there {
            return Ok(known);
        }
        self.forget().await;
        let mut ids = self.root_ids(api).await?;
        self.remember("", &ids).await;
        let mut walked = String::new();
        for part in path.split('/').filter(|part| !part.is_empty()) {
            ids = folders_named(api, &ids, part)
                .await
                .map_err(|trouble| self.told(trouble, "finding", path))?;
            if ids.is_empty() {
                break;
            }
            if !walked.is_empty() {
                walked.push('/');
            }
            walked.push_str(part);
            self.remember(&walked, &ids).await;
        }
        Ok(ids)
    }

    /// The ids of a folder, which is made where it is not there. The place's own folder is never made here.
    pub(super) async fn make(&self, api: &Api, folder: Option<&ObjectPath>) -> Result<Vec<String>, Error> {
        let _changing = self.change.lock().await;
        let mut ids = self.folder_ids(api, folder).await?;
        let Some(folder) = folder else {
            return Ok(ids);
        };
        if !ids.is_empty() {
            return Ok(ids);
        }
        ids = self.folder_ids(api, None).await?;
        let mut walked = String::new();
        for part in folder.as_str().split('/') {
            ids = make_in(api, &ids, part)
                .await
                .map_err(|trouble| self.told(trouble, "making", folder.as_str()))?;
            if !walked.is_empty() {
                walked.push('/');
            }
            walked.push_str(part);
            self.remember(&walked, &ids).await;
        }
        Ok(ids)
    }

    /// Makes the place's own folder where it is not there.
    pub(super) async fn make_root(&self, api: &Api) -> Result<(), Error> {
        let _changing = self.change.lock().await;
        self.forget().await;
        let mut ids = vec![MY_DRIVE.to_owned()];
        for part in &self.root {
            ids = make_in(api, &ids, part)
                .await
                .map_err(|trouble| self.told(trouble, "making", part))?;
        }
        self.remember("", &ids).await;
        Ok(())
    }

    /// Files of one name in any of these folders, the oldest first: the first is the one that counts.
    pub(super) async fn files_named(
        &self,
        api: &Api,
        folders: &[String],
        path: &ObjectPath,
    ) -> Result<Vec<Item>, Error> {
        let condition = format!("mimeType != '{FOLDER}'");
        children_named(api, folders, path.name(), &condition)
            .await
            .map_err(|trouble| self.told(trouble, "finding", path.as_str()))
    }

    /// Everything below a folder.
    pub(super) async fn below(&self, api: &Api, folder: Option<&ObjectPath>) -> Result<Below, Error> {
        let at = folder.map_or("", ObjectPath::as_str);
        let ids = self.folder_ids(api, folder).await?;
        walk(api, ids, folder.map(ToString::to_string))
            .await
            .map_err(|trouble| self.told(trouble, "listing", at))
    }

    /// Puts a folder into the bin, and those above it that have nothing in them any more, up to the place's own, which stays.
    pub(super) async fn remove_folder(&self, api: &Api, folder: &ObjectPath) -> Result<(), Error> {
        let _changing = self.change.lock().await;
        for id in self.folder_ids(api, Some(folder)).await? {
            api.trash(&id)
                .await
                .map_err(|trouble| self.told(trouble, "removing", folder.as_str()))?;
        }
        let mut above = folder.parent();
        while let Some(folder) = above {
            for id in self.folder_ids(api, Some(&folder)).await? {
                let told = |trouble| self.told(trouble, "removing", folder.as_str());
                let query = format!("{} in parents and trashed = false", quoted(&id));
                if api.any(&query).await.map_err(told)? {
                    return Ok(());
                }
                api.trash(&id).await.map_err(told)?;
            }
            above = folder.parent();
        }
        Ok(())
    }

    async fn remember(&self, path: &str, ids: &[String]) {
        self.known.lock().await.insert(path.to_owned(), ids.to_vec());
    }

    async fn forget(&self) {
        self.known.lock().await.clear();
    }
}

/// Text inside a query.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

async fn children_named(
    api: &Api,
    parents: &[String],
    name: &str,
    condition: &str,
) -> Result<Vec<Item>, Trouble> {
    let mut found = Vec::new();
    for parent in parents {
        let query = format!(
            "{} in parents and name = {} and {condition} and trashed = false",
            quoted(parent),
            quoted(name)
        );
        match api.list(&query).await {
            Ok(items) => found.extend(items.into_iter().filter(|item| item.name == name)),
            // The folder itself has gone.
            Err(trouble) if trouble.is_missing() => {}
            Err(trouble) => return Err(trouble),
        }
    }
    found.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
    Ok(found)
}

async fn folders_named(api: &Api, parents: &[String], name: &str) -> Result<Vec<String>, Trouble> {
    let found = children_named(api, parents, name, &format!("mimeType = '{FOLDER}'")).await?;
    Ok(found.into_iter().map(|item| item.id).collect())
}

/// The folders of that name in any of the parents; one is made in the oldest parent where there is none. Made by two machines
/// at once, there are two, and both find both.
async fn make_in(api: &Api, parents: &[String], name: &str) -> Result<Vec<String>, Trouble> {
    let found = folders_named(api, parents, name).await?;
    if !found.is_empty() {
        return Ok(found);
    }
    let parent = parents.first().map_or(MY_DRIVE, String::as_str);
    let made = api.make_folder(parent, name).await?;
    let mut found = folders_named(api, parents, name).await?;
    // Google's lists may be a moment late.
    if found.is_empty() {
        found.push(made);
    }
    Ok(found)
}

async fn walk(api: &Api, top: Vec<String>, path: Option<String>) -> Result<Below, Trouble> {
    let mut below = Below::default();
    // Folders to be looked into; a path of none means that a name on the way to it is no part of a path.
    let mut level: Vec<(Option<String>, String)> = top
        .into_iter()
        .map(|id| (Some(path.clone().unwrap_or_default()), id))
        .collect();
    while !level.is_empty() {
        if level.len() >= SCAN_FROM {
            scan(api, level, &mut below).await?;
            break;
        }
        let lists: Vec<(Option<String>, Vec<Item>)> = stream::iter(level)
            .map(|(path, id)| async move {
                let query = format!("{} in parents and trashed = false", quoted(&id));
                match api.list(&query).await {
                    Err(trouble) if trouble.is_missing() => Ok((path, Vec::new())),
                    Err(trouble) => Err(trouble),
                    Ok(items) => Ok((path, items)),
                }
            })
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        level = Vec::new();
        for (path, items) in lists {
            for item in items {
                below.take(path.as_deref(), item, &mut level);
            }
        }
    }
    Ok(below)
}

/// What is below these folders, from one list of all that we can see.
async fn scan(api: &Api, mut level: Vec<(Option<String>, String)>, below: &mut Below) -> Result<(), Trouble> {
    let mut children: HashMap<String, Vec<Item>> = HashMap::new();
    for item in api.list("trashed = false").await? {
        // Files have had one parent since 2020; one with several is taken at its first.
        if let Some(parent) = item.parents.first() {
            children.entry(parent.clone()).or_default().push(item);
        }
    }
    while let Some((path, id)) = level.pop() {
        for item in children.remove(&id).unwrap_or_default() {
            below.take(path.as_deref(), item, &mut level);
        }
    }
    Ok(())
}

impl Below {
    /// A file is kept, a folder is to be looked into.
    fn take(&mut self, parent: Option<&str>, item: Item, folders: &mut Vec<(Option<String>, String)>) {
        // A name with a slash in it would read as a path.
        let path = parent.filter(|_| !item.name.contains('/')).map(|parent| {
            if parent.is_empty() {
                item.name.clone()
            } else {
                format!("{parent}/{}", item.name)
            }
        });
        if item.is_folder {
            folders.push((path, item.id));
        } else {
            self.files
                .push((path.and_then(|path| ObjectPath::new(path).ok()), item));
        }
    }

    /// The finished objects, in the order of their paths; of several of one path the oldest.
    pub(super) fn into_entries(self) -> Vec<Entry> {
        let mut found: Vec<(ObjectPath, Item)> = self
            .files
            .into_iter()
            .filter_map(|(path, item)| Some((path?, item)))
            .collect();
        found.sort_by(|(a, one), (b, other)| (a, one.created, &one.id).cmp(&(b, other.created, &other.id)));
        found.dedup_by(|(later, _), (earlier, _)| later == earlier);
        found
            .into_iter()
            .map(|(path, item)| Entry { path, len: item.len })
            .collect()
    }
}
