//! A PostgreSQL that Howdah runs on this machine, from the bundled server programs.
//!
//! An instance has a folder: `data` (the cluster), `server.log`, and its Unix socket where the path is short enough. It
//! ends when Howdah ends, even by `kill -9` ([`crate::children`]). It knows nothing of backups: what is restored into it,
//! and why, is the caller's business. As root it runs under another account ([`crate::account`]).

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use howdah_domain::{Connection, Failure, FailureCode, Secret, Tls, TlsMode};
use nix::sys::signal::Signal;
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::account::Account;
use crate::children::{self, Child, Parting};
pub use crate::initdb::{Setup, create, random_password, sync};
use crate::programs::ServerPrograms;

mod elsewhere;
mod files;

pub use elsewhere::Elsewhere;
use files::{Before, short_folder, write_settings};

/// How often another port is tried when somebody took the chosen one between our looking and PostgreSQL's binding it.
const PORT_TRIES: u32 = 8;

/// How much of a program's output an error carries.
const SAID_BYTES: usize = 16 * 1024;

/// Who may log in, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login {
    /// A random password for the superuser, asked for (scram-sha-256) on the socket and on TCP alike.
    Password,
    /// Whoever reaches the socket, which only the instance's own account and root can; TCP still asks for the password.
    TrustOnSocket,
}

/// How to run a cluster.
#[derive(Debug, Clone)]
pub struct Options {
    /// The superuser, to log in as.
    pub superuser: String,
    /// The superuser's password.
    pub password: Secret,
    /// Who may log in, and how.
    pub login: Login,
    /// Whether it listens on 127.0.0.1 (a free port is chosen) beside its socket.
    pub tcp: bool,
    /// Whether TCP is open to TLS only; the certificate is up to `settings`.
    pub tls_only: bool,
    /// Settings, as in postgresql.conf; values are quoted here.
    pub settings: Vec<(String, String)>,
    /// Lines for the beginning of pg_hba.conf: the first that fits a connection decides.
    pub hba: Vec<String>,
    /// How it ends with us: [`Parting::Interrupt`] closes the cluster properly, [`Parting::Quit`] is faster, and with
    /// [`Parting::Stay`] it does not.
    pub parting: Parting,
    /// Whether it has no network, where the system allows that ([`children::spawn_isolated`]); not together with `tcp`.
    pub isolated: bool,
    /// How long the start may take.
    pub patience: Duration,
}

impl Options {
    /// To run what [`create`] set up.
    pub fn for_setup(setup: &Setup) -> Self {
        Self {
            superuser: setup.superuser.clone(),
            password: setup.password.clone(),
            login: Login::Password,
            tcp: true,
            tls_only: false,
            settings: Vec::new(),
            hba: Vec::new(),
            parting: Parting::Interrupt,
            isolated: false,
            patience: Duration::from_secs(60),
        }
    }

    /// Adds a setting.
    #[must_use]
    pub fn set(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }
}

/// How to end an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Sessions are ended, the cluster is closed properly.
    Fast,
    /// At once; the next start recovers.
    Immediate,
}

/// A running PostgreSQL. Dropping it ends it and waits for that, a few seconds at most.
#[derive(Debug)]
pub struct Instance {
    folder: PathBuf,
    sockets: PathBuf,
    /// Keeps the folder of the socket where the instance's own path is too long for one.
    short: Option<tempfile::TempDir>,
    port: u16,
    options: Options,
    child: Child,
}

impl Instance {
    /// Starts the cluster in `folder`/data and waits until it takes connections.
    ///
    /// # Errors
    /// [`FailureCode::ProgramFailed`] with the end of the server's log when it does not start, [`FailureCode::Timeout`]
    /// when it takes longer than `options.patience`, [`FailureCode::Busy`] when another postgres runs in that folder,
    /// [`Error::Cancelled`]. It does not run afterwards.
    pub async fn start(
        programs: &ServerPrograms,
        folder: &Path,
        options: &Options,
        cancel: &CancellationToken,
    ) -> Result<Self, Error> {
        let account = Account::for_instances()?;
        let programs = account.reachable(programs)?;
        account.make_folder(folder)?;
        let until = Instant::now() + options.patience;
        clear_stale_lock(&folder.join("data"), cancel, until).await?;
        let before = Before::read(folder);
        before.remove_short_folder();
        let short = short_folder(folder, &account)?;
        let sockets = short.as_ref().map_or(folder, |short| short.path()).to_path_buf();

        for attempt in 0..PORT_TRIES {
            // The port that it had, so that what was copied yesterday still leads to it.
            let port = match before.port {
                Some(port) if attempt == 0 && !is_taken(port) => port,
                _ => free_port()?,
            };
            write_settings(folder, &sockets, port, options, &account)?;
            let child = spawn_postgres(&programs, folder, options, &account)?;
            match wait_until_ready(&child, folder, cancel, until).await? {
                Readiness::Ready => {
                    return Ok(Self {
                        folder: folder.to_path_buf(),
                        sockets,
                        short,
                        port,
                        options: options.clone(),
                        child,
                    });
                }
                Readiness::Ended if options.tcp && is_taken(port) => {}
                Readiness::Ended => {
                    return Err(did_not_start(
                        folder,
                        FailureCode::ProgramFailed,
                        "it ended at once",
                    ));
                }
                Readiness::TooLate => {
                    return Err(did_not_start(folder, FailureCode::Timeout, "it took too long"));
                }
            }
        }
        Err(did_not_start(folder, FailureCode::Busy, "no port could be had"))
    }

    /// How to reach its database `postgres` as superuser: over TCP, or by the socket where it has no TCP.
    pub fn connection(&self) -> Connection {
        let host = if self.options.tcp {
            Ipv4Addr::LOCALHOST.to_string()
        } else {
            self.sockets.display().to_string()
        };
        self.connection_at(host)
    }

    /// How to reach its database `postgres` as superuser by its Unix socket.
    pub fn socket_connection(&self) -> Connection {
        self.connection_at(self.sockets.display().to_string())
    }

    fn connection_at(&self, host: String) -> Connection {
        Connection {
            host,
            port: self.port,
            role: self.options.superuser.clone(),
            database: "postgres".into(),
            tls: Tls {
                mode: TlsMode::Disable,
                ..Tls::default()
            },
            tunnel: None,
            forwarded: None,
        }
    }

    /// Its port, on TCP and in its socket's name.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether it has no network (see [`Options::isolated`]).
    pub fn is_isolated(&self) -> bool {
        self.child.has_own_network()
    }

    /// Leaves it running for the user, beyond the end of this process; it was started with [`Parting::Stay`].
    pub fn leave(mut self) {
        if let Some(short) = self.short.take() {
            // The next start removes it.
            let _ = short.keep();
        }
    }

    /// The superuser's password.
    pub fn password(&self) -> &Secret {
        &self.options.password
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The process number of the postmaster.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.child.ended().is_some()
    }

    /// Sends the postmaster a signal.
    pub fn signal(&self, signal: Signal) {
        self.child.signal(signal);
    }

    /// The end of the server's log.
    pub fn log(&self) -> String {
        log_of(&self.folder)
    }

    /// Ends it. What does not end within `patience` is killed.
    ///
    /// # Errors
    /// [`Error::Cancelled`]; it was killed then.
    pub async fn stop(
        mut self,
        how: Stop,
        patience: Duration,
        cancel: &CancellationToken,
    ) -> Result<(), Error> {
        self.child.signal(match how {
            Stop::Fast => Signal::SIGINT,
            Stop::Immediate => Signal::SIGQUIT,
        });
        match tokio::time::timeout(patience, self.child.wait(cancel)).await {
            Ok(ended) => ended?,
            Err(_) => {
                self.child.kill_group();
                self.child.wait(cancel).await?
            }
        };
        Ok(())
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let Some(signal) = self.options.parting.signal() else {
            return;
        };
        if self.child.ended().is_some() {
            return;
        }
        // A stopped process (SIGSTOP) hears no other signal before it goes on.
        self.child.signal(signal);
        self.child.signal(Signal::SIGCONT);
        if self.child.wait_blocking(Duration::from_secs(5)).is_none() {
            self.child.kill_group();
            self.child.wait_blocking(Duration::from_secs(5));
        }
    }
}

fn spawn_postgres(
    programs: &ServerPrograms,
    folder: &Path,
    options: &Options,
    account: &Account,
) -> Result<Child, Error> {
    let opening = |e| Error::io("opening the server's log", e);
    let path = folder.join("server.log");
    let log = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .map_err(opening)?;
    account.own(&path)?;
    let mut command = programs.command(&programs.postgres);
    command.arg("-D").arg(folder.join("data")).current_dir(folder);
    command.stdout(log.try_clone().map_err(opening)?).stderr(log);
    account.applied_to(&mut command);
    let spawn = if options.isolated {
        children::spawn_isolated
    } else {
        children::spawn
    };
    spawn(command, options.parting).map_err(|e| Error::io("starting postgres", e))
}

/// A port of 127.0.0.1 that nobody listens on at this moment.
fn free_port() -> Result<u16, Error> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|e| Error::io("looking for a free port", e))
}

fn is_taken(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_err()
}

enum Readiness {
    Ready,
    Ended,
    TooLate,
}

/// Waits for the status line of postmaster.pid (miscadmin.h, `LOCK_FILE_LINE_PM_STATUS`), as `pg_ctl -w` does: no login
/// is needed for that, and nobody else's server can be mistaken for ours.
async fn wait_until_ready(
    child: &Child,
    folder: &Path,
    cancel: &CancellationToken,
    until: Instant,
) -> Result<Readiness, Error> {
    let path = folder.join("data/postmaster.pid");
    let ours = child.pid().to_string();
    loop {
        let text = fs::read_to_string(&path).unwrap_or_default();
        let mut lines = text.lines();
        let status = (lines.next() == Some(&ours)).then(|| lines.nth(6)).flatten();
        if matches!(status.map(str::trim), Some("ready" | "standby")) {
            return Ok(Readiness::Ready);
        }
        if child.ended().is_some() {
            return Ok(Readiness::Ended);
        }
        if Instant::now() > until {
            return Ok(Readiness::TooLate);
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(5)) => {}
            () = cancel.cancelled() => return Err(Error::Cancelled),
        }
    }
}

/// After `kill -9` a postmaster.pid may be left. PostgreSQL refuses to start while a process of that number runs, whatever
/// it is. So one that names a process which does not work in this folder is removed; one that does is waited for: it is
/// on its way out, since its parent is gone.
async fn clear_stale_lock(data: &Path, cancel: &CancellationToken, until: Instant) -> Result<(), Error> {
    let path = data.join("postmaster.pid");
    let until = until.min(Instant::now() + Duration::from_secs(15));
    loop {
        let Ok(text) = fs::read_to_string(&path) else {
            return Ok(());
        };
        let number = text.lines().next().unwrap_or_default().trim().to_owned();
        if number.parse().is_ok_and(|pid| elsewhere::works_in(pid, data)) {
            if Instant::now() > until {
                return Err(Failure::new(
                    FailureCode::Busy,
                    format!(
                        "Another PostgreSQL (process {number}) runs in {}.",
                        data.display()
                    ),
                )
                .hint("Stop it first.")
                .into());
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(20)) => {}
                () = cancel.cancelled() => return Err(Error::Cancelled),
            }
        } else if cfg!(target_os = "linux") {
            return match fs::remove_file(&path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    Err(Error::io("removing a stale lock", e))
                }
                _ => Ok(()),
            };
        } else {
            return Ok(());
        }
    }
}

fn log_of(folder: &Path) -> String {
    let bytes = fs::read(folder.join("server.log")).unwrap_or_default();
    String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(SAID_BYTES)..]).into_owned()
}

fn did_not_start(folder: &Path, code: FailureCode, why: &str) -> Error {
    Failure::new(code, format!("PostgreSQL did not start on this machine: {why}."))
        .hint("The details are the end of its log.")
        .details(log_of(folder))
        .into()
}
