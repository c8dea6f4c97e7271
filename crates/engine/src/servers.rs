//! Servers: added, changed, removed, tested. Their passwords go to the keyring and nowhere else.

use std::time::Duration;

use howdah_domain::{
    Connection, DatabaseId, Environment, Failure, FailureCode, Secret, Server, ServerId, TestReport,
};
use howdah_postgres::connect::{APPLICATION_NAME, connect};
use howdah_postgres::parse::{Defaults, parse_connection};
use howdah_postgres::probe;
use howdah_store::tables::servers::{self, ServerRow};
use howdah_store::tables::{databases, runs};

use crate::api::{ConnectionInput, Event, ParsedConnection, ServerChange, ServerView, TestRequest};
use crate::backup::CONNECT_TIMEOUT;
use crate::engine::{Engine, OrFailure, lock};
use crate::random;

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
        let (connection, secret) = self.resolve(request.input).await?;
        let cancel = self.0.ending.child_token();
        lock(&self.0.tests).insert(request.test_id.clone(), cancel.clone());
        let events = self.0.events.clone();
        let mut on_step = |step| {
            let test_id = request.test_id.clone();
            events.send(Event::TestStep { test_id, step });
        };
        let asked = probe::Request {
            connection: &connection,
            password: secret.as_ref(),
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
        let (connection, secret) = self.resolve(input).await?;
        let id = ServerId::from_random(random::bytes());
        let name = self.free_name(name, &connection).await?;
        let secret_reference = match &secret {
            Some(secret) => Some(self.keep_password(&id, &name, secret).await?),
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
            secret_reference: secret_reference.clone(),
        };
        let inserted = row.clone();
        let added = self.0.store.write(move |tx| servers::insert(tx, &inserted)).await;
        if let (Err(_), Some(reference)) = (&added, &secret_reference) {
            // The server is not there, so nobody would ever ask for its password.
            if let Err(error) = self.0.secrets.delete(reference).await {
                tracing::warn!(%error, "a password that is not needed could not be removed from the keyring");
            }
        }
        added.or_failure()?;
        self.0.events.send(Event::Databases);
        Ok(view(&row))
    }

    /// Changes a server.
    pub async fn change_server(&self, id: &ServerId, change: ServerChange) -> Result<ServerView, Failure> {
        let mut row = self.server(id).await?;
        if let Some(name) = change.name.filter(|name| !name.trim().is_empty()) {
            row.server.name = name.trim().to_owned();
        }
        if let Some(connection) = change.connection {
            row.server.connection = connection;
        }
        if let Some(environment) = change.environment {
            row.server.environment = environment;
        }
        let mut unneeded = None;
        match change.password {
            Some(password) if password.is_empty() => unneeded = row.secret_reference.take(),
            Some(password) => {
                row.secret_reference = Some(self.keep_password(id, &row.server.name, &password).await?);
            }
            None => {}
        }
        let updated = row.clone();
        self.0
            .store
            .write(move |tx| servers::update(tx, &updated))
            .await
            .or_failure()?;
        if let Some(reference) = unneeded {
            self.0.secrets.delete(&reference).await.or_failure()?;
        }
        self.0.events.send(Event::Databases);
        self.0.runs_changed.notify_one();
        Ok(view(&row))
    }

    /// Removes a server and its plans; its backups stay in the catalogue and where they lie. Refused while a run works on it.
    pub async fn remove_server(&self, id: &ServerId) -> Result<(), Failure> {
        let (id, now) = (id.clone(), self.0.clock.now());
        let busy = {
            let id = id.clone();
            self.0
                .store
                .read(move |c| {
                    let ours = databases::of_server(c, &id)?;
                    let active = runs::active(c)?;
                    Ok(active.iter().any(|run| {
                        ours.iter()
                            .any(|database| Some(&database.id) == run.database_id.as_ref())
                    }))
                })
                .await
                .or_failure()?
        };
        if busy {
            return Err(Failure::new(
                FailureCode::Busy,
                "A backup of this server is at work or waiting.",
            )
            .hint("Cancel it, or wait for its end, then remove the server."));
        }
        let reference = self
            .0
            .store
            .write(move |tx| servers::remove(tx, &id, now))
            .await
            .or_failure()?;
        self.0.events.send(Event::Databases);
        self.0.schedule_changed.notify_one();
        if let Some(reference) = reference {
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
        let secret = self.password(&row).await?;
        let cancel = self.0.ending.child_token();
        let session = connect(
            &row.server.connection,
            secret.as_ref(),
            APPLICATION_NAME,
            CONNECT_TIMEOUT,
            &cancel,
        )
        .await
        .or_failure()?;
        let listed = howdah_postgres::databases::list(&session, LIST_TIMEOUT, &cancel)
            .await
            .or_failure()?;
        Ok(listed.into_iter().map(|database| database.name).collect())
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

    /// A server's password, from the keyring.
    pub(crate) async fn password(&self, row: &ServerRow) -> Result<Option<Secret>, Failure> {
        let Some(reference) = &row.secret_reference else {
            return Ok(None);
        };
        match self.0.secrets.get(reference).await.or_failure()? {
            Some(secret) => Ok(Some(secret)),
            None => Err(Failure::new(
                FailureCode::PasswordRequired,
                format!(
                    "The keyring no longer holds the password for {}.",
                    row.server.name
                ),
            )
            .hint("Enter it again on the database's page, under Connection.")),
        }
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
    async fn resolve(&self, input: ConnectionInput) -> Result<(Connection, Option<Secret>), Failure> {
        let not_empty = |secret: Option<Secret>| secret.filter(|secret| !secret.is_empty());
        match input {
            ConnectionInput::Text { text, password } => {
                let parsed = parse_connection(text.expose(), &Defaults::default()).or_failure()?;
                Ok((parsed.connection, not_empty(password).or(parsed.password)))
            }
            ConnectionInput::Form { connection, password } => Ok((connection, not_empty(password))),
            ConnectionInput::Server { id } => {
                let row = self.server(&id).await?;
                let secret = self.password(&row).await?;
                Ok((row.server.connection, secret))
            }
        }
    }

    /// Puts a server's password into the keyring and answers its name there.
    async fn keep_password(&self, id: &ServerId, name: &str, secret: &Secret) -> Result<String, Failure> {
        let reference = format!("server/{id}");
        self.0
            .secrets
            .set(&reference, &format!("Howdah: {name}"), secret)
            .await
            .or_failure()?;
        Ok(reference)
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

/// A server as the window sees it.
pub(crate) fn view(row: &ServerRow) -> ServerView {
    ServerView {
        id: row.server.id.clone(),
        name: row.server.name.clone(),
        connection: row.server.connection.clone(),
        environment: row.server.environment,
        has_password: row.secret_reference.is_some(),
    }
}
