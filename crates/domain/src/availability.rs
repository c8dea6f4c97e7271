//! How long a database was up, down or out of sight: time in each state, added up.
//!
//! A check speaks for the time until the next one. What nobody could tell is no data, never *up* or *down*, and is left out of the uptime.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::check::{Blind, Health};

/// Milliseconds in each state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct TimeIn {
    /// It answered in time.
    #[ts(type = "number")]
    pub up: u64,
    /// It answered slowly.
    #[ts(type = "number")]
    pub slow: u64,
    /// It failed, and answered again before it was down.
    #[ts(type = "number")]
    pub failing: u64,
    /// It was down.
    #[ts(type = "number")]
    pub down: u64,
    /// Within a maintenance window, whatever it answered.
    #[ts(type = "number")]
    pub maintenance: u64,
    /// This machine slept.
    #[ts(type = "number")]
    pub asleep: u64,
    /// This machine had no way there.
    #[ts(type = "number")]
    pub offline: u64,
    /// Checks were paused.
    #[ts(type = "number")]
    pub paused: u64,
    /// The keyring was locked.
    #[ts(type = "number")]
    pub locked: u64,
}

impl TimeIn {
    /// So many milliseconds in one state. Of time in which Howdah does not run nothing is ever written: it is what is missing.
    pub fn of(state: State, millis: u64) -> Self {
        let mut time = Self::default();
        match state {
            State::Up => time.up = millis,
            State::Slow => time.slow = millis,
            State::Failing => time.failing = millis,
            State::Down => time.down = millis,
            State::Maintenance => time.maintenance = millis,
            State::NoData(Blind::Asleep) => time.asleep = millis,
            State::NoData(Blind::Offline) => time.offline = millis,
            State::NoData(Blind::Paused) => time.paused = millis,
            State::NoData(Blind::KeyringLocked) => time.locked = millis,
            State::NoData(Blind::NotRunning) => {}
        }
        time
    }

    /// Adds other time.
    pub fn add(&mut self, other: &Self) {
        self.up += other.up;
        self.slow += other.slow;
        self.failing += other.failing;
        self.down += other.down;
        self.maintenance += other.maintenance;
        self.asleep += other.asleep;
        self.offline += other.offline;
        self.paused += other.paused;
        self.locked += other.locked;
    }

    /// Time that something is known of.
    pub fn known(&self) -> u64 {
        self.up + self.slow + self.failing + self.down
    }

    /// The share of the known time in which it was not down, 0 to 1; none where nothing is known.
    #[allow(clippy::cast_precision_loss)]
    pub fn uptime(&self) -> Option<f64> {
        let known = self.known();
        (known > 0).then(|| (known - self.down) as f64 / known as f64)
    }
}

/// A database's state, as time is spent in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// It answers in time.
    Up,
    /// It answers slowly.
    Slow,
    /// It fails, not often enough yet.
    Failing,
    /// It is down.
    Down,
    /// It is being worked on.
    Maintenance,
    /// Nobody can tell.
    NoData(Blind),
}

impl From<Health> for State {
    fn from(health: Health) -> Self {
        match health {
            Health::Up => Self::Up,
            Health::Slow => Self::Slow,
            Health::Failing { .. } => Self::Failing,
            Health::Down => Self::Down,
            Health::NoData { why } => Self::NoData(why),
        }
    }
}

/// A stretch of time in one state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// Which.
    pub state: State,
    /// Its first millisecond since 1970.
    pub from: i64,
    /// The one after its last.
    pub to: i64,
}

/// Follows a database through its states, and gives out each stretch once it is known what it was.
///
/// Time in which a database fails is held back until it is plain whether it went down then, or answered again.
#[derive(Debug, Clone, Default)]
pub struct Follower {
    current: Option<(State, i64)>,
    held: Vec<(i64, i64)>,
}

/// Stretches of failing that are held back at once; flapping around a maintenance window or a gap gives out the oldest.
const MOST_HELD: usize = 64;

impl Follower {
    /// From `at` on the database is in that state. Answers the stretches that are settled by it. A time before the last one (the clock was
    /// set back) settles nothing, and counting begins anew there.
    pub fn enter(&mut self, state: State, at: Timestamp) -> Vec<Stretch> {
        let mut settled = self.settle(at);
        match state {
            State::Down => settled.extend(self.release(State::Down)),
            State::Failing => {}
            State::Up | State::Slow | State::Maintenance | State::NoData(_) => {
                settled.extend(self.release(State::Failing));
            }
        }
        self.current = Some((state, at.as_millisecond()));
        settled
    }

    /// Time has come to `at` in the same state. Answers what is settled by it.
    pub fn settle(&mut self, at: Timestamp) -> Vec<Stretch> {
        let at = at.as_millisecond();
        let Some((state, from)) = self.current else {
            return Vec::new();
        };
        self.current = Some((state, at));
        if at <= from {
            return Vec::new();
        }
        if state == State::Failing {
            self.held.push((from, at));
            if self.held.len() > MOST_HELD {
                let (from, to) = self.held.remove(0);
                return vec![Stretch { state, from, to }];
            }
            return Vec::new();
        }
        vec![Stretch { state, from, to: at }]
    }

    /// From `at` on it is not watched. Answers what is settled by it.
    pub fn leave(&mut self, at: Timestamp) -> Vec<Stretch> {
        let mut settled = self.settle(at);
        settled.extend(self.release(State::Failing));
        self.current = None;
        settled
    }

    fn release(&mut self, state: State) -> impl Iterator<Item = Stretch> {
        self.held
            .drain(..)
            .map(move |(from, to)| Stretch { state, from, to })
    }
}

/// A stretch cut at the borders of equal parts of `part_ms` milliseconds since 1970: each part's number, and the milliseconds in it.
pub fn cut(from: i64, to: i64, part_ms: i64) -> impl Iterator<Item = (i64, u64)> {
    let mut at = from;
    std::iter::from_fn(move || {
        if at >= to {
            return None;
        }
        let part = at.div_euclid(part_ms);
        let end = ((part + 1) * part_ms).min(to);
        let millis = u64::try_from(end - at).unwrap_or(0);
        at = end;
        Some((part, millis))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// What becomes of states entered at these seconds, by the end of the last.
    fn followed(states: &[(State, i64)], end: i64) -> TimeIn {
        let mut follower = Follower::default();
        let mut time = TimeIn::default();
        let mut add = |stretches: Vec<Stretch>| {
            for stretch in stretches {
                time.add(&TimeIn::of(
                    stretch.state,
                    u64::try_from(stretch.to - stretch.from).unwrap(),
                ));
            }
        };
        for (state, second) in states {
            add(follower.enter(*state, at(*second)));
        }
        add(follower.settle(at(end)));
        time
    }

    #[test]
    fn failing_counts_as_down_once_it_led_there_and_not_where_it_did_not() {
        let time = followed(
            &[
                (State::Up, 0),
                (State::Failing, 60),
                (State::Failing, 70),
                (State::Down, 80),
                (State::Up, 100),
            ],
            160,
        );
        assert_eq!((time.up, time.failing, time.down), (120_000, 0, 40_000));
        assert_eq!(time.uptime(), Some(0.75));
        let time = followed(&[(State::Up, 0), (State::Failing, 60), (State::Up, 70)], 100);
        assert_eq!((time.up, time.failing, time.down), (90_000, 10_000, 0));
        assert_eq!(time.uptime(), Some(1.0));
    }

    #[test]
    fn failing_into_a_gap_is_not_down() {
        let asleep = State::NoData(Blind::Asleep);
        let time = followed(&[(State::Failing, 0), (asleep, 10), (State::Up, 3610)], 3620);
        assert_eq!((time.failing, time.asleep, time.up), (10_000, 3_600_000, 10_000));
        assert_eq!(time.known(), 20_000);
    }

    #[test]
    fn nothing_known_is_no_uptime_at_all() {
        assert_eq!(
            followed(&[(State::NoData(Blind::Offline), 0)], 100).uptime(),
            None
        );
    }

    #[test]
    fn a_clock_that_is_set_back_counts_nothing_twice() {
        let time = followed(&[(State::Up, 1000), (State::Up, 400)], 500);
        assert_eq!(time.up, 100_000);
    }

    #[test]
    fn a_stretch_is_cut_at_the_hours() {
        let hour = 3_600_000;
        let parts: Vec<_> = cut(hour - 1000, 2 * hour + 500, hour).collect();
        assert_eq!(parts, [(0, 1000), (1, 3_600_000), (2, 500)]);
        assert_eq!(cut(5, 5, hour).count(), 0);
        assert_eq!(cut(-1000, 0, hour).collect::<Vec<_>>(), [(-1, 1000)]);
    }
}
