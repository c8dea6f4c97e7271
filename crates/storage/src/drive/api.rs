//! Requests about files that are not their content: by the Drive crate, except for making a folder, which the crate can do
//! only together with content. Each is tried again where that may help, and ends when nothing moves for too long.

use std::fmt;
use std::sync::Arc;

use google_drive3::DriveHub;
use google_drive3::api::{About, File, Scope};
use google_drive3::common::{self, Delegate, Retry};
use google_drive3::hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use google_drive3::hyper_util::client::legacy::Client;
use google_drive3::hyper_util::client::legacy::connect::HttpConnector;
use google_drive3::hyper_util::rt::TokioExecutor;
use howdah_domain::Secret;
use tokio::sync::Mutex;

use super::client::OAuthClient;
use super::endpoints::{AGENT, CONNECT, Endpoints, Patience, http};
use super::tokens::{NoToken, Tokens};
use super::trouble::{Answer, Tries, Trouble, retry_after};
use crate::Error;

/// The type that makes a file a folder.
pub(super) const FOLDER: &str = "application/vnd.google-apps.folder";

/// What is asked about each file.
pub(super) const FIELDS: &str =
    "id,name,mimeType,size,parents,trashed,createdTime,sha256Checksum,md5Checksum";

/// Files in one page of a list: the most that Google gives.
const PAGE: i32 = 1000;

/// Ids that are fetched at once.
const IDS: i32 = 16;

/// A file or folder as Drive has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub id: String,
    pub name: String,
    pub is_folder: bool,
    pub parents: Vec<String>,
    pub trashed: bool,
    pub len: u64,
    pub sha256: Option<String>,
    pub md5: Option<String>,
    /// Milliseconds since 1970.
    pub created: i64,
}

impl Item {
    /// From an answer; none where even the id is missing.
    pub(super) fn from_answer(file: File) -> Option<Self> {
        Some(Self {
            id: file.id?,
            name: file.name.unwrap_or_default(),
            is_folder: file.mime_type.as_deref() == Some(FOLDER),
            parents: file.parents.unwrap_or_default(),
            trashed: file.trashed.unwrap_or_default(),
            len: file.size.and_then(|len| len.try_into().ok()).unwrap_or_default(),
            sha256: file.sha256_checksum,
            md5: file.md5_checksum,
            created: file
                .created_time
                .map_or(i64::MAX, |created| created.timestamp_millis()),
        })
    }
}

/// Google Drive, as one OAuth client and one user see it.
pub(super) struct Api {
    hub: DriveHub<HttpsConnector<HttpConnector>>,
    /// Our own client, for what the crate cannot do.
    pub(super) http: reqwest::Client,
    pub(super) tokens: Tokens,
    pub(super) endpoints: Endpoints,
    pub(super) patience: Patience,
    /// Ids that Google gave us for files to come.
    ids: Mutex<Vec<String>>,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api")
            .field("tokens", &self.tokens)
            .finish_non_exhaustive()
    }
}

impl Api {
    /// Touches no network.
    pub(super) fn new(
        client: OAuthClient,
        refresh_token: Secret,
        endpoints: Endpoints,
        patience: Patience,
    ) -> Result<Self, Error> {
        let http = http(patience)?;
        let tokens = Tokens::new(
            http.clone(),
            endpoints.token.clone(),
            client,
            refresh_token,
            patience,
        );
        let mut tcp = HttpConnector::new();
        tcp.set_connect_timeout(Some(CONNECT));
        tcp.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_platform_verifier(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .map_err(|source| Error::Failed {
                what: "preparing",
                at: "Google Drive".to_owned(),
                source: source.into(),
            })?
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(tcp);
        let mut hub = DriveHub::new(
            Client::builder(TokioExecutor::new())
                .pool_idle_timeout(patience.idle)
                .build(connector),
            tokens.clone(),
        );
        hub.base_url(endpoints.api.clone());
        hub.user_agent(AGENT.to_owned());
        Ok(Self {
            hub,
            http,
            tokens,
            endpoints,
            patience,
            ids: Mutex::new(Vec::new()),
        })
    }

    pub(super) fn tries(&self) -> Tries<'_> {
        Tries::new(&self.tokens, self.patience)
    }

    /// Every file that matches a query (<https://developers.google.com/workspace/drive/api/guides/search-files>), all pages.
    pub(super) async fn list(&self, query: &str) -> Result<Vec<Item>, Trouble> {
        self.pages(query, PAGE, |_| true).await
    }

    /// Whether any file matches a query.
    pub(super) async fn any(&self, query: &str) -> Result<bool, Trouble> {
        // A page may be empty and not the last.
        Ok(!self.pages(query, 1, |found| found == 0).await?.is_empty())
    }

    /// Pages of a list, while `go_on` says so of the number of files found.
    async fn pages(
        &self,
        query: &str,
        page_size: i32,
        go_on: impl Fn(usize) -> bool + Send,
    ) -> Result<Vec<Item>, Trouble> {
        let fields = format!("nextPageToken,incompleteSearch,files({FIELDS})");
        let mut found = Vec::new();
        let mut page: Option<String> = None;
        loop {
            let mut tries = self.tries();
            let list = loop {
                let mut watch = Watch::default();
                let mut call = self
                    .hub
                    .files()
                    .list()
                    .q(query)
                    .corpora("user")
                    .spaces("drive")
                    .page_size(page_size)
                    .param("fields", fields.as_str())
                    .add_scope(Scope::File)
                    .delegate(&mut watch);
                if let Some(token) = &page {
                    call = call.page_token(token);
                }
                let result = self.in_time(Box::pin(call.doit())).await;
                match watch.result(result) {
                    Ok((_, list)) if list.incomplete_search == Some(true) => {
                        let trouble = Trouble::Broken("Google has not searched everywhere".into());
                        tries.again(trouble).await?;
                    }
                    Ok((_, list)) => break list,
                    Err(trouble) => tries.again(trouble).await?,
                }
            };
            found.extend(
                list.files
                    .unwrap_or_default()
                    .into_iter()
                    .filter_map(Item::from_answer),
            );
            page = list.next_page_token;
            if page.is_none() || !go_on(found.len()) {
                return Ok(found);
            }
        }
    }

    /// A file by its id; none where it is not there, for good or to our eyes.
    pub(super) async fn get(&self, id: &str) -> Result<Option<Item>, Trouble> {
        let mut tries = self.tries();
        loop {
            let mut watch = Watch::default();
            let call = self
                .hub
                .files()
                .get(id)
                .param("fields", FIELDS)
                .add_scope(Scope::File)
                .delegate(&mut watch);
            let result = self.in_time(Box::pin(call.doit())).await;
            match watch.result(result) {
                Ok((_, file)) => return Ok(Item::from_answer(file)),
                Err(trouble) if trouble.is_missing() => return Ok(None),
                Err(trouble) => tries.again(trouble).await?,
            }
        }
    }

    /// Removes a file for good. It is no error where it is not there.
    pub(super) async fn delete(&self, id: &str) -> Result<(), Trouble> {
        let mut tries = self.tries();
        loop {
            let mut watch = Watch::default();
            let call = self
                .hub
                .files()
                .delete(id)
                .add_scope(Scope::File)
                .delegate(&mut watch);
            let result = self.in_time(Box::pin(call.doit())).await;
            match watch.result(result) {
                Ok(_) => return Ok(()),
                Err(trouble) if trouble.is_missing() => return Ok(()),
                Err(trouble) => tries.again(trouble).await?,
            }
        }
    }

    /// Puts a folder, with what is in it, where people can get it back for thirty days.
    pub(super) async fn trash(&self, id: &str) -> Result<(), Trouble> {
        let mut tries = self.tries();
        loop {
            let mut watch = Watch::default();
            let change = File {
                trashed: Some(true),
                ..File::default()
            };
            let call = self
                .hub
                .files()
                .update(change, id)
                .param("fields", "id")
                .add_scope(Scope::File)
                .delegate(&mut watch);
            let result = self.in_time(Box::pin(call.doit_without_upload())).await;
            match watch.result(result) {
                Ok(_) => return Ok(()),
                Err(trouble) if trouble.is_missing() => return Ok(()),
                Err(trouble) => tries.again(trouble).await?,
            }
        }
    }

    /// Whose Drive it is, and how full.
    pub(super) async fn about(&self) -> Result<About, Trouble> {
        let mut tries = self.tries();
        loop {
            let mut watch = Watch::default();
            let call = self
                .hub
                .about()
                .get()
                .param("fields", "user(emailAddress),storageQuota(limit,usage)")
                .add_scope(Scope::File)
                .delegate(&mut watch);
            let result = self.in_time(Box::pin(call.doit())).await;
            match watch.result(result) {
                Ok((_, about)) => return Ok(about),
                Err(trouble) => tries.again(trouble).await?,
            }
        }
    }

    /// An id for a file that is yet to be made. Who knows it beforehand can remove the file even if the answer that it is
    /// there never came.
    pub(super) async fn new_id(&self) -> Result<String, Trouble> {
        let mut ids = self.ids.lock().await;
        if let Some(id) = ids.pop() {
            return Ok(id);
        }
        let mut tries = self.tries();
        loop {
            let mut watch = Watch::default();
            let call = self
                .hub
                .files()
                .generate_ids()
                .count(IDS)
                .space("drive")
                .add_scope(Scope::File)
                .delegate(&mut watch);
            let result = self.in_time(Box::pin(call.doit())).await;
            match watch.result(result) {
                Ok((_, generated)) => {
                    *ids = generated.ids.unwrap_or_default();
                    return ids
                        .pop()
                        .ok_or_else(|| Trouble::Broken("Google gave no id for a new file".into()));
                }
                Err(trouble) => tries.again(trouble).await?,
            }
        }
    }

    /// Makes a folder. Its id is fixed beforehand, so that an attempt whose answer is lost does not make two.
    pub(super) async fn make_folder(&self, parent: &str, name: &str) -> Result<String, Trouble> {
        const CONFLICT: u16 = 409;
        let id = self.new_id().await?;
        let folder = serde_json::json!({ "id": id, "name": name, "mimeType": FOLDER, "parents": [parent] });
        let url = format!("{}files?fields=id", self.endpoints.api);
        let mut tries = self.tries();
        loop {
            let attempt = async {
                let token = self.tokens.access().await?;
                let request = self
                    .http
                    .post(&url)
                    .bearer_auth(token.expose())
                    .json(&folder)
                    .timeout(self.patience.idle);
                let response = request.send().await.map_err(Trouble::from_reqwest)?;
                if response.status().is_success() || response.status().as_u16() == CONFLICT {
                    return Ok(());
                }
                Err(answer(response).await)
            };
            match attempt.await {
                Ok(()) => return Ok(id),
                Err(trouble) => tries.again(trouble).await?,
            }
        }
    }

    async fn in_time<T>(
        &self,
        call: impl Future<Output = common::Result<T>>,
    ) -> Result<common::Result<T>, Trouble> {
        tokio::time::timeout(self.patience.idle, call)
            .await
            .map_err(|_| Trouble::silence(self.patience))
    }
}

/// Reads an answer of our own client that is an error.
pub(super) async fn answer(response: reqwest::Response) -> Trouble {
    let status = response.status().as_u16();
    let pause = retry_after(
        response
            .headers()
            .get(reqwest::header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()),
    );
    match response.bytes().await {
        Ok(body) => Trouble::Answer(Answer::new(status, &body, pause)),
        Err(_) => Trouble::Answer(Answer::new(status, &[], pause)),
    }
}

/// Notes what the crate's errors leave out: status and `Retry-After`.
#[derive(Default)]
struct Watch {
    status: Option<u16>,
    pause: Option<std::time::Duration>,
}

impl Delegate for Watch {
    fn http_failure(&mut self, response: &common::Response, _: Option<&serde_json::Value>) -> Retry {
        self.status = Some(response.status().as_u16());
        self.pause = retry_after(
            response
                .headers()
                .get("retry-after")
                .and_then(|value| value.to_str().ok()),
        );
        // Attempts are ours to count.
        Retry::Abort
    }
}

impl Watch {
    fn result<T>(self, result: Result<common::Result<T>, Trouble>) -> Result<T, Trouble> {
        let error = match result? {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        Err(match error {
            common::Error::HttpError(error) => Trouble::from_connection(error),
            common::Error::Io(error) => Trouble::from_connection(error),
            common::Error::MissingToken(error) => match error.downcast::<NoToken>() {
                Ok(no_token) => no_token.0,
                Err(error) => Trouble::Broken(error),
            },
            common::Error::BadRequest(body) => Trouble::Answer(Answer::new(
                self.status.unwrap_or(400),
                body.to_string().as_bytes(),
                self.pause,
            )),
            common::Error::Failure(response) => {
                Trouble::Answer(Answer::new(response.status().as_u16(), &[], self.pause))
            }
            // The body ended early: the crate hands on what came of it, or nothing.
            common::Error::JsonDecodeError(_, _) => Trouble::Broken("the answer is not whole".into()),
            other => Trouble::Told(Error::Failed {
                what: "asking",
                at: "Google Drive".to_owned(),
                source: other.to_string().into(),
            }),
        })
    }
}
