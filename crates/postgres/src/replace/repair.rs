//! What became of a swap: looked up by the databases' OIDs, put right where it can be, and the kept database dropped at the end.

use std::time::{Duration, Instant};

use howdah_domain::{Failure, FailureCode};
use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;

use super::{Record, allow_connections, rename};
use crate::connect::Session;
use crate::visitors::{listing, visitors};
use crate::{Error, classify, databases, quote};

/// How long a repair waits for a transaction of somebody else that holds the databases.
const UNDECIDED: Duration = Duration::from_secs(20);

/// How long dropping a database may take: it removes its files.
const DROP: Duration = Duration::from_secs(600);

/// Which database has the name in question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The old one.
    Before {
        /// The restored one's name; none where it was dropped.
        restored: Option<String>,
    },
    /// The restored one.
    Swapped,
    /// Neither: nobody has it. No swap of ours leaves this behind, somebody renamed by hand.
    Nobody {
        /// The old one's name now.
        old: Option<String>,
        /// The restored one's name now.
        new: Option<String>,
    },
    /// A third database, of this OID.
    Stranger(u32),
    /// Another server than that of the record answers.
    OtherServer,
}

impl Place {
    /// Why nothing can be done in this state, in words.
    pub(super) fn unexpected(&self, record: &Record) -> Error {
        let name = &record.name;
        let what = match self {
            Self::Before { restored: None } => {
                format!("The restored database for {name} is not there any more.")
            }
            Self::Before { restored: Some(now) } => {
                format!("Database {name} is the old one, and the restored one is called {now}.")
            }
            Self::Swapped => format!("Database {name} is the restored one already."),
            Self::Nobody { .. } => format!("No database is called {name} any more."),
            Self::Stranger(_) => {
                format!("Database {name} is neither the old one nor the restored one any more.")
            }
            Self::OtherServer => "This is not the server that was looked at before.".to_owned(),
        };
        // Another server says nothing of what is on the one that was meant.
        let code = match self {
            Self::OtherServer => FailureCode::InvalidConnection,
            _ => FailureCode::NotFound,
        };
        Failure::new(code, what)
            .hint("Somebody has changed the server's databases meanwhile. Nothing was done; look at them and begin again.")
            .into()
    }
}

/// Looks which database has the name in question. Changes nothing.
///
/// # Errors
/// As [`Session::run`].
pub async fn place(session: &Session, record: &Record, cancel: &CancellationToken) -> Result<Place, Error> {
    if let (Some(then), Some(now)) = (
        &record.system_identifier,
        databases::system_identifier(session).await,
    ) && *then != now
    {
        return Ok(Place::OtherServer);
    }
    let rows = session
        .ask(
            "looking for the databases",
            cancel,
            "SELECT d.oid, d.datname::text FROM pg_catalog.pg_database d
         WHERE d.oid IN ($1, $2) OR d.datname::text = $3",
            &[
                (&record.old.oid, Type::OID),
                (&record.new.oid, Type::OID),
                (&record.name, Type::TEXT),
            ],
        )
        .await?;
    let found: Vec<(u32, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let name_of = |oid: u32| {
        let known = found.iter().find(|(known, _)| *known == oid);
        known.map(|(_, name)| name.clone())
    };
    let holder = found.iter().find(|(_, name)| *name == record.name);
    Ok(match holder {
        Some((oid, _)) if *oid == record.old.oid => Place::Before {
            restored: name_of(record.new.oid),
        },
        Some((oid, _)) if *oid == record.new.oid => Place::Swapped,
        Some((oid, _)) => Place::Stranger(*oid),
        None => Place::Nobody {
            old: name_of(record.old.oid),
            new: name_of(record.new.oid),
        },
    })
}

/// The name of a database now; none where it is gone.
pub(super) async fn name_of(
    session: &Session,
    oid: u32,
    cancel: &CancellationToken,
) -> Result<Option<String>, Error> {
    let rows = session
        .ask(
            "looking for the database",
            cancel,
            "SELECT d.datname::text FROM pg_catalog.pg_database d WHERE d.oid = $1",
            &[(&oid, Type::OID)],
        )
        .await?;
    Ok(rows.first().map(|row| row.get(0)))
}

/// Finds out what became of a swap that was broken off, and puts right what it can: where nobody has the name, the old database gets it
/// (the restored one where the old is gone), and the one that has it can be connected to as before. May be called at any time and as
/// often as one likes; `session` is on a third database. Answers what holds now.
///
/// # Errors
/// [`FailureCode::Busy`] where a transaction on one of the two is still open after 20 seconds (its outcome is not known yet);
/// [`FailureCode::PermissionDenied`]; as [`Session::run`].
pub async fn repair(session: &Session, record: &Record, cancel: &CancellationToken) -> Result<Place, Error> {
    wait_until_decided(session, record, cancel).await?;
    let mut now = place(session, record, cancel).await?;
    if let Place::Nobody { old: Some(name), .. }
    | Place::Nobody {
        old: None,
        new: Some(name),
    } = &now
    {
        let statement = rename(name, &record.name);
        change(session, &statement, "giving the database its name back", cancel).await?;
        now = place(session, record, cancel).await?;
    }
    // The name now stands for one of the two: as reachable as the old one was.
    if matches!(now, Place::Before { .. } | Place::Swapped) && record.old.allow_connections {
        let closed = session
            .ask(
                "looking for the database",
                cancel,
                "SELECT 1 FROM pg_catalog.pg_database d WHERE d.datname::text = $1 AND NOT d.datallowconn",
                &[(&record.name, Type::TEXT)],
            )
            .await?;
        if !closed.is_empty() {
            let statement = allow_connections(&record.name);
            change(
                session,
                &statement,
                "allowing connections to the database",
                cancel,
            )
            .await?;
        }
    }
    Ok(now)
}

/// A swap whose process was killed may have been told to commit: as long as somebody holds one of the databases exclusively, nobody
/// knows.
async fn wait_until_decided(
    session: &Session,
    record: &Record,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    let since = Instant::now();
    loop {
        let held = session
            .ask(
                "looking for open transactions",
                cancel,
                "SELECT 1 FROM pg_catalog.pg_locks l
             WHERE l.locktype = 'object' AND l.classid = 'pg_catalog.pg_database'::pg_catalog.regclass
                 AND l.objid IN ($1, $2) AND l.mode = 'AccessExclusiveLock' AND l.granted",
                &[(&record.old.oid, Type::OID), (&record.new.oid, Type::OID)],
            )
            .await?;
        if held.is_empty() {
            return Ok(());
        }
        if since.elapsed() > UNDECIDED {
            return Err(Failure::new(
                FailureCode::Busy,
                format!(
                    "Somebody is renaming or dropping database {} at this moment.",
                    record.name
                ),
            )
            .hint("Try again in a minute. If it stays so, end the session that holds it (pg_locks names it).")
            .into());
        }
        tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(Error::Cancelled),
            () = tokio::time::sleep(Duration::from_millis(200)) => {}
        }
    }
}

async fn change(
    session: &Session,
    statement: &str,
    what: &str,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    session.tell(what, cancel, statement).await
}

/// Drops the database that a swap has kept. Only that one: it must have the recorded OID *and* the recorded name, and must not be
/// the one that has the name in question. Ends nobody's session.
///
/// # Errors
/// [`FailureCode::NotFound`] where it is not as recorded; [`FailureCode::Busy`] naming who is on it, or the replication slots and
/// subscriptions that hold it; [`FailureCode::PermissionDenied`]; as [`Session::run`].
pub async fn drop_kept(session: &Session, record: &Record, cancel: &CancellationToken) -> Result<(), Error> {
    const WHAT: &str = "dropping the kept database";
    let kept = &record.kept;
    let now = place(session, record, cancel).await?;
    if now != Place::Swapped {
        return Err(now.unexpected(record));
    }
    let name = name_of(session, record.old.oid, cancel).await?;
    if name.as_ref() != Some(kept) || *kept == record.name {
        let found = name.map_or_else(
            || "it is not there any more".to_owned(),
            |name| format!("it is called {name} now"),
        );
        return Err(Failure::new(
            FailureCode::NotFound,
            format!("Database {kept} was not dropped: {found}."),
        )
        .hint("Howdah drops it only under the name that it was given at the swap.")
        .into());
    }
    let there = visitors(session, &[record.old.oid], cancel).await?;
    if !there.is_empty() {
        return Err(Failure::new(
            FailureCode::Busy,
            format!(
                "Database {kept} was not dropped: somebody is connected to it: {}.",
                listing(&there)
            ),
        )
        .hint("Nobody should need it any more; stop what is connected, and drop it again.")
        .into());
    }
    let statement = format!("DROP DATABASE {}", quote::ident(kept));
    let dropped = tokio::select! {
        biased;
        () = cancel.cancelled() => return Err(Error::Cancelled),
        dropped = tokio::time::timeout(DROP, session.client.batch_execute(&statement)) => dropped,
    };
    let Ok(dropped) = dropped else {
        return Err(crate::words::statement(FailureCode::Timeout, WHAT).into());
    };
    let Err(error) = dropped else { return Ok(()) };
    if error.as_db_error().map(|db| db.code().code()) != Some("55006") {
        return Err(Error::query(WHAT, error));
    }
    let holds = held_by(session, record.old.oid, cancel).await?;
    let because = if holds.is_empty() {
        "somebody uses it".to_owned()
    } else {
        holds.join("; ")
    };
    Err(Failure::new(
        FailureCode::Busy,
        format!("Database {kept} was not dropped: {because}."),
    )
    .hint("Drop the slots (pg_drop_replication_slot) and subscriptions that nobody needs any more, then drop it again.")
    .details(classify::server_text(&error))
    .into())
}

/// What keeps a database from being dropped besides sessions, as phrases.
async fn held_by(session: &Session, oid: u32, cancel: &CancellationToken) -> Result<Vec<String>, Error> {
    let rows = session.ask("asking what holds the database", cancel, "SELECT 'the replication slot ' || s.slot_name::text FROM pg_catalog.pg_replication_slots s WHERE s.datoid = $1
                 UNION ALL
                 SELECT 'the subscription ' || s.subname::text FROM pg_catalog.pg_subscription s WHERE s.subdbid = $1",
                &[(&oid, Type::OID)]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
