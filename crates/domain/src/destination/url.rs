//! A place as a URL, for the command line, for lists and for what remembers where things lie: `s3://bucket/prefix?region=…`.
//!
//! | kind | URL |
//! |---|---|
//! | folder | `/path`, `file:///path` |
//! | S3 | `s3://bucket/prefix?endpoint=…&region=…&style=path\|virtual&storage-class=…&sse=…&kms-key=…&key-id=…&profile=…&ca=…` |
//! | Google Drive | `drive:///folder?client-id=…&account=…` |
//! | SFTP | `sftp://user@host:22/absolute/path`, `sftp://host/~/from/home`, `?login=agent\|password`, `?key=FILE` |
//! | WebDAV | `webdavs://user@host/path` (https), `webdav://…` (http), `?ca=…` |
//! | FTP | `ftps://user@host/path`, `?tls=implicit`, `?ca=…`; `ftp://…` is not encrypted |
//! | Azure Blob | `azblob://account/container/prefix?endpoint=…` |
//! | Google Cloud Storage | `gs://bucket/prefix?endpoint=…` |
//!
//! A password in a URL is read, handed out beside the place, and never written.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use url::Url;

use super::{
    AzblobPlace, BucketStyle, DrivePlace, FtpPlace, FtpTls, GcsPlace, Place, S3Place, SftpPlace, SshLogin,
    SshTarget, WebdavPlace,
};
use crate::Secret;

/// What has to be escaped in a path.
const IN_PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'`')
    .add(b'{')
    .add(b'}')
    .add(b'\\')
    .add(b'^')
    .add(b'|');
/// What has to be escaped in a user, a host or a parameter.
const IN_PART: &AsciiSet = &IN_PATH
    .add(b'/')
    .add(b'@')
    .add(b':')
    .add(b'&')
    .add(b'=')
    .add(b'+')
    .add(b';');

/// Why a text is no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotAPlace(String);

impl fmt::Display for Place {
    /// The URL; a folder is its plain path. Holds no secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = match self {
            Self::Folder(place) => return write!(f, "{}", place.path.display()),
            Self::S3(place) => s3_text(place),
            Self::Drive(place) => Written::new(format!("drive:///{}", in_path(&place.folder)))
                .option("client-id", place.client_id.as_deref())
                .option("account", place.account.as_deref()),
            Self::Sftp(place) => sftp_text(place),
            Self::Webdav(place) => webdav_text(place),
            Self::Ftp(place) => ftp_text(place),
            Self::Azblob(place) => Written::new(format!(
                "azblob://{}/{}{}",
                in_part(&place.account),
                in_part(&place.container),
                below(&place.prefix)
            ))
            .option("endpoint", place.endpoint.as_deref()),
            Self::Gcs(place) => {
                Written::new(format!("gs://{}{}", in_part(&place.bucket), below(&place.prefix)))
                    .option("endpoint", place.endpoint.as_deref())
            }
        };
        f.write_str(&url.0)
    }
}

impl Place {
    /// What people know it by, for messages: the URL without how to get in.
    #[must_use]
    pub fn shown(&self) -> String {
        let text = self.to_string();
        match (self, text.split_once('?')) {
            (Self::Folder(_), _) | (_, None) => text,
            (_, Some((place, _))) => place.to_owned(),
        }
    }

    /// Reads a place from a URL, or from the plain path of a folder (a relative one is meant from `here` on). A password in
    /// it is handed out beside it.
    ///
    /// # Errors
    /// [`NotAPlace`], with a sentence for people.
    pub fn from_text(text: &str, here: &Path) -> Result<(Self, Option<Secret>), NotAPlace> {
        let text = text.trim();
        if text.is_empty() {
            return Err(NotAPlace("No destination is given.".to_owned()));
        }
        let Some((scheme, rest)) = text.split_once(':').filter(|(scheme, _)| is_scheme(scheme)) else {
            return Ok((Self::folder(absolute(text, here)), None));
        };
        if scheme.eq_ignore_ascii_case("file") {
            let path = rest
                .strip_prefix("//localhost")
                .or_else(|| rest.strip_prefix("//"))
                .unwrap_or(rest);
            return Ok((Self::folder(absolute(&decoded(path)?, here)), None));
        }
        let read = Read::new(text)?;
        let place = match read.url.scheme() {
            "s3" => Self::S3(read.s3()?),
            "drive" | "gdrive" => Self::Drive(read.drive()?),
            "sftp" | "ssh" => Self::Sftp(read.sftp()?),
            "webdav" | "dav" | "webdavs" | "davs" => Self::Webdav(read.webdav()?),
            "ftp" | "ftps" => Self::Ftp(read.ftp()?),
            "azblob" => Self::Azblob(read.azblob()?),
            "gs" | "gcs" => Self::Gcs(read.gcs()?),
            other => {
                return Err(NotAPlace(format!(
                    "Howdah knows no destination of the kind “{other}:”. It knows folders, s3:, drive:, sftp:, webdavs:, \
                     ftps:, azblob: and gs:."
                )));
            }
        };
        let secret = read.password()?;
        match place.problem() {
            Some(problem) => Err(NotAPlace(problem)),
            None => Ok((place.normalized(), secret)),
        }
    }
}

impl SshTarget {
    /// Reads an SSH server from a URL (`ssh://user@host:22`, `?login=agent|password`, `?key=FILE`) or from `user@host:22`, where
    /// the host may be an alias of `~/.ssh/config`. A password in it is handed out beside it.
    ///
    /// # Errors
    /// [`NotAPlace`], with a sentence for people.
    pub fn from_text(text: &str) -> Result<(Self, Option<Secret>), NotAPlace> {
        let text = text.trim();
        let url = if text.contains("://") {
            text.to_owned()
        } else {
            format!("ssh://{text}")
        };
        let read = Read::new(&url)?;
        let target = read.ssh()?;
        if read.url.scheme() != "ssh" || target.host.is_empty() || !matches!(read.url.path(), "" | "/") {
            return Err(NotAPlace(
                "An SSH server is written as user@host, user@host:port or ssh://user@host:port.".to_owned(),
            ));
        }
        Ok((read.end(target)?, read.password()?))
    }
}

/// Letters first, and more than one sign: `C:\backups` is a path.
fn is_scheme(text: &str) -> bool {
    text.len() > 1
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
}

fn absolute(path: &str, here: &Path) -> PathBuf {
    // Only what needs no look at the disk: `.` goes, `..` stays, for it may lead through a link.
    here.join(path).components().collect()
}

pub(super) fn decoded(text: &str) -> Result<String, NotAPlace> {
    percent_decode_str(text)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| NotAPlace(format!("“{text}” is not UTF-8 once its % escapes are read.")))
}

fn in_path(text: &str) -> String {
    utf8_percent_encode(text, IN_PATH).to_string()
}

fn in_part(text: &str) -> String {
    utf8_percent_encode(text, IN_PART).to_string()
}

/// A prefix as it follows a bucket's name.
fn below(prefix: &str) -> String {
    if prefix.is_empty() {
        String::new()
    } else {
        format!("/{}", in_path(prefix))
    }
}

/// A URL in the making.
struct Written(String);

impl Written {
    fn new(text: String) -> Self {
        Self(text)
    }

    /// Adds a parameter, where there is one.
    fn option(mut self, name: &str, value: Option<&str>) -> Self {
        if let Some(value) = value {
            let sign = if self.0.contains('?') { '&' } else { '?' };
            let _ = write!(self.0, "{sign}{name}={}", in_part(value));
        }
        self
    }

    fn file(self, name: &str, value: Option<&PathBuf>) -> Self {
        self.option(name, value.map(|path| path.to_string_lossy()).as_deref())
    }
}

fn s3_text(place: &S3Place) -> Written {
    let style = match place.style {
        BucketStyle::Auto => None,
        BucketStyle::Path => Some("path"),
        BucketStyle::VirtualHost => Some("virtual"),
    };
    Written::new(format!("s3://{}{}", in_part(&place.bucket), below(&place.prefix)))
        .option("endpoint", place.endpoint.as_deref())
        .option("region", place.region.as_deref())
        .option("style", style)
        .option("storage-class", place.storage_class.as_deref())
        .option("sse", place.server_side_encryption.as_deref())
        .option("kms-key", place.kms_key.as_deref())
        .option("key-id", place.access_key_id.as_deref())
        .option("profile", place.profile.as_deref())
        .file("ca", place.ca_file.as_ref())
}

/// `user@`, where there is one.
fn user_part(user: Option<&str>) -> String {
    user.map_or_else(String::new, |user| format!("{}@", in_part(user)))
}

/// `user@host:port`, the parts that are there; an IPv6 address in brackets.
fn authority(user: Option<&str>, host: &str, port: Option<u16>) -> String {
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        in_part(host)
    };
    let port = port.map_or_else(String::new, |port| format!(":{port}"));
    format!("{}{host}{port}", user_part(user))
}

/// A path of a place where those without a first slash begin at home.
fn from_home(path: &str) -> String {
    if path.starts_with('/') {
        in_path(path)
    } else {
        format!("/~/{}", in_path(path))
    }
}

fn sftp_text(place: &SftpPlace) -> Written {
    let ssh = &place.ssh;
    let url = Written::new(format!(
        "sftp://{}{}",
        authority(ssh.user.as_deref(), &ssh.host, ssh.port),
        from_home(&place.path)
    ));
    match &ssh.login {
        SshLogin::Auto => url,
        SshLogin::Agent => url.option("login", Some("agent")),
        SshLogin::Password => url.option("login", Some("password")),
        SshLogin::Key { file } => url.file("key", Some(file)),
    }
}

fn webdav_text(place: &WebdavPlace) -> Written {
    let (scheme, rest) = match place.url.split_once("://") {
        Some(("http", rest)) => ("webdav", rest),
        Some((_, rest)) => ("webdavs", rest),
        None => ("webdavs", place.url.as_str()),
    };
    Written::new(format!("{scheme}://{}{rest}", user_part(place.user.as_deref())))
        .file("ca", place.ca_file.as_ref())
}

fn ftp_text(place: &FtpPlace) -> Written {
    let scheme = if place.tls == FtpTls::None { "ftp" } else { "ftps" };
    Written::new(format!(
        "{scheme}://{}{}",
        authority(place.user.as_deref(), &place.host, place.port),
        from_home(&place.path)
    ))
    .option("tls", (place.tls == FtpTls::Implicit).then_some("implicit"))
    .file("ca", place.ca_file.as_ref())
}

/// A URL that was read; each of its parameters is taken once.
struct Read {
    url: Url,
    parameters: std::cell::RefCell<BTreeMap<String, String>>,
}

impl Read {
    fn new(text: &str) -> Result<Self, NotAPlace> {
        let url = Url::parse(text).map_err(|error| NotAPlace(format!("This is not a URL: {error}.")))?;
        let mut parameters = BTreeMap::new();
        for (name, value) in url.query_pairs() {
            if parameters.insert(name.to_string(), value.to_string()).is_some() {
                return Err(NotAPlace(format!("The URL says “{name}” twice.")));
            }
        }
        Ok(Self {
            url,
            parameters: parameters.into(),
        })
    }

    fn take(&self, name: &str) -> Option<String> {
        self.parameters
            .borrow_mut()
            .remove(name)
            .filter(|value| !value.is_empty())
    }

    fn take_file(&self, name: &str) -> Option<PathBuf> {
        self.take(name).map(PathBuf::from)
    }

    /// What is left over is a slip of the pen that must not go unnoticed.
    fn end<T>(&self, place: T) -> Result<T, NotAPlace> {
        match self.parameters.borrow().keys().next() {
            Some(name) => Err(NotAPlace(format!(
                "The URL has a parameter “{name}”, which means nothing after {}:.",
                self.url.scheme()
            ))),
            None => Ok(place),
        }
    }

    fn host(&self) -> Result<String, NotAPlace> {
        let host = self.url.host_str().unwrap_or_default();
        decoded(host.trim_start_matches('[').trim_end_matches(']'))
    }

    fn user(&self) -> Result<Option<String>, NotAPlace> {
        match self.url.username() {
            "" => Ok(None),
            user => decoded(user).map(Some),
        }
    }

    fn path(&self) -> Result<String, NotAPlace> {
        decoded(self.url.path())
    }

    /// A path whose `/~/` means home.
    fn path_from_home(&self) -> Result<String, NotAPlace> {
        let path = self.path()?;
        Ok(match path.strip_prefix("/~/") {
            Some(from_home) => from_home.to_owned(),
            None if path == "/~" => ".".to_owned(),
            None => path,
        })
    }

    fn s3(&self) -> Result<S3Place, NotAPlace> {
        let style = match self.take("style").as_deref() {
            None | Some("auto") => BucketStyle::Auto,
            Some("path") => BucketStyle::Path,
            Some("virtual" | "virtual-host") => BucketStyle::VirtualHost,
            Some(other) => return Err(NotAPlace(format!("style is path or virtual, not “{other}”."))),
        };
        self.end(S3Place {
            bucket: self.host()?,
            prefix: self.path()?,
            endpoint: self.take("endpoint"),
            region: self.take("region"),
            style,
            storage_class: self.take("storage-class"),
            server_side_encryption: self.take("sse"),
            kms_key: self.take("kms-key"),
            access_key_id: self.take("key-id"),
            profile: self.take("profile"),
            ca_file: self.take_file("ca"),
        })
    }

    fn drive(&self) -> Result<DrivePlace, NotAPlace> {
        let (host, path) = (self.host()?, self.path()?);
        self.end(DrivePlace {
            folder: format!("{host}{path}").trim_matches('/').to_owned(),
            client_id: self.take("client-id"),
            account: self.take("account"),
        })
    }

    fn password(&self) -> Result<Option<Secret>, NotAPlace> {
        match self.url.password() {
            Some(password) => Ok(Some(Secret::new(decoded(password)?))),
            None => Ok(None),
        }
    }

    fn sftp(&self) -> Result<SftpPlace, NotAPlace> {
        self.end(SftpPlace {
            ssh: self.ssh()?,
            path: self.path_from_home()?,
        })
    }

    fn ssh(&self) -> Result<SshTarget, NotAPlace> {
        let login = match (self.take("login").as_deref(), self.take_file("key")) {
            (None, Some(file)) => SshLogin::Key { file },
            (Some("agent"), None) => SshLogin::Agent,
            (Some("password"), None) => SshLogin::Password,
            (None, None) if self.url.password().is_some() => SshLogin::Password,
            (None, None) => SshLogin::Auto,
            _ => {
                return Err(NotAPlace(
                    "login is agent or password; a key file goes into key=FILE.".to_owned(),
                ));
            }
        };
        Ok(SshTarget {
            host: self.host()?,
            port: self.url.port(),
            user: self.user()?,
            login,
        })
    }

    fn webdav(&self) -> Result<WebdavPlace, NotAPlace> {
        let secure = matches!(self.url.scheme(), "webdavs" | "davs");
        let scheme = if secure { "https" } else { "http" };
        let host = self.url.host_str().unwrap_or_default();
        let port = self
            .url
            .port()
            .map_or_else(String::new, |port| format!(":{port}"));
        self.end(WebdavPlace {
            url: format!("{scheme}://{host}{port}{}", self.url.path()),
            user: self.user()?,
            ca_file: self.take_file("ca"),
        })
    }

    fn ftp(&self) -> Result<FtpPlace, NotAPlace> {
        let tls = match (self.url.scheme(), self.take("tls").as_deref()) {
            ("ftps", None) | (_, Some("explicit")) => FtpTls::Explicit,
            (_, Some("implicit")) => FtpTls::Implicit,
            ("ftp", None | Some("none")) => FtpTls::None,
            _ => {
                return Err(NotAPlace(
                    "tls is explicit or implicit; ftp: without it is not encrypted.".to_owned(),
                ));
            }
        };
        self.end(FtpPlace {
            host: self.host()?,
            port: self.url.port(),
            user: self.user()?,
            path: self.path_from_home()?,
            tls,
            ca_file: self.take_file("ca"),
        })
    }

    fn azblob(&self) -> Result<AzblobPlace, NotAPlace> {
        let path = self.path()?;
        let path = path.trim_start_matches('/');
        let (container, prefix) = path.split_once('/').unwrap_or((path, ""));
        self.end(AzblobPlace {
            account: self.host()?,
            container: container.to_owned(),
            prefix: prefix.to_owned(),
            endpoint: self.take("endpoint"),
        })
    }

    fn gcs(&self) -> Result<GcsPlace, NotAPlace> {
        self.end(GcsPlace {
            bucket: self.host()?,
            prefix: self.path()?,
            endpoint: self.take("endpoint"),
        })
    }
}
