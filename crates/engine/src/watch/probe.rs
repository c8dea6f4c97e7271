//! One check: asks a database, and where it does not answer, whether that can be its own fault.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use howdah_domain::check::{Blind, CheckRule};
use howdah_domain::{Connection, Failure, FailureCode, ServerId};
use howdah_postgres::check::{Answered, Question, check};
use howdah_postgres::network::Outlook;
use tokio_util::sync::CancellationToken;

use super::ways::{Way, Ways};
use crate::engine::{Engine, OrFailure};

/// What a check found.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Finding {
    /// It answered as it should.
    Good(Answered),
    /// It did not. What it stands for where it is not the database alone: its host, or the tunnel to it.
    Bad { failure: Failure, place: Option<String> },
    /// Nobody can tell.
    Unknown(Blind),
}

/// When a server elsewhere last answered, in milliseconds since 1970: that shows that this machine is online.
#[derive(Debug, Default)]
pub(crate) struct Heard(AtomicI64);

impl Heard {
    pub(crate) fn now(&self, millis: i64) {
        self.0.fetch_max(millis, Ordering::Relaxed);
    }

    fn since(&self, millis: i64) -> bool {
        self.0.load(Ordering::Relaxed) >= millis
    }
}

/// Asks a database by its rule.
pub(crate) async fn probe(
    engine: &Engine,
    ways: &Ways,
    server: &ServerId,
    database: &str,
    rule: &CheckRule,
    cancel: &CancellationToken,
) -> Finding {
    let began = engine.0.clock.now().as_millisecond();
    let limit = Duration::from_secs(u64::from(rule.timeout_seconds.max(1)));
    let failure = match ask(engine, ways, server, database, rule, limit, cancel).await {
        Ok((answered, connection)) => {
            if !connection.is_local() {
                engine.0.watch.heard.now(engine.0.clock.now().as_millisecond());
            }
            return Finding::Good(answered);
        }
        Err(failure) => failure,
    };
    match failure.code {
        FailureCode::KeyringLocked | FailureCode::KeyringAbsent => {
            return Finding::Unknown(Blind::KeyringLocked);
        }
        FailureCode::Cancelled => return Finding::Unknown(Blind::NotRunning),
        _ => {}
    }
    let Ok(row) = engine.server(server).await else {
        return Finding::Unknown(Blind::NotRunning);
    };
    let connection = &row.server.connection;
    let (host, port) = Way::host_and_port(connection);
    if !engine.0.watch.heard.since(began)
        && let Outlook::Offline { why } = engine.0.network.look(&host, port, &failure, cancel).await
    {
        tracing::debug!(%why, "a failed check says nothing: this machine is offline");
        return Finding::Unknown(Blind::Offline);
    }
    Finding::Bad {
        place: place(connection, &failure),
        failure,
    }
}

async fn ask(
    engine: &Engine,
    ways: &Ways,
    server: &ServerId,
    database: &str,
    rule: &CheckRule,
    limit: Duration,
    cancel: &CancellationToken,
) -> Result<(Answered, Connection), Failure> {
    let deadline = tokio::time::Instant::now() + limit;
    let question = Question {
        sql: rule.sql.clone(),
        expected: rule.expected.clone(),
    };
    loop {
        let opened = tokio::time::timeout_at(deadline, ways.to(engine, server, cancel)).await;
        let (way, reused) = opened.map_err(|_| too_late(limit))??;
        let connection = way.to(database);
        let left = deadline.saturating_duration_since(tokio::time::Instant::now());
        let asked = check(&connection, way.password.as_ref(), &question, left, cancel).await;
        let failure = match asked.or_failure() {
            Ok(answered) => return Ok((answered, connection)),
            Err(failure) => way.reach.judge(failure).await,
        };
        // A tunnel that slept away says nothing of the database, and a password may have been changed on both sides.
        let stale = connection.tunnel.is_some() || failure.code == FailureCode::AuthenticationFailed;
        if stale || is_of_the_way(failure.code) {
            ways.drop(server, &way).await;
        }
        let time_is_left = deadline > tokio::time::Instant::now();
        if !(reused && stale && time_is_left && !failure.is_cancelled()) {
            return Err(failure);
        }
    }
}

fn too_late(limit: Duration) -> Failure {
    Failure::new(
        FailureCode::Timeout,
        format!(
            "The way to the server was not open within {} seconds.",
            limit.as_secs()
        ),
    )
    .hint("Check that the SSH server answers, or allow more time.")
}

fn is_of_the_way(code: FailureCode) -> bool {
    matches!(
        code,
        FailureCode::TunnelFailed
            | FailureCode::TunnelLost
            | FailureCode::HostKeyChanged
            | FailureCode::HostKeyUnknown
    )
}

/// What does not answer, where it is more than the one database: databases with the same are down for one reason.
fn place(connection: &Connection, failure: &Failure) -> Option<String> {
    let of_host = matches!(
        failure.code,
        FailureCode::HostNotFound
            | FailureCode::ConnectionRefused
            | FailureCode::Unreachable
            | FailureCode::Timeout
            | FailureCode::ConnectionLost
            | FailureCode::NotPostgres
            | FailureCode::TlsUnavailable
            | FailureCode::TlsUntrusted
            | FailureCode::ServerStarting
            | FailureCode::TooManyConnections
    );
    match &connection.tunnel {
        Some(tunnel) if is_of_the_way(failure.code) => Some(format!("the tunnel through {}", tunnel.host)),
        _ if of_host && connection.is_socket() => {
            Some(format!("{} (port {})", connection.host, connection.port))
        }
        _ if of_host => Some(format!("{}:{}", connection.host, connection.port)),
        _ => None,
    }
}
