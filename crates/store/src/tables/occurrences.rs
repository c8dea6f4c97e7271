//! Occurrences: one row per due time of a plan. Whoever inserts the row runs it; nothing runs twice.

use howdah_domain::{OccurrenceId, PlanId};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, named_params};

use super::found;
use crate::{
    OwnerId, Result,
    column::{Id, Time},
};

/// Claims a due time for an owner. Returns whether it is the owner's now: `false` where it was claimed before, by anybody,
/// also after the clock was set back.
///
/// Record the runs and call [`settle`] in the same transaction where that is possible; where a server is to be asked first,
/// settle afterwards: the claim of a process that dies in between is released by [`Store::repair`](crate::Store::repair).
pub fn claim(
    connection: &Connection,
    id: &OccurrenceId,
    plan_id: &PlanId,
    due_at: Timestamp,
    owner: &OwnerId,
    now: Timestamp,
) -> Result<bool> {
    let inserted = connection
        .prepare_cached(
            "INSERT INTO occurrences (id, plan_id, due_at, claimed_at, owner)
             VALUES (:id, :plan_id, :due_at, :claimed_at, :owner)
             ON CONFLICT (plan_id, due_at) DO NOTHING",
        )?
        .execute(named_params! {
            ":id": Id(id),
            ":plan_id": Id(plan_id),
            ":due_at": Time(due_at),
            ":claimed_at": Time(now),
            ":owner": Id(owner),
        })?;
    Ok(inserted == 1)
}

/// Takes note that the runs of an occurrence are recorded, or that it was decided to have none.
///
/// # Errors
/// [`Error::NotFound`](crate::Error::NotFound).
pub fn settle(connection: &Connection, id: &OccurrenceId, now: Timestamp) -> Result<()> {
    let changed = connection
        .prepare_cached("UPDATE occurrences SET settled_at = ?2 WHERE id = ?1")?
        .execute((Id(id), Time(now)))?;
    found(changed, "occurrence")
}

/// The latest due time of a plan that was claimed.
pub fn latest(connection: &Connection, plan_id: &PlanId) -> Result<Option<Timestamp>> {
    Ok(connection
        .prepare_cached("SELECT due_at FROM occurrences WHERE plan_id = ?1 ORDER BY due_at DESC LIMIT 1")?
        .query_row([Id(plan_id)], |row| row.get::<_, Time>(0))
        .optional()?
        .map(|time| time.0))
}

/// The latest due time of a plan that was claimed and is not after `until`: a clock that was wrong for a while may have
/// claimed some in the future.
pub fn latest_until(
    connection: &Connection,
    plan_id: &PlanId,
    until: Timestamp,
) -> Result<Option<Timestamp>> {
    Ok(connection
        .prepare_cached(
            "SELECT due_at FROM occurrences WHERE plan_id = ?1 AND due_at <= ?2 ORDER BY due_at DESC LIMIT 1",
        )?
        .query_row((Id(plan_id), Time(until)), |row| row.get::<_, Time>(0))
        .optional()?
        .map(|time| time.0))
}

/// Whether a due time of a plan was claimed.
pub fn is_claimed(connection: &Connection, plan_id: &PlanId, due_at: Timestamp) -> Result<bool> {
    Ok(connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM occurrences WHERE plan_id = ?1 AND due_at = ?2)")?
        .query_row((Id(plan_id), Time(due_at)), |row| row.get(0))?)
}

/// Removes settled occurrences that were due before `before`, and returns how many. The latest of each plan stays.
pub fn prune(connection: &Connection, before: Timestamp) -> Result<usize> {
    Ok(connection
        .prepare_cached(
            "DELETE FROM occurrences AS o WHERE o.settled_at IS NOT NULL AND o.due_at < ?1
               AND EXISTS (SELECT 1 FROM occurrences later WHERE later.plan_id = o.plan_id AND later.due_at > o.due_at)",
        )?
        .execute([Time(before)])?)
}

/// Removes claims that came to nothing and whose owner is dead.
pub(crate) fn release_unsettled(connection: &Connection, dead: impl Fn(&OwnerId) -> bool) -> Result<usize> {
    let claims: Vec<(OccurrenceId, OwnerId)> = connection
        .prepare_cached("SELECT id, owner FROM occurrences WHERE settled_at IS NULL")?
        .query_map([], |row| {
            Ok((row.get::<_, Id<_>>(0)?.0, row.get::<_, Id<_>>(1)?.0))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let mut delete = connection.prepare_cached("DELETE FROM occurrences WHERE id = ?1")?;
    let mut released = 0;
    for (id, owner) in &claims {
        if dead(owner) {
            released += delete.execute([Id(id)])?;
        }
    }
    Ok(released)
}
