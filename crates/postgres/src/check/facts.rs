//! What a look into a server finds once in a while: how many connections and transactions it has left, until when its certificate is
//! valid, which version it is. Everything is to be had by an ordinary role; what a server does not tell is none, and nothing fails for it.
//!
//! Beyond a pooler all this is about the server behind it, but for the certificate, which is the pooler's.

use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use howdah_domain::{Connection, FailureCode, Secret};
use jiff::Timestamp;
use tokio_postgres::{Client, SimpleQueryMessage};
use tokio_util::sync::CancellationToken;

use super::{APPLICATION_NAME, ROOM, Step, Steps, driven, part, within};
use crate::connect::{self, Driver, Stage};
use crate::version::ServerVersion;
use crate::{Error, certificate, words};

/// What was found in a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Its version.
    pub server_version: ServerVersion,
    /// Whether it is a standby (`pg_is_in_recovery`).
    pub is_standby: Option<bool>,
    /// Its connections.
    pub slots: Option<Slots>,
    /// Transactions until it takes no more: 2^31 - 3,000,000 - the age of the oldest `datfrozenxid` (PostgreSQL manual, "Preventing
    /// Transaction ID Wraparound Failures"; 13 stops two million later). Nought where it has stopped.
    pub transactions_left: Option<u64>,
    /// The same of multixacts, by `datminmxid`.
    pub multixacts_left: Option<u64>,
    /// The last moment at which its certificate is valid, where there is TLS.
    pub certificate_expires: Option<Timestamp>,
}

/// Connections of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slots {
    /// Those that are taken, the one that asked left aside. Of sessions of other roles, a role without `pg_read_all_stats` sees no kind:
    /// what has a role and a database is counted then, which a worker of a parallel query has too.
    pub taken: u32,
    /// How many there can be for ordinary roles: `max_connections` without `superuser_reserved_connections` and (from 16)
    /// `reserved_connections`. A limit of the role's or the database's own may be lower.
    pub of: u32,
}

/// Where transaction ids come round, without those that are kept for an emergency.
const LAST: i64 = (1 << 31) - 3_000_000;

const STANDBY: &str = "SELECT pg_catalog.pg_is_in_recovery()";

const SLOTS: &str = "SELECT
    (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity
     WHERE pid <> pg_catalog.pg_backend_pid()
       AND CASE WHEN backend_type IS NULL THEN datid IS NOT NULL AND usesysid IS NOT NULL
                ELSE backend_type = 'client backend' END),
    pg_catalog.current_setting('max_connections')::int4
    - pg_catalog.current_setting('superuser_reserved_connections')::int4
    - coalesce(pg_catalog.current_setting('reserved_connections', true), '0')::int4";

const AGES: &str =
    "SELECT pg_catalog.max(pg_catalog.age(datfrozenxid)), pg_catalog.max(pg_catalog.mxid_age(datminmxid))
    FROM pg_catalog.pg_database";

/// Connects, looks, and goes, all within `limit`. It is for once in an hour or so: [`super::check`] is for every few seconds.
///
/// # Errors
/// [`Error::Failed`] with a code for reaching a server, or [`FailureCode::Timeout`]; [`Error::Cancelled`]. What the server refuses to tell
/// is none.
pub async fn facts(
    connection: &Connection,
    password: Option<&Secret>,
    limit: Duration,
    cancel: &CancellationToken,
) -> Result<Facts, Error> {
    let steps = Steps::new();
    let looked = Box::pin(looked(connection, password, &steps));
    within(connection, limit, cancel, &steps, looked).await
}

async fn looked(connection: &Connection, password: Option<&Secret>, steps: &Steps) -> Result<Facts, Error> {
    let mut on_stage = |stage| {
        if let Stage::Reached(_) = stage {
            steps.at(Step::LoggingIn);
        }
    };
    let (wire, _) = connect::reach(connection, Instant::now(), &mut on_stage).await?;
    let certificate_expires = wire.certificate().and_then(certificate::expires);
    let (client, driver) =
        connect::log_in(connection, password, APPLICATION_NAME, wire.limited(ROOM)).await?;
    steps.at(Step::Asking);
    let server_version = driver
        .parameter("server_version")
        .and_then(ServerVersion::parse)
        .ok_or_else(|| words::connecting(FailureCode::NotPostgres, connection))?;
    let mut driver = Some(driver);
    // One by one: where one is refused, the others may not be.
    let standby = row(&client, &mut driver, STANDBY).await?;
    let slots = row(&client, &mut driver, SLOTS).await?;
    let ages = row(&client, &mut driver, AGES).await?;
    part(client, driver).await;
    Ok(Facts {
        server_version,
        is_standby: text(&standby, 0).and_then(|text| match text {
            "t" => Some(true),
            "f" => Some(false),
            _ => None,
        }),
        slots: slots_of(&slots),
        transactions_left: left(&ages, 0),
        multixacts_left: left(&ages, 1),
        certificate_expires,
    })
}

type Row = Vec<Option<String>>;

fn text(row: &[Option<String>], at: usize) -> Option<&str> {
    row.get(at)?.as_deref()
}

fn slots_of(row: &[Option<String>]) -> Option<Slots> {
    let number = |at| text(row, at)?.parse().ok();
    Some(Slots {
        taken: number(0)?,
        of: number(1)?,
    })
}

fn left(row: &[Option<String>], at: usize) -> Option<u64> {
    let age: i64 = text(row, at)?.parse().ok()?;
    Some(u64::try_from(LAST.saturating_sub(age)).unwrap_or(0))
}

/// The first row of an answer; empty where the server refuses.
async fn row(client: &Client, driver: &mut Option<Driver>, sql: &str) -> Result<Row, Error> {
    let asked = async {
        let messages: Vec<SimpleQueryMessage> = client.simple_query_raw(sql).await?.try_collect().await?;
        let row = messages.into_iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        Ok::<_, tokio_postgres::Error>(row.map_or_else(Vec::new, |row| {
            (0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect()
        }))
    };
    match driven(driver, asked).await {
        Ok(row) => Ok(row),
        Err(error) if error.as_db_error().is_some() && driver.is_some() => {
            tracing::debug!(error = %crate::classify::server_text(&error), "a server does not tell all");
            Ok(Vec::new())
        }
        Err(error) => Err(Error::query("looking into the server", error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[Option<&str>]) -> Row {
        values.iter().map(|value| value.map(str::to_owned)).collect()
    }

    #[test]
    fn what_is_left_ends_three_million_before_the_wraparound_and_is_never_negative() {
        let ages = row(&[Some("144483648"), Some("2147483647")]);
        assert_eq!(left(&ages, 0), Some(2_000_000_000));
        assert_eq!(left(&ages, 1), Some(0));
        assert_eq!(left(&row(&[None]), 0), None);
        assert_eq!(left(&[], 0), None);
        assert_eq!(left(&row(&[Some("many")]), 0), None);
    }

    #[test]
    fn slots_that_are_not_told_are_none() {
        assert_eq!(
            slots_of(&row(&[Some("3"), Some("57")])),
            Some(Slots { taken: 3, of: 57 })
        );
        assert_eq!(slots_of(&row(&[Some("3"), None])), None);
        assert_eq!(slots_of(&row(&[Some("-1"), Some("57")])), None);
        assert_eq!(slots_of(&[]), None);
    }
}
