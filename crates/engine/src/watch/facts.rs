//! Looks into servers once in a while: connections, transaction ids, certificates. What is found there may be told (`telling::conditions`).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use howdah_domain::check::ServerFacts;
use howdah_domain::{Failure, ServerId};
use howdah_store::tables::{databases, server_facts, servers, watches};

use crate::api::Event;
use crate::engine::{Engine, OrFailure};

/// Each server is looked into this often.
const LOOK_AGAIN: Duration = Duration::from_secs(10 * 60);

/// How often it is looked whether one is due.
const ROUND: Duration = Duration::from_secs(20);

/// How long a look may take.
const LIMIT: Duration = Duration::from_secs(20);

/// Runs until the engine ends.
pub(crate) async fn look_into_servers(engine: Engine) {
    let mut looked: HashMap<ServerId, Instant> = HashMap::new();
    loop {
        match engine.servers_that_answer().await {
            Ok(there) => {
                looked.retain(|id, _| there.iter().any(|(server, _)| server == id));
                for (server, database) in there {
                    if looked.get(&server).is_some_and(|at| at.elapsed() < LOOK_AGAIN) {
                        continue;
                    }
                    if engine.0.ending.is_cancelled() {
                        return;
                    }
                    // Also where it fails: it is tried again in its time, and checks say whether it answers.
                    looked.insert(server.clone(), Instant::now());
                    if let Err(failure) = engine.look_into_server(&server, &database).await {
                        tracing::debug!(%failure, "a server could not be looked into");
                    }
                }
            }
            Err(failure) => tracing::warn!(%failure, "servers could not be looked into"),
        }
        tokio::select! {
            () = engine.0.ending.cancelled() => return,
            () = tokio::time::sleep(ROUND) => {}
        }
    }
}

impl Engine {
    /// Servers of which a database answered its last check, and that database.
    async fn servers_that_answer(&self) -> Result<Vec<(ServerId, String)>, Failure> {
        self.0
            .store
            .read(|c| {
                let answering: HashMap<_, _> = watches::list(c)?
                    .into_iter()
                    .filter(|watch| watch.last.as_ref().is_some_and(|last| last.failure.is_none()))
                    .filter(|watch| watch.rule.as_ref().is_none_or(|rule| rule.enabled))
                    .map(|watch| (watch.database_id, ()))
                    .collect();
                let mut there: HashMap<ServerId, String> = HashMap::new();
                for database in databases::list(c)? {
                    if database.vanished_at.is_none() && answering.contains_key(&database.id) {
                        there.entry(database.server_id).or_insert(database.name);
                    }
                }
                let known: Vec<ServerId> = servers::list(c)?.into_iter().map(|row| row.server.id).collect();
                there.retain(|id, _| known.contains(id));
                Ok(there.into_iter().collect())
            })
            .await
            .or_failure()
    }

    async fn look_into_server(&self, server: &ServerId, database: &str) -> Result<(), Failure> {
        let row = self.server(server).await?;
        let cancel = self.0.ending.child_token();
        let found = self
            .within_reach(&row, &cancel, async |connection, password| {
                let connection = connection.with_database(database);
                howdah_postgres::check::facts(&connection, password, LIMIT, &cancel)
                    .await
                    .or_failure()
            })
            .await?;
        let transactions = [found.transactions_left, found.multixacts_left]
            .into_iter()
            .flatten()
            .min()
            .and_then(|left| i64::try_from(left).ok());
        let facts = ServerFacts {
            at: self.0.clock.now(),
            connections: found.slots.map_or(0, |slots| slots.taken),
            max_connections: found.slots.map_or(0, |slots| slots.of),
            transactions_left: transactions,
            certificate_expires: found.certificate_expires,
        };
        let server = server.clone();
        self.0
            .store
            .write(move |tx| server_facts::set(tx, &server, &facts))
            .await
            .or_failure()?;
        self.0.conditions_changed.notify_one();
        self.0.events.send(Event::Health {
            database_ids: Vec::new(),
        });
        Ok(())
    }
}
