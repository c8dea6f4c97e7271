//! From times of a clock on a wall to instants: the one place that knows what happens when clocks are put forward or
//! back. Does not know what a schedule is: it is handed a function that yields the wall-clock times.

use jiff::{
    SignedDuration, Timestamp,
    civil::DateTime,
    tz::{AmbiguousOffset, Offset, TimeZone},
};

/// What a schedule keeps pace with (the rules are at the head of the parent module).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// The clock on the wall: a skipped time is made up for, a repeated one happens once.
    WallClock,
    /// Elapsed time: shifts by whole hours do not matter.
    Elapsed,
}

/// The first instant strictly after `after` at which a wall-clock time of `next_wall` is due in `zone`. `next_wall` gives the
/// first of its times strictly after its argument.
pub(super) fn next_after(
    after: Timestamp,
    zone: &TimeZone,
    pace: Pace,
    next_wall: impl Fn(DateTime) -> Option<DateTime>,
) -> Option<Timestamp> {
    match pace {
        Pace::WallClock => by_wall_clock(after, zone, next_wall),
        Pace::Elapsed => by_elapsed_time(after, zone, next_wall),
    }
}

/// Walks the wall-clock times from `after`'s own on. A time not later than `after`'s wall clock was due before (the clock
/// has passed or jumped it), so nothing is missed; times that map to `after` or before it (the second
/// pass through a repeated hour) are stepped over, so the result always increases.
fn by_wall_clock(
    after: Timestamp,
    zone: &TimeZone,
    next_wall: impl Fn(DateTime) -> Option<DateTime>,
) -> Option<Timestamp> {
    let mut wall = zone.to_datetime(after);
    loop {
        wall = next_wall(wall)?;
        let due = first_valid(wall, zone)?;
        if due > after {
            return Some(due);
        }
    }
}

/// Walks stretches of constant offset, one after the other, and each by its own clock.
fn by_elapsed_time(
    after: Timestamp,
    zone: &TimeZone,
    next_wall: impl Fn(DateTime) -> Option<DateTime>,
) -> Option<Timestamp> {
    let mut offset = zone.to_offset(after);
    let mut stretch = after; // lies in the stretch
    let mut from = after; // exclusive
    loop {
        let change = zone.following(stretch).next();
        let mut wall = offset.to_datetime(from);
        loop {
            wall = next_wall(wall)?;
            let due = offset.to_timestamp(wall).ok()?;
            if change.as_ref().is_some_and(|change| due >= change.timestamp()) {
                break;
            }
            if !repeats_part_of_an_hour(wall, offset, zone) {
                return Some(due);
            }
        }
        let change = change?;
        let (at, new_offset) = (change.timestamp(), change.offset());
        // `wall` is the first time not before the change. Where the clock jumps over it by a part of an hour, it is due now.
        if !whole_hours(offset, new_offset) && wall < new_offset.to_datetime(at) {
            return Some(at);
        }
        offset = new_offset;
        stretch = at;
        from = at.checked_sub(SignedDuration::from_secs(1)).ok()?; // the moment of the change may itself be due
    }
}

/// The instant of a wall-clock time: the first of two, and the end of the gap for one that does not exist.
fn first_valid(wall: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    match zone.to_ambiguous_timestamp(wall).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(wall).ok(),
        AmbiguousOffset::Fold { before, .. } => before.to_timestamp(wall).ok(),
        AmbiguousOffset::Gap { before, .. } => {
            // Under the old offset the time lies at the change or after it by less than the gap.
            let beyond = before
                .to_timestamp(wall)
                .ok()?
                .checked_add(SignedDuration::from_secs(1))
                .ok()?;
            zone.preceding(beyond).next().map(|change| change.timestamp())
        }
    }
}

/// Whether a time under `offset` is the second of two that lie a part of an hour apart.
fn repeats_part_of_an_hour(wall: DateTime, offset: Offset, zone: &TimeZone) -> bool {
    match zone.to_ambiguous_timestamp(wall).offset() {
        AmbiguousOffset::Fold { before, after } => offset == after && !whole_hours(before, after),
        _ => false,
    }
}

/// Whether two offsets differ by whole hours.
fn whole_hours(a: Offset, b: Offset) -> bool {
    (a.seconds() - b.seconds()) % 3600 == 0
}
