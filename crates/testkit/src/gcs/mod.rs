//! An emulator of Google Cloud Storage's JSON API: one bucket in memory, on 127.0.0.1, with faults that are asked for.
//!
//! Written from Google's public reference, and from nothing else:
//! - requests: <https://cloud.google.com/storage/docs/json_api/v1> (`objects`: insert, get, list, delete, and the object
//!   resource with `md5Hash`, `crc32c`, `generation`);
//! - uploads in parts: <https://cloud.google.com/storage/docs/performing-resumable-uploads> (308 and `Range`, the question
//!   `bytes */N`, parts of n × 256 KiB, bytes that are sent twice are ignored, 499 for a session that was ended);
//! - conditions: <https://cloud.google.com/storage/docs/request-preconditions>;
//! - checksums: <https://cloud.google.com/storage/docs/data-validation> (`x-goog-hash`);
//! - errors: <https://cloud.google.com/storage/docs/json_api/v1/status-codes>;
//! - tokens: <https://developers.google.com/identity/protocols/oauth2/service-account#httprest>.
//!
//! What the reference does not say is not here; what is asked for and not here is answered with 501, so that a test
//! notices.

mod bucket;
mod faults;
mod http;
mod service;
mod tokens;

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use self::faults::{Fault, Step};
use self::service::State;

/// The bucket.
pub const BUCKET: &str = "backups";

/// A running emulator; dropping it ends it.
#[derive(Debug)]
pub struct Gcs {
    state: Arc<Mutex<State>>,
    port: u16,
    ended: Arc<AtomicBool>,
}

impl Gcs {
    /// Starts it on a free port, with an empty bucket and one service account.
    ///
    /// # Errors
    /// When there is no port.
    pub fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let state = Arc::new(Mutex::new(State::new(format!("http://127.0.0.1:{port}"))?));
        Ok(Self::serve(listener, state))
    }

    fn serve(listener: TcpListener, state: Arc<Mutex<State>>) -> Self {
        let port = listener.local_addr().map_or(0, |address| address.port());
        let ended = Arc::new(AtomicBool::new(false));
        let gcs = Self {
            state: Arc::clone(&state),
            port,
            ended: Arc::clone(&ended),
        };
        std::thread::spawn(move || http::serve(&listener, &ended, &state));
        gcs
    }

    /// Where requests go.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The key of its service account: the JSON file that Google's console hands out. It names a way to the emulator's tokens
    /// that does not go through `endpoint`, so that a proxy in front of that does not see them.
    pub fn account_key(&self) -> String {
        self.state().tokens.account_key()
    }

    /// A key for the same account that the account does not have.
    ///
    /// # Errors
    /// When there is no chance to be had.
    pub fn wrong_account_key(&self) -> anyhow::Result<String> {
        self.state().tokens.wrong_account_key()
    }

    /// Makes something go wrong from the next request on.
    pub fn fail(&self, fault: Fault) {
        self.state().faults.push(fault);
    }

    /// Ends the faults, and tells whether every one of them has struck.
    pub fn heal(&self) -> bool {
        self.state().faults.drain(..).all(|fault| fault.has_struck())
    }

    /// How long tokens hold that are handed out from now on; an hour where this is never said.
    pub fn token_life(&self, life: Duration) {
        self.state().tokens.life = life;
    }

    /// Ends every token that was handed out.
    pub fn expire_tokens(&self) {
        self.state().tokens.expire();
    }

    /// How many tokens were handed out.
    pub fn tokens_granted(&self) -> usize {
        self.state().tokens.granted
    }

    /// Takes the account's right to change anything, or gives it back.
    pub fn set_read_only(&self, read_only: bool) {
        self.state().read_only = read_only;
    }

    /// The most bytes that the bucket takes, unfinished uploads included.
    pub fn set_quota(&self, bytes: u64) {
        self.state().quota = Some(bytes);
    }

    /// Removes the bucket.
    pub fn remove_bucket(&self) {
        self.state().bucket = None;
    }

    /// The most objects of a page of a list.
    pub fn set_page(&self, objects: usize) {
        self.state().page = objects;
    }

    /// The names of all objects, in order.
    pub fn objects(&self) -> Vec<String> {
        let state = self.state();
        let names = state.bucket.as_ref().map(bucket::Bucket::names);
        names.unwrap_or_default()
    }

    /// Puts an object there, whatever its name.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        if let Some(bucket) = &mut self.state().bucket {
            bucket.put(
                name,
                bytes.to_vec(),
                bucket::Sums::of(bytes),
                serde_json::Map::new(),
            );
        }
    }

    /// How many uploads were begun, and neither finished nor ended.
    pub fn open_uploads(&self) -> usize {
        self.state().uploads.len()
    }

    /// Requests so far, tokens included.
    pub fn requests(&self) -> usize {
        self.state().requests
    }

    /// Ends it, and answers what starts it again with the same objects on the same port.
    pub fn stop(self) -> Stopped {
        Stopped {
            state: Arc::clone(&self.state),
            port: self.port,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Gcs {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for a connection, which then ends.
        let _ = TcpStream::connect_timeout(
            &SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)),
            Duration::from_secs(1),
        );
    }
}

/// An emulator that was stopped: its objects are still there.
#[derive(Debug)]
pub struct Stopped {
    state: Arc<Mutex<State>>,
    port: u16,
}

impl Stopped {
    /// Starts it again.
    ///
    /// # Errors
    /// When the port is not to be had again.
    pub fn start(self) -> anyhow::Result<Gcs> {
        let mut attempt = 0;
        loop {
            match TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)) {
                Ok(listener) => return Ok(Gcs::serve(listener, self.state)),
                // The old listener's thread may need a moment to end.
                Err(_) if attempt < 100 => std::thread::sleep(Duration::from_millis(20)),
                Err(error) => return Err(error.into()),
            }
            attempt += 1;
        }
    }
}
