//! Asks a WebDAV server: addresses, login, and the requests that the destination is made of. It knows no backup.

use std::path::Path;
use std::time::Duration;

use howdah_domain::destination::WebdavPlace;
use howdah_domain::{Place, Secret};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{ACCEPT_ENCODING, CONTENT_TYPE, HeaderValue};
use reqwest::{Body, Method, RequestBuilder, Response, StatusCode};
use url::Url;

use super::error::{self, Doing};
use super::propfind::{self, Resource};
use crate::patience::{Patience, Silence};
use crate::{Error, ObjectPath, authorities};

/// Escaped in a part of a path: all but the unreserved characters of RFC 3986, which every server takes as they are.
const IN_PART: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// The longest answer to PROPFIND that is read: some hundred thousand files in one folder.
const LONGEST_ANSWER: usize = 64 * 1024 * 1024;
/// A connection that was idle for longer is not used again: servers close theirs after some seconds.
const POOL_IDLE: Duration = Duration::from_secs(10);

/// The end of the name of what is not finished. Not `.part`: Nextcloud refuses that name, which it uses itself.
pub(super) const UNFINISHED: &str = ".unfinished";

/// Something directly in a collection.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) name: String,
    pub(super) collection: bool,
    pub(super) len: Option<u64>,
}

/// A WebDAV collection and how to get in.
pub(super) struct Client {
    /// The place as people know it.
    pub(super) name: String,
    /// The collection, with a slash at its end.
    base: Url,
    user: Option<String>,
    secret: Option<Secret>,
    http: reqwest::Client,
    /// For uploads that cannot be repeated: each gets a connection of its own, which cannot have gone stale.
    uploads: reqwest::Client,
    pub(super) patience: Patience,
}

impl Client {
    /// Reads the certificate file, and asks nobody.
    pub(super) fn new(
        place: &WebdavPlace,
        secret: Option<&Secret>,
        patience: Patience,
    ) -> Result<Self, Error> {
        let name = Place::Webdav(place.clone()).to_string();
        let base = Url::parse(&format!("{}/", place.url.trim_end_matches('/')))
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .filter(|url| url.query().is_none() && url.fragment().is_none())
            .ok_or_else(|| Error::Misconfigured {
                why: format!("“{}” is not the URL of a WebDAV folder.", place.url),
            })?;
        let client = |idle_connections| {
            let mut builder = reqwest::Client::builder()
                .user_agent(concat!("Howdah/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(patience.connect)
                // The password must not go where nobody meant it to.
                .redirect(reqwest::redirect::Policy::none())
                .pool_idle_timeout(POOL_IDLE)
                .pool_max_idle_per_host(idle_connections);
            if let Some(file) = &place.ca_file {
                builder = builder.tls_certs_merge(trusted(file)?);
            }
            builder.build().map_err(|error| Error::Misconfigured {
                why: format!("TLS cannot be set up for {name}: {error}."),
            })
        };
        Ok(Self {
            base,
            user: place.user.clone(),
            secret: secret.cloned(),
            http: client(8)?,
            uploads: client(0)?,
            patience,
            name,
        })
    }

    /// The address of an object, or of a folder (with a slash at its end); `None` is the root.
    fn url(&self, path: Option<&str>, folder: bool) -> Url {
        let mut url = self.base.clone();
        if let Some(path) = path {
            let mut text = url.path().to_owned();
            for part in path.split('/') {
                text.extend(utf8_percent_encode(part, IN_PART));
                text.push('/');
            }
            if !folder {
                text.pop();
            }
            url.set_path(&text);
        }
        url
    }

    fn request(&self, client: &reqwest::Client, method: &[u8], url: Url) -> RequestBuilder {
        let method = Method::from_bytes(method).expect("BUG: a constant method is one");
        let request = client.request(method, url);
        match &self.user {
            Some(user) => request.basic_auth(user, Some(self.secret.as_ref().map_or("", Secret::expose))),
            None => request,
        }
    }

    /// Sends a request and waits for the head of the answer.
    async fn send(&self, request: RequestBuilder, patience: Duration) -> Result<Response, Error> {
        match tokio::time::timeout(patience, request.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(error::unanswered(&self.name, error)),
            Err(_) => Err(self.silent("no answer", patience)),
        }
    }

    pub(super) fn silent(&self, what: &'static str, after: Duration) -> Error {
        Error::Unreachable {
            place: self.name.clone(),
            source: Silence { what, after }.into(),
        }
    }

    async fn refused(&self, doing: Doing, at: &str, response: Response) -> Error {
        error::refused(&self.name, doing, at, response).await
    }

    fn odd(&self, at: &str, unreadable: propfind::Unreadable) -> Error {
        Error::Failed {
            what: "listing",
            at: format!("{}/{at}", self.name),
            source: unreadable.into(),
        }
    }

    /// PROPFIND; none where nothing is there.
    async fn find(
        &self,
        url: &Url,
        depth: &'static str,
        question: &'static str,
        at: &str,
    ) -> Result<Option<Vec<Resource>>, Error> {
        let request = self
            .request(&self.http, b"PROPFIND", url.clone())
            .header("Depth", depth)
            .header(CONTENT_TYPE, "application/xml; charset=utf-8")
            .body(question);
        let response = self.send(request, self.patience.idle).await?;
        match response.status() {
            StatusCode::MULTI_STATUS => {
                let document = self.whole(response).await?;
                let found = propfind::read(&document, url).map_err(|error| self.odd(at, error))?;
                Ok(Some(found))
            }
            StatusCode::NOT_FOUND | StatusCode::GONE => Ok(None),
            status if status.is_success() => Err(error::no_webdav(&self.name, status)),
            _ => Err(self.refused(Doing::Listing, at, response).await),
        }
    }

    /// The body of an answer that is not long.
    async fn whole(&self, mut response: Response) -> Result<Vec<u8>, Error> {
        let mut body = Vec::new();
        loop {
            match tokio::time::timeout(self.patience.idle, response.chunk()).await {
                Ok(Ok(Some(piece))) if body.len() + piece.len() <= LONGEST_ANSWER => {
                    body.extend_from_slice(&piece);
                }
                Ok(Ok(Some(_))) => {
                    return Err(Error::Failed {
                        what: "listing",
                        at: self.name.clone(),
                        source: "the answer has no end".into(),
                    });
                }
                Ok(Ok(None)) => return Ok(body),
                Ok(Err(error)) => return Err(error::unanswered(&self.name, error)),
                Err(_) => return Err(self.silent("no byte came", self.patience.idle)),
            }
        }
    }

    /// What is at a path, as the server tells of it by itself.
    async fn one(&self, path: Option<&str>, folder: bool) -> Result<Option<Resource>, Error> {
        let url = self.url(path, folder);
        let at = path.unwrap_or_default();
        let found = self
            .patience
            .retrying(|| self.find(&url, "0", propfind::QUESTION, at))
            .await?;
        Ok(found.and_then(|found| found.into_iter().next()))
    }

    /// The length of a file; none where no file is there.
    pub(super) async fn file_len(&self, path: &str) -> Result<Option<u64>, Error> {
        match self.one(Some(path), false).await? {
            Some(resource) if !resource.collection => match resource.len {
                Some(len) => Ok(Some(len)),
                None => Err(Error::Failed {
                    what: "asking for the size of",
                    at: path.to_owned(),
                    source: "the server does not tell it".into(),
                }),
            },
            _ => Ok(None),
        }
    }

    /// Whether the root is there. What answers in its stead and is no collection is an error.
    pub(super) async fn root_exists(&self) -> Result<bool, Error> {
        match self.one(None, true).await? {
            Some(root) if root.collection => Ok(true),
            Some(_) => Err(Error::Misconfigured {
                why: format!("{} is a file, and no folder.", self.name),
            }),
            None => Ok(false),
        }
    }

    /// Fails where the root is not there: that something in it is not there then has another reason.
    pub(super) async fn demand_root(&self) -> Result<(), Error> {
        if self.root_exists().await? {
            Ok(())
        } else {
            Err(error::missing(&self.name))
        }
    }

    /// What lies directly in a folder (`None`: the root); none where it is not there.
    pub(super) async fn children(&self, folder: Option<&str>) -> Result<Option<Vec<Child>>, Error> {
        let url = self.url(folder, true);
        let at = folder.unwrap_or_default();
        let found = self
            .patience
            .retrying(|| self.find(&url, "1", propfind::QUESTION, at))
            .await?;
        let Some(found) = found else { return Ok(None) };
        let children = propfind::children(found, &url).map_err(|error| self.odd(at, error))?;
        let children = children.into_iter().map(|(name, resource)| Child {
            name,
            collection: resource.collection,
            len: resource.len,
        });
        Ok(Some(children.collect()))
    }

    /// Bytes that could still be written, where the server tells.
    pub(super) async fn available(&self) -> Result<Option<u64>, Error> {
        let found = self
            .patience
            .retrying(|| self.find(&self.base, "0", propfind::QUOTA_QUESTION, ""))
            .await?;
        match found {
            Some(found) => Ok(found.into_iter().find_map(|resource| resource.available)),
            None => Err(error::missing(&self.name)),
        }
    }

    /// Makes a folder; `false` where the one above it is not there. One that is there is no error.
    async fn make_folder(&self, url: &Url, at: &str) -> Result<bool, Error> {
        let response = self
            .send(
                self.request(&self.http, b"MKCOL", url.clone()),
                self.patience.idle,
            )
            .await?;
        match response.status() {
            status if status.is_success() => Ok(true),
            // Something is there already (RFC 4918, 9.3.1).
            StatusCode::METHOD_NOT_ALLOWED => Ok(true),
            StatusCode::CONFLICT | StatusCode::NOT_FOUND => Ok(false),
            _ => {
                let refusal = self.refused(Doing::MakingFolder, at, response).await;
                // Some refuse what they could do before they notice that it is done.
                match self.find(url, "0", propfind::QUESTION, at).await {
                    Ok(Some(found)) if found.first().is_some_and(|one| one.collection) => Ok(true),
                    _ => Err(refusal),
                }
            }
        }
    }

    /// Makes the folders on the way to an object. The root is not made.
    pub(super) async fn make_parents(&self, object: &ObjectPath) -> Result<(), Error> {
        let Some(parent) = object.parent() else {
            return self.demand_root().await;
        };
        // Mostly all is there but the last one, so it begins there.
        let mut missing = vec![parent];
        while let Some(folder) = missing.last() {
            let url = self.url(Some(folder.as_str()), true);
            let made = self
                .patience
                .retrying(|| self.make_folder(&url, folder.as_str()))
                .await?;
            if made {
                missing.pop();
            } else if let Some(above) = folder.parent()
                && missing.len() < 64
            {
                missing.push(above);
            } else {
                self.demand_root().await?;
                return Err(Error::Failed {
                    what: "making the folder",
                    at: folder.to_string(),
                    source: "the server says that the folder above it is not there, and it is".into(),
                });
            }
        }
        Ok(())
    }

    /// Makes the root, and what is missing above it.
    pub(super) async fn make_root(&self) -> Result<(), Error> {
        let mut missing = vec![self.base.clone()];
        while let Some(url) = missing.last() {
            if self.make_folder(url, url.path()).await? {
                missing.pop();
                continue;
            }
            let above = url.join("..").ok().filter(|above| above != url);
            match above {
                Some(above) if missing.len() < 64 => missing.push(above),
                _ => return Err(error::missing(&self.name)),
            }
        }
        Ok(())
    }

    /// Begins to read a file, or a range of it in the words of HTTP. The answer may be any.
    pub(super) async fn get(&self, path: &str, range: Option<&str>) -> Result<Response, Error> {
        let mut request = self
            .request(&self.http, b"GET", self.url(Some(path), false))
            .header(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(range) = range {
            request = request.header(reqwest::header::RANGE, range);
        }
        let response = self.send(request, self.patience.idle).await?;
        match response.status() {
            StatusCode::OK
            | StatusCode::PARTIAL_CONTENT
            | StatusCode::RANGE_NOT_SATISFIABLE
            | StatusCode::NOT_FOUND
            | StatusCode::GONE => Ok(response),
            _ => Err(self.refused(Doing::Reading, path, response).await),
        }
    }

    /// Writes a file of known length in one request. `checksum` is the SHA-256 of the bytes in hex: ownCloud compares it,
    /// Nextcloud keeps it, others take no notice.
    pub(super) async fn put(&self, path: &str, bytes: bytes::Bytes, checksum: &str) -> Result<(), Error> {
        let sent = bytes.len() as u64;
        let request = self
            .request(&self.http, b"PUT", self.url(Some(path), false))
            .header(CONTENT_TYPE, "application/octet-stream")
            .header("OC-Checksum", format!("SHA256:{checksum}"))
            .body(bytes);
        let response = self.send(request, self.patience.settle).await?;
        if response.status().is_success() {
            return Ok(());
        }
        let doing = Doing::Writing {
            sent,
            length_told: true,
        };
        Err(self.refused(doing, path, response).await)
    }

    /// Writes a file of unknown length. Ends when the body has ended and the server has answered; who gives the bytes sees to
    /// it that they flow.
    pub(super) async fn put_stream(
        &self,
        path: &str,
        body: Body,
        sent: impl Fn() -> u64 + Send,
    ) -> Result<(), Error> {
        let request = self
            .request(&self.uploads, b"PUT", self.url(Some(path), false))
            .header(CONTENT_TYPE, "application/octet-stream")
            .body(body);
        let response = request
            .send()
            .await
            .map_err(|error| error::unanswered(&self.name, error))?;
        if response.status().is_success() {
            return Ok(());
        }
        let doing = Doing::Writing {
            sent: sent(),
            length_told: false,
        };
        Err(self.refused(doing, path, response).await)
    }

    /// Gives a file or a folder another name, where that name is free.
    pub(super) async fn rename(&self, from: &str, to: &str, folder: bool) -> Result<(), Error> {
        let request = self
            .request(&self.http, b"MOVE", self.url(Some(from), folder))
            .header("Destination", self.url(Some(to), folder).as_str())
            .header("Overwrite", "F");
        let response = self.send(request, self.patience.settle).await?;
        match response.status() {
            StatusCode::MULTI_STATUS => Err(self.partly(Doing::Moving, to, response).await),
            status if status.is_success() => Ok(()),
            _ => Err(self.refused(Doing::Moving, to, response).await),
        }
    }

    /// Removes a file, or a folder with all that is in it; `false` where it was not there.
    pub(super) async fn remove(&self, path: &str, folder: bool) -> Result<bool, Error> {
        self.patience.retrying(|| self.remove_once(path, folder)).await
    }

    async fn remove_once(&self, path: &str, folder: bool) -> Result<bool, Error> {
        let request = self.request(&self.http, b"DELETE", self.url(Some(path), folder));
        let response = self.send(request, self.patience.settle).await?;
        match response.status() {
            StatusCode::MULTI_STATUS => Err(self.partly(Doing::Removing, path, response).await),
            status if status.is_success() => Ok(true),
            StatusCode::NOT_FOUND | StatusCode::GONE => Ok(false),
            _ => Err(self.refused(Doing::Removing, path, response).await),
        }
    }

    /// An answer that says which parts of a folder resisted (RFC 4918, 9.6.1): the first of them is told.
    async fn partly(&self, doing: Doing, at: &str, response: Response) -> Error {
        let document = match self.whole(response).await {
            Ok(document) => document,
            Err(error) => return error,
        };
        let found = match propfind::read(&document, &self.base) {
            Ok(found) => found,
            Err(unreadable) => return self.odd(at, unreadable),
        };
        let refusal = found.into_iter().find_map(|resource| {
            let status = StatusCode::from_u16(resource.status?).ok()?;
            Some((resource.path, status))
        });
        match refusal {
            Some((path, status)) => error::meaning(
                &self.name,
                doing,
                &path,
                status,
                &reqwest::header::HeaderMap::new(),
                String::new(),
            ),
            None => Error::Failed {
                what: "changing",
                at: at.to_owned(),
                source: "the server did a part of it, and does not tell which".into(),
            },
        }
    }
}

/// An authority's certificates, as the HTTP client takes them.
fn trusted(file: &Path) -> Result<Vec<reqwest::Certificate>, Error> {
    authorities::read(file)?
        .iter()
        .map(|certificate| reqwest::Certificate::from_der(certificate))
        .collect::<Result<_, _>>()
        .map_err(|error| authorities::unusable(file, error))
}
