//! An FTP server on Debian's pyftpdlib, for what `rclone serve ftp` has not: MLSD, quotas, rights, commands that are missing.

use std::fs;
use std::path::{Path, PathBuf};

use crate::certificates::Certificates;
use crate::rclone::{PASSWORD, USER};
use crate::tools::Server;

/// The system's Python, which has Debian's packages.
const PYTHON: &str = "/usr/bin/python3";
const PROGRAM: &str = include_str!("ftpd.py");

/// A running server on 127.0.0.1, with the user and password of [`crate::rclone`]; dropping it ends it.
#[derive(Debug)]
pub struct Ftpd {
    server: Server,
}

impl Ftpd {
    /// Serves an empty folder, with more arguments for `ftpd.py`.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(arguments: &[&str]) -> anyhow::Result<Self> {
        let server = Server::start(Path::new(PYTHON), |command, port, folder| {
            let program = folder.join("ftpd.py");
            fs::write(&program, PROGRAM)?;
            let root = folder.join("root");
            fs::create_dir(&root)?;
            command
                .arg(program)
                .arg(format!("--port={port}"))
                .arg("--root")
                .arg(root)
                .arg(format!("--user={USER}"))
                .arg(format!("--password={PASSWORD}"))
                .args(arguments);
            Ok(())
        })?;
        Ok(Self { server })
    }

    /// As [`Ftpd::start`], demanding TLS.
    ///
    /// # Errors
    /// When it does not start.
    pub fn with_tls(certificates: &Certificates, arguments: &[&str]) -> anyhow::Result<Self> {
        let certificate = format!("--certificate={}", certificates.server_certificate.display());
        let key = format!("--key={}", certificates.server_key.display());
        let mut all = vec![certificate.as_str(), key.as_str()];
        all.extend_from_slice(arguments);
        Self::start(&all)
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// The folder that it serves.
    pub fn root(&self) -> PathBuf {
        self.server.folder().join("root")
    }

    /// What it wrote so far: every command and answer.
    pub fn log(&self) -> String {
        self.server.log()
    }
}
