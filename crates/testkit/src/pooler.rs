//! PgBouncer, as Debian packages it, before a cluster.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use howdah_domain::{Connection, Secret};
use howdah_postgres::account::Account;
use howdah_postgres::children::{self, Child, Parting};

use crate::cluster::Cluster;

/// For how long a client has a server's session to itself (PgBouncer's `pool_mode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolMode {
    /// As long as it is connected.
    Session,
    /// For one transaction.
    Transaction,
}

/// A running PgBouncer on 127.0.0.1; dropping it ends it.
#[derive(Debug)]
pub struct PgBouncer {
    child: Child,
    port: u16,
    folder: tempfile::TempDir,
}

/// Where it may be installed; `sbin` is on no ordinary user's PATH.
const PLACES: [&str; 4] = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"];

impl PgBouncer {
    /// Starts one before a cluster, for these roles besides the superuser.
    ///
    /// # Errors
    /// When PgBouncer is not installed (Debian: `pgbouncer`) or does not start; with its log.
    pub fn start(cluster: &Cluster, mode: PoolMode, roles: &[(&str, &Secret)]) -> anyhow::Result<Self> {
        let program = PLACES
            .iter()
            .map(|place| Path::new(place).join("pgbouncer"))
            .find(|path| path.is_file());
        let program =
            program.context("PgBouncer is not installed (Debian, Ubuntu: apt-get install pgbouncer)")?;
        // It refuses to run as root, as PostgreSQL does.
        let account = Account::for_instances()?;
        let folder = tempfile::Builder::new()
            .prefix("howdah-pgbouncer-")
            .tempdir_in("/tmp")?;
        account.make_folder(folder.path())?;

        let mut users = String::new();
        let superuser = cluster.password();
        for (role, password) in roles.iter().copied().chain([("postgres", &superuser)]) {
            let _ = writeln!(users, "{} {}", doubled(role), doubled(password.expose()));
        }
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let mode = match mode {
            PoolMode::Session => "session",
            PoolMode::Transaction => "transaction",
        };
        let at = |name: &str| folder.path().join(name).display().to_string();
        let config = format!(
            "[databases]\n* = host=127.0.0.1 port={server}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {users}\n\
             pool_mode = {mode}\ndefault_pool_size = 10\nlogfile = {log}\n",
            server = cluster.port(),
            users = at("users.txt"),
            log = at("pgbouncer.log"),
        );
        for (name, text) in [("users.txt", users), ("pgbouncer.ini", config)] {
            let path = folder.path().join(name);
            fs::write(&path, text)?;
            account.own(&path)?;
        }
        let mut command = Command::new(program);
        command
            .arg("--quiet")
            .arg(folder.path().join("pgbouncer.ini"))
            .current_dir(folder.path());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        account.applied_to(&mut command);
        let child = children::spawn(command, Parting::Kill).context("PgBouncer does not start")?;
        let pooler = Self { child, port, folder };
        pooler.wait_until_it_listens()?;
        Ok(pooler)
    }

    fn wait_until_it_listens(&self) -> anyhow::Result<()> {
        let until = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            let log = || fs::read_to_string(self.log_file()).unwrap_or_default();
            if let Some(status) = self.child.ended() {
                bail!("PgBouncer ended with {status}: {}", log());
            }
            ensure!(Instant::now() < until, "PgBouncer does not listen: {}", log());
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("pgbouncer.log")
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How to reach the cluster through it: the same role and database, another port.
    pub fn connection(&self, direct: &Connection) -> Connection {
        Connection {
            host: Ipv4Addr::LOCALHOST.to_string(),
            port: self.port,
            ..direct.clone()
        }
    }
}

/// In double quotes, with inner ones doubled, as PgBouncer's userlist has it.
fn doubled(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}
