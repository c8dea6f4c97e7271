//! Stretches of time in one state, as they are kept for some days: cut down to what was not accounted for, and joined with what they go on
//! from. Knows no checks, and nothing of what stretches add up to.

use howdah_domain::{
    availability::{State, Stretch},
    check::Blind,
};
use jiff::Timestamp;
use rusqlite::{Connection, Row};

use super::{checks::DAY_MS, watches::WatchNumber};
use crate::{Error, Result};

/// Of a longer stretch only its end is written: a clock that was set for the first time is no reason to fill decades.
const LONGEST_MS: i64 = 366 * DAY_MS;

/// Stretches that go on from the one before of the same watch, as one; without those that are none.
pub(super) fn joined(stretches: &[(WatchNumber, Stretch)]) -> Vec<(WatchNumber, Stretch)> {
    let mut joined: Vec<(WatchNumber, Stretch)> = Vec::with_capacity(stretches.len());
    for (watch, stretch) in stretches {
        let to = stretch.to.min(Timestamp::MAX.as_millisecond());
        let from = stretch.from.max(to.saturating_sub(LONGEST_MS));
        let from = from.max(Timestamp::MIN.as_millisecond());
        if from >= to || stretch.state == State::NoData(Blind::NotRunning) {
            continue;
        }
        match joined.last_mut() {
            Some((before, last)) if before == watch && last.state == stretch.state && last.to == from => {
                last.to = to;
            }
            _ => joined.push((
                *watch,
                Stretch {
                    state: stretch.state,
                    from,
                    to,
                },
            )),
        }
    }
    joined
}

/// Writes those parts of a stretch that are not accounted for, and calls `f` with each of them.
pub(super) fn add(
    connection: &Connection,
    watch: WatchNumber,
    stretch: Stretch,
    mut f: impl FnMut(Stretch),
) -> Result<()> {
    let around = near(connection, watch, stretch.from, stretch.to)?;
    let free = free(stretch, &around);
    if let [part] = free[..] {
        f(part);
        return write(connection, watch, part, &around);
    }
    // What is written for one part may be joined with what is around the next.
    for part in free {
        f(part);
        let around = near(connection, watch, part.from, part.to)?;
        write(connection, watch, part, &around)?;
    }
    Ok(())
}

/// The parts of a stretch that none of the others covers, which are in order and do not overlap.
fn free(stretch: Stretch, others: &[Stretch]) -> Vec<Stretch> {
    let mut free = Vec::new();
    let mut from = stretch.from;
    for other in others {
        if from < other.from {
            free.push(Stretch {
                from,
                to: other.from.min(stretch.to),
                ..stretch
            });
        }
        from = from.max(other.to);
    }
    if from < stretch.to {
        free.push(Stretch { from, ..stretch });
    }
    free
}

/// Writes a stretch into a hole, as one with what it touches in the same state.
fn write(connection: &Connection, watch: WatchNumber, stretch: Stretch, around: &[Stretch]) -> Result<()> {
    let mut same = around.iter().filter(|other| other.state == stretch.state);
    let before = same.clone().find(|other| other.to == stretch.from);
    let after = same.find(|other| other.from == stretch.to);
    if let Some(after) = after {
        connection
            .prepare_cached("DELETE FROM stretches WHERE watch = ?1 AND began = ?2")?
            .execute((watch, after.from))?;
    }
    let to = after.map_or(stretch.to, |after| after.to);
    match before {
        Some(before) => connection
            .prepare_cached("UPDATE stretches SET ended = ?3 WHERE watch = ?1 AND began = ?2")?
            .execute((watch, before.from, to))?,
        None => connection
            .prepare_cached("INSERT INTO stretches (watch, began, ended, state) VALUES (?1, ?2, ?3, ?4)")?
            .execute((watch, stretch.from, to, number(stretch.state)))?,
    };
    Ok(())
}

/// The stretches of a watch that overlap or touch `from` to `to`, in order.
pub(super) fn near(connection: &Connection, watch: WatchNumber, from: i64, to: i64) -> Result<Vec<Stretch>> {
    let mut statement = connection.prepare_cached(
        "SELECT began, ended, state FROM stretches WHERE watch = ?1 AND began <= ?2 ORDER BY began DESC",
    )?;
    let mut rows = statement.query((watch, to))?;
    let mut near = Vec::new();
    // They do not overlap: the first that ended before is followed by none that did not.
    while let Some(row) = rows.next()? {
        let stretch = from_row(row)?;
        if stretch.to < from {
            break;
        }
        near.push(stretch);
    }
    near.reverse();
    Ok(near)
}

/// A stretch from its columns `began`, `ended`, `state`.
pub(super) fn from_row(row: &Row<'_>) -> Result<Stretch> {
    Ok(Stretch {
        from: row.get(0)?,
        to: row.get(1)?,
        state: state(row.get(2)?)?,
    })
}

/// The number of the first state in which nothing is known.
pub(super) const FIRST_BLIND: i64 = 6;

/// A state as it stands in its column.
pub(super) fn number(state: State) -> i64 {
    match state {
        State::Up => 1,
        State::Slow => 2,
        State::Failing => 3,
        State::Down => 4,
        State::Maintenance => 5,
        State::NoData(Blind::Asleep) => 6,
        State::NoData(Blind::Offline) => 7,
        State::NoData(Blind::Paused) => 8,
        State::NoData(Blind::KeyringLocked) => 9,
        State::NoData(Blind::NotRunning) => 10,
    }
}

pub(super) fn state(number: i64) -> Result<State> {
    Ok(match number {
        1 => State::Up,
        2 => State::Slow,
        3 => State::Failing,
        4 => State::Down,
        5 => State::Maintenance,
        6 => State::NoData(Blind::Asleep),
        7 => State::NoData(Blind::Offline),
        8 => State::NoData(Blind::Paused),
        9 => State::NoData(Blind::KeyringLocked),
        10 => State::NoData(Blind::NotRunning),
        other => return Err(Error::Unreadable(format!("{other} is no state of a database"))),
    })
}
