//! An emulator of Google's sign-in and of the Google Drive API, as far as a program that keeps files with the scope
//! `drive.file` uses them; written from Google's public reference, and strict where that is.
//!
//! - Sign-in, codes, PKCE, tokens: <https://developers.google.com/identity/protocols/oauth2/native-app>, RFC 6749, RFC 7636.
//! - Files: <https://developers.google.com/workspace/drive/api/reference/rest/v3/files> (create, list, get, update, delete,
//!   generateIds), `about.get` beside it; fields: <https://developers.google.com/workspace/drive/api/guides/fields-parameter>.
//! - Queries: <https://developers.google.com/workspace/drive/api/guides/ref-search-terms>.
//! - Upload sessions: <https://developers.google.com/workspace/drive/api/guides/manage-uploads#resumable>.
//! - Errors: <https://developers.google.com/workspace/drive/api/guides/handle-errors>.
//! - What `drive.file` shows: <https://developers.google.com/workspace/drive/api/guides/api-specific-auth>.
//!
//! Beyond the reference, it does as Drive is known to do: `name =` takes no notice of case, several files may have one name in one
//! folder, a folder in the bin goes on taking files, a chunk that is cut off is kept in whole 256 KiB. Of the reference
//! it leaves out what nobody here asks for: shared drives, revisions, permissions, MD5.
//!
//! It serves HTTP by hand ([`http`]), since it has to misbehave on the socket itself: cut at a byte, stop reading, fall silent.

mod faults;
mod files;
pub(crate) mod http;
mod oauth;
mod query;
mod upload;
mod world;

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use faults::{Fault, On};
pub use oauth::Consent;
use world::World;

/// The id of the OAuth client that is registered from the start.
pub const CLIENT_ID: &str = "1234-howdah.apps.example";
/// Its secret.
pub const CLIENT_SECRET: &str = "GOCSPX-not-very-secret";
/// Another OAuth client, whose files the first one does not see.
pub const OTHER_CLIENT_ID: &str = "5678-other.apps.example";
/// The user's address.
pub const ACCOUNT: &str = "ada@example.com";

/// A running emulator on 127.0.0.1; dropping it ends it.
#[derive(Debug)]
pub struct DriveEmulator {
    world: Arc<Shared>,
    port: u16,
    server: JoinHandle<()>,
}

/// What all connections share.
#[derive(Debug)]
struct Shared {
    world: Mutex<World>,
    /// Where contents lie.
    folder: tempfile::TempDir,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn content(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl DriveEmulator {
    /// Starts one with an empty Drive. Needs a tokio runtime, which it ends with.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let world = Arc::new(Shared {
            world: Mutex::new(World::new()),
            folder: tempfile::Builder::new().prefix("howdah-drive-").tempdir()?,
        });
        let server = tokio::spawn(http::serve(listener, Arc::clone(&world)));
        Ok(Self { world, port, server })
    }

    /// Stops listening, with all that it knows kept for [`DriveEmulator::resume`].
    pub async fn pause(&mut self) {
        self.server.abort();
        // Until the task is gone, the port is not free.
        let _ = (&mut self.server).await;
    }

    /// Listens again on the same port.
    ///
    /// # Errors
    /// When the port is taken meanwhile.
    pub async fn resume(&mut self) -> anyhow::Result<()> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)).await?;
        self.server = tokio::spawn(http::serve(listener, Arc::clone(&self.world)));
        Ok(())
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address, below which everything has the path that it has at Google.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A refresh token, as a sign-in with the first client would give.
    pub fn refresh_token(&self) -> String {
        self.world.lock().grant(CLIENT_ID)
    }

    /// A refresh token of the other client.
    pub fn refresh_token_of_other_client(&self) -> String {
        self.world.lock().grant(OTHER_CLIENT_ID)
    }

    /// What the user does on the sign-in page from now on.
    pub fn consent(&self, consent: Consent) {
        self.world.lock().consent = consent;
    }

    /// The user withdraws every grant.
    pub fn revoke_grants(&self) {
        self.world.lock().revoke_grants();
    }

    /// Every access token has expired.
    pub fn expire_tokens(&self) {
        self.world.lock().tokens.clear();
    }

    /// How many seconds access tokens live that are given from now on.
    pub fn token_lifetime(&self, seconds: u64) {
        self.world.lock().token_lifetime = seconds;
    }

    /// The most bytes that all files together may have.
    pub fn quota(&self, limit: Option<u64>) {
        self.world.lock().quota = limit;
    }

    /// The most files that a page of a list has, whatever is asked for; Google promises no page to be full.
    pub fn page_limit(&self, limit: usize) {
        self.world.lock().page_limit = limit;
    }

    /// The next request of a kind goes wrong.
    pub fn fail(&self, on: On, fault: Fault) {
        self.fail_times(on, 0, 1, fault);
    }

    /// After `skip` requests of a kind, the next `times` ones go wrong.
    pub fn fail_times(&self, on: On, skip: u32, times: u32, fault: Fault) {
        self.world.lock().faults.add(on, skip, times, fault);
    }

    /// Whatever was still to go wrong goes well.
    pub fn forgive(&self) {
        self.world.lock().faults.forgive();
    }

    /// How many requests of a kind there were, those that went wrong too.
    pub fn count(&self, on: On) -> u32 {
        self.world.lock().faults.count(on)
    }

    /// How many faults have not struck yet.
    pub fn faults_left(&self) -> usize {
        self.world.lock().faults.left()
    }

    /// Every file outside the bin, whoever made it, with its path, in order.
    pub fn files(&self) -> Vec<String> {
        self.world.lock().paths(false)
    }

    /// Every folder outside the bin, with its path, in order.
    pub fn folders(&self) -> Vec<String> {
        self.world.lock().paths(true)
    }

    /// Every file in the bin, whoever made it, with its path, in order.
    pub fn binned(&self) -> Vec<String> {
        self.world.lock().binned()
    }

    /// The content of a file.
    ///
    /// # Errors
    /// When there is none of that path, or it cannot be read.
    pub fn content(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        let content = self.world.lock().content_of(path)?;
        Ok(std::fs::read(self.world.content(&content))?)
    }

    /// Upload sessions that are neither finished nor given up.
    pub fn open_sessions(&self) -> usize {
        self.world.lock().sessions.len()
    }

    /// Google drops every upload session.
    pub fn drop_sessions(&self) {
        self.world.lock().sessions.clear();
    }

    /// Puts a file into the Drive that the user made, or that another program made: the first client does not see it. Folders on
    /// its way that are missing are the user's too.
    pub fn add_foreign_file(&self, path: &str) {
        self.world.lock().add(path, "the user", false, 3);
    }

    /// Puts a file into the Drive as the first client would; without content, for lists.
    pub fn add_file(&self, path: &str, len: u64) {
        self.world.lock().add(path, CLIENT_ID, false, len);
    }

    /// Makes a folder as the first client would, beside one of the same name if there is one.
    pub fn add_folder(&self, path: &str) {
        self.world.lock().add(path, CLIENT_ID, true, 0);
    }

    /// The user puts a file or folder into the bin.
    ///
    /// # Errors
    /// When there is none of that path.
    pub fn put_into_bin(&self, path: &str) -> anyhow::Result<()> {
        self.world.lock().put_into_bin(path)
    }
}

impl Drop for DriveEmulator {
    fn drop(&mut self) {
        self.server.abort();
    }
}
