//! Ways to servers, kept open between checks: what the keyring holds is read once, and a tunnel stays.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use howdah_domain::{Connection, Failure, Secret, ServerId};
use howdah_postgres::Reach;
use tokio_util::sync::CancellationToken;

use crate::engine::{Engine, lock};

/// A way to a server.
pub(crate) struct Way {
    pub(crate) reach: Reach,
    pub(crate) password: Option<Secret>,
}

impl Way {
    /// The connection, to one of the server's databases.
    pub(crate) fn to(&self, database: &str) -> Connection {
        self.reach.connection().with_database(database)
    }

    /// What a failure of being connected is about: the tunnel, where it goes through one, else the server.
    pub(crate) fn host_and_port(connection: &Connection) -> (String, u16) {
        match &connection.tunnel {
            Some(tunnel) => (tunnel.host.clone(), tunnel.port.unwrap_or(22)),
            None => (connection.host.clone(), connection.port),
        }
    }
}

/// The ways that are open. One that does not serve any more is dropped, and opened anew by whoever needs it next.
#[derive(Default)]
pub(crate) struct Ways(Mutex<HashMap<ServerId, Arc<Place>>>);

/// Where a server's way is kept while it is open. Whoever opens it holds the others up.
type Place = tokio::sync::Mutex<Option<Arc<Way>>>;

impl Ways {
    /// The way to a server, and whether it was open already. Only one is opened at a time, however many need it.
    pub(crate) async fn to(
        &self,
        engine: &Engine,
        server: &ServerId,
        cancel: &CancellationToken,
    ) -> Result<(Arc<Way>, bool), Failure> {
        let place = Arc::clone(lock(&self.0).entry(server.clone()).or_default());
        let mut place = place.lock().await;
        if let Some(way) = &*place {
            return Ok((Arc::clone(way), true));
        }
        let row = engine.server(server).await?;
        let secrets = engine.secrets_of(&row).await?;
        let reach = engine
            .reach(&row.server.connection, secrets.ssh.as_ref(), cancel)
            .await?;
        let way = Arc::new(Way {
            reach,
            password: secrets.password,
        });
        *place = Some(Arc::clone(&way));
        Ok((way, false))
    }

    /// Lets a way go, unless another one was opened meanwhile.
    pub(crate) async fn drop(&self, server: &ServerId, way: &Arc<Way>) {
        let place = lock(&self.0).get(server).cloned();
        if let Some(place) = place {
            let mut place = place.lock().await;
            if place.as_ref().is_some_and(|kept| Arc::ptr_eq(kept, way)) {
                *place = None;
            }
        }
    }

    /// Lets all go: servers changed, or the machine slept.
    pub(crate) fn clear(&self) {
        lock(&self.0).clear();
    }
}
