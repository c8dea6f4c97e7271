//! Servers: added, changed, removed, tested. Their passwords go to the keyring and nowhere else.

use std::time::Duration;

use howdah_domain::{
    Connection, DatabaseId, Environment, Failure, FailureCode, Secret, Server, ServerId, TestReport,
};
use howdah_postgres::connect::{APPLICATION_NAME, connect};
use howdah_postgres::parse::{Defaults, parse_connection};
use howdah_postgres::{Reach, probe};
use howdah_store::tables::servers::{self, ServerRow};
use howdah_store::tables::{databases, replacements, runs};
use tokio_util::sync::CancellationToken;

use crate::api::{ConnectionInput, Event, ParsedConnection, ServerChange, ServerView, TestRequest};
use crate::backup::CONNECT_TIMEOUT;
use crate::engine::{Engine, OrFailure, internal, lock};
use crate::random;

/// What opens a server.
#[derive(Debug, Clone, Default)]
pub(crate) struct ServerSecrets {
    /// The role's password.
    pub(crate) password: Option<Secret>,
    /// The passphrase or password of the SSH login on the way.
    pub(crate) ssh: Option<Secret>,
}

/// How long a server may take to list its databases.
const LIST_TIMEOUT: Duration = Duration::from_secs(20);

impl Engine {
    /// Understands a pasted connection. The password, if there is one, is not handed back.
    pub fn parse_connection(&self, text: &str) -> Result<ParsedConnection, Failure> {
        let parsed = parse_connection(text, &Defaults::default()).or_failure()?;
        Ok(ParsedConnection {
            has_password: parsed.password.is_some(),
            connection: parsed.connection,
            warnings: parsed.warnings,
        })
    }

    /// Tests a connection: everything a backup would need. Its lines are also told as [`Event::TestStep`] as they fill in.
    pub async fn test_connection(&self, request: TestRequest) -> Result<TestReport, Failure> {
        let (connection, secrets) = self.resolve(request.input).await?;
        let cancel = self.0.ending.child_token();
        lock(&self.0.tests).insert(request.test_id.clone(), cancel.clone());
        let events = self.0.events.clone();
        let mut on_step = |step| {
            let test_id = request.test_id.clone();
            events.send(Event::TestStep { test_id, step });
        };
        let known_hosts = self.known_hosts();
        let asked = probe::Request {
            connection: &connection,
            password: secrets.password.as_ref(),
            ssh_secret: secrets.ssh.as_ref(),
            known_hosts: Some(&known_hosts),
            selection: &request.selection,
            programs: &self.0.programs,
        };
        let report = probe::test(asked, &mut on_step, &cancel).await;
        lock(&self.0.tests).remove(&request.test_id);
        Ok(report)
    }

    /// Ends a test.
    pub fn cancel_test(&self, test_id: &str) {
        if let Some(cancel) = lock(&self.0.tests).get(test_id) {
            cancel.cancel();
        }
    }

    /// Adds a server. Its password goes to the keyring first: a server whose password could not be kept is not added.
    pub async fn add_server(
        &self,
        input: ConnectionInput,
        name: &str,
        environment: Environment,
    ) -> Result<ServerView, Failure> {
        let (connection, secrets) = self.resolve(input).await?;
        let id = ServerId::from_random(random::bytes());
        let name = self.free_name(name, &connection).await?;
        let secret_reference = match &secrets.password {
            Some(secret) => Some(self.keep_password(&id, &name, secret).await?),
            None => None,
        };
        let tunnel_secret_reference = match secrets.ssh.filter(|_| connection.tunnel.is_some()) {
            Some(secret) => match self.keep_ssh_secret(&id, &name, &secret).await {
                Ok(reference) => Some(reference),
                Err(failure) => {
                    self.forget(secret_reference.iter()).await;
                    return Err(failure);
                }
            },
            None => None,
        };
        let row = ServerRow {
            server: Server {
                id,
                name,
                connection,
                environment,
                created_at: self.0.clock.now(),
            },
            secret_reference,
            tunnel_secret_reference,
        };
        let inserted = row.clone();
        let added = self
            .0
            .store
            .write(move |tx| {
                servers::insert(tx, &inserted)?;
                servers::adopt(tx, &inserted.server.id, &inserted.server.name)
            })
            .await;
        if added.is_err() {
            let kept = [&row.secret_reference, &row.tunnel_secret_reference];
            self.forget(kept.into_iter().flatten()).await;
        }
        added.or_failure()?;
        self.0.events.send(Event::Databases);
        Ok(view(&row))
    }

    /// Removes secrets from the keyring whose server did not come about: nobody would ever ask for them.
    async fn forget(&self, references: impl Iterator<Item = &String>) {
        for reference in references {
            if let Err(error) = self.0.secrets.delete(reference).await {
                tracing::warn!(%error, "a secret that is not needed could not be removed from the keyring");
            }
        }
    }

    /// Changes a server.
    pub async fn change_server(&self, id: &ServerId, change: ServerChange) -> Result<ServerView, Failure> {
        let mut row = self.server(id).await?;
        if let Some(name) = change.name.filter(|name| !name.trim().is_empty()) {
            row.server.name = name.trim().to_owned();
        }
        let mut unneeded = Vec::new();
        if let Some(connection) = change.connection {
            let before = row.server.connection.tunnel.take();
            match &connection.tunnel {
                None => unneeded.extend(row.tunnel_secret_reference.take()),
                Some(tunnel)
                    if before.as_ref() != Some(tunnel)
                        && row.tunnel_secret_reference.is_some()
                        && change.ssh_secret.is_none() =>
                {
                    return Err(ssh_secret_again(&tunnel.host));
                }
                Some(_) => {}
            }
            row.server.connection = connection;
        }
        if let Some(environment) = change.environment {
            row.server.environment = environment;
        }
        match change.password {
            Some(password) if password.is_empty() => unneeded.extend(row.secret_reference.take()),
            Some(password) => {
                row.secret_reference = Some(self.keep_password(id, &row.server.name, &password).await?);
            }
            None => {}
        }
        match change
            .ssh_secret
            .filter(|_| row.server.connection.tunnel.is_some())
        {
            Some(secret) if secret.is_empty() => unneeded.extend(row.tunnel_secret_reference.take()),
            Some(secret) => {
                row.tunnel_secret_reference =
                    Some(self.keep_ssh_secret(id, &row.server.name, &secret).await?);
            }
            None => {}
        }
        let updated = row.clone();
        self.0
            .store
            .write(move |tx| servers::update(tx, &updated))
            .await
            .or_failure()?;
        for reference in unneeded {
            self.0.secrets.delete(&reference).await.or_failure()?;
        }
        self.0.events.send(Event::Databases);
        self.0.runs_changed.notify_one();
        Ok(view(&row))
    }

    /// Removes a server and its plans; its backups stay in the catalogue and where they lie. Refused while a run works on it, or a
    /// database is kept there that was replaced.
    pub async fn remove_server(&self, id: &ServerId) -> Result<(), Failure> {
        let (id, now) = (id.clone(), self.0.clock.now());
        let busy = {
            let id = id.clone();
            self.0
                .store
                .read(move |c| {
                    let ours = databases::of_server(c, &id)?;
                    if replacements::list(c)?.iter().any(|each| each.server_id == id) {
                        return Ok(Some((
                            "A database of this server was replaced, and what it was is kept there.",
                            "Put it back or drop it on the database's page, then remove the server.",
                        )));
                    }
                    let active = runs::active(c)?;
                    let works = active.iter().any(|run| {
                        ours.iter()
                            .any(|database| Some(&database.id) == run.database_id.as_ref())
                    });
                    Ok(works.then_some((
                        "A backup of this server is at work or waiting.",
                        "Cancel it, or wait for its end, then remove the server.",
                    )))
                })
                .await
                .or_failure()?
        };
        if let Some((why, what_to_do)) = busy {
            return Err(Failure::new(FailureCode::Busy, why).hint(what_to_do));
        }
        let references = self
            .0
            .store
            .write(move |tx| servers::remove(tx, &id, now))
            .await
            .or_failure()?;
        self.0.events.send(Event::Databases);
        self.0.schedule_changed.notify_one();
        for reference in references {
            self.0.secrets.delete(&reference).await.or_failure()?;
        }
        Ok(())
    }

    /// All servers, by name.
    pub async fn list_servers(&self) -> Result<Vec<ServerView>, Failure> {
        let rows = self.0.store.read(servers::list).await.or_failure()?;
        Ok(rows.iter().map(view).collect())
    }

    /// The server of that name or id.
    pub async fn find_server(&self, name_or_id: &str) -> Result<ServerView, Failure> {
        let text = name_or_id.to_owned();
        let row = self
            .0
            .store
            .read(move |c| match servers::by_name(c, &text)? {
                Some(row) => Ok(Some(row)),
                None => servers::get(c, &ServerId::from_text(text)),
            })
            .await
            .or_failure()?;
        row.as_ref().map(view).ok_or_else(|| {
            Failure::new(
                FailureCode::NotFound,
                format!("There is no server called {name_or_id}."),
            )
            .hint("`howdah server list` shows the servers.")
        })
    }

    /// The databases on a server that a plan could cover; asks the server.
    pub async fn list_databases(&self, id: &ServerId) -> Result<Vec<String>, Failure> {
        let row = self.server(id).await?;
        let cancel = self.0.ending.child_token();
        self.within_reach(&row, &cancel, async |connection, password| {
            let session = connect(connection, password, APPLICATION_NAME, CONNECT_TIMEOUT, &cancel)
                .await
                .or_failure()?;
            let listed = howdah_postgres::databases::list(&session, LIST_TIMEOUT, &cancel)
                .await
                .or_failure()?;
            Ok(listed.into_iter().map(|database| database.name).collect())
        })
        .await
    }

    /// A server that is there.
    pub(crate) async fn server(&self, id: &ServerId) -> Result<ServerRow, Failure> {
        let id = id.clone();
        self.0
            .store
            .read(move |c| servers::get(c, &id))
            .await
            .or_failure()?
            .ok_or_else(|| Failure::new(FailureCode::NotFound, "This server was removed."))
    }

    /// Does something with a server while its tunnel, where it has one, is open. `work` gets the connection to use and the
    /// password.
    pub(crate) async fn within_reach<T>(
        &self,
        row: &ServerRow,
        cancel: &CancellationToken,
        work: impl AsyncFnOnce(&Connection, Option<&Secret>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let secrets = self.secrets_of(row).await?;
        let reach = self
            .reach(&row.server.connection, secrets.ssh.as_ref(), cancel)
            .await?;
        match work(reach.connection(), secrets.password.as_ref()).await {
            Ok(done) => Ok(done),
            Err(failure) => Err(reach.judge(failure).await),
        }
    }

    /// Opens the way to a server.
    pub(crate) async fn reach(
        &self,
        connection: &Connection,
        ssh_secret: Option<&Secret>,
        cancel: &CancellationToken,
    ) -> Result<Reach, Failure> {
        let known_hosts = self.known_hosts();
        Reach::open(connection, ssh_secret, Some(&known_hosts), cancel)
            .await
            .or_failure()
    }

    /// A server's secrets, from the keyring.
    pub(crate) async fn secrets_of(&self, row: &ServerRow) -> Result<ServerSecrets, Failure> {
        let held = async |reference: &Option<String>, what: &str| {
            let Some(reference) = reference else {
                return Ok(None);
            };
            match self.0.secrets.get(reference).await.or_failure()? {
                Some(secret) => Ok(Some(secret)),
                None => Err(Failure::new(
                    FailureCode::PasswordRequired,
                    format!("The keyring no longer holds {what} for {}.", row.server.name),
                )
                .hint("Enter it again on the database's page, under Connection.")),
            }
        };
        Ok(ServerSecrets {
            password: held(&row.secret_reference, "the password").await?,
            ssh: held(&row.tunnel_secret_reference, "the secret of the SSH login").await?,
        })
    }

    /// Accepts the key of an SSH server from now on. `line` is the details of the failure that showed it
    /// ([`FailureCode::HostKeyUnknown`]): host and key, as a `known_hosts` file has them.
    pub async fn accept_host_key(&self, line: String) -> Result<(), Failure> {
        let file = self.known_hosts();
        tokio::task::spawn_blocking(move || howdah_postgres::tunnel::accept_host_key(&file, &line))
            .await
            .map_err(|error| internal("Accepting the key died.", &error))?
            .or_failure()?;
        // What waits for another try may succeed now.
        self.0.copies_changed.notify_one();
        Ok(())
    }

    /// Remembers a database of a server, if it is not known yet.
    pub(crate) async fn ensure_database(
        &self,
        server_id: &ServerId,
        name: &str,
    ) -> Result<databases::Database, Failure> {
        let (server_id, name, now) = (server_id.clone(), name.to_owned(), self.0.clock.now());
        let id = DatabaseId::from_random(random::bytes());
        self.0
            .store
            .write(move |tx| databases::ensure(tx, id, &server_id, &name, now))
            .await
            .or_failure()
    }

    /// What the user typed, pasted or chose, as a connection and its password.
    async fn resolve(&self, input: ConnectionInput) -> Result<(Connection, ServerSecrets), Failure> {
        let not_empty = |secret: Option<Secret>| secret.filter(|secret| !secret.is_empty());
        match input {
            ConnectionInput::Text {
                text,
                password,
                tunnel,
                ssh_secret,
            } => {
                let parsed = parse_connection(text.expose(), &Defaults::default()).or_failure()?;
                let secrets = ServerSecrets {
                    password: not_empty(password).or(parsed.password),
                    ssh: not_empty(ssh_secret),
                };
                let connection = Connection {
                    tunnel,
                    ..parsed.connection
                };
                Ok((connection, secrets))
            }
            ConnectionInput::Form {
                connection,
                password,
                ssh_secret,
            } => {
                let secrets = ServerSecrets {
                    password: not_empty(password),
                    ssh: not_empty(ssh_secret),
                };
                Ok((connection, secrets))
            }
            ConnectionInput::Server { id } => {
                let row = self.server(&id).await?;
                let secrets = self.secrets_of(&row).await?;
                Ok((row.server.connection, secrets))
            }
        }
    }

    /// Puts a server's password into the keyring and answers its name there.
    async fn keep_password(&self, id: &ServerId, name: &str, secret: &Secret) -> Result<String, Failure> {
        self.keep(format!("server/{id}"), format!("Howdah: {name}"), secret)
            .await
    }

    /// Puts what opens a server's SSH tunnel into the keyring and answers its name there.
    async fn keep_ssh_secret(&self, id: &ServerId, name: &str, secret: &Secret) -> Result<String, Failure> {
        self.keep(format!("tunnel/{id}"), format!("Howdah: SSH to {name}"), secret)
            .await
    }

    /// The name wished for, or the host's, with a number where it is taken.
    async fn free_name(&self, wished: &str, connection: &Connection) -> Result<String, Failure> {
        let base = match wished.trim() {
            "" if connection.is_socket() => "local".to_owned(),
            "" => connection.host.clone(),
            name => return Ok(name.to_owned()),
        };
        self.0
            .store
            .read(move |c| {
                let mut name = base.clone();
                let mut number = 2;
                while servers::by_name(c, &name)?.is_some() {
                    name = format!("{base} ({number})");
                    number += 1;
                }
                Ok(name)
            })
            .await
            .or_failure()
    }
}

/// A secret that was given for one SSH login is not shown to another.
fn ssh_secret_again(host: &str) -> Failure {
    Failure::new(
        FailureCode::InvalidInput,
        format!("The SSH login was changed: enter the passphrase or password for {host} again."),
    )
    .hint("What is kept in the keyring was given for the login as it was, and might go to another server.")
}

/// A server as the window sees it.
pub(crate) fn view(row: &ServerRow) -> ServerView {
    ServerView {
        id: row.server.id.clone(),
        name: row.server.name.clone(),
        connection: row.server.connection.clone(),
        environment: row.server.environment,
        has_password: row.secret_reference.is_some(),
        has_ssh_secret: row.tunnel_secret_reference.is_some(),
    }
}
