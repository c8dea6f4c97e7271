//! Programs that are there for tests only, in `.tools` (`scripts/test-tools.sh`), and how a server among them is started.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use howdah_postgres::children::{self, Child, Parting};

/// How long a server may take until it listens; Python and Node on a busy machine are slow to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program below `.tools`.
///
/// # Errors
/// When it is not there.
pub fn tool(path: &str) -> anyhow::Result<PathBuf> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../.tools")
        .join(path);
    ensure!(
        program.exists(),
        "{} is not there: run `make setup-test`",
        program.display()
    );
    Ok(program)
}

/// A port of 127.0.0.1 that is free now.
///
/// # Errors
/// When there is none.
pub fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// A server that runs until it is dropped, or killed with the test.
#[derive(Debug)]
pub struct Server {
    // Dropped in this order: the process ends before its folder goes.
    child: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Server {
    /// Starts a program on a free port of 127.0.0.1, with a folder of its own as its working directory, and waits until it
    /// listens. `arrange` gets the command, the port and the folder.
    ///
    /// # Errors
    /// When it does not start, ends, or does not listen in time; with what it wrote.
    pub fn start(
        program: &Path,
        arrange: impl FnOnce(&mut Command, u16, &Path) -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("howdah-server-").tempdir()?;
        Self::start_in(folder, free_port()?, program, arrange)
    }

    /// As [`Server::start`], on a given port and in a folder that something was put into, or that an earlier server left.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn start_in(
        folder: tempfile::TempDir,
        port: u16,
        program: &Path,
        arrange: impl FnOnce(&mut Command, u16, &Path) -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        command.current_dir(folder.path());
        arrange(&mut command, port, folder.path())?;
        let log = File::create(folder.path().join("server.log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = children::spawn(command, Parting::Kill)
            .with_context(|| format!("{} does not start", program.display()))?;
        let server = Self { child, port, folder };
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if let Some(status) = server.child.ended() {
                bail!("{} ended with {status}: {}", program.display(), server.log());
            }
            ensure!(
                Instant::now() < until,
                "{} does not listen: {}",
                program.display(),
                server.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(server)
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Its working directory.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What it wrote so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("server.log")).unwrap_or_default()
    }

    /// Ends it, and hands on its folder and port for another one.
    pub fn stop(self) -> (tempfile::TempDir, u16) {
        let Self { child, port, folder } = self;
        drop(child);
        (folder, port)
    }
}
