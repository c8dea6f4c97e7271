//! A real PostgreSQL for one test.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use howdah_domain::{Connection, Secret};
use howdah_postgres::account::Account;
use howdah_postgres::children::Parting;
use howdah_postgres::instance::{Instance, Login, Options, Setup, Stop, random_password};
use howdah_postgres::programs::{Programs, ServerPrograms};
use howdah_postgres::quote;
use nix::sys::signal::Signal;
use tokio_postgres::{NoTls, SimpleQueryMessage};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::certificates::Certificates;
use crate::template::{self, Copy};

/// Whether a cluster speaks TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encryption {
    /// It has no certificate.
    #[default]
    None,
    /// TLS is there for those who want it.
    Offered,
    /// TCP without TLS is turned away by pg_hba.conf (`hostssl` only), as managed services have it.
    Forced,
    /// As forced, and a client certificate of the authority is needed beside the password.
    ClientCertificate,
}

/// A running PostgreSQL of a test's own: superuser `postgres` with a password, on 127.0.0.1 and on a socket. Dropping it
/// ends it and removes its folder.
#[derive(Debug)]
pub struct Cluster {
    // Dropped in this order: the server ends before its folder goes.
    instance: Option<Instance>,
    copy: Copy,
    programs: ServerPrograms,
    options: Options,
    certificates: Option<Certificates>,
}

/// What a cluster should be like.
#[derive(Debug, Clone)]
pub struct ClusterBuilder {
    major: u16,
    encryption: Encryption,
    settings: Vec<(String, String)>,
    hba: Vec<String>,
    place: Option<PathBuf>,
}

impl ClusterBuilder {
    /// With TLS; the certificates are in [`Cluster::certificates`].
    #[must_use]
    pub fn encryption(mut self, encryption: Encryption) -> Self {
        self.encryption = encryption;
        self
    }

    /// With a setting of postgresql.conf, as in `("max_connections", "5")` or `("shared_preload_libraries", "…")`.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// With a line in pg_hba.conf before all others, as in `host all nosy 127.0.0.1/32 reject`.
    #[must_use]
    pub fn hba(mut self, line: &str) -> Self {
        self.hba.push(line.into());
        self
    }

    /// In a folder of choice, where it would be in memory: for what is compared with something on a disk.
    #[must_use]
    pub fn within(mut self, folder: &Path) -> Self {
        self.place = Some(folder.to_owned());
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// When the programs are not there (`make programs`), or PostgreSQL does not start; with the end of its log.
    pub async fn start(self) -> anyhow::Result<Cluster> {
        let programs = Programs::locate(None)
            .and_then(|all| all.server(self.major))
            .map_err(told)?;
        let copy = template::copy(&programs, self.place.as_deref()).await?;
        let mut options = Options {
            password: copy.password.clone(),
            login: Login::Password,
            parting: Parting::Quit,
            hba: self.hba.clone(),
            patience: Duration::from_secs(60),
            ..Options::for_setup(&Setup::default())
        };
        // A test's cluster need not survive the machine.
        for (name, value) in [
            ("fsync", "off"),
            ("full_page_writes", "off"),
            ("shared_buffers", "16MB"),
            // Files in its own folder, which go with it even when it is killed.
            ("dynamic_shared_memory_type", "mmap"),
            ("max_wal_size", "128MB"),
            ("min_wal_size", "2MB"),
            ("max_connections", "60"),
            ("autovacuum", "off"),
            ("timezone", "UTC"),
        ] {
            options = options.set(name, value);
        }
        let certificates = self.encrypted(copy.folder(), &mut options)?;
        options.settings.extend(self.settings);
        let mut cluster = Cluster {
            instance: None,
            copy,
            programs,
            options,
            certificates,
        };
        cluster.start_again().await?;
        Ok(cluster)
    }
}

impl ClusterBuilder {
    fn encrypted(&self, folder: &Path, options: &mut Options) -> anyhow::Result<Option<Certificates>> {
        if self.encryption == Encryption::None {
            return Ok(None);
        }
        let account = Account::for_instances().map_err(told)?;
        let tls = folder.join("tls");
        std::fs::create_dir(&tls)?;
        let made = Certificates::make(&tls, "postgres")?;
        for path in [&tls, &made.ca, &made.server_certificate, &made.server_key] {
            account.own(path).map_err(told)?;
        }
        for (name, value) in [
            ("ssl_cert_file", &made.server_certificate),
            ("ssl_key_file", &made.server_key),
            ("ssl_ca_file", &made.ca),
        ] {
            options.settings.push((name.into(), value.display().to_string()));
        }
        options.settings.push(("ssl".into(), "on".into()));
        options.tls_only = self.encryption != Encryption::Offered;
        if self.encryption == Encryption::ClientCertificate {
            let line = "hostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca";
            options.hba.push(line.into());
        }
        Ok(Some(made))
    }
}

impl Cluster {
    /// Starts one without TLS and with nothing special.
    ///
    /// # Errors
    /// As [`ClusterBuilder::start`].
    pub async fn start(major: u16) -> anyhow::Result<Self> {
        Self::builder(major).start().await
    }

    /// Says first what it should be like.
    pub fn builder(major: u16) -> ClusterBuilder {
        ClusterBuilder {
            major,
            encryption: Encryption::None,
            settings: Vec::new(),
            hba: Vec::new(),
            place: None,
        }
    }

    /// Its major.
    pub fn major(&self) -> u16 {
        self.programs.major
    }

    /// Its version, `17.10`.
    pub fn version(&self) -> &str {
        &self.programs.version
    }

    fn instance(&self) -> &Instance {
        self.instance.as_ref().expect("BUG: the cluster was stopped")
    }

    /// How to reach one of its databases as superuser, over TCP without TLS.
    pub fn connection(&self, database: &str) -> Connection {
        self.instance().connection().with_database(database)
    }

    /// How to reach one of its databases as superuser, by its Unix socket.
    pub fn socket_connection(&self, database: &str) -> Connection {
        self.instance().socket_connection().with_database(database)
    }

    /// Its TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.instance().connection().port
    }

    /// The superuser's password.
    pub fn password(&self) -> Secret {
        self.options.password.clone()
    }

    /// The superuser's URL of one of its databases, with the password.
    pub fn url(&self, database: &str) -> String {
        self.url_for("postgres", &self.options.password, database)
    }

    /// A role's URL of one of its databases, with the password.
    pub fn url_for(&self, role: &str, password: &Secret, database: &str) -> String {
        let mut url = Url::parse("postgres://127.0.0.1").expect("BUG: it is a URL");
        let valid = "BUG: it can have these";
        url.set_port(Some(self.port())).expect(valid);
        url.set_username(role).expect(valid);
        url.set_password(Some(password.expose())).expect(valid);
        url.path_segments_mut().expect(valid).push(database);
        url.into()
    }

    /// The files of TLS; `None` without [`ClusterBuilder::encryption`].
    pub fn certificates(&self) -> Option<&Certificates> {
        self.certificates.as_ref()
    }

    /// The postmaster's process number.
    pub fn pid(&self) -> u32 {
        self.instance().pid()
    }

    /// The end of the server's log.
    pub fn log(&self) -> String {
        self.instance().log()
    }

    /// Its folder; the cluster itself is in `data`.
    pub fn folder(&self) -> &Path {
        self.copy.folder()
    }

    /// Whether CREATE EXTENSION can find it.
    pub fn has_extension(&self, name: &str) -> bool {
        self.programs.has_extension(name)
    }

    /// A session of the superuser, by the socket, with tokio-postgres alone: nothing of Howdah's connecting is in it.
    ///
    /// # Errors
    /// When it cannot connect.
    pub async fn client(&self, database: &str) -> anyhow::Result<tokio_postgres::Client> {
        let by = self.socket_connection(database);
        let mut config = tokio_postgres::Config::new();
        config
            .host_path(&by.host)
            .port(by.port)
            .user(&by.role)
            .dbname(database);
        config
            .password(self.options.password.expose())
            .application_name("testkit");
        let (client, connection) = config
            .connect(NoTls)
            .await
            .with_context(|| format!("connecting to {database}"))?;
        // It ends when the client is dropped.
        tokio::spawn(connection);
        Ok(client)
    }

    /// Runs statements, separated by semicolons, as superuser.
    ///
    /// # Errors
    /// The first statement that fails, with the server's message.
    pub async fn sql(&self, database: &str, statements: &str) -> anyhow::Result<()> {
        let client = self.client(database).await?;
        client
            .batch_execute(statements)
            .await
            .map_err(|error| in_words(&error, statements))
    }

    /// The rows of a query, every value as the server writes it, NULL as `None`.
    ///
    /// # Errors
    /// When the query fails.
    pub async fn rows(&self, database: &str, query: &str) -> anyhow::Result<Vec<Vec<Option<String>>>> {
        let client = self.client(database).await?;
        let messages = client
            .simple_query(query)
            .await
            .map_err(|error| in_words(&error, query))?;
        let mut rows = Vec::new();
        for message in messages {
            if let SimpleQueryMessage::Row(row) = message {
                rows.push((0..row.len()).map(|i| row.get(i).map(str::to_owned)).collect());
            }
        }
        Ok(rows)
    }

    /// The first value of the first row of a query, as the server writes it.
    ///
    /// # Errors
    /// When the query fails, has no rows, or the value is NULL.
    pub async fn one(&self, database: &str, query: &str) -> anyhow::Result<String> {
        let rows = self.rows(database, query).await?;
        let first = rows
            .into_iter()
            .next()
            .and_then(|row| row.into_iter().next())
            .flatten();
        first.with_context(|| format!("nothing came of {query}"))
    }

    /// Creates a database.
    ///
    /// # Errors
    /// When it exists, for one.
    pub async fn create_database(&self, name: &str) -> anyhow::Result<()> {
        self.sql("postgres", &format!("CREATE DATABASE {}", quote::ident(name)))
            .await
    }

    /// Creates a role that can log in, with a random password. `attributes` are those of CREATE ROLE (`NOBYPASSRLS`).
    ///
    /// # Errors
    /// When it exists, for one.
    pub async fn create_role(&self, name: &str, attributes: &str) -> anyhow::Result<Secret> {
        let password = random_password();
        let name = quote::ident(name);
        let statement = format!(
            "CREATE ROLE {name} LOGIN {attributes} PASSWORD '{}'",
            password.expose()
        );
        self.sql("postgres", &statement).await?;
        Ok(password)
    }

    /// How a role reaches a database over TCP.
    pub fn connection_as(&self, role: &str, database: &str) -> Connection {
        Connection {
            role: role.to_owned(),
            ..self.connection(database)
        }
    }

    /// Kills the postmaster with SIGKILL; its sessions end a moment later. [`Cluster::start_again`] brings it back.
    pub fn kill(&mut self) {
        if let Some(instance) = self.instance.take() {
            instance.signal(Signal::SIGKILL);
        }
    }

    /// Stops it properly, ending its sessions.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        if let Some(instance) = self.instance.take() {
            let never = CancellationToken::new();
            instance
                .stop(Stop::Fast, Duration::from_secs(30), &never)
                .await
                .map_err(told)?;
        }
        Ok(())
    }

    /// Starts it again after [`Cluster::kill`] or [`Cluster::stop`], on another port.
    ///
    /// # Errors
    /// As [`ClusterBuilder::start`].
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        let never = CancellationToken::new();
        let instance = Instance::start(&self.programs, self.copy.folder(), &self.options, &never).await;
        self.instance = Some(instance.map_err(told)?);
        Ok(())
    }

    /// Stops every process of it where it stands (SIGSTOP): connections hang, nothing answers.
    pub fn freeze(&self) {
        self.signal_all(Signal::SIGSTOP);
    }

    /// Lets it go on after [`Cluster::freeze`].
    pub fn thaw(&self) {
        self.signal_all(Signal::SIGCONT);
    }

    /// The postmaster's children lead sessions of their own, so the group is not enough.
    fn signal_all(&self, signal: Signal) {
        let postmaster = self.pid();
        let children = std::fs::read_to_string(format!("/proc/{postmaster}/task/{postmaster}/children"));
        let children = children.unwrap_or_default();
        let pids = children.split_whitespace().filter_map(|pid| pid.parse().ok());
        for pid in std::iter::once(postmaster.cast_signed()).chain(pids) {
            // One that ended meanwhile needs no signal.
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal);
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.instance.is_some() {
            self.thaw();
        }
    }
}

/// An error of ours with everything that people would see of it.
#[allow(clippy::needless_pass_by_value)] // for map_err
fn told(error: howdah_postgres::Error) -> anyhow::Error {
    let failure = error.to_failure();
    anyhow!(
        "{}\n{}\n{}",
        failure.message,
        failure.hint.unwrap_or_default(),
        failure.details.unwrap_or_default()
    )
}

fn in_words(error: &tokio_postgres::Error, statements: &str) -> anyhow::Error {
    let Some(server) = error.as_db_error() else {
        return anyhow!("{error}");
    };
    let place = match server.position() {
        Some(tokio_postgres::error::ErrorPosition::Original(at)) => {
            let at = usize::try_from(*at).unwrap_or(0).saturating_sub(1);
            let near: String = statements.chars().skip(at.saturating_sub(60)).take(160).collect();
            format!(" near: {near}")
        }
        _ => String::new(),
    };
    anyhow!(
        "{} {}: {}{place}",
        server.severity(),
        server.code().code(),
        server.message()
    )
}
