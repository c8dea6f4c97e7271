//! What the emulator knows: clients, grants, tokens, files, sessions.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;

use super::faults::Faults;
use super::oauth::Consent;
use super::{CLIENT_ID, CLIENT_SECRET, OTHER_CLIENT_ID};
use crate::chance::Chance;

/// The type of folders.
pub(super) const FOLDER: &str = "application/vnd.google-apps.folder";

/// The id of the folder that holds all others; `root` means it too.
pub(super) const MY_DRIVE: &str = "0AMyDrive";

/// A code that the browser carries.
#[derive(Debug)]
pub(super) struct Code {
    pub client: String,
    pub challenge: String,
    pub redirect_uri: String,
    pub scope: &'static str,
    /// Whether there will be a refresh token.
    pub offline: bool,
}

/// An access token.
#[derive(Debug)]
pub(super) struct Token {
    pub client: String,
    pub until: Instant,
    pub may_use_drive: bool,
}

/// A file or folder.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub id: String,
    pub name: String,
    pub mime: String,
    pub parent: String,
    /// The client that made it, which alone sees it.
    pub client: String,
    pub len: u64,
    pub sha256: Option<String>,
    /// The file of this machine that holds the content.
    pub content: Option<String>,
    pub app_properties: BTreeMap<String, String>,
    pub created: SystemTime,
    /// Put into the bin itself, not with a folder above.
    pub binned: bool,
}

/// An upload session.
#[derive(Debug)]
pub(super) struct Session {
    pub row: Row,
    pub received: u64,
    /// What of the file the last answer shows.
    pub fields: Option<String>,
}

/// Everything.
#[derive(Debug)]
pub(super) struct World {
    pub consent: Consent,
    pub codes: HashMap<String, Code>,
    /// Refresh tokens, with their clients.
    pub grants: HashMap<String, String>,
    pub tokens: HashMap<String, Token>,
    pub token_lifetime: u64,
    /// By a number that grows, so that pages of a list stay what they are while files come and go.
    pub rows: BTreeMap<u64, Row>,
    numbers: HashMap<String, u64>,
    children: HashMap<String, BTreeSet<u64>>,
    /// By folder and name.
    named: HashMap<(String, String), BTreeSet<u64>>,
    pub sessions: HashMap<String, Session>,
    /// Sessions that made their files, with these and the fields to show: who asks again hears it again.
    pub finished: HashMap<String, (String, Option<String>)>,
    pub ids: Vec<String>,
    pub quota: Option<u64>,
    pub page_limit: usize,
    pub faults: Faults,
    next: u64,
    born: SystemTime,
    chance: Chance,
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            consent: Consent::Allow,
            codes: HashMap::new(),
            grants: HashMap::new(),
            tokens: HashMap::new(),
            token_lifetime: 3599,
            rows: BTreeMap::new(),
            numbers: HashMap::new(),
            children: HashMap::new(),
            named: HashMap::new(),
            sessions: HashMap::new(),
            finished: HashMap::new(),
            ids: Vec::new(),
            quota: None,
            page_limit: 1000,
            faults: Faults::default(),
            next: 0,
            born: SystemTime::now(),
            chance: Chance::from_seed(1),
        }
    }

    /// The secret of a client that is registered.
    pub(super) fn secret_of(&self, client: &str) -> Option<&'static str> {
        [CLIENT_ID, OTHER_CLIENT_ID]
            .contains(&client)
            .then_some(CLIENT_SECRET)
    }

    /// A name that nobody has had yet.
    pub(super) fn random(&mut self, prefix: &str) -> String {
        format!("{prefix}{:016x}{:016x}", self.chance.bits(), self.chance.bits())
    }

    pub(super) fn grant(&mut self, client: &str) -> String {
        let token = self.random("1//");
        self.grants.insert(token.clone(), client.to_owned());
        token
    }

    pub(super) fn revoke_grants(&mut self) {
        self.grants.clear();
        self.tokens.clear();
    }

    pub(super) fn insert(&mut self, mut row: Row) {
        self.next += 1;
        // Google tells milliseconds: no two files here are of the same one.
        row.created = self.born + Duration::from_millis(self.next);
        self.numbers.insert(row.id.clone(), self.next);
        self.children
            .entry(row.parent.clone())
            .or_default()
            .insert(self.next);
        let place = (row.parent.clone(), row.name.clone());
        self.named.entry(place).or_default().insert(self.next);
        self.rows.insert(self.next, row);
    }

    pub(super) fn row(&self, id: &str) -> Option<&Row> {
        self.rows.get(self.numbers.get(id)?)
    }

    /// The file of an id as a client sees it; what it must not see is not there.
    pub(super) fn seen(&self, id: &str, client: &str) -> Option<&Row> {
        self.row(id).filter(|row| row.client == client)
    }

    pub(super) fn seen_mut(&mut self, id: &str, client: &str) -> Option<&mut Row> {
        let row = self.rows.get_mut(self.numbers.get(id)?)?;
        (row.client == client).then_some(row)
    }

    /// Whether a client may put files there.
    pub(super) fn is_folder_of(&self, id: &str, client: &str) -> bool {
        id == MY_DRIVE || id == "root" || self.seen(id, client).is_some_and(|row| row.mime == FOLDER)
    }

    /// Whether it, or a folder above it, is in the bin.
    pub(super) fn is_trashed(&self, row: &Row) -> bool {
        row.binned
            || self
                .row(&row.parent)
                .is_some_and(|parent| self.is_trashed(parent))
    }

    /// Removes a file for good, with all below it, whoever made that.
    pub(super) fn remove(&mut self, id: &str) {
        let Some(number) = self.numbers.remove(id) else {
            return;
        };
        if let Some(row) = self.rows.remove(&number) {
            let siblings = self.children.get_mut(&row.parent);
            let namesakes = self.named.get_mut(&(row.parent, row.name));
            for numbers in siblings.into_iter().chain(namesakes) {
                numbers.remove(&number);
            }
        }
        let below: Vec<String> = self.in_folder(id).map(|row| row.id.clone()).collect();
        for id in below {
            self.remove(&id);
        }
    }

    /// What is directly in a folder.
    fn in_folder(&self, id: &str) -> impl Iterator<Item = &Row> {
        let numbers = self.children.get(id).into_iter().flatten();
        numbers.filter_map(|number| self.rows.get(number))
    }

    pub(super) fn usage(&self) -> u64 {
        self.rows.values().map(|row| row.len).sum()
    }

    pub(super) fn path(&self, row: &Row) -> String {
        match self.row(&row.parent) {
            Some(parent) => format!("{}/{}", self.path(parent), row.name),
            None => row.name.clone(),
        }
    }

    pub(super) fn paths(&self, folders: bool) -> Vec<String> {
        let mut paths: Vec<String> = self
            .rows
            .values()
            .filter(|row| (row.mime == FOLDER) == folders && !self.is_trashed(row))
            .map(|row| self.path(row))
            .collect();
        paths.sort();
        paths
    }

    pub(super) fn binned(&self) -> Vec<String> {
        let files = self
            .rows
            .values()
            .filter(|row| row.mime != FOLDER && self.is_trashed(row));
        let mut paths: Vec<String> = files.map(|row| self.path(row)).collect();
        paths.sort();
        paths
    }

    pub(super) fn content_of(&self, path: &str) -> anyhow::Result<String> {
        let row = self.at(path)?;
        row.content
            .clone()
            .with_context(|| format!("{path} has no content"))
    }

    pub(super) fn put_into_bin(&mut self, path: &str) -> anyhow::Result<()> {
        let id = self.at(path)?.id.clone();
        let number = self.numbers[&id];
        if let Some(row) = self.rows.get_mut(&number) {
            row.binned = true;
        }
        Ok(())
    }

    fn at(&self, path: &str) -> anyhow::Result<&Row> {
        let found = self
            .rows
            .values()
            .find(|row| !self.is_trashed(row) && self.path(row) == path);
        found.with_context(|| format!("there is no {path}"))
    }

    /// Puts a file or folder there, with the folders on its way that are missing.
    pub(super) fn add(&mut self, path: &str, client: &str, folder: bool, len: u64) {
        let mut parent = MY_DRIVE.to_owned();
        let mut parts = path.split('/').peekable();
        while let Some(part) = parts.next() {
            let last = parts.peek().is_none();
            let namesakes = self.named.get(&(parent.clone(), part.to_owned()));
            let there = namesakes
                .into_iter()
                .flatten()
                .filter_map(|number| self.rows.get(number))
                .find(|row| row.mime == FOLDER);
            if let Some(row) = there
                && !last
            {
                parent.clone_from(&row.id);
                continue;
            }
            let id = self.random("1");
            let is_folder = folder || !last;
            self.insert(Row {
                id: id.clone(),
                name: part.to_owned(),
                mime: if is_folder {
                    FOLDER
                } else {
                    "application/octet-stream"
                }
                .to_owned(),
                parent,
                client: client.to_owned(),
                len: if last { len } else { 0 },
                sha256: None,
                content: None,
                app_properties: BTreeMap::new(),
                created: SystemTime::now(),
                binned: false,
            });
            parent = id;
        }
    }
}
