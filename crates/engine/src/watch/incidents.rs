//! Incidents: databases that are down for one reason are one, told once. What flaps is not told each time.

use std::collections::BTreeSet;
use std::time::Duration;

use howdah_domain::units::{counted, duration};
use howdah_domain::{AlertKind, DatabaseId, Failure, IncidentId};
use howdah_notify::Message;
use howdah_store::tables::incidents::{self, Incident, Left};
use howdah_store::tables::{alerts, watches};
use howdah_store::{Connection, Result as StoreResult};
use jiff::{SignedDuration, Timestamp};

use crate::random;
use crate::telling::News;

/// One that begins so soon after the last one of the same reason goes on with that.
const SAME: SignedDuration = SignedDuration::from_mins(10);

/// And is told only once it has lasted for so long.
const SETTLED: SignedDuration = SignedDuration::from_mins(2);

/// Names in a title.
const NAMED: usize = 3;

/// A database that is down, or about to be found so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fallen {
    pub(super) id: DatabaseId,
    pub(super) since: Timestamp,
}

/// Databases are down for one reason. Answers whether something is to be told.
pub(super) fn open(
    c: &Connection,
    place: Option<&str>,
    fallen: &[Fallen],
    cause: &Failure,
    now: Timestamp,
) -> StoreResult<bool> {
    let Some(first) = fallen.first() else {
        return Ok(false);
    };
    let key = match place {
        Some(place) => format!("place:{place}"),
        None => format!("database:{}", first.id),
    };
    if let Some(open) = incidents::open_by_key(c, &key)? {
        for database in fallen {
            incidents::join(c, &open.id, &database.id, database.since)?;
        }
        return tell_unmuted(c, &open.id, now);
    }
    let since = now.checked_sub(SAME).unwrap_or(Timestamp::MIN);
    if let Some(again) = incidents::ended_since(c, &key, since)? {
        incidents::reopen(c, &again.id)?;
        for database in fallen {
            incidents::join(c, &again.id, &database.id, database.since)?;
        }
        return Ok(false);
    }
    let began = fallen.iter().map(|database| database.since).min().unwrap_or(now);
    let id = IncidentId::from_random(random::bytes());
    let incident = incidents::open(c, &id, &key, began, cause)?;
    for database in fallen {
        incidents::join(c, &incident.id, &database.id, database.since)?;
    }
    tell(c, &incident.id, now)
}

/// A database is still down: an incident that went on with an earlier one is told once it has lasted, and one that could not be opened is.
pub(super) fn lasts(
    c: &Connection,
    place: Option<&str>,
    fallen: &Fallen,
    cause: &Failure,
    now: Timestamp,
) -> StoreResult<bool> {
    let Some(incident) = incidents::open_of_database(c, &fallen.id)? else {
        return open(c, place, std::slice::from_ref(fallen), cause, now);
    };
    if now.duration_since(fallen.since) < SETTLED {
        return tell_unmuted(c, &incident.id, now);
    }
    Ok(tell_unmuted(c, &incident.id, now)? || tell(c, &incident.id, now)?)
}

/// A database answers again. Answers whether something is to be told.
pub(super) fn leave(c: &Connection, database: &DatabaseId, now: Timestamp) -> StoreResult<bool> {
    let Some(incident) = incidents::open_of_database(c, database)? else {
        return Ok(false);
    };
    match incidents::leave(c, &incident.id, database, now)? {
        Left::Ended => end(c, &incident, now),
        Left::GoesOn | Left::WasNotIn => Ok(false),
    }
}

/// Ends what lasts of databases that are not checked any more: removed, vanished, switched off. Nobody is told: nobody knows how they are.
pub(super) fn end_unchecked(
    c: &Connection,
    checked: &BTreeSet<&DatabaseId>,
    now: Timestamp,
) -> StoreResult<()> {
    for incident in incidents::list_open(c)? {
        for member in incident
            .databases
            .iter()
            .filter(|member| member.left_at.is_none())
        {
            if !checked.contains(&member.database_id) {
                incidents::leave(c, &incident.id, &member.database_id, now)?;
            }
        }
    }
    incidents::end_deserted(c, now)?;
    for alert in alerts::all_lasting(c)? {
        let subject = alert.subject.as_deref().unwrap_or_default();
        let lasts = match alert.kind {
            AlertKind::DatabaseDown => incidents::get(c, &IncidentId::from_text(subject))?
                .is_some_and(|incident| incident.ended_at.is_none()),
            AlertKind::DatabaseSlow => checked.contains(&DatabaseId::from_text(subject)),
            _ => true,
        };
        if !lasts {
            alerts::end(c, &alert.id, now)?;
        }
    }
    Ok(())
}

/// Tells of an incident of which nobody was told since all of its databases were muted, once one is not.
fn tell_unmuted(c: &Connection, id: &IncidentId, now: Timestamp) -> StoreResult<bool> {
    let muted = alerts::lasting(c, AlertKind::DatabaseDown, id.as_str())?.filter(|alert| alert.muted);
    let (Some(alert), Some(incident)) = (muted, incidents::get(c, id)?) else {
        return Ok(false);
    };
    if watches::all_muted(c, &members(&incident), now)? {
        return Ok(false);
    }
    alerts::end(c, &alert.id, now)?;
    tell(c, id, now)
}

fn tell(c: &Connection, id: &IncidentId, now: Timestamp) -> StoreResult<bool> {
    let Some(incident) = incidents::get(c, id)? else {
        return Ok(false);
    };
    let databases = members(&incident);
    let mut message = Message::failed(AlertKind::DatabaseDown, now, title(&incident), &incident.cause);
    if databases.len() > 1 {
        let names = names(&incident);
        message.body = format!(
            "{} are behind it: {}.\n{}",
            counted(names.len() as u64, "database", "databases"),
            names.join(", "),
            message.body
        );
    }
    let muted = watches::all_muted(c, &databases, now)?;
    let news = News {
        databases: databases.clone(),
        muted,
        ..News::new(message.route(page(&databases))).lasting(id.as_str())
    };
    news.raise(c)
}

fn end(c: &Connection, incident: &Incident, now: Timestamp) -> StoreResult<bool> {
    let Some(alert) = alerts::lasting(c, AlertKind::DatabaseDown, incident.id.as_str())? else {
        return Ok(false);
    };
    alerts::end(c, &alert.id, now)?;
    let databases = members(incident);
    let lasted = duration(Duration::from_secs(
        now.duration_since(incident.began_at).unsigned_abs().as_secs(),
    ));
    let title = match databases.len() {
        1 => format!("{} answers again", name(incident)),
        _ => format!("{} answers again", spot(incident)),
    };
    let body = format!("It was down for {lasted}. {}", incident.cause.message);
    let muted = alert.muted || watches::all_muted(c, &databases, now)?;
    let news = News {
        muted,
        ends: Some(alert.id),
        databases: databases.clone(),
        ..News::new(Message::new(AlertKind::DatabaseRecovered, now, title, body).route(page(&databases)))
    };
    news.raise(c)
}

fn title(incident: &Incident) -> String {
    if incident.databases.len() < 2 {
        return format!("{} does not answer", name(incident));
    }
    let mut names = names(incident);
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    let names = match more {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    };
    format!("{} does not answer: {names}", spot(incident))
}

fn name(incident: &Incident) -> &str {
    incident
        .databases
        .first()
        .map_or("A database", |member| member.name.as_str())
}

/// The databases concerned, by name.
pub(super) fn names(incident: &Incident) -> Vec<&str> {
    let mut names: Vec<&str> = incident
        .databases
        .iter()
        .map(|member| member.name.as_str())
        .collect();
    names.sort_unstable();
    names
}

/// What does not answer, of one that is about several databases.
pub(super) fn spot(incident: &Incident) -> &str {
    incident.key.strip_prefix("place:").unwrap_or(&incident.key)
}

fn members(incident: &Incident) -> Vec<DatabaseId> {
    incident
        .databases
        .iter()
        .map(|member| member.database_id.clone())
        .collect()
}

fn page(databases: &[DatabaseId]) -> String {
    match databases {
        [one] => format!("/databases/{one}/availability"),
        _ => "/databases".to_owned(),
    }
}
