//! A destination's place: what kind it is, and where copies of backups lie there. Secrets are not part of it.
//!
//! Every kind has at most one secret, which the keyring (or, on the command line, the environment) holds; [`Place::secret_name`]
//! says what it is. How a place is written as a URL, and read from one, is in [`url`].

pub mod url;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// Where copies of backups live, without what is needed to get in.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[ts(export)]
pub enum Place {
    /// A folder of this machine, perhaps one that is mounted from elsewhere.
    Folder(FolderPlace),
    /// A bucket of Amazon S3 or of anything that speaks its protocol.
    S3(S3Place),
    /// A folder in Google Drive.
    Drive(DrivePlace),
    /// A folder reached over SSH.
    Sftp(SftpPlace),
    /// A WebDAV collection: Nextcloud, ownCloud, a NAS.
    Webdav(WebdavPlace),
    /// A folder on an FTP server.
    Ftp(FtpPlace),
    /// A container of Azure Blob Storage.
    Azblob(AzblobPlace),
    /// A bucket of Google Cloud Storage.
    Gcs(GcsPlace),
}

/// Which kind of place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum PlaceKind {
    /// [`Place::Folder`].
    Folder,
    /// [`Place::S3`].
    S3,
    /// [`Place::Drive`].
    Drive,
    /// [`Place::Sftp`].
    Sftp,
    /// [`Place::Webdav`].
    Webdav,
    /// [`Place::Ftp`].
    Ftp,
    /// [`Place::Azblob`].
    Azblob,
    /// [`Place::Gcs`].
    Gcs,
}

/// A folder of this machine.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct FolderPlace {
    /// Its path, absolute.
    pub path: PathBuf,
}

/// How a bucket is named in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum BucketStyle {
    /// In the path where an endpoint is given, in the host name at Amazon.
    #[default]
    Auto,
    /// In the path: `https://endpoint/bucket/key`.
    Path,
    /// In the host name: `https://bucket.endpoint/key`.
    VirtualHost,
}

/// A bucket that speaks S3.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize, TS)]
#[serde(default)]
#[ts(export)]
pub struct S3Place {
    /// The bucket's name.
    pub bucket: String,
    /// What the keys begin with, without slashes at its ends; may be empty.
    pub prefix: String,
    /// Where requests go, `https://minio.example.com:9000`; none is Amazon.
    pub endpoint: Option<String>,
    /// The region; none is what the profile or environment says, else `us-east-1`.
    pub region: Option<String>,
    /// How the bucket is named in a request.
    pub style: BucketStyle,
    /// The storage class of new objects (`STANDARD_IA`); none is the bucket's own.
    pub storage_class: Option<String>,
    /// Server-side encryption: `AES256`, `aws:kms`; none is the bucket's own.
    pub server_side_encryption: Option<String>,
    /// The KMS key, with `aws:kms`; none is the account's own.
    pub kms_key: Option<String>,
    /// The id of the access key whose secret is in the keyring. Without it the profile, else the environment counts.
    pub access_key_id: Option<String>,
    /// A profile of `~/.aws/config` and `~/.aws/credentials`.
    pub profile: Option<String>,
    /// A PEM file with authorities to trust besides the system's.
    pub ca_file: Option<PathBuf>,
}

/// A folder in Google Drive, made and seen by Howdah alone (scope `drive.file`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize, TS)]
#[serde(default)]
#[ts(export)]
pub struct DrivePlace {
    /// The folder's path from *My Drive* on: `Howdah/laptop`.
    pub folder: String,
    /// The OAuth client's id: the user's own, or none for the one that is built in. Only what was made with the same client is
    /// seen.
    pub client_id: Option<String>,
    /// The account's address, as Google told it when it was signed in; to tell two accounts apart.
    pub account: Option<String>,
}

/// A folder on a machine reached over SSH.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize, TS)]
#[serde(default)]
#[ts(export)]
pub struct SftpPlace {
    /// How to get there.
    pub ssh: SshTarget,
    /// The folder; one that does not begin with a slash is meant from the home directory on.
    pub path: String,
}

/// An SSH server and how to log in, for tunnels and for SFTP.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize, TS)]
#[serde(default)]
#[ts(export)]
pub struct SshTarget {
    /// A host name, an address, or an alias of `~/.ssh/config`.
    pub host: String,
    /// The port; none is what `~/.ssh/config` says, else 22.
    pub port: Option<u16>,
    /// The user; none is what `~/.ssh/config` says, else the user of this machine.
    pub user: Option<String>,
    /// How to log in.
    pub login: SshLogin,
}

/// How to log in to an SSH server.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize, TS)]
#[serde(tag = "with", rename_all = "snake_case")]
#[ts(export)]
pub enum SshLogin {
    /// As `ssh` would: the agent, then the key files that `~/.ssh/config` names, then the usual ones. The secret, where there
    /// is one, is tried as the keys' passphrase and as the password.
    #[default]
    Auto,
    /// With the agent's keys.
    Agent,
    /// With a key file; the secret is its passphrase.
    Key {
        /// The private key's file.
        file: PathBuf,
    },
    /// With a password, which is the secret.
    Password,
}

/// A WebDAV collection.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize, TS)]
#[serde(default)]
#[ts(export)]
pub struct WebdavPlace {
    /// Its URL, `https://cloud.example.com/remote.php/dav/files/ada/backups`, without user and password.
    pub url: String,
    /// The user; none is no authentication.
    pub user: Option<String>,
    /// A PEM file with authorities to trust besides the system's.
    pub ca_file: Option<PathBuf>,
}

/// How an FTP connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum FtpTls {
    /// By `AUTH TLS` on the ordinary port (RFC 4217).
    #[default]
    Explicit,
    /// From the first byte, port 990.
    Implicit,
    /// Not at all: the password travels in the clear.
    None,
}

/// A folder on an FTP server.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize, TS)]
#[serde(default)]
#[ts(export)]
pub struct FtpPlace {
    /// The host.
    pub host: String,
    /// The port; none is 21, or 990 with implicit TLS.
    pub port: Option<u16>,
    /// The user; none is `anonymous`.
    pub user: Option<String>,
    /// The folder; one that does not begin with a slash is meant from where the server puts the user.
    pub path: String,
    /// How the connection is encrypted.
    pub tls: FtpTls,
    /// A PEM file with authorities to trust besides the system's.
    pub ca_file: Option<PathBuf>,
}

/// A container of Azure Blob Storage.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize, TS)]
#[serde(default)]
#[ts(export)]
pub struct AzblobPlace {
    /// The storage account.
    pub account: String,
    /// The container.
    pub container: String,
    /// What the names begin with, without slashes at its ends; may be empty.
    pub prefix: String,
    /// Where requests go; none is `https://ACCOUNT.blob.core.windows.net`.
    pub endpoint: Option<String>,
}

/// A bucket of Google Cloud Storage.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize, TS)]
#[serde(default)]
#[ts(export)]
pub struct GcsPlace {
    /// The bucket's name.
    pub bucket: String,
    /// What the names begin with, without slashes at its ends; may be empty.
    pub prefix: String,
    /// Where requests go; none is Google.
    pub endpoint: Option<String>,
}

impl Place {
    /// A folder.
    pub fn folder(path: impl Into<PathBuf>) -> Self {
        Self::Folder(FolderPlace { path: path.into() })
    }

    /// Which kind.
    pub fn kind(&self) -> PlaceKind {
        match self {
            Self::Folder(_) => PlaceKind::Folder,
            Self::S3(_) => PlaceKind::S3,
            Self::Drive(_) => PlaceKind::Drive,
            Self::Sftp(_) => PlaceKind::Sftp,
            Self::Webdav(_) => PlaceKind::Webdav,
            Self::Ftp(_) => PlaceKind::Ftp,
            Self::Azblob(_) => PlaceKind::Azblob,
            Self::Gcs(_) => PlaceKind::Gcs,
        }
    }

    /// The folder's path, where it is one of this machine.
    pub fn as_folder(&self) -> Option<&std::path::Path> {
        match self {
            Self::Folder(folder) => Some(&folder.path),
            _ => None,
        }
    }

    /// Whether the place is on this machine, as far as that can be told: no network is needed to reach it.
    pub fn is_local(&self) -> bool {
        matches!(self, Self::Folder(_))
    }

    /// What the place's one secret is, for labels and messages; none where it needs none.
    pub fn secret_name(&self) -> Option<&'static str> {
        match self {
            Self::Folder(_) => None,
            Self::S3(place) => place.access_key_id.as_ref().map(|_| "secret access key"),
            Self::Drive(_) => Some("Google sign-in"),
            Self::Sftp(place) => match place.ssh.login {
                SshLogin::Auto => Some("password or passphrase"),
                SshLogin::Agent => None,
                SshLogin::Key { .. } => Some("passphrase"),
                SshLogin::Password => Some("password"),
            },
            Self::Webdav(place) => place.user.as_ref().map(|_| "password"),
            Self::Ftp(_) => Some("password"),
            Self::Azblob(_) => Some("account key or SAS token"),
            Self::Gcs(_) => Some("service account key"),
        }
    }

    /// The same place with the parts of it that name a folder made uniform: no slashes at the ends of prefixes.
    #[must_use]
    pub fn normalized(mut self) -> Self {
        let trim = |text: &mut String| *text = text.trim().trim_matches('/').to_owned();
        match &mut self {
            Self::Folder(_) => {}
            Self::S3(place) => trim(&mut place.prefix),
            Self::Drive(place) => trim(&mut place.folder),
            Self::Sftp(place) => place.path = without_last_slashes(&place.path),
            Self::Webdav(place) => place.url = place.url.trim().trim_end_matches('/').to_owned(),
            Self::Ftp(place) => place.path = without_last_slashes(&place.path),
            Self::Azblob(place) => trim(&mut place.prefix),
            Self::Gcs(place) => trim(&mut place.prefix),
        }
        self
    }

    /// The place without its last folder, and that folder's name: of a backup's own URL, the destination and the backup. None
    /// where the place has no folder.
    pub fn split_last(&self) -> Option<(Self, String)> {
        let mut parent = self.clone();
        let split = |text: &mut String| {
            let (before, last) = match text.rsplit_once('/') {
                Some(("", last)) => ("/".to_owned(), last.to_owned()),
                Some((before, last)) => (before.to_owned(), last.to_owned()),
                None => (String::new(), text.clone()),
            };
            *text = before;
            Some(last).filter(|last| !last.is_empty())
        };
        let last = match &mut parent {
            Self::Folder(place) => {
                let last = place.path.file_name()?.to_str()?.to_owned();
                place.path.pop();
                Some(last)
            }
            Self::S3(place) => split(&mut place.prefix),
            Self::Drive(place) => split(&mut place.folder),
            Self::Sftp(place) => split(&mut place.path),
            Self::Webdav(place) => split(&mut place.url).and_then(|last| url::decoded(&last).ok()),
            Self::Ftp(place) => split(&mut place.path),
            Self::Azblob(place) => split(&mut place.prefix),
            Self::Gcs(place) => split(&mut place.prefix),
        }?;
        Some((parent, last))
    }

    /// Whether both are the same storage, by whatever key, region or profile it is entered: what is removed at one is gone at the
    /// other.
    pub fn same_storage(&self, other: &Self) -> bool {
        let folded = |text: &Option<String>| {
            let text = text.as_deref().unwrap_or_default();
            text.trim_end_matches('/').to_ascii_lowercase()
        };
        match (self.clone().normalized(), other.clone().normalized()) {
            (Self::Folder(one), Self::Folder(other)) => one.path == other.path,
            (Self::S3(one), Self::S3(other)) => {
                (one.bucket, one.prefix, folded(&one.endpoint))
                    == (other.bucket, other.prefix, folded(&other.endpoint))
            }
            (Self::Drive(one), Self::Drive(other)) => {
                let same_account = match (&one.account, &other.account) {
                    (Some(one), Some(other)) => one.eq_ignore_ascii_case(other),
                    _ => true,
                };
                same_account && one.folder == other.folder
            }
            (Self::Sftp(one), Self::Sftp(other)) => {
                (one.ssh.host, one.ssh.port, one.path) == (other.ssh.host, other.ssh.port, other.path)
            }
            (Self::Webdav(one), Self::Webdav(other)) => one.url == other.url,
            (Self::Ftp(one), Self::Ftp(other)) => {
                (one.host, one.port, one.user, one.path) == (other.host, other.port, other.user, other.path)
            }
            (Self::Azblob(one), Self::Azblob(other)) => {
                (one.account, one.container, one.prefix) == (other.account, other.container, other.prefix)
            }
            (Self::Gcs(one), Self::Gcs(other)) => {
                (one.bucket, one.prefix, folded(&one.endpoint))
                    == (other.bucket, other.prefix, folded(&other.endpoint))
            }
            _ => false,
        }
    }

    /// What is missing or makes no sense, in a sentence; none where the place could exist.
    pub fn problem(&self) -> Option<String> {
        let demand = |text: &str, what: &str| text.trim().is_empty().then(|| format!("{what} is missing."));
        match self {
            Self::Folder(place) => {
                (!place.path.is_absolute()).then(|| "The folder's path must be absolute.".to_owned())
            }
            Self::S3(place) => demand(&place.bucket, "The bucket's name")
                .or_else(|| problem_with_endpoint(place.endpoint.as_deref())),
            Self::Drive(place) => demand(&place.folder, "The folder's name"),
            Self::Sftp(place) => {
                demand(&place.ssh.host, "The host").or_else(|| demand(&place.path, "The folder"))
            }
            Self::Webdav(place) => {
                demand(&place.url, "The URL").or_else(|| problem_with_endpoint(Some(&place.url)))
            }
            Self::Ftp(place) => demand(&place.host, "The host"),
            Self::Azblob(place) => demand(&place.account, "The storage account")
                .or_else(|| demand(&place.container, "The container"))
                .or_else(|| problem_with_endpoint(place.endpoint.as_deref())),
            Self::Gcs(place) => demand(&place.bucket, "The bucket's name")
                .or_else(|| problem_with_endpoint(place.endpoint.as_deref())),
        }
    }
}

fn without_last_slashes(path: &str) -> String {
    let trimmed = path.trim().trim_end_matches('/');
    if trimmed.is_empty() && path.trim().starts_with('/') {
        "/".to_owned()
    } else {
        trimmed.to_owned()
    }
}

fn problem_with_endpoint(endpoint: Option<&str>) -> Option<String> {
    let endpoint = endpoint?;
    let url = ::url::Url::parse(endpoint).ok().filter(|url| url.has_host());
    match url {
        None => Some(format!(
            "“{endpoint}” is not a URL such as https://storage.example.com."
        )),
        Some(url) if !matches!(url.scheme(), "http" | "https") => {
            Some(format!("“{endpoint}” must begin with https:// or http://."))
        }
        Some(url) if !url.username().is_empty() || url.password().is_some() => {
            Some("The URL holds a user or a password; give them in their own fields.".to_owned())
        }
        Some(_) => None,
    }
}
