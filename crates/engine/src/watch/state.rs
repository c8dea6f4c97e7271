//! What of each database is remembered between two checks, and what a finding changes of it. No I/O.

use std::time::{Duration, Instant};

use howdah_domain::availability::{Follower, State, Stretch};
use howdah_domain::check::{Answer, Blind, CheckRule, Health, Standing, Turn};
use howdah_domain::{DatabaseId, Failure, ServerId};
use howdah_store::tables::watches::{LastCheck, WatchNumber};
use jiff::Timestamp;

use super::probe::Finding;

/// After a gap, and at the start, the first checks are spread over this: the network has a moment to come back.
const SPREAD: Duration = Duration::from_secs(8);

/// A database that is watched.
#[derive(Debug, Clone)]
pub(super) struct Watched {
    pub(super) watch: WatchNumber,
    pub(super) id: DatabaseId,
    pub(super) name: String,
    pub(super) server: ServerId,
    pub(super) rule: CheckRule,
    pub(super) standing: Standing,
    pub(super) follower: Follower,
    pub(super) last: Option<LastCheck>,
    pub(super) place: Option<String>,
    /// What turned last could not be written down.
    pub(super) owes: bool,
    /// Slow answers in a row.
    pub(super) slow: u32,
    /// Whether it is being worked on.
    pub(super) maintenance: bool,
    /// When it is asked next, on the steady clock.
    pub(super) due: Instant,
    pub(super) at_work: bool,
}

/// What a finding brings about.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Effect {
    /// Time whose state is settled.
    pub(super) stretches: Vec<Stretch>,
    /// What has turned.
    pub(super) turn: Option<Turn>,
    /// Whether slow answers are now to be told, or no longer.
    pub(super) slow: Option<bool>,
    /// How it stands, as time is spent in it.
    pub(super) state: State,
}

impl Watched {
    /// A new place in time, so that not all databases are asked at once: always the same for a database.
    pub(super) fn spread(&mut self, now: Instant) {
        let hash = self.id.as_str().bytes().fold(0_u64, |hash, byte| {
            hash.wrapping_mul(31).wrapping_add(u64::from(byte))
        });
        let within = SPREAD
            .min(Duration::from_secs(u64::from(self.rule.interval_seconds)))
            .as_millis();
        let offset = u64::try_from(u128::from(hash) % within.max(1)).unwrap_or(0);
        self.due = now + Duration::from_millis(offset);
    }

    /// Takes in what a check found that ended at `at`.
    pub(super) fn take(&mut self, finding: &Finding, at: Timestamp, now: Instant) -> Effect {
        let micros = |time: Duration| u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        let (answer, last) = match finding {
            Finding::Good(answered) => {
                let (connect, answer) = (micros(answered.connect), micros(answered.answer));
                (
                    Answer::Good {
                        connect_ms: connect / 1000,
                        answer_ms: answer / 1000,
                    },
                    Some((Some(connect), Some(answer), None)),
                )
            }
            Finding::Bad { failure, .. } => (
                Answer::Bad {
                    code: failure.code,
                    text: failure.message.clone(),
                },
                Some((None, None, Some(failure.clone()))),
            ),
            Finding::Unknown(why) => (Answer::Unknown(*why), None),
        };
        if let Some((connect_us, answer_us, failure)) = last {
            self.last = Some(LastCheck {
                at,
                connect_us,
                answer_us,
                failure,
            });
        }
        if let Finding::Bad { place, .. } = finding {
            self.place.clone_from(place);
        }
        let (mut next, mut turn) = self.standing.after(&answer, at, &self.rule);
        // While it is worked on, only an answer counts: what was down before may be up again.
        if self.maintenance && matches!(answer, Answer::Bad { .. }) {
            (next, turn) = (self.standing, None);
        }
        self.standing = next;
        self.due = now + self.pause(at);
        self.at_work = false;
        let slow = self.count_slow();
        let state = if self.maintenance {
            State::Maintenance
        } else {
            State::from(next.health)
        };
        Effect {
            stretches: self.follower.enter(state, at),
            turn,
            slow,
            state,
        }
    }

    fn pause(&self, at: Timestamp) -> Duration {
        let again = self.standing.asked_again(at, &self.rule);
        Duration::try_from(again.duration_since(at)).unwrap_or(Duration::from_secs(1))
    }

    /// As many slow answers in a row as failures would make it down are told; the first quick one ends it.
    fn count_slow(&mut self) -> Option<bool> {
        let limit = self.rule.failures.max(1);
        match self.standing.health {
            Health::Slow => {
                self.slow = self.slow.saturating_add(1);
                (self.slow == limit).then_some(true)
            }
            Health::Up | Health::Down => {
                let was = std::mem::take(&mut self.slow) > 0;
                was.then_some(false)
            }
            Health::Failing { .. } | Health::NoData { .. } => None,
        }
    }

    /// Nobody could tell anything since `from`; it is asked again soon.
    pub(super) fn lost_sight(
        &mut self,
        why: Blind,
        from: Timestamp,
        at: Timestamp,
        now: Instant,
    ) -> Vec<Stretch> {
        let mut settled = self.follower.enter(State::NoData(why), from);
        settled.extend(self.follower.settle(at));
        let (next, _) = self.standing.after(&Answer::Unknown(why), at, &self.rule);
        self.standing = next;
        self.spread(now);
        settled
    }

    /// Work on it begins or ends.
    pub(super) fn set_maintenance(&mut self, on: bool, at: Timestamp) -> Vec<Stretch> {
        self.maintenance = on;
        let state = if on {
            State::Maintenance
        } else {
            State::from(self.standing.health)
        };
        self.follower.enter(state, at)
    }

    /// Whether it counts with one that went down at the same place.
    pub(super) fn falls_with(&self, place: &str) -> bool {
        self.place.as_deref() == Some(place)
            && !self.maintenance
            && matches!(self.standing.health, Health::Failing { .. } | Health::Down)
    }

    /// Since when it has failed.
    pub(super) fn failing_since(&self) -> Timestamp {
        self.standing.down_since.unwrap_or(self.standing.since)
    }

    pub(super) fn failure(&self) -> Option<&Failure> {
        self.last.as_ref()?.failure.as_ref()
    }
}
