//! Servers, the destination on them, and what the tests do with it over and over.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use howdah_domain::Secret;
use howdah_domain::destination::{SftpPlace, SshLogin, SshTarget};
use howdah_ssh::{Options, accept_host_key};
use howdah_storage::{Destination as _, Error, Sftp};
use howdah_testkit::rclone::{self, Rclone};
use howdah_testkit::sshd::Sshd;

pub(crate) use crate::common::{everything, get, is_root, path, put, token};

/// No configuration of the user's has a part in it.
pub(crate) fn options(folder: &Path, known_hosts: PathBuf) -> Options {
    let config = folder.join("ssh_config");
    fs::write(
        &config,
        "Host *\n  UserKnownHostsFile none\n  GlobalKnownHostsFile none\n  IdentityAgent none\n  IdentityFile none\n",
    )
    .unwrap();
    Options {
        known_hosts: Some(known_hosts),
        config: Some(config),
        connect_timeout: Duration::from_secs(10),
        keepalive: Duration::from_secs(15),
    }
}

pub(crate) fn place(ssh: SshTarget, folder: &Path) -> SftpPlace {
    SftpPlace {
        ssh,
        path: folder.display().to_string(),
    }
}

/// The destination in a folder of the server's; nothing moving for two seconds counts as dead.
pub(crate) fn sftp(sshd: &Sshd, folder: &Path) -> Sftp {
    let options = options(sshd.folder(), sshd.known_hosts());
    Sftp::with_options(
        &place(sshd.target(), folder),
        None,
        options,
        Duration::from_secs(2),
    )
}

pub(crate) async fn prepared(sshd: &Sshd) -> (PathBuf, Sftp) {
    let root = sshd.folder().join("backups");
    let sftp = sftp(sshd, &root);
    sftp.prepare(&token()).await.unwrap();
    (root, sftp)
}

/// A destination at rclone's server, whose key is accepted as the user would; the path is meant from where it puts the user.
pub(crate) async fn at_rclone(rclone: &Rclone, folder: &str, password: &str) -> Sftp {
    let home = rclone.root().parent().unwrap().to_owned();
    let known_hosts = home.join("known_hosts");
    let place = SftpPlace {
        ssh: SshTarget {
            host: "127.0.0.1".into(),
            port: Some(rclone.port()),
            user: Some(rclone::USER.into()),
            login: SshLogin::Password,
        },
        path: folder.into(),
    };
    let secret = Secret::new(password);
    let options = options(&home, known_hosts.clone());
    let sftp = Sftp::with_options(&place, Some(&secret), options, Duration::from_secs(10));
    if let Err(Error::UnknownHostKey { key }) = sftp.stat(&path("x"), &token()).await {
        accept_host_key(&known_hosts, &key.known_hosts_line()).unwrap();
    }
    sftp
}

/// Bytes that repeat with no power of two.
pub(crate) fn sample(len: usize) -> Vec<u8> {
    (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect()
}

/// Waits for what a dropped writer still does.
pub(crate) async fn settled(root: &Path) -> Vec<String> {
    let begun = Instant::now();
    loop {
        let found = everything(root);
        if found.is_empty() || begun.elapsed() > Duration::from_secs(10) {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
