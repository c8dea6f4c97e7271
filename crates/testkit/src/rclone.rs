//! `rclone serve`: a folder of this machine as a server that speaks S3, WebDAV, SFTP or FTP.

use std::fs;
use std::path::{Path, PathBuf};

use crate::tools::{Server, free_port, tool};

/// The user that every rclone server knows.
pub const USER: &str = "howdahtest";
/// That user's password; with S3 the secret access key. S3 wants it of some length.
pub const PASSWORD: &str = "correct horse battery 1";

/// What it speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// S3; each folder directly below the root is a bucket.
    S3,
    /// WebDAV.
    Webdav,
    /// SFTP.
    Sftp,
    /// FTP.
    Ftp,
}

/// A running `rclone serve` on 127.0.0.1; dropping it ends it.
#[derive(Debug)]
pub struct Rclone {
    server: Server,
    protocol: Protocol,
    arguments: Vec<String>,
}

impl Rclone {
    /// Serves an empty folder (for S3, one with the empty bucket `backups`), with more arguments for rclone.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(protocol: Protocol, arguments: &[&str]) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("howdah-rclone-").tempdir()?;
        let root = folder.path().join("root");
        fs::create_dir(&root)?;
        if protocol == Protocol::S3 {
            fs::create_dir(root.join("backups"))?;
        }
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        Self::serve(folder, free_port()?, protocol, arguments)
    }

    fn serve(
        folder: tempfile::TempDir,
        port: u16,
        protocol: Protocol,
        arguments: Vec<String>,
    ) -> anyhow::Result<Self> {
        let more = arguments.clone();
        let server = Server::start_in(
            folder,
            port,
            &tool("python/bin/rclone")?,
            |command, port, folder| {
                let name = match protocol {
                    Protocol::S3 => "s3",
                    Protocol::Webdav => "webdav",
                    Protocol::Sftp => "sftp",
                    Protocol::Ftp => "ftp",
                };
                command
                    .args(["serve", name])
                    .arg(folder.join("root"))
                    .arg(format!("--addr=127.0.0.1:{port}"))
                    .arg("--config=/dev/null")
                    .arg(format!("--cache-dir={}", folder.join("cache").display()));
                match protocol {
                    Protocol::S3 => command.arg(format!("--auth-key={USER},{PASSWORD}")),
                    _ => command
                        .arg(format!("--user={USER}"))
                        .arg(format!("--pass={PASSWORD}")),
                };
                command.args(&more).env("HOME", folder);
                Ok(())
            },
        )?;
        Ok(Self {
            server,
            protocol,
            arguments,
        })
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// The folder that it serves.
    pub fn root(&self) -> PathBuf {
        self.server.folder().join("root")
    }

    /// What it wrote so far.
    pub fn log(&self) -> String {
        self.server.log()
    }

    /// Every file below the folder that it serves, relative to it, in order: what is really there, whatever the protocol tells.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub fn files(&self) -> anyhow::Result<Vec<String>> {
        let root = self.root();
        let mut files = Vec::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for item in fs::read_dir(folder)? {
                let path = item?.path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files.push(relative(&path, &root));
                }
            }
        }
        files.sort();
        Ok(files)
    }

    /// Ends it, and answers what starts it again with the same files on the same port.
    pub fn stop(self) -> Stopped {
        let (folder, port) = self.server.stop();
        Stopped {
            folder,
            port,
            protocol: self.protocol,
            arguments: self.arguments,
        }
    }
}

fn relative(path: &Path, root: &Path) -> String {
    path.strip_prefix(root)
        .unwrap_or(path)
        .to_string_lossy()
        .into_owned()
}

/// A server that was stopped: its files are still there.
#[derive(Debug)]
pub struct Stopped {
    folder: tempfile::TempDir,
    port: u16,
    protocol: Protocol,
    arguments: Vec<String>,
}

impl Stopped {
    /// Starts it again.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(self) -> anyhow::Result<Rclone> {
        Rclone::serve(self.folder, self.port, self.protocol, self.arguments)
    }
}
