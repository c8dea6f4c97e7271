//! What an instance's folder holds beside its data: settings, who may log in, and the place of its socket.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::{Login, Options};
use crate::Error;
use crate::account::Account;
use crate::initdb::SETTINGS;

/// The longest path of a Unix socket, in bytes (unix(7): 108 with the final zero).
const SOCKET_PATH_MAX: usize = 107;

/// Where sockets lie whose cluster's own path is too long for one, and how their folders' names begin.
const SHORT_PLACE: &str = "/tmp";
const SHORT_PREFIX: &str = "howdah-socket-";

/// Writes pg_hba.conf and our part of the settings.
pub(super) fn write_settings(
    folder: &Path,
    sockets: &Path,
    port: u16,
    options: &Options,
    account: &Account,
) -> Result<(), Error> {
    let data = folder.join("data");
    let mut settings = String::from("# Written by Howdah at every start.\n");
    let own = [
        (
            "listen_addresses",
            if options.tcp { "127.0.0.1" } else { "" }.to_owned(),
        ),
        ("port", port.to_string()),
        ("unix_socket_directories", sockets.display().to_string()),
        ("unix_socket_permissions", "0700".into()),
        ("lc_messages", "C".into()),
        ("password_encryption", "scram-sha-256".into()),
    ];
    let added = options
        .settings
        .iter()
        .map(|(name, value)| (name.as_str(), value.clone()));
    for (name, value) in own.into_iter().chain(added) {
        let value = value.replace('\\', "\\\\").replace('\'', "''");
        let _ = writeln!(settings, "{name} = '{value}'");
    }
    let on_socket = match options.login {
        Login::Password => "scram-sha-256",
        Login::TrustOnSocket => "trust",
    };
    let mut hba = String::from("# Written by Howdah at every start.\n");
    for line in &options.hba {
        let _ = writeln!(hba, "{line}");
    }
    let on_tcp = if options.tls_only { "hostssl" } else { "host" };
    for database in ["all", "replication"] {
        let _ = writeln!(hba, "local {database} all {on_socket}");
        for address in ["127.0.0.1/32", "::1/128"] {
            let _ = writeln!(hba, "{on_tcp} {database} all {address} scram-sha-256");
        }
    }
    for (name, text) in [(SETTINGS, settings), ("pg_hba.conf", hba)] {
        let path = data.join(name);
        fs::write(&path, text).map_err(|e| Error::io(format!("writing {name}"), e))?;
        account.own(&path)?;
    }
    Ok(())
}

/// What a cluster's settings say of how it ran before.
#[derive(Debug, Default)]
pub(super) struct Before {
    pub(super) port: Option<u16>,
    sockets: Option<PathBuf>,
}

impl Before {
    pub(super) fn read(folder: &Path) -> Self {
        let text = fs::read_to_string(folder.join("data").join(SETTINGS)).unwrap_or_default();
        let value = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(" = '")?.strip_suffix('\''))
        };
        Self {
            port: value("port").and_then(|port| port.parse().ok()),
            sockets: value("unix_socket_directories").map(PathBuf::from),
        }
    }

    /// A folder for the socket that nobody could remove when its cluster was killed.
    pub(super) fn remove_short_folder(&self) {
        let ours = |path: &&PathBuf| {
            path.parent() == Some(Path::new(SHORT_PLACE))
                && path
                    .file_name()
                    .and_then(|name| name.to_str())
                    .is_some_and(|name| name.starts_with(SHORT_PREFIX))
        };
        if let Some(path) = self.sockets.as_ref().filter(ours) {
            let _ = fs::remove_dir_all(path);
        }
    }
}

/// A folder for the socket, when the instance's own is too deep for one.
pub(super) fn short_folder(folder: &Path, account: &Account) -> Result<Option<tempfile::TempDir>, Error> {
    let longest = folder.join(".s.PGSQL.65535").as_os_str().len();
    if longest <= SOCKET_PATH_MAX {
        return Ok(None);
    }
    let failed = |e| Error::io("making a folder for the socket", e);
    let short = tempfile::Builder::new()
        .prefix(SHORT_PREFIX)
        .tempdir_in(SHORT_PLACE)
        .map_err(failed)?;
    fs::set_permissions(short.path(), fs::Permissions::from_mode(0o700)).map_err(failed)?;
    account.own(short.path())?;
    Ok(Some(short))
}
